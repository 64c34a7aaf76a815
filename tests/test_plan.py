"""Plans of batches: what is found, what belongs to what, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rasters import ok, spectra, write_tiff

from bandfuse.batches.batch import planned
from bandfuse.batches.plan import Plan
from bandfuse.errors import ConfigError

TRAIN = "[{name: pooled, kind: train}]"


def scene(path: Path, *, bands: int = 5, seed: int = 0) -> Path:
    """A scene, and beside it a target that is a known mean of its bands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x = spectra(bands, 16, 20, seed=seed)
    write_tiff(path, x)
    write_tiff(path.with_name(f"{path.stem}_t.tif"), x[:3].mean(axis=0)[None])
    return path


def batch_file(folder: Path, scenes: str, jobs: str = TRAIN, *, output: str = "out", defaults: str = "{}") -> Path:
    """A batch file of five lines."""
    path = folder / "b.yaml"
    path.write_text(f"version: 1\noutput: {output}\ndefaults: {defaults}\nscenes: {scenes}\njobs: {jobs}\n")
    return path


def plan_of(path: Path) -> Plan:
    return planned(path)[1]


def values_of(path: Path) -> dict[str, Any]:
    """The settings of the only item."""
    (item,) = plan_of(path).items
    return dict(item.values)


BESIDE = "target: '{parent}/{stem}_t.tif'"


# ---------------------------------------------------------------------------------------------- rules that meet in one


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_pooled_scenes_have_the_same_sources(tmp_path: Path, order: tuple[int, int]) -> None:
    for name in ("a", "b"):
        scene(tmp_path / f"{name}.tif")
        scene(tmp_path / f"{name}_s.tif")
    rules = ["{files: a.tif, source: {swir: '{parent}/{stem}_s.tif'}}", "{files: b.tif}"]
    path = batch_file(tmp_path, f"[{rules[order[0]]}, {rules[order[1]]}]")
    with pytest.raises(ConfigError, match=r"line 5: job 'pooled' pools scenes of other sources; got none of swir"):
        plan_of(path)
    both = "source: {swir: '{parent}/{stem}_s.tif'}"
    made = values_of(batch_file(tmp_path, f"[{{files: a.tif, {both}}}, {{files: b.tif, {both}}}]"))
    assert made["source"] == [f"swir={tmp_path}/a_s.tif", f"swir={tmp_path}/b_s.tif"]


def test_settings_of_pooled_scenes_hold_where_all_agree(tmp_path: Path) -> None:
    for name in ("a", "b"):
        scene(tmp_path / f"{name}.tif")

    def rules(one: str, other: str) -> str:
        return f"[{{files: a.tif, {BESIDE}, settings: {one}}}, {{files: b.tif, {BESIDE}, settings: {other}}}]"

    assert values_of(batch_file(tmp_path, rules("{seed: 3}", "{seed: 3}")))["seed"] == 3
    assert values_of(batch_file(tmp_path, rules("{seed: 3}", "{}"), defaults="{seed: 3}"))["seed"] == 3
    assert values_of(batch_file(tmp_path, f"[{{glob: '?.tif', {BESIDE}, settings: {{seed: 5}}}}]"))["seed"] == 5
    for one, other in (("{seed: 3}", "{seed: 4}"), ("{seed: 3}", "{}"), ("{}", "{seed: 3}")):
        with pytest.raises(ConfigError, match="line 5: job 'pooled' pools scenes of different seed"):
            plan_of(batch_file(tmp_path, rules(one, other)))
    job = "[{name: pooled, kind: train, settings: {seed: 9}}]"
    assert values_of(batch_file(tmp_path, rules("{seed: 3}", "{}"), job))["seed"] == 9


# ------------------------------------------------------------------------------------------------------ what is found


@pytest.mark.parametrize("rule", ["glob: '**/*.tif'", "folder: ."])
@pytest.mark.parametrize("output", ["out", "link", "."])
def test_a_batch_does_not_find_its_own_outputs(tmp_path: Path, rule: str, output: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    scene(tmp_path / "a.tif")
    path = batch_file(
        tmp_path, f"[{{{rule}, exclude: ['*_t.tif', b.yaml], {BESIDE}}}]",
        "[{name: run, kind: train-apply, matrix: {seed: [0, 1]}}]", output=output,
    )  # fmt: skip
    ok("batch", path)
    assert (tmp_path / output / "run.seed=1/fused.tif").is_file()
    assert [m.key for m in plan_of(path).scenes] == ["a"]


def test_only_outputs_are_no_scenes(tmp_path: Path) -> None:
    scene(tmp_path / "out/x/a.tif")
    with pytest.raises(ConfigError, match=r"no scene is found.*expected at least one file outside the output"):
        plan_of(batch_file(tmp_path, "[{glob: '**/*.tif'}]"))
    assert len(plan_of(batch_file(tmp_path, "[{files: out/x/a.tif}]")).scenes) == 1
