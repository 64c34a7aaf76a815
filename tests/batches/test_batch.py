"""Batches: plans, failures that stay apart, resuming after any end, several processes, a Dask
cluster."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import jsonschema
import numpy as np
import pytest
import yaml
from faults import Bench, Fault, environment
from makers import QUICK, batch_file, rows, scenes_in
from rasters import cli, ok, read, spectra, write_tiff
from safetensors.numpy import load_file

import bandfuse
from bandfuse.batches.dask_workers import _checking, _over, _same_version, cluster
from bandfuse.batches.journal import Journal, last_done
from bandfuse.batches.settings import schema
from bandfuse.batches.summary import drift
from bandfuse.errors import InputError, OutputError, RunError, is_transient

POSIX = pytest.mark.skipif(os.name == "nt", reason="no such signals on Windows")


def pixels(folder: Path) -> dict[str, str]:
    """Checksums of the pixels and weights of all outputs, by name. What lies in a hidden folder is
    no output."""
    found = {}
    for path in sorted((folder / "out").rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix == ".tif":
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(
                read(path).tobytes()
            ).hexdigest()
        elif path.suffix == ".safetensors":
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(
                path.read_bytes()
            ).hexdigest()
    return found


# --------------------------------------------------------------------------------------------------


def test_jobs_of_every_kind_do_what_the_commands_do(tmp_path: Path) -> None:
    scenes_in(tmp_path, 3)
    jobs = """
jobs:
  - {name: pooled, kind: train, pool: all}
  - {name: each, kind: train-apply, pool: each, settings: {constraint: simplex}}
  - {name: fused, kind: apply, weights: pooled, settings: {dtype: int16, scale: 0.001}}
  - {name: own, kind: apply, weights: each}
  - {name: scores, kind: evaluate, weights: pooled}
"""
    done = ok("batch", batch_file(tmp_path, jobs), "--json")
    result = json.loads(done.out)
    assert (result["done"], result["failed"], result["skipped"]) == (13, 0, 0)
    assert {r["job"] for r in rows(tmp_path)} == {"pooled", "each", "fused", "own", "scores"}
    out, scenes = tmp_path / "out", sorted((tmp_path / "in").glob("s00?.tif"))
    targets = [s.with_name(f"{s.stem}_t.tif") for s in scenes]
    ok(
        "train",
        *scenes,
        *(a for t in targets for a in ("--target", t)),
        "-o",
        tmp_path / "alone",
        "--no-fused",
        "--no-report",
    )
    assert (out / "pooled/weights.csv").read_text() == (tmp_path / "alone/weights.csv").read_text()
    assert not list((out / "pooled").glob("*.tif"))
    ok(
        "apply",
        out / "pooled/weights.safetensors",
        scenes[1],
        "-o",
        tmp_path / "a.tif",
        "--dtype",
        "int16",
        "--scale",
        "0.001",
    )
    np.testing.assert_array_equal(read(out / "fused/s001.tif"), read(tmp_path / "a.tif"))
    np.testing.assert_array_equal(read(out / "own/s002.tif"), read(out / "each/s002/fused.tif"))
    assert json.loads((out / "scores/s000.json").read_text())["scores"]["b1"]["r2"] > 0.99
    assert [
        r["constraint"] for r in json.loads((out / "each/s000/report.json").read_text())["outputs"]
    ] == ["simplex"]


def test_the_summary_is_one_row_per_item(tmp_path: Path) -> None:
    scenes_in(tmp_path, 3)
    (tmp_path / "in/s001.tif").rename(tmp_path / "in/<b>bold.tif")
    (tmp_path / "in/s001_t.tif").rename(tmp_path / "in/<b>bold_t.tif")
    jobs = "jobs: [{name: each, kind: train-apply, pool: each}]"
    ok("batch", batch_file(tmp_path, jobs, defaults="{objective: regression}"))
    found = rows(tmp_path)
    table = list(csv.DictReader((tmp_path / "out/batch.csv").read_text().splitlines()))
    assert [r["scene"] for r in table] == [r["scene"] for r in found] == ["<b>bold", "s000", "s002"]
    weights = {r["scene"]: bandfuse.load(r["outputs"][-1]).common.matrix for r in found}
    middle = np.median(list(weights.values()), axis=0)
    for row in found:
        expected = np.sqrt(((weights[row["scene"]] - middle) ** 2).sum() / (middle**2).sum())
        assert row["drift"] == pytest.approx(expected)
    page = (tmp_path / "out/batch.html").read_text()
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    assert page.count("data:image/png") == 3
    assert 'href="each/s000/report.html"' in page
    assert drift({"a": np.ones((1, 2)), "b": np.ones((2, 2))}) == {}


def test_the_python_function_returns_what_is_written(tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    events: list[str] = []
    result = bandfuse.batch(batch_file(tmp_path), watch=lambda e: events.append(e["event"]))
    assert result.model_dump_json(indent=1) == (tmp_path / "out/batch.json").read_text()
    assert events == ["planned", *["started", "done"] * 3]


def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    made = json.loads(ok("batch", batch_file(tmp_path), "--dry-run", "--json").out)
    assert [(i["job"], i["scene"], i["needs"]) for i in made["items"]] == [
        ("pooled", "", None),
        ("fused", "s000", "pooled"),
        ("fused", "s001", "pooled"),
    ]
    sizes = [os.path.getsize(tmp_path / f"in/s00{i}{e}.tif") for i in range(2) for e in ("", "_t")]
    assert made["size"] == 2 * sum(sizes)
    assert made["seconds"] is None
    plan = ok("batch", tmp_path / "b.yaml", "--dry-run").out
    assert "how long it takes is not known before a first run" in plan
    assert not (tmp_path / "out").exists()
    ok("batch", tmp_path / "b.yaml")
    assert json.loads(ok("batch", tmp_path / "b.yaml", "--dry-run", "--json").out)["seconds"] > 0


def test_a_matrix_is_one_job_per_combination(tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    jobs = """
jobs:
  - name: try
    kind: train
    matrix: {constraint: [simplex, free], ridge: [0, 0.1]}
