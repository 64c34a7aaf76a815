"""Polygons: areas from GeoJSON files, in the coordinates of a raster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from bandfuse.errors import InputError, MismatchError, shorten
from bandfuse.files.textfile import JSON, text_of
from bandfuse.raster.describe import Raster, crs_name
from bandfuse.raster.gdal import CACHE, GDAL_ERRORS, reason
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.windows import Window

Flags = NDArray[np.bool_]


Ring = Floats
"""(n, 2) corners x, y of one closed line; the last is the first."""


LONGEST_EDGE = 16.0
"""Edges that are brought to another CRS are first cut into parts of at most about so many pixels,
and bend there."""


MOST_PARTS = 1024
"""An edge is cut into at most so many parts."""


MOST_CORNERS = 5_000_000
"""Corners of all polygons, once their edges are cut: they take 500 MB while they are brought to
another CRS."""


CROSSINGS = 2**18
"""About so many crossings of edges and rows are computed at once, in 20 MB; one edge has no more
than a window has rows."""


LONGEST = 300
"""Characters that are shown of what is wrong."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """Rings in pixels of the scene (x along columns, y along rows): a point is inside if they
    enclose it oddly often.

    ``edges``: (E, 4) x0, y0, x1, y1.
    """

    edges: Floats

    @classmethod
    def of(cls, rings: Sequence[Ring]) -> Polygon:
        """From its rings: the outer one, then holes."""
        return cls(np.concatenate([np.hstack([r[:-1], r[1:]]) for r in rings]))

    def box(self) -> NDArray[np.int64]:
        """First row and column, and those after the last, of the pixels whose centres may be
        inside."""
        far = 2.0**40  # of any scene
        corners = np.clip(self.edges.reshape(-1, 2), -far, far)
        (left, top), (right, bottom) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
        return np.array([top, left, bottom, right], dtype=np.int64)

    def inside(self, window: Window) -> Flags:
        """(rows, cols): pixels whose centres are inside. Each pixel's answer does not depend on the
        window.

        An edge flips every pixel to its right in the rows whose centres it crosses. A pixel on an
        edge belongs to the polygon on its right or below, as the fill rule of GDAL has it."""
        flips = np.zeros(
            (window.rows, window.cols + 1), np.uint8
        )  # may run over: only odd or even matters
        first, last = self._rows(window)
        crossing = np.flatnonzero(last > first)
        before = np.cumsum(last[crossing] - first[crossing])
        ends = [
            0,
            *(
                np.searchsorted(before, range(CROSSINGS, int(before[-1]), CROSSINGS))
                if len(before)
                else []
            ),
        ]
        for a, b in pairwise([*ends, len(crossing)]):
            some = crossing[a:b]
            self._flip(flips, window, some, first[some], last[some])
        odd: Flags = np.cumsum(flips, axis=1, dtype=np.uint8)[:, :-1] % 2 == 1
        return odd

    def _rows(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(E,) the first row of a window whose centre each edge crosses, and that after the
        last."""
        _, y0, _, y1 = self.edges.T
        lower, upper = np.float64(window.row), np.float64(window.row + window.rows)
        first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), lower, upper).astype(np.int64)
        last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), lower, upper).astype(np.int64)
        return first, last

    def _flip(
        self,
        flips: NDArray[np.uint8],
        window: Window,
        edges: NDArray[np.intp],
        first: NDArray[np.int64],
        last: NDArray[np.int64],
    ) -> None:
        """Count where some edges cross the centres of a window's rows."""
        x0, y0, x1, y1 = self.edges[edges].T
        count = last - first
        edge = np.repeat(np.arange(len(count)), count)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        share = (row + 0.5 - y0[edge]) / (y1[edge] - y0[edge])
        col = np.ceil(x0[edge] + share * (x1[edge] - x0[edge]) - 0.5)
        place = np.clip(col, window.col, window.col + window.cols).astype(np.int64) - window.col
        np.add.at(flips, (row - window.row, place), 1)


def is_json(path: Path) -> bool:
    """Whether a file is GeoJSON, by its name or its first character."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    return path.suffix.lower() in (".geojson", ".json") or start.startswith(b"{")


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


def polygons_of(name: str, node: Any) -> Iterator[list[Ring]]:
    """The rings of every polygon in a GeoJSON object."""
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
            yield from ([_ring(ring) for ring in shape] for shape in shapes if shape)
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


def _ring(positions: Any) -> Ring:
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
    return ring if (ring[0] == ring[-1]).all() else np.vstack([ring, ring[:1]])


def to_pixels(name: str, rings: list[Ring], crs: CRS | None, grid: Raster) -> list[Ring]:
    """Rings in pixels of the scene. Where the CRS differ, straight edges bend: long ones are cut
    into parts first."""
    if crs is not None and crs != grid.crs:
        ends = [_in_grid(r, grid) for r in _reprojected(name, rings, crs, grid)]
        parts = [_parts(pixels) for pixels in ends]
        if (corners := sum(int(p.sum()) for p in parts)) > MOST_CORNERS:
            raise InputError(
                f"{name} has too many corners",
                got=f"{corners}, once long edges are cut to bend",
                expected=f"at most {MOST_CORNERS}",
                remedy="Simplify it (ogr2ogr -simplify), or bring it to the scene's CRS.",
            )
        cut = [_cut(ring, some) for ring, some in zip(rings, parts, strict=True)]
        rings = _reprojected(name, cut, crs, grid)
    return [_in_grid(r, grid) for r in rings]


def _parts(ring: Ring) -> NDArray[np.int64]:
    """Into how many parts each edge of a ring in pixels is to be cut."""
    length = np.hypot(*np.diff(ring, axis=0).T)
    parts: NDArray[np.int64] = np.clip(np.ceil(length / LONGEST_EDGE), 1, MOST_PARTS).astype(
        np.int64
    )
    return parts


def _cut(ring: Ring, parts: NDArray[np.int64]) -> Ring:
    """Cut the edges of a ring into equal parts."""
    step = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    share = (step / np.repeat(parts, parts))[:, None]
    start, move = (
        np.repeat(ring[:-1], parts, axis=0),
        np.repeat(np.diff(ring, axis=0), parts, axis=0),
    )
    return np.vstack([start + share * move, ring[-1:]])


def _in_grid(ring: Ring, grid: Raster) -> Ring:
    a, b, c, d, e, f = (~grid.transform)[:6]
    x, y = ring.T
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)


def _reprojected(name: str, rings: list[Ring], crs: CRS, grid: Raster) -> list[Ring]:
    """Rings in the scene's CRS."""
    every = np.concatenate(rings)
    try:
        x, y = transform(crs, grid.crs, every[:, 0], every[:, 1])
        moved = np.stack([x, y], axis=1).astype(np.float64)
    except (*GDAL_ERRORS, ValueError) as error:
        raise _unreachable(name, crs, grid, reason(error)) from error
    off = ~np.isfinite(moved).all(axis=1)
    if off.any():
        raise _unreachable(name, crs, grid, shorten((f"{p[0]:g} {p[1]:g}" for p in every[off]), 3))
    return np.split(moved, np.cumsum([len(r) for r in rings])[:-1])


def _unreachable(name: str, crs: CRS, grid: Raster, got: str) -> MismatchError:
    return MismatchError(
        f"{name} cannot be brought to the CRS of {grid.path}",
        got=got,
        expected=f"positions in {crs_name(crs)} that exist in {grid.crs_name}",
        remedy='Coordinates of GeoJSON are longitude and latitude, unless it has a "crs" member.',
    )
