"""Usage errors: what is typed wrongly, as one message in bandfuse's own form."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable
from typing import Any

import typer

from bandfuse.errors import BandfuseError, RunError, UsageError

Mistake: type[Any] = typer.BadParameter.__bases__[0]
"""Typer's own error for wrong use, whichever click it brings with it."""

NAMES = {
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.ELOOP,
    errno.EPERM,
    errno.ENXIO,
    errno.ENODEV,
    errno.EROFS,
}
"""Errors of the system that are of the name that is given, or of what lies there."""

_CHOICE = re.compile(r"(?s)(?:Value error, )?(?P<got>'.*?') is not one of (?P<known>.*?)\.?")


def explained(mistake: Any) -> UsageError:
    """The error in bandfuse's words: what, what came, what was expected, and what to do."""
    context = mistake.ctx
    more = "" if context is None else f"See {context.command_path} --help."
    param = getattr(mistake, "param", None)
    if type(mistake).__name__ == "NoSuchOption":
        flag = str(mistake.option_name)
        known = (
            []
            if context is None
            else [name for p in context.command.params for name in (*p.opts, "--help")]
        )
        command = "bandfuse" if context is None or context.parent is None else context.info_name
        return UsageError(f"{command} has no flag {flag}", remedy=close(flag, known) or more)
    if type(mistake).__name__ == "MissingParameter" and param is not None:
        return UsageError(f"{_name(param)} is not given", remedy=more)
    if param is not None:
        return _of_value(_name(param), str(mistake.message), more)
    return UsageError(str(mistake.message).replace("(s)", "s"), remedy=more)


def _name(param: Any) -> str:
    """A flag, or what an argument is called in the help."""
    return str(
        param.opts[0] if param.param_type_name == "option" else param.metavar or param.name
    ).strip(".")


def _of_value(name: str, message: str, more: str) -> UsageError:
    """A value that a flag does not take."""
    if found := _CHOICE.fullmatch(message):
        known = re.findall(r"'([^']*)'", found["known"])
        hint = close(found["got"].strip("'"), known)
        return UsageError(
            name, got=found["got"], expected=f"one of {', '.join(known)}", remedy=hint
        )
    expected = (
        message.removeprefix("Value error, ")
        .removeprefix("Input should be ")
        .partition(", unable to parse")[0]
    )
    return UsageError(name, expected=expected, remedy=more)


def unexpected(error: Exception) -> BandfuseError:
    """What nobody expected, in one line: names that the system refuses are wrong use, all else is a
    failure."""
    if isinstance(error, OSError) and error.errno in NAMES:
        return UsageError(
            f"{_cut(error.filename or 'a file')} cannot be used", got=error.strerror or str(error)
        )
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        name = _cut(error.object)
        return UsageError(
            f"the name {name!r} is not UTF-8", expected="a name in UTF-8", remedy="Rename it."
        )
    if isinstance(error, ValueError) and str(error).startswith("embedded null"):
        return UsageError("a name holds a character NUL", expected="the name of a file")
    if isinstance(error, MemoryError):
        said = f": {error}" if str(error) else ""
        return RunError(
            f"there is not enough memory{said}", remedy="Use less --memory, and fewer --threads."
        )
    if isinstance(error, OSError):
        place = f"{_cut(error.filename)}: " if error.filename else ""
        return RunError(f"{place}{error.strerror or error}")
    said = " ".join(str(error).split())[:SHOWN]
    return RunError(
        f"unexpected error {type(error).__name__}: {said}",
        remedy="This is a fault of bandfuse. bandfuse --traceback COMMAND … says where it comes "
        "from.",
    )


SHOWN = 200
"""Characters of a name or message that are shown."""


def _cut(name: object) -> str:
    """A name, if that is not too long."""
    text = str(name)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def close(word: str, known: Iterable[str]) -> str:
    """A question for the nearest of the known words; empty if none is near.

    >>> close("trian", ["train", "apply"])
    "Did you mean 'train'?"
    """
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {found[0]!r}?" if found else ""
