"""Opening: from the settings to a described cube, sharp images, and how they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bandfuse.config.commands import SharpenConfig
from bandfuse.errors import ConfigError, InputError, MismatchError, shorten
from bandfuse.raster import (
    Raster,
    Selection,
    declared,
    describe,
    holds_classes,
    moved,
    quality_files,
    quality_messages,
    words_of,
)
from bandfuse.results.sharpening import RegistrationRow
from bandfuse.scenes.places import places
from bandfuse.scenes.polynomials import Field
from bandfuse.scenes.scene import Scene, open_scene, target_bands
from bandfuse.scenes.value_ranges import sample_of
from bandfuse.sharpening.inputs.grids import Meeting, laid, meeting, on_lattice, step_geometry
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import select

SHARP = "sharp="
"""How a setting begins that is meant for the sharp images."""


@dataclass(frozen=True, eq=False)
class Images:
    """The cube, the sharp images on the lattice of the first of them, where they meet, and further
    images that are ``coarser`` than these and sharper than the cube.

    ``registrations``: how each sharp image lies on the cube, where that was estimated; ``fields``:
    by their paths, what sharp images are read through; ``words``: of the quality layers whose
    pixels are missing."""

    scene: Scene
    sharps: tuple[Raster, ...]
    meeting: Meeting
    messages: tuple[str, ...]
    coarser: tuple[Raster, ...] = ()
    registrations: tuple[RegistrationRow, ...] = ()
    fields: tuple[tuple[str, Field], ...] = ()
    words: tuple[str, ...] = ()

    @property
    def rasters(self) -> list[Raster]:
        """The cube and the sharp images."""
        return [*self.scene.rasters, *self.every_sharp]

    def hidden(self, sharp: Raster, grid: Raster) -> Selection | None:
        """What quality layers flag of a sharp image, on a grid on which it is read."""
        files = tuple(quality_files(sharp, self.words, sharp))
        return Selection(grid, quality=files) if files else None

    @property
    def every_sharp(self) -> tuple[Raster, ...]:
        """All sharp images, the finest first."""
        return self.sharps + self.coarser

    def field_of(self, sharp: Raster) -> Field | None:
        """What a sharp image is read through, if it is moved from place to place."""
        return dict(self.fields).get(sharp.path)

    @property
    def sharp_bands(self) -> Bands:
        """The bands of the sharp images that are data, each with a name of its own."""
        tables = [s.bands.take(target_bands(s)) for s in self.every_sharp]
        several = len(tables) > 1
        names = [
            f"{Path(s.path).stem}_{name}" if several else name
            for s, table in zip(self.every_sharp, tables, strict=True)
            for name in table.name
        ]
        return Bands.of(
            names,
            source="sharp",
            wavelength_nm=np.concatenate([t.wavelength_nm for t in tables]),
            fwhm_nm=np.concatenate([t.fwhm_nm for t in tables]),
        )

    @property
    def paths(self) -> list[Path]:
        """All files that are read."""
        sharp = [Path(p) for s in self.every_sharp for p in (s.path, *s.files)]
        return [*self.scene.paths, *sharp]


def opened_images(config: SharpenConfig) -> Images:
    """Describe the cube and the sharp images: where none is given, that of the cube's own product.

    Raises
    ------
    ConfigError, InputError, MismatchError : too few images, or images that do not fit together.
    """
    if not config.images:
        raise _too_few("nothing")
    first, *others = config.images
    cube_fill = [text for text in config.nodata if not text.startswith(SHARP)]
    sharp_fill = [text[len(SHARP) :] for text in config.nodata if text.startswith(SHARP)]
    tables = [] if config.wavelengths is None else [config.wavelengths]
    scene = open_scene(places([first], [], [])[0], wavelengths=tables, nodata=cube_fill)
    by = config.shift if isinstance(config.shift, tuple) else None
    said = []
    if not others:
        others = [_own_sharp(scene)]
        said = [f"{first} is sharpened with {others[0]}, as no sharp image is given"]
    _require_once(others)
    sharps = [_sharp(path, sharp_fill, by, scene) for path in others]
    every = [*scene.rasters, *sharps]
    words = words_of(config.quality, every, "the pair of cube and sharp image", masks=False)
    images = _together(_flagged(scene, config.quality, words), sharps, config.quality, words)
    return replace(images, messages=(*said, *images.messages))


def _too_few(got: str) -> ConfigError:
    return ConfigError(
        "a cube and a sharp image are needed", got=got, expected="CUBE SHARP, the cube first"
    )


def _own_sharp(scene: Scene) -> str:
    """The sharper image of the product that a cube is part of.

    Raises
    ------
    ConfigError : it has none.
    """
    sharper = next((raster.sharper for raster in scene.rasters if raster.sharper), "")
    if not sharper:
        raise _too_few(shorten([raster.path for raster in scene.rasters]))
    return sharper


def _flagged(scene: Scene, setting: str, words: Sequence[str]) -> Scene:
    """A cube without the pixels that its quality layers flag."""
    files = tuple(file for raster in scene.rasters for file in quality_files(raster, words, raster))
    return replace(
        scene,
        remarks=tuple(quality_messages(setting, words, scene.rasters, "written as nodata")),
        hidden=Selection(scene.grid, quality=files) if files else None,
    )


def _require_once(paths: Sequence[str]) -> None:
    """Refuse a sharp image that is given twice.

    Raises
    ------
    ConfigError
    """
    again = next((path for path in paths if paths.count(path) > 1), None)
    if again is not None:
        raise ConfigError(f"{again} is given twice", expected="different sharp images")


def _sharp(
    path: str, fills: Sequence[str], shift: tuple[float, float] | None, scene: Scene
) -> Raster:
    """One sharp image, moved if that is asked for.

    Raises
    ------
    InputError : it has no band to learn from, or holds classes or a mask.
    MismatchError : only one of cube and sharp image says where it lies.
    """
    raster = describe(path, "sharp")
    for fill in fills:
        raster = declared(raster, fill)
    if not target_bands(raster):
        raise InputError(f"{path} has no band to sharpen with", got="an alpha band only")
    if holds_classes(path):
        raise InputError(
            f"{path} holds the numbers of classes",
            got="a raster with a colour table or names of classes",
            expected="an image whose values were measured",
        )
    raster = laid(scene.grid, _measured(raster))
    return raster if shift is None else moved(raster, scene.grid, *shift)


FEW_VALUES = 16
"""An image of fewer whole numbers may hold classes."""


def _measured(raster: Raster) -> Raster:
    """A sharp image, with a remark if it may hold classes, as far as it is looked at.

    Raises
    ------
    InputError : it holds two whole numbers only, as masks do.
    """
    sample = sample_of(Scene(Path(raster.path).stem, (raster,)), target_bands(raster))
    values = np.unique(sample[np.isfinite(sample)])
    if not 1 < len(values) < FEW_VALUES or (values % 1).any():
        return raster
    if len(values) == 2:
        raise InputError(
            f"{raster.path} holds a mask",
            got=f"no other values than {values[0]:g} and {values[1]:g} where it was looked at",
            expected="an image whose values were measured",
        )
    message = f"{len(values)} different whole numbers where it was looked at: are they classes?"
    return replace(raster, messages=(*raster.messages, message))


def _together(
    scene: Scene, sharps: Sequence[Raster], setting: str = "none", words: Sequence[str] = ()
) -> Images:
    """The images, the finest sharp one first.

    Raises
    ------
    MismatchError : a sharp image that is not sharper than the cube, or lies elsewhere.
    """
    meetings = [meeting(scene.grid, sharp) for sharp in sharps]
    order = sorted(range(len(sharps)), key=lambda i: -meetings[i].ratio)
    first = meetings[order[0]]
    fine = [i for i in order if on_lattice(first.lattice, sharps[i])]
    coarser = tuple(sharps[i] for i in order if i not in fine)
    for sharp in coarser:
        step_geometry(sharp, first)
    messages = [text for i in order for text in meetings[i].messages]
    remarks = quality_messages(setting, words, sharps, "taken as missing")
    named = [f"{Path(r.path).name}: {m}" for r in (*scene.rasters, *sharps) for m in r.messages]
    return Images(
        scene,
        tuple(sharps[i] for i in fine),
        first,
        tuple(dict.fromkeys([*messages, *named, *scene.remarks, *remarks])),
        coarser,
        words=tuple(words),
    )


def chosen_bands(scene: Scene, seen: Bands, spec: str | None) -> list[int]:
    """Positions of the bands that are sharpened: those that are asked for, of the good ones.

    Raises
    ------
    GroupError : the spec cannot be read. MismatchError : no band is good.
    """
    asked = range(len(seen)) if spec is None else select(spec, seen)
    good = [i for i in asked if seen.good[i]]
    if not good:
        raise MismatchError(
            f"{scene.called} has no good band to sharpen",
            got=shorten(dict.fromkeys(filter(None, seen.reason))) or "no band",
            remedy="See them with bandfuse info -v.",
        )
    return good


def moved_images(images: Images, by: Mapping[str, tuple[float, float]]) -> Images:
    """The same with sharp images that lie so many columns and rows of the cube's grid farther on,
    by their paths."""
    grid = images.scene.grid
    sharps = [moved(s, grid, *by.get(s.path, (0.0, 0.0))) for s in images.every_sharp]
    return replace(_together(images.scene, sharps), messages=images.messages, words=images.words)
