"""Sharpen data: what the page of a sharpening shows that report.json does not hold
(``report.data.json``)."""

from __future__ import annotations

from pydantic import Field

from bandfuse.report.page_data import Shot
from bandfuse.results.base import Result


class Spot(Result):
    """The spectra at one point of the pictures."""

    x: float = Field(description="from the left, as a share of the picture's width", ge=0, le=1)
    y: float = Field(description="from the top, as a share of its height", ge=0, le=1)
    row: int = Field(description="of the result")
    col: int
    before: list[float | None] = Field(description="of the cube's pixel, band by band")
    after: list[float | None] = Field(description="of the pixel of the result")


class SharpenPage(Result):
    """What the page shows beside report.json.

    ``command``: makes this run again. ``shots``: the cube, the sharpened cube and the sharp image,
    and the map of local gain. ``part``: which part of the scene they show. ``spots``: points whose
    spectra can be looked at; ``first``: those that are drawn on the page.
    """

    title: str
    command: str
    part: str = ""
    shots: list[Shot] = Field(default_factory=list)
    spots: list[Spot] = Field(default_factory=list)
    first: list[int] = Field(default_factory=list)
