"""Page: the files of a run that people read: weights.csv, report.json, report.html, pictures."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bandfuse.errors import shorten
from bandfuse.model.fusion import Fusion
from bandfuse.raster import AlignedReader, Choice, Raster, describe, quicklook
from bandfuse.report.csv_json import csv_lines, json_parts
from bandfuse.report.page_data import BandNoise, Page
from bandfuse.results.training import TrainReport
from bandfuse.runs.block_errors import block_errors, densities, held_pairs
from bandfuse.runs.verdict import verdict
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.solve.design import Design
from bandfuse.solve.fit_result import Fit
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.display import shown
from bandfuse.streaming.windows import Window
from bandfuse.survey.survey import Survey
from bandfuse.training.trained import Trained

if TYPE_CHECKING:
    from bandfuse.report.html import Quicklook


REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
DATA_FILE = "report.data.json"
"""What the page shows beside report.json."""


def write_texts(
    folder: Path, report: TrainReport, content: Page | None, *, figures: bool = False
) -> None:
    """Write report.json, weights.csv and, if there is a page, report.html and its data."""
    with open(folder / "weights.csv", "w", encoding="utf-8", newline="") as file:
        file.writelines(csv_lines(report.weights))
    with open(folder / REPORT_FILE, "w", encoding="utf-8") as file:
        file.writelines(json_parts(report))
    if content is None:
        return
    from bandfuse.report.html import render

    (folder / DATA_FILE).write_text(content.model_dump_json() + "\n", encoding="utf-8")
    (folder / PAGE_FILE).write_text(render(report, content), encoding="utf-8")
    if figures:
        write_figures(folder / "figures", report, content)


def write_figures(folder: Path, report: TrainReport, content: Page) -> None:
    """Write the charts and pictures of a page as files."""
    from bandfuse.report.html import figure_files

    folder.mkdir(exist_ok=True)
    for name, drawn in figure_files(report, content).items():
        (folder / name).write_bytes(drawn)


def page(folder: Path, trained: Trained, report: TrainReport, fused: Path | None) -> Page:
    """What the HTML report shows beside the report. ``fused``: the fused first scene."""
    from bandfuse.report.html import shots

    config, survey, names = trained.config, trained.survey, trained.scene_names
    keys = [scene.key for scene in trained.scenes]
    folds, per_scene = config.folds, config.per_scene
    held = held_pairs(survey, names, trained.trust, folds=folds, per_scene=per_scene)
    counted, sampled = densities(survey, names, trained.model, held)
    command = f"bandfuse train --config {shlex.quote(str(folder / 'config.yaml'))} -o NEW_RUN"
    looks = []
    if not trained.without_pixels:
        looks = _quicklooks(trained.scenes, survey.design, trained.model.common, fused)
    return Page(
        title=f"{folder.name}: {config.objective} of {shorten(keys, 3)}",
        command=trained.again or command,
        equation=_equation(config.activation),
        history=_history(trained.fits[0], survey.design.names),
        shots=shots(looks),
        densities=counted,
        sampled=sampled,
        blocks=block_errors(survey, keys, held),
        noise=_noise(survey) if "noise" in config.gathers else [],
        messages=trained.messages,
        verdict=verdict(report, trained),
    )


def _history(fit: Fit, names: Sequence[str]) -> dict[str, list[float]]:
    """Losses by step, as exact as a chart needs them, by what was fitted together."""
    curves = {shorten([names[row] for row in rows], 3): losses for rows, losses in fit.history}
    moved = {name: losses for name, losses in curves.items() if len(losses) > 1}
    return {name: [float(f"{loss:.8g}") for loss in losses] for name, losses in moved.items()}


def _noise(survey: Survey) -> list[BandNoise]:
    """Signal to noise of the used bands."""
    nm, total = survey.bands.wavelength_nm, np.diag(survey.pooled.covariance)
    noise = np.diag(survey.noise.covariance)
    return [
        BandNoise(
            band=p + 1,
            wavelength_nm=float(nm[p]) if np.isfinite(nm[p]) else None,
            snr_db=_decibels(total[i], noise[i]),
        )
        for i, p in enumerate(survey.design.used)
    ]


def _decibels(total: float, noise: float) -> float | None:
    """The ratio of two variances; None where one is zero."""
    return float(10 * np.log10(total / noise)) if total > 0 and noise > 0 else None


def _equation(activation: str) -> str:
    inner = "gain · (W x) + offset"
    return f"y = {inner}" if activation == "identity" else f"y = {activation}({inner})"


def _quicklooks(
    scenes: Sequence[Scene], design: Design, fusion: Fusion, fused: Path | None
) -> list[Quicklook]:
    """Pictures of the first scene, its fused bands, its target, and how these two differ."""
    from bandfuse.report.html import Quicklook
    from bandfuse.report.pictures import stretch_limits

    scene, (outputs, how) = scenes[0], shown(fusion.outputs)
    looks, limits = [_scene_look(scene.rasters[0], len(scenes))], None
    if scene.target is not None and design.targets:
        bands = target_bands(scene.target)
        target = (scene.target, [bands[design.targets[k]] for k in outputs])
        array = _picture(*target)
        limits = stretch_limits(array)
        looks.append(Quicklook("Target", f"{Path(scene.target.path).name}, {how}.", array, limits))
    if fused is not None:
        made = (describe(fused), outputs)
        looks.insert(1, Quicklook("Fused", f"{fused.name}, {how}.", _picture(*made), limits))
        if scene.target is not None and limits:
            looks.append(_residual(*difference(scene, made, target), how))
    return looks


def _scene_look(raster: Raster, scenes: int) -> Quicklook:
    """A picture of the first of so many scenes."""
    from bandfuse.report.html import Quicklook

    positions, how = shown(raster.bands)
    several = f" The first of {scenes} scenes." if scenes > 1 else ""
    caption = f"{Path(raster.path).name}, {how}.{several}"
    return Quicklook("Scene", caption, _picture(raster, positions))


MOST_SIDE = 1024
"""Of a larger training grid the middle is compared, so many pixels a side."""

STRIP = 64
"""Rows of it that are read at once."""


def difference(scene: Scene, fused: Choice, target: Choice) -> tuple[Floats, str]:
    """Fused minus target on the grid of the training, (H, W) or (H, W, n), and of what part it is;
    where both have one grid, as they are."""
    if scene.common is None:
        return _picture(*fused) - _picture(*target), ""
    rows, cols = (min(n, MOST_SIDE) for n in scene.shape)
    first = (scene.shape[0] - rows) // 2, (scene.shape[1] - cols) // 2
    strips = [
        Window(first[0] + row, first[1], min(STRIP, rows - row), cols)
        for row in range(0, rows, STRIP)
    ]
    with AlignedReader([fused, target], scene.common.grid, blur=scene.blur) as reader:
        parts = [reader.read(window).array for window in strips]
    both = np.moveaxis(np.concatenate(parts, axis=1), 0, -1)
    n = len(fused[1])
    found: Floats = both[..., :n] - both[..., n:]
    whole = (rows, cols) == tuple(scene.shape)
    where = "" if whole else f"the middle {rows} × {cols} pixels of "
    return found[..., 0] if n == 1 else found, f"On {where}the grid of the training. "


def _residual(found: Floats, where: str, how: str) -> Quicklook:
    """Fused minus target: middle grey is no error, and every channel has the same limits."""
    from bandfuse.report.html import Quicklook

    finite = np.abs(found[np.isfinite(found)])
    most = float(np.percentile(finite, 98)) if finite.size else 0.0
    words = "middle grey where they agree, brighter where fused is too bright."
    caption = f"Fused minus target, {how}: {words} {where}".strip()
    channels = 1 if found.ndim == 2 else found.shape[2]
    limits = ((-most, most),) * channels
    return Quicklook("Residual", caption, found, limits, "98\u202f% of the differences")


def _picture(raster: Raster, positions: Sequence[int]) -> Floats:
    """(H, W) of one band, (H, W, n) of several."""
    array = quicklook(raster, positions)
    return array[:, :, 0] if array.shape[2] == 1 else array
