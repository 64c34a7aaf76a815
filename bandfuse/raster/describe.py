"""Describe: what a file says of itself. No pixels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError
from rasterio.transform import Affine

from bandfuse.errors import InputError, MismatchError, nearest, shorten
from bandfuse.files.kinds import is_moments, is_weights
from bandfuse.files.names import for_gdal
from bandfuse.raster.gdal import (
    CACHE,
    GDAL_ERRORS,
    LONGEST,
    heard,
    may_be_hdf5,
    quiet_hdf5,
    reason,
    unplaced_quietly,
)
from bandfuse.raster.header_files import Header, Said, given_table, header_of, said_by, vrt_over
from bandfuse.raster.netcdf import check_header
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.metadata import RasterTags, band_table
from bandfuse.spectral.remarks import Remark
from bandfuse.summary import Facts, Summarised, Summary, counted

LATIN = Remark("other-encoding", "some names or tags are not UTF-8, and are read as Latin-1")


MOST_WARNINGS = 4
"""Warnings of GDAL about one file that are passed on."""


@dataclass(frozen=True)
class SourceImage:
    """What GDAL opens for some of the bands of a raster.

    ``name``: a file, a subdataset, or the text of a VRT. ``bands``: the 1-based numbers of its
    bands, in the raster's order. ``axes``: empty where GDAL shows the bands as bands; of an array
    whose first axis GDAL takes for bands, what its three axes are: ``rbc`` or ``rcb`` (rows, bands,
    columns). ``flaws``: the name of an array like it that is not zero where a value must not be
    used, with axes of its own (``brc``: bands first; ``rc``: one layer for all bands)."""

    name: str
    bands: tuple[int, ...]
    axes: str = ""
    flaws: str = ""
    flaw_axes: str = ""


@dataclass(frozen=True)
class QualityLayer:
    """Where a product says that a pixel is of no use for one ``reason``, in one word: cloud,
    cirrus, shadow, haze, snow, water, saturated, invalid and the like.

    ``image``: what GDAL opens, and the one band of it; its grid may be another than that of the
    product. ``file``: where that lies on the file system. A pixel is flagged if its value there is
    one of ``values``, or has one of ``bits``."""

    reason: str
    image: SourceImage
    file: str
    values: tuple[int, ...] = ()
    bits: int = 0

    def flags(self, values: Floats) -> np.ndarray:
        """True where values of the band, as they are stored, flag a pixel; NaN flags none."""
        if not self.bits:
            found: np.ndarray = np.isin(values, self.values)
            return found
        whole = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).astype(np.int64)
        flagged: np.ndarray = (whole & self.bits) != 0
        return flagged


@dataclass(frozen=True)
class Masks:
    """What masks a file carries beside its declared nodata; true if it has any.

    ``dataset``: 1-based number of a band whose mask is that of all bands, 0 for none. ``bands``:
    whether bands have masks of their own. ``alpha``: 1-based number of the alpha band, 0 for none;
    where it is 0, a pixel is missing."""

    dataset: int = 0
    bands: bool = False
    alpha: int = 0

    def __bool__(self) -> bool:
        return bool(self.dataset or self.bands or self.alpha)


@dataclass(frozen=True, eq=False)
class Control:
    """How an image without a transform lies on the ground; true if anything is known.

    ``points``: ground control points in ``crs``. ``rpcs``: rational polynomial coefficients.
    """

    points: tuple[Any, ...] = ()
    crs: CRS | None = None
    rpcs: Any = None

    def __bool__(self) -> bool:
        return bool(self.points) or self.rpcs is not None

    def within(self, row: int, col: int) -> Control:
        """The points of a part that begins at this row and column. RPCs belong to the whole image,
        and are dropped."""
        if not (row or col):
            return self
        points = [GroundControlPoint(p.row - row, p.col - col, p.x, p.y, p.z) for p in self.points]
        return Control(tuple(points), self.crs)


@dataclass(frozen=True, eq=False, repr=False)
class Raster(Summarised):
    """One file or product, described: what it holds, not its pixels.

    ``nodata``, ``scale``, ``offset`` hold one number per band (NaN where no nodata is declared);
    ``exact`` the nodata of 64-bit integers, which float64 cannot hold; ``masks`` the masks that the
    file carries; ``control`` its ground control points and RPCs. ``files`` are all that GDAL reads
    for it: headers, sidecars, a mosaic's parts. ``interleave``: band, line or pixel; empty where
    GDAL does not say. ``product``: what it is called, if it is one. ``pieces``: what holds the
    bands, one piece after the other; empty where GDAL opens ``path`` and it has them all. ``glt``:
    for an image in sensor geometry, a raster of two bands on the grid of a map: the 1-based column
    and row of the image that belong there, 0 for none. ``quality``: the layers in which a product
    says which pixels are of no use; ``no_quality``: why it has none, if it should have some.
    ``sharper``: a sharper image of the same product, as it is named; empty where there is none."""

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
    messages: tuple[str, ...]
    files: tuple[str, ...] = ()
    interleave: str = ""
    product: str = ""
    pieces: tuple[SourceImage, ...] = ()
    glt: Raster | None = None
    masks: Masks = field(default_factory=Masks)
    exact: tuple[int | None, ...] = ()
    control: Control = field(default_factory=Control)
    quality: tuple[QualityLayer, ...] = ()
    no_quality: str = ""
    sharper: str = ""

    def summary(self) -> Summary:
        """What the file holds, in a few lines."""
        size = f"{counted(len(self.bands), 'band')} × {self.rows} rows × {self.cols} columns"
        return Summary(
            f"Raster {Path(self.path).name}: {size}", (*self.facts(), *self.bands.facts())
        )

    def facts(self) -> Facts:
        """How the pixels are stored, and where they lie."""
        missing = dict.fromkeys(f"{value:g}" for value in self.nodata if np.isfinite(value))
        size = np.hypot(self.transform.a, self.transform.d), np.hypot(*self.transform[1:5:3])
        unit = "" if self.crs is None else f" {units_of(self.crs)}"
        placed = not self.transform.is_identity
        return (
            ("stored", f"{shorten(dict.fromkeys(self.dtypes))}, {self.product or self.driver}"),
            ("nodata", shorten(missing, 4) if missing else ""),
            ("CRS", "" if self.crs is None else self.crs_name),
            ("pixel", f"{size[0]:.6g} × {size[1]:.6g}{unit}" if placed else ""),
        )

    @property
    def masked(self) -> bool:
        """Whether the file carries masks of its own."""
        return bool(self.masks)

    def declaring(self, nodata: Sequence[float | int | None]) -> Raster:
        """With other nodata: one number per band, None for none."""
        whole = tuple(v if isinstance(v, int) else None for v in nodata)
        exact = whole if any(v is not None for v in whole) else ()
        values = np.array([np.nan if v is None else v for v in nodata], dtype=np.float64)
        return replace(self, nodata=values, exact=exact)

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

    @property
    def crs_name(self) -> str:
        """The CRS in a few words, for messages."""
        return crs_name(self.crs)


def units_of(crs: CRS) -> str:
    """The unit of the coordinates; empty where the CRS does not say."""
    try:
        return "degrees" if crs.is_geographic else str(crs.linear_units)
    except CRSError:
        return ""


def crs_name(crs: CRS | None) -> str:
    """The authority code of a CRS where it has one, else the name that its WKT gives: WKT is too
    long to be read in a message."""
    if crs is None:
        return "no CRS"
    try:
        text = str(crs.to_string())
    except CRSError:
        text = str(crs.wkt)
    name = re.match(r'\s*\w+\s*\[\s*"([^"]*)', text)
    text = f"a CRS named {name[1]!r}" if name else text
    return text if len(text) <= LONGEST_CRS else f"{text[: LONGEST_CRS - 1]}…"


LONGEST_CRS = 80
"""Characters of a CRS in a message."""


def in_memory(name: str, bands: Bands, shape: tuple[int, int]) -> Raster:
    """What is known of an array of float64 that is no file and lies nowhere."""
    n = len(bands)
    scale = np.full(n, np.nan), np.ones(n), np.zeros(n)
    types = ("float64",) * n
    return Raster(name, "", *shape, types, None, Affine.identity(), bands, *scale, shape, ())


_DRIVER = re.compile(r"[A-Za-z]\w+:")
"""How a name begins that GDAL takes for a subdataset: with a driver, of more letters than a drive
of Windows."""


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """An open dataset; GDAL's reasons become an InputError."""
    subdataset = _DRIVER.match(path) is not None and not os.path.exists(path)
    local = "://" not in path and not path.startswith(("/vsi", "<")) and not subdataset
    if local and not os.path.exists(path):
        raise InputError(f"{path} does not exist", expected="a raster file", remedy=_similar(path))
    if local and not (os.path.isfile(path) or os.path.isdir(path)):
        raise InputError(f"{path} is a pipe or a device", expected="a raster file")
    if local and os.path.isfile(path) and not os.path.getsize(path):
        remedy = "Copy or download it again."
        raise InputError(f"{path} is empty", got="0 bytes", expected="a raster file", remedy=remedy)
    check_header(path)
    if may_be_hdf5(path):
        quiet_hdf5()
    try:
        with unplaced_quietly():
            dataset = rasterio.open(for_gdal(path))
    except UnicodeEncodeError as error:
        raise InputError(
            f"the name {path!r} is not UTF-8", expected="a name in UTF-8", remedy="Rename it."
        ) from error
    except (*GDAL_ERRORS, ValueError) as error:
        raise _unopened(path, reason(error)) from error
    with dataset:
        try:
            yield dataset
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} names files in another encoding than UTF-8",
                got=repr(reason(error)),
                expected="names in UTF-8",
                remedy="Rename them.",
            ) from error


