"""Scene: the described files of one scene: sources, target, labels and key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bandfuse.errors import ConfigError, InputError, nearest, shorten
from bandfuse.raster import (
    AlignedReader,
    Choice,
    Describe,
    Handles,
    Labels,
    Placing,
    Raster,
    Reader,
    Selection,
    coarsest,
    cut,
    declared,
    describe,
    describe_labels,
    drawn_labels,
    labelled,
    moved,
    on_one_grid,
    placed,
    quality_files,
    quality_messages,
    select,
    vector_driver,
    windowed,
    words_of,
)
from bandfuse.scenes.displacement import Shift
from bandfuse.scenes.places import Place, long_key, short_key, wavelength_files
from bandfuse.spectral.band_order import position_remark
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.remarks import Remark
from bandfuse.streaming.stream import WeighedSource
from bandfuse.streaming.windows import Window
from bandfuse.summary import Summarised, Summary, counted, span

MASK, LABELS = "mask", "labels"
"""The names by which a layer of a vector file is said to be of one of them."""

LAYERED = "GPKG"
"""The format of vector files that can have several layers."""

TARGET = "target"
"""The name by which a setting of sources speaks of the target."""


@dataclass(frozen=True, eq=False)
class Common:
    """The grid on which rasters of different grids meet: ``part`` of that of ``whole``, told by
    ``grid``."""

    whole: Raster
    part: Window
    grid: Raster

    def brought(self, raster: Raster) -> float:
        """Pixels of a raster along the side of a pixel of this grid; 0 where they are the same."""
        placing = Placing(self.grid, raster)
        return placing.factor if placing.offset is None else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Scene(Summarised):
    """One image place, described: rasters whose bands are concatenated in order.

    ``where``: which pixels count; None for all. ``common``: the grid on which all that is read
    meets; None where every file has the grid of the first. ``blur``: modulation of the Gaussian
    that finer rasters are seen through. ``moved``: columns and rows of the grid by which target and
    labels were moved; ``shift``: those that were estimated, if any; ``registered``: slopes of the
    cube are gathered beside the bands, for what a target is off. ``handles``: files that stay open
    between readers. ``hidden``: pixels that are written as nodata, those that it would leave out.
    ``remarks``: what is said of quality layers."""

    key: str
    rasters: tuple[Raster, ...]
    target: Raster | None = None
    where: Selection | None = None
    labels: Labels | None = None
    common: Common | None = None
    blur: float | None = None
    moved: tuple[float, float] = (0.0, 0.0)
    shift: Shift | None = None
    registered: bool = False
    handles: Handles | None = None
    hidden: Selection | None = None
    remarks: tuple[str, ...] = ()

    unit: ClassVar[str] = "pixels"
    look: ClassVar[str] = "Look at it with bandfuse info"
    """What errors call its pixels, and how they say that it can be looked at."""

    @property
    def called(self) -> str:
        """What errors call it."""
        return f"scene {self.key!r}"

    def summary(self) -> Summary:
        """Bands and grid in a few lines."""
        rows, cols = self.shape
        bands = self.bands.summary()
        nm = self.bands.wavelength_nm
        files = {Path(file.path).name: None for file in self.files}
        facts = (
            ("wavelengths", span(nm[np.isfinite(nm)], "nm")),
            *((name, text) for name, text in bands.facts if name != "wavelengths"),
            *self.grid.facts(),
            ("files", shorten(files, 4)),
        )
        size = f"{counted(len(self.bands), 'band')} × {rows} rows × {cols} columns"
        title = f"Scene {self.key}: {size}"
        return Summary(title, facts, bands.head, bands.rows)

    @property
    def names(self) -> list[str]:
        """What the scene may be called: its key, and the names that it gets beside others of its
        stem."""
        first = self.rasters[0].path
        return list(dict.fromkeys([self.key, long_key(first), short_key(first)]))

    @property
    def bands(self) -> Bands:
        """The B inputs."""
        return reduce(add, [r.bands for r in self.rasters])

    @property
    def grid(self) -> Raster:
        """The raster whose grid the scene is read on."""
        return self.rasters[0] if self.common is None else self.common.grid

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of that grid."""
        return self.grid.shape

    def reader(self, positions: Sequence[int], *, target: bool = False) -> Reader | AlignedReader:
        """What reads these positions of the concatenated bands, in order, and the target's bands
        after, on the grid of the scene."""
        return self.reading(self.choose(positions, target=target))

    def reading(self, choices: Sequence[Choice]) -> Reader | AlignedReader:
        """What reads some bands of its files on the grid of the scene."""
        if self.common is None:
            return Reader(choices, self.handles)
        return AlignedReader(choices, self.common.grid, blur=self.blur, handles=self.handles)

    @property
    def answers(self) -> int:
        """How many variables it is learned from beside the bands: those of the target, or the
        class."""
        if self.labels is not None:
            return 1
        return 0 if self.target is None else len(target_bands(self.target))

    @contextmanager
    def source(self, positions: Sequence[int], *, answers: bool = False) -> Iterator[WeighedSource]:
        """The reader of these positions, and of the answers after them."""
        with self.reader(positions, target=answers) as reader:
            if self.labels is None or not answers:
                yield reader
                return
            grid = None if self.common is None else self.common.grid
            with labelled(reader, self.labels, grid) as source:
                yield source

    @property
    def fused(self) -> Scene:
        """The same place as it is applied to: its sources on the grid of the first of them."""
        common = _meet(self.rasters, [], (0.0, 0.0), coarse=False)[0]
        return replace(self, target=None, labels=None, where=None, common=common, blur=None)

    @property
    def files(self) -> list[Raster]:
        """Every file of the scene; the target, the labels, the mask and files of quality layers
        last."""
        mask = None if self.where is None or self.where.mask is None else self.where.mask.file
        labels = None if self.labels is None else self.labels.file
        others = [file for file in (self.target, labels, mask) if file is not None]
        known = {raster.path for raster in (*self.rasters, *others)}
        layers = {r.path: r for r in self._layer_files if r.path not in known}
        return [*self.rasters, *others, *layers.values()]

    @property
    def _layer_files(self) -> list[Raster]:
        """The files of the quality layers that are read."""
        selections = [s for s in (self.where, self.hidden) if s is not None]
        return [file.raster for s in selections for file in s.quality]

    @property
    def quality(self) -> list[str]:
        """The words of the quality layers that are used, each once."""
        selections = [s for s in (self.where, self.hidden) if s is not None]
        layers = (layer for s in selections for file in s.quality for layer in file.layers)
        return list(dict.fromkeys(layer.reason for layer in layers))

    @property
    def paths(self) -> list[Path]:
        """Every place on the file system that is read for the scene."""
        return [Path(p) for r in self.files for p in (r.path, *r.files)]

    def choose(self, positions: Sequence[int], *, target: bool = False) -> list[Choice]:
        """What to read for these positions of the concatenated bands, in order, and for the
        target's bands after."""
        choices: list[Choice] = []
        start = 0
        for raster in self.rasters:
            here = [p - start for p in positions if start <= p < start + len(raster.bands)]
            choices.append((raster, here))
            start += len(raster.bands)
        if target and self.target is not None:
            choices.append((self.target, target_bands(self.target)))
        return choices


