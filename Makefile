# `make demo` and `make test` are all that a fresh machine needs; both make .venv on their own.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-kernels lint bench clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/ready
	$(BIN)/bandfuse demo demo-run --overwrite

test: .venv/ready
	$(BIN)/python -m pytest -n auto

test-kernels: .venv/ready
	$(BIN)/python tests/kernels.py $(KERNELS)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python tests/benchmarks/run.py

clean:
	rm -rf .venv demo-run build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