"""
    ok("batch", batch_file(tmp_path, jobs))
    names = sorted(r["job"] for r in rows(tmp_path))
    assert names == [
        f"try.constraint={c},ridge={r}" for c in ("free", "simplex") for r in ("0", "0.1")
    ]
    report = json.loads((tmp_path / f"out/{names[1]}/report.json").read_text())
    assert (report["outputs"][0]["constraint"], report["outputs"][0]["ridge"]) == ("free", 0.1)


def test_scenes_of_tables_items_folders_and_expressions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes_in(tmp_path, 4)
    (tmp_path / "list.csv").write_text("scene,target\nin/s000.tif,in/s000_t.tif\n")
    feature = {
        "assets": {"data": {"href": "in/s001.tif"}},
        "properties": {"target": "in/s001_t.tif"},
    }
    (tmp_path / "items.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature]})
    )
    monkeypatch.setenv("TARGETS", "in")
    (tmp_path / "b.yaml").write_text("""
version: 1
output: out
environment: [TARGETS]
scenes:
  - {table: list.csv}
  - {items: items.json, settings: {constraint: simplex}}
  - {files: [in/s002.tif], match: '(?P<n>[0-9]+)', target: "${TARGETS}/s{n}_t.tif"}
  - {folder: in, exclude: ['*_t.tif'], target: "{parent}/{stem}_t.tif"}
