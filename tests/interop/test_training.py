"""Training from arrays in memory: the weights and the report of the same pixels in files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import rasterio
import torch
import xarray as xr
from helpers import same_bits
from rasters import NORTH_UP, read, spectra, wavelengths, write_tiff

import bandfuse
from bandfuse.errors import BandfuseError, ConfigError, InputError, MismatchError, OutputError
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps
from bandfuse.results.training import TrainReport

B, H, W = 6, 60, 50
NM = wavelengths(B)
FWHM = [12.0] * B
NAMES = [f"band {i}" for i in range(B)]
TRUE = np.array([[0.5, 0.3, 0.2, 0.0, 0.0, 0.0], [0.0, 0.0, 0.1, 0.2, 0.3, 0.4]])
APART = {"inputs", "seconds", "alignment"}
"""Fields of a report that tell of files and times."""


def cube(seed: int = 0) -> np.ndarray:
    x = spectra(B, H, W, seed=seed).astype(np.float64)
    x[2, 5, 5] = np.nan
    x[:, 50:, :7] = np.nan
    return x


def target_of(x: np.ndarray, seed: int = 1) -> np.ndarray:
    y = np.tensordot(TRUE, x, 1)
    noise = np.random.default_rng(seed).normal(scale=0.01 * np.nanstd(y), size=y.shape)
    y += noise
    y[1, 20, 20] = np.nan
    return y


def from_files(folder: Path, files: dict[str, list[np.ndarray]], **settings: Any) -> Any:
    """What files of the same pixels give: the model as bytes, and the report."""
    paths: dict[str, list[str]] = {}
    for what, arrays in files.items():
        for i, values in enumerate(arrays):
            known = {"nm": NM, "fwhm": FWHM, "names": NAMES} if what == "scenes" else {}
            path = folder / f"{what}_{i}.tif"
            write_tiff(path, values, crs=None, transform=None, **known)  # type: ignore[arg-type]
            paths.setdefault(what, []).append(str(path))
    config = bandfuse.TrainConfig(**paths, output=folder / "run", no_report=True, **settings)
    report, _ = bandfuse.train(config)
    return bandfuse.load(folder / "run" / "weights.safetensors"), report


def contents(model: Model) -> bytes:
    """The whole model, in its file's bytes."""
    return dumps(model)


def without_files(report: TrainReport) -> dict[str, Any]:
    rest = report.model_dump(exclude=APART)
    rest["device"].pop("apply", None)  # files have a fused raster
    return rest


