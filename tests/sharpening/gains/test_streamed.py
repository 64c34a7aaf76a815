"""Sharpening of files: what it writes, and that its bits depend on nothing but the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject, transform_bounds
from rasters import cli, ok
from sharp_images import MODULATION, error, interpolated, scene, seen

import bandfuse
from bandfuse import SharpenConfig
from bandfuse.errors import ConfigError, InputError, MismatchError, OutputError, UsageError
from bandfuse.sharpening.arrays import sharpened
from bandfuse.sharpening.gains.gainsfile import load_gains
from bandfuse.sharpening.pairs.pair import Geometry

Floats = NDArray[np.float64]
FINE = Affine(5, 0, 4e5, 0, -5, 5e6)
CRS = "EPSG:32633"
NM = (490.0, 560.0, 665.0, 842.0)


def write(path: Path, values: Floats, transform: Affine, **options: Any) -> Path:
    """A raster with wavelengths."""
    options = {"crs": CRS, "driver": "GTiff", "dtype": "float32", **options}
    count, rows, cols = values.shape
    with rasterio.open(
        path, "w", count=count, height=rows, width=cols, transform=transform, **options
    ) as ds:
        ds.write(values.astype(options["dtype"]))
        for i in range(count):
            if count == len(NM):
                ds.update_tags(i + 1, wavelength=f"{NM[i]}", wavelength_units="Nanometers")
    return path


def read(path: Path | str) -> Floats:
    with rasterio.open(path) as ds:
        return ds.read().astype(np.float64)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cube, a sharp image, and the truth; larger than one tile."""
    folder = tmp_path_factory.mktemp("images")
    truth, sharp = scene(320, noise=0.01, seed=11)
    write(folder / "cube.tif", seen(truth, 4), FINE @ Affine.scale(4))
    write(folder / "sharp.tif", sharp, FINE)
    write(folder / "truth.tif", truth, FINE)
    return folder


@pytest.fixture(scope="module")
def run(images: Path) -> Path:
    """The run that is learned from them."""
    sharpen(images, images / "run", blur=0.3, no_report=False)
    return images / "run"


def sharpen(folder: Path, output: Path, *names: str, **settings: Any) -> Any:
    """Without scores and a page, and without a look whether the images are displaced, unless that
    is asked for."""
    settings = {"no_report": "weights" not in settings, "shift": (0.0, 0.0), **settings}
    names = names or ("cube.tif", "sharp.tif")
    images = [str(folder / name) for name in names]
    return bandfuse.sharpen(SharpenConfig(images=images, output=str(output), **settings))


def test_the_run_holds_the_raster_the_weights_and_the_report(run: Path, images: Path) -> None:
    names = {p.name for p in run.iterdir()}
    assert {"sharpened.tif", "weights.safetensors", "report.json", "config.yaml"} <= names
    truth, cube = read(images / "truth.tif"), read(images / "cube.tif")
    assert error(read(run / "sharpened.tif"), truth) < 0.15 * error(interpolated(cube, 4), truth)


def test_the_result_has_the_sharp_grid_and_the_bands_of_the_cube(run: Path) -> None:
    with rasterio.open(run / "sharpened.tif") as ds:
        assert ds.transform == FINE
        assert ds.crs == rasterio.CRS.from_string(CRS)
        assert ds.shape == (320, 320)
    assert bandfuse.info([str(run / "sharpened.tif")]).scenes[0].bands[1].wavelength_nm == NM[1]


def test_the_streamed_result_is_that_of_arrays_to_the_bit(run: Path, images: Path) -> None:
    cube, sharp = read(images / "cube.tif"), read(images / "sharp.tif")
    weights = load_gains(run)
    geometry = Geometry.of_ratio((320, 320), 4)
    whole = sharpened(cube, [sharp], weights.gains, geometry)
    assert np.array_equal(read(run / "sharpened.tif"), whole.astype(np.float32))


