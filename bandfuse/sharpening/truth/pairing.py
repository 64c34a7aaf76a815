"""Pairing: which bands of a true cube are those of a sharpened one."""

from __future__ import annotations

import numpy as np

from bandfuse.errors import MismatchError
from bandfuse.raster import Raster
from bandfuse.scenes.scene import target_bands, target_names
from bandfuse.spectral.band_order import require_order
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.resampling import tolerance


def true_bands(bands: Bands, truth: Raster | None) -> dict[int, int]:
    """By number of a band the position of its true band: the nearest by wavelength, within half of
    its FWHM (half of the spacing where no FWHM is known), each taken once; by order where
    wavelengths are not known.

    Raises
    ------
    MismatchError : bands cannot be paired.
    """
    assert truth is not None
    there = target_bands(truth)
    nm = truth.bands.wavelength_nm[there]
    known = np.isfinite(nm).all() and np.isfinite(bands.wavelength_nm).all()
    if not known and len(there) == len(bands):
        names = target_names(truth)
        if names is not None:
            require_order(f"target {truth.path}", names, list(bands.name))
        return dict(enumerate(there))
    if not known:
        raise MismatchError(
            f"the bands of the true cube {truth.path} cannot be paired with the sharpened ones",
            got=f"{len(there)} and {len(bands)} bands, without all wavelengths",
            expected="as many bands, or wavelengths of all bands of both",
            remedy="--wavelengths FILE tells those of the sharpened raster.",
        )
    pairs = nearest_pairs(bands, nm)
    if not pairs:
        raise MismatchError(
            f"the true cube {truth.path} has no band at the wavelength of a sharpened one",
            got=f"{nm.min():.1f} to {nm.max():.1f} nm",
            expected=f"bands in {bands.wavelength_nm.min():.1f} to {bands.wavelength_nm.max():.1f} "
            "nm",
        )
    return {i: there[j] for i, j in pairs.items()}


def nearest_pairs(bands: Bands, nm: Floats) -> dict[int, int]:
    """By number of a band that of the nearest of some wavelengths, the nearest pairs first."""
    allowed = tolerance(bands)
    if len(nm) == len(bands) and (np.abs(nm - bands.wavelength_nm) <= allowed).all():
        return {i: i for i in range(len(bands))}
    far = np.abs(bands.wavelength_nm[:, None] - nm[None])
    here, there = np.nonzero(far <= allowed[:, None])
    found: dict[int, int] = {}
    taken: set[int] = set()
    for k in np.argsort(far[here, there], kind="stable"):
        i, j = int(here[k]), int(there[k])
        if i not in found and j not in taken:
            found[i] = j
            taken.add(j)
    return found
