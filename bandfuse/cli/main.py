"""Main: the entry point. Commands are imported when they are called, so that ``--help`` answers at
once."""

from __future__ import annotations

import atexit
import gc
import os
import shlex
import signal
import sys
import traceback
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import bandfuse
from bandfuse.cli import interrupts, streams
from bandfuse.cli.help import page
from bandfuse.cli.layout import WIDEST, columns, folded, listed
from bandfuse.cli.usage_errors import Mistake, explained, near_command, unexpected
from bandfuse.errors import BandfuseError, UsageError
from bandfuse.files.textfile import shown

COMMANDS = {
    "train": "Learn weights from image files; write a run folder.",
    "moments": "Gather what a training needs of image files, to learn from it later.",
    "apply": "Fuse rasters of any size with saved weights.",
    "resample": "Make the bands of a known sensor from cubes; nothing is learned.",
    "sharpen": "Bring a cube to the resolution of a sharper image, by learned gains.",
    "evaluate": "Score saved weights against the target of another image.",
    "report": "Make the page of a run again, from what the run folder holds.",
    "compare": "Put runs side by side: scores, constraints, weights.",
    "export": "Write weights in the form of another program: VRT, CSV, ONNX, …",
    "batch": "Train, apply and evaluate many scenes by one file; resumable.",
    "schema": "Print the JSON schema of a batch file.",
    "info": "Show what bandfuse sees in files.",
    "sensors": "List the known sensors, or show the bands of one.",
    "init": "Write a commented config for a job, from the files given.",
    "check": "Name what is odd about a scene, or a scene and its target.",
    "demo": "Make a scene with a known answer, and learn it.",
    "help": "Print a page of the documentation, or the flags of a command.",
}
"""The commands and what they are for, in the order of the help."""


class LazyGroup(TyperGroup):
    """A group that knows its commands by name, and imports them when one is called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Flags of every command may stand before it: they are moved behind its name."""
        return super().parse_args(ctx, _moved(args))

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One command; None where there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        from bandfuse.cli.commands import app_of

        return typer.main.get_group(app_of(cmd_name)).commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called; for an unknown one the nearest is named."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            hint = near_command(args[0], list(COMMANDS))
            raise UsageError(f"bandfuse has no command {args[0]!r}", remedy=hint)
        if args[0] == "help" and len(args) == 2 and args[1] in COMMANDS:
            args = [args[1], "--help"]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an interruption is said before typer turns it into exit code 130."""
        try:
            interrupts.working()
            return super().invoke(ctx)
        except KeyboardInterrupt:
            exec("")  # Python remembers one that crossed an exec, and would end by a signal
            _last_words("interrupted")
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the list of commands at its end."""
        rows = listed(list(COMMANDS.items()), min(columns(), WIDEST))
        formatter.write(page(self, ctx, whole=True, more=["", "Commands:", *rows]))


TRACED = "--traceback"

EVERYWHERE = {"-v", "--verbose", "-q", "--quiet", "--json", "--log-file"}
"""Flags of every command, the last with a value."""


def _moved(args: list[str]) -> list[str]:
    """The arguments, with flags of every command behind its name if they stand before it; and the
    one of the program itself before it."""
    own, shared = [TRACED] if TRACED in args else [], list[str]()
    rest = [word for word in args if word != TRACED]
    while rest and rest[0].startswith("-"):
        flag = rest.pop(0)
        place = shared if flag.partition("=")[0] in EVERYWHERE else own
        place.append(flag)
        if flag == "--log-file" and rest:
            place.append(rest.pop(0))
    return [*own, rest[0], *shared, *rest[1:]] if rest else args


