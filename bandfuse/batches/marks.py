"""Marks: files as they were when an item was done, and whether they still are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bandfuse.batches.plan import Item
from bandfuse.errors import UsageError
from bandfuse.output import whole_files
from bandfuse.placing import sync
from bandfuse.raster import describe

SIDECARS = (".hdr", ".aux.xml", ".msk", ".ovr")
"""What may lie beside an input and be read with it."""

NOT_READ = ("output", "checkpoint")
"""Settings that name files, but no inputs."""

Mark = dict[str, Any]
"""A file as it was: path, size, mtime_ns, and sha256 of inputs."""


def size_of(paths: Sequence[str]) -> int:
    """Bytes of those that are files."""
    return sum(os.path.getsize(p) for p in paths if os.path.isfile(p))


def mark(path: str, *, content: bool = True) -> Mark:
    """A file as it is; its checksum is to follow if its content counts."""
    state = os.stat(path)
    return {"path": path, "size": state.st_size, "mtime_ns": state.st_mtime_ns, **({"sha256": ""} if content else {})}


def checksum(path: str) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def inputs_of(item: Item) -> list[str]:
    """Every file on the file system that an item reads: what is named, what lies beside it, and what GDAL reads for
    it: the parts of a mosaic or a product."""
    named = named_by(item)
    rasters = (path for path in item.inputs if path != item.weights)
    return list(dict.fromkeys([*named, *(p for path in rasters for p in _read_for(path))]))


def named_by(item: Item) -> list[str]:
    """The files that an item and its settings name, and what lies beside them."""
    settings = [p for key, value in item.values.items() if key not in NOT_READ for p in _paths_in(value)]
    return with_sidecars([*map(on_disk, item.inputs), *settings])


def _read_for(path: str) -> Iterator[str]:
    """What GDAL reads for a raster; nothing for what is none, which is said when it is used."""
    try:
        raster = describe(path)
    except UsageError:
        return
    yield from (p for p in map(on_disk, (raster.path, *raster.files)) if os.path.isfile(p))


def _paths_in(value: object) -> Iterator[str]:
    """The files in a setting: ``FILE``, ``NAME=FILE`` and ``file:FILE``, one or several."""
    if isinstance(value, str):
        bare = (value, value.partition("=")[2], value.removeprefix("file:"))
        yield from (text for text in dict.fromkeys(bare) if os.path.isfile(text))
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _paths_in(one)


def on_disk(path: str) -> str:
    """The file that a path of GDAL's virtual file systems lies in: the archive of ``/vsizip/a.zip/b.tif``."""
    if not path.startswith("/vsi"):
        return path
    parts = [p for p in path.split("/")[2:] if p and not p.startswith("vsi")]
    heads = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((p for head in heads for p in (f"/{head}", head) if os.path.isfile(p)), path)


def with_sidecars(paths: Sequence[str]) -> list[str]:
    """Files on the file system, with what lies beside them; of a folder, all that is in it."""
    found: dict[str, None] = {}
    inside = (str(p) for text in paths if os.path.isdir(text) for p in sorted(Path(text).rglob("*")))
    for text in (*paths, *inside):
        beside = [text, *(text + e for e in SIDECARS), *(str(Path(text).with_suffix(e)) for e in SIDECARS[:1])]
        found.update(dict.fromkeys(p for p in beside if os.path.isfile(p)))
    return list(found)


def output_files(output: str) -> list[str]:
    """The files of an output: a run folder's or a store's own (not those below), or the file and what lies beside."""
    path = Path(output)
    if path.is_dir():
        return [str(p) for p in sorted(path.iterdir()) if p.is_file()]
    return [
        *with_sidecars([output]),
        *(p for p in [str(path.with_name(f"{path.stem}.stac.json"))] if os.path.isfile(p)),
    ]


def claim_of(output: str) -> Path:
    """The file that tells what is about to stand at an output, until the journal tells it."""
    path = Path(output)
    return path.with_name(f".{path.name}.claim")


def claim(output: str, scratch: Path) -> None:
    """Write down the files of an output that is whole, before they take their place: if all ends suddenly then, the
    next run knows them."""
    main, marks = scratch / Path(output).name, []
    folder = main if main.is_dir() else scratch
    for file in sorted(p for p in folder.iterdir() if p.is_file()):
        final = Path(output).parent / file.relative_to(scratch)
        marks.append({**mark(str(file), content=False), "path": str(final)})
    with whole_files(claim_of(output)) as made:
        made.write_text(json.dumps(marks), encoding="utf-8")
        sync(made)


def claimed(output: str) -> list[Mark] | None:
    """The files that were about to stand at an output; None if nothing tells."""
    try:
        return list(json.loads(claim_of(output).read_bytes()))
    except (OSError, ValueError):
        return None


def unclaim(output: str) -> None:
    """Take away what told of an output that the journal tells of. If that fails, the next run does it."""
    with suppress(OSError):
        claim_of(output).unlink()


def is_own(output: str, versions: Iterable[Sequence[Mark]]) -> bool:
    """Whether what stands at an output is what the batch wrote: one of the versions, as far as its files are there."""
    if not os.path.lexists(output):
        return True
    here = {os.path.basename(p): mark(p, content=False) for p in output_files(output)}
    return any(_is_version(output, here, marks) for marks in versions)


def _is_version(output: str, here: Mapping[str, Mark], marks: Sequence[Mark]) -> bool:
    """Files are compared by name, size and time: the folder may have another name now."""
    there = {os.path.basename(m["path"]): m for m in marks}
    shared = here.keys() & there.keys()
    needed = shared if os.path.isdir(output) else shared & {os.path.basename(output)}
    return bool(needed) and all(here[n][key] == there[n][key] for n in shared for key in ("size", "mtime_ns"))


def unchanged(event: dict[str, Any], item: Item) -> bool:
    """Whether an earlier ``done`` of an item still holds: same settings, same inputs, outputs as they were left.

    An input of another time is read: what counts is its content.
    """
    if event.get("settings") != item.settings_hash:
        return False
    try:
        return _same_outputs(event["outputs"]) and _same_inputs(event["inputs"], item)
    except OSError:
        return False


def _same_outputs(marks: Sequence[Mark]) -> bool:
    return all(os.path.isfile(m["path"]) and mark(m["path"], content=False) == m for m in marks)


def _same_inputs(marks: Sequence[Mark], item: Item) -> bool:
    """All that was read is as it was, and nothing has come beside it."""
    if not set(named_by(item)) <= {m["path"] for m in marks}:
        return False
    for m in marks:
        state = os.stat(m["path"])
        if (state.st_size, state.st_mtime_ns) == (m["size"], m["mtime_ns"]):
            continue
        if state.st_size != m["size"] or checksum(m["path"]) != m["sha256"]:
            return False
    return True
