"""Tanager: basic and ortho scenes of radiance or surface reflectance in HDF-EOS5.

``HDFEOS/{SWATHS,GRIDS}/HYP/Data Fields/{toa_radiance,surface_reflectance}`` (bands, rows, columns)
float32, with the attributes ``wavelengths``, ``fwhm`` (nm), ``good_wavelengths`` (1 good, 0 bad;
reflectance only) and ``_FillValue``; ``nodata_pixels`` beside it is 1 where there is no data,
``beta_cloud_mask`` and ``beta_cirrus_mask`` are 1 where there are clouds and cirrus (Tanager
Product Specification, Planet, November 2025, section 3.6).

An ortho scene lies on the UTM grid of ``HDFEOS INFORMATION/StructMetadata.0``, which GDAL reads;
the attribute ``epsg_code`` of ``HDFEOS/GRIDS/HYP`` names its CRS. A basic scene is in sensor
geometry: ``Geolocation Fields/{Latitude,Longitude}`` tell where each pixel lies, on WGS 84. Public
readers: opengeos/HyperCoast ``tanager.py``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.describe import Control, QualityLayer, Raster, SourceImage, opened
from bandfuse.raster.gdal import CACHE, reason
from bandfuse.raster.products.control import control_points
from bandfuse.raster.products.cubes import cube_of, raster_of
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.hdf import Hdf
from bandfuse.raster.products.product import PUBLISHED, Format, Product
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.units import UNITS_NM, spelling

CUBES = {"surface_reflectance": "surface reflectance", "toa_radiance": "radiance"}
CUBE = re.compile(rf"HDFEOS/(GRIDS|SWATHS)/HYP/Data_Fields/({'|'.join(CUBES)})")
"""The name of a cube; GDAL writes blanks as ``_``."""

MASKS = {"cloud": "beta_cloud_mask", "cirrus": "beta_cirrus_mask"}
"""By reason the array beside the cube that says it."""

POINTS = 11
"""Ground control points of a basic scene, along its rows and its columns."""


def recognises(given: Given) -> bool:
    """An HDF5 file with a cube of Tanager's."""
    hdf = given.hdf
    return hdf is not None and _cube_in(hdf) is not None


def _cube_in(hdf: Hdf) -> re.Match[str] | None:
    """The name of the cube: reflectance where there are both."""
    found = [match for array in hdf.arrays if (match := CUBE.fullmatch(array))]
    return min(found, key=lambda match: list(CUBES).index(match[2]), default=None)


def open_(given: Given, source: str) -> Raster:
    """The cube on its map grid, or in sensor geometry with ground control points.

    Raises
    ------
    InputError : an attribute is missing, or the CRS is unknown.
    MismatchError : wavelengths, flags or a mask that do not fit the cube.
    """
    hdf = given.hdf
    assert hdf is not None
    cube = _cube_in(hdf)
    assert cube is not None
    stored = cube_of(hdf, cube[0], None)
    n, shape = stored.bands, (stored.rows, stored.cols)
    ortho = cube[1] == "GRIDS"
    place = _on_map(hdf, cube[0]) if ortho else _sensed(hdf, shape)
    folder = cube[0].rpartition("/")[0]
    flaws, said = _flaws(hdf, folder, shape)
    layers = _quality(hdf, folder)
    product = f"Tanager {'ortho' if ortho else 'basic'} {CUBES[cube[2]]}"
    made = raster_of(
        hdf,
        product,
        [(stored, range(n))],
        _bands(hdf, cube[0], n, source),
        [*place.messages, *said],
        (place.crs, place.transform),
        control=place.control,
    )
    image = replace(made.pieces[0], flaws=flaws, flaw_axes="rc" if flaws else "")
    return replace(
        made,
        pieces=(image,),
        quality=layers,
        no_quality="" if layers else f"it holds no {' or '.join(MASKS.values())}",
    )


def _of(array: str, attribute: str) -> str:
    """The name of an array's attribute among those of the root, as GDAL joins them."""
    return f"{array.replace('/', '_')}_{attribute}"


