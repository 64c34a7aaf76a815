"""Commands: each takes its settings, calls a tool and shows the result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Context
from typer.core import TyperGroup

from bandfuse.cli import show, streams
from bandfuse.cli.help import ALL, GENERAL, Command
from bandfuse.cli.options import flags_of, keyword, read_settings, taking
from bandfuse.config.base import Config
from bandfuse.config.commands import (
    ApplyConfig,
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    ReportConfig,
    ResampleConfig,
    SharpenConfig,
)
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError, shorten
from bandfuse.needs import require_meaning
from bandfuse.results.base import Result

app = typer.Typer(rich_markup_mode=None)

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


CONFIG = "bandfuse.yaml"
"""The config that ``init`` writes."""

EVERY = (
    keyword("json", Json, default=False),
    keyword("verbose", Verbose, default=False),
    keyword("quiet", Quiet, default=False),
    keyword("log_file", LogFile),
)
"""Flags of every command that shows a result."""

FILE = (keyword("config", ConfigFile), keyword("set_", Sets))
"""Flags of commands whose settings can stand in a file."""


@dataclass(frozen=True)
class Outcome:
    """What a command leaves: a result, the function that shows it to people, and remarks.

    ``hidden``: fields that ``--json`` does not print. ``failed``: the exit code is 1.
    """

    result: Result
    display: Callable[[], None]
    remarks: Sequence[str] = ()
    hidden: frozenset[str] = frozenset()
    failed: bool = False

    def end(self, *, json: bool) -> None:
        """Show the result, as JSON or to people; then the remarks, which no table scrolls away."""
        if json:
            show.json(self.result.model_dump_json(exclude=set(self.hidden)))
        else:
            self.display()
        show.remarks(self.remarks)
        if self.failed:
            raise typer.Exit(1)


def command(
    model: type[Config] | None = None, *, from_file: bool = False
) -> Callable[[Callable[..., Outcome]], Callable[..., None]]:
    """Make a command of a function that returns an outcome.

    Its own parameters come first. Those of ``EVERY`` follow, and one flag per field of ``model``,
    of which the function gets ``settings``. ``from_file``: settings can stand in a file too; the
    function gets its path as ``keep``, so that no output takes its place.
    """

    def decorate(function: Callable[..., Outcome]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True).parameters.values()
        own = [p for p in signature if p.name not in ("settings", "keep")]
        fields = [] if model is None else flags_of(model)
        most = () if model is None else model.most_used
        most += ("config",) if most and from_file else ()

        def run(
            *, json: bool, verbose: bool, quiet: bool, log_file: str | None, **values: Any
        ) -> None:
            show.set_level(verbose, quiet)
            values.pop("help_all")
            file = values.pop("config") if from_file else None
            if model is not None:
                flags = {name: values.pop(name) for name in model.model_fields}
                sets = values.pop("set_") if from_file else None
                values["settings"] = read_settings(model, flags, file, sets)
            if from_file:
                values["keep"] = [] if file is None else [Path(file)]
            with show.working(f"bandfuse {function.__name__}"):
                outcome = function(**values)
            outcome.end(json=json)

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        whole = keyword("help_all", Annotated[bool, WholeHelp(hidden=not most)], default=False)
        flags = [*own, *fields, *(FILE if from_file else ()), *EVERY, whole]
        kind = type("Command", (Command,), {"most_used": most})
        return app.command(cls=kind)(taking(run, flags))

    return decorate


@command(TrainConfig, from_file=True)
def train(
    settings: TrainConfig,
    keep: list[Path],
    dry_run: Annotated[
        bool,
        Option(
            "--dry-run",
            help="Say what will be read, learned and written, and roughly how long it takes; read "
            "no pixel, and write nothing.",
        ),
    ] = False,
) -> Outcome:
    """Learn weights from image files; write a run folder with weights, fused rasters and a report.

    \b
    Examples:
      bandfuse train cube.tif --target ms.tif -o run
      bandfuse train cube.tif --groups equal:8 -o run
      bandfuse train --source a=a.tif --source b=b.tif --target t.tif \\
          --fuse across --weights scalar --constraint affine -o run
    """
    from bandfuse.tools.train import dry_run as plan_of
    from bandfuse.tools.train import train as tool

    if dry_run:
        from bandfuse.cli.show_plan import show_plan

        plan = plan_of(settings, keep=keep)
        return Outcome(plan, partial(show_plan, plan), plan.messages)
    report, messages = tool(settings, show.progress(), keep=keep)
    page = not settings.no_report
    return Outcome(report, partial(show.trained, report, str(settings.output), page=page), messages)


@command(ApplyConfig, from_file=True)
def apply(weights: Weights, settings: ApplyConfig, keep: list[Path]) -> Outcome:
    """Fuse rasters of any size with saved weights.

    \b
    Examples:
      bandfuse apply run other.tif -o fused.tif
      bandfuse apply run fused.tif --inverse -o cube.tif
      bandfuse apply run enmap.tif --resample -o fused.tif
    """
    from bandfuse.tools.apply import apply as tool

    result = tool(weights, settings, show.progress(), keep=keep)
    return Outcome(result, partial(show.applied, result), result.messages)


@command(ResampleConfig, from_file=True)
def resample(settings: ResampleConfig, keep: list[Path]) -> Outcome:
    """Make the bands of a known sensor from cubes, by its published responses; nothing is learned.

    \b
    Examples:
      bandfuse resample cube.tif --sensor sentinel-2a -o s2.tif
      bandfuse resample cube.tif --sensor mine.csv --weights-only -o w.safetensors
    """
    from bandfuse.cli.show_rasters import show_resampled
    from bandfuse.tools.resample import resample as tool

    result = tool(settings, show.progress(), keep=keep)
    return Outcome(result, partial(show_resampled, result), result.messages)


@command(SharpenConfig, from_file=True)
def sharpen(settings: SharpenConfig, keep: list[Path]) -> Outcome:
    """Bring a cube to the resolution of a sharper image, by learned gains; write a run folder.

    \b
    Examples:
      bandfuse sharpen cube.tif pan.tif -o run
      bandfuse sharpen other.tif other_pan.tif --weights run -o sharp.tif
    """
    from bandfuse.cli.show_rasters import show_sharpened
    from bandfuse.tools.sharpen import sharpen as tool

    result = tool(settings, show.progress(), keep=keep)
    return Outcome(result, partial(show_sharpened, result), result.messages)


@command(EvaluateConfig)
def evaluate(weights: Weights, settings: EvaluateConfig) -> Outcome:
    """Score saved weights against the target, or the labels, of another image.

    \b
    Examples:
      bandfuse evaluate run other.tif --target other_ms.tif
      bandfuse evaluate run other.tif --labels fields.gpkg
    """
    from bandfuse.tools.evaluate import evaluate as tool

    result = tool(weights, settings, show.progress())
    empty = frozenset({"classification"} if result.classification is None else ())
    return Outcome(result, partial(show.evaluated, result), result.messages, hidden=empty)


@command(ReportConfig)
def report(
    run: Annotated[str, Argument(help="Folder of a run.", metavar="RUN")], settings: ReportConfig
) -> Outcome:
    """Make the page of a run again, from what the run folder holds: no image is read.

    \b
    Examples:
      bandfuse report run --overwrite
      bandfuse report run -o report.html --figures figures
    """
    from bandfuse.tools.report import make_report as tool

    result = tool(run, settings)
    return Outcome(result, partial(show.reported, result), result.messages)


@command(CompareConfig)
def compare(
    runs: Annotated[list[str], Argument(help="Folders of runs.", metavar="RUN RUN...")],
    settings: CompareConfig,
) -> Outcome:
    """Put runs side by side: scores, constraints, weights.

    \b
    Examples:
      bandfuse compare run1 run2 -o compared.html
    """
    from bandfuse.tools.compare import compare as tool

    result = tool(runs, settings)
    return Outcome(result, partial(show.compared, result), result.messages)


@command(ExportConfig)
def export(weights: Weights, settings: ExportConfig) -> Outcome:
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
    from bandfuse.tools.export import export_weights as tool

    result = tool(weights, settings)
    return Outcome(result, partial(show.exported, result), result.messages)


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


@app.command(cls=Command)
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


@command()
def info(
    scenes: Annotated[
        list[str] | None,
        Argument(
            help="Raster files, products, folders of them, or a pattern in quotes.", metavar="SCENE"
        ),
    ] = None,
    formats: Annotated[
        bool, Option("--formats", help="List what can be opened, and what to give.")
    ] = False,
    groups: Annotated[
        str | None,
        Option("--groups", help="Preview groups: equal:8, regions, 450-520nm.", metavar="SPEC"),
    ] = None,
    wavelengths: Wavelengths = None,
) -> Outcome:
    """Show what bandfuse sees in files: bands, wavelengths, bad bands, nodata, scale.

    \b
    Examples:
      bandfuse info cube.tif --groups equal:8
      bandfuse info --formats
    """
    from bandfuse.cli.show_rasters import show_formats, show_info
    from bandfuse.tools import info as tool

    others = {"groups": groups, "wavelengths": wavelengths}
    require_meaning(others, "formats", formats, values=(False,))
    if formats:
        if scenes:
            raise ConfigError(
                "--formats lists what can be opened, and reads no SCENE",
                got=shorten(scenes),
                remedy="Leave one out.",
            )
        known = tool.formats()
        return Outcome(known, partial(show_formats, known))
    result = tool.info(scenes or [], groups, wavelengths)
    empty = {name for name in ("groups", "vectors") if not getattr(result, name)}
    return Outcome(result, partial(show_info, result), hidden=frozenset(empty))


@command()
def check(
    scene: Annotated[str, Argument(help="Raster file.", metavar="SCENE")],
    target: Annotated[str | None, Argument(help="Target to train on.", metavar="TARGET")] = None,
    wavelengths: Wavelengths = None,
    nodata: Annotated[
        str | None,
        Option(
            "--nodata",
            help="Value that means missing, or one per band, or none.",
            metavar="V[,V...]",
        ),
    ] = None,
    scale: Annotated[
        float | None, Option("--scale", help="With --fix: value = stored * scale.")
    ] = None,
    fix: Annotated[
        str | None,
        Option("--fix", help="Write a GDAL VRT with corrected metadata.", metavar="OUT.vrt"),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing VRT.")] = False,
    seed: Annotated[
        int, Option("--seed", help="Which parts of a large scene are looked at.", min=0)
    ] = 0,
) -> Outcome:
    """Name what is odd about a scene, or a scene and its target.
    Exit code 1: something needs a decision.

    \b
    Examples:
      bandfuse check cube.img target.tif
      bandfuse check cube.img --nodata -9999 --fix cube.vrt
    """
    from bandfuse.cli.show_rasters import show_findings
    from bandfuse.tools.check import check as tool
    from bandfuse.tools.check import look_text

    declared = {"wavelengths": wavelengths, "nodata": nodata, "scale": scale}
    result = tool(scene, target, **declared, fix=fix, overwrite=overwrite, seed=seed)  # type: ignore[arg-type]
    return Outcome(
        result,
        partial(show_findings, result, look_text(result)),
        hidden=frozenset({"fixed"} if result.fixed is None else ()),
        failed=bool(result.decisions),
    )


@command()
def sensors(
    name: Annotated[
        str | None, Argument(help="A known sensor, or a CSV file with responses.", metavar="NAME")
    ] = None,
) -> Outcome:
    """List the known sensors; or show the bands of one, and draw their responses.

    \b
    Examples:
      bandfuse sensors
      bandfuse sensors sentinel-2a
      bandfuse sensors mine.csv --json
    """
    from bandfuse.cli.show_sensors import show_sensor, show_sensors
    from bandfuse.tools.sensors import sensor
    from bandfuse.tools.sensors import sensors as tool

    if name is None:
        every = tool()
        return Outcome(every, partial(show_sensors, every))
    one = sensor(name)
    return Outcome(one, partial(show_sensor, one))


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
