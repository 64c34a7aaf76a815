"""The decoder: the cube back from its outputs, in the maths, in the weights file, and from a fused
raster."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import close_to_conditioning, condition_of, same_bits
from hypothesis import given
from hypothesis import strategies as st
from rasters import cli, listing, ok, profile, read, spectra, wavelengths, write_tiff
from safetensors.numpy import load_file, save

from bandfuse.errors import InputError, MismatchError
from bandfuse.model.decoder import UNUSED, as_read, decoder
from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps, load
from bandfuse.moments.moments import Moments
from bandfuse.solve.decoder import least_squares
from bandfuse.spectral.bands import Bands

B = 8
NM = wavelengths(B)


def bands(n: int) -> Bands:
    return Bands.of([f"b{i}" for i in range(n)])


def linear(weight: np.ndarray, offset: np.ndarray | None = None) -> Fusion:
    k, b = weight.shape
    return Fusion(weight, np.ones(k), np.zeros(k) if offset is None else offset, bands(b), bands(k))


def pixels(n: int = 400, b: int = B, seed: int = 0) -> np.ndarray:
    """(N, B) correlated values far from zero."""
    rng = np.random.default_rng(seed)
    return 5 + rng.normal(size=(n, b)) @ rng.normal(size=(b, b))


def train(folder: Path, *arguments: object, name: str = "run") -> tuple[Path, dict[str, Any]]:
    run = folder / name
    ok("train", *arguments, "-o", run, "--no-report")
    return run, json.loads((run / "report.json").read_text())


def inverse(run: Path, *more: object) -> np.ndarray:
    cube = run.parent / "cube_back.tif"
    ok(
        "apply",
        run / "weights.safetensors",
        run / "fused.tif",
        "--inverse",
        "-o",
        cube,
        "--overwrite",
        *more,
    )
    return read(cube)


# --------------------------------------------------------------------------------------------------


@given(k=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_it_is_least_squares(k: int, seed: int) -> None:
    """Against numpy on the pixels themselves, a column of ones for the offset."""
    rng = np.random.default_rng(seed)
    x = pixels(seed=seed)
    fusion = linear(rng.normal(size=(k, B)), rng.normal(size=k))
    back = least_squares(fusion, Moments.of(x), range(B))
    y = np.hstack([fusion(x), np.ones((len(x), 1))])
    expected = y @ np.linalg.lstsq(y, x, rcond=None)[0]
    np.testing.assert_allclose(back(fusion(x)), expected, rtol=1e-7, atol=1e-7)


def test_principal_components() -> None:
    """Of the leading components the decoder is their transpose: Eckart and Young."""
    x = pixels()
    leading = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:3]
    back = least_squares(linear(leading), Moments.of(x), range(B))
    condition = float(np.linalg.cond(x - x.mean(0))) ** 2
    close_to_conditioning(back.matrix, leading.T, condition)
    close_to_conditioning(back.offset, x.mean(0) - leading.T @ leading @ x.mean(0), condition)


def test_as_many_outputs_as_bands_give_the_cube_back() -> None:
    rng = np.random.default_rng(1)
    x, fusion = pixels(), linear(rng.uniform(size=(B, B)), rng.normal(size=B))
    close_to_conditioning(
        least_squares(fusion, Moments.of(x), range(B))(fusion(x)), x, condition_of(fusion(x))
    )


def test_outputs_that_repeat_or_say_nothing() -> None:
    """Twice the same output shares its part; an output without weight has none."""
    x = pixels()
    row = np.random.default_rng(2).uniform(size=(1, B))
    one = least_squares(linear(row), Moments.of(x), range(B))
    many = least_squares(linear(np.vstack([row, 1e3 * row, 0 * row])), Moments.of(x), range(B))
    y = x @ row.T
    close_to_conditioning(many(np.hstack([y, 1e3 * y, 0 * y])), one(y), 10)
    assert not many.matrix[:, 2].any()


def test_bands_that_were_not_used_come_out_missing() -> None:
    x, used = pixels(), [0, 2, 3, 7]
    weight = np.zeros((2, B))
    weight[:, used] = np.random.default_rng(3).uniform(size=(2, 4))
    fusion = linear(weight)
    fusion = replace(fusion, inputs=fusion.inputs.dropping({1: "constant (0)"}))
    back = least_squares(fusion, Moments.of(x[:, used]), used)
    out = back(fusion(x))
    assert np.isnan(out[:, [1, 4, 5, 6]]).all()
    assert np.isfinite(out[:, used]).all()
    assert back.outputs.reason == ("", "constant (0)", "", "", UNUSED, UNUSED, UNUSED, "")


def test_a_missing_output_gives_a_missing_pixel() -> None:
    x = pixels()
    fusion = linear(np.eye(3, B))
    y = fusion(x)
    y[4, 1] = np.nan
    out = least_squares(fusion, Moments.of(x), range(B))(y)
    assert np.isnan(out[4]).all()
    assert np.isfinite(np.delete(out, 4, axis=0)).all()


# --------------------------------------------------------------------------------------------------


def model() -> Model:
    x, used = pixels(), [0, 1, 2, 4, 5]
    weight = np.zeros((2, B))
    weight[:, used] = np.random.default_rng(4).uniform(size=(2, 5))
    fusion = linear(weight)
    return Model(fusion, decoder=least_squares(fusion, Moments.of(x[:, used]), used))


def test_round_trip(tmp_path: Path) -> None:
    made = model()
    path = tmp_path / "w.safetensors"
    path.write_bytes(dumps(made))
    back = load(path).decoder
    assert back is not None
    assert made.decoder is not None
    same_bits(back.matrix, made.decoder.matrix)
    same_bits(back.offset, made.decoder.offset)
    assert (back.inputs, back.outputs, back.nodata) == (
        made.decoder.inputs,
        made.decoder.outputs,
        made.decoder.nodata,
    )
    stored = load_file(path)
    assert stored["decoder"].shape == (B, 2)
    assert np.isnan(stored["decoder_offset"]).tolist() == [i in (3, 6, 7) for i in range(B)]
    assert load_file(path).keys() - {"decoder", "decoder_offset"} == {"weight", "gain", "offset"}


Change = Callable[[dict[str, np.ndarray]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("decoder_offset"), "decoder_offset"),
        (lambda t: t.pop("decoder"), "decoder"),
        (lambda t: t.update(decoder=t["decoder"].T.copy()), "shape (2, 8)"),
        (lambda t: t.update(decoder_offset=t["decoder_offset"][:3].copy()), "shape (3,)"),
        (lambda t: t.update(decoder=t["decoder"] * np.nan), "NaN"),
        (lambda t: t.update(decoder_offset=t["decoder_offset"] + np.inf), "infinite"),
    ],
)
def test_damaged_decoders_are_refused(tmp_path: Path, change: Change, words: str) -> None:
    from safetensors import safe_open

    path = tmp_path / "w.safetensors"
    path.write_bytes(dumps(model()))
    with safe_open(str(path), framework="numpy") as file:
        header = file.metadata()
    tensors = load_file(path)
    change(tensors)
    path.write_bytes(save(tensors, metadata=header))
    with pytest.raises(InputError) as error:
        load(path)
    assert words in str(error.value)


def test_shapes_are_checked() -> None:
    with pytest.raises(MismatchError, match="offset of a decoder"):
        decoder(np.zeros((3, 2)), np.zeros(2), bands(3), bands(2))
    made = decoder(np.zeros((3, 2)), np.zeros(3), bands(3), bands(2))
    with pytest.raises(MismatchError, match=r"fused\.tif has another number of bands"):
        as_read(made, bands(3), "fused.tif")


# -------------------------------------------------------------------------------------------------


def test_round_trip_of_a_cube(tmp_path: Path) -> None:
    """Train, fuse, rebuild: the error is the one in the report."""
    cube = spectra(B, 70, 90)
    scene = write_tiff(
        tmp_path / "cube.tif", cube, nm=NM, fwhm=[9.5] * B, names=[f"band {i}" for i in range(B)]
    )
    run, report = train(tmp_path, scene, "--groups", "equal:3")
    back = inverse(run)
    rmse = float(np.sqrt(np.mean((back.astype(np.float64) - cube) ** 2)))
    assert rmse == pytest.approx(report["scores"]["train"]["cube"]["rmse"], rel=1e-4)
    seen, first = profile(tmp_path / "cube_back.tif"), profile(scene)
    assert (seen["names"], seen["crs"], seen["transform"]) == (
        first["names"],
        first["crs"],
        first["transform"],
    )
    assert [float(t["wavelength"]) for t in seen["band_tags"]] == NM
    assert {t["fwhm"] for t in seen["band_tags"]} == {"9.5"}
    assert {t["bbl"] for t in seen["band_tags"]} == {"1"}
    inverse(run, "--threads", 1, "--memory", 16)
    same_bits(read(tmp_path / "cube_back.tif"), back)


def test_one_group_per_band_is_exact(tmp_path: Path) -> None:
    cube = spectra(4, 30, 40)
    scene = write_tiff(tmp_path / "cube.tif", cube)
    run, _ = train(tmp_path, scene, "--groups", "equal:4")
    np.testing.assert_allclose(inverse(run), cube, rtol=1e-6)


def test_dropped_bands_and_missing_pixels(tmp_path: Path) -> None:
    cube = spectra(B, 30, 40)
    cube[2] = 0.25
    cube[5, :3] = -9
    scene = write_tiff(tmp_path / "cube.tif", cube, nm=NM, nodata=-9, bad=[7])
    run, _ = train(tmp_path, scene, "--group", "a=1-4", "--group", "b=6-8")
    back = inverse(run)
    assert np.isnan(back[[2, 4, 6]]).all()
    rest = [0, 1, 3, 5, 7]
    assert np.isnan(back[rest, :3]).all()
    assert np.isfinite(back[rest, 3:]).all()
    seen = profile(tmp_path / "cube_back.tif")
    assert [t["bbl"] for t in seen["band_tags"]] == ["1", "1", "0", "1", "0", "1", "0", "1"]
    assert [float(t["wavelength"]) for t in seen["band_tags"]] == NM
    told = ok(
        "apply",
        run / "weights.safetensors",
        run / "fused.tif",
        "--inverse",
        "-o",
        tmp_path / "x.tif",
        "--json",
    ).json
    assert told["valid_share"] == pytest.approx(27 / 30)


def test_integers_keep_their_nodata(tmp_path: Path) -> None:
    cube = spectra(B, 30, 40)
    cube[2] = 0.25
    run, _ = train(tmp_path, write_tiff(tmp_path / "cube.tif", cube), "--groups", "equal:3")
    exact = inverse(run)
    stored = inverse(run, "--dtype", "int16", "--scale", 0.001)
    assert (stored[2] == profile(tmp_path / "cube_back.tif")["nodata"]).all()
    np.testing.assert_allclose(
        np.delete(stored, 2, 0) * 0.001, np.delete(exact, 2, 0), atol=0.00051
    )


def test_decoder_is_the_same_from_a_selection_as_from_its_pixels(tmp_path: Path) -> None:
    """Pixels that do not count do not enter the decoder."""
    cube = spectra(B, 30, 40)
    cube[:, 20:] *= 7
    whole = write_tiff(tmp_path / "whole.tif", cube)
    part = write_tiff(tmp_path / "part.tif", np.ascontiguousarray(cube[:, :20]))
    made = [
        load(
            train(tmp_path, scene, "--groups", "equal:3", *more, name=name)[0]
            / "weights.safetensors"
        ).decoder
        for name, scene, more in (("a", whole, ["--window", 0, 0, 20, 40]), ("b", part, []))
    ]
    assert made[0] is not None
    assert made[1] is not None
    np.testing.assert_allclose(made[0].matrix, made[1].matrix, rtol=1e-4, atol=1e-6)


def test_refusals(tmp_path: Path) -> None:
    cube = spectra(B, 30, 40)
    scene = write_tiff(tmp_path / "cube.tif", cube, nm=NM)
    run, _ = train(tmp_path, scene, "--groups", "equal:3")
    target = write_tiff(tmp_path / "t.tif", cube[:2])
    matched, _ = train(tmp_path, scene, "--target", target, "--constraint", "free", name="matched")
    weights = run / "weights.safetensors"
    before = listing(tmp_path)

    def says(*arguments: object) -> str:
        done = cli("apply", *arguments, "--inverse", "-o", tmp_path / "out.tif")
        assert done.code == 2, done.err
        assert listing(tmp_path) == before
        return " ".join(done.err.split())

    told = says(matched / "weights.safetensors", matched / "fused.tif")
    assert "holds no decoder" in told
    assert "--objective reconstruction" in told
    told = says(weights, scene)
    assert "cube.tif has another number of bands" in told
    assert "got 8 bands; expected 3 bands" in told
    assert "--nodata-policy does not apply with --inverse" in says(
        weights, run / "fused.tif", "--nodata-policy", "strict"
    )
    assert "--use-common does not apply with --inverse" in says(
        weights, run / "fused.tif", "--use-common"
    )
