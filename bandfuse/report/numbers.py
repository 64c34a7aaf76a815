"""Numbers as people read them: about four significant digits, no noise."""

from __future__ import annotations

import math
import re

MISSING = "–"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
METHODS = {
    "ols": "Least squares",
    "ridge": "Ridge",
    "nnls": "Non-negative",
    "simplex": "Simplex",
    "best_band": "Best band",
    "mean": "Mean",
    "pca_k": "PCA",
    "lda": "LDA",
    "inverse_variance": "Inverse variance",
}
"""Baselines, as they are called."""

IN_WORDS = {
    "ols": "least squares",
    "ridge": "ridge regression",
    "nnls": "non-negative least squares",
    "simplex": "least squares on the simplex",
    "best_band": "the best single band",
    "mean": "the mean of the bands",
    "inverse_variance": "weighting by the inverse variance",
}
"""The same within a sentence."""

_NARROW_SPACE = "\u202f"


def number(value: float | None, digits: int = 4) -> str:
    """A number with ``digits`` significant digits; integers in full; a dash for what does not
    exist.

    >>> number(0.98765432), number(1234567), number(1.5e-7), number(None)
    ('0.9877', '1\u202f234\u202f567', '1.500×10⁻⁷', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if float(value).is_integer() and abs(value) < 1e15:
        text = f"{int(value):,}"
    elif 10.0 ** (digits - 1) <= abs(value) < 1e9:
        text = f"{value:,.0f}"
    elif 1e-4 <= abs(value) < 1e9:
        text = f"{value:#.{digits}g}"
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa}×10{str(int(exponent)).translate(SUPERSCRIPT)}"
    return text.replace(",", _NARROW_SPACE).replace("-", "−")


def minus(text: str) -> str:
    """A text with true minus signs before its numbers; hyphens and names stay.

    >>> minus("moved by -0.5,-1 to scene-2 (-3 %); a-1.tif -x")
    'moved by −0.5,−1 to scene-2 (−3 %); a-1.tif -x'
    """
    return _MINUS.sub("−", text)


_MINUS = re.compile(r"(?:(?<=[ (,])|^)-(?=\d[\d.]*(?:[ ,;:)%°]|$))")


def power(value: float) -> str:
    """Two digits and a power of ten.

    >>> power(118_960_998.0)
    '1.2×10⁸'
    """
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(SUPERSCRIPT)}"


def percent(part: float, whole: float) -> str:
    """A share in per cent; a dash if there is no whole.

    >>> percent(1, 3), percent(0, 0)
    ('33.3\u202f%', '–')
    """
    if not whole:
        return MISSING
    share = 100.0 * part / whole
    return (
        f"{share:.0f}{_NARROW_SPACE}%"
        if share in (0.0, 100.0)
        else f"{min(share, 99.9):.1f}{_NARROW_SPACE}%"
    )


def file_size(size: int) -> str:
    """Bytes in powers of 1000.

    >>> file_size(999), file_size(1_234_567)
    ('999\u202fB', '1.2\u202fMB')
    """
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return (
                f"{value:.0f}{_NARROW_SPACE}B"
                if unit == "B"
                else f"{value:.1f}{_NARROW_SPACE}{unit}"
            )
        value /= 1000
    return f"{value:.1f}{_NARROW_SPACE}TB"


def shorten(text: str, length: int = 32) -> str:
    """Text on one line, cut in the middle to at most ``length`` characters.

    >>> shorten("abcdefghij", 5)
    'ab…ij'
    """
    text = " ".join(text.split())
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def share(part: float) -> str:
    """A share in percent; never rounded up to all of it.

    >>> share(0.99999), share(0.5)
    ('more than 99.99 %', '50.00 %')
    """
    return "more than 99.99 %" if 0.9999 < part < 1 else f"{fixed(100 * part, 2)} %"


def fixed(value: float | None, digits: int) -> str:
    """A number with so many digits after the point; a dash for what does not exist.

    >>> fixed(-0.25, 1), fixed(-0.01, 1), fixed(None, 1)
    ('−0.2', '0.0', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def rest(part: float) -> str:
    """A small share in percent, to three digits.

    >>> rest(0.0000312), rest(0.25), rest(1e-9), rest(0.0)
    ('0.00312 %', '25 %', 'less than 0.0001 %', '0 %')
    """
    return "less than 0.0001 %" if 0 < part < 1e-6 else f"{number(100 * max(part, 0.0), 3)} %"