jobs: [{name: each, kind: train, pool: each, settings: {no_report: true}}]
""")
    made = json.loads(ok("batch", tmp_path / "b.yaml", "--set", "defaults.seed=3", "--json").out)
    assert [i["scene"] for i in made["items"]] == ["s000", "s001", "s002", "s003"]
    configs = [
        yaml.safe_load((tmp_path / f"out/each/s00{i}/config.yaml").read_text()) for i in range(4)
    ]
    assert [Path(c["target"][0]).name for c in configs] == [f"s00{i}_t.tif" for i in range(4)]
    assert [c["constraint"] for c in configs] == ["auto", "simplex", "auto", "auto"]
    assert {c["seed"] for c in configs} == {3}


def test_the_schema_knows_what_is_right(tmp_path: Path) -> None:
    made = json.loads(ok("schema").out)
    assert made == schema()
    jsonschema.Draft202012Validator.check_schema(made)
    scenes_in(tmp_path, 1)
    content = yaml.safe_load(batch_file(tmp_path).read_text())
    jsonschema.validate(content, made)
    for wrong in (
        {"defaults": {"constrain": "free"}},
        {"jobs": [{"name": "a", "kind": "fit"}]},
        {"versio": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**content, **wrong}, made)


# ------------------------------------------------------------------------------------------------ w

WRONG = [
    ("version: 2", "line 1: version"),
    ("jbos: []", "unknown key 'jbos'. Did you mean 'jobs'?"),
    ("defaults: {constrain: free}", "line 3: unknown key 'constrain'. Did you mean 'constraint'?"),
    ("defaults: {constraint: fre}", "job 'pooled', --constraint; got 'fre'"),
    ("scenes: [{glob: nothing/*.tif}]", "no scene is found; got glob: nothing/*.tif"),
    ("scenes: [{files: in/*.tif}]", "'in/*.tif' is a pattern; expected a file for each scene"),
    ("scenes: [{files: ['/nowhere/s00?.tif']}]", "Give the pattern as glob: '/nowhere/s00?.tif'"),
    ("scenes: [{glob: in/*.tif, match: 'x([0-9'}]", "match is not a regular expression"),
    ("scenes: [{glob: in/*.tif, match: 'y'}]", "the name 's000.tif' does not match"),
    ("scenes: [{glob: in/*0.tif, target: '{nothing}.tif'}]", "target template cannot be filled"),
    (
        "scenes: [{files: [in/s000.tif, ./other/in/s000.tif]}]",
        "two scenes would have the same output",
    ),
    (
        "scenes: [{files: in/s000.tif, asset: red}]",
        "asset does not apply without items; got asset: red",
    ),
    ("output: ${HOME}/x", "${HOME} is not declared"),
    (
        "jobs: [{name: a, kind: apply, weights: b}, {name: b, kind: train}]",
        "needs 'b', which comes later",
    ),
    ("jobs: [{name: a, kind: apply, weights: a}]", "which is this job itself"),
    (
        "jobs: [{name: a, kind: train, matrix: {ridge: [0, 1]}}, {name: b, kind: apply, weights: "
        "a}]",
        "which has a matrix; expected one of a.ridge=0, a.ridge=1",
    ),
    (
        "scenes: [{files: in/s000.tif, target: '{stem}_no.tif'}]",
        "no scene has a target; got {stem}_no.tif, such as",
    ),
    ("jobs: [{name: a, kind: apply}]", "job 'a' needs weights"),
    ("jobs: [{name: a, kind: apply, weights: nowhere}]", "neither an earlier job nor a file"),
    ("jobs: [{name: a, kind: train}, {name: a, kind: train}]", "'a' appears twice"),
    ("jobs: [{name: a/b, kind: train}]", "jobs.0.name"),
    ("jobs: [{name: a, kind: fit}]", "jobs.0.kind"),
    (
        "jobs: [{name: a, kind: train, wieghts: x}]",
        "unknown key 'wieghts'. Did you mean 'weights'?",
    ),
    ("jobs: [{name: a, kind: train, weights: x}]", "trains, and takes no weights"),
    (
        "jobs: [{name: a, kind: train, settings: {gain: true, constraint: free}}]",
        "--gain does not apply",
    ),
    (
        "jobs: [{name: a, kind: train, settings: {momentum: 0.5}}]",
        "--momentum does not apply with --optimizer lbfgs",
    ),
    (
        "jobs: [{name: a, kind: train, settings: {stac: true}}]",
        "--stac does not apply with --no-fused",
    ),
    (
        "jobs: [{name: a, kind: train}, {name: b, kind: apply, weights: a, pool: each}]",
        "pool does not apply with kind: apply",
    ),
    ("jobs: [{kind: train}]", "key 'name' is missing"),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_what_cannot_be_is_said_with_its_line_before_any_work(
    tmp_path: Path, change: str, said: str
) -> None:
    scenes_in(tmp_path, 2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/in").symlink_to(tmp_path / "in")
    path = batch_file(tmp_path)
    key = change.partition(":")[0]
    lines = path.read_text().splitlines()
    starts = [i for i, line in enumerate(lines) if line[:1].isalpha()]
    here = next((i for i in starts if lines[i].startswith(f"{key}:")), None)
    if here is None:
        lines.append(change)
    else:
        end = next((i for i in starts if i > here), len(lines))
        lines[here:end] = [change]
    path.write_text("\n".join(lines))
    done = cli("batch", path)
    assert done.code == 2
    assert said in done.err
    assert f"{path}" in done.err or "template" in said or "same output" in said
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.thorough
def test_broken_scenes_are_named_and_only_they_are_tried_again(tmp_path: Path) -> None:
    """200 scenes, 10 of them broken in different ways."""
    scenes_in(tmp_path, 200, size=(8, 8))
    folder = tmp_path / "in"
    write_tiff(folder / "s003.tif", spectra(5, 8, 8))
    write_tiff(folder / "s013.tif", np.full((6, 8, 8), np.nan, dtype=np.float32))
    (folder / "s023.tif").write_bytes((folder / "s023.tif").read_bytes()[:700])
    (folder / "s033.tif").write_text("no raster")
    (folder / "s043.tif").write_bytes(b"")
    (folder / "s053_t.tif").unlink()
    write_tiff(
        folder / "s063_t.tif", np.zeros((1, 5, 5), dtype=np.float32), crs=None, transform=None
    )
    write_tiff(folder / "s073_t.tif", np.full((1, 8, 8), np.nan, dtype=np.float32))
    (folder / "s083.tif").write_bytes(b"II*\0" + b"\xff" * 400)
    (folder / "s093_t.tif").write_text("no raster")
    jobs = "jobs: [{name: scores, kind: evaluate, weights: good/weights.safetensors}]"
    ok("train", folder / "s000.tif", "--target", folder / "s000_t.tif", "-o", tmp_path / "good")
    path = batch_file(tmp_path, jobs, defaults="{}")
    done = cli("batch", path)
    assert done.code == 1
    bad = [f"s0{i}3" for i in range(10)]
    found = rows(tmp_path)
    assert [r["scene"] for r in found if r["state"] == "failed"] == bad
    assert sum(r["state"] == "done" for r in found) == 190
    for row in found:
        if row["state"] == "failed":
            assert row["scene"] in row["reason"]
            assert row["reason"] in " ".join((tmp_path / "out/batch.json").read_text().split())
            assert "unexpected" not in row["reason"]
            assert f"scores/{row['scene']}" in done.out
    before = len((tmp_path / "out/journal.jsonl").read_text().splitlines())
    assert cli("batch", path).code == 1
    assert sum(r["kept"] for r in rows(tmp_path)) == 190
    events = [
        json.loads(line)
        for line in (tmp_path / "out/journal.jsonl").read_text().splitlines()[before:]
    ]
    assert {e["item"] for e in events if e["event"] == "started"} == {f"scores/{b}" for b in bad}


def test_what_needs_a_failed_item_is_skipped_and_fail_fast_stops(tmp_path: Path) -> None:
    scenes_in(tmp_path, 3)
    (tmp_path / "in/s000.tif").write_text("no raster")
    jobs = """
