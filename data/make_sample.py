"""Make the tracked sample: made-up images with known answers.

Run from the repository's root: ``python data/make_sample.py``.

::

    cube.tif, target.tif            a hyperspectral cube, and four bands fused from it with noise
    true_weights.csv                the weights that made the target
    fields.geojson                  areas of one kind of land each, for separating classes
    may.tif, july.tif, june.tif     two dates of one place, and one between them: in each band
                                    june = w · may + (1 − w) · july, with noise
    coarse.tif                      cube.tif with pixels of three times the side, to be sharpened
"""

import json
from pathlib import Path

import numpy as np
from rasterio.warp import transform
from scipy.optimize import nnls

from bandfuse.raster import Encoding, blank, write_array
from bandfuse.spectral.bands import Bands
from bandfuse.synthetic import MATERIALS, SyntheticScene, library, scene
from bandfuse.tools.demo import write_scene

MAY_SHARES = (0.35, 0.4, 0.45, 0.7)
"""Of the bands of june.tif, blue to near infrared: the share that is may.tif."""

LEAVES = np.array([0.03, 0.07, 0.035, 0.48])
STRAW = np.array([0.09, 0.14, 0.19, 0.30])
"""Reflectance in the four bands of what grows or ripens between the dates."""

NOISE = 0.001
"""Standard deviation of the noise of june.tif, in reflectance."""

CLASSES = ("crop", "straw", "brown soil", "forest")
PURE = 0.55
"""The share of a pixel that its material has at least, for it to be in an area of its class."""

COARSE = 3
"""Pixels of cube.tif along the side of one of coarse.tif."""

AREAS = 6
SMALLEST = 9
"""Areas per class at most, and pixels of an area at least."""


def make(folder: Path) -> None:
    """Write the sample into a folder that exists."""
    sample = scene(rows=48, cols=60, n_bands=124, seed=7)
    write_scene(sample, folder)
    write_dates(sample, folder)
    write_fields(sample, folder)
    write_coarse(sample, folder)


def write_coarse(sample: SyntheticScene, folder: Path) -> None:
    """Write every second band of the cube as a sensor with larger pixels sees it: means over
    squares of pixels, missing where one of them is."""
    rows, cols = (size // COARSE for size in sample.valid.shape)
    kept = slice(0, rows * COARSE), slice(0, cols * COARSE)
    squares = (rows, COARSE, cols, COARSE)
    mean = sample.cube[::2, *kept].astype(np.float64).reshape(-1, *squares).mean(axis=(2, 4))
    there = sample.valid[kept].reshape(squares).all(axis=(1, 3))
    stored = np.where(there, np.rint(mean), sample.nodata).astype(np.int16)
    a, b, c, d, e, f = sample.transform
    grid = blank(rows, cols, (a * COARSE, b, c, d, e * COARSE, f), sample.epsg)
    encoding = Encoding("int16", sample.scale, 0.0, float(sample.nodata))
    bands = sample.bands.take(range(0, len(sample.bands), 2))
    write_array(folder / "coarse.tif", stored, grid, bands, encoding)


def write_dates(sample: SyntheticScene, folder: Path) -> None:
    """Write three dates: some land turns green until July, some ripens, and some stays."""
    random = np.random.default_rng(11)
    may = sample.target.astype(np.float64)
    rows, cols = may.shape[1:]
    y, x = np.mgrid[0:rows, 0:cols]
    wave = np.sin(0.19 * x + 0.07 * y) * np.cos(0.16 * y - 0.05 * x)
    grown, ripe = np.clip(wave, 0, 1), np.clip(-wave, 0, 1)
    july = may + grown * (LEAVES[:, None, None] - may) + ripe * (STRAW[:, None, None] - may)
    share = np.array(MAY_SHARES)[:, None, None]
    june = share * may + (1 - share) * july + NOISE * random.standard_normal(may.shape)
    grid = blank(rows, cols, sample.transform, sample.epsg)
    bands = Bands.of(
        sample.target_names,
        source="date",
        wavelength_nm=list(sample.target_wavelength_nm),
        fwhm_nm=list(sample.target_fwhm_nm),
    )
    for name, image in (("may", may), ("july", july), ("june", june)):
        stored = np.where(np.isnan(image), sample.nodata, np.rint(image / sample.scale))
        encoding = Encoding("int16", sample.scale, 0.0)
        write_array(folder / f"{name}.tif", stored.astype(np.int16), grid, bands, encoding)


def materials(sample: SyntheticScene) -> np.ndarray:
    """(H, W) the number of the material that most of a pixel is; -1 where none is pure enough."""
    good = sample.bands.good
    spectra = library(sample.bands.wavelength_nm[good], spread=0.0)[:, 0]
    pixels = sample.cube[good].reshape(good.sum(), -1).T * sample.scale
    parts = np.array([nnls(spectra.T, pixel.clip(0))[0] for pixel in pixels])
    shares = parts / parts.sum(axis=1, keepdims=True).clip(1e-9)
    found = np.where(shares.max(axis=1) >= PURE, shares.argmax(axis=1), -1)
    return np.where(sample.valid, found.reshape(sample.valid.shape), -1)


def largest_area(there: np.ndarray) -> tuple[int, int, int, int]:
    """The first and last row and column of the largest rectangle that is all true."""
    rows, cols = there.shape
    total = np.pad(there.astype(int).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best, size = (0, 0, 0, 0), 0
    for top, left in zip(*np.nonzero(there), strict=True):
        for bottom in range(top + 1, min(top + 12, rows) + 1):
            for right in range(left + 1, min(left + 12, cols) + 1):
                area = (bottom - top) * (right - left)
                inside = (total[bottom, right] - total[top, right] - total[bottom, left]) + total[
                    top, left
                ]
                if area > size and inside == area:
                    best, size = (int(top), int(bottom), int(left), int(right)), area
    return best


def write_fields(sample: SyntheticScene, folder: Path) -> None:
    """Write rectangles of one kind of land as polygons in longitude and latitude."""
    kinds = materials(sample)
    a, _, x, _, e, y = sample.transform
    features = []
    for name in CLASSES:
        there = kinds == list(MATERIALS).index(name)
        for _ in range(AREAS):
            top, bottom, left, right = largest_area(there)
            if (bottom - top) * (right - left) < SMALLEST:
                break
            there[top:bottom, left:right] = False
            corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
            east, north = [x + a * c for c, _ in corners], [y + e * r for _, r in corners]
            lon, lat = transform(f"EPSG:{sample.epsg}", "EPSG:4326", east, north)
            ring = [[round(u, 7), round(v, 7)] for u, v in zip(lon, lat, strict=True)]
            features.append(
                {
                    "type": "Feature",
                    "properties": {"land": name},
                    "geometry": {"type": "Polygon", "coordinates": [ring]},
                }
            )
    lines = ",\n".join(json.dumps(f) for f in features)
    text = f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}\n'
    (folder / "fields.geojson").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    folder = Path(__file__).parent / "sample"
    folder.mkdir(exist_ok=True)
    make(folder)
    print(*(f"{p.name}: {p.stat().st_size} bytes" for p in sorted(folder.iterdir())), sep="\n")
