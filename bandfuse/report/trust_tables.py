"""Trust tables: shapes, stability, exchangeable and needed bands. Texts; the template escapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bandfuse.report.choice import labels_of, worst
from bandfuse.report.numbers import MISSING, fixed, number, power, share
from bandfuse.report.views import Column, Table, ordered, wavelength
from bandfuse.results.training import CurvePoint, Estimate, OutputTrust, TrainReport

FLIPS = 0.05
"""Share of resamples with the other sign from which on a sign is called unsure."""

MOST_RUNS = 4
"""Runs of exchangeable bands that are shown for each output."""


def trust_tables(report: TrainReport) -> list[Table]:
    """Errors, shapes and stability of every output; runs of bands that cannot be told apart;
    windows that are needed."""
    if report.trust is None:
        return []
    labels, named = labels_of(report), {one.name: one for one in report.trust.outputs}
    outputs = {labels.get(name, name): named[name] for name in ordered(report, named)}
    tables = [
        _published(report.trust.sensor, outputs),
        _errors(outputs),
        _stability(outputs),
        _runs(outputs),
        _needed(report),
    ]
    return [table for table in tables if table is not None]


def _estimate(e: Estimate | None, scale: float = 1.0) -> str:
    return (
        MISSING
        if e is None
        else f"{fixed(scale * e.value, 1)} ({fixed(scale * e.low, 1)}–{fixed(scale * e.high, 1)})"
    )


Outputs = Mapping[str, OutputTrust]
"""By what they are called."""


def _stability(outputs: Outputs) -> Table | None:
    rows = []
    for name, one in outputs.items():
        unsure = sum(1 for w in one.weights if w.sign_flip is not None and w.sign_flip > FLIPS)
        steady = fixed(one.rank_agreement, 2)
        signs = f"{unsure} of {len(one.weights)}" if one.weights else MISSING
        condition = "infinite" if one.condition is None else power(one.condition)
        shape = (_estimate(one.centre_nm), _estimate(one.fwhm_nm), _estimate(one.out_of_band, 100))
        rows.append((name, *shape, steady, signs, condition))
    titles = (
        "Centre (nm)",
        "FWHM (nm)",
        "Out of band (%)",
        "Rank agreement",
        "Unsure signs",
        "Condition",
    )
    columns = (Column("Output"), *(Column(title, "number") for title in titles))
    note = (
        "In brackets: 95\u202f% intervals. Rank agreement: rank correlation of the weights' sizes "
        "over resamples. Centre and FWHM: of the main lobe, at half of its maximum. Unsure signs: "
        "weights whose sign changes in more than 5\u202f% of them. Condition: condition number of "
        "the bands."
    )
    return Table("Responses and their stability", columns, tuple(rows), note) if rows else None


def _errors(outputs: Outputs) -> Table | None:
    found = [(name, one.error) for name, one in outputs.items() if one.error is not None]
    rows = tuple(
        (
            name,
            number(error.residual),
            _percent(error.of_weights),
            fixed(error.scale, 2),
            _percent(error.coverage),
            fixed(error.rank, 2),
        )
        for name, error in found
    )
    titles = ("Residual", "Of the weights (%)", "Scale", "Held within 90\u202f% (%)", "Rank")
    columns = (Column("Output"), *(Column(title, "number") for title in titles))
    note = (
        "Residual: root mean square error on the training pixels. Of the weights: share of the "
        "error's variance that comes from what is not known of the weights. Scale: what standard "
        "deviations are multiplied by. Held within 90\u202f%: held-out pixels inside their "
        "intervals, with the scale of the other folds. Rank: rank correlation of the pixels' "
        "standard deviations with their errors; near 0, the standard deviations do not say which "
        "pixels are off more than others. bandfuse apply --uncertainty writes them."
    )
    return Table("Errors of fused pixels", columns, rows, note) if rows else None


def _published(sensor: str, outputs: Outputs) -> Table | None:
    found = [(name, one.published) for name, one in outputs.items() if one.published is not None]
    if not found:
        return None
    rows = tuple(
        (
            name,
            p.band,
            fixed(p.similarity, 4),
            wavelength(p.centre_nm),
            fixed(p.shift_nm, 1),
            _percent(p.out_of_band),
            _percent(p.out_of_band_published),
            _percent(p.coverage),
        )
        for name, p in found
    )
    titles = (
        "Similarity",
        "Published centre (nm)",
        "Centre shift (nm)",
        "Out of band, learned (%)",
        "Out of band, published (%)",
        "Covered (%)",
    )
    columns = (Column("Output"), Column("Band"), *(Column(title, "number") for title in titles))
    note = (
        "As the bands of the cube see them. Similarity: cosine between learned and published "
        "weights; 1 for the same shape. Centre shift: learned minus published centre; none for "
        "weights of both signs. Out of band: share of the weights' sizes that lies further from "
        "the published centre than the published FWHM. Covered: share of the published response "
        "within the bands of the cube."
    )
    return Table(f"Learned responses against those of {sensor}", columns, rows, note)


def _percent(part: float | None) -> str:
    return MISSING if part is None else fixed(100 * part, 1)


def _span(low: float | None, high: float | None, bands: Sequence[int]) -> str:
    known = low is not None and high is not None
    ends = (wavelength(low), wavelength(high)) if known else (str(bands[0]), str(bands[-1]))
    return "–".join(dict.fromkeys(ends))


def _runs(outputs: Outputs) -> Table | None:
    rows = [
        (
            name,
            _span(r.from_nm, r.to_nm, r.bands),
            str(len(r.bands)),
            number(r.total),
            number(r.ci_low),
            number(r.ci_high),
        )
        for name, one in outputs.items()
        for r in one.runs[:MOST_RUNS]
    ]
    columns = (
        Column("Output"),
        Column("Bands (nm, or numbers)"),
        Column("Count", "number"),
        Column("Sum of weights", "number"),
        Column("95\u202f% from", "number"),
        Column("to", "number"),
    )
    note = (
        "However their weight is shared out, it costs less than 0.1\u202f% of the target's "
        f"variance: only the sums are known. Of each output at most {MOST_RUNS}."
    )
    return (
        Table("Neighbouring bands that cannot be told apart", columns, tuple(rows), note)
        if rows
        else None
    )


def _needed(report: TrainReport) -> Table | None:
    found = None if report.trust is None else report.trust.needed
    if found is None or min(found.explained, found.full) <= 0:
        return None
    rows = tuple(
        (_span(w.from_nm, w.to_nm, w.bands), str(len(w.bands)), fixed(100 * w.worth, 2))
        for w in found.windows
    )
    columns = (
        Column("Bands (nm, or numbers)"),
        Column("Count", "number"),
        Column("Lost without it (%)", "number"),
    )
    return Table("Bands that would do", columns, rows, needed_sentence(report))


def needed_sentence(report: TrainReport) -> str:
    """What the needed windows keep, in words; empty where they are not known."""
    found = None if report.trust is None else report.trust.needed
    if found is None:
        return ""
    count = sum(len(w.bands) for w in found.windows)
    if min(found.explained, found.full) <= 0:
        return (
            "On held-out blocks, least squares with a ridge predicts the targets no better than "
            "their means would: which bands are needed is not known."
        )
    return (
        f"These {count} bands explain {share(found.explained)} of the targets' variance on "
        f"held-out blocks, all bands {share(found.full)} (least squares with a ridge, mean over "
        "the outputs). The windows were found step by step; others may do as well."
    )


def _same(point: CurvePoint, best: CurvePoint, *, besides: str) -> bool:
    return all(
        getattr(point, n) == getattr(best, n) for n in ("ridge", "smooth", "sparse") if n != besides
    )


MOST_CURVES = 12
"""Outputs whose choice is drawn."""


def choice_curves(report: TrainReport) -> dict[str, list[tuple[float, float]]]:
    """Held-out error against strength for outputs whose strength was chosen: of the penalty
    of which most strengths were tried, the others at their chosen values."""
    curves, labels, shown = {}, labels_of(report), worst(report, MOST_CURVES)
    for one in report.trust.outputs if report.trust else ():
        best = min(one.curve, key=lambda p: p.error, default=None)
        if best is None:
            continue
        found = [
            sorted({(getattr(p, name), p.error) for p in one.curve if _same(p, best, besides=name)})
            for name in ("smooth", "ridge", "sparse")
        ]
        points = max(found, key=len)
        if len(points) > 2 and one.name in shown:
            curves[labels.get(one.name, one.name)] = points
    return curves
