"""Record: what a finished training says of itself. report.json, weights.csv, report.html."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bandfuse.bands import Floats
from bandfuse.errors import shorten
from bandfuse.fusion import Fusion
from bandfuse.moments import Moments, total
from bandfuse.progress import Progress
from bandfuse.raster import Raster, describe, gdal_version, quicklook
from bandfuse.report.tables import write_csv, write_json
from bandfuse.results import (
    Convergence,
    DroppedBand,
    OutputRow,
    PixelCount,
    Scores,
    ScoreTable,
    Seconds,
    TrainReport,
    WeightRow,
)
from bandfuse.scenes import Scene, target_bands
from bandfuse.scores import against_targets, reconstruction_score, regression_scores
from bandfuse.tools.learn import Trained
from bandfuse.tools.survey import input_file
from bandfuse.trust.cases import Strength
from bandfuse.trust.choose import WORTH
from bandfuse.trust.shape import response_shape

if TYPE_CHECKING:
    from bandfuse.report.html import Quicklook

CUBE = "cube"
"""The name under which the scores of a reconstruction stand: they belong to all outputs together."""


INTERVALS = (
    "Intervals are percentiles of 200 resamples of blocks, the regularisation not chosen anew. For non-negative "
    "weights they are solved without smoothing, so that they hold its bias; for free and affine weights they do not "
    "hold the bias of the ridge, and are too narrow where it is strong."
)


def report_of(trained: Trained, progress: Progress) -> TrainReport:
    """Everything that the run found."""
    files = {r.path: r for s in trained.scenes for r in s.files}
    return TrainReport(
        outputs=_outputs(trained),
        weights=weight_rows(trained),
        scores=ScoreTable(train=_scores(trained), holdout=_holdout(trained)),
        baselines=_baselines(trained),
        convergence=_convergence(trained),
        pixels=_pixels(trained),
        bands_dropped=_dropped(trained),
        device=trained.device,
        seconds=Seconds(read=trained.seconds_read, fit=trained.seconds_fit, write=0.0),
        versions=_versions(),
        inputs=[input_file(r, progress) for r in files.values()],
        seed=trained.config.seed,
    )


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _outputs(trained: Trained) -> list[OutputRow]:
    fusion = trained.model.common
    return [
        OutputRow(
            name=name,
            gain=float(fusion.gain[k]),
            offset=float(fusion.offset[k]),
            constraint=constraint,
            ridge=strength.ridge if strength else None,
            smooth=strength.smooth if strength else None,
            active_bands=int((fusion.matrix[k] != 0).sum()),
        )
        for k, name in enumerate(fusion.outputs.name)
        for constraint, strength in [_choice(trained, k)]
    ]


def _choice(trained: Trained, k: int) -> tuple[str, Strength | None]:
    """The constraint of an output, and how strongly it was regularised."""
    if trained.plan is None:
        return str(trained.config.constraint), None
    choice = trained.plan.choices[k]
    return choice.constraint, choice.strength


def weight_rows(trained: Trained) -> list[WeightRow]:
    """One row per output and band of its group, and per scene where scenes have weights of their own."""
    model, design = trained.model, trained.survey.design
    layout = design.layout
    fusions = dict(model.scenes) or {"": model.common}
    rows = []
    for k in range(layout.shape[0]):
        local = set(layout.col[layout.row == k].tolist()) | set(np.flatnonzero(layout.fixed[k]).tolist())
        for position in sorted(design.used[i] for i in local):
            rows += [_weight_row(f, k, position, scene) for scene, f in fusions.items()]
    return rows if model.per_scene else [_bounded(row, trained) for row in rows]


def _bounded(row: WeightRow, trained: Trained) -> WeightRow:
    """A row with its interval, where there is one."""
    interval = None if trained.trust is None else trained.trust.interval
    if interval is None:
        return row
    design = trained.survey.design
    k, place = design.names.index(row.output), design.used.index(row.band - 1)
    return row.model_copy(update={"ci_low": float(interval.low[k, place]), "ci_high": float(interval.high[k, place])})


def _weight_row(fusion: Fusion, k: int, position: int, scene: str) -> WeightRow:
    bands = fusion.inputs
    return WeightRow(
        output=fusion.outputs.name[k],
        scene=scene,
        band=position + 1,
        source=bands.source[position],
        source_band=bands.index[position],
        name=bands.name[position],
        wavelength_nm=_finite(bands.wavelength_nm[position]),
        fwhm_nm=_finite(bands.fwhm_nm[position]),
        weight=float(fusion.weight[k, position]),
        effective_weight=float(fusion.matrix[k, position]),
    )


def _fusion_of(trained: Trained, scene: Scene) -> Fusion:
    """The scene's fusion over the used bands only."""
    full, used = trained.model.fusion(scene.names), trained.survey.design.used
    return Fusion(
        full.weight[:, list(used)], full.gain, full.offset, full.inputs.take(used), full.outputs, full.activation
    )


