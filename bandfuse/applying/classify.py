"""Classify: the classes of fused pixels beside those of labels, in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from bandfuse.applying.fused import Fused, kernel_of
from bandfuse.errors import InputError, MismatchError, shorten
from bandfuse.model.discriminants import Discriminants
from bandfuse.model.fusion import Fusion
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.reduce import reduce_windows
from bandfuse.moments.tally import MOST_STRATA, Question, Tally, Where
from bandfuse.progress import Progress
from bandfuse.raster import labelled, opened_selection, renumbered
from bandfuse.results.rasters import ClassesResult, ClassScore
from bandfuse.scenes.scene import Scene
from bandfuse.solve.classes import Classifier
from bandfuse.solve.confusion import Confusion
from bandfuse.streaming.blocks import BlockGrid, blocks, pieces
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Source, each_window
from bandfuse.streaming.windows import Window, cells
from bandfuse.trust.folds import runs

WITH_CLASSES = "Give weights of a training with --labels, which hold a classifier."

PER_SIDE = 5
"""A scene is cut into at most 5 × 5 blocks."""

By = Callable[[int], Discriminants]
"""Gives the classifier of a block, by its number."""


@dataclass(frozen=True, eq=False)
class Classified:
    """``pairs``: pixels by true class and the class that was found. ``invalid``: pixels by
    reason."""

    pairs: Counter[tuple[int, int]]
    invalid: Counter[str]


@contextmanager
def _opened(
    scene: Scene, fusion: Fusion, effort: Effort
) -> Iterator[tuple[Source, Where | None, int]]:
    """The outputs of a scene with the classes of its labels; which pixels count; bytes a pixel."""
    assert scene.labels is not None
    grid = None if scene.common is None else scene.common.grid
    with (
        opened_selection(scene.where) as where,
        scene.reader(fusion.support) as reader,
        labelled(reader, scene.labels, grid) as source,
    ):
        weight = reader.bytes_per_pixel + (0 if where is None else where.bytes_per_pixel)
        yield Fused(source, fusion, kernel_of(scene, fusion, effort), [0]), where, weight


def classify(
    scene: Scene, fusion: Fusion, by: By, effort: Effort, progress: Progress
) -> Classified:
    """Count how often each class is taken for each other.

    Raises
    ------
    InputError : labels with too many classes.
    """
    grid, whole = blocks(scene.shape, PER_SIDE), Classified(Counter(), Counter())
    with _opened(scene, fusion, effort) as (source, where, weight):

        def work(window: Window) -> Classified:
            return _counted(source, where, window, grid, by)

        windows = effort.windows(scene.shape, scene.grid.stored, weight)
        for _, found in each_window(
            windows, work, threads=effort.threads, progress=progress, label="classify"
        ):
            whole.pairs.update(found.pairs)
            whole.invalid.update(found.invalid)
            _require_classes({true for true, _ in whole.pairs})
    return whole


def _require_classes(numbers: Collection[int]) -> None:
    if len(numbers) > MOST_STRATA:
        raise InputError(
            "labels hold too many classes",
            got=f"{len(numbers)} in one part of the scene",
            expected=f"{MOST_STRATA} or fewer",
            remedy="Leave a fill value out with --unlabelled.",
        )


def _counted(
    source: Source, where: Where | None, window: Window, grid: BlockGrid, by: By
) -> Classified:
    """Classify the pixels of a window."""
    out = {} if where is None else where.excluded(window)
    inside = np.ones((window.rows, window.cols), dtype=bool)
    for excluded in out.values():
        inside &= ~excluded
    invalid = Counter({reason: int(excluded.sum()) for reason, excluded in out.items()})
    pairs: Counter[tuple[int, int]] = Counter()
    if not inside.any():
        return Classified(pairs, invalid)
    patch = source.read(window)
    for piece in pieces(window, grid):
        for cell in cells(piece.window):
            here = cell.within(window)
            counted = inside[here].ravel()
            z = patch.cell(*here).values()
            seen = counted & np.isfinite(z[:-1]).all(axis=0)
            whole = seen & np.isfinite(z[-1])
            invalid["band missing"] += int((counted & ~seen).sum())
            invalid["not labelled"] += int((seen & ~whole).sum())
            both = np.stack([z[-1, whole].astype(np.int64), by(piece.block)(z[:-1, whole])])
            kinds, counts = np.unique(both, axis=1, return_counts=True)
            _require_classes(kinds[0].tolist())
            for true, found, n in zip(*kinds.tolist(), counts.tolist(), strict=True):
                pairs[true, found] += n
    return Classified(pairs, invalid)


def classes_in(scene: Scene, fusion: Fusion, effort: Effort, progress: Progress) -> Tally:
    """The moments of the outputs, by block and class."""
    k = len(fusion.outputs)
    with _opened(scene, fusion, effort) as (source, where, weight):
        windows = effort.windows(scene.shape, scene.grid.stored, weight)
        question = Question(
            k, 1, tuple(range(k)), blocks(scene.shape, PER_SIDE), where=where, classes=True
        )
        return reduce_windows(
            source, question, windows, threads=effort.threads, progress=progress, label="fit"
        )


def by_other_blocks(tally: Tally, run_of: Mapping[int, int], names: Mapping[int, str]) -> By:
    """The classifier of each block, fitted on the blocks of the other runs.

    Parameters
    ----------
    run_of : the number of each block's run. names : of the classes, by number.

    Raises
    ------
    InputError : the labels hold a single class.
    """
    every = [classes_of(tally, [b for b, r in run_of.items() if r != run]) for run in _runs(run_of)]
    if any(len(some) < 2 for some in every):
        raise InputError(
            "the labels do not suffice for a classifier",
            got="a single class outside of some blocks",
            expected="two classes or more in most parts of the image",
            remedy=WITH_CLASSES,
        )
    made = [discriminants_of(some, names) for some in every]
    return lambda block: made[run_of.get(block, 0)]


def _runs(run_of: Mapping[int, int]) -> range:
    return range(max(run_of.values(), default=-1) + 1)


def classes_of(tally: Tally, some: Sequence[int]) -> dict[int, Moments]:
    """The moments of each class in some blocks."""
    wanted = set(some)
    found: dict[int, list[Moments]] = {}
    for (block, number), moments in sorted(tally.strata.items()):
        if block in wanted:
            found.setdefault(number, []).append(moments)
    return {number: total(parts, tally.size) for number, parts in sorted(found.items())}


def discriminants_of(classes: Mapping[int, Moments], names: Mapping[int, str]) -> Discriminants:
    """The classifier of outputs, from their moments in each class."""
    made = Classifier.of(classes, np.eye(next(iter(classes.values())).size))
    named = tuple(names.get(int(n), str(n)) for n in made.numbers)
    return Discriminants(made.numbers, named, made.slope, made.level)


OWN = (
    "the weights hold no classifier: the labels of this image were cut into blocks, and the pixels "
    "of each block classified by linear discriminants of the others"
)


@dataclass(frozen=True, eq=False)
class ClassScores:
    """What labels tell of fused pixels: the result, its confusion, pixels by reason that did not
    count, and what a user should know."""

    result: ClassesResult
    confusion: Confusion
    invalid: Mapping[str, int]
    messages: Sequence[str]


def score_classes(
    known: Discriminants | None, fusion: Fusion, scene: Scene, effort: Effort, progress: Progress
) -> ClassScores:
    """Find the classes of fused pixels, and compare them with those of the labels.

    Parameters
    ----------
    known : the classifier of the training; None where the weights hold none.

    Raises
    ------
    InputError, MismatchError : labels that do not suffice, or name other classes.
    """
    if known is None:
        by, messages = _by_blocks(scene, fusion, effort, progress)
        found = _found(scene, fusion, by, effort, progress)
        return _scored(found, set(), names_of(scene), "blocks", messages)
    scene = _numbered_as(known, scene)
    there = dict(zip(known.numbers.tolist(), known.names, strict=True))
    found = _found(scene, fusion, lambda block: known, effort, progress)
    names = there | names_of(scene)
    messages = _unknown({true for true, _ in found.pairs}, names, known)
    return _scored(found, set(there), names, "training", messages)


def _found(scene: Scene, fusion: Fusion, by: By, effort: Effort, progress: Progress) -> Classified:
    found = classify(scene, fusion, by, effort, progress)
    if not found.pairs:
        raise InputError(
            f"scene {scene.key!r} has no labelled pixel to score",
            expected="pixels that are valid and labelled",
        )
    return found


def names_of(scene: Scene) -> dict[int, str]:
    """The names of a scene's classes, by number."""
    return {} if scene.labels is None else dict(scene.labels.names)


