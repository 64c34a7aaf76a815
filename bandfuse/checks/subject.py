"""Subject: the raster that is checked, under the name that messages use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bandfuse.checks.look import PixelLook
from bandfuse.raster import Header, Raster
from bandfuse.results.rasters import Finding


@dataclass(frozen=True, eq=False)
class Subject:
    """One raster under the lens: its description, the look at its pixels, and what its texts
    say."""

    raster: Raster
    look: PixelLook
    header: Header
    unit: str | None


Check = Callable[[Subject], Iterator[Finding]]
"""What is asked of one raster."""

PairCheck = Callable[[Subject, Subject], Iterator[Finding]]
"""What is asked of a scene and its target."""
