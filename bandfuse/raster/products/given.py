"""Given: what a user gives, looked into once for all readers of products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bandfuse.raster.products.files import Files, files_of
from bandfuse.raster.products.hdf import Hdf, hdf_of


@dataclass(frozen=True)
class Given:
    """A path. What it holds is read when a reader first asks for it, and kept for the others."""

    path: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    @cached_property
    def folder(self) -> bool:
        """Whether it is a folder."""
        return Path(self.path).is_dir()

    @cached_property
    def hdf(self) -> Hdf | None:
        """What it holds as an HDF5 file; None for other files."""
        return hdf_of(self.path)

    @cached_property
    def files(self) -> tuple[Files, str] | None:
        """The files around it, and its own name among them; see :func:`files_of`."""
        return files_of(self.path)