def _by_blocks(
    scene: Scene, fusion: Fusion, effort: Effort, progress: Progress
) -> tuple[By, list[str]]:
    """Classifiers of the image's own labels."""
    tally, names = classes_in(scene, fusion, effort, progress), names_of(scene)
    counts = {block: moments.count for block, moments in sorted(tally.blocks.items())}
    run_of = dict(zip(counts, runs(list(counts.values())), strict=False))
    if not run_of:
        raise InputError(
            f"scene {scene.key!r} has too few labelled pixels for a classifier",
            got=f"{len(counts)} of its blocks with labels",
            expected="two or more",
            remedy=WITH_CLASSES,
        )
    homes: dict[int, set[int]] = {}
    for block, number in tally.strata:
        homes.setdefault(number, set()).add(run_of[block])
    lone = [names.get(n, str(n)) for n, home in sorted(homes.items()) if len(home) == 1]
    said = f"classes that lie in one part of the image, and are unknown there: {shorten(lone)}"
    return by_other_blocks(tally, run_of, names), [OWN, *([said] if lone else [])]


def _numbered_as(known: Discriminants, scene: Scene) -> Scene:
    """The scene, its labels with the numbers that the training had for their names.

    Raises
    ------
    MismatchError : the one has names, the other numbers.
    """
    labels = scene.labels
    assert labels is not None
    if labels.numbered != known.numbered:
        raise _others(sorted(name for _, name in labels.names) or ["numbers"], known)
    if not labels.numbered:
        return scene
    numbers = dict(zip(known.names, known.numbers.tolist(), strict=True))
    new = [name for _, name in labels.names if name not in numbers]
    numbers |= {name: i for i, name in enumerate(new, int(known.numbers.max()) + 1)}
    return replace(scene, labels=renumbered(labels, numbers))


