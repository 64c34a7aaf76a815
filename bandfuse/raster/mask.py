"""Mask: which pixels of a scene count. Bounds, a window of pixels, a mask raster, or polygons in a GeoJSON file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from bandfuse.spectral.bands import Floats
from bandfuse.errors import InputError, MismatchError, shorten
from bandfuse.raster.areas import counts
from bandfuse.raster.align import AlignedReader, cut, on_one_grid, placed, windowed
from bandfuse.raster.describe import CACHE, GDAL_ERRORS, Raster, crs_name, reason
from bandfuse.raster.products import describe
from bandfuse.raster.read import Reader
from bandfuse.raster.write import blank
from bandfuse.files.textfile import JSON, text_of
from bandfuse.streaming.windows import Window

Flags = NDArray[np.bool_]
Ring = Floats
"""(n, 2) corners x, y of one closed line; the last is the first."""

LONGEST_EDGE = 16.0
"""Edges that are brought to another CRS are first cut into parts of at most about so many pixels, and bend there."""

MOST_PARTS = 1024
"""An edge is cut into at most so many parts."""

MOST_CORNERS = 5_000_000
"""Corners of all polygons, once their edges are cut: they take 500 MB while they are brought to another CRS."""

CROSSINGS = 2**18
"""About so many crossings of edges and rows are computed at once, in 20 MB; one edge has no more than a window has
rows."""

LONGEST = 300
"""Characters that are shown of what is wrong."""

OUTSIDE = ("outside the bounds", "outside the mask")
"""Why a pixel does not count."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """Rings in pixels of the scene (x along columns, y along rows): a point is inside if they enclose it oddly often.

    ``edges``: (E, 4) x0, y0, x1, y1.
    """

    edges: Floats

    @classmethod
    def of(cls, rings: Sequence[Ring]) -> Polygon:
        """From its rings: the outer one, then holes."""
        return cls(np.concatenate([np.hstack([r[:-1], r[1:]]) for r in rings]))

    def box(self) -> NDArray[np.int64]:
        """First row and column, and those after the last, of the pixels whose centres may be inside."""
        far = 2.0**40  # of any scene
        corners = np.clip(self.edges.reshape(-1, 2), -far, far)
        (left, top), (right, bottom) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
        return np.array([top, left, bottom, right], dtype=np.int64)

    def inside(self, window: Window) -> Flags:
        """(rows, cols): pixels whose centres are inside. Each pixel's answer does not depend on the window.

        An edge flips every pixel to its right in the rows whose centres it crosses. A pixel on an edge belongs to the
        polygon on its right or below, as the fill rule of GDAL has it.
        """
        flips = np.zeros((window.rows, window.cols + 1), np.uint8)  # may run over: only odd or even matters
        first, last = self._rows(window)
        crossing = np.flatnonzero(last > first)
        before = np.cumsum(last[crossing] - first[crossing])
        ends = [0, *(np.searchsorted(before, range(CROSSINGS, int(before[-1]), CROSSINGS)) if len(before) else [])]
        for a, b in pairwise([*ends, len(crossing)]):
            some = crossing[a:b]
            self._flip(flips, window, some, first[some], last[some])
        odd: Flags = np.cumsum(flips, axis=1, dtype=np.uint8)[:, :-1] % 2 == 1
        return odd

    def _rows(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(E,) the first row of a window whose centre each edge crosses, and that after the last."""
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


