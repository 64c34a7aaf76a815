"""Fuse: the fused bands of one raster, window by window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from bandfuse.applying.compression import looked_at, may_leave_out, worth_it
from bandfuse.applying.hidden import Hidden
from bandfuse.applying.part import cutting, overlap, windows_of
from bandfuse.applying.products import kernel_at, place_of_products
from bandfuse.applying.uncertain import Uncertain, UncertainKernel
from bandfuse.device import Place
from bandfuse.export import qml, stac
from bandfuse.files.guards import Seen
from bandfuse.files.styles import style_name
from bandfuse.files.whole import Ready, whole_together
from bandfuse.model.fusion import Fusion
from bandfuse.progress import Progress, during, silent
from bandfuse.raster import (
    Encoding,
    Lost,
    Raster,
    SensedImage,
    Writer,
    describe,
    opened_selection,
    orthorectified,
    quicklook,
    windowed,
)
from bandfuse.scenes.scene import Scene
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Kernel, Sink, bytes_at_once, map_windows
from bandfuse.streaming.windows import Window


@dataclass(frozen=True, eq=False)
class Second:
    """A raster of the uncertainty of fused pixels, which appears with theirs. ``seen``: what stood
    there when it was checked."""

    path: Path
    what: Uncertain
    driver: str = "GTiff"
    seen: Seen | None = None


@dataclass(frozen=True, eq=False)
class Output:
    """A raster to write: ``fusion`` over a ``scene``, or over a ``part`` of it. ``seen``: what
    stood there when it was checked. ``beside``: files that appear with it, by name. ``second``: the
    raster of its uncertainty."""

    path: Path
    scene: Scene
    fusion: Fusion
    driver: str = "GTiff"
    seen: Seen | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict)
    part: Window | None = None
    second: Second | None = None

    @property
    def support(self) -> list[int]:
        """Positions of the bands that are read."""
        second = self.second
        return self.fusion.support if second is None else second.what.support(self.fusion)

    @property
    def pixels(self) -> int:
        """How many pixels it has."""
        return self.part.size if self.part else self.scene.shape[0] * self.scene.shape[1]

    @property
    def values(self) -> int:
        """How many values it has, but for outputs that are lost."""
        return int(self.fusion.outputs.good.sum()) * self.pixels

    @property
    def grid(self) -> Raster:
        """Where its pixels are."""
        grid = self.scene.fused.grid
        return grid if self.part is None else windowed(grid, self.part)


@dataclass(frozen=True, eq=False)
class Writing:
    """How fused rasters are computed and stored.

    ``options``: of the driver. ``inputs``: files that none takes the place of. ``ready``: as for
    ``whole_files``. ``stac``, ``style``: with an item or a QGIS style beside each raster.
    ``precision``: of the products, auto or float64."""

    encoding: Encoding
    effort: Effort
    progress: Progress = silent
    options: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[Path] = ()
    ready: Ready | None = None
    stac: bool = False
    style: bool = False
    precision: str = "auto"


PARTS = 4
"""Windows that are fused as one part where others do it."""


@dataclass(frozen=True)
class Done:
    """What fusing some windows came to: the values that were lost, and where it was computed."""

    lost: Lost
    places: tuple[Place, ...]

    def __add__(self, other: Done) -> Done:
        places = tuple(dict.fromkeys((*self.places, *other.places)))
        return Done(self.lost + other.lost, places)


NOTHING = Done(Lost(0, 0), ())


@dataclass(frozen=True, eq=False)
class Part:
    """Some windows of a scene to fuse, of so many ``pixels`` in all; ``kept``: the part of the
    scene of which lost values count. ``uncertain``: what is put out after the stored outputs, all
    of them in a type of floats then that holds the stored numbers."""

    scene: Scene
    fusion: Fusion
    encoding: Encoding
    effort: Effort
    windows: Sequence[Window]
    pixels: int
    kept: Window | None = None
    precision: str = "auto"
    uncertain: Uncertain | None = None

    @property
    def support(self) -> list[int]:
        """Positions of the bands that are read."""
        known = self.uncertain
        return self.fusion.support if known is None else known.support(self.fusion)

    def parts(self) -> list[Part]:
        """A few windows each, for others to do."""
        starts = range(0, len(self.windows), PARTS)
        return [
            replace(self, windows=self.windows[i : i + PARTS], effort=self.effort.alone)
            for i in starts
        ]

    def fuse(self, sink: Sink, progress: Progress) -> Done:
        """Hand the fused windows to the sink."""
        threads = self.effort.threads
        where = place_of_products(self.fusion, self.pixels, self.effort)
        lost: list[Lost] = []  # appended to by the reader threads
        count = len(self.fusion.outputs)

        def encode(cell: Window, all_bands: Floats) -> np.ndarray:
            y = all_bands[:count]
            shared = cell if self.kept is None else overlap(cell, self.kept)
            if shared is not None:
                some = y if shared == cell else _cut(y, cell, shared)
                lost.append(self.encoding.lost(some))
            stored = self.encoding(y)
            if self.uncertain is None:
                return stored
            joint = np.result_type(stored.dtype, np.float32)
            return np.concatenate([stored, all_bands[count:]], dtype=joint)

        fused = kernel_at(where, self.fusion, self.precision)
        kernel: Kernel = fused
        if self.uncertain is not None:
            kernel = UncertainKernel(self.fusion, self.uncertain, fused)
        with (
            opened_selection(self.scene.hidden) as hidden,
            self.scene.reader(self.support) as reader,
        ):
            map_windows(
                reader if hidden is None else Hidden(reader, hidden),
                kernel,
                encode,
                sink,
                self.windows,
                threads=threads,
                progress=progress,
            )
        return Done(sum(lost, Lost(0, 0)), (where,))


def _cut(y: Floats, cell: Window, part: Window) -> Floats:
    """(K, n) of a part of a cell, of the (K, n) of the cell."""
    values: Floats = y.reshape(len(y), cell.rows, cell.cols)[:, *part.within(cell)]
    return values.reshape(len(y), -1)


def fused_windows(part: Part) -> tuple[list[tuple[Window, np.ndarray]], Done]:
    """Fused windows in memory, (K, rows, cols) each: a part that others do."""
    found: list[tuple[Window, np.ndarray]] = []
    done = part.fuse(lambda window, values: found.append((window, values)), silent)
    return found, done


def fuse_to(output: Output, how: Writing) -> tuple[int, Done]:
    """Stream one scene, or a part of it, through a fusion into a file that appears whole; how many
    values are valid. The raster of its uncertainty appears with it."""
    whole, second = _whole_of(output, how), output.second
    files, how = _beside(output, how), _compressing(whole, output, how)
    places = [(output.path, output.seen)]
    places += [] if second is None else [(second.path, second.seen)]
    with whole_together(places, how.inputs, how.ready) as (scratch, *other):
        first = _Kept(output.fusion.outputs, how.encoding)
        with ExitStack() as stack:
            first.keep = stack.enter_context(_keeper(scratch, output, output.driver, first, how))
            kept = [first]
            for path in other:
                assert second is not None
                more = _Kept(second.what.bands(output.fusion.outputs), Encoding())
                more.keep = stack.enter_context(_keeper(path, output, second.driver, more, how))
                kept.append(more)
            sink = _apart(kept) if second is not None else first
            done = _fused(
                whole, sink if output.part is None else cutting(sink, output.part), how.progress
            )
        if how.style:
            files |= _style(scratch, output, how.progress)
        for name, content in files.items():
            scratch.with_name(name).write_bytes(content)
    return first.valid, done


def _whole_of(output: Output, how: Writing) -> Part:
    """All windows of a scene, or those of its part, as one part to fuse."""
    scene, count = output.scene.fused, len(output.fusion.outputs)
    second = output.second
    with scene.reader(output.support) as reader, opened_selection(scene.hidden) as hidden:
        weight = bytes_at_once(reader, scene.shape[1]) + 4 * count
        weight += 0 if hidden is None else hidden.bytes_per_pixel
        weight += 0 if second is None else 8 * (2 * count + 1)
    windows = how.effort.windows(scene.shape, scene.grid.stored, weight)
    return Part(
        scene=scene,
        fusion=output.fusion,
        encoding=how.encoding,
        effort=how.effort,
        windows=windows if output.part is None else windows_of(windows, output.part),
        pixels=output.pixels,
        kept=output.part,
        precision=how.precision,
        uncertain=None if second is None else second.what,
    )


class _Kept:
    """Takes the windows of one raster, and counts valid values."""

    def __init__(self, bands: Bands, encoding: Encoding) -> None:
        self.bands, self.encoding, self.valid = bands, encoding, 0
        self.keep: Callable[[Window, np.ndarray], None] | None = None

    def __call__(self, window: Window, values: np.ndarray) -> None:
        """Keep (K, rows, cols) stored values."""
        assert self.keep is not None
        self.valid += values.size - int(self.encoding.missing(values).sum())
        self.keep(window, values)


def _apart(kept: Sequence[_Kept]) -> Sink:
    """Hands the bands of windows to the rasters that they are of, in their stored types."""
    starts = np.cumsum([0, *(len(one.bands) for one in kept)]).tolist()

    def sink(window: Window, values: np.ndarray) -> None:
        for one, (start, end) in zip(kept, pairwise(starts), strict=True):
            one(window, values[start:end].astype(one.encoding.dtype, copy=False))

    return sink


def _compressing(whole: Part, output: Output, how: Writing) -> Writing:
    """Without compression where that is not worth its time and nothing is asked for."""
    size = output.pixels * len(output.fusion.outputs) * np.dtype(how.encoding.dtype).itemsize
    if output.grid.glt is not None or not may_leave_out(output.driver, how.options, size):
        return how
    part = output.part or Window(0, 0, *output.scene.shape)
    alone = Effort(1, how.effort.memory)
    here = replace(whole, windows=looked_at(part), effort=alone, uncertain=None)
    if worth_it([values for _, values in fused_windows(here)[0]]):
        return how
    return replace(how, options={**how.options, "COMPRESS": "NONE"})


def _beside(output: Output, how: Writing) -> dict[str, bytes]:
    """Files beside a raster that are known before it is written.

    Raises
    ------
    OutputError : the raster cannot have a style beside it.
    """
    files = dict(output.beside)
    if how.style:
        style_name(output.path)
    if how.stac:
        like = output.scene.grid if output.part is None else output.grid
        bands = output.fusion.outputs
        files |= stac.beside(output.path, like, bands, how.encoding, output.driver)
    return files


def _style(scratch: Path, output: Output, progress: Progress) -> dict[str, bytes]:
    """The style of a raster that is written, by some of its pixels."""
    with during(progress, "style it for QGIS"):
        return qml.beside(
            output.path,
            output.fusion.outputs,
            lambda positions: quicklook(describe(scratch), positions),
        )


def _fused(whole: Part, write: Sink, progress: Progress) -> Done:
    """Fuse all windows, here or in parts elsewhere."""
    spread, done = whole.effort.spread, NOTHING
    if spread is None:
        return whole.fuse(write, progress)
    tasks = [(part,) for part in whole.parts()]
    for windows, some in progress(spread(fused_windows, tasks), len(tasks), "fuse elsewhere"):
        done += some
        for window, values in windows:
            write(window, values)
    return done


def _keeper(
    scratch: Path, output: Output, driver: str, kept: _Kept, how: Writing
) -> AbstractContextManager[Callable[[Window, np.ndarray], None]]:
    """What takes fused windows: the writer of the output, or for an image in sensor geometry a
    writer that puts them on the grid of the map. Creation options are those of the fused raster;
    another raster of another type has none."""
    bands, encoding, grid = kept.bands, kept.encoding, output.grid
    options = how.options if encoding.dtype == how.encoding.dtype else {}

    def writer(grid: Raster) -> Writer:
        return Writer(
            scratch,
            grid,
            bands,
            encoding,
            driver=driver,
            options=options,
            threads=how.effort.threads,
        )

    if grid.glt is None:
        return writer(grid)
    sensed = SensedImage(
        scratch.with_name(f"{scratch.name}.sensed"), (*grid.shape, len(bands)), encoding
    )
    return orthorectified(grid.glt, sensed, writer, how.effort, how.progress)
