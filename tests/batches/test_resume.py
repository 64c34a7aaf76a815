"""What a batch keeps, redoes, replaces and survives: by what was really read, and by what it has
made itself."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
import rasterio.shutil
from helpers import same_bits
from makers import batch_file, rows, scenes_in
from rasters import cli, ok, read, spectra, write_tiff

from bandfuse.batches.batch import planned
from bandfuse.batches.fingerprints import inputs_of, on_disk
from bandfuse.batches.item import Allowance, ticking, work, work_all
from bandfuse.batches.journal import Journal, last_done, look_into
from bandfuse.batches.runner import BatchRun
from bandfuse.batches.summary import as_html, fault_rows, job_rows
from bandfuse.batches.workers import WorkExecutor
from bandfuse.errors import RunError
from bandfuse.files.placing import _host, _start_of
from bandfuse.results.batches import BatchItem, BatchResult

APPLY = "jobs: [{name: fused, kind: apply, weights: w/weights.safetensors}]"


def weights(folder: Path) -> None:
    ok(
        "train",
        folder / "in/s000.tif",
        "--groups",
        "equal:2",
        "-o",
        folder / "w",
        "--no-report",
        "--no-fused",
    )


def apply_batch(folder: Path, count: int, defaults: str = "{}") -> Path:
    """Scenes, weights, and a batch that applies them."""
    scenes_in(folder, count)
    weights(folder)
    return batch_file(folder, APPLY, defaults=defaults)


def kept(folder: Path, output: str = "out") -> list[bool]:
    ok("batch", folder / "b.yaml")
    return [r["kept"] for r in json.loads((folder / output / "batch.json").read_text())["items"]]


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"), [("apply", "s000.tif"), ("evaluate", "s000.json"), ("train", "s000")]
)
def test_what_the_batch_has_not_made_is_not_replaced(kind: str, name: str, tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    trains = kind == "train"
    ok(
        "train",
        tmp_path / "in/s000.tif",
        "--target",
        tmp_path / "in/s000_t.tif",
        "-o",
        tmp_path / "w",
        "--no-report",
    )
    more = "pool: each" if trains else "weights: w/weights.safetensors"
    path = batch_file(tmp_path, f"jobs: [{{name: j, kind: {kind}, {more}}}]", defaults="{}")
    mine = tmp_path / f"out/j/{name}"
    mine.parent.mkdir(parents=True)
    mine.mkdir() if trains else mine.write_text("mine")
    if trains:
        (mine / "notes.txt").write_text("mine")
    done = cli("batch", path)
    assert done.code == 1
    assert [r["state"] for r in rows(tmp_path)] == ["failed", "done"]
    assert ("was not made by" if trains else "exists") in rows(tmp_path)[0]["reason"]
    assert (mine / "notes.txt" if trains else mine).read_text() == "mine"
    assert cli("batch", path).code == 1, "a second run knows as little of it as the first"
    assert [r["state"] for r in rows(tmp_path)] == ["failed", "done"]
    assert (mine / "notes.txt" if trains else mine).read_text() == "mine"


@pytest.mark.parametrize("earlier", [False, True])
def test_what_another_process_writes_meanwhile_is_not_replaced(
    earlier: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the very end of the item's work; whether the batch had made an output there before or
    not."""
    path = apply_batch(tmp_path, 1)
    output = tmp_path / "out/fused/s000.tif"
    if earlier:
        ok("batch", path)

    def others_are_quicker(output: str, scratch: Path) -> None:
        Path(output).unlink(missing_ok=True)
        Path(output).write_text("theirs")

    with monkeypatch.context() as patched:
        patched.setattr("bandfuse.batches.item.claim", others_are_quicker)
        done = cli("batch", path, "--fresh")
    assert done.code == 1
    assert "written by another process meanwhile" in rows(tmp_path)[0]["reason"]
    assert "retry" not in done.err
    assert output.read_text() == "theirs"
    assert cli("batch", path).code == 1
    assert "exists" in rows(tmp_path)[0]["reason"]
    assert output.read_text() == "theirs"
    ok("batch", path, "--overwrite")
    assert kept(tmp_path) == [True]


def test_an_output_that_was_changed_by_hand_is_not_replaced(tmp_path: Path) -> None:
    path = apply_batch(tmp_path, 1)
    ok("batch", path)
    output = tmp_path / "out/fused/s000.tif"
    output.write_bytes(output.read_bytes() + b"a remark")
    before = output.read_bytes()
    assert cli("batch", path).code == 1
    assert output.read_bytes() == before


