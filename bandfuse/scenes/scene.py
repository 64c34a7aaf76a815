"""Scenes: from the file names that a user gives to places with their sources, targets and keys."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from string import Formatter

import numpy as np

from bandfuse.spectral.bands import Bands
from bandfuse.scenes.displacement import Shift
from bandfuse.errors import ConfigError, InputError, MismatchError, nearest, shorten
from bandfuse.spectral.band_order import position_remark, require_order
from bandfuse.raster import (
    AlignedReader,
    Choice,
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
    is_json,
    moved,
    on_one_grid,
    placed,
    select,
    windowed,
)
from bandfuse.spectral.remarks import Remark
from bandfuse.spectral.resampling import tolerance
from bandfuse.streaming.windows import Window

MAIN = "scene"
"""The name of the source that a positional SCENE is."""

TARGET = "target"
"""The name by which a setting of sources speaks of the target."""


@dataclass(frozen=True)
class Place:
    """The file names of one scene: its key, its sources by name, and a target or labels; and which pixels count."""

    key: str
    sources: tuple[tuple[str, str], ...]
    target: str | None = None
    labels: str | None = None
    mask: str | None = None
    bounds: tuple[float, float, float, float] | None = None
    window: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class Common:
    """The grid on which rasters of different grids meet: ``part`` of that of ``whole``, told by ``grid``."""

    whole: Raster
    part: Window
    grid: Raster

    def brought(self, raster: Raster) -> float:
        """Pixels of a raster along the side of a pixel of this grid; 0 where they are the same."""
        placing = Placing(self.grid, raster)
        return placing.factor if placing.offset is None else 0.0


@dataclass(frozen=True, eq=False)
class Scene:
    """One image place, described: rasters whose bands are concatenated in order.

    ``where``: which pixels count; None for all. ``common``: the grid on which all that is read meets; None where every
    file has the grid of the first. ``blur``: modulation of the Gaussian that finer rasters are seen through. ``moved``:
    columns and rows of the grid by which target and labels were moved; ``shift``: those that were estimated, if any.
    """

    key: str
    rasters: tuple[Raster, ...]
    target: Raster | None = None
    where: Selection | None = None
    labels: Labels | None = None
    common: Common | None = None
    blur: float | None = None
    moved: tuple[float, float] = (0.0, 0.0)
    shift: Shift | None = None

    @property
    def names(self) -> list[str]:
        """What the scene may be called: its key, and the names that it gets beside others of its stem."""
        first = self.rasters[0].path
        return list(dict.fromkeys([self.key, _long_key(first), _short_key(first)]))

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
        """What reads these positions of the concatenated bands, in order, and the target's bands after, on the grid of
        the scene."""
        choices = self.choose(positions, target=target)
        if self.common is None:
            return Reader(choices)
        return AlignedReader(choices, self.common.grid, blur=self.blur)

    @property
    def fused(self) -> Scene:
        """The same place as it is applied to: its sources on the grid of the first of them."""
        common = _meet(self.rasters, [], (0.0, 0.0), coarse=False)[0]
        return replace(self, target=None, labels=None, where=None, common=common, blur=None)

    @property
    def files(self) -> list[Raster]:
        """Every file of the scene, the target, the labels and the mask last."""
        mask = None if self.where is None or self.where.mask is None else self.where.mask.file
        labels = None if self.labels is None else self.labels.file
        return [*self.rasters, *(file for file in (self.target, labels, mask) if file is not None)]

    @property
    def paths(self) -> list[Path]:
        """Every place on the file system that is read for the scene."""
        return [Path(p) for r in self.files for p in (r.path, *r.files)]

    def choose(self, positions: Sequence[int], *, target: bool = False) -> list[Choice]:
        """What to read for these positions of the concatenated bands, in order, and for the target's bands after."""
        choices: list[Choice] = []
        start = 0
        for raster in self.rasters:
            here = [p - start for p in positions if start <= p < start + len(raster.bands)]
            choices.append((raster, here))
            start += len(raster.bands)
        if target and self.target is not None:
            choices.append((self.target, target_bands(self.target)))
        return choices


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
            found.append(f"{Path(raster.path).name}: {count} left out, {reason}: {shorten(map(str, numbers))}{what}")
    return found


def target_names(target: Raster) -> list[str] | None:
    """Names of the bands of a target that are data; None where the file has none and they were made up."""
    positions = target_bands(target)
    names = [target.bands.name[i] for i in positions]
    return None if names == [f"b{i + 1}" for i in positions] else names


