"""Usage errors: what is typed wrongly, as one message in bandfuse's own form."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from typing import Any

import typer

from bandfuse.errors import BandfuseError, RunError, UsageError, close, did_you_mean, shorten

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
    context, message = mistake.ctx, str(mistake.message)
    more = "" if context is None else f"See {context.command_path} --help."
    param = getattr(mistake, "param", None)
    if type(mistake).__name__ == "NoSuchOption":
        return _no_flag(str(mistake.option_name), context, more)
    if type(mistake).__name__ == "MissingParameter" and param is not None:
        meaning = _as_a_phrase(param.help or "")
        said = [_example(context), more]
        return UsageError(f"{_name(param)} is not given", expected=meaning, remedy=_joined(said))
    if param is not None:
        return _of_value(_name(param), mistake, more)
    if found := _EXTRA.fullmatch(message):
        takes = shorten(_name(p) for p in context.command.params if p.param_type_name != "option")
        return UsageError(
            f"{context.info_name} takes no further argument",
            got=f"{found[1]} too many",
            expected="flags only" if takes == "none" else takes,
            remedy=more,
        )
    if found := _NO_VALUE.fullmatch(message):
        few = f"all of its {found[2]} values" if found[2] else "its value"
        spaces = f"{found[2]} values with spaces between them" if found[2] else ""
        return UsageError(f"{found[1]} is given without {few}", expected=spaces, remedy=more)
    return UsageError(message.replace("(s)", "s"), remedy=more)


_EXTRA = re.compile(r"(?s)Got unexpected extra argument(?:\(s\)|s)? \((.*)\)")
_NO_VALUE = re.compile(r"Option '([^']*)' requires (?:an|(\d+)) arguments?\.?")


def _joined(texts: Sequence[str]) -> str:
    return " ".join(filter(None, texts))


def _example(context: Any) -> str:
    """The first example in the help of a command."""
    lines = () if context is None else map(str.strip, (context.command.help or "").splitlines())
    start = "bandfuse" if context is None else f"bandfuse {context.info_name} "
    found = next((line for line in lines if line.startswith(start)), "")
    return f"For example: {found}." if found and not found.endswith("\\") else ""


def _no_flag(flag: str, context: Any, more: str) -> UsageError:
    """A flag that there is not, or not at this place."""
    if context is None or context.parent is None:
        after = f"Flags of a command come after it: bandfuse COMMAND … {flag}."
        names = [n for p in context.command.params for n in p.opts] if context is not None else []
        hint = close(flag, names) if flag not in AFTER else ""
        return UsageError(f"bandfuse has no flag {flag} before a command", remedy=hint or after)
    arguments = [p for p in context.command.params if p.param_type_name != "option"]
    same = next((p for p in arguments if p.name.rstrip("s") == flag.strip("-").rstrip("s")), None)
    if same is not None:
        hint = _joined([f"{_name(same)} stands without a flag.", _example(context)])
    else:
        every = [name for p in context.command.params for name in (*p.opts, "--help")]
        hint = _near_flag(flag, sorted({name for name in every if name.startswith("-")}))
    return UsageError(f"{context.info_name} has no flag {flag}", remedy=hint or more)


FLAGS_MEANT = {
    "--out": "--output",
    "--dst": "--output",
    "--format": "--driver --to",
    "--of": "--driver --to",
    "--epochs": "--steps",
    "--iterations": "--steps",
    "--learning-rate": "--lr",
    "--l2": "--ridge",
    "--l1": "--sparse",
    "--force": "--overwrite",
    "--labels-file": "--labels",
    "--reference": "--target",
    "--truth": "--target",
}
"""Other words for the flags."""


def _near_flag(flag: str, known: Sequence[str]) -> str:
    """What is said of a flag that there is not: flags that mean the same, begin like it, or are
    spelled nearly like it."""
    meant = [name for name in FLAGS_MEANT.get(flag, "").split() if name in known]
    if meant:
        return did_you_mean(meant)
    if len(flag) == 2:
        long = [name for name in known if name.startswith(f"-{flag}")]
        return f"It could be {shorten(long)}." if long else ""
    begun = [name for name in known if name.startswith(flag)]
    words = {name.strip("-"): name for name in known}
    near = close(flag.strip("-"), words)
    spelled = re.sub("'([^']*)'", lambda found: repr(words[found[1]]), near)
    return did_you_mean(begun) if begun else spelled


AFTER = ("--verbose", "-v", "--quiet", "-q", "--json", "--output", "-o", "--overwrite", "--config")
"""Flags that every command has, or many have, and that come after its name."""

COMMANDS_MEANT = {
    "train": "fit learn optimise optimize regress model",
    "apply": "fuse predict transform run infer use merge",
    "resample": "simulate convolve bands",
    "sharpen": "pansharpen pan fusion downscale",
    "evaluate": "score test validate eval",
    "report": "plot page view html open",
    "compare": "diff",
    "export": "convert save vrt onnx csv",
    "info": "list show describe ls",
    "check": "lint verify qa",
    "demo": "example tutorial start",
}
"""Other words for the commands."""


def near_command(word: str, known: Sequence[str]) -> str:
    """What is said to somebody who calls a command that there is not.

    >>> near_command("fit", ["train", "apply"])
    "Did you mean 'train'?"
    """
    meant = [name for name in known if word.lower() in COMMANDS_MEANT.get(name, "").split()]
    if meant:
        return f"Did you mean {meant[0]!r}?"
    if os.path.exists(word):
        return f"Name a command before the file: bandfuse info {word}."
    return close(word, known) or f"Known: {shorten(known)}."


def _name(param: Any) -> str:
    """A flag, or what an argument is called in the help."""
    return str(
        param.opts[0] if param.param_type_name == "option" else param.metavar or param.name
    ).strip(".")


def _of_value(name: str, mistake: Any, more: str) -> UsageError:
    """A value that a flag does not take."""
    message = str(mistake.message)
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
    got, several = _given(mistake), getattr(mistake.param, "nargs", 1)
    if several > 1:
        expected = f"{several} numbers, {mistake.param.metavar}"
    unit = "Give the number alone, without a unit." if _WITH_UNIT.fullmatch(got) else ""
    said = _joined([unit, more])
    return UsageError(name, got=got, expected=_PLAINER.get(expected, expected), remedy=said)


_WITH_UNIT = re.compile(r"'[0-9.]+ ?[A-Za-z]+'")


def _as_a_phrase(sentence: str) -> str:
    """A short sentence of the help in the middle of another.

    >>> _as_a_phrase("Folder of a run."), _as_a_phrase("YAML file.")
    ('folder of a run', 'YAML file')
    """
    first = sentence[:1].lower() if sentence[1:2].islower() else sentence[:1]
    return first + sentence[1:].rstrip(".")


_PLAINER = {"a valid integer": "a whole number", "a valid number": "a number"}
"""Pydantic's words for some types, in plainer ones."""


def _given(mistake: Any) -> str:
    """What was typed, where typer's check of types says it; empty otherwise."""
    said = getattr(mistake.__cause__, "errors", None)
    return repr(said()[0]["input"]) if said is not None else ""


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
