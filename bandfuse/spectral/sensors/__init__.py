"""Sensors: the spectral responses of known sensors, and of a user's own. The tables lie beside this
file.

A table is a CSV file with a header, after comments that name its source (``#``). Either the
responses of all bands, ``wavelength_nm,B1,B2,…`` with rising wavelengths, straight lines between
them and zero outside; or ``name,centre_nm,fwhm_nm``, a row for every band."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandfuse.errors import ConfigError, InputError, did_you_mean, nearest
from bandfuse.files.textfile import TABLE as MOST
from bandfuse.files.textfile import text_of, unguarded

Floats = NDArray[np.float64]

TABLE, PLAIN = "wavelength_nm", ["name", "centre_nm", "fwhm_nm"]
"""By what the two kinds of file are told apart: the first column of one, all columns of the
other."""

TO_SIGMA = 1 / math.sqrt(8 * math.log(2))
"""Standard deviations per FWHM of a Gaussian."""

FILE = ".csv"
"""The ending by which a file is told from the name of a sensor."""


@dataclass(frozen=True, eq=False)
class SensorBand:
    """How one band of a sensor sees the spectrum.

    ``response`` at ``nm``, straight lines between them and zero outside; its centre is the
    centroid, its width that of the part above half of the peak. Where these two are None, the
    response is a Gaussian of this centre and FWHM between the points where it falls to half of its
    peak, ``centre ± fwhm / 2``."""

    name: str
    centre_nm: float
    fwhm_nm: float
    nm: Floats | None = None
    response: Floats | None = None

    @classmethod
    def of(cls, name: str, nm: Floats, response: Floats) -> SensorBand:
        """The band with this response, (n,) at (n,) rising wavelengths; somewhere above zero."""
        width = np.gradient(nm) * np.r_[0.5, np.ones(len(nm) - 2), 0.5]
        centre = float((width * response) @ nm / (width @ response))
        low, high = _half_peak(nm, response)
        return cls(name, centre, high - low, nm, response)

    def area(self, low: ArrayLike, high: ArrayLike) -> Floats:
        """(…,) the integral of the response from ``low`` to ``high`` nm, exactly."""
        area: Floats = self._below(np.asarray(high, np.float64)) - self._below(
            np.asarray(low, np.float64)
        )
        return area

    def holds(self, nm: Floats) -> NDArray[np.bool_]:
        """(…,) whether a band at this wavelength belongs to this one: where the response is above
        half of its peak, or within ``centre ± fwhm`` where only these are known. False for NaN."""
        if self.nm is None or self.response is None:
            near: NDArray[np.bool_] = np.abs(nm - self.centre_nm) <= self.fwhm_nm
            return near
        at = np.interp(nm, self.nm, self.response, left=0.0, right=0.0)
        high: NDArray[np.bool_] = at >= 0.5 * self.response.max()
        return high

    def _below(self, x: Floats) -> Floats:
        """(…,) the integral up to x, less a constant."""
        if self.nm is None or self.response is None:
            sigma = self.fwhm_nm * TO_SIGMA
            inside = np.clip(
                x, self.centre_nm - self.fwhm_nm / 2, self.centre_nm + self.fwhm_nm / 2
            )
            erf = np.vectorize(math.erf, otypes=[np.float64])
            gauss: Floats = (
                sigma
                * math.sqrt(math.pi / 2)
                * erf((inside - self.centre_nm) / (sigma * math.sqrt(2)))
            )
            return gauss
        nm, r = self.nm, self.response
        x = np.clip(x, nm[0], nm[-1])
        left = np.clip(np.searchsorted(nm, x, side="right") - 1, 0, len(nm) - 2)
        step, rise = np.diff(nm), np.diff(r)
        before = np.concatenate([[0.0], np.cumsum(step * (r[:-1] + r[1:]) / 2)])
        t = x - nm[left]
        line: Floats = before[left] + r[left] * t + rise[left] / step[left] * t**2 / 2
        return line


def _half_peak(nm: Floats, response: Floats) -> tuple[float, float]:
    """Where a response first and last crosses half of its peak."""
    half = response.max() / 2
    high = np.flatnonzero(response >= half)

    def crossing(inner: int, outer: int) -> float:
        if not 0 <= outer < len(nm) or response[outer] == response[inner]:
            return float(nm[inner])
        share = (response[inner] - half) / (response[inner] - response[outer])
        return float(nm[inner] + share * (nm[outer] - nm[inner]))

    return crossing(int(high[0]), int(high[0]) - 1), crossing(int(high[-1]), int(high[-1]) + 1)


@dataclass(frozen=True, eq=False)
class Sensor:
    """A sensor: its name, its bands, and where their numbers come from."""

    name: str
    bands: tuple[SensorBand, ...]
    origin: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its bands."""
        return tuple(band.name for band in self.bands)


GREATEST = 1e12
"""No wavelength in nm and no response of a table is greater: their squares and products stay
finite."""


def known() -> list[str]:
    """The names of the sensors that come with bandfuse."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(FILE) for name in files if name.endswith(FILE))


def is_file(text: str) -> bool:
    """Whether a user means a file of their own, and not a sensor's name."""
    return text.lower().endswith(FILE)


