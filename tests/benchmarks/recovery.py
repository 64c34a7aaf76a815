"""How well band-pass responses come back, and how often their 95 % intervals hold the truth.

Usage: ``recovery.py CUBE SENSOR.csv [--seeds 20] [--snr 40] [--draws 200]``. CUBE has wavelengths;
the responses are columns of a table in steps of nm. The target of each band is the left half of the
cube through the true weights (the response times the spacing of the bands, with a sum of one) and
white noise. The responses are learned from its moments in this process, as ``bandpass`` does, and
drawn. Printed are, over seeds and bands: the error of the weights (norm of the difference over that
of the truth); the shares of intervals that hold the truth, of single weights above 2 % of the true
peak and of those that are not zero, of runs that cannot be told apart, of the centre and of the
FWHM; and the median width of the interval of the FWHM over the FWHM itself."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

import bandfuse
from bandfuse.moments.moments import Moments
from bandfuse.solve.bandpass.response import bandpass
from bandfuse.solve.bandpass.spectrum import Spectrum
from bandfuse.solve.squares import Split
from bandfuse.spectral.lobe import main_lobe
from bandfuse.trust.indistinguishable import runs
from bandfuse.trust.penalty import Tie
from bandfuse.trust.response_shape import response_shape

FEWEST, FAINT = 3, 0.05
"""Responses that so few bands see above this part of their peak are left out."""


def half_of(path: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, B) pixels of the left half of a cube, of bands that vary, and their wavelengths."""
    image = bandfuse.open(path)
    cube, nm = image.read(), image.bands.wavelength_nm
    good = np.flatnonzero(np.isfinite(cube).all(axis=(1, 2)) & (cube.std(axis=(1, 2)) > 0))
    order = good[np.argsort(nm[good])]
    half = cube[order, :, : cube.shape[2] // 2]
    return half.reshape(len(order), -1).T.astype(np.float64), nm[order]


def responses(path: str, nm: np.ndarray) -> dict[str, np.ndarray]:
    """(B,) true weights by band of the sensor."""
    table, found = np.genfromtxt(path, delimiter=",", names=True), {}
    at, *names = table.dtype.names
    for name in names:
        seen = np.interp(nm, table[at], table[name], 0, 0)
        if seen.max() > FAINT and (seen > FAINT * seen.max()).sum() >= FEWEST:
            weight = seen * np.abs(np.gradient(nm))
            found[name] = weight / weight.sum()
    return found


def row(joint: Moments, k: int, truth: np.ndarray, nm: np.ndarray, draws: int) -> dict[str, float]:
    """What is printed of one band, from one target."""
    split = Split.of(joint, len(nm))
    spectrum = Spectrum.of(split.a, split.c[:, k], float(split.var[k]), joint.count, nm)
    learned = None if spectrum is None else bandpass(spectrum)
    assert spectrum is not None
    assert learned is not None
    weight = spectrum.widen(learned.weights, len(nm))
    drawn = spectrum.widen(learned.draws(draws, k), len(nm))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    held = (np.minimum(low, weight) <= truth) & (truth <= np.maximum(high, weight))
    ties = [Tie(i, i + 1, 1.0) for i in range(len(nm) - 1)]
    alike = runs(split.a, weight, drawn, float(split.var[k]), ties)
    shape, lobe = response_shape(weight, drawn, nm), main_lobe(truth, nm)
    assert shape is not None
    assert lobe is not None
    centre, fwhm = shape["centre"], shape["fwhm"]
    sums = [r.low <= truth[list(r.positions)].sum() <= r.high for r in alike]
    return {
        "error": float(np.linalg.norm(weight - truth) / np.linalg.norm(truth)),
        "weights": float(held[truth > 0.02 * truth.max()].mean()),
        "nonzero": float(held[weight > 0].mean()),
        "runs": float(np.mean(sums)) if sums else np.nan,
        "centre": float(centre.low <= lobe.centre <= centre.high),
        "fwhm": float(fwhm.low <= lobe.width <= fwhm.high),
        "width": (fwhm.high - fwhm.low) / lobe.width,
    }


def rows(
    pixels: np.ndarray, nm: np.ndarray, truths: np.ndarray, how: argparse.Namespace
) -> Iterator[list[dict[str, float]]]:
    """For each seed, what is printed of every band."""
    clean = pixels @ truths.T
    for seed in range(how.seeds):
        noise = np.random.default_rng(seed).normal(size=clean.shape)
        target = clean + noise * clean.std(axis=0) * 10 ** (-how.snr / 20)
        joint = Moments.of(np.hstack([pixels, target]))
        yield [row(joint, k, truth, nm, how.draws) for k, truth in enumerate(truths)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cube")
    parser.add_argument("sensor")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--snr", type=float, default=40.0)
    parser.add_argument("--draws", type=int, default=200)
    how, started = parser.parse_args(), time.process_time()
    pixels, nm = half_of(how.cube)
    truth = responses(how.sensor, nm)
    with threadpool_limits(limits=1, user_api="blas"):
        found = list(rows(pixels, nm, np.array([*truth.values()]), how))
    lines = [f"{name:22} {said([s[k] for s in found])}" for k, name in enumerate(truth)]
    lines.append(f"{'all':22} {said([one for seed in found for one in seed])}")
    errors = [np.median([one["error"] for one in seed]) for seed in found]
    lines.append(f"error, median over bands and seeds: {np.median(errors):.4f}")
    lines.append(f"{time.process_time() - started:.1f} s of CPU")
    sys.stdout.write("\n".join([*lines, ""]))


def said(some: list[dict[str, float]]) -> str:
    """Means over targets, and the median width."""
    means = {key: np.nanmean([one[key] for one in some]) for key in some[0] if key != "width"}
    width = np.median([one["width"] for one in some])
    return " ".join(f"{key} {value:.3f}" for key, value in means.items()) + f" width {width:.0%}"


if __name__ == "__main__":
    main()
