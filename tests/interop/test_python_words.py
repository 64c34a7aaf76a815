"""Errors in Python speak of the parameters of the call."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import bandfuse
from bandfuse.errors import BandfuseError, ScenesError
from bandfuse.interop.estimator import BandFuser
from bandfuse.interop.python_words import in_python

X = np.random.default_rng(0).random((200, 6))
Y = X @ [0.5, 0.5, 0.0, 0.0, 0.0, 0.0]
SAID: list[tuple[dict[str, Any], Any, str]] = [
    ({"objective": "regresion"}, Y, "objective=; got 'regresion'; expected one of regression"),
    ({"objective": "regresion"}, Y, "Did you mean 'regression'?"),
    ({"constraint": "simplx"}, Y, "constraint=; got 'simplx'"),
    ({"objective": "separability"}, None, "separability needs labels. Give y."),
    ({"objective": "regression"}, None, "Give y, or use objective='reconstruction'."),
    ({"gain": True, "constraint": "free"}, Y, "gain= does not apply with constraint free. Use it "),
    ({"random_state": -1}, Y, "random_state=; got -1"),
    ({"ridge": "auto", "folds": 0}, Y, "ridge='auto' and folds=0 exclude each other"),
    ({"objective": "reconstruction", "offset": False}, None, "offset=False does not apply to"),
    ({"groups": "regions"}, Y, "got good bands without wavelengths. Give wavelength_nm=, one per"),
    ({"groups": "500-600nm"}, Y, "Give wavelength_nm=, one per band. Or name bands by number, 1-6"),
    ({"wavelength_nm": [1, 2]}, Y, "wavelength_nm=; got 2 numbers; expected 6, one per band"),
    ({"fwhm_nm": [1, 2]}, Y, "fwhm_nm=; got 2 numbers; expected 6, one per band"),
    ({"objective": "snr"}, None, "Use bandfuse.train or bandfuse.train_arrays on images."),
]


@pytest.mark.parametrize(("settings", "y", "says"), SAID, ids=lambda v: str(v)[:40])
def test_errors_speak_of_the_parameters(settings: dict[str, Any], y: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        BandFuser(**settings).fit(X, y)
    assert "--" not in str(caught.value)
    assert isinstance(caught.value.__cause__, BandfuseError)


def test_arrays_without_wavelengths_are_told_how_to_give_them() -> None:
    x = X.T.reshape(6, 20, 10)
    with pytest.raises(bandfuse.UsageError, match="Give wavelength_nm=, one per band"):
        bandfuse.train_arrays(x, x[:1], groups="500-600nm")


def test_reasons_of_scenes_are_said_of_keywords_too() -> None:
    said = in_python(ScenesError({"a": "no data; see --mask", "b": "--window 1"}))
    assert isinstance(said, ScenesError)
    assert said.reasons == {"a": "no data; see mask=", "b": "window=1"}
