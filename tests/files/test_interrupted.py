"""Every command, ended at every point at which it changes files: the old output is whole or the new
one is, what is said is true, and the next command leaves nothing behind.

``BANDFUSE_ALL_FAULTS=1`` (``make faults``) tries every point with every signal and a full disk;
without it every rename is killed (with ``BANDFUSE_THOROUGH=1`` every removal too), and a selection
of the other points and ends is tried."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import Bench, Ended, Fault
from makers import QUICK, batch_file, weights_for
from rasterio.transform import Affine
from rasters import NORTH_UP, spectra, wavelengths, write_tiff

from bandfuse.files.placing import settle

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such signals on Windows")

ALL = bool(os.environ.get("BANDFUSE_ALL_FAULTS"))
THOROUGH = bool(os.environ.get("BANDFUSE_THOROUGH"))
EVERY = 3 if THOROUGH else 8
"""One in so many points is tried where not all are."""

SURE = ("rename", "remove") if THOROUGH else ("rename",)
"""Points that are always tried."""

TRIED: Counter[str] = Counter()
"""How many points were tried, by command and end."""

CODES = {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "ENOSPC": 2}
"""How a command ends that a fault ends."""

INT = ("--dtype", "int16", "--scale", "0.001")


@dataclass(frozen=True)
class Case:
    """A command that replaces an output.

    ``old``, ``new``: the arguments that make the first output, and the one in its place.
    ``output``: its name. ``times``: endings of files that tell the time, so that two runs differ.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    output: str
    times: tuple[str, ...] = ()


def apply_case(output: str, *how: str, times: tuple[str, ...] = ()) -> Case:
    command = ("apply", "w.safetensors", "x.tif", "-o", output, *how)
    return Case(command, (*command, *INT, "--overwrite"), output, times)


TRAIN = ("train", "x.tif", "-o", "run", "--groups", "equal:2", "--folds", "0", "--no-report")
RESAMPLE = ("resample", "x.tif", "--sensor", "mine.csv", "-o", "y.tif")
EXPORT = ("export", "w.safetensors", "--scene", "x.tif", "-o", "y.vrt", "--to", "vrt")
STYLED = ("apply", "n.safetensors", "x.tif", "-o", "y.tif", "--style")
SHARPEN = (
    "sharpen",
    "c.tif",
    "x.tif",
    "--no-report",
    "--blur",
    "0.3",
    "--shift",
    "keep",
    "-o",
    "run",
)
SPECTRA = ("export", "w.safetensors", "-o", "y.sli", "--to", "sli")

CASES = {
    "GTiff": apply_case("y.tif"),
    "ENVI": apply_case("y.dat", "--driver", "ENVI", "--stac", times=(".json",)),
    "styled": Case(STYLED, (*STYLED[:-1], *INT, "--overwrite", "--style"), "y.tif"),
    "style-gone": Case(STYLED, (*STYLED[:-1], *INT, "--overwrite"), "y.tif"),
    "COG": apply_case("y.tif", "--driver", "COG"),
    "Zarr": apply_case("y.zarr", "--stac", times=(".json",)),
    "resample": Case(RESAMPLE, (*RESAMPLE, *INT, "--overwrite"), "y.tif"),
    "train": Case(
        TRAIN, (*TRAIN, "--groups", "equal:3", "--overwrite"), "run", ("report.json", "config.yaml")
    ),
    "sharpen": Case(
        SHARPEN, (*SHARPEN, *INT, "--overwrite"), "run", ("report.json", "config.yaml")
    ),
    "export": Case(EXPORT, ("export", "v.safetensors", *EXPORT[2:], "--overwrite"), "y.vrt"),
    "export-sli": Case(SPECTRA, ("export", "v.safetensors", *SPECTRA[2:], "--overwrite"), "y.sli"),
}

