"""Reading: the one pass of a training over its pixels, and what a user should know of them."""

from __future__ import annotations

from collections.abc import Sequence

from bandfuse.checks.fill import fill_messages
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError
from bandfuse.goals import Goal
from bandfuse.progress import Progress
from bandfuse.scenes.scene import Scene
from bandfuse.solve.design import Design
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Covariance
from bandfuse.streaming.budget import Effort
from bandfuse.survey.missing import require_classes, require_noise
from bandfuse.survey.stored_moments import StoredMoments
from bandfuse.survey.survey import Survey
from bandfuse.survey.together import gathered, put_together
from bandfuse.training.arrange import require_discriminants, require_room, unique_target_names
from bandfuse.training.regathered import fitting_moments
from bandfuse.training.sampling import Sampling
from bandfuse.training.settings.steps import asked_of, grouping_of, inquiry_of


def surveyed(
    config: TrainConfig,
    scenes: Sequence[Scene],
    effort: Effort,
    progress: Progress,
    before: Sequence[StoredMoments] = (),
) -> tuple[Survey, list[str]]:
    """The pass over the pixels of scenes with resolved settings, and what a user should know of
    them.

    Parameters
    ----------
    before : what such a pass has left before; no pixel is read then.

    Raises
    ------
    ConfigError : a sample that does not fit the memory.
    InputError, GroupError : pixels that the objective cannot be learned from. ScenesError : the
        scenes that fail, if broken ones may be left out.
    """
    sample = max(goal.sample for goal in config.goals)
    if config.sampled:
        sampling = Sampling(config.sample, config.memory, apart=config.per_scene)
        sample = sampling.planned(scenes).pixels
    grouping = grouping_of(config)
    inquiry, remarks = inquiry_of(config, sample), list[str]()
    if inquiry.whole_scenes and len(scenes) < 2:
        raise ConfigError(
            "--split scenes needs several scenes", got="one scene", remedy="Use --split blocks."
        )

    fitting: list[StoredMoments] = []
    if before:
        fitting, remarks = fitting_moments(before, asked_of(config, sample))
    targets = unique_target_names(fitting[0].facts.scene if fitting else scenes[0])

    def arrange(bands: Bands, covariance: Covariance) -> Design:
        return grouping.design(bands, targets, covariance)

    if before:
        left = put_together(fitting, arrange, inquiry, progress)
    else:
        left = gathered(scenes, arrange, effort, progress, inquiry)
    found = left.survey(inquiry)
    remarks += found.messages
    if "classes" in config.gathers:
        remarks += require_classes(scenes, config.labels, config.unlabelled, found)
    if "noise" in config.gathers:
        require_noise(found)
    require_room(config.goals, found.design, leading=config.outputs is not None)
    if config.outputs and "classes" in config.gathers:
        require_discriminants(config.outputs, len(found.classes))
    return found, [*remarks, *_few_messages(config.goals, found)]


def remarks_of(nodata: Sequence[str], seed: int, scene: Scene) -> tuple[str, ...]:
    """What a user should know of values of a scene that seem to stand for missing pixels.

    Raises
    ------
    InputError : there are too many of them.
    """
    return tuple(fill_messages(scene, nodata, seed, stop=True))


def _few_messages(goals: Sequence[Goal], survey: Survey) -> list[str]:
    """Say where there are fewer pixels than weights: then many weights fit them alike."""
    count, weights = survey.pooled.count, len(survey.design.used)
    if count >= weights or not all(goal.matches for goal in goals):
        return []
    return [
        f"there are fewer pixels than weights of an output ({count} and {weights}): many weights "
        "fit them alike, scores say little, and there are no intervals"
    ]
