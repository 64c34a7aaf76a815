"""Cube: the cube that was sharpened, as it is given or as the run names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bandfuse.config.base import build
from bandfuse.config.commands import EvaluateConfig, SharpenConfig
from bandfuse.config.paths import rebased
from bandfuse.errors import ConfigError, InputError, MismatchError
from bandfuse.files.yamlfile import read_yaml
from bandfuse.raster import Placing
from bandfuse.scenes.matching import check_inputs
from bandfuse.scenes.places import places
from bandfuse.scenes.scene import Scene, open_scene
from bandfuse.scenes.value_ranges import in_units
from bandfuse.sharpening.gains.gainsfile import SharpeningWeights
from bandfuse.sharpening.inputs.grids import SHARPER, SNAP
from bandfuse.sharpening.inputs.opening import SHARP
from bandfuse.sharpening.outputs.run import SETTINGS


@dataclass(frozen=True, eq=False)
class GivenCube:
    """A cube that was sharpened, what means missing in it, and a file of its wavelengths."""

    path: str
    nodata: Sequence[str] = ()
    wavelengths: Sequence[str] = ()


def cube_of(run: Path) -> GivenCube | None:
    """The cube of a run folder, as its settings name it; None where they do not.

    Raises
    ------
    InputError, ConfigError : the settings cannot be read.
    """
    if not (run / SETTINGS).is_file():
        return None
    settings = build(SharpenConfig, rebased(read_yaml(run / SETTINGS), run))
    if not settings.images:
        return None
    fills = [text for text in settings.nodata if not text.startswith(SHARP)]
    tables = [] if settings.wavelengths is None else [settings.wavelengths]
    return GivenCube(settings.images[0], fills, tables)


CUBE = "cube="
"""How a setting of nodata begins that is meant for the cube."""


def require_sharpened(given: Sequence[str], own: GivenCube | None) -> None:
    """Refuse the cube of a run in the place of what was made of it.

    Raises
    ------
    ConfigError
    """
    if given and own is not None and Path(given[0]).absolute() == Path(own.path):
        raise ConfigError(
            f"{given[0]} is the cube that the run sharpened",
            expected="a sharpened raster",
            remedy="Leave it out to score the run's own result; or name a sharpened raster, and "
            f"--cube {given[0]}.",
        )


def cube_beside(
    config: EvaluateConfig, own: GivenCube | None, known: SharpeningWeights, scene: Scene
) -> tuple[Scene | None, list[str]]:
    """The cube that is given, else that of the run, whose own result is scored; and why there is
    none.

    Raises
    ------
    InputError, MismatchError : one that is given cannot be read, or does not fit.
    """
    if config.cube is not None:
        fills = [text[len(CUBE) :] for text in config.nodata if text.startswith(CUBE)]
        return _cube(GivenCube(config.cube, fills), config, known, scene), []
    lacking = "interpolation is not scored beside it"
    if own is None:
        return None, [f"{lacking}: --cube names the cube that was sharpened"]
    try:
        return _cube(own, config, known, scene), []
    except InputError as error:
        return None, [f"{lacking}, as the cube of the run cannot be read ({error.what}): --cube"]


def _cube(
    given: GivenCube, config: EvaluateConfig, known: SharpeningWeights, scene: Scene
) -> Scene:
    """The cube that was sharpened.

    Raises
    ------
    InputError, MismatchError : it cannot be read, has other bands, or lies in another CRS.
    """
    place = places([given.path], [], [])[0]
    cube = open_scene(place, nodata=given.nodata, wavelengths=given.wavelengths)
    check_inputs(cube, known.inputs, of="the sharpening")
    affine = Placing(cube.grid, scene.grid).affine
    if affine is None or any(abs(v) > SNAP for v in (affine.b, affine.d)):
        raise MismatchError(
            f"cube {given.path} lies in another CRS than {scene.grid.path}, or is turned against "
            "it",
            expected="the cube that was sharpened",
        )
    return in_units(cube, config)


def ratio_to(scene: Scene, known: SharpeningWeights, cube: Scene | None) -> float:
    """Pixels of the grid of a scene along the side of one of the cube; NaN where it is not known.

    Raises
    ------
    MismatchError : they are not smaller.
    """
    if cube is not None:
        ratio = Placing(cube.grid, scene.grid).factor
    else:
        ratio = known.ratio / Placing(scene.grid, scene.rasters[0]).factor
    if ratio < SHARPER:
        raise MismatchError(
            f"the pixels of {scene.grid.path} are not smaller than those of the cube",
            got=f"{ratio:.3g} of them along the side of one of the cube",
            expected=f"at least {SHARPER:g}",
        )
    return ratio
