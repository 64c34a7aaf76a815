"""STAC: an item beside a fused raster, so that catalogues find it.

Core version 1.1.0 with its common ``bands``, and the extensions projection, eo and raster 2.0.0.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bandfuse.files.names import href
from bandfuse.raster import Encoding, Raster, acquired, footprint, polygons_in
from bandfuse.spectral.bands import Bands

EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/v2.0.0/schema.json"
    for name in ("projection", "eo", "raster")
]

TYPES = {
    "GTiff": "image/tiff; application=geotiff",
    "COG": "image/tiff; application=geotiff; profile=cloud-optimized",
    "JP2OpenJPEG": "image/jp2",
    "netCDF": "application/netcdf",
    "Zarr": "application/vnd+zarr",
}
"""Media types of what GDAL's drivers write, where there is one."""


def beside(
    path: Path, like: Raster, outputs: Bands, encoding: Encoding, driver: str = "GTiff"
) -> dict[str, bytes]:
    """The item of a fused raster by its file's name, ``<stem>.stac.json``."""
    made = item(path, like, outputs, encoding, driver)
    return {f"{path.stem}.stac.json": json.dumps(made, indent=1, allow_nan=False).encode()}


def item(
    path: Path, like: Raster, outputs: Bands, encoding: Encoding, driver: str = "GTiff"
) -> dict[str, Any]:
    """The item of one fused raster.

    ``geometry`` is null, and there is no ``bbox``, where no place on the globe is known.
    ``datetime`` is when the image was taken, else when it was fused.

    Parameters
    ----------
    path : the raster. like : what it shares its grid with. outputs : its bands. encoding : how they
        are stored."""
    geometry, now = footprint(like), datetime.now(UTC)
    asset = {"href": f"./{href(path.name)}", "roles": ["data"], "bands": _bands(outputs, encoding)}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": EXTENSIONS,
        "id": path.stem,
        "geometry": geometry,
        **({} if geometry is None else {"bbox": _bbox(geometry)}),
        "properties": {
            "datetime": _time(acquired(like) or now),
            "created": _time(now),
            **_projection(like),
        },
        "links": [],
        "assets": {"fused": asset | ({"type": TYPES[driver]} if driver in TYPES else {})},
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _projection(like: Raster) -> dict[str, Any]:
    """Extension projection: an authority's code, else WKT; shape and transform."""
    text = like.crs_text
    coded = text is not None and ":" in text and "[" not in text
    known: dict[str, Any] = {"proj:code": text if coded else None}
    if text is not None and not coded:
        known["proj:wkt2"] = str(like.crs.to_wkt(version="WKT2_2019")) if like.crs else text
    return {
        **known,
        "proj:shape": [like.rows, like.cols],
        "proj:transform": list(like.transform)[:6],
    }


def _bands(outputs: Bands, encoding: Encoding) -> list[dict[str, Any]]:
    """Common metadata and the extensions eo (µm) and raster, for each output."""
    nodata = encoding.nodata
    stored: dict[str, Any] = {
        "data_type": encoding.dtype,
        "nodata": "nan" if np.isnan(nodata) else nodata,
    }
    if np.dtype(encoding.dtype).kind != "f":
        stored |= {"raster:scale": encoding.scale, "raster:offset": encoding.offset}
    rows = []
    for i, name in enumerate(outputs.name):
        nm = {
            "eo:center_wavelength": outputs.wavelength_nm[i],
            "eo:full_width_half_max": outputs.fwhm_nm[i],
        }
        rows.append(
            {
                "name": name,
                **stored,
                **{k: float(v) / 1000 for k, v in nm.items() if np.isfinite(v)},
            }
        )
    return rows


def _bbox(geometry: dict[str, Any]) -> list[float]:
    """West, south, east, north; west is above east across the antimeridian."""
    parts = [np.concatenate([np.asarray(ring) for ring in part]) for part in polygons_in(geometry)]
    west, south = np.min([p.min(axis=0) for p in parts], axis=0)
    east, north = np.max([p.max(axis=0) for p in parts], axis=0)
    if len(parts) > 1 and west == -180 and east == 180:
        west = min(p[:, 0].min() for p in parts if p[:, 0].max() > 0)
        east = max(p[:, 0].max() for p in parts if p[:, 0].min() < 0)
    return [float(v) for v in (west, south, east, north)]