@dataclass(frozen=True, eq=False)
class Mask:
    """A file that says which pixels count: a raster, or polygons.

    ``file`` describes it (a GeoJSON file has no bands and no pixels). ``polygons`` and ``boxes`` (n, 4), the box of
    each polygon, are None for a raster; ``aligned``: one that has to be brought to the grid.
    """

    file: Raster
    band: int = 0
    aligned: bool = False
    polygons: tuple[Polygon, ...] | None = None
    boxes: NDArray[np.int64] | None = None

    def meets(self, grid: Raster) -> bool:
        """Whether a polygon may hold a pixel of the grid, by their boxes."""
        if self.boxes is None:
            return True
        start, stop = np.maximum(self.boxes[:, :2], 0), np.minimum(self.boxes[:, 2:], grid.shape)
        return bool((start < stop).all(axis=1).any())

    def inside(self, window: Window, reader: Reader | AlignedReader | None) -> Flags:
        """(rows, cols): pixels that count."""
        if self.polygons is None or self.boxes is None:
            assert reader is not None
            values = reader.read(window).cell(slice(0, window.rows), slice(0, window.cols)).values()
            counts: Flags = (np.isfinite(values) & (values != 0)).reshape(window.rows, window.cols)
            return counts
        found = np.zeros((window.rows, window.cols), dtype=bool)
        start = np.maximum(self.boxes[:, :2], [window.row, window.col])
        stop = np.minimum(self.boxes[:, 2:], [window.row + window.rows, window.col + window.cols])
        for i in np.flatnonzero((start < stop).all(axis=1)):
            (row, col), (rows, cols) = start[i].tolist(), (stop[i] - start[i]).tolist()
            part = Window(row, col, rows, cols)
            found[part.within(window)] |= self.polygons[i].inside(part)
        return found


@dataclass(frozen=True, eq=False)
class Selection:
    """Which pixels of a scene count: those whose centres are in the bounds, in the window, and in the mask."""

    grid: Raster
    bounds: tuple[float, float, float, float] | None = None
    window: Window | None = None
    mask: Mask | None = None

    @property
    def text(self) -> str:
        """What was asked for, in words."""
        parts = [] if self.mask is None else [f"--mask {self.mask.file.path}"]
        parts += [] if self.bounds is None else ["--bounds " + " ".join(f"{v:g}" for v in self.bounds)]
        if (w := self.window) is not None:
            parts.append(f"--window {w.row} {w.col} {w.rows} {w.cols}")
        return " and ".join(parts)

    def within_bounds(self, window: Window) -> Flags:
        """(rows, cols): pixels whose centres are in the bounds and that are in the window that was asked for.

        The lower bounds belong to the bounds, the upper do not: of two that touch, a pixel is in one.
        """
        row, col = np.ogrid[window.row : window.row + window.rows, window.col : window.col + window.cols]
        found = np.ones((window.rows, window.cols), dtype=bool)
        if (w := self.window) is not None:
            found &= (row >= w.row) & (row < w.row + w.rows) & (col >= w.col) & (col < w.col + w.cols)
        if self.bounds is not None:
            a, b, c, d, e, f = self.grid.transform[:6]
            x = a * (col + 0.5) + b * (row + 0.5) + c
            y = d * (col + 0.5) + e * (row + 0.5) + f
            left, bottom, right, top = self.bounds
            found &= (x >= left) & (x < right) & (y >= bottom) & (y < top)
        return found


class Where:
    """An open selection, which several threads may ask."""

    bytes_per_pixel = 16
    """Roughly what an answer takes while it is made."""

    def __init__(self, selection: Selection, reader: Reader | AlignedReader | None) -> None:
        self._selection, self._reader = selection, reader

    def excluded(self, window: Window) -> dict[str, Flags]:
        """(rows, cols) of the pixels that do not count, by reason; no pixel has two reasons."""
        inside = self._selection.within_bounds(window)
        reasons = {OUTSIDE[0]: ~inside}
        if self._selection.mask is not None and inside.any():
            reasons[OUTSIDE[1]] = inside & ~self._selection.mask.inside(window, self._reader)
        return {r: out for r, out in reasons.items() if out.any()}

    def outside(self, window: Window) -> Flags:
        """(rows, cols): pixels that do not count, whatever the reason."""
        nothing = np.zeros((window.rows, window.cols), dtype=bool)
        return reduce(np.logical_or, self.excluded(window).values(), nothing)


@contextmanager
def opened_selection(selection: Selection | None) -> Iterator[Where | None]:
    """Ask a selection while its mask is open; None if every pixel counts."""
    if selection is None:
        yield None
        return
    with _reader(selection) as reader:
        yield Where(selection, reader)