jobs:
  - {name: each, kind: train, pool: each}
  - {name: fused, kind: apply, weights: each}
"""
    path = batch_file(tmp_path, jobs)
    assert cli("batch", path).code == 1
    states = {f"{r['job']}/{r['scene']}": r["state"] for r in rows(tmp_path)}
    assert states == {
        "each/s000": "failed",
        "each/s001": "done",
        "each/s002": "done",
        "fused/s000": "skipped",
        "fused/s001": "done",
        "fused/s002": "done",
    }
    assert "each/s000 made no weights" in next(
        r["reason"] for r in rows(tmp_path) if r["state"] == "skipped"
    )
    assert cli("batch", path, "--fresh", "--fail-fast").code == 1
    assert [r["state"] for r in rows(tmp_path)] == ["failed", *["skipped"] * 5]


# --------------------------------------------------------------------------------------------------


def test_only_what_changed_is_done_again(tmp_path: Path) -> None:
    scenes_in(tmp_path, 3)
    path = batch_file(tmp_path)

    def kept() -> dict[str, bool]:
        ok("batch", path)
        return {f"{r['job']}/{r['scene']}": r["kept"] for r in rows(tmp_path)}

    assert not any(kept().values())
    assert all(kept().values())
    os.utime(tmp_path / "in/s000.tif")
    assert all(kept().values()), "another time with the same content is no change"
    (tmp_path / "out/fused/s001.tif").unlink()
    assert [k for k, same in kept().items() if not same] == ["fused/s001"]
    x = spectra(6, 16, 20, seed=9)
    write_tiff(tmp_path / "in/s002.tif", x)
    assert not any(kept().values()), "other weights of the pooled training fuse all scenes anew"
    path.write_text(
        path.read_text().replace("weights: pooled", "weights: pooled, settings: {dtype: float64}")
    )
    assert [k for k, same in kept().items() if same] == ["pooled/"]


def test_another_batch_on_the_same_output_is_refused(tmp_path: Path) -> None:
    scenes_in(tmp_path, 1)
    path = batch_file(tmp_path)
    (tmp_path / "out").mkdir()
    with Journal(tmp_path / "out"):
        done = cli("batch", path)
    assert done.code == 2
    assert "another batch is writing" in done.err
    with Journal(tmp_path / "out"), pytest.raises(OutputError), Journal(tmp_path / "out"):
        pass


def test_a_line_that_was_cut_short_is_taken_away(tmp_path: Path) -> None:
    def done(item: str) -> dict[str, Any]:
        return {"event": "done", "item": item, "inputs": [], "outputs": [], "seconds": 0.0}

    with Journal(tmp_path) as journal:
        journal.write([done("a"), done("b")])
    file = tmp_path / "journal.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    with Journal(tmp_path) as journal:
        assert set(last_done(journal.before)) == {"a"}
        journal.write([done("c")])
        assert set(last_done(journal.read())) == {"a", "c"}
    assert len(file.read_bytes().splitlines()) == 2
    file.write_bytes(whole[:-1])
    with Journal(tmp_path) as journal:
        assert set(last_done(journal.before)) == {"a", "b"}, "but for its end it is whole"


def process(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bandfuse", *map(str, arguments)],
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )


def alive(group: int) -> list[str]:
    """Processes of a group that are no zombies."""
    found = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    return [
        line
        for line in found.splitlines()
        if line.split()[0] == str(group) and line.split()[1][0] != "Z"
    ]


def whole_batch(tmp_path: Path, count: int, **settings: Any) -> tuple[Path, dict[str, str]]:
    """A folder with a batch that is yet to run, and what its outputs will be."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        scenes_in(tmp_path / name, count)
        batch_file(tmp_path / name, **settings)
    ok("batch", tmp_path / "whole/b.yaml")
    return tmp_path / "killed", pixels(tmp_path / "whole")


