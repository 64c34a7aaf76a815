"""A pass on a torch device finds what numpy finds: here on torch's own CPU, ``cpu:0``, and on cuda
where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import MemorySource, same_bits, windows_at_random
from rasters import write_envi, write_per_band_nodata, write_tiff

from bandfuse.errors import ConfigError, InputError
from bandfuse.moments.gram import Gram
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.on_device import card, route, sums
from bandfuse.moments.on_device.windows import Stored
from bandfuse.moments.reduce import reduce_windows, route_of
from bandfuse.moments.tally import Question, Tally
from bandfuse.raster import Reader, declared, describe
from bandfuse.streaming.blocks import blocks
from bandfuse.streaming.stream import Layer, Source
from bandfuse.streaming.windows import STACK_ROWS, Window, plan, tile

TORCH = "cpu:0"
"""Torch's CPU, through the code of all devices."""

SHAPE = (150, 600)


pytestmark = pytest.mark.usefixtures("one_thread")


def on(device: str, question: Question) -> Question:
    return replace(question, gram=replace(question.gram, device=device))


def whole(source: Source, question: Question, shape: tuple[int, int] = SHAPE) -> Tally:
    return reduce_windows(source, question, [Window(0, 0, *shape)], threads=1)


def assert_alike(found: Tally, expected: Tally, tolerance: float = 1e-12) -> None:
    """Moments to a tolerance of the spreads of their variables; all else to the bit."""
    assert list(found.strata) == sorted(expected.strata)
    for key, e in expected.strata.items():
        f = found.strata[key]
        assert f.count == e.count
        spread = np.sqrt(np.diag(e.scatter))
        level = np.abs(e.mean) + spread / np.sqrt(max(1, e.count))
        assert (np.abs(f.mean - e.mean) <= tolerance * level).all()
        assert (np.abs(f.scatter - e.scatter) <= tolerance * np.outer(spread, spread)).all()
    for name in ("used", "invalid", "size"):
        assert getattr(found, name) == getattr(expected, name)
    same_bits(found.high, expected.high)
    assert found.census.seen == expected.census.seen
    for name in ("valid", "low", "high", "at_low", "at_high"):
        same_bits(getattr(found.census, name), getattr(expected.census, name))
    for name in ("key", "place", "values"):
        same_bits(getattr(found.pixels, name), getattr(expected.pixels, name))


def assert_same_bits(found: Tally, expected: Tally) -> None:
    assert_alike(found, expected)
    for key, e in expected.strata.items():
        same_bits(found.strata[key].mean, e.mean)
        same_bits(found.strata[key].scatter, e.scatter)


@dataclass(frozen=True)
class Some:
    """Says that pixels of a pattern do not count, for two reasons; a stack of rows as a whole."""

    shape: tuple[int, int]

    def excluded(self, window: Window) -> Mapping[str, np.ndarray]:
        every = np.indices(self.shape).sum(axis=0)
        outside = every % 5 == 0
        outside[:STACK_ROWS] = True
        masked = (every % 7 == 0) & ~outside
        here = window.within(Window(0, 0, *self.shape))
        return {"outside the bounds": outside[here], "outside the mask": masked[here]}


