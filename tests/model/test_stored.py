"""Products of stored pixels: within what is proven, to the bit in float64, and the same bits
however the pixels lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from helpers import fusion_of, same_bits
from threadpoolctl import threadpool_limits

from bandfuse.model.fusion import FusionKernel, NodataPolicy
from bandfuse.model.stored import PROMISE, StoredKernel, either_way, made_up
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
        return kernel.of(made.cell(order)).copy()


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


@pytest.mark.one_in(3)
@pytest.mark.parametrize("kind", ["signed", "positive", "means", "one"])
@pytest.mark.parametrize("values", ["flat", "signed", "reflectance", "counts"])
@pytest.mark.parametrize(
    ("outputs", "bands"), [(8, 224), (1, 30), (3, 33), (2, 16), (4, 7), (1, 1), (17, 60)]
)
def test_products_keep_the_bound_that_is_proven_and_do_not_depend_on_the_order(
    kind: str, values: str, outputs: int, bands: int
) -> None:
    fusion = fusion_of(weights(kind, outputs, bands))
    x = pixels(values, bands, (16, 256))
    scale = 1e-4
    kernel = StoredKernel(fusion, "auto")
    support = fusion.support
    made = Made(x[support], scale=scale)
    found = fused(kernel, made, "bsq")
    exact = x.reshape(bands, -1).astype(np.longdouble) * np.longdouble(scale)
    w = fusion.matrix.astype(np.longdouble)
    bound = (len(support) + 3) * 2.0**-53
    assert bound < PROMISE
    assert (np.abs(found - w @ exact) <= bound * (np.abs(w) @ np.abs(exact)) + 1e-300).all()
    for order in ORDERS:
        same_bits(fused(kernel, made, order), found)


def adversarial(kind: str, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Terms that a sum in float32 loses, one and all: (1, n) weights, and (n, 1, 1) int16."""
    x = np.ones(n, dtype=np.int16)
    w = np.full(n, 2.0**-25 * 1.001)
    if kind == "small after large":
        w[0] = 1.0
    elif kind == "rounded up each time":
        w[:] = 2.0**-24 * 1.001
        w[0] = 1.0
    elif kind == "cancelled":
        w[0], w[-1] = 1.0, -1.0
    elif kind == "weights between two numbers of float32":
        w[:] = 1 + 2.0**-24 * 0.999
    else:
        x[:] = 32767
        w[:] = 1 / 3
    return w[None], x[:, None, None]


@pytest.mark.parametrize(
    "kind",
    [
        "small after large",
        "rounded up each time",
        "cancelled",
        "weights between two numbers of float32",
        "thirds",
    ],
)
def test_terms_that_float32_loses_are_kept(kind: str) -> None:
    matrix, x = adversarial(kind)
    found = fused(StoredKernel(fusion_of(matrix), "auto"), Made(x), "bip")[0, 0]
    terms = [Fraction(float(w)) * int(n) for w, n in zip(matrix[0], x.ravel(), strict=True)]
    error = abs(Fraction(float(found)) - sum(terms))
    assert error <= Fraction(len(terms) + 2, 2**53) * sum(map(abs, terms))
    assert error <= Fraction(PROMISE) * sum(map(abs, terms))


def test_adversarial_terms_break_the_promise_in_float32() -> None:
    matrix, x = adversarial("rounded up each time")
    total = np.float32(0)
    for w, n in zip(matrix[0].astype(np.float32), x.ravel(), strict=True):
        total += w * np.float32(n)
    exact = float(matrix[0] @ x.ravel().astype(float))
    assert abs(float(total) - exact) > PROMISE * float(np.abs(matrix[0]) @ np.abs(x[:, 0, 0]))


@pytest.mark.parametrize("shape", [(16, 256), (16, 44), (5, 256), (3, 7), (1, 1)])
@pytest.mark.parametrize("precision", ["auto", "float64"])
@pytest.mark.parametrize("outputs", [1, 2, 8, 9])
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
    found = fused(StoredKernel(fusion, "auto"), made, order)
    same_bits(found, expected)
    assert np.isnan(found).any() == (kind == "strict") or dtype == "float32"


@pytest.mark.parametrize(
    "made",
    [
        Made(np.full((16, 16, 16), 70000, "int32")),
        Made(np.full((16, 16, 16), 1 / 3, "float64")),
        Made(np.full((16, 16, 16), 7, "int16"), offset=-273.15, scale=0.1),
        Made(np.full((16, 16, 16), 3e38, "float32")),
        Made(np.full((16, 16, 16), 1e-30, "float32")),
        Made(np.full((16, 16, 16), 3, "int16"), scale=1e-300),
        Made(np.full((16, 16, 16), 3, "int16"), scale=1e300),
    ],
    ids=["int32", "float64", "offset", "large", "small", "tiny scale", "huge scale"],
)
def test_any_stored_numbers_keep_the_promise(made: Made) -> None:
    fusion = fusion_of(weights("signed", 2, 16) * 1e-5)
    found = fused(StoredKernel(fusion, "auto"), made, "bsq")
    x = made.stored.reshape(16, -1).astype(np.longdouble) * np.longdouble(made.scale)
    x += np.longdouble(made.offset)
    w = fusion.matrix.astype(np.longdouble)
    # Values of a scale and an offset have a rounding of their own, before they are summed up.
    assert (np.abs(found - w @ x) <= 1e-14 * (np.abs(w) @ np.abs(x))).all()


@pytest.mark.parametrize("power", [-200, -30, 30, 200])
def test_sizes_of_weights_do_not_matter(power: int) -> None:
    matrix = weights("signed", 3, 40) * 10.0**power
    made = Made(pixels("signed", 40, (16, 64)))
    found = fused(StoredKernel(fusion_of(matrix), "auto"), made, "bip")
    x = made.stored.reshape(40, -1).astype(np.float64)
    assert (np.abs(found - matrix @ x) <= PROMISE * (np.abs(matrix) @ np.abs(x))).all()


def test_bits_that_differ_by_the_order_make_pixels_be_turned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fusion = fusion_of(weights("signed", 8, 50))
    made = Made(pixels("signed", 50, (16, 256)))
    product = np.matmul

    def other(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
        """A BLAS whose steps differ where pixels come first."""
        found = product(a, b, out=out)
        return np.nextafter(found, 0.0, out=out) if len(a) > len(b) else found

    monkeypatch.setattr(np, "matmul", other)
    either_way.cache_clear()
    try:
        kernel = StoredKernel(fusion, "auto")
        same_bits(fused(kernel, made, "bip"), fused(kernel, made, "bsq"))
        assert not either_way(8, 50, 256)
    finally:
        either_way.cache_clear()


def test_a_look_at_a_shape_sees_every_digit() -> None:
    numbers = made_up(50, 300)
    assert np.abs(numbers).max() <= 1
    assert np.abs(numbers).mean() > 0.4
    assert (numbers.astype(np.float32) != numbers).mean() > 0.99