def _reader(selection: Selection) -> AbstractContextManager[Reader | AlignedReader | None]:
    """What reads the mask's raster, if there is one: on another grid, a pixel counts if half of its area does."""
    mask = selection.mask
    if mask is None or mask.polygons is not None:
        return nullcontext()
    chosen = [(mask.file, [mask.band])]
    return AlignedReader(chosen, selection.grid, regrid=counts) if mask.aligned else Reader(chosen)


def select(
    grid: Raster,
    mask: str | None,
    bounds: tuple[float, float, float, float] | None,
    window: tuple[int, int, int, int] | None,
    part: Window | None = None,
) -> Selection | None:
    """The selection that a user asks for; None if every pixel counts.

    Parameters
    ----------
    window : first row and column, number of rows and columns.
    part : the scene is this window of the grid; all that is asked for is said of the whole grid.

    Raises
    ------
    InputError, MismatchError : a mask that cannot be read or used, a window that leaves the scene.
    """
    if mask is None and bounds is None and window is None:
        return None
    asked = None if window is None else Window(*window)
    if asked is not None and (asked.row + asked.rows > grid.rows or asked.col + asked.cols > grid.cols):
        raise MismatchError(
            f"--window leaves {grid.path}",
            got=f"rows up to {asked.row + asked.rows} and columns up to {asked.col + asked.cols}",
            expected=f"at most {grid.rows} rows and {grid.cols} columns",
            remedy="Give ROW COL ROWS COLS, in pixels from 0.",
        )
    whole = grid
    if part is not None:
        grid = windowed(grid, part)
        asked = None if asked is None else replace(asked, row=asked.row - part.row, col=asked.col - part.col)
    return Selection(grid, bounds, asked, None if mask is None else describe_mask(mask, grid, whole))


def described(path: str, source: str, hint: str) -> Raster:
    """A raster in whose place there may be polygons; ``hint`` begins the remedy for what is neither."""
    try:
        return describe(path, source)
    except InputError as error:
        remedy = f"{hint}, or polygons in GeoJSON (others: ogr2ogr -t_srs EPSG:4326 {source}.geojson FILE)."
        raise InputError(error.what, got=error.got, expected=error.expected, remedy=error.remedy or remedy) from error


def describe_mask(path: str, grid: Raster, whole: Raster) -> Mask:
    """What a mask file holds: GeoJSON by its name or its first character, else a raster; one that does not say where
    it lies, lies where the whole of the grid does."""
    if is_json(Path(path)):
        return polygon_mask(path, read_geojson(path, "mask"), grid, "mask")
    raster = described(path, "mask", "A mask is a raster")
    raster = placed(whole, raster, "mask")
    aligned = grid is not whole or not on_one_grid(grid, raster)
    if aligned:
        cut(grid, [raster])
    bands = [int(i) for i in np.flatnonzero(raster.bands.good)] if len(raster.bands) > 1 else [0]
    if len(bands) != 1:
        raise InputError(
            f"mask {path} is not one band", got=f"{len(bands)} bands", expected="one band, not zero where pixels count"
        )
    return Mask(raster, bands[0], aligned)


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
        raise InputError(f"{what} {path} is not GeoJSON", got=str(error), expected="polygons in GeoJSON") from error


def polygon_mask(path: str, content: Any, grid: Raster, what: str) -> Mask:
    """The polygons in the content of a GeoJSON file, in pixels of the scene.

    Raises
    ------
    InputError, MismatchError : other geometries, none, or a CRS that does not go with the scene's.
    """
    name = f"{what} {path}"
    crs = _crs(name, content)
    shapes = list(_polygons(name, content))
    if not shapes:
        raise InputError(f"{name} holds no polygon", got="no geometry", expected="Polygon or MultiPolygon")
    if crs is not None and grid.crs is None:
        raise MismatchError(
            f"{name} cannot be laid over {grid.path}", got=f"a scene without CRS, and a mask in {crs.to_string()}",
            expected="both in a CRS, or neither",
            remedy='Give the scene a CRS; or write "crs": null into it if it is in the scene\'s coordinates.',
        )  # fmt: skip
    rings = iter(_to_pixels(name, [r for shape in shapes for r in shape], crs, grid))
    polygons = tuple(Polygon.of([next(rings) for _ in shape]) for shape in shapes)
    file = replace(blank(0, 0), path=path, driver="GeoJSON", crs=crs)
    return Mask(file, polygons=polygons, boxes=np.stack([p.box() for p in polygons]))


