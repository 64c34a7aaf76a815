"""Commands: each takes its settings, calls a tool and shows the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bandfuse.cli import show
from bandfuse.cli.options import settings, with_settings
from bandfuse.config import ApplyConfig, EvaluateConfig, TrainConfig

app = typer.Typer(rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, GDAL's messages too.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result and errors.")]
ConfigFile = Annotated[str | None, typer.Option("--config", help="YAML file with settings; flags win over it.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting. Repeat.")]
Weights = Annotated[str, typer.Argument(help="weights.safetensors of a run.", metavar="WEIGHTS")]


@app.command()
@with_settings(TrainConfig)
def train(
    given: dict[str, Any],
    config: ConfigFile = None,
    set_: Sets = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Learn weights from image files; write a run folder with weights, fused rasters and a report.

    bandfuse train cube.tif --target ms.tif -o run

    bandfuse train cube.tif --groups equal:8 -o run

    bandfuse train --source a=a.tif --source b=b.tif --fuse across --weights scalar --target t.tif -o run
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.train import train as tool

    wanted = settings(TrainConfig, given, config, set_)
    report, messages = tool(wanted, show.progress(), keep=named(config))
    for message in messages:
        show.note(message)
    if json:
        show.json(report.model_dump_json())
        return
    show.summary(report)
    show.line(f"{wanted.output} written: {show.count(len(report.outputs), 'output')}")


def named(config: str | None) -> list[Path]:
    """The settings file, if there is one: no output may take its place."""
    return [] if config is None else [Path(config)]


@app.command()
@with_settings(ApplyConfig)
def apply(
    given: dict[str, Any],
    weights: Weights,
    config: ConfigFile = None,
    set_: Sets = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Fuse rasters of any size with saved weights.

    bandfuse apply run/weights.safetensors other.tif -o fused.tif

    bandfuse apply run/weights.safetensors fused.tif --inverse -o cube.tif
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.apply import apply as tool

    wanted = settings(ApplyConfig, given, config, set_)
    result = tool(weights, wanted, show.progress(), keep=named(config))
    for message in result.messages:
        show.note(message)
    if json:
        show.json(result.model_dump_json())
        return
    for path in result.outputs:
        show.line(f"{path} written")
    show.line(f"{show.count(result.pixels, 'pixel')}, {100 * result.valid_share:.1f} % valid, {result.seconds:.2f} s")


@app.command()
@with_settings(EvaluateConfig)
def evaluate(
    given: dict[str, Any],
    weights: Weights,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Score saved weights against the target of another image.

    bandfuse evaluate run/weights.safetensors other.tif --target other_ms.tif
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.evaluate import evaluate as tool

    result = tool(weights, settings(EvaluateConfig, given), show.progress())
    if json:
        show.json(result.model_dump_json())
        return
    show.scores(result.scores, f"Scores on {result.scene}")
    show.overall(result.overall)
    show.line(f"{show.count(result.pixels.used, 'pixel')} used, {result.pixels.invalid} not valid")


@app.command()
def info(
    scenes: Annotated[
        list[str] | None, typer.Argument(help="Raster files, product files or folders.", metavar="SCENE...")
    ] = None,
    formats: Annotated[bool, typer.Option("--formats", help="List what can be opened, and what to give.")] = False,
    groups: Annotated[
        str | None, typer.Option("--groups", metavar="SPEC", help="Preview groups: equal:8, 450-520nm, 1-30,35.")
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show what bandfuse sees in files: bands, wavelengths, bad bands, nodata, scale.

    bandfuse info cube.tif --groups equal:8

    bandfuse info --formats
    """
    show.set_level(verbose, quiet)
    if formats:
        show_all_formats(json)
        return
    from bandfuse.tools.info import info as tool

    result = tool(scenes or [], groups)
    if json:
        show.json(result.model_dump_json(exclude=None if result.groups else {"groups"}))
        return
    from bandfuse.cli.inspect import show_info

    show_info(result, every_band=verbose)


def show_all_formats(json: bool) -> None:
    """What can be opened."""
    from bandfuse.cli.inspect import show_formats
    from bandfuse.tools.info import formats

    if json:
        show.json(formats().model_dump_json())
    else:
        show_formats(formats())


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="[DIR]")] = Path("bandfuse-demo"),
    seed: Annotated[int, typer.Option("--seed", help="Seed of the scene.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier demo.")] = False,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Make a scene with a known answer, train on it, apply the weights, and print how close they came."""
    show.set_level(verbose, quiet)
    from bandfuse.tools.demo import demo as tool

    result = tool(folder, seed=seed, overwrite=overwrite, progress=show.progress())
    if json:
        show.json(result.model_dump_json())
        return
    show.table(list(result.rows[0]), [row.values() for row in result.rows], "Learned against true weights")
    show.line(f"Open {result.folder}/run/report.html, and {result.folder}/fused.tif in QGIS.")
