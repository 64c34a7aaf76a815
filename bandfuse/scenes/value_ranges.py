"""Value ranges: the values that a scene holds, by a bounded look at its pixels, beside those of a
training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandfuse.config.inputs import AnyUnits, Units
from bandfuse.errors import MismatchError, shorten
from bandfuse.model.fusion import Fusion
from bandfuse.moments.sample import thinly
from bandfuse.raster import Raster
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.value_units import LIMIT, WORTH_SAYING, Unlike, Values, unlike
from bandfuse.streaming.stream import WeighedSource, whole
from bandfuse.streaming.windows import Window

PLACES, TRIES = 4, 3
"""Places with valid pixels that are looked at, and for each so many where there may be none."""

ROWS, COLS = 16, 256
"""Pixels of a place, at most; a place lies in one stored block."""

BANDS = 16
"""Bands of each source that are looked at, evenly spread."""

BYTES = 8 * 2**20
"""What is read in all, but for the first place."""

FEWEST = 16
"""Pixels that tell anything."""


def sample_of(scene: Scene, positions: Sequence[int], *, target: bool = False) -> Floats:
    """(D, n) values of some inputs, and of the target's bands after them, at a few places; NaN
    where missing. Empty where the places hold too few valid pixels."""
    with scene.reader(positions, target=target) as reader:
        return _seen(reader, scene)


def _seen(reader: WeighedSource, scene: Scene) -> Floats:
    stored = scene.grid.stored
    # A block that is stored pixel by pixel holds all bands.
    every = sum(
        np.dtype(d).itemsize for r in scene.rasters if r.interleave == "pixel" for d in r.dtypes
    )
    cost = stored[0] * stored[1] * max(reader.bytes_per_pixel, every)
    places = int(np.clip(BYTES // max(cost, 1), 1, PLACES))
    found: list[Floats] = []
    for window in _windows(scene.shape, stored, places * TRIES):
        image = whole(reader, window)
        values = thinly(image.reshape(len(image), -1))
        if np.isfinite(values).any(axis=0).sum() >= min(FEWEST, values.shape[1]):
            found.append(values)
        if len(found) == places:
            break
    if not found:
        return np.empty((0, 0))
    return np.concatenate(found, axis=1)


def _windows(shape: tuple[int, int], stored: tuple[int, int], most: int) -> Iterator[Window]:
    """Parts of stored blocks, spread over a scene by a fixed seed; the middle first."""
    blocks = [-(-side // step) for side, step in zip(shape, stored, strict=True)]
    places = [(blocks[0] // 2, blocks[1] // 2)]
    if blocks != [1, 1]:  # numpy.random takes as long to import as a small scene to be read.
        drawn = np.random.default_rng(0).integers(0, blocks, (most, 2))
        places += map(tuple, drawn.tolist())
    for row, col in dict.fromkeys(places):
        top, left = row * stored[0], col * stored[1]
        yield Window(
            top, left, min(ROWS, stored[0], shape[0] - top), min(COLS, stored[1], shape[1] - left)
        )


def spread_bands(scene: Scene, positions: Sequence[int]) -> list[int]:
    """At most :data:`BANDS` positions of each source, evenly spread."""
    sources = scene.bands.source
    chosen: list[int] = []
    for source in scene.bands.sources:
        here = [p for p in positions if sources[p] == source]
        chosen += [
            here[int(i)]
            for i in np.unique(np.linspace(0, len(here) - 1, min(BANDS, len(here))).astype(int))
        ]
    return sorted(chosen)


def in_units(scene: Scene, config: Units) -> Scene:
    """A scene whose values are multiplied by what ``--scale-inputs`` says."""
    factor = config.scale_inputs
    return (
        scene
        if factor is None
        else replace(scene, rasters=tuple(_scaled(r, factor) for r in scene.rasters))
    )


def _scaled(raster: Raster, factor: float) -> Raster:
    return replace(raster, scale=raster.scale * factor, offset=raster.offset * factor)


def require_inputs(
    scene: Scene, fusion: Fusion, positions: Sequence[int], config: AnyUnits
) -> list[str]:
    """The values of a scene must be in the units of those that a fusion was learned from; what a
    user should know.

    Parameters
    ----------
    positions : of the scene's bands that are read.

    Raises
    ------
    MismatchError : they are not, and ``--any-units`` was not given.
    """
    seen = fusion.inputs_seen
    if seen is None:
        return []
    looked = spread_bands(scene, positions)
    sample = sample_of(scene, looked)
    if not sample.size:
        return []
    here = Values.of(sample)
    same = len(scene.bands) == len(fusion.inputs)  # with --resample the bands may be others
    there, sources = (
        (seen.take(looked), [fusion.inputs.source[p] for p in looked])
        if same
        else (seen, list(fusion.inputs.source))
    )
    found = unlike(here, there, ([scene.bands.source[p] for p in looked], sources))
    return judged(f"scene {scene.key!r}", [r.path for r in scene.rasters], found, config)


def require_target(
    scene: Scene, fusion: Fusion, order: Sequence[int], config: AnyUnits
) -> list[str]:
    """The same of a target and the outputs, which are paired by ``order``."""
    if fusion.outputs_seen is None or scene.target is None:
        return []
    sample = target_sample(scene)
    if not sample.size:
        return []
    found = unlike(
        Values.of(sample[list(order)]),
        fusion.outputs_seen,
        others="those of the training's outputs",
    )
    messages = judged(
        f"target {Path(scene.target.path).name}", [scene.target.path], found, config, scaled=False
    )
    return messages


def target_sample(scene: Scene) -> Floats:
    """(T, n) values of the target's bands at a few places; empty where they hold too few."""
    assert scene.target is not None
    with scene.reading([(scene.target, target_bands(scene.target))]) as reader:
        return _seen(reader, scene)


def judged(
    what: str, files: Sequence[str], found: Unlike, config: AnyUnits, *, scaled: bool = True
) -> list[str]:
    """What is said of values, if they are far from others.

    Raises
    ------
    MismatchError : they are in other units.
    """
    if found.grave and not config.any_units:
        scaled = scaled and isinstance(config, Units) and not found.apart
        way = f"--scale-inputs {found.inverse:g} multiplies the inputs; " if scaled else ""
        raise MismatchError(
            f"{what} is in other units: {found.text}",
            got=shorten(files),
            expected=f"values that differ by a factor below {LIMIT:g}, in ranges that an offset "
            "does not hold apart",
            remedy=f"Declare scale and offset (check --scale X --fix OUT.vrt); {way}--any-units "
            "takes all as it is.",
        )
    if found.grave or not 1 / WORTH_SAYING < found.factor < WORTH_SAYING:
        return [f"{what}: {found.text}"]
    return []
