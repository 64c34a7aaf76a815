"""Write: fused windows to new files, with all that is known of their bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from bandfuse.errors import OutputError
from bandfuse.raster.creation_options import check_options, check_type, grows
from bandfuse.raster.describe import Raster
from bandfuse.raster.drivers import NewRaster, driver_named
from bandfuse.raster.encoding import Encoding
from bandfuse.raster.gdal import CACHE, GDAL_ERRORS, heard, reason, unplaced_quietly
from bandfuse.raster.ground import displaced, misplaced, require_place
from bandfuse.spectral.bands import Bands
from bandfuse.streaming.windows import Window


class Writer:
    """Writes fused windows to a new raster, with all that is known of its bands."""

    def __init__(
        self,
        path: str | Path,
        like: Raster,
        outputs: Bands,
        encoding: Encoding,
        *,
        driver: str = "GTiff",
        options: Mapping[str, str] | None = None,
        threads: int = 1,
    ) -> None:
        check_options(driver, options or {})
        check_type(driver, encoding.dtype)
        self._driver, self._last = driver_named(driver), Window(0, 0, 1, 1)
        self._new = NewRaster(Path(path), like, outputs, encoding, options or {}, threads)
        self._driver.check(self._new)
        self._stack = ExitStack()
        self._stack.enter_context(rasterio.Env(**CACHE))
        self._heard = self._stack.enter_context(heard(errors=True))
        try:
            self._ds = self._created()
        except (*GDAL_ERRORS, ValueError, TypeError, SystemError) as error:
            self._stack.close()
            raise OutputError(
                f"{self._new.path.name} cannot be created",
                got=self._heard.first_error(reason(error)),
                expected=f"a raster that the driver {driver} can hold",
                remedy="Use another driver, such as GTiff.",
            ) from error

    def _created(self) -> Any:
        """The new dataset, which knows its bands; all options of the user's were taken."""
        new = self._new
        with unplaced_quietly():
            require_place(self._driver, new.path.name, new.like, new.encoding.dtype)
            self._heard.forget()
            dataset = self._driver.create(new)
        self._driver.describe(dataset, new)
        if left_out := self._heard.warnings_of(new.options):
            raise ValueError(left_out[0])
        return dataset

    def __call__(self, window: Window, values: np.ndarray) -> None:
        """Write (K, rows, cols) at a window."""
        self._last = window
        try:
            self._ds.write(values, window=_where(window))
        except GDAL_ERRORS as error:
            raise self._unfinished(reason(error)) from error
        self._require_silence()

    def _require_silence(self) -> None:
        """GDAL reports a full disk, and goes on."""
        if self._heard.errors:
            raise self._unfinished("")

    def _unfinished(self, why: str) -> OutputError:
        """The error of a file that does not come to its end; GDAL's first error is the reason."""
        name, driver = self._new.path.name, self._driver.name
        got = self._heard.first_error(why).rstrip(".")
        if not grows(driver):
            return OutputError(
                f"{name} cannot be made by the driver {driver}",
                got=got,
                remedy="Use another driver, such as GTiff; or is there no room on the disk?",
            )
        text = f"{name} cannot be written to its end"
        return OutputError(text, got=got, remedy="Is there room on the disk?")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._stack:
            try:
                self._ds.close()
                if kind is None:
                    self._require_silence()
                    self._driver.finish(self._new)
                    self._require_silence()
                    self._read_back()
            except (*GDAL_ERRORS, SystemError) as error:
                if kind is None:
                    raise self._unfinished(reason(error)) from error

    def _read_back(self) -> None:
        """What was written last is there: the file has its end. And it lies where it should."""
        path = self._new.path
        if path.is_file() or self._driver.folder:
            with unplaced_quietly(), rasterio.open(path) as ds:
                ds.read(window=_where(self._last))
                lost = displaced(ds, self._new.like, self._driver)
            if lost:
                raise misplaced(path.name, self._driver.name, lost)


def _where(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """A window as rasterio takes it."""
    return (window.row, window.row + window.rows), (window.col, window.col + window.cols)


def write_array(
    path: str | Path, values: np.ndarray, like: Raster, outputs: Bands, encoding: Encoding
) -> None:
    """Write a whole (K, rows, cols) array of stored numbers."""
    with Writer(path, like, outputs, encoding) as writer:
        writer(Window(0, 0, like.rows, like.cols), values)


def blank(
    rows: int, cols: int, transform: Sequence[float] = (1, 0, 0, 0, 1, 0), epsg: int | None = None
) -> Raster:
    """The description of a grid without a file, for :func:`write_array`."""
    nothing = np.zeros(0)
    return Raster(
        path="",
        driver="",
        rows=rows,
        cols=cols,
        dtypes=(),
        crs=None if epsg is None else CRS.from_epsg(epsg),
        transform=Affine(*transform),
        bands=Bands.of([]),
        nodata=nothing,
        scale=nothing,
        offset=nothing,
        stored=(rows, cols),
        messages=(),
    )
