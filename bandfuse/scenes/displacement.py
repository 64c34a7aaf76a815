"""Displacement: by how much an image is shifted against a cube of the same place. numpy and scipy.

The bands of the two differ, so each of a few images of the target is compared with what the bands
of the cube predict of it by least squares. Both are smoothed first, so that what lies between their
pixels is known; then the shift is sought over whole pixels by their correlation (over the valid
pixels of both, as Padfield has it, IEEE Transactions on Image Processing 21(5), 2012), and refined
by Gauss–Newton steps on the squared error (Lucas and Kanade, IJCAI 1981)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats

Flags = NDArray[np.bool_]

FARTHEST = 8
"""Shifts up to so many pixels are sought, and up to a quarter of the image."""

IMAGES = 3
"""Principal components of the target that are compared."""

SMOOTHING = 1.0
"""Standard deviation in pixels of the Gaussian that both are smoothed with."""

RIDGE = 1e-3
"""Of the least squares, as a part of the bands' variance."""

PARTS = 4
"""Blocks a side in which errors count as alike, to see how certain the shift is."""

APART = 0.01
"""Pixels by which bands of one cube lie apart, as spectrometers have it: no shift against a cube is
known any better."""

RIM = 3
"""Pixels beside a missing one, or an edge, that smoothing takes too little from."""

FEWEST = 64
"""Pixels that a shift is estimated from at least."""

STEPS, CLOSE = 12, 1e-3
"""Gauss–Newton steps, and the length in pixels at which they end."""

CERTAIN, ALIKE = 0.25, 0.3
"""A shift is believed if its standard error, in pixels, is less, and the correlation more than
this."""

SMALL = 0.1
"""Shifts of less than so many pixels, or of less than two standard errors, are left alone."""


def complete(values: Floats) -> Flags:
    """(h, w) where all of (n, h, w) values are known."""
    known: Flags = np.logical_and.reduce(np.isfinite(values), axis=0)
    return known


@dataclass(frozen=True)
class Shift:
    """What brings a target onto its scene: ``columns`` and ``rows`` to move it by, in pixels.

    ``error``: standard error of the less certain of both, in pixels, from how far blocks of the
    image, and the images that are compared, disagree.
    ``correlation`` of the target with what the cube predicts of it once moved, ``before`` where it
    lies; each with its own prediction."""

    columns: float
    rows: float
    error: float
    correlation: float
    before: float

    @property
    def certain(self) -> bool:
        """Whether the estimate can be believed."""
        return self.error < CERTAIN and self.correlation > ALIKE and self.correlation >= self.before

    @property
    def small(self) -> bool:
        """Whether it is none that should be corrected."""
        return bool(np.hypot(self.columns, self.rows) < max(SMALL, 2 * self.error))