SETTLE = ("export", "w.safetensors", "--to", "json", "-o", "next.json", "--overwrite")
"""Some next command that writes into the same folder."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as found:
        yield found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of two windows, and weights of two kinds."""
    folder = tmp_path_factory.mktemp("inputs")
    write_tiff(folder / "x.tif", spectra(6, 70, 40), nm=wavelengths(6), fwhm=[120] * 6)
    write_tiff(
        folder / "c.tif", spectra(6, 70, 40)[:2].reshape(2, 35, 2, 20, 2).mean(axis=(2, 4)),
        transform=NORTH_UP @ Affine.scale(2),
    )  # fmt: skip
    weights_for(folder, outputs=2).rename(folder / "v.safetensors")
    weights_for(folder, nm=(480, 560, 660)).rename(folder / "n.safetensors")
    weights_for(folder)
    (folder / "mine.csv").write_text("name,centre_nm,fwhm_nm\nb1,520,150\nb2,760,150\n")
    return folder


def files(folder: Path, case: Case, stem: str) -> dict[str, str]:
    """The files of the output, with checksums of those that do not tell the time."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name.startswith(stem):
            told = name.endswith(case.times) if case.times else False
            found[name] = "" if told else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def hidden(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob(".*") if p.name.endswith((".partial", ".claim"))]


def faults(calls: Sequence[str], every: int = EVERY) -> Iterator[Fault]:
    """All points and ends, or a selection: those of ``SURE`` and one in ``every`` of the other
    points killed, and one of the other ends in turn at half as many."""
    others = [
        Fault(how=how, after=after)
        for how in ("SIGINT", "SIGTERM", "SIGHUP")
        for after in (False, True)
    ] + [Fault(how="ENOSPC")]
    for number, call in enumerate(calls, 1):
        if ALL or number % every == 0 or call.startswith(SURE):
            yield Fault(number)
        step = 2 * every
        in_turn = [others[number // step % len(others)]] if number % step == 1 else []
        for fault in others if ALL else in_turn:
            yield Fault(number, fault.how, fault.after)


def check_words(ended: Ended, fault: Fault, output: str, old: bool) -> None:
    """The exit code and the message tell what happened."""
    where = f"{fault} {ended.code} {ended.err}"
    assert "Traceback" not in ended.err, where
    if fault.how == "SIGKILL":
        assert ended.code == -9, where
    elif ended.code == 0:
        assert not old, where
        assert fault.how == "ENOSPC", where
    else:
        assert ended.code == CODES[fault.how], where
        if fault.how != "ENOSPC":
            said = "nothing was written" if old else f"{output} written, and nothing else"
            assert said in ended.err, where


Outputs = dict[str, dict[str, str]]
Batches = tuple[Path, Outputs, Outputs, list[str]]

FUSE = "  - {{name: f, kind: apply, weights: w.safetensors, settings: {{driver: ENVI, {how}}}}}\n"
LEARN = "  - {{name: t, kind: train, pool: each, settings: {{ridge: {ridge}}}}}\n"


def batch_outputs(folder: Path) -> Outputs:
    """The files of each item's output."""
    found: Outputs = {"t": {}, "f": {}}
    for path in sorted((folder / "out").glob("*/**/*")):
        name = path.relative_to(folder / "out").as_posix()
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            timed = name.endswith(("report.json", "config.yaml"))
            found[name[0]][name] = "" if timed else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def changed_batch(bench: Bench, inputs: Path, folder: Path, jobs: str) -> Batches:
    """A folder with a batch that has run and was changed since; its outputs before and after the
    next run, and the points of that run."""
    start, done = folder / "start", folder / "done"
    (start / "in").mkdir(parents=True)
    shutil.copy(inputs / "w.safetensors", start)
    shutil.copy(inputs / "x.tif", start / "in/a.tif")
    write_tiff(start / "in/a_t.tif", spectra(6, 70, 40)[:3].mean(axis=0)[None])
    batch_file(start, f"jobs:\n{jobs}".format(ridge=0.1, how="dtype: float32"), defaults=QUICK)
    assert bench.run(start, "batch", "b.yaml").code == 0
    how = "dtype: int16, scale: 0.001"
    batch_file(start, f"jobs:\n{jobs}".format(ridge=0.3, how=how), defaults=QUICK)
    shutil.copytree(start, done)
    clean = bench.run(done, "batch", "b.yaml")
    assert clean.code == 0, clean.err
    return start, batch_outputs(start), batch_outputs(done), clean.calls


