"""bandfuse: learn how to combine the bands of hyperspectral images, and apply what was learned to rasters of any size.

Everything is one K × B matrix, ``y = activation(gain · (W x) + offset)``, and one pass over the pixels.

The rooms, from the ground up. A file imports only from floors below its own (inside a package, from earlier files)::

    floor 0   errors  progress  remarks               words: the error tree; progress as a callable
    floor 1   bands  windows  device  units           nouns without pixels; where torch computes
    floor 2   groups  fusion  headers  results        splitting bands; y = f(x); texts to lists; result models
              order                                   bands out of order, detectors that overlap
              products  fitted                        z zᵀ in float64, float32, on a device; what a fit found
    floor 3   layout  moments  pixels  model          which weights are learned; what pixels leave behind
              metadata                                tags to tables
              pivoting  heldout                       many small problems; which pixels are not trained on
    floor 4   exact  init  design  gauge  scores      numpy: optima, starts, outputs, forms, scores
              decoder  classes  stream                outputs to bands; scatter of classes; one pass over windows
    floor 5   split                                   bands and targets apart; squared error as a quadratic
              weights  losses  tally                  torch: θ → W; y and t → loss; what one training pass gathers
    floor 6   trust  solved                           folds, regularisation, hold-out, intervals; exact regression
              objectives  descend                     torch: losses from moments or a sample; first-order steps
    floor 7   contrast  fit  nn                       ratios of variances; minimise; WeightedSum for networks
    floor 8   raster  weightsfile  checkpointfile     the doors: rasterio, safetensors, YAML, the file system
              yamlfile  output  synthetic             what appears whole or not at all; scenes with known answers
    floor 9   scenes  config  report                  places with their files; settings; HTML, CSV, JSON
    floor 10  tools                                   one file per verb; never prints, never exits
    floor 11  cli                                     typer and rich
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bandfuse.bands import Bands
    from bandfuse.config import ApplyConfig, EvaluateConfig, TrainConfig
    from bandfuse.errors import BandfuseError, RunError, UsageError
    from bandfuse.fusion import Fusion
    from bandfuse.model import Model
    from bandfuse.moments import Moments
    from bandfuse.pixels import Pixels
    from bandfuse.tools.apply import apply
    from bandfuse.tools.check import check
    from bandfuse.tools.evaluate import evaluate
    from bandfuse.tools.info import info
    from bandfuse.tools.train import train
    from bandfuse.weightsfile import load

_HOMES = {
    "Bands": "bandfuse.bands",
    "ApplyConfig": "bandfuse.config",
    "EvaluateConfig": "bandfuse.config",
    "TrainConfig": "bandfuse.config",
    "BandfuseError": "bandfuse.errors",
    "RunError": "bandfuse.errors",
    "UsageError": "bandfuse.errors",
    "Fusion": "bandfuse.fusion",
    "Model": "bandfuse.model",
    "Moments": "bandfuse.moments",
    "Pixels": "bandfuse.pixels",
    "apply": "bandfuse.tools.apply",
    "check": "bandfuse.tools.check",
    "evaluate": "bandfuse.tools.evaluate",
    "info": "bandfuse.tools.info",
    "train": "bandfuse.tools.train",
    "load": "bandfuse.weightsfile",
}

__all__ = [
    "ApplyConfig",
    "BandfuseError",
    "Bands",
    "EvaluateConfig",
    "Fusion",
    "Model",
    "Moments",
    "Pixels",
    "RunError",
    "TrainConfig",
    "UsageError",
    "__version__",
    "apply",
    "check",
    "evaluate",
    "info",
    "load",
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
