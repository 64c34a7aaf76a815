"""Alignment: by how much a target lies beside its scene, from a look at a small part of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from bandfuse.config.inputs import Aligning
from bandfuse.errors import ConfigError, shorten
from bandfuse.raster import Raster, describe, opened_selection
from bandfuse.results.base import AlignedFile, AlignmentRow, ShiftRow
from bandfuse.scenes.displacement import Shift, displacement
from bandfuse.scenes.places import Place
from bandfuse.scenes.scene import Scene, open_scene
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import whole
from bandfuse.streaming.windows import SHUFFLED, Window, tile

SIDE, LEAST, FINE = 256, 64, 1024
"""Rows and columns that are looked at: so many, and fewer of a grid of which they are more than
``FINE`` pixels of the finest file."""

BANDS, MEANS = 48, 16
"""Bands of the scene that are looked at, evenly spread, and the means of neighbours among them that
predict the target: fewer bands would not do, as those of one cube may lie apart."""

ANSWERS = 16
"""Bands of the target that are looked at: so many, evenly spread."""

SMALL_SIDE = 128
"""Rows and columns that are looked at of scenes and targets on one grid."""

LOOKS = 5
"""Places that are tried until one has enough valid pixels."""

GREATEST = 1e150
"""The squares of greater numbers overflow: they say nothing of a shift."""


def open_aligned(
    place: Place,
    config: Aligning,
    *,
    label_field: str | None = None,
    layers: Sequence[str] = (),
    unlabelled: Sequence[int] = (),
    wavelengths: Sequence[str] = (),
    nodata: Sequence[str] = (),
    quality: str = "none",
    register: str = "off",
    look: bool = True,
) -> Scene:
    """Open a scene to learn from or to score. The shift of its target is estimated; the target is
    moved by what is asked for: ``auto`` by the estimate, if certain and not small. ``register``: a
    target that is to be registered by slopes (``on``; ``auto`` where the shift is certain and not
    small) is moved by whole pixels, and slopes stand for the rest. ``look``: without it nothing is
    estimated, and no pixel is read.

    Raises
    ------
    InputError, MismatchError, ConfigError
    """
    opened = partial(
        open_scene,
        place,
        label_field=label_field,
        layers=layers,
        unlabelled=unlabelled,
        wavelengths=wavelengths,
        nodata=nodata,
        quality=quality,
        training=True,
        blur=config.blur,
        describe=cache(describe),
    )
    scene = opened()
    if config.shift == "auto" and scene.target is None:
        raise ConfigError(
            "--shift auto needs a target", got="none", expected="--target T, or --shift DX,DY"
        )
    if not look:
        moved = opened(shift=config.shift) if isinstance(config.shift, tuple) else scene
        return replace(moved, registered=register == "on")
    shift = None if scene.target is None else estimate_shift(scene)
    by, registered = _moves(config, register, shift)
    if any(by):
        scene = opened(shift=by)
    return replace(scene, shift=shift, registered=registered)


def _moves(
    config: Aligning, register: str, shift: Shift | None
) -> tuple[tuple[float, float], bool]:
    """Columns and rows by which a target is moved, and whether it is registered by slopes."""
    seen = shift if shift is not None and shift.certain and not shift.small else None
    if config.shift == "auto":
        by = (0.0, 0.0) if seen is None else (seen.columns, seen.rows)
        return by, register == "on"
    if config.shift is not None:
        return config.shift, register == "on"
    if register == "on" or (register == "auto" and seen is not None):
        by = (0.0, 0.0) if seen is None else (float(round(seen.columns)), float(round(seen.rows)))
        return by, True
    return (0.0, 0.0), False


def estimate_shift(scene: Scene) -> Shift | None:
    """How the target of a scene is to be moved to lie on it, in pixels of the grid on which they
    meet.

    One window of at most 256 × 256 pixels is looked at, of files on one grid 128 × 128.

    Raises
    ------
    InputError : a file is damaged or ends too early.
    """
    cube, target = _look(scene, _side(scene))
    return displacement(cube, target) if len(cube) and len(target) else None


def _look(scene: Scene, side: int) -> tuple[Floats, Floats]:
    """(n, H, W) and (T, H, W) of a scene, as means of neighbouring bands, and its target, NaN where
    missing: the first window with a quarter of its pixels valid, from the middle of the scene on.
    Empty where nothing is valid."""
    assert scene.target is not None
    good = scene.bands.by_wavelength(np.flatnonzero(scene.bands.good).tolist())
    positions = [good[i] for i in _some(len(good), BANDS)]
    best: tuple[int, np.ndarray, int] = (0, np.empty((0, 0, 0)), 0)
    with scene.reader(positions, target=True) as reader, opened_selection(scene.where) as where:
        for window in _looks(scene.shape, side):
            outside = None if where is None else where.outside(window)
            if outside is not None and outside.all():
                continue
            look = whole(reader, window)
            if outside is not None:
                look[:, outside] = np.nan
            look[np.abs(look) > GREATEST] = np.nan
            alive = np.logical_or.reduce(np.isfinite(look), axis=(1, 2))
            n = int(alive[: len(positions)].sum())
            look = look[alive]
            count = int(np.isfinite(look).all(axis=0).sum()) if 0 < n < len(look) else 0
            if count > best[0]:
                best = count, look, n
            if 4 * count >= window.size:
                break
    _, look, n = best
    if not n:
        return look, look
    answers = look[n:]
    means = [look[i].mean(axis=0) for i in np.array_split(np.arange(n), min(n, MEANS))]
    return np.stack(means), answers[_some(len(answers), ANSWERS)]


def _some(count: int, most: int) -> list[int]:
    """At most so many positions of a number, evenly spread."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most))}) if count else []


