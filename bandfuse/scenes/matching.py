"""Matching: whether scenes have the same bands."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bandfuse.errors import MismatchError, shorten
from bandfuse.scenes.scene import Scene, unplaced
from bandfuse.spectral.band_order import require_order
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.resampling import tolerance

RESAMPLE = "Use --resample to move the weights to bands of other wavelengths."
APPLY = "bandfuse apply --resample moves the weights to bands of other wavelengths."
"""What is advised where weights can be moved, and where they cannot."""


def check_inputs(
    scene: Scene, expected: Bands, *, of: str = "the weights", remedy: str = ""
) -> None:
    """A scene must have the bands that weights were learned for.

    Band counts per source must agree; where both have wavelengths, these may differ by half a FWHM
    at most (by half the spacing of the bands where no FWHM is known). Where wavelengths are
    unknown, no band may have the name of another one.

    Parameters
    ----------
    of : what has the expected bands, in messages. remedy : for other bands than these.

    Raises
    ------
    MismatchError : naming the first band that differs.
    """
    bands = scene.bands
    if bands.sources != expected.sources and len(bands.sources) != len(expected.sources):
        raise MismatchError(
            f"scene {scene.key!r} has other sources than the weights",
            got=shorten(bands.sources),
            expected=shorten(expected.sources),
            remedy="Give each with --source NAME=PATH.",
        )
    if len(bands) != len(expected):
        raise MismatchError(
            f"scene {scene.key!r} has another number of bands than {of}",
            got=f"{_bands(len(bands))} in {shorten(r.path for r in scene.rasters)}",
            expected=_bands(len(expected)),
            remedy=remedy,
        )
    if bands.sources != expected.sources:
        raise MismatchError(
            f"scene {scene.key!r} has sources of other names than the weights",
            got=shorten(bands.sources),
            expected=shorten(expected.sources),
        )
    if bands.source != expected.source:
        got, want = Counter(bands.source), Counter(expected.source)
        raise MismatchError(
            f"sources of scene {scene.key!r} have other numbers of bands than the weights",
            got=shorten(f"{name} with {n}" for name, n in got.items()),
            expected=shorten(f"{name} with {n}" for name, n in want.items()),
        )
    for name, names, wanted in unplaced(bands, expected):
        of = f"scene {scene.key!r}" + (f", source {name!r}," if len(bands.sources) > 1 else "")
        require_order(of, names, wanted)
    apart = np.abs(bands.wavelength_nm - expected.wavelength_nm)
    allowed = tolerance(expected)
    off = np.flatnonzero(np.nan_to_num(apart, nan=0.0) > allowed)
    if len(off):
        i = int(off[np.argmax(apart[off])])
        raise MismatchError(
            f"{len(off)} bands of scene {scene.key!r} lie at other wavelengths than {of}",
            got=f"{bands.label(i)}",
            expected=f"{expected.wavelength_nm[i]:.1f} nm within {allowed[i]:.1f} nm",
            remedy=remedy,
        )


def _bands(count: int) -> str:
    """A number of bands.

    >>> _bands(1), _bands(4)
    ('1 band', '4 bands')
    """
    return "1 band" if count == 1 else f"{count} bands"
