"""Page: the files of a run that people read: weights.csv, report.json, report.html, pictures."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bandfuse.errors import shorten
from bandfuse.model.fusion import Fusion
from bandfuse.raster import Raster, describe, quicklook
from bandfuse.report.csv_json import write_csv, write_json
from bandfuse.report.page_data import BandNoise, Page
from bandfuse.results import TrainReport
from bandfuse.runs.block_errors import block_errors, densities, held_pairs
from bandfuse.runs.verdict import verdict
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.solve.design import Design
from bandfuse.solve.fit_result import Fit
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.training.trained import Trained

if TYPE_CHECKING:
    from bandfuse.report.html import Quicklook


REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
DATA_FILE = "report.data.json"
"""What the page shows beside report.json."""

RED_GREEN_BLUE_NM = (650.0, 550.0, 470.0)


def write_texts(
    folder: Path, report: TrainReport, shown: Page | None, *, figures: bool = False
) -> None:
    """Write report.json, weights.csv and, if there is a page, report.html and its data."""
    (folder / "weights.csv").write_text(write_csv(report.weights), encoding="utf-8", newline="")
    (folder / REPORT_FILE).write_text(write_json(report), encoding="utf-8")
    if shown is None:
        return
    from bandfuse.report.html import render

    (folder / DATA_FILE).write_text(shown.model_dump_json() + "\n", encoding="utf-8")
    (folder / PAGE_FILE).write_text(render(report, shown), encoding="utf-8")
    if figures:
        write_figures(folder / "figures", report, shown)


def write_figures(folder: Path, report: TrainReport, shown: Page) -> None:
    """Write the charts and pictures of a page as files."""
    from bandfuse.report.html import figure_files

    folder.mkdir(exist_ok=True)
    for name, content in figure_files(report, shown).items():
        (folder / name).write_bytes(content)


def page(folder: Path, trained: Trained, report: TrainReport, fused: Path | None) -> Page:
    """What the HTML report shows beside the report. ``fused``: the fused first scene."""
    from bandfuse.report.html import shots

    config, survey, names = trained.config, trained.survey, trained.scene_names
    keys = [scene.key for scene in trained.scenes]
    folds, per_scene = config.folds, config.per_scene
    held = held_pairs(survey, names, trained.trust, folds=folds, per_scene=per_scene)
    counted, sampled = densities(survey, names, trained.model, held)
    command = f"bandfuse train --config {shlex.quote(str(folder / 'config.yaml'))} -o NEW_RUN"
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

    scene, shown = scenes[0], shown_outputs(fusion)
    names = ", ".join(design.names[k] for k in shown)
    looks, target, limits = [_scene_look(scene.rasters[0], len(scenes))], None, None
    if scene.target is not None and design.targets:
        bands = target_bands(scene.target)
        target = _picture(scene.target, [bands[design.targets[k]] for k in shown])
        limits = stretch_limits(target)
        caption = f"{Path(scene.target.path).name}: {names}."
        looks.append(Quicklook("Target", caption, target, limits))
    if fused is not None:
        array = _picture(describe(fused), shown)
        looks.insert(1, Quicklook("Fused", f"{fused.name}: {names}.", array, limits))
        if target is not None and limits and scene.common is None:  # else they show other pixels
            looks.append(_residual(array - target, names))
    return looks


def _scene_look(raster: Raster, scenes: int) -> Quicklook:
    """A picture of the first of so many scenes."""
    from bandfuse.report.html import Quicklook

    positions, how = natural_colour(raster)
    several = f" The first of {scenes} scenes." if scenes > 1 else ""
    caption = f"{Path(raster.path).name}, {how}.{several}"
    return Quicklook("Scene", caption, _picture(raster, positions))


def shown_outputs(fusion: Fusion) -> list[int]:
    """Positions of outputs for red, green and blue: those whose weights lie nearest to these
    colours; else the first three backwards; one if there are fewer."""
    if len(fusion.outputs) < 3:
        return [0]
    size, nm = np.abs(fusion.matrix), fusion.inputs.wavelength_nm
    if np.isfinite(nm[(size > 0).any(axis=0)]).all() and (size.sum(axis=1) > 0).all():
        centre = size @ np.nan_to_num(nm) / size.sum(axis=1)
        chosen = [int(np.argmin(np.abs(centre - nm))) for nm in RED_GREEN_BLUE_NM]
        if len(set(chosen)) == 3:
            return chosen
    return [2, 1, 0]


def _residual(difference: Floats, names: str) -> Quicklook:
    """Fused minus target: middle grey is no error, and every channel has the same limits."""
    from bandfuse.report.html import Quicklook

    finite = np.abs(difference[np.isfinite(difference)])
    most = float(np.percentile(finite, 98)) if finite.size else 0.0
    words = "middle grey where they agree, brighter where fused is too bright."
    caption = f"Fused minus target, {names}: {words}"
    channels = 1 if difference.ndim == 2 else difference.shape[2]
    limits = ((-most, most),) * channels
    return Quicklook("Residual", caption, difference, limits, "98\u202f% of the differences")


def _picture(raster: Raster, positions: Sequence[int]) -> Floats:
    """(H, W) of one band, (H, W, n) of several."""
    array = quicklook(raster, positions)
    return array[:, :, 0] if array.shape[2] == 1 else array


def natural_colour(raster: Raster) -> tuple[list[int], str]:
    """Positions of bands for red, green and blue, and how they were chosen."""
    bands = raster.bands
    good = [int(i) for i in np.flatnonzero(bands.good)] or [0]
    nm = bands.wavelength_nm[good]
    if len(good) < 3:
        return [good[0]], f"band {bands.name[good[0]]}"
    if np.isfinite(nm).all() and nm.min() < 520 and nm.max() > 640:
        chosen = [good[int(np.argmin(np.abs(nm - colour)))] for colour in RED_GREEN_BLUE_NM]
        wavelengths = ", ".join(f"{bands.wavelength_nm[i]:.0f}" for i in chosen)
        return chosen, f"natural colour ({wavelengths} nm)"
    chosen = [good[len(good) * q // 6] for q in (5, 3, 1)]
    return chosen, f"false colour (bands {', '.join(str(i + 1) for i in chosen)})"
