"""Inputs: the files of scenes, what their values mean, which pixels count, and how grids meet."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from bandfuse.config.base import Config, Integers, Numbers, Pairs, Texts


class Inputs(Config):
    """The files of one or more scenes."""

    section: ClassVar[str] = "Inputs"

    scenes: Texts = Field(
        default_factory=list,
        description="Raster files, each a scene. A folder stands for all rasters in it, and so "
        "does a pattern in quotes such as '*.tif'.",
    )
    source: Pairs = Field(
        default_factory=list,
        description="NAME=PATH: one of several files of a scene. Repeat in scene order, or give a "
        "template such as swir={parent}/{stem}_swir.tif.",
    )
    wavelengths: Pairs = Field(
        default_factory=list,
        description="FILE with the bands' wavelengths, instead of what the raster says: columns "
        "wavelength, fwhm, good, or an ENVI header; may be a template. NAME=FILE with several "
        "sources; repeat.",
    )

    nodata: Numbers = Field(
        default_factory=list,
        description="Stored value that means missing in the inputs, in place of what the file "
        "declares: one for all bands, one per band (V1,V2,...), or none. NAME=V with several "
        "sources, target=V for the target; repeat.",
    )


class AnyUnits(Config):
    """Whether values are compared with those of the training."""

    section: ClassVar[str] = "Inputs"

    any_units: bool = Field(
        False,
        description="Take values as they are. By default it is an error if those of a scene are 60 "
        "times and more larger or smaller than those of the training (or of the other scenes), or "
        "if an offset holds them apart.",
    )


class Units(AnyUnits):
    """The units of the scenes' values."""

    section: ClassVar[str] = "Inputs"

    scale_inputs: float | None = Field(
        None,
        ge=1e-30,
        le=1e30,
        description="Multiply the values of the scenes by this, e.g. 0.0001 for reflectance times "
        "10 000.",
    )


class Labelling(Config):
    """Classes of pixels."""

    section: ClassVar[str] = "Inputs"

    labels: Texts = Field(
        default_factory=list,
        description="Classes of pixels: a raster of one band with whole numbers, or "
        "polygons in a vector file (GeoPackage, shapefile, FlatGeobuf, GeoJSON), in any CRS. One "
        "per scene in order, or a template.",
    )
    label_field: str | None = Field(
        None,
        min_length=1,
        description="Field of a vector file that is the class: texts or whole numbers.",
    )
    unlabelled: Integers = Field(
        default_factory=list, description="Number in the labels that is no class. Repeat."
    )


def _joined(value: object) -> object:
    """Words between commas, of a text or of a list of them."""
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    if not isinstance(value, str):
        return value
    words = [word.strip().lower() for word in value.split(",")]
    alone = {"auto", "none"} & set(words)
    if not all(words) or (alone and len(words) > 1):
        raise ValueError("auto, none, or words of layers between commas, such as cloud,shadow")
    return ",".join(dict.fromkeys(words))


Quality = Annotated[str, BeforeValidator(_joined)]
"""``auto``, ``none``, or words of quality layers between commas; in YAML also a list."""


class Flagged(Config):
    """Which pixels are written as nodata."""

    section: ClassVar[str] = "Outputs"

    quality: Quality = Field(
        "none",
        description="Write pixels as nodata that the quality layers of a product flag: words such "
        "as cloud,shadow, as bandfuse info lists them; auto: cloud, cirrus, shadow, saturated and "
        "invalid, of those that are there; none: write all pixels.",
    )


def ordered(value: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Bounds, each minimum below its maximum."""
    if value is not None and not (value[0] < value[2] and value[1] < value[3]):
        raise ValueError("MINX MINY MAXX MAXY, each minimum below its maximum")
    return value


def not_empty(value: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """A window of at least one pixel."""
    if value is not None and not (min(value) >= 0 and min(value[2:]) >= 1):
        raise ValueError("ROW COL ROWS COLS: from 0, and at least one row and column")
    return value


class Limits(Config):
    """Which pixels count."""

    section: ClassVar[str] = "Which pixels count"

    mask: Texts = Field(
        default_factory=list,
        description="Only pixels in here count: a raster (valid and not zero), or polygons in a "
        "vector file (GeoPackage, shapefile, FlatGeobuf, GeoJSON), in any CRS. One for all scenes, "
        "one per scene in order, or a template.",
    )
    layer: Texts = Field(
        default_factory=list,
        description="Layer of a vector file that has several; mask=NAME or labels=NAME where both "
        "are vector files.",
    )
    bounds: tuple[float, float, float, float] | None = Field(
        None,
        description="Only pixels whose centres are in here count, in the CRS of the training grid.",
    )
    window: tuple[int, int, int, int] | None = Field(
        None,
        description="Only these pixels of the training grid count: first row and column from 0, "
        "rows, columns.",
    )
    quality: Quality = Field(
        "auto",
        description="Leave out pixels that the quality layers of a product flag: words such as "
        "cloud,shadow, as bandfuse info lists them; auto: cloud, cirrus, shadow, saturated and "
        "invalid, of those that are there; none: keep all pixels.",
    )

    check_bounds = field_validator("bounds")(ordered)
    check_window = field_validator("window")(not_empty)


def two_numbers(value: object) -> object:
    """Two numbers of a text."""
    if isinstance(value, str):
        try:
            dx, dy = (float(word) for word in value.split(","))
        except ValueError:
            raise ValueError("DX,DY: two numbers such as 0.5,-1") from None
        return dx, dy
    return value


class Aligning(Config):
    """How files on different grids are brought together."""

    section: ClassVar[str] = "Grids"

    shift: Literal["auto"] | tuple[float, float] | None = Field(
        None,
        description="DX,DY: move target and labels by so many columns and rows of the training "
        "grid. auto: by what is estimated.",
    )
    blur: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="See finer images through a Gaussian with this modulation at the Nyquist "
        "frequency of the training grid before they are averaged, e.g. 0.3.",
    )

    @field_validator("shift", mode="before")
    @classmethod
    def _auto_or_numbers(cls, value: object) -> object:
        try:
            return value if value == "auto" else two_numbers(value)
        except ValueError:
            raise ValueError("auto, or DX,DY: two numbers such as 0.5,-1") from None
