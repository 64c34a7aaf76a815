"""Fingerprints: files as they were when an item was done, and whether they still are."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bandfuse.batches.plan import RUN_FILE, Item
from bandfuse.config.paths import PATHS
from bandfuse.errors import UsageError
from bandfuse.files.placing import sync
from bandfuse.files.styles import ENDING as STYLE
from bandfuse.files.styles import is_style_of
from bandfuse.files.whole import whole_files
from bandfuse.raster import SHAPEFILE, describe

SIDECARS = (".hdr", ".aux.xml", ".msk", ".ovr")
"""What may lie beside an input and be read with it."""

NOT_READ = ("output", "checkpoint", "uncertainty")
"""Settings that name files, but no inputs."""

Fingerprint = dict[str, Any]
"""A file or folder as it was: path, size, mtime_ns, the listing of a folder, and sha256 of
inputs."""


def size_of(paths: Sequence[str]) -> int:
    """Bytes of those that are files or folders."""
    return sum(int(fingerprint(p)["size"]) for p in paths if os.path.exists(p))


def fingerprint(path: str, *, content: bool = True) -> Fingerprint:
    """A file or folder as it is; its checksum is to follow if its content counts."""
    later = {"sha256": ""} if content else {}
    if os.path.isdir(path):
        return {"path": path, **_listing(path), **later}
    state = os.stat(path)
    return {"path": path, "size": state.st_size, "mtime_ns": state.st_mtime_ns, **later}


def _files_below(folder: str) -> Iterator[tuple[str, str]]:
    """Every file below a folder in a fixed order: its name from there, and its path."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (
            (os.path.relpath(p, folder), p)
            for name in sorted(names)
            if (p := os.path.join(place, name))
        )


def _listing(folder: str) -> Fingerprint:
    """All files of a folder in one mark, however many they are: their size, the newest time, and a
    checksum of all names, sizes and times."""
    size = newest = 0
    told = hashlib.sha256()
    for name, path in _files_below(folder):
        state = os.lstat(path)
        size, newest = size + state.st_size, max(newest, state.st_mtime_ns)
        told.update(json.dumps([name, state.st_size, state.st_mtime_ns]).encode())
    return {"size": size, "mtime_ns": newest, "listing": told.hexdigest()}


def checksum(path: str) -> str:
    """SHA-256 of a file; of a folder's names and the checksums of its files."""
    if os.path.isdir(path):
        every = [(name, checksum(p)) for name, p in _files_below(path)]
        return hashlib.sha256(json.dumps(every).encode()).hexdigest()
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checksum_if_readable(path: str) -> str:
    """The checksum; empty where the system does not let us read."""
    try:
        return checksum(path)
    except PermissionError:
        return ""


def inputs_of(item: Item) -> list[str]:
    """Every file on the file system that an item reads: what is named, what lies beside it, and
    what GDAL reads for it: the parts of a mosaic or a product. A folder stands for all files in
    it."""
    named = named_by(item)
    rasters = (path for path in item.inputs if path != item.weights)
    folders = tuple(os.path.join(p, "") for p in named if os.path.isdir(p))
    read = (p for path in rasters for p in _read_for(path) if not p.startswith(folders))
    return list(dict.fromkeys([*named, *read]))


def named_by(item: Item) -> list[str]:
    """The files that an item and its settings name, and what lies beside them."""
    read = {key: value for key, value in item.values.items() if key not in NOT_READ}
    settings = [p for key, value in read.items() for p in _paths_in(value, folders=key in PATHS)]
    return with_sidecars([*map(on_disk, item.inputs), *settings])


def _read_for(path: str) -> Iterator[str]:
    """What GDAL reads for a raster; nothing for what is none, which is said when it is used."""
    try:
        raster = describe(path)
    except UsageError:
        return
    yield from (p for p in map(on_disk, (raster.path, *raster.files)) if os.path.isfile(p))


def _paths_in(value: object, *, folders: bool) -> Iterator[str]:
    """The files (and ``folders``) in a setting: ``FILE``, ``NAME=FILE`` and ``file:FILE``, one or
    several."""
    if isinstance(value, str):
        bare = (value, value.partition("=")[2], value.removeprefix("file:"))
        places = dict.fromkeys(on_disk(text) for text in bare if text)
        yield from (p for p in places if os.path.isfile(p) or (folders and os.path.isdir(p)))
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _paths_in(one, folders=folders)


def on_disk(path: str) -> str:
    """The file that a path of GDAL's lies in: the archive of ``/vsizip/a.zip/b.tif``, the store of
    ``ZARR:"a.zarr":/b``."""
    if subdataset := _SUBDATASET.fullmatch(path):
        return subdataset[1] if os.path.exists(subdataset[1]) else path
    if not path.startswith("/vsi"):
        return path
    parts = [p for p in path.split("/")[2:] if p and not p.startswith("vsi")]
    heads = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((p for head in heads for p in (f"/{head}", head) if os.path.isfile(p)), path)


_SUBDATASET = re.compile(r'[A-Za-z][A-Za-z0-9_]+:"([^"]+)".*')


def _replacing(path: str) -> Sequence[str]:
    """Endings that files beside one have in place of its own."""
    shapefile = path.lower().endswith(".shp")
    return (*SIDECARS[:1], *(SHAPEFILE if shapefile else ()))


