"""HDF texts: the texts that an HDF5 file holds as scalar datasets, and the names of its arrays.

GDAL shows arrays of numbers and attributes, but no such texts, and NEON writes the place of its
images so; and it does not name the array of a file that has one alone.

Read by the HDF5 File Format Specification (The HDF Group, version 3.0): the superblock, object
headers (versions 1 and 2), groups as symbol tables or as links in the header, and texts of fixed or
variable length that are stored as one block. What else the format allows (groups of very many
links, compressed texts, files in several parts) is not understood, and gives no text."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from bandfuse.files.textfile import readable
from bandfuse.raster.gdal import HDF5

LONGEST = 2**24
"""Bytes of a text, of a header and of a node that are read."""

FARTHEST = 2**63
"""No file is longer, in bytes."""

MOST = 10_000
"""Nodes and blocks of one group or header that are followed: a damaged file may lead in circles."""

SPACE, SYMBOLS, LINK, TYPE, LAYOUT, CONTINUED = 0x01, 0x11, 0x06, 0x03, 0x08, 0x10
"""Numbers of messages in object headers."""

FIXED, VARIABLE = 3, 9
"""Classes of types: texts of fixed length, and sequences of variable length."""


class _NotUnderstoodError(Exception):
    """The file is damaged, or uses what is not read here."""


@dataclass(frozen=True)
class _File:
    """An open file: the bytes of an address and of a length in it, what addresses count from, and
    where the file ends by what it says."""

    stream: BinaryIO
    address_size: int
    length_size: int
    base: int
    end: int

    def at(self, address: int, count: int) -> bytes:
        """So many bytes at an address."""
        if count > LONGEST or self.base + address >= FARTHEST:
            raise _NotUnderstoodError
        self.stream.seek(self.base + address)
        found = self.stream.read(count)
        if len(found) < count:
            raise _NotUnderstoodError
        return found

    def address(self, data: bytes, at: int) -> int:
        """An address within some bytes."""
        return int.from_bytes(_cut(data, at, self.address_size), "little")

    def length(self, data: bytes, at: int) -> int:
        """A length within some bytes."""
        return int.from_bytes(_cut(data, at, self.length_size), "little")


def texts_of(path: str, names: Sequence[str]) -> dict[str, str]:
    """The texts of scalar datasets of a local HDF5 file, by their names from the root, such as
    ``SERC/Reflectance/Metadata/Coordinate_System/Map_Info``; without those that are not there or
    are not understood."""
    found: dict[str, str] = {}
    try:
        with open(path, "rb") as stream:
            file, root = _superblock(stream)
            for name in names:
                with suppress(_NotUnderstoodError, struct.error):
                    found[name] = _text(file, _reached(file, root, name))
    except (OSError, _NotUnderstoodError, struct.error):
        pass
    return found


def arrays_in(path: str) -> list[str]:
    """The names from the root of the arrays with two and more axes of a local HDF5 file; those that
    are not understood are not among them."""
    found: list[str] = []
    with suppress(OSError, _NotUnderstoodError, struct.error), open(path, "rb") as stream:
        file, root = _superblock(stream)
        left, seen = [("", root)], {root}
        while left and len(seen) < MOST:
            name, address = left.pop()
            with suppress(_NotUnderstoodError, struct.error):
                space = dict(_messages(file, address)).get(SPACE)
                if space is not None:
                    found += [name] if _cut(space, 1, 1)[0] > 1 else []
                    continue
                below = [link for link in _links(file, address) if link[1] not in seen]
                seen |= {place for _, place in below}
                left += [(f"{name}/{part}".lstrip("/"), place) for part, place in below]
    return found


def bytes_told(path: str) -> int | None:
    """The bytes that a local HDF5 file says it has; None where it says nothing that is
    understood."""
    with suppress(OSError, _NotUnderstoodError, struct.error), open(path, "rb") as stream:
        return _superblock(stream)[0].end
    return None


def _cut(data: bytes, at: int, count: int) -> bytes:
    """So many bytes of others, which must have them."""
    if at < 0 or at + count > len(data):
        raise _NotUnderstoodError
    return data[at : at + count]


def _require(data: bytes, signature: bytes) -> bytes:
    if not data.startswith(signature):
        raise _NotUnderstoodError
    return data


def _superblock(stream: BinaryIO) -> tuple[_File, int]:
    """How the file writes addresses, and where the header of its root lies."""
    start = _require(stream.read(256), HDF5)
    version = start[8] if len(start) > 24 else -1
    if version in (0, 1):
        sizes, base = (start[13], start[14]), 24 + 4 * version
        file = _File(stream, *sizes, 0, 0)
        entry = base + 4 * sizes[0]
        root = file.address(start, entry + sizes[0])
    elif version in (2, 3):
        sizes, base = (start[9], start[10]), 12
        file = _File(stream, *sizes, 0, 0)
        root = file.address(start, base + 3 * sizes[0])
    else:
        raise _NotUnderstoodError
    first, end = file.address(start, base), file.address(start, base + 2 * sizes[0])
    return _File(stream, *sizes, first, end), root


def _reached(file: _File, root: int, name: str) -> int:
    """The address of the header of an object."""
    address = root
    for part in name.strip("/").split("/"):
        links = dict(_links(file, address))
        if part not in links:
            raise _NotUnderstoodError
        address = links[part]
    return address


def _links(file: _File, address: int) -> Iterator[tuple[str, int]]:
    """The names in a group, and the addresses of their headers."""
    for kind, data in _messages(file, address):
        if kind == LINK:
            yield from _link(file, data)
        elif kind == SYMBOLS:
            tree, heap = file.address(data, 0), file.address(data, file.address_size)
            yield from _symbols(file, tree, heap)


def _link(file: _File, data: bytes) -> Iterator[tuple[str, int]]:
    """A hard link that a message holds; nothing for links of other kinds."""
    flags, at = _cut(data, 1, 1)[0], 2
    kind = 0
    if flags & 8:
        kind, at = _cut(data, at, 1)[0], at + 1
    at += 8 * bool(flags & 4) + bool(flags & 16)
    size = 1 << (flags & 3)
    count, at = int.from_bytes(_cut(data, at, size), "little"), at + size
    if kind == 0:
        yield readable(_cut(data, at, count)), file.address(data, at + count)


def _symbols(file: _File, tree: int, heap: int) -> Iterator[tuple[str, int]]:
    """The names in a group that is a symbol table: a tree of nodes, and a heap of names."""
    head = _require(file.at(heap, 8 + 2 * file.length_size + file.address_size), b"HEAP")
    names = file.at(file.address(head, 8 + 2 * file.length_size), file.length(head, 8))
    left, seen = [tree], 0
    while left:
        node, seen = left.pop(), seen + 1
        if seen > MOST:
            raise _NotUnderstoodError
        start = file.at(node, 8)
        count = struct.unpack_from("<H", start, 6)[0]
        if start.startswith(b"TREE"):
            step = file.length_size + file.address_size
            keys = file.at(node + 8 + 2 * file.address_size, count * step)
            left += [file.address(keys, i * step + file.length_size) for i in range(count)]
            continue
        _require(start, b"SNOD")
        step = 2 * file.address_size + 24
        entries = file.at(node + 8, count * step)
        for i in range(count):
            name = names[file.address(entries, i * step) :].split(b"\0", 1)[0]
            yield readable(name), file.address(entries, i * step + file.address_size)


def _messages(file: _File, address: int) -> Iterator[tuple[int, bytes]]:
    """The messages of an object header: their numbers, and what they hold."""
    start = file.at(address, 4)
    new = start == b"OHDR"
    if new:
        flags = file.at(address + 4, 2)[1]
        at = address + 6 + 16 * bool(flags & 32) + 4 * bool(flags & 16)
        width = 1 << (flags & 3)
        blocks = [(at + width, int.from_bytes(file.at(at, width), "little"))]
        tracked = 2 * bool(flags & 4)
    elif start[0] == 1:
        blocks = [(address + 16, struct.unpack("<I", file.at(address + 8, 4))[0])]
        tracked = 0
    else:
        raise _NotUnderstoodError
    for seen, (place, size) in enumerate(blocks):
        if seen > MOST:
            raise _NotUnderstoodError
        for kind, data in _block(file.at(place, size), tracked if new else None):
            if kind != CONTINUED:
                yield kind, data
                continue
            more, length = file.address(data, 0), file.length(data, file.address_size)
            if new:
                _require(file.at(more, 4), b"OCHK")
            blocks.append((more + 4, length - 8) if new else (more, length))


def _block(data: bytes, tracked: int | None) -> Iterator[tuple[int, bytes]]:
    """The messages in a block of an object header. ``tracked``: bytes of each message in a header
    of version 2 that tell its order; None for version 1."""
    head = 8 if tracked is None else 4 + tracked
    at = 0
    while at + head <= len(data):
        if tracked is None:
            kind, size = struct.unpack_from("<HH", data, at)
        else:
            kind, size = struct.unpack_from("<BH", data, at)
        yield kind, _cut(data, at + head, size)
        at += head + size


def _text(file: _File, address: int) -> str:
    """The text of a dataset."""
    messages = dict(_messages(file, address))
    if TYPE not in messages or LAYOUT not in messages:
        raise _NotUnderstoodError
    kind = _cut(messages[TYPE], 0, 8)
    size = struct.unpack_from("<I", kind, 4)[0]
    stored = _stored(file, messages[LAYOUT], size)
    if kind[0] & 15 == FIXED:
        return readable(stored.split(b"\0", 1)[0]).strip()
    if kind[0] & 15 != VARIABLE:
        raise _NotUnderstoodError
    count = struct.unpack_from("<I", stored)[0]
    index = struct.unpack_from("<I", stored, 4 + file.address_size)[0]
    kept = _in_heap(file, file.address(stored, 4), index)
    return readable(kept[:count].split(b"\0", 1)[0]).strip()


def _stored(file: _File, layout: bytes, size: int) -> bytes:
    """The one value of a dataset, in the header itself or in one block."""
    version, kind = _cut(layout, 0, 2)
    if version not in (3, 4):
        raise _NotUnderstoodError
    if kind == 0:
        return _cut(layout, 4, size)
    if kind == 1:
        return file.at(file.address(layout, 2), size)
    raise _NotUnderstoodError


def _in_heap(file: _File, address: int, index: int) -> bytes:
    """An object of a global heap."""
    head = _require(file.at(address, 8 + file.length_size), b"GCOL")
    data = file.at(address, file.length(head, 8))
    at = 8 + file.length_size
    while at + 8 + file.length_size <= len(data):
        number = struct.unpack_from("<H", data, at)[0]
        size = file.length(data, at + 8)
        at += 8 + file.length_size
        if number == index:
            return _cut(data, at, size)
        if number == 0:
            break
        at += -(-size // 8) * 8
    raise _NotUnderstoodError
