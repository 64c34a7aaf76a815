"""The moments file: what passes over scenes leave, as a safetensors file whose metadata holds one
JSON document. It holds data only; nothing in it is run.

The metadata has one key, ``bandfuse_moments``: JSON with ``version`` and ``scenes``, a list. Of the
scene at place i the tensors are called ``i.NAME``. V are the variables that were counted: wanted
bands, then bands of the target or the class, then slopes; J those of the sample: used bands, and
the same after them; D those of the moments: J, without the class.

======================  ==============  ============================================================
tensor                  shape           what it holds
======================  ==============  ============================================================
``strata``              (S, 3) int64    block, class (0 without classes), number of pixels
``means``               (S, D)          means
``scatters``            (S, D, D)       ``Σ (z − mean)(z − mean)ᵀ``
``noise_strata``        (M, 3) int64    the same of differences of neighbours divided by √2, over
``noise_means``         (M, used)       the used bands; the class is −1
``noise_scatters``      (M, used, used)
``counts``              (3, V) int64    valid values, and how many are at the least and at the
                                        greatest value, where these are many
``ends``                (2, V)          least and greatest valid value, NaN where not told
``high``                (J,)            greatest values over the used pixels, NaN where not told
``sample_key``          (n,) uint64     hashes of the pixels of the sample, ascending
``sample_place``        (n, 3) int64    0, row, column
``sample_values``       (n, J)          float64, or float32 where that holds the same numbers
``look_counts``         (3, W) int64    as ``counts`` and ``ends``, of the wanted bands in the
``look_ends``           (2, W)          windows that were looked at first
``look_mean``           (W,)            moments of one cell of each of these windows
``look_scatter``        (W, W)
``look_sample``         (W, m)          some of their pixels, NaN where missing
``seen``, ``goals``     (5, W), (5, T)  low, high, mean, spread and typical size in these windows,
                                        of the wanted bands and of the target
======================  ==============  ============================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from bandfuse.device import Place
from bandfuse.errors import BandfuseError, InputError
from bandfuse.files.kinds import MOMENTS_KEY
from bandfuse.files.tensorparts import TensorParts
from bandfuse.moments.census import Census
from bandfuse.moments.moments import Moments
from bandfuse.moments.sample import Pixels
from bandfuse.moments.tally import NOISE, Tally
from bandfuse.scenes.scene_table import scene_of, scene_table
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.survey.scene_moments import SceneMoments
from bandfuse.survey.scout import Look

VERSION = 1

ENDING = ".moments"

LONGEST = 400
"""Characters that are shown of what is wrong."""

MOST_HEADER = 64 * 2**20
"""Bytes of a header at most: that of 1 000 scenes with 500 bands has half as many."""

MOST_SQUARES = 1e150
"""Sums of squares beyond this have products that overflow."""

Tensors = dict[str, np.ndarray]
Strata = dict[tuple[int, int], Moments]


def write_moments(path: Path, scenes: Iterable[SceneMoments]) -> None:
    """Write a file: the same moments always give the same bytes. Scenes are taken one after the
    other, and none is held: their tensors wait in a file without a name beside it, as a header of
    all of them comes first."""
    tables: list[str] = []
    with TemporaryFile(dir=path.parent) as waiting:
        parts = TensorParts(waiting)
        for i, scene in enumerate(scenes):
            tables.append(_text(_header(scene)))
            for name, values in _tensors(scene).items():
                parts.add(f"{i}.{name}", values)
        text = f'{{"scenes":[{",".join(tables)}],"version":{VERSION}}}'
        with open(path, "wb") as file:
            parts.write(file, {MOMENTS_KEY: text})


def _text(table: dict[str, Any]) -> str:
    return json.dumps(
        table, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":")
    )


def _header(scene: SceneMoments) -> dict[str, Any]:
    tally = scene.tally
    return {
        "scene": scene_table(scene.scene),
        "wanted": list(map(int, scene.wanted)),
        "used": list(map(int, scene.used)),
        "row_edges": list(map(int, scene.grid.row_edges)),
        "col_edges": list(map(int, scene.grid.col_edges)),
        "precision": scene.precision,
        "remarks": list(scene.remarks),
        "inputs": {path: [size, sha256] for path, (size, sha256) in scene.inputs.items()},
        "seed": scene.seed,
        "least": scene.least,
        "pixels": tally.used,
        "invalid": tally.invalid,
        "size": tally.size,
        "slopes": tally.slopes,
        "places": [[p.kind, p.reason, p.torch, p.card] for p in tally.places],
        "because": tally.because,
        "capacity": tally.pixels.capacity,
        "stored": str(tally.pixels.store.dtype),
        "seen": tally.census.seen,
        "look": [scene.look.census.seen, scene.look.moments.count],
    }


def _tensors(scene: SceneMoments) -> Tensors:
    tally, look = scene.tally, scene.look
    plain = {key: m for key, m in sorted(tally.strata.items()) if key[1] != NOISE}
    noise = {key: m for key, m in sorted(tally.strata.items()) if key[1] == NOISE}
    found = {
        **_strata(plain, tally.size, ""),
        **_strata(noise, len(scene.used), "noise_"),
        **_counted(tally.census, ""),
        **_counted(look.census, "look_"),
        "high": tally.high,
        "sample_key": tally.pixels.key,
        "sample_place": tally.pixels.place,
        "sample_values": _short(tally.pixels.rows),
        "look_mean": look.moments.mean,
        "look_scatter": look.moments.scatter,
        "look_sample": _short(look.sample),
        "seen": _values(look.seen),
    }
    return found if scene.goals is None else {**found, "goals": _values(scene.goals)}


def _strata(strata: Strata, size: int, name: str) -> Tensors:
    rows = [[block, stratum, m.count] for (block, stratum), m in strata.items()]
    return {
        f"{name}strata": np.array(rows, dtype=np.int64).reshape(-1, 3),
        f"{name}means": np.array([m.mean for m in strata.values()]).reshape(-1, size),
        f"{name}scatters": np.array([m.scatter for m in strata.values()]).reshape(-1, size, size),
    }


def _counted(census: Census, name: str) -> Tensors:
    return {
        f"{name}counts": np.array([census.valid, census.at_low, census.at_high], dtype=np.int64),
        f"{name}ends": np.array([census.low, census.high]),
    }


def _values(values: Values) -> Floats:
    return np.array([getattr(values, field.name) for field in fields(values)])


def _short(values: np.ndarray) -> np.ndarray:
    """In float32, where that holds the same numbers."""
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
    return short if np.array_equal(short, values, equal_nan=True) else values


def read_moments(path: str | Path) -> list[SceneMoments]:
    """The scenes of a file of moments.

    Raises
    ------
    InputError : missing, not a file of moments, truncated, of a newer version, wrong shapes, or
        numbers that are not finite.
    """
    return list(each_scene(path))


def each_scene(path: str | Path) -> Iterator[SceneMoments]:
    """The scenes of a file of moments one after the other; raises as :func:`read_moments`."""
    with _opened(Path(path)) as (tables, tensor):
        for i, table in enumerate(tables):
            yield _scene(table, _Tensors(tensor, i))


def one_scene(path: str | Path, number: int) -> SceneMoments:
    """The scene at one place of a file of moments; raises as :func:`read_moments`."""
    with _opened(Path(path)) as (tables, tensor):
        return _scene(tables[number], _Tensors(tensor, number))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[Any], Callable[[str], np.ndarray]]]:
    """What a file says of each of its scenes, and what reads a tensor by its name. What goes wrong
    is an InputError."""
    if not path.is_file():
        raise InputError(
            f"{path} does not exist" if not path.exists() else f"{path} is not a file",
            expected="a file that bandfuse moments has written",
        )
    try:
        _require_header(path)
        with safe_open(str(path), framework="numpy") as file:
            header = _document(str(path), file.metadata() or {})
            names = set(file.keys())

            def tensor(name: str) -> np.ndarray:
                if name not in names:
                    raise ValueError(f"tensor {name} is missing")
                found: np.ndarray = file.get_tensor(name)
                return found

            every = header["scenes"]
            if not isinstance(every, list) or not every:
                raise ValueError("no scene")
            yield every, tensor
    except SafetensorError as error:
        words = str(error).removeprefix("Error while deserializing header: ")
        raise InputError(
            f"{path} is not a file of moments",
            got=words if path.stat().st_size else "an empty file",
            expected="a file that bandfuse moments has written, whole",
        ) from error
    except InputError:
        raise
    except (BandfuseError, OSError, *_DAMAGED) as error:
        got = f"{type(error).__name__}: {error}"[:LONGEST]
        raise InputError(f"{path} is not a complete file of moments", got=got) from error


_DAMAGED = (
    *(KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError),
    *(RecursionError, MemoryError),
)
"""What reading a damaged document may raise."""


def _require_header(path: Path) -> None:
    with open(path, "rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
    if size > MOST_HEADER:
        raise InputError(
            f"{path} is not a file of moments",
            got=f"a header of {size} bytes",
            expected=f"at most {MOST_HEADER}",
        )


def _document(path: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    text = metadata.get(MOMENTS_KEY)
    if text is None:
        raise InputError(
            f"{path} is a safetensors file without moments",
            expected=f"metadata key {MOMENTS_KEY!r}, as bandfuse moments writes it",
        )
    header: dict[str, Any] = json.loads(text)
    version = int(header["version"])
    if version < 1:
        raise ValueError(f"version {version}")
    if version > VERSION:
        raise InputError(
            f"{path} was written by a newer bandfuse",
            got=f"version {version}",
            expected=f"version {VERSION} or older",
            remedy="Update bandfuse.",
        )
    return header


class _Tensors:
    """The tensors of one scene, each with the type and shape that it must have."""

    def __init__(self, tensor: Callable[[str], np.ndarray], number: int) -> None:
        self._tensor, self._number = tensor, number

    def __call__(
        self,
        name: str,
        shape: tuple[int | None, ...],
        dtypes: Sequence[str] = ("float64",),
        *,
        finite: bool = True,
    ) -> np.ndarray:
        """One of them; None in a shape stands for any length."""
        name = f"{self._number}.{name}"
        found = self._tensor(name)
        fits = len(found.shape) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, found.shape, strict=True)
        )
        if not fits or found.dtype.name not in dtypes:
            raise ValueError(
                f"tensor {name} is {found.dtype.name} of shape {found.shape}, not "
                f"{' or '.join(dtypes)} of shape {shape}"
            )
        if finite and found.dtype.kind == "f" and not np.isfinite(found).all():
            raise ValueError(f"tensor {name} holds numbers that are not finite")
        return found


WHOLE, ANY = ("int64",), ("float64", "float32")


def _scene(table: Mapping[str, Any], tensor: _Tensors) -> SceneMoments:
    scene = scene_of(table["scene"])
    wanted, used = _positions(table["wanted"]), _positions(table["used"])
    _require(bool(used) and set(used) <= set(wanted), "used bands that are not counted")
    _require(max(wanted) < len(scene.bands), "bands that the scene does not have")
    grid = BlockGrid(_edges(table["row_edges"]), _edges(table["col_edges"]))
    _require((grid.row_edges[-1], grid.col_edges[-1]) == scene.shape, "blocks of another shape")
    w = len(wanted)
    look = Look(
        _census(tensor, "look_", w, int(table["look"][0])),
        Moments(
            _natural(table["look"][1]),
            tensor("look_mean", (w,)),
            tensor("look_scatter", (w, w), finite=False),
        ),
        tensor("look_sample", (w, None), ANY, finite=False).astype(np.float64),
        Values(*tensor("seen", (5, w), finite=False)),
    )
    answers = scene.answers
    tally = _tally(table, tensor, (len(wanted), len(used), answers), scene.labels is not None)
    blocks = {block for block, _ in tally.strata}
    _require(all(0 <= block < grid.count for block in blocks), "blocks that are not in the scene")
    t = answers if scene.target is not None else None
    return SceneMoments(
        scene=scene,
        wanted=wanted,
        used=used,
        look=look,
        tally=tally,
        grid=grid,
        precision=_word(table["precision"], ("float64", "float32")),
        goals=None if t is None else Values(*tensor("goals", (5, t), finite=False)),
        remarks=tuple(map(str, table["remarks"])),
        inputs={str(p): (int(size), str(sha)) for p, (size, sha) in table["inputs"].items()},
        seed=int(table["seed"]),
        least=_natural(table["least"]),
    )


def _tally(
    table: Mapping[str, Any], tensor: _Tensors, sizes: tuple[int, int, int], classes: bool
) -> Tally:
    wanted, used, answers = sizes
    slopes = _natural(table["slopes"])
    joint = used + answers + slopes
    size = used if classes else joint
    _require(int(table["size"]) == size, f"moments of {table['size']} variables, not {size}")
    strata = _moments(tensor, "", size, lowest=0)
    noise = _moments(tensor, "noise_", used, lowest=NOISE)
    _require(all(key[1] == NOISE for key in noise), "noise of a class")
    pixels = _natural(table["pixels"])
    _require(sum(m.count for m in strata.values()) == pixels, "blocks that do not add up")
    high = tensor("high", (joint,), finite=False)
    _require(not np.isinf(high).any(), "greatest values that are infinite")
    return Tally(
        census=_census(tensor, "", wanted + answers + slopes, int(table["seen"])),
        pixels=_sample(table, tensor, joint),
        high=high,
        used=pixels,
        invalid={str(reason): _natural(n) for reason, n in table["invalid"].items()},
        strata={**strata, **noise},
        size=size,
        slopes=slopes,
        places=tuple(Place(*map(str, place)) for place in table["places"]),
        because=str(table["because"]),
    )


def _moments(tensor: _Tensors, name: str, size: int, lowest: int) -> Strata:
    rows = tensor(f"{name}strata", (None, 3), WHOLE)
    means = tensor(f"{name}means", (len(rows), size))
    scatters = tensor(f"{name}scatters", (len(rows), size, size))
    _require(bool((rows >= [0, lowest, 0]).all()), "negative counts or classes")
    for scatter in scatters:
        variance = scatter.diagonal()
        fits = (variance >= 0) & (variance < MOST_SQUARES)
        _require(bool(fits.all()), "variances out of range")
        near = 1e-6 * np.sqrt(np.outer(variance, variance))
        even = np.abs(scatter - scatter.T) <= near
        _require(bool(even.all()), "scatters that are not symmetric")
    found = {
        (int(block), int(stratum)): Moments(int(count), mean, scatter)
        for (block, stratum, count), mean, scatter in zip(rows, means, scatters, strict=True)
    }
    _require(len(found) == len(rows), "a block that is there twice")
    return found


def _census(tensor: _Tensors, name: str, size: int, seen: int) -> Census:
    valid, at_low, at_high = tensor(f"{name}counts", (3, size), WHOLE)
    low, high = tensor(f"{name}ends", (2, size), finite=False)
    _require(min(seen, int(min(valid.min(), at_low.min(), at_high.min()))) >= 0, "negative counts")
    return Census(seen, valid, low, high, at_low, at_high)


def _sample(table: Mapping[str, Any], tensor: _Tensors, joint: int) -> Pixels:
    key = tensor("sample_key", (None,), ("uint64",))
    place = tensor("sample_place", (len(key), 3), WHOLE)
    values = tensor("sample_values", (len(key), joint), ANY)
    rows, cols = int(table["row_edges"][-1]), int(table["col_edges"][-1])
    _require(bool((key[1:] >= key[:-1]).all()), "a sample that is not in order")
    _require(bool(((place >= 0) & (place < [1, rows, cols])).all()), "pixels outside the scene")
    capacity = _natural(table["capacity"])
    _require(len(key) <= capacity, "more pixels than the sample has room for")
    kept = np.float64 if _word(table["stored"], ANY) == "float64" else np.float32
    return Pixels(capacity, key, place, values.astype(kept))


def _positions(numbers: Sequence[int]) -> tuple[int, ...]:
    found = tuple(_natural(n) for n in numbers)
    _require(bool(found) and len(set(found)) == len(found), "bands that are there twice, or none")
    return found


def _edges(numbers: Sequence[int]) -> tuple[int, ...]:
    found = tuple(_natural(n) for n in numbers)
    rising = all(a < b for a, b in pairwise(found))
    _require(len(found) > 1 and found[0] == 0 and rising, "edges of blocks that do not ascend")
    return found


def _natural(number: Any) -> int:
    found = int(number)
    _require(found >= 0, f"{number} where a count is expected")
    return found


def _word(word: Any, known: Sequence[str]) -> str:
    _require(word in known, f"{word!r} where one of {', '.join(known)} is expected")
    return str(word)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
