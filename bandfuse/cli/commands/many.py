"""Many: commands that work by one file for many scenes."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from typer import Argument

from bandfuse.cli import show
from bandfuse.cli.declaring import Outcome, bare, command
from bandfuse.cli.flags import LogFile, Option, Quiet, Sets, Verbose, WholeHelp
from bandfuse.needs import require_meaning


@command()
def batch(
    file: Annotated[str, Argument(help="Batch file, in YAML.", metavar="CONFIG")],
    set_: Sets = None,
    workers: Annotated[
        int | None,
        Option("--workers", "-j", "--jobs", help="Processes on this machine.", show_default="1"),
    ] = None,
    dask: Annotated[
        bool, Option("--dask", help="Workers of a Dask cluster on this machine.")
    ] = False,
    scheduler: Annotated[
        str | None,
        Option("--scheduler", help="A running Dask scheduler: tcp://host:8786.", metavar="ADDRESS"),
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Print the plan, and do nothing.")] = False,
    fresh: Annotated[bool, Option("--fresh", help="Do everything again.")] = False,
    fail_fast: Annotated[bool, Option("--fail-fast", help="Stop after the first failure.")] = False,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace outputs that this batch did not create, too.")
    ] = False,
) -> Outcome:
    """Train, apply and evaluate many scenes by one file.
    The same command again goes on where it was.

    \b
    Examples:
      bandfuse batch configs/batch_many_scenes.yaml --dry-run
      bandfuse batch configs/batch_many_scenes.yaml --workers 4
    """
    from bandfuse.batches import batch as tool
    from bandfuse.cli import show_batch

    does = {"workers": workers, "dask": dask, "scheduler": scheduler}
    does |= {"fresh": fresh, "fail_fast": fail_fast, "overwrite": overwrite}
    require_meaning(does, "dry_run", dry_run, values=(False,))
    if dry_run:
        plan = tool.dry_run(file, set_ or [])
        return Outcome(plan, partial(show_batch.show_plan, plan))
    show.Ended.now = "what is finished is kept, and the same command goes on with the rest"
    with show_batch.watching() as watch:
        result = tool.batch(file, sets=set_ or [], watch=watch, **does)  # type: ignore[arg-type]
    return Outcome(result, partial(show_batch.show_result, result), failed=bool(result.failed))


@bare
def schema(
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_file: LogFile = None,
    help_all: Annotated[bool, WholeHelp(hidden=True)] = False,
) -> None:
    """Print the JSON schema of a batch file: editors complete and check from it.

    \b
    Examples:
      bandfuse schema > bandfuse.schema.json
    """
    show.set_level(verbose, quiet)
    import json

    from bandfuse.batches.settings import schema as schema_of_a_batch

    show.json(json.dumps(schema_of_a_batch(), indent=1))
