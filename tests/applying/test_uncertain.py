"""Uncertain: the raster of uncertainty is the dense formula, with the same bits however the scene
is cut, and appears together with the fused one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from helpers import same_bits
from rasters import INTERLEAVES, LAYOUTS, cli, ok, profile, read, spectra, write_envi, write_tiff

from bandfuse.applying.forms import MOST_ERROR, PIXELS, Forms, in_common
from bandfuse.applying.uncertain import Uncertain, UncertainKernel
from bandfuse.config.commands import ApplyConfig
from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.model.stored import StoredKernel
from bandfuse.model.uncertainty import Cloud, OutputErrors, Uncertainty
from bandfuse.model.weightsfile import dumps
from bandfuse.raster.read import Plain
from bandfuse.scenes.places import places
from bandfuse.scenes.scene import open_scene
from bandfuse.spectral.bands import Bands
from bandfuse.tools.apply import apply

B, K, R = 20, 2, 11
SHAPE = (150, 260)


def refused(folder: Path, *arguments: object) -> str:
    """The message of a command that ends with code 2 and writes nothing."""
    before = sorted(p.name for p in folder.iterdir())
    done = cli(*arguments)
    assert done.code == 2, done.err
    assert sorted(p.name for p in folder.iterdir()) == before
    return done.err


def model_of(
    path: str, activation: str = "identity", known: bool = True, dtype: str = "float32"
) -> Model:
    """Weights of some bands; errors and spectra of all bands but the last, near those of
    :func:`cube_of`."""
    random = np.random.default_rng(0)
    inputs = open_scene(places((path,), (), [])[0]).bands
    weight = random.normal(size=(K, B)) * (random.uniform(size=(K, B)) > 0.4)
    weight[:, -1] = 0
    outputs = Bands.of(["x", "y"], wavelength_nm=[500, 600], fwhm_nm=[10, 20])
    fusion = Fusion(weight, np.full(K, 0.5), np.full(K, -60.0), inputs, outputs, activation)
    values = cube_of(dtype).reshape(B, -1).astype(np.float64)
    mean, deviation = np.nanmean(values, axis=1), np.nanstd(values, axis=1)
    factor = random.normal(size=(K, R, B)) / deviation
    factor[:, :, -1] = 0
    errors = OutputErrors(
        mean, factor, np.array([0.5, 0]), np.array([9.0, 40]), np.array([1, 1.25])
    )
    axes = np.zeros((4, B))
    axes[:, :-1] = np.linalg.qr(random.normal(size=(B - 1, 4)))[0].T
    inverse = np.append(1 / deviation[:-1], 0)
    table = np.linspace(0, 15, 50)
    cloud = Cloud(mean, inverse, axes, np.array([5.0, 3, 2, 1]), table, np.linspace(0, 1, 50))
    return Model(fusion, uncertainty=Uncertainty(cloud, {"": errors} if known else {}))


def saved(folder: Path, model: Model) -> Path:
    path = folder / "w.safetensors"
    path.write_bytes(dumps(model))
    return path


def cube_of(dtype: str = "float32") -> np.ndarray:
    cube = spectra(B, *SHAPE, dtype=dtype)
    if cube.dtype.kind == "f":
        cube[:, 10:20, 30:60] = np.nan
        cube[-1, 40:50] = np.nan
        cube[3, 60:70, :100] = np.nan
    return cube


def dense(model: Model, cube: np.ndarray) -> np.ndarray:
    """(K + 1, rows, cols) float64 by the formulas; a missing band counts as the mean."""
    assert model.uncertainty is not None
    cloud, errors = model.uncertainty.cloud, model.uncertainty.errors[""]
    x = cube.reshape(B, -1).T.astype(np.float64)
    y = model.common(x)
    filled = np.where(np.isfinite(x), x, cloud.mean)
    sd = errors.sd(filled, y, model.common.activation)
    outside = cloud.outside(cloud.distances(filled))
    outside[np.isnan(y).all(axis=1)] = np.nan
    sd[np.isnan(y)] = np.nan
    return np.concatenate([sd.T, outside[None]]).reshape(-1, *cube.shape[1:])


@pytest.mark.one_in(2)
@pytest.mark.parametrize("activation", ["identity", "leaky_relu", "softplus"])
@pytest.mark.parametrize("dtype", ["float32", "int16", "float64", "int32"])
def test_the_dense_formula_is_met(tmp_path: Path, activation: str, dtype: str) -> None:
    cube = cube_of(dtype)
    path = write_tiff(tmp_path / "a.tif", cube)
    model = model_of(path, activation, dtype=dtype)
    weights = saved(tmp_path, model)
    ok("apply", weights, path, "-o", tmp_path / "y.tif", "--uncertainty", tmp_path / "s.tif")
    found, exact = read(tmp_path / "s.tif"), dense(model, cube)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    np.testing.assert_allclose(found, exact, rtol=2e-5, atol=2e-6)
    assert np.nanmin(exact[-1]) < 0.9 * np.nanmax(exact[-1])


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_factors_that_share_rows_meet_the_dense_formula(tmp_path: Path, dtype: str) -> None:
    """Both where all of these are sums of 12 rows, and where one of them is not."""
    cube = cube_of(dtype)
    path = write_tiff(tmp_path / "a.tif", cube)
    model, random = model_of(path, dtype=dtype), np.random.default_rng(5)
    assert model.uncertainty is not None
    old = model.uncertainty.errors[""]
    unit = np.where(model.uncertainty.cloud.inverse > 0, model.uncertainty.cloud.inverse, 0)
    basis = random.normal(size=(8, B)) * unit
    shared = random.normal(size=(K * R, 8)) @ basis
    assert in_common(shared, unit) is not None
    other = shared.copy()
    other[:14] = random.normal(size=(14, B)) * unit
    assert in_common(other, unit) is None
    for rows in (shared, other):
        errors = replace(old, factor=rows.reshape(K, R, B))
        known = replace(model, uncertainty=replace(model.uncertainty, errors={"": errors}))
        second = ("--uncertainty", tmp_path / "s.tif", "--overwrite")
        ok("apply", saved(tmp_path, known), path, "-o", tmp_path / "y.tif", *second)
        np.testing.assert_allclose(
            read(tmp_path / "s.tif"), dense(known, cube), rtol=2e-5, atol=2e-6
        )


@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_outputs_of_any_unit_meet_the_dense_formula(tmp_path: Path, unit: float) -> None:
    """Squares of such numbers are not in the range of float32."""
    cube = cube_of("int16")
    path = write_tiff(tmp_path / "a.tif", cube)
    model = model_of(path, dtype="int16")
    assert model.uncertainty is not None
    old, square = model.uncertainty.errors[""], unit**2
    errors = OutputErrors(
        old.about, unit * old.factor, square * old.level, square * old.residual, old.scale
    )
    common = replace(model.common, weight=unit * model.common.weight, offset=np.zeros(K))
    known = Model(common, uncertainty=replace(model.uncertainty, errors={"": errors}))
    second = ("--uncertainty", tmp_path / "s.tif")
    ok("apply", saved(tmp_path, known), path, "-o", tmp_path / "y.tif", *second)
    np.testing.assert_allclose(read(tmp_path / "s.tif"), dense(known, cube), rtol=2e-5)


def test_float32_is_left_where_its_rounding_would_show(tmp_path: Path) -> None:
    """Along an axis with hardly any variance; the bound of the rounding holds on others."""
    cube = cube_of("int16")
    path = write_tiff(tmp_path / "a.tif", cube)
    model = model_of(path, dtype="int16")
    assert model.uncertainty is not None
    for least, dtype in ((1e-2, np.float32), (1e-12, np.float64)):
        cloud = replace(model.uncertainty.cloud, variance=np.array([5.0, 3, 2, least]))
        axes = cloud.axes * cloud.inverse / np.sqrt(cloud.variance)[:, None]
        nothing = np.zeros((0, 0, B))
        forms = Forms(axes, nothing, cloud.mean, np.zeros(B), cloud.inverse)
        assert forms.dtype is dtype
        x = cube.reshape(B, -1)[:, :PIXELS]
        away = x.astype(dtype) - cloud.mean.astype(dtype)[:, None]
        found = np.empty((1, PIXELS), dtype)
        forms.squares(forms.matrix.astype(dtype), away, found)
        exact = cloud.distances(x.T.astype(np.float64))
        far = np.abs((x - cloud.mean[:, None]) * cloud.inverse[:, None]).max(axis=0)
        bound = np.maximum(1.0, far) * 2 * MOST_ERROR
        assert (np.abs(np.sqrt(found[0]) - exact) <= bound * (1.0 if least > 1e-3 else 1e-4)).all()


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (17, 300)])
def test_few_bands_and_pixels_meet_the_dense_formula(
    tmp_path: Path, dtype: str, shape: tuple[int, int]
) -> None:
    """One band and one output, in every order of storage."""
    cube = spectra(1, *shape, dtype=dtype)
    for order in INTERLEAVES:
        path = write_envi(tmp_path / f"{order}.img", cube, order)
        inputs = open_scene(places((path,), (), [])[0]).bands
        common = Fusion(np.full((1, 1), 2.0), np.ones(1), np.full(1, 3.0), inputs, Bands.of(["x"]))
        one, mean = np.ones(1), np.full(1, float(cube.mean()))
        errors = OutputErrors(mean, np.full((1, 1, 1), 0.2), one, 4 * one, one)
        table = np.linspace(0, 3, 9)
        cloud = Cloud(mean, one / 50, np.ones((1, 1)), one, table, np.linspace(0, 1, 9))
        model = Model(common, uncertainty=Uncertainty(cloud, {"": errors}))
        second = ("--uncertainty", tmp_path / "s.tif", "--overwrite")
        ok("apply", saved(tmp_path, model), path, "-o", tmp_path / "y.tif", *second)
        x = cube.reshape(1, -1).T.astype(np.float64)
        sd, outside = errors.sd(x, common(x)), cloud.outside(cloud.distances(x))
        exact = np.stack([sd[:, 0], outside]).reshape(2, *shape)
        np.testing.assert_allclose(read(tmp_path / "s.tif"), exact, rtol=2e-5, atol=2e-6)


def test_the_fused_raster_has_the_bits_that_it_has_alone(tmp_path: Path) -> None:
    for dtype in ("float32", "int16"):
        path = write_tiff(tmp_path / f"{dtype}.tif", cube_of(dtype))
        weights = saved(tmp_path, model_of(path))
        ok("apply", weights, path, "-o", tmp_path / "alone.tif", "--overwrite")
        second = ("--uncertainty", tmp_path / "s.tif", "--overwrite")
        ok("apply", weights, path, "-o", tmp_path / "y.tif", *second)
        same_bits((tmp_path / "alone.tif").read_bytes(), (tmp_path / "y.tif").read_bytes())


def test_every_layout_window_and_thread_gives_the_same_bits(tmp_path: Path) -> None:
    cube, seen = cube_of(), list[np.ndarray]()
    files = [write_tiff(tmp_path / f"{name}.tif", cube, **how) for name, how in LAYOUTS.items()]
    files += [write_envi(tmp_path / f"{name}.img", cube, name) for name in INTERLEAVES]
    for i, path in enumerate(files):
        config = ApplyConfig(
            scenes=[path],
            output=str(tmp_path / "y.tif"),
            uncertainty=str(tmp_path / "s.tif"),
            threads=1 + i % 3,
            memory=16 + 100 * (i % 2),
            overwrite=True,
        )
        result = apply(saved(tmp_path, model_of(path)), config)
        assert result.uncertainties == [str(tmp_path / "s.tif")]
        seen.append(read(tmp_path / "s.tif"))
    for other in seen[1:]:
        same_bits(other, seen[0])
    path, window = files[0], (30, 100, 70, 90)
    part = ("-o", tmp_path / "p.tif", "--uncertainty", tmp_path / "q.tif", "--window", *window)
    ok("apply", tmp_path / "w.safetensors", path, *part)
    same_bits(read(tmp_path / "q.tif"), seen[0][:, 30:100, 100:190])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("shape", [(16, 256), (7, 100), (1, 3)])
def test_pixels_in_either_order_of_memory_give_the_same_bits(
    tmp_path: Path, dtype: str, shape: tuple[int, int]
) -> None:
    model = model_of(write_tiff(tmp_path / "a.tif", spectra(B, 2, 2)))
    assert model.uncertainty is not None
    known = Uncertain(model.uncertainty.errors[""], model.uncertainty.cloud)
    kernel = UncertainKernel(model.common, known, StoredKernel(model.common, "auto"))
    support = known.support(model.common)
    band = (200 * spectra(len(support), *shape)).astype(dtype)
    pixel = np.ascontiguousarray(band.transpose(1, 2, 0)).transpose(2, 0, 1)
    found = [kernel.of(StoredCell(x)).copy() for x in (band, pixel)]
    same_bits(*found)
    assert found[0].shape == (2 * K + 1, shape[0] * shape[1])


class StoredCell:
    """A cell of stored numbers that are the values."""

    def __init__(self, stored: np.ndarray) -> None:
        self._stored = stored

    @property
    def plain(self) -> Plain:
        n = len(self._stored)
        return Plain(self._stored, np.ones(n), np.zeros(n))

    def chosen(self, rows: list[int]) -> Plain:
        return StoredCell(self._stored[rows]).plain

    def values(self) -> np.ndarray:
        return self._stored.reshape(len(self._stored), -1).astype(np.float64)

    extremes = None


def test_bands_grid_and_type(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", cube_of())
    ok(
        *("apply", saved(tmp_path, model_of(path)), path, "-o", tmp_path / "y.tif"),
        *("--uncertainty", tmp_path / "s.tif", "--dtype", "int16", "--scale", "0.01"),
    )
    fused, second = profile(tmp_path / "y.tif"), profile(tmp_path / "s.tif")
    for name in ("crs", "transform", "width", "height"):
        assert second[name] == fused[name], name
    info = json.loads(ok("info", tmp_path / "s.tif", "--json").out)["scenes"][0]
    assert [b["name"] for b in info["bands"]] == ["x_sd", "y_sd", "extrapolation"]
    assert [b["wavelength_nm"] for b in info["bands"]] == [500, 600, None]
    assert info["dtype"] == "float32"
    with rasterio.open(tmp_path / "y.tif") as dataset:
        missing = dataset.read(masked=True).mask
    np.testing.assert_array_equal(missing, np.isnan(read(tmp_path / "s.tif")[:2]))


def test_without_errors_there_is_the_extrapolation_alone(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", cube_of())
    weights = saved(tmp_path, model_of(path, known=False))
    files = ("-o", tmp_path / "y.tif", "--uncertainty", tmp_path / "s.tif")
    done = ok("apply", weights, path, *files)
    assert "s.tif has no errors of outputs, only the extrapolation" in done.err
    np.testing.assert_allclose(
        read(tmp_path / "s.tif")[0], dense(model_of(path), cube_of())[-1], rtol=2e-5, atol=2e-6
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--uncertainty", "y.tif"], "two rasters have the same output; got y.tif"),
        (["--uncertainty", "link/y.tif"], "same output; got y.tif and link/y.tif"),
        (["--uncertainty", "y.dat", "--driver", "ENVI"], "have the same output; got y.hdr"),
        (["--uncertainty", "y.tif/s.tif"], "y.tif/s.tif would lie within the output y.tif"),
        (["--uncertainty", "a.tif"], "a.tif"),
        (["--uncertainty", "s.tif", "--resample"], "--uncertainty does not apply"),
        (["--uncertainty", "s.tif", "--inverse"], "--uncertainty does not apply"),
        (["--uncertainty", "none/s.tif"], "none"),
        (
            ["--uncertainty", "s.png"],
            "the raster of --uncertainty is float32, which the driver PNG does not hold",
        ),
    ],
)
def test_what_does_not_work_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to(tmp_path)
    path = write_tiff(tmp_path / "a.tif", cube_of())
    weights = saved(tmp_path, model_of(path))
    assert message in refused(tmp_path, "apply", weights, "a.tif", "-o", "y.tif", *flags)


def test_weights_that_remember_nothing_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", cube_of())
    weights = saved(tmp_path, Model(model_of(path).common))
    files = ("-o", tmp_path / "y.tif", "--uncertainty", tmp_path / "s.tif")
    text = refused(tmp_path, "apply", weights, path, *files)
    assert "holds nothing of the uncertainty of fused pixels" in text
    assert "expected weights that this version of bandfuse has learned. Train again" in text


def test_both_rasters_appear_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one comes into the way of another process: the first is not written either."""
    path = write_tiff(tmp_path / "a.tif", cube_of())
    weights = saved(tmp_path, model_of(path))
    fuse: Any = __import__("bandfuse.applying.fuse", fromlist=["x"])
    together = fuse.whole_together

    def late(*given: Any, **more: Any) -> Any:
        (tmp_path / "s.tif").write_text("of another process")
        return together(*given, **more)

    monkeypatch.setattr(fuse, "whole_together", late)
    done = cli(
        *("apply", weights, path, "-o", tmp_path / "y.tif", "--uncertainty", tmp_path / "s.tif")
    )
    assert done.code == 2
    assert "was written by another process meanwhile" in done.err
    assert not (tmp_path / "y.tif").exists()
    assert (tmp_path / "s.tif").read_text() == "of another process"


def test_several_scenes_have_one_each(tmp_path: Path) -> None:
    paths = [write_tiff(tmp_path / f"{n}.tif", cube_of()) for n in "ab"]
    weights = saved(tmp_path, model_of(paths[0]))
    ok("apply", weights, *paths, "-o", f"{tmp_path}/y/", "--uncertainty", f"{tmp_path}/s/")
    same_bits(*(read(tmp_path / "s" / f"{n}.tif") for n in "ab"))


def test_torch_is_not_imported(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", cube_of())
    code = (
        "import sys; from bandfuse.config.commands import ApplyConfig; from bandfuse import apply; "
        "apply(sys.argv[1], ApplyConfig(scenes=[sys.argv[2]], output=sys.argv[3], "
        "uncertainty=sys.argv[4], device='cpu')); assert 'torch' not in sys.modules"
    )
    files = (saved(tmp_path, model_of(path)), path, tmp_path / "y.tif", tmp_path / "s.tif")
    subprocess.run([sys.executable, "-c", code, *map(str, files)], check=True)
