"""Quality: pixels that the quality layers of products flag as clouds, shadows and the like, window
by window on the grid of a scene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio

from bandfuse.errors import InputError, MismatchError, nearest, shorten
from bandfuse.raster.align import AlignedReader, Placing, placed
from bandfuse.raster.describe import QualityLayer, Raster, SourceImage, describe, opened
from bandfuse.raster.gdal import CACHE
from bandfuse.raster.polygons import Flags
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.windows import Window

if TYPE_CHECKING:
    from scipy.sparse import csr_array

AUTO, NONE = "auto", "none"
"""The settings that are no words of layers."""

USED_BY_AUTO = ("cloud", "cirrus", "shadow", "saturated", "invalid")
"""What ``auto`` leaves out, of what a product offers. Cirrus is among it, as it brightens bands by
amounts that differ with wavelength and place, which one gain and offset do not take up. Haze, snow,
water and the buffer around clouds stay: they are for a user to leave out."""

TOUCHED = 0.01
"""A pixel of another grid is flagged where flagged pixels of a layer cover more of its area."""

FLAGGED = "flagged as "
"""How the reasons begin of pixels that quality layers flag; the words follow."""


@dataclass(frozen=True, eq=False)
class QualityFile:
    """One file with quality layers: ``raster`` has a band for each number in the layers, in the
    order of :attr:`columns`."""

    raster: Raster
    layers: tuple[QualityLayer, ...]

    @property
    def columns(self) -> list[int]:
        """Of each layer the position of its band."""
        numbers = _numbers(self.layers)
        return [numbers.index(layer.image.bands[0]) for layer in self.layers]

    def codes(self, values: Floats) -> Floats:
        """(m, D) numbers of (m, D) values of the bands: the sum of 2^i over the layers i that flag
        the pixel in this band."""
        out = np.zeros(values.shape)
        for i, (layer, column) in enumerate(zip(self.layers, self.columns, strict=True)):
            out[:, column] += 2.0**i * layer.flags(values[:, column])
        return out

    def touched(self, shares: csr_array, values: Floats) -> Floats:
        """(n, D) the same on another grid, from (n, m) shares of its pixels' areas."""
        out = np.zeros((shares.shape[0], values.shape[1]))
        for i, (layer, column) in enumerate(zip(self.layers, self.columns, strict=True)):
            covered = shares @ layer.flags(values[:, column]).astype(np.float64)
            out[:, column] += 2.0**i * (covered > TOUCHED)
        return out


