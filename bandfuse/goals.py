"""Goals: what each objective gathers, is fitted with, is scored by, and is called."""

from __future__ import annotations

from dataclasses import dataclass

OBJECTIVES = ("regression", "reconstruction", "separability", "snr")
"""What a training can be for, by name; the first one of a sum decides what is scored."""


def terms_of(objective: str) -> dict[str, float]:
    """The objectives of a sum with their factors, in the order of :data:`OBJECTIVES`.

    >>> terms_of("snr*0.5 + reconstruction")
    {'reconstruction': 1.0, 'snr': 0.5}

    Raises
    ------
    ValueError : an unknown or repeated name, or a factor that is no number above zero.
    """
    found: dict[str, float] = {}
    for term in objective.split("+"):
        words = [word.strip() for word in term.split("*")]
        names = [word for word in words if word in OBJECTIVES]
        factors = [float(word) for word in words if _is_factor(word)]
        if len(names) != 1 or len(names) + len(factors) != len(words) or len(factors) > 1 or names[0] in found:
            raise ValueError(f"one of {', '.join(OBJECTIVES)}, or a sum such as reconstruction + 0.5*snr")
        found[names[0]] = factors[0] if factors else 1.0
    return {name: found[name] for name in OBJECTIVES if name in found}


def _is_factor(word: str) -> bool:
    try:
        return 0 < float(word) < 1e9
    except ValueError:
        return False


@dataclass(frozen=True)
class Measure:
    """The score that decides: its key, its name in a sentence, and a difference that is worth a word."""

    key: str
    name: str
    worth: float
    words: str


MEASURES = {
    "regression": Measure("r2", "R²", 1e-3, "0.1 % of the variance"),
    "reconstruction": Measure("r2", "R²", 1e-3, "0.1 % of the variance"),
    "separability": Measure("accuracy", "accuracy", 0.01, "1 % of the pixels"),
    "snr": Measure("snr_db", "signal to noise in dB", 0.1, "0.1 dB"),
}
"""By objective."""
