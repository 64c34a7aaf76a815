"""Training in memory: from arrays to weights and a report, by the code that trains from files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandfuse.config.keywords import keywords
from bandfuse.config.paths import named_file
from bandfuse.config.train import TrainConfig
from bandfuse.errors import BandfuseError, ConfigError
from bandfuse.files.checksums import Checksums
from bandfuse.files.guards import check_file, check_folder
from bandfuse.files.whole import whole_files
from bandfuse.interop.array_scenes import BandWords, by_name, held, in_order
from bandfuse.interop.arrays import fuse
from bandfuse.interop.python_words import in_python
from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps
from bandfuse.needs import require_meaning
from bandfuse.progress import Progress, silent
from bandfuse.raster import IN_MEMORY, ArrayFiles
from bandfuse.results.training import TrainReport
from bandfuse.runs.folder import RUN_CONTENTS, write_run
from bandfuse.runs.page import page
from bandfuse.runs.record import report_of
from bandfuse.scenes.opening import open_scenes
from bandfuse.spectral.sensors import is_file
from bandfuse.summary import Summarised, Summary
from bandfuse.training.learn import learn
from bandfuse.training.settings.defaults import resolve, with_loss
from bandfuse.training.trained import Trained

if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction


@dataclass(frozen=True, eq=False, repr=False)
class Learned(Summarised):
    """What :func:`train_arrays` gives: the model, the report of the training, and messages for the
    user."""

    model: Model
    report: TrainReport
    messages: list[str]

    @property
    def fusion(self) -> Fusion:
        """The weights that all scenes share."""
        return self.model.common

    def fuse(self, array: Any, *, dim: str = "band", any_units: bool = False) -> Any:
        """Fuse an array; see :func:`bandfuse.fuse`."""
        return fuse(self.fusion, array, dim=dim, any_units=any_units)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the weights to a file, which :func:`bandfuse.load` and ``bandfuse apply`` read.

        Raises
        ------
        OutputError : it exists, or cannot be written.
        """
        seen = check_file(Path(path), overwrite=overwrite)
        with whole_files(Path(path), seen=seen) as scratch:
            scratch.write_bytes(dumps(self.model))

    def summary(self) -> Summary:
        """Outputs and scores."""
        said = self.report.summary()
        told = (("messages", str(len(self.messages) or "")),)
        return replace(
            said, title=said.title.replace("TrainReport", "Learned"), facts=(*said.facts, *told)
        )


