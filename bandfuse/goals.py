"""Goals: what each objective gathers, is fitted with, is scored by, and is called.

A new objective is one row of :data:`GOALS`, one file in ``optimise/objectives/`` and one scorer.
Nothing else asks which objective it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

LOSSES = "bandfuse.optimise.objectives"
SCORERS = "bandfuse.trust.scorers"
LEADING = "bandfuse.solve.leading"

SCORED, TRAINED_ON = 5_000, 20_000
"""Pixels that are sampled for scores that moments cannot tell, and to train on where moments do
not tell enough."""


@dataclass(frozen=True)
class Measure:
    """The score that decides: its key, its name in a sentence, and a difference worth a word.

    ``share``: it is a share, from 0 to 1, and is told in percent.
    """

    key: str
    name: str
    worth: float
    words: str
    share: bool = True


R2 = Measure("r2", "R²", 1e-3, "0.1 % of the variance")
ACCURACY = Measure("accuracy", "accuracy", 0.01, "1 % of the pixels")
DECIBELS = Measure("snr_db", "signal to noise in dB", 0.1, "0.1 dB", share=False)


@dataclass(frozen=True)
class Goal:
    """One objective.

    Attributes
    ----------
    name : its name on the command line.
    loss : ``module:function`` that makes the loss of what was gathered
        (:class:`bandfuse.solve.gathered.Gathered`).
    measure : the score that decides.
    sentence : what a report says first. ``{worst}`` and ``{best}`` are scores; ``{where}`` tells
        which pixels were scored.
    gathers : what the pass gathers beside moments and samples: "targets", "classes" or "noise".
    scorer : ``module:function`` that says how weights are scored, and what the baselines are
        (:class:`bandfuse.trust.scorers.Scoring`). Outputs with targets are scored against them.
    constraint : the constraint by default. ridged : it takes a ridge.
    sample : pixels that are sampled for training, for scores, and to tell how far spectra lie from
        those of the training.
    scored : the name under which the scores of all outputs together stand.
    decodes : the way back from the outputs to the bands belongs to the weights.
    mixes : outputs may be mixed with each other without changing the loss.
    leads : ``module:function`` that gives the ratio (:class:`bandfuse.solve.leading.Ratio`) by
        which several free outputs of one group are ordered. component : what these are called.
    one_per_group : several outputs of the same bands would all be the same.
    """

    name: str
    loss: str
    measure: Measure
    sentence: str = ""
    gathers: str = ""
    scorer: str = ""
    constraint: str = "free"
    ridged: bool = False
    sample: int = SCORED
    scored: str = ""
    decodes: bool = False
    mixes: bool = False
    leads: str = ""
    component: str = "c"
    one_per_group: bool = False

    @property
    def matches(self) -> bool:
        """Whether each output is matched with a target."""
        return self.gathers == "targets"

    def loss_of(self, gathered: Any) -> Any:
        """The loss of what was gathered."""
        return self._call(self.loss)(gathered)

    def scoring_of(self, survey: Any, *, balanced: bool) -> Any:
        """How weights are scored on a survey, and the baselines."""
        return self._call(self.scorer)(survey, balanced=balanced)

    def ratio_of(self, gathered: Any) -> Any:
        """The ratio by which free outputs are ordered."""
        return self._call(self.leads)(gathered)

    def _call(self, path: str) -> Callable[..., Any]:
        function: Callable[..., Any] = resolve_name(path)
        return function


_ROWS = (
    Goal(
        "regression",
        f"{LOSSES}.regression:regression",
        R2,
        gathers="targets",
        constraint="nonnegative",
    ),
    Goal(
        "reconstruction",
        f"{LOSSES}.reconstruction:reconstruction",
        R2,
        "The fused bands keep {worst} of the cube's variance{where}.",
        scorer=f"{SCORERS}:reconstruction",
        constraint="simplex",
        scored="cube",
        decodes=True,
        mixes=True,
        leads=f"{LEADING}:principal",
        component="pc",
    ),
    Goal(
        "separability",
        f"{LOSSES}.separability:separability",
        ACCURACY,
        "From the fused bands alone, linear discriminants find the class of {worst} of the "
        "pixels{where}.",
        gathers="classes",
        scorer=f"{SCORERS}:separability",
        ridged=True,
        sample=TRAINED_ON,
        scored="classes",
        mixes=True,
        leads=f"{LEADING}:discriminant",
        component="ld",
    ),
    Goal(
        "snr",
        f"{LOSSES}.snr:signal_to_noise",
        DECIBELS,
        "The fused bands reach {worst} to {best} dB of signal to noise{where}.",
        gathers="noise",
        scorer=f"{SCORERS}:signal_to_noise",
        ridged=True,
        one_per_group=True,
        leads=f"{LEADING}:noise_fraction",
        component="mnf",
    ),
)

GOALS = {goal.name: goal for goal in _ROWS}
"""What a training can be for, by name. The first one of a sum decides what is scored."""


def terms_of(objective: str) -> dict[str, float]:
    """The objectives of a sum with their factors, in the order of :data:`GOALS`.

    >>> terms_of("snr*0.5 + reconstruction")
    {'reconstruction': 1.0, 'snr': 0.5}

    Raises
    ------
    ValueError : an unknown or repeated name, or a factor that is no number above zero.
    """
    factors: dict[str, float] = {}
    for term in objective.split("+"):
        words = [word.strip() for word in term.split("*")]
        names = [word for word in words if word in GOALS]
        numbers = [float(word) for word in words if _is_factor(word)]
        whole = len(names) == 1 and len(numbers) <= 1 and 1 + len(numbers) == len(words)
        if not whole or names[0] in factors:
            raise ValueError(
                f"one of {', '.join(GOALS)}, or a sum such as reconstruction + 0.5*snr"
            )
        factors[names[0]] = numbers[0] if numbers else 1.0
    return {name: factors[name] for name in GOALS if name in factors}


def _is_factor(word: str) -> bool:
    try:
        return 0 < float(word) < 1e9
    except ValueError:
        return False
