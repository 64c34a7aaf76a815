"""Value units: what numbers bands hold, and whether those of another scene can be in the same
units. numpy only.

Weights learned from digital numbers make nonsense of reflectance, and nothing else would tell.
Scenes differ by nature too: a dark lake and fresh snow by a factor of up to 50. Units mostly differ
by powers of ten, or by an offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import MismatchError

Floats = NDArray[np.float64]

LIMIT = 60.0
"""Values that are so many times larger or smaller than others are in other units."""

WORTH_SAYING = 20.0
"""A factor between values that is said, though it may be natural."""

LIKE, APART = 1.5, 5.0
"""Ranges without overlap are in other units if their spreads differ by less than this factor (an
offset was added), or if so many widths lie between them."""

FRACTIONS = (-0.2, 1.6)
"""Ranges within this may be reflectances, whose ranges need not overlap."""

BRIGHT = 90.0
"""The size of several bands together: this percentile over the bands, as dark bands differ more
than bright ones."""


@dataclass(frozen=True, eq=False)
class Values:
    """(B,) each, NaN where unknown: the ``low`` est and ``high`` est value, ``mean``, ``spread``
    (standard deviation), and the ``typical`` size: the median of the sizes of the values that are
    not zero."""

    low: Floats
    high: Floats
    mean: Floats
    spread: Floats
    typical: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(
                self, field.name, np.array(getattr(self, field.name), dtype=np.float64)
            )
        lengths = sorted({len(getattr(self, field.name)) for field in fields(self)})
        if len(lengths) > 1:
            raise MismatchError(
                "columns of the values of bands", got=f"lengths {lengths}", expected="one length"
            )

    def __len__(self) -> int:
        return len(self.mean)

    @classmethod
    def unknown(cls, size: int) -> Values:
        """Of bands of which nothing is known."""
        return cls(*(np.full(size, np.nan) for _ in fields(cls)))

    @classmethod
    def of(cls, sample: Floats) -> Values:
        """Of (B, n) values, NaN where missing.

        >>> Values.of(np.array([[1.0, 3.0, np.nan, 0.0]])).typical
        array([2.])
        """
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # squares of numbers beyond 1e150 are unknown
            columns = [_facts(row[np.isfinite(row)]) for row in sample]
        table = np.array(columns, dtype=np.float64).reshape(-1, 5).T
        return cls(*np.where(np.isfinite(table), table, np.nan))

    def take(self, positions: Sequence[int]) -> Values:
        """Those of some bands."""
        p = list(positions)
        return Values(*(getattr(self, field.name)[p] for field in fields(self)))

    def better(self, low: Floats, high: Floats, mean: Floats, spread: Floats) -> Values:
        """With numbers that are known more exactly, where they are finite."""
        known = {"low": low, "high": high, "mean": mean, "spread": spread}
        return replace(
            self, **{k: np.where(np.isfinite(v), v, getattr(self, k)) for k, v in known.items()}
        )

    @property
    def size(self) -> Floats:
        """(B,) root of the mean square."""
        with np.errstate(over="ignore"):
            result: Floats = np.hypot(self.mean, self.spread)
        return result


def _facts(v: Floats) -> tuple[float, float, float, float, float]:
    """The columns of :class:`Values` for one band."""
    if not v.size:
        return (float("nan"),) * 5
    typical = np.median(np.abs(v[v != 0])) if v.any() else 0.0
    return float(v.min()), float(v.max()), float(v.mean()), float(v.std()), float(typical)


@dataclass(frozen=True)
class Unlike:
    """How the values of some bands differ from others: by a ``factor``, or by an offset
    (``apart``); in words, and whether they can still be in the same units."""

    factor: float
    apart: bool
    text: str

    @property
    def grave(self) -> bool:
        """Whether they cannot be in the same units."""
        return self.apart or not 1 / LIMIT < self.factor < LIMIT

    @property
    def inverse(self) -> float:
        """What brings the values to the others: a power of ten if the factor is close to one."""
        power = _power(self.factor)
        return 10.0**-power if power else float(f"{1 / self.factor:.2g}")


def unlike(
    here: Values,
    there: Values,
    sources: tuple[Sequence[str], Sequence[str]] | None = None,
    *,
    others: str = "those of the training",
) -> Unlike:
    """How values differ from others.

    Parameters
    ----------
    sources : of each band here and there; the sources are compared in their order, and the one
        counts that differs most. One of all if not given.
    """
    ours, theirs = sources or ([""] * len(here), [""] * len(there))
    found = []
    for one, other in zip(dict.fromkeys(ours), dict.fromkeys(theirs), strict=False):
        place = [i for i, source in enumerate(ours) if source == one]
        place_there = [i for i, source in enumerate(theirs) if source == other]
        named = f" of source {one!r}" if len(set(ours)) > 1 else ""
        found.append(_unlike(here.take(place), there.take(place_there), named, others))
    return max(found, key=lambda one: (one.apart, abs(np.log(one.factor))))


def _unlike(here: Values, there: Values, named: str, others: str) -> Unlike:
    factor = factor_between(here, there)
    ends = [(_least(v.low), _most(v.high)) for v in (here, there)]
    if not 1 / WORTH_SAYING < factor < WORTH_SAYING:
        text = f"the values{named} are about {_times(factor)} {others}"
    else:
        (a, b), (c, d) = ends
        text = (
            f"the values{named} lie between {a:.4g} and {b:.4g}, {others} between {c:.4g} and "
            f"{d:.4g}"
        )
    return Unlike(factor, _lie_apart(here, there, *ends), text)


def factor_between(here: Values, there: Values) -> float:
    """By what values differ from others: of the ratio of their mean squares and that of their
    typical sizes the one closer to 1, as undeclared fill values spoil the first and bands of few
    values the second. 1 where unknown."""
    ratios = []
    for name in ("size", "typical"):
        a, b = getattr(here, name), getattr(there, name)
        if len(a) == len(b):  # band by band
            known = np.isfinite(a) & np.isfinite(b)
            a, b = a[known], b[known]
        a, b = a[np.isfinite(a)], b[np.isfinite(b)]
        if len(a) and len(b):
            one, other = np.percentile(a, BRIGHT), np.percentile(b, BRIGHT)
            if one > 0 and other > 0:
                ratios.append(float(one / other))
    return min(ratios, key=lambda ratio: abs(np.log(ratio)), default=1.0)


def _lie_apart(
    here: Values, there: Values, one: tuple[float, float], other: tuple[float, float]
) -> bool:
    """Whether an offset lies between two ranges that do not overlap."""
    gap = max(one[0] - other[1], other[0] - one[1])
    within = all(FRACTIONS[0] <= low and high <= FRACTIONS[1] for low, high in (one, other))
    if not gap > 0 or within:
        return False
    spreads = [
        float(np.median(v.spread[np.isfinite(v.spread)]))
        for v in (here, there)
        if np.isfinite(v.spread).any()
    ]
    alike = len(spreads) == 2 and min(spreads) > 0 and 1 / LIKE < spreads[0] / spreads[1] < LIKE
    return alike or gap > APART * max(one[1] - one[0], other[1] - other[0])


def _least(values: Floats) -> float:
    return float(np.nanmin(values)) if np.isfinite(values).any() else float("nan")


def _most(values: Floats) -> float:
    return float(np.nanmax(values)) if np.isfinite(values).any() else float("nan")


def _times(factor: float) -> str:
    """A factor in words: the nearest power of ten if it is close to one.

    >>> _times(9800.0), _times(0.0099), _times(350.0)
    ('10 000 times', '1/100 of', '350 times')
    """
    power = _power(factor)
    number = 10.0 ** abs(power) if power else max(factor, 1 / factor)
    text = f"{float(f'{number:.2g}'):,.0f}".replace(",", " ")
    return f"{text} times" if factor > 1 else f"1/{text} of"


def _power(factor: float) -> int:
    """The power of ten that a factor is close to; 0 for none."""
    power = round(float(np.log10(factor)))
    return power if abs(np.log10(factor) - power) < 0.15 else 0
