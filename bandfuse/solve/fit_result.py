"""Fit result: how to fit, and what a fit found. Without torch: exact solutions need none."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bandfuse.spectral.bands import Floats

DESCENTS = ("adam", "adamw", "sgd")
"""Optimizers that take minibatches and can stop early."""

DEFAULT_STEPS = {"lbfgs": 1000, "adam": 3000, "adamw": 3000, "sgd": 3000}
DEFAULT_LR = {"adam": 0.05, "adamw": 0.05, "sgd": 0.05}
DEFAULT_SCHEDULE = {"adam": "cosine", "adamw": "cosine", "sgd": "constant"}
"""Adam's step does not shrink with the gradient, so its rate must fall."""

GAINED = 1e-12
"""What a training must gain on an exact solution, per variance of the target, to be kept in its
place."""


@dataclass(frozen=True)
class Settings:
    """How to fit. ``steps``, ``lr`` and ``schedule`` of None take the optimizer's default.

    ``device`` is the name of one that is there, as torch calls it. ``batch_size`` and ``patience``
    are for objectives that see pixels; see :class:`bandfuse.optimise.descent.Pace`. ``threads``
    work on a sample of pixels on the CPU; no bit depends on their number."""

    constraint: str = "nonnegative"
    gain: bool = False
    init: str = "auto"
    optimizer: str = "lbfgs"
    steps: int | None = None
    lr: float | None = None
    momentum: float = 0.9
    weight_decay: float = 0.01
    schedule: str | None = None
    batch_size: int = 1024
    patience: int = 20
    device: str = "cpu"
    seed: int = 0
    starts: int = 1
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found.

    ``weight`` (K, B), ``gain`` and ``offset`` (K,); ``losses`` and ``optimum`` one per loss of the
    objective (one per output, or one for all); ``scale`` the losses of predicting the mean;
    ``history`` relative losses per step, one curve for each set of outputs that was fitted
    together. ``stops``: for these sets, the epoch whose weights were kept and how many there were,
    if held-out pixels were watched. ``starts``: the relative loss at the end of each of several
    starts."""

    weight: Floats
    gain: Floats
    offset: Floats
    losses: Floats
    optimum: Floats | None
    scale: Floats
    steps: int
    history: list[tuple[list[int], list[float]]]
    stops: list[tuple[list[int], int, int]] = field(default_factory=list)
    starts: list[tuple[list[int], list[float]]] = field(default_factory=list)

    @property
    def relative_gap(self) -> float | None:
        """The largest (loss − optimum) / scale, or None where no optimum is known."""
        if self.optimum is None:
            return None
        return float(np.max((self.losses - self.optimum) / self.scale))