def _bands(hdf: Hdf, array: str, n: int, source: str) -> Bands:
    """The bands by the attributes of their cube."""
    columns: dict[str, Floats] = {}
    for name in ("wavelengths", "fwhm", "good_wavelengths"):
        if name == "good_wavelengths" and _of(array, name) not in hdf.attributes:
            columns[name] = np.ones(n)
            continue
        columns[name] = hdf.attribute(_of(array, name))
        if len(columns[name]) != n:
            raise MismatchError(
                f"{name} of {hdf.path} does not fit its cube",
                got=f"{len(columns[name])} numbers",
                expected=f"{n}, one per band",
            )
    units = {
        name: UNITS_NM.get(spelling(hdf.attributes.get(_of(array, f"{name}_units"), "nm")), 1.0)
        for name in ("wavelengths", "fwhm")
    }
    return Bands.of(
        [f"b{i}" for i in range(1, n + 1)],
        source=source,
        wavelength_nm=columns["wavelengths"] * units["wavelengths"],
        fwhm_nm=columns["fwhm"] * units["fwhm"],
        reason=[
            "" if flag == 1 else "flagged bad (good_wavelengths)"
            for flag in columns["good_wavelengths"]
        ],
    )


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a scene lies, and what is said of it."""

    crs: CRS | None = None
    transform: Affine = field(default_factory=Affine.identity)
    control: Control = field(default_factory=Control)
    messages: tuple[str, ...] = ()


def _on_map(hdf: Hdf, cube: str) -> _Place:
    """The grid of an ortho scene, as GDAL reads it of ``StructMetadata.0``."""
    with rasterio.Env(**CACHE), opened(hdf.name(cube)) as ds:
        crs, transform = ds.crs, ds.transform
    key = "HDFEOS_GRIDS_HYP_epsg_code"
    if key in hdf.attributes:
        code = int(hdf.attribute(key)[0])
        try:
            with rasterio.Env(**CACHE):
                crs = CRS.from_epsg(code)
        except CRSError as error:
            raise InputError(
                f"epsg_code of {hdf.path} is unknown", got=f"{code}: {reason(error)}"
            ) from error
    if transform.is_identity:
        said = "GDAL finds no grid in its StructMetadata.0: its pixels have no place on the ground"
        return _Place(messages=(said,))
    return _Place(crs, transform)


def _sensed(hdf: Hdf, shape: tuple[int, int]) -> _Place:
    """The ground control points of a basic scene, from the latitudes and longitudes of some
    pixels' centres."""
    arrays = [f"HDFEOS/SWATHS/HYP/Geolocation_Fields/{name}" for name in ("Longitude", "Latitude")]
    said = (
        "the image is in sensor geometry, and stays so when it is read, trained and fused; give "
        "the ortho scene for a map grid"
    )
    if not all(array in hdf.arrays for array in arrays):
        return _Place(messages=(said,))
    for array in arrays:
        _require_fits(hdf, array, shape)
    control = control_points(hdf, arrays[0], arrays[1], shape, POINTS)
    count = len(control.points)
    said += f"; {count} ground control points from its latitudes and longitudes go with it"
    return _Place(control=control, messages=(said,))


def _flaws(hdf: Hdf, folder: str, shape: tuple[int, int]) -> tuple[str, tuple[str, ...]]:
    """The mask of pixels without data, and what is said of it."""
    array = f"{folder}/nodata_pixels"
    if array not in hdf.arrays:
        return "", ()
    _require_fits(hdf, array, shape)
    return hdf.name(array), ("pixels that nodata_pixels flags are taken as missing",)


def _quality(hdf: Hdf, folder: str) -> tuple[QualityLayer, ...]:
    """The masks of clouds that are beside the cube."""
    return tuple(
        QualityLayer(reason, SourceImage(hdf.name(f"{folder}/{mask}"), (1,)), hdf.path, (1,))
        for reason, mask in MASKS.items()
        if f"{folder}/{mask}" in hdf.arrays
    )


def _require_fits(hdf: Hdf, array: str, shape: tuple[int, int]) -> None:
    with rasterio.Env(**CACHE), opened(hdf.name(array)) as ds:
        if ds.shape != shape:
            raise MismatchError(
                f"{array} of {hdf.path} does not fit its cube",
                got=f"{ds.height} × {ds.width} pixels",
                expected=f"{shape[0]} × {shape[1]}",
            )


TANAGER = Product(
    Format(
        "Tanager basic and ortho, radiance and surface reflectance",
        "the .h5 file",
        "wavelengths, FWHM, good_wavelengths, fill, nodata_pixels; the map grid of ortho scenes, "
        "ground control points of basic scenes; quality layers",
        PUBLISHED,
    ),
    recognises,
    open_,
)
