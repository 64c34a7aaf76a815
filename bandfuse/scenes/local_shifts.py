"""Local shifts: by how much a sharp image is displaced against a cube in each of many windows.
numpy and scipy.

One least-squares fit over all windows tells what the cube's bands predict of the sharp image, which
is seen through the cube's blur and sampled at displaced places. Where a window's prediction is
wrong along the slope of the image, the window is displaced (Lucas and Kanade, IJCAI 1981). The cube
itself is never interpolated: it is aliased, while the blurred image is known between its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandfuse.scenes.displacement import complete
from bandfuse.scenes.polynomials import Displacements, Field
from bandfuse.spectral.bands import Floats

Flags = NDArray[np.bool_]
Numbers = NDArray[np.intp]

IMAGES = 3
"""Principal components of the sharp image that are compared."""

RIDGE = 1e-4
"""Of the least squares, as a part of the bands' variance."""

FEWEST = 12
"""Pixels of a window at least."""

WILD = 3.0
"""Errors of the prediction that are so many times their deviation count less (Huber)."""

REACH = 2.5
"""Deviations that a blur reaches."""

WHOLE = 0.97
"""Part of a blur that must be valid."""


@dataclass(frozen=True, eq=False)
class Look:
    """One part of a scene: ``bands`` (n, h, w) of the cube from a row and column on, and ``sharp``
    (T, k (h + 2m), k (w + 2m)) of the image at k times as many pixels a side, with a margin of m
    pixels of the cube; NaN where missing. k is odd, so that pixels share their middles. ``blur``:
    deviation of the Gaussian that makes pixels of the cube of the image, in pixels of the cube."""

    row: int
    col: int
    bands: Floats
    sharp: Floats
    margin: int
    times: int
    blur: float

    def places(self) -> tuple[Floats, Floats]:
        """(h, w) rows and columns of the grid."""
        _, h, w = self.bands.shape
        rows, cols = np.mgrid[self.row : self.row + h, self.col : self.col + w]
        return rows.astype(np.float64), cols.astype(np.float64)

    def coarse(self) -> Floats:
        """(T, h, w) the image on the grid of the cube: the mean of the pixels in each of its."""
        m, k = self.margin * self.times, self.times
        _, h, w = self.bands.shape
        inner = self.sharp[:, m : m + h * k, m : m + w * k]
        mean: Floats = inner.reshape(len(inner), h, k, w, k).mean(axis=(2, 4))
        return mean

    def fine(self, halo: int) -> tuple[Floats, Floats]:
        """Rows and columns of the grid, k times as many a side, with a halo of so many pixels of
        the grid."""
        _, h, w = self.bands.shape
        down, across = (
            start - halo - 0.5 + (np.arange((side + 2 * halo) * self.times) + 0.5) / self.times
            for start, side in ((self.row, h), (self.col, w))
        )
        rows, cols = np.meshgrid(down, across, indexing="ij")
        return rows, cols

    def inside(self, rows: Floats, cols: Floats) -> Floats:
        """(2, …) places of the grid in pixels of the sharp part."""
        return np.stack(
            [
                (rows - self.row + self.margin + 0.5) * self.times - 0.5,
                (cols - self.col + self.margin + 0.5) * self.times - 0.5,
            ]
        )


