"""Polygons: areas in pixels of a raster, burnt by GDAL part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import Affine
from rasterio.warp import transform

from bandfuse.errors import InputError, MismatchError, shorten
from bandfuse.raster.describe import Raster, crs_name
from bandfuse.raster.gdal import GDAL_ERRORS, reason, unplaced_quietly
from bandfuse.raster.vectors import MOST_CORNERS, Features, Shapes
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.windows import Window

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int32]

Ring = Floats
"""(n, 2) corners x, y of one closed line; the last is the first."""

LONGEST_EDGE = 16.0
"""Edges that are brought to another CRS are first cut into parts of at most about so many pixels,
and bend there."""

MOST_PARTS = 1024
"""An edge is cut into at most about so many parts."""

PART = (256, 1024)
"""Rows and columns that are burnt at once. They lie on a grid of their own, so that no pixel
depends on the window in which it is read: GDAL's sums round otherwise in another place."""

FEW = 64
"""Rings of fewer corners are burnt as they are."""

FAR = 2.0**28
"""Corners that are further from the scene than so many pixels are taken to be so far: GDAL counts
pixels in 32 bits."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """Rings in pixels of the scene (x along columns, y along rows): a point is inside if they
    enclose it oddly often."""

    rings: tuple[Ring, ...]

    @classmethod
    def of(cls, rings: Sequence[Ring]) -> Polygon:
        """From its rings: the outer one, then holes."""
        return cls(tuple(np.clip(ring, -FAR, FAR) for ring in rings))

    def box(self) -> NDArray[np.int64]:
        """First row and column, and those after the last, of the pixels whose centres may be
        inside."""
        every = np.concatenate(self.rings)
        (left, top), (right, bottom) = np.floor(every.min(axis=0)), np.ceil(every.max(axis=0))
        return np.array([top, left, bottom, right], dtype=np.int64)

    def inside(self, window: Window) -> Flags:
        """(rows, cols): pixels whose centres are inside."""
        found: Flags = Areas.of([self]).burnt(window) > 0
        return found


@dataclass(frozen=True, eq=False)
class Areas:
    """Polygons with numbers above 0, and (n, 4) the box of each."""

    polygons: tuple[Polygon, ...]
    numbers: tuple[int, ...]
    boxes: NDArray[np.int64]

    @classmethod
    def of(cls, polygons: Sequence[Polygon], numbers: Sequence[int] = ()) -> Areas:
        """Of polygons in the order in which they are burnt; all get 1 where no numbers are
        given."""
        boxes = np.array([p.box() for p in polygons], dtype=np.int64).reshape(-1, 4)
        return cls(tuple(polygons), tuple(numbers) or (1,) * len(polygons), boxes)

    def meeting(self, shape: tuple[int, int]) -> set[int]:
        """The numbers of polygons that may hold a pixel of a grid, by their boxes."""
        return {self.numbers[i] for i in self._over(Window(0, 0, *shape))}

    def _over(self, window: Window) -> list[int]:
        """Polygons that may hold a pixel of a window, by their boxes."""
        start = np.maximum(self.boxes[:, :2], [window.row, window.col])
        stop = np.minimum(self.boxes[:, 2:], [window.row + window.rows, window.col + window.cols])
        return [int(i) for i in np.flatnonzero((start < stop).all(axis=1))]

    def burnt(self, window: Window) -> Numbers:
        """(rows, cols): the number of the last polygon that holds the centre of each pixel, 0 where
        none does. A pixel's answer does not depend on the window."""
        found = np.zeros((window.rows, window.cols), np.int32)
        parts = _parts_over(window)
        near = [(self.numbers[i], self._rings(i, _hull(parts))) for i in self._over(window)]
        for part in parts if near else []:
            top, left = max(part.row, window.row), max(part.col, window.col)
            bottom = min(part.row + part.rows, window.row + window.rows)
            right = min(part.col + part.cols, window.col + window.cols)
            cut = Window(top, left, bottom - top, right - left)
            found[cut.within(window)] = _burnt(near, part)[cut.within(part)]
        return found

    def _rings(self, i: int, window: Window) -> list[Ring]:
        return [_thinned(ring, window) for ring in self.polygons[i].rings]


def _burnt(near: Sequence[tuple[int, Sequence[Ring]]], part: Window) -> Numbers:
    """Burn numbered polygons into one part. It is burnt from right to left, and turned: of two
    polygons that touch on the centre of a pixel the right one has it, as of two bounds. The origin
    is a pixel to the left, as rasterio warns of an image that lies nowhere."""
    corner = [part.col + part.cols, part.row]
    shapes = []
    for number, rings in near:
        thin = [_thinned(ring, part) for ring in rings]
        turned = [((ring - corner) * [-1, 1] + [1, 0]).tolist() for ring in thin if len(ring) > 3]
        if turned:
            shapes.append(({"type": "Polygon", "coordinates": turned}, number))
    if not shapes:
        return np.zeros((part.rows, part.cols), np.int32)
    with unplaced_quietly():
        burnt: Numbers = rasterize(
            shapes, (part.rows, part.cols), transform=Affine.translation(1, 0), dtype="int32"
        )
    return burnt[:, ::-1]


def _parts_over(window: Window) -> list[Window]:
    """The whole parts that meet a window, row by row."""
    rows, cols = PART
    return [
        Window(row, col, rows, cols)
        for row in range(window.row - window.row % rows, window.row + window.rows, rows)
        for col in range(window.col - window.col % cols, window.col + window.cols, cols)
    ]