def _unopened(path: str, why: str) -> InputError:
    """What is said of a file that is no raster to GDAL."""
    what, remedy = f"{path} cannot be opened as a raster", ""
    if is_moments(path):
        why = "a file of moments, which holds no pixels"
        remedy = f"bandfuse train {path} -o RUN learns from it, and bandfuse info {path} shows it."
    elif is_weights(path):
        why, remedy = "a weights file", f"bandfuse apply {path} SCENE -o OUT applies it."
    return InputError(what, got=why, expected="a file that GDAL can read", remedy=remedy)


def _warned(texts: Sequence[str]) -> list[str]:
    """Messages of GDAL's warnings, each once."""
    return [
        Remark("gdal-warning", f"GDAL warns: {text}")
        for text in list(dict.fromkeys(texts))[:MOST_WARNINGS]
    ]


def _similar(path: str) -> str:
    """A hint at a file of nearly the same name, or at a link that leads nowhere."""
    if os.path.islink(path):
        return f"It is a link to {os.readlink(path)}, which does not exist."
    folder = Path(path).parent
    names: list[str] = []
    with suppress(OSError):
        names = [p.name for p in folder.iterdir()]
    hint = nearest(Path(path).name, names)
    return hint if hint.startswith("Did") else "Check the path."


SUBDATASET = "Give one of its subdatasets."
UNPACK = "Unpack it: HDF5 products are read from the file system only."


