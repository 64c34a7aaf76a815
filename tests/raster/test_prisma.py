"""PRISMA's levels and parts: what is read of them, where it lies, and what is refused, against h5py
and numpy."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import numpy as np
import published
import pytest
import rasterio
from product_checks import refused_in_one_line
from rasters import cli, ok, read

from bandfuse.raster import Raster, Reader, describe, quicklook
from bandfuse.streaming.windows import Window

LEVELS = ("1", "2B", "2C", "2D")


def pixels(raster: Raster) -> np.ndarray:
    """(B, H, W) as bandfuse reads them."""
    with Reader([(raster, range(len(raster.bands)))]) as reader:
        whole = reader.read(Window(0, 0, *raster.shape))
        x: np.ndarray = whole.cell(slice(0, raster.rows), slice(0, raster.cols)).values().copy()
    return x.reshape(-1, *raster.shape)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("part", ["PAN", "pan"])
def test_the_panchromatic_image_of_every_level(level: str, part: str, tmp_path: Path) -> None:
    made = published.prisma(tmp_path, 24, 20, level=level)
    raster = describe(f"{made.path}:{part}")
    assert raster.product == f"PRISMA L{level} PAN"
    assert raster.bands.name == ("PAN",)
    assert np.isnan(raster.bands.wavelength_nm).all()
    assert np.isnan(made.extra["pan"]).any()
    np.testing.assert_allclose(pixels(raster), made.extra["pan"], rtol=1e-7, atol=1e-9)
    thin = quicklook(raster, [0], most=48)
    np.testing.assert_allclose(thin[..., 0], made.extra["pan"][0, ::3, ::3], rtol=1e-7, atol=1e-9)


def test_without_its_errors_the_panchromatic_image_says_so(tmp_path: Path) -> None:
    made = published.prisma(tmp_path, 24, 20, leave="PIXEL_L2_ERR_MATRIX")
    raster = describe(f"{made.path}:PAN")
    assert "there is no pixel error matrix" in " ".join(raster.messages)
    np.testing.assert_allclose(pixels(raster), made.extra["pan"], rtol=1e-7)


@pytest.mark.parametrize(
    ("more", "corner"),
    [
        # rows and columns of 5 m beyond 6 per pixel of the cube; the edge of the first pixel, in m
        # from the centre of the first pixel of the cube
        (0, -15.0),
        (-5, -2.5),
        (-6, 0.0),
        (3, -2.5),
    ],
)
def test_the_place_of_the_panchromatic_image_follows_from_its_size(
    more: int, corner: float, tmp_path: Path
) -> None:
    path = published.prisma(tmp_path, 24, 20).path
    with h5py.File(path, "r+") as file:
        fields = file["HDFEOS/SWATHS/PRS_L2D_PCO/Data Fields"]
        for name in ("Cube", "PIXEL_L2_ERR_MATRIX"):
            kind = fields[name].dtype
            del fields[name]
            fields[name] = np.ones((24 * 6 + more, 20 * 6 + more), kind)
    raster = describe(f"{path}:PAN")
    assert (raster.transform.a, raster.transform.e) == (5.0, -5.0)
    assert raster.transform.c == pytest.approx(500_015.0 + corner)
    assert raster.transform.f == pytest.approx(4_999_985.0 - corner)
    assert str(raster.crs) == "EPSG:32632"
    assert ("do not fit the corners" in " ".join(raster.messages)) == (more == 3)
    if not more:
        cube = describe(path)
        assert raster.transform @ (120, 144) == pytest.approx(cube.transform @ (20, 24))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("level", ["1", "2B", "2C"])
@pytest.mark.parametrize("part", ["", ":PAN"])
def test_sensor_geometry_has_points_on_the_ground(level: str, part: str, tmp_path: Path) -> None:
    """At the centres of pixels, VNIR's of L1; fused rasters keep them."""
    made = published.prisma(tmp_path, 24, 20, level=level)
    raster = describe(f"{made.path}{part}")
    assert raster.crs is None
    assert raster.transform.is_identity
    assert raster.glt is None
    assert "sensor geometry" in " ".join(raster.messages)
    swath = "PCO" if part else "HCO"
    ending = "_VNIR" if level == "1" and not part else ""
    with h5py.File(made.path) as file:
        place = file[f"HDFEOS/SWATHS/PRS_L{level}_{swath}/Geolocation Fields"]
        y, x = (place[f"{name}{ending}"][()] for name in ("Latitude", "Longitude"))
    points = raster.control.points
    assert len(points) == 100
    assert str(raster.control.crs) == "EPSG:4326"
    for p in points:
        row, col = int(p.row), int(p.col)
        assert (p.row, p.col) == (row + 0.5, col + 0.5)
        assert (p.y, p.x) == (y[row, col], x[row, col])
    corners = {(int(p.row), int(p.col)) for p in points}
    assert {(0, 0), (raster.rows - 1, raster.cols - 1)} <= corners
    learn = ["train", f"{made.path}{part}", "--groups", "equal:1", "--folds", 0, "--no-report"]
    ok(*learn, "--steps", 2, "-o", tmp_path / "run")
    with rasterio.open(tmp_path / "run/fused.tif") as ds:
        kept = [(p.row, p.col, p.x, p.y) for p in ds.gcps[0]]
    np.testing.assert_allclose(kept, [(p.row, p.col, p.x, p.y) for p in points], rtol=1e-12)


