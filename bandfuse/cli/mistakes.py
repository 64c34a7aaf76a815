"""Mistakes: what is typed wrongly, as one message of bandfuse's own form."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

import typer

from bandfuse.errors import UsageError

Mistake: type[Any] = typer.BadParameter.__bases__[0]
"""Typer's own error for wrong use, whichever click it brings with it."""

_CHOICE = re.compile(r"(?s)(?:Value error, )?(?P<got>'.*?') is not one of (?P<known>.*?)\.?")


def explained(mistake: Any) -> UsageError:
    """The error in bandfuse's words: what, what came, what was expected, and what to do."""
    context = mistake.ctx
    more = "" if context is None else f"See {context.command_path} --help."
    param = getattr(mistake, "param", None)
    if type(mistake).__name__ == "NoSuchOption":
        flag = str(mistake.option_name)
        known = [] if context is None else [name for p in context.command.params for name in (*p.opts, "--help")]
        command = "bandfuse" if context is None or context.parent is None else context.info_name
        return UsageError(f"{command} has no flag {flag}", remedy=close(flag, known) or more)
    if type(mistake).__name__ == "MissingParameter" and param is not None:
        return UsageError(f"{_name(param)} is not given", remedy=more)
    if param is not None:
        return _of_value(_name(param), str(mistake.message), more)
    return UsageError(str(mistake.message).replace("(s)", "s"), remedy=more)


def _name(param: Any) -> str:
    """A flag, or what an argument is called in the help."""
    return str(param.opts[0] if param.param_type_name == "option" else param.metavar or param.name).strip(".")


def _of_value(name: str, message: str, more: str) -> UsageError:
    """A value that a flag does not take."""
    if found := _CHOICE.fullmatch(message):
        known = re.findall(r"'([^']*)'", found["known"])
        hint = close(found["got"].strip("'"), known)
        return UsageError(name, got=found["got"], expected=f"one of {', '.join(known)}", remedy=hint)
    expected = message.removeprefix("Value error, ").removeprefix("Input should be ").partition(", unable to parse")[0]
    return UsageError(name, expected=expected, remedy=more)


def close(word: str, known: Iterable[str]) -> str:
    """A question for the nearest of the known words; empty if none is near.

    >>> close("trian", ["train", "apply"])
    "Did you mean 'train'?"
    """
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {found[0]!r}?" if found else ""
