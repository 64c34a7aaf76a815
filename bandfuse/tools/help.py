"""Help: the pages of the documentation, which are shipped with the package."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from importlib.resources import files

from bandfuse.errors import UsageError
from bandfuse.results.others import HelpResult

TOPICS = {
    "flags": "every flag of every command",
    "weights": "the equation, constraints, objectives, penalties, merging",
    "groups": "groups of bands, and known sensors",
    "page": "how to read report.html",
    "trust": "how far the weights can be trusted",
    "sharpening": "a cube at the resolution of a sharper image",
    "grids": "files with other grids, shifts, and where pixels count",
    "values": "units, the order of bands, and missing values",
    "wavelengths": "where wavelengths are read from and written to",
    "products": "files and products that can be opened",
    "codes": "what check finds",
    "files": "what is written: run folder, rasters, weights file",
    "exports": "weights for GDAL, QGIS, OTB, ENVI, ONNX and tables",
    "qgis": "fused rasters in QGIS, step by step",
    "batches": "many scenes, several processes, clusters",
    "python": "bandfuse as a library",
    "speed": "how exact and how fast it is",
    "trouble": "what to do when something goes wrong",
    "glossary": "the terms, in a sentence each",
    "architecture": "how the program is built, and how to change it",
}
"""The pages and what they are about, in the order in which they are listed."""

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_PICTURE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\((?:[\w./]*/)?([\w-]+)\.md(?:#[\w-]*)?\)")


def help(topic: str | None = None, commands: Iterable[str] = ()) -> HelpResult:
    """Give the page of a topic as Markdown, or the list of topics.

    Links to other pages are replaced by the commands that print them, and pictures by their
    descriptions. ``commands``: other words that may be meant where there is no such topic.

    Raises
    ------
    UsageError : there is no such topic.
    """
    if topic is None:
        return HelpResult(topics=TOPICS)
    if topic not in TOPICS:
        near = difflib.get_close_matches(topic, [*TOPICS, *commands], n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"bandfuse has no help on {topic!r}", remedy=f"{hint}bandfuse help lists the topics."
        )
    text = (files("bandfuse") / "docs" / f"{topic}.md").read_text(encoding="utf-8")
    return HelpResult(topics=TOPICS, topic=topic, text=as_printed(text))


def as_printed(text: str) -> str:
    """A page without what only a browser shows.

    >>> as_printed("![A map](images/a.png) See [Groups](groups.md#rules).")
    '(Picture: A map) See Groups (bandfuse help groups).'
    """
    text = _PICTURE.sub(r"(Picture: \1)", _COMMENT.sub("", text))
    return _LINK.sub(lambda m: _linked(m[1], m[2]), text)


def _linked(words: str, topic: str) -> str:
    return f"{words} (bandfuse help {topic})" if topic in TOPICS else words
