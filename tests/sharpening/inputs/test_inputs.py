"""What may be given as a cube and as a sharp image: classes, constants, parts and clouds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from published import prisma, sentinel2, sentinel2_classes
from rasterio.transform import Affine
from sharp_images import scene, seen

import bandfuse
from bandfuse import ApplyConfig, SharpenConfig, TrainConfig
from bandfuse.config.paths import rebased
from bandfuse.errors import ConfigError, InputError, MismatchError, OutputError, UsageError
from bandfuse.files.yamlfile import read_yaml
from bandfuse.sharpening.arrays import learn_gains
from bandfuse.sharpening.gains.gainsfile import load_gains
from bandfuse.sharpening.pairs.pair import Geometry

Floats = NDArray[np.float64]
FINE = Affine(10, 0, 5e5, 0, -10, 5e6)
COLOURS = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)}


def write(path: Path, values: NDArray[Any], transform: Affine, **options: Any) -> Path:
    count, rows, cols = values.shape
    options = {"driver": "GTiff", "crs": "EPSG:32633", "dtype": values.dtype, **options}
    with rasterio.open(
        path, "w", count=count, height=rows, width=cols, transform=transform, **options
    ) as ds:
        ds.write(values)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube and a sharp image of two bands."""
    folder = tmp_path_factory.mktemp("inputs")
    truth, sharp = scene(96, noise=0.01)
    write(folder / "cube.tif", seen(truth, 4).astype("f4"), FINE @ Affine.scale(4))
    write(folder / "sharp.tif", sharp.astype("f4"), FINE)
    return folder


def sharpen(output: Path, *images: Path | str, **settings: Any) -> Any:
    settings = {"no_report": True, "blur": 0.3, **settings}
    config = SharpenConfig(images=[str(i) for i in images], output=str(output), **settings)
    return bandfuse.sharpen(config)


