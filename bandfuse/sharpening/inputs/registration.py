"""Registration: whether sharp images are displaced against a cube, and what is done then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from bandfuse.errors import MismatchError
from bandfuse.raster import Raster
from bandfuse.results.sharpening import DisplacedPlace, RegistrationRow
from bandfuse.scenes.field import Registration
from bandfuse.scenes.polynomials import NAMES, Displacements, Field
from bandfuse.sharpening.inputs.grids import meeting
from bandfuse.sharpening.inputs.opening import Images, moved_images
from bandfuse.sharpening.inputs.sources import opened_pair
from bandfuse.sharpening.pairs.field import found_field, some_bands

Shift = Literal["auto", "field", "keep"] | tuple[float, float] | None

APART = 0.01
"""Pixels by which bands of one cube lie apart: no displacement is known any better."""

VARIES = 0.3
"""A displacement that varies by more over a scene, in pixels of the cube, is no single shift."""

CORRECTED = 0.1
"""A shift of less, in pixels of the cube, is not worth a message."""


def registered(images: Images, shift: Shift) -> Images:
    """See how each sharp image lies on the cube, and move it if that is asked for.

    ``auto``: as a whole, by the mean displacement; ``field``: from place to place; ``keep`` and
    None: not. Of images that were moved by given numbers nothing is estimated.

    Raises
    ------
    MismatchError : a displacement varies over the scene by more than 0.3 pixels of the cube, and
        neither ``field`` nor ``keep`` was asked for.
    InputError : a file is damaged or ends too early.
    """
    if isinstance(shift, tuple):
        return images
    rows, messages = [], []
    fields: dict[str, Field] = {}
    whole: dict[str, tuple[float, float]] = {}
    for sharp in images.every_sharp:
        found = _found(images, sharp)
        if found is None or not found.certain:
            name = Path(images.scene.called).name
            messages.append(
                f"{_name(sharp)}: whether it is displaced against {name} cannot be told"
            )
            continue
        if varies(found) and shift in (None, "auto"):
            raise _varied(images, sharp, found)
        down, across = found.field.middle
        if shift == "field" and found.field.order > 0:
            fields[sharp.path] = found.field
        elif shift in ("auto", "field") and found.field.order >= 0:
            whole[sharp.path] = (across, down)
        how = "field" if sharp.path in fields else "whole" if sharp.path in whole else "no"
        rows.append(_row(sharp, found, how))
        messages.append(_message(images, sharp, rows[-1]))
    moved = moved_images(images, whole) if whole else images
    return replace(
        moved,
        messages=(*images.messages, *messages),
        registrations=tuple(rows),
        fields=tuple(fields.items()),
    )


def varies(found: Registration) -> bool:
    """Whether a displacement is no single shift."""
    return found.certain and found.field.order > 0 and found.field.spread > VARIES


def _found(images: Images, sharp: Raster) -> Registration | None:
    """How one sharp image lies on the cube."""
    scene = images.scene
    good = scene.bands.by_wavelength(np.flatnonzero(scene.bands.good).tolist())
    if not good:
        return None
    met = meeting(scene.grid, sharp)
    alone = replace(images, sharps=(sharp,), coarser=(), meeting=met, fields=())
    with opened_pair(alone, some_bands(good)) as pair:
        return found_field(pair)


def _error(field: Field) -> float:
    """The largest standard error of a field, in pixels."""
    return float(np.hypot(field.uncertainty, APART))


def _name(sharp: Raster) -> str:
    return Path(sharp.path).name


def _varied(images: Images, sharp: Raster, found: Registration) -> MismatchError:
    """One message with the range, the windows and a small map."""
    field = found.field
    places = zip(
        ("top", "middle", "bottom"), *(one.tolist() for one in _thirds(field)), strict=True
    )
    lines = [
        f"{name} " + " ".join(f"{x:+.1f},{y:+.1f}" for x, y in zip(across, down, strict=True))
        for name, down, across in places
    ]
    return MismatchError(
        f"{_name(sharp)} is displaced against {images.scene.called} by amounts that vary over the "
        "scene",
        got=f"{field.spread:.2f} pixels of the cube between two places ({_a(field.name)} field, "
        f"from {len(found.displacements)} of {found.windows} windows, ± {_error(field):.2f})",
        expected=f"at most {VARIES:g}",
        remedy="--shift field moves it from place to place, --shift keep takes it as it lies. "
        f"Columns,rows to move it by, from left to right: {'; '.join(lines)}.",
    )


def _a(name: str) -> str:
    """A word with its article.

    >>> _a("affine"), _a("cubic")
    ('an affine', 'a cubic')
    """
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def _thirds(field: Field) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) rows and columns to move by: at the corners, the sides and the middle."""
    down, across = field.at(*field.lattice(3))
    return down + 0.0, across + 0.0


def _message(images: Images, sharp: Raster, row: RegistrationRow) -> str:
    """How a sharp image lies, and what was done."""
    name, cube = _name(sharp), images.scene.called
    told = f"± {row.error:.2f} pixels of the cube, {row.windows} of {row.of} windows"
    if row.order == "none":
        return f"{name} lies on {cube}, as {row.windows} of {row.of} windows of it show"
    by = f"{row.dx:+.2f} columns and {row.dy:+.2f} rows"
    if row.moved == "field":
        return (
            f"{name}: it was moved onto {cube} by {_a(row.order)} field, {by} on average and up to "
            f"{row.range:.2f} pixels apart ({told})"
        )
    if row.moved == "whole":
        return f"{name}: it was moved onto {cube} by {by} ({told})"
    apart = f", which vary by up to {row.range:.2f} pixels," if row.range > 0 else ""
    if np.hypot(row.dx, row.dy) < CORRECTED and row.range < VARIES:
        return f"{name} lies on {cube}: {by}{apart} ({told})"
    remedy = "--shift field moves it" if row.range > 0 else "--shift auto moves it"
    return f"{name}: {by}{apart} move it onto {cube} ({told}): {remedy}"


def _row(sharp: Raster, found: Registration, how: str) -> RegistrationRow:
    field = found.field
    down, across = field.middle
    return RegistrationRow(
        path=sharp.path,
        order=field.name,
        dx=across,
        dy=down,
        range=field.spread,
        error=_error(field),
        windows=len(found.displacements),
        of=found.windows,
        scores=dict(zip(NAMES, found.scores, strict=False)),
        correlation=found.correlation,
        before=found.before,
        certain=found.certain,
        moved=how,
        shape=field.shape,
        field=_lattice(field),
        measured=_measured(found.displacements),
    )


def _lattice(field: Field) -> list[DisplacedPlace]:
    rows, cols = field.lattice()
    down, across = field.at(rows, cols)
    error = np.maximum(*field.error(rows, cols))
    return [
        DisplacedPlace(row=r, col=c, dx=x, dy=y, error=e)
        for r, c, x, y, e in zip(
            *(one.ravel().tolist() for one in (rows, cols, across, down, error)), strict=True
        )
    ]


def _measured(windows: Displacements) -> list[DisplacedPlace]:
    return [
        DisplacedPlace(row=r, col=c, dx=x, dy=y, error=e)
        for r, c, (y, x), e in zip(
            *(one.tolist() for one in (windows.rows, windows.cols, windows.moves, windows.errors)),
            strict=True,
        )
    ]
