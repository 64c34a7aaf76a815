"""How many errors of fused pixels lie within their 90 % intervals, and whether standard deviations
follow errors, on real cubes.

Usage: ``intervals.py DATA``. DATA is the folder of the real cubes. Each cube is cut in two across
its longer side; weights are learned on one half, and fused with ``--uncertainty`` over the other,
and the other way round. Targets are the bands of Sentinel-2A (noise of 40 dB) of an AVIRIS, a
Jasper Ridge and a HyMap cube; and for Berlin bands of EnMAP at 30 m, of which HyMap pixels are
averaged, with the displacement between both taken away (``put``) and as it is (``left``). Printed
are, least and most over both halves and all outputs: the coverage on held-out blocks of the half
that is learned from, with the scale of the other folds, and on the other half; and the rank
correlations of standard deviations with the sizes of errors. Last come the parts of the pixels
above 0.99 of ``extrapolation``: water and land of Jasper Ridge under weights of its land, and
Samson under weights of Jasper Ridge, on shared bands and of one brightness."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from recovery import responses
from scipy.ndimage import binary_dilation
from scipy.stats import spearmanr

import bandfuse
from bandfuse import ApplyConfig, TrainConfig

RATIO, MOVED = 30 / 9, (-0.6, 0.3)
"""Fine pixels along one of EnMAP's, and where these lie: rows and columns of their own."""

EVERY = slice(10, None, 25)
"""Bands of EnMAP that are targets."""


def cube_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(B, rows, cols) of the bands that vary, and their wavelengths, in rising order."""
    image = bandfuse.open(str(path))
    cube, nm = image.read().astype(np.float64), image.bands.wavelength_nm
    good = np.flatnonzero(np.isfinite(cube).all(axis=(1, 2)) & (cube.std(axis=(1, 2)) > 0))
    order = good[np.argsort(nm[good], kind="stable")]
    return cube[order], nm[order]


def written(path: Path, cube: np.ndarray, nm: np.ndarray | None = None) -> str:
    """A raster of float32, with its wavelengths."""
    count, rows, cols = cube.shape
    how = {
        "dtype": "float32",
        "nodata": np.nan,
        "transform": from_origin(500_000, 5_000_000, 30, 30),
    }
    with rasterio.open(path, "w", "GTiff", cols, rows, count, **how) as file:
        file.write(cube.astype(np.float32))
        for i, at in enumerate(() if nm is None else nm):
            file.update_tags(i + 1, wavelength=f"{at:.4f}", wavelength_units="Nanometers")
    return str(path)


def made_up(cube: np.ndarray, nm: np.ndarray, table: Path) -> np.ndarray:
    """(K, rows, cols) of published responses, with white noise of 40 dB."""
    target = np.tensordot([*responses(str(table), nm).values()], cube, 1)
    noise = np.random.default_rng(0).normal(size=target.shape)
    return target + 0.01 * noise * target.std(axis=(1, 2), keepdims=True)


def averaged(cube: np.ndarray, shape: tuple[int, int], moved: tuple[float, float]) -> np.ndarray:
    """(B, rows, cols) means of fine pixels by the area that they share with coarse ones; NaN where
    these leave the fine image."""
    weights = []
    for count, fine, step in zip(shape, cube.shape[1:], moved, strict=True):
        start = (np.arange(count)[:, None] + step) * RATIO
        edge = np.arange(fine)[None, :]
        shared = np.clip(np.minimum(start + RATIO, edge + 1) - np.maximum(start, edge), 0, None)
        inside = (start >= 0) & (start + RATIO <= fine + 1e-9)
        weights.append(np.where(inside, shared / RATIO, np.nan))
    rows, cols = weights
    found: np.ndarray = np.einsum("ir,brc,jc->bij", rows, cube, cols)
    return found


def learned(folder: Path, cube: np.ndarray, nm: np.ndarray, target: np.ndarray) -> list[dict]:
    """Learn weights in ``folder/run``: what the report says of the errors of its outputs."""
    scene, wanted = written(folder / "a.tif", cube, nm), written(folder / "t.tif", target)
    config = TrainConfig(
        scenes=[scene],
        target=wanted,
        output=str(folder / "run"),
        overwrite=True,
        registration="off",
        no_fused=True,
        no_report=True,
    )
    bandfuse.train(config)
    report = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    return [output["error"] for output in report["trust"]["outputs"]]


def fused(folder: Path, cube: np.ndarray, nm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of another cube, and the bands of their uncertainty."""
    config = ApplyConfig(
        scenes=[written(folder / "b.tif", cube, nm)],
        output=str(folder / "y.tif"),
        uncertainty=str(folder / "s.tif"),
        overwrite=True,
    )
    bandfuse.apply(str(folder / "run"), config)
    with rasterio.open(folder / "y.tif") as y, rasterio.open(folder / "s.tif") as s:
        return y.read().astype(np.float64), s.read().astype(np.float64)