def test_places_that_are_none_are_no_points(tmp_path: Path) -> None:
    path = published.prisma(tmp_path, 24, 20, level="2C").path
    with h5py.File(path, "r+") as file:
        place = file["HDFEOS/SWATHS/PRS_L2C_HCO/Geolocation Fields"]
        place["Latitude"][:12] = np.nan
    assert 0 < len(describe(path).control.points) < 100
    with h5py.File(path, "r+") as file:
        del file["HDFEOS/SWATHS/PRS_L2C_HCO/Geolocation Fields/Latitude"]
    raster = describe(path)
    assert not raster.control
    assert "does not tell where it lies" in " ".join(raster.messages)


def test_nothing_is_a_value_of_level_1(tmp_path: Path) -> None:
    """Radiance of deep absorptions is rounded to DN 0; of level 2, 0 is no data."""
    for level, missing in (("1", False), ("2B", True)):
        path = published.prisma(tmp_path, 24, 20, level=level, leave="none").path
        with h5py.File(path, "r+") as file:
            fields = file[f"HDFEOS/SWATHS/PRS_L{level}_HCO/Data Fields"]
            errors = "SAT" if level == "1" else "L2"
            fields[f"VNIR_PIXEL_{errors}_ERR_MATRIX"][:] = 0
            assert (fields["VNIR_Cube"][-4:, 3, :6] == 0).all()
        x = pixels(describe(path))[0, -4:, :6]
        assert np.isnan(x).all() if missing else (x == 0).all()


