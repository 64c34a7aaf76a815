"""Resample: weights that follow from published responses, and weights that are moved to other
bands."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import spectral
from helpers import close_to_conditioning, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import cli, listing, ok, profile, read, spectra, write_tiff
from realdata import DATA, needs_real_data

from bandfuse.errors import MismatchError
from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps, load
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.resampling import bins, extents, moved, published
from bandfuse.spectral.sensors import Sensor, SensorBand, find
from bandfuse.trust.published import compare

AVIRIS = DATA / "aviris_rotated_unsorted" / "AV_mastercal_testdata.bsq"

GRID = [float(v) for v in np.arange(400, 1001, 10)]


def table_of(sensor: Sensor, *, fwhm: bool = True) -> Bands:
    return Bands.of(
        sensor.names,
        wavelength_nm=[b.centre_nm for b in sensor.bands],
        fwhm_nm=[b.fwhm_nm for b in sensor.bands] if fwhm else None,
    )


def even(start: float, stop: float, step: float, fwhm: float | None = None) -> Bands:
    nm = np.arange(start, stop, step)
    return Bands.of(
        [f"b{i}" for i in range(len(nm))],
        wavelength_nm=nm,
        fwhm_nm=None if fwhm is None else [fwhm] * len(nm),
    )


# -------------------------------------------------------------------------------------------- weigh


@pytest.mark.parametrize("fwhm", [True, False])
@pytest.mark.parametrize("source", ["emit", "desis"])
@pytest.mark.parametrize("target", ["enmap", "emit", "prisma", "desis"])
def test_centres_and_widths_agree_with_spectral_python(
    source: str, target: str, fwhm: bool
) -> None:
    cube, sensor = table_of(find(source), fwhm=fwhm), find(target)
    logging.getLogger("spectral").setLevel(logging.ERROR)
    theirs = spectral.BandResampler(
        list(cube.wavelength_nm),
        [b.centre_nm for b in sensor.bands],
        list(cube.fwhm_nm) if fwhm else None,
        [b.fwhm_nm for b in sensor.bands],
    ).matrix
    ours = published(sensor, cube)
    blind = np.isnan(theirs).any(axis=1)
    np.testing.assert_array_equal(ours.coverage == 0, blind)
    close_to_conditioning(ours.weight[~blind], theirs[~blind])
    assert not ours.weight[blind].any()


@pytest.mark.parametrize("name", ["sentinel-2a", "landsat-8-oli"])
def test_responses_agree_with_dense_integration(name: str) -> None:
    """Midpoints, a thousand to every nm, of the response that is drawn with straight lines."""
    sensor, cube = find(name), even(400, 2500, 9.7, 11.3)
    ours = published(sensor, cube)
    points = np.arange(300, 2600, 1e-3) + 5e-4
    for k, band in enumerate(sensor.bands):
        assert band.nm is not None
        assert band.response is not None
        dense = np.interp(points, band.nm, band.response, left=0, right=0)
        below = np.concatenate([[0.0], np.cumsum(dense)]) * 1e-3
        ends = np.interp(
            cube.wavelength_nm[:, None] + [-5.65, 5.65], np.append(points - 5e-4, 2600), below
        )
        part = ends[:, 1] - ends[:, 0]
        np.testing.assert_allclose(ours.weight[k], part / part.sum(), rtol=0, atol=1e-7)


def test_rows_sum_to_one_and_keep_a_flat_spectrum() -> None:
    ours = published(find("sentinel-2b"), even(380, 2500, 5.0))
    close_to_conditioning(ours.weight.sum(axis=1), np.ones(len(ours.weight)))
    close_to_conditioning(ours.coverage, np.ones(len(ours.coverage)))
    assert (ours.weight >= 0).all()
    centres = ours.weight @ even(380, 2500, 5.0).wavelength_nm
    np.testing.assert_allclose(centres, [b.centre_nm for b in find("sentinel-2b").bands], atol=0.3)


def test_order_and_bad_bands_of_the_cube() -> None:
    cube, sensor = even(400, 900, 7.0, 7.0), find("landsat-7-etm")
    order = np.random.default_rng(0).permutation(len(cube))
    straight, mixed = published(sensor, cube), published(sensor, cube.take(order))
    close_to_conditioning(mixed.weight, straight.weight[:, order])
    worse = published(sensor, cube.dropping({10: "flagged bad (bbl)"}))
    assert not worse.weight[:, 10].any()
    assert worse.coverage[0] < straight.coverage[0]
    assert worse.weight[0].sum() == pytest.approx(1)


def test_coverage_is_the_share_of_the_area_and_counts_overlaps_once() -> None:
    box = Sensor("box", (SensorBand.of("x", np.array([500.0, 600.0]), np.array([1.0, 1.0])),))
    cases = {
        (520.0, 540.0): 0.4,  # 510-530 and 530-550
        (520.0, 525.0): 0.25,  # 510-535: they overlap
        (500.0, 610.0): 0.1,  # half of one band; the other lies outside
        (700.0, 720.0): 0.0,
    }
    for nm, share in cases.items():
        bands = Bands.of(["a", "b"], wavelength_nm=nm, fwhm_nm=[20, 20])
        assert published(box, bands).coverage[0] == pytest.approx(share)
    around = Bands.of(
        ["wide", "inside", "last"], wavelength_nm=[550, 540, 598], fwhm_nm=[60, 10, 10]
    )
    assert published(box, around).coverage[0] == pytest.approx(0.67)


def test_extents_and_bins() -> None:
    bands = Bands.of(
        list("dabc"), wavelength_nm=[540, 500, 510, 520], fwhm_nm=[8, np.nan, np.nan, np.nan]
    )
    np.testing.assert_allclose(
        extents(bands, "x"), [[536, 544], [495, 505], [505, 515], [512.5, 527.5]]
    )
    np.testing.assert_allclose(bins(bands, "x"), [[530, 550], [495, 505], [505, 515], [515, 530]])


def test_gaps_are_not_bridged() -> None:
    nm = [*np.arange(500, 560, 10), *np.arange(800, 860, 10)]
    edges = bins(Bands.of([f"b{i}" for i in range(12)], wavelength_nm=nm), "x")
    np.testing.assert_allclose(edges[[5, 6]], [[545, 555], [795, 805]])
    twins = bins(Bands.of(list("abcd"), wavelength_nm=[500, 510, 510, 520]), "x")
    np.testing.assert_allclose(twins, [[495, 505], [505, 510], [510, 515], [515, 525]])


def test_wavelengths_and_widths_are_needed() -> None:
    with pytest.raises(
        MismatchError,
        match="resampling to enmap needs wavelengths; got 1 bands without, the first 'b'",
    ):
        published(find("enmap"), Bands.of(["a", "b"], wavelength_nm=[500, np.nan]))
    with pytest.raises(MismatchError, match="needs the width of every band"):
        published(find("enmap"), Bands.of(["a"], wavelength_nm=[500]))
    assert (
        published(find("enmap"), Bands.of(["a"], wavelength_nm=[500], fwhm_nm=[10])).coverage.max()
        > 0.9
    )
    with pytest.raises(MismatchError, match="no usable band"):
        published(find("enmap"), Bands.of(["a"], wavelength_nm=[500], reason=["dead"]))


# --------------------------------------------------------------------------------------------------


def cube_of(folder: Path, name: str = "cube.tif", **more: object) -> str:
    return write_tiff(
        folder / name, spectra(len(GRID), 30, 20), nm=GRID, fwhm=[10.0] * len(GRID), **more
    )  # type: ignore[arg-type]


def test_a_raster_and_its_weights(tmp_path: Path) -> None:
    cube, out = cube_of(tmp_path), tmp_path / "oli.tif"
    done = ok("resample", cube, "--sensor", "landsat-8-oli", "-o", out, "--json")
    (scene,) = done.json["scenes"]
    assert [(b["name"], b["used"]) for b in scene["bands"]] == [
        ("blue", True),
        ("green", True),
        ("red", True),
        ("nir", True),
        ("swir1", False),
        ("swir2", False),
    ]
    assert (scene["output"], scene["weights"]) == (
        str(out),
        str(tmp_path / "oli.weights.safetensors"),
    )
    assert "left out" in done.err
    assert "swir1 (0 %), swir2 (0 %)" in done.err
    fusion = load(scene["weights"]).common
    expected = published(find("landsat-8-oli"), fusion.inputs).weight[:4]
    same_bits(fusion.weight, expected)
    assert fusion.outputs.name == ("blue", "green", "red", "nir")
    x = read(cube).astype(float).reshape(len(GRID), -1)
    np.testing.assert_allclose(read(out).reshape(4, -1), expected @ x, rtol=1e-6)
    seen = profile(out)
    assert seen["names"] == ["blue", "green", "red", "nir"]
    assert float(seen["band_tags"][2]["wavelength"]) == pytest.approx(654.6, abs=0.1)
    ok("apply", scene["weights"], cube, "-o", tmp_path / "again.tif")
    same_bits(read(tmp_path / "again.tif"), read(out))
    assert not list(tmp_path.glob(".*"))


def test_the_terminal_shows_coverage(tmp_path: Path) -> None:
    done = ok("resample", cube_of(tmp_path), "--sensor", "landsat-8-oli", "-o", tmp_path / "o.tif")
    assert "covered %" in done.out
    assert "left out" in done.out
    assert "o.weights.safetensors written" in done.out


def test_weights_only(tmp_path: Path) -> None:
    cube, out = cube_of(tmp_path), tmp_path / "w.safetensors"
    done = ok("resample", cube, "--sensor", "landsat-7-etm", "-o", out, "--weights-only", "--json")
    assert done.json["scenes"][0]["output"] is None
    assert done.json["valid_share"] is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cube.tif", "w.safetensors"]
    wrong = cli(
        "resample", cube, "--sensor", "landsat-7-etm", "-o", tmp_path / "w.tif", "--weights-only"
    )
    assert (wrong.code, "a .safetensors file" in wrong.err) == (2, True)


def test_least_coverage(tmp_path: Path) -> None:
    """ETM+ near infrared: 741 to 914 nm; the cube ends at 850 nm."""
    keep = GRID.index(850.0) + 1
    cube = write_tiff(tmp_path / "c.tif", spectra(keep, 8, 9), nm=GRID[:keep])
    shares = {}
    for least in ("0.5", "0.9", "0"):
        out = tmp_path / f"o{least}.tif"
        rows = ok(
            "resample",
            cube,
            "--sensor",
            "landsat-7-etm",
            "-o",
            out,
            "--min-coverage",
            least,
            "--json",
        ).json
        shares[least] = [b["name"] for b in rows["scenes"][0]["bands"] if b["used"]]
        assert profile(out)["names"] == shares[least]
    assert shares["0.5"] == shares["0"] == ["blue", "green", "red", "nir"]
    assert shares["0.9"] == ["blue", "green", "red"]


def refused(tmp_path: Path, *arguments: object) -> str:
    before = listing(tmp_path)
    done = cli("resample", *arguments)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert listing(tmp_path) == before
    return done.err


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    cube, out = cube_of(tmp_path), tmp_path / "o.tif"
    bare = write_tiff(tmp_path / "bare.tif", spectra(4, 8, 9))
    far = write_tiff(tmp_path / "far.tif", spectra(3, 8, 9), nm=[3000.0, 3010.0, 3020.0])
    (tmp_path / "o.weights.safetensors").write_text("mine")
    assert "needs wavelengths" in refused(
        tmp_path, bare, "--sensor", "enmap", "-o", out.with_name("p.tif")
    )
    assert "covers no band of enmap" in refused(
        tmp_path, far, "--sensor", "enmap", "-o", out.with_name("p.tif")
    )
    assert "Did you mean 'enmap'" in refused(
        tmp_path, cube, "--sensor", "enmp", "-o", out.with_name("p.tif")
    )
    assert "no sensor is given" in refused(tmp_path, cube, "-o", out.with_name("p.tif"))
    assert "o.weights.safetensors exists" in refused(
        tmp_path, cube, "--sensor", "landsat-5-tm", "-o", out
    )
    assert "is an input" in refused(
        tmp_path, cube, "--sensor", "landsat-5-tm", "-o", cube, "--overwrite"
    )
    assert "--min-coverage" in refused(
        tmp_path, cube, "--sensor", "landsat-5-tm", "-o", out, "--min-coverage", "2"
    )
    own = tmp_path / "own.csv"
    own.write_text("name,centre_nm,fwhm_nm\nx,600,100\n")
    assert "is an input" in refused(tmp_path, cube, "--sensor", own, "-o", own, "--overwrite")
    assert "no output is given" in refused(tmp_path, cube, "--sensor", own)


def test_both_files_are_replaced_together(tmp_path: Path) -> None:
    cube, out = cube_of(tmp_path), tmp_path / "o.tif"
    ok("resample", cube, "--sensor", "landsat-5-tm", "-o", out)
    old = [p.read_bytes() for p in (out, tmp_path / "o.weights.safetensors")]
    assert "exists" in cli("resample", cube, "--sensor", "landsat-8-oli", "-o", out).err
    ok("resample", cube, "--sensor", "landsat-8-oli", "-o", out, "--overwrite")
    new = [p.read_bytes() for p in (out, tmp_path / "o.weights.safetensors")]
    assert old[0] != new[0]
    assert old[1] != new[1]


def test_several_scenes_settings_and_integers(tmp_path: Path) -> None:
    one, two = cube_of(tmp_path, "one.tif"), cube_of(tmp_path, "two.tif")
    (tmp_path / "own.csv").write_text("name,centre_nm,fwhm_nm\nx,600,100\ny,700,50\n")
    (tmp_path / "c.yaml").write_text("sensor: own.csv\ndtype: int16\nscale: 0.0001\n")
    (tmp_path / "out").mkdir()
    done = ok(
        "resample", one, two, "--config", tmp_path / "c.yaml", "-o", tmp_path / "out", "--json"
    )
    assert [s["scene"] for s in done.json["scenes"]] == ["one", "two"]
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["one.tif", "one.weights.safetensors", "two.tif", "two.weights.safetensors"]
    assert profile(tmp_path / "out" / "one.tif")["dtype"] == "int16"
    same = cli(
        "resample",
        one,
        two,
        "--sensor",
        tmp_path / "own.csv",
        "-o",
        str(tmp_path / "out" / "a{suffix}"),
    )
    assert (same.code, "same output" in same.err) == (2, True)


def test_dead_and_flagged_bands_do_not_empty_the_raster(tmp_path: Path) -> None:
    values = spectra(len(GRID), 30, 20)
    values[GRID.index(560.0)] = np.nan
    cube = write_tiff(tmp_path / "c.tif", values, nm=GRID, bad=[GRID.index(480.0) + 1])
    done = ok("resample", cube, "--sensor", "landsat-8-oli", "-o", tmp_path / "o.tif", "--json")
    assert np.isfinite(read(tmp_path / "o.tif")).all()
    assert "560.0 nm): no valid pixel" in done.err
    weight = load(tmp_path / "o.weights.safetensors").common.weight
    assert not weight[:, [GRID.index(480.0), GRID.index(560.0)]].any()
    close_to_conditioning(weight.sum(axis=1), np.ones(len(weight)))


def test_narrow_bands_that_rest_on_one_are_told(tmp_path: Path) -> None:
    done = ok(
        "resample", cube_of(tmp_path), "--sensor", "desis", "-o", tmp_path / "o.tif", "--json"
    )
    assert "made of a single band of the cube" in done.err


# -------------------------------------------------------------------------------------------------


def test_the_same_bands_get_the_same_bits() -> None:
    cube = table_of(find("enmap"))
    weight = np.random.default_rng(0).standard_normal((3, len(cube)))
    found = moved(weight, cube, cube)
    np.testing.assert_array_equal(found.weight, weight)
    np.testing.assert_array_equal(found.coverage, 1)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_row_keeps_its_sum_and_the_answer_of_dense_integration(seed: int, signed: bool) -> None:
    rng = np.random.default_rng(seed)
    old = Bands.of(
        [f"o{i}" for i in range(12)],
        wavelength_nm=rng.permutation(np.arange(12) * 10 + rng.uniform(0, 4, 12)),
    )
    new = Bands.of(
        [f"n{i}" for i in range(40)], wavelength_nm=np.arange(-60, 180, 6.0) + rng.uniform(0, 1)
    )
    weight = rng.uniform(-1 if signed else 0, 1, (2, 12))
    found = moved(weight, old, new)
    close_to_conditioning(found.coverage, np.ones(2))
    close_to_conditioning(found.weight.sum(axis=1), weight.sum(axis=1), 100)
    points = np.linspace(-60, 180, 240_001)
    edges, cuts = bins(old, "x"), bins(new, "x")
    density = np.zeros(len(points))
    for (low, high), w in zip(edges, weight[0], strict=True):
        density[(points >= low) & (points < high)] += w / (high - low)
    dense = [density[(points >= low) & (points < high)].sum() * 1e-3 for low, high in cuts]
    np.testing.assert_allclose(found.weight[0], dense, atol=2e-3)


def test_what_finds_no_band_is_told_and_made_up_for() -> None:
    old = even(500, 600, 10)
    weight = np.zeros((3, 10))
    weight[0, [0, 9]] = 0.5  # the new cube sees 497.5 to 547.5 nm
    weight[1, [0, 1, 8, 9]] = [1, -1, 1, -1]
    weight[2, 0] = 1
    found = moved(weight, old, even(500, 550, 5))
    close_to_conditioning(found.coverage, [0.75 / 2, 1.75 / 4, 0.75])
    close_to_conditioning(found.weight.sum(axis=1), [1, 0, 1])
    close_to_conditioning(np.abs(found.weight).sum(axis=1)[[0, 2]], [1, 1])
    assert moved(weight, old, even(800, 900, 5)).coverage.max() == 0


def test_sources_are_moved_one_by_one() -> None:
    def two(step: float) -> Bands:
        one = even(500, 600, step)
        return Bands.of(one.name, source="a", wavelength_nm=one.wavelength_nm) + Bands.of(
            one.name, source="b", wavelength_nm=one.wavelength_nm
        )

    weight = np.zeros((1, 20))
    weight[0, 15] = 1.0
    found = moved(weight, two(10), two(5)).weight
    assert found[0, :20].sum() == 0
    assert found[0, 20:].sum() == pytest.approx(1)
    with pytest.raises(MismatchError, match="sources of the cube"):
        moved(weight, two(10), even(500, 600, 5))
    lone = moved(
        np.ones((1, 10)),
        even(500, 600, 10),
        Bands.of(["x"], source="other", wavelength_nm=[550], fwhm_nm=[200]),
    )
    np.testing.assert_allclose(lone.weight, [[10]])


def weights_file(path: Path, nm: list[float], weight: np.ndarray) -> Path:
    inputs = Bands.of([f"b{i}" for i in range(len(nm))], wavelength_nm=nm)
    outputs = Bands.of([f"y{i}" for i in range(len(weight))])
    fusion = Fusion(weight, np.full(len(weight), 2.0), np.full(len(weight), 0.25), inputs, outputs)
    path.write_bytes(dumps(Model(fusion)))
    return path


def ramp(folder: Path, name: str, nm: list[float]) -> str:
    """A cube whose pixels are straight lines over wavelength."""
    rng = np.random.default_rng(0)
    level, slope = rng.uniform(0.2, 0.4, (2, 1, 12, 15))
    return write_tiff(
        folder / name, level + slope * (np.array(nm)[:, None, None] - 400) / 600, nm=nm
    )


def test_apply_resample(tmp_path: Path) -> None:
    bell = np.exp(-0.5 * ((np.array(GRID) - 660) / 40) ** 2)
    weights = weights_file(tmp_path / "w.safetensors", GRID, (bell / bell.sum())[None])
    other = [float(v) for v in np.arange(395, 1005, 7.3)]
    old, new = ramp(tmp_path, "old.tif", GRID), ramp(tmp_path, "new.tif", other)
    plain = cli("apply", weights, new, "-o", tmp_path / "no.tif")
    assert (plain.code, "another number of bands" in plain.err) == (2, True)
    ok("apply", weights, old, "-o", tmp_path / "a.tif")
    done = ok("apply", weights, new, "--resample", "-o", tmp_path / "b.tif", "--json")
    assert done.json["coverage"] == {"y0": pytest.approx(1)}
    np.testing.assert_allclose(read(tmp_path / "b.tif"), read(tmp_path / "a.tif"), rtol=1e-3)
    ok("apply", weights, old, "--resample", "-o", tmp_path / "c.tif")
    same_bits(read(tmp_path / "c.tif"), read(tmp_path / "a.tif"))


def test_apply_resample_refuses_what_it_cannot_cover(tmp_path: Path) -> None:
    weight = np.zeros((2, len(GRID)))
    weight[0, GRID.index(500.0)] = 1
    weight[1, GRID.index(900.0) : GRID.index(990.0) + 1] = 0.1
    weights = weights_file(tmp_path / "w.safetensors", GRID, weight)
    short = ramp(tmp_path, "short.tif", [float(v) for v in np.arange(400, 980, 6)])
    bare = write_tiff(tmp_path / "bare.tif", spectra(len(GRID), 12, 15))
    before = listing(tmp_path)
    for arguments, said in (
        (
            (short, "--resample"),
            ["cover too little", "y1 (84.0 %)", "at least 95 %", "--min-coverage"],
        ),
        ((bare, "--resample"), ["needs wavelengths"]),
        ((short, "--min-coverage", "0.5"), ["not apply without --resample"]),
        ((short, "--resample", "--inverse"), ["not apply with --inverse"]),
    ):
        done = cli("apply", weights, *arguments, "-o", tmp_path / "o.tif")
        assert done.code == 2
        assert all(part in done.err for part in said), done.err
    assert listing(tmp_path) == before
    done = ok(
        "apply",
        weights,
        short,
        "--resample",
        "--min-coverage",
        "0.8",
        "-o",
        tmp_path / "o.tif",
        "--json",
    )
    assert done.json["coverage"] == {"y0": pytest.approx(1), "y1": pytest.approx(0.84)}
    assert "16 % of y1" in done.err


@needs_real_data
def test_weights_learned_on_aviris_fit_enmap_to_one_percent(tmp_path: Path) -> None:
    """Sentinel-2A's bands, learned on one cube, from the same spectra at another sensor's
    wavelengths."""
    target, run, out = tmp_path / "s2.tif", tmp_path / "run", tmp_path / "o.tif"
    ok("resample", AVIRIS, "--sensor", "sentinel-2a", "-o", target)
    ok("train", AVIRIS, "--target", target, "-o", run, "--no-report")
    nm = load(run / "weights.safetensors").common.inputs.wavelength_nm
    order = np.argsort(nm)
    gaps = [(nm[order][i], nm[order][i + 1]) for i in np.flatnonzero(np.diff(nm[order]) > 40)]
    bands = [
        b for b in find("enmap").bands if not any(low < b.centre_nm < high for low, high in gaps)
    ]
    centres = [b.centre_nm for b in bands]
    x = read(AVIRIS).astype(float).reshape(len(nm), -1)[order]
    y = np.stack([np.interp(centres, nm[order], spectrum) for spectrum in x.T], axis=1)
    cube = write_tiff(
        tmp_path / "enmap.tif",
        y.reshape(-1, 50, 50).astype("float32"),
        nm=centres,
        fwhm=[b.fwhm_nm for b in bands],
    )
    assert cli("apply", run / "weights.safetensors", cube, "-o", out).code == 2
    done = ok("apply", run / "weights.safetensors", cube, "--resample", "-o", out, "--json")
    assert min(done.json["coverage"].values()) > 0.99
    fused, truth = read(out).reshape(12, -1), read(run / "fused.tif").reshape(12, -1)
    error = np.sqrt(((fused - truth) ** 2).mean(axis=1) / (truth**2).mean(axis=1))
    assert error.max() < 0.01
    vnir = write_tiff(
        tmp_path / "vnir.tif", y.reshape(-1, 50, 50)[:60].astype("float32"), nm=centres[:60]
    )
    lost = cli("apply", run / "weights.safetensors", vnir, "--resample", "-o", tmp_path / "no.tif")
    assert lost.code == 2
    assert "B11 (0.0 %)" in lost.err
    assert not (tmp_path / "no.tif").exists()


# ----------------------------------------------------------------------------------- learned agains


def test_learned_weights_are_held_against_published_ones(tmp_path: Path) -> None:
    cube, target = cube_of(tmp_path), tmp_path / "t.tif"
    ok("resample", cube, "--sensor", "landsat-8-oli", "-o", target)
    settings = (
        "train",
        cube,
        "--target",
        target,
        "--constraint",
        "nonnegative",
        "--smooth",
        "0",
        "--no-fused",
    )
    ok(*settings, "--sensor", "landsat-8-oli", "-o", tmp_path / "run")
    ok(*settings, "-o", tmp_path / "plain")
    same = [(tmp_path / run / "weights.safetensors").read_bytes() for run in ("run", "plain")]
    assert same[0] == same[1]
    outputs = json.loads((tmp_path / "run" / "report.json").read_text())["trust"]["outputs"]
    for one in outputs:
        found = one["published"]
        assert found["band"] == one["name"]
        assert abs(found["shift_nm"]) < 0.01
        assert found["out_of_band"] == pytest.approx(found["out_of_band_published"], abs=1e-4)
        assert sum(found["weights"].values()) == pytest.approx(1, abs=1e-4)
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("Dashed: the published response") == 4
    assert "Learned responses against those of" in page
    assert "Dashed" not in (tmp_path / "plain" / "report.html").read_text()
    assert (
        json.loads((tmp_path / "plain" / "report.json").read_text())["trust"]["outputs"][0][
            "published"
        ]
        is None
    )


def test_a_shifted_response_is_seen() -> None:
    cube, sensor = even(400, 900, 5.0), find("landsat-8-oli")
    truth = published(sensor, cube).weight
    learned = 2 * np.roll(truth, 2, axis=1)
    learned[2, 0] = -0.1
    rows = compare("landsat-8-oli", cube, ["Blue", "green", "red", "mine"], learned[:4])
    assert [r.band for r in rows.values()] == ["blue", "green", "red"]
    assert rows[0].shift_nm == pytest.approx(10)
    assert rows[2].shift_nm is None
    assert rows[2].out_of_band == pytest.approx(0.1 / np.abs(learned[2]).sum(), abs=1e-6)
    assert sum(rows[1].weights.values()) == pytest.approx(2)
    by_order = compare("landsat-8-oli", cube, list("abcdef"), learned)
    assert [r.band for r in by_order.values()] == list(sensor.names)
    assert by_order[5].centre_nm is None


def test_a_comparison_that_cannot_be_made_is_refused_first(tmp_path: Path) -> None:
    cube = cube_of(tmp_path)
    target = write_tiff(tmp_path / "t.tif", spectra(2, 30, 20), names=["x", "y"])
    bare = write_tiff(tmp_path / "bare.tif", spectra(8, 30, 20))
    before = listing(tmp_path)
    for arguments, said in (
        (
            (cube, "--target", target, "--sensor", "enmap"),
            "cannot be compared with the bands of enmap; got outputs x, y",
        ),
        ((cube, "--target", target, "--sensor", "enmp"), "Did you mean 'enmap'"),
        ((cube, "--sensor", "enmap"), "--sensor compares weights of a regression"),
        ((bare, "--target", target, "--sensor", tmp_path / "own.csv"), "own.csv cannot be read"),
    ):
        done = cli("train", *arguments, "-o", tmp_path / "run")
        assert (done.code, said in done.err) == (2, True), done.err
    assert listing(tmp_path) == before


def test_a_band_without_width_belongs_to_the_bin_that_begins_at_it() -> None:
    """505 nm is the edge between the bins of 500 and 510 nm."""
    line = Bands.of(["line"], wavelength_nm=[505], fwhm_nm=[0])
    found = moved(np.array([[3.0]]), line, Bands.of(list("abc"), wavelength_nm=[500, 510, 520]))
    np.testing.assert_array_equal(found.weight, [[0, 3, 0]])
    np.testing.assert_array_equal(found.coverage, [1])


def test_the_name_of_an_only_source_does_not_matter() -> None:
    nm = [500.0, 510, 520]
    old, new = (Bands.of(list("abc"), source=s, wavelength_nm=nm) for s in ("one", "two"))
    np.testing.assert_array_equal(moved(np.array([[1.0, 2, 3]]), old, new).weight, [[1, 2, 3]])
    both = old + new
    with pytest.raises(MismatchError, match="sources of the cube and of the weights differ"):
        moved(np.ones((1, 6)), both, new + old)


def test_no_weight_is_covered_and_the_one_without_width_is_named() -> None:
    bands = Bands.of(list("ab"), wavelength_nm=[500, 510])
    assert moved(np.zeros((1, 2)), bands, bands).coverage.tolist() == [1.0]
    with pytest.raises(MismatchError, match=r"neither FWHM nor neighbours of .*500"):
        extents(Bands.of(["a"], wavelength_nm=[500]), "x")
