"""Item files: which files of its scenes an item is given, as settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bandfuse.batches.scenes import Member
from bandfuse.batches.settings import Job
from bandfuse.errors import ConfigError


def files_of(
    known: Mapping[str, Any], some: Sequence[Member], job: Job, place: str
) -> dict[str, Any]:
    """Scenes and what belongs to them, as settings."""
    if "images" in known:
        return {"images": _images(some[0], job, place)}
    found: dict[str, Any] = {"scenes": [s.path for s in some]}
    names = dict.fromkeys(name for s in some for name in s.source)
    lacks = next(
        (f"none of {n} for {s.path}" for s in some for n in names if n not in s.source), ""
    )
    if lacks:
        raise ConfigError(f"{place}: job {job.name!r} pools scenes of other sources", got=lacks)
    found["source"] = [f"{name}={s.source[name]}" for name in names for s in some]
    for role in ("target", "labels", "mask"):
        here = [s.parts[role] for s in some if role in s.parts]
        if role in known and here and len(here) < len(some):
            lacking = next(s.path for s in some if role not in s.parts)
            raise ConfigError(
                f"{place}: job {job.name!r} pools scenes with and without {role}",
                got=f"none of {lacking}",
            )
        if role in known and here:
            found[role] = here
    if job.kind == "evaluate" and not {"target", "labels"} & set(found):
        raise ConfigError(
            f"{place}: job {job.name!r} needs a target or labels",
            remedy="Give target: or labels: with the scenes.",
        )
    if job.kind == "evaluate" and "target" in found:
        found.pop("labels", None)  # they are for other jobs
    return {key: value for key, value in found.items() if value}


def _images(scene: Member, job: Job, place: str) -> list[str]:
    """A cube and its sharp images.

    Raises
    ------
    ConfigError : it has none.
    """
    target = [scene.parts["target"]] if "target" in scene.parts else []
    sharps = [*target, *scene.source.values()]
    if not sharps:
        raise ConfigError(
            f"{place}: job {job.name!r} needs a sharp image for {scene.path}",
            remedy="Give target: with the scenes, a template such as {parent}/{stem}_pan.tif.",
        )
    return [scene.path, *sharps]


def scored_files(scene: Member, raster: str | None, job: Job, place: str) -> dict[str, Any]:
    """The true cube of a scene that an item sharpens; and where that leaves a ``raster`` and no run
    folder, the raster and the cube.

    Raises
    ------
    ConfigError : it has no true cube.
    """
    if "truth" not in scene.parts:
        raise ConfigError(
            f"{place}: job {job.name!r} needs a true cube for {scene.path}",
            remedy="Give truth: with the scenes, a template such as {parent}/{stem}_true.tif.",
        )
    found: dict[str, Any] = {"target": [scene.parts["truth"]]}
    found |= {"mask": [scene.parts["mask"]]} if "mask" in scene.parts else {}
    return found | ({} if raster is None else {"scenes": [raster], "cube": scene.path})
