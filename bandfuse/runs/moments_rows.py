"""Moments rows: what is said of files of moments."""

from __future__ import annotations

from bandfuse.results.rasters import SceneMomentsRow
from bandfuse.survey.scene_moments import SceneMoments


def moments_row(one: SceneMoments) -> SceneMomentsRow:
    """What is said of the moments of one scene."""
    scene, tally = one.scene, one.tally
    rows, cols = scene.shape
    classes = [] if scene.labels is None else sorted(set(tally.by_stratum()) - {-1})
    named = [scene.labels.name(number) for number in classes] if scene.labels is not None else []
    return SceneMomentsRow(
        scene=scene.key,
        files=[file.path for file in scene.files],
        rows=rows,
        cols=cols,
        bands=len(one.used),
        target_bands=0 if scene.labels is not None else one.answers,
        classes=named,
        pixels=tally.used,
        blocks=sum(m.count > 0 for m in tally.blocks.values()),
        sample=len(tally.pixels),
        noise=one.noise,
        slopes=bool(tally.slopes),
        least=one.least,
        precision=one.precision,
        seed=one.seed,
    )
