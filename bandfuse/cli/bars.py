"""Bars: the one live display of a command, on stderr: a bar for each step that is counted, and
between them a line that says the command is at work."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from bandfuse.files.textfile import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

T = TypeVar("T")

WIDE = 60
"""Columns of a terminal in which a bar has its full width."""

OTHERS = 16
"""Columns that the share and the time take, with the spaces between."""

PATIENCE = 1.0
"""Seconds that a command may take before it says that it is at work."""


class LiveBars:
    """The bars of one command on a console; they are gone when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._lock = threading.RLock()
        self._steps = 0
        self._base: Any = None
        self._timer: threading.Timer | None = None

    def bar(self, items: Iterable[T], total: int, label: str) -> Iterator[T]:
        """The same items, with a bar while they pass; one item alone has no length, and pulses."""
        task = self._begin(label, total if total != 1 else None)
        try:
            for item in items:
                yield item
                self._advance(task)
        finally:
            self._end(task)

    @contextmanager
    def working(self, label: str) -> Iterator[None]:
        """Within this, the command says that it is at work wherever no bar does."""
        self._timer = threading.Timer(PATIENCE, self._show_base, [label])
        self._timer.daemon = True
        self._timer.start()
        try:
            yield
        finally:
            self.rest()

    def rest(self) -> None:
        """Take everything off the screen, and leave it to others."""
        with self._lock:
            timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            self._stop()

    def _stop(self) -> None:
        bars, self._bars, self._base = self._bars, None, None
        if bars is not None:
            bars.stop()

    def print(self, text: Any) -> bool:
        """Print above the bars; False if there are none."""
        with self._lock:
            if self._bars is None:
                return False
            self._console.print(text, soft_wrap=True)
            return True

    def _show_base(self, label: str) -> None:
        with self._lock:
            if self._timer is None:
                return
            self._base = self._live().add_task(label, total=None, visible=not self._steps)

    def _begin(self, label: str, total: int | None) -> Any:
        from rich.markup import escape

        with self._lock:
            self._steps += 1
            task = self._live().add_task(escape(shown(label)), total=total)
            self._update_base()
            return task

    def _advance(self, task: Any) -> None:
        with self._lock:
            if self._bars is not None and task in self._bars.task_ids:
                self._bars.advance(task)

    def _end(self, task: Any) -> None:
        with self._lock:
            self._steps -= 1
            if self._bars is None or task not in self._bars.task_ids:
                return
            self._bars.remove_task(task)
            self._update_base()
            if not self._bars.task_ids:
                self._stop()

    def _update_base(self) -> None:
        if self._bars is not None and self._base is not None:
            self._bars.update(self._base, visible=not self._steps)

    def _live(self) -> Bars:
        """The display, started if it is not there."""
        if self._bars is None:
            self._bars = _columns(self._console)
            self._bars.start()
        return self._bars


def _columns(console: Console) -> Bars:
    """A display with a label, a bar, its share and a time: the time left, or the time that has
    passed where nobody knows how much is left."""
    from rich.progress import (
        BarColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.table import Column

    class Time(TimeRemainingColumn):
        def render(self, task: Any) -> Any:
            known = task.total is not None
            return super().render(task) if known else TimeElapsedColumn().render(task)

    width = 20 if console.width >= WIDE else 8
    rest = width + OTHERS
    cell = Column(no_wrap=True, overflow="ellipsis", max_width=max(console.width - rest, 8))
    label = TextColumn("{task.description}", table_column=cell)
    columns = (label, BarColumn(bar_width=width), TaskProgressColumn(), Time())
    return Bars(*columns, console=console, transient=True)