def refused(tmp_path: Path, kind: type[UsageError], *images: Path) -> str:
    """What is said of images that cannot be used; nothing is left behind."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(kind) as said:
        sharpen(tmp_path / "run", *images)
    assert sorted(tmp_path.iterdir()) == before
    return str(said.value)


def test_a_raster_with_a_colour_table_is_no_sharp_image(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "classes.tif"
    values = np.random.default_rng(0).integers(0, 2, (1, 96, 96)).astype("u1")
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=96, width=96, dtype="uint8", transform=FINE,
        crs="EPSG:32633",
    ) as ds:  # fmt: skip
        ds.write(values)
        ds.write_colormap(1, COLOURS)
    assert "numbers of classes" in refused(tmp_path, InputError, folder / "cube.tif", path)


def test_a_sharp_image_is_given_once(folder: Path, tmp_path: Path) -> None:
    sharp = folder / "sharp.tif"
    assert "twice" in refused(tmp_path, ConfigError, folder / "cube.tif", sharp, sharp)


def test_a_cube_is_not_its_own_sharp_image(folder: Path, tmp_path: Path) -> None:
    said = refused(tmp_path, MismatchError, folder / "cube.tif", folder / "cube.tif")
    assert "is the cube itself" in said


def test_a_constant_image_has_nothing_to_give(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "flat.tif", np.full((2, 96, 96), 3.1, "f4"), FINE)
    assert "does not vary" in refused(tmp_path, MismatchError, folder / "cube.tif", path)


def test_a_constant_band_beside_others_changes_nothing() -> None:
    truth, sharp = scene(96, noise=0.01)
    cube, geometry = seen(truth, 4), Geometry.of_ratio((96, 96), 4)
    with_flat = np.concatenate([sharp, np.full((1, 96, 96), 3.1)])
    alone = learn_gains(cube, [sharp], geometry, blur=0.3)
    beside = learn_gains(cube, [with_flat], geometry, blur=0.3)
    assert np.array_equal(beside.learned[:, 2], np.zeros(4))
    np.testing.assert_allclose(beside.learned[:, :2], alone.learned, rtol=1e-6)


def test_an_image_without_any_pixel_is_refused(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "empty.tif", np.full((1, 96, 96), -9, "f4"), FINE, nodata=-9)
    assert "too few valid pixels" in refused(tmp_path, MismatchError, folder / "cube.tif", path)


def test_a_cube_of_one_band_is_sharpened(folder: Path, tmp_path: Path) -> None:
    with rasterio.open(folder / "cube.tif") as ds:
        one = write(tmp_path / "one.tif", ds.read([1]), ds.transform)
    result = sharpen(tmp_path / "run", one, folder / "sharp.tif", no_report=False)
    assert [band.detail for band in result.bands] == [True]
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


def test_the_settings_of_a_run_work_from_any_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    sharpen(tmp_path / "run", "cube.tif", "sharp.tif")
    monkeypatch.chdir(tmp_path)
    kept = rebased(read_yaml(str(tmp_path / "run" / "config.yaml")), tmp_path / "run")
    assert "output" not in kept
    bandfuse.sharpen(SharpenConfig(**kept, output="again"))
    one, two = (tmp_path / name / "weights.safetensors" for name in ("run", "again"))
    assert one.read_bytes() == two.read_bytes()


def test_a_config_file_names_wavelengths_beside_it(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "nm.csv"
    table.write_text("wavelength,fwhm\n" + "".join(f"{500 + 90 * i},20\n" for i in range(4)))
    assert table.exists()
    images = [str(folder / name) for name in ("cube.tif", "sharp.tif")]
    kept = rebased({"images": images, "wavelengths": "nm.csv", "no_report": True}, tmp_path)
    result = bandfuse.sharpen(SharpenConfig(**kept, output=str(tmp_path / "run")))
    assert [band.wavelength_nm for band in result.bands] == [500, 590, 680, 770]


def test_inputs_are_listed_with_their_checksums(folder: Path, tmp_path: Path) -> None:
    sharpen(tmp_path / "run", folder / "cube.tif", folder / "sharp.tif")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    for item, name in zip(report["inputs"], ("cube.tif", "sharp.tif"), strict=True):
        data = (folder / name).read_bytes()
        assert item["sha256"] == hashlib.sha256(data).hexdigest()
        assert item["size"] == len(data)


def test_weights_have_intervals_that_the_file_keeps(folder: Path, tmp_path: Path) -> None:
    result = sharpen(tmp_path / "run", folder / "cube.tif", folder / "sharp.tif")
    gains = load_gains(tmp_path / "run").gains
    assert gains.weight_low is not None
    assert gains.weight_high is not None
    for k, band in enumerate(result.bands):
        np.testing.assert_array_equal(band.weight_low, gains.weight_low[:, k])
        np.testing.assert_array_equal(band.weight_high, gains.weight_high[:, k])
    assert np.all(gains.weight_low < gains.weight_high)
    inside = (gains.weight_low <= gains.weight) & (gains.weight <= gains.weight_high)
    assert inside.mean() > 0.8


def test_the_panchromatic_image_of_a_prisma_product_sharpens_its_cube(tmp_path: Path) -> None:
    made = prisma(tmp_path)
    result = sharpen(tmp_path / "run", made.path, f"{made.path}:PAN", blur="average")
    assert (result.ratio, result.rows, result.cols) == (6, 408, 300)
    assert result.sharpened_share > 0.5
    with rasterio.open(tmp_path / "run" / "sharpened.tif") as ds:
        mean = np.nanmean(ds.read(masked=True).filled(np.nan), axis=(1, 2))
    truth = np.nanmean(made.values, axis=(1, 2))
    order = np.argsort([band.wavelength_nm for band in result.bands])
    np.testing.assert_allclose(mean[order], truth[np.argsort(made.nm)], rtol=0.02)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("level", ["1", "2D"])
def test_a_prisma_product_alone_is_sharpened_by_its_panchromatic_image(
    level: str, tmp_path: Path
) -> None:
    made = prisma(tmp_path, level=level)
    how: dict[str, Any] = {"blur": "average", "shift": "keep"}
    alone = sharpen(tmp_path / "alone", made.path, **how)
    assert alone.ratio == 6
    assert (
        f"{made.path} is sharpened with {made.path}:PAN, as no sharp image is given"
        in alone.messages
    )
    sharpen(tmp_path / "both", made.path, f"{made.path}:PAN", **how)
    one, two = (tmp_path / name / "sharpened.tif" for name in ("alone", "both"))
    assert one.read_bytes() == two.read_bytes()


def test_a_prisma_product_without_a_panchromatic_image_needs_a_sharp_one(tmp_path: Path) -> None:
    made = prisma(tmp_path, 24, 20)
    with h5py.File(made.path, "r+") as file:
        del file["HDFEOS/SWATHS/PRS_L2D_PCO"]
    with pytest.raises(ConfigError, match=r"a cube and a sharp image are needed; got .*he5"):
        sharpen(tmp_path / "run", made.path)


def test_clouds_of_a_sharp_product_leave_the_cube_interpolated(tmp_path: Path) -> None:
    made = sentinel2(tmp_path)
    classes = np.full((66, 66), 4)
    classes[20:40, 10:30] = 9  # cloud, high probability
    sentinel2_classes(made, classes)
    with rasterio.open(next(made.path.glob("**/R10m/*B02_10m.jp2"))) as ds:
        fine, crs = ds.transform, ds.crs
    filled = np.where(np.isfinite(made.values), made.values, 0.1)
    coarse = filled[:3].reshape(3, 22, 6, 22, 6).mean(axis=(2, 4)).astype("f4")
    cube = write(tmp_path / "cube.tif", coarse, fine @ Affine.scale(6), crs=crs)
    how: dict[str, Any] = {"blur": "average", "shift": "keep", "source_band": True, "force": True}
    sharpen(tmp_path / "all", cube, made.path, **how)
    result = sharpen(tmp_path / "clear", cube, made.path, quality="cloud", **how)
    assert any("cloud are taken as missing" in text for text in result.messages)
    whole, clear = (
        rasterio.open(tmp_path / name / "sharpened.tif").read(4) for name in ("all", "clear")
    )
    assert np.all(whole[45:75, 25:55] == 2)
    assert np.all(clear[40:80, 20:60] == 1)
    assert np.all(clear[90:120, 90:120] == 2)
    with pytest.raises(InputError, match="pair of cube and sharp image offers no such layer"):
        sharpen(tmp_path / "no", cube, made.path, quality="haze", **how)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_images_without_any_position_are_laid_over_each_other(folder: Path, tmp_path: Path) -> None:
    plain = []
    for name in ("cube.tif", "sharp.tif"):
        with rasterio.open(folder / name) as ds:
            plain.append(write(tmp_path / name, ds.read(), Affine.identity(), crs=None))
    sharpen(tmp_path / "placed", folder / "cube.tif", folder / "sharp.tif")
    result = sharpen(tmp_path / "plain", *plain)
    assert any("cover the same place" in text for text in result.messages)
    one, two = (
        rasterio.open(tmp_path / name / "sharpened.tif").read() for name in ("placed", "plain")
    )
    np.testing.assert_allclose(two, one, rtol=1e-6)
    said = refused(tmp_path, MismatchError, plain[0], folder / "sharp.tif")
    assert "does not say where it lies" in said


@pytest.mark.parametrize(("dtype", "values"), [("u1", (0, 1)), ("u1", (0, 255)), ("f4", (1, 2))])
def test_a_mask_is_no_sharp_image(
    folder: Path, tmp_path: Path, dtype: str, values: tuple[int, int]
) -> None:
    drawn = np.random.default_rng(0).integers(0, 2, (1, 96, 96))
    path = write(tmp_path / "mask.tif", np.choose(drawn, values).astype(dtype), FINE)
    said = refused(tmp_path, InputError, folder / "cube.tif", path)
    assert "holds a mask" in said
    assert f"{values[0]} and {values[1]}" in said


def test_few_whole_numbers_are_doubted(folder: Path, tmp_path: Path) -> None:
    _, sharp = scene(96, noise=0.01)
    steps = np.digitize(sharp[:1], np.quantile(sharp[0], [0.25, 0.5, 0.75]))
    path = write(tmp_path / "steps.tif", steps.astype("u1"), FINE)
    result = sharpen(tmp_path / "run", folder / "cube.tif", path)
    assert any("4 different whole numbers" in text for text in result.messages)
    path = write(tmp_path / "bytes.tif", (30 * sharp[:1]).clip(0, 255).astype("u1"), FINE)
    result = sharpen(tmp_path / "other", folder / "cube.tif", path)
    assert not any("whole numbers" in text for text in result.messages)


def cut(folder: Path, tmp_path: Path, side: int) -> list[Path]:
    """So many rows and columns of the cube, and what lies on them of the sharp image."""
    out = []
    for name, n in (("cube.tif", side), ("sharp.tif", 4 * side)):
        with rasterio.open(folder / name) as ds:
            out.append(write(tmp_path / name, ds.read()[:, :n, :n], ds.transform))
    return out


def test_few_pixels_are_refused_or_said(folder: Path, tmp_path: Path) -> None:
    """Of two sharp bands: three numbers are learned of each band."""
    said = refused(tmp_path, MismatchError, *cut(folder, tmp_path, 2))
    assert "4 pixels of the cube; expected at least 9" in said
    for side, few in ((3, True), (7, True), (8, False)):
        run = tmp_path / f"run{side}"
        result = sharpen(run, *cut(folder, tmp_path, side))
        said = [text for text in result.messages if f"from {side**2} pixels" in text]
        assert bool(said) == few
    images = [str(path) for path in cut(folder, tmp_path, 2)]
    config = SharpenConfig(images=images, weights=str(run), output=str(tmp_path / "o.tif"))
    assert not any("pixels of the cube only" in text for text in bandfuse.sharpen(config).messages)


def test_the_folder_of_a_run_is_not_called_like_a_raster(folder: Path, tmp_path: Path) -> None:
    images = [str(folder / name) for name in ("cube.tif", "sharp.tif")]
    with pytest.raises(OutputError, match="ending of a raster") as said:
        bandfuse.sharpen(SharpenConfig(images=images, output=str(tmp_path / "o.tif"), blur=0.3))
    assert f"-o {tmp_path / 'o'}" in str(said.value)
    config = TrainConfig(scenes=images[:1], target=images[1:], output=str(tmp_path / "o.TIF"))
    with pytest.raises(OutputError, match="ending of a raster"):
        bandfuse.train(config)
    assert list(tmp_path.iterdir()) == []


def test_a_remedy_names_only_flags_that_there_are(folder: Path, tmp_path: Path) -> None:
    """Masks are no setting of commands that write rasters."""
    images = [folder / "cube.tif", folder / "sharp.tif"]
    with pytest.raises(InputError, match="Leave --quality out") as said:
        sharpen(tmp_path / "run", *images, quality="haze")
    assert "--mask" not in str(said.value)
    sharpen(tmp_path / "run", *images)
    config = ApplyConfig(scenes=[str(images[0])], output=str(tmp_path / "o.tif"), quality="haze")
    with pytest.raises(InputError, match="Leave --quality out") as said:
        bandfuse.apply(tmp_path / "run", config)
    assert "--mask" not in str(said.value)
