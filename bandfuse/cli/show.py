"""Show: results as tables on stdout, progress and messages on stderr."""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bandfuse.cli import streams
from bandfuse.cli.bars import LiveBars
from bandfuse.cli.layout import columns, folded, records, table_lines, wrapped
from bandfuse.errors import ConfigError, said_once, shorten
from bandfuse.files.placing import WRITTEN
from bandfuse.files.textfile import shown
from bandfuse.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from bandfuse.results.base import Scores
    from bandfuse.results.others import DemoResult, InitResult
    from bandfuse.results.rasters import ApplyResult, ClassesResult, EvaluateResult
    from bandfuse.results.runs import CompareResult, ExportResult, ReportResult
    from bandfuse.results.training import Convergence, TrainReport

_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters that JSON does not escape by itself, and those that turn the direction of
text."""


@cache
def out() -> Console:
    """Standard output. Rich is imported when something is shown."""
    from rich.console import Console

    return Console(highlight=False, width=columns() if sys.stdout.isatty() else WIDE)


T = TypeVar("T")


@cache
def err() -> Console:
    """Standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def plain(text: str, style: str = "") -> Text:
    """Text that rich and the terminal show as it is."""
    from rich.text import Text

    return Text(shown(text), style=style)


class Level:
    """How much is said: -1 quiet, 0 normal, 1 verbose; and whether -v was given, with -q or not."""

    now = 0
    verbose = False


class Ended:
    """What is true of the outputs when a command is interrupted. ``now``: empty for the files."""

    now = ""

    @classmethod
    def words(cls) -> str:
        """What a user is told."""
        if cls.now:
            return cls.now
        if not WRITTEN:
            return "nothing was written"
        names = shorten(dict.fromkeys(map(str, WRITTEN)), most=6)
        return f"{names} written, and nothing else"


class _Notes(logging.Handler):
    """Shows what the library logs as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def set_level(verbose: bool, quiet: bool) -> None:
    """Take -v and -q; GDAL's own messages are shown with -v only.

    Raises
    ------
    ConfigError : both are given.
    """
    if verbose and quiet:
        raise ConfigError("-v says more and -q says less", got="both", remedy="Leave one out.")
    Level.now, Level.verbose = int(verbose) - int(quiet), verbose
    Ended.now = ""
    WRITTEN.clear()
    ours = logging.getLogger("bandfuse")
    ours.handlers, ours.propagate = [_Notes()], False
    ours.setLevel(logging.INFO)
    logger = logging.getLogger("rasterio")
    handler = streams.Remarks() if verbose else logging.NullHandler()
    handler.setFormatter(streams.Plainly())
    logger.handlers = [handler]
    logger.propagate = False


def note(text: str) -> None:
    """A remark on stderr, above the bars if there are some, and in the log whatever is shown."""
    text = shown(text)
    if Level.now < 0:
        streams.log(text)
        return
    lines = folded(text, sys.stderr)
    if bars_are_seen() and bars().print(plain(lines, "dim")):
        streams.log(text)
        return
    with err().capture() as written:
        for part in lines.split("\n"):
            err().print(plain(part, "dim"), soft_wrap=True)
    streams.remark(written.get())


def remarks(texts: Sequence[str]) -> None:
    """Remarks on stderr; what is said of many scenes is said once, with their names."""
    for text in said_once(texts):
        note(text)


def count(n: int, thing: str) -> str:
    """A number of things.

    >>> count(1, "band"), count(1200, "pixel")
    ('1 band', '1200 pixels')
    """
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


@cache
def bars() -> LiveBars:
    """The bars of this program."""
    return LiveBars(err())


def bars_are_seen() -> bool:
    """Bars are for terminals, and for people who did not ask for quiet."""
    return Level.now >= 0 and sys.stderr.isatty()


def progress() -> Progress:
    """A bar on stderr, in a terminal and unless quiet."""
    if not bars_are_seen():
        return _logged

    def bar(items: Iterable[T], total: int, label: str) -> Iterator[T]:
        return bars().bar(_logged(items, total, label), total, label)

    return bar


@contextmanager
def working(label: str) -> Iterator[None]:
    """Say that a command is at work, where it takes longer than a second."""
    with bars().working(label) if bars_are_seen() else nullcontext():
        yield


def _logged(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """The items; that they begin is logged."""
    streams.log(f"{shown(label)}: {count(total, 'part')}")
    yield from items


def number(value: Any) -> str:
    """A number in a table cell: five digits that matter."""
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


MOST = 20
"""Rows of a table of scores, or of items, in the terminal."""


def table(
    heads: list[str], rows: Iterable[Iterable[Any]], title: str = "", *, words: int = 1
) -> None:
    """A table on stdout: the first columns, of words, to the left, and numbers to the right.

    Where the terminal is too narrow for it, each row is some lines.
    """
    if title:
        line(title)
    cells = [[shown(number(cell)) for cell in row] for row in rows]
    width = columns() if sys.stdout.isatty() else WIDE
    names = list(map(shown, heads))
    lines = table_lines(names, cells, width, words)
    if lines:
        _put(plain(lines.pop(0), "bold"), soft_wrap=True)
    for text in lines or records(names, cells, width):
        streams.put(text + "\n")


WIDE = 160
"""Columns of a table that is written to a file or to another program."""


def _put(what: Any, **how: Any) -> None:
    """Something of rich's on stdout."""
    with out().capture() as written:
        out().print(what, **how)
    streams.put(written.get())


