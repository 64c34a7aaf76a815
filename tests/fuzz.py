"""`make fuzz`: damaged and odd inputs for every command.

Usage: ``fuzz.py [--cases N] [--seed S] [--jobs N] [--kinds A,B] [--keep FOLDER]``. A case is a
number: the same seed and number make the same input. Nothing may end in a traceback, hang (20 s of
CPU), take more than 1 GB, exit with anything but 0, 1 or 2, fail without a reason, or leave
anything behind. Prints what does, and exits with 1 then. One thing is excepted, and counted by
name: a crash inside libhdf5 on a damaged HDF5 file. Needs POSIX."""

from __future__ import annotations

import argparse
import gc
import importlib
import inspect
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))


def main() -> int:
    """All cases, in several processes; 1 if any of them did what it must not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kinds", default="", help="only these, separated by commas")
    parser.add_argument("--keep", type=Path, help="folder for the inputs of the cases that fail")
    parser.add_argument("--log", type=Path, help="file for what every case did, as JSON lines")
    asked = parser.parse_args()
    if os.name == "nt":
        print("skipped: fuzzing needs fork and limits, which Windows has not")
        return 0
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        _imported()
        from fuzzing.bases import make

        base = Path(place) / "base"
        base.mkdir()
        if _child(lambda: make(base)):
            print("the bases cannot be made")
            return 1
        gc.collect()
        gc.freeze()  # so that no fork writes to what it shares
        before = _content(base)
        children = [os.fork() or _worker(asked, Path(place), i) for i in range(asked.jobs)]
        broken = [child for child in children if os.waitpid(child, 0)[1]]
        rows = [
            json.loads(line)
            for i in range(asked.jobs)
            for line in (Path(place) / f"{i}.jsonl").read_text().splitlines()
        ]
        changed = before != _content(base)
    if asked.log:
        asked.log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return _told(
        rows,
        time.monotonic() - began,
        [*(["a worker broke"] if broken else []), *(["bases changed"] if changed else [])],
    )


def _imported() -> None:
    """What all commands import is imported once."""
    import fuzzing.kinds  # noqa: F401
    import rasterio  # noqa: F401
    import torch
    import typer

    import bandfuse
    import bandfuse.cli.commands
    import bandfuse.config.commands
    import bandfuse.config.inputs
    import bandfuse.config.outputs
    import bandfuse.config.train
    import bandfuse.results.batches
    import bandfuse.results.others
    import bandfuse.results.rasters
    import bandfuse.results.runs
    import bandfuse.results.training
    from bandfuse.batches import batch  # noqa: F401
    from bandfuse.report import html  # noqa: F401
    from bandfuse.tools import check, export, report  # noqa: F401

    torch.set_num_threads(1)
    for module in (
        "rich.console",
        "rich.table",
        "rich.text",
        "matplotlib.figure",
        "matplotlib.backends.backend_svg",
        "torch.optim",
    ):
        importlib.import_module(module)
    every = vars(bandfuse.config).values()
    for models in filter(inspect.ismodule, (*every, *vars(bandfuse.results).values())):
        for model in vars(models).values():
            if (
                isinstance(model, type)
                and hasattr(model, "model_rebuild")
                and model.__module__ == models.__name__
            ):
                model.model_rebuild(force=True)
    typer.main.get_command(bandfuse.cli.commands.app_of())
    for name in bandfuse.__all__:
        getattr(bandfuse, name)


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def _child(work: Callable[[], None]) -> int:
    """Work done in a fork, as threads that it leaves would make later forks wait for them; its exit
    code."""
    child = os.fork()
    if not child:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def _worker(asked: argparse.Namespace, place: Path, number: int) -> int:
    """A process that runs every so many-th case; it does not return."""
    code = 1
    try:
        with open(place / f"{number}.jsonl", "w", encoding="utf-8") as stream:
            for case in range(asked.first + number, asked.first + asked.cases, asked.jobs):
                stream.write(json.dumps(_one(asked, place, case)) + "\n")
                stream.flush()
        code = 0
    except BaseException:  # noqa: BLE001 (a fork must not go on as its parent)
        traceback.print_exc()
    finally:
        os._exit(code)


def _one(asked: argparse.Namespace, place: Path, number: int) -> dict[str, object]:
    """Make and run a case."""
    from fuzzing.kinds import KINDS
    from fuzzing.server import Case, ran

    rng = Random(f"{asked.seed}/{number}")
    known = asked.kinds.split(",") if asked.kinds else sorted(KINDS)
    kind = known[number % len(known)]
    folder = place / f"case{number}"
    folder.mkdir()
    arguments = [a.replace("\0", "") for a in KINDS[kind](place / "base", folder, rng)]
    kept = asked.keep and asked.keep / f"{number}-{kind}"
    if kept:
        shutil.copytree(
            folder,
            kept,
            dirs_exist_ok=True,
            ignore=lambda d, names: [n for n in names if n == "fifo"],
        )
    ended = ran(Case(kind, arguments, folder))
    if kept and not ended.faults:
        shutil.rmtree(kept)
    shutil.rmtree(folder)
    return {
        "number": number,
        "kind": kind,
        "command": arguments[0],
        "arguments": arguments,
        "code": ended.code,
        "seconds": ended.seconds,
        "memory": ended.memory,
        "faults": ended.faults,
        "err": ended.err[-1500:],
    }


def _is_excepted(row: dict[str, object]) -> bool:
    """Whether all that is wrong about a case is a crash inside libhdf5, which bandfuse cannot
    answer for."""
    from fuzzing.server import LIBRARY

    faults = list(row["faults"])  # type: ignore[call-overload]
    return bool(faults) and all(str(text).startswith(LIBRARY) for text in faults)


def _told(rows: list[dict[str, object]], seconds: float, more: list[str]) -> int:
    """Print what came of it; 1 if anything is wrong."""
    for row in rows:
        if row["faults"]:
            words = ascii(" ".join(map(str, row["arguments"])))[:160]  # type: ignore[call-overload]
            print(f"case {row['number']} ({row['kind']}): {row['faults']}\n  bandfuse {words}")
            print("  " + ascii(str(row["err"])[-300:]))
    codes = Counter(row["code"] for row in rows)
    excepted = sum(_is_excepted(row) for row in rows)
    faults = sum(bool(row["faults"]) for row in rows) - excepted
    used = sum(float(row["seconds"]) for row in rows)  # type: ignore[arg-type]
    most = max((int(row["memory"]) for row in rows), default=0) / 2**20  # type: ignore[call-overload]
    print(
        f"{len(rows)} cases, {faults} with faults; exit codes {dict(sorted(codes.items()))}; "
        f"{seconds:.0f} s, "
        f"{used:.0f} s of CPU; "
        f"at most {most:.0f} MB"
    )
    kinds = Counter(row["kind"] for row in rows)
    for kind, count in sorted(kinds.items()):
        mine = [row for row in rows if row["kind"] == kind]
        good = sum(row["code"] == 0 for row in mine)
        cost = 1000 * sum(float(row["seconds"]) for row in mine) / count  # type: ignore[arg-type]
        print(f"  {kind:10s} {count:6d} cases, {good:6d} exit 0, {cost:5.0f} ms")
    if excepted:
        from fuzzing.server import LIBRARY

        print(f"{excepted} of the cases of hdf, not counted as faults: {LIBRARY}")
    for text in more:
        print(text)
    return 1 if faults or more else 0


if __name__ == "__main__":
    sys.exit(main())