@dataclass(frozen=True, eq=False)
class _Part:
    """A look, standardised: ``bands`` (n, h, w), smoothed, and splines of ``images`` (k, …), which
    are not; where both are valid; the window of each pixel; and the deviation of the Gaussian that
    images are seen through, in pixels of the grid."""

    look: Look
    bands: Floats
    images: Floats
    valid: Flags
    there: NDArray[np.float32]
    window: Numbers
    width: float

    def seen(self, field: Field) -> _Seen | None:
        """What the displaced image shows at the pixels of the cube."""
        values, slopes, known = self._aligned(field)
        known &= self.valid
        if known.sum() < FEWEST:
            return None
        rows, cols = self.look.places()
        return _Seen(
            _centred(self.bands[:, known]),
            _centred(values[:, known]),
            _centred(slopes[:, :, known]),
            self.window[known],
            np.stack([rows[known], cols[known]]),
        )

    def _aligned(self, field: Field) -> tuple[Floats, Floats, Flags]:
        """(k, h, w) the images through the field and then through the blur, (2, k, h, w) their
        slopes along their own rows and columns, and where all that counts is valid.

        With u a place of the grid, the aligned image is ``t(u − d(u))``; its slope is ``(I − ∇d)ᵀ
        ∇t``, of which ∇t is asked for."""
        times = self.look.times
        halo = int(np.ceil(REACH * self.width))
        rows, cols = self.look.fine(halo)
        down, across = field.at(rows, cols)
        at = self.look.inside(rows - down, cols - across)
        known = _inside(self.there, at)
        image = np.array([_sampled(i, at) for i in self.images])
        image, weight = _blurred(image, known, self.width * times)
        slope = np.array(np.gradient(image, axis=(1, 2)), dtype=np.float64) * times
        inner = slice(halo * times + times // 2, -halo * times or None, times)
        values, slope, weight = (one[..., inner, inner] for one in (image, slope, weight))
        places = self.look.places()
        jacobian = np.eye(2)[:, :, None, None] - _slopes(field, *places)
        back = np.linalg.inv(np.moveaxis(jacobian, (0, 1), (2, 3)))
        return values, np.einsum("hwij,ikhw->jkhw", back, slope), weight > WHOLE


def _sampled(splines: Floats, at: Floats) -> Floats:
    """A cubic spline at places, from its coefficients."""
    from scipy.ndimage import map_coordinates

    values = map_coordinates(splines, at, order=3, prefilter=False, mode="nearest")
    return np.asarray(values, dtype=np.float64)


def _inside(flags: NDArray[np.float32], at: Floats) -> Flags:
    """Whether all pixels around places are flagged with one."""
    from scipy.ndimage import map_coordinates

    share = np.asarray(map_coordinates(flags, at, order=1, mode="constant", cval=0.0))
    inside: Flags = share > 0.999
    return inside


def _slopes(field: Field, rows: Floats, cols: Floats) -> Floats:
    """(2, 2, …) of a field, by differences: of rows and columns, along rows and columns."""
    ahead, behind = ([field.at(rows + s, cols), field.at(rows, cols + s)] for s in (0.5, -0.5))
    found: Floats = np.moveaxis(np.array(ahead) - np.array(behind), 0, 1)
    return found


def _blurred(image: Floats, known: Flags, width: float) -> tuple[Floats, Floats]:
    """(k, …) each image under a Gaussian over the valid pixels, and how much of it these are."""
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(known.astype(np.float64), width, mode="constant")
    total = gaussian_filter(np.where(known, image, 0.0), (0, width, width), mode="constant")
    return total / np.maximum(weight, 1e-3), weight


@dataclass(frozen=True, eq=False)
class _Seen:
    """Over N valid pixels: ``bands`` (n, N), ``images`` (k, N) and their ``slopes`` (2, k, N), each
    less its mean over the look; the ``window`` of each, and its ``place`` (2, N)."""

    bands: Floats
    images: Floats
    slopes: Floats
    window: Numbers
    place: Floats


def _centred(values: Floats) -> Floats:
    centred: Floats = values - values.mean(axis=-1, keepdims=True)
    return centred


@dataclass(frozen=True, eq=False)
class Comparison:
    """A cube and a sharp image of a scene, under one blur, in windows.

    ``windows``: how many there are."""

    parts: tuple[_Part, ...]
    shape: tuple[int, int]
    windows: int

    @classmethod
    def of(
        cls,
        looks: Sequence[Look],
        shape: tuple[int, int],
        side: int,
        smoothing: float,
        components: int,
    ) -> Comparison:
        """Of looks, in windows of about ``side`` pixels a side, both under one more Gaussian of
        ``smoothing`` pixels."""
        frame = _Frame.of(looks, components)
        parts, windows = [], 0
        for look in looks if frame.varies else ():
            window, count = _windows(look.bands.shape[1:], side)
            parts.append(frame.part(look, smoothing, window + windows))
            windows += count
        return cls(tuple(parts), shape, windows)

    def predicted(self, field: Field) -> Prediction | None:
        """What the cube tells of the image that is displaced by a field; None where too little is
        valid."""
        seen = [one for part in self.parts if (one := part.seen(field)) is not None]
        if sum(one.images.shape[1] for one in seen) < 4 * FEWEST:
            return None
        return Prediction(
            field,
            np.concatenate([one.bands for one in seen], axis=1),
            np.concatenate([one.images for one in seen], axis=1),
            np.concatenate([one.slopes for one in seen], axis=2),
            np.concatenate([one.window for one in seen]),
            np.concatenate([one.place for one in seen], axis=1),
            self.windows,
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """The image at a field, over N pixels, and what the bands do not explain of it and its
    slopes."""

    field: Field
    bands: Floats
    images: Floats
    slopes: Floats
    window: Numbers
    place: Floats
    windows: int

    @cached_property
    def weights(self) -> Floats:
        """(n, k) of the bands, by least squares."""
        return _weights(self.bands, self.images)

    @cached_property
    def _errors(self) -> Floats:
        errors: Floats = self.images - self.weights.T @ self.bands
        return errors

    @cached_property
    def _scale(self) -> Floats:
        """(k, 1) deviation of the errors, from their median."""
        deviation: Floats = 1.4826 * np.median(np.abs(self._errors), axis=1)[:, None]
        return np.clip(deviation, 1e-9, None)

    @cached_property
    def _less(self) -> Floats:
        """(k, N) how much each pixel counts: less where the prediction is far off."""
        return np.minimum(1.0, WILD / np.maximum(np.abs(self._errors / self._scale), 1e-9))

    @property
    def correlation(self) -> float:
        """Of the images with their prediction, all of them together."""
        p = self.weights.T @ self.bands
        t = self.images
        return float((t * p).sum() / np.sqrt(max((t * t).sum() * (p * p).sum(), 1e-300)))

    def step(self, trust: Floats) -> tuple[Floats, Floats]:
        """The Gauss–Newton step of the field's (2, m) coefficients, and their covariance.

        ``trust`` (windows,): how much each window counts. The covariance is ``H⁻¹ M H⁻¹``, H the
        Gauss–Newton matrix and M the sum over windows of their squared scores, times n / (n − m)
        for n windows (Liang and Zeger, Biometrika 73, 1986)."""
        basis = self.field.basis(*self.place)
        size = 2 * len(basis)
        normal: Floats = np.zeros((size, size))
        scores: Floats = np.zeros((self.windows, size))
        pixel = trust[self.window]
        for k, scale in enumerate(self._scale[:, 0]):
            slopes = (self.slopes[:, None, k] * basis).reshape(size, -1)
            slopes = (slopes - _weights(self.bands, slopes).T @ self.bands) / scale
            weighted = slopes * (pixel * self._less[k])
            normal = normal + weighted @ slopes.T
            weighted = weighted * (self._errors[k] / scale)
            scores = scores + np.stack([self._sums(one) for one in weighted], axis=1)
        half = np.linalg.pinv(normal, rcond=1e-10, hermitian=True)
        n = int((scores != 0).any(axis=1).sum())
        covariance = half @ (scores.T @ scores) @ half * n / max(n - len(basis), 1)
        return (half @ scores.sum(axis=0)).reshape(2, -1), covariance

    def displacements(self) -> Displacements:
        """By how much each window is displaced beside the field, added to it.

        With g the slopes of the image less what the bands explain of them, and e the errors over
        their deviation, a window says ``δ = (Σ g gᵀ)⁻¹ Σ g e``. Its covariance is ``(Σ g gᵀ)⁻¹``,
        as if the errors of its pixels had nothing to do with each other."""
        rest: Floats = self.slopes.reshape(-1, self.images.shape[1])
        rest = (rest - _weights(self.bands, rest).T @ self.bands).reshape(self.slopes.shape)
        rest, errors = rest / self._scale, self._errors / self._scale
        gram: Floats = np.empty((self.windows, 2, 2))
        score: Floats = np.empty((self.windows, 2))
        for i in range(2):
            score[:, i] = self._sums((self._less * rest[i] * errors).sum(axis=0))
            for j in range(2):
                gram[:, i, j] = self._sums((self._less * rest[i] * rest[j]).sum(axis=0))
        return self._displaced(gram, score)

    def _displaced(self, gram: Floats, score: Floats) -> Displacements:
        """Those of the windows that have enough pixels and vary."""
        count = self._sums(np.ones(len(self.window)))
        gram = gram + 1e-9 * np.eye(2)
        enough = (count >= FEWEST) & (np.linalg.eigvalsh(gram)[:, 1] > 1e-6)
        rows, cols = (self._sums(one)[enough] / count[enough] for one in self.place)
        inverse = np.asarray(np.linalg.inv(gram[enough]), dtype=np.float64)
        step = np.einsum("nij,nj->ni", inverse, score[enough])
        moves = np.stack(self.field.at(rows, cols), axis=1) + step
        return Displacements(rows, cols, moves, inverse, np.flatnonzero(enough))

    def _sums(self, values: Floats) -> Floats:
        sums: Floats = np.bincount(self.window, values, self.windows).astype(np.float64)
        return sums


def _weights(bands: Floats, values: Floats) -> Floats:
    """(n, m) of the bands, by least squares with a small ridge, for (m, N) values."""
    gram: Floats = bands @ bands.T
    gram[np.diag_indices_from(gram)] *= 1 + RIDGE
    return np.asarray(np.linalg.lstsq(gram, bands @ values.T, rcond=None)[0], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Frame:
    """How all looks are standardised: mean and deviation of the bands that vary, and of the
    images' principal components."""

    bands: _Components
    image: _Components

    @classmethod
    def of(cls, looks: Sequence[Look], components: int) -> _Frame:
        """``components``: principal components of the bands that predict."""
        bands, sharp = ([getattr(look, what) for look in looks] for what in ("bands", "sharp"))
        return cls(_Components.of(bands, components), _Components.of(sharp, IMAGES))

    @property
    def varies(self) -> bool:
        """Whether there is anything to compare."""
        return bool(len(self.bands.axes) and len(self.image.axes))

    def part(self, look: Look, smoothing: float, window: Numbers) -> _Part:
        """A look, blurred and standardised."""
        from scipy.ndimage import binary_erosion, spline_filter

        valid, there = complete(look.bands), complete(look.sharp)
        bands, weight = self.bands(np.where(valid, look.bands, 0.0)), valid.astype(np.float64)
        if smoothing:
            bands, weight = _blurred(bands, valid, smoothing)
        image = _filled(self.image(look.sharp), there)
        splines = np.stack([spline_filter(i, order=3, mode="nearest") for i in image])
        inner = np.asarray(binary_erosion(there, np.ones((3, 3), dtype=np.bool_)))
        width = float(np.hypot(look.blur, smoothing))
        return _Part(
            look,
            bands,
            splines,
            valid & (weight > WHOLE / 2),
            inner.astype(np.float32),
            window,
            width,
        )


def _filled(values: Floats, known: Flags) -> Floats:
    """(k, h, w) with what is missing as the nearest pixel that is not; zero if there is none."""
    from scipy.ndimage import distance_transform_edt

    if known.all() or not known.any():
        return np.where(known, values, 0.0)
    place = distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled: Floats = values[:, *np.asarray(place)]
    return filled


@dataclass(frozen=True, eq=False)
class _Components:
    """The first principal components of some standardised bands: ``mean`` (n,), ``axes`` (k, n)."""

    mean: Floats
    axes: Floats

    @classmethod
    def of(cls, images: Sequence[Floats], count: int) -> _Components:
        """Of (n, h, w) images, over the pixels where all bands are valid; without bands that do not
        vary."""
        x = np.concatenate([i[:, complete(i)] for i in images], axis=1)
        if not x.size:
            return cls(np.zeros(len(x)), np.zeros((0, len(x))))
        mean, deviation = x.mean(axis=1), x.std(axis=1)
        alive = deviation > 1e-12 * np.maximum(np.abs(mean), 1e-300)
        scale = np.where(alive, 1 / np.where(alive, deviation, 1.0), 0.0)
        x = (x - mean[:, None]) * scale[:, None]
        values, axes = np.linalg.eigh(x @ x.T / max(x.shape[1], 1))
        keep = values > 1e-9 * max(float(values[-1]), 1e-300)
        return cls(mean, (axes[:, keep][:, ::-1][:, :count] * scale[:, None]).T)

    def __call__(self, image: Floats) -> Floats:
        """(k, h, w) of (n, h, w)."""
        found: Floats = np.tensordot(self.axes, image - self.mean[:, None, None], axes=1)
        return found


def _windows(shape: tuple[int, ...], side: int) -> tuple[Numbers, int]:
    """(h, w) the number of each pixel's window, and how many windows there are."""
    down, across = (max(1, round(one / side)) for one in shape)
    row = np.minimum(np.arange(shape[0]) * down // shape[0], down - 1)
    col = np.minimum(np.arange(shape[1]) * across // shape[1], across - 1)
    return row[:, None] * across + col, down * across
