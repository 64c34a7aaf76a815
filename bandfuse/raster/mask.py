"""Mask: which pixels of a scene count. Bounds, a window of pixels, a mask raster, polygons in a
vector file, or the quality layers of products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.align import AlignedReader, cut, on_one_grid, placed, windowed
from bandfuse.raster.areas import counts
from bandfuse.raster.describe import Raster
from bandfuse.raster.polygons import Areas, Flags, in_pixels
from bandfuse.raster.products import Describe, describe
from bandfuse.raster.quality import FLAGGED, QualityFile, QualityReader, apart
from bandfuse.raster.read import Reader
from bandfuse.raster.vectors import Features, read_features, vector_driver
from bandfuse.raster.write import blank
from bandfuse.streaming.windows import Window

OUTSIDE = ("outside the bounds", "outside the mask")
"""Why a pixel does not count, beside the reasons of quality layers."""


def is_left_out(reason: str) -> bool:
    """Whether a reason why a pixel does not count is one of a selection."""
    return reason in OUTSIDE or reason.startswith(FLAGGED)


@dataclass(frozen=True, eq=False)
class Mask:
    """A file that says which pixels count: a raster, or polygons.

    ``file`` describes it (a vector file has no bands and no pixels). ``areas`` are None for a
    raster; ``aligned``: one that has to be brought to the grid."""

    file: Raster
    band: int = 0
    aligned: bool = False
    areas: Areas | None = None

    def inside(self, window: Window, reader: Reader | AlignedReader | None) -> Flags:
        """(rows, cols): pixels that count."""
        if self.areas is not None:
            found: Flags = self.areas.burnt(window) > 0
            return found
        assert reader is not None
        values = reader.read(window).cell(slice(0, window.rows), slice(0, window.cols)).values()
        counts: Flags = (np.isfinite(values) & (values != 0)).reshape(window.rows, window.cols)
        return counts


@dataclass(frozen=True, eq=False)
class Selection:
    """Which pixels of a scene count: those whose centres are in the bounds, in the window, and in
    the mask, and that no quality layer flags."""

    grid: Raster
    bounds: tuple[float, float, float, float] | None = None
    window: Window | None = None
    mask: Mask | None = None
    quality: tuple[QualityFile, ...] = ()

    @property
    def text(self) -> str:
        """What was asked for, in words."""
        parts = [] if self.mask is None else [f"--mask {self.mask.file.path}"]
        parts += (
            [] if self.bounds is None else ["--bounds " + " ".join(f"{v:g}" for v in self.bounds)]
        )
        if (w := self.window) is not None:
            parts.append(f"--window {w.row} {w.col} {w.rows} {w.cols}")
        if self.quality:
            words = dict.fromkeys(layer.reason for file in self.quality for layer in file.layers)
            parts.append(f"--quality {','.join(words)}")
        return " and ".join(parts)

    def within_bounds(self, window: Window) -> Flags:
        """(rows, cols): pixels whose centres are in the bounds and that are in the window that was
        asked for.

        The lower bounds belong to the bounds, the upper do not: of two that touch, a pixel is in
        one."""
        row, col = np.ogrid[
            window.row : window.row + window.rows, window.col : window.col + window.cols
        ]
        found = np.ones((window.rows, window.cols), dtype=bool)
        if (w := self.window) is not None:
            found &= (
                (row >= w.row) & (row < w.row + w.rows) & (col >= w.col) & (col < w.col + w.cols)
            )
        if self.bounds is not None:
            a, b, c, d, e, f = self.grid.transform[:6]
            x = a * (col + 0.5) + b * (row + 0.5) + c
            y = d * (col + 0.5) + e * (row + 0.5) + f
            left, bottom, right, top = self.bounds
            found &= (x >= left) & (x < right) & (y >= bottom) & (y < top)
        return found


class Where:
    """An open selection, which several threads may ask."""

    def __init__(
        self,
        selection: Selection,
        reader: Reader | AlignedReader | None,
        quality: QualityReader | None = None,
    ) -> None:
        self._selection, self._reader, self._quality = selection, reader, quality

    @property
    def bytes_per_pixel(self) -> int:
        """Roughly what an answer takes while it is made."""
        return 16 + (0 if self._quality is None else self._quality.bytes_per_pixel)

    def excluded(self, window: Window) -> dict[str, Flags]:
        """(rows, cols) of the pixels that do not count, by reason; no pixel has two reasons. Where
        several quality layers flag it, they are one reason."""
        inside = self._selection.within_bounds(window)
        reasons = {OUTSIDE[0]: ~inside}
        if self._selection.mask is not None and inside.any():
            masked = inside & ~self._selection.mask.inside(window, self._reader)
            reasons[OUTSIDE[1]] = masked
            inside = inside & ~masked
        if self._quality is not None and inside.any():
            reasons |= apart(self._quality.flagged(window), inside)
        return {r: out for r, out in reasons.items() if out.any()}

    def outside(self, window: Window) -> Flags:
        """(rows, cols): pixels that do not count, whatever the reason."""
        nothing = np.zeros((window.rows, window.cols), dtype=bool)
        return reduce(np.logical_or, self.excluded(window).values(), nothing)


@contextmanager
def opened_selection(selection: Selection | None) -> Iterator[Where | None]:
    """Ask a selection while its mask and layers are open; None if every pixel counts."""
    if selection is None:
        yield None
        return
    files, grid = selection.quality, selection.grid
    layers = QualityReader(files, grid) if files else nullcontext()
    with layers as quality, _reader(selection) as reader:
        yield Where(selection, reader, quality)


def _reader(selection: Selection) -> AbstractContextManager[Reader | AlignedReader | None]:
    """What reads the mask's raster, if there is one: on another grid, a pixel counts if half of its
    area does."""
    mask = selection.mask
    if mask is None or mask.areas is not None:
        return nullcontext()
    chosen = [(mask.file, [mask.band])]
    return AlignedReader(chosen, selection.grid, regrid=counts) if mask.aligned else Reader(chosen)


def select(
    grid: Raster,
    mask: str | None,
    bounds: tuple[float, float, float, float] | None,
    window: tuple[int, int, int, int] | None,
    part: Window | None = None,
    *,
    layer: str | None = None,
    describe: Describe = describe,
) -> Selection | None:
    """The selection that a user asks for; None if every pixel counts.

    Parameters
    ----------
    window : first row and column, number of rows and columns.
    part : the scene is this window of the grid; all that is asked for is said of the whole grid.
    layer : of a vector file with several.

    Raises
    ------
    InputError, MismatchError : a mask that cannot be read or used, a window that leaves the scene.
    """
    if mask is None and bounds is None and window is None:
        return None
    asked = None if window is None else Window(*window)
    if asked is not None and (
        asked.row + asked.rows > grid.rows or asked.col + asked.cols > grid.cols
    ):
        raise MismatchError(
            f"--window leaves {grid.path}",
            got=f"rows up to {asked.row + asked.rows} and columns up to {asked.col + asked.cols}",
            expected=f"at most {grid.rows} rows and {grid.cols} columns",
            remedy="Give ROW COL ROWS COLS, in pixels from 0.",
        )
    whole = grid
    if part is not None:
        grid = windowed(grid, part)
        asked = (
            None
            if asked is None
            else replace(asked, row=asked.row - part.row, col=asked.col - part.col)
        )
    which = None if mask is None else describe_mask(mask, grid, whole, layer, describe)
    return Selection(grid, bounds, asked, which)


def described(path: str, source: str, hint: str, describe: Describe = describe) -> Raster:
    """A raster in whose place there may be polygons; ``hint`` begins the remedy for what is
    neither."""
    try:
        return describe(path, source)
    except InputError as error:
        remedy = (
            f"{hint}, or polygons in a GeoPackage, shapefile, FlatGeobuf or GeoJSON file (others: "
            f"ogr2ogr -t_srs EPSG:4326 {source}.geojson FILE)."
        )
        raise InputError(
            error.what, got=error.got, expected=error.expected, remedy=error.remedy or remedy
        ) from error


def describe_mask(
    path: str, grid: Raster, whole: Raster, layer: str | None = None, describe: Describe = describe
) -> Mask:
    """What a mask file holds: polygons, or a raster; one that does not say where it lies, lies
    where the whole of the grid does."""
    driver = vector_driver(path)
    if driver is not None:
        features = read_features(path, "mask", driver, grid, layer=layer)
        require_polygons(features, "mask")
        return Mask(vector_file(features), areas=areas_of(features, grid, "mask"))
    raster = described(path, "mask", "A mask is a raster", describe)
    raster = placed(whole, raster, "mask")
    aligned = grid is not whole or not on_one_grid(grid, raster)
    if aligned:
        cut(grid, [raster])
    bands = [int(i) for i in np.flatnonzero(raster.bands.good)] if len(raster.bands) > 1 else [0]
    if len(bands) != 1:
        raise InputError(
            f"mask {path} is not one band",
            got=f"{len(bands)} bands",
            expected="one band, not zero where pixels count",
        )
    return Mask(raster, bands[0], aligned)


def require_polygons(features: Features, what: str) -> None:
    """Refuse a GeoJSON file without polygons; of another format only those near the scene were
    read."""
    if features.whole and not len(features.polygons):
        raise InputError(
            f"{what} {features.path} holds no polygon",
            got="no geometry",
            expected="Polygon or MultiPolygon",
        )


def areas_of(
    features: Features, grid: Raster, what: str, numbers: Sequence[int] | None = None
) -> Areas:
    """The polygons of a vector file in pixels of the scene. ``numbers``: of each feature, in whose
    order they are burnt; 0 for one that is left out.

    Raises
    ------
    InputError, MismatchError : too many corners, or a CRS that does not go with the scene's.
    """
    crs, name = features.crs, f"{what} {features.path}"
    if crs is not None and grid.crs is None:
        raise MismatchError(
            f"{name} cannot be laid over {grid.path}",
            got=f"a scene without CRS, and a {what} in {crs.to_string()}",
            expected="both in a CRS, or neither",
            remedy='Give the scene a CRS; or write "crs": null into GeoJSON in the scene\'s '
            "coordinates.",
        )
    if not len(features.polygons):
        return Areas.of([])
    polygons = in_pixels(name, features, grid)
    if numbers is None:
        return Areas.of(polygons)
    of_polygon = np.asarray(numbers)[features.owner]
    order = [int(i) for i in np.argsort(of_polygon, kind="stable") if of_polygon[i]]
    return Areas.of([polygons[i] for i in order], [int(of_polygon[i]) for i in order])


def vector_file(features: Features) -> Raster:
    """What is said of a vector file: a raster without bands and pixels."""
    return replace(
        blank(0, 0),
        path=features.path,
        driver=features.driver,
        crs=features.crs,
        files=features.files,
        messages=features.messages,
    )
