"""Page: the verdict and the page of a sharpening."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path

from threadpoolctl import threadpool_limits

from bandfuse.progress import Progress, during
from bandfuse.report.page_data import Shot
from bandfuse.report.pictures import picture
from bandfuse.report.sharpen_data import SharpenPage
from bandfuse.report.sharpen_html import render_sharpening
from bandfuse.results.sharpening import GainRow, SharpenResult, Worth
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.gainsfile import SharpeningWeights
from bandfuse.sharpening.outputs.looks import SIDE, Look, gain_look, looks_of
from bandfuse.sharpening.outputs.sentences import sentences
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.scores.verdict import Verdict, verdict_of
from bandfuse.sharpening.scores.worth import band_scores
from bandfuse.spectral.bands import Bands

PAGE_FILE, DATA_FILE = "report.html", "report.data.json"


def worth_of(verdict: Verdict, rows: list[GainRow], ratio: float) -> Worth:
    """The verdict as report.json holds it."""
    reduced = verdict.reduced
    if reduced is not None and verdict.bands is not None:
        scores = band_scores(verdict.bands, [row.index for row in rows])
        reduced = reduced.model_copy(update={"bands": scores})
    words = sentences(rows, reduced, verdict.full, ratio)
    return Worth(sentences=words, reduced=reduced, full=verdict.full)


def judged(
    pair: Pair, weights: SharpeningWeights, *, force: bool, seed: int, progress: Progress
) -> Verdict:
    """The verdict on what was learned of a pair."""
    with during(progress, "score the result"), threadpool_limits(limits=1, user_api="blas"):
        return verdict_of(pair, weights.gains, force=force, seed=seed)


def write_page(
    scratch: Path, pair: Pair, weights: SharpeningWeights, verdict: Verdict, result: SharpenResult
) -> None:
    """Write report.html and its data beside what a run folder holds."""
    with threadpool_limits(limits=1, user_api="blas"):
        folder = Path(result.output)
        content = page_of(pair, weights.gains, verdict, weights.outputs, weights.sharp, folder)
    (scratch / DATA_FILE).write_text(content.model_dump_json() + "\n", encoding="utf-8")
    (scratch / PAGE_FILE).write_text(render_sharpening(result, content), encoding="utf-8")


def page_of(
    pair: Pair, gains: Gains, verdict: Verdict, bands: Bands, sharp: Bands, folder: Path
) -> SharpenPage:
    """What the page shows beside report.json.

    Parameters
    ----------
    pair : cube and sharp image. bands, sharp : of the result, and of the sharp images.
    folder : of the run.
    """
    found = looks_of(pair, gains, bands, sharp)
    looks = list(found.looks)
    local = None if verdict.gain_map is None else gain_look(verdict.gain_map, verdict.place)
    looks += [] if local is None else [local]
    fine = pair.geometry.fine
    whole = (found.rows.size, found.cols.size) == fine
    part = (
        "The pictures show the whole result."
        if whole
        else f"The pictures show rows {found.rows.start} to {found.rows.stop - 1} and columns "
        f"{found.cols.start} to {found.cols.stop - 1} of the result, its middle."
    )
    return SharpenPage(
        title=f"{folder.name}: sharpened cube",
        command=f"bandfuse sharpen --config {shlex.quote(str(folder / 'config.yaml'))} -o NEW_RUN",
        part=part,
        shots=[_shot(look) for look in looks],
        spots=found.spots,
        first=found.first,
    )


def _shot(look: Look) -> Shot:
    """A picture, drawn."""
    made = picture(look.array, look.limits, max_side=SIDE)
    png = base64.b64encode(made.png).decode("ascii")
    return Shot(
        title=look.title,
        caption=look.caption,
        png=png,
        width=made.width,
        height=made.height,
        ends=None,
    )
