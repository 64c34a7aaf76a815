"""Kinds: which of bandfuse's own files a file is, by the metadata of its safetensors header."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

WEIGHTS_KEY, MOMENTS_KEY = "bandfuse", "bandfuse_moments"
"""The keys of the metadata of a weights file, and of a file of moments."""


def tells(path: str | Path, key: str) -> bool:
    """Whether this is a safetensors file whose metadata have a key; pipes and devices are not
    opened."""
    try:
        if not Path(path).is_file():
            return False
        with safe_open(str(path), framework="numpy") as file:
            return key in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError):
        return False


def is_weights(path: str | Path) -> bool:
    """Whether this is a weights file."""
    return tells(path, WEIGHTS_KEY)


def is_moments(path: str | Path) -> bool:
    """Whether this is a file of moments."""
    return tells(path, MOMENTS_KEY)
