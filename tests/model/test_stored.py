"""Products of stored pixels: within the promise in float32, to the bit in float64, and the same
bits however the pixels lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from helpers import fusion_of, same_bits
from threadpoolctl import threadpool_limits

from bandfuse.model.fusion import FusionKernel, NodataPolicy
from bandfuse.model.stored import CHUNK, PROMISE, StoredKernel, precision_for
from bandfuse.raster import Plain
from bandfuse.spectral.bands import Floats

ORDERS = ("bsq", "bil", "bip")


@dataclass
class Made:
    """A cell of one raster."""

    stored: np.ndarray
    nodata: float = np.nan
    scale: float = 1.0
    offset: float = 0.0

    def cell(self, order: str) -> InOrder:
        """With its pixels in an order."""
        axes = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[order]
        return InOrder(self, np.ascontiguousarray(self.stored.transpose(axes)), np.argsort(axes))


@dataclass
class InOrder:
    """Its pixels as they lie in memory."""

    made: Made
    laid: np.ndarray
    back: np.ndarray

    @property
    def plain(self) -> Plain | None:
        stored, n = self.laid.transpose(self.back), len(self.made.stored)
        if (stored == self.made.nodata).any():
            return None
        return Plain(stored, np.full(n, self.made.scale), np.full(n, self.made.offset))

    def values(self) -> Floats:
        stored = np.ascontiguousarray(self.laid.transpose(self.back)).reshape(
            len(self.made.stored), -1
        )
        values = stored.astype(np.float64)
        values[stored == self.made.nodata] = np.nan
        return values * self.made.scale + self.made.offset


def fused(kernel: FusionKernel, made: Made, order: str) -> Floats:
    with threadpool_limits(1):
        return kernel.of(made.cell(order))


def weights(kind: str, outputs: int, bands: int) -> np.ndarray:
    random = np.random.default_rng(5)
    return {
        "signed": random.normal(size=(outputs, bands)),
        "positive": random.random((outputs, bands)),
        "means": np.full((outputs, bands), 1 / (bands + 0.7)),
        "one": np.eye(outputs, bands) + 0.0,
    }[kind]


def pixels(kind: str, bands: int, shape: tuple[int, int]) -> np.ndarray:
    random = np.random.default_rng(6)
    if kind == "flat":
        return np.repeat(random.integers(0, 32767, (1, *shape)), bands, axis=0).astype("int16")
    if kind == "signed":
        return random.integers(-32768, 32767, (bands, *shape)).astype("int16")
    if kind == "reflectance":
        return random.random((bands, *shape)).astype("float32")
    return random.integers(0, 10000, (bands, *shape)).astype("uint16")


@pytest.mark.parametrize("kind", ["signed", "positive", "means", "one"])
@pytest.mark.parametrize("values", ["flat", "signed", "reflectance", "counts"])
@pytest.mark.parametrize(("outputs", "bands"), [(8, 224), (1, 30), (3, 33), (2, 16), (4, 7)])
def test_float32_products_keep_the_promise_and_do_not_depend_on_the_order(
    kind: str, values: str, outputs: int, bands: int
) -> None:
    fusion = fusion_of(weights(kind, outputs, bands))
    x = pixels(values, bands, (16, 256))
    scale = 2.0**-13
    kernel = StoredKernel(fusion, "float32")
    support = fusion.support
    made = Made(x[support], scale=scale)
    found = fused(kernel, made, "bsq")
    exact = x.reshape(bands, -1).astype(np.longdouble) * np.longdouble(scale)
    w = fusion.matrix.astype(np.longdouble)
    assert (np.abs(found - w @ exact) <= PROMISE * (np.abs(w) @ np.abs(exact)) + 1e-30).all()
    with threadpool_limits(1):
        double = FusionKernel(fusion)(exact[support].astype(np.float64))
    assert np.array_equal(found, double) == (len(support) < CHUNK)
    for order in ORDERS:
        same_bits(fused(kernel, made, order), found)


@pytest.mark.parametrize("shape", [(16, 256), (16, 44), (5, 256), (3, 7), (1, 1)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 2, 8])
def test_bits_do_not_depend_on_the_order_for_any_shape(
    shape: tuple[int, int], precision: str, outputs: int
) -> None:
    fusion = fusion_of(weights("signed", outputs, 50))
    made = Made(pixels("signed", 50, shape), scale=0.01)
    kernel = StoredKernel(fusion, precision)
    whole = fused(kernel, made, "bsq")
    for order in ORDERS:
        same_bits(fused(kernel, made, order), whole)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-4, 0.0), (0.5, -3.0)])
def test_float64_is_the_kernel_over_values_to_the_bit(
    order: str, scale: float, offset: float
) -> None:
    fusion = fusion_of(weights("signed", 8, 224))
    made = Made(pixels("counts", 224, (16, 256)), scale=scale, offset=offset)
    with threadpool_limits(1):
        expected = FusionKernel(fusion)(made.cell("bsq").values().copy())
    same_bits(fused(StoredKernel(fusion), made, order), expected)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["strict", "renormalise"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_cells_with_missing_values_follow_the_policy(order: str, kind: str, dtype: str) -> None:
    fusion = fusion_of(weights("positive", 3, 20), nodata=NodataPolicy(kind))
    stored = pixels("signed", 20, (16, 32)).astype(dtype)
    stored[stored == -7] = 0
    stored[4, 2, 3] = stored[0, 15, 31] = -7
    if dtype == "float32":
        stored[1, 1, 1] = np.nan
        stored[2, 2, 2] = np.inf
    made = Made(stored, nodata=-7)
    with threadpool_limits(1):
        expected = FusionKernel(fusion)(made.cell("bsq").values().copy())
    found = fused(StoredKernel(fusion, "float32"), made, order)
    same_bits(found, expected)
    assert np.isnan(found).any() == (kind == "strict") or dtype == "float32"


@pytest.mark.parametrize(
    "made",
    [
        Made(np.full((16, 16, 16), 70000, "int32")),
        Made(np.full((16, 16, 16), 1.0, "float64")),
        Made(np.full((16, 16, 16), 7, "int16"), offset=-273.15, scale=0.1),
        Made(np.full((16, 16, 16), 3e38, "float32")),
        Made(np.full((16, 16, 16), 1e-30, "float32")),
    ],
    ids=["int32", "float64", "offset", "large", "small"],
)
def test_numbers_that_float32_does_not_keep_are_fused_in_float64(made: Made) -> None:
    fusion = fusion_of(weights("signed", 2, 16))
    with threadpool_limits(1):
        expected = FusionKernel(fusion)(made.cell("bsq").values().copy())
    same_bits(fused(StoredKernel(fusion, "float32"), made, "bsq"), expected)


@pytest.mark.parametrize("power", [-200, -30, 30, 200])
def test_sizes_of_weights_do_not_matter(power: int) -> None:
    matrix = weights("signed", 3, 40) * 10.0**power
    made = Made(pixels("signed", 40, (16, 64)))
    found = fused(StoredKernel(fusion_of(matrix), "float32"), made, "bip")
    x = made.stored.reshape(40, -1).astype(np.float64)
    assert (np.abs(found - matrix @ x) <= PROMISE * (np.abs(matrix) @ np.abs(x))).all()


def test_bits_that_differ_by_the_order_make_pixels_be_turned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fusion = fusion_of(weights("signed", 8, 50))
    made = Made(pixels("signed", 50, (16, 256)))
    kernel = StoredKernel(fusion, "float32")
    product = np.matmul

    def other(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
        """A BLAS whose steps differ where pixels come first."""
        found = product(a, b, out=out)
        return np.nextafter(found, np.float32(0), out=out) if len(a) > len(b) else found

    monkeypatch.setattr(np, "matmul", other)
    same_bits(fused(kernel, made, "bip"), fused(kernel, made, "bsq"))


@pytest.mark.parametrize(
    ("wanted", "dtype", "expected"),
    [
        ("auto", "float32", "float32"),
        ("auto", "uint8", "float32"),
        ("auto", "int32", "float64"),
        ("auto", "float64", "float64"),
        ("float64", "float32", "float64"),
    ],
)
def test_precision_follows_the_output(wanted: str, dtype: str, expected: str) -> None:
    assert precision_for(wanted, dtype) == expected
