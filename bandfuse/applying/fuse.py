"""Fuse: the fused bands of one raster, window by window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bandfuse.export import stac
from bandfuse.files.guards import Seen
from bandfuse.files.whole import Ready, whole_files
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.moments.gram import OnDevice
from bandfuse.progress import Progress, silent
from bandfuse.raster import Encoding, Lost, Raster, SensedImage, Writer, orthorectified
from bandfuse.scenes.scene import Scene
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Sink, map_windows
from bandfuse.streaming.windows import Window


@dataclass(frozen=True, eq=False)
class Output:
    """A raster to write: ``fusion`` over a ``scene``. ``seen``: what stood there when it was
    checked. ``beside``: files that appear with it, by name."""

    path: Path
    scene: Scene
    fusion: Fusion
    driver: str = "GTiff"
    seen: Seen | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def values(self) -> int:
        """How many values it has, but for outputs that are lost."""
        rows, cols = self.scene.shape
        return int(self.fusion.outputs.good.sum()) * rows * cols


@dataclass(frozen=True, eq=False)
class Writing:
    """How fused rasters are computed and stored.

    ``options``: of the driver. ``inputs``: files that none takes the place of. ``ready``: as for
    ``whole_files``. ``stac``: with an item beside each raster."""

    encoding: Encoding
    effort: Effort
    progress: Progress = silent
    options: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    inputs: Sequence[Path] = ()
    ready: Ready | None = None
    stac: bool = False


PARTS = 4
"""Windows that are fused as one part where others do it."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some windows of a scene to fuse."""

    scene: Scene
    fusion: Fusion
    encoding: Encoding
    device: str
    effort: Effort
    windows: Sequence[Window]

    def parts(self) -> list[Part]:
        """A few windows each, for others to do."""
        starts = range(0, len(self.windows), PARTS)
        return [
            replace(self, windows=self.windows[i : i + PARTS], effort=self.effort.alone)
            for i in starts
        ]

    def fuse(self, sink: Sink, progress: Progress) -> Lost:
        """Hand the fused windows to the sink; how many values were lost."""
        multiply = np.matmul if self.device == "cpu" else OnDevice(self.device).multiply
        lost: list[Lost] = []  # appended to by the reader threads

        def encode(y: Floats) -> np.ndarray:
            lost.append(self.encoding.lost(y))
            return self.encoding(y)

        with self.scene.reader(self.fusion.support) as reader:
            map_windows(
                reader,
                FusionKernel(self.fusion, multiply),
                encode,
                sink,
                self.windows,
                threads=self.effort.threads,
                progress=progress,
            )
        return sum(lost, Lost(0, 0))


def fused_windows(part: Part) -> tuple[list[tuple[Window, np.ndarray]], Lost]:
    """Fused windows in memory, (K, rows, cols) each, and how many values were lost: a part that
    others do."""
    found: list[tuple[Window, np.ndarray]] = []
    lost = part.fuse(lambda window, values: found.append((window, values)), silent)
    return found, lost


def fuse_to(output: Output, how: Writing) -> tuple[int, Lost]:
    """Stream one scene through a fusion into a file that appears whole; how many values are valid,
    and were lost."""
    valid, scene, encoding = 0, output.scene.fused, how.encoding
    count = len(output.fusion.outputs)
    weight = scene.reader(output.fusion.support).bytes_per_pixel + 4 * count
    windows = how.effort.windows(scene.shape, scene.grid.stored, weight)
    whole = Part(scene, output.fusion, encoding, how.device, how.effort, windows)
    files = dict(output.beside)
    if how.stac:
        like, bands = output.scene.grid, output.fusion.outputs
        files |= stac.beside(output.path, like, bands, encoding, output.driver)
    with whole_files(output.path, how.inputs, how.ready, output.seen) as scratch:
        with _keeper(scratch, scene.grid, output, how) as keep:

            def write(window: Window, values: np.ndarray) -> None:
                nonlocal valid
                floats = values.dtype.kind == "f"
                missing = np.isnan(values) if floats else values == encoding.nodata
                valid += values.size - int(missing.sum())
                keep(window, values)

            lost = _fused(whole, write, how.progress)
        for name, content in files.items():
            scratch.with_name(name).write_bytes(content)
    return valid, lost


def _fused(whole: Part, write: Sink, progress: Progress) -> Lost:
    """Fuse all windows, here or in parts elsewhere; how many values were lost."""
    spread, lost = whole.effort.spread, Lost(0, 0)
    if spread is None:
        return whole.fuse(write, progress)
    tasks = [(part,) for part in whole.parts()]
    for windows, some in progress(spread(fused_windows, tasks), len(tasks), "fuse elsewhere"):
        lost += some
        for window, values in windows:
            write(window, values)
    return lost


def _keeper(
    scratch: Path, grid: Raster, output: Output, how: Writing
) -> AbstractContextManager[Callable[[Window, np.ndarray], None]]:
    """What takes fused windows: the writer of the output, or for an image in sensor geometry a
    writer that puts them on the grid of the map."""
    bands, encoding = output.fusion.outputs, how.encoding

    def writer(grid: Raster) -> Writer:
        return Writer(
            scratch,
            grid,
            bands,
            encoding,
            driver=output.driver,
            options=how.options,
            threads=how.effort.threads,
        )

    if grid.glt is None:
        return writer(grid)
    sensed = SensedImage(
        scratch.with_name(f"{scratch.name}.sensed"), (*grid.shape, len(bands)), encoding
    )
    return orthorectified(grid.glt, sensed, writer, how.effort, how.progress)
