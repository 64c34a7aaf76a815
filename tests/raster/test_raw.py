"""Rasters whose pixels lie in their file as they are: read without GDAL, with GDAL's values."""

from __future__ import annotations

import errno
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from helpers import same_bits
from makers import weights_file
from rasterio.errors import NotGeoreferencedWarning
from rasters import cli, write_tiff

from bandfuse.errors import InputError
from bandfuse.raster import Reader, describe, raw
from bandfuse.raster.raw import LARGE, LINE, RawFile, Rooms, opened_raw
from bandfuse.streaming.windows import Window, cells

pytestmark = pytest.mark.skipif(not hasattr(os, "preadv"), reason="the system has no preadv")

ROWS, COLS, BANDS = 70, 300, 5
WINDOWS = (
    Window(0, 0, ROWS, COLS),
    Window(16, 0, 32, COLS),
    Window(17, 250, 40, 30),
    Window(0, 256, 64, 44),
    Window(ROWS - 1, COLS - 1, 1, 1),
)
CHOICES = ([0, 1, 2, 3, 4], [1, 2, 3], [4, 0, 2], [3])


def cube(dtype: str = "int16") -> np.ndarray:
    """Numbers that all differ, nearly."""
    values = np.random.default_rng(3).integers(-30000, 30000, (BANDS, ROWS, COLS))
    return values.astype(dtype) if dtype != "uint8" else (values % 251).astype(dtype)


def envi(
    path: Path, order: str, dtype: str = "int16", *, offset: int = 0, big: bool = False
) -> str:
    """A file written byte by byte, and its header."""
    axes = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[order]
    values = cube(dtype).transpose(axes).astype(np.dtype(dtype).newbyteorder(">" if big else "<"))
    path.write_bytes(b"x" * offset + values.tobytes())
    number = {"uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "uint16": 12}[dtype]
    path.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {COLS}\nlines = {ROWS}\nbands = {BANDS}\nheader offset = {offset}\n"
        f"data type = {number}\ninterleave = {order}\nbyte order = {int(big)}\n"
    )
    return str(path)


def ehdr(path: Path, order: str, *, big: bool = False) -> str:
    """ESRI's raw format, written byte by byte."""
    axes = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[order]
    path.write_bytes(cube().transpose(axes).astype(">i2" if big else "<i2").tobytes())
    path.with_suffix(".hdr").write_text(
        f"NROWS {ROWS}\nNCOLS {COLS}\nNBANDS {BANDS}\nNBITS 16\nPIXELTYPE SIGNEDINT\n"
        f"LAYOUT {order.upper()}\nBYTEORDER {'M' if big else 'I'}\n"
    )
    return str(path)


def raw_of(path: str) -> RawFile | None:
    """The file, if it is read without GDAL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as ds:
            return opened_raw(path, ds)


def require_values(path: str, expected: np.ndarray) -> None:
    """Every window and choice of bands is what was written, and its parts are whole cells."""
    raster = describe(path)
    for chosen in CHOICES:
        with Reader([(raster, chosen)]) as reader:
            for window in WINDOWS:
                part = reader.read(window).parts[0].stored
                rows, cols = window.within(Window(0, 0, ROWS, COLS))
                same_bits(part, expected[chosen][:, rows, cols])
                assert sorted(c for p in reader.parts(window) for c in cells(p)) == sorted(
                    cells(window)
                )


@pytest.mark.parametrize("order", ["bsq", "bil", "bip"])
@pytest.mark.parametrize(
    ("dtype", "offset", "big"),
    [("int16", 0, False), ("uint16", 7, True), ("float32", 128, False), ("float64", 0, True)],
)
def test_envi_files_of_every_order_are_read_as_they_lie(
    tmp_path: Path, order: str, dtype: str, offset: int, big: bool
) -> None:
    path = envi(tmp_path / "a.img", order, dtype, offset=offset, big=big)
    file = raw_of(path)
    assert file is not None
    assert file.layout.order == order
    require_values(path, cube(dtype))


@pytest.mark.parametrize("order", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("big", [False, True])
def test_ehdr_files_are_read_as_they_lie(tmp_path: Path, order: str, big: bool) -> None:
    path = ehdr(tmp_path / "a.bil", order, big=big)
    assert raw_of(path) is not None
    require_values(path, cube())


@pytest.mark.parametrize("interleave", ["band", "pixel"])
@pytest.mark.parametrize(
    "how",
    [
        {"tiled": True, "blockxsize": 256, "blockysize": 32},
        {"tiled": True, "blockxsize": 64, "blockysize": 16},
        {"blockysize": 9},
        {"tiled": True, "blockxsize": 256, "blockysize": 32, "endianness": "big", "bigtiff": "yes"},
    ],
)
def test_blocks_of_an_uncompressed_tiff_are_read_as_they_lie(
    tmp_path: Path, interleave: str, how: dict[str, Any]
) -> None:
    path = write_tiff(tmp_path / "a.tif", cube(), interleave=interleave, **how)
    assert raw_of(path) is not None
    require_values(path, cube())


@pytest.mark.parametrize(
    "how", [{"compress": "deflate"}, {"compress": "lzw", "predictor": 2}, {"nbits": 12}]
)
def test_what_must_be_decoded_is_left_to_gdal(tmp_path: Path, how: dict[str, Any]) -> None:
    values = np.abs(cube()).astype("uint16") % 4096
    path = write_tiff(tmp_path / "a.tif", values, **how)
    assert raw_of(path) is None
    require_values(path, values)


def test_a_block_that_is_not_in_the_file_is_left_to_gdal(tmp_path: Path) -> None:
    how = {"driver": "GTiff", "width": COLS, "height": ROWS, "count": 2, "dtype": "int16"}
    path = str(tmp_path / "a.tif")
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 16, "sparse_ok": True, "nodata": -1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **how, **tiles) as ds:
            ds.write(np.full((2, 16, 64), 7, "int16"), window=((16, 32), (64, 128)))
        with rasterio.open(path) as ds:
            expected = ds.read()
    with Reader([(describe(path), [0, 1])]) as reader:
        same_bits(reader.read(Window(0, 0, ROWS, COLS)).parts[0].stored, expected)


def test_a_layout_that_gdal_does_not_see_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = envi(tmp_path / "a.img", "bsq")
    read = RawFile.read
    monkeypatch.setattr(RawFile, "read", lambda *given: read(*given)[..., ::-1] + 1)
    with caplog.at_level("INFO"):
        assert raw_of(path) is None
    assert "GDAL reads other values" in caplog.text


# ------------------------------------------------------------------------------------------ faults


@pytest.fixture(params=["ENVI", "GTiff"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A raw file of each kind."""
    if request.param == "ENVI":
        return envi(tmp_path / "a.img", "bip")
    return write_tiff(tmp_path / "a.tif", cube(), tiled=True, blockxsize=64, blockysize=16)