@pytest.mark.timeout(3600 if ALL else 1200)
def test_a_batch_ended_at_any_point_goes_on(bench: Bench, inputs: Path, tmp_path: Path) -> None:
    start, old, new, calls = changed_batch(bench, inputs, tmp_path, LEARN + FUSE if ALL else FUSE)
    folder = tmp_path / "now"
    for fault in faults(calls, every=6 if THOROUGH else 12):
        shutil.copytree(start, folder)
        ended = bench.run(folder, "batch", "b.yaml", fault=fault)
        TRIED[f"batch\t{fault.how}"] += 1
        point = f"{fault}: {calls[fault.at - 1]} {ended.code} {ended.err}"
        assert "Traceback" not in ended.err, point
        seen = batch_outputs(folder)
        if fault.how == "SIGKILL":
            assert ended.code == -9, point
        else:
            assert all(seen[job] in (old[job], new[job]) for job in seen), point
        if fault.how == "ENOSPC":
            assert ended.code in (0, 1, 2), point
        elif fault.how != "SIGKILL":
            assert ended.code == CODES[fault.how], point
            assert "what is finished is kept" in ended.err, point
            assert not [name for name in hidden(folder) if name.endswith(".partial")], point
        after = bench.run(folder, "batch", "b.yaml")
        assert after.code == 0, (point, after.out, after.err)
        assert batch_outputs(folder) == new, point
        assert not hidden(folder), point
        shutil.rmtree(folder)


@pytest.mark.thorough
def test_a_batch_that_was_killed_deletes_no_copy(
    bench: Bench, inputs: Path, tmp_path: Path
) -> None:
    """At each rename; and it cannot make another, as its input is broken meanwhile."""
    start, old, new, calls = changed_batch(bench, inputs, tmp_path, LEARN)
    folder = tmp_path / "now"
    numbers = [i for i, call in enumerate(calls, 1) if call.startswith("rename")]
    assert len(numbers) > 5
    for number in numbers:
        shutil.copytree(start, folder)
        assert bench.run(folder, "batch", "b.yaml", fault=Fault(number)).code == -9
        (folder / "in/a.tif").write_bytes((folder / "in/a.tif").read_bytes()[:500])
        assert bench.run(folder, "batch", "b.yaml").code in (1, 2)
        seen = batch_outputs(folder)
        assert all(seen[job] in (old[job], new[job]) for job in seen), (number, calls[number - 1])
        assert not hidden(folder)
        shutil.rmtree(folder)


@pytest.fixture(scope="module", autouse=True)
def told() -> Iterator[None]:
    """How many points were tried, for those who ask."""
    yield
    if place := os.environ.get("BANDFUSE_FAULTS_COUNTED"):
        Path(place).write_text("".join(f"{key}\t{n}\n" for key, n in sorted(TRIED.items())))


LONG = {"sharpen", "styled", "resample"}
"""Cases that are left to CI: others write the same kinds of files."""


@pytest.mark.timeout(3600 if ALL else 1200)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.thorough] * (n in LONG)) for n in CASES]
)
def test_ended_at_any_point_one_output_is_whole(
    bench: Bench, inputs: Path, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    stem = Path(case.output).stem
    start, folder = tmp_path / "start", tmp_path / "now"
    shutil.copytree(inputs, start)
    assert bench.run(start, *case.old).code == 0
    old = files(start, case, stem)
    shutil.copytree(start, folder)
    clean = bench.run(folder, *case.new)
    assert clean.code == 0, clean.err
    new = files(folder, case, stem)
    assert new != old
    assert clean.calls
    for fault in faults(clean.calls):
        shutil.rmtree(folder)
        shutil.copytree(start, folder)
        ended = bench.run(folder, *case.new, fault=fault)
        TRIED[f"{name}\t{fault.how}"] += 1
        point = f"{fault}: {clean.calls[fault.at - 1]}"
        seen = files(folder, case, stem)
        if fault.how != "SIGKILL":
            assert seen in (old, new), point
            if fault.how != "ENOSPC":
                assert not hidden(folder), point
            check_words(ended, fault, case.output, seen == old)
        if ALL or fault.at % 4 == 0:
            after = bench.run(folder, *SETTLE)
            assert after.code == 0, (point, after.err)
        else:
            settle(folder)  # the part of the next command that counts
        later = files(folder, case, stem)
        assert later in (old, new), (point, later)
        if fault.how != "SIGKILL":
            assert later == seen, point
        assert not hidden(folder), point