def _crs(name: str, content: Any) -> CRS | None:
    """WGS 84 (RFC 7946), or what a "crs" member of the older GeoJSON says; None for the scene's own coordinates."""
    if not isinstance(content, dict) or "crs" not in content:
        return CRS.from_epsg(4326)
    if content["crs"] is None:
        return None
    try:
        with rasterio.Env(**CACHE):  # where GDAL's own messages go to the log
            return CRS.from_user_input(content["crs"]["properties"]["name"])
    except (CRSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{name} has a CRS that is not known", got=json.dumps(content["crs"])[:LONGEST],
            expected='such as {"type": "name", "properties": {"name": "EPSG:32633"}}',
        ) from error  # fmt: skip


def _polygons(name: str, node: Any) -> Iterator[list[Ring]]:
    """The rings of every polygon in a GeoJSON object."""
    kind = node.get("type") if isinstance(node, dict) else None
    try:
        if kind in ("FeatureCollection", "GeometryCollection"):
            for child in node["features" if kind == "FeatureCollection" else "geometries"]:
                yield from _polygons(name, child)
        elif kind == "Feature":
            if node["geometry"] is not None:
                yield from _polygons(name, node["geometry"])
        elif kind in ("Polygon", "MultiPolygon"):
            shapes = [node["coordinates"]] if kind == "Polygon" else node["coordinates"]
            yield from ([_ring(ring) for ring in shape] for shape in shapes if shape)
        else:
            raise InputError(f"{name} holds something else than polygons", got=str(kind or type(node).__name__),
                             expected="Polygon, MultiPolygon, or a collection of them")  # fmt: skip
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{name} is not whole GeoJSON", got=f"{kind}: {error}"[:LONGEST], expected="rings of at least 4 positions"
        ) from error


def _ring(positions: Any) -> Ring:
    """One closed ring; what a position holds beyond x and y is left out."""
    ring = np.array([(float(p[0]), float(p[1])) for p in positions], dtype=np.float64).reshape(-1, 2)
    if len(ring) < 4 or not np.isfinite(ring).all():
        raise ValueError(f"a ring of {len(ring)} positions" if len(ring) < 4 else "a position that is no number")
    return ring if (ring[0] == ring[-1]).all() else np.vstack([ring, ring[:1]])


def _to_pixels(name: str, rings: list[Ring], crs: CRS | None, grid: Raster) -> list[Ring]:
    """Rings in pixels of the scene. Where the CRS differ, straight edges bend: long ones are cut into parts first."""
    if crs is not None and crs != grid.crs:
        ends = [_in_grid(r, grid) for r in _reprojected(name, rings, crs, grid)]
        parts = [_parts(pixels) for pixels in ends]
        if (corners := sum(int(p.sum()) for p in parts)) > MOST_CORNERS:
            raise InputError(f"{name} has too many corners", got=f"{corners}, once long edges are cut to bend",
                             expected=f"at most {MOST_CORNERS}",
                             remedy="Simplify it (ogr2ogr -simplify), or bring it to the scene's CRS.")  # fmt: skip
        cut = [_cut(ring, some) for ring, some in zip(rings, parts, strict=True)]
        rings = _reprojected(name, cut, crs, grid)
    return [_in_grid(r, grid) for r in rings]


def _parts(ring: Ring) -> NDArray[np.int64]:
    """Into how many parts each edge of a ring in pixels is to be cut."""
    length = np.hypot(*np.diff(ring, axis=0).T)
    parts: NDArray[np.int64] = np.clip(np.ceil(length / LONGEST_EDGE), 1, MOST_PARTS).astype(np.int64)
    return parts


def _cut(ring: Ring, parts: NDArray[np.int64]) -> Ring:
    """Cut the edges of a ring into equal parts."""
    step = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    share = (step / np.repeat(parts, parts))[:, None]
    start, move = np.repeat(ring[:-1], parts, axis=0), np.repeat(np.diff(ring, axis=0), parts, axis=0)
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
