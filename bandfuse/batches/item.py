"""Item: one item, done by whichever process. What comes back is small and says all that resuming
needs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bandfuse.batches.fingerprints import (
    Fingerprint,
    checksum,
    checksum_if_readable,
    claim,
    fingerprint,
    inputs_of,
    output_files,
)
from bandfuse.batches.plan import Item
from bandfuse.config.commands import ApplyConfig, EvaluateConfig, SharpenConfig
from bandfuse.config.train import TrainConfig
from bandfuse.errors import BandfuseError, InputError, RunError, is_transient
from bandfuse.files.guards import check_file
from bandfuse.files.whole import whole_files
from bandfuse.progress import Progress, silent
from bandfuse.results.base import Scores
from bandfuse.results.rasters import EvaluateResult
from bandfuse.streaming.stream import Spread

T = TypeVar("T")

Found = dict[str, Any]
"""What came of an item, for the journal."""


@dataclass(frozen=True)
class Allowance:
    """What one of several workers may take: threads, and megabytes for pixels (None: as one
    alone). ``spread``: has passes over pixels done in parts by others."""

    threads: int | None = None
    memory: int | None = None
    spread: Spread | None = None


def ticking(unwanted: Callable[[], bool]) -> Progress:
    """The progress that shows nothing, and ends what goes on at its next step once that is
    unwanted."""

    def tick(items: Iterable[T], total: int, label: str) -> Iterator[T]:
        for item in items:
            if unwanted():
                raise RunError("stopped")
            yield item

    return tick


def work_all(items: Sequence[Item], share: Allowance, progress: Progress = silent) -> list[Found]:
    """Do items one after the other."""
    every = progress(items, total=len(items), label="items")
    return [work(item, share, progress) for item in every]


def work(item: Item, share: Allowance, progress: Progress = silent) -> Found:
    """Do one item. Failures come back as results: ``reason`` in one line, and whether it may be
    ``transient``."""
    started = time.perf_counter()
    try:
        for output in item.outputs:
            Path(output).parent.mkdir(parents=True, exist_ok=True)
        inputs = [fingerprint(p) for p in inputs_of(item)]
        found = _TOOLS[item.kind](item, share, progress)
        known = found.pop("sums", {})
        summed = checksum_if_readable if found.get("left_out") else checksum
        for one in inputs:
            one["sha256"] = known.get(one["path"]) or summed(one["path"])
        _require_same(inputs)
        written = (p for output in item.outputs for p in output_files(output))
        outputs = [fingerprint(p, content=False) for p in written]
    except BandfuseError as error:
        return _failure(str(error), started, transient=is_transient(error))
    except OSError as error:
        return _failure(f"the system says: {error}", started, transient=is_transient(error))
    except Exception as error:  # noqa: BLE001  (whatever one scene does must not stop the others)
        return _failure(f"unexpected {type(error).__name__}: {error}", started, transient=False)
    return {"seconds": time.perf_counter() - started, "inputs": inputs, "outputs": outputs, **found}


def _require_same(inputs: Sequence[Fingerprint]) -> None:
    """The inputs are what they were when the work began.

    Raises
    ------
    InputError : one was changed meanwhile; worth another try.
    """
    for one in inputs:
        now = fingerprint(one["path"], content=False)
        if any(now[key] != one[key] for key in now):
            raise InputError(f"{one['path']} was changed while it was read") from InterruptedError(
                one["path"]
            )


def _failure(reason: str, started: float, *, transient: bool) -> Found:
    text = " ".join(reason.split())
    return {"reason": text, "transient": transient, "seconds": time.perf_counter() - started}


def _train(item: Item, share: Allowance, progress: Progress) -> Found:
    from bandfuse.batches.cache import from_cache
    from bandfuse.tools.train import Beside, train

    ready = partial(_claim, item, progress)
    values = _settings(item, share)
    if item.cache is None:
        config = TrainConfig(**values)
        report, messages = train(config, progress, ready=ready, spread=share.spread)
    else:
        cached = from_cache(values, item.cache, progress)
        beside = Beside(cached.named, cached.left_out)
        config = TrainConfig(**cached.values)
        report, messages = train(config, progress, ready=ready, beside=beside)
    scores = _mean(report.scores.holdout or report.scores.train)
    sums = {file.path: file.sha256 for file in report.inputs}
    return {
        "scores": scores,
        "messages": messages,
        "device": report.devices,
        "seed": report.seed,
        "sums": sums,
        "left_out": report.left_out,
    }


def _apply(item: Item, share: Allowance, progress: Progress) -> Found:
    from bandfuse.tools.apply import apply

    ready = partial(_claim, item, progress)
    config = ApplyConfig(**_settings(item, share))
    result = apply(str(item.weights), config, progress, ready=ready, spread=share.spread)
    return {"scores": {"valid_share": result.valid_share}, "messages": result.messages}


def _evaluate(item: Item, share: Allowance, progress: Progress) -> Found:
    from bandfuse.tools.evaluate import evaluate

    settings = _settings(item, share)
    path, overwrite = Path(settings.pop("output")), settings.pop("overwrite")
    inputs = [Path(p) for p in inputs_of(item)]
    seen = check_file(path, overwrite=overwrite, inputs=inputs)
    result = evaluate(str(item.weights), EvaluateConfig(**settings), progress)
    with whole_files(path, inputs, partial(_claim, item, progress), seen) as scratch:
        scratch.write_text(result.model_dump_json(indent=1), encoding="utf-8")
    return {"scores": _evaluated(result), "messages": result.messages}


def _evaluated(result: EvaluateResult) -> dict[str, float]:
    """Each score's mean over the outputs; of a sharpening the scores over all bands, and the mean
    gain over interpolation."""
    means = _mean(result.scores)
    if result.sharpened is None:
        return means
    known = {name: value for name, value in result.overall.items() if value is not None}
    return known | ({"gained": means["gained"]} if "gained" in means else {})


def _sharpen(item: Item, share: Allowance, progress: Progress) -> Found:
    from bandfuse.tools.sharpen import sharpen

    ready = partial(_claim, item, progress)
    result = sharpen(SharpenConfig(**_settings(item, share)), progress, ready=ready)
    return {"scores": {"sharpened_share": result.sharpened_share}, "messages": result.messages}


def _claim(item: Item, progress: Progress, scratch: Path) -> None:
    """Before an output takes its place: the last step at which unwanted work ends. Each of an
    item's outputs has a scratch folder of its own."""
    for _ in progress((None,), total=1, label="place"):
        claim(next(o for o in item.outputs if _lies_in(o, scratch)), scratch)


def _lies_in(output: str, scratch: Path) -> bool:
    """Whether a scratch folder is that of an output."""
    path = Path(output)
    return scratch.parent == path.parent and os.path.lexists(scratch / path.name)


_TOOLS = {
    "train": _train,
    "train-apply": _train,
    "apply": _apply,
    "evaluate": _evaluate,
    "sharpen": _sharpen,
}


def _settings(item: Item, share: Allowance) -> dict[str, Any]:
    """What the tool is given. What the batch itself has left at the output is replaced."""
    given = {"threads": share.threads, "memory": share.memory}
    return {
        **{k: v for k, v in given.items() if v is not None},
        **item.values,
        "output": item.output,
        "overwrite": item.own,
    }


def _mean(scores: Scores) -> dict[str, float]:
    """Each score's mean over the outputs that have it."""
    names = dict.fromkeys(name for row in scores.values() for name in row)
    known = {n: [v for row in scores.values() if (v := row.get(n)) is not None] for n in names}
    return {name: sum(values) / len(values) for name, values in known.items() if values}