def test_what_was_not_registered_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    made = published.prisma(tmp_path, 24, 20, level="1")
    with h5py.File(made.path, "r+") as file:
        swaths = file["HDFEOS/SWATHS"]
        swaths.copy("PRS_L1_HCO", "PRS_L1_HRC")
        swaths["PRS_L1_HRC/Data Fields/VNIR_Cube"][:] = 7
        swaths["PRS_L1_HRC/Data Fields/VNIR_PIXEL_SAT_ERR_MATRIX"][:] = 0
    raster = describe(f"{made.path}:HRC")
    assert raster.product == "PRISMA L1 HRC"
    assert "not registered to each other" in " ".join(raster.messages)
    x = pixels(raster)
    np.testing.assert_allclose(x[:3], 7 / np.float64(np.float32(1.37) * 100))
    np.testing.assert_allclose(x[3:], made.values[3:], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(pixels(describe(made.path)), made.values, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("level", "part", "says"),
    [
        ("2D", "SWIR", "has no part SWIR"),
        ("2D", "HRC", "has no part HRC"),
        ("1", "HRC", "no HDFEOS/SWATHS/PRS_L1_HRC/Data_Fields"),
    ],
)
def test_parts_that_are_none_are_refused(level: str, part: str, says: str, tmp_path: Path) -> None:
    path = published.prisma(tmp_path, 24, 20, level=level).path
    done = cli("info", f"{path}:{part}")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert says in done.err


def test_a_panchromatic_image_without_a_map_is_no_target_of_its_cube(tmp_path: Path) -> None:
    """Nothing that a user cannot do is asked: no position can be written into the product."""
    made = published.prisma(tmp_path, level="1")
    refused_in_one_line(
        *("train", made.path, "--target", f"{made.path}:PAN", "-o", tmp_path / "run"),
        says=("408 × 300 pixels", "if both lie on a map, and PRISMA L1 PAN does not", "one size"),
    )


@pytest.mark.parametrize("part", ["PAN", "hrc"])
def test_a_part_of_a_folder_or_an_archive_is_refused_in_one_line(part: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    made = published.prisma(tmp_path / "in", level="1")
    asked = f"{tmp_path / 'in'}:{part}"
    refused_in_one_line("info", asked, says=("is a folder", f"expected {made.path}:{part}."))
    target = ("train", made.path, "--target", asked, "-o", tmp_path / "run")
    refused_in_one_line(*target, says=("is a folder", f"expected {made.path}:{part}."))
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(made.path, made.path.name)
    refused_in_one_line("info", f"{tmp_path / 'p.zip'}:{part}", says=("holds PRISMA L1", "Unpack"))
    assert not (tmp_path / "run").exists()


def test_a_file_without_a_panchromatic_image_is_told(tmp_path: Path) -> None:
    path = published.prisma(tmp_path, 24, 20).path
    assert f"{path}:PAN" in " ".join(describe(path).messages)
    with h5py.File(path, "r+") as file:
        del file["HDFEOS/SWATHS/PRS_L2D_PCO"]
    assert "PAN" not in " ".join(describe(path).messages)
    done = cli("info", f"{path}:PAN")
    assert done.code == 2
    assert "no HDFEOS/SWATHS/PRS_L2D_PCO/Data_Fields" in done.err


def test_a_scale_factor_of_nothing_is_refused(tmp_path: Path) -> None:
    path = published.prisma(tmp_path, 24, 20, level="1").path
    with h5py.File(path, "r+") as file:
        file.attrs["ScaleFactor_Swir"] = np.float32(0)
    done = cli("info", path)
    assert done.code == 2
    assert "ScaleFactor_Swir" in done.err
    assert "a number above 0" in done.err


def test_the_level_is_that_of_the_swaths_where_the_file_does_not_say_it(tmp_path: Path) -> None:
    path = published.prisma(tmp_path, 24, 20, level="2B").path
    with h5py.File(path, "r+") as file:
        del file.attrs["Processing_Level"]
    assert describe(path).product == "PRISMA L2B"


def test_weights_that_make_the_panchromatic_image_of_the_cube(tmp_path: Path) -> None:
    """The target is the panchromatic image of the same file, by a config that lies elsewhere."""
    made = published.prisma(tmp_path, 24, 20)
    with h5py.File(made.path, "r+") as file:
        fields = file["HDFEOS/SWATHS/PRS_L2D_PCO/Data Fields"]
        fields["PIXEL_L2_ERR_MATRIX"][:] = 0
        stored = fields["Cube"][()].astype(float)
    low, high = (float(published.PRISMA_ENDS["Pan"][i]) for i in (0, 1))
    pan = np.where(stored == 0, np.nan, low + stored * (high - low) / 65535)
    blocks = pan.reshape(24, 6, 20, 6).swapaxes(1, 2).reshape(24, 20, 36).mean(axis=2)
    (tmp_path / "c.yaml").write_text(
        f"scenes: [{made.path.name}]\ntarget: ['{made.path.name}:PAN']\noutput: run\n"
        "folds: 0\nno_report: true\n"
    )
    ok("train", "--config", tmp_path / "c.yaml")
    fused = read(tmp_path / "run/fused.tif")[0]
    both = np.isfinite(fused) & np.isfinite(blocks)
    assert both.sum() > 200
    assert np.corrcoef(fused[both], blocks[both])[0, 1] > 0.99
