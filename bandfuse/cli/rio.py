"""Rio: ``rio bandfuse``, a plugin of rasterio's command line, by rio's own conventions.

Typer brings a click of its own, which rio's groups do not know: the commands here are of the click
that rio uses. They are wrappers, and only of what rio's users look for; everything else is
``bandfuse``."""

from __future__ import annotations

from typing import Any

import click

from bandfuse.errors import BandfuseError
from bandfuse.files.textfile import shown
from bandfuse.progress import silent


class _Wrong(click.ClickException):
    """Wrong use or bad input."""

    exit_code = 2


class _Group(click.Group):
    """Bandfuse's errors are one message, and its exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, under rio's settings of GDAL if there are any."""
        try:
            env = (ctx.obj or {}).get("env")
            if env is None:
                return super().invoke(ctx)
            with env:
                return super().invoke(ctx)
        except BandfuseError as problem:
            kind = _Wrong if problem.exit_code == _Wrong.exit_code else click.ClickException
            raise kind(shown(str(problem))) from problem


@click.group(name="bandfuse", cls=_Group)
def bandfuse() -> None:
    """Learn how to combine bands, and apply it.

    The same as the command bandfuse, in rio's way; see bandfuse --help.
    """


def _threads(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number; ALL_CPUS and -1 are all of them, which is the default."""
    if value is None or value.upper() in ("ALL_CPUS", "-1"):
        return None
    if not value.isdigit() or value == "0":
        raise click.BadParameter(f"{value!r} is neither a number above 0 nor ALL_CPUS")
    return int(value)


co = click.option(
    "--co", "--profile", "co", metavar="NAME=VALUE", multiple=True, help="Creation option. Repeat."
)
driver = click.option("-f", "--format", "--driver", "driver", help="GDAL driver of the output.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
threads = click.option(
    "-j",
    "--threads",
    metavar="N",
    callback=_threads,
    help="Threads: a number, or ALL_CPUS, the default.",
)
settings = click.option(
    "--set", "sets", metavar="KEY=VALUE", multiple=True, help="Any setting of bandfuse. Repeat."
)


def _wanted(given: dict[str, Any], sets: tuple[str, ...]) -> dict[str, Any]:
    """What was given, by the names of the settings; ``--set`` for what has no flag here."""
    from bandfuse.files.yamlfile import parse_set

    return {
        **parse_set(list(sets)),
        **{k: v for k, v in given.items() if v not in (None, (), False)},
    }


@bandfuse.command()
@click.argument("weights", metavar="WEIGHTS")
@click.argument("files", nargs=-1, required=True, metavar="INPUTS... OUTPUT")
@click.option("-o", "--output", help="The output, in the place of the last argument.")
@click.option("-t", "--dtype", help="Type of the output; whole numbers need --scale.")
@click.option("--scale", type=float, help="Of whole numbers: value = stored * scale + offset.")
@driver
@co
@overwrite
@threads
@settings
def apply(
    weights: str, files: tuple[str, ...], output: str | None, sets: tuple[str, ...], **given: Any
) -> None:
    """Fuse rasters with saved weights.

    With several inputs the output is a folder, or a template such as out/{stem}.tif.

    \b
    Examples:
      rio bandfuse apply run/weights.safetensors cube.tif fused.tif
      rio bandfuse apply w.safetensors a.tif b.tif out/ --co compress=zstd -j 4
    """
    from bandfuse.config.base import build
    from bandfuse.config.commands import ApplyConfig
    from bandfuse.tools.apply import apply as tool

    inputs, out = _split(files, output)
    given["co"] = list(given["co"])
    wanted = _wanted({**given, "scenes": inputs, "output": out}, sets)
    result = tool(weights, build(ApplyConfig, {k: v for k, v in wanted.items() if v != []}), silent)
    _say(result.messages)


@bandfuse.command()
@click.argument("files", nargs=-1, required=True, metavar="INPUTS... RUN")
@click.option("-o", "--output", help="The run folder, in the place of the last argument.")
@click.option("--target", multiple=True, help="Raster to match; one per input, or a template.")
@click.option(
    "--groups", metavar="SPEC", help="Groups of bands: equal:8, sensor:sentinel-2a, 450-520nm."
)
@overwrite
@threads
@settings
def train(files: tuple[str, ...], output: str | None, sets: tuple[str, ...], **given: Any) -> None:
    """Learn weights from rasters; write a run folder.

    \b
    Examples:
      rio bandfuse train cube.tif --target ms.tif run
      rio bandfuse train cube.tif run --groups equal:8 --set constraint=free
    """
    from bandfuse.config.base import build
    from bandfuse.config.train import TrainConfig
    from bandfuse.tools.train import train as tool

    inputs, out = _split(files, output)
    given["target"] = list(given["target"])
    wanted = _wanted({**given, "scenes": inputs, "output": out}, sets)
    _, messages = tool(build(TrainConfig, {k: v for k, v in wanted.items() if v != []}), silent)
    _say(messages)


@bandfuse.command()
@click.argument("files", nargs=-1, required=True, metavar="INPUTS...")
@click.option("--groups", metavar="SPEC", help="Preview groups.")
@click.option("--indent", type=int, help="Indentation of the JSON.")
def info(files: tuple[str, ...], groups: str | None, indent: int | None) -> None:
    """Print what bandfuse sees in rasters, as JSON: bands, wavelengths, bad bands, nodata,
    scale."""
    from bandfuse.tools.info import info as tool

    result = tool(list(files), groups)
    empty = {name for name in ("groups", "vectors", "moments") if not getattr(result, name)}
    click.echo(result.model_dump_json(indent=indent, exclude=empty))


def _split(files: tuple[str, ...], output: str | None) -> tuple[list[str], str]:
    """Inputs and output: INPUTS... OUTPUT, or INPUTS... -o OUTPUT."""
    if output is None and len(files) < 2:
        raise click.UsageError("Missing argument 'OUTPUT'.")
    return (list(files), output) if output is not None else (list(files[:-1]), files[-1])


def _say(messages: list[str]) -> None:
    """Remarks on stderr, unless rio is told to be quiet."""
    context = click.get_current_context()
    if (context.obj or {}).get("verbosity", 0) >= 0:
        for message in messages:
            click.echo(shown(message), err=True)
