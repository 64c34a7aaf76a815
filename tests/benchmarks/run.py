"""`make bench`: whole processes of bandfuse beside anchors, as ratios of medians in one run.

Usage: ``run.py [--gb 0.25] [--runs 3]``. Makes a tiled GeoTIFF of 224 int16 bands in a temporary folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

BANDS, WIDTH = 224, 1536
BANDFUSE = [sys.executable, "-m", "bandfuse"]
READ = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as ds:
    for _, w in ds.block_windows(1):
        ds.read(window=w)
"""


def make(folder: Path, gb: float) -> None:
    """A cube of twelve smooth components with noise, and a panchromatic target of known weights."""
    rows = max(256, round(gb * 2**30 / (BANDS * WIDTH * 2) / 256) * 256)
    random = np.random.default_rng(0)
    mix = np.cumsum(random.normal(size=(BANDS, 12)), axis=0)
    place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 30, 30)}
    common = {
        **place,
        "driver": "GTiff",
        "width": WIDTH,
        "height": rows,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
    }
    cube = rasterio.open(
        folder / "cube.tif", "w", count=BANDS, dtype="int16", interleave="band", nodata=-32768, **common
    )
    pan = rasterio.open(folder / "pan.tif", "w", count=1, dtype="float32", **common)
    with cube, pan:
        for row in range(0, rows, 256):
            parts = random.normal(size=(12, 256, WIDTH))
            noise = 20 * random.normal(size=(BANDS, 256, WIDTH))
            x = np.clip(2000 + 60 * np.tensordot(mix, parts, 1) + noise, -30000, 30000).astype("int16")
            cube.write(x, window=Window(0, row, WIDTH, 256))
            pan.write(x[20:60].mean(axis=0, keepdims=True).astype("float32"), window=Window(0, row, WIDTH, 256))


def clock(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one process."""
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Time everything in turn, and print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gb", type=float, default=0.25)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    train = [*BANDFUSE, "train", "cube.tif", "-o", "run", "--overwrite", "--no-fused", "--no-report"]
    jobs = {
        "read every block (rasterio)": [sys.executable, "-c", READ, "cube.tif"],
        "import torch": [sys.executable, "-c", "import torch"],
        "bandfuse train": [*train, "--target", "pan.tif"],
        "bandfuse apply, K = 8": [
            *BANDFUSE,
            "apply",
            "w8/weights.safetensors",
            "cube.tif",
            "-o",
            "f.tif",
            "--overwrite",
        ],
    }
    if shutil.which("gdal_translate"):
        jobs["gdal_translate, tiled"] = ["gdal_translate", "-q", "-co", "TILED=YES", "cube.tif", "copy.tif"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory is never below its parent's.
        spawn = multiprocessing.get_context("spawn").Process(target=make, args=(folder, given.gb))
        spawn.start()
        spawn.join()
        clock([*train[:-5], "--groups", "equal:8", "--steps", "3", "-o", "w8"], folder)
        times: dict[str, list[tuple[float, float]]] = {job: [] for job in jobs}
        for _ in range(given.runs):
            for job, command in jobs.items():
                times[job].append(clock(command, folder))
    base = statistics.median(t for t, _ in times["read every block (rasterio)"])
    print(f"{given.gb} GB, 224 bands int16, {os.cpu_count()} cores, median of {given.runs}")  # noqa: T201
    for job, runs in times.items():
        seconds, memory = statistics.median(t for t, _ in runs), max(m for _, m in runs)
        print(f"{job:30s} {seconds:7.2f} s   {seconds / base:6.2f} × read   {memory:6.0f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
