"""Small rasters for tests, written with rasterio or by hand; and the command line, run in this
process."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as gdal_copy
from rasterio.transform import Affine

UTM = "EPSG:32633"
NORTH_UP = Affine(30.0, 0.0, 400_000.0, 0.0, -30.0, 5_800_000.0)
ROTATED = (
    Affine.translation(400_000.0, 5_800_000.0) @ Affine.rotation(71.0) @ Affine.scale(3.6, -3.6)
)

TILED: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64}
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiled-band": {**TILED, "interleave": "band"},
    "tiled-pixel": {**TILED, "interleave": "pixel"},
    "tiled-pixel-deflate": {**TILED, "interleave": "pixel", "compress": "deflate", "predictor": 2},
    "strips-band": {"blockysize": 7, "interleave": "band"},
    "strips-pixel": {"blockysize": 1, "interleave": "pixel"},
    "strips-deflate": {"blockysize": 33, "interleave": "band", "compress": "deflate"},
}
"""Creation options of GeoTIFFs that hold the same pixels in other orders."""

INTERLEAVES = ("bsq", "bil", "bip")
ENVI_TYPES = {
    "uint8": 1,
    "int16": 2,
    "int32": 3,
    "float32": 4,
    "float64": 5,
    "complex64": 6,
    "uint16": 12,
}


def spectra(
    bands: int = 8, rows: int = 40, cols: int = 50, seed: int = 0, dtype: str = "float32"
) -> np.ndarray:
    """(B, H, W) positive values with correlated bands of full rank, none constant; integers for
    integer types."""
    rng = np.random.default_rng(seed)
    mix = np.exp(
        -0.5 * ((np.arange(bands)[:, None] - np.linspace(0, bands, 4)) / (0.3 * bands)) ** 2
    )
    cube = 0.1 + np.einsum("bm,mhw->bhw", mix, rng.uniform(0, 0.3, (4, rows, cols)))
    cube += rng.normal(0, 0.02, cube.shape)
    if np.dtype(dtype).kind == "f":
        return cube.astype(dtype)
    return np.clip(np.rint(cube * 10_000), 1, 30_000).astype(dtype)


def wavelengths(bands: int) -> list[float]:
    """Centres in nm that no short decimal holds, 400 to 1000 nm."""
    return [float(v) for v in np.linspace(400.0, 1000.0, bands) + 1.0 / 3.0]


def blend(
    cube: np.ndarray, weight: Sequence[Sequence[float]], offset: Sequence[float] | float = 0.0
) -> np.ndarray:
    """(K, H, W) float64 ``W x + offset``: a target with a known answer."""
    y = np.einsum("kb,bhw->khw", np.asarray(weight, np.float64), cube.astype(np.float64))
    return y + np.broadcast_to(np.asarray(offset, np.float64).reshape(-1, 1, 1), (len(y), 1, 1))


def write_tiff(
    path: Path,
    values: np.ndarray,
    *,
    nodata: float | None = None,
    crs: str | None = UTM,
    transform: Affine | None = NORTH_UP,
    names: Sequence[str] | None = None,
    nm: Sequence[float] | None = None,
    fwhm: Sequence[float] | None = None,
    units: str | None = "Nanometers",
    bad: Sequence[int] = (),
    scales: Sequence[float] | None = None,
    offsets: Sequence[float] | None = None,
    mask: np.ndarray | None = None,
    tags: Mapping[str, Mapping[str, str]] | None = None,
    **creation: Any,
) -> str:
    """Write (B, H, W) as a GeoTIFF. ``bad`` holds 1-based bands, ``tags`` dataset tags by domain;
    gives the path."""
    placed = {} if transform is None else {"transform": transform}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=len(values),
            height=values.shape[1],
            width=values.shape[2],
            dtype=values.dtype,
            nodata=nodata,
            crs=crs,
            **placed,
            **creation,
        ) as ds:
            ds.write(values)
            for i in range(1, len(values) + 1):
                if names:
                    ds.set_band_description(i, names[i - 1])
                ds.update_tags(i, **_band_tags(i, nm, fwhm, units, bad))
            if scales:
                ds.scales = scales
            if offsets:
                ds.offsets = offsets
            if mask is not None:
                ds.write_mask(mask)
            for domain, texts in (tags or {}).items():
                ds.update_tags(ns=domain, **texts)
    return str(path)


def _band_tags(
    i: int,
    nm: Sequence[float] | None,
    fwhm: Sequence[float] | None,
    units: str | None,
    bad: Sequence[int],
) -> dict[str, str]:
    found = {"bbl": "0"} if i in bad else {}
    if nm:
        found["wavelength"] = repr(nm[i - 1])
    if fwhm:
        found["fwhm"] = repr(fwhm[i - 1])
    if units and (nm or fwhm):
        found["wavelength_units"] = units
    return found


def write_envi(
    path: Path,
    values: np.ndarray,
    interleave: str = "bsq",
    *,
    header: str = "",
    skip: int = 0,
    big_endian: bool = False,
) -> str:
    """Write (B, H, W) as an ENVI file and its header, both by hand; ``header`` holds further
    lines."""
    order = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[interleave]
    stored = np.ascontiguousarray(values.transpose(order))
    data = (
        stored.astype(stored.dtype.newbyteorder(">")).tobytes() if big_endian else stored.tobytes()
    )
    path.write_bytes(b"\xaa" * skip + data)
    bands, rows, cols = values.shape
    lines = [
        "ENVI",
        f"samples = {cols}",
        f"lines = {rows}",
        f"bands = {bands}",
        f"header offset = {skip}",
        "file type = ENVI Standard",
        f"data type = {ENVI_TYPES[values.dtype.name]}",
        f"interleave = {interleave}",
        f"byte order = {int(big_endian)}",
        header,
    ]
    path.with_suffix(".hdr").write_text("\n".join(lines) + "\n")
    return str(path)


def envi_list(key: str, items: Sequence[object]) -> str:
    """One header line with a list."""
    return f"{key} = {{{', '.join(map(str, items))}}}"


def write_per_band_nodata(path: Path, values: np.ndarray, nodata: Sequence[float]) -> str:
    """A VRT whose bands declare different nodata (a GeoTIFF can hold one only)."""
    inner = Path(write_tiff(path.with_suffix(".inner.tif"), values))
    kind = {"int16": "Int16", "float32": "Float32"}[values.dtype.name]
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" '
        f'band="{i}"><NoDataValue>{number}</NoDataValue><SimpleSource>'
        "<SourceFilename "
        f'relativeToVRT="1">{inner.name}</SourceFilename><SourceBand>{i}</SourceBand>'
        f"</SimpleSource></VRTRasterBand>"
        for i, number in enumerate(nodata, 1)
    )
    _, rows, cols = values.shape
    path.write_text(f'<VRTDataset rasterXSize="{cols}" rasterYSize="{rows}">{bands}</VRTDataset>')
    return str(path)


def truncated(path: str | Path, keep: float = 0.5) -> str:
    """Cut the end off a file, in place."""
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: int(len(data) * keep)])
    return str(path)


def subdatasets_only(folder: Path) -> str | None:
    """A netCDF whose two variables are subdatasets, so that the file itself has no bands; None if
    GDAL cannot."""
    plain = write_tiff(folder / "two.tif", spectra(2, 8, 8), crs=None, transform=None)
    path = folder / "container.nc"
    if "netCDF" not in rasterio.drivers.raster_driver_extensions().values():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        gdal_copy(plain, str(path), driver="netCDF")
    Path(plain).unlink()
    return str(path)


def read(path: str | Path) -> np.ndarray:
    """(B, H, W) as stored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as ds:
            return ds.read()


