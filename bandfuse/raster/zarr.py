"""Zarr: what GDAL leaves out when it makes a store of several bands, put into the store before pixels are written.

GDAL writes K bands as one array (Band, Y, X), without CRS, nodata, scale, names and wavelengths;
but it reads all of these but the names where they stand in the array's metadata, and does not store blocks of nodata.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS

from bandfuse.spectral.bands import Bands

ARRAY = "fused"
"""The name of the array."""

CONTENT = (
    ".zattrs", ".zmetadata", "zarr.json", "pam",
    *(
        f"{array}/{file}"
        for array in (ARRAY, "X", "Y")
        for file in (".zarray", ".zattrs", "zarr.json", *("/".join(["[0-9]*"] * depth) for depth in (1, 2, 3)),
                     *("/".join(["c", *["[0-9]*"] * depth]) for depth in (1, 2, 3)), "c.[0-9]*")
    ),
)  # fmt: skip
"""Patterns of the files in the store of one raster: its array and the coordinates X and Y, in GDAL's layouts; and
``pam.aux.xml``, where GDAL keeps statistics."""


def mark_of(path: Path) -> str:
    """The file that a store is known by."""
    return "zarr.json" if (path / "zarr.json").is_file() else ".zgroup"


def complete(
    path: Path, outputs: Bands, crs: CRS | None, nodata: float, scale: float, offset: float, dtype: str
) -> None:
    """Write what is missing into the metadata of a new store, of version 2 or 3, that holds no pixels yet."""
    fill: Any = int(nodata) if np.dtype(dtype).kind != "f" else "NaN"
    words = attributes(outputs)
    if crs is not None:
        words["_CRS"] = {"wkt": crs.to_wkt(version="WKT2_2019")}
    if (scale, offset) != (1.0, 0.0):
        words |= {"scale_factor": scale, "add_offset": offset}
    array = path / ARRAY
    if (array / "zarr.json").is_file():
        stated = _read(array / "zarr.json")
        _write(array / "zarr.json", {**stated, "fill_value": fill, "attributes": stated.get("attributes", {}) | words})
        return
    plain = {**_read(array / ".zarray"), "fill_value": fill}
    attrs = _read(array / ".zattrs") | words if (array / ".zattrs").is_file() else words
    _write(array / ".zarray", plain)
    _write(array / ".zattrs", attrs)
    if (path / ".zmetadata").is_file():
        whole = _read(path / ".zmetadata")
        whole["metadata"] |= {f"{array.name}/.zarray": plain, f"{array.name}/.zattrs": attrs}
        _write(path / ".zmetadata", whole)


def attributes(bands: Bands) -> dict[str, Any]:
    """Lists with one item a band: names, without commas and braces, as GDAL shows a list in one text; wavelength and
    FWHM in nm, ``nan`` where unknown; good-band flags."""
    plain = str.maketrans(",{}\n", ";() ")
    found: dict[str, Any] = {"band_names": [name.translate(plain) for name in bands.name]}
    found["bbl"] = [int(good) for good in bands.good]
    for key, column in (("wavelength", bands.wavelength_nm), ("fwhm", bands.fwhm_nm)):
        if np.isfinite(column).any():
            texts = [repr(float(v)) for v in column]
            found |= {key: texts, "wavelength_units": "Nanometers"}
    return found


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
