"""Memory of sharpening does not grow with the images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

FINE = Affine(5, 0, 4e5, 0, -5, 5e6)
BANDS = 60

RUN = """
import re
import bandfuse
config = bandfuse.SharpenConfig(
    images=["cube.tif", "sharp.tif"], output="run", blur=0.3, threads=2, overwrite=True,
    co=["COMPRESS=NONE"],
)
bandfuse.sharpen(config)
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


def images(folder: Path, size: int) -> None:
    """A cube and a sharp image with so many pixels along its side."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(3, size // 4, size // 4)).astype(np.float32)
    cube = np.tensordot(rng.normal(size=(BANDS, 3)), base, 1) + 10
    cube += 0.01 * rng.normal(size=cube.shape)
    sharp = np.kron(base[:1], np.ones((1, 4, 4))) + 0.3 * rng.normal(size=(1, size, size))
    for name, values, grid in (("cube", cube, FINE @ Affine.scale(4)), ("sharp", sharp, FINE)):
        count, rows, cols = values.shape
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", count=count, height=rows, width=cols,
            dtype="float32", crs="EPSG:32633", transform=grid,
        ) as ds:  # fmt: skip
            ds.write(values.astype(np.float32))


def peak(folder: Path, size: int) -> float:
    """Megabytes that sharpening takes at most."""
    folder.mkdir()
    images(folder, size)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    return float(done.stdout)


@pytest.mark.thorough
@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells the peak of a process by itself"
)
@pytest.mark.timeout(300)
def test_memory_does_not_grow_with_the_result(tmp_path: Path) -> None:
    """Results of 15 and 240 MB."""
    small, large = peak(tmp_path / "small", 256), peak(tmp_path / "large", 1024)
    assert large < 700
    assert large - small < 150
