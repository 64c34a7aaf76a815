"""Small files with the published structure of Tanager, NEON AOP and Wyvern, written with h5py and
rasterio from seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from published import Made
from rasterio.crs import CRS
from rasters import spectra, write_tiff

# ----------------------------------------------------------------------------------------- Tanager

TANAGER_PLACE = (570300.0, 30.0, 0.0, 3555450.0, 0.0, -30.0)
"""GDAL's transform of an ortho product, with the upper left corner of Planet's example."""


def struct_metadata(kind: str, cube: str, sizes: tuple[int, int, int], zone: int = 13) -> str:
    """``StructMetadata.0`` as the Tanager Product Specification prints it."""
    bands, rows, cols = sizes
    x, y = TANAGER_PLACE[0], TANAGER_PLACE[3]
    dims = ("Band", "YDim", "XDim") if kind == "GRID" else ("Band", "Line", "Pixel")
    listed = "".join(
        f'\t\t\tOBJECT=Dimension_{i}\n\t\t\t\tDimensionName="{name}"\n\t\t\t\tSize={size}\n'
        f"\t\t\tEND_OBJECT=Dimension_{i}\n"
        for i, (name, size) in enumerate(zip(dims, sizes, strict=True), 1)
    )
    fields = "".join(
        f'\t\t\tOBJECT=DataField_{i}\n\t\t\t\tDataFieldName="{name}"\n'
        f"\t\t\t\tDataType=H5T_NATIVE_FLOAT\n\t\t\t\tDimList=({axes})\n\t\t\t\tMaxdimList=({axes})\n"
        f"\t\t\tEND_OBJECT=DataField_{i}\n"
        for i, (name, axes) in enumerate(
            (
                (cube, ",".join(f'"{d}"' for d in dims)),
                ("nodata_pixels", ",".join(f'"{d}"' for d in dims[1:])),
            ),
            1,
        )
    )
    title, name = ("Grid", "GridName") if kind == "GRID" else ("Swath", "SwathName")
    where = (
        f"\t\tBand={bands}\n\t\tXDim={cols}\n\t\tYDim={rows}\n"
        f"\t\tUpperLeftPointMtrs=({x:.2f},{y:.2f})\n"
        f"\t\tLowerRightMtrs=({x + 30 * cols:.2f},{y - 30 * rows:.2f})\n"
        f"\t\tProjection=HE5_GCTP_UTM\n\t\tZoneCode={zone}\n\t\tSphereCode=12\n"
        "\t\tPixelRegistration=HE5_HDFE_CORNER\n\t\tGridOrigin=HE5_HDFE_GD_UL\n"
    )
    empty = "Swath" if kind == "GRID" else "Grid"
    return (
        f"GROUP={empty}Structure\nEND_GROUP={empty}Structure\nGROUP={title}Structure\n"
        f'\tGROUP={kind}_1\n\t\t{name}="HYP"\n{where if kind == "GRID" else ""}'
        f"\t\tGROUP=Dimension\n{listed}\t\tEND_GROUP=Dimension\n"
        f"\t\tGROUP=DataField\n{fields}\t\tEND_GROUP=DataField\n"
        f"\tEND_GROUP={kind}_1\nEND_GROUP={title}Structure\nGROUP=PointStructure\n"
        "END_GROUP=PointStructure\nGROUP=ZaStructure\nEND_GROUP=ZaStructure\nEND\n"
    )


def tanager(
    folder: Path,
    product: str = "ortho_sr",
    rows: int = 60,
    cols: int = 44,
    bands: int = 9,
    *,
    scale: float | None = None,
) -> Made:
    """A Tanager scene: ``basic_radiance``, ``ortho_radiance``, ``basic_sr`` or ``ortho_sr``. Some
    pixels hold the fill value, others are flagged in nodata_pixels alone."""
    name = "surface_reflectance" if product.endswith("sr") else "toa_radiance"
    kind = "GRID" if product.startswith("ortho") else "SWATH"
    root = f"HDFEOS/{kind}S/HYP"
    cube = spectra(bands, rows, cols, seed=21)
    if scale is not None:
        cube = np.rint(cube / scale).astype("i2")
    cube[:, :4, :6] = -9999
    nodata = np.zeros((rows, cols), "u4")
    nodata[:4, :6] = nodata[-3:, -5:] = 1
    nm = np.linspace(376.44, 2499.13, bands).astype("f4")
    fwhm = np.linspace(5.1, 6.9, bands).astype("f4")
    good = np.ones(bands, "u1")
    good[[4, 7]] = 0
    path = folder / f"20250926_092059_95_4001_{product}_hdf5.h5"
    with h5py.File(path, "w") as h:
        fields = h.create_group(f"{root}/Data Fields")
        h[root].attrs["strip_id"] = np.bytes_("7962114")
        data = fields.create_dataset(name, data=cube, chunks=(1, 16, 16), compression="gzip")
        data.attrs.update({"wavelengths": nm, "fwhm": fwhm, "_FillValue": cube.dtype.type(-9999)})
        data.attrs["wavelengths_units"] = np.bytes_("nm")
        if scale is not None:
            data.attrs["scale_factor"] = scale
        if name == "surface_reflectance":
            data.attrs["good_wavelengths"] = good
        for mask in ("beta_cloud_mask", "beta_cirrus_mask"):
            fields[mask] = np.zeros((rows, cols), "u4")
        fields["nodata_pixels"] = nodata
        for angle in ("sun_zenith", "sensor_zenith"):
            fields[angle] = np.full((rows, cols), 31.5, "f4")
        y, x = np.mgrid[:rows, :cols]
        if kind == "GRID":
            h[root].attrs["epsg_code"] = np.int64(32613)
        else:
            place = h.create_group(f"{root}/Geolocation Fields")
            place["Latitude"] = 32.1 - 3e-4 * y - 2e-5 * x
            place["Longitude"] = -104.2 + 3e-4 * x - 2e-5 * y
            place["Time"] = 1.7e9 + np.arange(rows, dtype=float)
            place.attrs["Planet_Ortho_Framing"] = json.dumps(
                {"epsg_code": 32613, "rows": rows, "cols": cols, "geotransform": TANAGER_PLACE}
            )
        h["HDFEOS INFORMATION/StructMetadata.0"] = np.bytes_(
            struct_metadata(kind, name, (bands, rows, cols))
        )
        h["HDFEOS INFORMATION"].attrs["HDFEOSVersion"] = np.bytes_("HDFEOS_5.1.15")
    with h5py.File(path) as h:  # what another reader finds
        found = h[f"{root}/Data Fields/{name}"]
        values = found[:].astype(np.float64)
        values[values == float(found.attrs["_FillValue"])] = np.nan
        values *= float(found.attrs.get("scale_factor", 1.0))
        values[:, h[f"{root}/Data Fields/nodata_pixels"][:] == 1] = np.nan
        flags = found.attrs.get("good_wavelengths", np.ones(bands))
        return Made(
            path,
            values,
            found.attrs["wavelengths"].astype(np.float64),
            found.attrs["fwhm"].astype(np.float64),
            np.asarray(flags) == 1,
        )


# -------------------------------------------------------------------------------------------- NEON

NEON_MAP = (
    "UTM,  1.000,  1.000,       368000.00,       4307000.0,       1.0000000,       1.0000000,  "
    "18,  North,  WGS-84,  units=Meters, 0"
)
"""Map_Info as NEON's own tutorial prints it of a tile of SERC."""


