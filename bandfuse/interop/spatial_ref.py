"""Spatial reference: where a DataArray lies, in the convention that rioxarray, GDAL and CF share.

A scalar coordinate ``spatial_ref`` carries the attributes ``crs_wkt`` and ``spatial_ref`` (the CRS
as WKT) and ``GeoTransform`` (six numbers in GDAL's order). The encoding of the array names it as
its ``grid_mapping``. Missing values are NaN, and the encoding says so as ``_FillValue``. Sources:
https://corteva.github.io/rioxarray/stable/getting_started/crs_management.html, CF 1.11 section 5.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bandfuse.spectral.bands import Floats

if TYPE_CHECKING:
    from bandfuse.raster import Raster

NAME = "spatial_ref"

IN_METRES = {"metre", "meter", "m"}


def coordinates_of(grid: Raster) -> dict[str, Any]:
    """Coordinates of an array on a grid: ``spatial_ref``, and ``y`` and ``x`` of the pixels'
    centres where rows and columns run along the axes."""
    a, b, c, d, e, f = tuple(grid.transform)[:6]
    found: dict[str, Any] = {}
    if grid.crs is not None or not grid.transform.is_identity:
        attributes = {"GeoTransform": " ".join(repr(float(v)) for v in (c, a, b, f, d, e))}
        if grid.crs is not None:
            wkt = str(grid.crs.to_wkt())
            attributes = {"crs_wkt": wkt, "spatial_ref": wkt, **attributes}
        found[NAME] = ((), 0, attributes)
    if not (b or d):
        found["y"] = ("y", f + e * (np.arange(grid.rows) + 0.5), _axis(grid, "y"))
        found["x"] = ("x", c + a * (np.arange(grid.cols) + 0.5), _axis(grid, "x"))
    return found


def _axis(grid: Raster, name: str) -> dict[str, str]:
    """What CF says of an axis; nothing without a CRS."""
    if grid.crs is None:
        return {}
    if grid.crs.is_geographic:
        word, unit = ("latitude", "degrees_north") if name == "y" else ("longitude", "degrees_east")
        return {"axis": name.upper(), "standard_name": word, "long_name": word, "units": unit}
    unit = str(grid.crs.linear_units)
    return {
        "axis": name.upper(),
        "standard_name": f"projection_{name}_coordinate",
        "long_name": f"{name} coordinate of projection",
        "units": "metre" if unit in IN_METRES else unit,
    }


def encoding_of(array: Any) -> dict[str, Any]:
    """The encoding of an array of floats whose missing values are NaN, with the grid mapping of
    another array, or its own, if there is one."""
    name = _mapping(array)
    return {"_FillValue": np.nan, **({"grid_mapping": name} if name else {})}


def _mapping(array: Any) -> str:
    """The name of the coordinate that tells the CRS; empty for none."""
    said = array.encoding.get("grid_mapping", array.attrs.get("grid_mapping"))
    return next((n for n in (said, NAME, "crs") if n is not None and n in array.coords), "")


def without_fill(array: Any) -> Any:
    """An array with NaN where it has the number that its attributes declare to be missing. Arrays
    that were opened with masking have no such attribute."""
    fill = array.attrs.get("_FillValue")
    if fill is None or not np.isfinite(float(fill)):
        return array
    return array.where(array != fill)


def crs_of(array: Any) -> str | None:
    """The CRS of an array, as WKT or what else rasterio reads; None where it does not say."""
    name = _mapping(array)
    said = array.coords[name].attrs if name else {}
    found = said.get("crs_wkt") or said.get("spatial_ref") or array.attrs.get("crs")
    return None if found is None else str(found)


def transform_of(array: Any, y: str, x: str) -> tuple[float, ...] | None:
    """(a, b, c, d, e, f) of an array: from its ``GeoTransform``, else from coordinates of its rows
    and columns that are evenly spaced; None where neither says it."""
    name = _mapping(array)
    text = array.coords[name].attrs.get("GeoTransform") if name else None
    rows, cols = (_spaced(array, dim) for dim in (y, x))
    if rows is not None and cols is not None:
        (f, e), (c, a) = rows, cols
        return a, 0.0, c, 0.0, e, f
    if text is None or any(dim in array.coords for dim in (y, x)):
        return None
    c, a, b, f, d, e = (float(word) for word in str(text).split())
    return a, b, c, d, e, f


EVEN = 1e-3
"""How far the steps between pixels may differ, in pixels."""


def _spaced(array: Any, dim: str) -> tuple[float, float] | None:
    """Where a dimension begins, at the edge of its first pixel, and its step; None where
    coordinates do not say it."""
    if dim not in array.coords or array.coords[dim].dtype.kind not in "iuf":
        return None
    centres: Floats = np.asarray(array.coords[dim].values, dtype=np.float64)
    if len(centres) < 2 or not np.isfinite(centres).all():
        return None
    step = float(centres[-1] - centres[0]) / (len(centres) - 1)
    even = centres[0] + step * np.arange(len(centres))
    if not step or np.abs(centres - even).max() > EVEN * abs(step):
        return None
    return float(centres[0]) - step / 2, step
