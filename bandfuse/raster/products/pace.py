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
  OCI"; HyperCoast, ``read_pace``). What the processing has masked is the fill value.
  ``geophysical_data/l2_flags`` holds a bit for each word of its attribute ``flag_meanings``, by
  ``flag_masks``: CLDICE (probable cloud or ice), HIGLINT (glint above a threshold), HILT (radiance
  very high or saturated) and SEAICE (probable sea ice) are quality layers (NASA OB.DAAC, "Level-2
  Processing Flags"). The others speak of the processing, of geometry or of the water: ATMFAIL and
  PRODFAIL of products that are fill then, LAND of what is no fault.

Latitude and longitude of every pixel are in ``geolocation_data`` (L1B) and ``navigation_data``
(L2). Those of pixels of a coarse grid are kept as ground control points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bandfuse.errors import InputError, shorten
from bandfuse.raster.describe import Control, QualityLayer, Raster, SourceImage
from bandfuse.raster.products.control import control_points
from bandfuse.raster.products.cubes import HdfCube, cube_of, raster_of
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.hdf import Hdf
from bandfuse.raster.products.product import PUBLISHED, Format, Product
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.remarks import Remark
from bandfuse.spectral.units import number

DETECTORS = ("blue", "red", "SWIR")
SENSED = ("rhot", "Lt")
"""What L1B files hold of each detector: reflectance at the top of the atmosphere, or radiance."""

SPECTRA = ("Rrs", "rhos")
"""What of L2 files has the axis of wavelengths: remote sensing or surface reflectance."""

FLAGS = "geophysical_data/l2_flags"

MEANINGS = {"CLDICE": "cloud", "HIGLINT": "glint", "HILT": "saturated", "SEAICE": "snow"}
"""By the words of flags the reasons that they are."""

PARAMETERS = "sensor_band_parameters"

MOST = 16
"""Rows, and columns, of whose pixels the places are kept."""


def recognises(given: Given) -> bool:
    """A netCDF-4 file that says that it is of PACE's OCI, or has its detectors."""
    hdf = given.hdf
    if hdf is None:
        return False
    told = [hdf.attributes.get(name, "").strip().upper() for name in ("platform", "instrument")]
    return told == ["PACE", "OCI"] or _sensed(hdf) is not None


def open_(given: Given, source: str) -> Raster:
    """All bands of L1B, detector by detector, each in rising order of wavelength; or those of the
    spectra of L2.

    Raises
    ------
    InputError : another level, or another product of L2; or an array is missing.
    MismatchError : arrays whose sizes do not fit.
    """
    hdf = given.hdf
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
    control, said = _control(hdf, "geolocation_data", parts[0][0])
    return raster_of(hdf, "PACE OCI L1B", parts, bands, [said], control=control)


def _level2(hdf: Hdf, found: list[str], source: str) -> Raster:
    waves = _wavelengths(hdf, "wavelength_3d")
    cube = cube_of(hdf, f"geophysical_data/{found[0]}", len(waves), "rcb")
    bands = Bands.of(
        [f"{found[0]} {i}" for i in range(1, len(waves) + 1)],
        source=source,
        wavelength_nm=waves,
        fwhm_nm=_widths(hdf, "fwhm", len(waves)),
    )
    control, placed = _control(hdf, "navigation_data", cube)
    other = [Remark("part-read", f"{found[0]} is read; the file holds {f} too") for f in found[1:]]
    parts = [(cube, range(len(waves)))]
    made = raster_of(hdf, "PACE OCI L2", parts, bands, [placed, *other], control=control)
    layers = _quality(hdf)
    lacks = "" if layers else f"it holds no {FLAGS} with {', '.join(MEANINGS)}"
    return replace(made, quality=layers, no_quality=lacks)


def _quality(hdf: Hdf) -> tuple[QualityLayer, ...]:
    """The layers of the flags, each where its word says which bit it is."""
    key = FLAGS.replace("/", "_")
    words = hdf.attributes.get(f"{key}_flag_meanings", "").split()
    bits = [number(text) for text in hdf.attributes.get(f"{key}_flag_masks", "").split()]
    if FLAGS not in hdf.arrays or len(words) != len(bits):
        return ()
    found = {word: int(bit) for word, bit in zip(words, bits, strict=True) if np.isfinite(bit)}
    image = SourceImage(hdf.name(FLAGS), (1,))
    return tuple(
        QualityLayer(reason, image, hdf.path, bits=found[word])
        for word, reason in MEANINGS.items()
        if found.get(word)
    )


def _wavelengths(hdf: Hdf, name: str) -> Floats:
    """Wavelengths in nm; NaN where the file has a fill value."""
    waves = hdf.values(f"{PARAMETERS}/{name}")
    return np.where(waves > 0, waves, np.nan)


def _widths(hdf: Hdf, name: str, count: int) -> Floats:
    """Widths in nm, NaN where the file does not tell them."""
    widths = hdf.column(f"{PARAMETERS}/{name}", count)
    return np.full(count, np.nan) if widths is None else np.where(widths > 0, widths, np.nan)


def _control(hdf: Hdf, group: str, cube: HdfCube) -> tuple[Control, str]:
    """Places of the centres of some pixels, and what is said of them."""
    names, shape = (f"{group}/longitude", f"{group}/latitude"), (cube.rows, cube.cols)
    control = control_points(hdf, *names, shape, MOST)
    said = "the image is in sensor geometry, and stays so when it is read, trained and fused"
    if not control:
        return control, f"{said}: its place stays in the file's {group}"
    return control, (
        f"{said}; latitude and longitude of {len(control.points)} of its pixels, from {group}, are "
        "kept as ground control points"
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
        "and offset, and quality layers; in sensor geometry",
        PUBLISHED,
    ),
    recognises,
    open_,
)
