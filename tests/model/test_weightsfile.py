"""The weights file: what goes in comes out, its bytes are pinned, and a file that is not whole is
refused."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandfuse.errors import InputError, MismatchError
from bandfuse.model.fusion import Fusion, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps, load
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.value_units import Values

INPUTS = Bands(
    ("b1", "grün", "b3"),
    ("vnir", "vnir", "swir"),
    (1, 2, 1),
    np.array([450.25, 1e3 / 3, np.nan]),
    np.array([10.5, np.nan, np.nan]),
    ("", "constant (0)", ""),
)
OUTPUTS = Bands.of(
    ["x", "y"], source="fused", wavelength_nm=[450.25, np.nan], fwhm_nm=[10.5, np.nan]
)
FUSION = Fusion(
    np.array([[0.1, 0.0, -2.0], [1 / 3, 0.0, 1e-300]]),
    np.array([1.0, 2.5]),
    np.array([-0.0, 1e6]),
    INPUTS,
    OUTPUTS,
    "softplus",
    NodataPolicy("renormalise", 0.75),
)
MODEL = Model(
    FUSION,
    {
        "α": replace(FUSION, weight=FUSION.weight * 2),
        "b": replace(FUSION, gain=np.array([3.0, 4.0])),
    },
)

GOLDEN = """
0AIAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJiYW5kZnVzZSI6IntcImFjdGl2YXRpb25cIjpcInNvZnRwbHVzXCIsXCJpbnB1dHNcIjp7XCJmd2htX25t
XCI6WzEwLjUsbnVsbCxudWxsXSxcImluZGV4XCI6WzEsMiwxXSxcIm5hbWVcIjpbXCJiMVwiLFwiZ3JcXHUwMGZjblwiLFwiYjNcIl0sXCJyZWFzb25c
IjpbXCJcIixcImNvbnN0YW50ICgwKVwiLFwiXCJdLFwic291cmNlXCI6W1widm5pclwiLFwidm5pclwiLFwic3dpclwiXSxcIndhdmVsZW5ndGhfbm1c
IjpbNDUwLjI1LDMzMy4zMzMzMzMzMzMzMzMzLG51bGxdfSxcIm5vZGF0YVwiOntcImtpbmRcIjpcInJlbm9ybWFsaXNlXCIsXCJtaW5fc2hhcmVcIjow
Ljc1fSxcIm91dHB1dHNcIjp7XCJmd2htX25tXCI6WzEwLjUsbnVsbF0sXCJpbmRleFwiOlsxLDJdLFwibmFtZVwiOltcInhcIixcInlcIl0sXCJyZWFz
b25cIjpbXCJcIixcIlwiXSxcInNvdXJjZVwiOltcImZ1c2VkXCIsXCJmdXNlZFwiXSxcIndhdmVsZW5ndGhfbm1cIjpbNDUwLjI1LG51bGxdfSxcInNj
ZW5lc1wiOltdLFwidmVyc2lvblwiOjF9In0sImdhaW4iOnsiZHR5cGUiOiJGNjQiLCJzaGFwZSI6WzJdLCJkYXRhX29mZnNldHMiOlswLDE2XX0sIm9m
ZnNldCI6eyJkdHlwZSI6IkY2NCIsInNoYXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6WzE2LDMyXX0sIndlaWdodCI6eyJkdHlwZSI6IkY2NCIsInNoYXBl
IjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbMzIsODBdfX0AAAAAAADwPwAAAAAAAARAAAAAAAAAAIAAAAAAgIQuQZqZmZmZmbk/AAAAAAAAAAAAAAAAAAAA
wFVVVVVVVdU/AAAAAAAAAABZ8/jCH26lAQ==
"""
"""``dumps(Model(FUSION))``, base64: version 1 of the format. A change here breaks every file that
users have."""


def parse(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file, by hand: 8 bytes little-endian length, JSON, then the
    numbers."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def build(header: dict[str, Any], body: bytes) -> bytes:
    """The bytes of a safetensors file, by hand."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(data: bytes, name: str) -> np.ndarray:
    header, body = parse(data)
    entry = header[name]
    assert entry["dtype"] == "F64"
    start, end = entry["data_offsets"]
    return np.frombuffer(body[start:end], "<f8").reshape(entry["shape"])


