"""What the command line says of a setting."""

from __future__ import annotations

import pytest

from bandfuse.config.base import Config
from bandfuse.config.commands import (
    ApplyConfig,
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    ReportConfig,
    ResampleConfig,
)
from bandfuse.config.flags import flag_of
from bandfuse.config.train import TrainConfig

MODELS: tuple[type[Config], ...] = (
    *(TrainConfig, ApplyConfig, EvaluateConfig, ResampleConfig),
    *(ExportConfig, ReportConfig, CompareConfig),
)


@pytest.mark.parametrize(
    ("name", "takes", "default"),
    [
        ("target", "FILE", ""),
        ("group", "NAME=SPEC", ""),
        ("fuse", "within|across", "within"),
        ("steps", "N", ""),
        ("folds", "N", "5"),
        ("lr", "X", ""),
        ("momentum", "X", "0.9"),
        ("smooth", "X|auto", ""),
        ("shift", "DX,DY|auto", ""),
        ("unlabelled", "N", ""),
        ("balance", "", ""),
        ("figures", "", ""),
        ("window", "ROW COL ROWS COLS", ""),
        ("constraint", "auto|free|affine|nonnegative|simplex|bandpass", ""),
    ],
)
def test_flags_of_a_training(name: str, takes: str, default: str) -> None:
    flag = flag_of(name, TrainConfig.model_fields[name])
    assert (flag.takes, flag.default) == (takes, default)
    assert flag.names[0] == f"--{name.replace('_', '-')}"


def test_a_name_may_take_other_things_in_other_commands() -> None:
    assert flag_of("figures", ReportConfig.model_fields["figures"]).takes == "FOLDER"
    assert flag_of("scenes", TrainConfig.model_fields["scenes"]).names == ("SCENE",)


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_has_plain_words(model: type[Config]) -> None:
    """No default is said twice, and none is missing where there is one."""
    for name, field in model.model_fields.items():
        flag = flag_of(name, field)
        assert flag.help.endswith("."), name
        assert flag.text.count("Default: ") == bool(flag.default), name
        assert flag.takes != "TEXT", name
        assert not set("<>[]'\"") & set(flag.takes) - set("[]" if name == "nodata" else ""), name


@pytest.mark.parametrize("model", MODELS)
def test_what_is_used_most_are_settings(model: type[Config]) -> None:
    assert set(model.most_used) <= set(model.model_fields)
    assert len(model.most_used) <= 12


def test_names_of_flags_differ() -> None:
    for model in MODELS:
        names = [n for key, field in model.model_fields.items() for n in flag_of(key, field).names]
        assert len(set(names)) == len(names)
