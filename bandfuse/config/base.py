"""Config: what every settings model is: its checks, its messages, and the types of its fields."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bandfuse.config.keywords import keywords
from bandfuse.errors import ConfigError, close, nearest
from bandfuse.goals import GOALS
from bandfuse.needs import Need, given_of, unmet
from bandfuse.summary import Facts, SummarisedFields, brief

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


class Strict(SummarisedFields, BaseModel):
    """Fields that do not change, of which unknown ones are errors. A path may be a text or a
    :class:`pathlib.Path`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _paths_are_texts(cls, value: object) -> object:
        """Of one path, of a list and of a mapping by name."""
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, (list, tuple)):
            texts = map(cls._paths_are_texts, value)
            return list(texts) if isinstance(value, list) else tuple(texts)
        if isinstance(value, Mapping):
            return {name: cls._paths_are_texts(item) for name, item in value.items()}
        return value

    def facts(self) -> Facts:
        """The settings that were given and are not the defaults."""
        default = self.default_values()
        given = (name for name in type(self).model_fields if name in self.model_fields_set)
        values = ((name, getattr(self, name)) for name in given)
        return tuple((name, brief(value)) for name, value in values if value != default[name])

    most_used: ClassVar[tuple[str, ...]] = ()
    """The fields that most people need first: they come first in the help, and the others are
    behind ``--help-all``. Empty: the help shows all."""

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

    @classmethod
    def default_values(cls) -> dict[str, Any]:
        """Every setting as it is if it is not given; None for one that must be."""
        fields = cls.model_fields.items()
        return {
            n: None if f.is_required() else f.get_default(call_default_factory=True)
            for n, f in fields
        }


class Config(Strict):
    """Base of all settings: none is given that has no meaning beside the others (``needs``).

    Raises
    ------
    ConfigError : a key that there is not, with the nearest one; a value that does not fit.
    """

    needs: ClassVar[tuple[Need, ...]] = ()

    section: ClassVar[str] = "Settings"
    """Heading of the fields that a class declares, in the help and in the documentation."""

    @model_validator(mode="wrap")
    @classmethod
    def _told_as_our_own(
        cls, given: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        """Errors are bandfuse's. Settings without a context are made in Python, and errors name
        their keywords."""
        try:
            made = handler(given)
            made._require_meaning((info.context or {}).get("flags", frozenset()))
        except ValidationError as error:
            raise _explain(cls, error, info.context) from error
        except ConfigError as error:
            if info.context is not None:
                raise
            choices = cls.choices()
            raise error.reworded(lambda text: keywords(text, choices)) from error
        return made

    def _require_meaning(self, flags: Set[str]) -> None:
        """Refuse a setting that has no meaning beside the others. A flag of the command line has
        one even where it says the default."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        for error in unmet(self.needs, given_of(values, self.default_values(), flags), values):
            raise error

    @classmethod
    def choices(cls) -> dict[str, list[str]]:
        """The words that a setting can be, by its name, where there is a choice."""
        found = {n: [*_words(f.annotation)] for n, f in cls.model_fields.items()}
        return {**found, "objective": [*GOALS]}


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
    context = {"flags": flags, "where": where or {}}
    return model.model_validate(dict(given), context=context)


def _words(annotation: object) -> Iterator[str]:
    """The texts that a type allows, if it names them."""
    if get_origin(annotation) is Literal:
        yield from (word for word in get_args(annotation) if isinstance(word, str))
        return
    for part in get_args(annotation):
        yield from _words(part)


def _explain(
    model: type[Config], error: ValidationError, context: Mapping[str, Any] | None
) -> ConfigError:
    """Say what does not fit: by its flag if it was given on the command line, by its key if in a
    file, by its keyword if in Python, where there is no context."""
    every = error.errors()
    if not every[0]["loc"]:
        return ConfigError("settings", got=_shown(every[0]["input"]), expected="names with values")
    key = str(every[0]["loc"][0])
    place = None if context is None else context["where"].get(key)
    flag = f"{key}=" if context is None else f"--{key.replace('_', '-')}"
    if every[0]["type"] == "extra_forbidden":
        at = f" in {place}" if place else ""
        keys = {str(e["loc"][0]) for e in every if e["type"] == "extra_forbidden"}
        if place and {"version", "jobs"} <= keys:
            remedy = f"This looks like a batch file: bandfuse batch {place}."
        else:
            remedy = nearest(key, model.model_fields)
        return ConfigError(f"unknown key {key!r}{at}", remedy=remedy)
    if every[0]["type"] == "missing":
        expected = model.model_fields[key].description or "a value"
        return ConfigError(f"no {flag} is given", expected=expected)
    here = [e for e in every if e["loc"][0] == key]
    expected = " or ".join(dict.fromkeys(_plainly(e["msg"]) for e in here))
    name = f"{key} in {place}" if place else flag
    given = here[0]["input"]
    hint = close(given, model.choices().get(key, ())) if isinstance(given, str) else ""
    return ConfigError(name, got=_shown(given), expected=expected, remedy=hint)


def _plainly(message: str) -> str:
    """A message of pydantic without its own words."""
    for words in ("Input should be ", "String should have ", "Value error, "):
        message = message.removeprefix(words)
    for words in ("a number", "an integer"):
        message = message.removesuffix(f", unable to parse string as {words}")
    return _LONG.sub(lambda found: f"{float(found[0]):g}", message)


_LONG = re.compile(r"\d*\.0{6,}\d+|\d{12,}(?:\.0)?")
"""Numbers that are easier to read with a power of ten."""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