def displacement(cube: Floats, target: Floats) -> Shift | None:
    """How a (T, H, W) target is to be moved to lie on a (n, H, W) cube; NaN where missing.

    None where too little is valid, nothing varies, or no shift within reach is better than those
    around it."""
    pair = _Pair.of(cube, target)
    if pair is None:
        return None
    reach = min(FARTHEST, *(side // 4 for side in pair.shape))
    start = pair.nearest(reach)
    if start is None:
        return None
    found = pair.refined(start)
    if found is None:
        return None
    error = pair.error(found)
    return Shift(
        float(found[1]),
        float(found[0]),
        error,
        pair.correlation(found),
        pair.correlation(np.zeros(2)),
    )


@dataclass(frozen=True, eq=False)
class _Pair:
    """A smoothed cube (n, H, W) and images of a target (k, H, W), zero where missing; where both
    are valid; and spline coefficients of the cube."""

    cube: Floats
    images: Floats
    valid: Flags
    there: Flags
    splines: Floats

    @classmethod
    def of(cls, cube: Floats, target: Floats) -> _Pair | None:
        """Smoothed and standardised; None where too little is valid or nothing varies."""
        from scipy.ndimage import spline_filter

        valid, there = complete(cube), complete(target)
        if (valid & there).sum() < FEWEST:
            return None
        bands, answers = (
            _standard(_smooth(cube, valid), valid),
            _standard(_smooth(target, there), there),
        )
        if not len(bands) or not len(answers):
            return None
        answers = _components(answers, there)
        return cls(
            bands, answers, valid, there, np.stack([spline_filter(b, order=3) for b in bands])
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, cols = self.there.shape
        return rows, cols

    def seen(self, at: Floats) -> tuple[Floats, Flags]:
        """The cube at every pixel moved by (rows, columns), and where it is valid there."""
        from scipy.ndimage import shift

        whole = np.rint(at)
        moved = np.stack(
            [shift(s, -at, order=3, prefilter=False, mode="nearest") for s in self.splines]
        )
        near = [
            shift(self.valid.astype(np.float64), -w, order=1, mode="constant") for w in (at, whole)
        ]
        return moved, np.minimum(*near) > 0.999

    def predicted(self, at: Floats) -> tuple[Floats, Flags] | None:
        """(k, H, W) what the moved cube predicts of the images by least squares, up to a constant
        of each that nobody asks for; and where."""
        moved, valid = self.seen(at)
        both = valid & self.there
        if both.sum() < FEWEST:
            return None
        return _explained(moved, self.images, both), both

    def correlation(self, at: Floats) -> float:
        """Of the images with their prediction, all of them together."""
        found = self.predicted(at)
        if found is None:
            return 0.0
        y, both = found
        t = self.images[:, both] - self.images[:, both].mean(axis=1, keepdims=True)
        p = y[:, both] - y[:, both].mean(axis=1, keepdims=True)
        return float((t * p).sum() / np.sqrt(max((t * t).sum() * (p * p).sum(), 1e-300)))

    def nearest(self, reach: int) -> Floats | None:
        """The whole shift (rows, columns) of the best correlation, predicted anew where the first
        one led; None at the end of the reach."""
        at = np.zeros(2)
        for _ in range(3):
            found = self.predicted(at)
            if found is None:
                return None
            y, both = found
            scores = _correlations(self.images, y, self.there, both | (self.seen(at)[1]), reach)
            place = np.unravel_index(int(np.argmax(scores)), scores.shape)
            step = np.array(place, dtype=np.float64) - reach
            if np.abs(at + step).max() >= reach:
                return None
            at = at + step
            if not step.any():
                break
        return at

    def refined(self, start: Floats) -> Floats | None:
        """The shift (rows, columns) of least squared error near a first guess; None if there is
        none within a pixel and a half."""
        at = start.copy()
        for _ in range(STEPS):
            slopes = self._slopes(at)
            if slopes is None:
                return None
            step = slopes.step()
            at = at + step
            if np.abs(at - start).max() > 1.5:
                return None
            if np.abs(step).max() < CLOSE:
                break
        return at

    def error(self, at: Floats) -> float:
        """Standard error of a shift, in pixels, in its least certain direction; infinite where it
        cannot be told."""
        slopes = self._slopes(at)
        return float("inf") if slopes is None else slopes.error()

    def _slopes(self, at: Floats) -> _Slopes | None:
        moved, valid = self.seen(at)
        both = valid & self.there
        if both.sum() < FEWEST:
            return None
        return _Slopes.of(moved, self.images, both)


@dataclass(frozen=True, eq=False)
class _Slopes:
    """By image, over the n pixels that count: ``slopes`` (k, 2, n) of the prediction along rows and
    columns, less what the bands explain of them, as these are fitted anew at every shift;
    ``errors`` (k, n) of the prediction; ``noise`` (k,) their sums of squares; ``block`` (n,) the
    block of each pixel."""

    slopes: Floats
    errors: Floats
    noise: Floats
    block: NDArray[np.intp]

    @classmethod
    def of(cls, bands: Floats, images: Floats, both: Flags) -> _Slopes | None:
        """At a cube that is moved (n, H, W); None where too few pixels have all their
        neighbours."""
        inner = _eroded(both, RIM)
        if inner.sum() < max(FEWEST, both.sum() / 4):
            inner = both & _eroded(both, 1)
        if inner.sum() < FEWEST:
            return None
        y = _explained(bands, images, both)
        steep = np.array([[g[inner] for g in np.gradient(one)] for one in y]).reshape(len(y), 2, -1)
        fit = _Least(bands[:, inner])
        errors = fit.rest(images[:, inner])
        noise = np.maximum((errors**2).sum(axis=1), 1e-300)
        row, col = (
            np.minimum(PARTS - 1, place * PARTS // side)
            for place, side in zip(np.nonzero(inner), both.shape, strict=True)
        )
        rest = fit.rest(steep.reshape(-1, steep.shape[2])).reshape(steep.shape)
        return cls(rest, errors, noise, row * PARTS + col)

    @property
    def _gram(self) -> Floats:
        gram: Floats = np.einsum("kin,kjn,k->ij", self.slopes, self.slopes, 1 / self.noise)
        return gram

    @property
    def _scores(self) -> Floats:
        """(k, 2, n) what each pixel of each image says of the step, before it is scaled."""
        return self.slopes * (self.errors / self.noise[:, None])[:, None]

    def step(self) -> Floats:
        """The Gauss–Newton step (rows, columns) of all images together, at most half a pixel each
        way."""
        right = self._scores.sum(axis=(0, 2))
        step: Floats = np.linalg.lstsq(self._gram, right, rcond=None)[0]
        return np.clip(step, -0.5, 0.5)

    def error(self) -> float:
        """``H⁻¹ M H⁻¹``, H the Gauss–Newton matrix and M the variance of the scores: of the sums
        over blocks, whose pixels may be wrong alike, and of the sums over images, whose bands may
        lie apart (the sandwich estimate of Liang and Zeger, Biometrika 73, 1986)."""
        scores = self._scores
        sums = [np.array([np.bincount(self.block, one, PARTS**2) for one in scores.sum(axis=0)]).T]
        sums.append(scores.sum(axis=2))
        middle = np.zeros((2, 2))
        for clusters in sums:
            count = int((clusters != 0).any(axis=1).sum())
            if count > 1:
                middle += clusters.T @ clusters * count / (count - 1)
        try:
            half = np.linalg.inv(self._gram)
        except np.linalg.LinAlgError:
            return float("inf")
        widest = float(np.linalg.eigvalsh(half @ middle @ half)[-1])
        return float(np.sqrt(max(widest, 0.0) + APART**2))


class _Least:
    """Least squares on (n, pixels) bands and a constant."""

    def __init__(self, bands: Floats) -> None:
        self._x = bands - bands.mean(axis=1, keepdims=True)
        self._gram = self._x @ self._x.T
        self._gram[np.diag_indices_from(self._gram)] *= 1 + RIDGE

    def rest(self, values: Floats) -> Floats:
        """What the bands do not explain of (m, pixels) values."""
        away = values - values.mean(axis=1, keepdims=True)
        weight = np.linalg.lstsq(self._gram, self._x @ away.T, rcond=None)[0]
        rest: Floats = away - weight.T @ self._x
        return rest


def _explained(bands: Floats, images: Floats, both: Flags) -> Floats:
    """(k, H, W) what (n, H, W) bands tell of images by least squares over some pixels."""
    x = bands[:, both]
    mean = x.mean(axis=1)
    x = x - mean[:, None]
    gram = x @ x.T
    gram[np.diag_indices_from(gram)] *= 1 + RIDGE
    t = images[:, both]
    weight = np.linalg.lstsq(gram, x @ (t - t.mean(axis=1, keepdims=True)).T, rcond=None)[0]
    found: Floats = np.tensordot(weight.T, bands - mean[:, None, None], axes=1)
    found += t.mean(axis=1)[:, None, None]
    return found


def _smooth(image: Floats, valid: Flags) -> Floats:
    """Each band under a Gaussian, over the valid pixels; zero elsewhere."""
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(valid.astype(np.float64), SMOOTHING, mode="constant")
    width = (0, SMOOTHING, SMOOTHING)
    total = gaussian_filter(np.where(valid, image, 0.0), width, mode="constant")
    return np.where(valid, total / np.where(weight > 0, weight, 1.0), 0.0)


def _standard(image: Floats, valid: Flags) -> Floats:
    """The bands that vary, with mean zero and variance one over the valid pixels; zero
    elsewhere."""
    x = image[:, valid]
    mean, deviation = x.mean(axis=1), x.std(axis=1)
    alive = deviation > 1e-12 * np.maximum(np.abs(mean), 1e-300)
    scaled = (image[alive] - mean[alive, None, None]) / deviation[alive, None, None]
    return np.where(valid, scaled, 0.0)


def _components(image: Floats, valid: Flags) -> Floats:
    """The first principal components of the bands."""
    x = image[:, valid]
    axes = np.linalg.eigh(x @ x.T)[1][:, ::-1][:, :IMAGES]
    found: Floats = np.tensordot(axes.T, image, axes=1)
    return found


def _correlations(t: Floats, p: Floats, t_valid: Flags, p_valid: Flags, reach: int) -> Floats:
    """(2 reach + 1, 2 reach + 1) correlations of images (k, H, W) with predictions that are moved
    by whole pixels, from −reach on: over the pixels that are valid in both, each times the variance
    of its image, and added."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    size = [next_fast_len(side + reach, real=True) for side in t_valid.shape]

    def transformed(image: Floats) -> NDArray[np.complex128]:
        found: NDArray[np.complex128] = rfft2(image, s=size)
        return found

    m, n = transformed(t_valid.astype(np.float64)), transformed(p_valid.astype(np.float64))
    place = np.arange(-reach, reach + 1)

    def against(a: NDArray[np.complex128], b: NDArray[np.complex128]) -> Floats:
        found: Floats = irfft2(np.conj(a) * b, s=size)[np.ix_(place, place)]
        return found

    count = np.maximum(against(m, n), 1.0)
    enough = count > max(FEWEST / 2, t_valid.sum() / 4)
    total = np.zeros(count.shape)
    for image, prediction in zip(t, p, strict=True):
        a, b = np.where(t_valid, image, 0.0), np.where(p_valid, prediction, 0.0)
        fa, fb = transformed(a), transformed(b)
        sum_a, sum_b = against(fa, n), against(m, fb)
        var_a = against(transformed(a * a), n) - sum_a**2 / count
        var_b = against(m, transformed(b * b)) - sum_b**2 / count
        product = against(fa, fb) - sum_a * sum_b / count
        total += float(a[t_valid].var()) * product / np.sqrt(np.maximum(var_a * var_b, 1e-300))
    return np.where(enough, total, -np.inf)


def _eroded(flags: Flags, reach: int) -> Flags:
    """Without the pixels that lie so near to one that is not set."""
    from scipy.ndimage import binary_erosion

    found: Flags = binary_erosion(
        flags, np.ones((3, 3), dtype=bool), iterations=reach, border_value=0
    )
    return found
