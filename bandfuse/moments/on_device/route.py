"""Route: a pass on a torch device. Windows travel in order, whole and as stored; all that is
computed of their pixels is computed there, in batches of one shape, so that its bits do not depend
on what was read at once. Of moments only those of whole blocks come back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bandfuse.moments.moments import Moments
from bandfuse.moments.on_device.card import NO_ROOM, Lanes, forget, no_room, prepare, there
from bandfuse.moments.on_device.cells import Arrived, Cells, Form
from bandfuse.moments.on_device.facts import Facts
from bandfuse.moments.on_device.sums import (
    Columns,
    Key,
    bytes_of,
    differences,
    moments_of,
    rows_for,
)
from bandfuse.moments.on_device.windows import NO_STRATUM, Place, Read, Stored, read_window
from bandfuse.moments.slopes import ON_CPU
from bandfuse.moments.tally import NOISE, Question, Tally, ended_blocks, reservoir_of
from bandfuse.streaming.blocks import pieces
from bandfuse.streaming.stream import Source
from bandfuse.streaming.windows import CELL_PIXELS, Window

LANE_BYTES = 128 * 2**20
"""What travels at once, if it is more than one cell."""

BATCH_BYTES, MOST_CELLS = 96 * 2**20, 64
"""Cells are computed together while they take less as float64, and at most so many."""

COLUMN_BYTES = 128 * 2**20
"""Moments of columns that stay on the device."""

MOST_BYTES = 2 * 2**30
"""What a pass may take of the device's memory."""


def variables(question: Question) -> int:
    """All that is read of a pixel: bands and targets."""
    return question.n_bands + question.n_targets


