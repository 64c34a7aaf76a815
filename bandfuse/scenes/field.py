"""Field: how a sharp image is displaced against a cube from place to place. numpy.

A polynomial over the whole scene is fitted by Gauss–Newton steps, first to blurred images and then
to sharper ones. Windows say how far the images agree with it from place to place, and which order
it should have: the lowest whose error over windows that it was not fitted to is as small as any,
within one standard error (Breiman et al., Classification and Regression Trees, 1984), so that no
field is found where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandfuse.scenes.displacement import displacement
from bandfuse.scenes.local_shifts import Comparison, Look, Prediction
from bandfuse.scenes.polynomials import Displacements, Field, terms
from bandfuse.spectral.bands import Floats

Box = tuple[float, float, float, float]
"""First and last row, and first and last column."""

HIGHEST = 3
"""The highest order of the polynomials."""

LEVELS = ((1.5, 3), (1.0, 3), (0.5, 6), (0.0, 16))
"""Gaussians, in pixels of the cube, that both images are seen through, one after the other; and
principal components of the bands that predict the sharp image then."""

STEPS, CLOSE = 12, 2e-3
"""Steps at each level, and the length in pixels at which they end."""

FAR = 1.5
"""No step moves any place by more pixels."""

FLOOR = 0.02
"""Pixels by which windows may be displaced beside any smooth field: no window counts for more."""

STARTS = 9
"""So many looks are searched for a displacement to start from."""

UNSURE = 0.5
"""Windows whose standard error in their better direction is larger, in pixels, are left out."""

HUBER = 2.0
"""Windows that lie so many deviations off a field count less."""

ALIKE_WEIGHTS = 0.01
"""Weights that change by less are not computed again."""

FOLDS = 4
"""Parts of the scene a side; each is left out once, to choose the order."""

EACH = 2
"""Windows for each coefficient of an order at least."""

SMALL = 0.03
"""Displacements that are smaller, in pixels, or than two standard errors, are none; and so is what
varies by less."""

CERTAIN, ALIKE = 0.25, 0.3
"""A field is believed if its standard error is less everywhere, in pixels, and the correlation
more than this."""


@dataclass(frozen=True, eq=False)
class Registration:
    """How a sharp image lies on a cube.

    Columns
    -------
    field : that was chosen.
    displacements : of the windows that count, with covariances as large as windows disagree.
    windows : how many there are.
    scores : mean error over windows that were left out (Huber's, in squares of their standard
        errors), by order from −1 on.
    correlation, before : of the image with what the cube predicts of it, through the field and
        where it lies; each with its own prediction."""

    field: Field
    displacements: Displacements
    windows: int
    scores: tuple[float, ...]
    correlation: float
    before: float

    @property
    def certain(self) -> bool:
        """Whether the field can be believed."""
        return (
            self.field.uncertainty < CERTAIN
            and self.correlation > ALIKE
            and self.correlation >= self.before - 1e-3
        )


def register(looks: Sequence[Look], shape: tuple[int, int], side: int) -> Registration | None:
    """The field that brings the sharp image of some looks onto the cube.

    Parameters
    ----------
    shape : rows and columns of the cube's grid.
    side : of the windows, in pixels of that grid, about.

    Returns None where too little is valid or nothing varies.
    """
    coarsest = Comparison.of(looks, shape, side, *LEVELS[0])
    if coarsest.predicted(Field.none(shape)) is None:
        return None
    start = _started(coarsest, [Field.none(shape), *_shifted(looks, shape)])
    del coarsest  # one level is held at a time
    for level in LEVELS[1:-1]:
        start = refined(Comparison.of(looks, shape, side, *level), start)
    finest = Comparison.of(looks, shape, side, *LEVELS[-1])
    before = finest.predicted(Field.none(shape))
    start = refined(finest, start)
    prediction = finest.predicted(start)
    if before is None or prediction is None:
        return None
    windows = sure(prediction.displacements(), shape, start.order)
    if not len(windows):
        return None
    order, scores = choose(windows, shape)
    field = _settled(finest, windows, order, _box(windows, shape, side))
    prediction = finest.predicted(field)
    after = before if prediction is None else prediction
    return Registration(
        field, windows, finest.windows, tuple(scores), after.correlation, before.correlation
    )


def _shifted(looks: Sequence[Look], shape: tuple[int, int]) -> list[Field]:
    """The median of the displacements of some looks, each sought over whole pixels, if any."""
    some = [looks[int(i)] for i in np.linspace(0, len(looks) - 1, min(len(looks), STARTS))]
    every = [displacement(look.bands, look.coarse()) for look in some]
    certain = [shift for shift in every if shift is not None and shift.certain]
    if not certain:
        return []
    down, across = np.median([(s.rows, s.columns) for s in certain], axis=0)
    return [Field.constant(shape, float(down), float(across))]


def _started(images: Comparison, starts: Sequence[Field]) -> Field:
    """The field of a low order with the highest correlation that one of several starts leads
    to."""
    ends = []
    for start in starts:
        field = start
        for order in range(max(affordable(images.windows, 2), 0) + 1):
            field = refined(images, field.raised(order))
        prediction = images.predicted(field)
        ends.append((-np.inf if prediction is None else prediction.correlation, field))
    return max(ends, key=lambda end: end[0])[1]


def _box(windows: Displacements, shape: tuple[int, int], side: int) -> Box:
    """The part of a grid that windows cover."""
    (top, bottom), (left, right) = (
        (max(0.0, float(one.min()) - side / 2), min(size - 1.0, float(one.max()) + side / 2))
        for one, size in zip((windows.rows, windows.cols), shape, strict=True)
    )
    return top, bottom, left, right


def _settled(images: Comparison, windows: Displacements, order: int, box: Box) -> Field:
    """The field of an order, or of a lower one where what it says is too small to be told from
    nothing."""
    none = Field.none(images.shape)

    def of(order: int) -> Field:
        return refined(images, replace(fit(windows, images.shape, order), seen=box))

    field = of(order) if order >= 0 else none
    if order > 0 and field.spread < max(SMALL, 2 * field.uncertainty):
        field = of(0)
    if field.order == 0 and np.hypot(*field.middle) < max(SMALL, 2 * field.uncertainty):
        return none
    return field


def affordable(windows: int, order: int) -> int:
    """The highest order up to one that so many windows can tell."""
    while order >= 0 and windows < EACH * terms(order):
        order -= 1
    return order


def refined(images: Comparison, field: Field) -> Field:
    """Gauss–Newton steps from a field on, of its order, with the covariance of its coefficients.

    Windows that disagree with the field count less."""
    for _ in range(STEPS):
        prediction = images.predicted(field)
        if prediction is None:
            return field
        step, covariance = prediction.step(_trust(prediction, field.order))
        longest = _longest(field, step)
        field = replace(
            field.plus(step * min(1.0, FAR / max(longest, 1e-9))), covariance=covariance
        )
        if longest < CLOSE:
            break
    return field


def _longest(field: Field, step: Floats) -> float:
    """How far a step of the coefficients moves any place, in pixels."""
    terms_at = field.basis(*field.lattice())
    return float(np.hypot(*np.tensordot(step, terms_at, axes=1)).max(initial=0.0))


def _trust(prediction: Prediction, order: int) -> Floats:
    """(windows,) how much each window counts: none that cannot tell where it lies."""
    trust = np.zeros(prediction.windows)
    windows = sure(prediction.displacements(), prediction.field.shape, order)
    if len(windows) <= terms(order):
        return np.ones(prediction.windows)
    rest = windows.moves - _at(fit(windows, prediction.field.shape, order), windows)
    far = np.sqrt(_distances(rest, windows.covariance))
    trust[windows.numbers] = np.minimum(1.0, HUBER / np.maximum(far, 1e-9))
    return trust


def sure(windows: Displacements, shape: tuple[int, int], order: int) -> Displacements:
    """The windows that can tell where they lie, with covariances as large as they disagree about
    a field of some order."""
    scaled = _scaled(windows, shape, order)
    return scaled.chosen(np.sqrt(np.linalg.eigvalsh(scaled.covariance)[:, 0]) < UNSURE)


def _scaled(windows: Displacements, shape: tuple[int, int], order: int) -> Displacements:
    """With covariances κ C + FLOOR², κ such that half of the windows lie as near to the fitted
    field as half of all draws of a normal distribution do."""
    raw, kappa = windows.covariance, 1.0
    spare = max(len(windows) - terms(order), 1) / max(len(windows), 1)
    for _ in range(6):
        windows = replace(windows, covariance=kappa * raw + FLOOR**2 * np.eye(2))
        rest = windows.moves - _at(fit(windows, shape, order), windows)
        far = np.median(_distances(rest, windows.covariance)) / (2 * np.log(2)) / spare
        before, kappa = kappa, float(np.clip(kappa * far, 1.0, 1e6))
        if abs(kappa - before) < ALIKE_WEIGHTS * before:
            break
    return replace(windows, covariance=kappa * raw + FLOOR**2 * np.eye(2))


def _at(field: Field, windows: Displacements) -> Floats:
    """(n, 2) a field at the middles of windows."""
    return np.stack(field.at(windows.rows, windows.cols), axis=1)


def _distances(rest: Floats, covariance: Floats) -> Floats:
    """(n,) squares of distances in standard errors."""
    found: Floats = np.einsum(
        "ni,ni->n", rest, np.linalg.solve(covariance, rest[..., None])[..., 0]
    )
    return found


def fit(windows: Displacements, shape: tuple[int, int], order: int) -> Field:
    """The field of an order through windows: weighted least squares by their covariances, and by
    Huber's weights of those that lie far off.

    The covariance of its coefficients is ``H⁻¹ M H⁻¹``, H the normal matrix and M the sum of the
    squared scores of the windows, times n / (n − m) (White, Econometrica 48, 1980)."""
    m, n = terms(order), len(windows)
    design = np.moveaxis(Field.none(shape).raised(order).basis(windows.rows, windows.cols), 0, 1)
    sharpness = np.linalg.inv(windows.covariance)
    weight = np.ones(n)
    theta = np.zeros((2, m))
    for _ in range(10 if n > m else 1):
        normal = np.einsum("n,nij,na,nb->iajb", weight, sharpness, design, design)
        normal = normal.reshape(2 * m, 2 * m)
        right = np.einsum("n,nij,nj,na->ia", weight, sharpness, windows.moves, design)
        theta = np.linalg.lstsq(normal, right.ravel(), rcond=None)[0].reshape(2, m)
        rest = windows.moves - design @ theta.T
        far = np.sqrt(_distances(rest, windows.covariance))
        before, weight = weight, np.minimum(1.0, HUBER / np.maximum(far, 1e-9))
        if np.abs(weight - before).max(initial=0.0) < ALIKE_WEIGHTS:
            break
    scores = np.einsum("n,nij,nj,na->nia", weight, sharpness, rest, design).reshape(n, 2 * m)
    half = np.linalg.pinv(normal, hermitian=True)
    covariance = half @ (scores.T @ scores) @ half * (n / max(n - m, 1))
    return Field(shape, order, theta, covariance)


def choose(windows: Displacements, shape: tuple[int, int]) -> tuple[int, Floats]:
    """The order of the field that windows show, and the mean error (Huber's, in squares of
    standard errors) of fields of each order from −1 on, over windows of parts of the scene that
    they were not fitted to.

    It is the lowest order whose error exceeds the least by no more than one standard error of that
    excess over the parts."""
    highest = affordable(len(windows), HIGHEST)
    part = _parts(windows, shape)
    losses = np.stack([_losses(windows, shape, k, part) for k in range(-1, highest + 1)])
    means = losses.mean(axis=1)
    excess = losses - losses[np.argmin(means)]
    sums = np.stack([np.bincount(part, one, FOLDS**2) for one in excess])
    error = np.sqrt((sums**2).sum(axis=1)) / losses.shape[1]
    chosen = int(np.flatnonzero(means - means.min() <= error)[0])
    return chosen - 1, means


def _parts(windows: Displacements, shape: tuple[int, int]) -> np.ndarray:
    """(n,) the part of the scene that each window lies in."""
    row, col = (
        np.clip((one + 0.5) * FOLDS / side, 0, FOLDS - 1).astype(int)
        for one, side in zip((windows.rows, windows.cols), shape, strict=True)
    )
    found: np.ndarray = row * FOLDS + col
    return found


def _losses(windows: Displacements, shape: tuple[int, int], order: int, part: np.ndarray) -> Floats:
    """(n,) the error of each window, by a field that was fitted to those of other parts."""
    losses = np.empty(len(windows))
    for one in np.unique(part):
        out = part == one
        field = fit(windows.chosen(~out), shape, order)
        held = windows.chosen(out)
        far = np.sqrt(_distances(held.moves - _at(field, held), held.covariance))
        losses[out] = np.where(far < HUBER, far**2, HUBER * (2 * far - HUBER))
    return losses
