"""How often files are opened and read: each is described once by a command, its first windows are
read once, and no file stays open."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from makers import batch_file, scenes_in
from rasterio.io import DatasetReader
from rasters import ok, spectra, wavelengths, write_tiff

from bandfuse.scenes.places import places
from bandfuse.scenes.scene import MOST_HELD, held, open_scene
from bandfuse.streaming.windows import Window

QUICK = ("--no-report", "--no-fused", "--threads", 1, "--folds", 0)


@dataclass
class Counted:
    """By name of a file how often it was opened, and the windows that were read of it."""

    opened: Counter[str] = field(default_factory=Counter)
    windows: Counter[str] = field(default_factory=Counter)
    handles: list[DatasetReader] = field(default_factory=list)

    def of(self, name: str) -> tuple[int, int]:
        return self.opened[name], self.windows[name]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Counts what is opened and read by this process within."""
    counts, opening, window = Counted(), rasterio.open, DatasetReader.read

    def count_open(name: Any, *args: Any, **kwargs: Any) -> Any:
        handle = opening(name, *args, **kwargs)
        if not args:
            counts.opened[Path(str(name)).name] += 1
            counts.handles.append(handle)
        return handle

    def count_read(ds: Any, *args: Any, **kwargs: Any) -> Any:
        counts.windows[Path(ds.name).name] += 1
        return window(ds, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(rasterio, "open", count_open)
        patch.setattr(DatasetReader, "read", count_read)
        yield counts
    assert all(handle.closed for handle in counts.handles)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cubes of 12 bands, one with a band that is constant; a target on their grid, a finer one, and
    labels."""
    cube = spectra(12, 150, 300)
    write_tiff(tmp_path / "x.tif", cube, nm=wavelengths(12))
    cube[-1] = 7
    write_tiff(tmp_path / "dead.tif", cube, nm=wavelengths(12))
    write_tiff(tmp_path / "t.tif", cube[:3].mean(axis=0)[None])
    fine = np.kron(cube[:2].mean(axis=0), np.ones((2, 2), np.float32))[None]
    write_tiff(
        tmp_path / "fine.tif", fine, transform=rasterio.Affine(15, 0, 400_000, 0, -15, 5_800_000)
    )
    write_tiff(
        tmp_path / "l.tif", (np.arange(150 * 300).reshape(1, 150, 300) // 700 % 3).astype("uint8")
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def at_most(counts: Counted, **bounds: tuple[int, int]) -> None:
    """Each file is opened and read at most so often, and no other one is."""
    names = {name.removesuffix(".tif") for name in {*counts.opened, *counts.windows}}
    assert names <= set(bounds)
    over = {name: (counts.of(f"{name}.tif"), most) for name, most in bounds.items()}
    assert all(n <= m for found, most in over.values() for n, m in zip(found, most, strict=True)), (
        over
    )


TRAININGS: list[tuple[tuple[object, ...], dict[str, tuple[int, int]]]] = [
    # In the comments: before files were described once, windows read once, and files held open.
    (("x.tif", "--target", "t.tif"), {"x": (3, 12), "t": (3, 6)}),  # x: 5, 12; t: 5, 14
    (
        ("x.tif", "--target", "t.tif", "--window", 10, 10, 100, 200),
        {"x": (3, 8), "t": (3, 6)},
    ),  # x: 5, 8; t: 5, 14
    (
        ("x.tif", "--target", "t.tif", "--shift", "1,0"),
        {"x": (3, 12), "t": (3, 6)},
    ),  # x: 6, 12; t: 5, 6
    (
        ("x.tif", "--target", "t.tif", "--shift", "auto"),
        {"x": (3, 12), "t": (3, 6)},
    ),  # x: 5, 12; t: 5, 14
    (("x.tif", "--target", "fine.tif"), {"x": (3, 12), "fine": (3, 6)}),  # 5, 12 and 4, 6
    (
        ("x.tif", "--target", "fine.tif", "--shift", "1,0"),
        {"x": (3, 12), "fine": (3, 6)},
    ),  # x: 6, 12; fine: 5, 6
    (("x.tif", "--labels", "l.tif"), {"x": (2, 11), "l": (3, 2)}),  # x: 4, 11; l: 3, 1
    (
        ("x.tif", "--labels", "l.tif", "--shift", "1,0"),
        {"x": (2, 11), "l": (4, 2)},
    ),  # x: 5, 11; l: 5, 1
    (("x.tif", "--groups", "correlation:3"), {"x": (2, 11)}),  # x: 5, 17
    (("dead.tif", "--groups", "correlation:3"), {"dead": (2, 17)}),  # dead: 6, 23
]


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("flags", "bounds"), TRAININGS)
def test_a_training_describes_files_once_and_reads_its_first_windows_once(
    flags: tuple[object, ...],
    bounds: dict[str, tuple[int, int]],
    scene: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Opened to be described, for a target's shift, and for all that is read then: undeclared fill,
    dead bands, and the pass. A band that turns out dead is left out of the covariance by a second
    look."""
    with counted(monkeypatch) as counts:
        ok("train", *flags, "-o", "run", *QUICK)
    at_most(counts, **bounds)


def test_weights_are_used_and_scored_with_few_reads(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok("train", "x.tif", "--target", "t.tif", "-o", "run", *QUICK)
    weights = "run/weights.safetensors"
    with counted(monkeypatch) as counts:
        ok("apply", weights, "x.tif", "-o", "o.tif", "--threads", 1)
    at_most(counts, x=(2, 9), o=(1, 1))  # x: 4, 9
    with counted(monkeypatch) as counts:
        ok("evaluate", weights, "x.tif", "--target", "t.tif", "--threads", 1)
    at_most(counts, x=(3, 10), t=(3, 10))  # x: 5, 10; t: 6, 18


def test_a_pool_and_its_use_in_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written has the name of the first file; its pictures are counted there."""
    scenes_in(tmp_path, 2)
    path = batch_file(tmp_path, defaults="{objective: regression, folds: 0, threads: 1}")
    with counted(monkeypatch) as counts:
        ok("batch", path, "--workers", 1)
    # 15, 10; 9, 7; 14, 9; 8, 6.
    at_most(counts, s000=(11, 10), s000_t=(6, 5), s001=(10, 9), s001_t=(5, 4))


def test_files_of_many_scenes_are_not_held_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a few they are; another process opens its own."""
    names = [f"s{i}" for i in range(MOST_HELD + 1)]
    every = [write_tiff(tmp_path / f"{name}.tif", spectra(3, 20, 20)) for name in names]
    scenes = [open_scene(place) for place in places([str(p) for p in every], [], [])]
    with counted(monkeypatch) as counts:
        for some in (scenes, scenes[:-1]):
            with held(some) as kept:
                for scene in 2 * kept:
                    with scene.reader([0]) as reader:
                        reader.read(Window(0, 0, 4, 4))
                assert [pickle.loads(pickle.dumps(s)).handles for s in kept] == [None] * len(some)
    opened = [counts.opened[f"{name}.tif"] for name in names]
    assert opened == [3] * MOST_HELD + [2]
