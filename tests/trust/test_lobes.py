"""Lobes: responses that fall into several are no band-pass ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from realdata import DATA, needs_real_data

import bandfuse
from bandfuse.solve.bandpass.response import Response, bandpass
from bandfuse.solve.bandpass.spectrum import Spectrum


@pytest.fixture(scope="module")
def response() -> Response:
    random, nm = np.random.default_rng(0), np.linspace(400.0, 690.0, 30)
    x = random.normal(size=(500, 30)).cumsum(axis=1)
    t = x[:, 10:14].mean(axis=1) + 0.01 * random.normal(size=500)
    joint = np.cov(np.column_stack([x, t]).T, bias=True)
    spectrum = Spectrum.of(joint[:30, :30], joint[:30, 30], joint[30, 30], 500, nm)
    assert spectrum is not None
    found = bandpass(spectrum)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("weights", "apart"),
    [
        ({5: 1.0, 6: 2.0, 7: 1.0}, 0.0),
        ({5: 1.0, 6: 2.0, 8: 1.0}, 0.25),
        ({0: 1.0, 1: 1.0, 6: 2.0, 29: 1.0}, 0.6),
        ({0: 3.0, 29: 1.0}, 0.25),
        ({}, 0.0),
    ],
)
def test_weight_apart_from_the_lobe(
    response: Response, weights: dict[int, float], apart: float
) -> None:
    w = np.zeros(30)
    w[list(weights)] = list(weights.values())
    assert replace(response, weights=w).apart == pytest.approx(apart, abs=1e-12)


def test_one_lobe_has_no_weight_apart(response: Response) -> None:
    assert response.apart == pytest.approx(0, abs=1e-12)


@needs_real_data
def test_auto_does_not_take_a_target_of_two_lobes_for_one() -> None:
    """A tenth of the target is of a second lobe, which a window of one soft edge reaches."""
    image = bandfuse.open(DATA / "aviris_rotated_unsorted" / "AV_mastercal_testdata.bsq")
    cube, nm = image.read()[:, :, :25], image.bands.wavelength_nm
    good = np.flatnonzero(cube.std(axis=(1, 2)) > 0)
    cube, nm = cube[good].astype(float), nm[good]
    truth = {}
    for name, centre, width in (("red", 665, 31), ("swir", 1610, 90)):
        flat = (np.abs(nm - centre) <= width / 2) * 1.0
        truth[name] = flat / flat.sum()
    both = 0.9 * truth["red"] + 0.1 * truth["swir"]
    clean = np.tensordot(np.array([truth["red"], truth["swir"], both]), cube, 1)
    noise = np.random.default_rng(0).normal(size=clean.shape)
    target = clean + 0.01 * clean.std(axis=(1, 2), keepdims=True) * noise
    learned = bandfuse.train_arrays(cube, target, wavelength_nm=nm.tolist(), no_report=True)
    kinds = [output.constraint for output in learned.report.outputs]
    assert kinds == ["bandpass", "bandpass", "nonnegative"]
