"""Init: a commented config for one of the jobs, from the files given."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from bandfuse.config.base import build
from bandfuse.config.paths import rebased
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError, nearest
from bandfuse.files.guards import check_file
from bandfuse.files.textfile import shown
from bandfuse.files.whole import whole_files
from bandfuse.files.yamlfile import dump_yaml, read_yaml
from bandfuse.raster import describe, is_product, vector_driver
from bandfuse.results.others import InitResult
from bandfuse.scenes.folders import scene_files
from bandfuse.training.settings.defaults import resolve

HEAD = """Keys are the flags of `bandfuse train` without their dashes, - as _ (see --help-all).
Paths are relative to this file. Flags win over it. Lines that begin with # are not used."""

SOURCES = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Line:
    """Settings of the file with what is said of them. ``on``: they are used, and not only shown."""

    says: str
    settings: Mapping[str, Any]
    on: bool = True


@dataclass(frozen=True)
class Job:
    """A job that a config can be written for.

    Parameters
    ----------
    title : what it does. files : what is given, in words. least, most : how many files.
    lines : its settings, from the paths as they stand in the file.
    """

    title: str
    files: str
    least: int
    most: int
    lines: Callable[[Sequence[str]], list[Line]]


OUTPUT = Line("The folder that is written: weights, fused rasters, report.html.", {"output": "run"})
TRUST = Line(
    "How many times blocks are held out, to choose the penalties and for honest scores.",
    {"folds": 5},
)
MASK = Line(
    "Only pixels in here count: a raster, or polygons in GeoJSON.", {"mask": "mask.tif"}, on=False
)


def _match(paths: Sequence[str]) -> list[Line]:
    return [
        Line("The cube whose bands are combined.", {"scenes": paths[0]}),
        Line(
            "What the combinations should look like; its grid may be coarser.", {"target": paths[1]}
        ),
        OUTPUT,
        Line("Each band of the target is predicted.", {"objective": "regression"}),
        Line(
            "Weights are not negative and smooth unless that costs accuracy; or: free, affine, "
            "nonnegative, simplex.",
            {"constraint": "auto"},
        ),
        Line(
            "Compare the weights with the published responses of a sensor.",
            {"sensor": "sentinel-2a"},
            on=False,
        ),
        Line(
            "Move the target by what it is estimated to lie beside the cube.",
            {"shift": "auto"},
            on=False,
        ),
        MASK,
        TRUST,
    ]


def _shrink(paths: Sequence[str]) -> list[Line]:
    return [
        Line("The cube, or several of one sensor.", {"scenes": list(paths)}),
        OUTPUT,
        Line("Keep what rebuilds the whole cube.", {"objective": "reconstruction"}),
        Line(
            "How many bands are left: groups of equally many bands in wavelength order; or "
            "correlation:8, regions, sensor:sentinel-2a.",
            {"groups": "equal:8"},
        ),
        Line("Each output is a weighted mean of its group; or: free.", {"constraint": "simplex"}),
        MASK,
    ]


def _separate(paths: Sequence[str]) -> list[Line]:
    return [
        Line("The cube.", {"scenes": paths[0]}),
        Line("Classes: whole numbers in a raster, or polygons.", {"labels": paths[1]}),
        Line("Property of the polygons that is the class.", {"label_field": "class"}, on=False),
        Line("A number in the labels that is no class.", {"unlabelled": [0]}, on=False),
        OUTPUT,
        Line("Find bands in which the classes differ most.", {"objective": "separability"}),
        Line("One output for each of so many groups of bands.", {"groups": "equal:3"}),
        Line("Let every class count the same, however many pixels it has.", {"balance": True}),
    ]


def _snr(paths: Sequence[str]) -> list[Line]:
    return [
        Line("The cube, or several of one sensor.", {"scenes": list(paths)}),
        OUTPUT,
        Line(
            "Much signal for little noise; the noise is that of differences between neighbouring "
            "pixels.",
            {"objective": "snr"},
        ),
        Line("One output for each of so many groups of bands.", {"groups": "equal:6"}),
        MASK,
    ]


def _merge(paths: Sequence[str]) -> list[Line]:
    images = [f"{SOURCES[i]}={path}" for i, path in enumerate(paths[:-1])]
    return [
        Line("The images, each with a name. They have equally many bands.", {"source": images}),
        Line("What the merged image should look like.", {"target": paths[-1]}),
        OUTPUT,
        Line("Channel 1 is combined with channel 1, 2 with 2, ….", {"fuse": "across"}),
        Line("One weight per image; channel: one per image and channel.", {"weights": "scalar"}),
        Line(
            "The weights of an output add up to one; or: free, simplex.", {"constraint": "affine"}
        ),
        MASK,
    ]


JOBS: dict[str, Job] = {
    "match": Job("match another sensor", "CUBE TARGET", 2, 2, _match),
    "shrink": Job("shrink a cube to a few bands", "CUBE...", 1, 1000, _shrink),
    "separate": Job("separate classes", "CUBE LABELS", 2, 2, _separate),
    "snr": Job("suppress noise", "CUBE...", 1, 1000, _snr),
    "merge": Job("merge images", "IMAGE IMAGE... TARGET", 3, 27, _merge),
    "batch": Job(
        "many scenes", "CUBE..., a folder or a pattern in quotes", 1, 100_000, lambda p: []
    ),
}
"""The jobs by name."""


