"""Creation options: what a GDAL driver can be told when it makes a file, by the driver's own
list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from xml.etree import ElementTree as Xml

from bandfuse.errors import OutputError, nearest, shorten
from bandfuse.raster.drivers import driver_named
from bandfuse.raster.gdal import GDAL_TYPES, told

TAKEN = {
    "driver",
    "width",
    "height",
    "count",
    "dtype",
    "nodata",
    "crs",
    "transform",
    "sharing",
    "opener",
}
"""Words that are no creation options: bandfuse sets them itself."""

SWITCH = ("YES", "NO", "ON", "OFF", "TRUE", "FALSE")


@dataclass(frozen=True)
class Option:
    """One creation option: its name, its type in GDAL's words, its values if it is one of several,
    its limits."""

    name: str
    kind: str
    values: tuple[str, ...]
    low: float
    high: float

    @classmethod
    def of(cls, element: Xml.Element) -> Option:
        """From the driver's list. A value's alias counts as a value."""
        values = [v.text or "" for v in element.findall("Value")]
        values += [alias for v in element.findall("Value") if (alias := v.get("alias"))]
        return cls(
            element.get("name", ""),
            element.get("type", "string"),
            tuple(values),
            float(element.get("min", "-inf")),
            float(element.get("max", "inf")),
        )

    def expected(self, value: str) -> str:
        """What a value should have been; empty if it is right."""
        if self.kind == "boolean":
            return "" if value.upper() in SWITCH else "YES or NO"
        if self.kind == "string-select":
            return (
                ""
                if value.upper() in map(str.upper, self.values)
                else f"one of {shorten(self.values, 20)}"
            )
        if self.kind not in ("int", "unsigned int", "float"):
            return ""
        whole = self.kind != "float"
        number = _number(value, whole=whole)
        if self.low <= number <= self.high and not (self.kind == "unsigned int" and number < 0):
            return ""
        least = 0.0 if self.kind == "unsigned int" else self.low
        limits = [
            f"{word} {v:g}"
            for word, v in (("at least", least), ("at most", self.high))
            if math.isfinite(v)
        ]
        return " ".join(["a whole number" if whole else "a number", " and ".join(limits)]).rstrip()


def _number(text: str, *, whole: bool) -> float:
    """NaN, which no limits hold, if it is none."""
    try:
        return float(int(text)) if whole else float(text)
    except ValueError:
        return math.nan


@cache
def options_of(driver: str) -> dict[str, Option]:
    """The creation options of a driver by their names in capitals; empty where it lists none."""
    text = told(driver, "DMD_CREATIONOPTIONLIST")
    rows = Xml.fromstring(text).findall("Option") if text else []
    return {
        option.name.upper(): option for option in map(Option.of, rows) if "*" not in option.name
    }


@cache
def types_of(driver: str) -> tuple[str, ...]:
    """The types of an output that a driver can hold; empty where it does not say."""
    words = told(driver, "DMD_CREATIONDATATYPES").split()
    return tuple(name for name, word in TYPES.items() if word in words)


@cache
def grows(driver: str) -> bool:
    """Whether a driver takes pixels piece by piece; a COG is given a file that does.

    Others make a file of a finished one, and may find then that it does not suit them. Where no
    driver tells anything, all are taken to grow.
    """
    creates = told(driver, "DCAP_CREATE") == "YES" or not told("GTiff", "DCAP_CREATE")
    return driver == "COG" or (creates and driver != "VRT")


TYPES = {
    name: GDAL_TYPES[name] for name in ("uint8", "int16", "uint16", "int32", "float32", "float64")
}
"""Types of an output, and what GDAL calls them."""


def check_type(driver: str, dtype: str, *, always: str = "") -> None:
    """Refuse a type that a driver cannot hold. ``always``: what has this type whatever is asked
    for.

    Raises
    ------
    OutputError : the types that it can hold, and the flags that make one of them.
    """
    known = types_of(driver)
    if not known or dtype in known:
        return
    if always:
        raise OutputError(
            f"{always} is {dtype}, which the driver {driver} does not hold",
            expected="an ending of another driver, such as .tif",
        )
    flags = f"--dtype {known[0]}" + (
        "" if known[0].startswith("float") else " --scale S --offset-out O"
    )
    raise OutputError(
        f"the driver {driver} holds no {dtype}",
        got=f"--dtype {dtype}",
        expected=f"--dtype {' or '.join(known)}",
        remedy=f"Use {flags}, or another driver, such as GTiff.",
    )


def check_options(driver: str, given: Mapping[str, str]) -> None:
    """Refuse creation options that a driver does not know, and values that it would not take.

    Raises
    ------
    OutputError : the first of them; the nearest name that the driver knows, or what a value can be.
    """
    known = options_of(driver) if given else {}
    care = driver_named(driver)
    refused = care.reserved | care.warping
    names = {name: option.name for name, option in known.items() if name not in refused}
    for key, value in given.items():
        if key.upper() in care.warping:
            raise OutputError(
                f"--co {key}=… of the driver {driver} would take the pixels off the scene's grid",
                remedy=f"Leave it out, then: gdal_translate -of {driver} -co {key}={value} OUT "
                "WARPED.",
            )
        if key.lower() in TAKEN or key.upper() in care.reserved:
            raise OutputError(
                f"--co {key}=… is not for a user to set",
                remedy=f"See the others: gdalinfo --format {driver}.",
            )
        if known and key.upper() not in known:
            close = nearest(key.upper(), names)
            raise OutputError(
                f"the driver {driver} has no creation option {key}", remedy=_spelled(close, names)
            )
        expected = known[key.upper()].expected(value) if known else ""
        if expected:
            raise OutputError(
                f"--co {key} of the driver {driver}", got=repr(value), expected=expected
            )


def _spelled(hint: str, names: Mapping[str, str]) -> str:
    """A hint with names as the driver writes them."""
    return next(
        (
            f"Did you mean {own!r}?"
            for name, own in names.items()
            if hint == f"Did you mean {name!r}?"
        ),
        hint,
    )
