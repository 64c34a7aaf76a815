"""Learning: commands that learn from images, or gather what learning needs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bandfuse.cli import show
from bandfuse.cli.declaring import Outcome, command
from bandfuse.cli.flags import Option

if TYPE_CHECKING:
    from bandfuse.config.moments import MomentsConfig
    from bandfuse.config.train import TrainConfig


@command("TrainConfig", from_file=True)
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


@command("MomentsConfig", from_file=True)
def moments(settings: MomentsConfig, keep: list[Path]) -> Outcome:
    """Gather what a training needs of image files, to learn from it later.
    bandfuse train --moments learns from the file without a pixel.

    \b
    Examples:
      bandfuse moments cube.tif --target ms.tif -o a.moments
      bandfuse train --moments a.moments --groups equal:8 -o run
      bandfuse moments cube.tif --least-pixels 500 -o a.moments
    """
    from bandfuse.cli.show_rasters import show_moments
    from bandfuse.tools.moments import gather_moments as tool

    result = tool(settings, show.progress(), keep=keep)
    return Outcome(result, partial(show_moments, result), result.messages)
