"""Small netCDF-4 files with the published structure of PACE OCI and AVIRIS-3 products, written with
netCDF4 from seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import netCDF4
import numpy as np
from published import Made
from rasterio.crs import CRS
from rasters import spectra

OCI = {
    "title": "PACE OCI Level-1B Data",
    "instrument": "OCI",
    "platform": "PACE",
    "processing_level": "L1B",
    "cdm_data_type": "swath",
    "Conventions": "CF-1.8, ACDD-1.3",
}
SWIR = (939.716, 1038.317, 1250.375, 1248.55, 1378.169, 1619.626, 1618.036, 2130.593, 2258.432)
SWIR_WIDTHS = (45, 80, 30, 30, 15, 75, 75, 50, 75)
WAVES = {
    "blue": np.linspace(594.0, 606.5, 6).astype("f4"),
    "red": np.linspace(597.5, 895.0, 5).astype("f4"),
    "SWIR": np.array(SWIR, "f4"),
}
"""The ends of the three detectors: blue and red overlap, and SWIR is not in rising order."""


def values_of(path: Path, array: str, axes: str = "brc") -> np.ndarray:
    """(B, H, W) physical values as netCDF4 finds them, NaN where missing."""
    with netCDF4.Dataset(path) as ds:
        found = np.ma.filled(np.ma.asarray(ds[array][:], dtype=np.float64), np.nan)
    return np.moveaxis(found, [axes.index(a) for a in "brc"], [0, 1, 2])


def column_of(path: Path, array: str) -> np.ndarray:
    with netCDF4.Dataset(path) as ds:
        return np.ma.filled(np.ma.asarray(ds[array][:], dtype=np.float64), np.nan)


def _variable(
    group: netCDF4.Group, name: str, values: np.ndarray, dims: Sequence[str], **attributes: object
) -> None:
    """A compressed variable; values that are NaN are its fill value."""
    values = np.asarray(values)
    fill = attributes.pop("fill", None)
    made = group.createVariable(name, values.dtype, tuple(dims), zlib=bool(dims), fill_value=fill)
    made.setncatts(attributes)
    made.set_auto_maskandscale(False)
    if dims:
        filled = np.where(np.isnan(values), fill, values) if values.dtype.kind == "f" else values
        made[:] = filled.astype(values.dtype)


def _swath(group: netCDF4.Group, dims: Sequence[str], rows: int, cols: int, east: float) -> None:
    """Latitude and longitude of a turned swath whose pixels grow to its sides; the first is not
    known."""
    y, x = np.mgrid[:rows, :cols] - np.array([[[rows / 2]], [[cols / 2]]])
    across = np.sinh(x / cols * 2) * cols / 2
    latitude = 35 - 0.012 * y - 0.003 * across
    longitude = east - 0.002 * y + 0.014 * across
    for name, grid in (("latitude", latitude), ("longitude", longitude)):
        wrapped = np.where(grid > 180, grid - 360, grid).astype("f4")
        wrapped[0, 0] = np.nan
        _variable(group, name, wrapped, dims, fill=-32767.0)


def pace_l1b(
    folder: Path, rows: int = 31, cols: int = 24, *, sensed: str = "rhot", east: float = -120.0
) -> Made:
    """Three detectors, bands first; a few pixels of one detector missing. ``east``: the longitude
    in the middle."""
    path = folder / "PACE_OCI.20240601T163009.L1B.V3.nc"
    with netCDF4.Dataset(path, "w") as ds:
        ds.setncatts(OCI)
        for name, size in (("scans", rows), ("pixels", cols)):
            ds.createDimension(name, size)
        groups = (
            "sensor_band_parameters",
            "scan_line_attributes",
            "geolocation_data",
            "observation_data",
        )
        parameters, lines, places, data = map(ds.createGroup, groups)
        _variable(lines, "time", np.linspace(0, 1, rows), ["scans"], units="seconds")
        _swath(places, ["scans", "pixels"], rows, cols, east)
        for seed, (detector, waves) in enumerate(WAVES.items()):
            dims = [f"{detector}_bands", "scans", "pixels"]
            ds.createDimension(dims[0], len(waves))
            cube = spectra(len(waves), rows, cols, seed=seed).astype("f4")
            cube[1, 3, 4:7] = np.nan
            cube[:, 0, 0] = np.nan
            _variable(parameters, f"{detector}_wavelength", waves, dims[:1], units="nm")
            name = f"{sensed}_{detector}"
            _variable(data, name, cube, dims, fill=-32767.0, valid_min=0.0, long_name="seen")
            _variable(data, f"qual_{detector}", np.zeros(cube.shape, "u1"), dims, fill=255)
        widths = np.array(SWIR_WIDTHS, "f4")
        _variable(parameters, "SWIR_bandpass", widths, ["SWIR_bands"], units="nm")
    order = {d: np.argsort(w, kind="stable") for d, w in WAVES.items()}
    found = [values_of(path, f"observation_data/{sensed}_{d}")[order[d]] for d in WAVES]
    nm = [column_of(path, f"sensor_band_parameters/{d}_wavelength")[order[d]] for d in WAVES]
    fwhm = np.full(sum(map(len, nm)), np.nan)
    fwhm[-9:] = column_of(path, "sensor_band_parameters/SWIR_bandpass")[order["SWIR"]]
    return Made(path, np.concatenate(found), np.concatenate(nm), fwhm, np.ones(len(fwhm), bool))


def pace_l2(
    folder: Path, rows: int = 31, cols: int = 24, bands: int = 7, *, cube: str = "Rrs"
) -> Made:
    """Rrs as int16 with scale and offset, or rhos as float32; bands last; masked pixels."""
    suite = {"Rrs": "OC_AOP", "rhos": "SFREFL"}.get(cube, "OC_BGC")
    path = folder / f"PACE_OCI.20240601T163009.L2.{suite}.V3_0.nc"
    spectral = np.moveaxis(spectra(bands, rows, cols, seed=4), 0, -1)
    waves = np.linspace(346, 719, bands).round().astype("i4")
    with netCDF4.Dataset(path, "w") as ds:
        ds.setncatts({**OCI, "title": f"OCI Level-2 Data {suite}", "processing_level": "L2"})
        sizes = {
            "number_of_lines": rows,
            "pixels_per_line": cols,
            "number_of_bands": bands + 3,
            "wavelength_3d": bands,
        }
        for name, size in sizes.items():
            ds.createDimension(name, size)
        groups = ("sensor_band_parameters", "geophysical_data", "navigation_data")
        parameters, data, places = map(ds.createGroup, groups)
        every = np.linspace(310, 2260, bands + 3).astype("i4")
        _variable(parameters, "wavelength", every, ["number_of_bands"], units="nm")
        _variable(parameters, "wavelength_3d", waves, ["wavelength_3d"], units="nm")
        dims = ["number_of_lines", "pixels_per_line"]
        told = {"long_name": "spectra", "valid_min": np.int16(-30000)}
        if cube == "Rrs":
            stored = np.rint((spectral * 0.1 - 0.05) / 2e-6).clip(-30000, 25000).astype("i2")
            stored[2, 5:9] = stored[rows - 1, 0] = -32767
            told |= {"scale_factor": np.float32(2e-6), "add_offset": np.float32(0.05)}
            _variable(data, cube, stored, [*dims, "wavelength_3d"], fill=-32767, **told)
        elif cube == "rhos":
            spectral[2, 5:9] = np.nan
            values = spectral.astype("f4")
            _variable(data, cube, values, [*dims, "wavelength_3d"], fill=-32767.0)
        else:
            _variable(data, cube, spectral[..., 0].astype("f4"), dims, fill=-32767.0)
        flags = np.zeros((rows, cols), "i4")
        flags[2, 5:9] = 1
        meaning = {"flag_masks": np.array([1, 2, 4], "i4"), "flag_meanings": "ATMFAIL LAND SPARE"}
        _variable(data, "l2_flags", flags, dims, **meaning)
        _swath(places, dims, rows, cols, -120.0)
    spectral_there = cube in ("Rrs", "rhos")
    values = values_of(path, f"geophysical_data/{cube}", "rcb") if spectral_there else np.empty(0)
    nm = column_of(path, "sensor_band_parameters/wavelength_3d")
    return Made(path, values, nm, np.full(bands, np.nan), np.ones(bands, bool))


def pace_l3m(folder: Path) -> Made:
    """A map of the world, bands last, as it is composed from many days."""
    path = folder / "PACE_OCI.20240601_20240630.L3m.MO.RRS.V3_0.Rrs.0p1deg.nc"
    with netCDF4.Dataset(path, "w") as ds:
        ds.setncatts(
            {**OCI, "title": "OCI Level-3 Standard Mapped Image", "processing_level": "L3 Mapped"}
        )
        for name, numbers in (
            ("lat", np.linspace(80, -80, 9)),
            ("lon", np.linspace(-170, 170, 18)),
            ("wavelength", np.linspace(400, 700, 4)),
        ):
            ds.createDimension(name, len(numbers))
            unit = {"wavelength": "nm", "lat": "degrees_north", "lon": "degrees_east"}[name]
            _variable(ds, name, numbers, [name], units=unit)
        ds.createDimension("rgb", 3)
        ds.createDimension("eightbitcolor", 256)
        _variable(ds, "palette", np.zeros((3, 256), "u1"), ["rgb", "eightbitcolor"])
        cube = np.moveaxis(spectra(4, 9, 18, seed=6), 0, -1).astype("f4")
        _variable(ds, "Rrs", cube, ["lat", "lon", "wavelength"], fill=-32767.0)
    return Made(path, np.moveaxis(cube, -1, 0), np.empty(0), np.empty(0), np.empty(0))


PLACE = (500_000.0, 5.0, 0.0, 4_000_000.0, 0.0, -5.0)


def _map(ds: netCDF4.Dataset, group: netCDF4.Group, rows: int, cols: int, lost: str = "") -> None:
    """The map grid: its variable, and centres of rows and columns in a group; ``lost``: what of
    that is not in the file."""
    wkt = CRS.from_epsg(32611).to_wkt()
    told = {
        "grid_mapping_name": "transverse_mercator",
        "spatial_ref": wkt,
        "crs_wkt": wkt,
        "GeoTransform": " ".join(map(str, PLACE)),
    }
    told.pop(lost, None)
    _variable(ds, "transverse_mercator", np.array(b"", "S1"), [], **told)
    steps = {"northing": (rows, PLACE[3], PLACE[5]), "easting": (cols, PLACE[0], PLACE[1])}
    for name, (count, first, step) in steps.items():
        axis = "y" if name == "northing" else "x"
        group.createDimension(name, count)
        if lost == "centres":
            continue
        centres = first + step * (np.arange(count) + 0.5)
        if lost == "north up" and name == "northing":
            centres = centres[::-1]
        standard = f"projection_{axis}_coordinate"
        _variable(group, name, centres, [name], units="m", standard_name=standard)


def _aviris(
    path: Path, quantity: str, title: str, cube: np.ndarray, dims: Sequence[str], lost: str = ""
) -> Path:
    """The cube in its group; where its rows are those of a map, that map."""
    waves = np.linspace(380.0, 2500.0, len(cube)).astype("f4")
    with netCDF4.Dataset(path, "w") as ds:
        ds.setncatts(
            {"title": title, "Conventions": "CF-1.6"} if title else {"Conventions": "CF-1.6"}
        )
        mapped = dims[0] == "northing"
        if mapped:
            _map(ds, ds, *cube.shape[1:], lost)
        else:
            for name, size in zip(dims, cube.shape[1:], strict=True):
                ds.createDimension(name, size)
            for name in ("lat", "lon", "elev"):
                _variable(ds, name, np.zeros(cube.shape[1:]), dims, fill=-9999.0)
        group = ds.createGroup(quantity)
        group.createDimension("wavelength", len(cube))
        _variable(group, "wavelength", waves, ["wavelength"], units="nm")
        widths = np.linspace(8.0, 9.0, len(cube)).astype("f4")
        _variable(group, "fwhm", widths, ["wavelength"], units="nm")
        told = {"grid_mapping": "transverse_mercator"} if mapped else {}
        every = ["wavelength", *dims]
        _variable(group, quantity, cube.astype("f4"), every, fill=-9999.0, **told)
    return path


def _made(path: Path, quantity: str, **extra: np.ndarray) -> Made:
    """What another reader finds."""
    nm, fwhm = (column_of(path, f"{quantity}/{name}") for name in ("wavelength", "fwhm"))
    values = values_of(path, f"{quantity}/{quantity}")
    return Made(path, values, nm, fwhm, np.ones(len(nm), bool), dict(extra))


def aviris_l2a(
    folder: Path,
    rows: int = 33,
    cols: int = 28,
    bands: int = 9,
    *,
    number: int = 3,
    title: str = "",
    lost: str = "",
) -> Made:
    """Reflectance on a map grid, beside the flight line nothing."""
    cube = spectra(bands, rows, cols, seed=7).astype("f4")
    cube[:, :4, :5] = np.nan
    name = f"AV{number}20230716t204543_000_L2A_OE_f576f24d_RFL_ORT.nc"
    dims = "northing", "easting"
    path = _aviris(folder / name, "reflectance", title, cube, dims, lost)
    return _made(path, "reflectance")


def aviris_l1b(
    folder: Path,
    rows: int = 33,
    cols: int = 28,
    bands: int = 9,
    *,
    number: int = 5,
    table: bool = True,
    outside: int = 0,
) -> Made:
    """Radiance in sensor geometry, with its lookup table, in which some pixels are of beside."""
    rng = np.random.default_rng(8)
    cube = (spectra(bands, rows, cols, seed=9) * 10).astype("f4")
    cube[:, rows - 1, 2] = np.nan
    name = f"AV{number}20250508t173511_000_L1B_RDN_5b9e1cc2_RDN.nc"
    title = f"AVIRIS-{number} L1B Radiance"
    path = _aviris(folder / name, "radiance", title, cube, ["lines", "samples"])
    shape = rows + 9, cols + 14
    y, x = np.mgrid[: shape[0], : shape[1]]
    row = np.rint(0.9 * (y - 4) + 0.2 * (x - 12)).astype(int)
    col = np.rint(0.9 * (x - 5) - 0.2 * (y - 9)).astype(int)
    there = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    sign = rng.choice([1, 1, 1, -1], shape)
    sample, line = (np.where(there, v + 1, 0) for v in (col, row))
    signed = (sample * sign).astype("i4")
    if outside:
        signed[20, 20] = outside
    if table:
        with netCDF4.Dataset(path, "a") as ds:
            group = ds.createGroup("geolocation_lookup_table")
            _map(ds, group, *shape)
            for name, values in (("sample", signed), ("line", line.astype("i4"))):
                empty = np.where((y % 2 == 0) & (values == 0), -9999, values).astype("i4")
                told = {"grid_mapping": "transverse_mercator"}
                _variable(group, name, empty, ["northing", "easting"], fill=-9999, **told)
    extra = {"glt_x": sample, "glt_y": line, "place": np.array(PLACE)}
    return _made(path, "radiance", **extra)
