"""Check: what is odd about a scene, and about a target beside it. Each finding has a code, a
severity and a remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandfuse.checks.look import SIDE, look_at_pixels
from bandfuse.checks.metadata import METADATA_OF_SCENES, OF_METADATA
from bandfuse.checks.pairs import OF_PAIRS
from bandfuse.checks.pixels import OF_PIXELS, PIXELS_OF_SCENES
from bandfuse.checks.subject import Subject
from bandfuse.errors import ConfigError
from bandfuse.files.guards import Seen, check_file
from bandfuse.files.whole import lent, whole_files
from bandfuse.needs import require_meaning
from bandfuse.raster import Raster, Reader, declared, describe, said, same_table, write_fixed
from bandfuse.results.rasters import CheckResult, Finding
from bandfuse.scenes.places import MAIN

SINGLE = (*OF_METADATA, *OF_PIXELS)
SCENE_ONLY = (*METADATA_OF_SCENES, *PIXELS_OF_SCENES)


def check(
    scene: str,
    target: str | None = None,
    *,
    wavelengths: str | None = None,
    nodata: str | None = None,
    scale: float | None = None,
    fix: str | None = None,
    overwrite: bool = False,
    seed: int = 0,
) -> CheckResult:
    """Look for what is odd about a scene and a target, in their metadata and in a bounded look at
    their pixels.

    Parameters
    ----------
    wavelengths : file that says more of the scene's bands. nodata (one stored value, one per band
        between commas, or none), scale : taken for declared.
    fix : VRT to write, with the scene's metadata as bandfuse understands it.

    Raises
    ------
    InputError, MismatchError, ConfigError, OutputError
    """
    require_meaning({"scale": scale, "overwrite": overwrite}, "fix", fix)
    raster = _declared(describe(scene, MAIN, wavelengths), nodata, scale)
    paths = [Path(p) for p in (raster.path, *raster.files)]
    seen = None if fix is None else _check_fix(Path(fix), paths, overwrite=overwrite)
    one = _subject(raster, seed)
    other = None if target is None else _subject(describe(target, "target"), seed)
    found = [f for ask in SINGLE for f in ask(one)]
    if other is not None:
        found += [_of(other, f) for ask in SINGLE if ask not in SCENE_ONLY for f in ask(other)]
        found += [f for ask in OF_PAIRS for f in ask(one, other)]
    if fix is not None:
        _fix(Path(fix), one, paths, seen)
    both = [one] if other is None else [one, other]
    return CheckResult(
        scene=scene,
        target=target,
        findings=sorted(found, key=lambda f: ("decision", "warning", "info").index(f.severity)),
        looked=[s.look.looked for s in both],
        pixels=[s.raster.rows * s.raster.cols for s in both],
        fixed=fix,
    )


def _subject(raster: Raster, seed: int) -> Subject:
    with Reader([(raster, range(len(raster.bands)))]) as reader:
        return Subject(raster, look_at_pixels(raster, reader.read, seed), *said(raster.path))


def _declared(raster: Raster, nodata: str | None, scale: float | None) -> Raster:
    """With the nodata and scale that the user declares."""
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise ConfigError("--scale", got=f"{scale}", expected="a number above zero")
    n = len(raster.bands)
    raster = raster if nodata is None else declared(raster, nodata)
    return raster if scale is None else replace(raster, scale=np.full(n, scale))


def _of(subject: Subject, found: Finding) -> Finding:
    """A finding about the target says so."""
    return found.model_copy(
        update={"message": f"target {Path(subject.raster.path).name}: {found.message}"}
    )


def _check_fix(path: Path, inputs: Sequence[Path], *, overwrite: bool) -> Seen:
    """Refuse a VRT that must not or cannot be written; gives what stands there now."""
    if path.suffix.lower() != ".vrt":
        raise ConfigError(
            "--fix writes a GDAL VRT", got=repr(str(path)), expected="a name that ends in .vrt"
        )
    return check_file(path, overwrite=overwrite, inputs=inputs)


def _fix(path: Path, subject: Subject, inputs: Sequence[Path], seen: Seen | None) -> None:
    """Write the VRT. Dead bands are flagged bad if the look was at all pixels."""
    raster = subject.raster
    if subject.look.whole:
        raster = replace(raster, bands=raster.bands.dropping(subject.look.dead))
    with whole_files(path, inputs, seen=seen) as scratch:
        write_fixed(scratch, path, raster)
        with lent(scratch, path.parent) as place:
            same_table(place, path, raster)


def look_text(result: CheckResult) -> str:
    """How much of the pixels was looked at."""
    parts = [
        f"{n} of {of}" if n < of else f"all {of}"
        for n, of in zip(result.looked, result.pixels, strict=True)
    ]
    seeded = f" in seeded parts of {SIDE} × {SIDE}" if result.looked != result.pixels else ""
    return f"looked at {' and '.join(parts)} pixels{seeded}"