@pytest.mark.parametrize("settings", [{"threads": 1}, {"threads": 3, "memory": 16}])
def test_threads_and_memory_change_no_bit(
    run: Path, images: Path, tmp_path: Path, settings: dict[str, int]
) -> None:
    sharpen(images, tmp_path / "again", blur=0.3, **settings)
    assert np.array_equal(
        read(tmp_path / "again" / "sharpened.tif"), read(run / "sharpened.tif"), equal_nan=True
    )
    one, two = (p / "weights.safetensors" for p in (run, tmp_path / "again"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "layout",
    [
        {"tiled": True, "blockxsize": 64, "blockysize": 32, "interleave": "pixel"},
        {"blockysize": 1},
        {"driver": "ENVI", "interleave": "bil"},
    ],
)
def test_layouts_change_no_bit(
    run: Path, images: Path, tmp_path: Path, layout: dict[str, Any]
) -> None:
    for name, transform in (("cube", FINE @ Affine.scale(4)), ("sharp", FINE)):
        write(tmp_path / f"{name}.x", read(images / f"{name}.tif"), transform, **layout)
    out = tmp_path / "out.tif"
    sharpen(tmp_path, out, "cube.x", "sharp.x", weights=str(run), nodata=["none"])
    assert np.array_equal(read(out), read(run / "sharpened.tif"))


def test_another_tile_is_sharpened_with_the_same_gains(
    run: Path, images: Path, tmp_path: Path
) -> None:
    truth, sharp = scene(160, seed=21)
    write(tmp_path / "cube.tif", seen(truth, 4), FINE @ Affine.scale(4))
    write(tmp_path / "sharp.tif", sharp, FINE)
    result = sharpen(tmp_path, tmp_path / "out.tif", weights=str(run))
    assert result.raster == str(tmp_path / "out.tif")
    base = interpolated(seen(truth, 4), 4)
    assert error(read(tmp_path / "out.tif"), truth) < 0.15 * error(base, truth)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("driver", "name"), [("COG", "out.tif"), ("ENVI", "out.img"), ("Zarr", "out.zarr")]
)
def test_other_formats_hold_the_same(
    run: Path, images: Path, tmp_path: Path, driver: str, name: str
) -> None:
    sharpen(images, tmp_path / name, weights=str(run), driver=driver)
    assert np.array_equal(read(tmp_path / name), read(run / "sharpened.tif"))


def test_integers_keep_scale_and_offset(run: Path, images: Path, tmp_path: Path) -> None:
    sharpen(
        images, tmp_path / "o.tif", weights=str(run), dtype="uint16", scale=0.001, offset_out=-50
    )
    with rasterio.open(tmp_path / "o.tif") as ds:
        assert ds.scales[0] == pytest.approx(0.001)
        values = ds.read().astype(np.float64) * 0.001 - 50
    assert np.abs(values - read(run / "sharpened.tif")).max() <= 0.00051


def test_bands_are_chosen_by_wavelength(images: Path, tmp_path: Path) -> None:
    result = sharpen(images, tmp_path / "run", blur=0.3, bands="550-700nm")
    assert [band.index for band in result.bands] == [2, 3]
    assert read(tmp_path / "run" / "sharpened.tif").shape == (2, 320, 320)


def test_the_weights_give_the_sharp_image_by_apply(run: Path, images: Path, tmp_path: Path) -> None:
    bandfuse.apply(
        run, bandfuse.ApplyConfig(scenes=[str(images / "cube.tif")], output=str(tmp_path / "t.tif"))
    )
    expected = seen(read(images / "sharp.tif"), 4)
    assert error(read(tmp_path / "t.tif"), expected, 2) < 0.05 * float(expected.std())


def test_half_a_sharp_image_sharpens_half_of_the_cube(images: Path, tmp_path: Path) -> None:
    half = read(images / "sharp.tif")[:, :, :160]
    write(tmp_path / "half.tif", half, FINE)
    names = [str(images / "cube.tif"), str(tmp_path / "half.tif")]
    result = bandfuse.sharpen(
        SharpenConfig(
            images=names,
            output=str(tmp_path / "run"),
            blur=0.3,
            source_band=True,
            no_report=True,
            shift=(0.0, 0.0),
        )
    )
    assert result.sharpened_share == pytest.approx(0.5, abs=0.02)
    assert result.interpolated_share == pytest.approx(0.5, abs=0.02)
    found = read(tmp_path / "run" / "sharpened.tif")
    assert found.shape == (5, 320, 320)
    assert (found[4, :, :156] == 2).all()
    assert (found[4, :, 164:] == 1).all()
    truth, plain = read(images / "truth.tif"), interpolated(read(images / "cube.tif"), 4)
    left, right = np.s_[:, :, :150], np.s_[:, :, 180:]
    assert error(found[:4][left], truth[left]) < 0.15 * error(plain[left], truth[left])
    assert found[:4][right][:, 20:-20, :-20] == pytest.approx(
        plain[right][:, 20:-20, :-20], abs=2e-3
    )
    assert any("only interpolated" in text for text in result.messages)