def describe(
    path: str | Path, source: str = "scene", wavelengths: str | Path | None = None
) -> Raster:
    """Read what a file says of itself; ``wavelengths`` names a file that says more of its bands,
    and comes first.

    Raises
    ------
    InputError : missing, not a raster, no bands, complex numbers, or shorter than its header says.
    """
    path = str(path)
    with rasterio.Env(**CACHE), heard() as gdal, opened(path) as ds:
        _require_bands(ds, path)
        said = said_by(ds)
        header = header_of(ds, said)
        _check_length(ds, said, header)
        tags = _tags(ds.indexes, said, header)
        stated = [] if wavelengths is None else [given_table(wavelengths, ds.count, path)]
        alpha = {i: "alpha band" for i, c in enumerate(ds.colorinterp) if c == ColorInterp.alpha}
        bands, messages = band_table(tags, source, alpha, stated=stated)
        if ds.driver == "HDF5Image" and ds.count > 1 and not np.isfinite(bands.wavelength_nm).any():
            messages.append(_axes_assumed(ds))
        messages += header.odd_entries(ds.count)
        exact = _exact(ds)
        stated_nodata = [n if e is None else e for n, e in zip_longest(ds.nodatavals, exact)]
        nodata = np.array([np.nan if n is None else n for n in stated_nodata], dtype=np.float64)
        scale = header.scale(np.array(ds.scales, dtype=np.float64))
        offset = header.numbers("data_offset_values", np.array(ds.offsets, dtype=np.float64), 0.0)
        transform, lost = _transform(ds.transform)
        _require_finite(scale, "scale", path)
        _require_finite(offset, "offset", path)
        return Raster(
            path=path,
            driver=ds.driver,
            rows=ds.height,
            cols=ds.width,
            dtypes=tuple(ds.dtypes),
            crs=ds.crs,
            transform=transform,
            bands=bands,
            nodata=header.numbers("data_ignore_value", nodata, np.nan),
            scale=scale,
            offset=offset,
            stored=ds.block_shapes[0],
            interleave=ds.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE", "").lower(),
            masks=_masks(ds, [*alpha]),
            exact=exact,
            control=Control(tuple(ds.gcps[0]), ds.gcps[1], ds.rpcs),
            messages=(*_warned(gdal.warnings), *_encoded(header, said), *lost, *messages),
            files=(*ds.files, *([] if wavelengths is None else [str(wavelengths)])),
        )


