"""Trained: what a training leaves, before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config.train import TrainConfig
from bandfuse.device import Place
from bandfuse.errors import shorten
from bandfuse.model.model import Model
from bandfuse.scenes.alignment import alignment_messages
from bandfuse.scenes.scene import Scene, left_out_messages, target_bands
from bandfuse.spectral.groups import lacking
from bandfuse.streaming.budget import Effort
from bandfuse.survey.survey import Survey
from bandfuse.training.messages import limit_messages, stop_messages, zero_messages
from bandfuse.trust.assess import Assessment, RegularisationPlan
from bandfuse.trust.output_errors import ErrorSummary

if TYPE_CHECKING:
    from bandfuse.solve.fit_result import Fit


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training before it is written.

    ``fits``: one, or one of each scene with weights of its own. ``plan``: how a regression is
    regularised, None where nothing was chosen. ``remarks``: what a user should know of the pixels
    and of the fit. ``places``: where each part ran. ``left_out``: why, by key of a scene.
    ``again``: what makes the training again, where that is no command. ``without_pixels``: it was
    learned from moments that were gathered before, and no pixel can be read. ``errors``: of each
    output, where they are known.
    """

    config: TrainConfig
    scenes: list[Scene]
    survey: Survey
    model: Model
    fits: list[Fit]
    seconds_read: float
    seconds_fit: float
    places: dict[str, tuple[Place, ...]]
    plan: RegularisationPlan | None
    trust: Assessment
    effort: Effort
    remarks: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    again: str = ""
    without_pixels: bool = False
    errors: tuple[ErrorSummary, ...] = ()

    @property
    def scene_names(self) -> list[list[str]]:
        """What each scene may be called."""
        return [scene.names for scene in self.scenes]

    @property
    def messages(self) -> list[str]:
        """What a user should know, each once: of the scenes, of the pass over them, of the fit."""
        without_bands = lacking(self.config.groups, self.survey.bands)
        texts = [*self._of_scenes(), *self.remarks, without_bands, *self._of_fit()]
        return list(dict.fromkeys(filter(None, texts)))

    def _of_scenes(self) -> list[str]:
        broken = [f"scene {key!r} is left out: {why}" for key, why in self.left_out.items()]
        files = [file for scene in self.scenes for file in scene.files]
        of_files = [f"{Path(file.path).name}: {text}" for file in files for text in file.messages]
        unread = [text for scene in self.scenes for text in left_out_messages(scene)]
        layers = [text for scene in self.scenes for text in scene.remarks]
        aligned = alignment_messages(self.scenes)
        alone = self.config.registration == "auto" and self.config.shift is None
        apart = unregistered(self.scenes) if alone else []
        return [*broken, *of_files, *unread, *layers, *aligned, *apart, *doubts(self.scenes[0])]

    def _of_fit(self) -> list[str]:
        names = self.survey.design.names
        optimizer, steps = self.config.optimizer, self.config.steps
        limits = limit_messages(optimizer, steps, self.fits, names)
        return [
            *stop_messages(self.fits, names),
            *limits,
            *zero_messages(names, self.model.common.matrix),
        ]


def unregistered(scenes: Sequence[Scene]) -> list[str]:
    """Say that the targets of several scenes are not registered, where some lie off their
    scenes."""
    seen = [(scene.key, scene.shift) for scene in scenes]
    off = [key for key, shift in seen if shift is not None and shift.certain and not shift.small]
    if len(scenes) < 2 or not off:
        return []
    return [
        f"the targets of {shorten(off)} lie off their scenes: weights that are learned from them "
        "are not true. --register takes up such shifts in a training of one scene only; of several "
        "scenes, --shift auto moves the targets, which blurs them"
    ]


def doubts(scene: Scene) -> list[str]:
    """Say that a target with more bands than its scene may be the scene."""
    target = scene.target
    if target is None or (count := len(target_bands(target))) <= (bands := len(scene.bands)):
        return []
    goal, first = Path(target.path).name, Path(scene.rasters[0].path).name
    return [
        f"the target {goal} has {count} bands, the scene {first} has {bands}: {count} outputs are "
        f"learned from {bands}. If that is the wrong way round: bandfuse train {goal} --target "
        f"{first}"
    ]
