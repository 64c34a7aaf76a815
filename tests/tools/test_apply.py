"""Apply: the streamed product is the dense one, with the same bits however it is cut, and nothing
else is written."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import same_bits
from rasters import (
    INTERLEAVES,
    LAYOUTS,
    blend,
    cli,
    listing,
    ok,
    profile,
    read,
    spectra,
    truncated,
    wavelengths,
    write_envi,
    write_tiff,
)

from bandfuse.config.commands import ApplyConfig
from bandfuse.errors import ConfigError, InputError, MismatchError, OutputError
from bandfuse.model.fusion import Fusion, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps
from bandfuse.scenes.places import places
from bandfuse.scenes.scene import open_scene
from bandfuse.spectral.bands import Bands
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.windows import Window, plan
from bandfuse.tools.apply import apply

B, K = 8, 3
WEIGHT = np.random.default_rng(3).normal(0, 1, (K, B)) * (
    np.random.default_rng(4).uniform(size=(K, B)) > 0.3
)
OFFSET = np.array([0.25, -3.0, 0.0])
NAMES = ["x", "y", "z"]


def fusion(
    inputs: Bands, weight: np.ndarray = WEIGHT, offset: np.ndarray = OFFSET, **how: Any
) -> Fusion:
    """A fusion with gains of one."""
    outputs = Bands.of(NAMES[: len(weight)], source="fused")
    return Fusion(weight, np.ones(len(weight)), offset, inputs, outputs, **how)


def saved(folder: Path, model: Model | Fusion) -> str:
    """A weights file."""
    path = folder / "weights.safetensors"
    path.write_bytes(dumps(model if isinstance(model, Model) else Model(model)))
    return str(path)


def bands_of(*scene: str, source: tuple[str, ...] = ()) -> Bands:
    """The inputs that a scene offers."""
    return open_scene(places(scene, source, [])[0]).bands


def dense(cube: np.ndarray, weight: np.ndarray = WEIGHT, offset: np.ndarray = OFFSET) -> np.ndarray:
    """float64 ``W x + b``, over the bands with weight."""
    rows = [
        blend(cube[w != 0], [w[w != 0].tolist()], o)[0] for w, o in zip(weight, offset, strict=True)
    ]
    return np.stack(rows)


def assert_rounded(values: np.ndarray, exact: np.ndarray) -> None:
    """float32 values are the float64 ones, rounded once."""
    assert values.dtype == np.float32
    half = 0.5 * np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert np.all(np.abs(values - exact) <= half * (1 + 1e-5) + 1e-14)


def digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# --------------------------------------------------------------------------------------------------

SHAPE = (150, 530)
CUTS = [
    (layout, size, threads)
    for i, layout in enumerate([*LAYOUTS, *INTERLEAVES])
    for size, threads in zip(
        np.random.default_rng(i)
        .choice([1, 300_000, 700_000, 3_000_000, 2**28], 3, replace=False)
        .tolist(),
        np.random.default_rng(100 + i).integers(1, 5, 3).tolist(),
        strict=True,
    )
]


@pytest.fixture(scope="module")
def same_pixels(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], np.ndarray]:
    """The same cube in every layout, with missing values, by the layout's name."""
    folder = tmp_path_factory.mktemp("layouts")
    cube = spectra(B, *SHAPE)
    cube[2, 20:40, 200:300] = np.nan
    files = {name: write_tiff(folder / f"{name}.tif", cube, **how) for name, how in LAYOUTS.items()}
    return files | {
        name: write_envi(folder / f"{name}.img", cube, name) for name in INTERLEAVES
    }, cube


