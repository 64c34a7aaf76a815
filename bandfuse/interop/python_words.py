"""Python words: errors of bandfuse, said of the parameters of a Python call."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bandfuse.config.keywords import NOTHING, keywords
from bandfuse.config.train import TrainConfig
from bandfuse.errors import BandfuseError, ScenesError

OF_FIT = {
    "target": "y",
    "labels": "y",
    "group": "groups=",
    "no_offset": "offset=False",
    "seed": "random_state=",
}
"""What settings of a training are called in ``BandFuser`` and its ``fit``."""


def in_python(
    error: BandfuseError, names: Mapping[str, str] = NOTHING, change: Callable[[str], str] = str
) -> BandfuseError:
    """The same error, of keywords instead of flags.

    Parameters
    ----------
    names : what else a setting is called, by its name. change : a further change of the words.
    """
    choices = TrainConfig.choices()
    said = error.reworded(lambda text: keywords(change(text), choices, names))
    if isinstance(said, ScenesError) or "without wavelengths" not in said.got:
        return said
    other = f" Or {said.remedy[0].lower()}{said.remedy[1:]}" if said.remedy else ""
    remedy = f"Give wavelength_nm=, one per band.{other}"
    return type(said)(said.what, got=said.got, expected=said.expected, remedy=remedy)


def value_error(error: BandfuseError) -> ValueError:
    """What scikit-learn expects of an estimator, with the names of its parameters."""
    return ValueError(str(in_python(error, OF_FIT)))