def same(a: Fusion, b: Fusion) -> bool:
    """Equal to the last bit."""
    arrays = all(
        getattr(a, n).tobytes() == getattr(b, n).tobytes() for n in ("weight", "gain", "offset")
    )
    return arrays and (a.inputs, a.outputs, a.activation, a.nodata) == (
        b.inputs,
        b.outputs,
        b.activation,
        b.nodata,
    )


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[bytes], Path]:
    """Put bytes into a file."""

    def put(data: bytes) -> Path:
        path = tmp_path / "weights.safetensors"
        path.write_bytes(data)
        return path

    return put


Stored = Callable[[bytes], Path]


# --------------------------------------------------------------------------------------------------


def test_round_trip(stored: Stored) -> None:
    back = load(stored(dumps(Model(FUSION))))
    assert not back.per_scene
    assert same(back.common, FUSION)


def test_round_trip_per_scene(stored: Stored) -> None:
    back = load(stored(dumps(MODEL)))
    assert list(back.scenes) == ["α", "b"]
    assert same(back.common, FUSION)
    assert all(same(back.scenes[k], f) for k, f in MODEL.scenes.items())


def test_the_same_model_gives_the_same_bytes() -> None:
    assert len({dumps(MODEL) for _ in range(5)}) == 1


def test_golden_bytes() -> None:
    assert dumps(Model(FUSION)) == base64.b64decode(GOLDEN)


def test_golden_bytes_are_read(stored: Stored) -> None:
    assert same(load(stored(base64.b64decode(GOLDEN))).common, FUSION)


def test_layout_by_hand() -> None:
    data = dumps(MODEL)
    header, body = parse(data)
    assert set(header) == {
        "__metadata__",
        "weight",
        "gain",
        "offset",
        "scene_weight",
        "scene_gain",
        "scene_offset",
    }
    assert list(header["__metadata__"]) == ["bandfuse"]
    document = json.loads(header["__metadata__"]["bandfuse"])
    assert document == {
        "version": 1,
        "activation": "softplus",
        "nodata": {"kind": "renormalise", "min_share": 0.75},
        "inputs": {
            "name": ["b1", "grün", "b3"],
            "source": ["vnir", "vnir", "swir"],
            "index": [1, 2, 1],
            "wavelength_nm": [450.25, 1e3 / 3, None],
            "fwhm_nm": [10.5, None, None],
            "reason": ["", "constant (0)", ""],
        },
        "outputs": {
            "name": ["x", "y"],
            "source": ["fused", "fused"],
            "index": [1, 2],
            "wavelength_nm": [450.25, None],
            "fwhm_nm": [10.5, None],
            "reason": ["", ""],
        },
        "scenes": ["α", "b"],
    }
    assert (8 + struct.unpack("<Q", data[:8])[0]) % 8 == 0
    assert len(body) == 8 * 3 * (6 + 2 + 2)
    assert tensor(data, "weight").tobytes() == FUSION.weight.tobytes()
    assert tensor(data, "scene_weight").shape == (2, 2, 3)
    assert tensor(data, "scene_weight")[0].tobytes() == (2 * FUSION.weight).tobytes()
    assert tensor(data, "scene_gain").tolist() == [[1.0, 2.5], [3.0, 4.0]]


# --------------------------------------------------------------------------------------------------


def changed(**document: Any) -> bytes:
    """The golden file with other entries in its document; None takes an entry out."""
    header, body = parse(dumps(MODEL))
    inner = json.loads(header["__metadata__"]["bandfuse"]) | document
    text = json.dumps({k: v for k, v in inner.items() if v is not None})
    return build({**header, "__metadata__": {"bandfuse": text}}, body)


def with_number(name: str, value: float) -> bytes:
    """The file with one number of a tensor replaced."""
    header, body = parse(dumps(MODEL))
    start = header[name]["data_offsets"][0]
    return build(header, body[:start] + struct.pack("<d", value) + body[start + 8 :])


def renamed(old: str, new: str) -> bytes:
    """The file with one tensor under another name."""
    header, body = parse(dumps(MODEL))
    header[new] = header.pop(old)
    return build(header, body)


def reshaped(name: str, shape: list[int]) -> bytes:
    """The file with the same numbers of one tensor in another shape."""
    header, body = parse(dumps(MODEL))
    header[name]["shape"] = shape
    return build(header, body)


def retyped() -> bytes:
    """The file with all numbers read as integers."""
    header, body = parse(dumps(MODEL))
    for name in header.keys() - {"__metadata__"}:
        header[name]["dtype"] = "I64"
    return build(header, body)


