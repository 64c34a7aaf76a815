"""Write: fused windows to new files, with all that is known of their bands."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from glob import escape as glob_escape
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.drivers import driver_from_extension
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as gdal_copy
from rasterio.transform import Affine

from bandfuse.errors import OutputError, nearest
from bandfuse.raster.creation_options import check_options, check_type, grows
from bandfuse.raster.describe import Raster
from bandfuse.raster.gdal import CACHE, GDAL_ERRORS, heard, reason
from bandfuse.raster.ground import displaced, misplaced, placing, require_place
from bandfuse.raster.zarr import ARRAY, complete
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.windows import STACK_ROWS, Window


@dataclass(frozen=True)
class Encoding:
    """How numbers are stored: ``stored = (value − offset) / scale``, rounded and clipped for integer types."""

    dtype: str = "float32"
    scale: float = 1.0
    offset: float = 0.0

    @property
    def nodata(self) -> float:
        """NaN for floats; the least number of signed and the largest of unsigned integers."""
        kind = np.dtype(self.dtype)
        if kind.kind == "f":
            return float("nan")
        info = np.iinfo(kind)
        return float(info.min if kind.kind == "i" else info.max)

    def __call__(self, y: Floats) -> np.ndarray:
        """(K, n) float64 to the stored type; NaN becomes nodata."""
        kind = np.dtype(self.dtype)
        y = (y - self.offset) / self.scale if (self.scale, self.offset) != (1.0, 0.0) else y
        if kind.kind == "f":
            with np.errstate(over="ignore"):
                return y.astype(kind)
        low, high = self.limits
        missing = ~np.isfinite(y)
        return np.where(missing, self.nodata, np.clip(np.rint(np.where(missing, 0, y)), low, high)).astype(kind)

    @property
    def limits(self) -> tuple[float, float]:
        """Least and largest valid stored number of an integer type (nodata left out)."""
        info = np.iinfo(np.dtype(self.dtype))
        signed = np.dtype(self.dtype).kind == "i"
        return float(info.min + signed), float(info.max - (not signed))

    def lost(self, y: Floats) -> Lost:
        """What an integer type cannot hold of (K, n) values."""
        if np.dtype(self.dtype).kind == "f":
            return Lost(0, 0)
        low, high = self.limits
        exact = (y - self.offset) / self.scale
        stored = np.rint(exact)
        flat = (np.abs(exact) < 0.5) & (exact != 0)
        return Lost(int(((stored < low) | (stored > high)).sum()), int(flat.sum()))


@dataclass(frozen=True)
class Lost:
    """How many values did not fit an integer type: ``clipped`` to its range; and ``flattened``: rounded to a stored 0
    as they are less than half of a step away from it. They add."""

    clipped: int
    flattened: int

    def __add__(self, other: Lost) -> Lost:
        return Lost(self.clipped + other.clipped, self.flattened + other.flattened)

    def messages(self, encoding: Encoding, values: int) -> list[str]:
        """In words, of so many values."""
        found = []
        if self.clipped:
            found.append(
                f"{self.clipped} values were clipped to the range of {encoding.dtype} ({_share(self.clipped, values)})"
            )
        if self.flattened > MUCH * values:
            found.append(
                f"{_share(self.flattened, values)} of the values were rounded to {encoding.offset:g}: they lie within "
                f"half of --scale {encoding.scale:g}; give a smaller --scale, or a float --dtype"
            )
        return found


MUCH = 0.1
"""A share of rounded values that is said."""


def _share(part: int, of: int) -> str:
    return f"{100 * part / max(of, 1):.2g} %"


FOLDERS = ("Zarr",)
"""Drivers whose rasters are folders."""


def driver_of(path: Path, given: str | None) -> str:
    """The GDAL driver of an output: as given, else by the file's ending; GTiff for a name without one.

    Raises
    ------
    OutputError : GDAL has no such driver, or none for the ending.
    """
    with rasterio.Env() as env:
        known = env.drivers()
    if given is not None:
        found = next((name for name in known if name.lower() == given.lower()), None)
        if found is None:
            raise OutputError(f"there is no GDAL driver {given!r}", remedy=nearest(given, known))
        return str(found)
    if not path.suffix:
        return "GTiff"
    if path.suffix.lower() == ".zarr" and "Zarr" in known:
        return "Zarr"
    try:
        return str(driver_from_extension(path))
    except ValueError as error:
        raise OutputError(
            f"no driver is known for {path.name}", got=f"the ending {path.suffix}",
            expected=".tif, or --driver with one of GDAL's drivers, such as ENVI",
        ) from error  # fmt: skip


COG_TILE = 16 * 2**20
"""Bytes of one tile of a COG, where it does not have to be larger."""


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
        if driver == "Zarr" and (like.transform.b or like.transform.d):
            raise OutputError(
                f"{Path(path).name} cannot be created", got="a grid that is turned, which Zarr has no place for",
                remedy="Use another driver, such as GTiff.",
            )  # fmt: skip
        creation = {**_defaults(driver, threads, len(outputs)), **{k.lower(): v for k, v in (options or {}).items()}}
        self._path, self._last, self._options = Path(path), Window(0, 0, 1, 1), tuple(options or ())
        self._driver, self._creation, self._outputs, self._like = driver, creation, outputs, like
        # GDAL makes a COG of a finished file only: without one of our own it would hold all pixels in memory.
        self._first = self._path.with_name(f"{self._path.name}.first.tif") if driver == "COG" else self._path
        if driver == "COG":
            self._creation = {"blocksize": str(_cog_block(len(outputs), encoding.dtype)), **creation}
            driver, creation = "GTiff", {**_defaults("GTiff", threads, len(outputs)), "compress": "NONE", "zlevel": "6"}
        self._stack = ExitStack()
        self._stack.enter_context(rasterio.Env(**CACHE))
        self._heard = self._stack.enter_context(heard(errors=True))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                require_place(driver, self._path.name, like, encoding.dtype)
                self._heard.forget()
                known = {} if driver == "Zarr" else {"nodata": encoding.nodata}
                self._ds = rasterio.open(
                    self._first, "w", driver=driver, width=like.cols, height=like.rows, count=len(outputs),
                    dtype=encoding.dtype, **known, **placing(driver, like), **creation,
                )  # fmt: skip
                if driver == "Zarr":
                    self._complete(like, encoding)
                if self._driver == "COG" and options:
                    self._try_cog(like, encoding)
            self._describe(outputs, encoding)
            if left_out := self._heard.warnings_of(self._options):
                raise ValueError(left_out[0])
        except (*GDAL_ERRORS, ValueError, TypeError, SystemError) as error:
            self._stack.close()
            raise OutputError(
                f"{self._path.name} cannot be created", got=self._heard.first_error(reason(error)),
                expected=f"a raster that the driver {driver} can hold", remedy="Use another driver, such as GTiff.",
            ) from error  # fmt: skip

    def _try_cog(self, like: Raster, encoding: Encoding) -> None:
        """Make a small COG with one overview: what is wrong with options shows now, and not when all is fused."""
        side = int(self._creation["blocksize"]) + 1
        plain, made = (self._path.with_name(f"{self._path.name}.{word}.tif") for word in ("plain", "trial"))
        try:
            with rasterio.open(plain, "w", driver="GTiff", width=side, height=side, count=1, dtype=encoding.dtype,
                               crs=like.crs, transform=like.transform):  # fmt: skip
                pass
            gdal_copy(plain, made, driver="COG", **self._creation)
        finally:
            for path in (plain, made):
                path.unlink(missing_ok=True)
        if self._heard.errors:
            raise ValueError(self._heard.errors[0])

    def _complete(self, like: Raster, encoding: Encoding) -> None:
        """Close a new store, write what GDAL left out, and open it again: only then does GDAL leave out blocks of
        nodata, and of nothing else."""
        self._ds.close()
        complete(self._path, self._outputs, like.crs, encoding.nodata, encoding.scale, encoding.offset, encoding.dtype)
        self._ds = rasterio.open(self._path, "r+")

    def _describe(self, outputs: Bands, encoding: Encoding) -> None:
        if self._driver == "Zarr":
            return
        if self._driver == "ENVI":
            self._ds.update_tags(ns="ENVI", **envi_tags(outputs))
        for i, tags in enumerate(band_tags(outputs), 1):
            self._ds.set_band_description(i, outputs.name[i - 1])
            self._ds.update_tags(i, **tags)
            if imagery := imagery_tags(tags):
                self._ds.update_tags(i, ns="IMAGERY", **imagery)
        if (encoding.scale, encoding.offset) != (1.0, 0.0):
            self._ds.scales = (encoding.scale,) * len(outputs)
            self._ds.offsets = (encoding.offset,) * len(outputs)

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
        """The error of a file that does not come to its end; the first thing that GDAL said is the reason."""
        got = self._heard.first_error(why).rstrip(".")
        if self._driver != "COG" and not grows(self._driver):
            return OutputError(
                f"{self._path.name} cannot be made by the driver {self._driver}", got=got,
                remedy="Use another driver, such as GTiff; or is there no room on the disk?",
            )  # fmt: skip
        return OutputError(
            f"{self._path.name} cannot be written to its end", got=got, remedy="Is there room on the disk?"
        )

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._stack:
            try:
                self._ds.close()
                if kind is None:
                    self._require_silence()
                    self._finish()
                    self._read_back()
            except (*GDAL_ERRORS, SystemError) as error:
                if kind is None:
                    raise self._unfinished(reason(error)) from error

    def _finish(self) -> None:
        """What is to be done with a whole file: a COG is made of it, an ENVI header is put right."""
        if self._driver == "COG":
            gdal_copy(self._first, self._path, driver="COG", **self._creation)
            self._require_silence()
            if left_out := self._heard.warnings_of(self._options):
                raise OutputError(f"{self._path.name} cannot be created", got=left_out[0])
            for file in self._path.parent.glob(f"{glob_escape(self._first.name)}*"):
                file.unlink()
        if self._driver == "ENVI":
            tidy_header(self._path, self._outputs)

    def _read_back(self) -> None:
        """What was written last is there: the file has its end. And it lies where it should."""
        if self._path.is_file() or self._driver in FOLDERS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(self._path) as ds:
                    ds.read(window=_where(self._last))
                    lost = displaced(ds, self._like, self._driver)
            if lost:
                raise misplaced(self._path.name, self._driver, lost)


def _where(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """A window as rasterio takes it."""
    return (window.row, window.row + window.rows), (window.col, window.col + window.cols)


def _defaults(driver: str, threads: int, bands: int) -> dict[str, str]:
    """Creation options: tiled and compressed where the driver can. A tile is a stack, so each is written once."""
    if driver == "GTiff":
        return {"tiled": "YES", "blockxsize": "256", "blockysize": str(STACK_ROWS), "compress": "DEFLATE",
                "zlevel": "1", "interleave": "band", "num_threads": str(threads), "bigtiff": "IF_SAFER"}  # fmt: skip
    if driver == "COG":
        return {"compress": "DEFLATE", "num_threads": str(threads), "bigtiff": "IF_SAFER"}
    if driver == "Zarr":
        return {"array_name": ARRAY, "blocksize": f"{'1,' * (bands > 1)}{STACK_ROWS},256", "compress": "GZIP",
                "gzip_level": "1"}  # fmt: skip
    return {}


def _cog_block(bands: int, dtype: str) -> int:
    """The side of a COG's tiles, which hold all bands: 512 pixels, down to 128 where that is more than 16 MB."""
    side = (COG_TILE / (bands * np.dtype(dtype).itemsize)) ** 0.5
    return int(np.clip(side // 64 * 64, 128, 512))


def band_tags(bands: Bands) -> list[dict[str, str]]:
    """The tags of each band: wavelength and FWHM in nm at full precision, and the good-band flag."""
    rows = []
    for i in range(len(bands)):
        tags = {"bbl": "1" if bands.good[i] else "0"}
        for column in ("wavelength", "fwhm"):
            value = float(getattr(bands, f"{column}_nm")[i])
            if np.isfinite(value):
                tags |= {column: repr(value), "wavelength_units": "Nanometers"}
        rows.append(tags)
    return rows


def imagery_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The same for GDAL's IMAGERY domain, in µm."""
    names = (("wavelength", "CENTRAL_WAVELENGTH_UM"), ("fwhm", "FWHM_UM"))
    return {key: f"{float(tags[name]) / 1000:.6f}" for name, key in names if name in tags}


def envi_tags(bands: Bands) -> dict[str, str]:
    """The lists of an ENVI header, one item a line: GDAL reads no line of more than 10 000 characters. A number that is
    unknown is ``nan``."""
    found = {"bbl": _envi_list("1" if good else "0" for good in bands.good)}
    for key, column in (("wavelength", bands.wavelength_nm), ("fwhm", bands.fwhm_nm)):
        if np.isfinite(column).any():
            found |= {key: _envi_list(repr(float(v)) for v in column), "wavelength_units": "Nanometers"}
    return found


def _envi_list(items: Iterable[str]) -> str:
    return "{\n" + ",\n".join(items) + "}"


def tidy_header(path: Path, bands: Bands) -> None:
    """Put right what GDAL writes into an ENVI header: names with commas and braces, which would break the list, lists
    in one line, and the path at which the file was made. Full names stand in the ``.aux.xml``."""
    places = (path.with_suffix(".hdr"), path.with_name(f"{path.name}.hdr"))
    header = next((p for p in places if p.is_file()), None)
    if header is None:
        return
    text = header.read_text(encoding="utf-8")
    names = [name.translate(str.maketrans(",{}\n", ";() ")) for name in bands.name]
    text = re.sub(r"(?m)^data (?:gain|offset) values = \{.*\}$", lambda line: line[0].replace(", ", ",\n"), text)
    text = text.replace(f"band names = {_envi_list(bands.name)}", f"band names = {_envi_list(names)}")
    text = text.replace(
        f"description = {{\n{path}}}", f"description = {{\n{path.name.translate(str.maketrans('{}', '()'))}}}"
    )
    header.write_text(text, encoding="utf-8")


def write_array(path: str | Path, values: np.ndarray, like: Raster, outputs: Bands, encoding: Encoding) -> None:
    """Write a whole (K, rows, cols) array of stored numbers."""
    with Writer(path, like, outputs, encoding) as writer:
        writer(Window(0, 0, like.rows, like.cols), values)


def blank(rows: int, cols: int, transform: Sequence[float] = (1, 0, 0, 0, 1, 0), epsg: int | None = None) -> Raster:
    """The description of a grid without a file, for :func:`write_array`."""
    nothing = np.zeros(0)
    return Raster(
        "", "", rows, cols, (), None if epsg is None else CRS.from_epsg(epsg), Affine(*transform), Bands.of([]),
        nothing, nothing, nothing, (rows, cols), (),
    )  # fmt: skip
