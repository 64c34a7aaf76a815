"""Scores of sharpened cubes against a true cube.

Every score is a function of sums over pixels, windows or squares, so that a large image is scored
part by part, and so that each part has scores of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add

import numpy as np

from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.scores.hypercomplex import q2n
from bandfuse.sharpening.scores.squares import (
    SQUARE,
    Flags,
    columns,
    enough,
    moved,
    parts_of_grid,
    squares_within,
)
from bandfuse.sharpening.scores.ssim import ssim_map
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import BlockGrid

Score = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Sums:
    """What the scores of a part of an image are made of; those of two parts add up.

    ``pixels``: valid ones; ``squared`` (B,): sum of squared errors; ``truth`` (B,): sum of the true
    values; ``angle``: sum of spectral angles in degrees, over ``angles`` pixels; ``ssim`` (B,): sum
    over ``windows`` windows; ``q2n``: sum over ``squares`` squares."""

    pixels: int
    squared: Floats
    truth: Floats
    angle: float
    angles: int
    ssim: Floats
    windows: int
    q2n: float
    squares: int

    def __add__(self, other: Sums) -> Sums:
        """The sums of both parts together."""
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def mse(self) -> Floats:
        """(B,) mean squared error of every band; NaN without a pixel."""
        return self.squared / self.pixels if self.pixels else np.full_like(self.squared, np.nan)


def total(parts: Iterable[Sums]) -> Sums:
    """The sums of at least one part together."""
    return reduce(add, parts)


def peak_of(truth: Floats) -> Floats:
    """(B,) the largest valid value of every band of (B, H, W); NaN for a band without one."""
    known = np.where(np.isfinite(truth), truth, -np.inf).max(axis=(1, 2))
    return np.where(np.isfinite(known), known, np.nan)


def block_sums(result: Floats, truth: Floats, peak: Floats, grid: BlockGrid) -> list[Sums]:
    """The sums of every block of an image.

    Parameters
    ----------
    result, truth : (B, H, W). A pixel counts if all bands of both are finite.
    peak : (B,) what SSIM takes as the range of values, as PSNR does.
    grid : the blocks of (H, W). A window of SSIM belongs to the block of its centre; squares of Q2n
        lie within one block.
    """
    valid = complete(result) & complete(truth)
    angle, similar = angle_map(result, truth), ssim_map(result, truth, peak)
    parts = []
    for rows, cols in parts_of_grid(grid):
        here = (slice(None), rows, cols)
        y, t, counts = result[here], truth[here], valid[rows, cols]
        squares = squares_within(counts, SQUARE)
        parts.append(_sums(y, t, counts, angle[rows, cols], similar[here], squares))
    return parts


def square_sums(
    result: Floats, truth: Floats, peak: Floats, first: tuple[int, int], grid: BlockGrid
) -> list[Sums]:
    """The sums of every square of a part of an image. A square is a block of a grid that begins at
    the row and column ``first``; windows of SSIM reach beyond the grid, as far as the arrays do."""
    valid = complete(result) & complete(truth)
    similar = ssim_map(result, truth, peak)
    angle = angle_map(result, truth)
    parts = []
    for some in parts_of_grid(grid):
        rows, cols = (moved(part, by) for part, by in zip(some, first, strict=True))
        here = (slice(None), rows, cols)
        counts = valid[rows, cols]
        square = [(slice(0, counts.shape[0]), slice(0, counts.shape[1]))]
        parts.append(
            _sums(result[here], truth[here], counts, angle[rows, cols], similar[here], square)
        )
    return parts


def image_sums(result: Floats, truth: Floats, peak: Floats) -> Sums:
    """The sums of a whole image: see :func:`block_sums`."""
    rows, cols = truth.shape[1:]
    return block_sums(result, truth, peak, BlockGrid((0, rows), (0, cols)))[0]


def _sums(
    y: Floats,
    t: Floats,
    valid: Flags,
    angle: Floats,
    similar: Floats,
    parts: Sequence[tuple[slice, slice]],
) -> Sums:
    """The sums of one block, whose squares of Q2n are the ``parts``."""
    error, known = (y - t)[:, valid], angle[np.isfinite(angle)]
    seen = np.isfinite(similar).all(axis=0)
    values = [q2n(*columns((y, t), valid, part)) for part in parts if enough(valid, part)]
    return Sums(
        pixels=int(valid.sum()),
        squared=(error**2).sum(axis=1),
        truth=t[:, valid].sum(axis=1),
        angle=float(known.sum()),
        angles=known.size,
        ssim=similar[:, seen].sum(axis=1),
        windows=int(seen.sum()),
        q2n=float(sum(values)),
        squares=len(values),
    )


def angle_map(result: Floats, truth: Floats) -> Floats:
    """(H, W) spectral angle in degrees of each pixel of two (B, H, W) images; NaN where one is not
    valid or has no direction.

    ``arccos(y·t / (|y| |t|))`` (Kruse et al., Remote Sensing of Environment 44, 1993)."""
    size = np.linalg.norm(result, axis=0) * np.linalg.norm(truth, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.einsum("bij,bij->ij", result, truth) / size
    angle: Floats = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return angle


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of an image: of every band (B,), NaN where one does not exist, and of all together.

    ``psnr`` in dB, ``rmse`` in the cube's units, ``ssim``; ``overall``: psnr, ssim and rmse as
    means over the bands, sam in degrees, ergas, q2n; None where one does not exist."""

    psnr: Floats
    rmse: Floats
    ssim: Floats
    overall: Score


def scores_of(sums: Sums, peak: Floats, ratio: float) -> Scores:
    """All scores of what has these sums.

    ``rmse = √mse``; ``psnr = 10 log₁₀(peak² / mse)`` with the band's largest true value as peak;
    ``ergas = 100 / ratio · √(mean over bands of mse / mean(truth)²)`` (Wald, "Quality of high
    resolution synthesised images: is there a simple criterion?", 2000), where the ratio is the size
    of a pixel of the cube over that of a sharp pixel; ssim, sam and q2n are means over windows,
    pixels and squares."""
    mse, pixels = sums.mse, sums.pixels
    with np.errstate(invalid="ignore", divide="ignore"):
        psnr = np.where((mse > 0) & (peak > 0), 10 * np.log10(peak**2 / mse), np.nan)
        relative = mse / (sums.truth / pixels) ** 2 if pixels else mse
    ssim = sums.ssim / sums.windows if sums.windows else np.full_like(mse, np.nan)
    rmse = np.sqrt(mse)
    overall = {
        "psnr": _mean(psnr),
        "sam": sums.angle / sums.angles if sums.angles and len(mse) > 1 else None,
        "ergas": or_none(100 / ratio * np.sqrt(np.mean(relative))),
        "ssim": _mean(ssim),
        "q2n": sums.q2n / sums.squares if sums.squares else None,
        "rmse": _mean(rmse),
    }
    return Scores(psnr, rmse, ssim, overall)


def _mean(values: Floats) -> float | None:
    """Mean of what exists."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def or_none(value: float) -> float | None:
    """A number; None where it is not finite."""
    return float(value) if np.isfinite(value) else None
