"""Vector files for tests: shapes in pixels of small rasters, by pyogrio or as JSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from rasterio.transform import Affine
from rasterio.warp import transform_geom
from rasters import NORTH_UP, UTM

SUFFIXES = {".shp": "ESRI Shapefile", ".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf"}
"""The driver of each format that masks and labels can be in."""


def box(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    """A rectangle in pixels: columns from left to right, rows from top to bottom."""
    return shapely.box(left, top, right, bottom)


def on_map(shape: Any, crs: str = UTM, affine: Affine = NORTH_UP) -> Any:
    """A shape in pixels of the small rasters, on the map: in their CRS, or brought to another."""
    placed = shapely.transform(shape, lambda xy: np.stack(affine @ (xy[:, 0], xy[:, 1]), axis=1))
    if crs == UTM:
        return placed
    return shapely.geometry.shape(transform_geom(UTM, crs, shapely.geometry.mapping(placed)))


def write_vector(
    path: Path,
    shapes: Sequence[Any],
    fields: dict[str, Sequence[Any]] | None = None,
    *,
    crs: str | None = UTM,
    layer: str | None = None,
    append: bool = False,
    geometry_type: str = "Polygon",
) -> str:
    """Write shapes in a format by the file's ending; gives the path. None is no geometry."""
    columns = {
        name: np.array(values, dtype=_kind(values)) for name, values in (fields or {}).items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no CRS
        pyogrio.raw.write(
            path,
            np.array([None if s is None else shapely.to_wkb(s) for s in shapes], dtype=object),
            list(columns.values()),
            np.array(list(columns)),
            driver=SUFFIXES[path.suffix],
            layer=layer,
            geometry_type=geometry_type,
            crs=crs,
            append=append,
        )
    return str(path)


def _kind(values: Sequence[Any]) -> Any:
    return object if any(isinstance(v, str) or v is None for v in values) else None


def write_json(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def features(
    shapes: Sequence[Any], fields: dict[str, Sequence[Any]], crs: str | None = UTM
) -> dict[str, Any]:
    """A GeoJSON collection, with the "crs" member of the older GeoJSON."""
    rows = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    found = [
        {
            "type": "Feature",
            "properties": row,
            "geometry": None if shape is None else shapely.geometry.mapping(shape),
        }
        for shape, row in zip(shapes, rows, strict=True)
    ]
    member = None if crs is None else {"type": "name", "properties": {"name": crs}}
    return {"type": "FeatureCollection", "features": found, "crs": member}
