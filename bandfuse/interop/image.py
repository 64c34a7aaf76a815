"""Image: a scene in Python. Its bands and grid at once, its pixels when they are asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bandfuse.errors import ConfigError, InputError
from bandfuse.interop.arrays import band_coordinates
from bandfuse.interop.spatial_ref import coordinates_of, encoding_of
from bandfuse.scenes.places import places
from bandfuse.scenes.scene import Scene, open_scene
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.windows import Window
from bandfuse.summary import Summarised, Summary

if TYPE_CHECKING:
    import xarray

CHUNK = (128, 128)
"""Rows and columns of a lazy array's chunks, at least; whole stored blocks."""


def open(path: str | Path | None = None, **sources: str | Path) -> Image:
    """Describe a scene: one file, or several co-registered ones by name, their bands one after the
    other.

    ``bandfuse.open("cube.tif")``, ``bandfuse.open(vnir="v.tif", swir="s.tif")``.

    Raises
    ------
    InputError : a file is missing, damaged or no raster. MismatchError : files that cannot be
        brought to the grid of the first."""
    named = [f"{name}={file}" for name, file in sources.items()]
    (place,) = places([] if path is None else [str(path)], named, [])
    return Image(open_scene(place))


@dataclass(frozen=True, eq=False, repr=False)
class Image(Summarised):
    """A described scene; see :func:`open`."""

    scene: Scene

    def summary(self) -> Summary:
        """Bands and grid in a few lines, and the bands as a table."""
        said = self.scene.summary()
        return replace(said, title=said.title.replace("Scene", "Image", 1))

    @property
    def bands(self) -> Bands:
        """The B bands: names, sources, wavelengths and widths in nm, and what speaks against a
        band."""
        return self.scene.bands

    @property
    def shape(self) -> tuple[int, int, int]:
        """B, H and W."""
        return len(self.bands), *self.scene.shape

    @property
    def crs(self) -> str | None:
        """The CRS as an authority code or WKT; None if there is none."""
        return self.scene.grid.crs_text

    @property
    def transform(self) -> tuple[float, ...]:
        """(a, b, c, d, e, f): x = a col + b row + c, y = d col + e row + f, from the upper left
        corner of a pixel."""
        return tuple(self.scene.grid.transform)[:6]

    def read(self, window: tuple[int, int, int, int] | None = None) -> Floats:
        """(B, H, W) float64 in physical units, NaN where missing.

        ``window``: first row and column from 0, number of rows and columns; all if not given.

        Raises
        ------
        ConfigError : a window that is not in the image. InputError : a file that cannot be read to
            its end."""
        _, height, width = self.shape
        row, col, rows, cols = (0, 0, height, width) if window is None else window
        if not (
            row >= 0
            and col >= 0
            and rows > 0
            and cols > 0
            and row + rows <= height
            and col + cols <= width
        ):
            raise ConfigError(
                "window",
                got=str(window),
                expected=f"ROW, COL, ROWS, COLS within {height} rows and {width} columns",
            )
        with self.scene.reader(range(len(self.bands))) as reader:
            values = (
                reader.read(Window(row, col, rows, cols))
                .cell(slice(0, rows), slice(0, cols))
                .values()
            )
        return values.reshape(-1, rows, cols)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All pixels, for numpy."""
        return np.asarray(self.read(), dtype=dtype)

    def to_xarray(self) -> xarray.DataArray:
        """A DataArray (band, y, x) whose pixels are read when they are computed, chunk by chunk of
        all bands.

        Coordinates: ``band`` (names), ``wavelength_nm``, ``fwhm_nm``, and ``y`` and ``x`` of the
        pixels' centres where the grid lies along the axes. ``spatial_ref`` holds the CRS and the
        transform, as rioxarray and GDAL read and write them. Missing values are NaN, and the
        encoding declares that as ``_FillValue``.

        Raises
        ------
        InputError : xarray or dask is not installed.
        """
        xr, da = _library("xarray"), _library("dask.array")
        edges = [
            _edges(n, stored, least)
            for n, stored, least in zip(self.shape[1:], self.scene.grid.stored, CHUNK, strict=True)
        ]
        lazy = da.map_blocks(
            self._chunk,
            chunks=((len(self.bands),), *edges),
            dtype=np.float64,
            meta=np.empty((0, 0, 0)),
        )
        attributes = {} if self.crs is None else {"crs": self.crs}
        coordinates = band_coordinates(self.bands, "band") | coordinates_of(self.scene.grid)
        made: xarray.DataArray = xr.DataArray(
            lazy, coordinates, ("band", "y", "x"), self.scene.key, attributes
        )
        made.encoding = encoding_of(made)
        return made

    def _chunk(self, block_info: Any) -> Floats:
        """One chunk, by its place in the whole."""
        (_, _), (top, bottom), (left, right) = block_info[None]["array-location"]
        return self.read((top, left, bottom - top, right - left))


def _edges(size: int, stored: int, least: int) -> tuple[int, ...]:
    """Sizes of chunks along a side: whole stored blocks, at least so many pixels."""
    step = min(size, stored * -(-least // stored))
    return tuple(min(step, size - start) for start in range(0, size, step))


def _library(name: str) -> Any:
    """A library that is not always there."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{name} is not installed", remedy="Install bandfuse[xarray].") from error
