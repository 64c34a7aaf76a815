"""Needs: which settings have a meaning only beside some values of another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from bandfuse.errors import ConfigError


@dataclass(frozen=True)
class Need:
    """Settings (``names``, in one text) that have a meaning only where ``other`` has one of some
    ``values``; without values, where it is given at all."""

    names: str
    other: str
    values: tuple[object, ...] = ()

    def holds(self, now: object) -> bool:
        """Whether a value of the other setting gives these a meaning."""
        return now in self.values if self.values else now not in (None, [], False)


def unmet(
    needs: Iterable[Need], given: Mapping[str, object], values: Mapping[str, object]
) -> Iterator[ConfigError]:
    """An error for every setting that is ``given`` without a meaning; ``values``: all settings as
    they are."""
    for need in needs:
        now = values[need.other]
        if need.holds(now):
            continue
        for name in need.names.split():
            if name in given:
                yield ConfigError(
                    f"{flag(name)} does not apply {_beside(need.other, now)}",
                    got=_shown(name, given[name]),
                    expected=_wanted(need),
                    remedy=f"Leave {flag(name)} out.",
                )


def require_meaning(
    flags: Mapping[str, object], other: str, now: object, values: tuple[object, ...] = ()
) -> None:
    """Refuse flags of one command that are given where ``other``, as it is now, takes their meaning
    away.

    Raises
    ------
    ConfigError : for the first of them.
    """
    given = {
        name: value for name, value in flags.items() if value is not None and value is not False
    }
    for error in unmet([Need(" ".join(flags), other, values)], given, {other: now}):
        raise error


def flag(name: str) -> str:
    """A setting as it stands on the command line."""
    return f"--{name.replace('_', '-')}"


def _beside(other: str, now: object) -> str:
    if now in (None, [], False):
        return f"without {flag(other)}"
    return f"with {_shown(other, now)}"


def _shown(name: str, value: object) -> str:
    """A setting with its value."""
    if isinstance(value, list):
        return " ".join(f"{flag(name)} {one}" for one in value)
    return flag(name) if value is True else f"{flag(name)} {value}"


def _wanted(need: Need) -> str:
    """What the other setting should be."""
    if need.values in ((False,), (None,)):
        return f"no {flag(need.other)}"
    if not need.values or need.values == (True,):
        return flag(need.other)
    *first, last = map(str, need.values)
    words = f"{', '.join(first)} or {last}" if first else last
    return f"{flag(need.other)} {words}"


def given_of(
    values: Mapping[str, Any], defaults: Mapping[str, Any], explicit: Set[str]
) -> dict[str, object]:
    """The settings that somebody gave: other than the default, or ``explicit``. A file that lists
    every default gives none."""
    return {name: v for name, v in values.items() if name in explicit or v != defaults[name]}
