"""Judging: commands that score, show and hand on what a training left."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from bandfuse.cli import show
from bandfuse.cli.declaring import Outcome, command
from bandfuse.cli.flags import Weights

if TYPE_CHECKING:
    from bandfuse.config.commands import CompareConfig, EvaluateConfig, ExportConfig, ReportConfig


@command("EvaluateConfig")
def evaluate(weights: Weights, settings: EvaluateConfig) -> Outcome:
    """Score saved weights against the target, or the labels, of another image;
    or a sharpened cube against the true one.

    \b
    Examples:
      bandfuse evaluate run other.tif --target other_ms.tif
      bandfuse evaluate run other.tif --labels fields.gpkg
      bandfuse evaluate sharpen_run --target true_cube.tif
      bandfuse evaluate sharpen_run sharpened.tif --target true_cube.tif
    """
    from bandfuse.tools.evaluate import evaluate as tool

    result = tool(weights, settings, show.progress())
    display = partial(show.evaluated, result)
    if result.sharpened is not None:
        from bandfuse.cli.show_sharpen import show_scored

        display = partial(show_scored, result, result.sharpened)
    empty = {name for name in ("classification", "sharpened") if getattr(result, name) is None}
    return Outcome(result, display, result.messages, hidden=frozenset(empty))


@command("ReportConfig")
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


@command("CompareConfig")
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


@command("ExportConfig")
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
