"""Placing: where the fit of a training runs, and its refits, by how much they compute."""

from __future__ import annotations

from dataclasses import replace

from bandfuse.device import Place, Work, on_cpu, place
from bandfuse.solve.fit_result import DEFAULT_STEPS
from bandfuse.streaming.budget import Effort
from bandfuse.survey.survey import Survey
from bandfuse.training.fitting import Fitting

LAUNCHES = 80
"""Operations of one step that are started one after the other: forward, backward, optimizer."""

EXACT = "the weights are the exact solution, which needs no descent"


def placed(how: Fitting, effort: Effort, survey: Survey, folds: int) -> tuple[Fitting, Place]:
    """A fit with its threads and the device on which it runs, and why.

    Raises
    ------
    ConfigError : the device that is asked for is not there, or does not work.
    """
    how = replace(how, descent=replace(how.descent, threads=effort.threads))
    where = place_of_fit(how, effort.device, survey, folds)
    return replace(how, descent=replace(how.descent, device=where.torch)), where


def place_of_fit(how: Fitting, asked: str, survey: Survey, folds: int) -> Place:
    """Where the weights are fitted, and again without each of the ``folds``.

    A step takes ``6 n K B`` operations on a batch of n pixels: products forward, and two backward;
    on moments ``6 K B²``.

    Raises
    ------
    ConfigError : the device that is asked for is not there, or does not work.
    """
    if how.solved or how.leads(survey.design):
        return on_cpu(EXACT)
    rows, bands = survey.design.layout.shape
    drawn = sum(len(tally.pixels) for tally in survey.tallies)
    pixels = drawn if how.sampled else bands
    if how.sampled and how.descent.optimizer != "lbfgs":
        pixels = min(pixels, how.descent.batch_size or pixels)
    steps = DEFAULT_STEPS.get(how.descent.optimizer, 0)
    steps = steps if how.descent.steps is None else how.descent.steps
    times = (max(1, how.descent.starts) + folds) * steps
    flops, sample = 6.0 * pixels * rows * bands, 8.0 * drawn * (rows + bands)
    threads = how.descent.threads if how.sampled else 1
    work = Work(times * flops, sample, times * LAUNCHES, threads)
    started = any(where.on_card for where in survey.places)
    return place(asked, work, started=started, exact=False)
