"""Fusing arrays of other libraries: the same numbers as numpy, on every path of the nodata
policy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from helpers import bands_of, close_to_conditioning, fusion_of, plain, same_bits
from rasters import NORTH_UP, spectra, wavelengths, write_tiff

import bandfuse
from bandfuse.model.fusion import ACTIVATIONS, Fusion, NodataPolicy
from bandfuse.spectral.bands import Bands

B, K, H, W = 5, 3, 7, 11
WEIGHT = np.array(
    [[0.5, 0.0, 0.5, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4, 0.0], [1.0, -1.0, 0.0, 0.5, 0.0]]
)
POLICIES = [NodataPolicy(), NodataPolicy("renormalise"), NodataPolicy("renormalise", 0.9)]


def cube(*, holes: bool = True, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 1.0, (B, H, W))
    if holes:
        x[rng.random(x.shape) < 0.2] = np.nan
        x[0, 0, 0] = np.inf
        x[:, 1, 1] = np.nan
    return x


def made(activation: str = "identity", nodata: NodataPolicy | None = None) -> Fusion:
    return fusion_of(
        WEIGHT,
        np.array([1.0, 2.0, 0.5]),
        np.array([0.1, -0.3, 0.0]),
        activation=activation,
        nodata=nodata,
    )


def reference(fusion: Fusion, x: np.ndarray) -> np.ndarray:
    """(K, H, W) pixel by pixel, through the fusion itself."""
    return np.stack([fusion(x[:, r].T).T for r in range(x.shape[1])], axis=1)


def test_numpy_of_two_three_and_four_dimensions() -> None:
    f, x = made(), cube()
    want = reference(f, x)
    close_to_conditioning(bandfuse.fuse(f, x), want)
    close_to_conditioning(bandfuse.fuse(f, np.stack([x, x])), np.stack([want, want]))
    same_bits(bandfuse.fuse(f, x[:, 0].T), f(x[:, 0].T))
    same_bits(bandfuse.fuse(f, x[:, 0].T.tolist()), f(x[:, 0].T))


@pytest.mark.parametrize("nodata", POLICIES, ids=["strict", "half", "0.9"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", ["flat", "image"])
def test_torch_is_numpy(shape: str, activation: str, nodata: NodataPolicy) -> None:
    f, x = made(activation, nodata), cube()
    x = x.reshape(B, -1).T if shape == "flat" else x
    got = bandfuse.fuse(f, torch.tensor(x))
    assert got.dtype == torch.float64
    # Weights that are rescaled, by at most two, rest on sums of weights of both signs.
    close_to_conditioning(got, bandfuse.fuse(f, x), 10)


def test_tensors_keep_their_type_and_whole_numbers_become_float64() -> None:
    f, x = made(), cube(holes=False)
    single = bandfuse.fuse(f, torch.tensor(x, dtype=torch.float32))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), bandfuse.fuse(f, x), rtol=1e-4, atol=1e-6)
    whole = torch.arange(2 * B).reshape(2, B)
    close_to_conditioning(bandfuse.fuse(f, whole), f(whole.numpy()))


def test_gradients_pass_and_are_zero_where_nothing_is_known() -> None:
    f = made("softplus")
    x = torch.tensor(cube(holes=False)[:, :2, :3], requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: bandfuse.fuse(f, t), x)
    holed = torch.tensor(cube(), requires_grad=True)
    torch.nansum(bandfuse.fuse(f, holed)).backward()
    assert holed.grad is not None
    assert torch.isfinite(holed.grad).all()
    assert (holed.grad[:, 1, 1] == 0).all()
    known = torch.isfinite(torch.tensor(cube())).all(dim=0)
    assert (holed.grad[:, known].abs().sum(dim=0) > 0).all()


def test_dask_is_lazy_and_numpy() -> None:
    f, x = made(), cube()
    lazy = bandfuse.fuse(f, da.from_array(x, chunks=(2, 3, 4)))
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == ((K, H, W), np.float64)
    assert lazy.chunks[1:] == ((3, 3, 1), (4, 4, 3))
    close_to_conditioning(lazy.compute(scheduler="synchronous"), bandfuse.fuse(f, x))
    flat = x.reshape(B, -1).T
    rows = bandfuse.fuse(f, da.from_array(flat, chunks=(10, 2)))
    close_to_conditioning(rows.compute(scheduler="synchronous"), f(flat))


def labelled(x: np.ndarray) -> xr.DataArray:
    return xr.DataArray(
        np.stack([x, x + 1], axis=1),
        dims=("band", "time", "y", "x"),
        coords={
            "band": np.arange(1, B + 1),
            "time": np.array(["2024-01-01", "2024-02-01"], dtype="M8[ns]"),
            "y": np.arange(H) * -30.0,
            "x": np.arange(W) * 30.0,
            "lat": (("y", "x"), np.ones((H, W))),
            "spatial_ref": 0,
            "gain": ("band", np.arange(B)),
        },
        attrs={"scale_factor": 0.1},
    )


def with_wavelengths() -> Fusion:
    f = made()
    return Fusion(f.weight, f.gain, f.offset, plain(B, "x"), bands_of(K))


@pytest.mark.parametrize("lazily", [False, True])
def test_xarray_keeps_its_coordinates(lazily: bool) -> None:
    f, x = with_wavelengths(), cube()
    array = labelled(x).transpose("time", "y", "band", "x")
    given = array.chunk({"y": 3, "band": 2}) if lazily else array
    got = bandfuse.fuse(f, given)
    assert (got.chunks is not None) == lazily
    assert got.dims == array.dims
    for name in ("time", "y", "x", "lat", "spatial_ref"):
        xr.testing.assert_identical(
            got[name].reset_coords(drop=True), array[name].reset_coords(drop=True)
        )
    assert got["band"].values.tolist() == list(f.outputs.name)
    np.testing.assert_array_equal(got["wavelength_nm"], f.outputs.wavelength_nm)
    np.testing.assert_array_equal(got["fwhm_nm"], f.outputs.fwhm_nm)
    assert "gain" not in got.coords
    assert got.attrs == {}
    values = got.transpose("time", "band", "y", "x").values
    close_to_conditioning(values, np.stack([reference(f, x), reference(f, x + 1)]))


def test_a_dimension_of_another_name() -> None:
    f, x = made(), cube()
    got = bandfuse.fuse(f, xr.DataArray(x, dims=("wavelength", "y", "x")), dim="wavelength")
    assert got.dims == ("wavelength", "y", "x")
    assert got["wavelength"].values.tolist() == list(f.outputs.name)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((3, 4)),
        np.ones(B),
        torch.ones(4, H, W),
        xr.DataArray(np.ones((B, 2)), dims=("x", "y")),
        da.ones((4, 4)),
    ],
    ids=lambda a: type(a).__name__,
)
def test_another_number_of_bands_is_refused(array: object) -> None:
    with pytest.raises(bandfuse.UsageError, match="array to fuse"):
        bandfuse.fuse(made(), array)


def test_an_output_with_a_reason_is_missing_everywhere() -> None:
    f = made()
    lost = Fusion(
        f.weight, f.gain, f.offset, f.inputs, f.outputs.dropping({1: "covered too little"})
    )
    got = bandfuse.fuse(lost, torch.tensor(cube(holes=False)))
    assert torch.isnan(got[1]).all()
    assert torch.isfinite(got[[0, 2]]).all()


def test_numpy_alone_imports_nothing_else() -> None:
    code = (
        "import sys, numpy as np, bandfuse\nfrom bandfuse.spectral.bands import Bands\n"
        "f = bandfuse.Fusion([[1.0, 2.0]], [1], [0], Bands.of(['a', 'b']), Bands.of(['y']))\n"
        "bandfuse.fuse(f, np.ones((2, 3, 3)))\n"
        "print(*({'torch', 'xarray', 'dask', 'rasterio', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


# --------------------------------------------------------------------------------------------------


def two_files(folder: Path) -> tuple[str, str, np.ndarray]:
    x = spectra(6, 70, 300, dtype="int16")
    x[2, 5, 5] = -1
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 16}
    a = write_tiff(
        folder / "a.tif", x[:4], nodata=-1, nm=wavelengths(6)[:4], scales=[0.0001] * 4, **tiles
    )
    b = write_tiff(folder / "b.tif", x[4:], nodata=-1, nm=wavelengths(6)[4:], scales=[0.0001] * 2)
    return a, b, np.where(x == -1, np.nan, x * 0.0001)


def test_open_describes_and_reads(tmp_path: Path) -> None:
    a, b, want = two_files(tmp_path)
    image = bandfuse.open(vnir=a, swir=b)
    assert image.shape == (6, 70, 300)
    assert isinstance(image.bands, Bands)
    assert image.bands.sources == ("vnir", "swir")
    assert (image.crs, image.transform) == ("EPSG:32633", tuple(NORTH_UP)[:6])
    close_to_conditioning(image.read(), want)
    close_to_conditioning(image.read((3, 10, 5, 7)), want[:, 3:8, 10:17])
    np.testing.assert_array_equal(np.asarray(bandfuse.open(a)), image.read()[:4])


def test_an_opened_scene_is_a_lazy_array_that_fuses(tmp_path: Path) -> None:
    a, b, want = two_files(tmp_path)
    lazy = bandfuse.open(vnir=a, swir=b).to_xarray()
    assert lazy.chunks is not None
    assert lazy.data.numblocks[1:] == (1, 3)
    assert lazy.attrs == {"crs": "EPSG:32633"}
    np.testing.assert_allclose(lazy["wavelength_nm"], wavelengths(6))
    assert float(lazy["x"][0]) == NORTH_UP.c + 15
    assert float(lazy["y"][-1]) == NORTH_UP.f - 30 * 69.5
    f = fusion_of(np.eye(2, 6) + 0.5)
    fused = bandfuse.fuse(f, lazy)
    assert fused.chunks is not None
    close_to_conditioning(fused.values, bandfuse.fuse(f, want))


def test_a_library_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _, _ = two_files(tmp_path)
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(
        bandfuse.UsageError, match=r"dask.array is not installed.*bandfuse\[xarray\]"
    ):
        bandfuse.open(a).to_xarray()


@pytest.mark.parametrize("window", [(0, 0, 0, 1), (-1, 0, 2, 2), (60, 0, 20, 5)])
def test_a_window_outside_is_refused(window: tuple[int, int, int, int], tmp_path: Path) -> None:
    a, _, _ = two_files(tmp_path)
    with pytest.raises(bandfuse.UsageError, match="within 70 rows and 300 columns"):
        bandfuse.open(a).read(window)