def _pairs(trained: Trained) -> Moments:
    """Moments of [outputs, targets] over all scenes, each with its own fusion."""
    design = trained.survey.design
    n, k = len(design.used), len(design.names)
    order = [*range(n), *(n + t for t in design.targets)]
    parts = []
    for scene, moments, tally in zip(trained.scenes, trained.survey.scenes, trained.survey.tallies, strict=True):
        fusion = _fusion_of(trained, scene)
        if fusion.activation == "identity":
            parts.append(against_targets(moments.take(order), fusion))
        else:
            values = tally.pixels.values[:, order]
            parts.append(Moments.of(np.hstack([fusion(values[:, :n]), values[:, n:]])))
    return total(parts, 2 * k)


def _scores(trained: Trained) -> Scores:
    design, n = trained.survey.design, len(trained.survey.design.used)
    high = trained.survey.high
    if trained.config.objective == "regression":
        peak = high[[n + t for t in design.targets]]
        return dict(zip(design.names, regression_scores(_pairs(trained), peak), strict=True))
    fitted = trained.fits[0]
    return {CUBE: reconstruction_score(float(fitted.losses[0]), float(fitted.scale[0]), float(high[:n].max()))}


def _scored(trained: Trained) -> list[str]:
    """What has scores: the outputs, or the cube that is rebuilt from them."""
    return [CUBE] if trained.config.objective == "reconstruction" else list(trained.survey.design.names)


def _holdout(trained: Trained) -> Scores | None:
    if trained.trust is None or trained.trust.holdout is None or trained.model.per_scene:
        return None
    return dict(zip(_scored(trained), trained.trust.holdout, strict=True))


def _baselines(trained: Trained) -> dict[str, ScoreTable]:
    if trained.trust is None or trained.model.per_scene:
        return {}
    names = _scored(trained)
    return {
        method: ScoreTable(**{part: dict(zip(names, scores, strict=True)) for part, scores in parts.items()})
        for method, parts in trained.trust.table.items()
    }


def _convergence(trained: Trained) -> Convergence:
    """Losses summed over outputs; with several fits, weighted by the pixels of their scenes."""
    counts = np.array([m.count for m in trained.survey.scenes], dtype=np.float64)
    share = counts / counts.sum() if len(trained.fits) > 1 else np.ones(1)
    gaps = [f.relative_gap for f in trained.fits]
    optima = [None if f.optimum is None else float(f.optimum.sum()) for f in trained.fits]
    known = [o for o in optima if o is not None]
    gap = [g for g in gaps if g is not None]
    return Convergence(
        loss=float(share @ [f.losses.sum() for f in trained.fits]),
        optimum=float(share @ known) if len(known) == len(optima) else None,
        relative_gap=max(gap) if len(gap) == len(gaps) else None,
        steps=max(f.steps for f in trained.fits),
    )


