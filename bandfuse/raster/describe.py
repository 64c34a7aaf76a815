"""Describe: what a file says of itself. No pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine

from bandfuse.bands import Bands, Floats
from bandfuse.errors import InputError, MismatchError, nearest, shorten
from bandfuse.metadata import RasterTags, band_table
from bandfuse.names import for_gdal
from bandfuse.raster.texts import given_table, header_of

CACHE = {"GDAL_CACHEMAX": 128 * 2**20, "CPL_VSIL_GZIP_WRITE_PROPERTIES": "NO"}
"""GDAL's block cache, in bytes, is kept small: windows follow the stored blocks, so each is read once. And GDAL leaves
nothing beside a compressed file that it reads."""

GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError)
"""What rasterio raises when GDAL fails; some of GDAL's own errors pass through it as they are."""


@dataclass(frozen=True)
class Piece:
    """What GDAL opens for some of the bands of a raster.

    ``name``: a file, a subdataset, or the text of a VRT. ``bands``: the 1-based numbers of its bands, in the raster's
    order. ``axes``: empty where GDAL shows the bands as bands; of an array whose first axis GDAL takes for bands, what
    its three axes are: ``rbc`` or ``rcb`` (rows, bands, columns). ``flaws``: the name of an array like it that is not
    zero where a value must not be used.
    """

    name: str
    bands: tuple[int, ...]
    axes: str = ""
    flaws: str = ""


@dataclass(frozen=True, eq=False)
class Raster:
    """One file or product, described: what it holds, not its pixels.

    ``nodata``, ``scale``, ``offset`` hold one number per band (NaN where no nodata is declared); ``masked`` tells that
    the file carries a mask of its own; ``files`` are all that GDAL reads for it: headers, sidecars, a mosaic's parts.
    ``interleave``: band, line or pixel; empty where GDAL does not say. ``product``: what it is called, if it is one.
    ``pieces``: what holds the bands, one piece after the other; empty where GDAL opens ``path`` and it has them all.
    ``glt``: for an image in sensor geometry, a raster of two bands on the grid of a map: the 1-based column and row of
    the image that belong there, 0 for none.
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
    files: tuple[str, ...] = ()
    interleave: str = ""
    product: str = ""
    pieces: tuple[Piece, ...] = ()
    glt: Raster | None = None

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
def opened(path: str) -> Iterator[Any]:
    """An open dataset; GDAL's reasons become an InputError."""
    local = "://" not in path and not path.startswith(("/vsi", "<")) and ":" not in Path(path).name
    if local and not os.path.exists(path):
        raise InputError(f"{path} does not exist", expected="a raster file", remedy=_similar(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(for_gdal(path))
    except GDAL_ERRORS as error:
        raise InputError(
            f"{path} cannot be opened as a raster", got=reason(error), expected="a file that GDAL can read"
        ) from error
    with dataset:
        yield dataset


def _similar(path: str) -> str:
    """A hint at a file of nearly the same name."""
    folder = Path(path).parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    hint = nearest(Path(path).name, names)
    return hint if hint.startswith("Did") else "Check the path."


def reason(error: BaseException) -> str:
    """GDAL's own words, from the deepest cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().rstrip(".") or type(error).__name__


def describe(path: str | Path, source: str = "scene", wavelengths: str | Path | None = None) -> Raster:
    """Read what a file says of itself; ``wavelengths`` names a file that says more of its bands, and comes first.

    Raises
    ------
    InputError : missing, not a raster, no bands, complex numbers, or shorter than its header says.
    """
    path = str(path)
    with rasterio.Env(**CACHE), opened(path) as ds:
        if ds.count == 0:
            subs = shorten(ds.subdatasets, 4) if ds.subdatasets else "none"
            raise InputError(f"{path} has no bands", got=f"subdatasets: {subs}", remedy="Give one of its subdatasets.")
        if any("complex" in d for d in ds.dtypes):
            raise InputError(f"{path} holds complex numbers", expected="real numbers")
        _check_length(ds)
        header = header_of(ds)
        tags = RasterTags(
            header.names(ds.descriptions),
            [ds.tags(i) for i in ds.indexes],
            [ds.tags(i, ns="IMAGERY") for i in ds.indexes],
            header.domain(ds.tags(ns="ENVI")),
            ds.tags(),
        )
        stated = [] if wavelengths is None else [given_table(wavelengths, ds.count, path)]
        alpha = {i: "alpha band" for i, c in enumerate(ds.colorinterp) if c == ColorInterp.alpha}
        bands, messages = band_table(tags, source, alpha, stated=stated)
        nodata = np.array([np.nan if n is None else n for n in ds.nodatavals], dtype=np.float64)
        return Raster(
            path=path,
            driver=ds.driver,
            rows=ds.height,
            cols=ds.width,
            dtypes=tuple(ds.dtypes),
            crs=ds.crs,
            transform=ds.transform,
            bands=bands,
            nodata=header.numbers("data_ignore_value", ds.count, nodata),
            scale=header.numbers("data_gain_values", ds.count, np.array(ds.scales, dtype=np.float64)),
            offset=header.numbers("data_offset_values", ds.count, np.array(ds.offsets, dtype=np.float64)),
            stored=ds.block_shapes[0],
            interleave=ds.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE", "").lower(),
            masked=_has_mask(ds),
            messages=(*header.messages, *messages),
            files=(*ds.files, *([] if wavelengths is None else [str(wavelengths)])),
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


def gdal_version() -> str:
    """The version of the GDAL that reads and writes."""
    return str(rasterio.__gdal_version__)
