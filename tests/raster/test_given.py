"""What is given is looked into once, however many readers are asked."""

from __future__ import annotations

import tarfile
from collections import Counter
from pathlib import Path

import published
import published_hdf
import pytest

from bandfuse.raster import describe
from bandfuse.raster.products import given


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often HDF5 files are opened for their contents, and files around a path are listed."""
    counted: Counter[str] = Counter()

    def counting(name: str) -> None:
        look = getattr(given, name)

        def counted_look(path: str) -> object:
            counted[name] += 1
            return look(path)

        monkeypatch.setattr(given, name, counted_look)

    counting("hdf_of")
    counting("files_of")
    return counted


@pytest.mark.parametrize("make", [published_hdf.tanager, published_hdf.neon, published.prisma])
def test_an_hdf5_file_is_opened_once(make, tmp_path: Path, looks: Counter[str]) -> None:
    assert describe(make(tmp_path).path).product
    assert looks["hdf_of"] == 1


def test_an_archive_is_listed_once(tmp_path: Path, looks: Counter[str]) -> None:
    made = published.enmap(tmp_path)
    with tarfile.open(tmp_path / "order.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for file in sorted(made.path.parent.iterdir()):
            tar.add(file, file.name)
    assert describe(tmp_path / "order.tar").product.startswith("EnMAP")
    assert looks == {"files_of": 1, "hdf_of": 1}


def test_a_folder_is_listed_once(tmp_path: Path, looks: Counter[str]) -> None:
    assert describe(published.enmap(tmp_path).path).product.startswith("EnMAP")
    assert looks["files_of"] == 1