def _pixels(trained: Trained) -> PixelCount:
    by_reason: dict[str, int] = {}
    for tally in trained.survey.tallies:
        for reason, n in tally.invalid.items():
            by_reason[reason] = by_reason.get(reason, 0) + n
    return PixelCount(
        used=sum(t.used for t in trained.survey.tallies),
        invalid=sum(by_reason.values()),
        by_reason={r: n for r, n in by_reason.items() if n},
    )


def _dropped(trained: Trained) -> list[DroppedBand]:
    bands = trained.survey.bands
    return [
        DroppedBand(
            band=i + 1,
            source=bands.source[i],
            name=bands.name[i],
            wavelength_nm=_finite(bands.wavelength_nm[i]),
            reason=reason,
        )
        for i, reason in enumerate(bands.reason)
        if reason
    ]


def _versions() -> dict[str, str]:
    packages = ("bandfuse", "numpy", "scipy", "torch", "rasterio")
    return {
        **{p: importlib.metadata.version(p) for p in packages},
        "gdal": gdal_version(),
        "python": platform.python_version(),
    }


def write_texts(scratch: Path, folder: Path, trained: Trained, report: TrainReport, fused: Sequence[Path]) -> None:
    """Write report.json, weights.csv and (unless not wanted) report.html into the scratch folder of a run."""
    (scratch / "weights.csv").write_text(write_csv(report.weights), encoding="utf-8", newline="")
    (scratch / "report.json").write_text(write_json(report), encoding="utf-8")
    if not trained.config.no_report:
        (scratch / "report.html").write_text(page(folder, trained, report, fused), encoding="utf-8")


def page(folder: Path, trained: Trained, report: TrainReport, fused: Sequence[Path]) -> str:
    """The HTML report."""
    from bandfuse.report.html import ReportContext, render

    names = trained.survey.design.names
    curves = {shorten([names[r] for r in rows], 3): losses for rows, losses in trained.fits[0].history}
    history = {name: losses for name, losses in curves.items() if len(losses) > 1}
    return render(
        ReportContext(
            title=f"{folder.name}: {trained.config.objective} of {shorten([s.key for s in trained.scenes], 3)}",
            report=report,
            command=f"bandfuse train --config {shlex.quote(str(folder / 'config.yaml'))} -o NEW_RUN",
            equation=_equation(trained),
            history=history,
            quicklooks=_quicklooks(trained, fused),
            messages=trained.messages,
            verdict=_verdict(report, trained),
            facts=_shapes(trained),
        )
    )


def _shapes(trained: Trained) -> dict[str, list[tuple[str, str]]]:
    """Centre, width and out-of-band share of every output, with their intervals."""
    interval = None if trained.trust is None else trained.trust.interval
    if interval is None or trained.model.per_scene:
        return {}
    design, layout = trained.survey.design, trained.survey.design.layout
    fitted = trained.model.common.matrix[:, list(design.used)]
    wavelengths = trained.survey.bands.wavelength_nm[list(design.used)]
    shapes = {}
    for k, name in enumerate(design.names):
        here = np.unique(layout.col[layout.row == k])
        found = response_shape(fitted[k, here], interval.resampled[:, k, here], wavelengths[here])
        if found is not None:
            centre, width, far = found["centre"], found["fwhm"], found["outside"]
            shapes[name] = [
                ("Centre", f"{centre.value:.1f} nm ({centre.low:.1f}–{centre.high:.1f})"),
                ("FWHM", f"{width.value:.1f} nm ({width.low:.1f}–{width.high:.1f})"),
                ("Out of band", f"{100 * far.value:.1f} % ({100 * far.low:.1f}–{100 * far.high:.1f})"),
            ]
    return shapes


def _equation(trained: Trained) -> str:
    inner = "gain · (W x) + offset"
    activation = trained.config.activation
    return f"y = {inner}" if activation == "identity" else f"y = {activation}({inner})"


