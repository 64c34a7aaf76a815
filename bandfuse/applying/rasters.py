"""Rasters: the fused rasters of several scenes, by the settings of a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bandfuse.applying.fuse import NOTHING, Output, Writing, fuse_to
from bandfuse.applying.outputs import creation, empty_messages, encoding_of, store_messages
from bandfuse.config.commands import ApplyConfig, ResampleConfig
from bandfuse.device import Place, require_device
from bandfuse.export.qml import unstyled
from bandfuse.files.whole import Ready
from bandfuse.progress import Progress
from bandfuse.scenes.scene import Scene
from bandfuse.streaming.budget import Effort


def writing_of(
    config: ApplyConfig | ResampleConfig,
    progress: Progress,
    effort: Effort,
    inputs: Sequence[Path],
    ready: Ready | None = None,
) -> Writing:
    """How a command writes rasters, none of which takes the place of its inputs.

    Raises
    ------
    ConfigError : settings of the outputs that exclude each other, or no such device.
    """
    if effort.spread is None:
        require_device(effort.device)
    return Writing(
        encoding_of(config),
        effort,
        progress,
        creation(config),
        inputs,
        ready,
        stac=config.stac,
        style=config.style,
        precision=config.precision,
    )


def paths_of(scenes: Sequence[Scene]) -> list[Path]:
    """All that is read for scenes."""
    return [path for scene in scenes for path in scene.paths]


@dataclass(frozen=True)
class Written:
    """Rasters that were written: the ``share`` of their values that is valid, None where there are
    none; how many were ``clipped``; what a user should know; and where they were computed."""

    share: float | None
    clipped: int
    messages: list[str]
    places: tuple[Place, ...]


def write_all(outputs: Sequence[Output], how: Writing) -> Written:
    """Write rasters one after the other."""
    counts = [fuse_to(output, how) for output in outputs]
    done = sum((part for _, part in counts), NOTHING)
    values = sum(output.values for output in outputs)
    drivers, scenes = [o.driver for o in outputs], [o.scene for o in outputs]
    messages = [
        *store_messages(drivers, scenes),
        *done.lost.messages(how.encoding, values),
        *empty_messages([o.path for o in outputs], [valid for valid, _ in counts]),
        *(unstyled((o.path.name, o.fusion.outputs) for o in outputs) if how.style else []),
    ]
    share = sum(valid for valid, _ in counts) / values if values else None
    return Written(share, done.lost.clipped, messages, done.places)