@pytest.mark.thorough
@POSIX
def test_killed_at_every_line_of_the_journal_it_ends_in_the_same_bits(tmp_path: Path) -> None:
    """Nothing that is visible is half-written, and the same command goes on. Every other point of a
    batch is tried in test_interrupted."""
    folder, whole = whole_batch(tmp_path, 2, defaults=QUICK)
    assert len(whole) == 3
    with Bench() as bench:
        for number in itertools.count(1):
            ended = bench.run(folder, "batch", "b.yaml", fault=Fault(number, kind="fsync"))
            for name, seen in pixels(folder).items():
                assert seen == whole[name], (number, name)
            if ended.code == 0:
                break
            assert ended.code == -signal.SIGKILL, (number, ended.err)
            assert bench.run(folder, "batch", "b.yaml").code == 0
            assert pixels(folder) == whole, number
            assert not list(folder.rglob(".*.partial")), number
            shutil.rmtree(folder / "out")
    assert number > 5


@pytest.mark.thorough
@POSIX
def test_killed_with_its_workers_it_ends_in_the_same_bits(tmp_path: Path) -> None:
    """At one line of the journal after the other, each time a few lines further on."""
    folder, whole = whole_batch(tmp_path, 8, defaults=QUICK)
    for number in (2, 3, 4, 6):
        fault = environment(folder, Fault(number, kind="fsync", group=True), tmp_path / "site")
        running = process("batch", folder / "b.yaml", "--workers", 2, env=fault)
        _, err = running.communicate()
        assert running.returncode == -signal.SIGKILL, err
        for name, seen in pixels(folder).items():
            assert seen == whole[name]
    ok("batch", folder / "b.yaml", "--workers", 2)
    assert pixels(folder) == whole
    assert not list(folder.rglob(".*.partial"))


