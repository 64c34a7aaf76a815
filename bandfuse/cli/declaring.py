"""Declaring: a function that takes settings and returns an outcome becomes a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import bandfuse
from bandfuse.cli import show
from bandfuse.cli.flags import EVERY, FILE, WholeHelp
from bandfuse.cli.help import Command
from bandfuse.cli.options import flags_of, keyword, read_settings, taking
from bandfuse.config.base import Config
from bandfuse.results.base import Result


@dataclass(frozen=True)
class Outcome:
    """What a command leaves: a result, the function that shows it to people, and remarks.

    ``hidden``: fields that ``--json`` does not print. ``failed``: the exit code is 1.
    """

    result: Result
    display: Callable[[], None]
    remarks: Sequence[str] = ()
    hidden: frozenset[str] = frozenset()
    failed: bool = False

    def end(self, *, json: bool) -> None:
        """Show the result, as JSON or to people; then the remarks, which no table scrolls away."""
        if json:
            show.json(self.result.model_dump_json(exclude=set(self.hidden)))
        else:
            self.display()
        show.remarks(self.remarks)
        if self.failed:
            raise typer.Exit(1)


MAKERS: dict[str, Callable[[typer.Typer], object]] = {}
"""By the name of a command, what adds it to an app."""


def command(
    settings: str = "", *, from_file: bool = False
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Declare a command: a function that returns an outcome.

    Its own parameters come first. Those of ``EVERY`` follow, and one flag per field of the model
    that bandfuse has under the name ``settings``, which the function gets as ``settings``.
    ``from_file``: settings can stand in a file too; the function gets its path as ``keep``, so that
    no output takes its place.
    """

    def declare(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
        MAKERS[function.__name__] = partial(_add, function, settings, from_file)
        return function

    return declare


def _add(
    function: Callable[..., Outcome], settings: str, from_file: bool, app: typer.Typer
) -> None:
    """Add a command to an app."""
    model = getattr(bandfuse, settings) if settings else None
    signature = inspect.signature(function, eval_str=True, locals={settings: model})
    own = [p for p in signature.parameters.values() if p.name not in ("settings", "keep")]
    fields = [] if model is None else flags_of(model)
    most = () if model is None else model.most_used
    most += ("config",) if most and from_file else ()
    whole = keyword("help_all", Annotated[bool, WholeHelp(hidden=not most)], default=False)
    flags = [*own, *fields, *(FILE if from_file else ()), *EVERY, whole]
    kind = type("Command", (Command,), {"most_used": most})
    app.command(cls=kind)(taking(_running(function, model, from_file), flags))


def _running(
    function: Callable[..., Outcome], model: type[Config] | None, from_file: bool
) -> Callable[..., None]:
    """What typer calls with the values of all flags: it makes the settings, runs the command and
    shows its outcome."""

    def run(*, json: bool, verbose: bool, quiet: bool, log_file: str | None, **values: Any) -> None:
        show.set_level(verbose, quiet)
        values.pop("help_all")
        file = values.pop("config") if from_file else None
        if model is not None:
            flags = {name: values.pop(name) for name in model.model_fields}
            sets = values.pop("set_") if from_file else None
            values["settings"] = read_settings(model, flags, file, sets)
        if from_file:
            values["keep"] = [] if file is None else [Path(file)]
        with show.working(f"bandfuse {function.__name__}"):
            outcome = function(**values)
        outcome.end(json=json)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    return run


def bare(function: Callable[..., None]) -> Callable[..., None]:
    """Declare a command that has all its flags itself, and prints what it has to say."""
    MAKERS[function.__name__] = lambda app: app.command(cls=Command)(function)
    return function