def test_a_file_that_shrinks_while_it_is_read_ends_in_an_error(scene: str) -> None:
    with Reader([(describe(scene), [0, 1, 2, 3, 4])]) as reader:
        reader.read(Window(0, 0, 16, COLS))
        os.truncate(scene, os.path.getsize(scene) // 2)
        with pytest.raises(InputError, match="cannot be read to its end") as caught:
            reader.read(Window(ROWS - 2, 0, 2, COLS))
    assert "truncated" in str(caught.value)


def test_an_error_of_the_file_system_ends_in_an_error(
    scene: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*given: object) -> int:
        raise OSError(errno.ESTALE, "Stale file handle")

    with Reader([(describe(scene), [0])]) as reader:
        reader.read(Window(0, 0, 16, COLS))
        monkeypatch.setattr(os, "preadv", stale)
        with pytest.raises(InputError, match="Stale file handle"):
            reader.read(Window(0, 0, 16, COLS))


def test_reads_that_give_less_than_asked_go_on(scene: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.preadv

    def little(file: int, rooms: list[memoryview], start: int) -> int:
        return whole(file, [rooms[0][:1000]], start)

    with Reader([(describe(scene), [0, 1, 2, 3, 4])]) as reader:
        expected = reader.read(Window(0, 0, ROWS, COLS)).parts[0].stored.copy()
        monkeypatch.setattr(os, "preadv", little)
        same_bits(reader.read(Window(0, 0, ROWS, COLS)).parts[0].stored, expected)


def test_several_files_are_read_in_the_parts_of_the_one_of_which_most_is_read(
    tmp_path: Path, scene: str
) -> None:
    """The others may be stored otherwise; where GDAL reads one of them, windows are read whole."""
    plain = write_tiff(tmp_path / "t.tif", cube()[:1])
    packed = write_tiff(tmp_path / "p.tif", cube()[:1], compress="deflate")
    window, every = Window(0, 0, ROWS, COLS), list(range(BANDS))
    both = [(describe(scene), every), (describe(plain), [0])]
    with Reader(both[:1]) as alone, Reader(both) as beside, Reader(both[::-1]) as turned:
        expected = list(alone.parts(window))
        assert len(expected) > 1
        assert list(beside.parts(window)) == expected
        assert list(turned.parts(window)) == expected
        for part in expected:
            found = beside.read(part).parts
            rows, cols = part.within(window)
            same_bits(found[0].stored, cube()[:, rows, cols])
            same_bits(found[1].stored, cube()[:1, rows, cols])
    with Reader([both[0], (describe(packed), [0])]) as mixed:
        assert list(mixed.parts(window)) == [window]


@pytest.mark.parametrize("fill", [-32768, 100])
def test_values_are_the_same_whether_or_not_extremes_were_asked_for(
    tmp_path: Path, fill: int
) -> None:
    values = cube().clip(-30000, 30000)
    values[1, 5, 7] = 100
    raster = describe(write_tiff(tmp_path / "a.tif", values, nodata=fill))
    expected = np.where(values == fill, np.nan, values).reshape(BANDS, -1)
    for asked in (False, True):
        with Reader([(raster, list(range(BANDS)))]) as reader:
            patch = reader.read(Window(0, 0, ROWS, COLS))
            cell = patch.cell(slice(0, ROWS), slice(0, COLS))
            if asked:
                assert (cell.extremes is None) == bool(np.isnan(expected).any())
            assert np.array_equal(cell.values(), expected, equal_nan=True)


def test_apply_on_a_truncated_file_is_one_message_and_leaves_nothing(
    tmp_path: Path, scene: str
) -> None:
    weights = weights_file(tmp_path / "w.safetensors", BANDS)
    os.truncate(scene, os.path.getsize(scene) // 2)
    done = cli("apply", weights, scene, "-o", tmp_path / "out.tif")
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert "truncated" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out.tif").exists()


def test_memory_is_used_again_only_when_nobody_looks_at_it() -> None:
    rooms, kind = Rooms(), np.dtype("int16")
    first = rooms.array([4, 100], kind, 0)
    first[:] = 7
    view = first[1:3].transpose()
    del first
    for _ in range(5):
        rooms.array([4, 100], kind, 0)[:] = 9
    assert (view == 7).all()
    place = view.ctypes.data - 2 * 100
    del view
    places = {rooms.array([4, 100], kind, 0).ctypes.data for _ in range(5)}
    assert len(places) == 1
    assert places.pop() % LINE == 0
    assert place % LINE == 0


def test_arrays_begin_where_their_bytes_do_in_a_line_of_the_cache() -> None:
    rooms = Rooms()
    for kind in map(np.dtype, ("uint8", "int16", "float64")):
        for start in (0, 1, 64, 66, 72, 4097):
            found = rooms.array([3, 5], kind, start)
            assert found.flags.aligned
            assert found.ctypes.data % LINE == start % LINE // kind.itemsize * kind.itemsize


def test_large_pieces_of_memory_are_not_kept() -> None:
    rooms = Rooms()
    small, large = (rooms.array([n], np.dtype("uint8"), 0) for n in (10, LARGE + 1))
    assert (small.base is not None, large.base is not None) == (True, True)
    del small, large
    again = rooms.array([LARGE + 1], np.dtype("uint8"), 0)
    assert all(again.base is not kept for kept in rooms.__dict__["_kept"])


def test_windows_that_are_kept_do_not_change_when_others_are_read(tmp_path: Path) -> None:
    for order in ("bsq", "bil", "bip"):
        path = envi(tmp_path / f"{order}.img", order)
        with Reader([(describe(path), range(BANDS))]) as reader:
            patches = [(w, reader.read(w)) for w in WINDOWS]
            for window, patch in patches:
                rows, cols = window.within(Window(0, 0, ROWS, COLS))
                same_bits(patch.parts[0].stored, cube()[:, rows, cols])


def test_a_tiff_tells_where_its_blocks_are_only_if_its_dataset_is_given(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", cube(), tiled=True, blockxsize=64, blockysize=16)
    file, window = raw_of(path), Window(16, 0, 16, 256)
    assert file is not None
    assert file.read(window, [1, 2]) is None
    with rasterio.open(path) as ds:
        expected = file.read(window, [1, 2], ds)
    again = file.read(window, [1, 2])
    assert expected is not None
    assert again is not None
    same_bits(again, expected)


@pytest.mark.parametrize("order", ["bsq", "bil", "bip"])
def test_a_missing_value_is_found_in_the_cell_that_has_it(tmp_path: Path, order: str) -> None:
    path = envi(tmp_path / "a.img", order)
    raster = describe(path)
    raster = replace(raster, nodata=np.full(BANDS, float(cube()[2, 20, 270])))
    with Reader([(raster, range(BANDS))]) as reader:
        for part in reader.parts(Window(0, 0, 64, COLS)):
            patch = reader.read(part)
            for cell in cells(part):
                rows, cols = cell.within(Window(0, 0, ROWS, COLS))
                there = (cube()[:, rows, cols] == cube()[2, 20, 270]).any()
                assert (patch.cell(*cell.within(part)).plain is None) == there


@pytest.mark.parametrize("order", ["bsq", "bil", "bip"])
@pytest.mark.parametrize(("near", "between"), [(1, 0), (1, 2), (2**14, 0)])
def test_pieces_are_the_same_read_alone_or_with_what_lies_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, near: int, between: int
) -> None:
    monkeypatch.setattr(raw, "NEAR", near)
    monkeypatch.setattr(raw, "BETWEEN", between)
    require_values(envi(tmp_path / "a.img", order, offset=7), cube())


@pytest.mark.parametrize("order", ["bsq", "bil"])
def test_a_narrow_window_takes_few_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    file, calls, read = raw_of(envi(tmp_path / "a.img", order)), [], os.preadv
    assert file is not None
    monkeypatch.setattr(os, "preadv", lambda *how: calls.append(how) or read(*how))
    found = file.read(Window(0, 10, 64, 20), [1, 2, 3, 4, 5])
    assert found is not None
    same_bits(found, cube()[:, :64, 10:30])
    assert len(calls) == (BANDS if order == "bsq" else 64)
