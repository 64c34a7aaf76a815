"""Reading: the one pass of a training over its pixels, and what a user should know of them."""

from __future__ import annotations

from collections.abc import Sequence

from bandfuse.config.train import TrainConfig
from bandfuse.goals import Goal
from bandfuse.progress import Progress
from bandfuse.scenes.scene import Scene
from bandfuse.streaming.budget import Effort
from bandfuse.survey.gather import survey
from bandfuse.survey.missing import require_classes, require_noise
from bandfuse.survey.survey import Survey
from bandfuse.training.arrange import require_discriminants, require_room, unique_target_names
from bandfuse.training.sampling import Sampling
from bandfuse.training.settings import grouping_of, inquiry_of


def surveyed(
    config: TrainConfig, scenes: Sequence[Scene], effort: Effort, progress: Progress
) -> tuple[Survey, list[str]]:
    """The pass over the pixels of scenes with resolved settings, and what a user should know of
    them.

    Raises
    ------
    ConfigError : a sample that does not fit the memory.
    InputError, GroupError : pixels that the objective cannot be learned from. ScenesError : the
        scenes that fail, if broken ones may be left out.
    """
    sample = max(goal.sample for goal in config.goals)
    if config.sampled:
        sample = Sampling(config.sample, config.memory).planned(scenes).pixels
    grouping, targets = grouping_of(config), unique_target_names(scenes[0])
    found = survey(
        scenes,
        lambda bands, covariance: grouping.design(bands, targets, covariance),
        effort,
        progress,
        inquiry_of(config, sample),
    )
    remarks = list(found.messages)
    if "classes" in config.gathers:
        remarks += require_classes(scenes, config.labels, config.unlabelled, found)
    if "noise" in config.gathers:
        require_noise(found)
    require_room(config.goals, found.design, leading=config.outputs is not None)
    if config.outputs and "classes" in config.gathers:
        require_discriminants(config.outputs, len(found.classes))
    return found, [*remarks, *_few_messages(config.goals, found)]


def _few_messages(goals: Sequence[Goal], survey: Survey) -> list[str]:
    """Say where there are fewer pixels than weights: then many weights fit them alike."""
    count, weights = survey.pooled.count, len(survey.design.used)
    if count >= weights or not all(goal.matches for goal in goals):
        return []
    return [
        f"there are fewer pixels than weights of an output ({count} and {weights}): many weights "
        "fit them alike, scores say little, and there are no intervals"
    ]
