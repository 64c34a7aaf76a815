"""Raster: the only door to rasterio. Files in, band tables and patches out; fused windows in, files out."""

from __future__ import annotations

import logging
import queue
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine

from bandfuse.bands import Bands, Floats
from bandfuse.errors import InputError, MismatchError, OutputError, nearest, shorten
from bandfuse.metadata import RasterTags, band_table
from bandfuse.windows import STACK_ROWS, Window

GDAL_CACHE_MB = 128
CACHE = {"GDAL_CACHEMAX": GDAL_CACHE_MB}
"""GDAL's block cache is kept small: windows follow the stored blocks, so each is read once."""


@dataclass(frozen=True, eq=False)
class Raster:
    """One file, described: what it holds, not its pixels.

    ``nodata``, ``scale``, ``offset`` hold one number per band (NaN where no nodata is declared); ``masked`` tells that
    the file carries a mask of its own.
    """

    path: str
    driver: str
    rows: int
    cols: int
    dtypes: tuple[str, ...]
    crs: CRS | None
    transform: Affine
    bands: Bands
    nodata: Floats
    scale: Floats
    offset: Floats
    stored: tuple[int, int]
    masked: bool
    messages: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.cols

    @property
    def crs_text(self) -> str | None:
        """The CRS as an authority code where it has one, else as WKT."""
        if self.crs is None:
            return None
        try:
            return str(self.crs.to_string())
        except CRSError:
            return str(self.crs.wkt)


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """An open dataset; GDAL's reasons become an InputError."""
    local = "://" not in path and not path.startswith("/vsi") and ":" not in Path(path).name
    if local and not Path(path).exists():
        raise InputError(f"{path} does not exist", expected="a raster file", remedy=_similar(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path)
    except (RasterioError, OSError) as error:
        raise InputError(
            f"{path} cannot be opened as a raster", got=_reason(error), expected="a file that GDAL can read"
        ) from error
    with dataset:
        yield dataset


def _similar(path: str) -> str:
    """A hint at a file of nearly the same name."""
    folder = Path(path).parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    hint = nearest(Path(path).name, names)
    return hint if hint.startswith("Did") else "Check the path."


def _reason(error: BaseException) -> str:
    """GDAL's own words, from the deepest cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().rstrip(".") or type(error).__name__


def describe(path: str | Path, source: str = "scene") -> Raster:
    """Read what a file says of itself.

    Raises
    ------
    InputError : missing, not a raster, no bands, complex numbers, or shorter than its header says.
    """
    path = str(path)
    with rasterio.Env(**CACHE), _opened(path) as ds:
        if ds.count == 0:
            subs = shorten(ds.subdatasets, 4) if ds.subdatasets else "none"
            raise InputError(f"{path} has no bands", got=f"subdatasets: {subs}", remedy="Give one of its subdatasets.")
        if any("complex" in d for d in ds.dtypes):
            raise InputError(f"{path} holds complex numbers", expected="real numbers")
        _check_length(ds)
        tags = RasterTags(
            ds.descriptions,
            [ds.tags(i) for i in ds.indexes],
            [ds.tags(i, ns="IMAGERY") for i in ds.indexes],
            ds.tags(ns="ENVI"),
        )
        alpha = {i: "alpha band" for i, c in enumerate(ds.colorinterp) if c == ColorInterp.alpha}
        bands, messages = band_table(tags, source, alpha)
        return Raster(
            path=path,
            driver=ds.driver,
            rows=ds.height,
            cols=ds.width,
            dtypes=tuple(ds.dtypes),
            crs=ds.crs,
            transform=ds.transform,
            bands=bands,
            nodata=np.array([np.nan if n is None else n for n in ds.nodatavals], dtype=np.float64),
            scale=np.array(ds.scales, dtype=np.float64),
            offset=np.array(ds.offsets, dtype=np.float64),
            stored=ds.block_shapes[0],
            masked=_has_mask(ds),
            messages=tuple(messages),
        )


def _has_mask(ds: Any) -> bool:
    flags = ds.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags


def _check_length(ds: Any) -> None:
    """A raw file that is too short is read by GDAL as zeros: refuse it."""
    data = Path(ds.files[0]) if ds.files else Path()
    if ds.driver != "ENVI" or not data.is_file():
        return
    with data.open("rb") as stream:
        if stream.read(2) == b"\x1f\x8b":
            return
    start = int(ds.tags(ns="ENVI").get("header_offset", 0))
    needed = start + ds.width * ds.height * sum(np.dtype(d).itemsize for d in ds.dtypes)
    if data.stat().st_size < needed:
        raise InputError(f"{ds.name} is truncated", got=f"{data.stat().st_size} bytes", expected=f"{needed} bytes")


@dataclass(frozen=True, eq=False)
class _Part:
    """The stored pixels of some bands of one raster: (n, rows, cols) and how to make numbers of them."""

    stored: np.ndarray
    nodata: Floats
    scale: Floats
    offset: Floats
    mask: np.ndarray | None

    def fill(self, out: Floats, rows: slice, cols: slice) -> None:
        """Write (n, pixels) physical values into ``out``, NaN where missing."""
        raw = self.stored[:, rows, cols].reshape(len(self.stored), -1)
        out[...] = raw
        declared = np.isfinite(self.nodata)
        if declared.any():
            same = raw == self.nodata.astype(raw.dtype)[:, None] if self._exact else out == self.nodata[:, None]
            out[same & declared[:, None]] = np.nan
        if self.mask is not None:
            out[:, self.mask[rows, cols].ravel() == 0] = np.nan
        if (self.scale != 1).any() or (self.offset != 0).any():
            out *= self.scale[:, None]
            out += self.offset[:, None]

    @property
    def _exact(self) -> bool:
        """Floats are compared in their own type: -3.4e38 in float32 is not the float64 of that text."""
        return self.stored.dtype.kind == "f"


@dataclass(frozen=True, eq=False)
class RasterPatch:
    """One window of several rasters, in their stored types."""

    parts: list[_Part]

    def values(self, rows: slice, cols: slice) -> Floats:
        """(D, n) float64 of a cell; NaN where missing."""
        sizes = [len(p.stored) for p in self.parts]
        pixels = (rows.stop - rows.start) * (cols.stop - cols.start)
        out = np.empty((sum(sizes), pixels))
        at = 0
        for part, size in zip(self.parts, sizes, strict=True):
            part.fill(out[at : at + size], rows, cols)
            at += size
        return out


Choice = tuple[Raster, Sequence[int]]
"""A raster and the 0-based positions of the bands to read."""


class Reader:
    """Reads windows of chosen bands of several rasters on one grid. Each thread has its own handles."""

    def __init__(self, choices: Sequence[Choice], threads: int) -> None:
        self._choices = [(r, list(p)) for r, p in choices if len(p)]
        self._free: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._every: list[Any] = []
        with rasterio.Env(**CACHE):
            for _ in range(threads):
                handles = [self._open(r.path) for r, _ in self._choices]
                self._free.put(handles)

    def _open(self, path: str) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            handle = rasterio.open(path)
        self._every.append(handle)
        return handle

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._every:
            handle.close()

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel as stored, all chosen bands."""
        return sum(np.dtype(r.dtypes[i]).itemsize for r, p in self._choices for i in p)

    def read(self, window: Window) -> RasterPatch:
        """The pixels of a window.

        Raises
        ------
        InputError : the file is damaged or ends too early.
        """
        handles = self._free.get()
        try:
            with rasterio.Env(**CACHE):
                return RasterPatch([_read(h, r, p, window) for h, (r, p) in zip(handles, self._choices, strict=True)])
        finally:
            self._free.put(handles)


def _read(handle: Any, raster: Raster, positions: list[int], window: Window) -> _Part:
    where = ((window.row, window.row + window.rows), (window.col, window.col + window.cols))
    kinds = {raster.dtypes[i] for i in positions}
    dtype = kinds.pop() if len(kinds) == 1 else "float64"
    try:
        stored = handle.read([i + 1 for i in positions], window=where, out_dtype=dtype)
        mask = handle.read_masks(1, window=where) if raster.masked else None
    except (RasterioError, OSError) as error:
        raise InputError(
            f"{raster.path} cannot be read to its end",
            got=_reason(error),
            expected="a whole file",
            remedy="It is damaged or truncated: copy or download it again.",
        ) from error
    p = list(positions)
    return _Part(stored, raster.nodata[p], raster.scale[p], raster.offset[p], mask)


def same_grid(first: Raster, other: Raster, what: str) -> None:
    """Two rasters must share their grid: size always, transform and CRS where both have them.

    Raises
    ------
    MismatchError : naming both files and what differs.
    """
    remedy = f"Bring {other.path} to the grid of {first.path} first (gdalwarp -tr … -te … -t_srs …)."
    if first.shape != other.shape:
        raise MismatchError(
            f"{what} {other.path} is not on the grid of {first.path}",
            got=f"{other.rows} × {other.cols} pixels",
            expected=f"{first.rows} × {first.cols} pixels",
            remedy=remedy,
        )
    if first.crs and other.crs and first.crs != other.crs:
        raise MismatchError(
            f"{what} {other.path} has another CRS than {first.path}",
            got=str(other.crs_text),
            expected=str(first.crs_text),
            remedy=remedy,
        )
    placed = [r for r in (first, other) if not r.transform.is_identity]
    pixel = max(abs(first.transform.a), abs(first.transform.b), 1e-300)
    apart = max(abs(a - b) for a, b in zip(first.transform, other.transform, strict=True))
    if len(placed) == 2 and apart > 0.01 * pixel:
        raise MismatchError(
            f"{what} {other.path} lies elsewhere than {first.path}",
            got=f"transform {tuple(other.transform)[:6]}",
            expected=f"transform {tuple(first.transform)[:6]}",
            remedy=remedy,
        )


def quicklook(raster: Raster, positions: Sequence[int], most: int = 512) -> Floats:
    """(H, W, n) physical values of some bands, thinned to at most ``most`` pixels a side; NaN where missing."""
    step = max(1, -(-max(raster.shape) // most))
    shape = (len(positions), -(-raster.rows // step), -(-raster.cols // step))
    with rasterio.Env(**CACHE), _opened(raster.path) as ds:
        try:
            stored = ds.read([p + 1 for p in positions], out_shape=shape, out_dtype="float64")
            mask = ds.read_masks(1, out_shape=shape[1:]) if raster.masked else None
        except (RasterioError, OSError) as error:
            raise InputError(f"{raster.path} cannot be read", got=_reason(error), expected="a whole file") from error
    p = list(positions)
    part = _Part(stored, raster.nodata[p], raster.scale[p], raster.offset[p], mask)
    out = np.empty((len(p), shape[1] * shape[2]))
    part.fill(out, slice(0, shape[1]), slice(0, shape[2]))
    return np.moveaxis(out.reshape(shape), 0, -1)


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

    def clipped(self, y: Floats) -> int:
        """How many values do not fit the integer type."""
        if np.dtype(self.dtype).kind == "f":
            return 0
        low, high = self.limits
        stored = np.rint((y - self.offset) / self.scale)
        return int(((stored < low) | (stored > high)).sum())


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
        creation = {**_defaults(driver, threads), **{k.lower(): v for k, v in (options or {}).items()}}
        self._env = rasterio.Env(**CACHE)
        self._env.__enter__()
        try:
            with warnings.catch_warnings(), _options_that_count():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                self._ds = rasterio.open(
                    path, "w", driver=driver, width=like.cols, height=like.rows, count=len(outputs),
                    dtype=encoding.dtype, nodata=encoding.nodata, crs=like.crs, transform=like.transform, **creation,
                )  # fmt: skip
            self._describe(outputs, encoding)
        except (RasterioError, OSError, ValueError, TypeError) as error:
            self._env.__exit__(None, None, None)
            raise OutputError(f"{path} cannot be created", got=_reason(error), expected=f"a {driver} raster") from error

    def _describe(self, outputs: Bands, encoding: Encoding) -> None:
        for i, tags in enumerate(band_tags(outputs), 1):
            self._ds.set_band_description(i, outputs.name[i - 1])
            self._ds.update_tags(i, **tags)
            imagery = {
                key: f"{float(tags[name]) / 1000:.6f}"
                for name, key in (("wavelength", "CENTRAL_WAVELENGTH_UM"), ("fwhm", "FWHM_UM"))
                if name in tags
            }
            if imagery:
                self._ds.update_tags(i, ns="IMAGERY", **imagery)
        if (encoding.scale, encoding.offset) != (1.0, 0.0):
            self._ds.scales = (encoding.scale,) * len(outputs)
            self._ds.offsets = (encoding.offset,) * len(outputs)

    def __call__(self, window: Window, values: np.ndarray) -> None:
        """Write (K, rows, cols) at a window."""
        where = ((window.row, window.row + window.rows), (window.col, window.col + window.cols))
        try:
            self._ds.write(values, window=where)
        except (RasterioError, OSError) as error:
            raise OutputError(f"{self._ds.name} cannot be written", got=_reason(error)) from error

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._ds.close()
        except (RasterioError, OSError) as error:
            raise OutputError(f"{self._ds.name} cannot be finished", got=_reason(error)) from error
        finally:
            self._env.__exit__(None, None, None)


class _Ears(logging.Handler):
    """Keeps what GDAL says of creation options: it warns, and goes on without them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "creation option" in text:
            self.heard.append(text)


@contextmanager
def _options_that_count() -> Iterator[None]:
    """Turn GDAL's warnings about creation options into a ValueError."""
    ears, logger = _Ears(), logging.getLogger("rasterio._env")
    logger.addHandler(ears)
    try:
        yield
    finally:
        logger.removeHandler(ears)
    if ears.heard:
        raise ValueError(ears.heard[0].split("in CPLE_NotSupported. ")[-1])


def _defaults(driver: str, threads: int) -> dict[str, str]:
    """Creation options: tiled and compressed where the driver can. A tile is a stack, so each is written once."""
    if driver == "GTiff":
        return {"tiled": "YES", "blockxsize": "256", "blockysize": str(STACK_ROWS), "compress": "DEFLATE",
                "zlevel": "1", "interleave": "band", "num_threads": str(threads), "bigtiff": "IF_SAFER"}  # fmt: skip
    if driver == "COG":
        return {"compress": "DEFLATE", "num_threads": str(threads), "bigtiff": "IF_SAFER"}
    return {}


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


def write_array(path: str | Path, values: np.ndarray, like: Raster, outputs: Bands, encoding: Encoding) -> None:
    """Write a whole (K, rows, cols) array of stored numbers."""
    with Writer(path, like, outputs, encoding) as writer:
        writer(Window(0, 0, like.rows, like.cols), values)


def blank(rows: int, cols: int, transform: Sequence[float] = (1, 0, 0, 0, 1, 0), epsg: int | None = None) -> Raster:
    """The description of a grid without a file, for :func:`write_array`."""
    nothing = np.zeros(0)
    return Raster(
        "", "", rows, cols, (), None if epsg is None else CRS.from_epsg(epsg), Affine(*transform), Bands.of([]),
        nothing, nothing, nothing, (rows, cols), False, (),
    )  # fmt: skip


def gdal_version() -> str:
    """The version of the GDAL that reads and writes."""
    return str(rasterio.__gdal_version__)


def finite_or_none(values: Iterable[float]) -> list[float | None]:
    """Numbers for JSON: None for NaN."""
    return [float(v) if np.isfinite(v) else None for v in values]