KNOWN: dict[str, Any] = {"names": NAMES, "wavelength_nm": NM, "fwhm_nm": FWHM}


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"constraint": "simplex"},
        {"constraint": "free", "ridge": 0.01, "folds": 3},
        {"groups": "equal:2", "objective": "reconstruction"},
        {"loss": "mae", "steps": 20, "starts": 1},
        {"objective": "snr"},
        {"window": (5, 5, 40, 30), "constraint": "affine"},
    ],
    ids=lambda s: "-".join(map(str, s)) or "default",
)
def test_the_bits_and_the_report_are_those_of_files(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    x = cube()
    matched = settings.get("objective") is None
    files = {"scenes": [x], **({"target": [target_of(x)]} if matched else {})}
    model, report = from_files(tmp_path, files, **settings)
    learned = bandfuse.train_arrays(
        x, target_of(x) if matched else None, no_report=True, **KNOWN, **settings
    )
    assert contents(learned.model) == contents(model)
    assert without_files(learned.report) == without_files(report)
    first = learned.report.inputs[0]
    assert (first.path, first.shape, first.size) == ("/vsimem/bandfuse-1/0/cube", (B, H, W), 0)
    assert all(len(i.sha256) == 64 for i in learned.report.inputs)


def test_classes_are_learned_from_labels(tmp_path: Path) -> None:
    x = cube()
    labels = np.digitize(np.nan_to_num(x[0]), np.nanquantile(x[0], [0.3, 0.7])) + 1
    files = {"scenes": [x], "labels": [labels[None].astype(np.uint8)]}
    model, report = from_files(tmp_path, files, unlabelled=[3])
    learned = bandfuse.train_arrays(x, labels=labels, unlabelled=[3], no_report=True, **KNOWN)
    assert contents(learned.model) == contents(model)
    assert without_files(learned.report) == without_files(report)


def test_scenes_by_name_have_weights_of_their_own(tmp_path: Path) -> None:
    one, two = cube(0), cube(1)
    files = {"scenes": [one, two], "target": [target_of(one), target_of(two, 2)]}
    settings: dict[str, Any] = {"scope": "per-scene", "folds": 2}
    model, _ = from_files(tmp_path, files, **settings)
    learned = bandfuse.train_arrays(
        {"scenes_0": one, "scenes_1": two},
        {"scenes_1": target_of(two, 2), "scenes_0": target_of(one)},
        no_report=True,
        **KNOWN,
        **settings,
    )
    assert list(learned.model.scenes) == ["scenes_0", "scenes_1"]
    assert contents(learned.model) == contents(model)
    listed = bandfuse.train_arrays(
        [one, two], [target_of(one), target_of(two, 2)], no_report=True, **settings
    )
    assert list(listed.model.scenes) == ["cube_1", "cube_2"]


def test_a_mask_says_which_pixels_count(tmp_path: Path) -> None:
    x = cube()
    mask = np.zeros((H, W), dtype=bool)
    mask[10:40, 5:45] = True
    files = {"scenes": [x], "target": [target_of(x)], "mask": [mask[None].astype(np.uint8)]}
    model, report = from_files(tmp_path, files)
    learned = bandfuse.train_arrays(x, target_of(x), mask=mask, no_report=True, **KNOWN)
    assert contents(learned.model) == contents(model)
    assert learned.report.pixels == report.pixels


def labelled(x: np.ndarray, dims: tuple[str, ...] = ("band", "y", "x")) -> xr.DataArray:
    coordinates = {
        "band": NAMES,
        "wavelength_nm": ("band", NM),
        "fwhm_nm": ("band", np.array(FWHM) / 1000, {"units": "um"}),
    }
    return xr.DataArray(x, coordinates, ("band", "y", "x")).transpose(*dims)


FORMS: dict[str, Callable[[np.ndarray], tuple[Any, dict[str, Any]]]] = {
    "list": lambda x: (np.asarray(x).tolist(), KNOWN),
    "big endian": lambda x: (x.astype(">f8"), KNOWN),
    "fortran": lambda x: (np.asfortranarray(x), KNOWN),
    "masked": lambda x: (np.ma.masked_invalid(np.nan_to_num(x, nan=-7)), KNOWN),
    "masked by a mask": lambda x: (np.ma.MaskedArray(np.nan_to_num(x), np.isnan(x)), KNOWN),
    "torch": lambda x: (torch.tensor(x, requires_grad=True), KNOWN),
    "dask": lambda x: (da.from_array(x, chunks=(4, 17, 20)), KNOWN),
    "xarray": lambda x: (labelled(x), {}),
    "xarray, bands last": lambda x: (labelled(x, ("y", "x", "band")), {}),
    "lazy xarray": lambda x: (labelled(x).chunk({"band": 2, "y": 13, "x": 11}), {}),
    "fill value": lambda x: (labelled(np.nan_to_num(x, nan=-7)).assign_attrs(_FillValue=-7), {}),
}


@pytest.fixture(scope="module")
def from_numpy() -> bandfuse.Learned:
    """What plain arrays of the cube and its target teach."""
    x = cube()
    return bandfuse.train_arrays(x, target_of(x), no_report=True, **KNOWN)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_every_kind_are_the_same_pixels(form: str, from_numpy: bandfuse.Learned) -> None:
    x = cube()
    given, known = FORMS[form](x)
    if form == "list":
        given = np.asarray(given)
    if form == "masked":
        given = np.ma.MaskedArray(given.data, np.isnan(x))
    got = bandfuse.train_arrays(given, target_of(x), no_report=True, **known)
    assert contents(got.model) == contents(from_numpy.model)
    assert got.report.pixels == from_numpy.report.pixels


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "int64", "float32"])
def test_numbers_of_every_type_are_their_values(kind: str) -> None:
    x = (spectra(B, H, W) * 200).astype(kind)
    y = np.tensordot(TRUE, x.astype(np.float64), 1)
    want = bandfuse.train_arrays(x.astype(np.float64), y, no_report=True)
    got = bandfuse.train_arrays(x, y, no_report=True)
    same_bits(got.fusion.weight, want.fusion.weight)


def test_tensors_of_half_precision_are_their_values() -> None:
    x = torch.tensor(spectra(B, H, W)).to(torch.bfloat16)
    y = np.tensordot(TRUE, x.double().numpy(), 1)
    want = bandfuse.train_arrays(x.double(), y, no_report=True)
    same_bits(bandfuse.train_arrays(x, y, no_report=True).fusion.weight, want.fusion.weight)


