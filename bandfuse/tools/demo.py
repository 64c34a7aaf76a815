"""Demo: a scene with a known answer, from the first file to the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bandfuse.config.commands import ApplyConfig
from bandfuse.config.train import TrainConfig
from bandfuse.files.guards import Contents, check_folder
from bandfuse.files.whole import whole_folder
from bandfuse.model.weightsfile import load
from bandfuse.progress import Progress, silent
from bandfuse.raster import Encoding, blank, write_array
from bandfuse.results.others import DemoResult
from bandfuse.runs.folder import RUN_CONTENTS
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.synthetic import SyntheticScene, scene
from bandfuse.tools.apply import apply
from bandfuse.tools.train import train

CUBE, TARGET, ANSWER, FUSED, RUN = "cube.tif", "target.tif", "true_weights.csv", "fused.tif", "run"
CONTENTS = Contents(
    ANSWER,
    (CUBE, TARGET, FUSED, *(f"{RUN}/{name}" for name in (RUN_CONTENTS.mark, *RUN_CONTENTS.others))),
)
"""By what a folder is known as a demo's, and what it holds."""


def write_scene(made: SyntheticScene, folder: Path) -> None:
    """Write a synthetic cube and its target as GeoTIFFs, and the true weights as CSV."""
    _, rows, cols = made.cube.shape
    grid = blank(rows, cols, made.transform, made.epsg)
    encoding = Encoding("int16", made.scale, 0.0)
    write_array(folder / CUBE, made.cube, grid, made.bands, encoding)
    outputs = Bands.of(
        made.target_names,
        source="target",
        wavelength_nm=list(made.target_wavelength_nm),
        fwhm_nm=list(made.target_fwhm_nm),
    )
    write_array(folder / TARGET, made.target, grid, outputs, Encoding("float32"))
    lines = ["band,wavelength_nm," + ",".join(made.target_names)]
    for i, nm in enumerate(made.bands.wavelength_nm):
        lines.append(",".join(map(repr, [i + 1, float(nm), *made.responses[:, i].tolist()])))
    (folder / ANSWER).write_text("\n".join(lines) + "\n", encoding="utf-8")


def demo(
    folder: Path, *, seed: int = 0, overwrite: bool = False, progress: Progress = silent
) -> DemoResult:
    """Make a scene, learn the responses of its target, apply the weights, and compare them with the
    truth.

    Raises
    ------
    OutputError : the folder cannot be made.
    """
    check_folder(folder, CONTENTS, overwrite=overwrite)
    made = scene(seed=seed)
    with whole_folder(folder) as scratch:
        write_scene(made, scratch)
    cube, target = [str(folder / CUBE)], [str(folder / TARGET)]
    train(TrainConfig(scenes=cube, target=target, output=str(folder / RUN)), progress)
    weights = folder / RUN / "weights.safetensors"
    apply(weights, ApplyConfig(scenes=cube, output=str(folder / FUSED)), progress)
    learned = load(weights).common
    return DemoResult(folder=str(folder), rows=_compare(learned.matrix, made))


def _compare(matrix: Floats, made: SyntheticScene) -> list[dict[str, object]]:
    """For each output: weight error, and centre and width of the learned and of the true
    response."""
    rows: list[dict[str, object]] = []
    for name, w, truth in zip(made.target_names, matrix, made.responses, strict=True):
        error = float(np.linalg.norm(w - truth) / np.linalg.norm(truth))
        centres = [float((v @ made.bands.wavelength_nm) / v.sum()) for v in (w, truth)]
        correlation = float(w @ truth / np.linalg.norm(w) / np.linalg.norm(truth))
        rows.append(
            {
                "output": name,
                "centre nm": round(centres[0], 1),
                "true nm": round(centres[1], 1),
                "weight error": error,
                "similarity": correlation,
                "sum": float(w.sum()),
            }
        )
    return rows
