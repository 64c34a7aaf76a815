"""Makers: weights files, batch files and scenes that the tests of several rooms use."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import spectra, wavelengths, write_tiff

from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps
from bandfuse.moments.moments import Moments, total
from bandfuse.solve import layout
from bandfuse.spectral import groups
from bandfuse.spectral.bands import Bands
from bandfuse.streaming.budget import Effort
from bandfuse.trust.fold_problems import Terms
from bandfuse.trust.folds import folds
from bandfuse.trust.penalty import ties


def weights_file(path: Path, bands: int, value: float = 0.25) -> str:
    """A weights file for a cube of so many bands without wavelengths."""
    inputs = Bands.of([f"b{i}" for i in range(1, bands + 1)])
    fusion = Fusion(np.full((1, bands), 0.25), np.ones(1), np.zeros(1), inputs, Bands.of(["y"]))
    data = dumps(Model(fusion))
    path.write_bytes(data.replace(np.float64(0.25).tobytes(), np.float64(value).tobytes()))
    return str(path)


NAMES = ["blue, deep", "near {infrared}", "third"]


NM = [450.123456789, 860.25, 1610.0]


def weights_for(
    folder: Path, bands: int = 6, outputs: int = 3, nm: Sequence[float] = tuple(NM)
) -> Path:
    """Weights of several outputs with names, wavelengths and widths."""
    random = np.random.default_rng(5)
    weight = random.random((outputs, bands))
    made = Bands.of(
        NAMES[:outputs], wavelength_nm=nm[:outputs], fwhm_nm=[10.5, 20.25, 91.0][:outputs]
    )
    inputs = Bands.of([f"b{i + 1}" for i in range(bands)], wavelength_nm=wavelengths(bands))
    fusion = Fusion(weight, np.ones(outputs), np.zeros(outputs), inputs, made)
    (folder / "w.safetensors").write_bytes(dumps(Model(fusion)))
    return folder / "w.safetensors"


JOBS = """
jobs:
  - {name: pooled, kind: train, pool: all}
  - {name: fused, kind: apply, weights: pooled}
"""


NO_PAGES = "{objective: regression, no_report: true}"
"""Defaults of a batch: most tests do not look at the pages of its trainings."""


def scenes_in(
    folder: Path, count: int, *, bands: int = 6, size: tuple[int, int] = (16, 20)
) -> None:
    """Scenes with targets that are a known mean of their bands."""
    (folder / "in").mkdir(exist_ok=True)
    for i in range(count):
        x = spectra(bands, *size, seed=i)
        write_tiff(folder / f"in/s{i:03d}.tif", x)
        write_tiff(folder / f"in/s{i:03d}_t.tif", x[:3].mean(axis=0)[None])


def batch_file(folder: Path, jobs: str = JOBS, extra: str = "", defaults: str = NO_PAGES) -> Path:
    path = folder / "b.yaml"
    path.write_text(
        f"version: 1\noutput: out/\ndefaults: {defaults}\nscenes:\n  - glob: in/*.tif\n"
        f'    exclude: ["*_t.tif"]\n    target: "{{parent}}/{{stem}}_t.tif"\n{extra}{jobs}'
    )
    return path


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "out/batch.json").read_text())["items"]
    return found


QUICK = "{objective: regression, folds: 0, constraint: free, no_report: true}"


def pickled(work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """As another process would do it, the last task first."""
    results = [
        pickle.loads(pickle.dumps(work(*pickle.loads(pickle.dumps(task)))))
        for task in reversed(tasks)
    ]
    pickled.seen.append((work.__name__, len(tasks)))  # type: ignore[attr-defined]
    yield from reversed(results)


@contextmanager
def in_parts() -> Iterator[None]:
    """Within this, commands have passes over scenes done in parts, as a batch on a cluster does."""
    whole = Effort.of

    def spread(
        threads: int | None, memory: int | None, _: object = None, device: str = "cpu"
    ) -> Effort:
        return whole(threads, memory, pickled, device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Effort, "of", spread)
        yield


@dataclass
class Scene:
    """Pixels by block, and what is made of them."""

    x: list[np.ndarray]
    t: list[np.ndarray]
    bands: Bands

    @property
    def blocks(self) -> list[Moments]:
        return [Moments.of(np.hstack([x, t])) for x, t in zip(self.x, self.t, strict=True)]

    def terms(self, *, offset: bool = True, gain: bool = False, kind: str = "channel") -> Terms:
        n, k = self.x[0].shape[1], self.t[0].shape[1]
        made = layout.within(groups.one(self.bands), n, kind, set(), [0] * k)
        blocks = self.blocks
        tied = ties(self.bands, tuple(range(n)))
        samples = [np.hstack([x, t])[::3] for x, t in zip(self.x, self.t, strict=True)]
        sample = np.concatenate(samples)
        return Terms(
            made, total(blocks, n + k), sample, folds(blocks, samples), n, tied, offset, gain
        )

    def held_out(self) -> list[tuple[np.ndarray, ...]]:
        """Train and test pixels of each fold: runs of blocks, by hand."""
        runs = np.array_split(np.arange(len(self.x)), 5)
        result = []
        for run in runs:
            rest = [i for i in range(len(self.x)) if i not in run]
            parts = [
                np.concatenate([v[i] for i in which])
                for which in (rest, run)
                for v in (self.x, self.t)
            ]
            result.append(tuple(parts))
        return result


def make(weights: np.ndarray, noise: float, seed: int = 0, n_blocks: int = 20) -> Scene:
    """Smooth, correlated spectra whose level drifts from block to block; a target of known weights,
    with noise."""
    random = np.random.default_rng(seed)
    k, n = weights.shape
    nm = np.linspace(400, 400 + 10 * (n - 1), n)
    mix = np.cumsum(random.normal(size=(8, n)), axis=1)
    x = [
        random.normal(size=(60, 8)) @ mix + 0.3 * random.normal(size=(60, n)) + 20 + 0.2 * b
        for b in range(n_blocks)
    ]
    t = [v @ weights.T + noise * random.normal(size=(60, k)) + 3 for v in x]
    return Scene(x, t, Bands.of([f"b{i}" for i in range(n)], wavelength_nm=nm))
