"""bandfuse: learn how to combine the bands of hyperspectral images, and apply it to rasters of any
size.

Everything is one K × B matrix, ``y = activation(gain · (W x) + offset)``, and one pass over the
pixels.

The rooms, from the ground up. A file imports only from rooms above it in this list, and inside its
own room only from the files that the room lists before it::

    errors       every error that bandfuse raises
    progress     progress as a callable
    summary      a value in a few lines, for Python and notebooks
    results      result models
    goals        what each objective gathers, is fitted with and is scored by
    device       where torch computes
    needs        which setting needs which
    files        what appears whole or not at all; small texts
    spectral     what is known of bands, without pixels
    model        the fusion and its file
    report       the pages of a run
    synthetic    scenes with known answers
    streaming    one pass over windows, in bounded memory
    moments      what a pass leaves behind
    raster       the only door to rasterio
    solve        which weights are learned, and their exact optimum (numpy)
    export       weights in the forms of other programs
    config       every setting, declared once
    scenes       from file names to described scenes on one grid
    optimise     losses, objectives, descent (torch)
    nn           WeightedSum, a layer for networks
    survey       the pass over all scenes of a training
    checks       what is odd about a raster
    trust        how far weights can be believed
    applying     weights over rasters
    sharpening   a cube at the resolution of a sharper image
    training     from settings to a trained model
    runs         the run folder
    interop      numpy, torch, dask, xarray, scikit-learn
    tools        one file per verb; they never print and never exit
    batches      many scenes: plan, journal, workers, Dask
    cli          typer and rich

A training reads in this order: config → scenes → survey (moments) → solve or optimise → trust →
runs."""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers take it for true; typing is not imported for it

if TYPE_CHECKING:
    from bandfuse.batches.batch import batch
    from bandfuse.config.commands import (
        ApplyConfig,
        CompareConfig,
        EvaluateConfig,
        ExportConfig,
        ReportConfig,
        ResampleConfig,
        SharpenConfig,
    )
    from bandfuse.config.moments import MomentsConfig
    from bandfuse.config.train import TrainConfig
    from bandfuse.errors import BandfuseError, RunError, UsageError
    from bandfuse.interop.arrays import fuse
    from bandfuse.interop.estimator import BandFuser
    from bandfuse.interop.image import Image, open
    from bandfuse.interop.training import Learned, train_arrays
    from bandfuse.model.fusion import Fusion
    from bandfuse.model.model import Model
    from bandfuse.model.weightsfile import load
    from bandfuse.moments.moments import Moments
    from bandfuse.moments.sample import Pixels
    from bandfuse.spectral.bands import Bands
    from bandfuse.tools.apply import apply
    from bandfuse.tools.check import check
    from bandfuse.tools.compare import compare
    from bandfuse.tools.evaluate import evaluate
    from bandfuse.tools.export import export_weights
    from bandfuse.tools.info import info
    from bandfuse.tools.moments import gather_moments
    from bandfuse.tools.report import make_report
    from bandfuse.tools.resample import resample
    from bandfuse.tools.sharpen import sharpen
    from bandfuse.tools.train import train

_HOMES = {
    "fuse": "bandfuse.interop.arrays",
    "Bands": "bandfuse.spectral.bands",
    "ApplyConfig": "bandfuse.config.commands",
    "CompareConfig": "bandfuse.config.commands",
    "EvaluateConfig": "bandfuse.config.commands",
    "ExportConfig": "bandfuse.config.commands",
    "ReportConfig": "bandfuse.config.commands",
    "ResampleConfig": "bandfuse.config.commands",
    "MomentsConfig": "bandfuse.config.moments",
    "SharpenConfig": "bandfuse.config.commands",
    "TrainConfig": "bandfuse.config.train",
    "BandfuseError": "bandfuse.errors",
    "RunError": "bandfuse.errors",
    "UsageError": "bandfuse.errors",
    "BandFuser": "bandfuse.interop.estimator",
    "Fusion": "bandfuse.model.fusion",
    "Model": "bandfuse.model.model",
    "Moments": "bandfuse.moments.moments",
    "Pixels": "bandfuse.moments.sample",
    "apply": "bandfuse.tools.apply",
    "batch": "bandfuse.batches.batch",
    "check": "bandfuse.tools.check",
    "compare": "bandfuse.tools.compare",
    "evaluate": "bandfuse.tools.evaluate",
    "export_weights": "bandfuse.tools.export",
    "gather_moments": "bandfuse.tools.moments",
    "make_report": "bandfuse.tools.report",
    "info": "bandfuse.tools.info",
    "Image": "bandfuse.interop.image",
    "open": "bandfuse.interop.image",
    "Learned": "bandfuse.interop.training",
    "train_arrays": "bandfuse.interop.training",
    "resample": "bandfuse.tools.resample",
    "sharpen": "bandfuse.tools.sharpen",
    "train": "bandfuse.tools.train",
    "load": "bandfuse.model.weightsfile",
}

__all__ = [
    "ApplyConfig",
    "BandFuser",
    "BandfuseError",
    "Bands",
    "CompareConfig",
    "EvaluateConfig",
    "ExportConfig",
    "Fusion",
    "Image",
    "Learned",
    "Model",
    "Moments",
    "MomentsConfig",
    "Pixels",
    "ReportConfig",
    "ResampleConfig",
    "RunError",
    "SharpenConfig",
    "TrainConfig",
    "UsageError",
    "__version__",
    "apply",
    "batch",
    "check",
    "compare",
    "evaluate",
    "export_weights",
    "fuse",
    "gather_moments",
    "info",
    "load",
    "make_report",
    "open",
    "resample",
    "sharpen",
    "train",
    "train_arrays",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: ``import bandfuse`` costs nothing."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'bandfuse' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
