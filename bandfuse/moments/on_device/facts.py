"""Facts: counts and extremes of the pixels of a pass, which stay on the device until its end."""

from __future__ import annotations

import numpy as np
import torch

from bandfuse.moments.census import Census
from bandfuse.moments.on_device.card import filled
from bandfuse.moments.on_device.cells import Cells
from bandfuse.moments.tally import Question, Tally


class Facts:
    """The census of D variables and the counts of a tally; exact, in any order of the batches."""

    def __init__(self, question: Question, device: torch.device) -> None:
        q, size = question, question.n_bands + question.n_targets
        self._question = q
        self._used = torch.tensor(q.used, dtype=torch.long, device=device)
        self._joint = torch.tensor(q.joint, dtype=torch.long, device=device)
        self._ends = [filled(device, size, value=end) for end in (np.inf, -np.inf)]
        self._at_ends = [filled(device, size, dtype=torch.int64) for _ in self._ends]
        self._valid = filled(device, size, dtype=torch.int64)
        self._high = filled(device, len(q.joint), value=-np.inf)
        # seen, used, band missing, lacking
        self._counts = filled(device, 4, dtype=torch.int64)

    def add(self, z: torch.Tensor, cells: Cells) -> torch.Tensor:
        """Count a batch of (C, D, n) numbers. (C, n) pixels that are used."""
        q = self._question
        finite = z.abs() < np.inf
        inside, thin = cells.inside.flatten(1), cells.thin.flatten(1)[:, None]
        bands_ok = finite[:, self._used].all(1) & inside
        ok: torch.Tensor = bands_ok & finite[:, q.n_bands :].all(1)
        seen = finite[:, : q.n_bands].any(1)
        self._valid += finite.sum(-1).sum(0)
        self._counts += torch.stack(
            [seen.sum(), ok.sum(), (inside & ~bands_ok).sum(), (bands_ok & ~ok).sum()]
        )
        looked = (finite & thin).sum(-1)
        for side, pick in enumerate((torch.amin, torch.amax)):
            nothing = (np.inf, -np.inf)[side]
            ends = pick(torch.where(finite, z, nothing), -1)
            there = z == ends[:, :, None]
            few = (there & thin).sum(-1)
            many = (few > 0) & (2 * few >= looked)
            self._merge(side, ends, torch.where(many, there.sum(-1), 0))
        used = torch.where(ok[:, None], z[:, self._joint], -np.inf)
        self._high = torch.maximum(self._high, used.amax((0, 2)))
        return ok

    def _merge(self, side: int, ends: torch.Tensor, counts: torch.Tensor) -> None:
        """Add (C, D) extremes on one side, and how many values of each cell are there."""
        before = self._ends[side]
        pick = (torch.amin, torch.amax)[side]
        whole = pick(torch.cat([before[None], ends]), 0)
        self._at_ends[side] = self._at_ends[side] * (before == whole)
        self._at_ends[side] += (counts * (ends == whole)).sum(0)
        self._ends[side] = whole

    def into(self, tally: Tally) -> None:
        """Add what was counted to a tally."""
        seen, used, band_missing, lacking = (int(n) for n in self._counts.cpu())
        low, high = (ends.cpu().numpy() for ends in self._ends)
        at_low, at_high = (counts.cpu().numpy() for counts in self._at_ends)
        tally.census += Census(seen, self._valid.cpu().numpy(), low, high, at_low, at_high)
        tally.high = np.maximum(tally.high, self._high.cpu().numpy())
        tally.used += used
        tally.invalid["band missing"] += band_missing
        name = self._question.lacking
        tally.invalid[name] = tally.invalid.get(name, 0) + lacking
