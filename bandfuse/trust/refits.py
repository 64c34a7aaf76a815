"""Refits: scores of a model on what a survey gathered, and of models that are learned again without
each fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.moments.slopes import WithoutSlopes
from bandfuse.progress import Progress
from bandfuse.solve.scores import Pairs
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.trust.folds import runs
from bandfuse.trust.moved_outputs import SlopedPixels

Names = Sequence[Sequence[str]]
"""What each scene may be called, in the order of the survey."""

Refit = Callable[[Survey], Model]
"""Learns a model from a part of the pixels."""


def fusion_of(model: Model, names: Sequence[str], used: Sequence[int]) -> Fusion:
    """A scene's fusion over the used bands only."""
    full, here = model.fusion(names), list(used)
    return Fusion(
        full.weight[:, here],
        full.gain,
        full.offset,
        full.inputs.take(used),
        full.outputs,
        full.activation,
    )


def peak_of(found: Survey) -> Floats:
    """(K,) maxima of the targets."""
    design = found.design
    result: Floats = found.high[[len(design.used) + t for t in design.targets]]
    return result


def pairs_of(
    found: Survey, names: Names, model: Model, without: WithoutSlopes | None = None
) -> Pairs:
    """Outputs beside targets over all scenes, each with its own fusion; with an activation, over
    the sample alone. ``without``: what takes slopes out, if there are some, as it was learned from
    other pixels; else from these."""
    n, order = len(found.design.used), found.order
    parts = []
    for here, moments, tally in zip(names, found.scenes, found.tallies, strict=True):
        if not moments.count:
            continue
        scored = tally.pixels.scored.values
        fusion, sample = fusion_of(model, here, found.design.used), scored[:, order]
        if found.slopes:
            out = without or found.without_slopes
            moved = SlopedPixels(moments.take(found.sloped), scored[:, found.sloped], out)
            parts.append(moved.pairs(fusion.matrix, fusion.offset))
        elif fusion.activation == "identity":
            parts.append(Pairs.linear(moments.take(order), sample, fusion.matrix, fusion.offset))
        else:
            parts.append(Pairs.of(np.hstack([fusion(sample[:, :n]), sample[:, n:]])))
    return Pairs.joined(parts)


def folded(found: Survey, count: int, *, per_scene: bool) -> list[list[tuple[int, int]]]:
    """Runs of (scene, block), each to be held out once: over all scenes, or cut within every scene
    so that each scene has a part in every training. Empty where there are too few blocks."""
    groups: dict[int, list[tuple[int, int, int]]] = {}
    for block in found.parts():
        groups.setdefault(block.scene if per_scene else 0, []).append(
            (block.scene, block.number, block.moments.count)
        )
    cuts = [runs([size for _, _, size in group], count) for group in groups.values()]
    count = min((max(cut, default=-1) + 1 for cut in cuts), default=0)
    held: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for group in groups.values() if count else ():
        for (scene, number, _), run in zip(
            group, runs([size for _, _, size in group], count), strict=True
        ):
            held[run].append((scene, number))
    return held


def held_out_pairs(
    found: Survey, names: Names, refit: Refit, *, count: int, per_scene: bool, progress: Progress
) -> Pairs | None:
    """Outputs beside targets on blocks that are held out in turn, the model learned anew from the
    rest each time; None without folds."""
    held = folded(found, count, per_scene=per_scene)
    every = [(block.scene, block.number) for block in found.parts()]
    parts = []
    for run in progress(held, total=len(held), label="refit without each fold"):
        rest = found.within([place for place in every if place not in run])
        without = rest.without_slopes if found.slopes else None
        parts.append(pairs_of(found.within(run), names, refit(rest), without))
    return Pairs.joined(parts) if parts else None
