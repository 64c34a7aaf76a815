"""Moving: saved weights for cubes whose bands lie elsewhere (``apply --resample``)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bandfuse.errors import MismatchError, shorten
from bandfuse.model.fusion import Fusion
from bandfuse.results.base import Score
from bandfuse.scenes.scene import Scene
from bandfuse.spectral.resampling import moved

if TYPE_CHECKING:
    from bandfuse.streaming.budget import Effort

MIN_COVERAGE = 0.95
"""What of the weight must find bands if nothing else is asked for. What is lost is made up for by
the rest, as if the missing part of the spectrum were like it: a twentieth of a band that is a fifth
off is an error of one percent."""


@dataclass
class Moves:
    """Moves fusions to scenes, and keeps account: the least ``coverage`` of each output, and
    ``messages``."""

    min_coverage: float | None = None
    coverage: Score = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def fusion(self, fusion: Fusion, scene: Scene, effort: Effort) -> Fusion:
        """The fusion for the bands of a scene; bands that look dead take nothing over. The offset
        stays.

        Raises
        ------
        MismatchError : no wavelengths, other sources, or too much of an output's weight finds no
            band."""
        from bandfuse.survey.scout import Lookout, scout_messages, scout_scenes

        least = MIN_COVERAGE if self.min_coverage is None else self.min_coverage
        seen = scout_scenes([scene], Lookout([scene], effort, seed=0))
        found = moved(fusion.weight, fusion.inputs, seen.bands)
        names = fusion.outputs.name
        low = [
            f"{names[k]} ({100 * share:.1f} %)"
            for k, share in enumerate(found.coverage)
            if share < least * (1 - 1e-9) or share <= 0
        ]
        if low:
            raise MismatchError(
                f"the bands of scene {scene.key!r} cover too little of the weights' spectrum",
                got=shorten(low),
                expected=f"at least {100 * least:g} % of the weight of every output",
                remedy="Where that will do, give a smaller --min-coverage.",
            )
        self._account(scene, names, found.coverage)
        self.messages += scout_messages(scene, seen)
        return replace(fusion, weight=found.weight, inputs=seen.bands, inputs_seen=None)

    def _account(self, scene: Scene, names: tuple[str, ...], coverage: np.ndarray) -> None:
        for name, share in zip(names, coverage, strict=True):
            before = self.coverage.get(name)
            self.coverage[name] = float(share) if before is None else min(before, float(share))
        lost = [
            f"{100 * (1 - s):.2g} % of {n}"
            for n, s in zip(names, coverage, strict=True)
            if s < 1 - 1e-6
        ]
        if lost:
            self.messages.append(
                f"{scene.key}: weight that found no band, made up for by the rest: {shorten(lost)}"
            )
