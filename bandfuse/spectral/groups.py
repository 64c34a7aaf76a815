"""Groups: named lists of band positions, and the rules that make them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import GroupError, nearest, shorten
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.sensors import find, known

_RANGE_NM = re.compile(r"(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*(nm|um|µm)", re.IGNORECASE)
_INDEX = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")

REGIONS = {
    "blue": (450.0, 500.0),
    "green": (500.0, 600.0),
    "red": (600.0, 700.0),
    "rededge": (700.0, 750.0),
    "nir": (750.0, 1000.0),
    "swir1": (1550.0, 1750.0),
    "swir2": (2100.0, 2300.0),
}
"""Regions of the spectrum in nm, the upper end left out: the common band names of STAC's
electro-optical extension, version 1.0. There the red edge reaches on to 790 nm, into the near
infrared, and the last two are swir16 and swir22."""

Covariance = Callable[[], Floats]
"""Gives the (B, B) covariance of the bands, zero for those that are dead. Called by rules that need
to see pixels."""


@dataclass(frozen=True)
class Group:
    """A named list of band positions (0-based places in the band table)."""

    name: str
    positions: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.positions)


def select(spec: str, bands: Bands) -> list[int]:
    """The positions that one SPEC names, bad bands included; sorted for ranges and lists.

    SPEC is ``450-520nm`` (wavelengths, both ends included), ``1-30,35`` (1-based numbers), ``all``,
    ``source:NAME``, or several of these joined by commas."""
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
    rules = ", ".join(r if r in BARE else f"{r}:…" for r in RULES)
    raise GroupError(
        f"group {spec!r} cannot be read",
        got=repr(term),
        expected="450-520nm, 1-30,35, all or source:NAME",
        remedy=_meant(term) or f"For several groups at once use one of: {rules}.",
    )


_NUMBERS = re.compile(r"(\d+)\s*(?::|\.\.+|–|to)\s*(\d+)(\s*(?:nm|um|µm))?")
_FRACTIONS = re.compile(r"\d*\.\d+\s*-\s*\d*\.\d+")


def _meant(term: str) -> str:
    """The spec that a text could stand for; empty if nobody knows.

    >>> _meant("1:4"), _meant("red")
    ('Did you mean 1-4?', 'The region red is 600-700nm; regions makes a group of each.')
    """
    if term.lower() in REGIONS:
        low, high = REGIONS[term.lower()]
        return f"The region {term} is {low:g}-{high:g}nm; regions makes a group of each."
    if found := _NUMBERS.fullmatch(term):
        return f"Did you mean {found[1]}-{found[2]}{(found[3] or '').strip()}?"
    if _FRACTIONS.fullmatch(term):
        return f"Wavelengths have their unit: {term}um."
    return f"Did you mean sensor:{term}?" if term in known() else ""


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
        raise GroupError(
            f"group {spec!r} runs backwards",
            got=match[0],
            expected=f"{match[2]}-{match[1]}{match[3]}",
        )
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


def _count(rule: str, argument: str, good: Sequence[int]) -> int:
    """The number of groups that a rule is asked for."""
    k = int(argument) if argument.isdecimal() else 0
    if not 1 <= k <= len(good):
        raise GroupError(
            f"groups '{rule}:{argument}' cannot be made",
            got=repr(argument),
            expected=f"a whole number from 1 to {len(good)}, the good bands",
        )
    return k


def _numbered(parts: Iterable[Iterable[int]]) -> list[Group]:
    """Groups g1, g2, … of these positions."""
    return [Group(f"g{i}", tuple(sorted(int(p) for p in part))) for i, part in enumerate(parts, 1)]


def _equal(argument: str, bands: Bands, covariance: Covariance | None) -> list[Group]:
    good = bands.by_wavelength(np.flatnonzero(bands.good))
    return _numbered(np.array_split(np.array(good), _count("equal", argument, good)))


def _correlation(argument: str, bands: Bands, covariance: Covariance | None) -> list[Group]:
    """Runs of bands in wavelength order, cut where neighbours are least correlated; the first of
    equals."""
    good = bands.by_wavelength(np.flatnonzero(bands.good))
    k = _count("correlation", argument, good)
    like = _correlations(covariance, good, "correlation")
    cuts = np.sort(np.argsort(np.diag(like, 1), kind="stable")[: k - 1]) + 1
    return _numbered(np.split(np.array(good), cuts))


def _cluster(argument: str, bands: Bands, covariance: Covariance | None) -> list[Group]:
    """Bands that vary alike, in whatever direction: average linkage of the distances 1 − |r|, in
    order of the mean wavelength (of the mean position where wavelengths are unknown)."""
    from scipy.cluster.hierarchy import cut_tree, linkage
    from scipy.spatial.distance import squareform

    good = bands.by_wavelength(np.flatnonzero(bands.good))
    k = _count("cluster", argument, good)
    if k == len(good):
        return _numbered([p] for p in good)
    far = 1.0 - np.abs(_correlations(covariance, good, "cluster"))
    label = cut_tree(linkage(squareform(far, checks=False), "average"), n_clusters=[k]).ravel()
    nm = bands.wavelength_nm[good]
    place = nm if np.isfinite(nm).all() else np.arange(len(good))
    order = sorted(range(k), key=lambda i: float(place[label == i].mean()))
    return _numbered(np.array(good)[label == i] for i in order)


def _correlations(covariance: Covariance | None, positions: Sequence[int], rule: str) -> Floats:
    """(G, G) correlations of the bands at these positions; zero beside a band that does not
    vary."""
    if covariance is None:
        raise GroupError(f"groups '{rule}:…' need pixels", got="a band table only")
    some = covariance()[np.ix_(positions, positions)]
    spread = np.sqrt(np.diag(some))
    if not spread.any():
        raise GroupError(
            f"groups '{rule}:…' cannot be made",
            got="no varying pixels that are valid in all bands, in the parts seen",
            remedy="Use equal:… or wavelengths.",
        )
    like: Floats = np.clip(
        some / np.where(np.outer(spread, spread) > 0, np.outer(spread, spread), np.inf), -1, 1
    )
    np.fill_diagonal(like, 1.0)
    return like


def _sensor(argument: str, bands: Bands, covariance: Covariance | None) -> list[Group]:
    """A group for every band of a sensor that holds bands of the cube, by the names of the sensor's
    bands."""
    sensor = find(argument)
    return _holding(
        f"sensor:{argument}",
        {band.name: band.holds(bands.wavelength_nm) for band in sensor.bands},
        bands,
    )


def _regions(argument: str, bands: Bands, covariance: Covariance | None) -> list[Group]:
    """A group for every region of :data:`REGIONS` that holds bands of the cube."""
    if argument:
        raise GroupError(
            f"groups 'regions:{argument}' cannot be made", got=repr(argument), expected="regions"
        )
    nm = bands.wavelength_nm
    return _holding(
        "regions", {name: (nm >= low) & (nm < high) for name, (low, high) in REGIONS.items()}, bands
    )


def _holding(spec: str, members: Mapping[str, NDArray[np.bool_]], bands: Bands) -> list[Group]:
    """Groups of good bands; those without any are left out (:func:`lacking` tells)."""
    known = bands.wavelength_nm[bands.good & np.isfinite(bands.wavelength_nm)]
    if not known.size:
        raise GroupError(f"groups {spec!r} need wavelengths", got="good bands without wavelengths")
    groups = [
        Group(name, tuple(int(i) for i in np.flatnonzero(here & bands.good)))
        for name, here in members.items()
    ]
    found = [group for group in groups if group.positions]
    if not found:
        raise GroupError(
            f"groups {spec!r} hold no band",
            got=f"bands from {known.min():.1f} to {known.max():.1f} nm",
            remedy="Look at the wavelengths with bandfuse info -v.",
        )
    return found


Rule = Callable[[str, Bands, "Covariance | None"], list[Group]]

RULES: dict[str, Rule] = {
    "equal": _equal,
    "correlation": _correlation,
    "cluster": _cluster,
    "sensor": _sensor,
    "regions": _regions,
}
"""Rules that make several groups at once, by the word before the colon."""

BARE = ("regions",)
"""Rules that are a word alone."""

SEEING = ("correlation", "cluster")
"""Rules that need to see pixels."""


def split(spec: str, bands: Bands, covariance: Covariance | None = None) -> list[Group]:
    """The groups that a ``--groups`` SPEC makes: a rule of :data:`RULES`, or one group named after
    its SPEC.

    Parameters
    ----------
    covariance : of the bands; called by the rules :data:`SEEING` alone.
    """
    word, colon, argument = spec.partition(":")
    if spec.strip().isdecimal():
        n = int(spec)
        raise GroupError(
            f"groups {spec!r} can be read in two ways",
            got="a bare number",
            expected=f"equal:{n} for {n} groups of equal numbers of bands, or {n}-{n} for one "
            f"group of band {n} alone",
        )
    if word in RULES and (colon or word in BARE):
        return RULES[word](argument, bands, covariance)
    return [Group(spec, tuple(select(spec, bands)))]


def lacking(spec: str | None, bands: Bands) -> str:
    """Which bands of a sensor, or regions, make no group as no good band lies in them; empty if all
    do."""
    word, _, argument = (spec or "").partition(":")
    if word not in ("sensor", "regions"):
        return ""
    made = {group.name for group in split(f"{word}:{argument}", bands)}
    left = [
        name
        for name in (REGIONS if word == "regions" else find(argument).names)
        if name not in made
    ]
    return f"no good band lies in {shorten(left)} of {spec}: no group is made there" if left else ""


def named(specs: Mapping[str, str], bands: Bands) -> list[Group]:
    """One group per name and SPEC."""
    groups = []
    for name, spec in specs.items():
        try:
            groups.append(Group(name, tuple(select(spec, bands))))
        except GroupError as error:
            what = f"group {name!r}: {error.what.removeprefix('group ')}"
            raise GroupError(
                what, got=error.got, expected=error.expected, remedy=error.remedy
            ) from error
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
            raise GroupError(
                f"two groups are named {group.name!r}", remedy="Give each group a name of its own."
            )
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
