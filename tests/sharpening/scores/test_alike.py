"""How alike pairs of bands are, beside torchmetrics and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from sharp_images import batch, two_images

from bandfuse.sharpening.scores import alike


def test_quality_of_two_bands() -> None:
    """One window of 31 × 31 with equal weights is one square."""
    theirs_of = pytest.importorskip("torchmetrics.functional.image")
    result, truth = two_images(shape=(1, 31, 31))
    theirs = theirs_of.universal_image_quality_index(
        batch(result), batch(truth), kernel_size=(31, 31), sigma=(1e6, 1e6)
    )
    ours = alike.alike(np.concatenate([result, truth]), 31).mean
    assert ours[0, 1] == pytest.approx(float(theirs), rel=1e-6)


def plain_quality(a: np.ndarray, b: np.ndarray) -> float:
    ma, mb = a.mean(), b.mean()
    covariance = ((a - ma) * (b - mb)).mean()
    return float(4 * covariance * ma * mb / ((a.var() + b.var()) * (ma**2 + mb**2)))


def test_full_scale_scores_are_those_of_loops() -> None:
    rng = np.random.default_rng(3)
    fine_cube, _ = two_images(1, (4, 64, 32))
    fine_sharp = fine_cube[:2].mean(axis=0)[None] + 0.1 * rng.normal(size=(1, 64, 32))
    cube = fine_cube.reshape(4, 16, 4, 8, 4).mean(axis=(2, 4)) + 0.3 * rng.normal(size=(4, 16, 8))
    sharp = fine_sharp.reshape(1, 16, 4, 8, 4).mean(axis=(2, 4))

    def means(a: np.ndarray, b: np.ndarray, side: int) -> float:
        parts = [
            plain_quality(a[r : r + side, c : c + side], b[r : r + side, c : c + side])
            for r in range(0, a.shape[0], side)
            for c in range(0, a.shape[1], side)
        ]
        return float(np.mean(parts))

    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    d_lambda = np.mean(
        [abs(means(fine_cube[i], fine_cube[j], 32) - means(cube[i], cube[j], 8)) for i, j in pairs]
    )
    d_s = np.mean(
        [
            abs(means(fine_cube[i], fine_sharp[0], 32) - means(cube[i], sharp[0], 8))
            for i in range(4)
        ]
    )
    found = alike.distortions(
        alike.alike(np.concatenate([fine_cube, fine_sharp])),
        alike.alike(np.concatenate([cube, sharp]), 8),
        4,
    )
    assert found["d_lambda"] == pytest.approx(d_lambda, rel=1e-9)
    assert found["d_s"] == pytest.approx(d_s, rel=1e-9)
    assert found["qnr"] == pytest.approx((1 - d_lambda) * (1 - d_s), rel=1e-9)


def test_full_scale_scores_of_one_band_say_what_is_missing() -> None:
    stack, _ = two_images(shape=(2, 32, 32))
    found = alike.distortions(alike.alike(stack), alike.alike(stack), 1)
    assert found == {"d_lambda": None, "d_s": 0.0, "qnr": None}
