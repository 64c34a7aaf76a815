"""Fill: values that seem to stand for missing pixels, though no nodata declares them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandfuse.checks.look import LEAST, PixelLook, Read, Spike, Unseen, look_at_pixels
from bandfuse.errors import InputError, shorten
from bandfuse.raster import Raster, Reader, opened_selection
from bandfuse.scenes.scene import TARGET, Scene, target_bands
from bandfuse.streaming.windows import Window

MOST = PARTS, BYTES = 4, 16 * 2**20
"""A look before work is done: at so many parts of a raster, and at most so many bytes."""

HALF = 0.5
"""A training stops where at least this share of the pixels is fill that is not declared."""

FEW = 3
"""So many bands must be zero together for that to be fill without doubt; of values, so many are
named one by one."""


@dataclass(frozen=True)
class Standing:
    """Values that stand out at the ends of bands.

    ``code``: undeclared-fill, zeros or saturated-bands, as ``check`` names them. ``values``: by
    band, from 0, as text that reads back to the stored number. ``share``: the largest of the pixels
    of a band. ``sure``: it is no data without doubt."""

    code: str
    message: str
    values: dict[int, str]
    share: float
    sure: bool


WORDS = {
    "undeclared-fill": "stands apart from all other values: a fill value that is not declared?",
    "zeros": "is far more frequent than its neighbours: no data, or clipped?",
    "saturated-bands": "is the greatest value, and far more frequent than those below it",
}
"""What is said of a value."""


def standing(look: PixelLook) -> Iterator[Standing]:
    """Values that stand out at the ends of the bands: fill values, zeros, saturation. Fractions of
    land cover are often 0 or 1, and are left alone."""
    if is_fractions(look):
        return
    values: dict[tuple[str, str], list[Spike]] = {}
    for spike in look.spikes:
        values.setdefault((_code(spike), text_of(look.raster, spike)), []).append(spike)
    empty = _empty(look) if any(code == "zeros" for code, _ in values) else 0.0
    if empty > LEAST:
        values = {key: spikes for key, spikes in values.items() if key[0] != "zeros"}
        alive = [
            i
            for i in range(len(look.raster.bands))
            if i not in look.dead and look.raster.bands.good[i]
        ]
        yield Standing(
            "undeclared-fill",
            f"{100 * empty:.1f} % of the pixels looked at are 0 in all bands: a fill value that is "
            "not declared?",
            dict.fromkeys(alive, "0"),
            empty,
            len(alive) >= FEW,
        )
    for code in WORDS:
        yield from _of_code(
            code, {text: spikes for (c, text), spikes in values.items() if c == code}
        )


def _code(spike: Spike) -> str:
    if spike.apart > HALF or (spike.at_low and spike.value != 0):
        return "undeclared-fill"
    return "zeros" if spike.at_low else "saturated-bands"


def _of_code(code: str, values: dict[str, list[Spike]]) -> Iterator[Standing]:
    """One for each value; one for all where every band has its own."""
    together = [p for spikes in values.values() for p in spikes]
    if (
        code == "undeclared-fill"
        and len(values) > FEW
        and len({p.band for p in together}) == len(together)
    ):
        named = (
            f"{shorten(values, FEW)} in {_share(together)} of the pixels looked at of "
            f"{named_bands(together)} stand"
        )
        said = (
            f"{named} apart from all other values: fill values that are not declared, one per band?"
        )
        yield Standing(
            code,
            said,
            {p.band: text for text, spikes in values.items() for p in spikes},
            max(p.share for p in together),
            any(p.apart > HALF for p in together),
        )
        return
    for text, spikes in values.items():
        said = (
            f"{text} in {_share(spikes)} of the pixels looked at of {named_bands(spikes)} "
            f"{WORDS[code]}"
        )
        share, sure = max(p.share for p in spikes), any(p.apart > HALF for p in spikes)
        yield Standing(code, said, {p.band: text for p in spikes}, share, sure)


def _share(spikes: Sequence[Spike]) -> str:
    most = max(spike.share for spike in spikes)
    percent = f"{100 * most:.1f} %" if most >= 1e-3 else f"{100 * most:.2g} %"
    return f"up to {percent}" if len(spikes) > 1 else percent


def named_bands(spikes: Iterable[Spike]) -> str:
    """Bands by their numbers, as :func:`named` does."""
    return named([spike.band for spike in spikes])


def named(positions: Iterable[int]) -> str:
    """Bands by their numbers: band 4; 5 bands (1-4, 7)."""
    every = list(positions)
    return (
        f"band {int(every[0]) + 1}" if len(every) == 1 else f"{len(every)} bands ({numbers(every)})"
    )


def numbers(positions: Iterable[int]) -> str:
    """1-based numbers with runs joined: 1-4, 7."""
    runs: list[list[int]] = []
    for n in sorted(int(p) + 1 for p in positions):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return shorten([f"{a}" if a == b else f"{a}-{b}" for a, b in runs], 6)


def text_of(raster: Raster, spike: Spike) -> str:
    """A stored value in as few digits as bring it back."""
    kind = np.dtype(raster.dtypes[spike.band])
    if kind.kind != "f":
        return f"{spike.value:.0f}"
    value = float(str(kind.type(spike.value)))
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value!r}"


def _empty(look: PixelLook) -> float:
    """The share of pixels, of those that are not missing, that are zero in every band that holds
    data."""
    alive = [
        i for i in range(len(look.raster.bands)) if i not in look.dead and look.raster.bands.good[i]
    ]
    there = [~p.missing[alive].all(axis=0) for p in look.parts]
    empty = sum(
        int(((p.stored[alive] == 0).all(axis=0) & t).sum())
        for p, t in zip(look.parts, there, strict=True)
    )
    return empty / max(1, sum(int(t.sum()) for t in there))


def is_fractions(look: PixelLook) -> bool:
    """Whether bands without wavelengths hold numbers between 0 and 1, but for rounding."""
    raster = look.raster
    if np.isfinite(raster.bands.wavelength_nm).any() or np.dtype(raster.dtypes[0]).kind != "f":
        return False
    ends = [(v.min(), v.max()) for v in map(look.valid, range(len(raster.bands))) if v.size]
    return all(low >= -1e-3 and high <= 1 + 1e-3 for low, high in ends)


def fill_messages(
    scene: Scene, nodata: Sequence[str], seed: int = 0, *, stop: bool = False
) -> list[str]:
    """What a user should know of undeclared fill in a scene, from a look at a few parts of it.

    Parameters
    ----------
    nodata : what the user declares; a raster of which it says ``none`` is not looked at.
    stop : whether fill in half of the pixels is an error.

    Raises
    ------
    InputError : it is.
    """
    several = len(scene.rasters) > 1
    named_rasters = [
        (r.bands.sources[0] if several else "", r) for r in scene.rasters if len(r.bands)
    ]
    found: list[str] = []
    with _counting(scene) as (unseen, read):
        for name, raster in [
            *named_rasters,
            *([] if scene.target is None else [(TARGET, scene.target)]),
        ]:
            prefix = f"{name}=" if name else ""
            if f"{prefix}none" in ("".join(text.split()).lower() for text in nodata):
                continue
            own = read if raster is scene.target else None
            with Reader([(raster, range(len(raster.bands)))], scene.handles) as reader:
                look = look_at_pixels(raster, own or reader.read, seed, most=MOST, unseen=unseen)
            found += [
                _told(raster, prefix, one, stop=stop and _is_whole(scene))
                for one in _undeclared(look)
            ]
    return found


def _is_whole(scene: Scene) -> bool:
    """Whether the look knows which pixels count."""
    return scene.labels is None and (
        scene.common is None or (scene.where is None and scene.target is None)
    )


def _undeclared(look: PixelLook) -> Iterator[Standing]:
    """The undeclared fill of the bands that are not flagged."""
    for one in standing(look):
        if one.code == "undeclared-fill" and any(
            look.raster.bands.good[band] for band in one.values
        ):
            yield one


def _told(raster: Raster, prefix: str, one: Standing, *, stop: bool) -> str:
    """The message about one; an error where there is too much of it."""
    distinct = list(dict.fromkeys(one.values.values()))
    every = len(one.values) == len(raster.bands)
    values = (
        distinct[0] if len(distinct) == 1 else ",".join(one.values[b] for b in sorted(one.values))
    )
    if len(distinct) > 1 and not every:
        values = "V1,V2,… (one value per band, none for bands without)"
    remedy = (
        f"If it means missing: --nodata {prefix}{values}; if it is data: --nodata {prefix}none."
    )
    name = Path(raster.path).name
    if (
        stop
        and one.sure
        and one.share >= HALF
        and not (prefix == f"{TARGET}=" and distinct == ["0"])
    ):
        raise InputError(
            f"half or more of {name} may be no data",
            got=one.message.rstrip("?"),
            expected="a declared nodata value",
            remedy=remedy,
        )
    return f"{name}: {one.message} {remedy.rstrip('.')}"


@contextmanager
def _counting(scene: Scene) -> Iterator[tuple[Unseen | None, Read | None]]:
    """Pixels that are not selected, or of which the target knows nothing; None where files have
    grids of their own. And what reads the target, if all of its bands are data. Both ask for the
    same windows, each of which is read once."""
    target = scene.target
    if scene.common is not None or (scene.where is None and target is None):
        yield None, None
        return
    chosen = [] if target is None else [(target, target_bands(target))]
    with opened_selection(scene.where) as where, Reader(chosen, scene.handles) as reader:
        read = lru_cache(PARTS)(reader.read)

        @cache
        def unseen(window: Window) -> NDArray[np.bool_]:
            out = (
                np.zeros((window.rows, window.cols), dtype=bool)
                if where is None
                else where.outside(window)
            )
            if chosen and not out.all():
                cell = read(window).cell(slice(0, window.rows), slice(0, window.cols))
                lost = np.logical_and.reduce(np.isnan(cell.values()))
                out |= lost.reshape(out.shape)
            return out

        yield unseen, read if target is not None and target.bands.good.all() else None
