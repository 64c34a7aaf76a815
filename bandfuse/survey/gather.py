"""Gather: the pass over the training pixels, which gathers the moments that every fit needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from bandfuse.device import Place, Work, on_cpu, place, plain_errors
from bandfuse.errors import BandfuseError, is_transient
from bandfuse.moments.gram import Gram
from bandfuse.moments.reduce import reduce_windows
from bandfuse.moments.slopes import ON_CPU, SlopedSource, grouped
from bandfuse.moments.tally import Question, Tally, Where
from bandfuse.progress import Progress, silent
from bandfuse.raster import opened_selection
from bandfuse.scenes.attempts import each
from bandfuse.scenes.scene import Scene
from bandfuse.solve.design import Design
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.windows import CELL_PIXELS, Tiles, Window, drawn, pixels_of, plan_parts
from bandfuse.survey.missing import require_bands_of
from bandfuse.survey.pool import Pool
from bandfuse.survey.scout import Inquiry
from bandfuse.survey.survey import block_grid, fine_grid

NOT_DRAWN = "not read (--max-pixels)"
"""Why pixels are not used of which only some are wanted."""


def pool_of(inquiry: Inquiry, scenes: Sequence[Scene]) -> Pool:
    """What keeps all that scenes leave within bounds."""
    return Pool(len(scenes), own_blocks=inquiry.per_scene, own_samples=inquiry.own_samples)


@dataclass(frozen=True, eq=False)
class Task:
    """What a pass does: a scene and its number, the bands that are wanted and those that are used,
    what is asked, and the blocks of the scene that are kept: all, or those between two row
    edges."""

    scene: Scene
    number: int
    wanted: Sequence[int]
    design: Design
    inquiry: Inquiry
    grid: BlockGrid
    rows: tuple[int, int] | None = None

    @property
    def groups(self) -> list[list[int]]:
        """The bands whose means have slopes, among those that are wanted; none without slopes."""
        if not self.scene.registered:
            return []
        place = {p: i for i, p in enumerate(self.wanted)}
        order = self.scene.bands.by_wavelength(self.design.used)
        return grouped([place[p] for p in order])

    def parts(self) -> list[Task]:
        """One for each row of blocks."""
        return [replace(self, rows=rows) for rows in pairwise(self.grid.row_edges)]


def tallies_of(
    scenes: Sequence[Scene],
    wanted: Sequence[int],
    design: Design,
    effort: Effort,
    progress: Progress,
    settled: Sequence[Inquiry],
) -> tuple[list[Tally], Pool]:
    """The tallies of all scenes, each of which must hold data, and what keeps them within bounds.
    ``settled``: what is asked of each."""
    tasks = [
        Task(s, i, wanted, design, how.of_scene(s, scenes), block_grid(s, len(scenes)))
        for i, (s, how) in enumerate(zip(scenes, settled, strict=True))
    ]
    pool = pool_of(settled[0], scenes)

    def gather(job: tuple[Task, list[Tally | BandfuseError]]) -> Tally:
        task, parts = job
        tally = _joined(parts, task.inquiry.sample)
        if tally is None:
            tally = _pass(task, effort, progress)
        require_bands_of(task.scene, tally, wanted)
        pool.add(tally)
        return tally

    jobs = _with_parts(tasks, effort, progress)
    found = each([s.key for s in scenes], jobs, gather, skip=settled[0].skip)
    pool.settle()
    return found, pool


def _with_parts(
    tasks: Sequence[Task], effort: Effort, progress: Progress
) -> Iterator[tuple[Task, list[Tally | BandfuseError]]]:
    """Each scene with the parts of it that others did, each a row of blocks; none where there are
    no others."""
    if effort.spread is None:
        yield from ((task, []) for task in tasks)
        return
    parts = [part for task in tasks for part in task.parts()]
    work = _pass_or_error if tasks[0].inquiry.skip else _pass
    results: Iterator[Tally | BandfuseError] = effort.spread(
        work, [(part, effort.alone) for part in parts]
    )
    shown = iter(progress(results, total=len(parts), label="read elsewhere"))
    for task in tasks:
        yield task, list(islice(shown, len(task.parts())))
    next(shown, None)  # The progress sees the end.


def _pass_or_error(task: Task, effort: Effort) -> Tally | BandfuseError:
    """A part, or why there is none: the other parts go on."""
    try:
        return _pass(task, effort)
    except BandfuseError as error:
        return error


def _joined(parts: Sequence[Tally | BandfuseError], sample: int) -> Tally | None:
    """The parts of a scene together; None where there are none, or one is worth another try.

    Raises
    ------
    BandfuseError : of the first part that failed.
    """
    error = next((part for part in parts if isinstance(part, BandfuseError)), None)
    if error is not None and not is_transient(error):
        raise error
    whole = [part for part in parts if isinstance(part, Tally)]
    return Tally.joined(whole, sample) if whole and error is None else None


def _pass(task: Task, effort: Effort, progress: Progress = silent) -> Tally:
    """Gather one scene, or a part of it."""
    scene, groups = task.scene, task.groups
    with opened_selection(scene.where) as where, scene.source(task.wanted, answers=True) as plain:
        source = SlopedSource(plain, scene.shape, groups) if groups else plain
        weight = source.bytes_per_pixel + (0 if where is None else where.bytes_per_pixel)
        windows, pixels = _windows(task, effort, weight)
        slopes = source.count if isinstance(source, SlopedSource) else 0
        here = on_cpu(ON_CPU) if slopes else _place(task, effort, weight)
        with plain_errors(here):
            tally = reduce_windows(
                source,
                _question(task, where, here, slopes),
                windows,
                threads=effort.threads,
                progress=progress,
                label=f"read {scene.key}",
            )
        tally.invalid[NOT_DRAWN] = pixels - pixels_of(windows)
        tally.places = (on_cpu(tally.because) if tally.because else here,)
        return tally.coarser(fine_grid(scene), task.grid)


def _place(task: Task, effort: Effort, weight: int) -> Place:
    """Where the products of a scene are computed, by the pixels of all scenes: ``2 n D²``
    operations on n pixels of D variables, of so many bytes each."""
    rows, cols = task.scene.shape
    pixels = min(rows * cols, task.inquiry.most or rows * cols) / task.inquiry.share
    size = len(task.design.used) + task.scene.answers
    cells = pixels / CELL_PIXELS
    work = Work(2.0 * pixels * size**2, pixels * weight, cells, effort.threads)
    return place(effort.device, work)


def _question(task: Task, where: Where | None, here: Place, slopes: int) -> Question:
    """What is asked of the pixels of a scene; ``slopes``: how many come after its answers."""
    inquiry, design = task.inquiry, task.design
    place = {p: i for i, p in enumerate(task.wanted)}
    parts = design.parts() if inquiry.squares_only else []
    first = len(design.used) + task.scene.answers
    beside = range(first, first + slopes)
    apart = tuple((*part, *beside) for part in parts) if len(parts) > 1 else ()
    return Question(
        n_bands=len(task.wanted),
        n_targets=task.scene.answers + slopes,
        slopes=slopes,
        used=tuple(place[p] for p in design.used),
        grid=fine_grid(task.scene),
        scene=task.number,
        seed=inquiry.seed,
        sample=inquiry.sample,
        where=where,
        classes=task.scene.labels is not None,
        noise=inquiry.noise,
        random_parts=inquiry.random_parts,
        gram=Gram(inquiry.precision, apart, here.torch),
    )


def _windows(task: Task, effort: Effort, weight: int) -> tuple[Sequence[Window], int]:
    """What is read, of so many bytes a pixel, and how many pixels there are."""
    shape, stored, most = task.scene.shape, task.scene.grid.stored, task.inquiry.most
    windows: Sequence[Window] = effort.windows(shape, stored, weight)
    if most is not None and most < shape[0] * shape[1]:
        parts = drawn(shape, stored, most, task.inquiry.seed)
        windows = plan_parts(parts, stored, weight, effort.window_bytes)
    if task.rows is None:
        return windows, shape[0] * shape[1]
    return _between(windows, task.rows), (task.rows[1] - task.rows[0]) * shape[1]


def _between(windows: Sequence[Window], rows: tuple[int, int]) -> Sequence[Window]:
    """What of the windows lies between two rows."""
    if isinstance(windows, Tiles):
        return windows.between(*rows)
    cut = ((w, max(w.row, rows[0]), min(w.row + w.rows, rows[1])) for w in windows)
    return [Window(top, w.col, bottom - top, w.cols) for w, top, bottom in cut if top < bottom]
