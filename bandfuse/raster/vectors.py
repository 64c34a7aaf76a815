"""Vectors: polygons and their classes from vector files: by pyogrio, or from GeoJSON."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from bandfuse.errors import ConfigError, InputError, nearest, shorten
from bandfuse.raster.describe import Raster
from bandfuse.raster.gdal import CACHE, GDAL_ERRORS, LONGEST, reason
from bandfuse.raster.geojson import (
    crs_of,
    features_of,
    geometry_type,
    is_json,
    polygons_of,
    properties_of,
    property_of,
    read_geojson,
    start_of,
)
from bandfuse.spectral.remarks import Remark

Shapes = NDArray[np.object_]
"""(n,) polygons of shapely."""

JSON = "GeoJSON"
"""GDAL's name of the one format that is read without it."""

MAGIC = {"GPKG": b"SQLite format 3\0", "FlatGeobuf": b"fgb", "ESRI Shapefile": b"\x00\x00\x27\x0a"}
"""The first bytes of a vector file, by GDAL's driver."""

SHAPEFILE = (".shx", ".dbf", ".prj", ".cpg")
"""Endings of the other files of a shapefile. The first two must be there."""

MOST_FEATURES = 1_000_000
"""Features that meet a scene."""

MOST_CORNERS = 5_000_000
"""Corners of all polygons: they take 500 MB while they are brought to another CRS."""


@dataclass(frozen=True, eq=False)
class Features:
    """Polygons of a vector file.

    Attributes
    ----------
    driver : GDAL's name of the format.
    crs : None for the coordinates of the scene.
    polygons : (n,) polygons; ``owner`` (n,) says to which feature each belongs.
    values : the class of each feature, None where it has none; empty where no field was asked for.
    every : the classes of the whole file, in its order.
    unplaced : features without geometry. whole : the whole file was read, not only what is near
        the scene.
    files : what is read beside the file.
    """

    path: str
    driver: str
    crs: CRS | None
    polygons: Shapes
    owner: NDArray[np.int64]
    values: Sequence[Any] = ()
    every: Sequence[Any] = ()
    unplaced: int = 0
    whole: bool = False
    messages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layer:
    """What a layer of a vector file holds: ``fields`` by name, with GDAL's type of each and its
    values with their numbers of features."""

    name: str
    geometry: str
    features: int
    crs: CRS | None
    fields: tuple[tuple[str, str, Counter[Any]], ...]


def vector_driver(path: str) -> str | None:
    """The driver of a vector file, by its first bytes; None for what is none. A GeoPackage of
    rasters is none."""
    file = Path(path)
    if is_json(file):
        return JSON
    start = start_of(file) if file.is_file() else b""
    found = next((name for name, magic in MAGIC.items() if start.startswith(magic)), None)
    return None if found == "GPKG" and not _has_layers(path) else found


def _has_layers(path: str) -> bool:
    try:
        return bool(_layers(path, "file"))
    except InputError:
        return False


@contextmanager
def _reading(path: str, what: str) -> Iterator[list[str]]:
    """GDAL's warnings while a file is read; its reasons become an InputError."""
    from pyogrio import errors

    failures = [getattr(errors, name) for name in dir(errors) if name.endswith("Error")]
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        # pyogrio fails by a name of its own where a CRS is not UTF-8.
        except (*failures, OSError, ValueError, UnboundLocalError) as error:
            raise InputError(
                f"{what} {path} cannot be read",
                got=reason(error),
                expected="polygons in a GeoPackage, shapefile, FlatGeobuf or GeoJSON file",
            ) from error
    said += dict.fromkeys(str(w.message) for w in caught if w.category is RuntimeWarning)