MOST_HELD = 4
"""Of so many scenes the files stay open, as systems limit the number of open files."""


@contextmanager
def held(scenes: Sequence[Scene]) -> Iterator[list[Scene]]:
    """Scenes whose files stay open until the end, if there are few: each is opened once for all
    that is read of it."""
    if len(scenes) > MOST_HELD:
        yield list(scenes)
        return
    with ExitStack() as stack:
        handles = [stack.enter_context(closing(Handles())) for _ in scenes]
        yield [replace(s, handles=h) for s, h in zip(scenes, handles, strict=True)]


def target_bands(target: Raster) -> list[int]:
    """Positions of the bands of a target that are data (an alpha band is not)."""
    return [int(i) for i in np.flatnonzero(target.bands.good)]


def left_out_messages(scene: Scene) -> list[str]:
    """Which bands of targets, labels and masks are not used, and what an alpha band does there."""
    found = []
    for raster in scene.files[len(scene.rasters) :]:
        bands = raster.bands
        for reason in dict.fromkeys(bands.reason[i] for i in np.flatnonzero(~bands.good)):
            numbers = [i + 1 for i in np.flatnonzero(~bands.good) if bands.reason[i] == reason]
            what = "; pixels in which it is 0 are missing" if raster.masks.alpha in numbers else ""
            count = f"{len(numbers)} band{'s' * (len(numbers) > 1)}"
            found.append(
                f"{Path(raster.path).name}: {count} left out, {reason}: "
                f"{shorten(map(str, numbers))}{what}"
            )
    return found


def target_names(target: Raster) -> list[str] | None:
    """Names of the bands of a target that are data; None where the file has none and they were made
    up."""
    positions = target_bands(target)
    names = [target.bands.name[i] for i in positions]
    return None if names == [f"b{i + 1}" for i in positions] else names