def _verdict(report: TrainReport, trained: Trained) -> list[str]:
    """How good the fit is, in words, against which baseline, and what to distrust."""
    held = report.scores.holdout
    scores = held or report.scores.train
    explained = {name: s["r2"] for name, s in scores.items() if s["r2"] is not None}
    if not explained:
        return ["No score could be computed: the targets are constant."]
    worst = min(explained, key=lambda name: explained[name] or 0.0)
    part = share(explained[worst] or 0)
    if trained.config.objective == "reconstruction":
        where = " on blocks that were held out" if held else ""
        first = f"The fused bands keep {part} of the cube's variance{where}."
    else:
        where = "On blocks that were held out, the" if held else "The"
        rest = ", the least well matched target, and more of the others." if len(explained) > 1 else "."
        first = f"{where} fused bands explain {part} of the variance of {worst!r}{rest}"
    return [first, *_doubts(report, trained)]


def _doubts(report: TrainReport, trained: Trained) -> list[str]:
    lines = []
    if report.scores.holdout is None:
        lines.append("These scores are of the pixels that were trained on; they do not show how far the weights hold.")
    else:
        lines += _against_baselines(report)
    if trained.trust is not None and trained.trust.interval is not None and not trained.model.per_scene:
        lines += ["A good fit says little about the weights: look at their intervals.", INTERVALS]
    if trained.config.activation != "identity":
        lines.append(f"With an activation, scores and fit rest on a sample of {len(trained.survey.pixels)} pixels.")
    gap = report.convergence.relative_gap
    if gap is not None and gap > 1e-6:
        lines.append(f"The training stopped {gap:.1e} of the target's variance short of the best weights.")
    return lines


def _against_baselines(report: TrainReport) -> list[str]:
    """Where a baseline explains more of the held-out variance than the chosen weights, by more than a thousandth."""
    lines = []
    mine = report.scores.holdout or {}
    for name, score in mine.items():
        theirs = {m: t.holdout[name]["r2"] for m, t in report.baselines.items() if t.holdout}
        known = {m: r2 for m, r2 in theirs.items() if r2 is not None}
        best = max(known, key=lambda m: known[m], default=None)
        if best is not None and score["r2"] is not None and known[best] > score["r2"] + WORTH:
            lines.append(
                f"For {name!r} the baseline {best} does better on held-out blocks: R² {known[best]:.4f} against "
                f"{score['r2']:.4f}."
            )
    return lines or ["No baseline does better on held-out blocks by more than 0.1 % of the variance."]


def share(part: float) -> str:
    """A share in percent; never rounded up to all of it.

    >>> share(0.99999), share(0.5)
    ('more than 99.99 %', '50.00 %')
    """
    return "more than 99.99 %" if 0.9999 < part < 1 else f"{100 * part:.2f} %"


def _quicklooks(trained: Trained, fused: Sequence[Path]) -> list[Quicklook]:
    """Pictures of the first scene, its fused bands and its target."""
    from bandfuse.report.html import Quicklook
    from bandfuse.report.pictures import stretch_limits

    scene = trained.scenes[0]
    chosen, how = natural_colour(scene.grid)
    caption = f"{Path(scene.grid.path).name}, {how}"
    looks = [Quicklook("Scene", caption, _squeeze(quicklook(scene.grid, chosen)))]
    limits = None
    count = len(trained.survey.design.names)
    shown = [2, 1, 0] if count >= 3 else [0]
    names = [trained.survey.design.names[i] for i in shown]
    if scene.target is not None and trained.survey.design.targets:
        bands = target_bands(scene.target)
        array = _squeeze(quicklook(scene.target, [bands[trained.survey.design.targets[i]] for i in shown]))
        limits = stretch_limits(array)
        looks.append(Quicklook("Target", f"{Path(scene.target.path).name}: {', '.join(names)}", array, limits))
    if fused:
        array = _squeeze(quicklook(describe(fused[0]), shown))
        looks.insert(1, Quicklook("Fused", f"{fused[0].name}: {', '.join(names)}", array, limits))
    return looks


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
