"""`make mutants`: are the tests of the rooms of numbers and of files such that they notice?

Usage: ``run.py [--count 340] [--seed 1] [--budget 40] [--only raster/] [--again]``. Draws mutants,
each a file with one small change, and runs on each the tests that come by the changed line,
quickest first, until one fails. Works on copies of the tree; the checkout stays as it is. Which
tests come by a line is measured first, and kept in build/mutants.json until something changes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import forks
from rooms import TESTS, test_file
from sample import Mutant, places, sampled

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "mutants.json"
TABLE = Path(__file__).with_name("equivalent.txt")

STRUCTURE = "tests/test_structure.py"
"""Sees changes that are made at import, of how values are declared."""

PROCESSES = 2
FEWEST = 6
"""Mutants of a file at least."""

KILLED, SURVIVED, EQUIVALENT, SKIPPED = "killed", "survived", "equivalent", "skipped"

Known = dict[str, Any]
"""By test file: the ``mark`` of what it was measured on, and the seconds and lines of its tests."""


def test_files(file: str) -> list[str]:
    """The test files of a room; the file itself if it has doctests."""
    own = f"bandfuse/{file}.py"
    doctests = [own] if ">>> " in (ROOT / own).read_text(encoding="utf-8") else []
    return [*(test_file(name) for name in TESTS[file].split()), *doctests]


def drawn(files: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Mutants of these files, in proportion to the places in them that can be changed."""
    codes = {f: (ROOT / "bandfuse" / f"{f}.py").read_text(encoding="utf-8") for f in files}
    sizes = {f: places(code) for f, code in codes.items()}
    whole = sum(places((ROOT / "bandfuse" / f"{f}.py").read_text("utf-8")) for f in TESTS)
    wanted = {f: max(FEWEST, round(count * size / whole)) for f, size in sizes.items()}
    return [m for f, code in codes.items() for m in sampled(f, code, wanted[f], seed)]


def equivalents() -> dict[tuple[str, ...], str]:
    """Why a mutant changes nothing, by its key: blocks of ``file @ where``, ``-``, ``+``, ``=``."""
    found = {}
    for block in TABLE.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            head, old, new, *why = lines
            file, where = head.split(" @ ")
            code = (ROOT / "bandfuse" / f"{file}.py").read_text(encoding="utf-8")
            if file not in TESTS or old[2:] not in {line.strip() for line in code.splitlines()}:
                raise SystemExit(f"{TABLE.name}: {head} has no such line: {old[2:]}")
            found[file, where, old[2:], new[2:]] = " ".join(line.removeprefix("= ") for line in why)
    return found


# ----------------------------------------------------------------------------- what tests do


def measured(files: Sequence[str], trees: Sequence[Path]) -> Known:
    """Seconds of the tests in these files, and the lines of the rooms that they are of, measured
    where that is not known yet."""
    known: Known = _kept()["tests"]
    marks = {file: _marks(file) for file in files}
    missing = [f for f in files if known.get(f, {}).get("mark") != marks[f]]
    jobs = [forks.Job([f], limit=3000, watched=list(marks[f])[1:]) for f in missing]
    for job, outcome in forks.each(jobs, trees, _count("measured")):
        file = job.files[0]
        if outcome.status not in (0, 5):
            raise SystemExit(f"{file} fails without any mutant: {outcome.failed}")
        known[file] = {"mark": marks[file], "took": outcome.took, "lines": outcome.lines}
        _keep(tests=known)
    return known


def _marks(test_file: str) -> dict[str, str]:
    """What tests and their rooms are now: of the test file with what all tests share, then of every
    file of bandfuse whose tests they are."""
    shared = sorted(ROOT.glob("tests/[!t]*.py"))
    rooms = [f"bandfuse/{file}.py" for file in TESTS if test_file in test_files(file)]
    own = {"tests": _mark([ROOT / test_file, *shared])}
    return own | {room: _mark([ROOT / room]) for room in rooms}


def _mark(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(p.read_bytes() for p in paths)).hexdigest()[:16]


def job_for(mutant: Mutant, known: Known, budget: float) -> forks.Job:
    """The tests that come by the changed line, file by file, the quickest first, as far as the
    budget goes; ``about``: the mutant, and the seconds that all of them need."""
    path = f"bandfuse/{mutant.file}.py"
    chosen = _chosen(mutant, known)
    seconds = {test: s for file in chosen for test, s in known[file]["took"].items()}

    def need(tests: Sequence[str]) -> float:
        return sum(seconds[test] for test in tests)

    by_file = sorted(chosen.values(), key=need)
    order = [test for tests in by_file for test in sorted(tests, key=lambda test: seconds[test])]
    whole = need(order)
    while order and need(order) > budget:
        order.pop()
    there = [file for file in chosen if set(order) & set(chosen[file])]
    limit = 20 + 5 * need(order)
    return forks.Job(there, order, limit, change={path: mutant.code}, about=(mutant, whole))


def _chosen(mutant: Mutant, known: Known) -> dict[str, list[str]]:
    """By test file: the tests that come by a line; all of a room where a change at import is seen
    by no test alone."""
    path, files = f"bandfuse/{mutant.file}.py", test_files(mutant.file)
    whole: set[str] = set()
    chosen = {file: list(_coming_by(known[file], path, mutant.lines)) for file in files}
    if mutant.always:
        whole = {STRUCTURE, *(() if any(chosen.values()) else files)}
    chosen |= {file: list(known[file]["took"]) for file in whole}
    return {file: tests for file, tests in chosen.items() if tests}