def open_scene(
    place: Place,
    *,
    label_field: str | None = None,
    layers: Sequence[str] = (),
    unlabelled: Sequence[int] = (),
    wavelengths: Sequence[str] = (),
    nodata: Sequence[str] = (),
    quality: str = "none",
    training: bool = False,
    writes: bool = False,
    shift: tuple[float, float] = (0.0, 0.0),
    blur: float | None = None,
    describe: Describe = describe,
) -> Scene:
    """Describe every file of a scene, and find the grid on which they meet.

    With a target, labels or for a training that is the grid of the coarsest file, cut to what all
    of them cover; else that of the first source.

    Parameters
    ----------
    label_field, layers : of vector files; a layer is ``NAME``, ``mask=NAME`` or ``labels=NAME``.
    wavelengths, nodata : files that say more of the bands, and values that mean missing, by source.
    quality : which quality layers of the rasters and the target leave pixels out: ``auto``,
        ``none``, or words of layers between commas.
    writes : such pixels are written as nodata; else they do not count.
    shift : columns and rows of that grid by which the target and the labels are moved.
    describe : asked what each file says of itself.

    Raises
    ------
    InputError, MismatchError : files that cannot be read, or that cannot be brought to one grid.
    """
    tables = wavelength_files(wavelengths, place)
    fills = _fills(nodata, place)
    rasters = tuple(
        _filled(describe(path, name, tables.get(name)), fills.get(name))
        for name, path in place.sources
    )
    first = rasters[0]
    target = _target(place.target, fills.get(TARGET), describe)
    layer = _layers(layers, place)
    drawn = _drawn(place.labels, describe)
    both = ((target, "target"), (drawn, "labels"))
    answers = [placed(first, raster, what) for raster, what in both if raster is not None]
    sources = [first, *(placed(first, r, "source") for r in rasters[1:])]
    layered = [*sources, *(answers[:1] if target is not None else [])]
    common, answers = _meet(sources, answers, shift, coarse=training or bool(answers))
    if common is not None:
        rasters, target = tuple(sources), answers[0] if target is not None else None
    grid, part = (first, None) if common is None else (common.whole, common.part)
    limits = (place.mask, place.bounds, place.window)
    where = select(grid, *limits, part, layer=layer.get(MASK), describe=describe)
    met = first if common is None else common.grid
    how: dict[str, Any] = {"field": label_field, "unlabelled": unlabelled}
    there = answers[-1] if drawn is not None and common is not None else None
    labels = _labels(place, met, shift, (drawn, there), how | {"layer": layer.get(LABELS)})
    scene = Scene(place.key, rasters, target, where, labels, common, blur, shift)
    return _flagged(scene, quality, layered, writes=writes)


def _flagged(scene: Scene, setting: str, rasters: Sequence[Raster], *, writes: bool) -> Scene:
    """A scene without what the quality layers of its rasters and its target flag. ``rasters``: they
    with their positions, before the target was moved."""
    words = words_of(setting, rasters, f"scene {scene.key!r}", masks=not writes)
    lying = list(rasters)
    if scene.common is not None and scene.target is not None:
        lying[-1] = scene.target
    pairs = zip(rasters, lying, strict=True)
    files = tuple(file for pair in pairs for file in quality_files(pair[0], words, pair[1]))
    done = "written as nodata" if writes else "left out"
    scene = replace(scene, remarks=tuple(quality_messages(setting, words, rasters, done)))
    if not files:
        return scene
    if writes:
        return replace(scene, hidden=Selection(scene.grid, quality=files))
    return replace(scene, where=replace(scene.where or Selection(scene.grid), quality=files))


def _labels(
    place: Place,
    met: Raster,
    shift: tuple[float, float],
    drawn: tuple[Raster | None, Raster | None],
    how: Mapping[str, Any],
) -> Labels | None:
    """The labels of a scene on the grid where its files meet. ``drawn``: the raster of labels that
    are one, and where it lies if it is brought there. Polygons stay as they are: the grid is moved,
    the other way."""
    if place.labels is None:
        return None
    raster, there = drawn
    seen = moved(met, met, -shift[0], -shift[1]) if any(shift) else met
    labels = describe_labels(place.labels, seen, raster, **how)
    return labels if there is None else _lying_as(labels, there)


def _drawn(labels: str | None, describe: Describe) -> Raster | None:
    """The raster of labels that are one."""
    if labels is None or vector_driver(labels) is not None:
        return None
    return drawn_labels(labels, describe)


def _target(path: str | None, nodata: str | None, describe: Describe) -> Raster | None:
    """The target, which must have a band to learn from."""
    if path is None:
        return None
    target = _filled(describe(path, "target"), nodata)
    if not target_bands(target):
        what = f"target {target.path} has no band to learn from"
        raise InputError(what, got="an alpha band only")
    return target


