"""Design: from groups, targets and the way of fusing to named outputs and the layout of their
weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandfuse.errors import GroupError, MismatchError, nearest, shorten
from bandfuse.solve.layout import Layout, across, within
from bandfuse.spectral.band_order import require_order
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.groups import Group
from bandfuse.spectral.lobe import main_lobe


@dataclass(frozen=True, eq=False)
class Design:
    """What is to be learned.

    ``names``: K outputs. ``targets``: for each output the position of its target band (empty
    without targets). ``used``: positions of the bands that enter, ascending; ``layout`` is K ×
    len(used)."""

    names: tuple[str, ...]
    targets: tuple[int, ...]
    used: tuple[int, ...]
    groups: tuple[Group, ...]
    layout: Layout

    def parts(self) -> list[list[int]]:
        """Variables of [used bands, target bands] that meet in the squared error of an output: the
        bands of each group of outputs with their targets. One list of all where that saves less
        than half of the products."""
        n, targets = self.layout.shape[1], 1 + max(self.targets)
        rows: dict[bytes, list[int]] = {}
        for k in range(len(self.names)):
            here = np.union1d(
                self.layout.col[self.layout.row == k], np.flatnonzero(self.layout.fixed[k])
            )
            rows.setdefault(here.astype(np.intp).tobytes(), []).append(n + self.targets[k])
        found = [
            [*np.frombuffer(bands, dtype=np.intp).tolist(), *sorted(set(t))]
            for bands, t in rows.items()
        ]
        every = n + targets
        return (
            found if sum(len(part) ** 2 for part in found) <= every**2 / 2 else [list(range(every))]
        )

    def widen(self, weight: Floats, n_bands: int) -> Floats:
        """(K, B) from (K, used): zeros where a band was not used."""
        wide = np.zeros((len(weight), n_bands))
        wide[:, list(self.used)] = weight
        return wide


def design(
    groups: Sequence[Group],
    *,
    targets: Sequence[str] | None,
    kind: str,
    fuse: str,
    fixed: Sequence[str] = (),
    named: bool = True,
) -> Design:
    """Arrange groups and targets into outputs.

    Parameters
    ----------
    targets : names of the T target bands (made unique), or None without a target.
    named : the groups' names were given, and are worth more than the targets'.

    Raises
    ------
    GroupError : an unknown fixed group, nothing left to learn, groups of different sizes across.
    MismatchError : groups and targets cannot be paired.
    """
    for name in fixed:
        if name not in {g.name for g in groups}:
            raise GroupError(
                f"there is no group {name!r} to fix", remedy=nearest(name, [g.name for g in groups])
            )
    used = tuple(sorted({p for g in groups for p in g.positions}))
    place = {p: i for i, p in enumerate(used)}
    local = [Group(g.name, tuple(place[p] for p in g.positions)) for g in groups]
    if fuse == "across":
        layout = across(local, len(used), kind, set(fixed))
        names, order = _pair_across(layout.shape[0], targets)
    else:
        rows, names, order = _pair_within([g.name for g in groups], targets, named)
        layout = within(local, len(used), kind, set(fixed), rows)
    if not layout.size:
        raise GroupError(
            "every group is fixed: nothing is left to learn", got=f"--fixed {shorten(fixed)}"
        )
    bare = [name for k, name in enumerate(names) if k not in layout.row]
    if bare:
        raise GroupError(
            f"nothing is left to learn of {shorten(bare)}, whose bands are all fixed",
            got=f"--fixed {shorten(fixed)}",
            remedy="Leave --fixed out, or add groups up with --fuse across.",
        )
    return Design(names, order, used, tuple(groups), layout)


def _pair_across(
    channels: int, targets: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if targets is None:
        return tuple(f"b{i}" for i in range(1, channels + 1)), ()
    if len(targets) != channels:
        raise MismatchError(
            "fused channels and target bands differ in number",
            got=f"{channels} channels and {len(targets)} target bands ({shorten(targets)})",
            expected="equal numbers",
        )
    return tuple(targets), tuple(range(channels))


Pairing = tuple[list[int], tuple[str, ...], tuple[int, ...]]


def _pair_within(groups: Sequence[str], targets: Sequence[str] | None, named: bool) -> Pairing:
    """The group of each output, the outputs' names, and their target bands."""
    every = list(range(len(groups)))
    if targets is None:
        return every, tuple(groups), ()
    if len(groups) == 1 and (len(targets) > 1 or not named):
        return [0] * len(targets), tuple(targets), tuple(range(len(targets)))
    if set(groups) == set(targets):
        return every, tuple(groups), tuple(list(targets).index(g) for g in groups)
    if len(groups) == len(targets):
        require_order("the target", targets, groups, weights="the groups")
        return every, tuple(groups), tuple(every)
    raise MismatchError(
        "groups and target bands cannot be paired",
        got=f"groups {shorten(groups)} and target bands {shorten(targets)}",
        expected="equal names, equal numbers, or one group for every target band",
    )


def unique_names(names: Sequence[str]) -> list[str]:
    """Names as they are if all differ and none is empty, else b1 … bT.

    >>> unique_names(["red", "red"])
    ['b1', 'b2']
    """
    if len(set(names)) == len(names) and all(n.strip() for n in names):
        return list(names)
    return [f"b{i}" for i in range(1, len(names) + 1)]


def output_bands(
    names: Sequence[str], matrix: Floats, inputs: Bands, targets: Bands | None = None
) -> Bands:
    """The table of the outputs.

    An output that is to match a target band with a wavelength has that wavelength and FWHM
    (``targets``: the band of each output). Other rows without negative weights get those of their
    main lobe (``main_lobe``), where every band with weight has a wavelength; of a lobe of one band,
    the FWHM of that band if it is known. Signed weights have no centre, and get none."""
    table = Bands.of(list(names), source="fused")
    wavelength, fwhm = table.wavelength_nm.copy(), table.fwhm_nm.copy()
    for k, row in enumerate(matrix):
        lobe = None if (row < 0).any() else main_lobe(row, inputs.wavelength_nm)
        if lobe is not None:
            of_one = inputs.fwhm_nm[lobe.peak]
            wavelength[k] = lobe.centre
            fwhm[k] = of_one if lobe.bands == 1 and np.isfinite(of_one) else lobe.width or np.nan
        if targets is not None and np.isfinite(targets.wavelength_nm[k]):
            wavelength[k] = targets.wavelength_nm[k]
            fwhm[k] = targets.fwhm_nm[k] if np.isfinite(targets.fwhm_nm[k]) else fwhm[k]
    return replace(table, wavelength_nm=wavelength, fwhm_nm=fwhm)
