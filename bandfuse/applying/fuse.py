"""Fuse: the fused bands of one raster, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from bandfuse.applying.part import cutting, overlap, windows_of
from bandfuse.files.guards import Seen
from bandfuse.files.whole import Ready, whole_files
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.moments.gram import OnDevice
from bandfuse.progress import Progress, silent
from bandfuse.raster import Encoding, Lost, Raster, Writer, orthorectified, windowed
from bandfuse.scenes.scene import Scene
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Sink, map_windows
from bandfuse.streaming.windows import Window


def fuse_to(
    path: Path,
    scene: Scene,
    fusion: Fusion,
    encoding: Encoding,
    effort: Effort,
    progress: Progress,
    *,
    driver: str = "GTiff",
    options: dict[str, str] | None = None,
    inputs: Iterable[Path] = (),
    device: str = "cpu",
    beside: Mapping[str, bytes] | None = None,
    ready: Ready | None = None,
    seen: Seen | None = None,
    part: Window | None = None,
) -> tuple[int, Lost]:
    """Stream one scene, or a part of it, through a fusion into a file that appears whole; how many
    values are valid, and were lost. Files ``beside`` it, by name, appear with it. ``ready``,
    ``seen``: as for ``whole_files``."""
    valid = 0

    def writer(grid: Raster) -> Writer:
        return Writer(
            scratch,
            grid,
            fusion.outputs,
            encoding,
            driver=driver,
            options=options,
            threads=effort.threads,
        )

    scene = scene.fused
    outputs = len(fusion.outputs)
    grid = scene.grid if part is None else windowed(scene.grid, part)
    weight = scene.reader(fusion.support).bytes_per_pixel + 4 * outputs
    with whole_files(path, inputs, ready, seen) as scratch:
        windows = effort.windows(scene.shape, scene.grid.stored, weight)
        some = windows if part is None else windows_of(windows, part)
        with _keeper(grid, outputs, writer, encoding, scratch, effort, progress) as keep:

            def write(window: Window, values: np.ndarray) -> None:
                nonlocal valid
                valid += values.size - int(encoding.missing(values).sum())
                keep(window, values)

            sink = write if part is None else cutting(write, part)
            work = (scene, fusion, encoding, effort, device, part)
            lost = _streamed(work, some, sink, progress)
        for name, content in (beside or {}).items():
            scratch.with_name(name).write_bytes(content)
    return valid, lost


Work = tuple[Scene, Fusion, Encoding, Effort, str, Window | None]
"""What is fused, and how: scene, fusion, encoding, effort, device, and the part that is kept."""


def _streamed(work: Work, windows: Sequence[Window], sink: Sink, progress: Progress) -> Lost:
    """Fuse windows here, or parts of them elsewhere; how many values were lost."""
    scene, fusion, encoding, effort, device, part = work
    if effort.spread is None:
        return _fused(work, windows, sink, progress)
    lost = Lost(0, 0)
    alone = (scene, fusion, encoding, effort.alone, device, part)
    tasks = [(alone, windows[i : i + PARTS]) for i in range(0, len(windows), PARTS)]
    elsewhere = effort.spread(fused_windows, tasks)
    for fused, part_lost in progress(elsewhere, len(tasks), "fuse elsewhere"):
        lost += part_lost
        for window, values in fused:
            sink(window, values)
    return lost


def _keeper(
    grid: Raster,
    outputs: int,
    writer: Callable[[Raster], Writer],
    encoding: Encoding,
    scratch: Path,
    effort: Effort,
    progress: Progress,
) -> AbstractContextManager[Any]:
    """What takes fused windows: the writer of the output, or for an image in sensor geometry a
    writer that puts them on the grid of the map."""
    if grid.glt is None:
        return writer(grid)
    sensed = scratch.with_name(f"{scratch.name}.sensed")
    return orthorectified(
        grid,
        outputs,
        encoding,
        writer,
        sensed,
        effort.windows,
        threads=effort.threads,
        progress=progress,
    )


PARTS = 4
"""Windows that are fused as one part where others do it."""


def _fused(work: Work, windows: Sequence[Window], sink: Sink, progress: Progress) -> Lost:
    """Fuse windows of a scene; how many values of the part were lost."""
    scene, fusion, encoding, effort, device, part = work
    multiply = np.matmul if device == "cpu" else OnDevice(device).multiply
    lost: list[Lost] = []  # appended to by the reader threads

    def encode(cell: Window, y: Floats) -> np.ndarray:
        shared = cell if part is None else overlap(cell, part)
        if shared is not None:
            kept = y if shared == cell else _cut(y, cell, shared)
            lost.append(encoding.lost(kept))
        return encoding(y)

    with scene.reader(fusion.support) as reader:
        map_windows(
            reader,
            FusionKernel(fusion, multiply),
            len(fusion.outputs),
            encode,
            sink,
            windows,
            threads=effort.threads,
            progress=progress,
        )
    return sum(lost, Lost(0, 0))


def _cut(y: Floats, cell: Window, part: Window) -> Floats:
    """(K, n) of a part of a cell, of the (K, n) of the cell."""
    values: Floats = y.reshape(len(y), cell.rows, cell.cols)[:, *part.within(cell)]
    return values.reshape(len(y), -1)


def fused_windows(
    work: Work, windows: Sequence[Window]
) -> tuple[list[tuple[Window, np.ndarray]], Lost]:
    """Fused windows in memory, (K, rows, cols) each, and how many values were lost: a part that
    others do."""
    found: list[tuple[Window, np.ndarray]] = []
    lost = _fused(work, windows, lambda w, v: found.append((w, v)), silent)
    return found, lost