def _lying_as(labels: Labels, there: Raster) -> Labels:
    """Labels that lie where another raster does."""
    return replace(labels, file=replace(labels.file, transform=there.transform, crs=there.crs))


def _meet(
    sources: Sequence[Raster], answers: list[Raster], shift: tuple[float, float], *, coarse: bool
) -> tuple[Common | None, list[Raster]]:
    """The grid on which sources and answers (target, labels) meet, None where that is the first
    one's anyway; and the answers, moved. ``coarse``: that of the coarsest, cut; else that of the
    first source."""
    every = [*sources, *answers]
    whole = coarsest(every) if coarse else sources[0]
    if any(shift):
        place = next((i for i, r in enumerate(answers) if r is whole), None)
        answers = [moved(r, whole, *shift) for r in answers]
        whole = whole if place is None else answers[place]
    elif all(on_one_grid(sources[0], r) for r in (*sources, *answers)):
        return None, answers
    found = cut(whole, [*sources, *answers])
    part = found if coarse else Window(0, 0, *whole.shape)
    return Common(whole, part, windowed(whole, part)), answers


def _fills(given: Sequence[str], place: Place) -> dict[str, str]:
    """What means missing, by source: ``NAME=V``, or one V for the only source; ``target=V`` for the
    target.

    Raises
    ------
    ConfigError : a source that there is not, or one value for several sources.
    """
    names = [name for name, _ in place.sources]
    known = names if place.target is None or TARGET in names else [*names, TARGET]
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.rpartition("="))
        if not equals and len(names) == 1:
            name = names[0]
        if name not in known:
            raise ConfigError(
                "--nodata does not name a source",
                got=repr(text),
                expected="NAME=V",
                remedy=nearest(name, known),
            )
        if name in found:
            raise ConfigError(
                f"two --nodata for {name!r}",
                got=shorten(given),
                expected="one, with a value per band",
            )
        found[name] = value
    return found


def _layers(given: Sequence[str], place: Place) -> dict[str, str]:
    """The layers of vector files, by what the file is for: a bare name is for
    every one that can have several.

    Raises
    ------
    ConfigError : there is no vector file that a layer could be of.
    """
    files = {MASK: place.mask, LABELS: place.labels}
    drivers = {what: vector_driver(path) for what, path in files.items() if path}
    vectors = [what for what, driver in drivers.items() if driver]
    layered = [what for what in vectors if drivers[what] == LAYERED] or vectors
    found: dict[str, str] = {}
    for text in given:
        name, equals, layer = text.partition("=")
        named = [name] if equals and name in files else layered
        if not named or any(what not in vectors for what in named):
            raise ConfigError(
                "--layer does not name a layer of a vector file",
                got=repr(text),
                expected="NAME, mask=NAME or labels=NAME, beside a vector file as mask or labels",
                remedy="Leave --layer out.",
            )
        found |= dict.fromkeys(named, layer if named == [name] else text)
    return found


def _filled(raster: Raster, nodata: str | None) -> Raster:
    """With the nodata that the user declares."""
    return raster if nodata is None else declared(raster, nodata)


def input_remarks(scene: Scene, expected: Bands) -> list[str]:
    """What a user should know of the files of a scene that weights are used on: what GDAL warned
    of, and bands that are taken by position."""
    warned = [
        f"{Path(raster.path).name}: {m}"
        for raster in scene.files
        for m in raster.messages
        if isinstance(m, Remark) and m.code == "gdal-warning"
    ]
    lost = expected.has_wavelengths and not np.isfinite(scene.bands.wavelength_nm).any()
    unknown = f"{scene.key}: no wavelengths are known: the bands are taken by position"
    remarks = [
        position_remark(scene.key, names, wanted)
        for _, names, wanted in unplaced(scene.bands, expected)
    ]
    return [*warned, *([unknown] if lost else []), *filter(None, remarks)]


def unplaced(bands: Bands, expected: Bands) -> list[tuple[str, list[str], list[str]]]:
    """By source the names of bands, and those expected, where wavelengths cannot tell the bands
    apart."""
    found = []
    for source in bands.sources:
        here = [i for i, s in enumerate(bands.source) if s == source]
        good = [i for i in here if bands.good[i] and expected.good[i]]
        known = np.isfinite(bands.wavelength_nm) & np.isfinite(expected.wavelength_nm)
        if not known[good].all():
            found.append((source, [bands.name[i] for i in here], [expected.name[i] for i in here]))
    return found
