"""Scenes in other units, bands in another order, shifted targets, swapped arguments: refused or
said, never silent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasters import cli, ok, read, spectra, wavelengths, write_tiff
from scipy.ndimage import shift as moved

import bandfuse
from bandfuse.errors import MismatchError, UsageError
from bandfuse.model.weightsfile import dumps, load
from bandfuse.spectral.band_order import are_made_up, position_remark, require_order
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.value_units import LIMIT, Values, unlike

QUICK = ("--no-report", "--no-fused", "--folds", 0, "--constraint", "free")
SIZE = (40, 50)


def reflectance(seed: int = 0, bands: int = 6) -> np.ndarray:
    """Values between about 0.05 and 0.5."""
    x = spectra(bands, *SIZE, seed=seed).astype(np.float64)
    return (0.05 + 0.45 * (x - x.min()) / np.ptp(x)).astype(np.float32)


def numbers(x: np.ndarray) -> np.ndarray:
    return np.round(x * 1e4).astype(np.uint16)


@pytest.fixture
def run(tmp_path: Path) -> str:
    """Weights learned from digital numbers, whose target is reflectance."""
    x = reflectance()
    write_tiff(tmp_path / "dn.tif", numbers(x))
    write_tiff(tmp_path / "t.tif", x[:2].mean(axis=0)[None])
    ok("train", tmp_path / "dn.tif", "--target", tmp_path / "t.tif", "-o", tmp_path / "run", *QUICK)
    write_tiff(tmp_path / "other.tif", reflectance(1))
    write_tiff(tmp_path / "other_t.tif", reflectance(1)[:2].mean(axis=0)[None])
    return str(tmp_path / "run/weights.safetensors")


# ---------------------------------------------------------------------------------------- the limit


def values(low: float, high: float, seed: int = 0, bands: int = 5) -> Values:
    random = np.random.default_rng(seed)
    return Values.of(random.uniform(low, high, (bands, 400)))


@given(factor=st.floats(100, 1e8), seed=st.integers(0, 100))
def test_a_factor_of_a_hundred_and_more_is_other_units(factor: float, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(0.02, 0.6, (5, 400))
    for a, b in ((x * factor, x), (x, x * factor)):
        assert unlike(Values.of(a), Values.of(b)).grave


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0.01, 0.06), (0.6, 0.95)),  # a lake and fresh snow
        ((0.02, 0.05), (0.85, 0.98)),  # snow without a shadow
        ((100, 600), (6000, 9500)),  # the same times 10 000
        ((5, 40), (60, 300)),  # radiance in winter and summer
        ((0, 0.3), (0.1, 0.5)),
    ],
)
def test_scenes_may_differ_by_nature(one: tuple[float, float], other: tuple[float, float]) -> None:
    for a, b in ((one, other), (other, one)):
        assert not unlike(values(*a), values(*b, seed=1)).grave


@pytest.mark.parametrize(
    ("one", "other"), [((5, 30), (278, 303)), ((0, 4000), (10_000, 14_000)), ((0, 0.4), (2, 2.4))]
)
def test_an_offset_without_overlap_is_other_units(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    for a, b in ((one, other), (other, one)):
        found = unlike(values(*a), values(*b, seed=1))
        assert found.apart
        assert found.grave


def test_an_undeclared_fill_and_sparse_bands_are_no_other_units() -> None:
    x = np.random.default_rng(0).uniform(0.1, 0.5, (4, 400))
    filled, sparse = x.copy(), np.where(np.random.default_rng(1).random(x.shape) < 0.9, 1e-5, x)
    filled[:, :40] = -9999
    for odd in (filled, sparse):
        assert not unlike(Values.of(odd), Values.of(x)).grave
        assert not unlike(Values.of(x), Values.of(odd)).grave


def test_one_source_of_two_is_enough() -> None:
    x = np.random.default_rng(0).uniform(0.1, 0.5, (4, 400))
    y = x * np.array([1, 1, 1e4, 1e4])[:, None]
    sources = ["vnir", "vnir", "swir", "swir"]
    found = unlike(Values.of(y), Values.of(x), (sources, sources))
    assert found.grave
    assert "of source 'swir' are about 10 000 times" in found.text


# ----------------------------------------------------------------------------------------- commands


def test_apply_refuses_other_units_names_the_factor_and_takes_it(tmp_path: Path, run: str) -> None:
    out = tmp_path / "f.tif"
    done = cli("apply", run, tmp_path / "other.tif", "-o", out)
    assert done.code == 2
    assert "about 1/10 000 of those of the training" in done.err
    assert "--scale-inputs 10000" in done.err
    assert not out.exists()
    ok("apply", run, tmp_path / "other.tif", "-o", out, "--scale-inputs", 10_000)
    np.testing.assert_allclose(read(out)[0], reflectance(1)[:2].mean(axis=0), atol=1e-3)
    done = ok("apply", run, tmp_path / "other.tif", "-o", out, "--any-units", "--overwrite")
    assert "1/10 000" in done.err


def test_of_several_scenes_none_is_written_if_one_is_in_other_units(
    tmp_path: Path, run: str
) -> None:
    (tmp_path / "out").mkdir()
    write_tiff(tmp_path / "good.tif", numbers(reflectance(2)))
    done = cli("apply", run, tmp_path / "good.tif", tmp_path / "other.tif", "-o", tmp_path / "out")
    assert (done.code, list((tmp_path / "out").iterdir())) == (2, [])


def test_evaluate_refuses_other_units_of_scene_and_target(tmp_path: Path, run: str) -> None:
    target = tmp_path / "other_t.tif"
    done = cli("evaluate", run, tmp_path / "other.tif", "--target", target)
    assert done.code == 2
    assert "scene 'other' is in other units" in done.err
    scores = ok(
        "evaluate", run, tmp_path / "other.tif", "--target", target, "--scale-inputs", 1e4, "--json"
    ).json
    assert scores["scores"]["b1"]["r2"] > 0.999
    write_tiff(tmp_path / "dn_t.tif", numbers(read(target)))
    done = cli("evaluate", run, tmp_path / "dn.tif", "--target", tmp_path / "dn_t.tif")
    assert done.code == 2
    assert "target dn_t.tif is in other units" in done.err
    forced = ok("evaluate", run, tmp_path / "other.tif", "--target", target, "--any-units")
    assert "worse than the target's own mean" in forced.err


def test_a_pool_of_other_units_is_refused_before_the_pass(tmp_path: Path) -> None:
    for i in range(4):
        x = reflectance(i)
        write_tiff(
            tmp_path / f"s{i}.tif",
            x if i != 2 else numbers(x),
            nm=wavelengths(6) if i != 2 else None,
        )
        write_tiff(tmp_path / f"s{i}_t.tif", x[:2].mean(axis=0)[None])
    train = (
        "train",
        *(tmp_path / f"s{i}.tif" for i in range(4)),
        "--target",
        "{parent}/{stem}_t.tif",
        *QUICK,
    )
    done = cli(*train, "-o", tmp_path / "run")
    assert done.code == 2
    assert "scene 's2' is in other units" in done.err
    assert "10 000 times" in done.err
    assert "uint16 (the others: float32)" in done.err
    assert "no wavelengths (the others: wavelengths)" in done.err
    left = ok(*train, "-o", tmp_path / "run", "--skip-broken", "--json").json
    assert list(left["left_out"]) == ["s2"]
    assert (
        "s2: it differs from the other scenes"
        in ok(*train, "-o", tmp_path / "any", "--any-units").err
    )


def test_targets_of_a_pool_are_held_against_each_other(tmp_path: Path) -> None:
    for i in range(2):
        x = reflectance(i)
        write_tiff(tmp_path / f"s{i}.tif", x)
        goal = x[:2].mean(axis=0)[None]
        write_tiff(tmp_path / f"s{i}_t.tif", numbers(goal) if i else goal)
    done = cli(
        "train",
        tmp_path / "s0.tif",
        tmp_path / "s1.tif",
        "--target",
        "{parent}/{stem}_t.tif",
        *QUICK,
        "-o",
        tmp_path / "run",
    )
    assert done.code == 2
    assert "target of scene 's1' is in other units" in done.err


def test_an_inverse_refuses_a_fused_raster_in_other_units(tmp_path: Path) -> None:
    x = reflectance()
    write_tiff(tmp_path / "x.tif", x)
    ok(
        "train",
        tmp_path / "x.tif",
        "--groups",
        "equal:2",
        "-o",
        tmp_path / "run",
        "--no-report",
        "--folds",
        0,
    )
    fused, weights = read(tmp_path / "run/fused.tif"), tmp_path / "run/weights.safetensors"
    write_tiff(tmp_path / "f.tif", numbers(fused))
    assert (
        cli("apply", weights, tmp_path / "f.tif", "--inverse", "-o", tmp_path / "back.tif").code
        == 2
    )
    ok("apply", weights, tmp_path / "run/fused.tif", "--inverse", "-o", tmp_path / "back.tif")


def test_an_export_for_a_scene_in_other_units_is_refused(tmp_path: Path, run: str) -> None:
    given = (
        "export",
        run,
        "--to",
        "vrt",
        "--scene",
        tmp_path / "other.tif",
        "-o",
        tmp_path / "f.vrt",
    )
    assert cli(*given).code == 2
    assert not (tmp_path / "f.vrt").exists()
    ok(*given, "--any-units")


def test_in_python_too(tmp_path: Path, run: str) -> None:
    fusion, x = load(run).common, reflectance(1).astype(np.float64)
    with pytest.raises(MismatchError, match="1/10 000"):
        bandfuse.fuse(fusion, x)
    assert np.isfinite(bandfuse.fuse(fusion, x, any_units=True)).all()
    np.testing.assert_allclose(bandfuse.fuse(fusion, x * 1e4)[0], x[:2].mean(axis=0), atol=1e-3)


def test_the_estimator_too() -> None:
    pytest.importorskip("sklearn")
    x = reflectance().reshape(6, -1).T.astype(np.float64)
    made = bandfuse.BandFuser(constraint="free", ridge=0).fit(x, x[:, 0])
    with pytest.raises(ValueError, match="10 000 times"):
        made.transform(x * 1e4)
    assert made.set_params(any_units=True).transform(x * 1e4).shape == (len(x), 1)


def test_a_file_that_lost_its_end_is_heard(tmp_path: Path, run: str) -> None:
    """GDAL keeps the pixels, and goes on without the scale."""
    path = tmp_path / "scaled.tif"
    write_tiff(path, reflectance(1))
    with rasterio.open(path, "r+") as ds:
        ds.scales = [1e4] * 6
        for i in ds.indexes:
            ds.update_tags(i, note="x" * 500)
    path.write_bytes(path.read_bytes()[:-600])
    done = cli("apply", run, path, "-o", tmp_path / "f.tif")
    assert done.code == 2
    assert "in other units" in done.err
    findings = {f["code"] for f in json.loads(cli("check", path, "--json").out)["findings"]}
    assert "gdal-warning" in findings
    assert "GDAL warns" in ok("apply", run, path, "-o", tmp_path / "f.tif", "--any-units").err


def test_weights_without_values_are_version_1_and_still_read(tmp_path: Path, run: str) -> None:
    model = load(run)
    seen = model.common.inputs_seen
    assert seen is not None
    x = numbers(reflectance()).astype(np.float64).reshape(6, -1)
    np.testing.assert_allclose([seen.low, seen.high], [x.min(axis=1), x.max(axis=1)])
    np.testing.assert_allclose([seen.mean, seen.spread], [x.mean(axis=1), x.std(axis=1)], rtol=1e-9)
    assert Path(run).read_bytes() == dumps(model)
    again = load(run).common.outputs_seen
    assert again is not None
    assert 0.05 < again.mean[0] < 0.5
    assert b'\\"version\\":2' in Path(run).read_bytes()


# -------------------------------------------------------------------------------- bands by position

NAMES = ["blue", "green", "red", "nir"]


@pytest.mark.parametrize(
    "names", [NAMES, ["Blue", "GREEN", "red", "nir"], ["1", "2", "3", "4"], ["a", "b", "c", "d"]]
)
def test_names_that_do_not_speak_against_the_order_are_taken(names: list[str]) -> None:
    require_order("it", names, NAMES)


@pytest.mark.parametrize(
    "names", [["nir", "red", "green", "blue"], ["green", "red", "nir", "swir"]]
)
def test_a_band_at_the_place_of_another_is_refused(names: list[str]) -> None:
    with pytest.raises(MismatchError, match="expected blue, green, red, nir"):
        require_order("it", names, NAMES)


def test_made_up_names_tell_nothing() -> None:
    assert are_made_up(["b0", "b1"])
    require_order("it", ["b0", "b1", "b2"], ["b1", "b2", "b3"])
    assert position_remark("it", ["b1", "b2"], ["red", "nir"]) == ""
    assert "band 1 is 'a', there 'red'" in position_remark("it", ["a", "b"], ["red", "nir"])


def test_every_door_refuses_bands_in_another_order(tmp_path: Path) -> None:
    x = reflectance(bands=4)
    write_tiff(tmp_path / "a.tif", x, names=NAMES)
    write_tiff(tmp_path / "a_t.tif", x[:2].mean(axis=0)[None])
    write_tiff(tmp_path / "b.tif", x[::-1], names=NAMES[::-1])
    write_tiff(tmp_path / "b_t.tif", x[:2].mean(axis=0)[None])
    ok(
        "train",
        tmp_path / "a.tif",
        "--target",
        tmp_path / "a_t.tif",
        "-o",
        tmp_path / "run",
        *QUICK,
    )
    weights, other = tmp_path / "run/weights.safetensors", tmp_path / "b.tif"
    for command in (
        ("apply", weights, other, "-o", tmp_path / "f.tif"),
        ("evaluate", weights, other, "--target", tmp_path / "b_t.tif"),
        ("export", weights, "--to", "vrt", "--scene", other, "-o", tmp_path / "f.vrt"),
        (
            "train",
            tmp_path / "a.tif",
            other,
            "--target",
            "{parent}/{stem}_t.tif",
            "-o",
            tmp_path / "two",
            *QUICK,
        ),
    ):
        done = cli(*command)
        assert done.code == 2, command[0]
        assert "nir, red, green, blue" in done.err
        assert "gdal_translate -b 4 -b 3 -b 2 -b 1" in done.err
    write_tiff(tmp_path / "c.tif", x, names=["w", "x", "y", "z"])
    assert (
        "taken by position"
        in ok("apply", weights, tmp_path / "c.tif", "-o", tmp_path / "f.tif").err
    )


def test_targets_in_another_order_are_refused(tmp_path: Path) -> None:
    x = reflectance()
    for key, names in (("a", ["red", "nir"]), ("b", ["nir", "red"])):
        write_tiff(tmp_path / f"{key}.tif", x)
        write_tiff(tmp_path / f"{key}_t.tif", x[:2], names=names)
    pool = (
        "train",
        tmp_path / "a.tif",
        tmp_path / "b.tif",
        "--target",
        "{parent}/{stem}_t.tif",
        *QUICK,
    )
    done = cli(*pool, "-o", tmp_path / "run")
    assert (done.code, "target of scene 'b'" in done.err) == (2, True)


def test_fuse_looks_at_the_coordinates_of_an_xarray() -> None:
    xarray = pytest.importorskip("xarray")
    names, nm = ["a", "b", "c"], [500.0, 600.0, 700.0]
    inputs = Bands.of(names, wavelength_nm=nm, fwhm_nm=[10] * 3)
    fusion = bandfuse.Fusion(np.array([[1.0, 2.0, 3.0]]), [1.0], [0.0], inputs, Bands.of(["y"]))
    plain = bandfuse.Fusion(fusion.weight, [1.0], [0.0], Bands.of(names), Bands.of(["y"]))
    x = np.arange(12.0).reshape(3, 2, 2)
    cube = xarray.DataArray(x, {"band": names, "wavelength": ("band", nm)}, ("band", "y", "x"))
    np.testing.assert_array_equal(bandfuse.fuse(fusion, cube), bandfuse.fuse(fusion, x))
    with pytest.raises(MismatchError, match="other wavelengths"):
        bandfuse.fuse(fusion, cube[::-1])
    with pytest.raises(MismatchError, match="another order"):
        bandfuse.fuse(plain, cube[::-1])
    micrometres = cube.assign_coords(wavelength=("band", np.array(nm) / 1000))
    np.testing.assert_array_equal(bandfuse.fuse(fusion, micrometres), bandfuse.fuse(fusion, x))
    for labels in ([1, 2, 3], [0, 1, 2]):
        bandfuse.fuse(plain, xarray.DataArray(x, {"band": labels}, ("band", "y", "x")))
    with pytest.raises(MismatchError, match="another order"):
        bandfuse.fuse(plain, xarray.DataArray(x, {"band": [3, 2, 1]}, ("band", "y", "x")))
    with pytest.raises(MismatchError, match="another order"):
        bandfuse.fuse(
            plain,
            xarray.DataArray(x, dims=("band", "y", "x"), attrs={"long_name": ("c", "b", "a")}),
        )


# ------------------------------------------------------------------------------- shifts on one grid


def shifted_pair(folder: Path, by: float) -> tuple[Path, Path]:
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(0)
    parts = np.stack(
        [gaussian_filter(random.standard_normal((150, 160)), s) for s in (1.5, 3.0, 6.0)]
    )
    parts /= parts.std(axis=(1, 2), keepdims=True)
    cube = (
        0.3
        + 0.03 * np.tensordot(random.uniform(0, 1, (6, 3)), parts, 1)
        + 0.0005 * random.standard_normal((6, 150, 160))
    )
    goal = cube[:3].mean(axis=0)
    write_tiff(folder / "x.tif", cube[:, 5:-5, 5:-5].astype(np.float32))
    there = moved(goal, (by, 0.0), order=3, mode="nearest")[5:-5, 5:-5]
    write_tiff(folder / "t.tif", there[None].astype(np.float32))
    return folder / "x.tif", folder / "t.tif"


def test_half_a_pixel_on_one_grid_is_told_and_mended_when_asked(tmp_path: Path) -> None:
    x, t = shifted_pair(tmp_path, 0.5)
    plain = ok("train", x, "--target", t, "-o", tmp_path / "run", *QUICK)
    assert "-0.50 rows" in plain.err
    assert "slopes of the cube explain the rest of the shift" in plain.err
    report = json.loads((tmp_path / "run/report.json").read_text())
    (row,) = report["alignment"]
    assert row["shift"]["dy"] == pytest.approx(-0.5, abs=0.05)
    off = ("--register", "off", *QUICK)
    assert (
        "--shift auto moves it" in ok("train", x, "--target", t, "-o", tmp_path / "off", *off).err
    )
    ok("train", x, "--target", t, "-o", tmp_path / "auto", "--shift", "auto", *off)
    better, worse = (
        json.loads((tmp_path / name / "report.json").read_text()) for name in ("auto", "off")
    )
    assert better["scores"]["train"]["b1"]["r2"] > worse["scores"]["train"]["b1"]["r2"]
    assert (
        "--shift auto moves it"
        in ok("evaluate", tmp_path / "run/weights.safetensors", x, "--target", t).err
    )


def test_a_target_that_lies_well_is_said_to(tmp_path: Path) -> None:
    x, t = shifted_pair(tmp_path, 0.0)
    done = ok("train", x, "--target", t, "-o", tmp_path / "run", *QUICK)
    assert "t.tif lies on x: +0.00 columns and +0.00 rows" in done.err
    (row,) = json.loads((tmp_path / "run/report.json").read_text())["alignment"]
    assert (row["moved"], row["corrected"]) == ([0.0, 0.0], False)


# ---------------------------------------------------------------------------------- meant otherwise


def test_a_bare_number_of_groups_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", reflectance(bands=8))
    for command in (
        ("info", path, "--groups", 6),
        ("train", path, "--groups", 6, "-o", tmp_path / "run"),
    ):
        done = cli(*command)
        assert (done.code, "equal:6" in done.err, "6-6" in done.err) == (2, True, True)
    assert (
        ok("train", path, "--groups", "6-6", "-o", tmp_path / "run", *QUICK, "--json").json[
            "weights"
        ][0]["band"]
        == 6
    )


def test_a_scene_in_the_place_of_the_target_is_said(tmp_path: Path) -> None:
    x = reflectance(bands=8)
    cube, target = write_tiff(tmp_path / "x.tif", x), write_tiff(tmp_path / "t.tif", x[:2])
    done = ok("train", "--target", cube, target, "-o", tmp_path / "run", *QUICK)
    assert "the target x.tif has 8 bands, the scene t.tif has 2" in done.err
    assert (
        "wrong way round"
        not in ok("train", cube, "--target", target, "-o", tmp_path / "good", *QUICK).err
    )


def test_an_encoding_that_flattens_most_values_says_their_share(tmp_path: Path, run: str) -> None:
    given = (
        "apply",
        run,
        tmp_path / "dn.tif",
        "-o",
        tmp_path / "f.tif",
        "--dtype",
        "uint8",
        "--overwrite",
        "--scale",
    )
    share = 100 * float((reflectance()[:2].mean(axis=0) < 0.5).mean())
    assert f"{share:.2g} % of the values were rounded to 0" in ok(*given, 1).err
    assert "rounded" not in ok(*given, 0.002).err


def test_a_target_without_crs_is_said(tmp_path: Path) -> None:
    x = reflectance()
    write_tiff(tmp_path / "x.tif", x)
    write_tiff(tmp_path / "t.tif", x[:2], crs=None)
    done = ok(
        "train", tmp_path / "x.tif", "--target", tmp_path / "t.tif", "-o", tmp_path / "run", *QUICK
    )
    assert "no CRS is declared in t.tif: taken to be that of x.tif" in done.err
    checked = json.loads(cli("check", tmp_path / "x.tif", tmp_path / "t.tif", "--json").out)
    assert "target-without-crs" in {f["code"] for f in checked["findings"]}


def test_an_output_without_a_valid_pixel_is_said(tmp_path: Path, run: str) -> None:
    write_tiff(tmp_path / "empty.tif", np.full((6, *SIZE), np.nan, np.float32))
    done = ok("apply", run, tmp_path / "empty.tif", "-o", tmp_path / "f.tif")
    assert "no pixel is valid in f.tif" in done.err


def test_a_batch_names_results_that_are_hardly_meant(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    x = reflectance()
    write_tiff(tmp_path / "in/a.tif", x)
    write_tiff(tmp_path / "in/a_t.tif", x[::-1][:1] * -1 + 1)
    write_tiff(tmp_path / "in/e.tif", np.full((6, *SIZE), np.nan, np.float32))
    write_tiff(tmp_path / "in/e_t.tif", x[:1])
    write_tiff(tmp_path / "x_t.tif", x[:1])
    ok(
        "train",
        tmp_path / "in/a.tif",
        "--target",
        tmp_path / "x_t.tif",
        "-o",
        tmp_path / "run",
        *QUICK,
    )
    (tmp_path / "b.yaml").write_text(
        "version: 1\noutput: out/\nscenes:\n  - {glob: 'in/?.tif', target: "
        "'{parent}/{stem}_t.tif'}\n"
        "jobs:\n  - {name: fused, kind: apply, weights: run/weights.safetensors}\n"
    )
    done = cli("batch", tmp_path / "b.yaml")
    assert done.code == 0
    assert "no pixel of the output is valid" in done.out
    items = json.loads((tmp_path / "out/batch.json").read_text())["items"]
    assert any("no pixel is valid" in m for item in items for m in item["messages"])
    assert "no pixel of the output is valid" in (tmp_path / "out/batch.html").read_text()


def test_the_limit_is_stated_where_a_user_looks() -> None:
    assert f"{LIMIT:g} times" in bandfuse.ApplyConfig.model_fields["any_units"].description.replace(
        "\n", " "
    )
    assert issubclass(MismatchError, UsageError)