def told(line: str) -> None:
    """Print a line as soon as it is known."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def across(folder: Path, name: str, cube: np.ndarray, nm: np.ndarray, target: np.ndarray) -> None:
    """Print what is found of both halves of a cube."""
    axis = 1 if cube.shape[1] >= cube.shape[2] else 2
    both = list(zip(*(np.array_split(a, 2, axis=axis) for a in (cube, target)), strict=True))
    rows: dict[str, list[float]] = {key: [] for key in ("held", "held rank", "other", "other rank")}
    for (here, known), (there, truth) in (both, both[::-1]):
        errors = learned(folder, here, nm, known)
        rows["held"] += [e["coverage"] for e in errors]
        rows["held rank"] += [e["rank"] for e in errors]
        y, sd = fused(folder, there, nm)
        for k in range(len(truth)):
            off, own = np.abs(y[k] - truth[k]), sd[k]
            seen = np.isfinite(off) & np.isfinite(own)
            rows["other"].append(float((off <= 1.645 * own)[seen].mean()))
            rows["other rank"].append(float(spearmanr(off[seen], own[seen]).statistic))
    said = (f"{key} {min(v):.3f} to {max(v):.3f}" for key, v in rows.items())
    told(f"{name:30s} {'; '.join(said)}")


def outside(folder: Path, jasper: Path, samson: Path, table: Path) -> None:
    """Print which parts of other surfaces lie outside."""
    cube, nm = cube_of(jasper)
    target = made_up(cube, nm, table)
    green, nir = (cube[np.argmin(np.abs(nm - at))] for at in (560, 860))
    water = green > nir
    near = binary_dilation(water, iterations=2)
    learned(folder, np.where(near, np.nan, cube), nm, target)
    far = fused(folder, cube, nm)[1][-1] > 0.99
    other, other_nm = cube_of(samson)
    shared = (nm > other_nm.min()) & (nm < other_nm.max())
    moved = np.apply_along_axis(lambda v: np.interp(nm[shared], other_nm, v), 0, other)
    moved *= np.median(cube[shared]) / np.median(moved)
    learned(folder, cube[shared], nm[shared], target)
    gone = fused(folder, moved, nm[shared])[1][-1] > 0.99
    parts = far[water].mean(), far[~near].mean(), gone.mean()
    told("above 0.99: water {:.4f}, land {:.4f}; another scene {:.4f}".format(*parts))


def main(data: Path) -> None:
    """Print the table."""
    table = data / "srf" / "sentinel2a_msi_1nm.csv"
    berlin = data / "berlin_pair_9m_30m"
    fine, coarse = (
        berlin / f"{name}_Berlin_Urban_Gradient_2009.bsq" for name in ("HyMap02", "EnMAP01")
    )
    unmixing = data / "unmixing"
    jasper, samson = unmixing / "jasper_198b.tif", unmixing / "samson_156b.tif"
    aviris = next((data / "aviris_rotated_unsorted").glob("*.bsq"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, path in (("AVIRIS", aviris), ("Jasper Ridge", jasper), ("HyMap", fine)):
            cube, nm = cube_of(path)
            across(folder, f"{title}, Sentinel-2A", cube, nm, made_up(cube, nm, table))
        (cube, nm), target = cube_of(fine), cube_of(coarse)[0][EVERY]
        for title, moved in (("put", MOVED), ("left", (0.0, 0.0))):
            seen = averaged(cube, target.shape[1:], moved)
            across(folder, f"Berlin, EnMAP, {title}", seen, nm, target)
        outside(folder, jasper, samson, table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
