"""Scenes that cannot be used: named, and left out if that is wanted, as if they had never been
given."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import same_bits
from makers import in_parts, pickled
from rasters import cli, ok, spectra, write_tiff

from bandfuse.errors import InputError, ScenesError, is_transient
from bandfuse.scenes.attempts import each, misfits

SHAPE = (200, 12)
QUICK = ("--no-report", "--no-fused", "--folds", 0, "--constraint", "free")


def scenes_in(folder: Path, count: int = 4) -> None:
    """Scenes of six bands with targets."""
    for i in range(count):
        x = spectra(6, *SHAPE, seed=i)
        write_tiff(folder / f"s{i}.tif", x)
        write_tiff(folder / f"s{i}_t.tif", x[:3].mean(axis=0)[None])


def no_raster(folder: Path, key: str) -> None:
    (folder / f"{key}.tif").write_text("no raster")


def no_target(folder: Path, key: str) -> None:
    (folder / f"{key}_t.tif").unlink()


def fewer_bands(folder: Path, key: str) -> None:
    write_tiff(folder / f"{key}.tif", spectra(5, *SHAPE))


def other_targets(folder: Path, key: str) -> None:
    write_tiff(folder / f"{key}_t.tif", spectra(2, *SHAPE))


def nothing_valid(folder: Path, key: str) -> None:
    write_tiff(folder / f"{key}.tif", np.full((6, *SHAPE), np.nan, dtype=np.float32))


def zeros(folder: Path, key: str) -> None:
    write_tiff(folder / f"{key}.tif", np.zeros((6, *SHAPE), dtype=np.float32))


def no_valid_target(folder: Path, key: str) -> None:
    write_tiff(folder / f"{key}_t.tif", np.full((1, *SHAPE), np.nan, dtype=np.float32))


def cut_short(folder: Path, key: str) -> None:
    file = folder / f"{key}.tif"
    file.write_bytes(file.read_bytes()[: file.stat().st_size - 400])


def overflowing(folder: Path, key: str) -> None:
    write_tiff(
        folder / f"{key}.tif",
        np.where(np.arange(SHAPE[0])[:, None] == 7, 1e200, spectra(6, *SHAPE, dtype="float64")),
    )


BREAKS = [
    no_raster,
    no_target,
    fewer_bands,
    other_targets,
    nothing_valid,
    zeros,
    no_valid_target,
    cut_short,
    overflowing,
]


def trained(folder: Path, output: str, *flags: str, first: int = 0) -> Path:
    scenes = [folder / f"s{i}.tif" for i in range(first, 4)]
    ok(
        "train",
        *scenes,
        "--target",
        "{parent}/{stem}_t.tif",
        "--no-report",
        "--no-fused",
        "-o",
        folder / output,
        *flags,
    )
    return folder / output


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is learned from the scenes but the first."""
    folder = tmp_path_factory.mktemp("without")
    scenes_in(folder)
    return trained(folder, "run", first=1)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("breaks", BREAKS)
def test_a_broken_scene_is_left_out_as_if_it_was_not_given(
    breaks: Callable[[Path, str], None], tmp_path: Path, without: Path
) -> None:
    scenes_in(tmp_path)
    breaks(tmp_path, "s0")
    scenes = [tmp_path / f"s{i}.tif" for i in range(4)]
    flags = ("--target", "{parent}/{stem}_t.tif", "-o", tmp_path / "no")
    refused = cli("train", *scenes, *flags)
    assert refused.code == 2
    assert len(refused.err.strip().splitlines()) == 1
    assert not (tmp_path / "no").exists()
    run = trained(tmp_path, "run", "--skip-broken")
    for name in ("weights.safetensors", "weights.csv"):
        same_bits((run / name).read_bytes(), (without / name).read_bytes())
    report = json.loads((run / "report.json").read_text())
    assert list(report["left_out"]) == ["s0"]
    assert "s0" in report["left_out"]["s0"]
    assert json.loads((without / "report.json").read_text())["left_out"] == {}
    assert sorted(Path(f["path"]).name[:2] for f in report["inputs"]) == sorted(
        f"s{i}" for i in range(1, 4) for _ in "xt"
    )


def test_several_are_found_whatever_stage_they_fail_at(tmp_path: Path) -> None:
    scenes_in(tmp_path, 6)
    for i, breaks in enumerate((cut_short, no_valid_target, no_raster)):
        breaks(tmp_path, f"s{i}")
    run, without = trained(tmp_path, "run", "--skip-broken"), trained(tmp_path, "without", first=3)
    same_bits(
        (run / "weights.safetensors").read_bytes(), (without / "weights.safetensors").read_bytes()
    )
    left_out = json.loads((run / "report.json").read_text())["left_out"]
    assert sorted(left_out) == ["s0", "s1", "s2"]
    assert "no valid pixel" in left_out["s1"] or "no pixels to learn from" in left_out["s1"]


def test_the_terminal_and_the_page_name_them(tmp_path: Path) -> None:
    scenes_in(tmp_path)
    no_raster(tmp_path, "s0")
    scenes = [tmp_path / f"s{i}.tif" for i in range(4)]
    done = ok(
        "train",
        *scenes,
        "--target",
        "{parent}/{stem}_t.tif",
        "-o",
        tmp_path / "run",
        "--skip-broken",
    )
    assert "scene 's0' is left out" in done.err
    assert "scene &#39;s0&#39; is left out" in (tmp_path / "run/report.html").read_text()


