"""Plans of batches: what is found, what belongs to what, and what is refused before any work."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from rasters import cli, ok, read, spectra, write_tiff

from bandfuse.batches.batch import planned
from bandfuse.batches.journal import NAME, Journal
from bandfuse.batches.plan import Plan
from bandfuse.config.paths import rebased
from bandfuse.errors import ConfigError, InputError
from bandfuse.scenes.places import places

QUICK = "{folds: 0, constraint: free, no_report: true}"
TRAIN = "[{name: pooled, kind: train}]"


def scene(path: Path, *, bands: int = 5, seed: int = 0) -> Path:
    """A scene, and beside it a target that is a known mean of its bands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x = spectra(bands, 16, 20, seed=seed)
    write_tiff(path, x)
    write_tiff(path.with_name(f"{path.stem}_t.tif"), x[:3].mean(axis=0)[None])
    return path


def batch_file(
    folder: Path, scenes: str, jobs: str = TRAIN, *, output: str = "out", defaults: str = "{}"
) -> Path:
    """A batch file of five lines."""
    path = folder / "b.yaml"
    path.write_text(
        f"version: 1\noutput: {output}\ndefaults: {defaults}\nscenes: {scenes}\njobs: {jobs}\n"
    )
    return path


def plan_of(path: Path) -> Plan:
    return planned(path)[1]


def values_of(path: Path) -> dict[str, Any]:
    """The settings of the only item."""
    (item,) = plan_of(path).items
    return dict(item.values)


BESIDE = "target: '{parent}/{stem}_t.tif'"


# ---------------------------------------------------------------------------------------------- rul


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_pooled_scenes_have_the_same_sources(tmp_path: Path, order: tuple[int, int]) -> None:
    for name in ("a", "b"):
        scene(tmp_path / f"{name}.tif")
        scene(tmp_path / f"{name}_s.tif")
    rules = ["{files: a.tif, source: {swir: '{parent}/{stem}_s.tif'}}", "{files: b.tif}"]
    path = batch_file(tmp_path, f"[{rules[order[0]]}, {rules[order[1]]}]")
    with pytest.raises(
        ConfigError, match=r"line 5: job 'pooled' pools scenes of other sources; got none of swir"
    ):
        plan_of(path)
    both = "source: {swir: '{parent}/{stem}_s.tif'}"
    made = values_of(batch_file(tmp_path, f"[{{files: a.tif, {both}}}, {{files: b.tif, {both}}}]"))
    assert made["source"] == [f"swir={tmp_path}/a_s.tif", f"swir={tmp_path}/b_s.tif"]


def test_settings_of_pooled_scenes_hold_where_all_agree(tmp_path: Path) -> None:
    for name in ("a", "b"):
        scene(tmp_path / f"{name}.tif")

    def rules(one: str, other: str) -> str:
        return (
            f"[{{files: a.tif, {BESIDE}, settings: {one}}}, {{files: b.tif, {BESIDE}, settings: "
            f"{other}}}]"
        )

    assert values_of(batch_file(tmp_path, rules("{seed: 3}", "{seed: 3}")))["seed"] == 3
    assert (
        values_of(batch_file(tmp_path, rules("{seed: 3}", "{}"), defaults="{seed: 3}"))["seed"] == 3
    )
    assert (
        values_of(batch_file(tmp_path, f"[{{glob: '?.tif', {BESIDE}, settings: {{seed: 5}}}}]"))[
            "seed"
        ]
        == 5
    )
    for one, other in (("{seed: 3}", "{seed: 4}"), ("{seed: 3}", "{}"), ("{}", "{seed: 3}")):
        with pytest.raises(
            ConfigError, match="line 5: job 'pooled' pools scenes of different seed"
        ):
            plan_of(batch_file(tmp_path, rules(one, other)))
    job = "[{name: pooled, kind: train, settings: {seed: 9}}]"
    assert values_of(batch_file(tmp_path, rules("{seed: 3}", "{}"), job))["seed"] == 9


