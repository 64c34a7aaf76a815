"""Show rasters: the results of ``info`` and ``resample`` for people."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from bandfuse.cli import show
from bandfuse.errors import shorten
from bandfuse.results.rasters import (
    BandInfo,
    CheckResult,
    FieldInfo,
    FormatsResult,
    InfoResult,
    MomentsResult,
    ResampleResult,
    SceneInfo,
    SceneMomentsRow,
    SensorBandRow,
    VectorInfo,
)


def show_info(result: InfoResult) -> None:
    """A summary of each scene; every band with -v; the groups."""
    for number, scene in enumerate(result.scenes):
        if number:
            show.line("")
        show.facts([("file", scene.path), *_facts(scene)])
        if show.Level.verbose:
            columns = ["band", "name", "nm", "fwhm", "use"]
            show.table(
                columns,
                [
                    [b.index, b.name, b.wavelength_nm, b.fwhm_nm, b.reason or "good"]
                    for b in scene.bands
                ],
            )
        show.remarks([f"{Path(scene.path).name}: {message}" for message in scene.messages])
    for number, vector in enumerate(result.vectors):
        if number or result.scenes:
            show.line("")
        _show_vector(vector)
    for moments in result.moments:
        show_moments(moments)
    if result.groups:
        first = {b.index: b for b in result.scenes[0].bands}
        show.line("")
        rows = [
            [g.name, len(g.bands), _numbers(g.bands), _range([first[i] for i in g.bands])]
            for g in result.groups
        ]
        show.table(["group", "bands", "numbers", "nm"], rows)


def _show_vector(vector: VectorInfo) -> None:
    """A vector file: its layers, with their fields and classes."""
    show.facts([("file", vector.path), ("driver", vector.driver)])
    for layer in vector.layers:
        count = show.count(layer.features, "feature")
        about = f"{layer.name}: {count} of type {layer.geometry}, {layer.crs or 'no CRS'}"
        show.facts([("layer", about), *(("field", _field(field)) for field in layer.fields)])


def _field(field: FieldInfo) -> str:
    """A field in a line: its kind, and its values where they could be classes."""
    text = f"{field.name} ({field.kind}), {show.count(field.distinct, 'value')}"
    if not field.values:
        return text
    known = (f"{name} ({n})" for name, n in field.values.items())
    return f"{text}: {shorten(known, 10)}"


def show_findings(result: CheckResult, looked: str) -> None:
    """Findings, the gravest first, each with its remedy."""
    for one in result.findings:
        remedy = f" {one.remedy}" if one.remedy else ""
        stop = "" if one.message.endswith("?") else "."
        show.facts([(one.severity, f"{one.code}: {one.message}{stop}{remedy}")])
    counts = Counter(f.severity for f in result.findings)
    grave = [
        f"{show.count(counts['decision'], 'decision')} to take",
        show.count(counts["warning"], "warning"),
    ]
    show.line(f"{', '.join(grave)}, {counts['info']} for information; {looked}")
    if result.fixed:
        show.line(f"{result.fixed} written")


def show_formats(result: FormatsResult) -> None:
    """What can be opened, one format after the other."""
    for number, found in enumerate(result.formats):
        if number:
            show.line("")
        show.facts(
            [
                ("format", found.name),
                ("give", found.give),
                ("understood", found.understood),
                ("proven on", found.proven),
            ]
        )


def _facts(scene: SceneInfo) -> list[tuple[str, str]]:
    bad = Counter(b.reason for b in scene.bands if not b.good)
    good = sum(b.good for b in scene.bands)
    scale = "differs between bands" if scene.scale is None else f"{scene.scale:g}"
    nodata = "none declared" if scene.nodata is None else f"{scene.nodata:g}"
    return [
        ("driver", f"{scene.driver}, {scene.dtype}"),
        ("size", f"{len(scene.bands)} bands × {scene.rows} rows × {scene.cols} columns"),
        ("CRS", scene.crs or "none"),
        ("pixel", _pixel(scene.transform)),
        ("nodata", nodata),
        ("scale", scale),
        ("bands", f"{good} good" + "".join(f", {n} {reason}" for reason, n in bad.items())),
        ("wavelengths", _range(scene.bands)),
        *_quality(scene),
    ]


def _quality(scene: SceneInfo) -> list[tuple[str, str]]:
    """The words of the quality layers with their files; nothing of a file that is no product."""
    if scene.no_quality:
        return [("quality", f"none: {scene.no_quality}")]
    words: dict[str, list[str]] = {}
    for layer in scene.quality:
        words.setdefault(Path(layer.file).name, []).append(layer.word)
    # Of files whose names differ after the last dash only, what follows it tells them apart.
    shared = {name.rpartition("-")[0] for name in words}
    alike = len(words) > 1 and len(shared) == 1
    names = {name: f"…-{name.rpartition('-')[2]}" if alike else name for name in words}
    text = "; ".join(f"{', '.join(some)} ({names[name]})" for name, some in words.items())
    return [("quality", text)] if text else []


def _pixel(t: list[float]) -> str:
    width, height = math.hypot(t[0], t[3]), math.hypot(t[1], t[4])
    turned = "" if t[1] == t[3] == 0 else f", turned by {math.degrees(math.atan2(t[3], t[0])):.1f}°"
    return f"{width:g} × {height:g}{turned}"


def _range(bands: list[BandInfo]) -> str:
    known = [b.wavelength_nm for b in bands if b.wavelength_nm is not None]
    if not known:
        return "unknown"
    widths = [b.fwhm_nm for b in bands if b.fwhm_nm is not None]
    lacking = len(bands) - len(known)
    return (
        f"{min(known):.1f}-{max(known):.1f} nm"
        + (f", FWHM {min(widths):.1f}-{max(widths):.1f} nm" if widths else "")
        + (f", {lacking} unknown" if lacking else "")
        + ("" if known == sorted(known) else ", not in order")
    )


def _numbers(numbers: list[int]) -> str:
    """1-based numbers with runs joined: 1-4,7."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return shorten([f"{a}" if a == b else f"{a}-{b}" for a, b in runs], 6)


