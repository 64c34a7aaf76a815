"""Scores of sharpened cubes: against a true cube, and at full scale, where there is none.

Every score is a function of sums over pixels, windows or squares, so that a large image is scored
part by part, and so that each part has scores of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from itertools import pairwise, product
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.scores.hypercomplex import q2n
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import BlockGrid

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
"""Size and width of the Gaussian window of SSIM, in pixels (Wang et al. 2004)."""

SSIM_K1, SSIM_K2 = 0.01, 0.03
"""Constants of SSIM (Wang et al. 2004)."""

AT_ONCE = 16
"""Bands of which SSIM is computed at once."""

SQUARE = 32
"""Pixels along the side of the squares of Q and Q2n."""

LEAST_VALID, FEWEST = 0.5, 16
"""A square counts if this share of its pixels is valid, and so many of them."""

Flags = NDArray[np.bool_]
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
    for rows, cols in _parts(grid):
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
    for some in _parts(grid):
        rows, cols = (_moved(part, by) for part, by in zip(some, first, strict=True))
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


def _parts(grid: BlockGrid) -> Iterator[tuple[slice, slice]]:
    for (top, bottom), (left, right) in product(pairwise(grid.row_edges), pairwise(grid.col_edges)):
        yield slice(top, bottom), slice(left, right)


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
    values = [q2n(*_columns((y, t), valid, part)) for part in parts if _enough(valid, part)]
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


def squares_of(shape: tuple[int, int], side: float) -> list[tuple[slice, slice]]:
    """An image cut into nearly equal squares of about ``side`` pixels; one if it is smaller.

    >>> squares_of((64, 20), 32)
    [(slice(0, 32, None), slice(0, 20, None)), (slice(32, 64, None), slice(0, 20, None))]
    """
    return list(_parts(square_grid(shape, side)))


def square_grid(shape: tuple[int, int], side: float = SQUARE) -> BlockGrid:
    """The same as a grid."""
    counts = [max(1, round(n / side)) for n in shape]
    rows, cols = (
        tuple(i * n // k for i in range(k + 1)) for n, k in zip(shape, counts, strict=True)
    )
    return BlockGrid(rows, cols)


def squares_within(valid: Flags, side: float) -> list[tuple[slice, slice]]:
    """The squares of the rows and columns that hold valid pixels (H, W)."""
    rows, cols = (np.flatnonzero(valid.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return []
    first, end = (rows[0], cols[0]), (rows[-1] + 1, cols[-1] + 1)
    some = squares_of((int(end[0] - first[0]), int(end[1] - first[1])), side)
    return [(_moved(r, int(first[0])), _moved(c, int(first[1]))) for r, c in some]


def _moved(some: slice, by: int) -> slice:
    return slice(some.start + by, some.stop + by)


def _enough(valid: Flags, part: tuple[slice, slice]) -> bool:
    """Whether a square has enough valid pixels."""
    here = valid[part]
    return bool(here.sum() >= max(FEWEST, LEAST_VALID * here.size))


def _columns(
    images: Sequence[Floats], valid: Flags, part: tuple[slice, slice]
) -> tuple[Floats, ...]:
    """(B, n) valid pixels of a square, of several images."""
    return tuple(image[(slice(None), *part)][:, valid[part]] for image in images)


def angle_map(result: Floats, truth: Floats) -> Floats:
    """(H, W) spectral angle in degrees of each pixel of two (B, H, W) images; NaN where one is not
    valid or has no direction.

    ``arccos(y·t / (|y| |t|))`` (Kruse et al., Remote Sensing of Environment 44, 1993)."""
    size = np.linalg.norm(result, axis=0) * np.linalg.norm(truth, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.einsum("bij,bij->ij", result, truth) / size
    angle: Floats = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return angle


def ssim_map(result: Floats, truth: Floats, peak: Floats) -> Floats:
    """(B, H, W) structural similarity of the window around each pixel; NaN where the window leaves
    the image or holds a pixel that is not valid.

    ``(2 m_y m_t + C₁)(2 s_yt + C₂) / ((m_y² + m_t² + C₁)(s_y² + s_t² + C₂))`` with means, variances
    and covariance weighted by a Gaussian window of 11 × 11 pixels and σ = 1.5, ``C₁ = (0.01 L)²``,
    ``C₂ = (0.03 L)²``; L is the band's ``peak`` (Wang, Bovik, Sheikh & Simoncelli, IEEE
    Transactions on Image Processing 13, 2004)."""
    out = np.full(truth.shape, np.nan)
    if min(truth.shape[1:]) < SSIM_WINDOW:
        return out
    half = SSIM_WINDOW // 2
    for first in range(0, len(truth), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        value = _ssim(result[some], truth[some], peak[some, None, None])
        out[some, half:-half, half:-half] = value[:, half:-half, half:-half]
    return out


def _ssim(y: Floats, t: Floats, peak: Floats) -> Floats:
    """The same of some bands, with windows that leave the image."""
    both = np.isfinite(y) & np.isfinite(t)
    count = np.maximum(both.sum(axis=(1, 2), keepdims=True), 1)
    # centred, so that variances keep their digits
    centre = np.where(both, t, 0.0).sum(axis=(1, 2), keepdims=True) / count
    y0, t0 = np.where(both, y - centre, np.nan), np.where(both, t - centre, np.nan)
    my, mt, squares, yt = (_windowed(a) for a in (y0, t0, y0 * y0 + t0 * t0, y0 * t0))
    varied, c = squares - my * my - mt * mt, yt - my * mt
    my, mt = my + centre, mt + centre
    c1, c2 = (SSIM_K1 * peak) ** 2, (SSIM_K2 * peak) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        value: Floats = (2 * my * mt + c1) * (2 * c + c2)
        value /= (my * my + mt * mt + c1) * (varied + c2)
    return value


def _windowed(image: Floats) -> Floats:
    """(B, H, W) means weighted by the window of SSIM."""
    away = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weight = np.exp(-0.5 * (away / SSIM_SIGMA) ** 2)
    weight /= weight.sum()
    mean: Floats = correlate1d(correlate1d(image, weight, axis=1), weight, axis=2)
    return mean


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
        "ergas": _finite(100 / ratio * np.sqrt(np.mean(relative))),
        "ssim": _mean(ssim),
        "q2n": sums.q2n / sums.squares if sums.squares else None,
        "rmse": _mean(rmse),
    }
    return Scores(psnr, rmse, ssim, overall)


def _mean(values: Floats) -> float | None:
    """Mean of what exists."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def quality(values: Floats) -> Floats:
    """(B, B) Q of every pair of bands of one square of (B, n) pixels, n ≥ 2.

    ``4 s_ij m_i m_j / ((s_i² + s_j²)(m_i² + m_j²))`` (Wang & Bovik, IEEE Signal Processing Letters
    9, 2002): 1 for equal bands. Two bands that both are constant, or both zero on average, are
    alike in that; their factor is 1."""
    mean = values.mean(axis=1)
    covariance = np.atleast_2d(np.cov(values, ddof=0))
    squares = mean**2
    level = _ratio(2 * np.outer(mean, mean), squares[:, None] + squares)
    variance = np.diag(covariance)
    return level * _ratio(2 * covariance, variance[:, None] + variance)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """A quotient; 1 where nothing is divided by nothing."""
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)