def scores(
    rows: Scores, title: str, first: dict[str, str] | None = None, rest: str = "with --json"
) -> None:
    """Scores of the outputs: of all of them, or of the worst where there are many.

    Parameters
    ----------
    first : a column of texts by output, before the scores. rest : where the others are.
    """
    names = list(next(iter(rows.values())))
    heads = ["output", *(["constraint"] if first else []), *names]
    shown_rows = worst(rows) if len(rows) > MOST else rows
    cells = [
        [output, *([first[output]] if first else []), *(score(n, row[n]) for n in names)]
        for output, row in shown_rows.items()
    ]
    many = f": the worst {MOST} of {len(rows)} outputs" if len(rows) > MOST else ""
    table(heads, cells, f"{title}{many}", words=2 if first else 1)
    more(len(rows) - len(cells), rest)


def worst(rows: Scores) -> Scores:
    """The outputs of the least first score, the worst first; those without one come before."""
    key = next(iter(next(iter(rows.values()))))
    value = {name: row[key] for name, row in rows.items()}
    order = sorted(rows, key=lambda name: -math.inf if (v := value[name]) is None else v)
    return {name: rows[name] for name in order[:MOST]}


def more(count: int, place: str) -> None:
    """Say where the rest of a table is, if it has a rest."""
    if count > 0:
        line(f"… and {count} more {place}")


def score(name: str, value: float | None) -> str:
    """A score; shares and correlations are never rounded up to one.

    >>> score("r2", 0.9999999), score("rmse", 0.12345678), score("cc", None)
    ('>0.99999', '0.12346', '–')
    """
    if name in ("r2", "cc") and value is not None and 0.99999 < value < 1:
        return ">0.99999"
    return number(value)


def overall(row: dict[str, float | None]) -> None:
    """Scores of all outputs together, in one line; none where there are none."""
    names = {"sam": ("spectral angle", "°"), "ergas": ("ERGAS", "")}
    texts = [f"{names[n][0]} {number(v)}{names[n][1]}" for n, v in row.items() if v is not None]
    if texts:
        line(f"All outputs together: {', '.join(texts)}")


def trained(report: TrainReport, folder: str, *, page: bool) -> None:
    """What a training gave: scores, how the fit ended, what was left out, and its folder.

    ``page``: a page was made.
    """
    held = report.scores.holdout
    apart = {
        "scenes": "scenes held out in turn",
        "random": "random pixels held out in turn: they leak, as their neighbours were trained on",
    }
    what = (
        apart.get(report.scores.split, "blocks held out in turn") if held else "the training pixels"
    )
    rows = held or report.scores.train
    constraints = {o.name: o.constraint for o in report.outputs}
    first = constraints if set(rows) == set(constraints) else None
    scores(rows, f"Scores on {what}", first, rest=f"in report.{'html' if page else 'json'}")
    overall(report.scores.overall.get("holdout" if held else "train", {}))
    published(report)
    line(
        f"{convergence(report.convergence)}; {count(report.pixels.used, 'pixel')}; {report.devices}"
    )
    if report.pixels.left_out:
        line(report.pixels.left_out)
    if report.bands_dropped:
        reasons: dict[str, list[str]] = {}
        for band in report.bands_dropped:
            reasons.setdefault(band.reason, []).append(str(band.band))
        for reason, bands in reasons.items():
            line(f"{count(len(bands), 'band')} dropped, {reason}: {shorten(bands, 6)}")
    line(f"{folder} written: {count(len(report.outputs), 'output')}")
    if page:
        line(f"Open {Path(folder) / 'report.html'} in a browser.")


def published(report: TrainReport) -> None:
    """The learned responses beside those of the sensor that was asked for; nothing without one."""
    every = report.trust.outputs if report.trust else []
    found = [(one.name, one.published) for one in every if one.published is not None]
    if not found or report.trust is None:
        return
    cells = [
        [
            name,
            p.band,
            _digits(p.similarity, 4),
            _digits(p.shift_nm, 1),
            _digits(p.out_of_band, 1, 100),
            _digits(p.out_of_band_published, 1, 100),
        ]
        for name, p in found
    ]
    columns = ["output", "band", "similarity", "centre shift nm", "out of band %", "published %"]
    title = f"Learned responses against those of {report.trust.sensor} (similarity: cosine)"
    table(columns, cells, title, words=2)


def _digits(value: float | None, digits: int, scale: float = 1.0) -> str | None:
    """A number with so many digits after the point, never a zero with a sign.

    >>> _digits(-0.04, 1), _digits(0.25, 1, 100), _digits(None, 1)
    ('0.0', '25.0', None)
    """
    return None if value is None else f"{round(scale * value, digits) + 0.0:.{digits}f}"