def show_resampled(result: ResampleResult) -> None:
    """How well each scene covers the sensor, and what was written."""
    columns = ["band", "nm", "fwhm", "covered %", "bands", "use"]
    tables: dict[tuple[tuple[object, ...], ...], list[str]] = {}
    for scene in result.scenes:
        tables.setdefault(tuple(map(_sensor_row, scene.bands)), []).append(scene.scene)
    for rows, names in tables.items():
        show.table(columns, rows, f"{result.sensor} from {shorten(names, 3)}")
    for scene in result.scenes[: show.MOST]:
        show.line(" and ".join(filter(None, [scene.output, scene.weights])) + " written")
    show.more(len(result.scenes) - show.MOST, "with --json")
    if result.valid_share is not None:
        show.line(f"{100 * result.valid_share:.1f} % valid, {result.seconds:.2f} s")


def show_moments(result: MomentsResult) -> None:
    """What a file of moments holds of each scene."""
    columns = ["scene", "pixels", "bands", "answers", "blocks", "sample", "also"]
    rows = [_moments_row(scene) for scene in result.scenes[: show.MOST]]
    show.table(columns, rows, f"{result.output}, {result.bytes / 2**20:.1f} MB")
    show.more(len(result.scenes) - show.MOST, "with --json")
    if result.seconds:
        show.line(f"{result.output} written, {result.seconds:.2f} s")


def _moments_row(scene: SceneMomentsRow) -> tuple[object, ...]:
    answers = f"{scene.target_bands} bands" if scene.target_bands else ""
    answers = f"{len(scene.classes)} classes" if scene.classes else answers
    least = f"at least {scene.least} pixels a block" if scene.least else ""
    also = filter(None, ["noise" * scene.noise, "slopes" * scene.slopes, least])
    size = scene.pixels, scene.bands, answers, scene.blocks, scene.sample
    return scene.scene, *size, ", ".join(also)


def _sensor_row(band: SensorBandRow) -> tuple[object, ...]:
    """How well the cube covers a band of the sensor."""
    share, use = f"{100 * band.coverage:.1f}", "yes" if band.used else "left out"
    return band.name, band.wavelength_nm, band.fwhm_nm, share, band.bands, use