def test_nodata_of_the_sharp_image_can_be_declared(images: Path, tmp_path: Path) -> None:
    clouded = read(images / "sharp.tif")
    clouded[:, 100:140, 100:180] = -99
    write(tmp_path / "sharp.tif", clouded, FINE)
    names = [str(images / "cube.tif"), str(tmp_path / "sharp.tif")]
    bandfuse.sharpen(
        SharpenConfig(
            images=names,
            output=str(tmp_path / "run"),
            blur=0.3,
            source_band=True,
            nodata=["sharp=-99"],
            no_report=True,
            shift=(0.0, 0.0),
        )
    )
    found = read(tmp_path / "run" / "sharpened.tif")
    assert (found[4, 100:140, 100:180] == 1).all()
    assert (found[4, :90] == 2).all()
    assert np.isfinite(found).all()


def test_a_ratio_that_does_not_divide_and_a_grid_that_is_off(tmp_path: Path) -> None:
    truth, sharp = scene(200, seed=31)
    ratio = 3.5
    sigma = ratio * np.sqrt(2 * np.log(1 / MODULATION)) / np.pi
    from scipy.ndimage import gaussian_filter, map_coordinates

    at = (np.mgrid[0:56, 0:56] + 0.5) * ratio + 1.25 - 0.5
    cube = np.stack([map_coordinates(gaussian_filter(v, sigma), at, order=3) for v in truth])
    write(tmp_path / "cube.tif", cube, FINE @ Affine.translation(1.25, 1.25) @ Affine.scale(ratio))
    write(tmp_path / "sharp.tif", sharp, FINE)
    result = sharpen(tmp_path, tmp_path / "run", blur=0.3)
    assert result.ratio == pytest.approx(3.5)
    with rasterio.open(tmp_path / "run" / "sharpened.tif") as ds:
        row, col = (round((ds.transform.f - 5e6) / -5), round((ds.transform.c - 4e5) / 5))
        found = ds.read().astype(np.float64)
    assert (row, col) == (1, 1)
    part = truth[:, row : row + found.shape[1], col : col + found.shape[2]]
    known = np.isfinite(found).all(axis=0)
    inner = np.s_[12:-12, 12:-12]
    assert known[inner].all()
    assert error(found, part, 12) < 0.1 * float(part.std())


@pytest.mark.thorough
def test_a_sharp_image_in_another_crs_is_brought_to_the_cube(images: Path, tmp_path: Path) -> None:
    sharp = read(images / "sharp.tif")
    west, south, east, north = transform_bounds(CRS, "EPSG:32632", 4e5, 5e6 - 1600, 401600, 5e6)
    there = Affine(5, 0, west - 10, 0, -5, north + 10)
    rows, cols = int((north - south) / 5) + 4, int((east - west) / 5) + 4
    out = np.full((2, rows, cols), np.nan)
    reproject(
        sharp, out, src_transform=FINE, src_crs=CRS, dst_transform=there, dst_crs="EPSG:32632",
        resampling=Resampling.cubic, dst_nodata=np.nan,
    )  # fmt: skip
    write(tmp_path / "other.tif", out, there, crs="EPSG:32632", nodata=np.nan)
    names = [str(images / "cube.tif"), str(tmp_path / "other.tif")]
    result = bandfuse.sharpen(
        SharpenConfig(
            images=names, output=str(tmp_path / "run"), blur=0.3, no_report=True, shift=(0.0, 0.0)
        )
    )
    assert any("another CRS" in text for text in result.messages)
    found, truth = read(tmp_path / "run" / "sharpened.tif"), read(images / "truth.tif")
    base = interpolated(read(images / "cube.tif"), 4)
    assert error(found, truth, 30) < 0.6 * error(base, truth, 30)


