"""A config from the files given: it says what it means, it can be read, and it runs."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from rasters import blend, cli, listing, ok, spectra, wavelengths, write_tiff

from bandfuse.config.base import build
from bandfuse.config.train import TrainConfig
from bandfuse.files.yamlfile import read_yaml
from bandfuse.tools.init import JOBS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of every job, below a folder of their own."""
    data = tmp_path / "my data"
    (data / "scenes").mkdir(parents=True)
    cube = spectra(9, 40, 50)
    other = spectra(9, 40, 50, seed=2)
    nm = wavelengths(9)
    write_tiff(data / "c.tif", cube, nm=nm)
    write_tiff(data / "d.tif", other, nm=nm)
    weights = [[0.2] * 4 + [0] * 5, [0] * 5 + [0.25] * 4]
    write_tiff(data / "t.tif", blend(cube, weights).astype("float32"), names=["low", "high"])
    write_tiff(data / "m.tif", (0.3 * cube + 0.7 * other).astype("float32"))
    classes = (np.indices((40, 50)).sum(0) // 12 % 3 + 1).astype("uint8")
    write_tiff(data / "l.tif", classes[None])
    for i in range(3):
        write_tiff(data / "scenes" / f"s{i}.tif", spectra(9, 40, 50, seed=i), nm=nm)
    monkeypatch.chdir(tmp_path)
    return tmp_path


GIVEN = {
    "match": ["c.tif", "t.tif"],
    "shrink": ["c.tif"],
    "separate": ["c.tif", "l.tif"],
    "snr": ["c.tif", "d.tif"],
    "merge": ["c.tif", "d.tif", "m.tif"],
    "batch": ["scenes"],
}


def test_every_job_is_tried() -> None:
    assert set(GIVEN) == set(JOBS)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("job", GIVEN)
def test_a_config_runs_as_it_is(job: str, place: Path) -> None:
    """From the folder in which it was written, by the command that init says."""
    (place / "sub").mkdir()
    files = [f"my data/{name}" for name in GIVEN[job]]
    result = ok("init", job, *files, "-o", "sub/config.yaml", "--json").json
    assert result["job"] == job
    text = (place / "sub" / "config.yaml").read_text()
    assert all(len(line) <= 100 for line in text.splitlines())
    settings = [line for line in text.splitlines() if line and line[0] not in "# -"]
    assert len(settings) >= 4
    command = shlex.split(result["command"])
    assert command[0] == "bandfuse"
    done = ok(*command[1:], *([] if job == "batch" else ["--no-report"]))
    assert "written" in done.out or "done" in done.out
    if job == "batch":
        assert sorted(p.name for p in (place / "sub/batch-run/fused").iterdir()) == [
            "s0.tif",
            "s1.tif",
            "s2.tif",
        ]
    else:
        assert (place / "sub" / "run" / "weights.safetensors").is_file()


@pytest.mark.parametrize("job", sorted(set(GIVEN) - {"batch"}))
def test_what_is_commented_out_can_be_used(job: str, place: Path) -> None:
    """Every setting that is shown is one, and its value fits."""
    ok("init", job, *(f"my data/{name}" for name in GIVEN[job]))
    text = Path("bandfuse.yaml").read_text()
    shown = "\n".join(
        line[2:]
        for block in text.split("\n\n")[1:]
        for line in block.splitlines()[1:]
        if line.startswith("# ") and ": " in line and line[2:].split(":")[0].islower()
    )
    (place / "shown.yaml").write_text(shown)
    build(TrainConfig, read_yaml(place / "shown.yaml"))
    assert ("objective" in read_yaml("bandfuse.yaml")) == (job != "merge")


def test_the_merge_finds_the_weights(place: Path) -> None:
    """0.3 and 0.7, as the merged image was made."""
    import bandfuse

    ok("init", "merge", "my data/c.tif", "my data/d.tif", "my data/m.tif")
    ok("train", "--config", "bandfuse.yaml", "--no-report")
    matrix = bandfuse.load("run").common.matrix
    np.testing.assert_allclose(matrix[:, :9], 0.3 * np.eye(9), atol=1e-5)
    np.testing.assert_allclose(matrix[:, 9:], 0.7 * np.eye(9), atol=1e-5)


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        (["my data/scenes"], "folder: ../my data/scenes"),
        (["my data/scenes/*.tif"], "glob: ../my data/scenes/*.tif"),
        (["my data/c.tif", "my data/d.tif"], "../my data/c.tif"),
    ],
)
def test_a_batch_names_its_scenes_as_they_are_given(
    files: list[str], rule: str, place: Path
) -> None:
    (place / "sub").mkdir()
    ok("init", "batch", *files, "-o", "sub/b.yaml")
    assert rule in (place / "sub" / "b.yaml").read_text()
    plan = ok("batch", "sub/b.yaml", "--dry-run", "--json").json
    scenes = {item["scene"] for item in plan["items"] if item["scene"]}
    assert len(scenes) == (2 if len(files) == 2 else 3)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["mach", "c.tif"], "Did you mean 'match'?"),
        (["match", "c.tif"], "takes CUBE TARGET; got 1 file"),
        (["merge", "c.tif", "d.tif"], "IMAGE IMAGE... TARGET; got 2 files"),
        (["match", "c.tif", "none.tif"], "none.tif"),
        (["match", "c.tif", "t.tif", "-o", "c.tif"], "c.tif is an input"),
        (["match", "c.tif", "t.tif", "-o", "no/b.yaml"], "no does not exist"),
    ],
)
def test_what_cannot_be_written(
    call: list[str], said: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place / "my data")
    before = listing(place)
    done = cli("init", *call)
    assert (done.code, said in done.err) == (2, True), done.err
    assert listing(place) == before


def test_an_existing_config_is_kept(place: Path) -> None:
    Path("bandfuse.yaml").write_text("seed: 1\n")
    done = cli("init", "shrink", "my data/c.tif")
    assert done.code == 2
    assert "--overwrite" in done.err
    ok("init", "shrink", "my data/c.tif", "--overwrite")
    assert "reconstruction" in Path("bandfuse.yaml").read_text()


@pytest.mark.parametrize("name", ["a: [b] #c.tif", "a\u2028b.tif"])
def test_names_of_files_stay_in_their_lines(name: str, place: Path) -> None:
    """A name may hold what YAML or a terminal would take for something else."""
    odd = place / name
    (place / "my data" / "c.tif").rename(odd)
    ok("init", "shrink", odd.name)
    assert read_yaml("bandfuse.yaml")["scenes"] == [odd.name]
    ok("train", "--config", "bandfuse.yaml", "--dry-run")
