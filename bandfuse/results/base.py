"""Base: the base of all results, and rows that several of them share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from bandfuse.errors import shorten
from bandfuse.summary import Facts, SummarisedFields, brief, counted

Score = dict[str, float | None]
"""Scores by name (r2, rmse, cc, psnr, …) in the target's units; None where a score does not
exist."""

Scores = dict[str, Score]
"""Scores of every output, by the output's name."""


class Result(SummarisedFields, BaseModel):
    """Base of every result model. Numbers that are not finite become null in JSON."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null", defer_build=True)

    def facts(self) -> Facts:
        """Every field, or the count of what it holds."""
        return tuple((name, _listed(value) or brief(value)) for name, value in self)


def _listed(value: object) -> str:
    """How many results of which kind a list holds, and the first words of some of them."""
    if not (isinstance(value, list) and value and isinstance(value[0], Result)):
        return ""
    words = [next((v for _, v in row if isinstance(v, str) and v), "") for row in value]
    names = shorten(dict.fromkeys(filter(None, words)), 4)
    return f"{len(value)} × {type(value[0]).__name__} ({names})"


class PlaceRow(Result):
    """Where a part of the work ran."""

    device: str = Field(description="cpu, cuda or mps; several where parts of a pass were apart")
    card: str = Field("", description="the name of the GPU")
    reason: str = Field(description="why it ran there")

    def __str__(self) -> str:
        return f"{self.device} ({self.card})" if self.card else self.device


BY_QUALITY = "flagged by quality layers"
"""The reason of all pixels that quality layers leave out."""


class PixelCount(Result):
    """How many pixels were used in training, and why the others were not."""

    used: int
    invalid: int
    by_reason: dict[str, int]
    quality: dict[str, int] = Field(
        default_factory=dict,
        description="pixels that each reason of the quality layers left out; one with two reasons "
        f"counts in both, and once in by_reason under {BY_QUALITY!r}",
    )

    @property
    def left_out(self) -> str:
        """What the quality layers left out, in words; empty where there is nothing."""
        if not self.quality:
            return ""
        each = ", ".join(f"{word} {count}" for word, count in self.quality.items())
        whole = self.by_reason.get(BY_QUALITY, 0)
        return f"{counted(whole, 'pixel')} left out by quality layers: {each}"


class ShiftRow(Result):
    """What an estimate says brings a target onto its scene."""

    dx: float = Field(description="columns of the training grid to move it by")
    dy: float = Field(description="rows of the training grid to move it by")
    x: float = Field(description="the same in units of the grid's CRS, along x")
    y: float = Field(description="the same in units of the grid's CRS, along y")
    error: float = Field(description="standard error of dx and dy, in pixels")
    correlation: float = Field(
        description="of the target, once moved, with what the cube predicts of it"
    )
    before: float = Field(description="the same where the target lies")
    certain: bool = Field(description="whether the estimate is believed")


class AlignedFile(Result):
    """A file that was brought to the training grid."""

    path: str
    pixels: float = Field(description="of the file along the side of a pixel of the grid")
    how: str = Field(description="mean, or majority")


class AlignmentRow(Result):
    """How the files of one scene were brought together."""

    scene: str
    grid: str = Field(description="the file that has the training grid")
    row: int = Field(description="of that file, at which the training grid begins")
    col: int
    rows: int
    cols: int
    files: list[AlignedFile]
    blur: float | None = None
    shift: ShiftRow | None = Field(None, description="estimated between scene and target")
    moved: tuple[float, float] = Field(
        description="columns and rows by which target and labels were moved"
    )
    corrected: bool = Field(description="whether they were moved at all")