def applied(result: ApplyResult) -> None:
    """The rasters that were written, and how much of them is valid."""
    for path in [*result.outputs, *result.uncertainties]:
        line(f"{path} written")
    valid = f"{100 * result.valid_share:.1f} % valid"
    line(f"{count(result.pixels, 'pixel')}, {valid}, {result.seconds:.2f} s")


def evaluated(result: EvaluateResult) -> None:
    """Scores of every output and of all together, and the pixels that they are of."""
    if result.classification is None:
        scores(result.scores, f"Scores on {result.scene}")
    else:
        _classes(result.classification, f"Classes on {result.scene}")
        texts = (f"{name} {number(value)}" for name, value in result.scores["classes"].items())
        line(f"All classes together: {', '.join(texts)}")
        line(f"Classified by the linear discriminants of {BY[result.classification.classifier]}")
    overall(result.overall)
    line(f"{count(result.pixels.used, 'pixel')} used, {result.pixels.invalid} not valid")
    if result.pixels.left_out:
        line(result.pixels.left_out)


BY = {"training": "the training", "blocks": "the other blocks of the image"}

MOST_CLASSES = 10
"""The confusion of more classes is too wide for a terminal."""


def _classes(found: ClassesResult, title: str) -> None:
    """How each class was found, and what it was taken for."""
    rows = [[c.name, c.pixels, c.precision, c.recall, c.f1] for c in found.classes]
    table(["class", "pixels", "precision", "recall", "F1"], rows, title)
    if len(rows) > MOST_CLASSES:
        line("The confusion matrix is in --json.")
        return
    heads = ["class", *(str(c.value) for c in found.classes)]
    named = [c.name if c.name == str(c.value) else f"{c.value} {c.name}" for c in found.classes]
    cells = [[name, *row] for name, row in zip(named, found.confusion, strict=True)]
    table(heads, cells, "Pixels of each class (rows), by the class that was found (columns)")


def reported(result: ReportResult) -> None:
    """The page that was written."""
    figures = f", and {count(len(result.figures), 'figure')}" if result.figures else ""
    line(f"{result.output} written{figures}")
    line(f"Open {result.output} in a browser.")


def exported(result: ExportResult) -> None:
    """The file that was written, and how near to it GDAL comes where it was tried."""
    difference = result.difference
    proof = "" if difference is None else f"; GDAL reads it alike, to {difference:.1g} of the range"
    line(f"{result.output} written: {count(len(result.outputs), 'output')}{proof}")


def begun(result: InitResult) -> None:
    """The config that was written, and what runs it."""
    line(f"{result.output} written. Look through it, then run: {result.command}")


def demonstrated(result: DemoResult) -> None:
    """Learned and true weights side by side."""
    rows = [row.values() for row in result.rows]
    table(list(result.rows[0]), rows, "Learned against true weights")
    line(f"Open {result.folder}/run/report.html, and {result.folder}/fused.tif in QGIS.")


def compared(result: CompareResult) -> None:
    """Runs side by side: of every output the score that comes first, held out where all runs have
    it."""
    held = all(run.holdout for run in result.runs)
    rows = [(run.run, (run.holdout if held and run.holdout else run.train)) for run in result.runs]
    outputs = dict.fromkeys(name for _, some in rows for name in some)
    key = next(iter(next(iter(rows[0][1].values()))))
    cells = [
        [name, *(score(key, some[name].get(key)) if name in some else "–" for _, some in rows)]
        for name in outputs
    ]
    table(
        ["output", *(run for run, _ in rows)],
        cells[:MOST],
        f"{key} on {'blocks held out' if held else 'training pixels'}",
    )
    more(len(cells) - MOST, f"in {result.output or 'the page that -o FILE writes'}")
    if result.output:
        line(f"{result.output} written")
        line(f"Open {result.output} in a browser.")


def convergence(c: Convergence) -> str:
    """How the fit ended, in words."""
    reached = c.relative_gap is not None and c.relative_gap < 1e-12
    if reached and not c.steps:
        return f"loss {c.loss:.6g}, solved exactly"
    text = f"loss {c.loss:.6g} after {count(c.steps, 'step')}"
    if reached:
        return f"{text}, the optimum"
    return (
        text
        if c.relative_gap is None
        else f"{text}, {c.relative_gap:.1e} of the target's variance above the optimum"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    width = columns() if sys.stdout.isatty() else None
    for name, value in pairs:
        if width is None or len(value) + 13 <= width:
            lines = [value]
        else:
            lines = wrapped(shown(value), width - 13)
        for i, text in enumerate(lines):
            _put(plain(f"{'' if i else name:12s}", "bold") + plain(f" {text}"), soft_wrap=True)


def json(text: str) -> None:
    """JSON on stdout. Where it holds characters that control a terminal they are written as JSON's
    own escapes."""
    streams.put(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def line(text: str, *, fold: bool = True) -> None:
    """A line on stdout; in a terminal as many as it needs, unless it is a drawing."""
    streams.put((folded(shown(text), sys.stdout) if fold else shown(text)) + "\n")
