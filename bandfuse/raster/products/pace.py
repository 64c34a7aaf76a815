"""PACE OCI: L1B top-of-atmosphere reflectance and L2 spectra in netCDF-4, in sensor geometry.

The root says ``platform`` PACE, ``instrument`` OCI and ``processing_level``.

- L1B: ``observation_data/rhot_{blue,red,SWIR}`` (bands, scans, pixels), or ``Lt_*`` for radiance;
  ``sensor_band_parameters/{blue,red,SWIR}_wavelength`` and ``SWIR_bandpass``, nm. Bands of blue and
  red have no widths in the file. The detectors overlap near 600 nm, and SWIR has two bands of two
  gains near 1250 and 1617 nm: all are bands. (NASA OB.DAAC, OCI Level-1B Data Structure; satpy,
  ``pace_oci_l1b_nc``.)
- L2: ``geophysical_data/Rrs`` (AOP) or ``rhos`` (SFREFL), (number_of_lines, pixels_per_line,
  wavelength_3d); ``sensor_band_parameters/wavelength_3d``, nm; often int16 with ``scale_factor``,
  ``add_offset`` and ``_FillValue`` (NASA OB.DAAC, "File Structure at Three Processing Levels for
  OCI"; HyperCoast, ``read_pace``). ``l2_flags`` is not used; what the processing has masked is the
  fill value.

Latitude and longitude of every pixel are in ``geolocation_data`` (L1B) and ``navigation_data``
(L2)."""

from __future__ import annotations

import numpy as np

from bandfuse.errors import InputError, shorten
from bandfuse.raster.describe import Raster
from bandfuse.raster.products.cubes import cube_of, raster_of
from bandfuse.raster.products.hdf import Hdf, hdf_of
from bandfuse.raster.products.product import PUBLISHED, Format, Product
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.remarks import Remark

DETECTORS = ("blue", "red", "SWIR")
SENSED = ("rhot", "Lt")
"""What L1B files hold of each detector: reflectance at the top of the atmosphere, or radiance."""

SPECTRA = ("Rrs", "rhos")
"""What of L2 files has the axis of wavelengths: remote sensing or surface reflectance."""

PARAMETERS = "sensor_band_parameters"


def recognises(path: str) -> bool:
    """A netCDF-4 file that says that it is of PACE's OCI, or has its detectors."""
    hdf = hdf_of(path)
    if hdf is None:
        return False
    told = [hdf.attributes.get(name, "").strip().upper() for name in ("platform", "instrument")]
    return told == ["PACE", "OCI"] or _sensed(hdf) is not None


def open_(path: str, source: str) -> Raster:
    """All bands of L1B, detector by detector, each in rising order of wavelength; or those of the
    spectra of L2.

    Raises
    ------
    InputError : another level, or another product of L2; or an array is missing.
    MismatchError : arrays whose sizes do not fit.
    """
    hdf = hdf_of(path)
    assert hdf is not None
    sensed = _sensed(hdf)
    if sensed is not None:
        return _level1(hdf, sensed, source)
    found = [name for name in SPECTRA if f"geophysical_data/{name}" in hdf.arrays]
    if not found:
        raise _not_read(hdf)
    return _level2(hdf, found, source)


def _sensed(hdf: Hdf) -> str | None:
    """What an L1B file holds of its detectors; None for other files."""
    held = (s for s in SENSED if any(f"observation_data/{s}_{d}" in hdf.arrays for d in DETECTORS))
    return next(held, None)


def _level1(hdf: Hdf, sensed: str, source: str) -> Raster:
    parts, names, nm, fwhm = [], list[str](), list[Floats](), list[Floats]()
    for detector in DETECTORS:
        array = f"observation_data/{sensed}_{detector}"
        hdf.require(array, "PACE OCI L1B product")
        waves = _wavelengths(hdf, f"{detector}_wavelength")
        order = np.argsort(waves, kind="stable").tolist()
        parts.append((cube_of(hdf, array, len(waves)), order))
        names += [f"{detector} {i + 1}" for i in order]
        nm.append(waves[order])
        fwhm.append(_widths(hdf, f"{detector}_bandpass", len(waves))[order])
    bands = Bands.of(
        names, source=source, wavelength_nm=np.concatenate(nm), fwhm_nm=np.concatenate(fwhm)
    )
    said = [_unplaced("geolocation_data")]
    return raster_of(hdf, "PACE OCI L1B", parts, bands, said)


def _level2(hdf: Hdf, found: list[str], source: str) -> Raster:
    waves = _wavelengths(hdf, "wavelength_3d")
    cube = cube_of(hdf, f"geophysical_data/{found[0]}", len(waves), "rcb")
    bands = Bands.of(
        [f"{found[0]} {i}" for i in range(1, len(waves) + 1)],
        source=source,
        wavelength_nm=waves,
        fwhm_nm=_widths(hdf, "fwhm", len(waves)),
    )
    said = [_unplaced("navigation_data")]
    if len(found) > 1:
        said.append(Remark("part-read", f"{found[0]} is read; the file holds {found[1]} too"))
    return raster_of(hdf, "PACE OCI L2", [(cube, range(len(waves)))], bands, said)


def _wavelengths(hdf: Hdf, name: str) -> Floats:
    """Wavelengths in nm; NaN where the file has a fill value."""
    waves = hdf.values(f"{PARAMETERS}/{name}")
    return np.where(waves > 0, waves, np.nan)


def _widths(hdf: Hdf, name: str, count: int) -> Floats:
    """Widths in nm, NaN where the file does not tell them."""
    widths = hdf.column(f"{PARAMETERS}/{name}", count)
    return np.full(count, np.nan) if widths is None else np.where(widths > 0, widths, np.nan)


def _unplaced(group: str) -> str:
    return (
        "the image is in sensor geometry, and is read and written so: it has no map grid, and the "
        f"latitude and longitude of its pixels stay in the file's {group}"
    )


def _not_read(hdf: Hdf) -> InputError:
    """What is said of other levels and products."""
    level = hdf.attributes.get("processing_level", "").strip() or "of an unknown level"
    held = shorten([array.rsplit("/", 1)[-1] for array in hdf.arrays], 4) if hdf.arrays else ""
    mapped = next((name for name in SPECTRA if hdf.holds(name)), None)
    other = "" if mapped is None else f' Its map is read as NETCDF:"{hdf.path}":{mapped}.'
    return InputError(
        f"{hdf.path} is not a PACE OCI product that bandfuse reads",
        got=f"PACE OCI {level}" + (f" with {held}" if held else ""),
        expected="L1B, L2 AOP (Rrs) or L2 SFREFL (rhos)",
        remedy=f"Give the .nc file of one of these.{other}",
    )


PACE = Product(
    Format(
        "PACE OCI L1B, L2 AOP, L2 SFREFL",
        "the .nc file",
        "blue, red and SWIR joined, wavelengths, FWHM of SWIR; of L2, Rrs or rhos with fill, scale "
        "and offset; in sensor geometry",
        PUBLISHED,
    ),
    recognises,
    open_,
)
