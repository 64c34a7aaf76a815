"""Record: what a finished training says of itself, as the model behind report.json and weights.csv."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from threadpoolctl import threadpool_info

from bandfuse.model.fusion import Fusion
from bandfuse.raster import Raster, gdal_version
from bandfuse.results import (
    Convergence,
    DroppedBand,
    InputFile,
    Kernel,
    OutputRow,
    PixelCount,
    ScoreTable,
    Seconds,
    TrainReport,
    WeightRow,
)
from bandfuse.runs.trust_rows import finite_or_none, trust_of
from bandfuse.scenes.alignment import alignment_rows
from bandfuse.solve.scores import Judged, judge
from bandfuse.training.trained import Trained
from bandfuse.trust.fold_problems import Strength
from bandfuse.trust.refits import pairs_of, peak_of


def report_of(trained: Trained, checksums: Mapping[str, str]) -> TrainReport:
    """Everything that the run found; ``checksums``: SHA-256 of the inputs by path."""
    files = {r.path: r for s in trained.scenes for r in s.files}
    return TrainReport(
        outputs=_outputs(trained),
        weights=weight_rows(trained),
        scores=_score_table(trained),
        baselines=_baselines(trained),
        convergence=_convergence(trained),
        trust=trust_of(trained),
        pixels=_pixels(trained),
        bands_dropped=_dropped(trained),
        device=trained.device,
        seconds=Seconds(read=trained.seconds_read, fit=trained.seconds_fit, write=0.0),
        versions=_versions(),
        kernels=kernels(),
        inputs=[_input(raster, checksums.get(path, "")) for path, raster in files.items()],
        seed=trained.config.seed,
        alignment=alignment_rows(trained.scenes),
        left_out=trained.left_out,
    )


def _input(raster: Raster, sha256: str) -> InputFile:
    """What is recorded of an input; size and checksum of ordinary files only."""
    return InputFile(
        path=raster.path,
        size=os.path.getsize(raster.path) if sha256 else 0,
        sha256=sha256,
        shape=(len(raster.bands), raster.rows, raster.cols),
        crs=raster.crs_text,
    )


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
            sparse=strength.sparse if strength else None,
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
    return [_bounded(row, trained) for row in rows]


def _bounded(row: WeightRow, trained: Trained) -> WeightRow:
    """A row with its interval, where there is one."""
    interval = trained.trust.intervals.get(row.scene)
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
        wavelength_nm=finite_or_none(bands.wavelength_nm[position]),
        fwhm_nm=finite_or_none(bands.fwhm_nm[position]),
        weight=float(fusion.weight[k, position]),
        effective_weight=float(fusion.matrix[k, position]),
    )


def _score_table(trained: Trained) -> ScoreTable:
    """Scores on the training pixels and on held-out blocks."""
    found, names, train = trained.survey, _scored(trained), trained.trust.train
    if train is None:
        train = judge(pairs_of(found, [s.names for s in trained.scenes], trained.model), peak_of(found))
    return _table(names, {"train": train, "holdout": trained.trust.holdout}, len(found.pixels), trained.config.split)


def _scored(trained: Trained) -> list[str]:
    """What has scores: the outputs, or the cube that is rebuilt from them, or the classes that they part."""
    together = trained.config.goals[0].scored
    return [together] if together else list(trained.survey.design.names)


def _table(names: Sequence[str], parts: Mapping[str, Judged | None], sampled: int, split: str) -> ScoreTable:
    known = {part: judged for part, judged in parts.items() if judged is not None}
    rows = {part: dict(zip(names, judged.outputs, strict=True)) for part, judged in known.items()}
    overall = {part: judged.overall for part, judged in known.items() if judged.overall}
    return ScoreTable(train=rows["train"], holdout=rows.get("holdout"), overall=overall, sampled=sampled, split=split)


def _baselines(trained: Trained) -> dict[str, ScoreTable]:
    sampled, split = len(trained.survey.pixels), trained.config.split
    return {m: _table(_scored(trained), parts, sampled, split) for m, parts in trained.trust.table.items()}


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
        starts=[ends for f in trained.fits for _, ends in f.starts],
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
            wavelength_nm=finite_or_none(bands.wavelength_nm[i]),
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


def kernels() -> list[Kernel]:
    """The linear algebra of this process: each BLAS that is loaded, and torch where it is.

    numpy and scipy may each bring an OpenBLAS of their own; both stand there then.
    """
    blas = [
        Kernel(library=i["internal_api"], version=i["version"] or "", kernel=i.get("architecture") or "")
        for i in threadpool_info()
        if i["user_api"] == "blas"
    ]
    torch = sys.modules.get("torch")
    if torch is not None:
        capability = torch.backends.cpu.get_cpu_capability()
        blas.append(Kernel(library="torch", version=torch.__version__, kernel=capability))
    return sorted(blas, key=lambda k: (k.library, k.version))