def _side(scene: Scene) -> int:
    """Rows and columns of the grid that are looked at."""
    if scene.common is None:
        return SMALL_SIDE
    finest = max([1.0, *(pixels for _, pixels in _brought(scene))])
    return max(LEAST, min(SIDE, int(FINE / finest)))


def _looks(shape: tuple[int, int], side: int) -> list[Window]:
    """Windows of a scene, the middle one first."""
    rows, cols = min(side, shape[0]), min(side, shape[1])
    middle = Window((shape[0] - rows) // 2, (shape[1] - cols) // 2, rows, cols)
    tiles = tile(shape, side, side)
    others = tiles if len(tiles) > SHUFFLED else [w for w in tiles if 4 * w.size >= rows * cols]
    spread = [others[int(i)] for i in np.linspace(0, len(others) - 1, min(len(others), LOOKS - 1))]
    return [middle, *spread]


def alignment_rows(scenes: Sequence[Scene]) -> list[AlignmentRow]:
    """How the files of scenes were brought together; nothing of scenes that are on one grid."""
    return [_row(scene) for scene in scenes if scene.common is not None or scene.shift is not None]


def _row(scene: Scene) -> AlignmentRow:
    grid, part = (
        (scene.grid, None) if scene.common is None else (scene.common.whole, scene.common.part)
    )
    found = scene.shift
    return AlignmentRow(
        scene=scene.key,
        grid=grid.path,
        row=0 if part is None else part.row,
        col=0 if part is None else part.col,
        rows=scene.shape[0],
        cols=scene.shape[1],
        files=[
            AlignedFile(
                path=r.path,
                pixels=pixels,
                how="majority" if scene.labels and r is scene.labels.file else "mean",
            )
            for r, pixels in _brought(scene)
        ],
        blur=scene.blur,
        shift=None if found is None else _shift_row(found, grid),
        moved=scene.moved,
        corrected=any(scene.moved),
    )


def _brought(scene: Scene) -> list[tuple[Raster, float]]:
    """The rasters that are not on the scene's grid, with their pixels along the side of one of
    its."""
    if scene.common is None:
        return []
    labels = [] if scene.labels is None or scene.labels.areas is not None else [scene.labels.file]
    every = [*scene.rasters, *([] if scene.target is None else [scene.target]), *labels]
    known = [(raster, scene.common.brought(raster)) for raster in every]
    return [(raster, pixels) for raster, pixels in known if pixels]


def _shift_row(shift: Shift, grid: Raster) -> ShiftRow:
    a, b, _, d, e, _ = grid.transform[:6]
    return ShiftRow(
        dx=shift.columns,
        dy=shift.rows,
        x=a * shift.columns + b * shift.rows,
        y=d * shift.columns + e * shift.rows,
        error=shift.error,
        correlation=shift.correlation,
        before=shift.before,
        certain=shift.certain,
    )


def alignment_messages(scenes: Sequence[Scene]) -> list[str]:
    """What a user should know of how files were brought together."""
    return [
        text
        for scene in scenes
        for text in (*_crs_messages(scene), *_grid_messages(scene), *_shift_messages(scene))
    ]


def _crs_messages(scene: Scene) -> list[str]:
    """Files without a CRS or a position beside others that have them are taken to lie on them."""
    answers = [
        scene.target,
        None if scene.labels is None or scene.labels.areas is not None else scene.labels.file,
    ]
    files = [*scene.rasters, *(raster for raster in answers if raster is not None)]
    known = next((r for r in files if r.crs is not None), None)
    if known is None:
        return []
    lost, name = [r for r in files if r.crs is None], Path(known.path).name
    nowhere = [r for r in files if r.transform.is_identity and not known.transform.is_identity]
    said = (
        ("CRS", lost, f"taken to be that of {name}"),
        ("position", nowhere, f"taken to lie on {name}, pixel on pixel"),
    )
    return [
        f"{scene.key}: no {what} is declared in {shorten(Path(r.path).name for r in found)}: {how}"
        for what, found, how in said
        if found
    ]


def _pixels(count: float) -> str:
    """So many pixels, in words."""
    return "1 pixel" if f"{count:.3g}" == "1" else f"{count:.3g} pixels"


def _grid_messages(scene: Scene) -> list[str]:
    """What was averaged, and onto which grid."""
    brought = _brought(scene)
    if not brought:
        return []
    what = shorten(
        f"{Path(raster.path).name} ({_pixels(pixels)} a side)" for raster, pixels in brought
    )
    return [
        f"{scene.key}: brought to the grid of {Path(scene.grid.path).name}, {scene.shape[0]} × "
        f"{scene.shape[1]} pixels of it: {what}"
    ]


def _shift_messages(scene: Scene) -> list[str]:
    """How the target lies, and what was made of it."""
    if scene.labels is not None and any(scene.moved):
        return [
            f"{Path(scene.labels.file.path).name}: it was moved by "
            f"{scene.moved[0]:g},{scene.moved[1]:g}"
        ]
    if scene.target is None or (scene.common is None and scene.shift is None):
        return []
    shift, name = scene.shift, Path(scene.target.path).name
    if shift is None or not shift.certain:
        return [f"{name}: whether it is shifted against {scene.key} cannot be told"]
    row = _shift_row(shift, scene.grid)
    found = (
        f"{_signed(row.dx)} columns and {_signed(row.dy)} rows ({row.x:+.4g}, {row.y:+.4g} in "
        f"units of the CRS; ± {row.error:.2f} pixels) move it onto {scene.key}: correlation "
        f"{row.before:.3f} before, {row.correlation:.3f} after"
    )
    if shift.small and not any(scene.moved):
        return [
            f"{name} lies on {scene.key}: {_signed(row.dx)} columns and {_signed(row.dy)} rows (± "
            f"{row.error:.2f} pixels)"
        ]
    return [f"{name}: {found}; {_done(scene)}"]


def _signed(pixels: float) -> str:
    """With its sign; nothing is +0.00."""
    return f"{round(pixels, 2) + 0.0:+.2f}"


def _done(scene: Scene) -> str:
    """What was made of a shift."""
    moved = f"it was moved by {scene.moved[0]:g},{scene.moved[1]:g}" if any(scene.moved) else ""
    if scene.registered:
        rest = (
            "slopes of the cube explain the rest of the shift, so that it does not distort weights"
        )
        return f"{moved}, and {rest}" if moved else f"{rest}; --shift auto moves the target"
    return moved or "--shift auto moves it"
