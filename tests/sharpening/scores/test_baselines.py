"""Other ways to sharpen, beside the shared protocol's formulas and GDAL's own result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from bandfuse.sharpening.scores import baselines


def scene(seed: int = 0, sharps: int = 1) -> tuple[np.ndarray, np.ndarray, baselines.View]:
    """Coarse pixels (n, B), (n, T), and a view to sharpen."""
    rng = np.random.default_rng(seed)
    t = rng.normal(size=(400, sharps)) + 5
    x = t @ rng.normal(size=(sharps, 6)) + 0.3 * rng.normal(size=(400, 6)) + 10
    raised, sharp, smooth = (rng.normal(size=(n, 8, 9)) + 10 for n in (6, sharps, sharps))
    return x, t, baselines.View(raised, sharp, smooth)


def test_interpolation_is_what_was_interpolated() -> None:
    x, t, view = scene()
    assert baselines.interpolation(x, t)(view) is view.raised


@pytest.mark.parametrize("sharps", [1, 3])
def test_glp_injects_by_regression(sharps: int) -> None:
    x, t, view = scene(sharps=sharps)
    slopes = np.linalg.lstsq(np.column_stack([t, np.ones(len(t))]), x, rcond=None)[0][:sharps]
    detail = (view.sharp - view.smooth).reshape(sharps, -1)
    expected = view.raised + (slopes.T @ detail).reshape(view.raised.shape)
    np.testing.assert_allclose(baselines.glp(x, t)(view), expected, rtol=1e-9)


@pytest.mark.parametrize("sharps", [1, 3])
def test_gsa_replaces_the_intensity_by_the_sharp_image(sharps: int) -> None:
    """By the formulas for whole covariances, on other code."""
    x, t, view = scene(sharps=sharps)
    joint = np.cov(np.hstack([x, t]).T, ddof=0)
    cxx, cxt = joint[:6, :6], joint[:6, 6:]
    w = np.linalg.solve(cxx + 1e-4 * np.trace(cxx) / 6 * np.eye(6), cxt).T
    flat = view.raised.reshape(6, -1)
    intensity = w @ (flat - x.mean(axis=0)[:, None]) + t.mean(axis=0)[:, None]
    gain = cxx @ w.T @ np.linalg.inv(w @ cxx @ w.T)
    expected = flat + gain @ (view.sharp.reshape(sharps, -1) - intensity)
    np.testing.assert_allclose(
        baselines.gsa(x, t)(view), expected.reshape(view.raised.shape), rtol=1e-8
    )


def test_gsa_takes_fewer_pixels_than_bands() -> None:
    x, t, view = scene()
    assert np.isfinite(baselines.gsa(x[:4], t[:4])(view)).all()


@pytest.mark.parametrize("name", ["gsa", "glp"])
def test_a_constant_sharp_image_adds_nothing(name: str) -> None:
    x, t, view = scene()
    flat = baselines.View(view.raised, np.full_like(view.sharp, 5.0), view.smooth)
    made = baselines.METHODS[name](x, np.full_like(t, 5.0))(flat)
    np.testing.assert_allclose(made, view.raised, atol=1e-9)


def pansharpened(folder: Path, cube: np.ndarray, pan: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What GDAL makes of a cube whose pixels are repeated: (B, H, W)."""
    ratio = pan.shape[0] // cube.shape[1]
    coarse = Affine(10 * ratio, 0, 0, 0, -10 * ratio, 0)
    for name, array, place in (
        ("cube", cube, coarse),
        ("pan", pan[None], Affine(10, 0, 0, 0, -10, 0)),
    ):
        with rasterio.open(
            folder / f"{name}.tif",
            "w",
            driver="GTiff",
            count=len(array),
            height=array.shape[1],
            width=array.shape[2],
            dtype="float64",
            crs="EPSG:32633",
            transform=place,
        ) as out:
            out.write(array)
    bands = "".join(
        f'<SpectralBand dstBand="{b}"><SourceFilename>{folder}/cube.tif</SourceFilename>'
        f"<SourceBand>{b}</SourceBand></SpectralBand>"
        for b in range(1, len(cube) + 1)
    )
    text = (
        '<VRTDataset subClass="VRTPansharpenedDataset"><PansharpeningOptions>'
        "<Algorithm>WeightedBrovey</Algorithm><AlgorithmOptions>"
        f"<Weights>{','.join(map(repr, weight.tolist()))}</Weights></AlgorithmOptions>"
        "<Resampling>Nearest</Resampling>"
        f"<PanchroBand><SourceFilename>{folder}/pan.tif</SourceFilename>"
        f"<SourceBand>1</SourceBand></PanchroBand>{bands}</PansharpeningOptions></VRTDataset>"
    )
    (folder / "sharpened.vrt").write_text(text)
    with rasterio.open(folder / "sharpened.vrt") as made:
        return np.asarray(made.read())


def test_brovey_is_gdals(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    cube = rng.uniform(1, 2, size=(3, 4, 5))
    pan = rng.uniform(1, 2, size=(16, 20))
    weight = np.array([0.2, 0.5, 0.3])
    expected = pansharpened(tmp_path, cube, pan, weight)
    raised = cube.repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_allclose(baselines.weighted_brovey(raised, pan, weight), expected, rtol=1e-12)


def test_brovey_without_an_intensity_is_zero() -> None:
    made = baselines.weighted_brovey(np.zeros((2, 1, 1)), np.ones((1, 1)), np.ones(2))
    assert (made == 0).all()


def test_brovey_sharpens_each_band_by_the_one_it_follows() -> None:
    rng = np.random.default_rng(5)
    t = rng.uniform(1, 2, size=(300, 2))
    x = np.column_stack([t[:, 0], 2 * t[:, 1]])
    raised, sharp = rng.uniform(1, 2, size=(2, 4, 4)), rng.uniform(1, 2, size=(2, 4, 4))
    made = baselines.brovey(x, t)(baselines.View(raised, sharp, sharp))
    # the intensities are band 1, and half of band 2
    np.testing.assert_allclose(made, np.stack([sharp[0], 2 * sharp[1]]), rtol=1e-6)