# --------------------------------------------------------------------------------------------------


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("rule", "output"),
    [("glob: '**/*.tif'", "link"), ("glob: '**/*.tif'", "."), ("folder: .", ".")],
)
def test_a_batch_does_not_find_its_own_outputs(tmp_path: Path, rule: str, output: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    scene(tmp_path / "a.tif")
    path = batch_file(
        tmp_path,
        f"[{{{rule}, exclude: ['*_t.tif', b.yaml], {BESIDE}}}]",
        "[{name: run, kind: train-apply, matrix: {seed: [1]}}]",
        output=output,
    )
    ok("batch", path)
    assert (tmp_path / output / "run.seed=1/fused.tif").is_file()
    assert [m.key for m in plan_of(path).scenes] == ["a"]


def test_only_outputs_are_no_scenes(tmp_path: Path) -> None:
    scene(tmp_path / "out/x/a.tif")
    with pytest.raises(
        ConfigError, match=r"no scene is found.*expected at least one file outside the output"
    ):
        plan_of(batch_file(tmp_path, "[{glob: '**/*.tif'}]"))
    assert len(plan_of(batch_file(tmp_path, "[{files: out/x/a.tif}]")).scenes) == 1


# ----------------------------------------------------------------------------------------------- ch


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ["d[1]", "e{1}", "f*"])
def test_a_batch_runs_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    for i in range(2):
        scene(tmp_path / name / f"in/s{{{i}}}.tif", seed=i)
    jobs = (
        "[{name: each, kind: train-apply, pool: each}, {name: all, kind: train}, {name: fused, "
        "kind: apply, "
    )
    jobs += "weights: all}, {name: scores, kind: evaluate, weights: all}]"
    rule = (
        f"[{{glob: 'in/*.tif', exclude: ['*_t.tif'], {BESIDE}, mask: '{{parent}}/{{stem}}_t.tif'}}]"
    )
    ok("batch", batch_file(tmp_path / name, rule, jobs, defaults=QUICK))
    assert sorted(p.name for p in (tmp_path / name / "out/fused").glob("*.tif")) == [
        "s_0_.tif",
        "s_1_.tif",
    ]


def test_outputs_that_would_be_one_are_refused(tmp_path: Path) -> None:
    for name in ("s{0}", "s_0_"):
        scene(tmp_path / f"{name}.tif")
    jobs = "[{name: all, kind: train}, {name: fused, kind: apply, weights: all}]"
    path = batch_file(tmp_path, f"[{{glob: '*.tif', exclude: ['*_t.tif'], {BESIDE}}}]", jobs)
    with pytest.raises(ConfigError, match=r"line 5: job 'fused' would write s_0_.tif twice"):
        plan_of(path)


def test_a_file_that_is_there_is_no_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scene(Path("e{1}/x.tif"))
    scene(Path("e{1}/y.tif"))
    one = ("e{1}/x.tif", "--target", "e{1}/x_t.tif", "--mask", "e{1}/x_t.tif")
    quick = ("--folds", 0, "--constraint", "free", "--no-report")
    ok("train", *one, *quick, "-o", "run")
    two = ("e{1}/x.tif", "e{1}/y.tif", "--target", "e{1}/{stem}_t.tif", "--mask", "e{1}/x_t.tif")
    ok("train", *two, *quick, "-o", "runs")
    ok("apply", "run/weights.safetensors", "e{1}/x.tif", "-o", "e{1}/out.tif")
    ok("apply", "run/weights.safetensors", "e{1}/x.tif", "e{1}/y.tif", "-o", "e{1}/{stem}_f.tif")
    assert (read("e{1}/out.tif") == read("e{1}/x_f.tif")).all()
    with pytest.raises(ConfigError, match="one --target for 2 scenes"):
        places(["e{1}/x.tif", "e{1}/y.tif"], [], ["e{1}/x_t.tif"])
    with pytest.raises(ConfigError, match="template cannot be filled"):
        places(["e{1}/x.tif"], [], ["e{2}/x_t.tif"])
    (found,) = places(["e{1}/x.tif"], ["s={parent}/{stem}_t.tif"], ["e{{1}}/{stem}_t.tif"])
    assert (found.sources[1][1], found.target) == ("e{1}/x_t.tif", "e{1}/x_t.tif")
    Path("{1}.tif").symlink_to("e{1}/x.tif")
    Path("c.yaml").write_text(
        "scenes: ['{1}.tif']\ntarget: 'e{1}/x_t.tif'\noutput: again\nfolds: 0\nno_report: true\n"
    )
    Path("sub").mkdir()
    monkeypatch.chdir("sub")
    ok("train", "--config", "../c.yaml")


