"""Pool units: whether the scenes of a pool hold values in the same units, and what else one differs
in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import numpy as np

from bandfuse.errors import MismatchError, shorten
from bandfuse.raster import Raster
from bandfuse.scenes.attempts import each
from bandfuse.scenes.scene import Scene
from bandfuse.scenes.value_ranges import target_sample
from bandfuse.spectral.value_units import LIMIT, WORTH_SAYING, Unlike, Values, unlike


def pool_messages(
    scenes: Sequence[Scene],
    every: Sequence[Values],
    goals: Sequence[Values] | None,
    sources: Sequence[str],
    *,
    any_units: bool,
    skip: bool,
) -> list[str]:
    """What a user should know of how the scenes of a pool differ, before their pixels are read.

    Parameters
    ----------
    every : of each scene the values of the same bands. goals : those of its target, where every
        scene has one. sources : of the bands.

    Raises
    ------
    MismatchError : a scene, or its target, is in other units than the others. ScenesError : with
        ``skip``, of all such."""
    if len(scenes) < 2:
        return []
    odd = oddities(scenes)
    messages = [
        f"{key}: it differs from the other scenes: {shorten(texts)}" for key, texts in odd.items()
    ]
    messages += _compared(scenes, every, sources, odd, any_units=any_units, skip=skip, what="scene")
    if goals is not None:
        names = ["target"] * max(map(len, goals))
        messages += _compared(
            scenes, goals, names, odd, any_units=any_units, skip=skip, what="target of scene"
        )
    return messages


def target_values(scenes: Sequence[Scene]) -> list[Values] | None:
    """The values of the targets by a look at a few places; None where a scene has no target."""
    if any(scene.target is None for scene in scenes):
        return None
    return [Values.of(target_sample(scene)) for scene in scenes]


def _compared(
    scenes: Sequence[Scene],
    every: Sequence[Values],
    sources: Sequence[str],
    odd: Mapping[str, Sequence[str]],
    *,
    any_units: bool,
    skip: bool,
    what: str,
) -> list[str]:
    """Each scene beside the one of middle size."""
    sizes = {
        i: float(np.nanmedian(v.typical))
        for i, v in enumerate(every)
        if np.isfinite(v.typical).any()
    }
    if len(sizes) < 2:
        return []
    middle = sorted(sizes, key=lambda i: sizes[i])[(len(sizes) - 1) // 2]

    def compared(i: int) -> list[str]:
        if i not in sizes or i == middle:
            return []
        found = unlike(
            every[i], every[middle], (sources, sources), others=f"those of {scenes[middle].key!r}"
        )
        if found.grave and not any_units:
            raise _error(f"{what} {scenes[i].key!r}", found, odd.get(scenes[i].key, ()))
        if found.grave or not 1 / WORTH_SAYING < found.factor < WORTH_SAYING:
            return [f"{what} {scenes[i].key!r}: {found.text}"]
        return []

    keys = [scene.key for scene in scenes]
    return [*chain(*each(keys, range(len(scenes)), compared, skip=skip))]


def _error(what: str, found: Unlike, odd: Sequence[str]) -> MismatchError:
    more = f"; it also differs in this: {shorten(odd)}" if odd else ""
    return MismatchError(
        f"{what} is in other units than the others: {found.text}{more}",
        expected=f"values that differ by a factor below {LIMIT:g}, in ranges that an offset does "
        "not hold apart",
        remedy="Declare its scale (check --scale X --fix OUT.vrt) and use that file; --any-units "
        "takes all as it is.",
    )


def _scale(raster: Raster) -> str:
    known = sorted(
        {
            f"scale {s:g}" + (f" and offset {o:g}" if o else "")
            for s, o in zip(raster.scale, raster.offset, strict=True)
        }
    )
    return shorten(known, 2)


def _wavelengths(raster: Raster) -> str:
    return "wavelengths" if np.isfinite(raster.bands.wavelength_nm).any() else "no wavelengths"


FACTS: dict[str, Callable[[Raster], str]] = {
    "scale": _scale,
    "dtype": lambda raster: shorten(dict.fromkeys(raster.dtypes), 2),
    "wavelengths": _wavelengths,
    "crs": lambda raster: "no CRS" if raster.crs is None else "a CRS",
    "warnings": lambda raster: "; ".join(
        m for m in raster.messages if getattr(m, "code", "") == "gdal-warning"
    ),
}
"""What is compared with the other files of the same role; a new fact is a line here."""


def oddities(scenes: Sequence[Scene]) -> dict[str, list[str]]:
    """By scene, what most others do not have: each fact of its files that at most half of the
    scenes share."""
    found: dict[str, list[str]] = {}
    roles = [_roles(scene) for scene in scenes]
    for role in dict.fromkeys(name for files in roles for name in files):
        for fact in FACTS.values():
            told = {
                s.key: fact(files[role])
                for s, files in zip(scenes, roles, strict=True)
                if role in files
            }
            (usual, count), *_ = Counter(told.values()).most_common(1)
            if 2 * count <= len(told) and len(told) > 2:
                continue
            named = "target: " if role == "target" else ""
            for key, text in told.items():
                if text != usual:
                    beside = f" (the others: {usual})" if usual else ""
                    found.setdefault(key, []).append(f"{named}{text or 'nothing'}{beside}")
    return found


def _roles(scene: Scene) -> dict[str, Raster]:
    """The files of a scene by what they are for."""
    sources = {f"source {i}": raster for i, raster in enumerate(scene.rasters)}
    return sources if scene.target is None else {**sources, "target": scene.target}
