"""Show sharpen: the results of ``sharpen``, and of ``evaluate`` of a sharpening, for people."""

from __future__ import annotations

from bandfuse.cli import show
from bandfuse.results.base import Score
from bandfuse.results.rasters import EvaluateResult, SharpenedScores
from bandfuse.results.sharpening import GainRow, SharpenResult


def show_sharpened(result: SharpenResult) -> None:
    """What was learned, in a few lines; every band with -v; and what was written."""
    blur = "plain average" if result.blur is None else f"{result.blur:.3f} at Nyquist"
    error = "" if result.blur_error is None else f" ± {result.blur_error:.3f}"
    detailed = [band for band in result.bands if band.detail]
    show.facts(
        [
            ("result", f"{len(result.bands)} bands × {result.rows} rows × {result.cols} columns"),
            ("ratio", f"{result.ratio:.4g}"),
            ("blur", blur + error),
            ("bands with detail", f"{len(detailed)} of {len(result.bands)}"),
            ("pixels with detail", f"{100 * result.sharpened_share:.1f} %"),
        ]
    )
    if show.Level.verbose:
        columns = ["band", "nm", "gain", "explained %", "use"]
        show.table(columns, [_gain_row(band) for band in result.bands])
    if result.worth is not None:
        show.line("")
        for sentence in result.worth.sentences:
            show.line(sentence)
        show.line("")
    show.line(f"{result.raster} written, {result.seconds:.2f} s")


SCORED = {
    "psnr": "PSNR dB",
    "sam": "SAM °",
    "ergas": "ERGAS",
    "ssim": "SSIM",
    "q2n": "Q2n",
    "rmse": "RMSE",
}
"""The scores over all bands, as they are headed."""


def show_scored(result: EvaluateResult, found: SharpenedScores) -> None:
    """The scores of a sharpened raster over all bands, beside those of interpolation; those of
    every band with -v."""
    rows = [["sharpened", *(_with_error(result.overall, found, name) for name in SCORED)]]
    if found.interpolation:
        rows.append(["interpolated", *(show.number(found.interpolation[n]) for n in SCORED)])
    heads = ["", *SCORED.values()]
    show.table(heads, rows, f"{found.raster} against {found.truth}")
    if show.Level.verbose:
        show.scores(result.scores, "Every band", rest="with --json")
    gained = [row["gained"] for row in result.scores.values() if row.get("gained") is not None]
    if gained:
        better = sum(gain > 0 for gain in gained if gain is not None)
        mean = sum(gain for gain in gained if gain is not None) / len(gained)
        show.line(
            f"Better than interpolated: {better} of {len(gained)} bands, by {mean:.2f} dB on "
            "average"
        )
    ratio = "" if found.ratio is None else f"; ratio {found.ratio:.4g}"
    show.line(f"{show.count(result.pixels.used, 'pixel')} used, {result.pixels.invalid} not{ratio}")
    if result.pixels.left_out:
        show.line(result.pixels.left_out)


def _with_error(scores: Score, found: SharpenedScores, name: str) -> str:
    """A score with its standard error, where there is one."""
    error = found.errors.get(name)
    text = show.number(scores[name])
    return text if error is None else f"{text} ± {error:.2g}"


def _gain_row(band: GainRow) -> tuple[object, ...]:
    """The gains of a band, with half of the width of their intervals."""
    ends = zip(band.gain, band.low, band.high, strict=True)
    gain = ", ".join(f"{g:.3g} ± {(high - low) / 2:.2g}" for g, low, high in ends)
    explained = None if band.explained is None else f"{100 * band.explained:.0f}"
    return band.index, band.wavelength_nm, gain, explained, band.reason or "detail"
