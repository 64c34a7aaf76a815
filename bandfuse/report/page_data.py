"""Page data: words, pictures and counts of a page that report.json does not hold
(``report.data.json``)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, NonNegativeInt

from bandfuse.results.base import Result


class Shot(Result):
    """A picture, drawn."""

    title: str
    caption: str
    png: str = Field(
        description="PNG, in base64",
        pattern=r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    )
    width: int
    height: int
    ends: tuple[float, float] | None = Field(
        None, description="values shown as black and as white, if all channels have the same"
    )


class Density(Result):
    """How many pixels of a sample have which values of one output."""

    output: str
    low: float = Field(description="where both axes begin")
    high: float = Field(description="where both axes end")
    counts: list[list[NonNegativeInt]] = Field(
        description="pixels by cell of the target's axis, then of the fused values' axis"
    )
    pixels: NonNegativeInt = Field(description="of the sample, those outside of the axes too")


class BlockErrors(Result):
    """Error on each block of one scene, of weights that were learned without it."""

    scene: str
    row_edges: list[int]
    col_edges: list[int]
    errors: dict[str, list[float | None]] = Field(
        description="by output, row by row of blocks: mean squared error / variance of the target "
        "over all pixels"
    )


class BandNoise(Result):
    """Signal to noise of one band."""

    band: int
    wavelength_nm: float | None
    snr_db: float | None


class Page(Result):
    """What the page shows beside report.json.

    ``command``: makes this run again. ``history``: per output, loss / Var(target) before step 1,
    after step 1, …; empty for a closed solution. ``shots``: scene, fused, target, residual.
    ``sampled``: which pixels the densities count. ``verdict``: sentences, the most important first.
    """

    title: str
    command: str
    equation: str
    history: dict[str, list[float]] = Field(default_factory=dict)
    shots: list[Shot] = Field(default_factory=list)
    densities: list[Density] = Field(default_factory=list)
    sampled: str = ""
    blocks: list[BlockErrors] = Field(default_factory=list)
    noise: list[BandNoise] = Field(default_factory=list)
    messages: list[str] = Field(default_factory=list)
    verdict: list[str] = Field(default_factory=list)


def bare_page(title: str, command: str, messages: Sequence[str]) -> Page:
    """The page of a report beside which nothing was kept."""
    return Page(title=title, command=command, equation="", messages=list(messages))