def profile(path: str | Path) -> dict[str, Any]:
    """What rasterio says of a file, with the tags of its bands."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as ds:
            return {
                **ds.profile,
                "names": list(ds.descriptions),
                "band_tags": [ds.tags(i) for i in ds.indexes],
                "imagery": [ds.tags(i, ns="IMAGERY") for i in ds.indexes],
                "scales": ds.scales,
                "offsets": ds.offsets,
                "nodatavals": ds.nodatavals,
            }


def gdalinfo(path: str | Path) -> dict[str, Any] | None:
    """What GDAL's own program says of a file; None where it is not installed."""
    program = shutil.which("gdalinfo")
    if program is None:
        return None
    done = subprocess.run(
        [program, "-json", "-mdd", "all", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below a folder, with size and time: equal listings mean that nothing
    was written."""
    return {
        str(p.relative_to(folder)): (p.lstat().st_size, p.lstat().st_mtime_ns)
        for p in sorted(folder.rglob("*"))
    }


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as JSON."""
        return json.loads(self.out)


def cli(*arguments: object) -> Done:
    """Run ``bandfuse`` with these arguments in this process."""
    from bandfuse.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["bandfuse", *map(str, arguments)]
    code: object = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv = before
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def ok(*arguments: object) -> Done:
    """Run ``bandfuse`` and require that it succeeds."""
    done = cli(*arguments)
    assert done.code == 0, done.err
    return done


def refused(folder: Path, *arguments: object) -> str:
    """Train must fail with exit code 2 and leave nothing; what it says."""
    before = listing(folder)
    done = cli("train", *arguments, "-o", folder / "run")
    assert done.code == 2, done.err
    assert listing(folder) == before
    return " ".join(done.err.split())
