"""`make bench`: whole processes of bandfuse beside anchors, as ratios of medians in one run.

Usage: ``run.py [--gb 1] [--runs 3] [--layouts "tiled band,ENVI bip"] [--only
apply,train,vrt,anchors,start] [--profile]``. Makes cubes of 224 int16 bands in a temporary folder,
one layout after the other, and removes them. Times are of files in the page cache. ``--profile``
prints where the commands of bandfuse spend theirs instead."""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import anchors
from cubes import BANDS, LAYOUTS, copy, corner, forget, make, path_of

PYTHON, BANDFUSE = sys.executable, [sys.executable, "-m", "bandfuse"]
SUBSET = 30
"""Bands that the small fusion reads."""

READ, MAP, TORCH = "read every block (rasterio)", "map every value (numpy)", "import torch"
"""What trainings are compared with."""

TRAINED: dict[str, tuple[float, float | None]] = {"tiled band": (1.2, 1.5), "ENVI bip": (2.0, None)}
"""By layout the most that a training may take, weights only and with everything, as a ratio."""

SMALL, LEAST = 48, 5
"""Pixels on a side of the cube of 1 MB with which the start-up is measured, and runs at least."""


@dataclass
class Job:
    """A command, what it is a ratio of, and the ratio that is aimed at. ``prints``: it prints its
    own seconds; ``once``: it takes so long that one run must do."""

    command: list[str]
    base: str = ""
    aim: float | None = None
    prints: bool = False
    once: bool = False
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def clock(job: Job, folder: Path) -> None:
    """Run a job: wall seconds, seconds of all processors (user and system), and the peak memory in
    MB."""
    for path in ("copy.tif", "f8.tif", "f3.tif", "vrt.tif", "numpy.tif", "otb.tif"):
        (folder / path).unlink(missing_ok=True)
    start = time.perf_counter()
    # As an installed program runs: with its modules compiled.
    settings = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    child = subprocess.Popen(
        job.command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=settings,
    )
    assert child.stdout is not None
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(job.command)[:300]}")
    job.seconds.append(float(out) if job.prints else time.perf_counter() - start)
    job.cpu.append(usage.ru_utime + usage.ru_stime)
    job.memory.append(usage.ru_maxrss / 1024)


