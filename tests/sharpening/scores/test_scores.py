"""Scores of sharpened cubes, beside torchmetrics and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from sharp_images import SHAPE, batch, two_images

from bandfuse.sharpening.scores import scores
from bandfuse.streaming.blocks import BlockGrid, blocks


def whole(result: np.ndarray, truth: np.ndarray, ratio: float = 4) -> scores.Scores:
    peak = scores.peak_of(truth)
    return scores.scores_of(scores.image_sums(result, truth, peak), peak, ratio)


class TestTorchmetrics:
    """The functions of another library on the same images."""

    @pytest.fixture(autouse=True)
    def image_functions(self) -> None:
        self.theirs = pytest.importorskip("torchmetrics.functional.image")

    def test_spectral_angle(self) -> None:
        result, truth = two_images()
        angle = self.theirs.spectral_angle_mapper(batch(result), batch(truth))
        assert whole(result, truth).overall["sam"] == pytest.approx(np.degrees(float(angle)))

    def test_ergas(self) -> None:
        result, truth = two_images()
        theirs = self.theirs.error_relative_global_dimensionless_synthesis(
            batch(result), batch(truth), ratio=4
        )
        assert whole(result, truth).overall["ergas"] == pytest.approx(float(theirs))

    def test_psnr_and_ssim_of_each_band(self) -> None:
        result, truth = two_images()
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

    def test_root_of_the_squared_error(self) -> None:
        regression = pytest.importorskip("torchmetrics.functional.regression")
        result, truth = two_images()
        for b, rmse in enumerate(whole(result, truth).rmse.tolist()):
            y, t = batch(result[b]), batch(truth[b])
            theirs = regression.mean_squared_error(y, t, squared=False)
            assert rmse == pytest.approx(float(theirs))


def test_scores_of_blocks_add_up() -> None:
    result, truth = two_images()
    peak = scores.peak_of(truth)
    parts = scores.block_sums(result, truth, peak, blocks(SHAPE[1:], 3))
    together, at_once = scores.total(parts), scores.image_sums(result, truth, peak)
    assert len(parts) == 9
    assert together.pixels == at_once.pixels == SHAPE[1] * SHAPE[2]
    assert together.windows == at_once.windows == (SHAPE[1] - 10) * (SHAPE[2] - 10)
    for name in ("squared", "truth", "angle", "ssim"):
        np.testing.assert_allclose(getattr(together, name), getattr(at_once, name), rtol=1e-12)


def test_a_block_has_the_error_of_its_pixels() -> None:
    result, truth = two_images()
    parts = scores.block_sums(
        result, truth, scores.peak_of(truth), BlockGrid((0, 30, 70), (0, 20, 66))
    )
    expected = ((result - truth)[:, 30:, :20] ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(parts[2].mse, expected, rtol=1e-12)


def test_pixels_that_are_not_valid_do_not_count() -> None:
    result, truth = two_images()
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
    _, truth = two_images()
    found = whole(truth, truth)
    assert np.isnan(found.psnr).all()
    assert found.overall["psnr"] is None
    assert found.overall["sam"] == pytest.approx(0, abs=1e-5)
    assert found.overall["ergas"] == 0
    assert found.overall["ssim"] == pytest.approx(1)
    assert found.overall["q2n"] == pytest.approx(1)


def test_nothing_valid_has_no_scores() -> None:
    _, truth = two_images()
    found = whole(np.full_like(truth, np.nan), truth)
    assert set(found.overall.values()) == {None}


def test_images_smaller_than_the_window_have_no_ssim() -> None:
    result, truth = two_images(shape=(2, 10, 40))
    assert whole(result, truth).overall["ssim"] is None
    assert whole(result, truth).overall["q2n"] is not None
