"""Units: the words by which files say what their wavelengths are in, and what their size tells
where words do not."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.remarks import Remark

Floats = NDArray[np.float64]

_SPELLINGS = {
    1.0: "nm nanometer nanometers nanometre nanometres nano nanom nms",
    1e3: "um μm mum micrometer micrometers micrometre micrometres micron microns micro micromtrs",
    0.1: "a å angstrom angstroms ångström ångströms",
    1e6: "mm millimeter millimeters millimetre millimetres",
    1e7: "cm centimeter centimeters centimetre centimetres",
    1e9: "m meter meters metre metres",
}

UNITS_NM = {
    unicodedata.normalize("NFKC", word): factor
    for factor, words in _SPELLINGS.items()
    for word in words.split()
}
"""Nanometres per unit, by the unit's spelling in lower case (the micro sign as a Greek mu)."""

NOT_LENGTHS = {
    "wavenumber",
    "wavenumbers",
    "ghz",
    "mhz",
    "thz",
    "khz",
    "hz",
    "ev",
    "1/cm",
    "cm-1",
    "cm^-1",
    "cm⁻¹",
}
"""Units that headers may have and that are not lengths."""

MICROMETRES_BELOW = 100.0
"""Without usable units, wavelengths below this are taken as µm, others as nm."""

_EXPONENT = re.compile(r"(?<=[\d.])[dD]([-+]?\d+\s*$)")
"""The exponent of double precision, as Fortran and IDL write it."""

_QUANTITY = re.compile(
    r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-zµμåÅ][\w^/-]*)?\s*$"
)


def spelling(unit: str | None) -> str:
    """A unit as :data:`UNITS_NM` spells it."""
    text = unicodedata.normalize("NFKC", (unit or "").strip().strip("[](){}\"'.").lower())
    return re.sub(r"\s+", "", text)


def number(text: str | None) -> float:
    """A finite number, or NaN; the exponent may be written as Fortran and IDL do.

    >>> number("4.5D-1"), number("x")
    (0.45, nan)
    """
    try:
        value = float(_EXPONENT.sub(r"e\1", text)) if text is not None else np.nan
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def quantity(text: str | None) -> tuple[float, str | None]:
    """A number and the unit written behind it, if there is one; NaN for what is no number.

    >>> quantity("455.4 nm"), quantity("0.45"), quantity("x")
    ((455.4, 'nm'), (0.45, None), (nan, None))
    """
    match = _QUANTITY.match(text or "")
    return (float(match[1]), match[2]) if match else (number(text), None)


def guess(values: Floats) -> tuple[float, str, float]:
    """What the size of wavelengths says: nanometres per unit, the unit's name, and their median."""
    known = values[np.isfinite(values) & (values > 0)]
    middle = float(np.median(known if known.size else values[np.isfinite(values)]))
    return (1e3, "µm", middle) if middle < MICROMETRES_BELOW else (1.0, "nm", middle)


def _is_count(values: Floats) -> bool:
    """Whether the numbers count the bands: 1, 2, 3 …, or from 0."""
    first = values[0]
    return (
        len(values) > 2
        and first in (0, 1)
        and bool((values == first + np.arange(len(values))).all())
    )


def plausible(nm: Floats) -> bool:
    """Whether the middle of wavelengths lies between 100 nm and 100 µm, where optical sensors
    see."""
    known = nm[np.isfinite(nm)]
    return (
        bool(known.size) and MICROMETRES_BELOW <= float(np.median(known)) < MICROMETRES_BELOW * 1e3
    )


def scale_of(unit: str | None, values: Floats, where: str) -> tuple[float, list[Remark]]:
    """Nanometres per unit of (B,) wavelengths of which some are finite, and what had to be guessed.

    NaN where the numbers are no wavelengths. Unknown units, and units that the numbers contradict,
    are decided by size."""
    word = spelling(unit)
    if word in NOT_LENGTHS:
        return np.nan, [
            Remark(
                "units-not-length", f"{where} gives {unit!r} where wavelengths should be; not used"
            )
        ]
    known = UNITS_NM.get(word)
    if known is not None and plausible(values * known):
        return known, []
    if word in ("", "index", "unknown", "none") and _is_count(values):
        said = (
            f"{where} counts the bands where wavelengths should be ({values[0]:g} to "
            f"{values[-1]:g}); not used"
        )
        return np.nan, [Remark("units-not-length", said)]
    factor, name, middle = guess(values)
    if known is None:
        code, said = ("units-unknown", f"units {unit!r}") if word else ("units-missing", "no units")
        text = f"wavelengths in {where} have {said}; taken as {name} from their size ({middle:g})"
        return factor, [Remark(code, text)]
    if known == factor:
        return known, []
    text = (
        f"wavelengths in {where} say {unit!r} but are {name} by their size ({middle:g}); taken as "
        f"{name}"
    )
    return factor, [Remark("units-contradict", text)]