@pytest.fixture(scope="module")
def one_pass(
    same_pixels: tuple[dict[str, str], np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> np.ndarray:
    """The fused cube by one thread, from the first layout."""
    folder = tmp_path_factory.mktemp("one")
    path = next(iter(same_pixels[0].values()))
    config = ApplyConfig(scenes=[path], output=str(folder / "out.tif"), threads=1)
    apply(saved(folder, fusion(bands_of(path))), config)
    return read(folder / "out.tif")


def test_the_dense_product_is_met(
    same_pixels: tuple[dict[str, str], np.ndarray], one_pass: np.ndarray
) -> None:
    exact = dense(same_pixels[1])
    missing = np.isnan(one_pass)
    np.testing.assert_array_equal(missing, np.isnan(exact))
    assert 0 < missing.sum() < missing.size
    assert_rounded(one_pass[~missing], exact[~missing])


@pytest.mark.parametrize(("layout", "size", "threads"), CUTS)
def test_every_cut_gives_the_same_bits(
    same_pixels: tuple[dict[str, str], np.ndarray],
    one_pass: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
    size: int,
    threads: int,
) -> None:
    seen: list[Window] = []

    def windows(
        self: Effort, shape: tuple[int, int], stored: tuple[int, int], per_pixel: int
    ) -> list[Window]:
        seen.extend(plan(shape, stored, per_pixel, size))
        return seen

    monkeypatch.setattr(Effort, "windows", windows)
    path = same_pixels[0][layout]
    config = ApplyConfig(scenes=[path], output=str(tmp_path / "out.tif"), threads=threads)
    result = apply(saved(tmp_path, fusion(bands_of(path))), config)
    assert len(seen) > 1 or size >= 2**20
    assert sum(w.size for w in seen) == SHAPE[0] * SHAPE[1]
    same_bits(read(tmp_path / "out.tif"), one_pass)
    assert result.valid_share == pytest.approx(np.isfinite(one_pass).mean(), rel=1e-12)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Weights, and a scene of more than one output tile each way."""
    folder = tmp_path_factory.mktemp("wide")
    path = write_tiff(
        folder / "a.tif", spectra(B, 700, 900, dtype="int16"), **LAYOUTS["tiled-pixel"]
    )
    return saved(folder, fusion(bands_of(path))), path


def test_files_are_byte_identical_for_any_number_of_threads(
    tmp_path: Path, wide: tuple[str, str]
) -> None:
    for threads in (1, 2, 3):
        ok("apply", *wide, "-o", tmp_path / f"{threads}.tif", "--threads", threads)
    same_bits(*(p.read_bytes() for p in tmp_path.iterdir()))


def test_little_memory_changes_neither_pixels_nor_size(
    tmp_path: Path, wide: tuple[str, str]
) -> None:
    """Tiles that are written in parts, and flushed between them, would be stored again and
    again."""
    ok("apply", *wide, "-o", tmp_path / "much.tif", "--threads", 1)
    ok("apply", *wide, "-o", tmp_path / "little.tif", "--threads", 3, "--memory", 16)
    much, little = tmp_path / "much.tif", tmp_path / "little.tif"
    same_bits(read(little), read(much))
    assert little.stat().st_size < 1.05 * much.stat().st_size


# --------------------------------------------------------------------------------------------------


def test_strict_blanks_what_lacks_an_input_with_weight(tmp_path: Path) -> None:
    cube = spectra(4, 5, 6, dtype="int16")
    cube[0, 1, 1] = cube[3, 2, 2] = -9999
    path = write_tiff(tmp_path / "a.tif", cube, nodata=-9999)
    weight = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.5, 0.5, 1.0]])
    weights = saved(tmp_path, fusion(bands_of(path), weight, np.zeros(2)))
    ok("apply", weights, path, "-o", tmp_path / "out.tif")
    fused = read(tmp_path / "out.tif")
    assert np.argwhere(np.isnan(fused)).tolist() == [[0, 1, 1], [1, 2, 2]]
    there = np.isfinite(fused)
    np.testing.assert_array_equal(
        fused[there], dense(cube, weight, np.zeros(2))[there].astype(np.float32)
    )


@pytest.mark.parametrize("by_flag", [True, False])
def test_renormalise_keeps_the_sum_down_to_half_of_the_weight(
    tmp_path: Path, by_flag: bool
) -> None:
    cube = np.array([[[1, -1, 1, -1]], [[2, 2, -1, -1]], [[4, 4, 4, 4]]], dtype="int16")
    path = write_tiff(tmp_path / "a.tif", cube, nodata=-1)
    policy = NodataPolicy("strict" if by_flag else "renormalise")
    made = fusion(bands_of(path), np.array([[0.5, 0.25, 0.25]]), np.array([10.0]), nodata=policy)
    weights = saved(tmp_path, made)
    ok(
        "apply",
        weights,
        path,
        "-o",
        tmp_path / "out.tif",
        *(["--nodata-policy", "renormalise"] if by_flag else []),
    )
    whole = 0.5 * 1 + 0.25 * 2 + 0.25 * 4
    without_first = (0.25 * 2 + 0.25 * 4) / 0.5
    without_second = (0.5 * 1 + 0.25 * 4) / 0.75
    expected = np.array([whole, without_first, without_second, np.nan], np.float32) + np.float32(10)
    np.testing.assert_allclose(read(tmp_path / "out.tif")[0, 0], expected, rtol=1e-7)


def test_the_flag_wins_over_the_policy_in_the_file(tmp_path: Path) -> None:
    cube = np.array([[[1, -1]], [[2, 2]]], dtype="int16")
    path = write_tiff(tmp_path / "a.tif", cube, nodata=-1)
    made = fusion(
        bands_of(path), np.array([[0.5, 0.5]]), np.zeros(1), nodata=NodataPolicy("renormalise")
    )
    ok(
        "apply",
        saved(tmp_path, made),
        path,
        "-o",
        tmp_path / "out.tif",
        "--nodata-policy",
        "strict",
    )
    np.testing.assert_array_equal(read(tmp_path / "out.tif")[0, 0], [1.5, np.nan])


@pytest.mark.parametrize("policy", ["strict", "renormalise"])
def test_a_dead_band_without_weight_blanks_nothing(tmp_path: Path, policy: str) -> None:
    cube = spectra(4, 5, 6)
    cube[2] = np.nan
    path = write_tiff(tmp_path / "a.tif", cube)
    weight = np.array([[0.3, 0.3, 0.0, 0.4]])
    weights = saved(
        tmp_path, fusion(bands_of(path), weight, np.zeros(1), nodata=NodataPolicy(policy))
    )
    ok("apply", weights, path, "-o", tmp_path / "out.tif")
    expected = dense(cube[[0, 1, 3]], weight[:, [0, 1, 3]], np.zeros(1)).astype(np.float32)
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), expected)


def test_an_activation_comes_after_gain_and_offset(tmp_path: Path) -> None:
    cube = spectra(2, 5, 6)
    path = write_tiff(tmp_path / "a.tif", cube)
    made = replace(
        fusion(bands_of(path), np.array([[1.0, -1.0]]), np.array([0.1]), activation="sigmoid"),
        gain=np.array([3.0]),
    )
    ok("apply", saved(tmp_path, made), path, "-o", tmp_path / "out.tif")
    x = cube.astype(np.float64)
    expected = 1 / (1 + np.exp(-(3.0 * (x[0] - x[1]) + 0.1)))
    np.testing.assert_allclose(read(tmp_path / "out.tif")[0], expected, rtol=1e-6)


# --------------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path: Path) -> tuple[str, list[str], list[np.ndarray]]:
    """A weights file, three scenes and their pixels."""
    (tmp_path / "in").mkdir()
    cubes = [spectra(4, 20, 30, seed=i) for i in range(3)]
    files = [write_tiff(tmp_path / "in" / f"s{i}.tif", c) for i, c in enumerate(cubes)]
    return saved(tmp_path, fusion(bands_of(files[0]), WEIGHT[:, :4])), files, cubes


Three = tuple[str, list[str], list[np.ndarray]]


def test_several_scenes_to_a_folder(tmp_path: Path, three: Three) -> None:
    weights, files, cubes = three
    (tmp_path / "out").mkdir()
    done = ok("apply", weights, *files, "-o", tmp_path / "out", "--json")
    assert done.json["outputs"] == [str(tmp_path / "out" / f"s{i}.tif") for i in range(3)]
    assert sorted(listing(tmp_path / "out")) == ["s0.tif", "s1.tif", "s2.tif"]
    for i, cube in enumerate(cubes):
        assert_rounded(read(tmp_path / "out" / f"s{i}.tif"), dense(cube, WEIGHT[:, :4]))


def test_several_scenes_to_a_template(tmp_path: Path, three: Three) -> None:
    weights, files, cubes = three
    ok("apply", weights, *files, "-o", "{parent}/{stem}_fused{suffix}")
    assert_rounded(read(tmp_path / "in" / "s2_fused.tif"), dense(cubes[2], WEIGHT[:, :4]))
    assert len(listing(tmp_path / "in")) == 6


def test_outputs_that_do_not_work(tmp_path: Path, three: Three) -> None:
    weights, files, _ = three
    before = listing(tmp_path)

    def refused(output: str | None, words: str, *scenes: str) -> None:
        with pytest.raises((ConfigError, OutputError), match=words):
            apply(weights, ApplyConfig(scenes=list(scenes or files), output=output))

    refused(str(tmp_path / "out.tif"), "3 scenes need as many outputs")
    refused(str(tmp_path / "{parent.x}.tif"), "template")
    refused(str(tmp_path / "{nothing}.tif"), "template cannot be filled")
    refused(f"{tmp_path}/{{suffix}}", "same output")
    refused(None, "no output")
    refused("{parent}/{name}", "is an input")
    refused(files[0], "is an input", files[0])
    assert listing(tmp_path) == before


def test_an_existing_output_needs_overwrite(tmp_path: Path, three: Three) -> None:
    weights, files, cubes = three
    (tmp_path / "out.tif").write_text("mine")
    done = cli("apply", weights, files[0], "-o", tmp_path / "out.tif")
    assert (done.code, (tmp_path / "out.tif").read_text()) == (2, "mine")
    ok("apply", weights, files[0], "-o", tmp_path / "out.tif", "--overwrite")
    assert_rounded(read(tmp_path / "out.tif"), dense(cubes[0], WEIGHT[:, :4]))


def test_names_grid_and_driver_of_the_output(tmp_path: Path, three: Three) -> None:
    weights, files, _ = three
    ok(
        "apply",
        weights,
        files[0],
        "-o",
        tmp_path / "out.tif",
        "--co",
        "COMPRESS=LZW",
        "--co",
        "BLOCKXSIZE=128",
    )
    seen, like = profile(tmp_path / "out.tif"), profile(files[0])
    assert (seen["names"], seen["compress"], seen["blockxsize"]) == (NAMES, "lzw", 128)
    assert (seen["crs"], seen["transform"]) == (like["crs"], like["transform"])
    ok("apply", weights, files[0], "-o", tmp_path / "out.img", "--driver", "ENVI")
    same_bits(read(tmp_path / "out.img"), read(tmp_path / "out.tif"))
    assert (tmp_path / "out.hdr").is_file()


def test_a_truncated_scene_leaves_nothing(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", spectra(4, 400, 400), **LAYOUTS["tiled-pixel"])
    weights = saved(tmp_path, fusion(bands_of(path), WEIGHT[:, :4]))
    truncated(path, 0.8)
    before = listing(tmp_path)
    with pytest.raises(InputError, match=r"a\.tif cannot be read to its end"):
        apply(weights, ApplyConfig(scenes=[path], output=str(tmp_path / "out.tif")))
    assert listing(tmp_path) == before


# --------------------------------------------------------------------------------------------------


def test_sources_are_concatenated(tmp_path: Path) -> None:
    a, b = spectra(3, 20, 30, seed=1), spectra(2, 20, 30, seed=2, dtype="int16")
    pair = (
        f"vnir={write_tiff(tmp_path / 'a.tif', a)}",
        f"swir={write_tiff(tmp_path / 'b.tif', b)}",
    )
    made = fusion(bands_of(source=pair), WEIGHT[:, :5])
    out = tmp_path / "out.tif"
    weights = saved(tmp_path, made)
    ok("apply", weights, "--source", pair[0], "--source", pair[1], "-o", out)
    joint = np.concatenate([a.astype(np.float64), b.astype(np.float64)])
    fused, exact = read(out), dense(joint, WEIGHT[:, :5])
    np.testing.assert_allclose(fused, exact, rtol=1e-6, atol=1e-3)
    with pytest.raises(
        MismatchError, match=r"sources of other names.*swir, vnir.*vnir, swir|number of bands"
    ):
        apply(weights, ApplyConfig(source=[pair[1], pair[0]], output=str(tmp_path / "other.tif")))
    with pytest.raises(MismatchError, match="other sources"):
        apply(weights, ApplyConfig(source=[pair[0]], output=str(tmp_path / "other.tif")))


def test_sources_of_equal_total_but_other_split_are_refused(tmp_path: Path) -> None:
    """Weights for 3 + 2 bands must not be applied to 2 + 3 bands."""
    files = {n: write_tiff(tmp_path / f"{n}.tif", spectra(n, 20, 30, seed=n)) for n in (2, 3)}
    made = fusion(bands_of(source=(f"a={files[3]}", f"b={files[2]}")), WEIGHT[:, :5])
    config = ApplyConfig(
        source=[f"a={files[2]}", f"b={files[3]}"], output=str(tmp_path / "out.tif")
    )
    with pytest.raises(MismatchError):
        apply(saved(tmp_path, made), config)


def test_band_counts_must_agree(tmp_path: Path) -> None:
    four, five = (write_tiff(tmp_path / f"{n}.tif", spectra(n, 9, 9)) for n in (4, 5))
    weights = saved(tmp_path, fusion(bands_of(four), WEIGHT[:, :4]))
    with pytest.raises(MismatchError, match=r"got 5 bands in .*5\.tif; expected 4 bands"):
        apply(weights, ApplyConfig(scenes=[five], output=str(tmp_path / "out.tif")))


@pytest.mark.parametrize("fwhm", [8.0, None])
def test_wavelengths_must_agree_within_half_a_width(tmp_path: Path, fwhm: float | None) -> None:
    nm = [500.0, 510.0, 520.0, 530.0]
    cube = spectra(4, 9, 9)

    def scene(name: str, shift: float) -> str:
        moved = [nm[0], nm[1], nm[2] + shift, nm[3]]
        return write_tiff(
            tmp_path / name, cube, nm=moved, fwhm=None if fwhm is None else [fwhm] * 4
        )

    allowed = 4.0 if fwhm else 5.0
    weights = saved(tmp_path, fusion(bands_of(scene("a.tif", 0.0)), WEIGHT[:, :4]))
    ok("apply", weights, scene("near.tif", allowed - 0.01), "-o", tmp_path / "near_out.tif")
    with pytest.raises(
        MismatchError, match=r"1 bands of scene 'far'.*band 3.*expected 520\.0 nm within"
    ):
        apply(
            weights,
            ApplyConfig(
                scenes=[scene("far.tif", allowed + 0.01)], output=str(tmp_path / "out.tif")
            ),
        )


def test_without_wavelengths_the_count_is_the_check(tmp_path: Path) -> None:
    cube = spectra(4, 9, 9)
    known = write_tiff(tmp_path / "known.tif", cube, nm=wavelengths(4))
    unknown = write_tiff(tmp_path / "unknown.tif", cube)
    ok(
        "apply",
        saved(tmp_path, fusion(bands_of(known), WEIGHT[:, :4])),
        unknown,
        "-o",
        tmp_path / "a_out.tif",
    )
    ok(
        "apply",
        saved(tmp_path, fusion(bands_of(unknown), WEIGHT[:, :4])),
        known,
        "-o",
        tmp_path / "b_out.tif",
    )
    same_bits(read(tmp_path / "a_out.tif"), read(tmp_path / "b_out.tif"))


def test_weights_that_are_all_zero_give_the_offset_everywhere(tmp_path: Path) -> None:
    """No input has weight, so none can be missing: the fit of a constant target."""
    cube = spectra(2, 9, 9)
    cube[:, :3] = np.nan
    path = write_tiff(tmp_path / "a.tif", cube)
    weights = saved(tmp_path, fusion(bands_of(path), np.zeros((1, 2)), np.array([2.5])))
    ok("apply", weights, path, "-o", tmp_path / "out.tif")
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), np.full((1, 9, 9), 2.5, "float32"))


# --------------------------------------------------------------------------------------------------


def test_per_scene_weights_and_the_common_ones(tmp_path: Path) -> None:
    cubes = {name: spectra(4, 9, 9, seed=i) for i, name in enumerate(("one", "two", "new"))}
    files = {name: write_tiff(tmp_path / f"{name}.tif", c) for name, c in cubes.items()}
    common = fusion(bands_of(files["one"]), WEIGHT[:, :4])
    own = {
        name: replace(common, weight=common.weight * s) for name, s in (("one", 2.0), ("two", -3.0))
    }
    weights = saved(tmp_path, Model(common, own))
    (tmp_path / "out").mkdir()
    ok("apply", weights, files["one"], files["two"], "-o", tmp_path / "out")
    assert_rounded(read(tmp_path / "out" / "one.tif"), dense(cubes["one"], 2.0 * WEIGHT[:, :4]))
    assert_rounded(read(tmp_path / "out" / "two.tif"), dense(cubes["two"], -3.0 * WEIGHT[:, :4]))

    before = listing(tmp_path)
    with pytest.raises(MismatchError, match=r"'new' was not in the training.*--use-common"):
        apply(weights, ApplyConfig(scenes=[files["new"]], output=str(tmp_path / "new_out.tif")))
    assert listing(tmp_path) == before
    ok("apply", weights, files["new"], "-o", tmp_path / "new_out.tif", "--use-common")
    assert_rounded(read(tmp_path / "new_out.tif"), dense(cubes["new"], WEIGHT[:, :4]))


# --------------------------------------------------------------------------------------------------


def test_int16_with_scale(tmp_path: Path) -> None:
    """One product each, which no order of summation changes."""
    cube = spectra(4, 20, 30)
    cube[0, 3, 4] = np.nan
    path = write_tiff(tmp_path / "a.tif", cube)
    weight = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 100.0, 0.0, 0.0]])
    weights = saved(tmp_path, fusion(bands_of(path), weight, np.zeros(2)))
    out = tmp_path / "out.tif"
    done = ok(
        "apply",
        weights,
        path,
        "-o",
        out,
        "--dtype",
        "int16",
        "--scale",
        0.001,
        "--offset-out",
        0.5,
        "--json",
    )
    fused, seen = read(out), profile(out)
    exact = (dense(cube, weight, np.zeros(2)) - 0.5) / 0.001
    too_big = int((np.rint(exact[1]) > 32767).sum())
    assert too_big > 0
    assert done.json["clipped"] == too_big
    assert f"{too_big} values were clipped to the range of int16" in done.err
    assert (seen["nodata"], seen["scales"], seen["offsets"]) == (-32768, (0.001,) * 2, (0.5,) * 2)
    assert fused[0, 3, 4] == -32768
    there = np.isfinite(cube[0])
    np.testing.assert_array_equal(fused[0][there], np.rint(exact[0][there]))
    np.testing.assert_array_equal(fused[1], np.minimum(np.rint(exact[1]), 32767))
    assert done.json["valid_share"] == pytest.approx(1 - 1 / 1200, rel=1e-12)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--dtype", "int16"], "--scale"),
        (["--scale", "0.1"], "--scale"),
        (["--dtype", "float64", "--offset-out", "1"], "--offset-out"),
    ],
)
def test_an_encoding_must_be_declared_in_full(tmp_path: Path, flags: list[str], named: str) -> None:
    path = write_tiff(tmp_path / "a.tif", spectra(4, 9, 9))
    weights = saved(tmp_path, fusion(bands_of(path), WEIGHT[:, :4]))
    before = listing(tmp_path)
    done = cli("apply", weights, path, "-o", tmp_path / "out.tif", *flags)
    assert done.code == 2
    assert named in done.err
    assert listing(tmp_path) == before
