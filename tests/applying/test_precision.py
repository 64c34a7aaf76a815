"""Both precisions of apply: the same bits for every layout, thread, memory and worker, and within
what is promised of the dense product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from helpers import fusion_of, same_bits
from makers import pickled
from rasters import read, write_tiff
from realdata import DATA, MISSING, THERE

from bandfuse.config.commands import ApplyConfig
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.model.model import Model
from bandfuse.model.stored import PROMISE
from bandfuse.model.weightsfile import dumps
from bandfuse.raster import Reader, describe
from bandfuse.streaming.stream import whole
from bandfuse.streaming.windows import Window
from bandfuse.tools.apply import apply

BANDS, SHAPE, FILL = 40, (150, 300), -32768
TILED = {"tiled": True, "blockxsize": 256, "blockysize": 64}
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiled-band": {**TILED, "interleave": "band"},
    "tiled-pixel": {**TILED, "interleave": "pixel"},
    "zstd": {**TILED, "interleave": "band", "compress": "zstd", "predictor": 2},
    "deflate": {**TILED, "interleave": "pixel", "compress": "deflate"},
    "bsq": {"driver": "ENVI", "interleave": "bsq"},
    "bil": {"driver": "ENVI", "interleave": "bil"},
    "bip": {"driver": "ENVI", "interleave": "bip"},
}
"""Creation options of each layout."""


def cube() -> np.ndarray:
    """Correlated bands; a few pixels lack some values, and a corner of one cell all of them."""
    random = np.random.default_rng(2)
    common = random.integers(0, 6000, SHAPE)
    values = (common + random.integers(-300, 300, (BANDS, *SHAPE))).astype("int16")
    values[7, 20, 30] = values[3, 149, 299] = FILL
    values[:, 64:70, 256:260] = FILL
    return values


def written(folder: Path, layout: str, values: np.ndarray) -> str:
    """The cube in a layout."""
    how = LAYOUTS[layout]
    if "driver" not in how:
        return write_tiff(folder / f"{layout}.tif", values, nodata=FILL, **how)
    path = str(folder / f"{layout}.img")
    size = {"count": BANDS, "height": SHAPE[0], "width": SHAPE[1]}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(30, 0, 5e5, 0, -30, 5e6)}
    with rasterio.open(path, "w", dtype="int16", nodata=FILL, **size, **place, **how) as ds:
        ds.write(values)
    return path


def weights(folder: Path, fusion: Fusion) -> str:
    path = folder / "w.safetensors"
    path.write_bytes(dumps(Model(fusion)))
    return str(path)


def fused(path: Path, weights: str, scene: str, **how: Any) -> np.ndarray:
    spread = how.pop("spread", None)
    settings = ApplyConfig(scenes=[scene], output=str(path), overwrite=True, **how)
    apply(weights, settings, spread=spread)
    return read(path)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("precision", ["auto", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_every_layout_and_every_way_gives_the_same_bits(
    tmp_path: Path, precision: str, dtype: str
) -> None:
    values, random = cube(), np.random.default_rng(4)
    matrix = random.normal(size=(8, BANDS))
    chosen = weights(tmp_path, fusion_of(matrix))
    pickled.seen = []  # type: ignore[attr-defined]
    how: dict[str, Any] = {"precision": precision, "dtype": dtype}
    how |= {} if dtype == "float32" else {"scale": 10.0}
    out, first = tmp_path / "out.tif", None
    for i, layout in enumerate(LAYOUTS):
        scene = written(tmp_path, layout, values)
        for threads, memory in ((1 + i % 3, 16), (2, 400)):
            found = fused(out, chosen, scene, threads=threads, memory=memory, **how)
            first = found if first is None else first
            same_bits(found, first)
        same_bits(fused(out, chosen, scene, threads=1, spread=pickled, **how), first)
        part = fused(out, chosen, scene, window=(40, 100, 60, 180), **how)
        same_bits(part, first[:, 40:100, 100:280])
    assert first is not None
    if dtype == "float32":
        x = values.astype(np.float64)
        missing = (values == FILL).any(axis=0)
        exact, size = np.tensordot(matrix, x, 1), np.tensordot(np.abs(matrix), np.abs(x), 1)
        error = PROMISE * (precision == "auto") * size + np.spacing(np.abs(first)) / 2
        assert np.isnan(first[:, missing]).all()
        assert (np.abs(first - exact) <= error * (1 + 1e-9))[:, ~missing].all()


REAL = (
    "aviris_rotated_unsorted/AV_mastercal_testdata.bsq",
    "emit_10x10_bil/emit20250324t221005_jpl_unmix_ex",
    "corn_kernel_bil/corn-kernel-hyperspectral.raw",
    "avirisng_radiance/ang20160910t185702_2rdn_img",
    "berlin_pair_9m_30m/EnMAP02_Berlin_Urban_Gradient_2009.bsq",
)


@pytest.mark.skipif(not THERE, reason=MISSING)
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("precision", ["auto", "float64"])
def test_real_cubes_are_fused_within_the_promise(tmp_path: Path, name: str, precision: str) -> None:
    scene = str(DATA / name)
    raster = describe(scene)
    n = len(raster.bands)
    matrix = np.random.default_rng(1).random((4, n)) - [[0.0], [0.5], [0.3], [0.0]]
    matrix[3] = 1 / n
    fusion = fusion_of(matrix)
    how = {"precision": precision, "any_units": True}
    found = fused(tmp_path / "out.tif", weights(tmp_path, fusion), scene, **how)
    rows = min(raster.rows, 128)
    with Reader([(raster, range(n))]) as reader:
        x = whole(reader, Window(0, 0, rows, raster.cols)).reshape(n, -1)
    exact = FusionKernel(fusion)(x).reshape(4, rows, -1)
    size = (np.abs(matrix) @ np.abs(np.nan_to_num(x, posinf=0, neginf=0))).reshape(exact.shape)
    here = found[:, :rows]
    assert np.array_equal(np.isnan(here), np.isnan(exact))
    error = PROMISE * (precision == "auto") * size + np.spacing(np.abs(here)) / 2
    assert (np.abs(here - exact) <= error * (1 + 1e-6))[~np.isnan(exact)].all()
