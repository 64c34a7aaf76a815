"""GeoJSON: polygons and properties from a text.

GDAL does not read it here, as it makes the best of everything: a CRS that it does not know, and
``"crs": null``, become WGS 84, and a polygon with an open ring is left out, without an error (GDAL
3.12). All of that is told here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError

from bandfuse.errors import InputError, shorten
from bandfuse.files.textfile import JSON, text_of
from bandfuse.raster.gdal import CACHE
from bandfuse.spectral.bands import Floats

LONGEST = 300
"""Characters that are shown of what is wrong."""


def is_json(path: Path) -> bool:
    """Whether a file is GeoJSON, by its name or its first character."""
    if not path.is_file():
        return False
    start = start_of(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    return path.suffix.lower() in (".geojson", ".json") or start.startswith(b"{")


def start_of(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(64)


def read_geojson(path: str, what: str) -> Any:
    """The content of a GeoJSON file; ``what`` it is for is named in errors.

    Raises
    ------
    InputError : it cannot be read.
    """
    try:
        return json.loads(text_of(path, "polygons in GeoJSON", JSON))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{what} {path} is not GeoJSON", got=str(error), expected="polygons in GeoJSON"
        ) from error


def crs_of(name: str, content: Any) -> CRS | None:
    """WGS 84 (RFC 7946), or what a "crs" member of the older GeoJSON says; None for the scene's own
    coordinates."""
    if not isinstance(content, dict) or "crs" not in content:
        return CRS.from_epsg(4326)
    if content["crs"] is None:
        return None
    try:
        with rasterio.Env(**CACHE):  # where GDAL's own messages go to the log
            return CRS.from_user_input(content["crs"]["properties"]["name"])
    except (CRSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{name} has a CRS that is not known",
            got=json.dumps(content["crs"])[:LONGEST],
            expected='such as {"type": "name", "properties": {"name": "EPSG:32633"}}',
        ) from error


def polygons_of(name: str, node: Any) -> Iterator[Any]:
    """Every polygon in a GeoJSON object, as shapely has it.

    Raises
    ------
    InputError : other geometries, or rings that are none.
    """
    kind = node.get("type") if isinstance(node, dict) else None
    try:
        if kind in ("FeatureCollection", "GeometryCollection"):
            for child in node["features" if kind == "FeatureCollection" else "geometries"]:
                yield from polygons_of(name, child)
        elif kind == "Feature":
            if node["geometry"] is not None:
                yield from polygons_of(name, node["geometry"])
        elif kind in ("Polygon", "MultiPolygon"):
            shapes = [node["coordinates"]] if kind == "Polygon" else node["coordinates"]
            yield from (_polygon([_ring(ring) for ring in shape]) for shape in shapes if shape)
        else:
            raise InputError(
                f"{name} holds something else than polygons",
                got=str(kind or type(node).__name__),
                expected="Polygon, MultiPolygon, or a collection of them",
            )
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{name} is not complete GeoJSON",
            got=f"{kind}: {error}"[:LONGEST],
            expected="rings of at least 4 positions",
        ) from error


def _ring(positions: Any) -> Floats:
    """One closed ring; what a position holds beyond x and y is left out."""
    ring = np.array([(float(p[0]), float(p[1])) for p in positions], dtype=np.float64).reshape(
        -1, 2
    )
    if len(ring) < 4 or not np.isfinite(ring).all():
        raise ValueError(
            f"a ring of {len(ring)} positions"
            if len(ring) < 4
            else "a position that is not a number"
        )
    return ring


def _polygon(rings: list[Floats]) -> Any:
    """A polygon of its outline and its holes; rings are closed."""
    import shapely

    return shapely.Polygon(rings[0], rings[1:])


def features_of(name: str, content: Any) -> list[Any]:
    """The features of a collection.

    Raises
    ------
    InputError : there is none.
    """
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list) or not features:
        raise InputError(
            f"{name} hold no features", expected="a GeoJSON FeatureCollection with classes"
        )
    return features


def property_of(name: str, feature: Any, field: str | None) -> Any:
    """A property of a feature, the only one if it is not named; None where it is missing.

    Raises
    ------
    InputError : there are several.
    """
    properties = properties_of(feature)
    if field is None and len(properties) != 1:
        raise InputError(
            f"{name}: which property is the class?",
            got=shorten(map(str, properties)),
            expected="--label-field NAME, or one property",
        )
    return next(iter(properties.values())) if field is None else properties.get(field)


def properties_of(feature: Any) -> dict[str, Any]:
    """The properties of a feature."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    return properties if isinstance(properties, dict) else {}


def geometry_type(node: Any) -> str:
    """The type of geometry of a feature, or of a geometry itself; empty where it has none."""
    if isinstance(node, dict) and node.get("type") == "Feature":
        node = node.get("geometry")
    kind = node.get("type") if isinstance(node, dict) else None
    return kind if isinstance(kind, str) else ""
