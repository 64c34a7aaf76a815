"""Runner: items in order of what they need. What is finished and unchanged is kept, failures stay
apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bandfuse.batches.fingerprints import checksum, claimed, is_own, unchanged, unclaim
from bandfuse.batches.item import Found
from bandfuse.batches.journal import Event, Journal, last_done
from bandfuse.batches.plan import Item, Plan
from bandfuse.batches.workers import WorkExecutor
from bandfuse.errors import BandfuseError
from bandfuse.results.batches import BatchItem

Watch = Callable[[Event], None]
"""Is told every event."""

TRIES = 2
"""How often an item is tried whose failure may be transient."""


def unwatched(event: Event) -> None:
    """Nobody looks."""


class BatchRun:
    """One run over a plan's items."""

    def __init__(
        self,
        plan: Plan,
        executor: WorkExecutor,
        journal: Journal,
        watch: Watch = unwatched,
        *,
        overwrite: bool = False,
    ) -> None:
        self._executor, self._journal, self._watch = executor, journal, watch
        self._done, self._overwrite = last_done(journal.before), overwrite
        self._rows: dict[str, list[BatchItem]] = {}
        self._items = {item.key: item for item in plan.items}
        self._ready = deque(item for item in plan.items if item.needs is None)
        self._behind: dict[str, list[Item]] = {}
        for item in plan.items:
            if item.needs is not None:
                self._behind.setdefault(item.needs, []).append(item)
        self._running: dict[Future[list[Found]], list[Item]] = {}
        self._tries: dict[str, int] = {}
        self._alone: deque[Item] = deque()
        self._events: list[Event] = []

    def __call__(self, *, fail_fast: bool = False) -> list[BatchItem]:
        """Do all items; their rows in order of the plan."""
        self._watch({"event": "planned", "items": len(self._items)})
        self._take_claims(self._items.values())
        finished = False
        try:
            self._do_all(fail_fast=fail_fast)
            finished = True
        finally:
            if not finished:
                with suppress(BandfuseError, OSError):
                    self._take_claims(self._items.values())
        return self.rows()

    def _do_all(self, *, fail_fast: bool) -> None:
        while self._ready or self._running or self._alone:
            self._give_out()
            self._flush()
            try:
                if self._running:
                    self._take_in()
            finally:
                self._flush()
            if fail_fast and any(
                row.state == "failed" for rows in self._rows.values() for row in rows
            ):
                self._stop()

    def rows(self) -> list[BatchItem]:
        """The rows of all items in order of the plan, at any moment: what has not come to its end
        is skipped."""
        return [
            row
            for item in self._items.values()
            for row in self._rows.get(item.key, [self._unfinished(item)])
        ]

    def _unfinished(self, item: Item) -> BatchItem:
        """The row of an item in a run that was interrupted."""
        running = any(item in items for items in self._running.values())
        reason = f"the run was interrupted {'while it ran' if running else 'before its turn'}"
        return BatchItem(job=item.job, scene=item.scene, state="skipped", reason=reason)

    def _give_out(self) -> None:
        """Fill the crew's slots; what a process died of is tried alone."""
        if self._alone and not self._running:
            self._start([self._alone.popleft()])
        while not self._alone and self._ready and len(self._running) < self._executor.slots:
            todo: list[Item] = []
            while self._ready and self._executor.takes(todo, self._ready):
                item = self._ready.popleft()
                before = self._done.get(item.key)
                if (
                    before is not None
                    and unchanged(before, item)
                    and self._source_is_same(item, before)
                ):
                    self._finish(item, "done", {**before, "kept": True})
                else:
                    todo.append(item)
            if todo:
                self._start(todo)

    def _source_is_same(self, item: Item, before: Event) -> bool:
        """The weights of an earlier item are those that were used."""
        return item.needs is None or bool(before.get("weights") == _sum_of(item.weights))

    def _start(self, items: list[Item]) -> None:
        self._take_claims(item for item in items if item.key in self._tries)
        given = [replace(item, own=self._is_own(item)) for item in items]
        for item in items:
            self._tries[item.key] = self._tries.get(item.key, 0) + 1
            self._say({"event": "started", "item": item.key, "try": self._tries[item.key]})
        self._flush()
        try:
            self._running[self._executor.give(given)] = items
        except (RuntimeError, OSError) as error:
            self._retry(items, error)

    def _is_own(self, item: Item) -> bool:
        """Whether whatever stands at the output may be replaced."""
        known = self._journal.own.get(item.key, ())
        return self._overwrite or all(is_own(output, known) for output in item.outputs)

    def _take_claims(self, items: Iterable[Item]) -> None:
        """Take into the journal what workers have left that ended suddenly, around the moment at
        which their outputs took their place."""
        found = {
            output: (item.key, fingerprints)
            for item in items
            for output in item.outputs
            if (fingerprints := claimed(output)) is not None
        }
        for key, fingerprints in found.values():
            self._say({"event": "claimed", "item": key, "outputs": fingerprints})
        self._flush()
        for output in found:
            unclaim(output)

    def _take_in(self) -> None:
        """What is done by now, one bundle at least."""
        for future in self._executor.wait(self._running):
            items = self._running.pop(future, None)
            if items is None:
                continue
            error = CancelledError("it was given up") if future.cancelled() else future.exception()
            if error is not None:
                self._executor.check()
                self._retry(items, error)
                continue
            for item, one in zip(items, future.result(), strict=True):
                self._judge(item, one)

    def _judge(self, item: Item, found: Found) -> None:
        if "reason" not in found:
            self._finish(
                item,
                "done",
                {**found, "settings": item.settings_hash, "weights": _sum_of(item.weights)},
            )
        elif found["transient"] and self._tries[item.key] < TRIES:
            self._say({"event": "retry", "item": item.key, "reason": found["reason"]})
            self._ready.appendleft(item)
        else:
            self._take_claims([item])
            self._finish(item, "failed", {"reason": found["reason"], "seconds": found["seconds"]})

    def _retry(self, lost: list[Item], error: BaseException) -> None:
        """Retry the items of a worker that died, one at a time. If a process of a pool died, all
        that was running is lost with it."""
        reason = f"the cluster lost it: {error or type(error).__name__}".splitlines()[0][:200]
        if isinstance(error, BrokenProcessPool):
            reason = "its worker process died: out of memory, or ended by the system"
            lost = [*lost, *(item for items in self._running.values() for item in items)]
            self._running.clear()
            self._executor.restart()
        for item in lost:
            if self._tries[item.key] < TRIES:
                self._alone.append(item)
            else:
                self._finish(item, "failed", {"reason": reason, "seconds": 0.0})

    def _finish(self, item: Item, state: str, found: Mapping[str, Any]) -> None:
        """Note the end of an item, and what follows for those that need it."""
        row = BatchItem(
            job=item.job,
            scene=item.scene,
            state=state,
            reason=str(found.get("reason", "")),
            seconds=float(found.get("seconds", 0.0)),
            outputs=[o["path"] for o in found.get("outputs", [])],
            scores=dict(found.get("scores", {})),
            kept=bool(found.get("kept", False)),
            messages=list(found.get("messages", [])),
        )
        broken: dict[str, str] = found.get("left_out", {})
        without = [
            BatchItem(job=item.job, scene=s, state="failed", reason=why)
            for s, why in broken.items()
        ]
        self._rows[item.key] = [row, *without]
        kept = found.get("kept", False)
        self._say({"event": "kept" if kept else state, "item": item.key, **({} if kept else found)})
        for scene, why in broken.items():
            self._say({"event": "left-out", "item": f"{item.key}/{scene}", "reason": why})
        for other in self._behind.get(item.key, ()):
            if state == "done":
                self._ready.append(other)
            else:
                self._finish(other, "skipped", {"reason": f"{item.key} made no weights"})

    def _stop(self) -> None:
        """Give nothing more out; what runs is waited for."""
        while self._running:
            self._take_in()
        for item in self._items.values():
            if item.key not in self._rows:
                self._rows[item.key] = [
                    BatchItem(
                        job=item.job,
                        scene=item.scene,
                        state="skipped",
                        reason="stopped after a failure",
                    )
                ]
        self._ready.clear()
        self._alone.clear()

    def _say(self, event: Event) -> None:
        self._events.append(event)
        self._watch(event)

    def _flush(self) -> None:
        self._journal.write(self._events)
        for event in self._events:
            if event["event"] == "done":
                for output in self._items[event["item"]].outputs:
                    unclaim(output)
        self._events.clear()


def _sum_of(weights: str | None) -> str:
    """SHA-256 of a weights file; empty for none."""
    return "" if weights is None or not Path(weights).is_file() else checksum(weights)
