"""Cache: what passes over scenes leave, kept beside what a batch writes, so that each scene is read
once however many settings are tried."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from bandfuse.batches.fingerprints import fingerprint, inputs_of
from bandfuse.batches.plan import Cache, Item
from bandfuse.config.moments import MomentsConfig
from bandfuse.config.train import Gathering, TrainConfig
from bandfuse.errors import UsageError
from bandfuse.files.kinds import is_moments
from bandfuse.progress import Progress
from bandfuse.scenes.opening import Opened
from bandfuse.scenes.places import MAIN, Place, limited, places
from bandfuse.survey.momentsfile import ENDING
from bandfuse.tools.moments import gather_moments

RUNS = {"device", "threads", "memory"}
"""Settings that do not change what is gathered."""

FILES = {"scenes", "source", "target", "labels", "mask"}

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Cached:
    """A training from moments: its settings, what its config.yaml names in their place, and the
    scenes that are left out, with the reasons."""

    values: dict[str, Any]
    named: dict[str, Any]
    left_out: dict[str, str]


def from_cache(values: Values, cache: Cache, progress: Progress) -> Cached:
    """The same training from moments; those that are not there yet are gathered.

    Raises
    ------
    UsageError and its children : of the first scene that cannot be used; where scenes may be left
        out, if none can.
    """
    whole = TrainConfig(**values)
    files = (whole.scenes, whole.source, whole.target, whole.labels)
    every = limited(places(*files), whole.mask, whole.bounds, whole.window)
    shared = {k: v for k, v in values.items() if k in Gathering.model_fields and k not in FILES}
    if len(every) > 1 and whole.registration == "auto":
        shared["registration"] = "off"  # Targets of several scenes are not shifted alike.
    found: list[str] = []
    left_out: dict[str, str] = {}
    for place in every:
        try:
            found.append(_moments_of(place, shared, cache, progress))
        except UsageError as error:
            if not whole.skip_broken:
                raise
            left_out[place.key] = str(error)
    if not found:
        Opened([]).without(left_out)
    own = {k: v for k, v in values.items() if k not in Gathering.model_fields or k in _KEPT}
    named = {n: getattr(whole, n) for n in Gathering.model_fields if n not in _KEPT}
    named.pop("precision")
    return Cached({**own, "moments": found}, {**named, "moments": []}, left_out)


_KEPT = {"any_units", "skip_broken", "registration", "seed", *RUNS}
"""Settings of what is gathered that a training from moments takes, too."""


def _moments_of(place: Place, shared: Values, cache: Cache, progress: Progress) -> str:
    """The file of moments of one scene."""
    given = {**shared, **_files_of(place)}
    for name in ("skip_broken", "any_units"):
        given.pop(name, None)
    folder = Path(cache.folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{_key(place, given, cache)}{ENDING}"
    if is_moments(file):
        return str(file)
    lock = FileLock(f"{file}.lock", thread_local=False)
    with lock:
        try:
            if not is_moments(file):
                kept = {"noise": cache.noise, "sample": cache.sample, "overwrite": True}
                gather_moments(MomentsConfig(**given, **kept, output=str(file)), progress)
        finally:
            with suppress(OSError):
                Path(lock.lock_file).unlink()
    return str(file)


def _files_of(place: Place) -> dict[str, Any]:
    """The files of a scene as settings."""
    one = len(place.sources) == 1 and place.sources[0][0] == MAIN
    sources = [f"{name}={path}" for name, path in place.sources]
    found = {
        "scenes": [place.sources[0][1]] if one else [],
        "source": [] if one else sources,
        "target": [place.target] if place.target else [],
        "labels": [place.labels] if place.labels else [],
        "mask": [place.mask] if place.mask else [],
    }
    return {key: files for key, files in found.items() if files}


def _key(place: Place, given: Values, cache: Cache) -> str:
    """What decides the moments of a scene, as one name: its files as they are now, and the
    settings."""
    named = [path for _, path in place.sources] + [place.target, place.labels, place.mask]
    item = Item("", "", "train", "", given, "", tuple(path for path in named if path))
    marks = [fingerprint(path, content=False) for path in inputs_of(item)]
    told = {key: value for key, value in given.items() if key not in RUNS}
    text = json.dumps([told, marks, cache.noise, cache.sample], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
