"""Sentences: the verdict on a sharpening, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from bandfuse.results.base import Score
from bandfuse.results.sharpening import (
    BANDFUSE,
    INTERPOLATION,
    BandScore,
    FullScale,
    GainRow,
    Reduced,
)

NAMES = {
    "interpolation": "interpolation",
    "gsa": "GSA",
    "glp": "GLP with regression",
    "brovey": "Brovey",
}
"""Methods, as they are called within a sentence."""


def sentences(
    bands: Sequence[GainRow], reduced: Reduced | None, full: FullScale | None, ratio: float
) -> list[str]:
    """What a reader should know, the most important first."""
    scores = {} if reduced is None else {row.index: row for row in reduced.bands}
    return [*_reduced(reduced), *_bands(bands, scores), *_full(full), *_caveats(reduced, ratio)]


def _reduced(found: Reduced | None) -> list[str]:
    """How the sharpening does where the truth is known."""
    if found is None:
        return [
            "What the sharpening is worth is not known: one scale down too few valid pixels are "
            "left to learn from and to score."
        ]
    own, plain = _scores(found, BANDFUSE), _scores(found, INTERPOLATION)
    if own.get("ergas") is None or plain.get("ergas") is None:
        return ["The cube has a band whose mean is zero, so there is no ERGAS to compare."]
    lead = (
        f"One scale down, where the cube itself is the truth, the error of the sharpened cube "
        f"(ERGAS) is {_short(own['ergas'])} on held-out blocks, and that of plain interpolation "
        f"{_short(plain['ergas'])}"
    )
    gained = [band.gained for band in found.bands if band.gained is not None]
    if gained:
        lead += f"; the mean gain over the bands is {_db(sum(gained) / len(gained))}"
    return [f"{lead}.", _against(found)]


def _scores(found: Reduced, method: str) -> Score:
    return next((row.scores for row in found.methods if row.method == method), {})


def _against(found: Reduced) -> str:
    """How the sharpening stands beside other methods."""
    others = [row.method for row in found.methods if row.method != BANDFUSE]
    worse = [m for m in others if m not in found.better and m not in found.alike]
    parts = []
    if worse:
        parts.append(f"It is better than {_and(worse)}")
    if found.alike:
        few = "by more than twice the standard error over the blocks"
        parts.append(f"it does not differ {few} from {_and(found.alike)}")
    if found.better:
        have = "have" if len(found.better) > 1 else "has"
        parts.append(f"{_and(found.better)} {have} a smaller error here")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _and(methods: Sequence[str]) -> str:
    """Methods in a sentence.

    >>> _and(["gsa", "glp", "brovey"])
    'GSA, GLP with regression and Brovey'
    """
    names = [NAMES.get(method, method) for method in methods]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _bands(bands: Sequence[GainRow], scores: Mapping[int, BandScore]) -> list[str]:
    """Which bands got detail, and where that helped most and least."""
    kept = [band for band in bands if band.detail]
    if not kept:
        out = [
            "No band was sharpened: all come out interpolated and made consistent with the cube."
        ]
    elif len(kept) == len(bands):
        out = [f"All {len(bands)} bands were sharpened."]
    else:
        out = [
            f"{len(kept)} of {len(bands)} bands were sharpened; "
            f"{ranges([b for b in bands if not b.detail])} come out interpolated "
            f"and made consistent with the cube, as {_reasons(bands)}."
        ]
    gained = {band.index: _gained(scores, band) for band in kept}
    known = [band for band in kept if gained[band.index] is not None]
    if len(known) > 1:
        known.sort(key=lambda band: gained[band.index] or 0.0)
        most, least = known[-1], known[0]
        out.append(
            f"Of the sharpened bands {where(most)} gains most ({_db(gained[most.index])}) and "
            f"{where(least)} least ({_db(gained[least.index])})."
        )
    lost = [band for band in kept if band.index in scores and is_worse(scores[band.index])]
    if lost:
        out.append(
            f"Worse than interpolation by more than twice the standard error: {ranges(lost)}."
        )
    return out


def _gained(scores: Mapping[int, BandScore], band: GainRow) -> float | None:
    return scores[band.index].gained if band.index in scores else None


def is_worse(score: BandScore) -> bool:
    """Whether a band came out worse than interpolation, by more than chance allows."""
    if score.gained is None or score.error is None:
        return False
    return score.gained + 2 * score.error < 0


def _reasons(bands: Sequence[GainRow]) -> str:
    return " or ".join(dict.fromkeys(band.reason for band in bands if band.reason)) or "asked"


def where(band: GainRow) -> str:
    """A band by its wavelength, or its number."""
    known = band.wavelength_nm is not None
    return f"{band.wavelength_nm:.0f} nm" if known else f"band {band.index}"


MOST_RANGES = 4


def ranges(bands: Sequence[GainRow]) -> str:
    """Bands as ranges of neighbours, in words."""
    runs = [
        [band for _, band in group]
        for _, group in groupby(enumerate(bands), key=lambda pair: pair[1].index - pair[0])
    ]
    texts = [
        where(run[0]) if len(run) == 1 else f"{where(run[0])} to {where(run[-1])}" for run in runs
    ]
    if len(texts) > MOST_RANGES:
        texts = [*texts[:MOST_RANGES], f"{len(texts) - MOST_RANGES} more ranges"]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _full(full: FullScale | None) -> list[str]:
    """What is known at full scale."""
    own = next((row.scores for row in full.methods if row.method == BANDFUSE), {}) if full else {}
    plain = (
        next((row.scores for row in full.methods if row.method == INTERPOLATION), {})
        if full
        else {}
    )
    back, before = own.get("consistency_ergas"), plain.get("consistency_ergas")
    if back is None or before is None:
        return []
    return [
        f"Brought back to the cube's grid, the result differs from the cube by an ERGAS of "
        f"{_short(back)}; the interpolated cube differs by {_short(before)}."
    ]


def _caveats(found: Reduced | None, ratio: float) -> list[str]:
    """How far to trust this."""
    if found is None:
        return []
    out = [
        f"These scores are of pixels {ratio:.3g} times as large as those of the result: finer "
        "detail can be harder or easier to predict."
    ]
    if not found.whole:
        out.append(
            f"They are of {found.pixels} pixels in parts of the scene that are spread evenly."
        )
    return out


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} dB".replace("-", "−")
