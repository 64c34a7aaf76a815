"""What a warp costs that is known: the ground under a real cube lies warped, the sharp image as it
was measured."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from sharp_images import seen
from warps import beneath, on_coarse, quadratic

from bandfuse.sharpening.arrays import learn_gains, sharpened
from bandfuse.sharpening.pairs.field import found_field
from bandfuse.sharpening.pairs.kernels import Axis
from bandfuse.sharpening.pairs.moved import moved_read
from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading
from bandfuse.sharpening.pairs.ranges import Range

Floats = NDArray[np.float64]
RATIO, AROUND = 4, 44
DATA = os.environ.get("BANDFUSE_REAL_DATA")


def warped(name: str) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """The true cube, the cube, a panchromatic image that lies on it, the one that was measured, on
    more ground around, and the field (2, h, w) in pixels of the cube that brings it there."""
    with rasterio.open(Path(str(DATA)) / "unmixing" / name) as ds:
        nm = np.array([float(ds.tags(i)["wavelength"]) for i in ds.indexes])
        measured = ds.read().astype(np.float64)
    rows, cols = (n // RATIO * RATIO for n in measured.shape[1:])
    wide = ((0, 0), (AROUND, AROUND), (AROUND, AROUND))
    ground = np.pad(measured[:, :rows, :cols], wide, mode="reflect")
    field = quadratic((rows, cols), 3.0 * RATIO, 0, wide=AROUND)
    inner = slice(None), slice(AROUND, -AROUND), slice(AROUND, -AROUND)
    rng = np.random.default_rng(0)

    def noisy(values: Floats) -> Floats:
        spread = values.std(axis=(1, 2), keepdims=True)
        return values + 0.01 * spread * rng.normal(size=values.shape)

    under = beneath(ground, field)
    truth = under[inner]
    visible = (nm >= 450) & (nm <= 700)
    there, bent = (noisy(image[visible].mean(axis=0)[None]) for image in (under, ground))
    return truth, noisy(seen(truth, RATIO)), there, bent, on_coarse(field[inner], RATIO)


def psnr(values: Floats, truth: Floats) -> float:
    inner = slice(None), slice(RATIO, -RATIO), slice(RATIO, -RATIO)
    values, truth = values[:, AROUND:-AROUND, AROUND:-AROUND][inner], truth[inner]
    squares = np.square(values - truth).mean(axis=(1, 2))
    return float((10 * np.log10(truth.max(axis=(1, 2)) ** 2 / squares)).mean())


@pytest.mark.thorough
@pytest.mark.skipif(
    not DATA, reason="BANDFUSE_REAL_DATA is not set to a folder with the real cubes"
)
@pytest.mark.parametrize("name", ["jasper_198b.tif", "samson_156b.tif"])
def test_a_field_is_found_and_costs_little(name: str) -> None:
    truth, cube, there, bent, field = warped(name)
    axes = (
        Axis(n, n_coarse, RATIO, AROUND)
        for n, n_coarse in zip(there.shape[1:], cube.shape[1:], strict=True)
    )
    geometry = Geometry(*axes)
    found = found_field(Pair(geometry, 0.3, reading(cube), reading(bent)))
    assert found is not None
    rows, cols = np.mgrid[: cube.shape[1], : cube.shape[2]]
    off = np.stack(found.field.at(rows, cols)) - field
    assert np.sqrt(np.square(off).sum(axis=0).mean()) < 0.03
    moved = moved_read(reading(bent), geometry, found.field)
    whole = moved(*(Range(0, n) for n in geometry.fine))
    scores = []
    for image in (there, whole):
        gains = learn_gains(cube, [image], geometry, blur=0.3)
        scores.append(psnr(sharpened(cube, [image], gains, geometry), truth))
    assert scores[0] - scores[1] < 0.2
