"""Scores of sharpened rasters against a true cube, beside whole arrays, numpy and torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine
from sharp_images import interpolated, scene, seen

import bandfuse
from bandfuse import EvaluateConfig, SharpenConfig
from bandfuse.errors import ConfigError, InputError, MismatchError, UsageError
from bandfuse.results.rasters import EvaluateResult
from bandfuse.sharpening.gains.gainsfile import dumps_gains, load_gains
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.sharpening.scores import scores
from bandfuse.sharpening.scores.squares import SQUARE
from bandfuse.sharpening.truth import scoring

Floats = NDArray[np.float64]
FINE = Affine(5, 0, 4e5, 0, -5, 5e6)
SIZE, RATIO = 96, 4
NM = (500.0, 590.0, 680.0, 770.0)


def write(
    path: Path, values: NDArray[Any], grid: Affine = FINE, nm: Sequence[float] = NM, **how: Any
) -> Path:
    count, rows, cols = values.shape
    how = {"driver": "GTiff", "crs": "EPSG:32633", "dtype": "float32", **how}
    with rasterio.open(
        path, "w", count=count, height=rows, width=cols, transform=grid, **how
    ) as ds:
        ds.write(values.astype(how["dtype"]))
        for i, one in enumerate(nm):
            ds.update_tags(i + 1, wavelength=f"{one}", wavelength_units="Nanometers")
    return path


def read(path: Path | str) -> Floats:
    with rasterio.open(path) as ds:
        values: Floats = ds.read().astype(np.float64)
    return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube, a sharp image, the true cube, and a run."""
    folder = tmp_path_factory.mktemp("evaluated")
    truth, sharp = scene(SIZE, noise=0.05)
    write(folder / "cube.tif", seen(truth, RATIO), FINE @ Affine.scale(RATIO))
    write(folder / "sharp.tif", sharp, nm=())
    write(folder / "truth.tif", truth)
    sharpen(folder, "run")
    return folder


def sharpen(folder: Path, run: str, **settings: Any) -> Any:
    images = [str(folder / "cube.tif"), str(folder / "sharp.tif")]
    settings = {"no_report": True, "blur": 0.3, "shift": "keep", **settings}
    return bandfuse.sharpen(SharpenConfig(images=images, output=str(folder / run), **settings))


def evaluate(run: Path, truth: Path, *rasters: Path, **settings: Any) -> EvaluateResult:
    paths = [str(raster) for raster in rasters]
    return bandfuse.evaluate(run, EvaluateConfig(scenes=paths, target=[str(truth)], **settings))


def test_the_scores_are_those_of_the_whole_arrays(folder: Path) -> None:
    found = evaluate(folder / "run", folder / "truth.tif")
    truth, result = read(folder / "truth.tif"), read(folder / "run" / "sharpened.tif")
    peak = truth.max(axis=(1, 2))
    expected = scores.scores_of(scores.image_sums(result, truth, peak), peak, RATIO)
    assert found.overall == pytest.approx(expected.overall, rel=1e-9)
    for i, row in enumerate(found.scores.values()):
        assert row["psnr"] == pytest.approx(expected.psnr[i], rel=1e-9)
        assert row["ssim"] == pytest.approx(expected.ssim[i], rel=1e-9)
        assert row["rmse"] == pytest.approx(expected.rmse[i], rel=1e-9)
    assert found.pixels.used == SIZE**2


def test_the_scores_are_those_of_numpy(folder: Path) -> None:
    """The formulas as shared/tools has them, within the window."""
    inner = slice(RATIO, -RATIO)
    truth = read(folder / "truth.tif")[:, inner, inner]
    result = read(folder / "run" / "sharpened.tif")[:, inner, inner]
    mse = np.square(result - truth).mean(axis=(1, 2))
    size = np.linalg.norm(result, axis=0) * np.linalg.norm(truth, axis=0)
    found = evaluate(
        folder / "run",
        folder / "truth.tif",
        window=(RATIO, RATIO, SIZE - 2 * RATIO, SIZE - 2 * RATIO),
    )
    psnr = (10 * np.log10(truth.max(axis=(1, 2)) ** 2 / mse)).mean()
    assert found.overall["psnr"] == pytest.approx(psnr, rel=1e-6)
    angle = np.degrees(np.arccos((result * truth).sum(axis=0) / size)).mean()
    assert found.overall["sam"] == pytest.approx(angle, rel=1e-6)
    ergas = 100 / RATIO * np.sqrt((mse / truth.mean(axis=(1, 2)) ** 2).mean())
    assert found.overall["ergas"] == pytest.approx(ergas, rel=1e-6)
    assert found.pixels.used == (SIZE - 2 * RATIO) ** 2