@pytest.mark.thorough
@POSIX
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_it_ends_in_the_same_bits(tmp_path: Path, workers: int) -> None:
    """Whenever that is: on a fast machine after the end, on a slow one before the begin."""
    folder, whole = whole_batch(tmp_path, 8, defaults=QUICK)
    rng = random.Random(workers)
    for _ in range(3):
        running = process("batch", folder / "b.yaml", "--workers", workers)
        time.sleep(rng.uniform(0.4, 2.5))
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        for name, seen in pixels(folder).items():
            assert seen == whole[name]
    ok("batch", folder / "b.yaml")
    assert pixels(folder) == whole
    assert not list(folder.rglob(".*.partial"))


@POSIX
def test_ctrl_c_ends_all_workers(tmp_path: Path) -> None:
    """At the sixth line of the journal: two items are done or about to be, and others run, unless
    both workers are between two items at that moment."""
    scenes_in(tmp_path, 12)
    file = batch_file(tmp_path, "jobs: [{name: each, kind: train, pool: each}]", defaults=QUICK)
    fault = environment(tmp_path, Fault(6, "SIGINT", kind="fsync"), tmp_path / "site")
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    running = process("batch", file, "--workers", 2, env=fault, **listening)
    _, err = running.communicate()
    assert running.returncode == 130
    assert "Traceback" not in err
    assert not alive(running.pid)
    assert "the same command goes on" in err, err
    assert not list(tmp_path.rglob(".*.partial"))
    reasons = {r["reason"] for r in rows(tmp_path) if r["state"] != "done"}
    turn = "the run was interrupted before its turn"
    assert turn in reasons
    assert reasons <= {turn, "the run was interrupted while it ran"}
    assert "interrupted before its turn" in (tmp_path / "out/batch.html").read_text()


@pytest.mark.thorough
@POSIX
def test_a_worker_that_dies_costs_its_item_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system ends a worker that works on one scene, again and again."""
    scenes_in(tmp_path, 4)
    (tmp_path / "sitecustomize.py").write_text("""
import os
import bandfuse.batches.item as w
before = w._TOOLS["apply"]
def deadly(item, share, progress):
    if item.scene == "s002":
        os.kill(os.getpid(), 9)
    return before(item, share, progress)
w._TOOLS["apply"] = deadly
""")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    running = process("batch", batch_file(tmp_path), "--workers", 2)
    _, err = running.communicate()
    assert running.returncode == 1, err
    assert {r["scene"]: r["state"] for r in rows(tmp_path) if r["job"] == "fused"} == {
        "s000": "done",
        "s001": "done",
        "s002": "failed",
        "s003": "done",
    }
    assert "worker process died" in next(
        r["reason"] for r in rows(tmp_path) if r["state"] == "failed"
    )


def test_results_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        scenes_in(tmp_path / name, 4)
        ok("batch", batch_file(tmp_path / name), "--workers", workers)
    assert pixels(tmp_path / "one") == pixels(tmp_path / "two")


# --------------------------------------------------------------------------------------------------


ONCE = """
import os
import bandfuse.batches.item as work
before = work._TOOLS["apply"]
def deadly(item, share, progress):
    try:
        os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return before(item, share, progress)
    os.kill(os.getpid(), 9)
work._TOOLS["apply"] = deadly
"""
"""Python that runs at the start of a worker: the first one that fuses a scene is killed."""


@POSIX
def test_ctrl_c_while_a_cluster_starts_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has started, so that it can be closed."""
    distributed = pytest.importorskip("distributed")
    told: list[str] = []

    class Cluster:
        scheduler_address = "tcp://127.0.0.1:1"

        def __init__(self, **how: object) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            told.append("started")

        def close(self) -> None:
            told.append("closed")

    monkeypatch.setattr(distributed, "LocalCluster", Cluster)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), cluster(None, 1):
        told.append("worked")
    assert told == ["started", "closed"]
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@contextmanager
def dask_cluster(
    tmp_path: Path,
    workers: int = 2,
    env: dict[str, str] | None = None,
    of_worker: Sequence[dict[str, str]] = ({}, {}),
) -> Iterator[tuple[str, subprocess.Popen[bytes], list[subprocess.Popen[bytes]]]]:
    """A scheduler (its address, and its process) and workers as processes of their own, on
    loopback; ``of_worker``: what the environment of each has beside."""
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": tmp_path,
        "env": env,
    }
    scheduler = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--no-dashboard",
        ],
        **quiet,
    )
    executor = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "distributed.cli.dask_worker",
                address,
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
            ],
            **(quiet | {"env": {**(env or os.environ), **of_worker[i]}}),
        )
        for i in range(workers)
    ]
    try:
        yield address, scheduler, executor
    finally:
        for one in [*executor, scheduler]:
            one.kill()
            one.wait()


