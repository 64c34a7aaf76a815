"""Grids: how sharp images lie on a cube, and the grid of the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from bandfuse.errors import MismatchError
from bandfuse.raster import Placing, Raster, covering, cut, refined, windowed
from bandfuse.sharpening.pairs.kernels import Axis
from bandfuse.sharpening.pairs.pair import Geometry
from bandfuse.streaming.windows import Window

SNAP = 1e-6
"""Edges that lie this near to an edge of the other grid, in its pixels, are taken to lie on it."""

SHARPER = 1.05
"""A sharp image has at least so many pixels along the side of one of the cube."""

FINE = 100
"""At higher ratios gains that are learned from the cube's pixels say little of finer detail."""

SAME = 0.01
"""Pixels whose sides differ by less are taken to be equally large."""

DRIFT = 0.01
"""Pixels by which grids may come apart over a whole image and yet be alike."""


@dataclass(frozen=True, eq=False)
class Meeting:
    """A cube's ``grid``, the grid of the ``result``, and how one lies on the other. ``lattice``: a
    sharp image's own grid, or one in the cube's CRS that is as fine, of which the result's grid is
    a part that begins at ``start`` (row, column), perhaps beyond it."""

    grid: Raster
    lattice: Raster
    start: tuple[int, int]
    result: Raster
    geometry: Geometry
    messages: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """Pixels of the result along the side of a pixel of the cube."""
        return Placing(self.grid, self.lattice).factor


def laid(cube: Raster, sharp: Raster) -> Raster:
    """A sharp image where it lies; over the whole of the cube if neither says where it lies.

    Raises
    ------
    MismatchError : only one of them does.
    """
    lacking = [raster for raster in (cube, sharp) if raster.transform.is_identity]
    if not lacking:
        return sharp
    if len(lacking) == 1:
        raise MismatchError(
            f"{lacking[0].path} does not say where it lies",
            expected="a cube and a sharp image that both lie on a map",
            remedy="Give it its CRS and position: gdal_edit.py -a_srs … -a_ullr …",
        )
    message = (
        f"neither {cube.path} nor {sharp.path} says where it lies: they are taken to cover the "
        "same place"
    )
    return replace(covering(cube, sharp), messages=(*sharp.messages, message))


def meeting(cube: Raster, sharp: Raster) -> Meeting:
    """How a sharp image lies on a cube. The result has the pixels of the sharp image, as far as the
    cube reaches. A sharp image in another CRS, or turned, is brought to the grid of the cube with
    pixels that are as small as its own.

    Raises
    ------
    MismatchError : they do not meet; the sharp image is not sharper.
    """
    messages = []
    cut(cube, [sharp])
    placing = Placing(cube, sharp)
    _require_sharper(cube, sharp, placing)
    turned = placing.affine is None or any(
        abs(v) > SNAP for v in (placing.affine.b, placing.affine.d)
    )
    if turned:
        lattice = refined(cube, max(2, round(placing.factor)))
        messages.append(
            f"{sharp.path} lies in another CRS or is turned against {cube.path}: it is brought to "
            "the cube's grid, divided"
        )
    else:
        lattice = sharp
    if placing.factor > FINE:
        messages.append(
            f"{placing.factor:.0f} pixels of {sharp.path} lie along the side of a pixel of "
            f"{cube.path}: gains are learned from detail as large as pixels of the cube, and say "
            "little of detail so much finer"
        )
    return _laid(cube, lattice, tuple(messages))


def _require_sharper(cube: Raster, sharp: Raster, placing: Placing) -> None:
    """Refuse an image whose pixels are not smaller than the cube's.

    Raises
    ------
    MismatchError
    """
    if placing.factor < SHARPER:
        raise MismatchError(
            f"{sharp.path} is not sharper than {cube.path}",
            got=f"{placing.factor:.3g} of its pixels along the side of a pixel of the cube",
            expected=f"at least {SHARPER:g}",
            remedy="Give the cube first, and then the sharper images."
            if cube.path != sharp.path
            else "It is the cube itself; a part of a product is named as in FILE.he5:PAN.",
        )


def _laid(cube: Raster, lattice: Raster, messages: tuple[str, ...]) -> Meeting:
    """The meeting on a lattice that runs along the cube's rows and columns."""
    affine = Placing(cube, lattice).affine
    assert affine is not None
    row, rows = _span(affine.e, affine.f, cube.rows)
    col, cols = _span(affine.a, affine.c, cube.cols)
    result = windowed(lattice, Window(row, col, rows, cols))
    geometry = Geometry(
        Axis(rows, cube.rows, affine.e, affine.f - row),
        Axis(cols, cube.cols, affine.a, affine.c - col),
    )
    return Meeting(cube, lattice, (row, col), result, geometry, messages)


def _span(ratio: float, offset: float, coarse: int) -> tuple[int, int]:
    """The first fine pixel that coarse pixels reach, and how many they reach."""
    low, high = sorted((offset, ratio * coarse + offset))
    first, last = math.floor(low + SNAP), math.ceil(high - SNAP)
    return first, last - first


def step_geometry(coarser: Raster, met: Meeting) -> Geometry:
    """How the grid of the result lies on a sharp image that is coarser than it.

    Raises
    ------
    MismatchError : the image lies in another CRS, or is turned.
    """
    affine = Placing(coarser, met.result).affine
    if affine is None or any(abs(v) > SNAP for v in (affine.b, affine.d)):
        raise MismatchError(
            f"{coarser.path} lies in another CRS than {met.result.path}, or is turned against it",
            expected="sharp images of several resolutions in one CRS",
            remedy="Bring it there first: gdalwarp -t_srs …",
        )
    return Geometry(
        Axis(met.result.rows, coarser.rows, affine.e, affine.f),
        Axis(met.result.cols, coarser.cols, affine.a, affine.c),
    )


def own_geometry(cube: Raster, sharp: Raster) -> Geometry:
    """How the own grid of a sharp image lies on that of the cube, along whose rows and columns it
    runs."""
    affine = Placing(cube, sharp).affine
    assert affine is not None
    return Geometry(
        Axis(sharp.rows, cube.rows, affine.e, affine.f),
        Axis(sharp.cols, cube.cols, affine.a, affine.c),
    )


def on_lattice(lattice: Raster, other: Raster) -> bool:
    """Whether a raster has pixels as large as those of a lattice, or smaller."""
    return Placing(lattice, other).factor > 1 - SAME


def apart(lattice: Raster, other: Raster) -> tuple[float, float] | None:
    """Row and column of another raster at which a lattice begins; None where their pixels differ,
    or are turned against each other."""
    affine = Placing(lattice, other).affine
    if affine is None:
        return None
    a, b, col, d, e, row = affine[:6]
    drift = max(abs(a - 1), abs(b), abs(d), abs(e - 1)) * max(lattice.shape)
    return (row, col) if drift < DRIFT else None
