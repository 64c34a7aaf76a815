"""Others: what the commands beside the work return: help, demo, sensors, configs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bandfuse.results.base import Result


class HelpResult(Result):
    """What ``help`` prints: the topics, or the page of one."""

    topics: dict[str, str] = Field(description="what each page is about, by topic")
    topic: str | None = None
    text: str | None = Field(None, description="the page, as Markdown")


class DemoResult(Result):
    """How close the demo's training came to the answer that was built in."""

    folder: str
    rows: list[dict[str, Any]]


class SensorInfo(Result):
    """One known sensor."""

    name: str
    bands: int
    low_nm: float = Field(description="where the first band falls to half of its peak")
    high_nm: float = Field(description="where the last band falls to half of its peak")
    measured: bool = Field(description="whether its responses are known, not centre and FWHM alone")


class SensorsResult(Result):
    """All known sensors."""

    sensors: list[SensorInfo]


class SensorBandInfo(Result):
    """One band of a sensor, with its response where that is known."""

    name: str
    centre_nm: float
    fwhm_nm: float
    nm: list[float] | None = Field(description="wavelengths of the response; null: a Gaussian")
    response: list[float] | None


class SensorResult(Result):
    """The bands of a sensor."""

    name: str
    origin: str = Field(description="where the responses come from")
    measured: bool
    bands: list[SensorBandInfo]


class InitResult(Result):
    """What ``init`` wrote."""

    output: str
    job: str
    command: str = Field(description="what runs it")
