"""Runs: what is made of runs: pages, comparisons, exports."""

from __future__ import annotations

from pydantic import Field

from bandfuse.results.base import Result, Scores


class ReportResult(Result):
    """What ``report`` wrote."""

    output: str
    figures: list[str]
    messages: list[str]


class ComparedRun(Result):
    """One run beside others."""

    run: str
    constraints: dict[str, str] = Field(description="by output")
    active_bands: dict[str, int] = Field(description="by output")
    train: Scores
    holdout: Scores | None
    relative_gap: float | None
    pixels: int
    seconds: float
    seed: int


class CompareResult(Result):
    """Runs side by side, and where they are written to."""

    output: str | None
    runs: list[ComparedRun]
    messages: list[str]


class ExportResult(Result):
    """What ``export`` wrote."""

    output: str
    form: str
    outputs: list[str]
    difference: float | None = Field(
        None,
        description="vrt: largest difference to the fusion itself in three windows, relative to "
        "the largest value",
    )
    messages: list[str] = Field(default_factory=list, description="what a user should know")
