"""Fuse: the fused bands of one raster, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from bandfuse.files.guards import Seen
from bandfuse.files.whole import Ready, whole_files
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.moments.gram import OnDevice
from bandfuse.progress import Progress, silent
from bandfuse.raster import Encoding, Lost, Raster, Writer, orthorectified
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
) -> tuple[int, Lost]:
    """Stream one scene through a fusion into a file that appears whole; how many values are valid,
    and were lost. Files ``beside`` it, by name, appear with it. ``ready``, ``seen``: as for
    ``whole_files``."""
    valid, lost = 0, Lost(0, 0)

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
    weight = scene.reader(fusion.support).bytes_per_pixel + 4 * outputs
    with whole_files(path, inputs, ready, seen) as scratch:
        windows = effort.windows(scene.shape, scene.grid.stored, weight)
        with _keeper(scene.grid, outputs, writer, encoding, scratch, effort, progress) as keep:

            def write(window: Window, values: np.ndarray) -> None:
                nonlocal valid
                missing = (
                    np.isnan(values) if values.dtype.kind == "f" else values == encoding.nodata
                )
                valid += values.size - int(missing.sum())
                keep(window, values)

            if effort.spread is None:
                lost = _fused(scene, fusion, encoding, windows, effort, device, write, progress)
            else:
                parts = (windows[i : i + PARTS] for i in range(0, len(windows), PARTS))
                tasks = [(scene, fusion, encoding, part, effort.alone, device) for part in parts]
                elsewhere = effort.spread(fused_windows, tasks)
                for fused, part_lost in progress(elsewhere, len(tasks), "fuse elsewhere"):
                    lost += part_lost
                    for window, values in fused:
                        write(window, values)
        for name, content in (beside or {}).items():
            scratch.with_name(name).write_bytes(content)
    return valid, lost


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


def _fused(
    scene: Scene,
    fusion: Fusion,
    encoding: Encoding,
    windows: Sequence[Window],
    effort: Effort,
    device: str,
    sink: Sink,
    progress: Progress,
) -> Lost:
    """Fuse windows of a scene; how many values were lost."""
    multiply = np.matmul if device == "cpu" else OnDevice(device).multiply
    lost: list[Lost] = []  # appended to by the reader threads

    def encode(y: Floats) -> np.ndarray:
        lost.append(encoding.lost(y))
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


def fused_windows(
    scene: Scene,
    fusion: Fusion,
    encoding: Encoding,
    windows: Sequence[Window],
    effort: Effort,
    device: str,
) -> tuple[list[tuple[Window, np.ndarray]], Lost]:
    """Fused windows in memory, (K, rows, cols) each, and how many values were lost: a part that
    others do."""
    found: list[tuple[Window, np.ndarray]] = []
    lost = _fused(
        scene, fusion, encoding, windows, effort, device, lambda w, v: found.append((w, v)), silent
    )
    return found, lost
