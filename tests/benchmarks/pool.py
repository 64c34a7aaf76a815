"""Memory of pooled training: many scenes, from their files and from their moments.

Usage: ``pool.py [--scenes 300] [--bands 224] [--targets 6] [--side 64] [--only
target,bands,labels,scenes,moments]``. A few scenes are made in a temporary folder, and stand there
under many names; files of moments are those of five scenes under many names too, and take 34 MB
each with 224 bands. For each kind of training the peak memory of the whole process, its processor
time and the time that passed are printed; what was asked for is 1 GB."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from scipy.ndimage import gaussian_filter

DISTINCT, GATHERED = 20, 5
STEP = 1e-4

KINDS: dict[str, tuple[str, ...]] = {
    "target": ("--target", "{stem}_t.tif"),
    "bands": ("--outputs", "6"),
    "labels": ("--labels", "{stem}_l.tif", "--outputs", "3"),
    "scenes": ("--target", "{stem}_t.tif", "--split", "scenes"),
}
"""Flags of a training from files, by its name."""


def name_of(number: int) -> str:
    """What a scene is called."""
    return f"s{number:04d}"


def make(folder: Path, args: argparse.Namespace) -> None:
    """Cubes of int16 of 12 smooth materials, targets of Gaussian responses, and labels."""
    random = np.random.default_rng(0)
    nm = np.linspace(400, 2450, args.bands)
    spectra = np.abs(np.cumsum(random.normal(0, 0.03, (12, args.bands)), axis=1)) + 0.1
    centres = np.linspace(450, 1600, args.targets)[:, None]
    response = np.exp(-0.5 * ((nm - centres) / 40) ** 2)
    response /= response.sum(axis=1, keepdims=True)
    for i in range(min(DISTINCT, args.scenes)):
        share = gaussian_filter(random.normal(size=(12, args.side, args.side)), (0, 3, 3))
        share = np.exp(2 * share / share.std())
        share /= share.sum(axis=0)
        cube = np.tensordot(spectra.T, share, 1)
        cube += random.normal(0, 0.004, cube.shape)
        target = np.tensordot(response, cube, 1)
        target += random.normal(0, 0.004, target.shape)
        write(folder / f"{name_of(i)}.tif", np.rint(cube / STEP).astype("int16"), nm)
        write(folder / f"{name_of(i)}_t.tif", np.rint(target / STEP).astype("int16"))
        write(folder / f"{name_of(i)}_l.tif", share.argmax(axis=0)[None].astype("uint8"))
    for i in range(DISTINCT, args.scenes):
        for end in ("", "_t", "_l"):
            other = folder / f"{name_of(i % DISTINCT)}{end}.tif"
            os.link(other, folder / f"{name_of(i)}{end}.tif")


def write(path: Path, data: np.ndarray, nm: np.ndarray | None = None) -> None:
    """A GeoTIFF, with wavelengths if there are any."""
    count, rows, cols = data.shape
    size = {"count": count, "height": rows, "width": cols, "dtype": data.dtype}
    place = rasterio.transform.from_origin(400_000, 5_000_000, 30, 30)
    with rasterio.open(path, "w", "GTiff", crs="EPSG:32633", transform=place, **size) as ds:
        ds.write(data)
        if data.dtype == np.int16:
            ds.scales = [STEP] * count
        for band, wavelength in enumerate([] if nm is None else nm, 1):
            ds.update_tags(band, wavelength=f"{wavelength:.2f}", wavelength_units="nm")


def gather(folder: Path, scenes: int) -> None:
    """Files of moments; those after the first ones are copies with other names in the header."""
    for i in range(scenes):
        own, first = name_of(i), name_of(i % GATHERED)
        path = folder / f"{own}.moments"
        if own == first:
            run(folder, "moments", f"{own}.tif", "--target", f"{own}_t.tif", "-o", path.name)
            continue
        data = (folder / f"{first}.moments").read_bytes()
        size = 8 + int.from_bytes(data[:8], "little")
        path.write_bytes(data[:size].replace(first.encode(), own.encode()) + data[size:])


def run(folder: Path, *arguments: str) -> str:
    """Run a command; its peak memory and its times."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "bandfuse", *arguments], cwd=folder)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(arguments)}")
    peak, cpu = usage.ru_maxrss / 2**20, usage.ru_utime + usage.ru_stime
    return f"peak {peak:.2f} GB, {cpu:.0f} CPU-s, {time.perf_counter() - start:.0f} s"


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--bands", type=int, default=224)
    parser.add_argument("--targets", type=int, default=6)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--only", default=",".join([*KINDS, "moments"]))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder, args)
        names = [f"{name_of(i)}.tif" for i in range(args.scenes)]
        for kind in args.only.split(","):
            end = ("-o", f"run-{kind}", "--no-fused")
            if kind == "moments":
                gather(folder, args.scenes)
                found = run(folder, "train", "--moments", ".", *end[:2])
            else:
                found = run(folder, "train", *names, *KINDS[kind], *end)
            sys.stdout.write(f"{args.scenes} scenes x {args.bands} bands, {kind}: {found}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
