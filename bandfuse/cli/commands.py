"""Commands: each takes its settings, calls a tool and shows the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bandfuse.cli import show
from bandfuse.cli.options import settings, with_settings
from bandfuse.config import (
    ApplyConfig,
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    ReportConfig,
    ResampleConfig,
    TrainConfig,
)
from bandfuse.errors import ConfigError, shorten
from bandfuse.needs import require_meaning

app = typer.Typer(rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, GDAL's messages too.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result and errors.")]
ConfigFile = Annotated[str | None, typer.Option("--config", help="YAML file with settings; flags win over it.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting. Repeat.")]
Wavelengths = Annotated[
    str | None,
    typer.Option("--wavelengths", metavar="FILE", help="Table of the bands' wavelengths, or an ENVI header."),
]
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

    \b
    Examples:
      bandfuse train cube.tif --target ms.tif -o run
      bandfuse train cube.tif --groups equal:8 -o run
      bandfuse train --source a=a.tif --source b=b.tif --target t.tif \\
          --fuse across --weights scalar --constraint affine -o run
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

    \b
    Examples:
      bandfuse apply run/weights.safetensors other.tif -o fused.tif
      bandfuse apply run/weights.safetensors fused.tif --inverse -o cube.tif
      bandfuse apply run/weights.safetensors enmap.tif --resample -o fused.tif
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
@with_settings(ResampleConfig)
def resample(
    given: dict[str, Any],
    config: ConfigFile = None,
    set_: Sets = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Make the bands of a known sensor from cubes, by its published responses; nothing is learned.

    \b
    Examples:
      bandfuse resample cube.tif --sensor sentinel-2a -o s2.tif
      bandfuse resample cube.tif --sensor mine.csv --weights-only -o w.safetensors
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.resample import resample as tool

    result = tool(settings(ResampleConfig, given, config, set_), show.progress(), keep=named(config))
    for message in result.messages:
        show.note(message)
    if json:
        show.json(result.model_dump_json())
        return
    from bandfuse.cli.show_rasters import show_resampled

    show_resampled(result)


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

    \b
    Examples:
      bandfuse evaluate run/weights.safetensors other.tif --target other_ms.tif
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.evaluate import evaluate as tool

    result = tool(weights, settings(EvaluateConfig, given), show.progress())
    for message in result.messages:
        show.note(message)
    if json:
        show.json(result.model_dump_json())
        return
    show.scores(result.scores, f"Scores on {result.scene}")
    show.overall(result.overall)
    show.line(f"{show.count(result.pixels.used, 'pixel')} used, {result.pixels.invalid} not valid")


@app.command()
@with_settings(ReportConfig)
def report(
    given: dict[str, Any],
    run: Annotated[str, typer.Argument(help="Folder of a run.", metavar="RUN")],
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Make the page of a run again, from what the run folder holds: no image is read.

    \b
    Examples:
      bandfuse report run -o report.html --figures figures
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.report import report as tool

    result = tool(run, settings(ReportConfig, given))
    for message in result.messages:
        show.note(message)
    if json:
        show.json(result.model_dump_json())
        return
    figures = f", and {show.count(len(result.figures), 'figure')}" if result.figures else ""
    show.line(f"{result.output} written{figures}")


@app.command()
@with_settings(CompareConfig)
def compare(
    given: dict[str, Any],
    runs: Annotated[list[str], typer.Argument(help="Folders of runs.", metavar="RUN RUN...")],
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Put runs side by side: scores, constraints, weights.

    \b
    Examples:
      bandfuse compare run1 run2 -o compared.html
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.compare import compare as tool

    result = tool(runs, settings(CompareConfig, given))
    for message in result.messages:
        show.note(message)
    if json:
        show.json(result.model_dump_json())
        return
    show.compared(result)


@app.command()
@with_settings(ExportConfig)
def export(
    given: dict[str, Any],
    weights: Weights,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Write weights in the form of another program.

    \b
    Examples:
      bandfuse export W --to vrt --scene a.tif -o f.vrt
      bandfuse export W --to pansharpen --scene a.tif --pan p.tif -o s.vrt
      bandfuse export W --to bandmathx --scene a.tif -o f.txt
      bandfuse export W --to csv -o w.csv
      bandfuse export W --to json -o w.json
      bandfuse export W --to numpy -o w.npz
      bandfuse export W --to srf -o responses.csv
      bandfuse export W --to sli -o w.sli
      bandfuse export W --to onnx -o w.onnx
      bandfuse export W --to pt2 -o w.pt2
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.export import export as tool

    result = tool(weights, settings(ExportConfig, given))
    if json:
        show.json(result.model_dump_json())
        return
    proved = "" if result.difference is None else f"; GDAL reads it alike, to {result.difference:.1g} of the range"
    show.line(f"{result.output} written: {show.count(len(result.outputs), 'output')}{proved}")


@app.command()
def batch(
    file: Annotated[str, typer.Argument(metavar="CONFIG", help="Batch file, in YAML.")],
    set_: Sets = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes on this machine.", show_default="1")
    ] = None,
    dask: Annotated[bool, typer.Option("--dask", help="Workers of a Dask cluster on this machine.")] = False,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler: tcp://host:8786.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, and do nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do everything again.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop after the first failure.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that this batch has not made, too.")
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train, apply and evaluate many scenes by one file. The same command again goes on where it was.

    \b
    Examples:
      bandfuse batch configs/batch_many_scenes.yaml --dry-run
      bandfuse batch configs/batch_many_scenes.yaml --workers 4
    """
    show.set_level(verbose, quiet)
    from bandfuse.batches import batch as tool
    from bandfuse.cli import show_batch as board

    does = {
        "workers": workers, "dask": dask, "scheduler": scheduler, "fresh": fresh, "fail_fast": fail_fast,
        "overwrite": overwrite,
    }  # fmt: skip
    require_meaning(does, "dry_run", dry_run, values=(False,))
    if dry_run:
        made = tool.dry_run(file, set_ or [])
        show.json(made.model_dump_json()) if json else board.show_plan(made)
        return
    show.Ended.now = "what is finished is kept, and the same command goes on with the rest"
    with board.watching() as watch:
        result = tool.batch(file, sets=set_ or [], watch=watch, **does)  # type: ignore[arg-type]
    if json:
        show.json(result.model_dump_json())
    else:
        board.show_result(result)
    if result.failed:
        raise typer.Exit(1)