def find(text: str) -> Sensor:
    """A known sensor by its name (``Sentinel-2A`` and ``sentinel2a`` are ``sentinel-2a``), or a
    user's own by its file.

    >>> find("sentinel-2a").names[:3]
    ('B1', 'B2', 'B3')

    Raises
    ------
    ConfigError : no sensor of this name.
    InputError : a file that cannot be read, or is not a table of responses.
    """
    if is_file(text):
        return parse(text_of(text, "a table of responses", MOST), Path(text).stem, text)
    names = {_plainly(name): name for name in known()}
    name = names.get(_plainly(text))
    if name is None:
        like = [name for plain, name in names.items() if _plainly(text) and _plainly(text) in plain]
        hint = did_you_mean(like) or nearest(text.lower(), known())
        own = f"For one of your own give a file that ends in {FILE}."
        raise ConfigError(f"there is no sensor {text!r}", remedy=f"{hint} {own}")
    content = (resources.files(__name__) / f"{name}{FILE}").read_text(encoding="utf-8")
    return parse(content, name, f"{name}{FILE}")


def _plainly(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def parse(content: str, name: str, path: str) -> Sensor:
    """The sensor in the text of a table; ``path`` names it in messages.

    Raises
    ------
    InputError : what is wrong, and in which line.
    """
    lines = list(enumerate(content.splitlines(), 1))
    origin = " ".join(text.lstrip("# ").strip() for _, text in lines if text.startswith("#"))
    rows = [
        (n, _cells(text, n, path)) for n, text in lines if text.strip() and not text.startswith("#")
    ]
    header = rows[0][1] if rows else []
    if header[:1] != [TABLE] and header != PLAIN:
        raise InputError(
            f"{path} is not a table of responses",
            got=repr(",".join(header)),
            expected=f"a first line {TABLE},B1,B2,… or {','.join(PLAIN)}",
        )
    short = next((n for n, row in rows if len(row) != len(header)), None)
    if short is not None:
        raise InputError(
            f"line {short} of {path} has another number of columns", expected=f"{len(header)}"
        )
    bands = _responses(header, rows[1:], path) if header != PLAIN else _gaussians(rows[1:], path)
    count = Counter(band.name for band in bands)
    twice = next((n for n in count if count[n] > 1 or not n), None)
    if twice is not None or not bands:
        got = "no bands" if twice is None else f"{twice!r}{' twice' if twice else ''}"
        raise InputError(f"bands of {path}", got=got, expected="bands with names of their own")
    if max(band.centre_nm for band in bands) < 100:
        raise InputError(
            f"wavelengths of {path}", got="none above 100", expected="wavelengths in nm"
        )
    return Sensor(name, tuple(bands), origin)


def _cells(text: str, line: int, path: str) -> list[str]:
    try:
        return [unguarded(cell.strip()) for row in csv.reader([text]) for cell in row]
    except csv.Error as error:
        raise InputError(
            f"line {line} of {path} cannot be read", got=str(error), expected="cells of a table"
        ) from error


def _numbers(rows: Iterable[tuple[int, Sequence[str]]], path: str) -> Floats:
    """The cells of rows as numbers, none of them negative."""
    found = []
    for line, row in rows:
        try:
            values = [float(cell) for cell in row]
        except ValueError as error:
            raise InputError(
                f"line {line} of {path}", got=repr(",".join(row)), expected="numbers"
            ) from error
        if not all(0 <= v <= GREATEST for v in values):
            raise InputError(
                f"line {line} of {path}",
                got=repr(",".join(row)),
                expected=f"finite numbers from 0 to {GREATEST:g}",
            )
        found.append(values)
    return np.array(found, dtype=np.float64)


def _responses(
    header: Sequence[str], rows: Sequence[tuple[int, list[str]]], path: str
) -> list[SensorBand]:
    table = _numbers(rows, path)
    if len(table) < 2 or (np.diff(table[:, 0]) <= 0).any():
        raise InputError(
            f"wavelengths of {path}",
            got="too few, or not rising",
            expected="at least two that rise",
        )
    blind = [name for name, column in zip(header[1:], table.T[1:], strict=True) if not column.any()]
    if blind:
        raise InputError(
            f"band {blind[0]!r} of {path} sees nothing", expected="a response above zero"
        )
    return [
        SensorBand.of(name, table[:, 0], column)
        for name, column in zip(header[1:], table.T[1:], strict=True)
    ]


def _gaussians(rows: Sequence[tuple[int, list[str]]], path: str) -> list[SensorBand]:
    numbers = _numbers([(n, row[1:]) for n, row in rows], path)
    flat = next(
        (row[0] for (_, row), (_, width) in zip(rows, numbers, strict=True) if width <= 0), None
    )
    if flat is not None:
        raise InputError(f"band {flat!r} of {path} has no width", expected="a FWHM above zero")
    return [
        SensorBand(row[0], float(c), float(w))
        for (_, row), (c, w) in zip(rows, numbers, strict=True)
    ]
