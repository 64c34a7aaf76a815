"""Settings that are made in Python: paths, and errors that name keywords."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import bandfuse
from bandfuse.config.base import Config, build
from bandfuse.config.commands import CompareConfig, ExportConfig, ReportConfig
from bandfuse.errors import BandfuseError, ConfigError

HERE = Path("folder") / "file.tif"
PATHS: dict[type[Config], tuple[str, ...]] = {
    bandfuse.TrainConfig: ("output", "checkpoint", "groups", "sensor"),
    bandfuse.ApplyConfig: ("output",),
    bandfuse.ResampleConfig: ("output", "sensor"),
    ExportConfig: ("output", "scene", "pan"),
    ReportConfig: ("output", "figures"),
    CompareConfig: ("output",),
}
LISTS: dict[type[Config], tuple[str, ...]] = {
    bandfuse.TrainConfig: ("scenes", "target", "labels", "mask", "wavelengths"),
    bandfuse.EvaluateConfig: ("scenes", "target", "mask", "wavelengths"),
    bandfuse.ApplyConfig: ("scenes", "wavelengths"),
}
NEEDED: dict[str, dict[str, Any]] = {
    "checkpoint": {"optimizer": "adam"},
    "pan": {"to": "pansharpen"},
}


@pytest.mark.parametrize(("kind", "field"), [(k, f) for k, fields in PATHS.items() for f in fields])
def test_a_path_is_its_text(kind: type[Config], field: str) -> None:
    more = {"to": "vrt"} if kind is ExportConfig else {}
    config = kind(**{**more, **NEEDED.get(field, {}), field: HERE})
    assert getattr(config, field) == str(HERE)
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(("kind", "field"), [(k, f) for k, fields in LISTS.items() for f in fields])
def test_paths_in_lists_are_their_texts(kind: type[Config], field: str) -> None:
    for given in (HERE, [HERE], (HERE,), [HERE, "b.tif"]):
        found = getattr(kind(**{field: given}), field)
        assert found == [str(HERE), "b.tif"][: 2 if isinstance(given, list) and given[1:] else 1]
        assert all(type(text) is str for text in found)


def test_paths_by_name_are_pairs() -> None:
    config = bandfuse.TrainConfig(source={"vnir": HERE, "swir": [HERE][0]})
    assert config.source == [f"vnir={HERE}", f"swir={HERE}"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"constrain": "free"}, "unknown key 'constrain'. Did you mean 'constraint'?"),
        ({"steps": "many"}, "steps=; got 'many'; expected a valid integer."),
        (
            {"constraint": "convex"},
            "constraint=; got 'convex'; expected 'auto', 'free', 'affine', 'nonnegative', "
            "'simplex' or 'bandpass'. Did you mean 'simplex'?",
        ),
        ({"ridge": True}, "ridge=; got True; expected a value, not yes or no."),
        ({"scenes": 3}, "scenes=; got 3; expected a valid list."),
        (
            {"lr": 0.1},
            "lr= does not apply with optimizer='lbfgs'; got lr=0.1; expected optimizer='adam', "
            "'adamw' or 'sgd'. Leave lr= out.",
        ),
    ],
)
def test_errors_are_bandfuses_and_name_keywords(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BandfuseError) as caught:
        bandfuse.TrainConfig(**given)
    assert type(caught.value) is ConfigError
    assert str(caught.value) == message
    with pytest.raises(ConfigError, match="got 3; expected names with values"):
        bandfuse.TrainConfig.model_validate(3)


def test_what_must_be_given_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^no to= is given; expected "):
        ExportConfig()  # type: ignore[call-arg]


def test_the_command_line_still_speaks_of_flags() -> None:
    with pytest.raises(ConfigError, match=r"^--lr does not apply with --optimizer lbfgs"):
        build(bandfuse.TrainConfig, {"lr": 0.1})
    with pytest.raises(ConfigError, match=r"^steps in a.yaml; got 'many'"):
        build(bandfuse.TrainConfig, {"steps": "many"}, {"steps": "a.yaml"})
    with pytest.raises(ConfigError, match=r"^--momentum does not apply"):
        build(bandfuse.TrainConfig, {"momentum": 0.9}, flags={"momentum"})