def train_arrays(
    scenes: Any,
    target: Any = None,
    *,
    labels: Any = None,
    mask: Any = None,
    names: Sequence[str] | None = None,
    wavelength_nm: Sequence[float] | None = None,
    fwhm_nm: Sequence[float] | None = None,
    target_names: Sequence[str] | None = None,
    dim: str = "band",
    loss: LossFunction | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> Learned:
    """Learn weights from arrays in memory. Nothing is written, unless ``output`` names a folder.

    Pixels go through the same code as those of files: the report is the same, and so are the bits
    of the weights.

    Parameters
    ----------
    scenes : a cube (B, H, W), or several of them by name or in a list. numpy and what numpy takes,
        torch, dask, or an xarray DataArray, whose coordinates may say names, ``wavelength_nm`` and
        ``fwhm_nm``, and whose ``spatial_ref`` says where it lies. NaN, a numpy mask, or an
        attribute ``_FillValue`` marks what is missing. Each array is copied once; a lazy one is
        computed once. A path instead of an array is a file; what :func:`bandfuse.open` gives is a
        scene, too.
    target : (T, H, W) or (H, W), what is to be predicted, for regression. A DataArray with a place
        may lie on another grid.
    labels : (H, W) whole numbers, the classes, for separability.
    mask : (H, W); only pixels where it is not zero count.
    names, wavelength_nm, fwhm_nm : (B,) of the bands. target_names : (T,) those of the target.
    dim : the dimension of the bands of DataArrays.
    loss : a function of your own, as in :func:`bandfuse.train`.
    settings : those of :class:`bandfuse.TrainConfig`, such as ``groups="equal:4"`` or
        ``constraint="simplex"``. With ``output`` a run folder is written too. ``no_report=True``
        saves the time for what :meth:`TrainReport.to_html` shows beside the report.

    Raises
    ------
    UsageError and its children : arrays, settings or pixels that do not fit.

    >>> import numpy as np
    >>> cube = np.random.default_rng(0).random((4, 40, 40))
    >>> learned = train_arrays(cube, 0.25 * cube[0] + 0.75 * cube[2], constraint="simplex")
    >>> learned.fusion.weight.round(6).tolist()
    [[0.25, 0.0, 0.75, 0.0]]
    >>> learned.fuse(cube).shape
    (1, 40, 40)
    """
    words = BandWords(names, wavelength_nm, fwhm_nm)
    given = (scenes, target, labels, mask)
    try:
        with ArrayFiles() as files:
            paths = _paths(files, given, words, BandWords(target_names), dim)
            config = _config(paths, settings)
            return _learned(config, files, progress, loss)
    except BandfuseError as error:
        raise in_python(error, change=_plainly) from error


def _paths(
    files: ArrayFiles,
    given: tuple[Any, Any, Any, Any],
    words: BandWords,
    of_target: BandWords,
    dim: str,
) -> dict[str, list[str]]:
    """The paths of cubes, targets, labels and masks, by the setting that takes them."""
    scenes, target, labels, mask = given
    cubes = by_name(scenes, "cube")
    keys = list(cubes)
    paths = {"scenes": [held(files, key, cubes[key], dim, words, "cube") for key in keys]}
    for what, arrays, said in (
        ("target", target, of_target),
        ("labels", labels, BandWords()),
        ("mask", mask, BandWords()),
    ):
        called = [what] if len(keys) == 1 else [f"{what} of {key}" for key in keys]
        paths[what] = [
            held(files, name, array, dim, said, what)
            for name, array in zip(called, in_order(arrays, keys, what), strict=False)
        ]
    return paths


def _config(paths: Mapping[str, list[str]], settings: Mapping[str, Any]) -> TrainConfig:
    """The settings of the training."""
    if "source" in settings:
        raise ConfigError("source=", expected="one cube of all bands, along the first axis")
    config = TrainConfig(**paths, **settings)
    written = {
        name: getattr(config, name)
        for name in ("figures", "stac", "style", "no_fused", "overwrite")
    }
    require_meaning(written, "output", config.output)
    return config


def _learned(
    config: TrainConfig, files: ArrayFiles, progress: Progress, loss: LossFunction | None
) -> Learned:
    """Learn from files in memory, and write a run folder if one is named."""
    seen = None
    if config.output:
        read = [named_file(config.groups or ""), config.sensor or "", config.checkpoint or ""]
        inputs = [Path(name) for name in read if name and (name != config.sensor or is_file(name))]
        seen = check_folder(
            Path(config.output), RUN_CONTENTS, overwrite=config.overwrite, inputs=inputs
        )
    config = resolve(with_loss(config, loss))
    with _ArraySums(files) as checksums:
        trained = learn(config, open_scenes(config), progress, loss=loss, once_read=checksums.start)
        given = trained.config.model_dump(include=FILES)
        kept = {
            name: [path for path in paths if not path.startswith(IN_MEMORY)]
            for name, paths in given.items()
        }
        trained = replace(trained, config=trained.config.model_copy(update=kept), again=AGAIN)
        if seen is not None:
            folder = Path(str(config.output))
            report, messages = write_run(
                folder, trained, checksums, progress, ready=None, seen=seen
            )
        else:
            report, messages = _reported(trained, checksums, progress), trained.messages
    choices = TrainConfig.choices()
    said = [keywords(_plainly(text), choices) for text in messages]
    return Learned(trained.model, report, said)


FILES = {"scenes", "target", "labels", "mask"}
"""Settings that name files of arrays, which are gone after the training."""

AGAIN = "bandfuse.train_arrays(…)"
"""What the page shows in the place of a command."""


def _reported(trained: Trained, checksums: Checksums, progress: Progress) -> TrainReport:
    """The report of a training of which nothing is written, with what its page shows."""
    report = report_of(trained, checksums.wait(progress), checksums.sizes)
    if not trained.config.no_report:
        report.keep_page(page(Path("arrays"), trained, report, None))
    return report


class _ArraySums(Checksums):
    """Checksums of files, and of arrays in memory."""

    def __init__(self, files: ArrayFiles) -> None:
        super().__init__()
        self._arrays = files

    def wait(self, progress: Progress) -> dict[str, str]:
        """The sums by path."""
        return {**super().wait(progress), **self._arrays.checksums()}


_FOLDERS = re.compile(rf"{IN_MEMORY}[0-9]+/[0-9]+/")


def _plainly(text: str) -> str:
    """A message without the folders of arrays in memory."""
    return _FOLDERS.sub("", text)
