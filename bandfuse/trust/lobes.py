"""Lobes: band-pass responses, on all pixels and on the training part of each fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.solve.bandpass.response import Response, bandpass
from bandfuse.solve.bandpass.spectrum import Spectrum
from bandfuse.solve.bandpass.window import Tag
from bandfuse.solve.exact import Quadratic
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.trust.fold_problems import FoldProblem

OFF = 3.0
"""Standard deviations of a tag from which on data and tag disagree."""


NARROWEST, WIDEST = 1e-5, 2.0
"""Parts of its centre between which the FWHM of a band lies: others are no band's."""


@dataclass(frozen=True, eq=False)
class Lobe:
    """The band-pass response of one output: learned from all pixels, and the weights (P,) that are
    learned without each fold (a response holds a (P, P) matrix).

    ``count`` (P) weights of the problem that it belongs to.
    """

    whole: Response
    without_folds: tuple[Floats, ...]
    count: int

    @property
    def weights(self) -> Floats:
        """(P,) from all pixels."""
        return self._wide(self.whole.weights)

    def draws(self, count: int, seed: int) -> Floats:
        """(count, P) draws of the posterior."""
        return self._wide(self.whole.draws(count, seed))

    def form(self) -> tuple[Floats, Floats]:
        """(P, P) the prior as a quadratic penalty on the weights in units of the squared error, and
        (P,) whether a weight is open: the others are zero."""
        here, form = self.whole.penalty()
        spectrum = self.whole.spectrum
        places = spectrum.place[here]
        wide, open_ = np.zeros((self.count, self.count)), np.zeros(self.count)
        wide[np.ix_(places, places)] = spectrum.size * form
        open_[places] = 1.0
        return wide, open_

    @property
    def stated(self) -> str:
        """The tag, in words."""
        tag = self.whole.prior.window.tag
        return "" if tag is None else f"{tag.centre:.1f} and {tag.fwhm:.1f} nm"

    @property
    def disagrees(self) -> bool:
        """Whether the pixels say something else than the target's file."""
        return self.whole.off_tag > OFF

    def _wide(self, weights: Floats) -> Floats:
        return self.whole.spectrum.widen(weights, self.count)


def tags_of(targets: Bands | None) -> tuple[Tag | None, ...]:
    """What the target's file says of the band of each output, where it states a centre and an FWHM
    that a band can have."""
    if targets is None:
        return ()
    stated = zip(targets.wavelength_nm.tolist(), targets.fwhm_nm.tolist(), strict=True)
    return tuple(
        Tag(centre, fwhm) if NARROWEST * centre < fwhm < WIDEST * centre else None
        for centre, fwhm in stated
    )


def lobe_of(case: FoldProblem, tag: Tag | None, *, most_apart: float = 1.0) -> Lobe | None:
    """Learn the band-pass response of one output with weights of its own at known wavelengths;
    None for any other, and where nothing correlates with the target or more than a share of the
    weight lies apart from the lobe."""
    if case.nm is None:
        return None
    spectrum = _spectrum(case, case.whole, case.terms.joint.count)
    whole = None if spectrum is None else bandpass(spectrum, tag)
    if whole is None or whole.apart > most_apart:
        return None
    without = []
    for train, fold in zip(case.trains, case.terms.folds, strict=True):
        part = _spectrum(case, train, fold.train.count)
        again = None if part is None else whole.again(part)
        if again is None:
            return None
        without.append(again.spectrum.widen(again.weights, len(case.nm)))
    return Lobe(whole, tuple(without), len(case.nm))


def _spectrum(case: FoldProblem, q: Quadratic, count: float) -> Spectrum | None:
    """The moments of one output, from its quadratic."""
    assert case.nm is not None
    unit = float(case.scale[0])
    return Spectrum.of(unit * q.a, unit * q.b, unit * q.c, count, case.nm)
