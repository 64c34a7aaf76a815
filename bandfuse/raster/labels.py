"""Labels: classes of pixels, from a raster or from polygons in a vector file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bandfuse.errors import InputError, MismatchError, shorten
from bandfuse.moments.tally import MOST_STRATA
from bandfuse.raster.align import AlignedPatch, AlignedReader
from bandfuse.raster.areas import majority
from bandfuse.raster.categories import category_names
from bandfuse.raster.describe import Raster, crs_name
from bandfuse.raster.mask import areas_of, described, vector_file
from bandfuse.raster.polygons import Areas
from bandfuse.raster.products import Describe, describe
from bandfuse.raster.read import RasterPatch, Reader
from bandfuse.raster.vectors import JSON, Features, read_features, vector_driver
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.windows import Window

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Labels:
    """A file with classes: ``file`` describes it. ``areas``: polygons, None for a raster, whose
    ``band`` (from 0) holds the classes. They are burnt with numbers from 1 on; ``burnt`` says which
    class each number is.

    ``names``: what the classes are called, by number; the number itself where there is no name.
    ``unlabelled``: numbers that are no class. ``numbered``: classes are texts in the file; their
    numbers were made here, and mean nothing in another file."""

    file: Raster
    areas: Areas | None = None
    burnt: tuple[int, ...] = ()
    names: tuple[tuple[int, str], ...] = ()
    unlabelled: tuple[int, ...] = ()
    band: int = 0
    numbered: bool = False

    @property
    def known(self) -> int:
        """How many classes the file tells of, before its pixels are read; 0 for a raster that
        names none."""
        return len(set(self.burnt)) or len(self.names)

    def name(self, number: int) -> str:
        """What a class is called."""
        return dict(self.names).get(number, str(number))

    def drawn(self, window: Window) -> Floats:
        """(rows, cols): the classes of polygons in a window; NaN where there is none."""
        assert self.areas is not None
        found: Floats = np.array([np.nan, *self.burnt])[self.areas.burnt(window)]
        return found

    def classes(self, values: Floats) -> Floats:
        """The classes in the values of a raster; NaN where there is none.

        Raises
        ------
        InputError : a class that is not a whole number, or is negative.
        """
        found = np.where(np.isin(values, self.unlabelled), np.nan, values)
        there = found[np.isfinite(found)]
        odd = there[(there < 0) | (there != np.rint(there)) | (there > 2**31)]
        if len(odd):
            raise InputError(
                f"labels {self.file.path} hold a class that is not a whole number from 0 on",
                got=f"{odd[0]:g}",
                expected="classes such as 1, 2, 3",
                remedy="Leave a fill value out with --unlabelled.",
            )
        return found


def same_numbers(every: Sequence[Labels]) -> list[Labels]:
    """Labels of several scenes, in which a number means one class: classes that are texts are
    numbered anew, over the names of all files.

    Raises
    ------
    InputError : classes are texts in one file, and numbers in another.
    """
    texts = [labels for labels in every if labels.numbered]
    if not texts:
        return list(every)
    if len(texts) < len(every):
        other = next(labels for labels in every if not labels.numbered)
        raise InputError(
            "labels of the scenes do not name classes alike",
            got=f"names in {texts[0].file.path} and numbers in {other.file.path}",
            expected="names in all of them, or numbers in all of them",
            remedy="Choose the field that they share with --label-field.",
        )
    known = _numbered(list(dict.fromkeys(name for labels in texts for _, name in labels.names)))
    return [renumbered(labels, known) for labels in texts]


def renumbered(labels: Labels, known: Mapping[Any, int]) -> Labels:
    """Labels with other numbers, by the names of their classes."""
    new = {number: known[name] for number, name in labels.names}
    return replace(
        labels,
        burnt=tuple(new[number] for number in labels.burnt),
        names=tuple((new[number], name) for number, name in labels.names),
    )


AnyReader = Reader | AlignedReader
"""What reads windows of rasters."""


class LabelledReader:
    """Reads windows of a scene with the classes of its pixels; several threads may ask at once."""

    def __init__(self, reader: AnyReader, labels: Labels, raster: AnyReader | None) -> None:
        self._reader, self._labels, self._raster = reader, labels, raster
        self.bytes_per_pixel = reader.bytes_per_pixel

    def read(self, window: Window) -> RasterPatch | AlignedPatch:
        """The pixels of a window.

        Raises
        ------
        InputError : a class that is not a whole number, or is negative.
        """
        return self._reader.read(window).beside(self._classes(window))

    def _classes(self, window: Window) -> Floats:
        if self._labels.areas is not None:
            return self._labels.drawn(window)
        assert self._raster is not None
        values = (
            self._raster.read(window).cell(slice(0, window.rows), slice(0, window.cols)).values()
        )
        return self._labels.classes(values).reshape(window.rows, window.cols)


@contextmanager
def labelled(
    reader: AnyReader, labels: Labels, grid: Raster | None = None
) -> Iterator[LabelledReader]:
    """The reader of a scene, with labels beside it; brought to a grid, if one is given: a pixel has
    the class that most of its area has."""
    if labels.areas is not None:
        yield LabelledReader(reader, labels, None)
        return

    def most(shares: csr_array, values: Floats) -> Floats:
        return majority(shares, labels.classes(values))

    chosen = [(labels.file, [labels.band])]
    with Reader(chosen) if grid is None else AlignedReader(chosen, grid, regrid=most) as raster:
        yield LabelledReader(reader, labels, raster)


def drawn_labels(path: str, describe: Describe = describe) -> Raster:
    """The raster of labels that are not polygons."""
    return described(path, "labels", "Labels are a raster", describe)


def describe_labels(
    path: str,
    grid: Raster,
    raster: Raster | None = None,
    *,
    field: str | None = None,
    layer: str | None = None,
    unlabelled: Sequence[int] = (),
) -> Labels:
    """What a file of labels holds: polygons, or a raster on any grid.

    Parameters
    ----------
    raster : what the file says of itself; not given for a vector file.
    field : of a vector file, that holds the classes; its only one if not given. layer : of several.
    unlabelled : numbers that are no class; a raster's nodata is none anyway.

    Raises
    ------
    InputError, MismatchError : it cannot be read, has more than one band, or names no class.
    """
    if raster is None:
        driver = vector_driver(path) or JSON
        features = read_features(
            path, "labels", driver, grid, layer=layer, field=field, classes=True
        )
        return _from_polygons(features, grid, unlabelled)
    if field is not None:
        raise InputError(
            f"labels {path} are a raster: --label-field does not apply", remedy="Leave it out."
        )
    n = len(raster.bands)
    data = [int(i) for i in np.flatnonzero(raster.bands.good)] if n > 1 else [0]
    if len(data) != 1:
        raise InputError(
            f"labels {path} are not one band", got=f"{len(data)} bands", expected="one band"
        )
    file = replace(raster, scale=np.ones(n), offset=np.zeros(n))
    names = tuple(category_names(raster.path, data[0]).items())
    return Labels(file, names=names, unlabelled=tuple(unlabelled), band=data[0])


def _from_polygons(features: Features, grid: Raster, unlabelled: Sequence[int]) -> Labels:
    path = features.path
    if features.whole and not features.values:
        raise InputError(
            f"labels {path} hold no polygon",
            got=f"{features.unplaced} features without geometry",
            expected="polygons with classes",
        )
    for value in features.values:
        if not _is_class(value):
            raise InputError(
                f"labels {path}: a feature has no class",
                got=json.dumps(value, default=str),
                expected="a text or a whole number",
                remedy="Choose its field with --label-field.",
            )
    keys = [key for key in features.every if _is_class(key)]
    if len(keys) > MOST_STRATA:
        raise InputError(
            f"labels {path} hold too many classes",
            got=f"{len(keys)}",
            expected=f"{MOST_STRATA} or fewer",
        )
    numbers = _numbered(keys)
    if keys and all(number in unlabelled for number in numbers.values()):
        raise InputError(
            f"labels {path} hold no class",
            got="unlabelled polygons only",
            expected="two or more classes",
        )
    burnt = {key: i for i, key in enumerate(keys, 1) if numbers[key] not in unlabelled}
    areas = areas_of(features, grid, "labels", [burnt.get(v, 0) for v in features.values])
    met = areas.meeting(grid.shape)
    near = [str(key) for key, number in burnt.items() if number in met]
    return Labels(
        _with_messages(features, grid, near, [str(key) for key in burnt]),
        areas,
        tuple(numbers[key] for key in keys),
        tuple((numbers[key], str(key)) for key in keys),
        numbered=not _are_numbers(keys),
    )


def _with_messages(
    features: Features, grid: Raster, near: Sequence[str], every: Sequence[str]
) -> Raster:
    """The file with what a user should know: features without geometry, and classes that lie
    outside of the grid.

    Raises
    ------
    MismatchError : all of them do.
    """
    if not near:
        raise MismatchError(
            f"labels {features.path} lie elsewhere than {grid.path}",
            got=f"no polygon that meets it; the labels are in {crs_name(features.crs)}, the scene "
            f"in {grid.crs_name}",
            expected="polygons over the scene",
            remedy=SWAPPED if features.whole else "Is the CRS of both right?",
        )
    messages = []
    if n := features.unplaced:
        messages.append(f"{n} feature{'s' * (n > 1)} without geometry left out")
    if outside := [name for name in every if name not in near]:
        messages.append(f"classes that lie outside of {Path(grid.path).name}: {shorten(outside)}")
    file = vector_file(features)
    return replace(file, messages=(*file.messages, *messages))


SWAPPED = "Coordinates of GeoJSON are longitude first, then latitude: are they swapped?"


def _is_class(value: Any) -> bool:
    """Whether a value of a field names a class: a text or a whole number."""
    return not isinstance(value, bool) and isinstance(value, (str, int)) and value != ""


def _are_numbers(keys: Iterable[str | int]) -> bool:
    """Whether all classes have a number of their own, from 0 on."""
    return all(isinstance(k, int) and k >= 0 for k in keys)


def _numbered(keys: list[str | int]) -> dict[str | int, int]:
    """A number for every class: its own where all have one from 0 on, else 1, 2, … in the order of
    the names."""
    if _are_numbers(keys):
        return {k: int(k) for k in keys}
    return {k: i for i, k in enumerate(sorted(keys, key=str), 1)}