def test_in_parts_by_others_it_is_the_same(tmp_path: Path) -> None:
    scenes_in(tmp_path)
    overflowing(tmp_path, "s0")
    cut_short(tmp_path, "s1")
    whole = trained(tmp_path, "whole", "--skip-broken")
    pickled.seen = []  # type: ignore[attr-defined]
    with in_parts():
        parts = trained(tmp_path, "parts", "--skip-broken")
    assert "_pass_or_error" in [name for name, _ in pickled.seen]  # type: ignore[attr-defined]
    same_bits(
        (whole / "weights.safetensors").read_bytes(), (parts / "weights.safetensors").read_bytes()
    )
    reports = [json.loads((run / "report.json").read_text())["left_out"] for run in (whole, parts)]
    assert sorted(reports[0]) == ["s0", "s1"]
    assert reports[0] == reports[1]


def test_groups_that_see_pixels_leave_them_out_too(tmp_path: Path) -> None:
    scenes_in(tmp_path)
    cut_short(tmp_path, "s0")
    scenes = [tmp_path / f"s{i}.tif" for i in range(4)]
    ok(
        "train",
        *scenes,
        "--skip-broken",
        "--groups",
        "correlation:2",
        "--no-report",
        "-o",
        tmp_path / "run",
    )
    assert list(json.loads((tmp_path / "run/report.json").read_text())["left_out"]) == ["s0"]


def test_none_that_can_be_used_is_an_error(tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    for key in ("s0", "s1"):
        no_raster(tmp_path, key)
    done = cli(
        "train", tmp_path / "s0.tif", tmp_path / "s1.tif", "--skip-broken", "-o", tmp_path / "run"
    )
    assert done.code == 2
    assert "no scene can be used" in done.err
    assert "s0" in done.err
    assert "s1" in done.err


def test_scenes_that_agree_with_nothing_are_an_error(tmp_path: Path) -> None:
    for bands in (3, 4, 5):
        write_tiff(tmp_path / f"s{bands}.tif", spectra(bands, 30, 30))
    done = cli(
        "train",
        *(tmp_path / f"s{b}.tif" for b in (3, 4, 5)),
        "--skip-broken",
        "-o",
        tmp_path / "run",
    )
    assert done.code == 2
    assert "another number of bands" in done.err


def test_what_the_system_refuses_once_is_tried_again() -> None:
    tries: list[int] = []

    def work(i: int) -> int:
        tries.append(i)
        if i == 1 and tries.count(1) == 1:
            raise InputError("s1 cannot be read") from OSError(5, "Input/output error")
        if i == 2:
            raise InputError("s2 is no raster")
        return 10 * i

    assert each(["s0", "s1"], [0, 1], work, skip=True) == [0, 10]
    with pytest.raises(ScenesError, match="'s2' cannot be used: s2 is no raster") as found:
        each(["s1", "s2", "s3"], [1, 2, 3], work, skip=True)
    assert found.value.reasons == {"s2": "s2 is no raster."}
    assert tries.count(2) == 1
    again = pickle.loads(pickle.dumps(found.value))
    assert (again.reasons, str(again)) == (found.value.reasons, str(found.value))


def test_the_reference_is_one_that_half_of_the_others_fit() -> None:
    def check(scene: Any, first: Any) -> None:
        if scene.bands != first.bands:
            raise InputError(f"{scene.key} differs")

    scenes: Any = [SimpleNamespace(key=f"s{i}", bands=b) for i, b in enumerate((7, 6, 6, 5, 6))]
    assert list(misfits(scenes, check)) == ["s0", "s3"]
    assert misfits(scenes[1:3], check) == {}
    with pytest.raises(InputError):
        misfits(scenes[:1] + scenes[2:4], check)


def test_flags_of_one_scene_do_not_cost_the_others_their_bands(tmp_path: Path) -> None:
    scenes_in(tmp_path)
    write_tiff(tmp_path / "s0.tif", spectra(6, *SHAPE), bad=range(1, 7))
    most = spectra(6, *SHAPE, seed=1)
    most[:4] = np.nan
    write_tiff(tmp_path / "s1.tif", most)
    run, without = trained(tmp_path, "run", "--skip-broken"), trained(tmp_path, "without", first=2)
    same_bits(
        (run / "weights.safetensors").read_bytes(), (without / "weights.safetensors").read_bytes()
    )
    left_out = json.loads((run / "report.json").read_text())["left_out"]
    assert "no band of scene 's0' is good" in left_out["s0"]
    assert "4 of 6 bands dead" in left_out["s1"]


def test_fused_files_keep_the_names_of_several_scenes(tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    no_raster(tmp_path, "s0")
    scenes = [tmp_path / "s0.tif", tmp_path / "s1.tif"]
    ok(
        "train",
        *scenes,
        "--groups",
        "equal:2",
        "--skip-broken",
        "--no-report",
        "-o",
        tmp_path / "run",
    )
    assert [p.name for p in (tmp_path / "run").glob("*.tif")] == ["s1.fused.tif"]


def test_a_hiccup_is_known_as_one_after_travelling() -> None:
    error = InputError("s1 cannot be read")
    error.__cause__ = OSError(5, "Input/output error")
    far: InputError = pickle.loads(pickle.dumps(error))
    far.__cause__ = None  # some libraries teach pickle to keep it
    assert is_transient(far)
    assert is_transient(pickle.loads(pickle.dumps(far)))
    assert not is_transient(pickle.loads(pickle.dumps(InputError("no raster"))))


def test_a_message_with_another_in_it_ends_with_one_full_stop() -> None:
    inner = InputError("a thing is wrong", got="this", remedy="Do that.")
    assert str(InputError("no scene can be used", got=f"x: {inner}")).endswith(" Do that.")
    assert str(InputError("x", got="y", remedy="Z.")) == "x; got y. Z."