def pair_of(text: str, flag: str) -> tuple[str, str]:
    """NAME and VALUE of ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not (equals and name.strip() and value.strip()):
        raise ConfigError(f"{flag} cannot be read", got=repr(text), expected="NAME=VALUE")
    return name.strip(), value.strip()


def fill_template(
    text: str, first: str, flag: str, more: Mapping[str, str] | None = None, folder: str | Path = ""
) -> str:
    """Fill ``{parent}``, ``{stem}``, ``{name}`` and ``{suffix}`` of a scene's first file into a template, and further
    words that are known of it. Braces of what is there by that name, from ``folder``, are no template."""
    path = Path(first)
    there = _there(text, folder)
    text = there.replace("{", "{{").replace("}", "}}") + text[len(there) :]
    fields = {"parent": str(path.parent), "stem": path.stem, "name": path.name, "suffix": path.suffix}
    fields |= more or {}
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        parts = [("", text, "", None)]
    if any(name is not None and (name not in fields or form or turn) for _, name, form, turn in parts):
        raise ConfigError(
            f"{flag} template cannot be filled", got=repr(text),
            expected=" ".join(f"{{{name}}}" for name in fields), remedy="A brace of a name is written twice: {{ or }}.",
        )  # fmt: skip
    return text.format(**fields)


def _there(text: str, folder: str | Path = "") -> str:
    """The longest leading part of a path with braces that is a file or a folder by that name; empty for none."""
    ends = [len(text), *(i for i in reversed(range(len(text))) if text[i] in ("/", os.sep))]
    return next((text[:i] for i in ends if "{" in text[:i] and os.path.exists(os.path.join(folder, text[:i]))), "")


def _is_template(text: str) -> bool:
    return "{" in text and _there(text) != text


def _spread(given: Sequence[str], firsts: Sequence[str], flag: str) -> list[str]:
    """One file per scene, from a template or from a list in scene order."""
    if len(given) == 1 and len(firsts) > 1 and not _is_template(given[0]):
        raise ConfigError(
            f"one {flag} for {len(firsts)} scenes", got=repr(given[0]),
            expected=f"a template such as {{parent}}/{{stem}}_t.tif, or {len(firsts)} files in scene order",
        )  # fmt: skip
    if len(given) == 1 and "{" in given[0]:
        return [fill_template(given[0], first, flag) for first in firsts]
    if len(given) != len(firsts):
        raise ConfigError(f"{flag} does not fit the scenes", got=f"{len(given)} files", expected=f"{len(firsts)}")
    return list(given)


def places(
    scenes: Sequence[str], sources: Sequence[str], targets: Sequence[str], labels: Sequence[str] = ()
) -> list[Place]:
    """Arrange what the command line gives into scenes.

    Parameters
    ----------
    scenes : positional files, each a scene.
    sources : ``NAME=PATH``: repeated in scene order, or a template; they alone make the scenes if no file is given.
    targets, labels : a template, or one file per scene; empty for none.
    """
    named: dict[str, list[str]] = {}
    for text in sources:
        name, path = pair_of(text, "--source")
        named.setdefault(name, []).append(path)
    if scenes and MAIN in named:
        raise ConfigError(f"source name {MAIN!r} is taken by the positional scene", remedy="Choose another name.")
    if not scenes and not named:
        raise ConfigError("no scene is given", expected="SCENE files, or --source NAME=PATH")
    firsts = list(scenes) if scenes else next(iter(named.values()))
    spread = {MAIN: list(scenes)} if scenes else {}
    spread |= {name: _spread(paths, firsts, f"--source {name}=") for name, paths in named.items()}
    nothing: list[str | None] = [None] * len(firsts)
    goals = [*_spread(targets, firsts, "--target")] if targets else nothing
    classes = [*_spread(labels, firsts, "--labels")] if labels else nothing
    keys = _keys(firsts)
    return [
        Place(keys[i], tuple((name, paths[i]) for name, paths in spread.items()), goals[i], classes[i])
        for i in range(len(firsts))
    ]


def limited(
    places: Sequence[Place],
    masks: Sequence[str],
    bounds: tuple[float, float, float, float] | None,
    window: tuple[int, int, int, int] | None,
) -> list[Place]:
    """The same places, with what limits the pixels that count.

    Parameters
    ----------
    masks : a template, one file per scene, one file for all, or none.
    bounds : least x and y, greatest x and y in the scene's CRS.
    window : first row and column from 0, number of rows and columns.
    """
    firsts = [place.sources[0][1] for place in places]
    if len(masks) == 1 and not _is_template(masks[0]):
        masks = [*masks] * len(firsts)
    spread: list[str | None] = [*_spread(masks, firsts, "--mask")] if masks else [None] * len(firsts)
    return [replace(place, mask=mask, bounds=bounds, window=window) for place, mask in zip(places, spread, strict=True)]


def names_of(firsts: Sequence[str]) -> list[str]:
    """The stem of each scene's first file; with the folder's name before it where stems repeat."""
    count = Counter(map(_short_key, firsts))
    return [_short_key(f) if count[_short_key(f)] == 1 else _long_key(f) for f in firsts]


def _keys(firsts: Sequence[str]) -> list[str]:
    """The names of scenes, all different.

    Raises
    ------
    ConfigError : two scenes are the same file, or still share their key.
    """
    keys = names_of(firsts)
    count = Counter(keys)
    twice = [f for f, k in zip(firsts, keys, strict=True) if count[k] > 1]
    if twice:
        raise ConfigError("scenes cannot be told apart by name", got=shorten(twice), remedy="Rename one of them.")
    return keys


def _short_key(path: str) -> str:
    return Path(path).stem or Path(path).name


def _long_key(path: str) -> str:
    return f"{Path(path).resolve().parent.name}_{_short_key(path)}"


def open_scene(
    place: Place,
    *,
    label_field: str | None = None,
    unlabelled: Sequence[int] = (),
    wavelengths: Sequence[str] = (),
    nodata: Sequence[str] = (),
    training: bool = False,
    shift: tuple[float, float] = (0.0, 0.0),
    blur: float | None = None,
) -> Scene:
    """Describe every file of a scene, and find the grid on which they meet.

    With a target, labels or for a training that is the grid of the coarsest file, cut to what all of them cover; else
    that of the first source.

    Parameters
    ----------
    wavelengths : files that say more of the bands, by source. nodata : values that mean missing, by source.
    shift : columns and rows of that grid by which the target and the labels are moved.

    Raises
    ------
    InputError, MismatchError : files that cannot be read, or that cannot be brought to one grid.
    """
    tables = _tables(wavelengths, place)
    fills = _fills(nodata, place)
    rasters = tuple(_filled(describe(path, name, tables.get(name)), fills.get(name)) for name, path in place.sources)
    first = rasters[0]
    target = None if place.target is None else _filled(describe(place.target, "target"), fills.get(TARGET))
    if target is not None and not target_bands(target):
        raise InputError(f"target {target.path} has no band to learn from", got="an alpha band only")
    drawn = None if place.labels is None or is_json(Path(place.labels)) else drawn_labels(place.labels)
    answers = [placed(first, r, w) for r, w in ((target, "target"), (drawn, "labels")) if r is not None]
    sources = [first, *(placed(first, r, "source") for r in rasters[1:])]
    common, answers = _meet(sources, answers, shift, coarse=training or bool(answers))
    if common is not None:
        rasters, target = tuple(sources), answers[0] if target is not None else None
    grid, part = (first, None) if common is None else (common.whole, common.part)
    where = select(grid, place.mask, place.bounds, place.window, part)
    labels = None
    if place.labels is not None:
        labels = _labels(place.labels, first if common is None else common.grid, shift, label_field, unlabelled)
        if drawn is not None and common is not None:
            there = answers[-1]
            labels = replace(labels, file=replace(labels.file, transform=there.transform, crs=there.crs))
    return Scene(place.key, rasters, target, where, labels, common, blur, shift)


def _meet(
    sources: Sequence[Raster], answers: list[Raster], shift: tuple[float, float], *, coarse: bool
) -> tuple[Common | None, list[Raster]]:
    """The grid on which sources and answers (target, labels) meet, None where that is the first one's anyway; and the
    answers, moved. ``coarse``: that of the coarsest, cut; else that of the first source."""
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


def _labels(
    path: str, grid: Raster, shift: tuple[float, float], field: str | None, unlabelled: Sequence[int]
) -> Labels:
    """Labels on a grid; polygons are moved by so many of its columns and rows: the grid by as many the other way."""
    columns, rows = shift
    seen = moved(grid, grid, -columns, -rows) if any(shift) else grid
    return describe_labels(path, seen, field=field, unlabelled=unlabelled)


def _tables(given: Sequence[str], place: Place) -> dict[str, str]:
    """The files with wavelengths, by source: ``NAME=FILE``, or one FILE for the only source; or templates.

    Raises
    ------
    ConfigError : a source that there is not, or a file for several sources.
    """
    names, first = [name for name, _ in place.sources], place.sources[0][1]
    found: dict[str, str] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not (equals and name.strip() in names):
            if len(names) > 1:
                raise ConfigError("--wavelengths does not name a source", got=repr(text), expected="NAME=FILE",
                                  remedy=nearest(name.strip(), names))  # fmt: skip
            name, file = names[0], text
        if name.strip() in found:
            raise ConfigError(f"two --wavelengths for source {name.strip()!r}", got=shorten(given), expected="one file")
        file = file.strip()
        found[name.strip()] = fill_template(file, first, "--wavelengths") if "{" in file else file
    return found


def _fills(given: Sequence[str], place: Place) -> dict[str, str]:
    """What means missing, by source: ``NAME=V``, or one V for the only source; ``target=V`` for the target.

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
            raise ConfigError("--nodata does not name a source", got=repr(text), expected="NAME=V",
                              remedy=nearest(name, known))  # fmt: skip
        if name in found:
            raise ConfigError(f"two --nodata for {name!r}", got=shorten(given), expected="one, with a value per band")
        found[name] = value
    return found


