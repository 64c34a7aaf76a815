"""Batches: what a batch did, or would do."""

from __future__ import annotations

from pydantic import Field

from bandfuse.results.base import Result


class BatchItem(Result):
    """One item of a batch: a job on one scene, or on all of them (scene is empty)."""

    job: str
    scene: str = ""
    state: str = Field(description="done, failed or skipped")
    reason: str = Field("", description="why it failed or was skipped, in one line")
    seconds: float = 0.0
    outputs: list[str] = Field(default_factory=list)
    scores: dict[str, float] = Field(
        default_factory=dict, description="means over the outputs, held out where known"
    )
    kept: bool = Field(False, description="finished by an earlier run, and unchanged")
    drift: float | None = Field(
        None,
        description="‖W − M‖ / ‖M‖ of the scene's own weights, M the median over the scenes of the "
        "job",
    )
    messages: list[str] = Field(default_factory=list)


class BatchResult(Result):
    """What ``batch`` did: ``batch.json``."""

    output: str
    done: int
    failed: int
    skipped: int
    kept: int = Field(description="of those done: finished by an earlier run, and unchanged")
    seconds: float
    items: list[BatchItem]


class PlannedItem(Result):
    """One item as ``batch --dry-run`` shows it."""

    job: str
    kind: str
    scene: str
    size: int = Field(description="bytes of its inputs")
    output: str
    needs: str | None


class BatchPlan(Result):
    """What ``batch --dry-run`` prints."""

    output: str
    items: list[PlannedItem]
    size: int = Field(description="bytes of all inputs, each counted as often as it is read")
    seconds: float | None = Field(
        description="estimate from an earlier run's seconds per byte; null without one"
    )