def _require_bands(ds: Any, path: str) -> None:
    if ds.count == 0:
        subs = shorten(ds.subdatasets, 4) if ds.subdatasets else "none"
        raise InputError(
            f"{path} has no bands",
            got=f"subdatasets: {subs}",
            remedy=UNPACK if path.startswith("/vsi") and "HDF5:" in subs else SUBDATASET,
        )
    if any("complex" in d for d in ds.dtypes):
        raise InputError(f"{path} holds complex numbers", expected="real numbers")


def _axes_assumed(ds: Any) -> Remark:
    """HDF5 does not say which axis of an array is that of the bands."""
    text = (
        f"the first axis is taken for the bands: {ds.count} bands of {ds.height} rows and "
        f"{ds.width} columns; if bands are another axis, it is read wrongly"
    )
    return Remark("axes-assumed", text)


def _tags(indexes: Sequence[int], said: Said, header: Header) -> RasterTags:
    """The texts of a file from which its band table is made."""
    return RasterTags(
        header.names(said.names),
        [said.of(i) for i in indexes],
        [said.of(i, "IMAGERY") for i in indexes],
        header.domain(said.of(0, "ENVI")),
        said.of(),
    )


def _encoded(header: Header, said: Said) -> list[str]:
    """What the header says, and a message if some texts are not UTF-8."""
    return [*header.messages, *([LATIN] if said.latin else [])]


def _masks(ds: Any, alpha: Sequence[int]) -> Masks:
    """The masks of a file. GDAL makes a mask of an alpha band only beside 1 or 3 bands: it is read
    as a band."""
    every = ds.mask_flag_enums
    shared = [
        i for i, flags in enumerate(every, 1) if {MaskFlags.per_dataset, MaskFlags.alpha} & {*flags}
    ]
    drawn = [i for i in shared if MaskFlags.alpha not in every[i - 1]]
    return Masks(
        dataset=drawn[0] if drawn else 0,
        bands=any(not flags for i, flags in enumerate(every) if i not in alpha),
        alpha=alpha[0] + 1 if alpha else 0,
    )


def _exact(ds: Any) -> tuple[int | None, ...]:
    """The nodata of bands of 64-bit integers, which rasterio gives as float64: GDAL writes all
    digits into a VRT."""
    wide = [np.dtype(d).kind in "iu" and np.dtype(d).itemsize == 8 for d in ds.dtypes]
    if not any(wide):
        return ()
    texts = [band.findtext("NoDataValue") for band in vrt_over(ds).findall("VRTRasterBand")]
    return tuple(
        _whole(text) if is_wide else None for text, is_wide in zip(texts, wide, strict=True)
    )


def _whole(text: str | None) -> int | None:
    """A whole number; None if it is none."""
    try:
        return int(text or "")
    except ValueError:
        return None


