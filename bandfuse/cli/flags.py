"""Flags that several commands share."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from typer import Argument, Context

from bandfuse.cli import streams
from bandfuse.cli.help import ALL, GENERAL
from bandfuse.cli.options import keyword

Option = partial(typer.Option, show_default=False)
General = partial(Option, rich_help_panel=GENERAL)

Json = Annotated[bool, General("--json", help="Print the result as JSON.")]
Verbose = Annotated[bool, General("--verbose", "-v", help="Say more, GDAL's messages too.")]
Quiet = Annotated[bool, General("--quiet", "-q", help="Say nothing but the result and errors.")]
LogFile = Annotated[
    str | None,
    General(
        "--log-file",
        help="Also write what is said, with times, the command line, versions, and errors with "
        "where they came from, to the end of this file.",
        metavar="FILE",
    ),
]
ConfigFile = Annotated[
    str | None,
    General("--config", help="YAML file with settings; flags win over it.", metavar="FILE"),
]
Sets = Annotated[
    list[str] | None,
    General(
        "--set", help="One setting, as in the file given by --config. Repeat.", metavar="KEY=VALUE"
    ),
]
Wavelengths = Annotated[
    str | None,
    Option(
        "--wavelengths", help="Table of the bands' wavelengths, or an ENVI header.", metavar="FILE"
    ),
]
Weights = Annotated[
    str, Argument(help="A run folder, or a file weights.safetensors.", metavar="WEIGHTS")
]


def _explain_all(ctx: Context, wanted: bool) -> None:
    """Print the whole help, and leave."""
    if wanted and not ctx.resilient_parsing:
        ctx.meta[ALL] = True
        streams.put(ctx.get_help() + "\n")
        raise typer.Exit


WholeHelp = partial(General, ALL, help="Explain every flag.", is_eager=True, callback=_explain_all)
"""The flag for the whole help; hidden where the help is whole anyway."""

EVERY = (
    keyword("json", Json, default=False),
    keyword("verbose", Verbose, default=False),
    keyword("quiet", Quiet, default=False),
    keyword("log_file", LogFile),
)
"""Flags of every command that shows a result."""

FILE = (keyword("config", ConfigFile), keyword("set_", Sets))
"""Flags of commands whose settings can stand in a file."""