@dataclass(frozen=True, eq=False)
class Alike:
    """Sums over squares of the Q of all pairs of bands; those of two parts add up. ``q`` (D, D) for
    the D bands of cube and sharp image together."""

    q: Floats
    squares: int

    def __add__(self, other: Alike) -> Alike:
        """The sums of both parts together."""
        return Alike(self.q + other.q, self.squares + other.squares)

    @property
    def mean(self) -> Floats:
        """(D, D) mean over squares; NaN without one."""
        return self.q / self.squares if self.squares else np.full_like(self.q, np.nan)


def alike(stack: Floats, side: float = SQUARE) -> Alike:
    """The Q of all pairs of bands of a (D, H, W) stack, summed over squares of ``side`` pixels."""
    valid = complete(stack)
    parts = squares_within(valid, side)
    every = [quality(*_columns((stack,), valid, part)) for part in parts if _enough(valid, part)]
    d = len(stack)
    return Alike(np.sum(every, axis=0) if every else np.zeros((d, d)), len(every))


def full_scale(fine: Alike, coarse: Alike, bands: int) -> Score:
    """D_λ, D_S and QNR of a sharpened cube without a true one.

    ``d_lambda``: mean over pairs of bands of |Q of both as sharpened − Q of both in the cube|;
    ``d_s``: mean over bands and sharp bands of |Q of both at the sharp resolution − Q of both at
    the cube's|; ``qnr = (1 − d_lambda)(1 − d_s)`` (Alparone et al., Photogrammetric Engineering &
    Remote Sensing 74, 2008, with all exponents 1). Squares cover the same ground at both
    resolutions.

    Parameters
    ----------
    fine : of the sharpened cube and the sharp image. coarse : of the cube and the sharp image that
        was brought to its resolution. bands : how many of the stack are the cube's.
    """
    change = np.abs(fine.mean - coarse.mean)
    own, cross = change[:bands, :bands], change[:bands, bands:]
    pairs = bands * (bands - 1)
    d_lambda = _finite(own.sum() / pairs) if pairs else None  # Q of a band with itself stays 1
    d_s = _finite(cross.mean()) if cross.size else None
    qnr = None if d_lambda is None or d_s is None else (1 - d_lambda) * (1 - d_s)
    return {"d_lambda": d_lambda, "d_s": d_s, "qnr": qnr}
