"""Gains file: a weights file whose model gives the sharp image from the cube, and which holds the
gains beside it.

The header's entry ``sharpening`` has ``bands`` (1-based numbers of the cube's bands that are
sharpened), ``ratio``, ``blur``, ``blur_error``, ``reasons``, ``ridge``, ``blocks`` and ``pixels``;
the tensors ``sharpening_gain`` and so on are the arrays of
:class:`bandfuse.sharpening.gains.gains.Gains` over these bands. ``steps`` says the same of each
image between the cube and the finest one, with tensors ``sharpening_step0_gain`` and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandfuse.errors import InputError
from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import Further, dumps, load, load_further
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.spectral.bands import Bands, Floats

NAME = "sharpening"

TENSORS = ("gain", "learned", "low", "high", "lift", "drop", "noise", "error", "plain")
OF_STEPS = (*TENSORS, "weight", "offset")
INTERVALS = ("weight_low", "weight_high")
"""Of the weight, in files that have them."""


@dataclass(frozen=True, eq=False)
class SharpeningWeights:
    """Gains for some ``positions`` of a cube's ``inputs``, and the bands of the ``sharp`` images;
    ``steps``: the gains of each image between the cube and the finest one; ``ratio``: pixels of the
    finest along the side of one of the cube, NaN where it is not known."""

    gains: Gains
    inputs: Bands
    sharp: Bands
    positions: Sequence[int]
    steps: tuple[Gains, ...] = ()
    ratio: float = np.nan

    @property
    def outputs(self) -> Bands:
        """The bands that are sharpened."""
        return self.inputs.take(self.positions)


def dumps_gains(weights: SharpeningWeights) -> bytes:
    """The bytes of a weights file."""
    gains = weights.gains
    matrix = np.zeros((len(weights.sharp), len(weights.inputs)))
    matrix[:, list(weights.positions)] = gains.weight
    ones = np.ones(len(weights.sharp))
    fusion = Fusion(matrix, ones, gains.offset, weights.inputs, weights.sharp)
    entry = {"bands": [int(i) + 1 for i in weights.positions], **_numbers(gains)}
    entry |= {"steps": [_numbers(step) for step in weights.steps]}
    if np.isfinite(weights.ratio):
        entry["ratio"] = float(weights.ratio)
    tensors = {name: getattr(gains, name) for name in TENSORS}
    if gains.weight_low is not None:
        tensors |= {name: getattr(gains, name) for name in INTERVALS}
    for i, step in enumerate(weights.steps):
        tensors |= {f"step{i}_{name}": getattr(step, name) for name in OF_STEPS}
    return dumps(Model(fusion), Further(NAME, entry, tensors))


def holds_gains(path: str | Path) -> bool:
    """Whether a weights file, or that of a run folder, was learned by ``bandfuse sharpen``.

    Raises
    ------
    InputError : as :func:`bandfuse.model.weightsfile.load`.
    """
    return load_further(path, NAME) is not None


def load_gains(path: str | Path) -> SharpeningWeights:
    """Read the gains of a weights file, or of a run folder.

    Raises
    ------
    InputError : as :func:`bandfuse.model.weightsfile.load`; or it holds no gains.
    """
    fusion, further = load(path).common, load_further(path, NAME)
    if further is None:
        raise InputError(
            f"{path} holds no gains",
            got="weights that were not learned by bandfuse sharpen",
            expected="a run folder of bandfuse sharpen, or its weights file",
        )
    try:
        entry, tensors = further.entry, further.tensors
        positions = [int(n) - 1 for n in entry["bands"]]
        own = {"weight": fusion.matrix[:, positions], "offset": fusion.offset}
        gains = _gains({**tensors, **own}, entry)
        _require_shapes(gains, len(positions), len(fusion.outputs))
        steps = []
        for i, numbers in enumerate(entry["steps"]):
            start = f"step{i}_"
            step = _gains({name: tensors[start + name] for name in OF_STEPS}, numbers)
            _require_shapes(step, *step.gain.shape)
            steps.append(step)
        ratio = float(entry.get("ratio", np.nan))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        got = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} is not a complete weights file", got=got) from error
    return SharpeningWeights(gains, fusion.inputs, fusion.outputs, positions, tuple(steps), ratio)


def _numbers(gains: Gains) -> dict[str, Any]:
    """What is no array of gains."""
    return {
        "blur": gains.blur,
        "blur_error": None if np.isnan(gains.blur_error) else gains.blur_error,
        "reasons": list(gains.reasons),
        "ridge": gains.ridge,
        "blocks": gains.blocks,
        "pixels": gains.pixels,
    }


def _gains(arrays: Mapping[str, Floats], numbers: Mapping[str, Any]) -> Gains:
    """Gains of what a file holds."""
    return Gains(
        **{name: arrays[name] for name in OF_STEPS},
        **{name: arrays[name] for name in INTERVALS if name in arrays},
        blur=None if numbers["blur"] is None else float(numbers["blur"]),
        blur_error=np.nan if numbers["blur_error"] is None else float(numbers["blur_error"]),
        reasons=tuple(map(str, numbers["reasons"])),
        ridge=float(numbers["ridge"]),
        blocks=int(numbers["blocks"]),
        pixels=int(numbers["pixels"]),
    )


def _require_shapes(gains: Gains, bands: int, sharp: int) -> None:
    """Refuse arrays that do not belong together.

    Raises
    ------
    ValueError
    """
    rank = len(gains.drop)
    wanted = {
        **dict.fromkeys(("gain", "learned", "low", "high"), (bands, sharp)),
        **dict.fromkeys(("noise", "error", "plain"), (bands,)),
        "lift": (bands, rank),
        "drop": (rank, bands),
    }
    if gains.weight_low is not None:
        wanted |= dict.fromkeys(INTERVALS, gains.weight.shape)
    for name, shape in wanted.items():
        if getattr(gains, name).shape != shape:
            raise ValueError(f"{name} has shape {getattr(gains, name).shape}, not {shape}")
    if len(gains.reasons) != bands:
        raise ValueError(f"{len(gains.reasons)} reasons for {bands} bands")
