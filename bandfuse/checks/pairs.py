"""Pairs: findings about two rasters that are to be used together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bandfuse.checks.codes import finding
from bandfuse.checks.pixels import typical_value
from bandfuse.checks.subject import PairCheck, Subject
from bandfuse.errors import MismatchError, UsageError
from bandfuse.raster import Raster, cut, on_one_grid
from bandfuse.results.rasters import Finding
from bandfuse.scenes.alignment import estimate_shift
from bandfuse.scenes.places import MAIN, Place
from bandfuse.scenes.scene import open_scene

FAR = 30.0
"""Values of two rasters that differ by such a factor are in different units."""


def _grids(scene: Subject, target: Subject) -> Iterator[Finding]:
    a, b = scene.raster, target.raster
    if a.crs is not None and b.crs is not None and a.crs != b.crs:
        yield finding("crs-differ", f"the scene is in {a.crs_name}, the target in {b.crs_name}")
        return
    if (a.crs is None) != (b.crs is None):
        yield finding(
            "target-without-crs",
            f"{'the scene' if a.crs is None else 'the target'} has no coordinate system, the other "
            f"is in {(a if b.crs is None else b).crs_name}",
        )
    if not on_one_grid(a, b):
        one, two = (f"{r.rows} × {r.cols} pixels of {_pixel(r)}" for r in (a, b))
        yield finding("grids-differ", f"scene and target have grids of their own: {one}, and {two}")
    if not (a.transform.is_identity or b.transform.is_identity) and not _meet(a, b):
        yield finding("no-common-ground", "scene and target have no place on the ground in common")


def _pixel(r: Raster) -> str:
    t = r.transform
    turned = f", turned by {np.degrees(np.arctan2(t.d, t.a)):.2g}°" if t.b or t.d else ""
    return f"{np.hypot(t.a, t.d):g} × {np.hypot(t.b, t.e):g}{turned}"


def _meet(a: Raster, b: Raster) -> bool:
    """Whether two rasters have some ground in common."""
    try:
        cut(a, [b])
    except MismatchError:
        return False
    return True


def _scales(scene: Subject, target: Subject) -> Iterator[Finding]:
    one, two = typical_value(scene, 50), typical_value(target, 50)
    if min(one, two) > 0 and max(one / two, two / one) > FAR:
        yield finding(
            "scale-mismatch",
            f"the scene's values are about {one:.3g}, the target's about {two:.3g}: one may lack "
            "its scale",
        )


def _shifted(scene: Subject, target: Subject) -> Iterator[Finding]:
    """A target that lies beside its scene, by :func:`bandfuse.scenes.alignment.estimate_shift`."""
    try:
        both = open_scene(
            Place("scene", ((MAIN, scene.raster.path),), target.raster.path), training=True
        )
        shift = estimate_shift(both)
    except UsageError:  # they do not meet, or cannot be read: other findings say so
        return
    if shift is not None and shift.certain and not shift.small:
        yield finding(
            "target-shifted",
            f"{shift.columns:+.2f} columns and {shift.rows:+.2f} rows of {both.grid.path} bring "
            f"the target onto the scene (± {shift.error:.2f})",
        )


OF_PAIRS: tuple[PairCheck, ...] = (_grids, _scales, _shifted)
"""Checks of a scene and its target. A new check is a function here, with its codes in ``codes``."""
