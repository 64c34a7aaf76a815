"""bandfuse: learn how to combine the bands of hyperspectral images, and apply what was learned to rasters of any size.

Everything is one K × B matrix, ``y = activation(gain · (W x) + offset)``, and one pass over the pixels.

The rooms, from the ground up. A file imports only from floors below its own (inside a package, from earlier files)::

    floor 0   errors  progress  remarks               words: the error tree; progress as a callable
              unraisable                              exceptions that Python cannot raise
    floor 1   textfile                                small files, read whole; text for terminals
    floor 2   bands  windows  device  units           nouns without pixels; where torch computes
              matching                                names of bands that are taken by position
              values                                  what numbers bands hold
              sensors  names                          known responses; file names for others
              needs                                   which setting needs which
    floor 3   groups  fusion  headers  results        splitting bands; y = f(x); texts to lists; result models
              order                                   bands out of order, detectors that overlap
              overlap  displacement                   shares of areas; by how much two images are shifted
              lobe                                    where a response lies, and how wide it is
              products  fitted                        z zᵀ in float64, float32, on a device; what a fit found
              resampling                              weights that follow from wavelengths alone
    floor 4   layout  moments  pixels  model          which weights are learned; what pixels leave behind
              metadata                                tags to tables
              pivoting  heldout                       many small problems; which pixels are not trained on
    floor 5   exact  init  design  gauge  scores      numpy: optima, starts, outputs, forms, scores
              decoder  classes  stream                outputs to bands; scatter of classes; one pass over windows
    floor 6   split                                   bands and targets apart; squared error as a quadratic
              weights  losses  tally                  torch: θ → W; y and t → loss; what one training pass gathers
    floor 7   trust  solved                           folds, regularisation, hold-out, intervals; exact regression
              objectives  descend                     torch: losses from moments or a sample; first-order steps
    floor 8   contrast  fit  nn                       ratios of variances; minimise; WeightedSum for networks
              arrays                                  one fusion over numpy, torch, dask and xarray
              placing                                 scratch folders; sets of files take their place
    floor 9   raster  weightsfile  checkpointfile     the doors: rasterio, safetensors, YAML, the file system
              yamlfile  output  synthetic             what appears whole or not at all; scenes with known answers
    floor 10  scenes  config  report  export          places with their files; settings; reports; other programs' forms
    floor 11  tools                                   one file per verb; never prints, never exits
    floor 12  batches  estimator                      many scenes: plan, journal, workers, Dask; for scikit-learn
    floor 13  cli                                     typer and rich
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bandfuse.batches.batch import batch
    from bandfuse.config import ApplyConfig, EvaluateConfig, ResampleConfig, TrainConfig
    from bandfuse.errors import BandfuseError, RunError, UsageError
    from bandfuse.interop.arrays import fuse
    from bandfuse.interop.estimator import BandFuser
    from bandfuse.interop.image import Image, open
    from bandfuse.model.fusion import Fusion
    from bandfuse.model.model import Model
    from bandfuse.model.weightsfile import load
    from bandfuse.moments.moments import Moments
    from bandfuse.moments.sample import Pixels
    from bandfuse.spectral.bands import Bands
    from bandfuse.tools.apply import apply
    from bandfuse.tools.check import check
    from bandfuse.tools.evaluate import evaluate
    from bandfuse.tools.info import info
    from bandfuse.tools.resample import resample
    from bandfuse.tools.train import train

_HOMES = {
    "fuse": "bandfuse.interop.arrays",
    "Bands": "bandfuse.spectral.bands",
    "ApplyConfig": "bandfuse.config",
    "EvaluateConfig": "bandfuse.config",
    "ResampleConfig": "bandfuse.config",
    "TrainConfig": "bandfuse.config",
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
    "evaluate": "bandfuse.tools.evaluate",
    "info": "bandfuse.tools.info",
    "Image": "bandfuse.interop.image",
    "open": "bandfuse.interop.image",
    "resample": "bandfuse.tools.resample",
    "train": "bandfuse.tools.train",
    "load": "bandfuse.model.weightsfile",
}

__all__ = [
    "ApplyConfig",
    "BandFuser",
    "BandfuseError",
    "Bands",
    "EvaluateConfig",
    "Fusion",
    "Image",
    "Model",
    "Moments",
    "Pixels",
    "ResampleConfig",
    "RunError",
    "TrainConfig",
    "UsageError",
    "__version__",
    "apply",
    "batch",
    "check",
    "evaluate",
    "fuse",
    "info",
    "load",
    "open",
    "resample",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import bandfuse`` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bandfuse' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
