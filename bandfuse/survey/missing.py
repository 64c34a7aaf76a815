"""Missing: dead bands, empty targets and missing pixels in a training, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from bandfuse.errors import InputError, ScenesError, shorten
from bandfuse.moments.census import Census
from bandfuse.moments.moments import Moments
from bandfuse.moments.tally import MOST_STRATA, Tally
from bandfuse.raster import Labels, Raster, counted, extent_of, is_left_out
from bandfuse.results.base import BY_QUALITY, PixelCount
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.spectral.bands import Bands
from bandfuse.survey.survey import Survey


def flagged_by_any(scenes: Sequence[Scene]) -> Bands:
    """The bands of the first scene, with the reasons that files of any scene give against them."""
    reasons = {i: r for s in reversed(scenes) for i, r in enumerate(s.bands.reason) if r}
    return scenes[0].bands.dropping(reasons)


def common_reasons(scenes: Sequence[Scene], dead: Sequence[Mapping[int, str]]) -> dict[int, str]:
    """Bands that are dead in any scene, with the reason; the scene is named where there are
    several."""
    reasons: dict[int, str] = {}
    for scene, found in zip(scenes, dead, strict=True):
        for position, reason in found.items():
            reasons.setdefault(position, reason if len(scenes) == 1 else f"{reason} in {scene.key}")
    return reasons


FEW = 10
"""A class with fewer pixels is said to be small."""


def require_noise(survey: Survey) -> None:
    """The noise of B bands is only seen by more pairs of neighbours than bands.

    Raises
    ------
    InputError : there are too few.
    """
    pairs, bands = survey.noise.count, len(survey.design.used)
    if pairs < 2 * bands:
        raise InputError(
            f"there are too few neighbouring pixels to see the noise of {bands} bands",
            got=f"{pairs} pairs",
            expected=f"at least {2 * bands}",
            remedy="Use a larger scene, or fewer bands.",
        )


def require_classes(
    scenes: Sequence[Scene], files: Sequence[str], unlabelled: Sequence[int], survey: Survey
) -> list[str]:
    """Labels must hold two classes. Gives what a user should know of them.

    Raises
    ------
    InputError : there is one class, or there are too many.
    """
    classes, labels = survey.classes, scenes[0].labels
    assert labels is not None
    if len(classes) < 2:
        raise InputError(
            f"labels {shorten(files)} have too few classes",
            got=f"1 class: {labels.name(next(iter(classes)))}" if classes else "no class",
            expected="two or more classes among the pixels that count",
        )
    if len(classes) > MOST_STRATA:
        raise InputError(
            f"labels {shorten(files)} hold too many classes",
            got=f"{len(classes)}",
            expected=f"{MOST_STRATA} or fewer",
            remedy="Leave a fill value out with --unlabelled.",
        )
    drawn = [s.labels for s in scenes if s.labels is not None and s.labels.areas is not None]
    every = {number for found in drawn for number, _ in found.names}
    empty = sorted(every - {*classes, *labels.unlabelled, *unlabelled})
    return _class_messages(classes, empty, labels)


def _class_messages(
    classes: Mapping[int, Moments], empty: Sequence[int], labels: Labels
) -> list[str]:
    """Classes that are left out, are small, or may be none."""
    messages = []
    if empty:
        names = shorten(map(labels.name, empty))
        messages.append(f"classes without a pixel that counts, left out: {names}")
    small = [f"{labels.name(n)} ({m.count})" for n, m in classes.items() if m.count < FEW]
    if small:
        messages.append(f"classes with few pixels: {shorten(small)}; their scores mean little")
    if 0 in classes:
        messages.append("class 0 counts as a class: leave it out with --unlabelled 0 if it is none")
    return messages


def dead_of(census: Census, wanted: Sequence[int]) -> dict[int, str]:
    """The wanted bands that a census finds dead, by position, with the reason."""
    return {wanted[i]: reason for i, reason in census.dead(len(wanted)).items()}


def dead_if_some_live(census: Census, wanted: Sequence[int]) -> dict[int, str]:
    """The dead bands; none where all seem to be, as a few windows do not tell that."""
    dead = dead_of(census, wanted)
    return dead if len(dead) < len(wanted) else {}


def require_bands(scenes: Sequence[Scene], bands: Bands, wanted: Sequence[int]) -> None:
    """Some wanted band must hold data.

    Raises
    ------
    InputError : all are dead or flagged.
    """
    if not bands.good[list(wanted)].any():
        reasons = dict.fromkeys(bands.reason[p] for p in wanted)
        limits = shorten(
            dict.fromkeys(f" in {s.where.text}" for s in scenes if s.where is not None)
        )
        raise InputError(
            f"no band of {shorten(s.rasters[0].path for s in scenes)} can be used",
            got=shorten(reasons) + (limits if scenes[0].where is not None else ""),
            expected="bands with data",
            remedy=scenes[0].look and f"{scenes[0].look} -v.",
        )


def require_selected(scene: Scene, tally: Tally) -> None:
    """A selection must leave pixels.

    Raises
    ------
    InputError : it leaves none.
    """
    outside = sum(count for reason, count in tally.invalid.items() if is_left_out(reason))
    if scene.where is None or outside < scene.shape[0] * scene.shape[1]:
        return
    _, flagged, _ = counted(tally.invalid)
    raise InputError(
        f"no pixel of scene {scene.key!r} is selected",
        got=scene.where.text,
        expected=f"a part of {extent_of(scene.grid)}",
        remedy="--quality none keeps what its quality layers flag."
        if flagged
        else _where_else(scene.where.bounds, scene.grid),
    )


def _where_else(bounds: tuple[float, float, float, float] | None, grid: Raster) -> str:
    """What to do about a selection that leaves nothing."""
    if bounds is None:
        return "Windows are in pixels of the training grid from 0; see bandfuse info."
    degrees = all(abs(x) <= 180 for x in bounds[::2]) and all(abs(y) <= 90 for y in bounds[1::2])
    projected = grid.crs is not None and grid.crs.is_projected
    asked = "These bounds look like degrees: give" if degrees and projected else "Give"
    return f"{asked} MINX MINY MAXX MAXY in this CRS."


def pixel_count(used: int, invalid: Mapping[str, int]) -> PixelCount:
    """The pixels that were used, and why the others were not."""
    by_reason, flagged, quality = counted(invalid)
    by_reason |= {BY_QUALITY: flagged} if flagged else {}
    out = sum(by_reason.values())
    return PixelCount(used=used, invalid=out, by_reason=by_reason, quality=quality)


def require_bands_of(scene: Scene, tally: Tally, wanted: Sequence[int]) -> None:
    """Of a scene pixels must be selected, and some band must hold data."""
    require_selected(scene, tally)
    dead = dead_of(tally.census, wanted)
    if len(dead) == len(wanted):
        require_bands([scene], scene.bands.dropping(dead), wanted)


def require_alike(scenes: Sequence[Scene], dead: Sequence[Mapping[int, str]], wanted: int) -> None:
    """No scene costs the others more than half of the bands: those that are dead there, and in half
    of all at most.

    Raises
    ------
    ScenesError : scenes that do.
    """
    count = Counter(position for found in dead for position in found)

    reasons: dict[str, str] = {}
    for scene, found in zip(scenes, dead, strict=True):
        own = [position for position in found if 2 * count[position] <= len(dead)]
        if 2 * len(own) > wanted:
            bands = shorten(scene.bands.label(i) for i in own)
            error = InputError(
                f"scene {scene.key!r} lacks bands that most others have",
                got=f"{len(own)} of {wanted} bands dead: {bands}",
            )
            reasons[scene.key] = str(error)
    if reasons:
        raise ScenesError(reasons)


def _require_targets(scene: Scene, tally: Tally) -> None:
    """Every band of a target must hold data, as a pixel without one of them is no pixel to learn
    from."""
    if scene.target is None or not tally.census.seen or scene.labels is not None:
        return
    places = target_bands(scene.target)
    end = len(tally.census.valid) - tally.slopes
    valid = tally.census.valid[end - len(places) : end]
    empty = [i for i, n in zip(places, valid, strict=True) if not n]
    if empty and len(empty) < len(places):
        raise InputError(
            f"target {scene.target.path} of {scene.called} has bands without data where "
            f"{scene.called} has some",
            got=shorten(f"band {i + 1} ({scene.target.bands.name[i]})" for i in empty),
            expected=f"valid {scene.unit} in every band of the target",
            remedy=f"Leave these bands out of the target{scene.look and ': gdal_translate -b'}.",
        )


def usable_moments(scene: Scene, tally: Tally) -> Moments:
    """The moments of a scene; it must have pixels, and numbers that can be squared.

    Raises
    ------
    InputError : too few pixels count, or numbers are too large to be squared.
    """
    _require_targets(scene, tally)
    unit, look = scene.unit, scene.look
    if tally.used < 2:
        reasons = ", ".join(f"{n} {reason}" for reason, n in tally.invalid.items() if n)
        size = scene.shape[0] * scene.shape[1]
        raise InputError(
            f"{scene.called} has no {unit} to learn from",
            got=f"{tally.used} usable of {size} {unit} ({reasons or 'too small'})",
            expected=f"at least 2 {unit} that are valid in all used bands and the target",
            remedy=look and f"{look}; leave out bands that hold no data.",
        )
    moments = tally.total()
    if not np.isfinite(moments.scatter).all():
        raise InputError(
            f"{scene.called} holds numbers whose squares overflow",
            expected="numbers below 1e150 in size",
            remedy=look and f"Is a fill value not declared as nodata? {look}.",
        )
    return moments