def _place(path: str, what: str) -> Path:
    """The file as pyogrio takes it: with what belongs to it, and without what it takes for an
    archive.

    Raises
    ------
    InputError : a shapefile without its other files, a name with an exclamation mark.
    """
    file = Path(path).absolute()
    if "!" in path:
        raise InputError(
            f"{what} {path} cannot be opened",
            got="a name with an exclamation mark",
            remedy="Rename it.",
        )
    if file.suffix.lower() == ".shp":
        missing = [ending for ending in SHAPEFILE[:2] if _beside(file, ending) is None]
        if missing:
            raise InputError(
                f"{what} {path} is one file of a shapefile",
                got=f"no {' and no '.join(file.stem + ending for ending in missing)} beside it",
                expected=f"{file.stem}.shp, .shx and .dbf (and .prj with the CRS) in one folder",
                remedy="Copy the others beside it.",
            )
    return file


def _beside(file: Path, ending: str) -> Path | None:
    """Another file of a shapefile, whatever the case of its ending."""
    names = (file.with_suffix(ending), file.with_suffix(ending.upper()))
    return next((name for name in names if name.is_file()), None)


def _layers(path: str, what: str) -> dict[str, str]:
    """The layers with geometry, and of what type."""
    import pyogrio

    file = _place(path, what)
    with _reading(path, what):
        found = pyogrio.list_layers(file)
    return {str(name): str(kind) for name, kind in found if kind is not None}


def _layer_of(path: str, what: str, layer: str | None) -> str:
    """The layer to read.

    Raises
    ------
    InputError, ConfigError : no layer with geometry, several, or none of this name.
    """
    known = _layers(path, what)
    if not known:
        raise InputError(f"{what} {path} has no layer with geometry")
    if layer is None and len(known) > 1:
        raise ConfigError(
            f"{what} {path}: which layer is meant?", got=shorten(known), expected="--layer NAME"
        )
    if layer is not None and layer not in known:
        raise ConfigError(
            f"{what} {path} has no layer {layer!r}",
            got=shorten(known),
            remedy=nearest(layer, known),
        )
    return next(iter(known)) if layer is None else layer


def read_features(
    path: str,
    what: str,
    driver: str,
    grid: Raster,
    *,
    layer: str | None = None,
    field: str | None = None,
    classes: bool = False,
) -> Features:
    """The polygons of a vector file that may meet a grid (of GeoJSON: all).

    Parameters
    ----------
    what : the file is for, named in errors.
    layer : of several. field : that holds the classes, if they are asked for (``classes``); the
        only one if not given.

    Raises
    ------
    InputError, ConfigError : it cannot be read, holds something else than polygons or too many of
        them, or it is not known which layer or field is meant.
    """
    if driver != JSON:
        return _by_gdal(path, what, driver, grid, layer, field, classes=classes)
    if layer is not None:
        raise ConfigError(
            f"{what} {path} is GeoJSON, which has no layers",
            got=f"--layer {layer}",
            remedy="Leave --layer out.",
        )
    return _by_json(path, what, field, classes=classes)


def _by_gdal(
    path: str,
    what: str,
    driver: str,
    grid: Raster,
    layer: str | None,
    field: str | None,
    *,
    classes: bool,
) -> Features:
    """Polygons that pyogrio reads."""
    import pyogrio

    file, name = _place(path, what), _layer_of(path, what, layer)
    with _reading(path, what) as said:
        about = pyogrio.read_info(file, layer=name)
        crs = _crs_of_text(f"{what} {path}", about["crs"])
        columns: list[str] = []
        every: list[Any] = []
        if classes:
            columns = [_field(path, what, field, [str(f) for f in about["fields"]])]
            plain = pyogrio.raw.read(file, layer=name, columns=columns, read_geometry=False)
            every = plain[3][0].tolist()
        read = pyogrio.raw.read(
            file,
            layer=name,
            columns=columns,
            bbox=_bounds(grid, crs),
            max_features=MOST_FEATURES + 1,
        )
    placed = np.flatnonzero([g is not None for g in read[2]])
    sizes = sum(len(read[2][i]) for i in placed)
    if len(placed) > MOST_FEATURES or sizes > 24 * MOST_CORNERS:
        raise _too_many(what, path, f"{len(placed)} features that hold {sizes} bytes")
    polygons, owner = _polygons(f"{what} {path}", read[2][placed])
    values = [read[3][0][i] for i in placed] if classes else []
    sidecars = [_beside(file, ending) for ending in SHAPEFILE] if file.suffix == ".shp" else []
    return Features(
        path,
        driver,
        crs,
        polygons,
        owner,
        [_plain(v) for v in values],
        list(dict.fromkeys(_plain(v) for v in every if _plain(v) is not None)),
        messages=(*(Remark("gdal-warning", f"GDAL warns: {text}") for text in said), *_lost(crs)),
        files=tuple(str(p) for p in sidecars if p is not None),
    )


