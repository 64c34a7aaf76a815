"""Scene table: what is known of a scene as JSON holds it. A scene that is made of it has no pixels,
and can be all else that a training asks of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from bandfuse.raster import (
    Raster,
    labels_of,
    labels_table,
    raster_of,
    raster_table,
    selection_of,
    selection_table,
)
from bandfuse.scenes.displacement import Shift
from bandfuse.scenes.scene import Common, Scene
from bandfuse.streaming.windows import Window

Table = dict[str, Any]


def scene_table(scene: Scene) -> Table:
    """What a scene says of itself."""
    common, labels, where = scene.common, scene.labels, scene.where
    return {
        "key": scene.key,
        "rasters": [raster_table(raster) for raster in scene.rasters],
        "target": None if scene.target is None else raster_table(scene.target),
        "labels": None if labels is None else labels_table(labels),
        "where": None if where is None else selection_table(where),
        "common": None if common is None else _common_table(common),
        "blur": scene.blur,
        "moved": list(scene.moved),
        "shift": None if scene.shift is None else asdict(scene.shift),
        "registered": scene.registered,
        "remarks": list(scene.remarks),
    }


def _common_table(common: Common) -> Table:
    part = common.part
    return {
        "whole": raster_table(common.whole),
        "part": [part.row, part.col, part.rows, part.cols],
        "grid": raster_table(common.grid),
    }


def scene_of(table: Mapping[str, Any]) -> Scene:
    """A scene that is known by what it said of itself.

    Raises
    ------
    KeyError, TypeError, ValueError : no such table, or a CRS that PROJ does not know.
    """
    rasters = tuple(raster_of(raster) for raster in table["rasters"])
    target, labels, shift = table["target"], table["labels"], table["shift"]
    common, where = table["common"], table["where"]
    met = None if common is None else _common(common)
    across, down = (float(v) for v in table["moved"])
    grid = rasters[0] if met is None else met.whole
    return Scene(
        key=str(table["key"]),
        rasters=rasters,
        target=None if target is None else raster_of(target),
        where=None if where is None else selection_of(where, grid),
        labels=None if labels is None else labels_of(labels),
        common=met,
        blur=None if table["blur"] is None else float(table["blur"]),
        moved=(across, down),
        shift=None if shift is None else _shift(shift),
        registered=bool(table["registered"]),
        remarks=tuple(map(str, table["remarks"])),
    )


def _common(table: Mapping[str, Any]) -> Common:
    row, col, rows, cols = (int(n) for n in table["part"])
    grid: Raster = raster_of(table["grid"])
    return Common(raster_of(table["whole"]), Window(row, col, rows, cols), grid)


def _shift(table: Mapping[str, Any]) -> Shift:
    return Shift(**{field.name: float(table[field.name]) for field in fields(Shift)})
