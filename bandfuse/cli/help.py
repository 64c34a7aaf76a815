"""Help: the page that ``--help`` prints: flags under headings, in the width of the terminal."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

from bandfuse.cli.layout import WIDEST, columns, command_lines, listed, wrapped

OWN, GENERAL, MOST = "Options", "General", "Most used"
"""Headings of flags that belong to no section of the settings."""

ALL = "--help-all"


class Command(TyperCommand):
    """A command whose help has sections. ``most_used``: parameters that come first; the others are
    named only, and listed by ``--help-all``."""

    most_used: tuple[str, ...] = ()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx, whole=bool(ctx.meta.get(ALL)) or not self.most_used))


def page(command: Any, ctx: Any, *, whole: bool, more: Sequence[str] = ()) -> str:
    """The help of a command. ``whole``: every flag is listed. ``more``: lines at its end."""
    width = min(columns(), WIDEST)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    lines = [*_usage(command, ctx, width), *_about(command, width)]
    if arguments:
        lines += ["", "Arguments:", *listed([_row(p) for p in arguments], width)]
    sections = _sections(command, ctx)
    shown = sections if whole else {k: v for k, v in sections.items() if k in (MOST, GENERAL)}
    for heading, params in shown.items():
        lines += ["", f"{heading}:", *listed([_row(p) for p in params], width)]
        if heading == MOST and not whole:
            lines += _others(sections, ctx, width)
    return "\n".join([*lines, *more]) + "\n"


def _usage(command: Any, ctx: Any, width: int) -> list[str]:
    """How the command is called."""
    words = [ctx.command_path, command.options_metavar]
    for param in command.params:
        if param.param_type_name == "argument":
            name = _name(param) + ("..." if param.nargs != 1 and "..." not in _name(param) else "")
            words.append(name if param.required else f"[{name}]")
    words += [command.subcommand_metavar] if hasattr(command, "subcommand_metavar") else []
    return wrapped(f"Usage: {' '.join(words)}", width, rest=" " * 7)


def _name(param: Any) -> str:
    """What an argument is called."""
    return str(param.metavar or param.name.upper())


def _about(command: Any, width: int) -> list[str]:
    """What the command does, and its examples."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            head, examples = paragraph.removeprefix("\b\n").split("\n", 1)
            whole = re.sub(r" *\\\n *", " ", examples).splitlines()
            lines += ["", f"  {head}"]
            lines += [line for example in whole for line in command_lines(f"  {example}", width)]
        else:
            lines += ["", *wrapped(" ".join(paragraph.split()), width, "  ")]
    return lines


def _sections(command: Any, ctx: Any) -> dict[str, list[Any]]:
    """The flags by heading: the most used ones, the command's own, those of its settings, and those
    that every command has."""
    flags = [p for p in command.get_params(ctx) if p.param_type_name == "option" and not p.hidden]
    most = getattr(command, "most_used", ())
    found: dict[str, list[Any]] = {MOST: [], OWN: []}
    for param in flags:
        panel = GENERAL if param.name == "help" else param.rich_help_panel
        heading = MOST if param.name in most or (most and panel is None) else panel or OWN
        found.setdefault(heading, []).append(param)
    found[MOST].sort(key=lambda p: most.index(p.name) if p.name in most else len(most))
    found[GENERAL] = found.pop(GENERAL, [])
    return {heading: params for heading, params in found.items() if params}


def _others(sections: dict[str, list[Any]], ctx: Any, width: int) -> list[str]:
    """The flags that are not listed here, by name."""
    rows = [
        (heading, " ".join(p.opts[0] for p in params))
        for heading, params in sections.items()
        if heading not in (MOST, GENERAL)
    ]
    text = f"More flags, which {ctx.command_path} {ALL} explains:"
    return ["", *wrapped(text, width), *listed(rows, width)]


def _row(param: Any) -> tuple[str, str]:
    """A flag with what it takes, and its help."""
    text = " ".join((param.help or "").split())
    if isinstance(param.show_default, str):
        text += f" Default: {param.show_default}."
    if param.param_type_name == "argument":
        return _name(param), text
    short = sorted(param.opts, key=lambda o: o.startswith("--"))
    return " ".join(filter(None, [", ".join(short), _takes(param)])), text


def _takes(param: Any) -> str:
    """What a flag takes; nothing for a switch."""
    if param.is_flag:
        return ""
    if param.metavar:
        return str(param.metavar)
    kind = param.type_descriptor.annotation
    return {"int": "N", "float": "X"}.get(getattr(kind, "__name__", ""), "TEXT")
