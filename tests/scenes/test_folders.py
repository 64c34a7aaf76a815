"""Scenes that are given as a folder of rasters, or as a pattern of names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import published
import pytest
from helpers import same_bits
from rasters import blend, cli, ok, spectra, wavelengths, write_envi, write_tiff

from bandfuse.errors import InputError
from bandfuse.scenes.folders import scene_files


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Rasters of several kinds, and what lies beside rasters."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    cube = spectra(4, 12, 15)
    write_tiff(folder / "b.tif", cube, nm=wavelengths(4))
    write_tiff(folder / "a.TIF", cube, nm=wavelengths(4))
    write_envi(folder / "plain", cube)
    for name in ("b.tif.aux.xml", "notes.txt", "thumb.png", ".hidden.tif", "weights.csv"):
        (folder / name).write_text("")
    (folder / "below").mkdir()
    return folder


def test_a_folder_stands_for_its_rasters(place: Path) -> None:
    names = [Path(p).name for p in scene_files([str(place)])]
    assert names == ["a.TIF", "b.tif", "plain"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*.tif", ["b.tif"]), ("*", ["a.TIF", "b.tif", "plain"]), ("?.[tT]*", ["a.TIF", "b.tif"])],
)
def test_a_pattern_stands_for_the_files_of_that_name(
    pattern: str, names: list[str], place: Path
) -> None:
    found = [Path(p).name for p in scene_files([f"{place}/{pattern}"])]
    assert found == names


def test_patterns_look_into_folders(place: Path) -> None:
    shutil.copy(place / "b.tif", place / "below" / "c.tif")
    found = [Path(p).name for p in scene_files([f"{place}/**/*.tif"])]
    assert sorted(found) == ["b.tif", "c.tif"]


def test_a_file_whose_name_is_a_pattern_is_that_file(place: Path) -> None:
    odd = str(place / "x[1].tif")
    shutil.copy(place / "b.tif", odd)
    assert scene_files([odd]) == [odd]


def test_what_is_not_on_the_file_system_stays(place: Path) -> None:
    given = ["/vsizip/a*.zip/x.tif", "https://x.org/a?b=[1]", "none.tif", 'HDF5:"x.h5"://cube']
    assert scene_files(given) == given


def test_products_and_stores_stay_one_scene(tmp_path: Path) -> None:
    folder = published.enmap(tmp_path).path
    assert scene_files([str(folder)]) == [str(folder)]
    write_tiff(tmp_path / "x.tif", spectra(4, 12, 15), nm=wavelengths(4))
    ok("train", tmp_path / "x.tif", "-o", tmp_path / "run", "--no-report", "--groups", "1-4")
    ok("apply", tmp_path / "run", tmp_path / "x.tif", "-o", tmp_path / "y.zarr")
    assert scene_files([str(tmp_path / "y.zarr")]) == [str(tmp_path / "y.zarr")]


def test_a_folder_of_products_stands_for_the_products(tmp_path: Path) -> None:
    folder = published.enmap(tmp_path).path
    assert scene_files([str(tmp_path)]) == [str(folder)]
    write_tiff(tmp_path / "x.tif", spectra(4, 12, 15))
    assert scene_files([str(tmp_path)]) == [str(folder), str(tmp_path / "x.tif")]


def test_a_folder_without_rasters_says_what_is_in_it(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.csv"):
        (tmp_path / name).write_text("")
    (tmp_path / "below").mkdir()
    with pytest.raises(InputError) as error:
        scene_files([str(tmp_path)])
    text = str(error.value)
    assert "holds no raster" in text
    assert "2 .txt" in text and "1 .csv" in text and "1 folder" in text  # noqa: PT018
    assert "\n" not in text
    assert "bandfuse info --formats" in text
    write_tiff(tmp_path / "below" / "c.tif", spectra(1, 4, 4))
    with pytest.raises(InputError, match=r"There are some in .*below\.$"):
        scene_files([str(tmp_path)])
    (tmp_path / "below" / "x").mkdir()
    with pytest.raises(InputError, match="got nothing"):
        scene_files([str(tmp_path / "below" / "x")])


def test_a_pattern_without_files_says_what_is_there(place: Path) -> None:
    with pytest.raises(InputError, match=r"no raster is named .*\.jp2.* 3 \.tif"):
        scene_files([f"{place}/*.jp2"])
    with pytest.raises(InputError, match="no folder"):
        scene_files([f"{place}/none/*.tif"])


def test_commands_take_a_folder_or_a_pattern(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run of a folder is that of its files by name, and config.yaml names them."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.TIF", "plain", "plain.hdr"):
        (place / name).unlink()
    second = spectra(4, 12, 15, seed=3)
    write_tiff(place / "c.tif", second, nm=wavelengths(4))
    for name, cube in (("b", spectra(4, 12, 15)), ("c", second)):
        write_tiff(tmp_path / f"{name}_t.tif", blend(cube, [[0.4, 0, 0, 0.6]]).astype("float32"))
    how = ["--target", "{stem}_t.tif", "--no-report", "--no-fused", "--folds", 0]
    ok("train", "scenes", *how, "-o", "one")
    ok("train", "scenes/*.tif", *how, "-o", "two")
    ok("train", "scenes/b.tif", "scenes/c.tif", *how, "-o", "three")
    bits = [(tmp_path / n / "weights.safetensors").read_bytes() for n in ("one", "two", "three")]
    assert bits[0] == bits[1] == bits[2]
    assert "scenes/c.tif" in (tmp_path / "one" / "config.yaml").read_text()
    done = ok("apply", "one", "scenes", "-o", "fused/", "--json").json
    assert [Path(p).name for p in done["outputs"]] == ["b.tif", "c.tif"]
    assert len(ok("info", "scenes", "--json").json["scenes"]) == 2
    done = cli("evaluate", "one", "scenes", "--target", "{stem}_t.tif")
    assert "takes one scene" in done.err
    ok("resample", "scenes", "--sensor", "landsat-8-oli", "-o", "ls/")
    assert (tmp_path / "ls" / "c.tif").is_file()


# ------------------------------------------------------------------------------------- run folders


def test_a_run_folder_stands_for_its_weights(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bandfuse

    monkeypatch.chdir(tmp_path)
    shutil.copy(place / "b.tif", "b.tif")
    write_tiff(tmp_path / "t.tif", blend(spectra(4, 12, 15), [[0.4, 0, 0, 0.6]]).astype("float32"))
    ok("train", "b.tif", "--target", "t.tif", "-o", "run", "--no-report", "--folds", 0)
    weights = "run/weights.safetensors"
    for name, given in (("a", "run"), ("b", weights)):
        ok("apply", given, "b.tif", "-o", f"{name}.out.tif")
        ok("export", given, "--to", "csv", "-o", f"{name}.csv")
    same_bits(Path("a.out.tif").read_bytes(), Path("b.out.tif").read_bytes())
    assert Path("a.csv").read_text() == Path("b.csv").read_text()
    scores = [
        ok("evaluate", w, "b.tif", "--target", "t.tif", "--json").json for w in ("run", weights)
    ]
    assert scores[0]["scores"] == scores[1]["scores"]
    np.testing.assert_array_equal(
        bandfuse.load("run").common.weight, bandfuse.load(weights).common.weight
    )
    Path("b.yaml").write_text(
        "version: 1\noutput: out\nscenes: [{files: [b.tif]}]\n"
        "jobs: [{name: fused, kind: apply, weights: run}]\n"
    )
    ok("batch", "b.yaml")
    same_bits(Path("out/fused/b.tif").read_bytes(), Path("b.out.tif").read_bytes())


def test_the_output_is_never_the_weights_of_a_run(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ok("train", place / "b.tif", "-o", run, "--no-report", "--groups", "1-4")
    before = (run / "weights.safetensors").read_bytes()
    out = run / "weights.safetensors"
    for how in (["apply", run, place / "b.tif"], ["export", run, "--to", "csv"]):
        done = cli(*how, "-o", out, "--overwrite")
        assert done.code == 2
        assert "is an input" in done.err
    assert out.read_bytes() == before


def test_a_folder_that_is_no_run(tmp_path: Path, place: Path) -> None:
    done = cli("apply", place, place / "b.tif", "-o", tmp_path / "y.tif")
    assert done.code == 2
    assert "is a folder without weights.safetensors" in done.err
    ok("train", place / "b.tif", "-o", tmp_path / "runs/", "--no-report", "--groups", "1-4")
    done = cli("apply", tmp_path, place / "b.tif", "-o", tmp_path / "y.tif")
    assert f"Give {tmp_path / 'runs'}." in done.err


def test_an_export_into_a_folder_has_the_name_of_its_scene_or_run(
    place: Path, tmp_path: Path
) -> None:
    ok("train", place / "b.tif", "-o", tmp_path / "run", "--no-report", "--groups", "1-4")
    for to, name in (("csv", "run.csv"), ("numpy", "run.npz"), ("sli", "run.sli")):
        done = ok("export", tmp_path / "run", "--to", to, "-o", f"{tmp_path}/out/", "--json")
        assert done.json["output"] == str(tmp_path / "out" / name)
    how = ["--to", "vrt", "--scene", place / "b.tif", "-o", tmp_path / "out"]
    assert ok("export", tmp_path / "run", *how, "--json").json["output"].endswith("b.vrt")
    done = cli("export", tmp_path / "run", "--to", "vrt", "-o", f"{tmp_path}/new/")
    assert done.code == 2
    assert not (tmp_path / "new").exists()
