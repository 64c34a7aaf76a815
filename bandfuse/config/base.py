"""Config: what every settings model is: its checks, its messages, and the types of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bandfuse.errors import ConfigError, nearest
from bandfuse.needs import Need, given_of, unmet

M = TypeVar("M", bound="Config")


def one_or_many(value: object) -> object:
    """A list from one text or number, or from a mapping (``{blue: 450-520nm}`` for
    ``blue=450-520nm``)."""
    if isinstance(value, Mapping):
        return [f"{k}={v}" for k, v in value.items()]
    return one_or_list(value)


def one_or_list(value: object) -> object:
    """A list from one text."""
    return [value] if isinstance(value, (str, Path)) else value


Integers = Annotated[
    list[int], BeforeValidator(lambda value: value if isinstance(value, list) else [value])
]
Texts = Annotated[list[str], BeforeValidator(one_or_list)]
Pairs = Annotated[list[str], BeforeValidator(one_or_many)]
"""``NAME=VALUE`` texts; in YAML also a mapping."""


def _texts_of_numbers(value: object) -> object:
    """Texts, of numbers too: a list of numbers is one text."""
    if isinstance(value, dict):
        return [f"{name}={_joined(numbers)}" for name, numbers in value.items()]
    if isinstance(value, (list, tuple)) and any(isinstance(v, str) for v in value):
        return [str(v) for v in value]
    return [_joined(value)] if value not in (None, [], ()) else []


def _joined(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


Numbers = Annotated[list[str], BeforeValidator(_texts_of_numbers)]
"""Numbers between commas, or ``NAME=NUMBERS``, as texts; in YAML also a number, a list of them, or
a mapping."""

Strength = Annotated[float, Field(ge=0, le=1e9)]
"""Of a penalty, relative to the variance of the bands."""


class Config(BaseModel):
    """Base of all settings: unknown keys are errors, values do not change, and none is given that
    has no meaning beside the others (``needs``)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    needs: ClassVar[tuple[Need, ...]] = ()

    section: ClassVar[str] = "Settings"
    """Heading of the fields that a class declares, in the help and in the documentation."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_is_a_number(cls, value: object, info: ValidationInfo) -> object:
        """``yes`` in YAML is no 1.0."""
        if (
            isinstance(value, bool)
            and cls.model_fields[str(info.field_name)].annotation is not bool
        ):
            raise ValueError("a value, not yes or no")
        return value

    @model_validator(mode="after")
    def _all_have_a_meaning(self, info: ValidationInfo) -> Self:
        """A flag of the command line (``flags`` of the context) has one even where it says the
        default."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        flags = (info.context or {}).get("flags", frozenset())
        for error in unmet(self.needs, given_of(values, self.default_values(), flags), values):
            raise error
        return self

    @classmethod
    def default_values(cls) -> dict[str, Any]:
        """Every setting as it is if it is not given; None for one that must be."""
        fields = cls.model_fields.items()
        return {
            n: None if f.is_required() else f.get_default(call_default_factory=True)
            for n, f in fields
        }


def sections_of(model: type[Config]) -> dict[str, list[str]]:
    """The fields of a settings model under the headings of the classes that declare them.

    A field that a subclass declares again keeps its place under the subclass's heading. Headings
    come in the order in which the bases are read, the last base first.
    """
    classes = [c for c in reversed(model.__mro__) if issubclass(c, Config)]
    home = {name: c for c in classes for name in vars(c).get("__annotations__", {})}
    result: dict[str, list[str]] = {}
    for name in model.model_fields:
        result.setdefault(home[name].section, []).append(name)
    return result


def build(
    model: type[M],
    given: Mapping[str, Any],
    where: Mapping[str, str] | None = None,
    flags: Set[str] = frozenset(),
) -> M:
    """Check settings; ``where`` says by key where a setting was made, ``flags`` which of them are
    flags of the command line.

    Raises
    ------
    ConfigError : the first thing that does not fit, with the nearest known key or the values
        allowed."""
    try:
        return model.model_validate(dict(given), context={"flags": flags})
    except ValidationError as error:
        raise _explain(model, error, where or {}) from error


def _explain(model: type[Config], error: ValidationError, where: Mapping[str, str]) -> ConfigError:
    """Say what does not fit: by its flag if it was given on the command line, by its key if in a
    file."""
    every = error.errors()
    key = str(every[0]["loc"][0])
    place = where.get(key)
    if every[0]["type"] == "extra_forbidden":
        at = f" in {place}" if place else ""
        return ConfigError(f"unknown key {key!r}{at}", remedy=nearest(key, model.model_fields))
    if every[0]["type"] == "missing":
        return ConfigError(
            f"no --{key} is given", expected=model.model_fields[key].description or "a value"
        )
    here = [e for e in every if e["loc"][0] == key]
    expected = " or ".join(dict.fromkeys(_plainly(e["msg"]) for e in here))
    name = f"{key} in {place}" if place else f"--{key.replace('_', '-')}"
    return ConfigError(name, got=_shown(here[0]["input"]), expected=expected)


def _plainly(message: str) -> str:
    """A message of pydantic without its own words."""
    for words in ("Input should be ", "String should have ", "Value error, "):
        message = message.removeprefix(words)
    parse = ", unable to parse string as a number"
    return message.removesuffix(parse).removesuffix(", unable to parse string as an integer")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
