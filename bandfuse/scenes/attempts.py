"""Attempts: the same step for every scene. What fails ends the work at once, or is collected from
all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from bandfuse.errors import BandfuseError, ScenesError, UsageError, is_transient
from bandfuse.scenes.scene import Scene

S = TypeVar("S")
T = TypeVar("T")

REFERENCES = 10
"""At most so many scenes are tried for one that half of the others fit."""


def each(
    keys: Sequence[str], scenes: Iterable[S], work: Callable[[S], T], *, skip: bool
) -> list[T]:
    """``work`` of every scene, in order.

    Raises
    ------
    BandfuseError : of the first that fails. ScenesError : with ``skip``; of all that fail, twice
        where input or output failed on the way."""
    if not skip:
        return [work(scene) for scene in scenes]
    done, reasons = attempt(keys, scenes, work)
    if reasons:
        raise ScenesError(reasons)
    return done


def attempt(
    keys: Sequence[str], scenes: Iterable[S], work: Callable[[S], T]
) -> tuple[list[T], dict[str, str]]:
    """``work`` of the scenes for which it succeeds, and by key why it fails for the others."""
    reasons: dict[str, str] = {}
    return list(attempts(keys, scenes, work, reasons)), reasons


def attempts(
    keys: Sequence[str], scenes: Iterable[S], work: Callable[[S], T], reasons: dict[str, str]
) -> Iterator[T]:
    """The same one after the other: ``reasons`` has by key why it fails for a scene."""
    for key, scene in zip(keys, scenes, strict=True):
        try:
            done = _tried(work, scene)
        except BandfuseError as error:
            reasons[key] = str(error)
        else:
            yield done


def _tried(work: Callable[[S], T], scene: S) -> T:
    """A second time, if the system said no: a network may have hiccuped."""
    try:
        return work(scene)
    except BandfuseError as error:
        if not is_transient(error):
            raise
    return work(scene)


def misfits(scenes: Sequence[Scene], check: Callable[[Scene, Scene], None]) -> dict[str, str]:
    """Scenes that do not fit the others, with the reason: those that fail ``check`` beside the
    first scene that at least half of them fit.

    Raises
    ------
    UsageError : there is no such scene; the error of the first pair.
    """
    first: UsageError | None = None
    for reference in islice(scenes, REFERENCES):
        reasons: dict[str, str] = {}
        for scene in scenes:
            try:
                check(scene, reference)
            except UsageError as error:
                first = first or error
                reasons[scene.key] = str(error)
        if 2 * len(reasons) <= len(scenes):
            return reasons
    assert first is not None
    raise first
