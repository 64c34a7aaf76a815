"""Fusing: commands that write rasters."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.cli import show
from bandfuse.cli.declaring import Outcome, command
from bandfuse.cli.flags import Weights

if TYPE_CHECKING:
    from bandfuse.config.commands import ApplyConfig, ResampleConfig, SharpenConfig


@command("ApplyConfig", from_file=True)
def apply(weights: Weights, settings: ApplyConfig, keep: list[Path]) -> Outcome:
    """Fuse rasters of any size with saved weights.

    \b
    Examples:
      bandfuse apply run other.tif -o fused.tif
      bandfuse apply run fused.tif --inverse -o cube.tif
      bandfuse apply run enmap.tif --resample -o fused.tif
    """
    from bandfuse.tools.apply import apply as tool

    result = tool(weights, settings, show.progress(), keep=keep)
    return Outcome(result, partial(show.applied, result), result.messages)


@command("ResampleConfig", from_file=True)
def resample(settings: ResampleConfig, keep: list[Path]) -> Outcome:
    """Make the bands of a known sensor from cubes, by its published responses; nothing is learned.

    \b
    Examples:
      bandfuse resample cube.tif --sensor sentinel-2a -o s2.tif
      bandfuse resample cube.tif --sensor mine.csv --weights-only -o w.safetensors
    """
    from bandfuse.cli.show_rasters import show_resampled
    from bandfuse.tools.resample import resample as tool

    result = tool(settings, show.progress(), keep=keep)
    return Outcome(result, partial(show_resampled, result), result.messages)


@command("SharpenConfig", from_file=True)
def sharpen(settings: SharpenConfig, keep: list[Path]) -> Outcome:
    """Bring a cube to the resolution of a sharper image, by learned gains; write a run folder.

    \b
    Examples:
      bandfuse sharpen cube.tif pan.tif -o run
      bandfuse sharpen other.tif other_pan.tif --weights run -o sharp.tif
    """
    from bandfuse.cli.show_sharpen import show_sharpened
    from bandfuse.tools.sharpen import sharpen as tool

    result = tool(settings, show.progress(), keep=keep)
    return Outcome(result, partial(show_sharpened, result), result.messages)
