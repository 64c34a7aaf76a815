"""Model: what a training run leaves behind. One fusion for all scenes, or one per scene beside the
common one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bandfuse.errors import MismatchError, nearest, shorten
from bandfuse.model.discriminants import Discriminants
from bandfuse.model.fusion import Fusion
from bandfuse.model.uncertainty import OutputErrors, Uncertainty
from bandfuse.summary import Summarised, Summary


@dataclass(frozen=True, eq=False, repr=False)
class Model(Summarised):
    """``common`` holds for every scene, unless ``scenes`` has a fusion of the scene's own (by scene
    key).

    ``decoder``: the map from the K outputs back to the B inputs, if the training was for one.
    ``classes``: the classifier of the common outputs, if the training had labels.
    ``uncertainty``: what the training remembers of errors and of its spectra.
    """

    common: Fusion
    scenes: Mapping[str, Fusion] = field(default_factory=dict)
    decoder: Fusion | None = None
    classes: Discriminants | None = None
    uncertainty: Uncertainty | None = None

    @property
    def per_scene(self) -> bool:
        """True if scenes have weights of their own."""
        return bool(self.scenes)

    def summary(self) -> Summary:
        """Which fusions there are."""
        common = self.common.summary()
        kind = f"weights of {len(self.scenes)} scenes" if self.scenes else "one fusion"
        size = common.title.partition(": ")[2]
        facts = (
            ("scenes", shorten(self.scenes, 6) if self.scenes else ""),
            *common.facts,
            ("decoder", "rebuilds the bands from the outputs" if self.decoder else ""),
            ("uncertainty", self._remembered),
        )
        return Summary(f"Model: {kind}, {size}", facts, common.head, common.rows)

    @property
    def _remembered(self) -> str:
        """What is known of errors and of the training's spectra, in words."""
        if self.uncertainty is None:
            return ""
        return "errors of outputs, extrapolation" if self.uncertainty.errors else "extrapolation"

    def errors(self, names: Sequence[str]) -> OutputErrors | None:
        """What the errors of a scene's outputs are made of, for the fusion that
        :meth:`fusion` finds; None where nothing is known."""
        if self.uncertainty is None:
            return None
        key = next((name for name in names if name in self.scenes), "")
        return self.uncertainty.errors.get(key)

    def fusion(self, names: Sequence[str], *, use_common: bool = False) -> Fusion:
        """The fusion of a scene, by the first of its names that was in the training.

        Raises
        ------
        MismatchError : weights are per scene, this scene was not among them, and the common ones
            were not asked for; or these were, of weights that have no others."""
        if use_common and not self.per_scene:
            raise MismatchError(
                "--use-common does not apply to these weights",
                got="weights that all scenes share",
                expected="weights of a training with --scope per-scene",
                remedy="Leave --use-common out.",
            )
        for name in names:
            if name in self.scenes:
                return self.scenes[name]
        if self.per_scene and not use_common:
            raise MismatchError(
                f"these weights are per scene, and {names[0]!r} was not in the training",
                expected="one of the training's scenes",
                remedy=f"{nearest(names[0], self.scenes)} Or use the common weights: --use-common.",
            )
        return self.common