FARTHEST = 1e15
"""No coordinate and no size of a pixel is greater, in any unit of length or angle."""


def _transform(found: Affine) -> tuple[Affine, list[Remark]]:
    """The transform of a raster if pixels have a place and a size by it; else none, and a
    message."""
    numbers = np.array(found[:6], dtype=np.float64)
    usable = np.isfinite(numbers).all() and np.abs(numbers).max() <= FARTHEST
    if usable and abs(found.determinant) > 1 / FARTHEST**2:
        return found, []
    text = (
        f"its transform {shorten(f'{v:g}' for v in numbers)} gives pixels no place or no size: it "
        "is not used"
    )
    return Affine.identity(), [Remark("transform-unusable", text)]


def _require_finite(numbers: Floats, what: str, path: str) -> None:
    """Refuse scales and offsets that make no numbers of what is stored."""
    odd = next((i for i, value in enumerate(numbers) if not np.isfinite(value)), None)
    if odd is not None:
        raise InputError(
            f"{what} of band {odd + 1} of {path}",
            got=str(numbers[odd]),
            expected="a finite number",
            remedy="Correct it in the file: gdal_edit -scale 1 -offset 0.",
        )


def _check_length(ds: Any, said: Said, header: Header) -> None:
    """A raw file that is too short is read by GDAL as zeros: refuse it. So is one whose header does
    not say what its values are, unless they can be the bytes that GDAL takes them for."""
    data = Path(ds.files[0]) if ds.files else Path()
    if ds.driver != "ENVI" or not data.is_file():
        return
    with data.open("rb") as stream:
        if stream.read(2) == b"\x1f\x8b":
            return
    start = _offset(said.of(0, "ENVI").get("header_offset", "0"), ds.name)
    needed = start + ds.width * ds.height * sum(np.dtype(d).itemsize for d in ds.dtypes)
    if data.stat().st_size < needed:
        raise InputError(
            f"{ds.name} is truncated",
            got=f"{data.stat().st_size} bytes",
            expected=f"{needed} bytes",
        )
    if header.entries and "data_type" not in header.entries and data.stat().st_size != needed:
        raise InputError(
            f"the header of {ds.name} does not say the data type",
            got=f"{data.stat().st_size} bytes of data",
            expected=f"{needed}, if they were bytes",
            remedy="Write data type = N into it (4: float32, 12: uint16).",
        )


def _offset(text: str, path: str) -> int:
    """The header offset of an ENVI file, in bytes; GDAL takes any other text for 0."""
    if not re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII):
        raise InputError(
            f"header offset of {path}", got=repr(text[:LONGEST]), expected="a whole number of bytes"
        )
    return int(text)


def same_grid(first: Raster, other: Raster, what: str) -> None:
    """Two rasters must share their grid: size always, transform and CRS where both have them.

    Raises
    ------
    MismatchError : naming both files and what differs.
    """
    remedy = (
        f"Bring {other.path} to the grid of {first.path} first (gdalwarp -tr … -te … -t_srs …)."
    )
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
            got=other.crs_name,
            expected=first.crs_name if first.crs_name != other.crs_name else "the same parameters",
            remedy=remedy,
        )
    placed = not (first.transform.is_identity or other.transform.is_identity)
    if placed and apart(first, other.transform) > SAME_PLACE:
        raise MismatchError(
            f"{what} {other.path} lies elsewhere than {first.path}",
            got=f"transform {tuple(other.transform)[:6]}",
            expected=f"transform {tuple(first.transform)[:6]}",
            remedy=remedy,
        )


SAME_PLACE = 0.1
"""Grids of one size whose corners lie this near to each other, in pixels, are taken to be the
same."""


def apart(grid: Raster, transform: Affine) -> float:
    """By how much a grid moves under another transform: at the corner that moves most, in pixels of
    the grid."""
    if grid.transform.determinant == 0:
        return 0.0 if grid.transform == transform else float("inf")
    move = ~grid.transform @ transform
    corners = [(col, row) for col in (0, grid.cols) for row in (0, grid.rows)]
    return max(float(np.hypot(*np.subtract(move @ corner, corner))) for corner in corners)