def _coming_by(test_file: dict[str, Any], path: str, lines: frozenset[int]) -> Iterator[str]:
    seen = {test for test, files in test_file["lines"].items() if lines & set(files.get(path, ()))}
    if any(test.endswith("::*") for test in seen):
        seen = set(test_file["took"])
    yield from (test for test in test_file["took"] if test in seen)


# ---------------------------------------------------------------------------------- the run


Row = tuple[Mutant, str, str]
"""A mutant, what became of it, and by what."""


def judged(jobs: Sequence[forks.Job], trees: Sequence[Path], budget: float) -> list[Row]:
    """Run the tests on each mutant."""
    rows: list[Row] = []
    for job in jobs:
        mutant, need = job.about
        if not job.order:
            why = f"its tests take {need:.0f} s" if need else "no test comes by"
            rows.append((mutant, SKIPPED if need else SURVIVED, why))
    for job, outcome in forks.each([job for job in jobs if job.order], trees, _count("run")):
        mutant, need = job.about
        if outcome.status:
            by = "time" if outcome.status == forks.ENDED_BY_TIME else outcome.failed or "an end"
            rows.append((mutant, KILLED, by))
        elif need > budget:
            rows.append((mutant, SKIPPED, f"its tests take {need:.0f} s, and the first pass"))
        else:
            rows.append((mutant, SURVIVED, f"{len(outcome.took)} tests"))
    return rows


def report(rows: Sequence[Row]) -> str:
    """Survivors with their changes, then the table."""
    rows = sorted(rows, key=lambda row: (list(TESTS).index(row[0].file), row[0].line, row[0].new))
    kinds = (KILLED, EQUIVALENT, SURVIVED, SKIPPED)
    lines = []
    for kind in (SKIPPED, SURVIVED):
        lines += [f"\n{kind} ({how}): bandfuse/{m}" for m, k, how in rows if k == kind]
    lines.append("")
    lines.append(f"{'file':24}{'mutants':>9}" + "".join(f"{kind:>12}" for kind in kinds))
    for file in dict.fromkeys(m.file for m, _, _ in rows):
        lines.append(_line(file, Counter(k for m, k, _ in rows if m.file == file), kinds))
    whole = Counter(k for _, k, _ in rows)
    lines.append(_line("all", whole, kinds))
    share = whole[KILLED] / max(1, len(rows) - whole[EQUIVALENT])
    lines.append(f"killed: {100 * share:.1f} % of those that change something")
    return "\n".join(lines)


def _line(name: str, found: Counter[str], kinds: Sequence[str]) -> str:
    return f"{name:24}{sum(found.values()):>9}" + "".join(f"{found[kind]:>12}" for kind in kinds)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _count(word: str) -> Any:
    def seen(done: int, whole: int) -> None:
        if sys.stdout.isatty() or done % 10 == 0 or done == whole:
            _say(f"{done} of {whole} {word}")

    return seen


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=340, help="mutants, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=float, default=40.0, help="seconds of tests for a mutant")
    parser.add_argument("--only", default="", help="files whose names hold this text")
    parser.add_argument("--again", action="store_true", help="only what survived the last time")
    return parser.parse_args()


def main() -> None:
    """Draw, run, report; exit status 1 where a mutant survives."""
    asked, start = _asked(), time.monotonic()
    if not hasattr(os, "fork"):
        raise SystemExit("make mutants needs a system that can fork: Linux or macOS")
    mutants = drawn([f for f in TESTS if asked.only in f], asked.count, asked.seed)
    if asked.again:
        mutants = [m for m in mutants if list(m.key) in _kept()["left"]]
    reasons = equivalents()
    rows: list[Row] = [(m, EQUIVALENT, reasons[m.key]) for m in mutants if m.key in reasons]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        rows += tried([m for m in mutants if m.key not in reasons], Path(folder), asked.budget)
    _keep(left=_left(rows))
    _say(report(rows))
    _say(f"seed {asked.seed}, {time.monotonic() - start:.0f} s")
    raise SystemExit(any(kind == SURVIVED for _, kind, _ in rows))


def tried(mutants: Sequence[Mutant], folder: Path, budget: float) -> list[Row]:
    """Run the tests on mutants, in copies of the tree below a folder."""
    trees = [folder / str(i) for i in range(PROCESSES)]
    for tree in trees:
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "build", "__pycache__"))
    files = sorted({STRUCTURE, *(test for m in mutants for test in test_files(m.file))})
    forks.prepare([*ROOT.glob("bandfuse/**/*.py"), *(ROOT / file for file in files)])
    known = measured(files, trees)
    return judged([job_for(m, known, budget) for m in mutants], trees, budget)


def _left(rows: Sequence[Row]) -> list[list[str]]:
    """The keys of what no test noticed, in this run or in an earlier one that it did not repeat."""
    kinds = {m.key: kind for m, kind, _ in rows}
    mine = [list(key) for key, kind in kinds.items() if kind not in (KILLED, EQUIVALENT)]
    return mine + [key for key in _kept()["left"] if tuple(key) not in kinds]


def _kept() -> dict[str, Any]:
    """What earlier runs left: ``tests``, and in ``left`` the keys of what no test noticed."""
    nothing: dict[str, Any] = {"tests": {}, "left": []}
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else nothing


def _keep(**new: Any) -> None:
    content = _kept() | new
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
