"""Evaluated: the scores of a sharpened raster against the true cube."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandfuse.config.commands import EvaluateConfig
from bandfuse.errors import InputError, shorten
from bandfuse.progress import Progress
from bandfuse.results.base import Score
from bandfuse.results.rasters import EvaluateResult, SharpenedScores
from bandfuse.results.sharpening import BANDFUSE, INTERPOLATION
from bandfuse.scenes.alignment import alignment_messages, alignment_rows
from bandfuse.scenes.scene import left_out_messages
from bandfuse.sharpening.gains.gainsfile import SharpeningWeights
from bandfuse.sharpening.scores.scores import Sums, or_none, scores_of, total
from bandfuse.sharpening.scores.worth import BandWorth, band_worth, standard_errors
from bandfuse.sharpening.truth.beside import Seen, seen
from bandfuse.sharpening.truth.compared import Compared, compared
from bandfuse.sharpening.truth.scoring import block_scores
from bandfuse.streaming.budget import Effort
from bandfuse.survey.missing import pixel_count

MOST = 1e150
"""The squares of greater numbers overflow, or their sums do."""


def evaluate_sharpened(
    run: Path, weights: str, known: SharpeningWeights, config: EvaluateConfig, progress: Progress
) -> EvaluateResult:
    """Score a sharpened raster, or a run's own result, against the true cube.

    Parameters
    ----------
    run : the folder that holds the weights. weights : as they were named. known : what they hold.

    Raises
    ------
    ConfigError, InputError, MismatchError
    """
    effort = Effort.of(config.threads, config.memory)
    what, found = _seen(compared(run, known, config), effort, progress)
    with what.opened() as beside:
        blocks = block_scores(beside, found, what.scene.grid.stored, effort, progress)
    scores = _Scores(what, blocks, found.high)
    scene = what.scene
    return EvaluateResult(
        weights=weights,
        scene=scene.key,
        scores=dict(scores.rows()),
        overall=scores.overall(BANDFUSE),
        sampled=0,
        pixels=pixel_count(found.used, found.invalid),
        sharpened=scores.result,
        alignment=alignment_rows([scene]),
        messages=[
            *what.messages,
            *scores.messages(),
            *alignment_messages([scene]),
            *scene.remarks,
            *left_out_messages(scene),
        ],
    )


def _seen(what: Compared, effort: Effort, progress: Progress) -> tuple[Compared, Seen]:
    """What is compared without the bands of which nothing is to be said, and what the first pass
    finds of it.

    Raises
    ------
    InputError : no pixel is left, or no band.
    """
    while True:
        with what.opened() as beside:
            windows = effort.windows(beside.shape, what.scene.grid.stored, beside.bytes_per_pixel)
            found = seen(beside, windows, effort, progress)
        lost = _lost(what, found)
        if not lost:
            _require_pixels(what, found)
            return what, found
        keep = [i for i in range(len(what.bands)) if i not in lost]
        texts = [f"{what.bands.label(i)} ({why})" for i, why in lost.items()]
        if not keep:
            raise InputError(
                "no band can be scored",
                got=shorten(texts, 4),
                expected="pixels that are valid in both, and vary",
            )
        count = "1 band is" if len(texts) == 1 else f"{len(texts)} bands are"
        what = what.only(keep, f"{count} not scored: {shorten(texts)}")


def _lost(what: Compared, found: Seen) -> Mapping[int, str]:
    """Bands that have no value at all, or only one, by number; and why. Nothing where no pixel is
    selected."""
    if not max(found.result.max(), found.truth.max()):
        return {}
    out = {}
    for i in range(len(what.bands)):
        if not found.result[i]:
            out[i] = "missing in the sharpened raster"
        elif not found.truth[i]:
            out[i] = "missing in the true cube"
        elif found.used > 1 and found.low[i] == found.high[i]:
            out[i] = f"{found.low[i]:.4g} everywhere in the true cube"
    return out


def _require_pixels(what: Compared, found: Seen) -> None:
    """Refuse rasters without a pixel to score, or with numbers whose squares overflow.

    Raises
    ------
    InputError
    """
    if not found.used:
        why = (f"{count} {reason}" for reason, count in found.invalid.items() if count)
        raise InputError(
            f"there is no pixel of {what.raster.path} to score",
            got=f"pixels {shorten(why)}",
            expected="pixels that are valid in the sharpened raster and in the true cube",
            remedy="Look at both with bandfuse check.",
        )
    if found.largest > MOST:
        raise InputError(
            "the sharpened raster or the true cube holds numbers whose squares overflow",
            got=f"values up to {found.largest:g}",
            remedy="Is one of them its nodata? --nodata V, --nodata target=V.",
        )


@dataclass(frozen=True, eq=False)
class _Scores:
    """Sums of every method over the same blocks; ``peak``: (B,) the largest true values."""

    what: Compared
    blocks: Mapping[str, Sequence[Sums]]
    peak: np.ndarray

    def overall(self, method: str) -> Score:
        """Scores over all bands; none of a method that was not scored."""
        if method not in self.blocks:
            return {}
        return scores_of(total(self.blocks[method]), self.peak, self.what.ratio).overall

    @property
    def worth(self) -> BandWorth:
        """Of every band, beside interpolation; without that, beside itself."""
        own = self.blocks[BANDFUSE]
        return band_worth(own, self.blocks.get(INTERPOLATION, own), self.peak)

    def rows(self) -> Iterable[tuple[str, Score]]:
        """By name of a band its scores."""
        worth, beside = self.worth, INTERPOLATION in self.blocks
        names = {"psnr": worth.psnr, "ssim": worth.ssim, "rmse": worth.rmse}
        if beside:
            names |= {"interpolated": worth.plain, "gained": worth.gained, "error": worth.error}
        for i, name in enumerate(self.what.bands.name):
            yield name, {key: or_none(float(values[i])) for key, values in names.items()}

    @property
    def result(self) -> SharpenedScores:
        """What is said of both methods."""
        what, own = self.what, self.blocks[BANDFUSE]
        return SharpenedScores(
            raster=what.raster.path,
            truth=what.truth.path,
            cube=None if what.cube is None else what.cube[0].grid.path,
            ratio=or_none(what.ratio),
            blocks=len(own),
            errors=standard_errors(own, self.peak, what.ratio),
            interpolation=self.overall(INTERPOLATION),
            bands=[what.raster.bands.index[i] for i in what.positions],
            true_bands=[what.truth.bands.index[i] for i in what.answers],
        )

    def messages(self) -> list[str]:
        """Why there are scores that do not exist; bands that came out worse than interpolated."""
        said, overall = [], self.overall(BANDFUSE)
        if math.isnan(self.what.ratio):
            said.append(
                "no ERGAS: these weights do not tell how much larger the pixels of the cube are; "
                "--cube does"
            )
        elif overall["ergas"] is None:
            said.append("no ERGAS: a band of the true cube is zero on average")
        if overall["ssim"] is None:
            said.append("no SSIM: no window of 11 × 11 pixels is valid as a whole")
        worth, bands = self.worth, self.what.bands
        worse = np.flatnonzero(worth.gained + 2 * worth.error < 0)
        if INTERPOLATION in self.blocks and worse.size:
            said.append(
                f"{len(worse)} of {len(bands)} bands are worse than interpolated by more than "
                f"twice the standard error: {shorten(bands.label(int(i)) for i in worse)}"
            )
        return said