class QualityReader:
    """Reads which pixels of a grid quality layers flag; several threads may ask at once."""

    def __init__(self, files: Sequence[QualityFile], grid: Raster) -> None:
        with ExitStack() as readers:
            self._files = [(file, *_reader(file, grid, readers)) for file in files]
            self._open = readers.pop_all()

    def __enter__(self) -> QualityReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel of the grid."""
        return sum(reader.bytes_per_pixel + 8 for _, reader, _ in self._files)

    def flagged(self, window: Window) -> dict[str, Flags]:
        """(rows, cols) of the pixels of a window that are flagged, by reason; a pixel may have
        several.

        Raises
        ------
        InputError : a file is damaged or ends too early.
        """
        found: dict[str, Flags] = {}
        for file, reader, same in self._files:
            read = reader.read(window).array
            flat = read.reshape(len(read), -1).T
            codes = np.nan_to_num(file.codes(flat) if same else flat).astype(np.int64)
            for i, (layer, column) in enumerate(zip(file.layers, file.columns, strict=True)):
                flags = ((codes[:, column] >> i) & 1 == 1).reshape(window.rows, window.cols)
                before = found.get(layer.reason)
                found[layer.reason] = flags if before is None else before | flags
        return found


def _reader(file: QualityFile, grid: Raster, readers: ExitStack) -> tuple[AlignedReader, bool]:
    """What reads the bands of a file, and whether it gives them as they are stored: their pixels
    are those of the grid."""
    every = [(file.raster, range(len(file.raster.bands)))]
    same = Placing(grid, file.raster).offset is not None
    return readers.enter_context(AlignedReader(every, grid, regrid=file.touched)), same


def apart(flagged: Mapping[str, Flags], inside: Flags) -> dict[str, Flags]:
    """Pixels inside by all of their reasons at once, such that no pixel has two: ``flagged as cloud
    and shadow``."""
    code = np.zeros(inside.shape, dtype=np.int64)
    for i, flags in enumerate(flagged.values()):
        code[flags & inside] |= 1 << i
    words = list(flagged)
    return {
        FLAGGED + " and ".join(w for i, w in enumerate(words) if number >> i & 1): code == number
        for number in np.unique(code[code > 0]).tolist()
    }


def counted(invalid: Mapping[str, int]) -> tuple[dict[str, int], int, dict[str, int]]:
    """Of pixels by reason: those of other reasons; how many quality layers flag; and how many each
    of their reasons does, in which a pixel with two reasons counts twice.

    >>> counted({"band missing": 1, "flagged as cloud": 5, "flagged as cloud and shadow": 2})
    ({'band missing': 1}, 7, {'cloud': 7, 'shadow': 2})
    """
    others: dict[str, int] = {}
    each: dict[str, int] = {}
    whole = 0
    for reason, count in invalid.items():
        if not reason.startswith(FLAGGED):
            others |= {reason: count} if count else {}
            continue
        whole += count
        for word in reason.removeprefix(FLAGGED).split(" and "):
            each[word] = each.get(word, 0) + count
    return others, whole, each


def offered(rasters: Iterable[Raster]) -> list[str]:
    """The words of all layers that rasters offer, each once."""
    return list(dict.fromkeys(layer.reason for raster in rasters for layer in raster.quality))


def words_of(
    setting: str, rasters: Sequence[Raster], what: str, *, masks: bool = True
) -> list[str]:
    """The words that a setting means for the rasters of a scene (``what``), of those that they
    offer. ``masks``: the command takes masks, too.

    Raises
    ------
    InputError : a word that none of them offers.
    """
    there = offered(rasters)
    if setting in (AUTO, NONE):
        return [word for word in USED_BY_AUTO if word in there] if setting == AUTO else []
    wanted = list(dict.fromkeys(setting.split(",")))
    instead = "Leave --quality out, or give a --mask." if masks else "Leave --quality out."
    for word in wanted:
        if word not in there:
            raise InputError(
                f"--quality {word}: {what} offers no such layer",
                got=f"layers {', '.join(there)}" if there else _none_of(rasters),
                expected="auto, none, or words of its layers between commas",
                remedy=nearest(word, there) if there else instead,
            )
    return wanted


def _none_of(rasters: Sequence[Raster]) -> str:
    """Why there is no quality layer at all."""
    known = [f"{Path(r.path).name}: {r.no_quality}" for r in rasters if r.no_quality]
    if known:
        return shorten(known)
    names = [f"{Path(r.path).name}, {r.product}" for r in rasters if r.product]
    if names:
        return f"{shorten(names)}: bandfuse reads no quality layers of it"
    return "no quality layers: it is not a product that bandfuse knows to have them"


def quality_messages(
    setting: str, words: Sequence[str], rasters: Sequence[Raster], done: str
) -> list[str]:
    """Which layers of rasters are used, and what is done to the pixels; or why none is. Of rasters
    that are no products nothing is said."""
    said = []
    for raster in rasters if setting != NONE else ():
        name = Path(raster.path).name
        here = [word for word in words if word in offered([raster])]
        if here:
            keep = " (--quality none keeps them)" if setting == AUTO else ""
            said.append(f"{name}: pixels that it flags as {_listed(here)} are {done}{keep}")
        elif setting == AUTO and raster.no_quality:
            said.append(f"{name}: no pixels are {done} by quality, because {raster.no_quality}")
        elif setting == AUTO and raster.quality:
            rest = ", ".join(offered([raster]))
            said.append(f"{name}: --quality auto uses none of its layers ({rest})")
    return said


def _listed(words: Sequence[str]) -> str:
    """Words with "or" before the last.

    >>> _listed(["cloud", "cirrus", "shadow"])
    'cloud, cirrus or shadow'
    """
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def quality_files(raster: Raster, words: Sequence[str], lying: Raster) -> list[QualityFile]:
    """The files of the layers of these words. ``lying``: the same raster where it lies in the
    scene, to which layers are moved with it.

    Raises
    ------
    InputError : a file that cannot be read.
    MismatchError : a layer without position, of another size than the raster.
    """
    grouped: dict[tuple[str, str], list[QualityLayer]] = {}
    for layer in raster.quality:
        if layer.reason in words:
            grouped.setdefault((layer.image.name, layer.image.axes), []).append(layer)
    return [_described(layers, raster, lying) for layers in grouped.values()]


def _described(layers: Sequence[QualityLayer], raster: Raster, lying: Raster) -> QualityFile:
    """One file with its layers, where the raster lies."""
    image, numbers = layers[0].image, _numbers(layers)
    try:
        known = _of_axes(image, raster) if image.axes else describe(image.name)
        if max(numbers) > len(known.dtypes) and not image.axes:
            raise InputError(
                f"{image.name} has no layer of quality in band {max(numbers)}",
                got=f"{len(known.dtypes)} bands",
            )
        there = placed(raster, known, "quality layer")
    except (InputError, MismatchError) as error:
        remedy = "--quality none reads no quality layer."
        raise type(error)(
            error.what, got=error.got, expected=error.expected, remedy=remedy
        ) from error
    if lying.transform != raster.transform or lying.crs != raster.crs:
        way = lying.transform @ ~raster.transform
        there = replace(there, transform=way @ there.transform, crs=lying.crs)
    n, first = len(numbers), 0 if image.axes else numbers[0] - 1
    made = replace(
        there,
        path=layers[0].file,
        files=(layers[0].file,),
        dtypes=(known.dtypes[first],) * n,
        bands=Bands.of([f"b{i}" for i in numbers], source="quality"),
        nodata=np.full(n, np.nan),
        scale=np.ones(n),
        offset=np.zeros(n),
        masks=replace(there.masks, dataset=0, bands=False, alpha=0),
        exact=(),
        messages=(),
        pieces=(SourceImage(image.name, tuple(numbers), image.axes),),
    )
    return QualityFile(made, tuple(layers))


def _numbers(layers: Iterable[QualityLayer]) -> list[int]:
    """The numbers of the bands that layers are in, rising."""
    return sorted({layer.image.bands[0] for layer in layers})


def _of_axes(image: SourceImage, raster: Raster) -> Raster:
    """An array whose axes GDAL does not show as bands, rows and columns; it has no position."""
    with rasterio.Env(**CACHE), opened(image.name) as ds:
        sizes = dict(zip(image.axes, (ds.count, ds.height, ds.width), strict=True))
        dtype, blocks = ds.dtypes[0], ds.block_shapes[0]
    return replace(
        raster,
        path=image.name,
        rows=sizes["r"],
        cols=sizes["c"],
        dtypes=(dtype,),
        crs=None,
        transform=rasterio.Affine.identity(),
        stored=(1, blocks[0]),
    )
