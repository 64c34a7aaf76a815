"""Uncertainty: the formulas are those of dense matrices, and a weights file keeps all of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bandfuse.errors import InputError
from bandfuse.model.fusion import ACTIVATIONS, Fusion
from bandfuse.model.model import Model
from bandfuse.model.uncertainty import SLOPES, Cloud, OutputErrors, Uncertainty
from bandfuse.model.weightsfile import dumps, load
from bandfuse.spectral.bands import Bands

B, K, R = 6, 2, 3
RANDOM = np.random.default_rng(0)
ERRORS = OutputErrors(
    RANDOM.normal(size=B),
    RANDOM.normal(size=(K, R, B)),
    np.array([0.3, 0.0]),
    np.array([2.0, 0.5]),
    np.array([1.0, 1.5]),
)
AXES = np.linalg.qr(RANDOM.normal(size=(B, R)))[0].T
CLOUD = Cloud(
    RANDOM.normal(size=B),
    RANDOM.uniform(0.5, 2, B),
    AXES,
    np.array([4.0, 2.0, 1.0]),
    np.array([0.0, 1.0, 3.0]),
    np.array([0.0, 0.5, 1.0]),
)
FUSION = Fusion(
    RANDOM.normal(size=(K, B)),
    np.ones(K),
    np.zeros(K),
    Bands.of(list("abcdef")),
    Bands.of(["x", "y"]),
)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_deviations_are_those_of_the_dense_covariance(activation: str) -> None:
    x = np.random.default_rng(1).normal(size=(40, B))
    total = x @ FUSION.weight.T
    y = ACTIVATIONS[activation](total)
    step = 1e-6
    slope = (ACTIVATIONS[activation](total + step) - ACTIVATIONS[activation](total - step)) / (
        2 * step
    )
    for k in range(K):
        covariance = ERRORS.factor[k].T @ ERRORS.factor[k]
        of_weights = [(p - ERRORS.about) @ covariance @ (p - ERRORS.about) for p in x]
        exact = ERRORS.scale[k] * np.sqrt(
            ERRORS.residual[k] + slope[:, k] ** 2 * (np.array(of_weights) + ERRORS.level[k])
        )
        np.testing.assert_allclose(ERRORS.sd(x, y, activation)[:, k], exact, rtol=1e-6)


def test_every_activation_has_a_slope() -> None:
    assert SLOPES.keys() == ACTIVATIONS.keys()


def test_distances_are_mahalanobis() -> None:
    """With as many axes as bands, those of the dense covariance."""
    random = np.random.default_rng(2)
    axes, variance = np.linalg.qr(random.normal(size=(B, B)))[0].T, random.uniform(0.1, 3, B)
    unit = np.diag(1 / CLOUD.inverse)
    covariance = unit @ axes.T @ np.diag(variance) @ axes @ unit
    away = random.normal(size=(50, B))
    exact = np.sqrt(np.einsum("nb,bn->n", away, np.linalg.solve(covariance, away.T)))
    whole = replace(CLOUD, axes=axes, variance=variance)
    np.testing.assert_allclose(whole.distances(away + CLOUD.mean), exact, rtol=1e-9)
    np.testing.assert_allclose(
        CLOUD.outside(np.array([-1, 0, 0.5, 2, 9])), [0, 0, 0.25, 0.75, 1], atol=1e-15
    )


def saved(path: Path, model: Model) -> Model:
    path.write_bytes(dumps(model))
    return load(path)


def arrays(known: Uncertainty) -> dict[str, np.ndarray]:
    found = {f"cloud {k}": np.asarray(v) for k, v in vars(known.cloud).items()}
    for key, errors in known.errors.items():
        found |= {f"{key} {k}": v for k, v in vars(errors).items()}
    return found


@pytest.mark.parametrize("keys", [[], [""], ["", "s", "t"]])
def test_a_weights_file_keeps_it(tmp_path: Path, keys: list[str]) -> None:
    known = Uncertainty(
        CLOUD, {k: replace(ERRORS, level=ERRORS.level + i) for i, k in enumerate(keys)}
    )
    scenes = {k: FUSION for k in keys if k}
    again = saved(tmp_path / "w", Model(FUSION, scenes, uncertainty=known)).uncertainty
    assert again is not None
    before, after = arrays(known), arrays(again)
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_factors_of_unlike_ranks_are_kept(tmp_path: Path) -> None:
    short = replace(ERRORS, factor=ERRORS.factor[:, :1])
    known = Uncertainty(CLOUD, {"": ERRORS, "s": short, "t": ERRORS})
    model = Model(FUSION, {"s": FUSION, "t": FUSION}, uncertainty=known)
    again = saved(tmp_path / "w", model)
    x = np.random.default_rng(3).normal(size=(9, B))
    for names, own in ((["s"], short), (["t"], ERRORS), ([], ERRORS)):
        errors = again.errors(names)
        assert errors is not None
        np.testing.assert_allclose(errors.sd(x, x[:, :K]), own.sd(x, x[:, :K]), rtol=1e-12)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    narrow = replace(ERRORS, about=ERRORS.about[:-1], factor=ERRORS.factor[:, :, :-1])
    (tmp_path / "w").write_bytes(dumps(Model(FUSION, uncertainty=Uncertainty(CLOUD, {"": narrow}))))
    with pytest.raises(InputError, match="not a complete weights file"):
        load(tmp_path / "w")
    with pytest.raises(ValueError, match="negative"):
        replace(ERRORS, residual=-ERRORS.residual)
    with pytest.raises(ValueError, match="do not rise"):
        replace(CLOUD, part=CLOUD.part[::-1])


def test_without_it_the_first_version_is_written(tmp_path: Path) -> None:
    assert b'\\"version\\":1' in dumps(Model(FUSION))
    assert b'\\"version\\":2' in dumps(Model(FUSION, uncertainty=Uncertainty(CLOUD)))
    assert saved(tmp_path / "w", Model(FUSION)).uncertainty is None


def test_parts_of_it_alone_are_damage(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = tmp_path / "w"
    path.write_bytes(dumps(Model(FUSION, uncertainty=Uncertainty(CLOUD, {"": ERRORS}))))
    with safe_open(str(path), framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    for name in tensors:
        if not name.startswith(("cloud_", "error_")) or name == "error_about":
            continue
        part = {key: values for key, values in tensors.items() if key != name}
        save_file(part, str(path), metadata=metadata)
        with pytest.raises(InputError, match="not a complete weights file"):
            load(path)