def _unknown(true: Set[int], names: Mapping[int, str], known: Discriminants) -> list[str]:
    """Say which classes the training did not have.

    Raises
    ------
    MismatchError : it had none of them.
    """
    unknown = true - set(known.numbers.tolist())
    said = [names.get(n, str(n)) for n in sorted(unknown)]
    if len(unknown) == len(true):
        raise _others(said, known)
    text = f"classes that the training did not have, and that are never found: {shorten(said)}"
    return [text] if said else []


def _others(names: Sequence[str], known: Discriminants) -> MismatchError:
    return MismatchError(
        "the labels name other classes than those of the training",
        got=shorten(names),
        expected=shorten(known.names),
        remedy="Choose the field with the same classes: --label-field.",
    )


def _scored(
    found: Classified,
    known: Set[int],
    names: Mapping[int, str],
    classifier: str,
    messages: Sequence[str],
) -> ClassScores:
    """Scores of all classes and of each: of those found, those labelled, and those known."""
    numbers = sorted({number for pair in found.pairs for number in pair} | known)
    place = {number: i for i, number in enumerate(numbers)}
    counts = np.zeros((len(numbers), len(numbers)), dtype=np.int64)
    for (true, taken), n in found.pairs.items():
        counts[place[true], place[taken]] += n
    confusion = Confusion(counts)
    rows = [
        ClassScore(
            value=number,
            name=names.get(number, str(number)),
            pixels=int(confusion.true[i]),
            found=int(confusion.found[i]),
            precision=_known(confusion.precision[i]),
            recall=_known(confusion.recall[i]),
            f1=_known(confusion.f1[i]),
        )
        for i, number in enumerate(numbers)
    ]
    result = ClassesResult(classifier=classifier, classes=rows, confusion=counts.tolist())
    return ClassScores(result, confusion, found.invalid, messages)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