def test_the_scores_are_those_of_torchmetrics(folder: Path) -> None:
    image = pytest.importorskip("torchmetrics.functional.image")
    import torch

    truth, result = read(folder / "truth.tif"), read(folder / "run" / "sharpened.tif")
    y, t = torch.from_numpy(result)[None], torch.from_numpy(truth)[None]
    found = evaluate(folder / "run", folder / "truth.tif")
    ergas = image.error_relative_global_dimensionless_synthesis(y, t, ratio=RATIO)
    assert found.overall["ergas"] == pytest.approx(float(ergas), rel=1e-6)
    angle = image.spectral_angle_mapper(y, t)
    assert found.overall["sam"] == pytest.approx(np.degrees(float(angle)), rel=1e-6)
    for i, row in enumerate(found.scores.values()):
        peak = float(truth[i].max())
        psnr = image.peak_signal_noise_ratio(y[:, i : i + 1], t[:, i : i + 1], data_range=peak)
        _, ssim = image.structural_similarity_index_measure(
            y[:, i : i + 1], t[:, i : i + 1], data_range=peak, return_full_image=True
        )
        assert row["psnr"] == pytest.approx(float(psnr), rel=1e-6)
        assert row["ssim"] == pytest.approx(float(ssim[..., 5:-5, 5:-5].mean()), rel=1e-6)


def test_interpolation_of_the_cube_of_the_run_is_scored_beside(folder: Path) -> None:
    found = evaluate(folder / "run", folder / "truth.tif")
    assert found.sharpened is not None
    assert found.sharpened.cube == str(folder / "cube.tif")
    truth = read(folder / "truth.tif")
    inner = (slice(None), slice(12, -12), slice(12, -12))  # scipy treats edges in another way
    smooth = interpolated(read(folder / "cube.tif"), RATIO)
    mse = np.square(smooth - truth)[inner].mean(axis=(1, 2))
    within = evaluate(folder / "run", folder / "truth.tif", window=(12, 12, SIZE - 24, SIZE - 24))
    peak = truth[inner].max(axis=(1, 2))
    for i, row in enumerate(within.scores.values()):
        assert row["interpolated"] == pytest.approx(10 * np.log10(peak[i] ** 2 / mse[i]), rel=1e-3)
        assert row["gained"] == pytest.approx(
            float(row["psnr"] or 0) - float(row["interpolated"] or 0)
        )
        assert float(row["gained"] or 0) > 3
        assert float(row["error"] or 0) > 0
    assert within.sharpened is not None
    assert within.sharpened.interpolation["ergas"] > within.overall["ergas"]  # type: ignore[operator]


def test_a_raster_that_is_named_is_scored_as_the_own_result_is(folder: Path) -> None:
    own = evaluate(folder / "run", folder / "truth.tif")
    named = evaluate(
        folder / "run" / "weights.safetensors",
        folder / "truth.tif",
        folder / "run" / "sharpened.tif",
        cube=str(folder / "cube.tif"),
    )
    assert named.scores == own.scores
    assert named.overall == own.overall
    assert named.sharpened == own.sharpened


def test_without_its_cube_a_raster_has_no_gain(folder: Path) -> None:
    found = evaluate(folder / "run", folder / "truth.tif", folder / "run" / "sharpened.tif")
    assert found.sharpened is not None
    assert found.sharpened.ratio == RATIO
    assert found.sharpened.interpolation == {}
    assert set(found.scores["b1"]) == {"psnr", "ssim", "rmse"}