app = typer.Typer(
    name="bandfuse",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Traced:
    """Whether an error is shown with all that led to it."""

    now = False


def _version(ctx: typer.Context, wanted: bool) -> None:
    if not wanted:
        return
    streams.put(f"bandfuse {bandfuse.__version__}\n")
    if {"-v", "--verbose"} & set(sys.argv[1:]):
        from bandfuse.runs.versions import installed

        streams.put("\n".join(listed(list(installed().items()), columns())) + "\n")
    raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the version; with -v those of Python and of the libraries too.",
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", hidden=True)] = False,
    traced: Annotated[
        bool, typer.Option(TRACED, help="Say where in the program an error came from.")
    ] = False,
) -> None:
    """Learn how to combine the bands of hyperspectral images, and apply it to rasters of any
    size."""
    Traced.now = traced


def _last_words(what: str) -> None:
    """Say what became of the outputs; below the bar, if there is one. The terminal may be gone."""
    from bandfuse.cli.show import Ended

    streams.remark(("\n" if sys.stderr.isatty() else "") + f"{what}: {Ended.words()}\n")


def _ended(number: int, frame: object) -> None:
    """Being ended by the system cleans up like Ctrl-C does."""
    _last_words("ended")
    sys.exit(128 + number)


def main() -> None:
    """Entry point: errors become one message on stderr and an exit code."""
    gc.set_threshold(SELDOM)
    atexit.register(gc.freeze)  # nothing is searched through once more at the end
    os.environ.setdefault(*NO_PLUGINS)
    os.environ.setdefault(*NO_SPINNING)
    streams.ready()
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal; not on Windows, and not under nohup
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ended)
    Traced.now = False
    streams.stop_log()
    try:
        _log_to(sys.argv[1:])
        code = typer.main.get_command(app)(
            standalone_mode=False
        )  # app() itself would set a hook for errors
        streams.flush()
        streams.log(f"exit code {code or 0}")
        sys.exit(code)
    except streams.Unprinted as lost:
        if lost.quietly:
            sys.exit(0)
        streams.remark(f"error: {lost}\n")
        sys.exit(1)
    except Mistake as mistake:
        if type(mistake).__name__ == "NoArgsIsHelpError":
            mistake.show()
            sys.exit(mistake.exit_code)
        _say(explained(mistake))
    except KeyboardInterrupt:  # before a command began
        _last_words("interrupted")
        sys.exit(interrupts.CODE)
    except Exception as problem:  # noqa: BLE001 (this is the place where what nobody expected becomes a message)
        _say(problem if isinstance(problem, BandfuseError) else unexpected(problem))


NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS", "__all__"
"""Pydantic is to look for no plugins among all packages that are installed."""

NO_SPINNING = "OPENBLAS_THREAD_TIMEOUT", "16"
"""OpenBLAS is to let its threads sleep after 2**16 cycles without work. Its own 2**26 cost 0.03
seconds of a processor when numpy is imported, and as much after every product."""

SELDOM = 200_000
"""New objects between two searches for cycles: Python's own 700 make imports a tenth slower, and a
command on a small file makes 90 000."""

LONGEST = 1500
"""Characters of a message at most."""


def _say(problem: BandfuseError) -> None:
    """One message on stderr, and the end; in the log with where it came from."""
    if Traced.now:
        streams.remark(traceback.format_exc())
    else:
        streams.log(traceback.format_exc())
    with suppress(OSError):
        typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    text = shown(str(problem))
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    streams.remark(folded(text, sys.stderr, "error: ") + "\n", f"error: {text}")
    streams.log(f"exit code {problem.exit_code}")
    sys.exit(problem.exit_code)


def _log_to(arguments: list[str]) -> None:
    """Begin the log that the arguments ask for; what is wrong with them is logged too."""
    for i, word in enumerate(arguments):
        flag, equals, path = word.partition("=")
        if flag == "--log-file" and (equals or i + 1 < len(arguments)):
            from bandfuse.runs.versions import installed

            versions = ", ".join(f"{name} {version}" for name, version in installed().items())
            command = shlex.join(["bandfuse", *arguments])
            streams.start_log(path or arguments[i + 1], [shown(command), shown(versions)])
            return
