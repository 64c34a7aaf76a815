# `make demo` and `make test` are all that a fresh machine needs; both make .venv on their own.
PYTHON ?= python3
BIN := .venv/bin
LOWEST := .venv-lowest/bin

# Where other packages are met: what `make test-lowest` and `make test-newest` run.
CORE := tests/test_dependencies.py tests/test_structure.py tests/raster/test_raster.py tests/applying/test_roundtrip.py \
	tests/raster/test_formats.py tests/applying/test_outputs.py tests/cli/test_rio.py tests/raster/test_quirks.py tests/interop/test_arrays.py \
	tests/export/test_stac.py tests/solve/test_exact.py tests/spectral/test_groups.py tests/spectral/test_metadata.py tests/model/test_weightsfile.py \
	tests/training/test_checkpoint.py

.PHONY: demo test docs test-kernels test-lowest test-newest lint faults fuzz mutants bench bench-gpu clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/ready
	$(BIN)/bandfuse demo demo-run --overwrite

test: .venv/ready
	$(BIN)/python -m pytest -n logical --dist worksteal

docs: .venv/ready
	$(BIN)/python tests/make_docs.py
	$(BIN)/python tests/make_picture.py

test-kernels: .venv/ready
	$(BIN)/python tests/kernels.py $(KERNELS)

# The lowest versions that pyproject.toml takes; torch, whose old builds are large, is the one that is pinned.
.venv-lowest/ready: pyproject.toml constraints.txt tests/lowest.txt
	$(PYTHON) -m venv --clear .venv-lowest
	$(LOWEST)/python -m pip install --quiet -c constraints.txt torch uv
	$(LOWEST)/uv pip compile --quiet pyproject.toml --all-extras --resolution lowest-direct \
		--override tests/lowest.txt --python $(LOWEST)/python --output-file .venv-lowest/versions.txt
	$(LOWEST)/uv pip install --quiet --python $(LOWEST)/python --requirement .venv-lowest/versions.txt
	$(LOWEST)/uv pip install --quiet --python $(LOWEST)/python --no-deps --editable .
	touch $@

# The oldest matplotlib calls the newest pyparsing by names that it gave up.
test-lowest: .venv-lowest/ready
	$(LOWEST)/python -m pytest -n auto -W ignore::pyparsing.warnings.PyparsingDeprecationWarning $(CORE)

# The newest versions of everything, without the pins.
.venv-newest/ready: pyproject.toml
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade torch
	.venv-newest/bin/python -m pip install --quiet --upgrade -e ".[dev]"
	touch $@

test-newest: .venv-newest/ready
	.venv-newest/bin/python -m pytest -n auto $(CORE)

fuzz: .venv/ready
	$(BIN)/python tests/fuzz.py $(FUZZ)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every command, ended at every point at which it changes files, by every signal and by a full disk.
faults: .venv/ready
	BANDFUSE_ALL_FAULTS=1 $(BIN)/python -m pytest -n auto tests/files/test_interrupted.py

bench: .venv/ready
	$(BIN)/python tests/benchmarks/run.py

bench-gpu: .venv/ready
	$(BIN)/python tests/benchmarks/gpu.py

mutants: .venv/ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[mutants]"
	$(BIN)/python tests/mutants/run.py

clean:
	rm -rf .venv .venv-lowest .venv-newest demo-run build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
