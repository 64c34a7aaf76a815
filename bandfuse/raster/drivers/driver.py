"""Driver: how GDAL's drivers make a raster; the class here serves those that need no care."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import rasterio

from bandfuse.raster.band_tags import band_tags, colour_of, imagery_tags
from bandfuse.raster.describe import Raster
from bandfuse.raster.encoding import Encoding
from bandfuse.spectral.bands import Bands

COLOUR_OPTIONS = {"PHOTOMETRIC", "ALPHA"}
"""Creation options by which users say themselves what bands are."""


@dataclass(frozen=True)
class NewRaster:
    """A raster that is to be made: where, on whose grid, of which bands, stored how.

    ``options``: creation options of the user's. ``threads``: for GDAL's compression.
    """

    path: Path
    like: Raster
    bands: Bands
    encoding: Encoding
    options: Mapping[str, str]
    threads: int = 1


class Driver:
    """A driver of GDAL, by its name.

    ``folder``: its rasters are folders. ``exact``: it keeps every transform that it takes.
    ``keeps_control``: it keeps ground control points and RPCs. ``coloured``: it can say of any band
    that it is red, green or blue. Creation options, in capitals:
    ``reserved`` are those that bandfuse sets itself; ``warping`` those of a warp on the way, by
    which fused pixels would leave the scene's grid.
    """

    folder: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    keeps_control: ClassVar[bool] = True
    coloured: ClassVar[bool] = False
    reserved: ClassVar[frozenset[str]] = frozenset()
    warping: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str) -> None:
        self.name = name

    def defaults(self, new: NewRaster) -> dict[str, str]:
        """Creation options where the user gives none."""
        return {}

    def options(self, new: NewRaster) -> dict[str, str]:
        """Creation options: the user's before the defaults."""
        return self.defaults(new) | {name.lower(): value for name, value in new.options.items()}

    def place(self, like: Raster) -> dict[str, Any]:
        """What rasterio is told of the place: transform and CRS, or control points; and RPCs."""
        control = like.control
        known: dict[str, Any] = {} if control.rpcs is None else {"rpcs": control.rpcs}
        if control.points and like.transform.is_identity:
            return known | {"gcps": list(control.points), "crs": control.crs}
        return known | {"transform": like.transform, "crs": like.crs}

    def check(self, new: NewRaster) -> None:
        """Refuse what the driver has no place for."""

    def create(self, new: NewRaster) -> Any:
        """A new dataset, open for pixels."""
        return self.opened(new, nodata=new.encoding.nodata, **self.options(new))

    def opened(self, new: NewRaster, **how: Any) -> Any:
        """A new dataset of rasterio's, on its grid."""
        return rasterio.open(
            new.path,
            "w",
            driver=self.name,
            width=new.like.cols,
            height=new.like.rows,
            count=len(new.bands),
            dtype=new.encoding.dtype,
            **self.place(new.like),
            **how,
        )

    def describe(self, ds: Any, new: NewRaster) -> None:
        """Tell an open dataset what is known of its bands."""
        for i, tags in enumerate(band_tags(new.bands), 1):
            ds.set_band_description(i, new.bands.name[i - 1])
            ds.update_tags(i, **tags)
            if imagery := imagery_tags(tags):
                ds.update_tags(i, ns="IMAGERY", **imagery)
        if self.coloured and not COLOUR_OPTIONS & {name.upper() for name in new.options}:
            ds.colorinterp = colour_of(new.bands)
        scale, offset = new.encoding.scale, new.encoding.offset
        if (scale, offset) != (1.0, 0.0):
            ds.scales = (scale,) * len(new.bands)
            ds.offsets = (offset,) * len(new.bands)

    def finish(self, new: NewRaster) -> None:
        """Do what is left when all pixels are written and the dataset is closed."""
