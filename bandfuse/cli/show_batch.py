"""Show batch: a batch as it runs, and what came of it, for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bandfuse.batches.doubts import doubt
from bandfuse.cli import show, streams
from bandfuse.files.textfile import shown
from bandfuse.results.batches import BatchItem, BatchPlan, BatchResult

Watch = Callable[[dict[str, Any]], None]

SHOWN = 6
"""At most so many running items, and failures, are shown at once."""


@contextmanager
def watching() -> Iterator[Watch]:
    """A live table in a terminal; a line per start and end of an item elsewhere; nothing when
    quiet."""
    if show.Level.now < 0 or not sys.stderr.isatty():
        yield _say
        return
    from rich.live import Live

    board = _Board()

    def both(event: dict[str, Any]) -> None:
        board(event)
        if text := _words(event):
            streams.log(shown(text))

    show.bars().rest()
    live = Live(board, console=show.err(), refresh_per_second=4, transient=True)
    try:  # an interruption while it starts leaves nothing on the screen either
        live.start()
        yield both
    finally:
        live.stop()


def _say(event: dict[str, Any]) -> None:
    """A line for what begins and what ended."""
    if text := _words(event):
        show.note(text)


def _words(event: dict[str, Any]) -> str:
    """What begins and what ended, with the reason of what failed; empty for other events."""
    kind = event["event"]
    if kind == "planned":
        return show.count(event["items"], "item")
    if kind in ("failed", "skipped", "retry", "left-out"):
        return f"{kind} {event['item']}: {event['reason']}"
    if kind == "started":
        return f"started {event['item']}" + (f", try {event['try']}" if event["try"] > 1 else "")
    return f"done {event['item']}: {event['seconds']:.1f} s" if kind == "done" else ""


class _Board:
    """Bar, counts, what runs now and what failed last."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._bars.add_task("batch", total=None)
        self._counts = dict.fromkeys(("done", "kept", "failed", "skipped"), 0)
        self._running: dict[str, None] = {}
        self._failures: list[str] = []

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "planned":
            self._bars.update(self._task, total=event["items"])
        elif kind == "started":
            self._running[event["item"]] = None
        elif kind in self._counts:
            self._running.pop(event["item"], None)
            self._counts[kind] += 1
            self._bars.advance(self._task)
        if kind in ("failed", "left-out"):
            self._failures.append(f"{event['item']}: {event['reason']}")

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=None, header_style="bold", pad_edge=False)
        for name in ("running", *self._counts):
            grid.add_column(name, justify="right")
        grid.add_row(str(len(self._running)), *map(str, self._counts.values()))
        now = [Text(f"  {shown(key)}", style="dim") for key in list(self._running)[:SHOWN]]
        failed = [Text(f"  failed {shown(text)}", style="red") for text in self._failures[-SHOWN:]]
        return Group(self._bars, grid, *now, *failed)


def show_plan(made: BatchPlan) -> None:
    """The items, their sizes, and how long it may take."""
    rows = [[i.job, i.kind, i.scene or "all", i.needs or "", i.size / 1e6] for i in made.items]
    show.table(["job", "kind", "scene", "needs", "MB"], rows[: show.MOST], words=4)
    show.more(len(rows) - show.MOST, "with --json")
    time = (
        "how long it takes is not known before a first run"
        if made.seconds is None
        else f"about {made.seconds:.0f} s with one worker"
    )
    show.line(
        f"{show.count(len(made.items), 'item')} into {made.output}; {made.size / 1e6:.1f} MB to "
        f"read; {time}"
    )


def show_result(result: BatchResult) -> None:
    """What did not come to its end, by name and reason; the counts; where the summary lies."""
    bad = [item for item in result.items if item.state != "done"]
    page = f"{result.output}/batch.html"
    if bad:
        rows = [[name_of(i), i.state, i.reason] for i in bad]
        show.table(["item", "state", "reason"], rows[: show.MOST], words=3)
        show.more(len(rows) - show.MOST, f"in {page}")
    doubts = [[name_of(i), "done", why] for i in result.items if (why := doubt(i))]
    if doubts:
        show.table(["item", "state", "doubt"], doubts[: show.MOST], words=3)
        show.more(len(doubts) - show.MOST, f"in {page}")
    kept = f" ({result.kept} of them earlier)" if result.kept else ""
    show.line(
        f"{result.done} done{kept}, {result.failed} failed, {result.skipped} skipped, "
        f"{result.seconds:.1f} s"
    )
    show.line(f"Open {page} in a browser.")


def name_of(item: BatchItem) -> str:
    """Job and scene."""
    return f"{item.job}/{item.scene}" if item.scene else item.job
