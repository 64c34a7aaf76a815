"""Bands: a table of bands. No pixels, no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import MismatchError, shorten
from bandfuse.summary import Facts, Summarised, Summary, number, span

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]


@dataclass(frozen=True, eq=False, repr=False)
class Bands(Summarised):
    """A table with one row per band.

    Columns
    -------
    name : the band's name.
    source : the source (file) the band comes from, by name.
    index : 1-based number of the band in its source, as GDAL counts.
    wavelength_nm, fwhm_nm : centre wavelength and full width at half maximum in nm; NaN where
        unknown.
    reason : why the band must not be used; empty for a good band.

    A *position* is the 0-based place of a band in this table.
    """

    name: tuple[str, ...]
    source: tuple[str, ...]
    index: tuple[int, ...]
    wavelength_nm: Floats
    fwhm_nm: Floats
    reason: tuple[str, ...]

    def __post_init__(self) -> None:
        for column in ("wavelength_nm", "fwhm_nm"):
            object.__setattr__(self, column, np.asarray(getattr(self, column), dtype=np.float64))
        lengths = {c: len(getattr(self, c)) for c in self.__dataclass_fields__}
        if len(set(lengths.values())) != 1:
            raise MismatchError("columns of a band table differ in length", got=str(lengths))

    @classmethod
    def of(
        cls,
        name: Sequence[str],
        *,
        source: str = "scene",
        wavelength_nm: Iterable[float] | None = None,
        fwhm_nm: Iterable[float] | None = None,
        reason: Sequence[str] | None = None,
    ) -> Bands:
        """Build the table of one source, its bands numbered from 1.

        >>> Bands.of(["red", "nir"], wavelength_nm=[650, 850]).good
        array([ True,  True])
        """
        n = len(name)
        unknown = np.full(n, np.nan)
        return cls(
            name=tuple(name),
            source=(source,) * n,
            index=tuple(range(1, n + 1)),
            wavelength_nm=unknown
            if wavelength_nm is None
            else np.array(list(wavelength_nm), dtype=np.float64),
            fwhm_nm=unknown if fwhm_nm is None else np.array(list(fwhm_nm), dtype=np.float64),
            reason=("",) * n if reason is None else tuple(reason),
        )

    def __len__(self) -> int:
        return len(self.name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bands):
            return NotImplemented
        exact = all(
            getattr(self, c) == getattr(other, c) for c in ("name", "source", "index", "reason")
        )
        return exact and all(
            np.array_equal(getattr(self, c), getattr(other, c), equal_nan=True)
            for c in ("wavelength_nm", "fwhm_nm")
        )

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def good(self) -> NDArray[np.bool_]:
        """(B,) True where nothing speaks against using the band; read-only."""
        good = np.array([not r for r in self.reason], dtype=bool)
        good.flags.writeable = False
        return good

    @property
    def has_wavelengths(self) -> bool:
        """True if every good band has a wavelength (and there is a good band)."""
        return bool(self.good.any() and np.isfinite(self.wavelength_nm[self.good]).all())

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources, in order of first appearance."""
        return tuple(dict.fromkeys(self.source))

    def take(self, positions: Iterable[int]) -> Bands:
        """The rows at these positions, in this order."""
        p = [int(i) for i in positions]
        return Bands(
            name=tuple(self.name[i] for i in p),
            source=tuple(self.source[i] for i in p),
            index=tuple(self.index[i] for i in p),
            wavelength_nm=self.wavelength_nm[p],
            fwhm_nm=self.fwhm_nm[p],
            reason=tuple(self.reason[i] for i in p),
        )

    def __add__(self, other: Bands) -> Bands:
        """The bands of two sources, one after the other."""
        return Bands(
            name=self.name + other.name,
            source=self.source + other.source,
            index=self.index + other.index,
            wavelength_nm=np.concatenate([self.wavelength_nm, other.wavelength_nm]),
            fwhm_nm=np.concatenate([self.fwhm_nm, other.fwhm_nm]),
            reason=self.reason + other.reason,
        )

    def dropping(self, reasons: dict[int, str]) -> Bands:
        """The same table with a reason set against the bands at these positions; earlier reasons
        stay."""
        return replace(
            self, reason=tuple(old or reasons.get(i, "") for i, old in enumerate(self.reason))
        )

    def by_wavelength(self, positions: Iterable[int]) -> list[int]:
        """Positions in wavelength order; in table order where a wavelength is unknown."""
        p = [int(i) for i in positions]
        if not np.isfinite(self.wavelength_nm[p]).all():
            return p
        return sorted(p, key=lambda i: float(self.wavelength_nm[i]))

    def summary(self) -> Summary:
        """The bands in a few lines, and as a table."""
        head = ("number", "name", "source", "wavelength / nm", "FWHM / nm", "not used, as")
        columns = (self.index, self.name, self.source, self.wavelength_nm, self.fwhm_nm)
        rows = (
            (str(index), name, source, *(number(v) if np.isfinite(v) else "" for v in (nm, fwhm)))
            for index, name, source, nm, fwhm in zip(*columns, strict=True)
        )
        reasons = ((*row, reason) for row, reason in zip(rows, self.reason, strict=True))
        return Summary(f"Bands: {len(self)}", self.facts(), head, tuple(reasons))

    def facts(self) -> Facts:
        """What is said of the bands in a few lines."""
        count = Counter(self.source)
        sources = (f"{name} ({n})" for name, n in count.items())
        against = (f"{why} ({n})" for why, n in Counter(filter(None, self.reason)).items())
        return (
            ("names", shorten(self.name, 6)),
            ("wavelengths", span(self.wavelength_nm, "nm")),
            ("FWHM", span(self.fwhm_nm, "nm")),
            ("sources", shorten(sources, 4) if len(count) > 1 else ""),
            ("not used", "" if self.good.all() else shorten(against, 4)),
        )

    def label(self, position: int) -> str:
        """A short text that names one band: its number, its name and its wavelength."""
        nm = self.wavelength_nm[position]
        where = f", {nm:.1f} nm" if np.isfinite(nm) else ""
        return f"band {position + 1} ({self.name[position]}{where})"
