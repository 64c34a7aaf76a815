"""Results: every model can be built, says itself in a few lines, and keeps to JSON's numbers."""

import inspect
import json
from importlib import import_module
from pkgutil import iter_modules

import pytest

import bandfuse.results
from bandfuse.results.base import PixelCount, Result
from bandfuse.results.training import Estimate, WindowRow

MODELS = sorted(
    {
        model
        for module in iter_modules(bandfuse.results.__path__, "bandfuse.results.")
        for _, model in inspect.getmembers(import_module(module.name), inspect.isclass)
        if issubclass(model, Result)
    },
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("model", MODELS)
def test_every_field_has_a_known_type(model: type[Result]) -> None:
    """A name that its file does not import would show only when the model is first used."""
    assert model.model_rebuild(force=True)
    assert model.model_json_schema()["additionalProperties"] is False


def test_all_models_are_found() -> None:
    assert len(MODELS) > 50
    assert len({model.__name__ for model in MODELS}) == len(MODELS)


def test_numbers_that_json_lacks_are_null() -> None:
    found = Estimate(value=float("nan"), low=float("-inf"), high=2.0)
    assert json.loads(found.model_dump_json()) == {"value": None, "low": None, "high": 2.0}


def test_a_result_says_itself_in_a_few_lines() -> None:
    text = repr(PixelCount(used=3, invalid=1, by_reason={"mask": 1}))
    assert "used=3" in text
    assert len(text.splitlines()) <= 10


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        WindowRow(nothing=1)  # type: ignore[call-arg]
