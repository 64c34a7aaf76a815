"""Commands: each takes its settings, calls a tool and shows the result.

One file per kind of work::

    learning    train, moments
    fusing      apply, resample, sharpen
    judging     evaluate, report, compare, export
    many        batch, schema
    looking     info, check, sensors
    starting    init, demo, help
"""

from __future__ import annotations

import typer

from bandfuse.cli.commands import fusing, judging, learning, looking, many, starting
from bandfuse.cli.declaring import MAKERS

__all__ = ["app_of", "fusing", "judging", "learning", "looking", "many", "starting"]


def app_of(*names: str) -> typer.Typer:
    """An app of the commands with these names; of all of them if no name is given.

    Flags are made here, and not where a command is declared: the settings of a command take a
    hundredth of a second to import, and one command runs in a process.
    """
    app = typer.Typer(rich_markup_mode=None)
    for name in names or MAKERS:
        MAKERS[name](app)
    return app
