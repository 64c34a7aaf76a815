"""Compared: from the settings to a sharpened raster and the true cube on one grid, and which of
their bands are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bandfuse.config.commands import EvaluateConfig
from bandfuse.errors import ConfigError, shorten
from bandfuse.raster import Raster, opened_selection
from bandfuse.scenes.alignment import open_aligned
from bandfuse.scenes.matching import check_inputs
from bandfuse.scenes.places import limited, places
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.scenes.value_ranges import in_units, judged, sample_of, spread_bands
from bandfuse.sharpening.gains.gainsfile import SharpeningWeights
from bandfuse.sharpening.inputs.grids import own_geometry
from bandfuse.sharpening.inputs.sources import padded
from bandfuse.sharpening.outputs.run import SOURCE, raster_in
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.sharpening.truth.beside import Beside
from bandfuse.sharpening.truth.cube import CUBE, cube_beside, cube_of, ratio_to, require_sharpened
from bandfuse.sharpening.truth.pairing import true_bands
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.value_units import Values, unlike


@dataclass(frozen=True, eq=False)
class Compared:
    """A sharpened raster, and the true cube as its target, on one grid.

    ``positions`` of the raster's bands that are compared, ``bands`` as the weights know them, and
    ``answers``: the position of the true band of each. ``cube``: that was sharpened, with the
    positions of the same bands; ``ratio``: pixels of the grid along the side of one of the cube,
    NaN where it is not known."""

    scene: Scene
    positions: tuple[int, ...]
    bands: Bands
    answers: tuple[int, ...]
    ratio: float
    cube: tuple[Scene, tuple[int, ...]] | None = None
    messages: tuple[str, ...] = ()

    def only(self, keep: Sequence[int], message: str) -> Compared:
        """Some of the bands, and why not the others."""
        return replace(
            self,
            positions=tuple(self.positions[i] for i in keep),
            bands=self.bands.take(keep),
            answers=tuple(self.answers[i] for i in keep),
            cube=self.cube and (self.cube[0], tuple(self.cube[1][i] for i in keep)),
            messages=(*self.messages, message),
        )

    @property
    def raster(self) -> Raster:
        """The sharpened raster."""
        return self.scene.rasters[0]

    @property
    def truth(self) -> Raster:
        """The true cube."""
        assert self.scene.target is not None
        return self.scene.target

    @contextmanager
    def opened(self) -> Iterator[Beside]:
        """The files, open."""
        scene, count = self.scene, len(self.positions)
        choices = [*scene.choose(self.positions), (self.truth, self.answers)]
        with ExitStack() as stack:
            reader = scene.reading(choices)
            stack.enter_context(reader)
            where = stack.enter_context(opened_selection(scene.where))
            pair = None
            if self.cube is not None:
                pair = stack.enter_context(_alone(*self.cube, scene.grid))
            yield Beside(reader, scene.shape, count, where, pair)


@contextmanager
def _alone(cube: Scene, positions: Sequence[int], grid: Raster) -> Iterator[Pair]:
    """A cube and a grid on which it is interpolated, without any sharp image."""
    with cube.reader(positions) as reader:

        def read(rows: Range, cols: Range) -> Floats:
            return padded(reader, rows, cols, cube.shape, len(positions), None)

        yield Pair(own_geometry(cube.grid, grid), None, read, read)


def compared(run: Path, known: SharpeningWeights, config: EvaluateConfig) -> Compared:
    """Open a sharpened raster, the true cube, and the cube that was sharpened where it is given.

    Parameters
    ----------
    run : the folder that holds the weights. known : what the weights file holds.

    Raises
    ------
    ConfigError, InputError, MismatchError : settings without a meaning here; files that cannot be
        read, that do not meet, that have other bands, or that are in other units.
    """
    _require_settings(config)
    own = cube_of(run)
    require_sharpened(config.scenes, own)
    scene = _scene(config.scenes[0] if config.scenes else raster_in(run), config)
    positions = _positions(scene, known.outputs)
    pairs = true_bands(_with_wavelengths(scene, positions, known.outputs), scene.target)
    cube, missing = cube_beside(config, None if config.scenes else own, known, scene)
    found = Compared(
        scene,
        positions,
        known.outputs,
        tuple(pairs.get(i, -1) for i in range(len(positions))),
        ratio_to(scene, known, cube),
        None if cube is None else (cube, tuple(known.positions)),
        tuple(missing),
    )
    if len(pairs) < len(positions):
        lost = [known.outputs.label(i) for i in range(len(positions)) if i not in pairs]
        what = "band is" if len(lost) == 1 else "bands are"
        found = found.only(
            sorted(pairs),
            f"{len(lost)} {what} not compared, as {Path(found.truth.path).name} has none at "
            f"{'its wavelength' if len(lost) == 1 else 'their wavelengths'}: {shorten(lost)}",
        )
    return replace(found, messages=(*found.messages, *_unit_messages(found, config)))


def _require_settings(config: EvaluateConfig) -> None:
    """Refuse what has no meaning for a sharpening.

    Raises
    ------
    ConfigError
    """
    given = {
        "labels": config.labels,
        "source": config.source,
        "use-common": config.use_common,
        "device": config.device not in ("auto", "cpu"),
    }
    for name, value in given.items():
        if value:
            raise ConfigError(
                f"--{name} does not apply to a sharpening",
                expected="bandfuse evaluate RUN [SHARPENED] --target TRUE_CUBE",
                remedy=f"Leave --{name} out.",
            )
    if not config.target:
        raise ConfigError(
            "a sharpening is scored against the true cube",
            got="no --target",
            expected="--target TRUE_CUBE, the cube at the pixels of the sharp image",
        )
    if len(config.scenes) > 1:
        raise ConfigError("evaluate takes one sharpened raster", got=shorten(config.scenes))


def _scene(path: str, config: EvaluateConfig) -> Scene:
    """The sharpened raster with the true cube as its target."""
    here = limited(places([path], [], config.target), config.mask, config.bounds, config.window)
    scene = open_aligned(
        here[0],
        config,
        layers=config.layer,
        wavelengths=config.wavelengths,
        nodata=[text for text in config.nodata if not text.startswith(CUBE)],
        quality=config.quality,
    )
    return in_units(scene, config)


def _positions(scene: Scene, outputs: Bands) -> tuple[int, ...]:
    """The bands of a raster that are those that were sharpened: all but the one that says what
    pixels are made of.

    Raises
    ------
    MismatchError : it has other bands.
    """
    bands = scene.bands
    sourced = len(bands) == len(outputs) + 1 and bands.name[-1] == SOURCE
    positions = tuple(range(len(bands) - sourced))
    raster = replace(scene.rasters[0], bands=bands.take(positions))
    remedy = "Give a raster that bandfuse sharpen has made with these weights."
    check_inputs(replace(scene, rasters=(raster,)), outputs, of="the sharpening", remedy=remedy)
    return positions


def _with_wavelengths(scene: Scene, positions: Sequence[int], outputs: Bands) -> Bands:
    """The bands that were sharpened, with the wavelengths that are known of them."""
    known = np.isfinite(outputs.wavelength_nm).all()
    return outputs if known else scene.bands.take(positions)


def _unit_messages(what: Compared, config: EvaluateConfig) -> list[str]:
    """What is said of the values of the true cube, and of the cube, beside those of the sharpened
    raster.

    Raises
    ------
    MismatchError : they are in other units.
    """
    scene = what.scene
    looked = spread_bands(scene, what.positions)
    chosen = [what.positions.index(position) for position in looked]
    sample = sample_of(scene, looked, target=True)
    if not sample.size:
        return []
    places_of = {position: row for row, position in enumerate(target_bands(what.truth))}
    rows = [len(looked) + places_of[what.answers[i]] for i in chosen]
    here, others = Values.of(sample[: len(looked)]), "those of the sharpened raster"
    said = judged(
        f"target {Path(what.truth.path).name}",
        [what.truth.path],
        unlike(Values.of(sample[rows]), here, others=others),
        config,
        scaled=False,
    )
    if what.cube is not None:
        cube, positions = what.cube
        seen = sample_of(cube, [positions[i] for i in chosen])
        if seen.size:
            found = unlike(Values.of(seen), here, others=others)
            said += judged(f"cube {cube.key!r}", [cube.grid.path], found, config, scaled=False)
    return said
