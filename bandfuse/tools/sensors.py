"""Sensors: the sensors that are known, and the bands of one."""

from __future__ import annotations

from bandfuse.results.others import SensorBandInfo, SensorInfo, SensorResult, SensorsResult
from bandfuse.spectral.sensors import Sensor, SensorBand, find, known


def sensors() -> SensorsResult:
    """All sensors that come with bandfuse."""
    every = [find(name) for name in known()]
    return SensorsResult(
        sensors=[
            SensorInfo(
                name=sensor.name,
                bands=len(sensor.bands),
                low_nm=min(b.centre_nm - b.fwhm_nm / 2 for b in sensor.bands),
                high_nm=max(b.centre_nm + b.fwhm_nm / 2 for b in sensor.bands),
                measured=_measured(sensor),
            )
            for sensor in every
        ]
    )


def sensor(name: str) -> SensorResult:
    """The bands of one sensor, by its name or from a file of the user.

    Raises
    ------
    ConfigError : no sensor of this name. InputError : a file that is no table of responses.
    """
    found = find(name)
    return SensorResult(
        name=found.name,
        origin=found.origin,
        measured=_measured(found),
        bands=[_band(band) for band in found.bands],
    )


def _measured(sensor: Sensor) -> bool:
    return all(band.response is not None for band in sensor.bands)


def _band(band: SensorBand) -> SensorBandInfo:
    curve = band.nm is not None and band.response is not None
    return SensorBandInfo(
        name=band.name,
        centre_nm=band.centre_nm,
        fwhm_nm=band.fwhm_nm,
        nm=[float(v) for v in band.nm] if curve and band.nm is not None else None,
        response=[float(v) for v in band.response] if curve and band.response is not None else None,
    )