def neon(
    folder: Path,
    name: str = "NEON_D02_SERC_DP3_368000_4306000_reflectance.h5",
    rows: int = 52,
    cols: int = 44,
    bands: int = 11,
    *,
    texts: dict[str, str] | None = None,
    radiance: bool = False,
) -> Made:
    """A tile or a flight line of NEON; two bands in each water window, and one at its end."""
    texts = {
        "Map_Info": NEON_MAP,
        "EPSG Code": "32618",
        "Proj4": "+proj=UTM +zone= 18 +ellps= WGS-84 +datum= WGS-84 +units= units=Meters +no_defs",
        "Coordinate_System_String": CRS.from_epsg(32618).wkt,
        **(texts or {}),
    }
    site = name.split("_")[2]
    values = spectra(bands, rows, cols, seed=31, dtype="int16")
    values[:, :5, :3] = -9999
    nm = np.sort(np.r_[np.linspace(381.3, 2510.2, bands - 5), 1340, 1400, 1445, 1800, 1950.5])
    with h5py.File(folder / name, "w") as h:
        group = h.create_group(f"{site}/{'Radiance' if radiance else 'Reflectance'}")
        group.attrs["Band_Window_1_Nanometers"] = np.array([1340, 1445], "i4")
        group.attrs["Band_Window_2_Nanometers"] = np.array([1790, 1955], "i4")
        stored = np.moveaxis(values, 0, -1)
        whole = {"chunks": (10, 10, bands), "compression": "gzip"}
        if radiance:
            group.create_dataset("RadianceIntegerPart", data=stored // 100, **whole)
            group.create_dataset("RadianceDecimalPart", data=stored % 100, **whole)
            group["RadianceDecimalPart"].attrs["Scale_Factor"] = 50000.0
        else:
            cube = group.create_dataset("Reflectance_Data", data=stored, **whole)
            cube.attrs["Data_Ignore_Value"], cube.attrs["Scale_Factor"] = -9999.0, 10000.0
            cube.attrs["Dimension_Labels"] = np.bytes_("Line, Sample, Wavelength")
            cube.attrs["Spatial_Extent_meters"] = np.array([368000.0, 368044.0, 4306948, 4307000])
        meta = group.create_group("Metadata")
        meta["Spectral_Data/Wavelength"] = nm.astype("f4")
        meta["Spectral_Data/Wavelength"].attrs["Units"] = "nanometers"
        meta["Spectral_Data/FWHM"] = np.linspace(5.7, 6.1, bands).astype("f4")
        for ancillary in ("Slope", "Aspect", "Path_Length"):
            meta[f"Ancillary_Imagery/{ancillary}"] = np.zeros((rows, cols), "f4")
        meta["Ancillary_Imagery/Weather_Quality_Indicator"] = np.zeros((rows, cols, 3), "u1")
        meta["Logs/Solar_Azimuth_Angle"] = np.float32(140.0)
        for key, text in texts.items():
            if text:
                meta[f"Coordinate_System/{key}"] = text
    return _neon_as_h5py(folder / name, site, radiance)


def _neon_as_h5py(path: Path, site: str, radiance: bool) -> Made:
    """What another reader finds."""
    with h5py.File(path) as h:
        group = h[f"{site}/{'Radiance' if radiance else 'Reflectance'}"]
        nm = group["Metadata/Spectral_Data/Wavelength"][:].astype(np.float64)
        fwhm = group["Metadata/Spectral_Data/FWHM"][:].astype(np.float64)
        windows = [group.attrs[f"Band_Window_{i}_Nanometers"] for i in (1, 2)]
        good = ~np.any([(nm >= low) & (nm <= high) for low, high in windows], axis=0)
        if radiance:
            return Made(path, np.empty(0), nm, fwhm, good)
        cube = group["Reflectance_Data"]
        values = np.moveaxis(cube[:].astype(np.float64), -1, 0)
        values[values == cube.attrs["Data_Ignore_Value"]] = np.nan
        return Made(path, values / cube.attrs["Scale_Factor"], nm, fwhm, good)


# ------------------------------------------------------------------------------------------ Wyvern

WYVERN_NM = (503, 510, 519, 535, 549, 570, 584, 600)
WYVERN_FWHM = (17.5, 18.1, 18.3, 19.0, 19.4, 20.2, 20.9, 21.6)


def wyvern_item(
    image: str, bands: list[dict[str, Any]], raster: list[dict[str, Any]], *, stac: str = "1.0.0"
) -> dict[str, Any]:
    """A STAC item as Wyvern delivers it; of STAC 1.1 with ``bands`` in the place of both lists."""
    asset: dict[str, Any] = {
        "href": f"https://wyvern-data.com/{image.rsplit('.', 1)[0]}/{image}",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
    }
    if stac == "1.0.0":
        asset |= {"eo:bands": bands, "raster:bands": raster}
    else:
        keys = ("center_wavelength", "full_width_half_max")
        asset["bands"] = [
            {
                "name": band["name"],
                **{f"eo:{key}": band[key] for key in keys if key in band},
                **{k: row[k] for k in ("nodata", "data_type") if k in row},
                **{f"raster:{k}": row[k] for k in ("scale", "offset") if k in row},
            }
            for band, row in zip(bands, raster, strict=True)
        ]
    mask = {"href": f"https://wyvern-data.com/{image.rsplit('.', 1)[0]}_data_mask.tiff"}
    return {
        "type": "Feature",
        "stac_version": stac,
        "id": image.rsplit(".", 1)[0],
        "properties": {
            "datetime": "2025-05-26T08:14:29Z",
            "platform": "dragonette-001",
            "constellation": "dragonette",
        },
        "geometry": None,
        "links": [],
        "assets": {
            "Thumbnail": {"href": f"https://wyvern-odp.com/{image[:-5]}_thumbnail.png"},
            "Data Mask": mask,
            "Cloud optimized GeoTiff": asset,
        },
    }


def wyvern(
    folder: Path,
    level: str = "",
    rows: int = 48,
    cols: int = 40,
    *,
    tagged: bool = False,
    stac: str = "1.0.0",
    item: bool = True,
) -> Made:
    """A Wyvern scene: its folder with the image, its STAC item and its masks. ``level``: empty or
    ``l1b`` for radiance in degrees, ``l2a`` for scaled reflectance in UTM. ``tagged``: the GeoTIFF
    tells the wavelengths."""
    stem = f"wyvern_dragonette-001_20250526T081429_123b53d7{f'_{level}' if level else ''}"
    place = folder / stem
    place.mkdir()
    n, reflectance = len(WYVERN_NM), level == "l2a"
    scale, nodata = (0.0001, 65535) if reflectance else (1.0, -9999.0)
    cube = spectra(n, rows, cols, seed=41, dtype="uint16" if reflectance else "float32")
    cube[:, :6, :7] = nodata
    write_tiff(
        place / f"{stem}.tiff",
        cube,
        nodata=nodata,
        names=[f"Band_{nm}" for nm in WYVERN_NM],
        **({"nm": WYVERN_NM, "fwhm": WYVERN_FWHM} if tagged else {}),
    )
    write_tiff(place / f"{stem}_data_mask.tiff", np.zeros((2, rows, cols), "u1"))
    write_tiff(place / f"{stem}_pixel_quality_mask.tiff", np.zeros((n, rows, cols), "u1"))
    (place / f"{stem}_thumbnail.png").write_bytes(b"")
    bands = [
        {
            "name": f"Band_{nm}",
            "common_name": "green",
            "center_wavelength": nm / 1000,
            "full_width_half_max": round(fwhm / 1000, 6),
            "solar_illumination": 1900.0,
        }
        for nm, fwhm in zip(WYVERN_NM, WYVERN_FWHM, strict=True)
    ]
    kind = "uint16" if reflectance else "float32"
    row = {"nodata": nodata, "data_type": kind, "scale": scale, "offset": 0}
    if item:
        text = json.dumps(wyvern_item(f"{stem}.tiff", bands, [row] * n, stac=stac))
        (place / f"{stem}.json").write_text(text)
    return Made(
        place,
        np.where(cube == nodata, np.nan, cube.astype(np.float64) * scale),
        np.array(WYVERN_NM, float),
        np.array(WYVERN_FWHM),
        np.ones(n, bool),
    )