def wait_for_workers(address: str, count: int) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.Client(address, timeout="280s") as client:
        client.wait_for_workers(count, timeout=280)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_gives_the_same_bits_even_if_a_worker_is_killed(tmp_path: Path) -> None:
    for name in ("alone", "cluster"):
        (tmp_path / name).mkdir()
        scenes_in(tmp_path / name, 24, size=(32, 40))
        batch_file(tmp_path / name)
    ok("batch", tmp_path / "alone/b.yaml")
    (tmp_path / "site").mkdir()
    mark = tmp_path / "killed"
    (tmp_path / "site/sitecustomize.py").write_text(ONCE.format(mark=str(mark)))
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    with dask_cluster(tmp_path, env={**os.environ, "PYTHONPATH": path}) as (address, _, executor):
        wait_for_workers(address, 2)
        running = process("batch", tmp_path / "cluster/b.yaml", "--scheduler", address)
        out, err = running.communicate()
        assert mark.exists(), out + err
        assert sum(worker.poll() is not None for worker in executor) == 1
    assert running.returncode == 0, out + err
    assert pixels(tmp_path / "cluster") == pixels(tmp_path / "alone")


CARD = """
import os
if os.environ.get("HAS_CARD"):
    import bandfuse.device as device
    device._absent = lambda: ""
    device.tried = lambda kind: device.Card("cpu:0", "pretended card", 1e30)
    device.GPU_FLOPS = device.LINK = 1e30
    device.START = device.LAUNCH = 0.0
"""
"""Python that runs at the start of a worker: some have a card."""


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_each_dask_worker_decides_for_itself_where_it_computes(tmp_path: Path) -> None:
    for name in ("alone", "cluster"):
        (tmp_path / name).mkdir()
        scenes_in(tmp_path / name, 4, size=(150, 60))
        batch_file(tmp_path / name, "jobs: [{name: pooled, kind: train, pool: all}]")
    ok("batch", tmp_path / "alone/b.yaml")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(CARD)
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    workers = [{"CUDA_VISIBLE_DEVICES": ""}, {"HAS_CARD": "1"}]
    env = {**os.environ, "PYTHONPATH": path}
    with dask_cluster(tmp_path, env=env, of_worker=workers) as (address, _, _):
        wait_for_workers(address, 2)
        ok("batch", tmp_path / "cluster/b.yaml", "--scheduler", address)
    found = [next((tmp_path / n / "out").rglob("report.json")) for n in ("alone", "cluster")]
    said = json.loads(found[1].read_text())["device"]["pass"]
    assert sorted(said["device"].split(" and ")) == ["cpu", "cuda"]
    assert said["card"] == "pretended card"
    assert "CUDA_VISIBLE_DEVICES hides all GPUs" in said["reason"]
    a, b = (load_file(file.with_name("weights.safetensors")) for file in found)
    np.testing.assert_allclose(b["weight"], a["weight"], atol=1e-7)


SLOW = """
import time
import bandfuse.batches.item as work
before = work._TOOLS["apply"]
def slow(item, share, progress):
    open(f"{folder}/{{item.scene}}.begun", "w").close()
    try:
        for _ in progress(range(30000), total=30000, label="slow"):
            time.sleep(0.02)
    except BaseException:
        open(f"{folder}/{{item.scene}}.told", "w").close()
        raise
    return before(item, share, progress)
work._TOOLS["apply"] = slow
"""
"""Python that runs at the start of a worker: a scene takes ten minutes; that it began and that it
was ended is told by files."""


def wait_for(path: Path, running: subprocess.Popen[str] | None = None) -> None:
    """Wait for a file that another process makes."""
    end = time.monotonic() + 280
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name}"
        assert running is None or running.poll() is None, running.communicate()
        time.sleep(0.05)


