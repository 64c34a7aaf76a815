"""Settings stand under headings, each in one place."""

import pytest

from bandfuse.config.base import Config, sections_of
from bandfuse.config.commands import ApplyConfig, EvaluateConfig, ExportConfig, ResampleConfig
from bandfuse.config.train import TrainConfig

MODELS = (TrainConfig, ApplyConfig, EvaluateConfig, ResampleConfig, ExportConfig)


@pytest.mark.parametrize("model", MODELS)
def test_every_field_has_one_heading(model: type[Config]) -> None:
    named = [name for names in sections_of(model).values() for name in names]
    assert sorted(named) == sorted(model.model_fields)


def test_the_headings_of_a_training_come_in_the_order_of_its_work() -> None:
    sections = sections_of(TrainConfig)
    assert list(sections) == [
        "Inputs",
        "Which pixels count",
        "Grids",
        "What to learn",
        "Groups",
        "Constraints and penalties",
        "Optimiser",
        "Trust",
        "Where it runs",
        "Outputs",
    ]
    assert sections["Inputs"][:3] == ["scenes", "source", "wavelengths"]
    assert {"ridge", "smooth", "sparse", "constraint"} == set(sections["Constraints and penalties"])
    assert {"output", "overwrite"} <= set(sections["Outputs"])


def test_a_field_declared_again_stands_under_the_heading_of_the_subclass() -> None:
    class First(Config):
        section = "First"
        one: int = 1
        two: int = 2

    class Second(First):
        section = "Second"
        two: int = 3

    assert sections_of(Second) == {"First": ["one"], "Second": ["two"]}
