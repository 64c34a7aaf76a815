"""GTiff: tiled and compressed, where nothing else is asked for."""

from __future__ import annotations

from bandfuse.raster.drivers.driver import Driver, NewRaster
from bandfuse.streaming.windows import STACK_ROWS


class GTiff(Driver):
    """A tile is a stack of pixels that are fused together, so each is written once."""

    exact = True
    coloured = True

    def defaults(self, new: NewRaster) -> dict[str, str]:
        """Tiles, lightly compressed, by several threads."""
        return {
            "tiled": "YES",
            "blockxsize": "256",
            "blockysize": str(STACK_ROWS),
            "compress": "DEFLATE",
            "zlevel": "1",
            "interleave": "band",
            "num_threads": str(new.threads),
            "bigtiff": "IF_SAFER",
        }
