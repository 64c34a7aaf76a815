"""Opening: the scenes of a training, all with the same bands; without the broken ones where they
may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError, InputError, shorten
from bandfuse.raster import same_numbers
from bandfuse.scenes.alignment import open_aligned
from bandfuse.scenes.attempts import attempt, misfits
from bandfuse.scenes.matching import check_inputs
from bandfuse.scenes.places import Place, limited, places
from bandfuse.scenes.scene import Scene, target_bands, target_names
from bandfuse.scenes.value_ranges import in_units
from bandfuse.spectral.band_order import require_order
from bandfuse.spectral.detectors import without_overlaps


@dataclass(frozen=True, eq=False)
class Opened:
    """Scenes to learn from, and those that are left out, with the reasons."""

    scenes: list[Scene]
    left_out: dict[str, str] = field(default_factory=dict)

    def without(self, reasons: Mapping[str, str]) -> Opened:
        """Fewer scenes.

        Raises
        ------
        InputError : none would be left.
        """
        kept, left_out = (
            [s for s in self.scenes if s.key not in reasons],
            {**self.left_out, **reasons},
        )
        if not kept:
            raise InputError(
                "no scene can be used",
                got=shorten(f"{key}: {why}" for key, why in left_out.items()),
            )
        return Opened(kept, left_out)


def open_scenes(config: TrainConfig, *, look: bool = True) -> Opened:
    """The scenes of a training. ``look``: by how much targets are shifted is looked for; without
    it, no pixel is read.

    Raises
    ------
    UsageError : of the first scene that cannot be opened or does not fit the first one; where
        scenes may be left out, if none can be opened, or no one fits half of the others."""
    here = limited(
        places(config.scenes, config.source, config.target, config.labels),
        config.mask,
        config.bounds,
        config.window,
    )
    opened = partial(_opened, config=config, alone=len(here) == 1, look=look)
    if config.skip_broken:
        scenes, reasons = attempt(
            [p.key for p in here], here, lambda place: _with_bands(opened(place))
        )
        found = Opened(same_classes(scenes)).without(reasons)
        return found.without(misfits(found.scenes, require_alike))
    scenes = same_classes([opened(place) for place in here])
    for scene in scenes[1:]:
        require_alike(scene, scenes[0])
    return Opened(scenes)


def same_classes(scenes: list[Scene]) -> list[Scene]:
    """The scenes, with one number for each class over all of them."""
    found = iter(same_numbers([s.labels for s in scenes if s.labels is not None]))
    return [s if s.labels is None else replace(s, labels=next(found)) for s in scenes]


def _opened(place: Place, config: TrainConfig, *, alone: bool, look: bool) -> Scene:
    if config.registration == "on" and not alone:
        raise ConfigError(
            "--register on is for a training of one scene, as targets of several are not shifted "
            "alike",
            got="several scenes",
            remedy="Leave it out, or use --shift auto.",
        )
    auto = config.registration == "auto"
    fits = config.assessed and alone
    scene = open_aligned(
        place,
        config,
        register="off" if auto and not fits else config.registration,
        look=look,
        label_field=config.label_field,
        layers=config.layer,
        unlabelled=config.unlabelled,
        wavelengths=config.wavelengths,
        nodata=config.nodata,
        quality=config.quality,
    )
    return in_units(_one_detector(scene, config.overlap), config)


def _with_bands(scene: Scene) -> Scene:
    """A scene that does not flag all of its bands bad, which all scenes would lose."""
    if not scene.bands.good.any():
        raise InputError(
            f"no band of scene {scene.key!r} is good",
            got=shorten(dict.fromkeys(scene.bands.reason)),
        )
    return scene


def _one_detector(scene: Scene, rule: str) -> Scene:
    """The scene, with the bands dropped that the rule for overlapping detectors leaves out."""
    bands = without_overlaps(scene.bands, rule)
    ends = np.cumsum([len(r.bands) for r in scene.rasters])
    parts = [range(end - len(r.bands), end) for r, end in zip(scene.rasters, ends, strict=True)]
    rasters = tuple(
        replace(r, bands=bands.take(part)) for r, part in zip(scene.rasters, parts, strict=True)
    )
    return replace(scene, rasters=rasters)


def require_alike(scene: Scene, first: Scene) -> None:
    """Two scenes of a training have the same bands, and targets of as many.

    Raises
    ------
    MismatchError, ConfigError
    """
    lone = scene.target is None and len(scene.bands) < len(first.bands)
    target = f" Is it the target? Then give it with --target {scene.grid.path}." if lone else ""
    remedy = f"Scenes that one training pools have the same bands.{target}"
    check_inputs(scene, first.bands, of=f"scene {first.key!r}", remedy=remedy)
    counts = [0 if s.target is None else len(target_bands(s.target)) for s in (scene, first)]
    if counts[0] != counts[1]:
        raise ConfigError(
            f"target of scene {scene.key!r} differs from the others",
            got=f"{counts[0]} bands",
            expected=f"{counts[1]} bands",
        )
    if scene.target is not None and first.target is not None:
        one, other = target_names(scene.target), target_names(first.target)
        if one is not None and other is not None:
            require_order(
                f"target of scene {scene.key!r}", one, other, weights="the targets of the others"
            )
