"""Trained: what a training leaves, before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config import TrainConfig
from bandfuse.errors import shorten
from bandfuse.model.model import Model
from bandfuse.scenes.alignment import alignment_messages
from bandfuse.scenes.scene import Scene, left_out_messages, target_bands
from bandfuse.spectral import groups as make
from bandfuse.survey.survey import Survey
from bandfuse.training.messages import limit_messages, stop_messages
from bandfuse.trust.assess import Assessment, Plan

if TYPE_CHECKING:
    from bandfuse.solve.fit_result import Fit


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training before it is written."""

    config: TrainConfig
    scenes: list[Scene]
    survey: Survey
    model: Model
    fits: list[Fit]
    seconds_read: float
    seconds_fit: float
    device: str
    plan: Plan | None
    trust: Assessment
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def messages(self) -> list[str]:
        """What a user should know, from the files and from the pass."""
        from_files = [f"{Path(r.path).name}: {m}" for s in self.scenes for r in s.files for m in r.messages]
        names = self.survey.design.names
        stops = [
            *stop_messages(self.fits, names),
            *limit_messages(self.config.optimizer, self.config.steps, self.fits, names),
        ]
        design = self.survey.design
        fusion = self.model.common
        empty = [n for n, w in zip(design.names, fusion.matrix, strict=True) if not w.any()]
        if empty:
            stops.append(
                f"all weights of {shorten(empty)} are zero: the penalties are too strong, or nothing is explained"
            )
        unread = [text for scene in self.scenes for text in left_out_messages(scene)]
        lacking, aligned = make.lacking(self.config.groups, self.survey.bands), alignment_messages(self.scenes)
        aligned += _swapped(self.scenes)
        broken = [f"scene {key!r} is left out: {reason}" for key, reason in self.left_out.items()]
        return list(
            dict.fromkeys(
                [*broken, *from_files, *unread, *aligned, *self.survey.messages, *filter(None, [lacking]), *stops]
            )
        )


def _swapped(scenes: Sequence[Scene]) -> list[str]:
    """A target with more bands than its scene may be the scene."""
    first = scenes[0]
    count = 0 if first.target is None else len(target_bands(first.target))
    if first.target is None or count <= len(first.bands):
        return []
    return [
        f"the target {Path(first.target.path).name} has {count} bands, the scene {Path(first.grid.path).name} has "
        f"{len(first.bands)}: {count} outputs were learned from {len(first.bands)} bands. If that is the wrong way "
        "round, give the scene first: bandfuse train SCENE --target TARGET"
    ]
