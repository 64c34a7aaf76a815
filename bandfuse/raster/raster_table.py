"""Raster table: what is known of a raster as JSON holds it, without what only readers need."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from bandfuse.raster.describe import Masks, QualityLayer, Raster, SourceImage
from bandfuse.raster.labels import Labels
from bandfuse.raster.mask import Mask, Selection
from bandfuse.raster.polygons import Areas
from bandfuse.raster.quality import QualityFile
from bandfuse.spectral.columns import bands_of, floats_of, numbers_of, table_of
from bandfuse.spectral.remarks import Remark
from bandfuse.streaming.windows import Window

Table = dict[str, Any]


def raster_table(raster: Raster) -> Table:
    """What a raster says of itself."""
    return {
        "path": raster.path,
        "driver": raster.driver,
        "rows": raster.rows,
        "cols": raster.cols,
        "dtypes": list(raster.dtypes),
        "crs": None if raster.crs is None else raster.crs.to_wkt(),
        "transform": [float(v) for v in raster.transform[:6]],
        "bands": table_of(raster.bands),
        "scale": numbers_of(raster.scale),
        "offset": numbers_of(raster.offset),
        "stored": list(raster.stored),
        "messages": [[getattr(m, "code", ""), str(m)] for m in raster.messages],
        "product": raster.product,
        "masks": [raster.masks.dataset, raster.masks.bands, raster.masks.alpha],
    }


def raster_of(table: Table) -> Raster:
    """A raster that is known by what it said of itself. It has no pixels.

    Raises
    ------
    KeyError, TypeError, ValueError : no such table, or a CRS that PROJ does not know.
    """
    bands = bands_of(table["bands"])
    dataset, own, alpha = table["masks"]
    rows, cols = (int(n) for n in table["stored"])
    said = ((str(code), str(text)) for code, text in table["messages"])
    return Raster(
        path=str(table["path"]),
        driver=str(table["driver"]),
        rows=_count(table["rows"]),
        cols=_count(table["cols"]),
        dtypes=tuple(map(str, table["dtypes"])),
        crs=_crs(table["crs"]),
        transform=Affine(*(float(v) for v in table["transform"])),
        bands=bands,
        nodata=np.full(len(bands), np.nan),
        scale=floats_of(table["scale"]),
        offset=floats_of(table["offset"]),
        stored=(rows, cols),
        messages=tuple(Remark(code, text) if code else text for code, text in said),
        product=str(table["product"]),
        masks=Masks(int(dataset), bool(own), int(alpha)),
    )


def _count(number: Any) -> int:
    if not 0 <= int(number) < 2**40:
        raise ValueError(f"{number} rows or columns")
    return int(number)


def _crs(text: str | None) -> CRS | None:
    try:
        return None if text is None else CRS.from_wkt(str(text))
    except CRSError as error:
        raise ValueError(f"a CRS that is not known: {error}") from error


def labels_table(labels: Labels) -> Table:
    """What labels say of themselves; ``drawn``: they are polygons."""
    return {
        "file": raster_table(labels.file),
        "drawn": labels.areas is not None,
        "names": [[int(number), name] for number, name in labels.names],
        "unlabelled": [int(number) for number in labels.unlabelled],
        "band": labels.band,
        "numbered": labels.numbered,
    }


def labels_of(table: Table) -> Labels:
    """Labels that are known by what they said of themselves."""
    return Labels(
        raster_of(table["file"]),
        areas=Areas.of([]) if table["drawn"] else None,
        names=tuple((int(number), str(name)) for number, name in table["names"]),
        unlabelled=tuple(int(number) for number in table["unlabelled"]),
        band=int(table["band"]),
        numbered=bool(table["numbered"]),
    )


def selection_table(where: Selection) -> Table:
    """Which pixels counted."""
    mask, window = where.mask, where.window
    return {
        "bounds": None if where.bounds is None else list(where.bounds),
        "window": None if window is None else [window.row, window.col, window.rows, window.cols],
        "mask": None if mask is None else raster_table(mask.file),
        "quality": [
            {
                "raster": raster_table(file.raster),
                "words": [[layer.reason, layer.file] for layer in file.layers],
            }
            for file in where.quality
        ],
    }


def selection_of(table: Table, grid: Raster) -> Selection:
    """A selection of pixels of a grid that is known by what was asked for."""
    bounds, window, mask = table["bounds"], table["window"], table["mask"]
    west, south, east, north = (0.0,) * 4 if bounds is None else (float(v) for v in bounds)
    return Selection(
        grid,
        None if bounds is None else (west, south, east, north),
        None if window is None else Window(*(int(n) for n in window)),
        None if mask is None else Mask(raster_of(mask)),
        tuple(_quality(file) for file in table["quality"]),
    )


def _quality(table: Table) -> QualityFile:
    none = SourceImage("", (1,))
    layers = tuple(QualityLayer(str(word), none, str(file)) for word, file in table["words"])
    return QualityFile(raster_of(table["raster"]), layers)
