"""Summary: batch.json, batch.csv and batch.html. One row per item, and how far the scenes' weights
lie apart."""

from __future__ import annotations

import base64
import csv
import io
import os
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from bandfuse.batches.doubts import doubt
from bandfuse.batches.plan import RUN_FILE
from bandfuse.errors import UsageError
from bandfuse.files.names import href
from bandfuse.files.textfile import guarded
from bandfuse.files.whole import whole_files
from bandfuse.model.weightsfile import load
from bandfuse.raster import describe, quicklook
from bandfuse.report.numbers import fixed, number
from bandfuse.report.pictures import picture
from bandfuse.report.views import SCORE_NOTES, SCORE_TITLES, score_cell
from bandfuse.results.batches import BatchItem, BatchResult
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.display import shown

PICTURES = 60
"""At most so many quicklooks are on the page."""

SIDE = 96
"""Pixels a side of a quicklook."""


def with_drift(items: Sequence[BatchItem]) -> list[BatchItem]:
    """The items with the drift of the weights that scenes of one job have of their own."""
    matrices: dict[str, dict[str, Floats]] = {}
    for item in items:
        file = next((o for o in item.outputs if Path(o).name == RUN_FILE), None)
        if item.state == "done" and item.scene and file is not None:
            matrices.setdefault(item.job, {})[item.scene] = load(file).common.matrix
    drifts = {
        (job, scene): d for job, found in matrices.items() for scene, d in drift(found).items()
    }
    return [item.model_copy(update={"drift": drifts.get((item.job, item.scene))}) for item in items]


def drift(found: dict[str, Floats]) -> dict[str, float]:
    """``‖W − M‖ / ‖M‖`` (Frobenius) of every (K, B) matrix, M the median of all; nothing for one,
    or where shapes differ."""
    if len(found) < 2 or len({w.shape for w in found.values()}) > 1:
        return {}
    middle = np.median(list(found.values()), axis=0)
    size = float(np.linalg.norm(middle))
    return (
        {key: float(np.linalg.norm(w - middle)) / size for key, w in found.items()} if size else {}
    )


def write_summary(result: BatchResult, folder: Path, *, pictures: int = PICTURES) -> None:
    """The three files, each whole or not at all; the page with at most so many ``pictures``."""
    texts = {
        "batch.json": result.model_dump_json(indent=1),
        "batch.csv": as_csv(result.items),
        "batch.html": as_html(result, folder, pictures=pictures),
    }
    for name, text in texts.items():
        with whole_files(folder / name) as scratch:
            scratch.write_text(text, encoding="utf-8")


def as_csv(items: Iterable[BatchItem]) -> str:
    """One row per item: state, reason, doubt, seconds, scores, drift."""
    rows = list(items)
    names = _score_names(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["job", "scene", "state", "kept", "reason", "doubt", "seconds", *names, "drift", "outputs"]
    )
    for item in rows:
        scores = [item.scores.get(name, "") for name in names]
        last = ["" if item.drift is None else item.drift, guarded(" ".join(item.outputs))]
        told = [guarded(text) for text in (item.job, item.scene, item.state)]
        why = [guarded(item.reason), guarded(doubt(item))]
        writer.writerow([*told, item.kept, *why, item.seconds, *scores, *last])
    return out.getvalue()


def _score_names(items: Iterable[BatchItem]) -> list[str]:
    return list(dict.fromkeys(name for item in items for name in item.scores))


def as_html(result: BatchResult, folder: Path, *, pictures: int = PICTURES) -> str:
    """The page: self-contained, all text escaped, links relative to the folder."""
    template = (
        resources.files("bandfuse.batches").joinpath("batch.html.j2").read_text(encoding="utf-8")
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"score": score_cell, "number": number, "fixed": fixed}
    names = _score_names(result.items)
    return environment.from_string(template).render(
        result=result,
        tables=_tables(result.items, folder, pictures),
        names=names,
        titles=SCORE_TITLES | {"valid_share": "Valid"},
        notes=[note for name, note in SCORE_NOTES.items() if name in names],
        jobs=job_rows(result.items, names),
        faults=fault_rows(result.items),
    )


def _tables(items: Sequence[BatchItem], folder: Path, pictures: int) -> list[dict[str, Any]]:
    """A table of each job: its scores and its items, with at most so many ``pictures`` in all."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        look = _look(item) if pictures > 0 else None
        pictures -= look is not None
        row = {
            "item": item,
            "look": look,
            "links": _links(item, folder),
            "doubt": doubt(item).replace("r2 -", "R² −"),
        }
        rows.setdefault(item.job, []).append(row)
    return [
        {
            "job": job,
            "rows": some,
            "names": _score_names(row["item"] for row in some),
            "pictures": any(row["look"] for row in some),
            "links": any(row["links"] for row in some),
            "drift": any(row["item"].drift is not None for row in some),
        }
        for job, some in rows.items()
    ]


def _links(item: BatchItem, folder: Path) -> list[tuple[str, str]]:
    """The pages and rasters of an item: their names, with as many folders before them as tell all
    apart; and where they are from the page."""
    files = [Path(o) for o in dict.fromkeys(item.outputs) if Path(o).suffix in (".html", ".tif")]
    parts = 1
    while len(names := {"/".join(file.parts[-parts:]): file for file in files}) < len(files):
        parts += 1
    return [(name, href(os.path.relpath(file, folder))) for name, file in names.items()]


def job_rows(items: Sequence[BatchItem], names: Sequence[str]) -> list[dict[str, Any]]:
    """One row per job: how many items are done and not, the median of each score over its scenes,
    and the scene with the least of the first score."""
    found = []
    for job in dict.fromkeys(item.job for item in items):
        mine = [item for item in items if item.job == job]
        known = {
            name: [item.scores[name] for item in mine if name in item.scores] for name in names
        }
        scored = [item for item in mine if item.scene and names and names[0] in item.scores]
        found.append(
            {
                "job": job,
                "done": sum(item.state == "done" for item in mine),
                "not_done": sum(item.state != "done" for item in mine),
                "medians": [
                    float(np.median(known[name])) if known[name] else None for name in names
                ],
                "least": min(scored, key=lambda item: item.scores[names[0]]).scene
                if len(scored) > 1
                else "",
            }
        )
    return found


def fault_rows(items: Iterable[BatchItem]) -> list[dict[str, str]]:
    """What did not come to its end: one row per scene and reason, with all the jobs that it
    cost."""
    jobs: dict[tuple[str, str, str], list[str]] = {}
    for item in items:
        if item.state != "done":
            jobs.setdefault((item.scene, item.state, item.reason), []).append(item.job)
    return [
        {"jobs": ", ".join(names), "scene": scene or "all scenes", "state": state, "reason": reason}
        for (scene, state, reason), names in jobs.items()
    ]


def _look(item: BatchItem) -> str | None:
    """A small picture of the first fused raster, as a data URI; none where there is none."""
    file = next((o for o in item.outputs if o.endswith(".tif")), None)
    if item.state != "done" or file is None:
        return None
    try:
        raster = describe(file)
        array = quicklook(raster, shown(raster.bands)[0], most=SIDE)
    except UsageError:
        return None
    png = picture(array, max_side=SIDE).png
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