def cube(seed: int, *, classes: bool = False, missing: float = 0.02) -> MemorySource:
    """Five bands and a target, or classes; a band of one value, scattered and a corner of missing
    values."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(6, *SHAPE)) * 10.0 ** random.integers(-2, 3, (6, 1, 1))
    values += random.uniform(-9, 9, (6, 1, 1))
    values[2, :, : SHAPE[1] // 2] = 7.5
    if classes:
        values[-1] = random.integers(0, 4, SHAPE)
        values[-1, :, -200:] = 9
    values[random.uniform(size=values.shape) < missing] = np.nan
    values[:, : SHAPE[0] // 4, : SHAPE[1] // 4] = np.nan
    values[1, 100, 300] = np.inf
    return MemorySource(values)


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "of all bands": {"used": (0, 1, 2, 3, 4)},
    "without target": {"n_bands": 6, "n_targets": 0},
    "two targets": {"n_bands": 4, "n_targets": 2, "used": (0, 2)},
    "noise": {"noise": True},
    "random parts": {"random_parts": 5},
    "random parts and noise": {"random_parts": 3, "noise": True},
    "classes": {"classes": True},
    "classes and noise": {"classes": True, "noise": True},
    "a selection": {"where": Some(SHAPE)},
    "a selection of classes": {"where": Some(SHAPE), "classes": True},
    "no sample": {"sample": 0},
    "a large sample": {"sample": 60_000},
    "float32": {"gram": Gram("float32")},
    "apart": {"gram": Gram(parts=((0, 3), (1, 2)))},
}


def question_of(form: str, seed: int = 0) -> Question:
    given = {"n_bands": 5, "n_targets": 1, "used": (0, 1, 4), "sample": 300, **FORMS[form]}
    return Question(grid=blocks(SHAPE, 3), scene=1, seed=seed, **given)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("form", FORMS)
def test_a_device_finds_what_numpy_finds_in_every_form_of_question(form: str) -> None:
    question = question_of(form)
    source = cube(len(form), classes=question.classes)
    expected, found = (whole(source, on(device, question)) for device in ("cpu", TORCH))
    assert isinstance(route_of(on(TORCH, question), 1), route.OnDevice)
    assert not found.because
    if form == "apart":
        # Products of different parts are not computed, and must not be used.
        meet = np.zeros((4, 4), bool)
        for part in question.gram.parts:
            meet[np.ix_(part, part)] = True
        for tally in (expected, found):
            tally.strata = {
                key: replace(m, scatter=np.where(meet, m.scatter, 0))
                for key, m in tally.strata.items()
            }
    assert expected.used > 1000
    assert_alike(found, expected, 1e-5 if form == "float32" else 1e-12)
    for m in found.strata.values():
        same_bits(m.scatter, m.scatter.T)


WINDOWED = ["plain", "noise", "random parts", "classes and noise", "a selection"]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("form", WINDOWED)
def test_the_bits_of_a_device_do_not_depend_on_windows_or_threads(form: str) -> None:
    random = np.random.default_rng(3)
    question = on(TORCH, question_of(form))
    source = cube(1, classes=question.classes)
    expected = whole(source, question)
    for threads in (1, 2, 3):
        windows = windows_at_random(SHAPE, random)
        assert_same_bits(reduce_windows(source, question, windows, threads=threads), expected)
    stacks = tile(SHAPE, STACK_ROWS, 256)
    assert_same_bits(reduce_windows(source, question, stacks, threads=2), expected)


def test_parts_of_a_scene_have_the_bits_of_the_whole() -> None:
    question = on(TORCH, question_of("classes and noise"))
    source, edges = cube(2, classes=True), question.grid.row_edges
    windows = tile(SHAPE, STACK_ROWS, 256)
    parts = [
        reduce_windows(source, question, windows.between(top, bottom), threads=1)
        for top, bottom in pairwise(edges)
    ]
    assert_same_bits(Tally.joined(parts, question.sample), whole(source, question))


def test_nothing_valid_and_nothing_that_counts() -> None:
    class Nothing:
        def excluded(self, window: Window) -> Mapping[str, np.ndarray]:
            return {"outside the mask": np.ones((window.rows, window.cols), bool)}

    empty = MemorySource(np.full((6, *SHAPE), np.nan))
    for question in (question_of("noise"), replace(question_of("plain"), where=Nothing())):
        expected, found = (whole(empty, on(device, question)) for device in ("cpu", TORCH))
        assert expected.used == 0
        assert_alike(found, expected)


def test_too_many_classes_are_refused_as_on_the_cpu() -> None:
    """Only classes of pixels that count are counted."""
    source = cube(0, classes=True, missing=0)
    row, col = np.indices(SHAPE)
    source.array[-1] = (37 * row + col) % 300
    question = replace(question_of("classes"), sample=0)
    for device in ("cpu", TORCH):
        with pytest.raises(InputError, match="got 300 in one part of the scene"):
            whole(source, on(device, question))
    source.array[0][source.array[-1] >= 200] = np.nan
    expected, found = (whole(source, on(device, question)) for device in ("cpu", TORCH))
    assert_alike(found, expected)


# ------------------------------------------------------------------------------------------- files

INTEGERS = [f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")]
KINDS = [*INTEGERS, "float32", "float64"]


def stored(kind: str, bands: int = 4, shape: tuple[int, int] = (90, 300)) -> np.ndarray:
    """Numbers that fill a type, with some at its ends."""
    random = np.random.default_rng(len(kind))
    if kind.startswith("float"):
        values = random.normal(1000, 50, (bands, *shape)).astype(kind)
        values[0, 3:9, 5:50] = np.nan
        return values
    ends = np.iinfo(kind)
    top = min(ends.max, 60_000 if "32" in kind else ends.max)
    top = 2**60 if "64" in kind else top
    values = random.integers(max(ends.min, -top), top, (bands, *shape), endpoint=True).astype(kind)
    values[1, :4, :4], values[1, 4:8, :4] = ends.max if "64" not in kind else top, 0
    return values


def rasters(path: Path) -> dict[str, Callable[[str], Any]]:
    """By name what writes a file of a type, and gives what describes it."""

    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 48}

    def tiff(kind: str, **how: Any) -> Any:
        return describe(write_tiff(path / f"{kind}.tif", stored(kind), **how))

    def envi(kind: str, interleave: str) -> Any:
        write_envi(path / "x", stored(kind), interleave)
        return describe(str(path / "x"))

    def masked(kind: str) -> Any:
        mask = np.random.default_rng(1).uniform(size=(90, 300)) > 0.1
        return tiff(kind, mask=(mask * 255).astype("uint8"), **tiles)

    def alpha(kind: str) -> Any:
        values = stored(kind)
        values[-1] = (np.random.default_rng(2).uniform(size=(90, 300)) > 0.1) * 255
        return describe(write_tiff(path / "a.tif", values, photometric="RGB", alpha="yes"))

    def per_band(kind: str) -> Any:
        values = stored(kind)
        numbers = [float(values[i, 20, 20 + i]) for i in range(len(values))]
        return describe(write_per_band_nodata(path / "n.vrt", values, numbers))

    scaling = {"scales": [0.1, 1, 2, 1e-4], "offsets": [-3, 0.7, 0, 1]}
    return {
        "plain": tiff,
        "nodata": lambda kind: tiff(kind, nodata=0),
        "nodata beside": lambda kind: tiff(kind, nodata=7, interleave="pixel"),
        "scaled": lambda kind: tiff(kind, nodata=0, **scaling),
        "offset": lambda kind: tiff(kind, offsets=[1, 2, 3, 4]),
        "strips": lambda kind: tiff(kind, blockysize=7),
        "deflate": lambda kind: tiff(kind, compress="deflate", **tiles),
        "bsq": lambda kind: envi(kind, "bsq"),
        "bil": lambda kind: envi(kind, "bil"),
        "bip": lambda kind: envi(kind, "bip"),
        "mask": masked,
        "alpha": alpha,
        "per band": per_band,
        "declared": lambda kind: declared(tiff(kind), "0"),
    }


ONLY: dict[str, tuple[str, ...]] = {"alpha": ("uint8", "uint16"), "per band": ("int16", "float32")}
ONLY |= dict.fromkeys(("bsq", "bil", "bip"), ("uint8", "int16", "uint16", "int32", "float32"))
FILES = [(how, kind) for how in rasters(Path()) for kind in ONLY.get(how, KINDS)]


@pytest.mark.one_in(5)
@pytest.mark.parametrize(("how", "kind"), FILES)
def test_every_stored_form_becomes_the_numbers_of_the_cpu(
    how: str, kind: str, tmp_path: Path
) -> None:
    raster = rasters(tmp_path)[how](kind)
    bands = [int(i) for i in np.flatnonzero(raster.bands.good)]
    n = len(bands) - 1
    question = Question(n, 1, tuple(range(n)), blocks(raster.shape, 2), sample=100)
    with Reader([(raster, bands)]) as reader:
        expected, found = (
            whole(reader, on(device, question), raster.shape) for device in ("cpu", TORCH)
        )
        windows = plan(raster.shape, (16, 64), 4 * len(bands), 2**17)
        again = reduce_windows(reader, on(TORCH, question), windows, threads=2)
    assert expected.used > 1000
    assert_alike(found, expected)
    assert_same_bits(again, found)
    if how in ("nodata", "mask", "alpha", "declared", "per band"):
        assert expected.used < raster.rows * raster.cols


def test_windows_travel_as_they_are_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[np.dtype[Any]]] = []
    send = card.Lanes.send

    def watched(lanes: card.Lanes, arrays: Any) -> Any:
        sent.append([a.dtype for a in arrays])
        return send(lanes, arrays)

    monkeypatch.setattr(card.Lanes, "send", watched)
    for kind in ("uint8", "int16", "uint16", "float32"):
        raster = describe(write_tiff(tmp_path / "x.tif", stored(kind, 3)))
        question = on(TORCH, Question(3, 0, (0, 1, 2), blocks(raster.shape, 2)))
        with Reader([(raster, range(3))]) as reader:
            reduce_windows(reader, question, [Window(0, 0, *raster.shape)], threads=1)
        assert sent.pop() == [np.dtype(kind)]
        assert not sent


def test_single_pixels_of_a_layer_are_its_numbers() -> None:
    layer = Layer(
        np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        np.array([5.0, np.nan]),
        np.array([2.0, 1.0]),
        np.array([1.0, 0.0]),
        np.array([[1, 1, 1, 0]] * 3, dtype=np.uint8),
    )
    rows, cols = np.array([0, 1, 2, 0]), np.array([0, 1, 2, 3])
    np.testing.assert_array_equal(
        layer.at(rows, cols), [[1, np.nan, 21, np.nan], [12, 17, 22, np.nan]]
    )
    np.testing.assert_array_equal(layer.last.at(rows, cols), layer.at(rows, cols)[1:])
    part = layer.cut(slice(1, 3), slice(1, 4))
    np.testing.assert_array_equal(part.at(rows[:1], cols[:1]), layer.at(rows[:1] + 1, cols[:1] + 1))


# ------------------------------------------------------------------------------------------ memory


def test_windows_that_do_not_fit_are_halved_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    question = on(TORCH, question_of("classes and noise"))
    source = cube(1, classes=True)
    expected, sizes, send = whole(source, question), list[int](), card.Lanes.send
    most = 3 * 8 * 6 * 4096

    def short(lanes: card.Lanes, arrays: Any) -> Any:
        sizes.append(sum(a.nbytes for a in arrays))
        if sizes[-1] > most:
            raise torch.cuda.OutOfMemoryError("no room")
        return send(lanes, arrays)

    monkeypatch.setattr(card.Lanes, "send", short)
    assert_same_bits(whole(source, question), expected)
    assert max(sizes) > most
    assert sum(size <= most for size in sizes) > 4
    monkeypatch.setattr(route, "LANE_BYTES", most)
    sizes.clear()
    assert_same_bits(whole(source, question), expected)
    assert max(sizes) <= most


def test_halves_are_whole_cells() -> None:
    window = Window(48, 256, 70, 300)
    layer = Layer.of(np.random.default_rng(0).normal(size=(2, 70, 300)))
    inside = np.ones((70, 300), bool)
    waiting, done = [Stored(window, [layer], inside)], []
    while waiting:
        part = waiting.pop(0)
        done += [] if part.halves() else [part]
        waiting = [*part.halves(), *waiting]
    sizes = {(p.window.rows, p.window.cols) for p in done}
    assert sizes == {(16, 256), (16, 44), (6, 256), (6, 44)}
    assert sum(p.window.size for p in done) == window.size
    assert all(p.window.row % 16 == p.window.col % 256 == 0 for p in done)
    for part in done:
        here = part.window.within(window)
        same_bits(part.layers[0].stored, layer.stored[(slice(None), *here)])


@pytest.mark.parametrize("place", ["Lanes.send", "filled"])
def test_a_device_without_room_is_one_message(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("no room")

    if place == "filled":
        monkeypatch.setattr("bandfuse.moments.on_device.cells.filled", full)
    else:
        monkeypatch.setattr(card.Lanes, "send", full)
    with pytest.raises(ConfigError, match=r"cpu:0 has too little free memory.*--device cpu"):
        whole(cube(0), on(TORCH, question_of("plain")))


def test_the_memory_of_a_device_is_bounded_whatever_the_raster() -> None:
    for size in (1, 5, 60, 224, 432, 1000):
        for noise in (False, True):
            question = Question(
                size, 1, tuple(range(size)), blocks(SHAPE, 8), noise=noise, gram=Gram(device=TORCH)
            )
            assert route.device_bytes(question) <= route.MOST_BYTES
            assert route.cpu_because(question) == ""
            large = replace(question, grid=blocks((10**6, 10**6), 8))
            assert route.device_bytes(large) == route.device_bytes(question)


class Live(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc]
    """Watches how many bytes of tensors are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, tuple[int, int]] = {}
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        import weakref

        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(tensor, torch.Tensor):
                store = tensor.untyped_storage()
                at = store.data_ptr()
                held, _ = self.alive.get(at, (0, 0))
                self.alive[at] = held + 1, store.nbytes()
                weakref.finalize(tensor, self.gone, at)
        self.most = max(self.most, sum(size for _, size in self.alive.values()))
        return result

    def gone(self, at: int) -> None:
        held, size = self.alive.get(at, (1, 0))
        self.alive.pop(at, None)
        if held > 1:
            self.alive[at] = held - 1, size


