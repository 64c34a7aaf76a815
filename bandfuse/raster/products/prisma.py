"""PRISMA: radiance (L1, L2B) and reflectance (L2C, L2D) in HDF-EOS5; L2D on a map grid, the others
in sensor geometry.

The file itself stands for its two cubes of co-registered bands, ``FILE:PAN`` for its panchromatic
image, ``FILE:HRC`` for the cubes of L1 before the detectors were registered to each other (PRISMA
Products Specification Document, ASI):

- Level 1: radiance = DN / ScaleFactor − Offset, from ``ScaleFactor_*`` and ``Offset_*``. Level 2:
  Min + DN · (Max − Min) / 65535, from ``L2Scale*Min`` and ``L2Scale*Max``; DN 0 is no data.
- ``List_Cw_*`` and ``List_Fwhm_*``, nm, in falling order; 0 for a band that is not there.
- ``*_PIXEL_SAT_ERR_MATRIX`` of level 1: 0 good, 1 defective, 2 saturated, 3 less accurate after
  co-registration, 4 not finite. ``*_PIXEL_L2_ERR_MATRIX`` of level 2: 0 good, 1 invalid in L1, 2
  negative after the atmospheric correction, 4 saturated. The panchromatic image has its own.
- L2D: ``Product_{UL,LR}corner_{easting,northing}``: the centres of the corner pixels, in
  ``Epsg_Code``. Others: latitude and longitude of every pixel, from which ground control points are
  taken.
- ``{Cloud,SunGlint,LandCover}_Mask`` (rows, columns), in L1 only: cloud or glint is 1; land cover
  is 0 for water and 1 for snow; 10 is none of the classes, 255 an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rasterio.transform import Affine

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.describe import Control, QualityLayer, Raster, SourceImage
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.hdf import Hdf, hdf_of
from bandfuse.raster.products.prisma_images import Image, Level, detector, level_of, panchromatic
from bandfuse.raster.products.prisma_place import control, map_place, pan_place
from bandfuse.raster.products.product import ATTRIBUTES_OF, SYNTHETIC, Format, Product
from bandfuse.spectral.bands import Bands

PARTS = {"": "HCO", "HRC": "HRC", "PAN": "PCO"}
"""The swaths of a file, by what is written behind its name."""
MASKS = {
    "cloud": ("Cloud_Mask", 1),
    "glint": ("SunGlint_Mask", 1),
    "water": ("LandCover_Mask", 0),
    "snow": ("LandCover_Mask", 1),
}
"""By reason the array that says it, and the value that does."""


def recognises(given: Given) -> bool:
    """An HDF5 file with PRISMA's swaths, or that says that it is PRISMA's; or a part of one, as
    FILE:PAN."""
    if _folder_of(given.path):
        return True
    hdf = _hdf(given)
    return hdf is not None and (
        any("SWATHS/PRS_L" in a for a in hdf.arrays)
        or hdf.attributes.get("Product_ID", "").startswith("PRS_L")
    )


def _hdf(given: Given) -> Hdf | None:
    """What the file holds that is given, or of which a part is."""
    file, part = _parted(given.path)
    return hdf_of(file) if part else given.hdf


def _parted(path: str) -> tuple[str, str]:
    """The file, and which part of it is meant, in upper case; empty for its cubes."""
    match = re.fullmatch(r"(.+):(\w+)", path)
    if match is None or Path(path).exists() or not Path(match[1]).is_file():
        return path, ""
    return match[1], match[2].upper()


def _folder_of(path: str) -> str:
    """The folder of which a part is asked, as FOLDER:PAN; empty for others."""
    folder, _, part = path.rpartition(":")
    asked = part.upper() in PARTS and part != "" and Path(folder).is_dir()
    return folder if asked and not Path(path).exists() else ""


def _require_file(path: str) -> None:
    """Parts are of files, not of folders."""
    folder = _folder_of(path)
    if not folder:
        return
    part = path.rpartition(":")[2]
    held = sorted(str(p) for p in Path(folder).iterdir() if p.suffix.lower() == ".he5")
    raise InputError(
        f"{folder} is a folder, and {part} is a part of a file of PRISMA",
        got=path,
        expected=f"{held[0] if held else 'FILE.he5'}:{part}",
    )


def open_(given: Given, source: str) -> Raster:
    """VNIR, then SWIR, each in rising order of wavelength; or the panchromatic image.

    Raises
    ------
    InputError : another level, an unknown part, or an array or attribute is missing.
    MismatchError : arrays whose sizes do not fit.
    """
    path = given.path
    _require_file(path)
    file, part = _parted(path)
    hdf = _hdf(given)
    assert hdf is not None
    level = level_of(hdf)
    if part not in PARTS or (part == "HRC" and level.name != "L1"):
        raise InputError(
            f"{file} has no part {part}",
            got=path,
            expected=f"{file}, {file}:PAN" + (f" or {file}:HRC" if level.name == "L1" else ""),
        )
    _require_swath(hdf, level, PARTS[part])
    if part == "PAN":
        return _pan(hdf, level, path, source)
    return _cubes(hdf, level, path, source, part)


def _require_swath(hdf: Hdf, level: Level, kind: str) -> None:
    """The images of a kind must be there."""
    if not any(a.startswith(f"{level.swath(kind)}/Data_Fields") for a in hdf.arrays):
        raise InputError(
            f"{hdf.path} is not a complete {level.product} product",
            got=f"no {level.swath(kind)}/Data_Fields",
            expected="the images of its level",
        )


def _cubes(hdf: Hdf, level: Level, path: str, source: str, part: str) -> Raster:
    """The cubes of both detectors."""
    images = [detector(hdf, level, PARTS[part], name, source) for name in ("VNIR", "SWIR")]
    vnir, swir = images
    if vnir.shape != swir.shape:
        raise MismatchError(
            f"the cubes of {hdf.path} differ",
            got=f"{vnir.shape} and {swir.shape}",
            expected="equal sizes",
        )
    said = [_flagged(level, images)]
    if part:
        said.append("the two detectors are not registered to each other in this part")
    pan = f"{level.swath('PCO')}/Data_Fields/Cube" in hdf.arrays
    sharper = f"{hdf.path}:PAN" if pan else ""
    if pan:
        said.append(f"its panchromatic image is read as {sharper}")
    layers = quality_of(hdf, level.swath(PARTS[part]))
    found = replace(
        _raster(path, hdf, f"{level.product} {part}".rstrip(), images, said),
        quality=layers,
        no_quality="" if layers else "it holds no cloud mask, which is in the L1 file",
        sharper=sharper,
    )
    if level.on_map:
        crs, transform = map_place(hdf, *vnir.shape)
        return replace(found, crs=crs, transform=transform)
    return _sensed(found, control(hdf, level.swath(PARTS[part]), vnir.shape))


def _pan(hdf: Hdf, level: Level, path: str, source: str) -> Raster:
    """The panchromatic image."""
    image = panchromatic(hdf, level, source)
    found = replace(
        _raster(path, hdf, f"{level.product} PAN", [image], [_flagged(level, [image])]),
        no_quality="no cloud mask lies on the grid of its panchromatic image",
    )
    if not level.on_map:
        return _sensed(found, control(hdf, level.swath("PCO"), image.shape))
    cube = detector(hdf, level, PARTS[""], "VNIR", source)
    crs, transform, said = pan_place(hdf, cube.shape, *image.shape)
    return replace(found, crs=crs, transform=transform, messages=(*found.messages, *said))


def _raster(
    path: str, hdf: Hdf, product: str, images: Sequence[Image], said: Sequence[str]
) -> Raster:
    """Images of one size as one raster that lies nowhere yet."""
    counts = [len(image.bands) for image in images]
    named = [image.bands for image in images]
    rows, cols = images[0].shape
    return Raster(
        path=path,
        driver="HDF5Image",
        rows=rows,
        cols=cols,
        dtypes=tuple(image.dtype for image in images for _ in range(len(image.bands))),
        crs=None,
        transform=Affine.identity(),
        bands=Bands.of(
            [name for bands in named for name in bands.name],
            source=named[0].source[0],
            wavelength_nm=np.concatenate([bands.wavelength_nm for bands in named]),
            fwhm_nm=np.concatenate([bands.fwhm_nm for bands in named]),
        ),
        nodata=np.repeat([image.nodata for image in images], counts),
        scale=np.repeat([image.scale for image in images], counts),
        offset=np.repeat([image.offset for image in images], counts),
        stored=images[0].blocks,
        messages=tuple(said),
        files=(hdf.path,),
        product=product,
        pieces=tuple(image.piece for image in images),
    )


def quality_of(hdf: Hdf, swath: str) -> tuple[QualityLayer, ...]:
    """The masks that a swath holds, on the grid of its cubes."""
    found = {
        reason: (f"{swath}/Data_Fields/{mask}", value) for reason, (mask, value) in MASKS.items()
    }
    return tuple(
        QualityLayer(reason, SourceImage(hdf.name(array), (1,)), hdf.path, (value,))
        for reason, (array, value) in found.items()
        if array in hdf.arrays
    )


def _flagged(level: Level, images: Sequence[Image]) -> str:
    """What is said of the matrices of pixel errors."""
    if all(image.piece.flaws for image in images):
        return f"values that the pixel error matrices flag ({level.flagged}) are taken as missing"
    return (
        "there is no pixel error matrix for every cube: values that it would flag "
        f"({level.flagged}) may be in it"
    )


def _sensed(raster: Raster, points: Control) -> Raster:
    """An image in sensor geometry, with its ground control points."""
    place = (
        f"{len(points.points)} ground control points from its latitudes and longitudes tell where "
        "it lies"
        if points
        else "the file does not tell where it lies"
    )
    said = f"the image is in sensor geometry, and is read, trained and written so; {place}"
    return replace(raster, control=points, messages=(*raster.messages, said))


PRISMA = Product(
    Format(
        "PRISMA L2D, L2C, L2B, L1",
        "the .he5 file; FILE:PAN for its panchromatic image, FILE:HRC for L1 without "
        "co-registration",
        "VNIR and SWIR joined, wavelengths rising, absent bands left out, FWHM, scale; CRS of L2D, "
        "ground control points of the others; flagged pixels missing",
        f"L2D: {ATTRIBUTES_OF}; others: {SYNTHETIC}",
    ),
    recognises,
    open_,
)