def test_weights_that_do_not_tell_the_ratio_give_no_ergas(folder: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / "weights.safetensors"
    path.write_bytes(dumps_gains(replace(load_gains(folder / "run"), ratio=np.nan)))
    raster = folder / "run" / "sharpened.tif"
    found = evaluate(path, folder / "truth.tif", raster)
    assert found.overall["ergas"] is None
    assert any("no ERGAS" in text for text in found.messages)
    again = evaluate(path, folder / "truth.tif", raster, cube=str(folder / "cube.tif"))
    assert again.overall == evaluate(folder / "run", folder / "truth.tif").overall


@pytest.mark.parametrize("how", [{"threads": 1}, {"threads": 4}, {"memory": 16}])
def test_scores_are_the_same_to_the_bit(folder: Path, how: dict[str, int]) -> None:
    assert evaluate(folder / "run", folder / "truth.tif", **how) == evaluate(
        folder / "run", folder / "truth.tif"
    )


def test_scores_do_not_depend_on_the_layout_of_files(folder: Path, tmp_path: Path) -> None:
    truth = read(folder / "truth.tif")
    other = write(
        tmp_path / "truth.tif", truth, tiled=True, blockxsize=16, blockysize=16, interleave="pixel"
    )
    envi = write(tmp_path / "truth.img", truth, driver="ENVI", interleave="bil")
    expected = evaluate(folder / "run", folder / "truth.tif")
    for path in (other, envi):
        found = evaluate(folder / "run", path)
        assert found.scores == expected.scores
        assert found.overall == expected.overall


def test_tiles_leave_no_seam(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate(folder / "run", folder / "truth.tif")
    monkeypatch.setattr(scoring, "TILE_BYTES", 1)
    every = scoring.tiles(Range(0, SIZE), Range(0, SIZE), 4)
    assert [len(some) for some in every] == [3, 3, 3]
    found = evaluate(folder / "run", folder / "truth.tif")
    assert found.overall == pytest.approx(whole.overall, rel=1e-12)
    for name, row in whole.scores.items():
        assert found.scores[name] == pytest.approx(row, rel=1e-9)


@pytest.mark.parametrize("bands", [1, 50, 224])
def test_tiles_are_as_large_as_their_bytes_allow(bands: int) -> None:
    """In whole squares: one more row and column of them would take too many."""
    first = scoring.tiles(Range(0, 4096), Range(0, 4096), bands)[0][0].window
    side = first.rows // SQUARE
    assert (first.rows, first.cols) == (side * SQUARE, side * SQUARE)
    assert 8 * bands * first.size <= scoring.TILE_BYTES
    assert 8 * bands * ((side + 1) * SQUARE) ** 2 > scoring.TILE_BYTES


def test_pixels_that_are_missing_in_one_do_not_count(folder: Path, tmp_path: Path) -> None:
    truth, result = read(folder / "truth.tif"), read(folder / "run" / "sharpened.tif")
    truth[1, 10:20, 30:60] = -9
    result[:, 50:, :7] = np.nan
    there = write(tmp_path / "truth.tif", truth, nodata=-9)
    here = write(tmp_path / "here.tif", result)
    mask = np.ones((1, SIZE, SIZE))
    mask[:, :, 80:] = 0
    found = evaluate(
        folder / "run", there, here, mask=[str(write(tmp_path / "m.tif", mask, nm=()))]
    )
    gone = {
        "missing in the sharpened raster": 46 * 7,
        "missing in the true cube": 300,
        "outside the mask": 16 * SIZE,
    }
    assert found.pixels.by_reason == gone
    hidden = np.where(truth == -9, np.nan, truth)
    hidden[:, :, 80:] = np.nan
    counts = np.isfinite(hidden).all(axis=0) & np.isfinite(result).all(axis=0)
    peak = np.where(counts, truth, -np.inf).max(axis=(1, 2))
    expected = scores.scores_of(scores.image_sums(result, hidden, peak), peak, RATIO)
    assert found.overall == pytest.approx(expected.overall, rel=1e-9)


def test_bands_are_matched_by_wavelength(folder: Path, tmp_path: Path) -> None:
    truth, rng = read(folder / "truth.tif"), np.random.default_rng(0)
    more = np.concatenate([rng.normal(10, 1, (2, SIZE, SIZE)), truth[::-1]])
    path = write(tmp_path / "t.tif", more, nm=(400.0, 900.0, 772.0, 679.0, 592.0, 498.0))
    found, expected = (evaluate(folder / "run", p) for p in (path, folder / "truth.tif"))
    assert found.scores == expected.scores
    assert found.overall == expected.overall
    assert found.sharpened is not None
    assert found.sharpened.true_bands == [6, 5, 4, 3]


def test_bands_without_a_true_one_are_named(folder: Path, tmp_path: Path) -> None:
    truth = read(folder / "truth.tif")
    path = write(tmp_path / "t.tif", truth[[3, 0, 2]], nm=(770.0, 500.0, 999.0))
    found = evaluate(folder / "run", path)
    whole = evaluate(folder / "run", folder / "truth.tif")
    assert list(found.scores) == ["b1", "b4"]
    for name, row in found.scores.items():
        assert row["psnr"] == pytest.approx(whole.scores[name]["psnr"])
    (said,) = [text for text in found.messages if "not compared" in text]
    assert "2 bands" in said
    assert "590" in said
    assert "680" in said


def test_bands_without_data_are_left_out(folder: Path, tmp_path: Path) -> None:
    truth = read(folder / "truth.tif")
    truth[1], truth[2] = np.nan, 0
    found = evaluate(folder / "run", write(tmp_path / "t.tif", truth))
    whole = evaluate(folder / "run", folder / "truth.tif")
    assert list(found.scores) == ["b1", "b4"]
    assert found.scores["b4"] == pytest.approx(whole.scores["b4"])
    assert found.overall["ergas"] is not None
    said = " ".join(found.messages)
    assert "missing in the true cube" in said
    assert "0 everywhere in the true cube" in said


def test_a_true_cube_with_smaller_pixels_is_averaged(folder: Path, tmp_path: Path) -> None:
    truth = read(folder / "truth.tif")
    rng = np.random.default_rng(0)
    fine = np.kron(truth, np.ones((1, 2, 2))) + rng.normal(size=(4, 2 * SIZE, 2 * SIZE))
    path = write(tmp_path / "fine.tif", fine, FINE @ Affine.scale(0.5), dtype="float64")
    mean = fine.reshape(4, SIZE, 2, SIZE, 2).mean(axis=(2, 4))
    same = write(tmp_path / "mean.tif", mean, dtype="float64")
    found, expected = (evaluate(folder / "run", p) for p in (path, same))
    assert found.overall == pytest.approx(expected.overall, rel=1e-6)
    assert any("brought to the grid" in text for text in found.messages)


def test_the_ratio_is_of_the_pixels_that_are_scored(folder: Path, tmp_path: Path) -> None:
    """A true cube with pixels twice as large."""
    truth = read(folder / "truth.tif").reshape(4, 48, 2, 48, 2).mean(axis=(2, 4))
    path = write(tmp_path / "t.tif", truth, FINE @ Affine.scale(2))
    own = evaluate(folder / "run", path)
    named = evaluate(folder / "run", path, folder / "run" / "sharpened.tif")
    for found in (own, named):
        assert found.sharpened is not None
        assert found.sharpened.ratio == pytest.approx(2)
    assert own.overall["ergas"] == named.overall["ergas"]


def again(folder: Path, there: Path, raster: str, **settings: Any) -> Path:
    """A run that holds another raster, of the same gains."""
    there.mkdir()
    for name in ("weights.safetensors", "config.yaml"):
        (there / name).write_bytes((folder / "run" / name).read_bytes())
    sharpen(folder, str(there / raster), weights=str(folder / "run"), blur="auto", **settings)
    return there


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("raster", "settings"),
    [
        ("sharpened.tif", {"source_band": True}),
        ("sharpened.img", {"driver": "ENVI"}),
        ("sharpened.zarr", {"driver": "Zarr"}),
    ],
)
def test_the_own_result_is_found_in_every_form(
    folder: Path, tmp_path: Path, raster: str, settings: dict[str, Any]
) -> None:
    """The band that says what pixels are made of is none of the cube's."""
    run = again(folder, tmp_path / "run", raster, **settings)
    found, expected = (evaluate(r, folder / "truth.tif") for r in (run, folder / "run"))
    assert found.scores == expected.scores
    assert found.overall == expected.overall


def test_some_bands_that_were_sharpened_are_found_in_the_cube(folder: Path) -> None:
    sharpen(folder, "some", bands="3-4")
    found = evaluate(folder / "some", folder / "truth.tif")
    assert list(found.scores) == ["b3", "b4"]
    whole = evaluate(folder / "run", folder / "truth.tif")
    for name, row in found.scores.items():
        assert row["interpolated"] == pytest.approx(whole.scores[name]["interpolated"])


def test_a_cube_that_is_gone_is_said(folder: Path, tmp_path: Path) -> None:
    run = again(folder, tmp_path / "run", "sharpened.tif")
    settings = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(settings.replace("cube.tif", "gone.tif"))
    found = evaluate(run, folder / "truth.tif")
    assert any("--cube" in text and "gone.tif" in text for text in found.messages)
    assert found.overall == evaluate(folder / "run", folder / "truth.tif").overall
    (run / "config.yaml").unlink()
    assert any("--cube names" in text for text in evaluate(run, folder / "truth.tif").messages)


def test_a_part_of_the_scene_is_scored_where_it_lies(folder: Path, tmp_path: Path) -> None:
    part = read(folder / "truth.tif")[:, 20:70, 8:90]
    path = write(tmp_path / "part.tif", part, FINE @ Affine.translation(8, 20))
    found = evaluate(folder / "run", path)
    within = evaluate(folder / "run", folder / "truth.tif", window=(20, 8, 50, 82))
    assert found.overall == pytest.approx(within.overall, rel=1e-9)
    assert found.pixels.used == 50 * 82


def refused(kind: type[UsageError], run: Path, truth: Path, *rasters: Path, **how: Any) -> str:
    with pytest.raises(kind) as said:
        evaluate(run, truth, *rasters, **how)
    return str(said.value)


def test_what_has_no_meaning_is_refused(folder: Path, tmp_path: Path) -> None:
    run, truth = folder / "run", folder / "truth.tif"
    with pytest.raises(ConfigError, match="against the true cube"):
        bandfuse.evaluate(run, EvaluateConfig())
    said = refused(ConfigError, run, truth, folder / "cube.tif")
    assert "is the cube that the run sharpened" in said
    assert "--labels does not apply" in refused(ConfigError, run, truth, labels=["l.tif"])
    said = refused(MismatchError, run, truth, folder / "sharp.tif")
    assert "another number of bands" in said
    said = refused(MismatchError, run, folder / "sharp.tif")
    assert "cannot be paired" in said
    said = refused(MismatchError, run, folder / "cube.tif")
    assert "not smaller than those of the cube" in said
    far = write(tmp_path / "far.tif", read(truth), FINE @ Affine.translation(1e5, 0))
    refused(MismatchError, run, far)
    other = write(tmp_path / "nm.tif", read(truth), nm=(1500.0, 1600.0, 1700.0, 1800.0))
    assert "no band at the wavelength" in refused(MismatchError, run, other)
    empty = write(tmp_path / "empty.tif", np.full((4, SIZE, SIZE), np.nan))
    assert "no band can be scored" in refused(InputError, run, empty)


def test_other_units_are_said_before_the_work(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "t.tif", read(folder / "truth.tif") * 1e4)
    assert "10 000 times" in refused(MismatchError, folder / "run", path)
    found = evaluate(folder / "run", path, any_units=True)
    assert any("10 000 times" in text for text in found.messages)
    cube = write(tmp_path / "cube.tif", read(folder / "cube.tif") * 1e4, FINE @ Affine.scale(RATIO))
    said = refused(MismatchError, folder / "run", folder / "truth.tif", cube=str(cube))
    assert "cube 'cube'" in said


def test_a_run_without_its_raster_says_so(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes((folder / "run" / "weights.safetensors").read_bytes())
    assert "holds no sharpened raster" in refused(InputError, path, folder / "truth.tif")