def refused(images: Path, tmp_path: Path, *names: str, **settings: Any) -> UsageError:
    """The error of a sharpening that writes nothing."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError) as caught:
        sharpen(images, tmp_path / "run", *names, **settings)
    assert sorted(tmp_path.rglob("*")) == before
    return caught.value


def test_one_image_is_refused(images: Path, tmp_path: Path) -> None:
    assert isinstance(refused(images, tmp_path, "cube.tif"), ConfigError)


def test_images_in_the_wrong_order_are_refused(images: Path, tmp_path: Path) -> None:
    found = refused(images, tmp_path, "sharp.tif", "cube.tif")
    assert isinstance(found, MismatchError)
    assert "not sharper" in str(found)


def test_images_of_other_places_are_refused(images: Path, tmp_path: Path) -> None:
    write(images / "far.tif", read(images / "sharp.tif"), Affine.translation(1e5, 0) @ FINE)
    found = refused(images, tmp_path, "cube.tif", "far.tif")
    assert "lies elsewhere" in str(found)


def test_images_without_a_common_pixel_are_refused(images: Path, tmp_path: Path) -> None:
    write(images / "empty.tif", np.full((1, 320, 320), np.nan), FINE)
    found = refused(images, tmp_path, "cube.tif", "empty.tif")
    assert "too few valid pixels" in str(found)


def test_a_folder_that_is_no_run_is_not_replaced(images: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    assert isinstance(refused(images, tmp_path, overwrite=True), OutputError)


def test_weights_of_a_training_hold_no_gains(images: Path, tmp_path: Path) -> None:
    bandfuse.train(
        bandfuse.TrainConfig(
            scenes=[str(images / "cube.tif")],
            target=[str(images / "sharp.tif")],
            output=str(images / "trained"),
            no_report=True,
            overwrite=True,
        )
    )
    found = refused(images, tmp_path, weights=str(images / "trained"))
    assert isinstance(found, InputError)
    assert "holds no gains" in str(found)


def test_learning_does_not_apply_with_weights(images: Path, tmp_path: Path, run: Path) -> None:
    with pytest.raises(ConfigError, match="blur"):
        sharpen(images, tmp_path / "o.tif", weights=str(run), blur=0.3)


def test_the_command_says_what_it_did(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images)
    command = ["sharpen", "cube.tif", "sharp.tif", "-o", tmp_path / "run"]
    done = ok(*command, "--blur", "0.3", "--shift", "0,0", "--no-report")
    assert "4 of 4" in done.out
    again = cli(*command)
    assert again.code == 2
    assert "Traceback" not in again.err


def test_sharp_images_of_two_resolutions_help_more_than_one(images: Path, tmp_path: Path) -> None:
    sharp, truth = read(images / "sharp.tif"), read(images / "truth.tif")
    write(tmp_path / "cube.tif", read(images / "cube.tif"), FINE @ Affine.scale(4))
    write(tmp_path / "fine.tif", sharp[:1], FINE)
    write(tmp_path / "between.tif", seen(sharp[1:], 2), FINE @ Affine.scale(2))
    sharpen(tmp_path, tmp_path / "one", "cube.tif", "fine.tif", blur=0.3)
    both = sharpen(tmp_path, tmp_path / "two", "cube.tif", "between.tif", "fine.tif", blur=0.3)
    assert both.sharp == ["fine_b1", "between_b1"]
    one, two = (read(tmp_path / name / "sharpened.tif") for name in ("one", "two"))
    assert error(two, truth) < 0.6 * error(one, truth)
    names = ("cube.tif", "fine.tif", "between.tif")
    sharpen(tmp_path, tmp_path / "out.tif", *names, weights=str(tmp_path / "two"), threads=3)
    assert np.array_equal(read(tmp_path / "out.tif"), two)


def test_sharp_images_of_one_resolution_are_taken_together(
    run: Path, images: Path, tmp_path: Path
) -> None:
    sharp = read(images / "sharp.tif")
    for i in range(2):
        write(tmp_path / f"s{i}.tif", sharp[i : i + 1], FINE)
    write(tmp_path / "cube.tif", read(images / "cube.tif"), FINE @ Affine.scale(4))
    sharpen(tmp_path, tmp_path / "run", "cube.tif", "s0.tif", "s1.tif", blur=0.3)
    found = read(tmp_path / "run" / "sharpened.tif")
    assert np.array_equal(found, read(run / "sharpened.tif"))
