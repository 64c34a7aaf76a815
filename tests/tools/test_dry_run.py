"""A dry run says what a training will read, learn and write; it reads no pixel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rasters import blend, cli, listing, ok, spectra, wavelengths, write_tiff

from bandfuse.raster.read import Reader

WEIGHTS = [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.2, 0.3, 0.5, 0]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for i in range(2):
        cube = spectra(6, 30, 40, seed=i)
        write_tiff(tmp_path / f"s{i}.tif", cube, nm=wavelengths(6), bad=[3])
        target = blend(cube, WEIGHTS).astype("float32")
        write_tiff(tmp_path / f"s{i}_t.tif", target, names=["low", "high"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


CASES = {
    "match": ["s0.tif", "--target", "s0_t.tif"],
    "groups": ["s0.tif", "--groups", "equal:3"],
    "two scenes": ["s0.tif", "s1.tif", "--target", "{stem}_t.tif", "--stac"],
    "per scene": ["s0.tif", "s1.tif", "--target", "{stem}_t.tif", "--scope", "per-scene"],
    "no page": ["s0.tif", "--target", "s0_t.tif", "--no-report", "--no-fused"],
    "figures": ["s0.tif", "--target", "s0_t.tif", "--figures"],
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_what_the_training_does(name: str, place: Path) -> None:
    call = ["train", *CASES[name], "-o", "run", "--folds", 2, "--json"]
    before = listing(place)
    plan = ok(*call, "--dry-run").json
    assert listing(place) == before
    report = ok(*call).json
    assert [o["name"] for o in plan["outputs"]] == [o["name"] for o in report["outputs"]]
    written = {p.name + "/" * p.is_dir() for p in (place / "run").iterdir()}
    assert set(plan["writes"]) == written
    assert plan["bands_flagged"] == len(report["bands_dropped"]) == 1
    assert plan["weights"] == len(report["weights"])
    assert sum(s["rows"] * s["cols"] for s in plan["scenes"]) == report["pixels"]["used"]
    files = [path for scene in plan["scenes"] for path in scene["files"]]
    assert sorted(map(Path, files)) == sorted(Path(i["path"]) for i in report["inputs"])


def test_no_pixel_is_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Reader, window: object) -> None:
        raise AssertionError("a pixel is read")

    monkeypatch.setattr(Reader, "read", fail)
    for shift in ([], ["--shift", "auto"], ["--shift", "1,0.5"]):
        ok("train", "s0.tif", "--target", "s0_t.tif", "-o", "run", "--dry-run", *shift)


def test_groups_that_need_pixels_are_said(place: Path) -> None:
    done = ok("train", "s0.tif", "--groups", "correlation:2", "-o", "run", "--dry-run", "--json")
    assert done.json["outputs"] == []
    assert done.json["weights"] is None
    assert "correlation:2" in done.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--target", "s1_t.tif", "--group", "a=9-12"], "9-12"),
        (["--target", "none.tif"], "none.tif does not exist"),
        (["--objective", "regression"], "needs a target"),
        (["--target", "s0_t.tif", "--bounds", 2, 2, 1, 1], "--bounds"),
    ],
)
def test_what_ends_the_training_ends_the_dry_run(
    more: list[object], said: str, place: Path
) -> None:
    done = cli("train", "s0.tif", *more, "-o", "run", "--dry-run")
    assert (done.code, said in done.err) == (2, True), done.err


def test_the_output_is_checked(place: Path) -> None:
    (place / "run").mkdir()
    done = cli("train", "s0.tif", "--target", "s0_t.tif", "-o", "run", "--dry-run")
    assert (done.code, "run was not made by bandfuse" in done.err) == (2, True)
    done = cli("train", "s0.tif", "--target", "s0_t.tif", "-o", "no/run", "--dry-run")
    assert "no does not exist" in done.err
    ok("train", "s0.tif", "--target", "s0_t.tif", "-o", "no/run/", "--dry-run")
    assert not (place / "no").exists()
    assert "-o RUN" in cli("train", "s0.tif", "--dry-run").err


def test_the_plan_for_people(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    call = ["train", *CASES["two scenes"], "-o", "run", "--dry-run"]
    text = " ".join(ok(*call).out.split())
    for words in ("Reads", "s1 30 40 6 2", "Learns: regression, constraint auto; 10 weights"):
        assert words in text, text
    assert "Writes run: weights.safetensors" in text
    took = re.search(r"Takes about (\d+) s: (\d+) s to read, (\d+) s for the rest", text)
    assert took is not None, text
    both, read, rest = map(int, took.groups())
    assert both == read + rest


def test_parents_of_a_run_are_made_for_a_name_with_a_slash(place: Path) -> None:
    how = ["s0.tif", "--target", "s0_t.tif", "--no-report", "--folds", 0]
    ok("train", *how, "-o", "runs/2026/a/")
    assert (place / "runs/2026/a/weights.safetensors").is_file()
    before = listing(place)
    assert cli("train", *how, "-o", "more/b/", "--groups", "1-4", "--group", "a=1").code == 2
    assert cli("train", "s0.tif", "--target", "s0_t.tif", "-o", "more/b/", "--memory", 1).code == 2
    assert listing(place) == before


# ------------------------------------------------------------------------------------------ report


def test_a_page_goes_into_the_run_folder(place: Path) -> None:
    ok("train", "s0.tif", "--target", "s0_t.tif", "-o", "run", "--folds", 2)
    page = (place / "run" / "report.html").read_bytes()
    done = cli("report", "run")
    assert (done.code, "--overwrite" in done.err) == (2, True)
    (place / "run" / "report.html").write_text("old")
    assert ok("report", "run", "--overwrite", "--json").json["output"] == "run/report.html"
    assert (place / "run" / "report.html").read_bytes() == page
    (place / "run" / "report.html").unlink()
    ok("report", "run")
    assert (place / "run" / "report.html").read_bytes() == page