def test_a_batch_that_moved_replaces_its_own(tmp_path: Path) -> None:
    path = apply_batch(tmp_path, 1)
    ok("batch", path)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    ok("batch", path, "--set", "output=elsewhere")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["manifest.json", "batch.html"])
def test_files_of_others_at_the_names_of_the_summary_are_not_replaced(
    tmp_path: Path, name: str
) -> None:
    path = apply_batch(tmp_path, 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    for _ in range(2):
        done = cli("batch", path)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert f"{name} exists" in done.err
        assert "holds no journal of a batch" in done.err
        assert (tmp_path / "out" / name).read_text() == "mine"
    ok("batch", path, "--overwrite")


def test_scratch_of_others_is_left(tmp_path: Path) -> None:
    """Of a process that runs, of another host, of no known name; what is dead is taken away, and
    that is said."""
    path = apply_batch(tmp_path, 1)
    parent = os.getppid()
    owners = [
        f"{_host()}-{parent}-{_start_of(parent)}",
        f"elsewhere-{parent}-1",
        "dead",
        f"{_host()}-{parent}-1",
    ]
    folders = [tmp_path / f"out/fused/.mine.tif.{owner}-0a1b2c3d.partial" for owner in owners]
    for folder in folders:
        folder.mkdir(parents=True)
    done = ok("batch", path)
    assert [folder.exists() for folder in folders] == [True, True, True, False]
    assert f"{folders[3]} removed" in " ".join(done.err.split())
    assert "elsewhere" not in done.err


# --------------------------------------------------------------------------------------------------

DAMAGED = [
    b'{"event": "started"}',
    b"no JSON",
    b"\xff\xfe",
    b"[1, 2]",
    b'{"event": 5}',
    b'{"event": "done", "item": "x"}',
    b"[" * 5000,
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_is_skipped_and_said(line: bytes, tmp_path: Path) -> None:
    path = apply_batch(tmp_path, 2)
    ok("batch", path)
    file = tmp_path / "out/journal.jsonl"
    lines = file.read_bytes().splitlines()
    lines.insert(2, line)
    file.write_bytes(b"\n".join(lines) + b"\n")
    done = ok("batch", path)
    assert "journal.jsonl: damaged lines are skipped: 3" in " ".join(done.err.split())
    assert all(r["kept"] for r in rows(tmp_path))
    ok("batch", path, "--dry-run")


def test_what_a_damaged_line_told_of_is_done_again(tmp_path: Path) -> None:
    """The journal does not know any more what the batch wrote there: it has to be told."""
    path = apply_batch(tmp_path, 2)
    ok("batch", path)
    file = tmp_path / "out/journal.jsonl"
    lines = file.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if '"done"' in line)
    lines[number] = lines[number].replace('"outputs"', '"outputz"')
    file.write_text("\n".join(lines) + "\n")
    assert cli("batch", path).code == 1
    assert [r["kept"] for r in rows(tmp_path)] == [False, True]
    ok("batch", path, "--overwrite")
    assert kept(tmp_path) == [True, True]


def test_what_it_has_made_is_replaced_after_a_fresh_start_too(tmp_path: Path) -> None:
    path = apply_batch(tmp_path, 2)
    ok("batch", path)
    ok("batch", path, "--fresh")
    assert not any(r["kept"] for r in rows(tmp_path))
    with Journal(tmp_path / "out", fresh=True) as journal:
        assert journal.before == []
        assert set(journal.own) == {"fused/s000", "fused/s001"}
    assert kept(tmp_path) == [False, False], (
        "a fresh start that was cut off is no reason to refuse its own files"
    )
    assert kept(tmp_path) == [True, True]


def test_a_flag_allows_it(tmp_path: Path) -> None:
    scenes_in(tmp_path, 1)
    weights(tmp_path)
    (tmp_path / "out/fused").mkdir(parents=True)
    (tmp_path / "out/fused/s000.tif").write_text("mine")
    ok("batch", batch_file(tmp_path, APPLY, defaults="{}"), "--overwrite")
    assert read(tmp_path / "out/fused/s000.tif").shape == (2, 16, 20)


# --------------------------------------------------------------------------------------------------


def test_a_file_that_settings_name_counts(tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    groups = tmp_path / "g.yaml"
    groups.write_text("a: 1-3\nb: 4-6\n")
    jobs = (
        f'jobs: [{{name: j, kind: train, pool: each, settings: {{groups: "file:{groups}", '
        f"no_report: true}}}}]"
    )
    batch_file(tmp_path, jobs, defaults="{objective: reconstruction}").write_text(
        batch_file(tmp_path, jobs, defaults="{objective: reconstruction}")
        .read_text()
        .replace('    target: "{parent}/{stem}_t.tif"\n', "")
    )
    assert kept(tmp_path) == [False, False]
    assert kept(tmp_path) == [True, True]
    groups.write_text("a: 1-2\nb: 3-6\n")
    assert kept(tmp_path) == [False, False]


def test_the_parts_of_a_mosaic_count(tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    weights(tmp_path)
    (tmp_path / "parts").mkdir()
    for name in ("s000", "s001"):
        (tmp_path / f"in/{name}.tif").rename(tmp_path / f"parts/{name}.tif")
        rasterio.shutil.copy(
            tmp_path / f"parts/{name}.tif", tmp_path / f"in/{name}.tif", driver="VRT"
        )
    batch_file(tmp_path, APPLY, defaults="{}")
    assert kept(tmp_path) == [False, False]
    before = read(tmp_path / "out/fused/s001.tif")
    assert kept(tmp_path) == [True, True]
    write_tiff(tmp_path / "parts/s001.tif", spectra(6, 16, 20, seed=9))
    assert kept(tmp_path) == [True, False]
    assert (read(tmp_path / "out/fused/s001.tif") != before).any()


def test_the_archive_around_a_scene_counts(tmp_path: Path) -> None:
    scenes_in(tmp_path, 1)
    weights(tmp_path)
    archive = tmp_path / "a.zip"
    for seed in (0, 9):
        write_tiff(tmp_path / "z.tif", spectra(6, 16, 20, seed=seed))
        with zipfile.ZipFile(archive, "w") as file:
            file.write(tmp_path / "z.tif", "deep/z.tif")
        inside = f"/vsizip/{archive}/deep/z.tif"
        assert on_disk(inside) == str(archive)
        assert on_disk(f"/vsizip//{archive}/deep/z.tif") == str(archive)
        (tmp_path / "b.yaml").write_text(
            f"version: 1\noutput: out\nscenes: [{{files: ['{inside}']}}]\n{APPLY}"
        )
        assert kept(tmp_path) == [False]
        assert kept(tmp_path) == [True]


def test_every_file_of_an_output_counts(tmp_path: Path) -> None:
    apply_batch(tmp_path, 1, "{driver: ENVI}")
    assert kept(tmp_path) == [False]
    (header,) = (tmp_path / "out/fused").glob("*.hdr")
    header.unlink()
    assert kept(tmp_path) == [False]
    assert header.is_file()
    assert kept(tmp_path) == [True]


def test_the_raster_of_uncertainty_counts(tmp_path: Path) -> None:
    apply_batch(tmp_path, 2, "{uncertainty: sd/}")
    assert kept(tmp_path) == [False, False]
    assert kept(tmp_path) == [True, True]
    fused, second = tmp_path / "out/fused/s001.tif", tmp_path / "sd/s001.tif"
    before = second.read_bytes()
    assert rows(tmp_path)[1]["outputs"] == [str(fused), str(second)]
    page = (tmp_path / "out/batch.html").read_text()
    assert '<a href="../sd/s001.tif">sd/s001.tif</a>' in page
    second.unlink()
    assert kept(tmp_path) == [True, False]
    same_bits(second.read_bytes(), before)
    second.write_text("of somebody")
    assert cli("batch", tmp_path / "b.yaml").code == 1
    assert second.read_text() == "of somebody"


def test_scenes_have_rasters_of_uncertainty_of_their_own(tmp_path: Path) -> None:
    scenes_in(tmp_path, 2)
    (tmp_path / "w").mkdir()
    (tmp_path / "w/weights.safetensors").touch()
    path = batch_file(tmp_path, APPLY, defaults="{uncertainty: sd.tif}")
    done = cli("batch", path)
    assert (done.code, "job 'fused' would write sd.tif twice" in done.err) == (2, True)
    path = batch_file(tmp_path, APPLY, defaults='{uncertainty: "out/fused/{stem}_sd.tif"}')
    seconds = [Path(item.outputs[1]) for item in planned(path)[1].items]
    assert seconds == [tmp_path / f"out/fused/s00{i}_sd.tif" for i in (0, 1)]


def test_a_header_that_comes_later_counts(tmp_path: Path) -> None:
    apply_batch(tmp_path, 1)
    assert kept(tmp_path) == [False]
    (tmp_path / "in/s000.tif.aux.xml").write_text("<PAMDataset/>")
    assert kept(tmp_path) == [False]


def chunks(folder: Path) -> list[Path]:
    """The files of a store that hold pixels."""
    return sorted(
        p for p in folder.rglob("*") if p.is_file() and p.name[0] != "." and p.suffix != ".json"
    )


@pytest.mark.thorough
def test_the_chunks_of_a_store_count(tmp_path: Path) -> None:
    """As an output, and as an input; in the journal a folder is one entry."""
    file = apply_batch(tmp_path, 1, "{driver: Zarr}")
    assert kept(tmp_path) == [False]
    (made,) = (tmp_path / "out/fused").glob("*.zarr")
    assert kept(tmp_path) == [True]
    for change in (Path.unlink, lambda chunk: chunk.write_bytes(chunk.read_bytes()[:-1] + b"!")):
        change(chunks(made)[0])
        done = cli("batch", file)
        assert (done.code, "exists" in rows(tmp_path)[0]["reason"]) == (1, True), (
            "it is not as it was written"
        )
        ok("batch", file, "--overwrite")
        assert kept(tmp_path) == [True]
    scene = made.rename(tmp_path / "s.zarr")
    ok("train", scene, "--groups", "equal:2", "-o", tmp_path / "w2", "--no-report", "--no-fused")
    for name in ("s.zarr", f'ZARR:"{scene}":/fused'):
        (tmp_path / "b.yaml").write_text(
            f"version: 1\noutput: out2\nscenes: [{{files: ['{name}']}}]\n"
            "jobs: [{name: f, kind: apply, weights: w2/weights.safetensors}]\n"
        )
        assert kept(tmp_path, "out2") == [False], name
        assert kept(tmp_path, "out2") == [True]
        lines = [
            json.loads(line) for line in (tmp_path / "out2/journal.jsonl").read_text().splitlines()
        ]
        event = next(line for line in lines if line["event"] == "done")
        assert [m["path"] for m in event["inputs"] if "s.zarr" in m["path"]] == [str(scene)]
        chunk = chunks(scene)[0]
        content = chunk.read_bytes()
        os.utime(chunk, ns=(1, 1))
        assert kept(tmp_path, "out2") == [True], "the same content"
        chunk.unlink()
        assert kept(tmp_path, "out2") == [False]
        chunk.write_bytes(content)
        assert kept(tmp_path, "out2") == [False]
        shutil.rmtree(tmp_path / "out2")


def test_a_left_out_scene_that_may_work_now_is_tried(tmp_path: Path) -> None:
    """A mosaic whose part is not there is left out of a pooled training; the part comes, and
    nothing else changes."""
    scenes_in(tmp_path, 3)
    part = tmp_path / "part.tif"
    (tmp_path / "in/s001.tif").rename(part)
    rasterio.shutil.copy(part, tmp_path / "in/s001.vrt", driver="VRT")
    file = batch_file(tmp_path, "jobs: [{name: pooled, kind: train}]")
    file.write_text(file.read_text().replace("in/*.tif", "in/s*[0-9].*"))
    hidden = part.rename(tmp_path / "hidden.tif")
    assert cli("batch", file).code == 1
    assert [(r["scene"], r["state"]) for r in rows(tmp_path)] == [("", "done"), ("s001", "failed")]
    assert cli("batch", file).code == 1
    assert rows(tmp_path)[0]["kept"]
    hidden.rename(part)
    ok("batch", file)
    assert [(r["scene"], r["state"], r["kept"]) for r in rows(tmp_path)] == [("", "done", False)]


def test_a_left_out_scene_that_can_be_read_by_now_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scene that the system does not let us read costs no other one, and is tried once it can be
    read."""
    scenes_in(tmp_path, 3)
    closed = [str(tmp_path / "in/s001.tif")]
    real_open, real_access = open, os.access

    def opened(path: Any, *more: Any, **how: Any) -> Any:
        if path in closed:
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, *more, **how)

    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr(
        "os.access", lambda p, *how, **more: p not in closed and real_access(p, *how, **more)
    )
    content = (tmp_path / "in/s001.tif").read_bytes()
    (tmp_path / "in/s001.tif").write_bytes(content[:300])
    file = batch_file(tmp_path, "jobs: [{name: pooled, kind: train}]")
    assert cli("batch", file).code == 1
    assert [(r["scene"], r["state"]) for r in rows(tmp_path)] == [("", "done"), ("s001", "failed")]
    assert cli("batch", file).code == 1
    assert rows(tmp_path)[0]["kept"]
    closed.clear()
    assert cli("batch", file).code == 1
    assert not rows(tmp_path)[0]["kept"]


# --------------------------------------------------------------------------------------------------


def test_an_input_that_changes_meanwhile_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = apply_batch(tmp_path, 1)
    from bandfuse.batches import item as module

    before, tries = module._TOOLS["apply"], []

    def disturbed(*arguments: Any) -> Any:
        tries.append(1)
        found = before(*arguments)
        if len(tries) == 1:
            write_tiff(tmp_path / "in/s000.tif", spectra(6, 16, 20, seed=9))
        return found

    monkeypatch.setitem(module._TOOLS, "apply", disturbed)
    ok("batch", path)
    assert len(tries) == 2
    ok(
        "apply",
        tmp_path / "w/weights.safetensors",
        tmp_path / "in/s000.tif",
        "-o",
        tmp_path / "now.tif",
    )
    assert (read(tmp_path / "now.tif") == read(tmp_path / "out/fused/s000.tif")).all()
    monkeypatch.undo()
    assert kept(tmp_path) == [True]


def test_an_input_that_goes_away_ends_its_item_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = apply_batch(tmp_path, 2)
    from bandfuse.batches import item as module

    before = module._TOOLS["apply"]

    def disturbed(item: Any, *more: Any) -> Any:
        found = before(item, *more)
        if item.scene == "s000":
            (tmp_path / "in/s000.tif").unlink(missing_ok=True)
        return found

    monkeypatch.setitem(module._TOOLS, "apply", disturbed)
    assert cli("batch", path).code == 1
    assert [r["state"] for r in rows(tmp_path)] == ["failed", "done"]
    assert "s000.tif" in rows(tmp_path)[0]["reason"]


def test_a_file_where_a_folder_should_be_is_said(tmp_path: Path) -> None:
    path = apply_batch(tmp_path, 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/fused").write_text("mine")
    assert cli("batch", path).code == 1
    assert "fused" in rows(tmp_path)[0]["reason"]
    (tmp_path / "out2").mkdir()
    (tmp_path / "out2/journal.jsonl").mkdir()
    done = cli("batch", path, "--set", "output=out2")
    assert (done.code, len(done.err.strip().splitlines())) == (2, 1)


class Losing(Executor):
    """A cluster that loses every bundle with a certain scene in it, in one way or another."""

    def __init__(self, how: str) -> None:
        self.how = how

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if not any(item.scene == "s003" for item in args[0]):
            future.set_result(fn(*args, **kwargs))
        elif self.how == "refused":
            raise RuntimeError("cannot schedule new futures after shutdown")
        elif self.how == "cancelled":
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_exception(ConnectionError("worker gone"))
        return future


@pytest.mark.one_in(2)
@pytest.mark.parametrize("how", ["refused", "cancelled", "failed"])
def test_what_a_cluster_loses_costs_no_neighbour(how: str, tmp_path: Path) -> None:
    scenes_in(tmp_path, 12, size=(4, 5))
    write_tiff(tmp_path / "in/s000.tif", spectra(6, 16, 20))
    weights(tmp_path)
    made = planned(batch_file(tmp_path, APPLY, defaults="{}"))[1]
    made.folder.mkdir()
    given: list[int] = []
    executor = WorkExecutor(2, Allowance(1, 16), Losing(how), bundle=4)
    give = executor.give

    def counted(items: Any) -> Any:
        given.append(len(items))
        return give(items)

    executor.give = counted  # type: ignore[method-assign]
    with Journal(made.folder) as journal:
        found = BatchRun(made, executor, journal)()
    assert max(given) > 1
    assert [r.scene for r in found if r.state == "failed"] == ["s003"]
    assert "the cluster lost it" in next(r.reason for r in found if r.state == "failed")
    assert sum(r.state == "done" for r in found) == 11


def test_what_goes_on_near_ends_at_its_next_step() -> None:
    executor, begun = WorkExecutor(2, Allowance(), Losing("")), threading.Event()
    seen: list[BaseException] = []

    def endless() -> Iterable[int]:
        while True:
            begun.set()
            time.sleep(0.01)
            yield 1

    def long_work() -> None:
        try:
            for _ in ticking(executor.stopped.is_set)(endless(), total=1, label="fit"):
                pass
        except RunError as error:
            seen.append(error)

    executor.near.submit(long_work)
    begun.wait()
    with executor:
        pass
    assert len(seen) == 1


def test_what_an_item_reads(tmp_path: Path) -> None:
    scenes_in(tmp_path, 1)
    weights(tmp_path)
    (item,) = planned(batch_file(tmp_path, APPLY, defaults="{}"))[1].items
    assert [Path(p).name for p in inputs_of(item)] == [
        "s000.tif",
        "s000_t.tif",
        "weights.safetensors",
    ]
    found = work_all([item], Allowance(1, 16))[0]
    assert [m["path"] for m in found["inputs"]] == inputs_of(item)
    assert all(len(m["sha256"]) == 64 for m in found["inputs"])
    os.truncate(tmp_path / "in/s000.tif", 500)
    failed = work(item, Allowance(1, 16))
    assert "s000.tif" in failed["reason"]
    assert json.dumps(failed)


# --------------------------------------------------------------------------------------------------


def test_the_page_sums_jobs_up_and_names_a_broken_scene_once() -> None:
    items = [
        BatchItem(job=job, scene=f"s{i}", state="done", scores={"r2": r2})
        for job, scores in (("a", (0.9, 0.5, 0.7)), ("b", (0.2, 0.4, 0.8)))
        for i, r2 in enumerate(scores)
    ]
    items += [
        BatchItem(job=job, scene="s<9>", state="failed", reason="it is broken")
        for job in ("a", "b")
    ]
    found = job_rows(items, ["r2"])
    assert [(r["job"], r["done"], r["not_done"], r["medians"], r["least"]) for r in found] == [
        ("a", 3, 1, [0.7], "s1"),
        ("b", 3, 1, [0.4], "s0"),
    ]
    assert fault_rows(items) == [
        {"jobs": "a, b", "scene": "s<9>", "state": "failed", "reason": "it is broken"}
    ]
    page = as_html(
        BatchResult(output="out", done=6, failed=2, skipped=0, kept=0, seconds=1.0, items=items),
        Path("out"),
    )
    assert page.count("it is broken") == 1
    assert "s&lt;9&gt;" in page
    assert '<td class="n">0.70000</td>' in page


# --------------------------------------------------------------------------------------------------


def told(events: Iterable[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(event["event"], event.get("item")) for event in events]


def started(item: str) -> dict[str, Any]:
    return {"event": "started", "item": item}


def test_a_journal_is_read_from_the_last_fresh_start_on(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        assert journal.before == []
        journal.write([started("a"), started("b")])
        journal.write([])
    with Journal(tmp_path) as journal:
        assert told(journal.before) == [("started", "a"), ("started", "b")]
        assert all(abs(event["time"] - time.time()) < 100 for event in journal.before)
    for item in "cd":
        with Journal(tmp_path, fresh=True) as journal:
            assert journal.before == []
            journal.write([started(item)])
            assert told(journal.read()) == [("started", item)]
    assert told(look_into(tmp_path)) == [("started", "d")]
    assert look_into(tmp_path / "nowhere") == []


def test_a_line_that_was_cut_short_takes_no_other_with_it(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.write([started("a")])
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    with Journal(tmp_path):
        assert file.read_bytes() == whole
    file.write_bytes(whole + whole[:-9])
    with Journal(tmp_path) as journal:
        assert told(journal.before) == [("started", "a")]
        journal.write([started("b")])
    assert told(look_into(tmp_path)) == [("started", "a"), ("started", "b")]


def test_the_last_done_counts_unless_something_came_after() -> None:
    def event(kind: str, item: str, seconds: int = 0) -> dict[str, Any]:
        return {"event": kind, "item": item, "seconds": seconds, "inputs": [], "outputs": []}

    events = [event("done", item, i) for i, item in enumerate("abcd")]
    events += [
        event("failed", "b"),
        event("started", "c"),
        event("planned", "d"),
        event("done", "a", 9),
    ]
    assert {item: e["seconds"] for item, e in last_done(events).items()} == {"a": 9, "d": 3}
