"""Moments: the settings of ``bandfuse moments``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bandfuse.config.outputs import Replacing
from bandfuse.config.train import Gathering
from bandfuse.goals import TRAINED_ON


class Keeping(Replacing):
    """What the file of moments holds."""

    section: ClassVar[str] = "Outputs"

    output: str | None = Field(None, description="File of moments to write.")
    noise: bool = Field(
        False,
        description="Also gather the differences of neighbouring pixels, which --objective snr "
        "needs.",
    )
    sample: Annotated[int, Field(ge=0)] | Literal["all", "none"] | None = Field(
        None,
        description="Pixels that are kept as they are, which losses and activations are trained "
        "on and some scores rest on; all; or none (0). By default "
        f"{TRAINED_ON}, and none with --least-pixels.",
    )
    least_pixels: int = Field(
        0,
        ge=0,
        description="Pixels that every block has at least, so that no number in the file tells the "
        "values of fewer: smaller blocks are merged, classes with fewer pixels in a block are left "
        "out, and neither pixels nor extremes are kept. At least twice the number of bands and "
        "targets, four times with --noise: pixels can be computed from moments of fewer.",
    )


class MomentsConfig(Keeping, Gathering):
    """Settings of ``bandfuse moments``."""

    most_used: ClassVar[tuple[str, ...]] = (
        *("target", "labels", "source", "mask", "quality"),
        *("output", "overwrite", "noise", "sample", "least_pixels"),
    )
