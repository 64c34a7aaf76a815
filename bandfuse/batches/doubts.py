"""Doubts: items of a batch that ended with a result that is hardly what was meant."""

from __future__ import annotations

from bandfuse.results.batches import BatchItem


def doubt(item: BatchItem) -> str:
    """Why what an item made is hardly what was meant, though it came to its end; empty for no
    doubt."""
    r2, share = item.scores.get("r2"), item.scores.get("valid_share")
    if item.state != "done":
        return ""
    if share == 0:
        return "no pixel of the output is valid"
    return f"r2 {r2:.3g}: worse than the target's own mean" if r2 is not None and r2 < 0 else ""