def _hull(parts: Sequence[Window]) -> Window:
    """The window that parts fill, row by row."""
    first, last = parts[0], parts[-1]
    return Window(
        first.row, first.col, last.row + last.rows - first.row, last.col + last.cols - first.col
    )


def _thinned(ring: Ring, window: Window) -> Ring:
    """The corners of a ring that matter in a window.

    Of corners in a row that all lie beyond one side of the window, the first and the last are
    enough: the area between them and the line that takes their place lies beyond that side, too. So
    no edge that crosses the window is changed."""
    if len(ring) < FEW:
        return ring
    x, y = ring.T
    beyond = (
        (x < window.col, x > window.col + window.cols),
        (y < window.row, y > window.row + window.rows),
    )
    side = np.zeros(len(ring), np.int8)
    for axis, (low, high) in enumerate(beyond):
        side[low] = 2 * axis + 1
        side[high] = 2 * axis + 2
    kept = np.ones(len(ring), dtype=bool)
    kept[1:-1] = (side[1:-1] == 0) | (side[1:-1] != side[:-2]) | (side[1:-1] != side[2:])
    return ring[kept]


def in_pixels(name: str, features: Features, grid: Raster) -> list[Polygon]:
    """The polygons of a file, in pixels of the scene. Where the CRS differ, straight edges bend:
    long ones are cut into parts first.

    Raises
    ------
    InputError, MismatchError : too many corners, positions that do not exist in the scene's CRS.
    """
    import shapely

    shapes, crs = features.polygons, features.crs
    other = crs is not None and crs != grid.crs
    cut = _cut(name, shapes, crs, grid) if crs is not None and other else shapes
    rings, owner = shapely.get_rings(cut, return_index=True)
    corners = shapely.get_coordinates(rings)
    if len(corners) > MOST_CORNERS:
        raise _too_many(name, len(corners))
    if crs is not None and other:
        corners = _reprojected(name, corners, crs, grid)
    placed = _in_grid(corners, grid)
    each = np.split(placed, np.cumsum(shapely.get_num_coordinates(rings))[:-1])
    ends = np.searchsorted(owner, np.arange(len(shapes) + 1))
    return [Polygon.of(each[a:b]) for a, b in pairwise(ends)]


def _cut(name: str, shapes: Shapes, crs: CRS, grid: Raster) -> Shapes:
    """Polygons with long edges cut into parts of about :data:`LONGEST_EDGE` pixels."""
    import shapely

    pixel = _pixel_in(crs, grid)
    if not np.isfinite(pixel) or pixel <= 0:
        return shapes
    left, bottom, right, top = shapely.bounds(shapes).T
    across = np.hypot(right - left, top - bottom)
    longest = np.maximum(LONGEST_EDGE * pixel, across / MOST_PARTS)
    added = float((shapely.length(shapes) / longest).sum())
    if (count := int(added + shapely.get_num_coordinates(shapes).sum())) > MOST_CORNERS:
        raise _too_many(name, count)
    cut: Shapes = shapely.segmentize(shapes, longest)
    return cut


def _too_many(name: str, corners: int) -> InputError:
    return InputError(
        f"{name} has too many corners",
        got=f"{corners}, once long edges are cut to bend",
        expected=f"at most {MOST_CORNERS}",
        remedy="Simplify it (ogr2ogr -simplify), or bring it to the scene's CRS.",
    )


def _pixel_in(crs: CRS, grid: Raster) -> float:
    """The side of the smallest pixel of a grid in units of another CRS, by a few of them; NaN where
    none can be brought there."""
    row, col = (n.ravel() for n in np.mgrid[1:6:2, 1:6:2] / 6.0)
    row, col = row * grid.rows, col * grid.cols
    steps = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    x, y = grid.transform @ (
        np.concatenate([col + c for _, c in steps]),
        np.concatenate([row + r for r, _ in steps]),
    )
    try:
        moved = np.array(transform(grid.crs, crs, x, y), dtype=np.float64).reshape(2, 3, -1)
    except (*GDAL_ERRORS, ValueError):
        return float("nan")
    with np.errstate(invalid="ignore"):
        sides = np.hypot(*(moved[:, 1:] - moved[:, :1]))
    sides = sides[np.isfinite(sides)]
    return float(sides.min()) if len(sides) else float("nan")


def _in_grid(corners: Floats, grid: Raster) -> Floats:
    a, b, c, d, e, f = (~grid.transform)[:6]
    x, y = corners.T
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)


def _reprojected(name: str, corners: Floats, crs: CRS, grid: Raster) -> Floats:
    """Corners in the scene's CRS."""
    try:
        x, y = transform(crs, grid.crs, corners[:, 0], corners[:, 1])
        moved = np.stack([x, y], axis=1).astype(np.float64)
    except (*GDAL_ERRORS, ValueError) as error:
        raise _unreachable(name, crs, grid, reason(error)) from error
    off = ~np.isfinite(moved).all(axis=1)
    if off.any():
        got = shorten((f"{p[0]:g} {p[1]:g}" for p in corners[off]), 3)
        raise _unreachable(name, crs, grid, got)
    return moved


def _unreachable(name: str, crs: CRS, grid: Raster, got: str) -> MismatchError:
    return MismatchError(
        f"{name} cannot be brought to the CRS of {grid.path}",
        got=got,
        expected=f"positions in {crs_name(crs)} that exist in {grid.crs_name}",
        remedy='Coordinates of GeoJSON are longitude and latitude, unless it has a "crs" member.',
    )