def foreign() -> bytes:
    header, body = parse(dumps(MODEL))
    return build({k: v for k, v in header.items() if k != "__metadata__"}, body)


WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    "newer version": (
        lambda: changed(version=3),
        "newer bandfuse; got version 3; expected version 2 or older",
    ),
    "version that is no number": (lambda: changed(version="one"), "damaged header"),
    "version below one": (lambda: changed(version=0), "version"),
    "no version": (lambda: changed(version=None), "damaged header"),
    "no activation": (lambda: changed(activation=None), "activation"),
    "unknown activation": (lambda: changed(activation="swish"), "swish"),
    "no nodata policy": (lambda: changed(nodata=None), "nodata"),
    "unknown nodata policy": (lambda: changed(nodata={"kind": "guess", "min_share": 0.5}), "guess"),
    "no band table": (lambda: changed(inputs=None), "inputs"),
    "band table of another length": (
        lambda: changed(
            outputs={
                "name": ["x"],
                "source": ["f"],
                "index": [1],
                "wavelength_nm": [1],
                "fwhm_nm": [1],
                "reason": [""],
            }
        ),
        "shape",
    ),
    "columns of different length": (
        lambda: changed(
            outputs={
                "name": ["x", "y"],
                "source": ["f"],
                "index": [1],
                "wavelength_nm": [1],
                "fwhm_nm": [1],
                "reason": [""],
            }
        ),
        "differ in length",
    ),
    "more scenes than tensors": (lambda: changed(scenes=["a", "b", "c"]), "3 scenes"),
    "document that is a list": (
        lambda: build(
            {**parse(dumps(MODEL))[0], "__metadata__": {"bandfuse": "[1]"}}, parse(dumps(MODEL))[1]
        ),
        "header",
    ),
    "document that is not JSON": (
        lambda: build(
            {**parse(dumps(MODEL))[0], "__metadata__": {"bandfuse": "{"}}, parse(dumps(MODEL))[1]
        ),
        "header",
    ),
    "NaN weight": (lambda: with_number("weight", float("nan")), "NaN or infinite"),
    "infinite gain": (lambda: with_number("gain", float("inf")), "NaN or infinite"),
    "NaN in a scene": (lambda: with_number("scene_offset", float("nan")), "NaN or infinite"),
    "transposed weight": (
        lambda: reshaped("weight", [3, 2]),
        r"shape \(3, 2\); expected shape \(2, 3\)",
    ),
    "flat weight": (lambda: reshaped("weight", [6]), r"shape \(6,\)"),
    "transposed scene weight": (lambda: reshaped("scene_weight", [2, 3, 2]), "shape"),
    "no weight": (lambda: renamed("weight", "weights"), "weight"),
    "no scene gain": (lambda: renamed("scene_gain", "gains"), "scene_gain"),
    "integers for numbers": (retyped, "(?i)type|float|F64"),
    "other safetensors": (foreign, "not of bandfuse"),
    "truncated": (lambda: dumps(MODEL)[:-8], "not a weights file"),
    "truncated in the header": (lambda: dumps(MODEL)[:100], "not a weights file"),
    "bytes at the end": (lambda: dumps(MODEL) + b"more", "not a weights file"),
    "empty": (lambda: b"", "not a weights file"),
    "text": (
        lambda: b"these are not weights, but a sentence of some length\n" * 9,
        "not a weights file",
    ),
}


@pytest.mark.parametrize("defect", WRONG)
def test_a_damaged_file_is_one_input_error_that_names_it(stored: Stored, defect: str) -> None:
    make, words = WRONG[defect]
    with pytest.raises(InputError, match=words) as caught:
        load(stored(make()))
    assert "weights.safetensors" in str(caught.value)


def test_the_helpers_change_nothing_by_themselves(stored: Stored) -> None:
    assert same(load(stored(changed())).common, FUSION)
    assert same(load(stored(build(*parse(dumps(MODEL))))).common, FUSION)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.safetensors does not exist"):
        load(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match=r"is a folder without weights\.safetensors"):
        load(tmp_path)


def test_nothing_in_the_file_is_run(stored: Stored) -> None:
    import pickle

    with pytest.raises(InputError, match="not a weights file"):
        load(stored(pickle.dumps({"weight": FUSION.weight})))


def test_values_of_unequal_length_are_a_damaged_file(tmp_path: Path) -> None:
    """What the training saw of the inputs has one number per band in every column."""
    with pytest.raises(MismatchError, match="one length"):
        Values(np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(2))
