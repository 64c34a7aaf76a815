"""Messages: what a fit says of how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from bandfuse.errors import shorten
from bandfuse.solve.fit_result import DEFAULT_STEPS, DESCENTS, Fit
from bandfuse.spectral.bands import Floats
from bandfuse.training.fitting import CONVERGED


def stop_messages(fits: Sequence[Fit], names: Sequence[str]) -> list[str]:
    """Which epoch's weights were kept, where held-out pixels were watched."""
    stops = [stop for fit in fits for stop in fit.stops]
    return [
        f"early stopping: {shorten([names[r] for r in rows], 3)} kept the weights after epoch "
        f"{best} of {epochs}"
        for rows, best, epochs in stops
        if best < epochs
    ]


def limit_messages(
    optimizer: str, steps: int | None, fits: Sequence[Fit], names: Sequence[str]
) -> list[str]:
    """Which outputs ended at the limit of steps, and not at an optimum."""
    limit = DEFAULT_STEPS[optimizer] if steps is None else steps
    short = [fit for fit in fits if fit.relative_gap is None or fit.relative_gap > CONVERGED]
    ended = [rows for fit in short for rows, losses in fit.history if len(losses) > limit > 0]
    if not ended or (optimizer in DESCENTS and all(fit.relative_gap is None for fit in short)):
        return []
    which = shorten(dict.fromkeys(names[row] for part in ended for row in part), 3)
    better = "more --steps" + (" or --optimizer lbfgs" if optimizer != "lbfgs" else "")
    return [
        f"the training of {which} was stopped by the limit of {limit} steps: {better} may find "
        "better weights"
    ]


def zero_messages(names: Sequence[str], matrix: Floats) -> list[str]:
    """Which outputs have no weight: ``matrix`` (K, B) of the outputs."""
    empty = [name for name, weights in zip(names, matrix, strict=True) if not weights.any()]
    if not empty:
        return []
    why = "the penalties are too strong, or nothing is explained"
    return [f"all weights of {shorten(empty)} are zero: {why}"]
