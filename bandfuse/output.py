"""Output: files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bandfuse.errors import OutputError


def check_place(path: Path, *, overwrite: bool, own: str | None = None) -> None:
    """Refuse a place that must not or cannot be written to, before any work is done.

    ``own`` is a file by which a folder is known as bandfuse's: no other folder is ever replaced.

    Raises
    ------
    OutputError : the folder above is missing, not a folder or not writable; or the output exists.
    """
    parent = path.parent
    if not parent.exists():
        raise OutputError(f"folder {parent} does not exist", remedy="Create it, or choose another output.")
    if not parent.is_dir():
        raise OutputError(f"{parent} is not a folder", got="a file", expected="a folder to write into")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"folder {parent} cannot be written to", remedy="Choose another output.")
    if not (path.exists() or path.is_symlink()):
        return
    if not overwrite:
        raise OutputError(f"{path} exists", remedy="Choose another output, or use --overwrite to replace it.")
    if own is not None and not (path / own).is_file():
        raise OutputError(
            f"{path} is not a run of bandfuse, and is not replaced",
            got="a folder with other things in it" if path.is_dir() else "a file",
            expected=f"a folder with {own} in it",
            remedy="Choose another output.",
        )
    if own is None and path.is_dir():
        raise OutputError(f"{path} is a folder", expected="a file name for the output")


@contextmanager
def whole_files(path: Path) -> Iterator[Path]:
    """A place of the same name to write a file (and what belongs to it) to; it is moved to ``path`` at the end.

    On any error, Ctrl-C included, nothing is left behind.
    """
    folder = _scratch(path)
    try:
        yield folder / path.name
        files = sorted(folder.iterdir(), key=lambda f: f.name == path.name)
        taken = [f.name for f in files if f.name != path.name and (path.parent / f.name).exists()]
        if taken and not path.exists():
            raise OutputError(
                f"{path} brings {taken[0]} with it, which exists and belongs to another file",
                remedy="Choose another name for the output.",
            )
        for file in files:
            os.replace(file, path.parent / file.name)
    except OSError as error:
        raise OutputError(f"{path} cannot be written", got=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into; it is renamed to ``path`` at the end, in the place of an earlier one."""
    folder = _scratch(path)
    try:
        yield folder
        folder.chmod(0o777 & ~_umask())
        if path.exists():
            old = _scratch(path)
            os.rename(path, old / path.name)
            os.rename(folder, path)
            shutil.rmtree(old)
        else:
            os.rename(folder, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written", got=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scratch(path: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise OutputError(f"folder {path.parent} cannot be written to", got=error.strerror or str(error)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
