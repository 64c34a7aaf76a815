"""Regathered: what passes have left before, made fit for a training; what it asks and was not
gathered is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from bandfuse.errors import ConfigError, InputError, MismatchError, shorten
from bandfuse.scenes.attempts import misfits
from bandfuse.scenes.opening import require_alike, same_classes
from bandfuse.scenes.places import long_key
from bandfuse.scenes.scene import Scene
from bandfuse.survey.momentsfile import ENDING
from bandfuse.survey.scene_moments import SceneMoments
from bandfuse.survey.stored_moments import StoredMoments

WITHOUT = "Gather them again with bandfuse moments"


@dataclass(frozen=True)
class Asked:
    """What a training asks of moments: the words of its ``objective``; what it ``gathers``; the
    pixels of its ``sample``, and what is trained on them, empty for nothing (``on_pixels``);
    whether its blocks are held out (``assessed``); and its ``registration``."""

    objective: str
    gathers: set[str]
    sample: int
    on_pixels: str
    assessed: bool
    registration: str


def moments_files(text: str) -> list[str]:
    """The files of moments that a name, a folder or a pattern stands for.

    Raises
    ------
    InputError : a folder without files of moments, or a pattern that no file has.
    """
    path = Path(text)
    if path.is_dir():
        found = sorted(str(file) for file in path.iterdir() if file.suffix == ENDING)
    elif not path.exists() and any(sign in text for sign in "*?["):
        found = sorted(glob(text, recursive=True))
    else:
        return [text]
    if not found:
        raise InputError(
            f"{text} holds no file of moments" if path.is_dir() else f"no file is named {text!r}",
            expected=f"files that end in {ENDING}, as bandfuse moments writes them",
        )
    return found


def pooled_moments(
    every: Sequence[StoredMoments], *, skip: bool = False
) -> tuple[list[StoredMoments], dict[str, str]]:
    """Moments of several scenes for one training: keys differ, bands are the same, and a number
    means one class. With ``skip`` also the scenes that do not fit and are left out, with the
    reasons.

    Raises
    ------
    ConfigError : a scene is there twice. MismatchError : scenes that do not fit.
    """
    keyed, odd = _keyed(every), dict[str, str]()
    if skip:
        odd = misfits([one.facts.scene for one in keyed], _require_fit)
    else:
        for one in keyed[1:]:
            _require_fit(one.facts.scene, keyed[0].facts.scene)
    kept = [one for one in keyed if one.facts.scene.key not in odd]
    scenes = zip(kept, same_classes([one.facts.scene for one in kept]), strict=True)
    return [one.changed(SceneMoments.in_classes_of, scene) for one, scene in scenes], odd


def _require_fit(scene: Scene, first: Scene) -> None:
    _require_same_kind(scene, first)
    require_alike(scene, first)


def _keyed(every: Sequence[StoredMoments]) -> list[StoredMoments]:
    """With a longer key where two scenes have the same."""
    scenes = [one.facts.scene for one in every]
    many = Counter(scene.key for scene in scenes)
    longer = [
        long_key(scene.rasters[0].path) if many[scene.key] > 1 else scene.key for scene in scenes
    ]
    same = next((key for key, count in Counter(longer).items() if count > 1), None)
    if same is not None:
        raise ConfigError(
            f"moments of scene {same!r} are given twice", remedy="Leave one of them out."
        )
    return [
        one if scene.key == key else one.changed(SceneMoments.called, key)
        for one, scene, key in zip(every, scenes, longer, strict=True)
    ]


def _require_same_kind(one: Scene, first: Scene) -> None:
    def kind(scene: Scene) -> str:
        if scene.labels is not None:
            return "labels"
        return "neither target nor labels" if scene.target is None else "a target"

    if kind(one) != kind(first):
        raise MismatchError(
            f"moments of scene {one.key!r} do not fit those of {first.key!r}",
            got=f"gathered with {kind(one)} and with {kind(first)}",
            expected="scenes that were gathered alike",
        )


def fitting_moments(
    every: Sequence[StoredMoments], asked: Asked
) -> tuple[list[StoredMoments], list[str]]:
    """Moments with what a training asks, and no more; what a user should know of them.

    Raises
    ------
    ConfigError : something that was not gathered.
    """
    first, names = every[0].facts, shorten(one.facts.scene.key for one in every)
    if "noise" in asked.gathers and not all(one.noise for one in every):
        raise ConfigError(
            f"{asked.objective} needs differences of neighbouring pixels, which the moments of "
            f"{names} do not hold",
            remedy=f"{WITHOUT} --noise.",
        )
    made, messages = _sloped(every, asked)
    if not {"targets", "classes"} & asked.gathers and first.answers:
        what = "labels" if first.scene.labels is not None else "target"
        messages.append(f"{names}: pixels that the {what} leaves out are not in the moments")
        made = [one.changed(SceneMoments.without_answers) for one in made]
    size = _sample(made, asked, names)
    if asked.sample and not size:
        messages.append(
            f"the moments of {names} hold no sample of pixels: mae, sam and accuracies are unknown"
        )
    least = max(one.facts.least for one in every)
    if least:
        messages.append(
            f"no block of the moments has fewer than {least} pixels (--least-pixels), and they "
            "hold no extremes: psnr is unknown"
        )
    return [one.changed(SceneMoments.with_sample, size) for one in made], messages


def require_answers(every: Sequence[StoredMoments], objective: str, gathers: set[str]) -> None:
    """Moments must have been gathered with the target or labels that an objective needs.

    Raises
    ------
    ConfigError : they were not.
    """
    scene, names = every[0].facts.scene, shorten(one.facts.scene.key for one in every)
    for what, there, flag in (
        ("targets", scene.target is not None, "--target"),
        ("classes", scene.labels is not None, "--labels"),
    ):
        if what in gathers and not there:
            raise ConfigError(
                f"{objective} needs {flag}, and the moments of {names} were gathered without it",
                remedy=f"{WITHOUT} {flag}.",
            )


def _sloped(every: Sequence[StoredMoments], asked: Asked) -> tuple[list[StoredMoments], list[str]]:
    """Moments with slopes where the training registers by them, else without."""
    registration, some = asked.registration, [one for one in every if one.facts.tally.slopes]
    if registration == "on" and (len(every) > 1 or not some):
        raise ConfigError(
            "--register on needs moments of one scene that were gathered with slopes",
            got=f"{len(every)} scenes" if len(every) > 1 else "moments without slopes",
            remedy=f"{WITHOUT} --register on, of this scene alone.",
        )
    if not some or (registration != "off" and len(every) == 1 and asked.assessed):
        return list(every), []
    names = shorten(one.facts.scene.key for one in some)
    said = (
        f"{names}: gathered with slopes of the cube, which are not used here: pixels without "
        "slopes, as at the edges of the scene, are not in the moments (bandfuse moments "
        "--register off has them)"
    )
    return [one.changed(SceneMoments.without_slopes) for one in every], [said]


def _sample(every: Sequence[StoredMoments], asked: Asked, names: str) -> int:
    """Pixels of the sample: those that are asked for, or fewer for scores if fewer were kept."""
    wanted = asked.sample
    tallies = [(one.facts.tally, one.drawn) for one in every]
    short = [
        tally.pixels.capacity
        for tally, drawn in tallies
        if tally.pixels.capacity < wanted and drawn < tally.used
    ]
    if not short:
        return wanted
    if asked.on_pixels:
        raise ConfigError(
            f"{asked.on_pixels} is trained on a sample of {wanted} pixels, and the moments of "
            f"{names} were gathered with fewer",
            got=f"{min(short)} pixels",
            remedy=f"{WITHOUT} --sample {wanted}"
            + (f", or train with --sample {min(short)}." if min(short) else "."),
        )
    return min(short)
