"""Scores of sharpened cubes, beside torchmetrics and plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from bandfuse.sharpening.scores import alike, scores
from bandfuse.streaming.blocks import BlockGrid, blocks

SHAPE = (5, 70, 66)


def pair(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image with all bands above zero, and a worse one."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : shape[1], 0 : shape[2]] / 10
    level = np.arange(1, shape[0] + 1)[:, None, None]
    truth = 3 * level + np.sin(y * level + x) + 0.3 * rng.normal(size=shape)
    return 1.02 * truth + 0.2 * rng.normal(size=shape) + 0.05, truth


def whole(result: np.ndarray, truth: np.ndarray, ratio: float = 4) -> scores.Scores:
    peak = scores.peak_of(truth)
    return scores.scores_of(scores.image_sums(result, truth, peak), peak, ratio)


def batch(array: np.ndarray) -> object:
    import torch

    return torch.from_numpy(array)[None]


class TestTorchmetrics:
    """The functions of another library on the same images."""

    @pytest.fixture(autouse=True)
    def image_functions(self) -> None:
        self.theirs = pytest.importorskip("torchmetrics.functional.image")

    def test_spectral_angle(self) -> None:
        result, truth = pair()
        angle = self.theirs.spectral_angle_mapper(batch(result), batch(truth))
        assert whole(result, truth).overall["sam"] == pytest.approx(np.degrees(float(angle)))

    def test_ergas(self) -> None:
        result, truth = pair()
        theirs = self.theirs.error_relative_global_dimensionless_synthesis(
            batch(result), batch(truth), ratio=4
        )
        assert whole(result, truth).overall["ergas"] == pytest.approx(float(theirs))

    def test_psnr_and_ssim_of_each_band(self) -> None:
        result, truth = pair()
        found = whole(result, truth)
        for b, peak in enumerate(truth.max(axis=(1, 2)).tolist()):
            y, t = batch(result[b : b + 1]), batch(truth[b : b + 1])
            psnr = self.theirs.peak_signal_noise_ratio(y, t, data_range=peak)
            # theirs mirrors the image at its edges; what is within them is as published
            _, ssim = self.theirs.structural_similarity_index_measure(
                y, t, data_range=peak, return_full_image=True
            )
            assert found.psnr[b] == pytest.approx(float(psnr), rel=1e-6)
            assert found.ssim[b] == pytest.approx(float(ssim[..., 5:-5, 5:-5].mean()), rel=1e-6)

    def test_quality_of_two_bands(self) -> None:
        """One window of 31 × 31 with equal weights is one square."""
        result, truth = pair(shape=(1, 31, 31))
        theirs = self.theirs.universal_image_quality_index(
            batch(result), batch(truth), kernel_size=(31, 31), sigma=(1e6, 1e6)
        )
        ours = alike.alike(np.concatenate([result, truth]), 31).mean
        assert ours[0, 1] == pytest.approx(float(theirs), rel=1e-6)

    def test_root_of_the_squared_error(self) -> None:
        regression = pytest.importorskip("torchmetrics.functional.regression")
        result, truth = pair()
        for b, rmse in enumerate(whole(result, truth).rmse.tolist()):
            y, t = batch(result[b]), batch(truth[b])
            theirs = regression.mean_squared_error(y, t, squared=False)
            assert rmse == pytest.approx(float(theirs))


def test_scores_of_blocks_add_up() -> None:
    result, truth = pair()
    peak = scores.peak_of(truth)
    parts = scores.block_sums(result, truth, peak, blocks(SHAPE[1:], 3))
    together, at_once = scores.total(parts), scores.image_sums(result, truth, peak)
    assert len(parts) == 9
    assert together.pixels == at_once.pixels == SHAPE[1] * SHAPE[2]
    assert together.windows == at_once.windows == (SHAPE[1] - 10) * (SHAPE[2] - 10)
    for name in ("squared", "truth", "angle", "ssim"):
        np.testing.assert_allclose(getattr(together, name), getattr(at_once, name), rtol=1e-12)


def test_a_block_has_the_error_of_its_pixels() -> None:
    result, truth = pair()
    parts = scores.block_sums(
        result, truth, scores.peak_of(truth), BlockGrid((0, 30, 70), (0, 20, 66))
    )
    expected = ((result - truth)[:, 30:, :20] ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(parts[2].mse, expected, rtol=1e-12)


def test_pixels_that_are_not_valid_do_not_count() -> None:
    result, truth = pair()
    hidden, changed = result.copy(), result.copy()
    hidden[2, 20:25, 30:35], changed[:, 20:25, 30:35] = np.nan, 1e6
    peak = scores.peak_of(truth)
    sums = scores.image_sums(hidden, truth, peak)
    assert sums.pixels == SHAPE[1] * SHAPE[2] - 25
    # windows that touch the hole are left out
    assert sums.windows == (SHAPE[1] - 10) * (SHAPE[2] - 10) - 15 * 15
    keep = np.ones(SHAPE[1:], dtype=bool)
    keep[20:25, 30:35] = False
    error = ((changed - truth)[:, keep] ** 2).mean(axis=1)
    np.testing.assert_allclose(sums.mse, error, rtol=1e-12)


def test_equal_images_are_perfect() -> None:
    _, truth = pair()
    found = whole(truth, truth)
    assert np.isnan(found.psnr).all()
    assert found.overall["psnr"] is None
    assert found.overall["sam"] == pytest.approx(0, abs=1e-5)
    assert found.overall["ergas"] == 0
    assert found.overall["ssim"] == pytest.approx(1)
    assert found.overall["q2n"] == pytest.approx(1)


def test_nothing_valid_has_no_scores() -> None:
    _, truth = pair()
    found = whole(np.full_like(truth, np.nan), truth)
    assert set(found.overall.values()) == {None}


def test_images_smaller_than_the_window_have_no_ssim() -> None:
    result, truth = pair(shape=(2, 10, 40))
    assert whole(result, truth).overall["ssim"] is None
    assert whole(result, truth).overall["q2n"] is not None


def plain_quality(a: np.ndarray, b: np.ndarray) -> float:
    ma, mb = a.mean(), b.mean()
    covariance = ((a - ma) * (b - mb)).mean()
    return float(4 * covariance * ma * mb / ((a.var() + b.var()) * (ma**2 + mb**2)))


def test_full_scale_scores_are_those_of_loops() -> None:
    rng = np.random.default_rng(3)
    fine_cube, _ = pair(1, (4, 64, 32))
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
    stack, _ = pair(shape=(2, 32, 32))
    found = alike.distortions(alike.alike(stack), alike.alike(stack), 1)
    assert found == {"d_lambda": None, "d_s": 0.0, "qnr": None}