def init(job: str, files: Sequence[str], output: str, *, overwrite: bool = False) -> InitResult:
    """Write a config for a job, with what each setting means, and check that it can be read.

    Parameters
    ----------
    files : what the job is done with, as :data:`JOBS` says.

    Raises
    ------
    ConfigError : no such job, or another number of files. InputError : a file cannot be read.
    OutputError : nothing is written.
    """
    if job not in JOBS:
        raise ConfigError(f"there is no job {job!r}", remedy=nearest(job, JOBS))
    kind, path = JOBS[job], Path(output)
    if not kind.least <= len(files) <= kind.most:
        raise ConfigError(
            f"init {job} takes {kind.files}", got=f"{len(files)} file{'s' * (len(files) != 1)}"
        )
    read = scene_files(files)
    seen = check_file(path, overwrite=overwrite, inputs=[Path(file) for file in read])
    folder = path.absolute().parent
    about = [_about(file) for file in read]
    if job == "batch":
        text = _batch(files, read, folder, path, about)
    else:
        text = _text(kind, [_relative(f, folder) for f in read], path, about)
    with whole_files(path, seen=seen) as scratch:
        scratch.write_text(text, encoding="utf-8")
        if job != "batch":
            resolve(build(TrainConfig, rebased(read_yaml(scratch), folder)))
    return InitResult(output=output, job=job, command=_command(job, path))


def _command(job: str, path: Path) -> str:
    return f"bandfuse batch {path}" if job == "batch" else f"bandfuse train --config {path}"


def _text(kind: Job, paths: Sequence[str], path: Path, about: Sequence[str]) -> str:
    """The file, with a comment above every setting."""
    head = [f"{kind.title[0].upper()}{kind.title[1:]}.", f"  {_command('train', path)}"]
    lines = _comments("\n".join([*head, *HEAD.splitlines(), "", *about]))
    for line in kind.lines(paths):
        content = dump_yaml(line.settings).rstrip("\n").split("\n")
        lines += ["", *_comments(line.says)]
        lines += content if line.on else [f"# {text}" for text in content]
    return "\n".join(lines) + "\n"


def _comments(text: str) -> list[str]:
    lines = (part for line in shown(text, keep="\n").split("\n") for part in wrap(line, 92) or [""])
    return [f"# {line}".rstrip() for line in lines]


def _about(file: str) -> str:
    """What is in a file, in a line."""
    if vector_driver(file) and not is_product(file):
        return f"{file}: polygons"
    raster = describe(file)
    nm = raster.bands.wavelength_nm
    nm = nm[np.isfinite(nm)]
    range_nm = f", {nm.min():.0f}-{nm.max():.0f} nm" if len(nm) else ""
    return f"{file}: {len(raster.bands)} bands, {raster.rows} × {raster.cols} pixels{range_nm}"


def _relative(file: str, folder: Path) -> str:
    """A path as the config holds it; GDAL's virtual files stay as they are."""
    if file.startswith("/vsi") or "://" in file or not Path(file).exists():
        return file
    try:
        return Path(os.path.relpath(Path(file).absolute(), folder)).as_posix()
    except ValueError:  # another drive of Windows
        return str(Path(file).absolute())


def _batch(
    given: Sequence[str], read: Sequence[str], folder: Path, path: Path, about: Sequence[str]
) -> str:
    """A batch file: one model of all scenes, applied to each."""
    place = Path(given[0])
    if len(given) == 1 and place.is_dir() and list(read) != [given[0]]:
        rule: dict[str, Any] = {"folder": _relative(given[0], folder)}
    elif len(given) == 1 and not place.exists() and list(read) != [given[0]]:
        rule = {"glob": Path(os.path.relpath(place.absolute(), folder)).as_posix()}
    else:
        rule = {"files": [_relative(file, folder) for file in read]}
    more = f"and {len(about) - 6} more" if len(about) > 6 else ""
    head = "Many scenes: learn one model of all of them, and apply it to each.\n"
    head += f"  {_command('batch', path)} --dry-run\n  {_command('batch', path)} -j 4\n"
    head += "The same command again goes on where it was. Paths are relative to this file.\n\n"
    scenes = dump_yaml({"scenes": [rule]}).rstrip()
    lines = [
        *_comments("\n".join([head.rstrip("\n"), "", *about[:6], *filter(None, [more])])),
        "version: 1",
        "",
        "# The folder for everything that is written.",
        "output: batch-run",
        "",
        "# Settings of all jobs: the flags of `bandfuse train` and `apply`, - as _.",
        "defaults:",
        "  # regression needs the targets below; reconstruction needs nothing but the scenes.",
        "  objective: reconstruction",
        "  groups: equal:8",
        "",
        "# The scenes, and what belongs to each: {parent} {stem} {name} {suffix} of its file.",
        scenes,
        '#   target: "{parent}/{stem}_t.tif"',
        "",
        "jobs:",
        "  # One model of all scenes.",
        "  - {name: model, kind: train, pool: all}",
        "  # The fused raster of each scene: batch-run/fused/SCENE.tif.",
        "  - {name: fused, kind: apply, weights: model}",
    ]
    return "\n".join(lines) + "\n"
