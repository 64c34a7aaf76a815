"""Groups: named lists of band positions, and the rules that make them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.bands import Bands
from bandfuse.errors import GroupError, nearest, shorten

_RANGE_NM = re.compile(r"(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*(nm|um|µm)", re.IGNORECASE)
_INDEX = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")


@dataclass(frozen=True)
class Group:
    """A named list of band positions (0-based places in the band table)."""

    name: str
    positions: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.positions)


def select(spec: str, bands: Bands) -> list[int]:
    """The positions that one SPEC names, bad bands included; sorted for ranges and lists.

    SPEC is ``450-520nm`` (wavelengths, both ends included), ``1-30,35`` (1-based numbers), ``all``, ``source:NAME``,
    or several of these joined by commas.
    """
    found: dict[int, None] = {}
    for term in (t.strip() for t in spec.split(",")):
        found.update(dict.fromkeys(_term(term, spec, bands)))
    return sorted(found)


def _term(term: str, spec: str, bands: Bands) -> list[int]:
    if match := _RANGE_NM.fullmatch(term):
        return _by_wavelength(match, spec, bands)
    if match := _INDEX.fullmatch(term):
        return _by_number(match, spec, bands)
    if term == "all":
        return list(range(len(bands)))
    if term.startswith("source:"):
        return _by_source(term.removeprefix("source:"), bands)
    raise GroupError(
        f"group {spec!r} cannot be read",
        got=repr(term),
        expected="450-520nm, 1-30,35, all or source:NAME",
        remedy=f"For several groups at once use one of: {', '.join(f'{r}:…' for r in RULES)}.",
    )


def _by_wavelength(match: re.Match[str], spec: str, bands: Bands) -> list[int]:
    scale = 1.0 if match[3].lower() == "nm" else 1000.0
    low, high = float(match[1]) * scale, float(match[2]) * scale
    known = bands.wavelength_nm[np.isfinite(bands.wavelength_nm)]
    if not known.size:
        raise GroupError(
            f"group {spec!r} needs wavelengths",
            got="bands without wavelengths",
            remedy=f"Name bands by number, 1-{len(bands)}.",
        )
    if low > high:
        raise GroupError(f"group {spec!r} runs backwards", got=match[0], expected=f"{match[2]}-{match[1]}{match[3]}")
    hit = (bands.wavelength_nm >= low) & (bands.wavelength_nm <= high)
    if not hit.any():
        raise GroupError(
            f"group {spec!r} holds no band",
            got=f"{low:g} to {high:g} nm",
            expected=f"a range within {known.min():.1f} to {known.max():.1f} nm",
        )
    return [int(i) for i in np.flatnonzero(hit)]


def _by_number(match: re.Match[str], spec: str, bands: Bands) -> list[int]:
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if first > last:
        raise GroupError(f"group {spec!r} runs backwards", got=match[0], expected=f"{last}-{first}")
    if not 1 <= first <= last <= len(bands):
        raise GroupError(
            f"group {spec!r} names bands outside the cube",
            got=match[0],
            expected=f"numbers from 1 to {len(bands)}",
            remedy="Wavelengths have their unit: 450-520nm.",
        )
    return list(range(first - 1, last))


def _by_source(name: str, bands: Bands) -> list[int]:
    if name not in bands.sources:
        raise GroupError(f"there is no source {name!r}", remedy=nearest(name, bands.sources))
    return [i for i, s in enumerate(bands.source) if s == name]


def _equal(argument: str, bands: Bands) -> list[Group]:
    good = bands.by_wavelength(np.flatnonzero(bands.good))
    k = int(argument) if argument.isdigit() else 0
    if not 1 <= k <= len(good):
        raise GroupError(
            f"groups 'equal:{argument}' cannot be made",
            got=repr(argument),
            expected=f"a whole number from 1 to {len(good)}, the good bands",
        )
    parts = np.array_split(np.array(good), k)
    return [Group(f"g{i}", tuple(sorted(int(p) for p in part))) for i, part in enumerate(parts, 1)]


RULES: dict[str, Callable[[str, Bands], list[Group]]] = {"equal": _equal}
"""Rules that make several groups at once, by the word before the colon."""


def split(spec: str, bands: Bands) -> list[Group]:
    """The groups that a ``--groups`` SPEC makes: a rule of :data:`RULES`, or one group named after its SPEC."""
    word, colon, argument = spec.partition(":")
    if colon and word in RULES:
        return RULES[word](argument, bands)
    return [Group(spec, tuple(select(spec, bands)))]


def named(specs: Mapping[str, str], bands: Bands) -> list[Group]:
    """One group per name and SPEC."""
    groups = []
    for name, spec in specs.items():
        try:
            groups.append(Group(name, tuple(select(spec, bands))))
        except GroupError as error:
            what = f"group {name!r}: {error.what.removeprefix('group ')}"
            raise GroupError(what, got=error.got, expected=error.expected, remedy=error.remedy) from error
    return groups


def one(bands: Bands, name: str = "all") -> list[Group]:
    """One group of all good bands."""
    return [Group(name, tuple(int(i) for i in np.flatnonzero(bands.good)))]


def per_source(bands: Bands) -> list[Group]:
    """One group per source."""
    return [Group(name, tuple(_by_source(name, bands))) for name in bands.sources]


def usable(groups: Sequence[Group], bands: Bands) -> list[Group]:
    """The groups without their bad bands. A group left empty, or a name used twice, is an error."""
    seen: set[str] = set()
    kept = []
    for group in groups:
        if group.name in seen:
            raise GroupError(f"two groups are named {group.name!r}", remedy="Give each group a name of its own.")
        seen.add(group.name)
        good = tuple(i for i in group.positions if bands.good[i])
        if not good:
            bad = shorten(f"{bands.label(i)}: {bands.reason[i]}" for i in group.positions)
            raise GroupError(
                f"group {group.name!r} is empty",
                got=f"no band in it is usable ({bad})" if group.positions else "no bands",
                expected="at least one good band",
            )
        kept.append(Group(group.name, good))
    if not kept:
        raise GroupError("there are no groups", expected="at least one")
    return kept