def batch_cells(question: Question) -> int:
    """Cells that are computed together, a power of two: it depends on the number of variables
    only."""
    most = min(MOST_CELLS, BATCH_BYTES // (8 * CELL_PIXELS * variables(question)))
    return 1 << (max(1, most).bit_length() - 1)


def device_bytes(question: Question) -> int:
    """The most that a pass takes of the device's memory at once, at any size of the scene.

    That is two buffers of windows; seven times the batch in float64 (its numbers, room to work in,
    the variables of a product, differences along rows and columns, their float32, and flags); the
    moments of columns and, while their room grows, a copy; a dozen times the moments of a batch."""
    count, pixel = batch_cells(question), variables(question)
    lanes = 2 * max(LANE_BYTES, CELL_PIXELS * (9 * pixel + 9))
    work = count * CELL_PIXELS * (7 * 8 * pixel + 10)
    sizes = [question.size, *([len(question.used)] if question.noise else [])]
    columns = sum(2 * bytes_of(d) * rows_for(d, COLUMN_BYTES, count) for d in sizes)
    return lanes + work + columns + 12 * count * bytes_of(max(sizes))


def cpu_because(question: Question) -> str:
    """Why a pass is better left to the CPU; empty if the device can do it."""
    device = question.gram.device
    if torch.device(device).type == "mps":
        return f"{device} has no float64"
    if question.slopes:
        return ON_CPU
    if (size := device_bytes(question)) > MOST_BYTES:
        gib = size / 2**30
        many = f"{variables(question)} bands and targets"
        return f"{many} need {gib:.1f} GB on {device}; at most 2 are used"
    return ""


class OnDevice:
    """The pass of one scene, of at most so many pixels, on the device that the question names."""

    def __init__(self, question: Question, most: int) -> None:
        self._question, self._device = question, prepare(question.gram.device)
        self._tally = Tally.zero(question)
        self._drawn = reservoir_of(question, most)
        self._placed: list[Place] = []
        self._form: Form | None = None
        self._row = 0
        self._blocks: set[int] = set()
        self._columns_of: dict[tuple[int, int], set[int]] = defaultdict(set)
        with self._room_for("a batch of cells"):
            self._make_room()

    def _make_room(self) -> None:
        """All that has one size during the pass."""
        q, device, count = self._question, self._device, batch_cells(self._question)
        self._lanes = Lanes(device)
        self._cells = Cells(count, variables(q), device)
        self._facts = Facts(q, device)
        vars_ = list(q.used) if q.classes else q.joint
        self._variables = there(vars_, device, torch.long)
        self._all = vars_ == list(range(variables(q)))
        self._used = there(q.used, device, torch.long)
        self._sums = Columns(q.size, rows_for(q.size, COLUMN_BYTES, count), device)
        self._noise = Columns(len(q.used), rows_for(len(q.used), COLUMN_BYTES, count), device)

    @contextmanager
    def _room_for(self, what: str) -> Iterator[None]:
        """An error that a user understands where the device has no memory left."""
        try:
            yield
        except NO_ROOM as error:
            raise no_room(self._question.gram.device, what) from error

    def read(self, source: Source, window: Window) -> Read:
        """Read a window in its stored types."""
        return read_window(source, window, self._question, self._drawn.bound)

    def add(self, window: Window, part: Read) -> None:
        """Send a window to the device, and compute the batches that it fills."""
        tally, q = self._tally, self._question
        self._row = window.row
        self._blocks |= {piece.block for piece in pieces(window, q.grid)}
        for reason, count in part.excluded.items():
            tally.invalid[reason] = tally.invalid.get(reason, 0) + count
        self._drawn.add(part.pixels)
        if not part.stored.layers:
            return
        form = Form.of(part.stored.layers)
        if self._form is None or not form.same_as(self._form):
            self._compute()
            self._form = form
        for stored, arrived in self._sent(part.stored):
            for place in stored.places(q):
                if len(self._placed) == len(self._cells.z):
                    self._compute()
                self._cells.place(len(self._placed), place.cell, arrived)
                self._placed.append(place)
            self._lanes.used()

    def _sent(self, stored: Stored) -> Iterator[tuple[Stored, Arrived]]:
        """A window on the device; in halves, from top to bottom, where there is less room."""
        waiting = [stored]
        while waiting:
            part = waiting.pop(0)
            arrived = self._try_to_send(part)
            if arrived is None:
                waiting = [*part.halves(), *waiting]
            else:
                yield part, arrived

    def _try_to_send(self, stored: Stored) -> Arrived | None:
        """A window on the device; None if it is to be halved."""
        if stored.nbytes > LANE_BYTES and stored.halves():
            return None
        try:
            return _arrived(stored, self._lanes.send(stored.arrays))
        except NO_ROOM as error:
            forget(self._device)
            if not stored.halves():
                raise no_room(self._question.gram.device, "one cell") from error
            return None

    def _compute(self) -> None:
        """Compute the cells that are placed, and give back what they end."""
        if not self._placed or self._form is None:
            return
        with self._room_for("what is computed of a batch of cells"):
            z = self._cells.numbers(self._form)
            ok = self._facts.add(z, self._cells)
            if self._question.noise:
                self._add_noise(z, ok)
            self._add_strata(z, ok)
        self._cells.clear()
        self._placed = []
        self._finish(self._row)

    def _add_noise(self, z: torch.Tensor, ok: torch.Tensor) -> None:
        """The moments of differences of neighbours, along rows and along columns."""
        across, down = (
            moments_of(*both, self._question.gram) for both in differences(z[:, self._used], ok)
        )
        keys = [self._key(place, NOISE) for place in self._placed]
        self._noise.add(keys, across.plus(down))

    def _add_strata(self, z: torch.Tensor, ok: torch.Tensor) -> None:
        """The moments of each cell, apart for each of its strata."""
        gram, count = self._question.gram, len(z)
        if not (self._question.classes or self._question.random_parts):
            some = z if self._all else z[:, self._variables]
            keys = [self._key(place, 0) for place in self._placed]
            self._sums.add(keys, moments_of(some, ok, gram))
            return
        slots = [(i, s) for i, place in enumerate(self._placed) for s in place.strata]
        strata = self._cells.strata.flatten(1)
        for start in range(0, len(slots), count):
            now = slots[start : start + count]
            padded = [*now, *[(0, NO_STRATUM + 1)] * (count - len(now))]
            cell = there([i for i, _ in padded], self._device, torch.long)
            stratum = there([s for _, s in padded], self._device, torch.long)
            kept = ok[cell] & (strata[cell] == stratum[:, None])
            some = z[cell[:, None], self._variables]
            keys = [self._key(self._placed[i], s) for i, s in now]
            self._sums.add(keys, moments_of(some, kept, gram))

    def _key(self, place: Place, stratum: int) -> Key:
        """Where the moments of a stratum of a cell are added up."""
        self._columns_of[place.block, stratum].add(place.column)
        return place.block, stratum, place.column

    def _finish(self, row: int) -> None:
        """Take the moments of the blocks that end above a row."""
        ended = ended_blocks(self._columns_of, self._question.grid, row)
        groups = {
            (b, s): [(b, s, column) for column in sorted(self._columns_of.pop((b, s)))]
            for b, s in ended
        }
        noise = {key: keys for key, keys in groups.items() if key[1] == NOISE}
        others = {key: keys for key, keys in groups.items() if key[1] != NOISE}
        with self._room_for("moments of blocks"):
            found = {**self._sums.totals(others), **self._noise.totals(noise)}
        self._tally.strata.update(found)

    def result(self) -> Tally:
        """The tally, in numpy."""
        self._compute()
        self._finish(self._question.grid.row_edges[-1])
        if self._form is not None:
            self._facts.into(self._tally)
        self._tally.strata = self._as_found()
        self._tally.pixels = self._drawn.pixels()
        return self._tally

    def _as_found(self) -> dict[tuple[int, int], Moments]:
        """The strata that have pixels, as on the CPU: without classes and random parts each block
        that was seen has moments, of no pixels if none counts there."""
        q, strata = self._question, self._tally.strata
        used = {block for (block, s), m in strata.items() if s != NOISE and m.count}
        kept = {
            (block, s): moments
            for (block, s), moments in strata.items()
            if block in used and (moments.count or s == NOISE)
        }
        if not (q.classes or q.random_parts):
            kept |= {(block, 0): Moments.zero(q.size) for block in self._blocks - used}
        return dict(sorted(kept.items()))


def _arrived(stored: Stored, sent: list[torch.Tensor]) -> Arrived:
    """What arrived of a window, by what it is."""
    left = iter(sent)
    layers = [(next(left), None if x.mask is None else next(left)) for x in stored.layers]
    inside = None if stored.inside is None else next(left)
    strata = None if stored.strata is None else next(left)
    return Arrived(stored.window, [s for s, _ in layers], [m for _, m in layers], inside, strata)