@pytest.mark.parametrize("form", ["of all bands", "noise", "random parts", "float32"])
def test_what_is_alive_at_once_is_within_the_bound(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small rooms, so that what a batch makes counts most."""
    monkeypatch.setattr(route, "LANE_BYTES", 2**20)
    monkeypatch.setattr(route, "COLUMN_BYTES", 2**16)
    question = on(TORCH, question_of(form))
    with Live() as live:
        whole(cube(0), question)
    bound = route.device_bytes(question)
    assert bound / 4 < live.most <= bound


def test_what_a_device_cannot_do_is_done_on_the_cpu_and_said() -> None:
    source, question = cube(0), question_of("plain")
    expected = whole(source, question)
    found = whole(source, on("mps", question))
    assert found.because == "mps has no float64"
    assert_same_bits(found, expected)
    wide = Question(5000, 1, tuple(range(5000)), blocks(SHAPE, 2), gram=Gram(device=TORCH))
    said = route.cpu_because(wide)
    assert said.startswith("5001 bands and targets need ")
    assert said.endswith(f" GB on {TORCH}; at most 2 are used")
    assert route_of(wide, 1).result().because == said


@pytest.mark.parametrize("rows", [3, 4, 7, 100])
def test_columns_that_have_no_room_wait_elsewhere(rows: int) -> None:
    """The sums are those of numpy's moments in the same order, to rounding; and the bits do not
    depend on the room."""
    random = np.random.default_rng(0)
    size, device = 4, torch.device(TORCH)
    columns, wide = sums.Columns(size, rows, device), sums.Columns(size, 1000, device)
    expected: dict[sums.Key, Moments] = {}
    for _ in range(12):
        keys = [(int(b), int(s), int(c)) for b, s, c in random.integers(0, 3, (3, 3))]
        some = [Moments.of(random.normal(size=(int(n), size))) for n in random.integers(0, 9, 3)]
        parts = sums.Parts(
            torch.tensor([float(m.count) for m in some], dtype=torch.float64),
            torch.from_numpy(np.stack([m.mean for m in some])),
            torch.from_numpy(np.stack([m.scatter for m in some])),
        )
        columns.add(keys, parts)
        wide.add(keys, parts)
        for key, m in zip(keys, some, strict=True):
            expected[key] = expected.get(key, Moments.zero(size)) + m
    groups = {
        (b, s): sorted(k for k in expected if k[:2] == (b, s)) for b, s, _ in sorted(expected)
    }
    found, again = columns.totals(groups), wide.totals(groups)
    for name, keys in groups.items():
        e = total((expected[k] for k in keys), size)
        assert found[name].count == e.count
        np.testing.assert_allclose(found[name].mean, e.mean, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found[name].scatter, e.scatter, rtol=1e-12, atol=1e-12)
        same_bits(found[name].scatter, again[name].scatter)


# ----------------------------------------------------------------------------------------- settings


def test_float32_is_whole_while_products_are_taken_and_as_before_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, multiply = [], torch.bmm

    def watched(*arguments: Any) -> torch.Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return multiply(*arguments)

    monkeypatch.setattr(torch, "bmm", watched)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        whole(cube(0), on(TORCH, question_of("float32")))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(seen) == {"highest"}


def test_the_workspace_of_cublas_is_fixed_unless_a_user_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for given, expected in ((None, ":4096:8"), (":16:8", ":16:8")):
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
        if given:
            monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given)
        card.prepare(TORCH)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == expected


# -------------------------------------------------------------------------------------------- cuda


@pytest.mark.cuda
@pytest.mark.parametrize("form", FORMS)
def test_cuda_finds_what_numpy_finds_and_the_same_bits_twice(form: str) -> None:
    question = question_of(form)
    source = cube(0, classes=question.classes)
    expected, found = (whole(source, on(device, question)) for device in ("cpu", "cuda"))
    if form != "apart":
        assert_alike(found, expected, 1e-5 if form == "float32" else 1e-9)
    again = reduce_windows(source, on("cuda", question), tile(SHAPE, STACK_ROWS, 256), threads=3)
    for key, m in found.strata.items():
        same_bits(again.strata[key].mean, m.mean)
        same_bits(again.strata[key].scatter, m.scatter)


@pytest.mark.cuda
@pytest.mark.parametrize(("how", "kind"), FILES)
def test_cuda_reads_every_stored_form(how: str, kind: str, tmp_path: Path) -> None:
    raster = rasters(tmp_path)[how](kind)
    bands = [int(i) for i in np.flatnonzero(raster.bands.good)]
    n = len(bands) - 1
    question = Question(n, 1, tuple(range(n)), blocks(raster.shape, 2), sample=100)
    with Reader([(raster, bands)]) as reader:
        expected, found = (
            whole(reader, on(device, question), raster.shape) for device in ("cpu", "cuda")
        )
    assert_alike(found, expected, 1e-9)


@pytest.mark.cuda
def test_cuda_takes_no_more_memory_than_is_stated() -> None:
    shape = (1024, 2048)
    values = np.random.default_rng(0).integers(0, 9999, (225, *shape), dtype=np.int16)
    question = Question(224, 1, tuple(range(224)), blocks(shape, 8), sample=5000)
    torch.cuda.reset_peak_memory_stats()
    windows = plan(shape, (1, shape[1]), 450, 64 * 2**20)
    found = reduce_windows(MemorySource(values), on("cuda", question), windows, threads=4)
    assert found.used == shape[0] * shape[1]
    assert torch.cuda.max_memory_allocated() <= route.device_bytes(question) <= 2 * 2**30
