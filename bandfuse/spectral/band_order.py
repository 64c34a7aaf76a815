"""Band order: whether bands that are taken by position are in the expected order, by their
names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bandfuse.errors import MismatchError, shorten

_NUMBERED = re.compile(r"(?:b|band|layer)?[ _-]?0*(\d+)", re.IGNORECASE)


def are_made_up(names: Sequence[str]) -> bool:
    """Whether names only count the bands, from 1 or from 0: they say nothing of what a band is.

    >>> are_made_up(["Band 1", "Band 2"]), are_made_up(["Band 2", "Band 1"])
    (True, False)
    >>> are_made_up(["red", "nir"])
    False
    """
    found = [_NUMBERED.fullmatch(name.strip()) for name in names]
    numbers = [int(match[1]) for match in found if match]
    return any(numbers == list(range(first, first + len(names))) for first in (0, 1))


def require_order(
    what: str, names: Sequence[str], expected: Sequence[str], *, weights: str = "the weights"
) -> None:
    """Bands without wavelengths are taken by position: none may have the name that another position
    has.

    Raises
    ------
    MismatchError : naming both orders.
    """
    if are_made_up(names) and are_made_up(expected):
        return
    place = {_plain(name): i for i, name in enumerate(expected)}
    if len(place) < len(expected) or len({_plain(n) for n in names}) < len(names):
        return  # names that repeat tell no order
    off = [i for i, name in enumerate(names) if place.get(_plain(name), i) != i]
    if not off:
        return
    same = {_plain(name) for name in names} == set(place)
    kind = "the bands of the training in another order" if same else "bands of other names"
    here = {_plain(name): i for i, name in enumerate(names)}
    numbers = " ".join(f"-b {here[name] + 1}" for name in place) if same else ""
    short = numbers if len(place) <= 12 else "-b N -b M …"
    remedy = (
        f"Reorder them: gdal_translate {short} IN OUT." if same else "Give the bands that it knows."
    )
    raise MismatchError(
        f"{what} has {kind}",
        got=shorten(names),
        expected=f"{shorten(expected)}, as {weights} have them",
        remedy=remedy,
    )


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def position_remark(what: str, names: Sequence[str], expected: Sequence[str]) -> str:
    """What is said where bands are taken by position though their names are others; empty where
    they agree, or where one of both has no names."""
    if are_made_up(names) or are_made_up(expected):
        return ""
    off = [
        i for i, (a, b) in enumerate(zip(names, expected, strict=True)) if _plain(a) != _plain(b)
    ]
    if not off:
        return ""
    i = off[0]
    return (
        f"{what}: the bands are taken by position, but {len(off)} of {len(names)} have other names "
        f"than in the training: band {i + 1} is {names[i]!r}, there {expected[i]!r}"
    )