def with_sidecars(paths: Sequence[str]) -> list[str]:
    """Files and folders on the file system, with what lies beside files."""
    found: dict[str, None] = {}
    for text in paths:
        beside = [
            text,
            *(text + e for e in SIDECARS),
            *(str(Path(text).with_suffix(e)) for e in _replacing(text)),
        ]
        found.update(
            dict.fromkeys(
                p for p in beside if os.path.isfile(p) or (p == text and os.path.isdir(p))
            )
        )
    return list(found)


def output_files(output: str) -> list[str]:
    """What an output is made of: a run folder's own files, a store's files and the folders of its
    arrays, or the file and what lies beside."""
    path = Path(output)
    if path.is_dir():
        return [str(p) for p in _parts(path)]
    item, style = (path.with_name(f"{path.stem}{ending}") for ending in (".stac.json", STYLE))
    return [
        *with_sidecars([output]),
        *([str(item)] if item.is_file() else []),
        *([str(style)] if is_style_of(style, path) else []),
    ]


def _parts(folder: Path) -> list[Path]:
    """The files of a folder, and the folders of one that is no run."""
    whole = not (folder / RUN_FILE).exists()
    return sorted(p for p in folder.iterdir() if p.is_file() or (whole and p.is_dir()))


def claim_of(output: str) -> Path:
    """The file that tells what is about to stand at an output, until the journal tells it."""
    path = Path(output)
    return path.with_name(f".{path.name}.claim")


def claim(output: str, scratch: Path) -> None:
    """Write down the files of an output that is whole, before they take their place: if all ends
    suddenly then, the next run knows them."""
    main, fingerprints = scratch / Path(output).name, []
    folder = main if main.is_dir() else scratch
    for file in _parts(folder):
        final = Path(output).parent / file.relative_to(scratch)
        fingerprints.append({**fingerprint(str(file), content=False), "path": str(final)})
    with whole_files(claim_of(output)) as made:
        made.write_text(json.dumps(fingerprints), encoding="utf-8")
        sync(made)


def claimed(output: str) -> list[Fingerprint] | None:
    """The files that were about to stand at an output; None if nothing tells."""
    try:
        return list(json.loads(claim_of(output).read_bytes()))
    except (OSError, ValueError):
        return None


def unclaim(output: str) -> None:
    """Take away what told of an output that the journal tells of. If that fails, the next run does
    it."""
    with suppress(OSError):
        claim_of(output).unlink()


def is_own(output: str, versions: Iterable[Sequence[Fingerprint]]) -> bool:
    """Whether what stands at an output is what the batch wrote: one of the versions, as far as its
    files are there."""
    if not os.path.lexists(output):
        return True
    here = {os.path.basename(p): fingerprint(p, content=False) for p in output_files(output)}
    return any(_is_version(output, here, fingerprints) for fingerprints in versions)


def _is_version(
    output: str, here: Mapping[str, Fingerprint], fingerprints: Sequence[Fingerprint]
) -> bool:
    """Files are compared by name, size and time, folders by those of all their files: the folder
    may have another name now, and only if it has, another one with a file of this name counts."""
    there = {os.path.basename(m["path"]): m for m in reversed(fingerprints)}
    folder = output if os.path.isdir(output) else os.path.dirname(output)
    here_still = [m for m in fingerprints if os.path.dirname(m["path"]) == folder]
    there |= {os.path.basename(m["path"]): m for m in here_still}
    shared = here.keys() & there.keys()
    needed = shared if os.path.isdir(output) else shared & {os.path.basename(output)}
    known = ("size", "mtime_ns", "listing")
    return bool(needed) and all(
        here[n].get(key) == there[n].get(key) for n in shared for key in known
    )


def unchanged(event: dict[str, Any], item: Item) -> bool:
    """Whether an earlier ``done`` of an item still holds: same settings, same inputs, outputs as
    they were left.

    An input of another time is read: what counts is its content. Where scenes were left out, it is
    looked too whether one of them may work now: a file that GDAL would read for it has come, or can
    be read by now."""
    if event.get("settings") != item.settings_hash:
        return False
    needed = inputs_of if event.get("left_out") else named_by
    try:
        return _same_outputs(event["outputs"]) and _same_inputs(event["inputs"], needed(item))
    except OSError:
        return False


def _same_outputs(fingerprints: Sequence[Fingerprint]) -> bool:
    return all(
        os.path.exists(m["path"]) and fingerprint(m["path"], content=False) == m
        for m in fingerprints
    )


def _same_inputs(fingerprints: Sequence[Fingerprint], needed: Iterable[str]) -> bool:
    """All that was read is as it was, and nothing has come beside it."""
    return set(needed) <= {m["path"] for m in fingerprints} and all(map(_same_input, fingerprints))


def _same_input(before: Fingerprint) -> bool:
    """Whether a file has the content that it had; one that could not be read, whether it still
    cannot."""
    path, now = before["path"], fingerprint(before["path"], content=False)
    if not before["sha256"]:
        return not os.access(path, os.R_OK) and all(before.get(key) == now[key] for key in now)
    if all(before.get(key) == now[key] for key in now):
        return True
    return bool(before["size"] == now["size"] and checksum(path) == before["sha256"])
