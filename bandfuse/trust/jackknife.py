"""Jackknife: intervals from trainings that were done again without each fold.

Where weights are not one quadratic's exact solution, hundreds of resamples would cost hundreds of
trainings. The folds' own trainings are there already: each leaves a contiguous part of the pixels
out (Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of
Statistics 17, 1989; Kott, "The delete-a-group jackknife", Journal of Official Statistics 17, 2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats
from bandfuse.trust.bootstrap import Interval

DRAWS = 400
"""Draws that stand for resamples."""


def jackknife(
    fitted: Floats,
    without: Sequence[Floats],
    bounded: NDArray[np.bool_],
    most: Floats | float = np.inf,
) -> Interval | None:
    """95 % intervals around (K, B) weights from the weights of G trainings, each without one fold;
    None for G < 2.

    ``se² = (G − 1)/G · Σ_g (w_g − w̄)²``, the interval ``w ± t₀.₉₇₅(G − 1) · se`` by Student's t.
    As ``resampled`` stand seeded draws from the multivariate t of G − 1 degrees of freedom with
    these errors and their covariances: what is made of weights (a centre, a rank, a sign) is as
    uncertain as they are.

    Parameters
    ----------
    bounded : (K,) rows whose weights cannot be negative: their intervals end at zero.
    most : (K,) the largest that a weight of a row can be: its intervals end there.
    """
    if len(without) < 2:
        return None
    from scipy.special import stdtrit

    free = len(without) - 1
    spread = np.sqrt(free / len(without)) * (np.stack(without) - np.mean(without, axis=0))
    half = stdtrit(free, 0.975) * np.sqrt(np.sum(spread**2, axis=0))
    floor = np.where(bounded, 0.0, -np.inf)[:, None]
    random = np.random.default_rng(0)
    share = random.standard_normal((DRAWS, len(without))) / np.sqrt(
        random.chisquare(free, (DRAWS, 1)) / free
    )
    drawn = fitted + np.tensordot(share, spread, axes=1)
    ceiling = np.broadcast_to(most, len(fitted))[:, None]
    low, high = np.maximum(fitted - half, floor), np.minimum(fitted + half, ceiling)
    return Interval(
        np.minimum(low, fitted), np.maximum(high, fitted), np.clip(drawn, floor, ceiling)
    )


def facing(fitted: Floats, other: Floats) -> Floats:
    """Rows of ``other`` turned to the side of the fitted ones, where an objective does not see a
    row's sign."""
    turned: Floats = other * np.where((fitted * other).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    return turned