def _filled(raster: Raster, nodata: str | None) -> Raster:
    """With the nodata that the user declares."""
    return raster if nodata is None else declared(raster, nodata)


def check_inputs(scene: Scene, expected: Bands) -> None:
    """A scene must have the bands that weights were learned for.

    Band counts per source must agree; where both have wavelengths, these may differ by half a FWHM at most (by half
    the spacing of the bands where no FWHM is known). Where wavelengths are unknown, no band may have the name of
    another one.

    Raises
    ------
    MismatchError : naming the first band that differs.
    """
    bands = scene.bands
    if bands.sources != expected.sources and len(bands.sources) != len(expected.sources):
        raise MismatchError(
            f"scene {scene.key!r} has other sources than the weights",
            got=shorten(bands.sources), expected=shorten(expected.sources),
            remedy="Give each with --source NAME=PATH.",
        )  # fmt: skip
    if len(bands) != len(expected):
        raise MismatchError(
            f"scene {scene.key!r} has another number of bands than the weights",
            got=f"{len(bands)} bands in {shorten(r.path for r in scene.rasters)}",
            expected=f"{len(expected)} bands",
        )
    if bands.sources != expected.sources:
        raise MismatchError(
            f"scene {scene.key!r} has sources of other names than the weights",
            got=shorten(bands.sources), expected=shorten(expected.sources),
        )  # fmt: skip
    if bands.source != expected.source:
        got, want = Counter(bands.source), Counter(expected.source)
        raise MismatchError(
            f"sources of scene {scene.key!r} have other numbers of bands than the weights",
            got=shorten(f"{name} with {n}" for name, n in got.items()),
            expected=shorten(f"{name} with {n}" for name, n in want.items()),
        )
    for name, names, wanted in _unplaced(bands, expected):
        of = f"scene {scene.key!r}" + (f", source {name!r}," if len(bands.sources) > 1 else "")
        require_order(of, names, wanted)
    apart = np.abs(bands.wavelength_nm - expected.wavelength_nm)
    allowed = tolerance(expected)
    off = np.flatnonzero(np.nan_to_num(apart, nan=0.0) > allowed)
    if len(off):
        i = int(off[np.argmax(apart[off])])
        raise MismatchError(
            f"{len(off)} bands of scene {scene.key!r} lie at other wavelengths than the weights",
            got=f"{bands.label(i)}",
            expected=f"{expected.wavelength_nm[i]:.1f} nm within {allowed[i]:.1f} nm",
        )


