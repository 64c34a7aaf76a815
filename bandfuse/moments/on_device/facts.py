"""Facts: counts and extremes of the pixels of a pass, which stay on the device until its end."""

from __future__ import annotations

import numpy as np
import torch

from bandfuse.moments.census import Census
from bandfuse.moments.on_device.card import filled
from bandfuse.moments.on_device.cells import Cells
from bandfuse.moments.tally import Question, Tally

PICK = (torch.amin, torch.amax)
"""What finds extremes, of the low side and of the high."""


def count(flags: torch.Tensor) -> torch.Tensor:
    """(C, D) how many of (C, D, n) flags are set, eight at once: so many bytes as are added here
    cannot overflow."""
    eight = flags.view(torch.int64).view(*flags.shape[:2], -1, 128).sum(-1)
    return eight.view(torch.uint8).sum(-1)


class Facts:
    """The census of D variables and the counts of a tally; exact, in any order of the batches."""

    def __init__(self, question: Question, device: torch.device) -> None:
        q, size = question, question.n_bands + question.n_targets
        self._question = q
        self._used = torch.tensor(q.used, dtype=torch.long, device=device)
        self._all = list(q.used) == list(range(q.n_bands))
        self._ends = [filled(device, size, value=end) for end in (np.inf, -np.inf)]
        self._at_ends = [filled(device, size, dtype=torch.int64) for _ in self._ends]
        self._valid = filled(device, size, dtype=torch.int64)
        self._high = filled(device, size, value=-np.inf)
        # seen, used, band missing, lacking
        self._counts = filled(device, 4, dtype=torch.int64)

    def add(self, z: torch.Tensor, cells: Cells) -> torch.Tensor:
        """Count a batch of (C, D, n) numbers. (C, n) pixels that are used."""
        q, room = self._question, cells.room
        finite = torch.abs(z, out=room) < np.inf
        inside, bands = cells.inside.flatten(1), finite[:, : q.n_bands]
        bands_ok = inside & (bands if self._all else bands[:, self._used]).all(1)
        ok: torch.Tensor = bands_ok & finite[:, q.n_bands :].all(1)
        flags = [bands.any(1), ok, inside & ~bands_ok, bands_ok & ~ok]
        self._counts += torch.stack([flag.sum() for flag in flags])
        self._valid += count(finite).sum(0)
        thin, looks = cells.thin[:, :1].expand(-1, len(z[0]), -1), cells.thin[:, 1:]
        looked = (finite.gather(2, thin) * looks).sum(-1)
        for side, nothing in enumerate((np.inf, -np.inf)):
            room.copy_(z).masked_fill_(~finite, nothing)
            ends = PICK[side](room, -1)
            at_end = z == ends[:, :, None]
            few = (at_end.gather(2, thin) * looks).sum(-1)
            many = (few > 0) & (2 * few >= looked)
            self._merge(side, ends, count(at_end) * many)
        room.copy_(z).masked_fill_(~ok[:, None], -np.inf)
        self._high = torch.maximum(self._high, room.amax((0, 2)))
        return ok

    def _merge(self, side: int, ends: torch.Tensor, counts: torch.Tensor) -> None:
        """Add (C, D) extremes on one side, and how many values of each cell are there."""
        before = self._ends[side]
        whole = PICK[side](torch.cat([before[None], ends]), 0)
        self._at_ends[side] = self._at_ends[side] * (before == whole)
        self._at_ends[side] += (counts * (ends == whole)).sum(0)
        self._ends[side] = whole

    def into(self, tally: Tally) -> None:
        """Add what was counted to a tally."""
        seen, used, band_missing, lacking = (int(n) for n in self._counts.cpu())
        low, high = (ends.cpu().numpy() for ends in self._ends)
        at_low, at_high = (counts.cpu().numpy() for counts in self._at_ends)
        tally.census += Census(seen, self._valid.cpu().numpy(), low, high, at_low, at_high)
        tally.high = np.maximum(tally.high, self._high.cpu().numpy()[self._question.joint])
        tally.used += used
        tally.invalid["band missing"] += band_missing
        name = self._question.lacking
        tally.invalid[name] = tally.invalid.get(name, 0) + lacking