def test_templates_of_a_batch_are_read_in_its_folder(tmp_path: Path) -> None:
    scene(tmp_path / "e{1}/a.tif")
    rule = "[{files: 'e{1}/a.tif', target: 'e{1}/{stem}_t.tif'}]"
    assert values_of(batch_file(tmp_path, rule))["target"] == [f"{tmp_path}/e{{1}}/a_t.tif"]


def test_a_path_of_any_length_is_made_absolute(tmp_path: Path) -> None:
    long = "x" * 5000
    assert rebased({"target": [long, "{" + long]}, tmp_path)["target"] == [
        f"{tmp_path}/{long}",
        "{" + long,
    ]


def test_files_of_settings_lie_beside_the_batch_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(tmp_path / "a.tif")
    (tmp_path / "g.yaml").write_text("groups:\n  low: '1-2'\n  high: '3-5'\n")
    lines = ["wavelength"] + [str(500 + 10 * i) for i in range(5)]
    (tmp_path / "w.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "mine.csv").write_text("name,centre_nm,fwhm_nm\nb1,520,20\n")
    jobs = (
        "[{name: t, kind: train, matrix: {groups: ['file:g.yaml', 'sensor:mine.csv']}, settings: "
        "{wavelengths: w.csv}}]"
    )
    path = batch_file(
        tmp_path, f"[{{files: a.tif, settings: {{sensor: mine.csv}}, {BESIDE}}}]", jobs
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    first, second = (item.values for item in plan_of(path).items)
    assert (first["groups"], second["groups"]) == (
        f"file:{tmp_path}/g.yaml",
        f"sensor:{tmp_path}/mine.csv",
    )
    assert (first["sensor"], first["wavelengths"]) == (
        f"{tmp_path}/mine.csv",
        [f"{tmp_path}/w.csv"],
    )
    some = batch_file(
        tmp_path,
        f"[{{files: a.tif, {BESIDE}}}]",
        TRAIN,
        defaults="{wavelengths: '{parent}/w.csv', seed: 1}",
    )
    ok("batch", some)
    assert values_of(some)["wavelengths"] == ["{parent}/w.csv"]


def test_scenes_have_the_names_that_the_training_gives_them(tmp_path: Path) -> None:
    for name in ("real", "other"):
        scene(tmp_path / name / "s.tif")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    rule = f"[{{files: [link/s.tif, other/s.tif], {BESIDE}}}]"
    jobs = (
        "[{name: all, kind: train, settings: {scope: per-scene}}, {name: fused, kind: apply, "
        "weights: all}]"
    )
    made = plan_of(batch_file(tmp_path, rule, jobs))
    trained = [p.key for p in places([m.path for m in made.scenes], [], [])]
    assert [m.key for m in made.scenes] == trained == ["real_s", "other_s"]


# --------------------------------------------------------------------------------------------------

MATRICES = [
    (
        "[{name: a, kind: train, matrix: {groups: ['file:a/b.yaml', 'file:a_b.yaml']}}]",
        "line 5: two jobs would be called 'a.groups=file_a_b.yaml'",
    ),
    (
        "[{name: a, kind: train, matrix: {seed: [1, 1]}}]",
        "line 5: two jobs would be called 'a.seed=1'",
    ),
    (
        "[{name: a.seed=1, kind: train}, {name: a, kind: train, matrix: {seed: [1]}}]",
        "would be called 'a.seed=1'",
    ),
    (
        "[{name: a, kind: train, matrix: {seed: [1]}}, {name: a.seed=1, kind: train}]",
        "would be called 'a.seed=1'",
    ),
    (
        "[{name: a, kind: train, matrix: {ridge: []}}]",
        "line 5: jobs.0.matrix.ridge; got []; expected at least 1 item",
    ),
]


@pytest.mark.parametrize(("jobs", "said"), MATRICES)
def test_every_combination_of_a_matrix_is_a_job_of_its_own(
    tmp_path: Path, jobs: str, said: str
) -> None:
    scene(tmp_path / "a.tif")
    for name in ("a/b.yaml", "a_b.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("groups: {low: '1-2'}\n")
    done = cli("batch", batch_file(tmp_path, f"[{{files: a.tif, {BESIDE}}}]", jobs))
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "out").exists()


TABLES = [
    ("target,scene\na_t.tif,a.tif\na_t.tif\n", "line 3"),
    ("scene,target\na.tif\n", "line 2"),
    ("scene,target\na.tif,a_t.tif,x\n", "line 2"),
    ("scene,target\na.tif,a_t.tif\n\n,a_t.tif\n", "line 4"),
    ("scene,target\n ,a_t.tif\n", "line 2"),
]


@pytest.mark.parametrize(("text", "said"), TABLES)
def test_a_row_that_names_no_scene_is_said(tmp_path: Path, text: str, said: str) -> None:
    scene(tmp_path / "a.tif")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=rf"{tmp_path}/t.csv, {said}: a row that does not fit"):
        plan_of(batch_file(tmp_path, "[{table: t.csv}]"))


def test_a_feature_of_no_name_is_said(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text(json.dumps({"features": [{"properties": {"scene": ""}}]}))
    with pytest.raises(InputError, match="names no scene"):
        plan_of(batch_file(tmp_path, "[{items: i.json}]"))


# -------------------------------------------------------------------------------------------------


def test_a_dry_run_while_the_batch_runs_writes_nothing(tmp_path: Path) -> None:
    scene(tmp_path / "a.tif")
    path = batch_file(tmp_path, f"[{{files: a.tif, {BESIDE}}}]")
    (tmp_path / "out").mkdir()
    assert json.loads(ok("batch", path, "--dry-run", "--json").out)["seconds"] is None
    assert not list((tmp_path / "out").iterdir())
    ok("batch", path)
    journal = tmp_path / "out" / NAME
    journal.write_bytes(journal.read_bytes() + b'{"event": "sta')
    before = journal.read_bytes()
    with Journal(tmp_path / "out"):
        content = journal.read_bytes()
        assert content + b'{"event": "sta' == before, "what was cut short is taken away"
        assert json.loads(ok("batch", path, "--dry-run", "--json").out)["seconds"] > 0
        assert journal.read_bytes() == content


def test_a_crew_that_cannot_be_leaves_the_journal(tmp_path: Path) -> None:
    scene(tmp_path / "a.tif")
    path = batch_file(tmp_path, f"[{{files: a.tif, {BESIDE}}}]")
    assert cli("batch", path, "--workers", "0").code == 2
    assert not (tmp_path / "out").exists()
    ok("batch", path)
    before = (tmp_path / "out" / NAME).read_bytes()
    assert cli("batch", path, "--workers", "0", "--fresh").code == 2
    assert (tmp_path / "out" / NAME).read_bytes() == before


def test_a_name_that_is_no_text_is_refused_before_any_work(tmp_path: Path) -> None:
    scene(tmp_path / "a.tif")
    try:
        os.symlink(tmp_path / "a.tif", os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.tif"))
    except OSError:
        pytest.skip("the file system takes UTF-8 names alone")
    path = batch_file(
        tmp_path, f"[{{glob: '?*.tif', exclude: ['*_t.tif'], target: '{tmp_path}/a_t.tif'}}]"
    )
    done = cli("batch", path)
    assert done.code == 2
    assert f"line 4: the name '{tmp_path}/b\\udcff.tif' is not UTF-8" in done.err
    assert not (tmp_path / "out").exists()
    path.write_text(path.read_text().replace("'*_t.tif'", "'*_t.tif', 'b?.tif'"))
    ok("batch", path)
