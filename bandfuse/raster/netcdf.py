"""NetCDF: a look at the header of a classic netCDF file, before a library believes what it says.

libnetcdf makes room for as many names, attributes and variables as a header claims: gigabytes for a
damaged file of a few bytes, and a crash where there is no such room."""

from __future__ import annotations

import os
import re
import struct
from contextlib import suppress
from typing import BinaryIO

from bandfuse.errors import InputError

_SUBDATASET = re.compile(r'netcdf:"?(.+?)"?(?::[^:/\\]*)?', re.IGNORECASE | re.DOTALL)

TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of a value, by the number of its type (NetCDF Classic Format Specification)."""


def check_header(name: str) -> None:
    """Refuse a classic netCDF file whose header counts more than the file can hold; any other file
    is left to GDAL.

    ``name``: a file, or a subdataset ``NETCDF:"FILE":NAME``.

    Raises
    ------
    InputError : a damaged header.
    """
    subdataset = _SUBDATASET.fullmatch(name)
    path = subdataset[1] if subdataset and not os.path.exists(name) else name
    with suppress(OSError, ValueError):
        if not os.path.isfile(path):
            return
        with open(path, "rb") as stream:
            start = stream.read(4)
            if start[:3] == b"CDF" and start[3] in (1, 2, 5):
                _Header(path, stream, start[3]).check()


class _Header:
    """A walk through a header; every count is compared with what is left of the file."""

    def __init__(self, path: str, stream: BinaryIO, version: int) -> None:
        self._path, self._stream = path, stream
        self._size = os.fstat(stream.fileno()).st_size
        self._wide = 8 if version == 5 else 4
        self._offset = 4 if version == 1 else 8

    def check(self) -> None:
        """From the number of records to the last variable."""
        self._number(self._wide)
        for _ in range(self._entries(2 * self._wide)):
            self._skip_name()
            self._number(self._wide)
        self._skip_attributes()
        for _ in range(self._entries(4 * self._wide + 4)):
            self._skip_name()
            self._skip(self._count(self._wide) * self._wide)
            self._skip_attributes()
            self._number(4)
            self._number(self._wide)
            self._number(self._offset)

    def _skip_attributes(self) -> None:
        for _ in range(self._entries(2 * self._wide + 4)):
            self._skip_name()
            size = TYPES.get(self._number(4), 1)
            self._skip(self._count(size) * size)

    def _skip_name(self) -> None:
        self._skip(self._count(1))

    def _entries(self, least: int) -> int:
        """How many entries of at least so many bytes a list has."""
        self._number(4)
        return self._count(least)

    def _count(self, least: int) -> int:
        """How many things of at least so many bytes follow."""
        count, left = self._number(self._wide), self._size - self._stream.tell()
        if count * least > left:
            raise InputError(
                f"{self._path} has a damaged netCDF header",
                got=f"{count} entries of at least {least} bytes each",
                expected=f"no more than the {left} bytes left",
                remedy="Copy or download it again.",
            )
        return count

    def _number(self, size: int) -> int:
        data = self._stream.read(size)
        if len(data) < size:
            raise InputError(
                f"{self._path} has a damaged netCDF header",
                got="the end of the file within it",
                remedy="Copy or download it again.",
            )
        return int(struct.unpack(">I" if size == 4 else ">Q", data)[0])

    def _skip(self, size: int) -> None:
        """Over values, which end at a multiple of four bytes."""
        self._stream.seek(size + -size % 4, os.SEEK_CUR)