@app.command()
def schema(
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Print the JSON schema of a batch file: editors complete and check from it.

    \b
    Examples:
      bandfuse schema > bandfuse.schema.json
    """
    show.set_level(verbose, quiet)
    import json as text

    from bandfuse.batches.settings import schema as made

    show.json(text.dumps(made(), indent=1))


@app.command()
def info(
    scenes: Annotated[
        list[str] | None, typer.Argument(help="Raster files, product files or folders.", metavar="SCENE...")
    ] = None,
    formats: Annotated[bool, typer.Option("--formats", help="List what can be opened, and what to give.")] = False,
    groups: Annotated[
        str | None, typer.Option("--groups", metavar="SPEC", help="Preview groups: equal:8, regions, 450-520nm.")
    ] = None,
    wavelengths: Wavelengths = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show what bandfuse sees in files: bands, wavelengths, bad bands, nodata, scale.

    \b
    Examples:
      bandfuse info cube.tif --groups equal:8
      bandfuse info --formats
    """
    show.set_level(verbose, quiet)
    require_meaning({"groups": groups, "wavelengths": wavelengths}, "formats", formats, values=(False,))
    if formats:
        if scenes:
            raise ConfigError(
                "--formats lists what can be opened, and reads no SCENE", got=shorten(scenes), remedy="Leave one out."
            )
        show_all_formats(json)
        return
    from bandfuse.tools.info import info as tool

    result = tool(scenes or [], groups, wavelengths)
    if json:
        show.json(result.model_dump_json(exclude=None if result.groups else {"groups"}))
        return
    from bandfuse.cli.show_rasters import show_info

    show_info(result, every_band=verbose)


def show_all_formats(json: bool) -> None:
    """What can be opened."""
    from bandfuse.cli.show_rasters import show_formats
    from bandfuse.tools.info import formats

    if json:
        show.json(formats().model_dump_json())
    else:
        show_formats(formats())


@app.command()
def check(
    scene: Annotated[str, typer.Argument(help="Raster file.", metavar="SCENE")],
    target: Annotated[str | None, typer.Argument(help="Target to train on.", metavar="[TARGET]")] = None,
    wavelengths: Wavelengths = None,
    nodata: Annotated[
        str | None,
        typer.Option("--nodata", metavar="V[,V...]", help="Value that means missing, or one per band, or none."),
    ] = None,
    scale: Annotated[float | None, typer.Option("--scale", help="With --fix: value = stored * scale.")] = None,
    fix: Annotated[
        str | None, typer.Option("--fix", metavar="OUT.vrt", help="Write a GDAL VRT with the metadata put right.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing VRT.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Which parts of a large scene are looked at.", min=0)] = 0,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Name what is odd about a scene, or a scene and its target. Exit code 1: something needs a decision.

    \b
    Examples:
      bandfuse check cube.img target.tif
      bandfuse check cube.img --nodata -9999 --fix cube.vrt
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.check import check as tool
    from bandfuse.tools.check import look_text

    result = tool(scene, target, wavelengths=wavelengths, nodata=nodata, scale=scale, fix=fix, overwrite=overwrite,
                  seed=seed)  # fmt: skip
    if json:
        show.json(result.model_dump_json(exclude={"fixed"} if result.fixed is None else None))
    else:
        from bandfuse.cli.show_rasters import show_findings

        show_findings(result, look_text(result))
    if result.decisions:
        raise typer.Exit(1)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="[DIR]")] = Path("bandfuse-demo"),
    seed: Annotated[int, typer.Option("--seed", help="Seed of the scene.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier demo.")] = False,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Make a scene with a known answer, train on it, apply the weights, and print how close they came.

    \b
    Examples:
      bandfuse demo
      bandfuse demo elsewhere --seed 3
    """
    show.set_level(verbose, quiet)
    from bandfuse.tools.demo import demo as tool

    result = tool(folder, seed=seed, overwrite=overwrite, progress=show.progress())
    if json:
        show.json(result.model_dump_json())
        return
    show.table(list(result.rows[0]), [row.values() for row in result.rows], "Learned against true weights")
    show.line(f"Open {result.folder}/run/report.html, and {result.folder}/fused.tif in QGIS.")
