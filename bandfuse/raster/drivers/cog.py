"""COG: a GeoTIFF for the cloud, which GDAL makes of a finished file only."""

from __future__ import annotations

from dataclasses import replace
from glob import escape as glob_escape
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.shutil import copy as gdal_copy

from bandfuse.errors import OutputError
from bandfuse.raster.drivers.driver import Driver, NewRaster
from bandfuse.raster.drivers.gtiff import GTiff
from bandfuse.raster.gdal import heard

TILE = 16 * 2**20
"""Bytes of one tile, where it does not have to be larger."""


class Cog(Driver):
    """Pixels go to a GeoTIFF beside the output: without one, GDAL would hold them all in memory."""

    exact = True
    coloured = True
    warping = frozenset(
        {
            "TILING_SCHEME",
            "ZOOM_LEVEL",
            "ZOOM_LEVEL_STRATEGY",
            "ALIGNED_LEVELS",
            "TARGET_SRS",
            "RES",
            "EXTENT",
            "WARP_RESAMPLING",
            "ADD_ALPHA",
        }
    )

    def defaults(self, new: NewRaster) -> dict[str, str]:
        """Tiles that are not too large, compressed by several threads."""
        return {
            "blocksize": str(tile_side(len(new.bands), new.encoding.dtype)),
            "compress": "DEFLATE",
            "num_threads": str(new.threads),
            "bigtiff": "IF_SAFER",
        }

    def create(self, new: NewRaster) -> Any:
        """The GeoTIFF, not compressed; before that the user's options are tried out."""
        if new.options:
            self._try(new)
        options = {"compress": "NONE", "zlevel": "6"}
        return GTiff("GTiff").create(replace(new, path=plain_file(new.path), options=options))

    def _try(self, new: NewRaster) -> None:
        """Make a small COG with one overview: what is wrong shows before all is fused."""
        options = self.options(new)
        side = int(options["blocksize"]) + 1
        plain, trial = (new.path.with_name(f"{new.path.name}.{w}.tif") for w in ("plain", "trial"))
        grid = {"crs": new.like.crs, "transform": new.like.transform}
        how = {"width": side, "height": side, "count": 1, "dtype": new.encoding.dtype}
        try:
            with heard(errors=True) as gdal:
                rasterio.open(plain, "w", driver="GTiff", **how, **grid).close()
                gdal_copy(plain, trial, driver="COG", **options)
        finally:
            for path in (plain, trial):
                path.unlink(missing_ok=True)
        if gdal.errors:
            raise ValueError(gdal.errors[0])

    def finish(self, new: NewRaster) -> None:
        """Make the COG of the GeoTIFF."""
        first = plain_file(new.path)
        with heard(errors=True) as gdal:
            gdal_copy(first, new.path, driver="COG", **self.options(new))
        if not gdal.errors and (left_out := gdal.warnings_of(new.options)):
            raise OutputError(f"{new.path.name} cannot be created", got=left_out[0])
        for file in new.path.parent.glob(f"{glob_escape(first.name)}*"):
            file.unlink()


def plain_file(path: Path) -> Path:
    """The GeoTIFF of which the COG at a path is made."""
    return path.with_name(f"{path.name}.first.tif")


def tile_side(bands: int, dtype: str) -> int:
    """The side of a tile of all bands: 512 pixels, down to 128 where that is more than 16 MB."""
    side = (TILE / (bands * np.dtype(dtype).itemsize)) ** 0.5
    return int(np.clip(side // 64 * 64, 128, 512))