def test_a_loss_of_ones_own_is_minimised(tmp_path: Path) -> None:
    def fourth(y: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((y - target) ** 4).sum(dim=1)

    x = cube()
    settings: dict[str, Any] = {"steps": 15, "starts": 1, "no_report": True}
    learned = bandfuse.train_arrays(x, target_of(x), loss=fourth, **settings, **KNOWN)
    paths = [tmp_path / "x.tif", tmp_path / "y.tif"]
    write_tiff(paths[0], x, crs=None, transform=None, nm=NM, fwhm=FWHM, names=NAMES)
    write_tiff(paths[1], target_of(x), crs=None, transform=None)
    config = bandfuse.TrainConfig(
        scenes=[str(paths[0])], target=[str(paths[1])], output=str(tmp_path / "run"), **settings
    )
    bandfuse.train(config, loss=fourth)
    model = bandfuse.load(tmp_path / "run" / "weights.safetensors")
    assert contents(learned.model) == contents(model)


def test_an_opened_scene_keeps_its_bands_and_its_place(tmp_path: Path) -> None:
    x = cube()
    parts = [
        write_tiff(tmp_path / f"{i}.tif", x[a:b], nm=NM[a:b], fwhm=FWHM[a:b], names=NAMES[a:b])
        for i, (a, b) in enumerate([(0, 4), (4, 6)])
    ]
    image = bandfuse.open(vnir=parts[0], swir=parts[1])
    learned = bandfuse.train_arrays(image, target_of(x), no_report=True)
    want = bandfuse.train_arrays(x, target_of(x), no_report=True, **KNOWN)
    assert contents(learned.model) == contents(want.model)
    assert learned.report.inputs[0].crs == "EPSG:32633"


def test_a_file_may_stand_beside_an_array(tmp_path: Path) -> None:
    x = cube()
    target = tmp_path / "t.tif"
    write_tiff(target, target_of(x), crs=None, transform=None, names=["a", "b"])
    learned = bandfuse.train_arrays(x, target, no_report=True)
    want = bandfuse.train_arrays(x, target_of(x), target_names=["a", "b"], no_report=True)
    assert contents(learned.model) == contents(want.model)
    assert learned.report.inputs[1].path == str(target)


def test_a_lazy_array_is_computed_once() -> None:
    x, seen = cube(), list[tuple[slice, ...]]()

    def chunk(block_info: Any) -> np.ndarray:
        where = tuple(slice(a, b) for a, b in block_info[None]["array-location"])
        seen.append(where)
        return x[where]

    lazy = da.map_blocks(
        chunk, chunks=((B,), (20, 20, 20), (25, 25)), dtype=float, meta=np.empty((0, 0, 0))
    )
    bandfuse.train_arrays(lazy, target_of(x), no_report=True)
    assert len(seen) == 6


def test_a_coarser_target_with_a_place_is_brought_to_its_grid(tmp_path: Path) -> None:
    x = np.nan_to_num(cube())
    fine = write_tiff(tmp_path / "fine.tif", x, nm=NM, fwhm=FWHM, names=NAMES)
    y = np.tensordot(TRUE, x, 1).reshape(2, H // 2, 2, W // 2, 2).mean(axis=(2, 4))
    transform = NORTH_UP @ rasterio.Affine.scale(2)
    coarse = write_tiff(tmp_path / "coarse.tif", y, transform=transform, names=["a", "b"])
    report, _ = bandfuse.train(
        bandfuse.TrainConfig(
            scenes=[fine], target=[coarse], output=tmp_path / "run", no_report=True
        )
    )
    model = bandfuse.load(tmp_path / "run" / "weights.safetensors")
    arrays = [bandfuse.open(path).to_xarray() for path in (fine, coarse)]
    learned = bandfuse.train_arrays(*arrays, no_report=True)
    assert contents(learned.model) == contents(model)
    assert learned.report.alignment[0].rows == report.alignment[0].rows == H // 2
    assert [i.crs for i in learned.report.inputs] == ["EPSG:32633"] * 2


def test_nothing_is_written_and_nothing_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = cube()
    learned = bandfuse.train_arrays(x, target_of(x))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open(learned.report.inputs[0].path)
    with pytest.raises(BandfuseError):
        bandfuse.train_arrays(x, target_of(x)[:, :-1])
    with pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open("/vsimem/bandfuse-1/0/cube")


def test_a_folder_is_written_if_one_is_named(tmp_path: Path) -> None:
    x = cube()
    learned = bandfuse.train_arrays(x, target_of(x), output=tmp_path / "run", **KNOWN)
    run = tmp_path / "run"
    assert contents(bandfuse.load(run / "weights.safetensors")) == contents(learned.model)
    assert TrainReport.model_validate_json((run / "report.json").read_text()) == learned.report
    assert learned.report.to_html() == (run / "report.html").read_text(encoding="utf-8")
    assert "train_arrays" in (run / "report.html").read_text(encoding="utf-8")
    assert "/vsimem" not in (run / "config.yaml").read_text()
    np.testing.assert_allclose(
        read(run / "fused.tif"), learned.fuse(x).astype(np.float32), equal_nan=True
    )
    with pytest.raises(OutputError, match="exists"):
        bandfuse.train_arrays(x, target_of(x), output=run)


def test_runs_of_other_arrays_are_told_apart(tmp_path: Path) -> None:
    one, two = cube(0), cube(1)
    for name, x in (("a", one), ("b", two), ("c", one)):
        bandfuse.train_arrays(x, target_of(x), output=tmp_path / name, no_report=True)
    report = TrainReport.model_validate_json
    sums = [
        [i.sha256 for i in report((tmp_path / n / "report.json").read_text()).inputs] for n in "abc"
    ]
    assert sums[0] == sums[2] != sums[1]


def test_what_was_learned_fuses_and_is_saved(tmp_path: Path) -> None:
    x = cube()
    learned = bandfuse.train_arrays(
        labelled(x), target_of(x), target_names=["red", "nir"], no_report=True
    )
    assert learned.fusion.outputs.name == ("red", "nir")
    assert learned.fuse(labelled(x)).band.values.tolist() == ["red", "nir"]
    learned.save(tmp_path / "w.safetensors")
    assert contents(bandfuse.load(tmp_path / "w.safetensors")) == contents(learned.model)
    with pytest.raises(OutputError):
        learned.save(tmp_path / "w.safetensors")
    learned.save(tmp_path / "w.safetensors", overwrite=True)
    assert repr(learned).startswith("Learned: 2 outputs learned from 6 bands\n")
    assert len(repr(learned)) <= 600
    assert "<table>" in learned._repr_html_()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_threads_train_beside_each_other() -> None:
    x, y = cube(), target_of(cube())
    want = contents(bandfuse.train_arrays(x, y, no_report=True).model)
    found: list[bytes] = []

    def work() -> None:
        found.append(contents(bandfuse.train_arrays(x, y, no_report=True).model))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [want] * 3


X = np.ones((B, 8, 9))
WRONG: list[tuple[tuple[Any, ...], dict[str, Any], type[BandfuseError], str]] = [
    ((X[0],), {}, MismatchError, "array of the cube; got shape (8, 9); expected (B, H, W), not"),
    ((X, X[0, 0]), {}, MismatchError, "array of the target; got shape (9,); expected (T, H, W) or"),
    ((X[:, :0],), {}, MismatchError, "array of the cube; got shape (6, 0, 9)"),
    ((X.astype(complex),), {}, InputError, "array of the cube; got type complex128; expected real"),
    ((X,), {"labels": np.full((8, 9), "a")}, InputError, "array of the labels; got type <U1"),
    ((X,), {"names": ["a"]}, MismatchError, "names= of the cube; got 1; expected 6, one per band"),
    ((X, X), {"wavelength_nm": [1, 2]}, MismatchError, "wavelength_nm= of the cube; got 2"),
    ((X, X), {"constrain": "free"}, ConfigError, "'constrain'. Did you mean 'constraint'?"),
    ((X, X), {"constraint": "convex"}, ConfigError, "constraint=; got 'convex'; expected 'auto'"),
    ((X, X), {"source": "a=b"}, ConfigError, "source=; expected one cube of all bands"),
    ((X, X), {"stac": True}, ConfigError, "stac= does not apply without output="),
    ((X,), {"objective": "regression"}, ConfigError, "regression needs a target. Give target=, or"),
    ((X, X), {"objective": "separability"}, ConfigError, "separability needs labels. Give labels="),
    (([X, X], [X]), {}, ConfigError, "target=; got 1 arrays; expected 2"),
    (({"a": X, "b": X}, {"a": X}), {}, ConfigError, "target=; got a; expected one of each scene"),
    (({"a/b": X},), {}, ConfigError, "name of a scene; got 'a/b'"),
    ((X, X[:, :4]), {}, MismatchError, "target"),
    (
        (xr.DataArray(X, dims=("b", "y", "x")),),
        {},
        MismatchError,
        "dimensions of the cube; got b, y, x; expected band, and two of rows and columns",
    ),
    (
        (xr.DataArray(X, dims=("band", "y", "x"), attrs={"crs": "nowhere"}),),
        {},
        InputError,
        "the CRS of cube cannot be read",
    ),
]


@pytest.mark.parametrize(("arrays", "more", "kind", "message"), WRONG, ids=lambda v: str(v)[:40])
def test_what_does_not_fit_is_said_of_arrays_and_keywords(
    arrays: tuple[Any, ...], more: dict[str, Any], kind: type[BandfuseError], message: str
) -> None:
    with pytest.raises(BandfuseError) as caught:
        bandfuse.train_arrays(*arrays, **more)
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert "vsimem" not in str(caught.value)
    assert "--" not in str(caught.value)