def input_remarks(scene: Scene, expected: Bands) -> list[str]:
    """What a user should know of the files of a scene that weights are used on: what GDAL warned of, and bands that are
    taken by position."""
    warned = [
        f"{Path(raster.path).name}: {m}"
        for raster in scene.files
        for m in raster.messages
        if isinstance(m, Remark) and m.code == "gdal-warning"
    ]
    lost = expected.has_wavelengths and not np.isfinite(scene.bands.wavelength_nm).any()
    unknown = f"{scene.key}: no wavelengths are known: the bands are taken by position"
    remarks = [position_remark(scene.key, names, wanted) for _, names, wanted in _unplaced(scene.bands, expected)]
    return [*warned, *([unknown] if lost else []), *filter(None, remarks)]


def _unplaced(bands: Bands, expected: Bands) -> list[tuple[str, list[str], list[str]]]:
    """By source the names of bands, and those expected, where wavelengths cannot tell the bands apart."""
    found = []
    for source in bands.sources:
        here = [i for i, s in enumerate(bands.source) if s == source]
        good = [i for i in here if bands.good[i] and expected.good[i]]
        known = np.isfinite(bands.wavelength_nm) & np.isfinite(expected.wavelength_nm)
        if not known[good].all():
            found.append((source, [bands.name[i] for i in here], [expected.name[i] for i in here]))
    return found


def common_reasons(scenes: Sequence[Scene], dead: Sequence[Mapping[int, str]]) -> dict[int, str]:
    """Bands that are dead in any scene, with the reason; the scene is named where there are several."""
    reasons: dict[int, str] = {}
    for scene, found in zip(scenes, dead, strict=True):
        for position, reason in found.items():
            reasons.setdefault(position, reason if len(scenes) == 1 else f"{reason} in {scene.key}")
    return reasons
