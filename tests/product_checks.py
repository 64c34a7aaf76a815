"""What every product must pass: it is read as another reader finds it, and every command works on
it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from published import Made
from rasters import cli, listing, ok, read

from bandfuse.model.weightsfile import load
from bandfuse.raster import Raster, Reader, describe, quicklook
from bandfuse.streaming.windows import Window


def pixels(raster: Raster, window: Window | None = None) -> np.ndarray:
    """(B, H, W) as bandfuse reads them."""
    w = window or Window(0, 0, *raster.shape)
    with Reader([(raster, range(len(raster.bands)))]) as reader:
        found = reader.read(w).cell(slice(0, w.rows), slice(0, w.cols)).values()
    return np.asarray(found.reshape(-1, w.rows, w.cols))


def read_as_made(path: Path | str, made: Made) -> Raster:
    """The product, whose bands and pixels are those that another reader finds."""
    raster = describe(path)
    np.testing.assert_allclose(raster.bands.wavelength_nm, made.nm, rtol=1e-7)
    np.testing.assert_allclose(raster.bands.fwhm_nm, made.fwhm, rtol=1e-7)
    assert raster.bands.good.tolist() == made.good.tolist()
    assert np.isnan(made.values).any()
    found = pixels(raster)
    np.testing.assert_allclose(found, made.values, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(pixels(raster, Window(5, 3, 17, 19)), found[:, 5:22, 3:22])
    step = -(-max(found.shape[1:]) // 20)
    thin = quicklook(raster, [1, 3], most=20)
    assert thin.shape == (-(-found.shape[1] // step), -(-found.shape[2] // step), 2)
    if raster.pieces[0].axes or raster.pieces[0].flaws:  # GDAL thins others in its own way
        np.testing.assert_allclose(
            thin[..., 1], made.values[3, ::step, ::step], rtol=1e-6, atol=1e-9
        )
    return raster


def every_command(
    path: Path,
    made: Made,
    product: str,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    *,
    vrt: bool,
) -> None:
    """Info, check, train, apply and export; what is fused is the weights times what another reader
    finds. ``vrt``: a virtual raster can be written, else one line says that it cannot."""
    before = listing(path if path.is_dir() else path.parent)
    (scene,) = ok("info", path, "--json").json["scenes"]
    assert scene["driver"].startswith(f"{product} (")
    ok("check", path)
    run, fused = folder / "run", folder / "fused.tif"
    ok("train", path, "--groups", "equal:2", "--folds", 0, "--no-report", "-o", run, "--no-fused")
    weights = run / "weights.safetensors"
    ok("apply", weights, path, "-o", fused)
    weight = load(weights).common.matrix
    assert not weight[:, ~made.good].any()
    used = (weight != 0).any(axis=0)
    expected = np.einsum("kb,bhw->khw", weight[:, used], made.values[used])
    np.testing.assert_allclose(read(fused), expected, rtol=1e-5, atol=1e-7)
    command = ["export", weights, "--to", "vrt", "--scene", path, "-o", folder / "f.vrt"]
    if vrt:
        ok(*command)
        np.testing.assert_allclose(read(folder / "f.vrt"), read(fused), rtol=1e-5, atol=1e-7)
    else:
        done = cli(*command)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert product in done.err
        assert not (folder / "f.vrt").exists()
    assert listing(path if path.is_dir() else path.parent) == before
    assert capfd.readouterr().err == ""


def refused_in_one_line(*arguments: object, says: tuple[str, ...]) -> None:
    """A command must end with exit code 2 and one line that says all this."""
    done = cli(*arguments)
    assert done.code == 2, done.out
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1, done.err
    for text in says:
        assert text in done.err