@pytest.mark.thorough
@POSIX
@pytest.mark.filterwarnings("ignore")
def test_a_foreign_cluster_is_told_of_ctrl_c_and_its_end_is_said(tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    scene, target = tmp_path / "in/s000.tif", tmp_path / "in/s000_t.tif"
    ok("train", scene, "--target", target, "-o", tmp_path / "run", "--no-fused", "--no-report")
    file = batch_file(
        tmp_path,
        "jobs: [{name: fused, kind: apply, weights: run/weights.safetensors}]",
        defaults="{}",
    )
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SLOW.format(folder=site))
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with dask_cluster(tmp_path, 1, env={**os.environ, "PYTHONPATH": path}) as (
        address,
        scheduler,
        _,
    ):
        wait_for_workers(address, 1)
        running = process("batch", file, "--scheduler", address, **listening)
        wait_for(site / "s000.begun", running)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=280)
        assert running.returncode == 130, err
        assert "Traceback" not in err
        wait_for(site / "s000.told")
        assert {r["reason"] for r in rows(tmp_path)} == {"the run was interrupted while it ran"}
        assert not list((tmp_path / "out/fused").iterdir())
        (site / "s000.begun").unlink()
        running = process("batch", file, "--scheduler", address)
        wait_for(site / "s000.begun", running)
        scheduler.kill()
        _, err = running.communicate(timeout=280)
    assert running.returncode == 1, err
    told = [line for line in err.splitlines() if not line.startswith("started ")]
    assert told[0] == "2 items"
    assert told[1:] == [
        f"error: the connection to the scheduler at {address} is lost. What is finished is kept; "
        "the same command goes "
        "on with the rest."
    ]
    ok("batch", file)
    assert [r["state"] for r in rows(tmp_path)] == ["done", "done"]


def test_parts_that_end_as_they_are_looked_for_are_taken() -> None:
    """The race of a future that ends just after a wait for it ran out."""

    class Late(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            try:
                return super().result(timeout)
            except TimeoutError:
                self.set_result("late")
                raise

    class Slow(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = Late()
            threading.Timer(
                0.002 * next(count), lambda: future.done() or future.set_result(fn(*args))
            ).start()
            return future

    count = itertools.count()
    spread = _over(Slow(), 8, threading.Event(), lambda: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bandfuse.batches.dask_workers.LOOK", 0.003)
        assert list(spread(int, [(i,) for i in range(40)])) == list(range(40))


def test_a_part_that_is_lost_is_tried_again_and_a_lost_scheduler_ends_all() -> None:
    class Gone(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            return futures.pop()

    given_up: Future[Any] = Future()
    given_up.cancel()
    given_up.set_running_or_notify_cancel()
    futures = [Future(), given_up]
    client = SimpleNamespace(status="running")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bandfuse.batches.dask_workers.LOOK", 0.01)
        spread = _over(Gone(), 1, threading.Event(), _checking(client, "tcp://s:1"))
        with pytest.raises(RunError, match="lost a part") as lost:
            list(spread(int, [(1,)]))
        assert is_transient(lost.value)
        client.status = "connecting"
        with pytest.raises(RunError, match="connection to the scheduler at tcp://s:1 is lost"):
            list(spread(int, [(1,)]))


def test_a_scheduler_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bandfuse.batches.dask_workers.PATIENCE", "1s")
    scenes_in(tmp_path, 1)
    done = cli("batch", batch_file(tmp_path), "--scheduler", "tcp://127.0.0.1:9")
    assert done.code == 2
    assert "there is no scheduler at tcp://127.0.0.1:9" in done.err
    for flags in (("--scheduler", "tcp://127.0.0.1:9", "--dask"), ("--workers", 0)):
        assert cli("batch", tmp_path / "b.yaml", *flags).code == 2


def test_workers_of_another_bandfuse_are_refused() -> None:
    class Client:
        found: ClassVar[dict[str, Any]] = {"tcp://a:1": bandfuse.__version__, "tcp://b:1": "0.0.9"}

        def run(self, work: Any, on_error: str) -> dict[str, Any]:
            return self.found

    with pytest.raises(InputError, match=r"tcp://b:1 with 0\.0\.9; expected bandfuse"):
        _same_version(Client(), "tcp://s:1")
    Client.found = {"tcp://a:1": ModuleNotFoundError("No module named 'bandfuse'")}
    with pytest.raises(
        InputError, match="tcp://a:1 with No module named 'bandfuse'; expected bandfuse"
    ):
        _same_version(Client(), "tcp://s:1")
    Client.found = {}
    with pytest.raises(InputError, match="has no workers"):
        _same_version(Client(), "tcp://s:1")
