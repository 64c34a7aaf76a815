"""Acquisition: where and when an image was taken, as catalogues want to know it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.warp import transform_geom

from bandfuse.raster.describe import Raster, opened
from bandfuse.raster.gdal import GDAL_ERRORS
from bandfuse.raster.header_files import said_by

SIDE = 16
"""Points along each side of a footprint: straight lines on a map are none on the globe."""


def footprint(raster: Raster) -> dict[str, Any] | None:
    """The outline in longitude and latitude (WGS 84) as a GeoJSON geometry, counterclockwise, cut
    at the antimeridian; None without a CRS, or with one from which nothing leads there."""
    if raster.crs is None:
        return None
    t = np.arange(SIDE) / SIDE
    zero, one = np.zeros(SIDE), np.ones(SIDE)
    col = np.concatenate([zero, t, one, 1 - t, [0.0]]) * raster.cols
    row = np.concatenate([t, one, 1 - t, zero, [0.0]]) * raster.rows
    a, b, c, d, e, f = raster.transform[:6]
    ring = np.stack([a * col + b * row + c, d * col + e * row + f], axis=1)
    try:
        found: dict[str, Any] = transform_geom(
            raster.crs,
            CRS.from_user_input("OGC:CRS84"),
            {"type": "Polygon", "coordinates": [ring.tolist()]},
        )
    except GDAL_ERRORS:
        return None
    turned = [[_turned(r) for r in part] for part in polygons_in(found)]
    if not all(np.isfinite(r).all() for part in turned for r in part):
        return None
    return {
        "type": found["type"],
        "coordinates": turned if found["type"] == "MultiPolygon" else turned[0],
    }


def polygons_in(geometry: dict[str, Any]) -> list[Any]:
    """The polygons of a geometry, each a list of rings."""
    parts: list[Any] = (
        geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    )
    return parts


def _turned(ring: Any) -> list[list[float]]:
    """A ring, counterclockwise; 1e-9 degrees are a tenth of a millimetre."""
    points = np.asarray(ring, dtype=np.float64)[:, :2]
    x, y = points.T
    area = float(x[:-1] @ y[1:] - x[1:] @ y[:-1])
    result: list[list[float]] = np.round(points if area > 0 else points[::-1], 9).tolist()
    return result


def acquired(raster: Raster) -> datetime | None:
    """When the image was taken, by GDAL's IMAGERY domain or the ENVI header; None where neither
    tells. Times without a zone are in UTC."""
    with opened(raster.path) as ds:
        said = said_by(ds)
        texts = (
            said.of(0, "IMAGERY").get("ACQUISITIONDATETIME"),
            said.of(0, "ENVI").get("acquisition_time"),
        )
    for text in filter(None, texts):
        try:
            found = datetime.fromisoformat(str(text).strip(" {}"))
        except ValueError:
            continue
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return None
