"""Work: one item, done by whichever process; what comes back is small and says all that resuming needs."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandfuse.batches.plan import Item
from bandfuse.config import ApplyConfig, EvaluateConfig, TrainConfig
from bandfuse.errors import BandfuseError
from bandfuse.output import whole_files
from bandfuse.results import Scores
from bandfuse.stream import Spread
from bandfuse.tools.effort import elsewhere

SIDECARS = (".hdr", ".aux.xml", ".msk", ".ovr")
"""What may lie beside an input and be read with it."""

Mark = dict[str, Any]
"""A file as it was: path, size, mtime_ns, and sha256 of inputs."""

Found = dict[str, Any]
"""What came of an item, for the journal."""


@dataclass(frozen=True)
class Share:
    """What one of several workers may take: threads, and megabytes for pixels (None: as one alone)."""

    threads: int | None = None
    memory: int | None = None


def size_of(paths: Sequence[str]) -> int:
    """Bytes of those that are files."""
    return sum(os.path.getsize(p) for p in paths if os.path.isfile(p))


def work_all(items: Sequence[Item], share: Share) -> list[Found]:
    """Do items one after the other."""
    return [work(item, share) for item in items]


def work_in_parts(items: Sequence[Item], share: Share, spread: Spread) -> list[Found]:
    """Do items, their passes over pixels in parts by others."""
    with elsewhere(spread):
        return work_all(items, share)


def work(item: Item, share: Share) -> Found:
    """Do one item. Failures come back as results: ``reason`` in one line, and whether it may be ``transient``."""
    started = time.perf_counter()
    inputs = [mark(p) for p in with_sidecars(item.inputs)]
    try:
        found = _TOOLS[item.kind](item, share)
    except BandfuseError as error:
        return _failure(str(error), started, transient=_is_transient(error))
    except Exception as error:  # noqa: BLE001  (whatever one scene does must not stop the others)
        return _failure(f"unexpected {type(error).__name__}: {error}", started, transient=isinstance(error, OSError))
    known = found.pop("sums", {})
    for one in inputs:
        one["sha256"] = known.get(one["path"]) or checksum(one["path"])
    outputs = [mark(p, content=False) for p in _files(item.output)]
    return {"seconds": time.perf_counter() - started, "inputs": inputs, "outputs": outputs, **found}


def _failure(reason: str, started: float, *, transient: bool) -> Found:
    text = " ".join(reason.split())
    return {"reason": text, "transient": transient, "seconds": time.perf_counter() - started}


def _is_transient(error: BaseException | None) -> bool:
    """Input or output failed on the way: worth another try."""
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | IsADirectoryError):
            return True
        error = error.__cause__
    return False


def _train(item: Item, share: Share) -> Found:
    from bandfuse.tools.train import train

    report, messages = train(TrainConfig(**_settings(item, share)))
    scores = _mean(report.scores.holdout or report.scores.train)
    sums = {file.path: file.sha256 for file in report.inputs}
    return {
        "scores": scores, "messages": messages, "device": report.device, "seed": report.seed, "sums": sums,
        "left_out": report.left_out,
    }  # fmt: skip


def _apply(item: Item, share: Share) -> Found:
    from bandfuse.tools.apply import apply

    result = apply(str(item.weights), ApplyConfig(**_settings(item, share)))
    return {"scores": {"valid_share": result.valid_share}, "messages": result.messages}


def _evaluate(item: Item, share: Share) -> Found:
    from bandfuse.tools.evaluate import evaluate

    settings = _settings(item, share)
    path = Path(settings.pop("output"))
    result = evaluate(str(item.weights), EvaluateConfig(**settings))
    with whole_files(path) as scratch:
        scratch.write_text(result.model_dump_json(indent=1), encoding="utf-8")
    return {"scores": _mean(result.scores), "messages": []}


_TOOLS = {"train": _train, "train-apply": _train, "apply": _apply, "evaluate": _evaluate}


def _settings(item: Item, share: Share) -> dict[str, Any]:
    """What the tool is given. What stands at the output is an earlier try of the same batch."""
    given = {"threads": share.threads, "memory": share.memory}
    return {**{k: v for k, v in given.items() if v is not None}, **item.values,
            "output": item.output, "overwrite": True}  # fmt: skip


def _mean(scores: Scores) -> dict[str, float]:
    """Each score's mean over the outputs that have it."""
    names = dict.fromkeys(name for row in scores.values() for name in row)
    known = {n: [v for row in scores.values() if (v := row.get(n)) is not None] for n in names}
    return {name: sum(values) / len(values) for name, values in known.items() if values}


def with_sidecars(paths: Sequence[str]) -> list[str]:
    """Files on the file system, with what lies beside them; of a folder, all that is in it."""
    found: dict[str, None] = {}
    inside = (str(p) for text in paths if os.path.isdir(text) for p in sorted(Path(text).rglob("*")))
    for text in (*paths, *inside):
        beside = [text, *(text + e for e in SIDECARS), *(str(Path(text).with_suffix(e)) for e in SIDECARS[:1])]
        found.update(dict.fromkeys(p for p in beside if os.path.isfile(p)))
    return list(found)


def mark(path: str, *, content: bool = True) -> Mark:
    """A file as it is; its checksum is to follow if its content counts."""
    state = os.stat(path)
    return {"path": path, "size": state.st_size, "mtime_ns": state.st_mtime_ns, **({"sha256": ""} if content else {})}


def checksum(path: str) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(output: str) -> list[str]:
    """The files of an output: a run folder's or a store's own (not those below), or the file and what lies beside."""
    path = Path(output)
    if path.is_dir():
        return [str(p) for p in sorted(path.iterdir()) if p.is_file()]
    beside = [*(str(path) + e for e in SIDECARS), str(path.with_name(f"{path.stem}.stac.json"))]
    return [str(path), *(p for p in beside if os.path.isfile(p))]


def unchanged(event: dict[str, Any], item: Item) -> bool:
    """Whether an earlier ``done`` of an item still holds: same settings, same inputs, outputs as they were left.

    An input of another time is read: what counts is its content.
    """
    if event.get("settings") != item.settings_hash:
        return False
    return _same_outputs(event["outputs"]) and _same_inputs(event["inputs"], item)


def _same_outputs(marks: Sequence[Mark]) -> bool:
    return all(os.path.isfile(m["path"]) and mark(m["path"], content=False) == m for m in marks)


def _same_inputs(marks: Sequence[Mark], item: Item) -> bool:
    now = with_sidecars(item.inputs)
    if now != [m["path"] for m in marks]:
        return False
    for m in marks:
        state = os.stat(m["path"])
        if (state.st_size, state.st_mtime_ns) == (m["size"], m["mtime_ns"]):
            continue
        if state.st_size != m["size"] or checksum(m["path"]) != m["sha256"]:
            return False
    return True
