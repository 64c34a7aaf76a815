"""Files: where the parts of a product are found: a folder, or a zip or tar archive."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from bandfuse.errors import InputError, shorten
from bandfuse.files.textfile import bytes_of
from bandfuse.raster.products.names import product_in

LARGEST = 64 * 2**20
"""Bytes of a product's metadata: DESIS's are about 1 MB, EnMAP's about 3 MB."""

ARCHIVE_ERRORS = (
    tarfile.TarError,
    OSError,
    zipfile.BadZipFile,
    KeyError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    EOFError,
)
"""What Python raises for archives that are damaged, encrypted, or packed in ways that it does not
know."""

_IN_ARCHIVE = re.compile(
    r"/vsi(?P<kind>zip|tar)/\{?(?P<archive>.+?\.(?:zip|tar))\}?(?:/(?P<name>.*))?$", re.I
)

ARCHIVES = (".zip", ".tar")
"""Endings of archives in which files are read where they stand."""

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
"""Endings of archives in which no file can be read without all that stand before it."""


@dataclass(frozen=True)
class Files:
    """The files of a folder (not of folders in it), or all of an archive; names relative to it.
    ``archive``: zip or tar, or empty for a folder."""

    root: str
    names: tuple[str, ...]
    archive: str = ""

    def like(self, pattern: str) -> list[str]:
        """Names whose last part matches a regular expression, in any case."""
        return [name for name in self.names if re.fullmatch(pattern, name.rsplit("/", 1)[-1], re.I)]

    def one(self, pattern: str, what: str) -> str:
        """The one name that matches.

        Raises
        ------
        InputError : there is none, or there are several.
        """
        found = self.like(pattern)
        if len(found) != 1:
            raise InputError(
                f"{self.root} has {'several' if found else 'no'} {what}",
                got=shorten(found or self.names, 4),
                expected="one product",
                remedy="Give the file itself." if found else "",
            )
        return found[0]

    def find(self, name: str) -> str | None:
        """The name of a file as it is written here, in upper or lower case, in folders of the
        folder too; None if there is none."""
        if self.archive:
            return next((n for n in self.names if n.lower() == name.lower()), None)
        if (Path(self.root) / name).is_file():
            return name
        here = Path(self.root)
        for part in name.split("/"):
            below = here.iterdir() if here.is_dir() else ()
            found = next((p for p in below if p.name.lower() == part.lower()), None)
            if found is None:
                return None
            here = found
        return here.relative_to(self.root).as_posix()

    def gdal(self, name: str) -> str:
        """The name by which GDAL opens a file."""
        if self.archive:
            return f"/vsi{self.archive}/{{{self.root}}}/{name}"
        return str(Path(self.root) / name)

    def local(self, name: str) -> str:
        """The file on the file system that holds it."""
        return self.root if self.archive else str(Path(self.root) / name)

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises
        ------
        InputError : it cannot be read.
        """
        try:
            if not self.archive:
                return bytes_of(Path(self.root) / name, "metadata of a product", LARGEST)
            found = _unpacked(self.root, name, self.archive)
        except ARCHIVE_ERRORS as error:
            raise InputError(f"{self.gdal(name)} cannot be read", got=str(error)) from error
        if len(found) > LARGEST:
            raise InputError(
                f"{self.gdal(name)} is too large",
                got=f"more than {LARGEST} bytes once it is unpacked",
                expected="metadata of a product",
            )
        return found

    def xml(self, name: str) -> ElementTree.Element:
        """The root of an XML file.

        Raises
        ------
        InputError : it is no XML.
        """
        try:
            return ElementTree.fromstring(self.read(name))
        except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
            raise InputError(f"{self.gdal(name)} is not complete XML", got=str(error)) from error


def is_archive(path: str) -> bool:
    """Whether a name is that of an archive whose files are read where they stand."""
    return path.lower().endswith(ARCHIVES)


def files_of(path: str) -> tuple[Files, str] | None:
    """The files around what a user gives, and its own name among them (empty for a folder or an
    archive).

    None where nothing of that is on the file system. A folder's files are listed for a folder, a
    file's for a file.

    Raises
    ------
    InputError : an archive that cannot be read.
    """
    inside = _IN_ARCHIVE.match(path)
    place = Path(inside["archive"] if inside else path)
    if place.is_dir():
        return Files(str(place), _listed(place)), ""
    if not place.is_file():
        return None
    if inside or is_archive(place.name):
        given = (inside["name"] or "").strip("/") if inside else ""
        return Files(str(place), _packed(place), place.suffix.lower()[1:]), given
    return Files(str(place.parent), _listed(place.parent)), place.name


def _listed(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(p.name for p in folder.iterdir() if p.is_file()))
    except OSError as error:
        raise InputError(f"{folder} cannot be listed", got=error.strerror or str(error)) from error


def _packed(path: Path) -> tuple[str, ...]:
    """The names of the files in an archive."""
    kind = path.suffix.lower()[1:]
    try:
        if kind == "zip":
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if not n.endswith("/")]
        else:
            with tarfile.open(path, "r:") as tar:
                members = [m for m in tar if m.isfile()]
            names = [m.name.removeprefix("./") for m in members]
            _require_read_by_gdal(path, members)
    except ARCHIVE_ERRORS as error:
        raise InputError(f"{path} is not a complete {kind} archive", got=str(error)) from error
    return tuple(sorted(names))


def _require_read_by_gdal(path: Path, members: Sequence[tarfile.TarInfo]) -> None:
    """Refuse archives with names in headers of their own, as of more than 100 characters in the pax
    format: GDAL does not read those."""
    names = [m.name for m in members]
    if any("path" in m.pax_headers for m in members) and product_in(names):
        raise InputError(
            f"{path} holds {product_in(names)} under long names in the pax format",
            expected="a tar archive in the GNU format, or a zip archive",
            remedy="Unpack it: GDAL does not read such names.",
        )


def _unpacked(path: str, name: str, kind: str) -> bytes:
    """The first bytes of a file in an archive, up to one more than :data:`LARGEST`."""
    if kind == "zip":
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            return member.read(LARGEST + 1)
    with tarfile.open(path, "r:") as tar:
        found = next((m for m in tar if m.name.removeprefix("./") == name), None)
        stream = None if found is None else tar.extractfile(found)
        if stream is None:
            raise KeyError(f"no file {name}")
        return stream.read(LARGEST + 1)


def names_in(path: str, most: int = 1000) -> list[str]:
    """The names of the first files in a compressed tar archive; none where it cannot be read."""
    try:
        with tarfile.open(path, "r:*") as tar:
            return [m.name for m, _ in zip(tar, range(most), strict=False) if m.isfile()]
    except ARCHIVE_ERRORS:
        return []
