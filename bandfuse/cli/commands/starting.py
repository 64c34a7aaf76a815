"""Starting: commands for the first hour."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Argument, Context
from typer.core import TyperGroup

from bandfuse.cli import show
from bandfuse.cli.declaring import Outcome, command
from bandfuse.cli.flags import Option

CONFIG = "bandfuse.yaml"
"""The config that ``init`` writes."""


@command()
def init(
    job: Annotated[
        str,
        Argument(
            help="match, with CUBE TARGET; shrink, with CUBE...; separate, with CUBE LABELS; snr, "
            "with CUBE...; merge, with IMAGE IMAGE... TARGET; or batch, with CUBE..., a folder or "
            "a pattern in quotes.",
            metavar="JOB",
        ),
    ],
    files: Annotated[list[str], Argument(help="The files of the job.", metavar="FILE")],
    output: Annotated[
        str, Option("--output", "-o", help="File to write.", metavar="FILE", show_default=CONFIG)
    ] = CONFIG,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing file.")] = False,
) -> Outcome:
    """Write a commented config for a job, from the files given.

    \b
    Examples:
      bandfuse init match cube.tif target.tif -o config.yaml
      bandfuse init shrink cube.tif
      bandfuse init batch 'scenes/*.tif' -o batch.yaml
    """
    from bandfuse.tools.init import init as tool

    result = tool(job, files, output, overwrite=overwrite)
    return Outcome(result, partial(show.begun, result))


@command()
def demo(
    folder: Annotated[Path, Argument(help="Folder to make.", metavar="DIR")] = Path(
        "bandfuse-demo"
    ),
    seed: Annotated[int, Option("--seed", help="Seed of the scene.")] = 0,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace the files of an earlier demo.")
    ] = False,
) -> Outcome:
    """Make a scene with a known answer, train on it, apply the weights,
    and print how close they came.

    \b
    Examples:
      bandfuse demo
      bandfuse demo elsewhere --seed 3
    """
    from bandfuse.tools.demo import demo as tool

    result = tool(folder, seed=seed, overwrite=overwrite, progress=show.progress())
    return Outcome(result, partial(show.demonstrated, result))


@command()
def help(
    ctx: Context,
    topic: Annotated[
        str | None, Argument(help="A page, or a command.", metavar="TOPIC", show_default=False)
    ] = None,
) -> Outcome:
    """Print a page of the documentation, or the flags of a command; without a topic, list all.
    On a terminal the page is laid out, in a pipe it is Markdown.

    \b
    Examples:
      bandfuse help
      bandfuse help groups
      bandfuse help train
    """
    from bandfuse.cli.show_help import show_page, show_topics
    from bandfuse.tools.help import help as tool

    group = None if ctx.parent is None else ctx.parent.command
    result = tool(topic, group.list_commands(ctx) if isinstance(group, TyperGroup) else ())
    if result.text is None:
        return Outcome(result, partial(show_topics, result.topics))
    return Outcome(result, partial(show_page, result.text))
