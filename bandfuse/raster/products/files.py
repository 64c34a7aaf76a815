"""Files: where the parts of a product are found, a folder or a zip archive."""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from bandfuse.errors import InputError, shorten
from bandfuse.files.textfile import bytes_of

LARGEST = 64 * 2**20
"""Bytes of a product's metadata: DESIS's are about 1 MB, EnMAP's about 3 MB."""

ZIP_ERRORS = (
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

_IN_ZIP = re.compile(r"/vsizip/\{?(?P<archive>.+?\.zip)\}?(?:/(?P<name>.*))?$", re.I)


@dataclass(frozen=True)
class Files:
    """The files of a folder (not of folders in it), or all of a zip archive; names relative to
    it."""

    root: str
    names: tuple[str, ...]
    zipped: bool = False

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

    def has(self, name: str) -> bool:
        """Whether there is a file of this name, in folders of the folder too."""
        return name in self.names or (not self.zipped and (Path(self.root) / name).is_file())

    def gdal(self, name: str) -> str:
        """The name by which GDAL opens a file."""
        return f"/vsizip/{{{self.root}}}/{name}" if self.zipped else str(Path(self.root) / name)

    def local(self, name: str) -> str:
        """The file on the file system that holds it."""
        return self.root if self.zipped else str(Path(self.root) / name)

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises
        ------
        InputError : it cannot be read.
        """
        try:
            if not self.zipped:
                return bytes_of(Path(self.root) / name, "metadata of a product", LARGEST)
            with zipfile.ZipFile(self.root) as archive, archive.open(name) as member:
                found = member.read(LARGEST + 1)
        except ZIP_ERRORS as error:
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


def files_of(path: str) -> tuple[Files, str] | None:
    """The files around what a user gives, and its own name among them (empty for a folder or an
    archive).

    None where nothing of that is on the file system. A folder's files are listed for a folder, a
    file's for a file.

    Raises
    ------
    InputError : an archive that cannot be read.
    """
    inside = _IN_ZIP.match(path)
    place = Path(inside["archive"] if inside else path)
    if place.is_dir():
        return Files(str(place), _listed(place)), ""
    if not place.is_file():
        return None
    if inside or place.suffix.lower() == ".zip":
        return Files(str(place), _zipped(place), zipped=True), (inside["name"] or "").strip(
            "/"
        ) if inside else ""
    return Files(str(place.parent), _listed(place.parent)), place.name


def _listed(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(p.name for p in folder.iterdir() if p.is_file()))
    except OSError as error:
        raise InputError(f"{folder} cannot be listed", got=error.strerror or str(error)) from error


def _zipped(path: Path) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(sorted(n for n in archive.namelist() if not n.endswith("/")))
    except ZIP_ERRORS as error:
        raise InputError(f"{path} is not a complete zip archive", got=str(error)) from error
