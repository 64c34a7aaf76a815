"""Ground: whether a new raster lies where it should."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.warp import transform

from bandfuse.errors import OutputError
from bandfuse.raster.describe import SAME_PLACE, Raster, apart, crs_name
from bandfuse.raster.drivers import Driver
from bandfuse.raster.gdal import GDAL_ERRORS, unplaced_quietly

TRIAL = 16
"""Rows and columns of the raster that is made to see what a driver keeps of a grid."""


def require_place(driver: Driver, name: str, like: Raster, dtype: str) -> None:
    """Refuse a driver that would put a grid elsewhere, by a small raster that it makes in a
    temporary folder.

    Raises
    ------
    OutputError : the small raster lies elsewhere.

    """
    a, b, _, d, e, _ = like.transform[:6]
    if driver.exact or (a > 0 > e and not (b or d)):
        return
    rows, cols = min(TRIAL, like.rows), min(TRIAL, like.cols)
    lost = ""
    with TemporaryDirectory() as folder, suppress(*GDAL_ERRORS, ValueError, TypeError):
        path = Path(folder) / f"trial{Path(name).suffix}"
        how = {"width": cols, "height": rows, "count": 1, "dtype": dtype}
        with rasterio.open(path, "w", driver=driver.name, **how, **driver.place(like)) as ds:
            ds.write(np.zeros((1, rows, cols), dtype))
        with unplaced_quietly(), rasterio.open(path) as ds:
            lost = displaced(ds, like, driver)
    if lost:
        raise misplaced(name, driver.name, lost)


def displaced(ds: Any, like: Raster, driver: Driver) -> str:
    """What an open dataset says otherwise of its place than a raster does; empty if it says the
    same."""
    control = like.control
    if control.points and like.transform.is_identity and driver.keeps_control:
        points, crs = ds.gcps
        same = len(points) == len(control.points) and _same_crs(
            control.crs, crs, points[0].x, points[0].y, 1e-6
        )
        if not (
            same and np.allclose(_table(points), _table(control.points), rtol=1e-12, atol=1e-9)
        ):
            return (
                f"{len(points)} of {len(control.points)} ground control points as they are in "
                f"{like.path}"
            )
    if control.rpcs is not None and ds.rpcs is None and driver.keeps_control:
        return "no RPCs"
    if not like.transform.is_identity and (off := apart(like, ds.transform)) > SAME_PLACE:
        return f"a grid that is off by {off:.3g} pixels"
    x, y = like.transform @ (like.cols / 2, like.rows / 2)
    pixel = abs(like.transform.determinant) ** 0.5
    if like.crs is not None and not _same_crs(like.crs, ds.crs, x, y, SAME_PLACE * pixel):
        return crs_name(ds.crs)
    return ""


def misplaced(name: str, driver: str, lost: str) -> OutputError:
    """The error of a driver that cannot hold the place of a raster."""
    return OutputError(
        f"{name} would not lie where the scene does: {driver} cannot hold its place",
        got=lost,
        expected="the place of the scene",
        remedy="Use another driver, such as GTiff.",
    )


def _table(points: Any) -> np.ndarray:
    return np.array([(p.row, p.col, p.x, p.y, p.z or 0.0) for p in points], dtype=np.float64)


def _same_crs(one: CRS | None, other: CRS | None, x: float, y: float, near: float) -> bool:
    """Whether a position has the same coordinates in both: drivers write one CRS in several
    ways."""
    if one is None or other is None or one == other:
        return one == other
    try:
        (u,), (v,) = transform(one, other, [x], [y])
    except GDAL_ERRORS:  # a local CRS, from which nothing leads anywhere
        return not (
            one.is_projected or one.is_geographic or other.is_projected or other.is_geographic
        )
    return bool(np.hypot(u - x, v - y) <= near)