def _lost(crs: CRS | None) -> list[str]:
    return [] if crs is not None else ["the file says no CRS: it is read in that of the scene"]


def _too_many(what: str, path: str, got: str) -> InputError:
    return InputError(
        f"{what} {path} has too many corners",
        got=got,
        expected=f"at most {MOST_CORNERS} corners of {MOST_FEATURES} features over a scene",
        remedy="Simplify it: ogr2ogr -simplify.",
    )


def _plain(value: Any) -> Any:
    """A value of a field as Python has it: None where there is none, a whole number as such."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return None if value != value else int(value) if value.is_integer() else value
    return value


def _field(path: str, what: str, field: str | None, fields: Sequence[str]) -> str:
    """The field that holds the classes.

    Raises
    ------
    InputError : there are several, or none of this name.
    """
    if field is None and len(fields) == 1:
        return fields[0]
    if field is None:
        raise InputError(
            f"{what} {path}: which property is the class?",
            got=shorten(fields),
            expected="--label-field NAME, or one property",
        )
    if field not in fields:
        raise InputError(
            f"{what} {path} have no field {field!r}",
            got=shorten(fields),
            expected="--label-field NAME",
            remedy=nearest(field, fields),
        )
    return field


def _bounds(grid: Raster, crs: CRS | None) -> tuple[float, float, float, float] | None:
    """A box in a CRS that holds the grid, with room to spare; None where it is not known."""
    a, b, c, d, e, f = grid.transform[:6]
    col, row = np.array([0, grid.cols, grid.cols, 0]), np.array([0, 0, grid.rows, grid.rows])
    x, y = a * col + b * row + c, d * col + e * row + f
    box = (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    if crs is not None and grid.crs is not None and crs != grid.crs:
        try:
            box = transform_bounds(grid.crs, crs, *box, densify_pts=21)
        except (*GDAL_ERRORS, ValueError):
            return None
    left, bottom, right, top = box
    if not np.isfinite(box).all() or left >= right or bottom >= top:
        return None  # at the antimeridian the left is the greater
    wide, high = 0.05 * (right - left), 0.05 * (top - bottom)
    return left - wide, bottom - high, right + wide, top + high


def _crs_of_text(name: str, text: str | None) -> CRS | None:
    """A CRS that pyogrio names."""
    try:
        with rasterio.Env(**CACHE):  # where GDAL's own messages go to the log
            return None if text is None else CRS.from_user_input(text)
    except (*GDAL_ERRORS, ValueError) as error:
        raise InputError(f"{name} has a CRS that is not known", got=text or "") from error


def _polygons(name: str, geometries: Sequence[bytes]) -> tuple[Shapes, NDArray[np.int64]]:
    """The polygons in features, and to which each belongs.

    Raises
    ------
    InputError : other geometries, or positions that are no numbers.
    """
    import shapely

    try:
        with np.errstate(invalid="ignore"):
            shapes = shapely.from_wkb(np.asarray(geometries, dtype=object))
    except shapely.errors.GEOSException as error:
        raise InputError(f"{name} holds a broken geometry", got=str(error)[:LONGEST]) from error
    owner = np.arange(len(shapes))
    kinds = shapely.GeometryType
    several = (kinds.MULTIPOLYGON, kinds.GEOMETRYCOLLECTION)
    while np.isin(shapely.get_type_id(shapes), several).any():
        shapes, part = shapely.get_parts(shapes, return_index=True)
        owner = owner[part]
    other = shapely.get_type_id(shapes) != kinds.POLYGON
    if other.any():
        raise InputError(
            f"{name} holds something else than polygons",
            got=str(shapes[other][0].geom_type),
            expected="Polygon, MultiPolygon, or a collection of them",
        )
    full = ~shapely.is_empty(shapes)
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise InputError(f"{name} holds a position that is not a number")
    return shapes[full], owner[full]


def _by_json(path: str, what: str, field: str | None, *, classes: bool) -> Features:
    """Polygons of a GeoJSON file."""
    name = f"{what} {path}"
    content = read_geojson(path, what)
    found = features_of(name, content) if classes else [content]
    placed = [f for f in found if not (isinstance(f, dict) and f.get("geometry", f) is None)]
    values = [property_of(name, f, field) for f in placed] if classes else []
    crs = crs_of(name, content)
    each = [list(polygons_of(name, feature)) for feature in placed]
    polygons = np.array([p for some in each for p in some], dtype=object)
    owner = np.repeat(np.arange(len(each)), [len(some) for some in each])
    return Features(
        path,
        JSON,
        crs,
        polygons,
        owner,
        values,
        list(dict.fromkeys(values)),
        unplaced=len(found) - len(placed),
        whole=True,
    )


def layers_of(path: str, driver: str) -> list[Layer]:
    """What the layers of a vector file hold.

    Raises
    ------
    InputError : it cannot be read.
    """
    if driver == JSON:
        return [_json_layer(path)]
    return [_layer(path, name, kind) for name, kind in _layers(path, "file").items()]


def _layer(path: str, name: str, kind: str) -> Layer:
    """A layer that pyogrio reads. Values are those of the first features, if there are too many."""
    import pyogrio

    file = _place(path, "file")
    with _reading(path, "file"):
        about = pyogrio.read_info(file, layer=name, force_feature_count=True)
        table = pyogrio.raw.read(file, layer=name, read_geometry=False, max_features=MOST_FEATURES)
    names = [str(n) for n in table[0]["fields"]]
    fields = tuple(
        (field, _type_of(values), Counter(_countable(v) for v in values))
        for field, values in zip(names, table[3], strict=True)
    )
    crs = _crs_of_text(f"file {path}", about["crs"])
    return Layer(name, kind, int(about["features"]), crs, fields)


def _json_layer(path: str) -> Layer:
    """The one layer of a GeoJSON file."""
    content = read_geojson(path, "file")
    collection = isinstance(content, dict) and isinstance(content.get("features"), list)
    features = content["features"] if collection else [content]
    rows = [properties_of(f) for f in features]
    kinds = [geometry_type(f) for f in features]
    names = dict.fromkeys(str(name) for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Layer(
        Path(path).stem,
        " or ".join(dict.fromkeys(k for k in kinds if k)) or "none",
        len(features),
        crs_of(f"file {path}", content),
        tuple(
            (name, _type_of(values), Counter(map(_countable, values)))
            for name, values in columns.items()
        ),
    )


def _type_of(values: Sequence[Any]) -> str:
    """What the values of a field are, in a word."""
    kinds = {type(v) for v in map(_plain, values) if v is not None}
    if kinds and kinds <= {str}:
        return "text"
    if kinds and kinds <= {int}:
        return "whole number"
    return "number" if kinds and kinds <= {int, float} else "other"


def _countable(value: Any) -> Any:
    """A value that can be counted: a list or a mapping as its text."""
    plain = _plain(value)
    return plain if isinstance(plain, (str, int, float, bool, type(None))) else str(plain)
