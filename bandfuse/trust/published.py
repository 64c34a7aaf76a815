"""Published: learned weights compared with the published responses of a sensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandfuse.errors import MismatchError, shorten
from bandfuse.results.training import PublishedResponse
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.lobe import main_lobe, outside
from bandfuse.spectral.resampling import Covered, published
from bandfuse.spectral.sensors import Sensor, SensorBand, find


def pairing(names: Sequence[str], sensor: Sensor) -> dict[int, int]:
    """The sensor's band of each output: by names (capitals do not matter), else by order where the
    numbers are equal. Where some names are known, outputs of other names have none.

    Raises
    ------
    MismatchError : neither.
    """
    place = {name.casefold(): i for i, name in enumerate(sensor.names)}
    found = {k: place[name.casefold()] for k, name in enumerate(names) if name.casefold() in place}
    if found:
        return found
    if len(names) != len(sensor.bands):
        raise MismatchError(
            f"outputs cannot be compared with the bands of {sensor.name}",
            got=f"outputs {shorten(names)}",
            expected=f"some of {shorten(sensor.names)}, or {len(sensor.bands)} outputs in their "
            "order",
        )
    return {k: k for k in range(len(names))}


def require_comparable(name: str, bands: Bands, outputs: Sequence[str]) -> None:
    """Refuse a comparison that cannot be made, before pixels are read.

    Raises
    ------
    ConfigError, InputError, MismatchError : no such sensor; no wavelengths; outputs that are not
        its bands."""
    sensor = find(name)
    pairing(outputs, sensor)
    published(sensor, bands)


def compare(
    name: str, bands: Bands, outputs: Sequence[str], matrix: Floats
) -> dict[int, PublishedResponse]:
    """How each output with weights ``matrix`` (K, B) compares with the sensor's band that it is to
    match."""
    sensor = find(name)
    theirs = published(sensor, bands)
    return {
        k: _row(sensor.bands[i], theirs, i, matrix[k], bands)
        for k, i in pairing(outputs, sensor).items()
    }


def _row(
    band: SensorBand, theirs: Covered, i: int, learned: Floats, bands: Bands
) -> PublishedResponse:
    nm = np.where(np.isfinite(bands.wavelength_nm), bands.wavelength_nm, 0.0)
    truth, size = theirs.weight[i], np.abs(learned)
    positive = bool((learned >= 0).all() and learned.any())
    theirs_lobe, ours = main_lobe(truth, nm), main_lobe(learned, nm) if positive else None
    centre = None if theirs_lobe is None else theirs_lobe.centre
    return PublishedResponse(
        band=band.name,
        coverage=float(theirs.coverage[i]),
        centre_nm=centre,
        shift_nm=None if ours is None or centre is None else ours.centre - centre,
        similarity=_cosine(learned, truth),
        out_of_band=float(outside(size, nm, band.centre_nm, band.fwhm_nm)) if size.any() else None,
        out_of_band_published=float(outside(truth, nm, band.centre_nm, band.fwhm_nm))
        if truth.any()
        else None,
        weights={b + 1: float(truth[b] * learned.sum()) for b in range(len(bands)) if truth[b]},
    )


def _cosine(a: Floats, b: Floats) -> float | None:
    """Cosine of the angle between two vectors; None where one has no direction."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else None
