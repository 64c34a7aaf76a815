"""Page: the files of a run that people read. weights.csv, report.json, report.html and its pictures."""

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
from bandfuse.runs.block_errors import block_errors, held_pairs
from bandfuse.runs.block_errors import densities as counted
from bandfuse.runs.verdict import verdict
from bandfuse.scenes.scene import target_bands
from bandfuse.spectral.bands import Floats
from bandfuse.training.trained import Trained

if TYPE_CHECKING:
    from bandfuse.report.html import Quicklook


REPORT_FILE = "report.json"
DATA_FILE = "report.data.json"
"""What the page shows beside report.json."""


def write_texts(scratch: Path, folder: Path, trained: Trained, report: TrainReport, fused: Sequence[Path]) -> None:
    """Write report.json, weights.csv and (unless not wanted) the page, its data and figures into the scratch folder of
    a run."""
    (scratch / "weights.csv").write_text(write_csv(report.weights), encoding="utf-8", newline="")
    (scratch / REPORT_FILE).write_text(write_json(report), encoding="utf-8")
    if not trained.config.no_report:
        from bandfuse.report.html import render

        made = page(folder, trained, report, fused)
        (scratch / DATA_FILE).write_text(made.model_dump_json() + "\n", encoding="utf-8")
        (scratch / "report.html").write_text(render(report, made), encoding="utf-8")
        if trained.config.figures:
            write_figures(scratch / "figures", report, made)


def write_figures(folder: Path, report: TrainReport, made: Page) -> None:
    """The charts and pictures of a page as files."""
    from bandfuse.report.html import figure_files

    folder.mkdir(exist_ok=True)
    for name, content in figure_files(report, made).items():
        (folder / name).write_bytes(content)


def page(folder: Path, trained: Trained, report: TrainReport, fused: Sequence[Path]) -> Page:
    """What the HTML report shows beside the report."""
    from bandfuse.report.html import shots

    names = trained.survey.design.names
    curves = {shorten([names[r] for r in rows], 3): losses for rows, losses in trained.fits[0].history}
    held = held_pairs(trained)
    densities, sampled = counted(trained, held)
    return Page(
        title=f"{folder.name}: {trained.config.objective} of {shorten([s.key for s in trained.scenes], 3)}",
        command=f"bandfuse train --config {shlex.quote(str(folder / 'config.yaml'))} -o NEW_RUN",
        equation=_equation(trained),
        history={name: [_short(x) for x in losses] for name, losses in curves.items() if len(losses) > 1},
        shots=shots(_quicklooks(trained, fused)),
        densities=densities,
        sampled=sampled,
        blocks=block_errors(trained, held),
        noise=_noise(trained),
        messages=trained.messages,
        verdict=verdict(report, trained),
    )


def _short(loss: float) -> float:
    """As exact as a chart needs it."""
    return float(f"{loss:.8g}")


def _noise(trained: Trained) -> list[BandNoise]:
    """Signal to noise of the used bands, where the noise was gathered."""
    if "noise" not in trained.config.gathers:
        return []
    found = trained.survey
    bands, total = found.bands, np.diag(found.pooled.covariance)
    noise = np.diag(found.noise.covariance)
    return [
        BandNoise(
            band=p + 1,
            wavelength_nm=float(bands.wavelength_nm[p]) if np.isfinite(bands.wavelength_nm[p]) else None,
            snr_db=float(10 * np.log10(total[i] / noise[i])) if total[i] > 0 and noise[i] > 0 else None,
        )
        for i, p in enumerate(found.design.used)
    ]


def _equation(trained: Trained) -> str:
    inner = "gain · (W x) + offset"
    activation = trained.config.activation
    return f"y = {inner}" if activation == "identity" else f"y = {activation}({inner})"


def _quicklooks(trained: Trained, fused: Sequence[Path]) -> list[Quicklook]:
    """Pictures of the first scene, its fused bands and its target."""
    from bandfuse.report.html import Quicklook
    from bandfuse.report.pictures import stretch_limits

    scene = trained.scenes[0]
    chosen, how = natural_colour(scene.rasters[0])
    several = f" The first of {len(trained.scenes)} scenes." if len(trained.scenes) > 1 else ""
    caption = f"{Path(scene.rasters[0].path).name}, {how}.{several}"
    looks = [Quicklook("Scene", caption, _squeeze(quicklook(scene.rasters[0], chosen)))]
    limits = None
    shown = shown_outputs(trained.model.common)
    names = [trained.survey.design.names[i] for i in shown]
    if scene.target is not None and trained.survey.design.targets:
        bands = target_bands(scene.target)
        array = _squeeze(quicklook(scene.target, [bands[trained.survey.design.targets[i]] for i in shown]))
        limits = stretch_limits(array)
        looks.append(Quicklook("Target", f"{Path(scene.target.path).name}: {', '.join(names)}.", array, limits))
    if fused:
        array = _squeeze(quicklook(describe(fused[0]), shown))
        looks.insert(1, Quicklook("Fused", f"{fused[0].name}: {', '.join(names)}.", array, limits))
        if limits and scene.common is None:  # on other grids they show other pixels
            looks.append(_residual(array, np.asarray(looks[2].array), names))
    return looks


def shown_outputs(fusion: Fusion) -> list[int]:
    """Positions of outputs for red, green and blue: those whose weights lie nearest to these colours; else the first
    three backwards; one if there are fewer."""
    if len(fusion.outputs) < 3:
        return [0]
    size, nm = np.abs(fusion.matrix), fusion.inputs.wavelength_nm
    if np.isfinite(nm[(size > 0).any(axis=0)]).all() and (size.sum(axis=1) > 0).all():
        centre = size @ np.nan_to_num(nm) / size.sum(axis=1)
        chosen = [int(np.argmin(np.abs(centre - want))) for want in (650.0, 550.0, 470.0)]
        if len(set(chosen)) == 3:
            return chosen
    return [2, 1, 0]


def _residual(fused: Floats, target: Floats, names: Sequence[str]) -> Quicklook:
    """Fused minus target: middle grey is no error, and every channel has the same limits."""
    from bandfuse.report.html import Quicklook

    difference = fused - target
    finite = np.abs(difference[np.isfinite(difference)])
    most = float(np.percentile(finite, 98)) if finite.size else 0.0
    caption = (
        f"Fused minus target, {', '.join(names)}: middle grey where they agree, brighter where fused is too bright."
    )
    channels = 1 if difference.ndim == 2 else difference.shape[2]
    return Quicklook("Residual", caption, difference, ((-most, most),) * channels, "98\u202f% of the differences")


def _squeeze(array: Floats) -> Floats:
    return array[:, :, 0] if array.shape[2] == 1 else array


def natural_colour(raster: Raster) -> tuple[list[int], str]:
    """Positions of bands for red, green and blue, and how they were chosen."""
    bands = raster.bands
    good = [int(i) for i in np.flatnonzero(bands.good)] or [0]
    nm = bands.wavelength_nm[good]
    if len(good) < 3:
        return [good[0]], f"band {bands.name[good[0]]}"
    if np.isfinite(nm).all() and nm.min() < 520 and nm.max() > 640:
        chosen = [good[int(np.argmin(np.abs(nm - want)))] for want in (650.0, 550.0, 470.0)]
        return chosen, f"natural colour ({', '.join(f'{bands.wavelength_nm[i]:.0f}' for i in chosen)} nm)"
    chosen = [good[len(good) * q // 6] for q in (5, 3, 1)]
    return chosen, f"false colour (bands {', '.join(str(i + 1) for i in chosen)})"
