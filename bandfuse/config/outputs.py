"""Outputs: how a command runs, and how its rasters are stored."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from bandfuse.config.base import Config, Pairs
from bandfuse.needs import Need


class Replacing(Config):
    """What may be replaced."""

    section: ClassVar[str] = "Outputs"

    overwrite: bool = Field(False, description="Replace an existing output.")


class Running(Config):
    """Settings that change how a command runs, never what it computes."""

    section: ClassVar[str] = "Where it runs"

    threads: int | None = Field(
        None, ge=1, le=256, description="Reader threads; all cores if not given."
    )
    memory: int | None = Field(
        None,
        ge=16,
        description="Memory for pixels in flight, in MB; an eighth of what is free, 256 at most, "
        "if not given.",
    )


INTEGERS = ("uint8", "int16", "uint16", "int32")
"""Types of an output that need a scale."""

Stored = Annotated[
    Literal["float32", "float64", "uint8", "int16", "uint16", "int32"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]
"""A type of values, in GDAL's capitals too: UInt16."""

STORED: tuple[Need, ...] = (Need("scale offset_out", "dtype", INTEGERS),)


class Encoded(Replacing):
    """How fused values are stored."""

    section: ClassVar[str] = "Outputs"

    needs: ClassVar[tuple[Need, ...]] = STORED

    dtype: Stored = Field("float32", description="Type of the output. Integers need --scale.")
    scale: float | None = Field(
        None, ge=1e-30, le=1e30, description="Integer output: value = stored * scale + offset-out."
    )
    offset_out: float | None = Field(
        None, ge=-1e30, le=1e30, description="Integer output: the value that is stored as 0."
    )
    nodata_out: float | None = Field(
        None,
        description="Of the output: stored value of pixels that are missing. By default NaN, and "
        "for integers the least number of signed and the largest of unsigned types.",
    )
    driver: str | None = Field(
        None, min_length=1, description="GDAL driver of the output; by default by its ending."
    )
    co: Pairs = Field(
        default_factory=list, description="KEY=VALUE: creation option of the driver. Repeat."
    )


def ending_of(driver: str | None) -> str:
    """The ending of rasters that are named after their scenes."""
    return ".zarr" if driver is not None and driver.lower() == "zarr" else ".tif"
