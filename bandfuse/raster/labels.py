"""Labels: classes of pixels, from a raster or from polygons in a GeoJSON file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
from bandfuse.raster.describe import Raster
from bandfuse.raster.mask import Mask, described, polygon_mask
from bandfuse.raster.polygons import read_geojson
from bandfuse.raster.products import Describe, describe
from bandfuse.raster.read import RasterPatch, Reader
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.windows import Window

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Labels:
    """A file with classes: ``file`` describes it. ``shapes``: the polygons of each class, None for
    a raster, whose ``band`` (from 0) holds the classes.

    ``names``: what the classes are called, by number; the number itself where there is no name.
    ``unlabelled``: numbers that are no class."""

    file: Raster
    shapes: tuple[tuple[int, Mask], ...] | None = None
    names: tuple[tuple[int, str], ...] = ()
    unlabelled: tuple[int, ...] = ()
    band: int = 0

    def name(self, number: int) -> str:
        """What a class is called."""
        return dict(self.names).get(number, str(number))

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


AnyReader = Reader | AlignedReader
"""What reads windows of rasters."""


class LabelledReader:
    """Reads windows of a scene with the classes of its pixels; several threads may ask at once."""

    def __init__(self, reader: AnyReader, labels: Labels, raster: AnyReader | None) -> None:
        self._reader, self._labels, self._raster = reader, labels, raster

    def read(self, window: Window) -> RasterPatch | AlignedPatch:
        """The pixels of a window.

        Raises
        ------
        InputError : a class that is not a whole number, or is negative.
        """
        return self._reader.read(window).beside(self._classes(window))

    def _classes(self, window: Window) -> Floats:
        if self._labels.shapes is not None:
            found = np.full((window.rows, window.cols), np.nan)
            for number, mask in self._labels.shapes:
                found[mask.inside(window, None)] = number
            return found
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
    if labels.shapes is not None:
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
    unlabelled: Sequence[int] = (),
) -> Labels:
    """What a file of labels holds: GeoJSON by its name or its first character, else a raster on any
    grid.

    Parameters
    ----------
    raster : what the file says of itself; not given for GeoJSON.
    field : the property of a GeoJSON feature that holds its class; its only one if not given.
    unlabelled : numbers that are no class; a raster's nodata is none anyway.

    Raises
    ------
    InputError, MismatchError : it cannot be read, has more than one band, or names no class.
    """
    if raster is None:
        return _from_polygons(path, grid, field, unlabelled)
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
    names = tuple(category_names(path, data[0]).items())
    return Labels(file, names=names, unlabelled=tuple(unlabelled), band=data[0])


def _from_polygons(path: str, grid: Raster, field: str | None, unlabelled: Sequence[int]) -> Labels:
    content = read_geojson(path, "labels")
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list) or not features:
        raise InputError(
            f"labels {path} hold no features", expected="a GeoJSON FeatureCollection with classes"
        )
    placed = [f for f in features if not (isinstance(f, dict) and f.get("geometry", f) is None)]
    if not placed:
        raise InputError(
            f"labels {path} hold no polygon",
            got=f"{len(features)} features without geometry",
            expected="polygons with classes",
        )
    by_class: dict[Any, list[Any]] = {}
    for feature in placed:
        by_class.setdefault(_class_of(path, feature, field), []).append(feature)
    if len(by_class) > MOST_STRATA:
        raise InputError(
            f"labels {path} hold too many classes",
            got=f"{len(by_class)}",
            expected=f"{MOST_STRATA} or fewer",
        )
    numbers = _numbered(list(by_class))
    crs = {k: content[k] for k in ("crs",) if k in content}
    shapes = tuple(
        (
            numbers[key],
            polygon_mask(
                path, {"type": "FeatureCollection", "features": some, **crs}, grid, "labels"
            ),
        )
        for key, some in by_class.items()
        if numbers[key] not in unlabelled
    )
    if not shapes:
        raise InputError(
            f"labels {path} hold no class",
            got="unlabelled polygons only",
            expected="two or more classes",
        )
    names = tuple((numbers[key], str(key)) for key in by_class)
    return Labels(
        _with_messages(shapes, grid, dict(names), len(features) - len(placed)), shapes, names
    )


def _with_messages(
    shapes: Sequence[tuple[int, Mask]], grid: Raster, names: Mapping[int, str], unplaced: int
) -> Raster:
    """The file with what a user should know: features without geometry, and classes that lie
    outside of the grid.

    Raises
    ------
    MismatchError : all of them do.
    """
    file = shapes[0][1].file
    outside = [names[number] for number, mask in shapes if not mask.meets(grid)]
    if len(outside) == len(shapes):
        raise MismatchError(
            f"labels {file.path} lie elsewhere than {grid.path}",
            got="no polygon that meets it",
            expected="polygons over the scene",
            remedy="Coordinates of GeoJSON are longitude first, then latitude: are they swapped?",
        )
    messages = []
    if unplaced:
        messages.append(f"{unplaced} feature{'s' * (unplaced > 1)} without geometry left out")
    if outside:
        messages.append(f"classes that lie outside of {Path(grid.path).name}: {shorten(outside)}")
    return replace(file, messages=(*file.messages, *messages))


def _class_of(path: str, feature: Any, field: str | None) -> str | int:
    """The class of a feature: a text or a whole number."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    properties = properties if isinstance(properties, dict) else {}
    if field is None and len(properties) != 1:
        raise InputError(
            f"labels {path}: which property is the class?",
            got=shorten(map(str, properties)),
            expected="--label-field NAME, or one property",
        )
    value = next(iter(properties.values())) if field is None else properties.get(field)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise InputError(
            f"labels {path}: a feature has no class",
            got=f"{field or 'property'} {json.dumps(value)}",
            expected="a text or a whole number",
            remedy=f"Properties: {shorten(map(str, properties))}.",
        )
    return value


def _numbered(keys: list[str | int]) -> dict[str | int, int]:
    """A number for every class: its own where all have one from 0 on, else 1, 2, … in the order of
    the names."""
    if all(isinstance(k, int) and k >= 0 for k in keys):
        return {k: int(k) for k in keys}
    return {k: i for i, k in enumerate(sorted(keys, key=str), 1)}
