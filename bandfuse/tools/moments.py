"""Moments: gather what a training needs of image files, and write it as one file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bandfuse.config.moments import MomentsConfig
from bandfuse.config.train import Gathering, TrainConfig
from bandfuse.errors import ConfigError
from bandfuse.files.checksums import Checksums
from bandfuse.files.guards import check_file
from bandfuse.files.kinds import is_moments
from bandfuse.files.making import names_folder
from bandfuse.files.whole import Ready, whole_files
from bandfuse.goals import TRAINED_ON
from bandfuse.progress import Progress, during, silent
from bandfuse.results.rasters import MomentsResult, SceneMomentsRow
from bandfuse.runs.moments_rows import moments_row
from bandfuse.scenes.alignment import alignment_messages
from bandfuse.scenes.attempts import attempts
from bandfuse.scenes.folders import with_scenes
from bandfuse.scenes.opening import Opened, open_scenes
from bandfuse.scenes.scene import Scene, left_out_messages
from bandfuse.streaming.budget import Effort
from bandfuse.survey.fewest import with_least, without_pixels
from bandfuse.survey.momentsfile import write_moments
from bandfuse.survey.scene_moments import SceneMoments
from bandfuse.survey.scout import Inquiry
from bandfuse.survey.together import gathered
from bandfuse.training.arrange import Grouping, unique_target_names
from bandfuse.training.reading import remarks_of
from bandfuse.training.settings.defaults import resolve


def gather_moments(
    config: MomentsConfig,
    progress: Progress = silent,
    *,
    keep: Sequence[Path] = (),
    ready: Ready | None = None,
) -> MomentsResult:
    """Read scenes once, and write all that :func:`bandfuse.train` needs of them: with ``moments=``
    it learns from the file as it does from the images.

    Parameters
    ----------
    keep : further files that the output must not take the place of.
    ready : is given the scratch folder of the file before it takes its place.

    Raises
    ------
    UsageError and its children : bad input; nothing is written then.
    """
    started = time.perf_counter()
    _require_file(config.output)
    if config.any_units:
        raise ConfigError(
            "--any-units does not apply to bandfuse moments, which compares no scenes",
            remedy="Leave it out; give it to bandfuse train --moments.",
        )
    already = next(filter(is_moments, config.scenes), None)
    if already is not None:
        raise ConfigError(
            f"{already} is a file of moments already",
            expected="the images of scenes",
            remedy=f"bandfuse train {already} -o RUN learns from it. To gather others, give the "
            f"images that it is of: bandfuse info {already} names them.",
        )
    size, output = _sample_size(config), Path(str(config.output))
    asked = _as_training(config)
    with during(progress, "open the scenes"):
        opened = open_scenes(asked)
    inputs = [*keep, *(path for scene in opened.scenes for path in scene.paths)]
    seen = check_file(output, overwrite=config.overwrite, inputs=inputs)
    passes, told = _Passes(config, asked, size, progress), _Told()
    with whole_files(output, inputs, ready, seen) as scratch:
        write_moments(scratch, passes.over(opened, told))
        written = os.path.getsize(scratch)
    return MomentsResult(
        output=str(output),
        bytes=written,
        scenes=told.rows,
        left_out=told.left_out,
        messages=list(dict.fromkeys([*_broken(told.left_out), *told.texts])),
        seconds=time.perf_counter() - started,
    )


def _require_file(output: str | None) -> None:
    """Refuse what is no name of one file.

    Raises
    ------
    ConfigError : no output, a folder, or a template.
    """
    expected = "-o FILE.moments, the file to make"
    if not output:
        raise ConfigError("no output is given", expected=expected)
    if names_folder(output) or any(word in output for word in ("{stem}", "{name}", "{parent}")):
        raise ConfigError(
            "bandfuse moments writes one file, for all scenes",
            got=f"--output {output}",
            expected=expected,
        )


def _sample_size(config: MomentsConfig) -> int | None:
    """Pixels that are kept of each scene; None for all.

    Raises
    ------
    ConfigError : pixels are to be kept, and no block is to have few.
    """
    if config.sample is None:
        return 0 if config.least_pixels else TRAINED_ON
    if config.least_pixels and config.sample not in (0, "none"):
        raise ConfigError(
            "--least-pixels and --sample exclude each other, as a sample holds single pixels",
            got=f"--sample {config.sample}",
            remedy="Leave one of them out.",
        )
    if isinstance(config.sample, str):
        return None if config.sample == "all" else 0
    return config.sample


def _as_training(config: MomentsConfig) -> TrainConfig:
    """The settings of a training that gathers the same."""
    config = with_scenes(config)
    given = {name for name in Gathering.model_fields if name in config.model_fields_set}
    return resolve(TrainConfig(**{name: getattr(config, name) for name in given}))


class _Told:
    """What there is to say once all scenes are through: of each the row of the result, texts, and
    why some are left out."""

    def __init__(self) -> None:
        self.rows: list[SceneMomentsRow] = []
        self.texts: list[str] = []
        self.left_out: dict[str, str] = {}


@dataclass(frozen=True)
class _Passes:
    """The passes over scenes, each of which is done as if its scene were alone. ``sample``: pixels
    that are kept of each, None for all."""

    settings: MomentsConfig
    training: TrainConfig
    sample: int | None
    progress: Progress

    def over(self, opened: Opened, told: _Told) -> Iterator[SceneMoments]:
        """What they leave, one after the other, of the scenes that are not broken. What is to be
        said of them is put into ``told``."""
        scenes, reasons = opened.scenes, dict[str, str]()
        found: Iterator[tuple[SceneMoments, list[str]]] = map(self.one, scenes)
        if self.training.skip_broken:
            found = attempts([scene.key for scene in scenes], scenes, self.one, reasons)
        sums: dict[str, tuple[int, str]] = {}
        for left, said in found:
            files = [file.path for file in left.scene.files]
            sums |= _sums([path for path in files if path not in sums], self.progress)
            told.rows.append(moments_row(left))
            told.texts.extend(said)
            yield replace(left, inputs={path: sums[path] for path in files})
        told.left_out = opened.without(reasons).left_out

    def one(self, scene: Scene) -> tuple[SceneMoments, list[str]]:
        """What the pass over one scene leaves, and what is to be said."""
        least, inquiry = self.settings.least_pixels, self.inquiry(scene)
        remarks = remarks_of(self.training.nodata, self.training.seed, scene)
        targets, grouping = unique_target_names(scene), Grouping()
        made = gathered(
            [scene],
            lambda bands, covariance: grouping.design(bands, targets, covariance),
            Effort.of(self.training.threads, self.training.memory, device=self.training.device),
            self.progress,
            inquiry,
        )
        made.survey(inquiry)  # What speaks against a scene is said now.
        left = replace(made.scenes[0], remarks=remarks)
        if least:
            left = with_least(left, least)
        elif self.sample == 0:
            left = without_pixels(left)
        said = [*left_out_messages(scene), *scene.remarks, *alignment_messages([scene])]
        return left, [*said, *remarks, *made.messages]

    def inquiry(self, scene: Scene) -> Inquiry:
        """What is gathered of a scene."""
        rows, cols = scene.shape
        return Inquiry(
            seed=self.training.seed,
            sample=rows * cols if self.sample is None else self.sample,
            noise=self.settings.noise,
            targets_too=True,
            precision=self.training.precision,
            most=self.training.max_pixels,
        )


def _sums(paths: Sequence[str], progress: Progress) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of files, by path."""
    with Checksums() as checksums:
        checksums.start(paths)
        sums, sizes = checksums.wait(progress), checksums.sizes
    return {path: (sizes.get(path, 0), sums.get(path, "")) for path in paths}


def _broken(left_out: Mapping[str, str]) -> list[str]:
    return [f"scene {key!r} is left out: {why}" for key, why in left_out.items()]
