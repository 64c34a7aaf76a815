"""Tensor parts: a safetensors file of tensors that come one after the other and are not held.

The file is the one that the safetensors library writes: 8 bytes with the length of the header, the
header as JSON that spaces fill up to a multiple of 8 bytes, then the tensors, those of the widest
types first, and by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO

import numpy as np

CHUNK = 2**20
"""Bytes that are copied at once."""

TYPES = {"uint64": "U64", "int64": "I64", "float64": "F64", "float32": "F32"}
"""Types by the names of numpy, in the order in which tensors lie in a file."""


class TensorParts:
    """Tensors that wait in a file, which somebody else opened and closes.

    >>> from io import BytesIO
    >>> parts, file = TensorParts(BytesIO()), BytesIO()
    >>> parts.add("x", np.arange(2.0))
    >>> parts.write(file, {})
    >>> from safetensors.numpy import load
    >>> load(file.getvalue())
    {'x': array([0., 1.])}
    """

    def __init__(self, waiting: IO[bytes]) -> None:
        self._waiting = waiting
        self._known: dict[str, tuple[str, tuple[int, ...], int, int]] = {}

    def add(self, name: str, values: np.ndarray) -> None:
        """Add a tensor; it is not kept in memory."""
        values = np.ascontiguousarray(values)
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        first = self._waiting.tell()
        self._waiting.write(little.reshape(-1).view(np.uint8).data)
        self._known[name] = values.dtype.name, values.shape, first, values.nbytes

    def write(self, file: IO[bytes], metadata: Mapping[str, str]) -> None:
        """Write all of them as one file."""
        ranks = {name: rank for rank, name in enumerate(TYPES)}
        known = sorted(self._known.items(), key=lambda item: (ranks[item[1][0]], item[0]))
        entries, end = list[str](), 0
        if metadata:
            entries.append(f'"__metadata__":{_json(dict(metadata))}')
        for name, (dtype, shape, _, size) in known:
            place = {"dtype": TYPES[dtype], "shape": shape, "data_offsets": (end, end + size)}
            entries.append(f"{_json(name)}:{_json(place)}")
            end += size
        text = ("{" + ",".join(entries) + "}").encode()
        file.write((len(text) + -len(text) % 8).to_bytes(8, "little"))
        file.write(text)
        file.write(b" " * (-len(text) % 8))
        for _, (_, _, first, size) in known:
            for chunk in self._chunks(first, size):
                file.write(chunk)

    def _chunks(self, first: int, size: int) -> Iterator[bytes]:
        self._waiting.seek(first)
        for left in range(size, 0, -CHUNK):
            yield self._waiting.read(min(CHUNK, left))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
