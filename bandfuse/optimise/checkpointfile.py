"""The checkpoint file: a safetensors file with the state of every descent of a training. No pickle.

Tensors are named ``part|name``; one metadata key, ``bandfuse-checkpoint``, holds JSON: the settings
of the training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bandfuse.errors import InputError

KEY = "bandfuse-checkpoint"
States = dict[str, dict[str, NDArray[Any]]]
"""Tensors by part, then by name."""


def dumps(settings: Mapping[str, Any], states: States) -> bytes:
    """The bytes of a checkpoint."""
    tensors = {
        f"{part}|{name}": np.asarray(t, order="C")
        for part, state in states.items()
        for name, t in state.items()
    }
    text = json.dumps(settings, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return bytes(save(tensors, metadata={KEY: text}))


def load(path: Path) -> tuple[dict[str, Any], States]:
    """The settings and states of a checkpoint.

    Raises
    ------
    InputError : not a checkpoint, or damaged.
    """
    states: States = {}
    try:
        with safe_open(str(path), framework="numpy") as file:
            settings = json.loads((file.metadata() or {})[KEY])
            for name in file.keys():  # noqa: SIM118 (not a dict)
                part, _, key = name.partition("|")
                states.setdefault(part, {})[key] = file.get_tensor(name)
    except (
        SafetensorError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        RecursionError,
    ) as error:
        raise InputError(
            f"{path} is not a checkpoint of bandfuse",
            got=str(error),
            remedy="Choose another file for --checkpoint, or delete this one.",
        ) from error
    return settings, states