def apart(work: object, *arguments: object) -> None:
    """In a process of its own: a child's peak memory is never below its parent's."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()


def learn_weights(folder: Path) -> None:
    """The weights that are applied: eight outputs of all bands, and three of thirty."""
    how = [
        "--objective",
        "reconstruction",
        "--constraint",
        "free",
        "--init",
        "normal",
        "--steps",
        "0",
        "--starts",
        "1",
    ]
    least = ["--window", "0", "0", "64", "256", "--folds", "0", "--no-fused", "--no-report"]
    for count, bands in ((8, "all"), (3, f"1-{SUBSET}")):
        groups = [part for i in range(count) for part in ("--group", f"g{i}={bands}")]
        clock(
            Job([*BANDFUSE, "train", "tiled-band.tif", *groups, *how, *least, "-o", f"w{count}"]),
            folder,
        )


def jobs_of(layout: str, folder: Path, only: set[str]) -> dict[str, Job]:
    """What is measured on one layout."""
    cube, weights = path_of(folder, layout).name, "weights.safetensors"
    apply = [*BANDFUSE, "apply"]
    train = [*BANDFUSE, "train", cube, "--target", "pan.tif", "-o", "run", "--overwrite"]
    copied = "gdal_translate, tiled copy"
    both = "map and import torch" if layout.startswith("ENVI") else "read and import torch"
    found = {
        READ: Job([PYTHON, "-c", anchors.READ, cube]),
        TORCH: Job([PYTHON, "-c", anchors.TORCH]),
    }
    if layout.startswith("ENVI"):
        found[MAP] = Job([PYTHON, "-c", anchors.MAP, cube])
    if shutil.which("gdal_translate"):
        found[copied] = Job(
            ["gdal_translate", "-q", "-co", "TILED=YES", "-co", "BIGTIFF=YES", cube, "copy.tif"]
        )
    if "apply" in only:
        aim = 0.7 if layout == "tiled band" else 1.0
        found["bandfuse apply, K = 8, all bands"] = Job(
            [*apply, f"w8/{weights}", cube, "-o", "f8.tif"], copied, aim
        )
        small = None if layout in ("tiled pixel", "ENVI bip", "ENVI bil") else 0.35
        found[f"bandfuse apply, K = 3, {SUBSET} bands"] = Job(
            [*apply, f"w3/{weights}", cube, "-o", "f3.tif"], copied, small
        )
    if "train" in only:
        least, most = TRAINED.get(layout, (2.0, None))
        found["bandfuse train, weights only"] = Job(
            [*train, "--no-fused", "--no-report"], both, least
        )
        found["bandfuse train, everything"] = Job(train, both, most)
    if "vrt" in only:
        found |= _virtual(cube, folder)
    if "anchors" in only:
        found |= _anchors(layout, cube, folder)
    return found


def _virtual(cube: str, folder: Path) -> dict[str, Job]:
    """Reading all of an exported VRT, K = 8, by GDAL's program and by rasterio, into a file such as
    apply writes."""
    base = "bandfuse apply, K = 8, all bands"
    weights = "w8/weights.safetensors"
    found = {base: Job([*BANDFUSE, "apply", weights, cube, "-o", "f8.tif"])}
    for form in ("derived", "processed"):
        export = [
            "export",
            weights,
            "--to",
            "vrt",
            "--form",
            form,
            "--scene",
            cube,
            "-o",
            f"{form}.vrt",
            "--overwrite",
        ]
        clock(Job([*BANDFUSE, *export]), folder)
        found[f"VRT, {form}, rasterio"] = Job(
            [PYTHON, "-c", anchors.READ_TO_TILES, f"{form}.vrt"], base
        )
    if shutil.which("gdal_translate"):
        how = [
            part
            for text in (
                "TILED=YES",
                "BLOCKYSIZE=64",
                "COMPRESS=DEFLATE",
                "ZLEVEL=1",
                "INTERLEAVE=BAND",
            )
            for part in ("-co", text)
        ]
        found["VRT, derived, gdal_translate"] = Job(
            ["gdal_translate", "-q", *how, "derived.vrt", "vrt.tif"], base
        )
    return found


def _anchors(layout: str, cube: str, folder: Path) -> dict[str, Job]:
    """Other programs; those that take minutes on one layout only."""
    mine = "bandfuse train, weights only"
    if layout == "ENVI bip":
        return {
            "Spectral Python, PCA from file": Job(
                [PYTHON, "-c", anchors.SPECTRAL, cube], mine, once=True
            )
        }
    if layout != "tiled band":
        return {}
    (folder / "sums.vrt").write_text(anchors.mixture(str(folder / cube), BANDS, 8))
    target = [cube, "pan.tif"]
    found = {
        "numpy, whole array, K = 8": Job([PYTHON, "-c", anchors.NUMPY, cube], once=True),
        "scikit-learn Ridge, with its read": Job(
            [PYTHON, "-c", anchors.RIDGE, *target], mine, once=True
        ),
        "scikit-learn PCA, with its read": Job(
            [PYTHON, "-c", anchors.PCA, *target], mine, once=True
        ),
        f"Adam loop over all pixels, {anchors.ALL_STEPS} steps, from {anchors.STEPS}": Job(
            [PYTHON, "-c", anchors.ADAM, *target], mine, prints=True, once=True
        ),
    }
    if shutil.which("gdal_translate"):
        found["GDAL VRT, 8 sums of 28 bands"] = Job(
            ["gdal_translate", "-q", "-co", "TILED=YES", "sums.vrt", "vrt.tif"]
        )
    if shutil.which("otbcli_BandMathX"):
        found["OTB BandMathX, 8 sums of 28 bands"] = Job(
            anchors.band_math(cube, BANDS, 8), once=True
        )
    return found


def table(layout: str, gb: float, jobs: dict[str, Job]) -> list[str]:
    """Rows of the table: seconds, those of all processors for each GB, peak memory, ratio to the
    base in seconds and in those of all processors, and what is aimed at of the first."""
    wall = _medians({name: job.seconds for name, job in jobs.items()})
    cpu = _medians({name: job.cpu for name, job in jobs.items()})
    rows = []
    for name, job in jobs.items():
        ratio = (
            ""
            if job.base not in wall
            else f"{wall[name] / wall[job.base]:.2f} × {job.base} "
            f"({cpu[name] / cpu[job.base]:.2f} in CPU-s)"
        )
        aim = "" if job.aim is None else f"≤ {job.aim}"
        rows.append(
            f"| {layout} | {gb:g} | {name} | {wall[name]:.2f} | "
            f"{cpu[name] / gb:.2f} | {max(job.memory):.0f} | "
            f"{ratio} | {aim} |"
        )
    return rows


def _medians(every: dict[str, list[float]]) -> dict[str, float]:
    """By name the median; what a training is a ratio of is two jobs, one after the other."""
    found = {name: statistics.median(numbers) for name, numbers in every.items()}
    for name, job in (("read and import torch", READ), ("map and import torch", MAP)):
        if job in found:
            found[name] = found[job] + found[TORCH]
    return found


def measure(layout: str, gb: float, runs: int, only: set[str], folder: Path) -> None:
    """Time everything on one layout in turn, and print its rows."""
    jobs = jobs_of(layout, folder, only)
    for _ in range(runs):
        for job in jobs.values():
            if not (job.once and job.seconds):
                clock(job, folder)
    print("\n".join(table(layout, gb, jobs)), flush=True)  # noqa: T201


def start_up(folder: Path, runs: int) -> None:
    """Print what it takes to begin: the least CPU-seconds of a few runs."""
    apply = ["apply", "w8/weights.safetensors", "small.tif", "-o", "f8.tif"]
    jobs = {
        "bandfuse apply, 1 MB": Job([*BANDFUSE, *apply], aim=0.45),
        "bandfuse --help": Job([*BANDFUSE, "--help"], aim=0.12),
        "import numpy, rasterio, pydantic, typer": Job([PYTHON, "-c", anchors.LIBRARIES]),
    }
    for _ in range(max(runs, LEAST)):
        for job in jobs.values():
            clock(job, folder)
    rows = [
        f"| {name} | {min(job.cpu):.2f} | {'' if job.aim is None else f'≤ {job.aim}'} |"
        for name, job in jobs.items()
    ]
    head = "\n| start-up | CPU-s | aim |\n|---|---|---|"
    print("\n".join([head, *rows]), flush=True)  # noqa: T201


def profile(layout: str, folder: Path, only: set[str]) -> None:
    """Print where each command of bandfuse spends its time, the most expensive first. All threads
    are seen: they are sampled by a thread of their own."""
    for name, job in jobs_of(layout, folder, only - {"anchors"}).items():
        if job.command[: len(BANDFUSE)] == BANDFUSE:
            words = job.command[len(BANDFUSE) :]
            done = subprocess.run(
                [PYTHON, "-c", anchors.SAMPLED, *words], cwd=folder, capture_output=True, text=True
            )
            print(f"{layout}: {name}\n{done.stderr}", flush=True)  # noqa: T201


def main() -> None:
    """Time everything in turn, and print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gb", default="0.25,1,4")
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--layouts", default=",".join(LAYOUTS))
    options.add_argument("--only", default="apply,train,anchors,start")
    options.add_argument("--profile", action="store_true", help="where apply and train spend time")
    given = options.parse_args()
    today, cores = datetime.date.today().isoformat(), len(os.sched_getaffinity(0))
    processor = platform.processor() or platform.machine()
    print(f"{today}, {cores} cores of {processor}, median of {given.runs}\n")  # noqa: T201
    head = "| layout | GB | program | seconds | CPU-s/GB | MB | ratio | aim |"
    print(f"{head}\n|{'---|' * head.count(' | ')}---|")  # noqa: T201
    for gb in map(float, given.gb.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            apart(make, folder, gb)
            learn_weights(folder)
            for layout in given.layouts.split(","):
                if layout != "tiled band":
                    apart(copy, folder, layout)
                if given.profile:
                    profile(layout, folder, set(given.only.split(",")))
                else:
                    measure(layout, gb, given.runs, set(given.only.split(",")), folder)
                if layout != "tiled band":
                    forget(folder, layout)
            if "start" in given.only.split(","):
                corner(folder, SMALL)
                start_up(folder, given.runs)


if __name__ == "__main__":
    main()
