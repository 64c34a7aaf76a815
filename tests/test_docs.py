"""The README, the sample and the configs do what they say."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
from helpers import close_to_conditioning

from bandfuse.cli.commands import export
from bandfuse.cli.main import COMMANDS, main
from bandfuse.config.commands import ExportConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", shlex.split(line))
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (0, None), line


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "data" / "sample", tmp_path / "data" / "sample")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell_blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_minute_of_the_readme_runs(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for line in shell_blocks()[1].splitlines() if line.startswith("bandfuse")]
    assert len(lines) == 5
    for line in lines:
        run(line, monkeypatch)
    assert (workplace / "run" / "report.html").is_file()
    assert (workplace / "fused.tif").is_file()


def test_every_flag_in_the_readme_exists(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("bandfuse --help", monkeypatch)
    text = capsys.readouterr().out
    for command in COMMANDS:
        run(f"bandfuse {command} --help", monkeypatch)
        text += capsys.readouterr().out
    own = "\n".join(line for line in README.splitlines() if not line.startswith(("dask ", "srun ")))
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", own))
    assert len(flags) > 20
    assert {f for f in flags if f not in text} == set()


def test_the_python_of_the_readme_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cell after the other, as in a notebook."""
    section = README.split("## In Python\n")[1].split("\n## ")[0]
    cells = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(cells) == 4
    here: dict[str, Any] = {}
    for number, cell in enumerate(cells, 1):
        exec(compile(cell, f"README, cell {number}", "exec"), here)
    assert here["y"].shape == (320, 4)
    assert here["image"].shape == (4, 16, 20)
    assert here["fused"].dims == ("band", "y", "x")
    assert here["tensor"].grad.shape == here["x"].shape
    assert here["matched"].coef_.shape == here["fusion"].matrix.shape
    assert (workplace / "robust" / "config.yaml").read_text().count("loss: custom") == 1


def test_every_export_of_the_readme_is_read_by_its_program(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each format has a line in the README and in the help; the lines run as they stand, and the
    Python after them."""
    import numpy as np
    import rasterio

    section = README.split("## Weights for other programs")[1].split("\n## ")[0]
    (shell,) = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
    (cell,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    for form in get_args(ExportConfig.model_fields["to"].annotation):
        assert f"--to {form} " in shell
        assert f"--to {form} " in (export.__doc__ or "")
    shutil.copy("data/sample/cube.tif", "cube.tif")
    with (
        rasterio.open("data/sample/target.tif") as ds,
        rasterio.open("pan.tif", "w", **ds.profile | {"count": 1}) as pan,
    ):
        pan.write(ds.read([2]))
    run(
        "bandfuse train cube.tif --target data/sample/target.tif -o run --no-report --folds 0",
        monkeypatch,
    )
    for line in filter(None, shell.splitlines()):
        words = shlex.split(line, comments=True)
        if words[0] == "bandfuse":
            run(shlex.join(words), monkeypatch)
        elif shutil.which(words[0]):
            subprocess.run(["bash", "-c", line], check=True, capture_output=True)
    here: dict[str, Any] = {}
    exec(compile(cell, "README, exports", "exec"), here)
    close_to_conditioning(here["y"], here["x"] @ here["spectra"].T + here["table"]["offsets"])
    with rasterio.open("fused.vrt") as fused:
        assert np.isfinite(fused.read()).any()
        if shutil.which("otbcli_BandMathX"):
            with rasterio.open("fused_otb.tif") as other:
                there = np.isfinite(fused.read())
                np.testing.assert_allclose(
                    other.read()[there], fused.read()[there], rtol=1e-4, atol=1e-6
                )


CONFIGS = sorted(
    p.name for p in (ROOT / "configs").glob("*.yaml") if not p.name.startswith("batch_")
)


@pytest.mark.parametrize("config", sorted(p.name for p in (ROOT / "configs").glob("batch_*.yaml")))
def test_each_batch_runs(config: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENES", str(workplace / "data/sample"))
    run(f"bandfuse batch configs/{config}", monkeypatch)
    (page,) = workplace.glob("*-run/batch.html")
    assert ">done<" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("config", CONFIGS)
def test_each_config_runs(config: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(f"bandfuse train --config configs/{config} -o run --no-report", monkeypatch)
    assert (workplace / "run" / "weights.safetensors").is_file()


def test_the_sample_is_what_its_script_makes(tmp_path: Path) -> None:
    """The same scene, to the rounding of the noise on another machine."""
    import numpy as np
    import rasterio

    from bandfuse.synthetic import scene
    from bandfuse.tools.demo import write_scene

    write_scene(scene(rows=48, cols=60, n_bands=124, seed=7), tmp_path)
    for name in ("cube.tif", "target.tif"):
        with (
            rasterio.open(ROOT / "data" / "sample" / name) as old,
            rasterio.open(tmp_path / name) as new,
        ):
            assert (old.shape, old.crs, old.transform) == (new.shape, new.crs, new.transform)
            assert old.descriptions == new.descriptions
            assert [old.tags(i) for i in old.indexes] == [new.tags(i) for i in new.indexes]
            apart = np.abs(old.read().astype(np.float64) - new.read())
            # A number of the cube on the edge between two integers may fall to the other; the
            # target is made of these.
            assert np.nanmax(apart) <= (1 if name == "cube.tif" else 1e-4)
            assert np.mean(apart > 1e-6) < (1e-3 if name == "cube.tif" else 0.1)
    assert sum(p.stat().st_size for p in (ROOT / "data").rglob("*")) < 1_000_000


def test_commands_named_in_the_readme_are_make_targets() -> None:
    targets = set(
        re.findall(
            r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    )
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, flags=re.MULTILINE))
    assert {"demo", "test", "lint", "bench"} <= named <= targets
    if shutil.which("make"):
        for target in sorted(targets):
            done = subprocess.run(
                ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
            )
            for command in re.findall(r"bin/bandfuse (\S+)", done.stdout):
                assert command in COMMANDS
            for script in re.findall(r"bin/python (\S+\.py)", done.stdout):
                assert (ROOT / script).is_file()
