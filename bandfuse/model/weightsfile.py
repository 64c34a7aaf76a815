"""The weights file: a safetensors file whose metadata holds one JSON document. The only door to
safetensors.

Tensors (float64): ``weight`` (K, B), ``gain`` (K,), ``offset`` (K,), and for per-scene weights
``scene_weight`` (S, K, B), ``scene_gain`` (S, K), ``scene_offset`` (S, K). Weights of a
reconstruction have ``decoder`` (B, K) and ``decoder_offset`` (B,), NaN where a band is not rebuilt.
The metadata has one key, ``bandfuse``: JSON with ``version``, ``activation``, ``nodata``,
``inputs`` and ``outputs`` (band tables by column) and ``scenes`` (keys).

Version 2 may hold ``seen`` too: for ``inputs`` and ``outputs`` the columns ``low``, ``high``,
``mean``, ``spread`` and ``typical`` of :class:`bandfuse.spectral.value_units.Values`; and
``classes`` of a training with labels: ``value`` and ``name`` of each, and ``numbered``, whether the
values were made up. Their classifier are the tensors ``class_slope`` (K, C) and ``class_level``
(C,). Of :mod:`bandfuse.model.uncertainty` it may hold the tensors ``cloud_mean`` (B,),
``cloud_inverse`` (B,), ``cloud_axes`` (q, B), ``cloud_variance`` (q,), ``cloud_distance`` (m,) and
``cloud_part`` (m,), and with these ``error_about`` (B,), ``error_factor`` (K, r, B),
``error_level``, ``error_residual`` and ``error_scale`` (K,); for per-scene weights
``scene_error_about`` (S, B) and so on. Weights of
``bandfuse sharpen`` have an entry ``sharpening`` and tensors of that name, as
:mod:`bandfuse.sharpening.gains.gainsfile` says. Where there is nothing of it, version 1 is
written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bandfuse.errors import BandfuseError, InputError, shorten
from bandfuse.files.kinds import WEIGHTS_KEY, is_moments, is_weights
from bandfuse.files.placing import recovered
from bandfuse.model.decoder import decoder, offsets
from bandfuse.model.discriminants import Discriminants
from bandfuse.model.fusion import Fusion, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.model.uncertainty import Cloud, OutputErrors, Uncertainty
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.columns import bands_of, columns_of, table_of, values_of

VERSION = 2

LONGEST = 400
"""Characters that are shown of what is wrong."""


@dataclass(frozen=True, eq=False)
class Further:
    """What a weights file holds beside a model: an entry ``name`` of its header, and tensors whose
    names begin with it."""

    name: str
    entry: dict[str, Any]
    tensors: dict[str, Floats]


def dumps(model: Model, further: Further | None = None) -> bytes:
    """The bytes of a weights file: the same model always gives the same bytes."""
    common = model.common
    header = {
        "version": 1,
        "activation": common.activation,
        "nodata": asdict(common.nodata),
        "inputs": table_of(common.inputs),
        "outputs": table_of(common.outputs),
        "scenes": list(model.scenes),
    }
    seen = {"inputs": common.inputs_seen, "outputs": common.outputs_seen}
    if any(v is not None for v in seen.values()):
        header |= {
            "version": 2,
            "seen": {k: columns_of(v) for k, v in seen.items() if v is not None},
        }
    tensors = {"weight": common.weight, "gain": common.gain, "offset": common.offset}
    if model.per_scene:
        own = list(model.scenes.values())
        tensors |= {
            f"scene_{n}": np.stack([getattr(f, n) for f in own])
            for n in ("weight", "gain", "offset")
        }
    if model.decoder is not None:
        tensors |= {"decoder": model.decoder.matrix, "decoder_offset": offsets(model.decoder)}
    if model.classes is not None:
        known = model.classes
        header |= {"version": 2, "classes": _classes(known)}
        tensors |= {"class_slope": known.slope, "class_level": known.level}
    if model.uncertainty is not None:
        header |= {"version": 2}
        tensors |= _of_uncertainty(model.uncertainty, list(model.scenes))
    if further is not None:
        header |= {"version": 2, further.name: further.entry}
        tensors |= {f"{further.name}_{key}": value for key, value in further.tensors.items()}
    # One metadata key only: safetensors does not keep the order of several.
    text = json.dumps(
        header, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":")
    )
    return bytes(
        save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata={WEIGHTS_KEY: text})
    )


CLOUD = ("mean", "inverse", "axes", "variance", "distance", "part")
ERRORS = ("about", "factor", "level", "residual", "scale")
"""The arrays of :class:`Cloud` and :class:`OutputErrors`."""


def _of_uncertainty(known: Uncertainty, scenes: Sequence[str]) -> dict[str, Floats]:
    """The tensors of what a training remembers of errors and of its spectra."""
    tensors = {f"cloud_{name}": getattr(known.cloud, name) for name in CLOUD}
    if "" in known.errors:
        tensors |= {f"error_{name}": getattr(known.errors[""], name) for name in ERRORS}
    if scenes and set(scenes) <= set(known.errors):
        own = [known.errors[key] for key in scenes]
        rank = max(errors.factor.shape[1] for errors in own)
        for name in ERRORS:
            rows = [getattr(errors, name) for errors in own]
            if name == "factor":
                rows = [np.pad(f, ((0, 0), (0, rank - f.shape[1]), (0, 0))) for f in rows]
            tensors[f"scene_error_{name}"] = np.stack(rows)
    return tensors


def _uncertainty(tensors: dict[str, Floats], common: Fusion, keys: list[str]) -> Uncertainty | None:
    """What a weights file remembers of errors and of the training's spectra, if anything."""
    if not any(name.startswith(("cloud_", "error_", "scene_error_")) for name in tensors):
        return None
    cloud = Cloud(**{name: tensors[f"cloud_{name}"] for name in CLOUD})
    errors = {}
    if "error_about" in tensors:
        errors[""] = OutputErrors(*(tensors[f"error_{name}"] for name in ERRORS))
    if keys and "scene_error_about" in tensors:
        own = [tensors[f"scene_error_{name}"] for name in ERRORS]
        errors |= {key: OutputErrors(*(t[i] for t in own)) for i, key in enumerate(keys)}
    size = len(common.outputs), len(common.inputs)
    wrong = [e for e in errors.values() if (len(e.factor), len(e.about)) != size]
    if wrong or len(cloud.mean) != size[1]:
        raise ValueError("uncertainty of other bands or outputs")
    return Uncertainty(cloud, errors)


def _classes(known: Discriminants) -> dict[str, Any]:
    values = [int(n) for n in known.numbers]
    return {"value": values, "name": list(known.names), "numbered": known.numbered}


def _discriminants(header: dict[str, Any], tensors: dict[str, Floats]) -> Discriminants | None:
    """The classifier of a weights file, if it holds one."""
    table = header.get("classes")
    if table is None:
        return None
    slope, level = tensors["class_slope"], tensors["class_level"]
    numbers = np.array([int(n) for n in table["value"]], dtype=np.int64)
    if (np.diff(numbers) <= 0).any() or len(slope) != len(header["outputs"]["name"]):
        raise ValueError("classes that are not ascending, or of other outputs")
    names = tuple(map(str, table["name"]))
    return Discriminants(numbers, names, slope, level, bool(table["numbered"]))


WEIGHTS = "weights.safetensors"
"""The weights file of a run folder."""


def weights_file(path: str | Path) -> Path:
    """The weights file that is meant: that of a run folder, or the file itself.

    Raises
    ------
    InputError : a folder that is no run.
    """
    place = Path(path)
    if not place.is_dir():
        return place
    if (place / WEIGHTS).is_file():
        return place / WEIGHTS
    inside = sorted(p.name for p in place.iterdir())
    runs = [name for name in inside if (place / name / WEIGHTS).is_file()]
    raise InputError(
        f"{path} is a folder without {WEIGHTS}",
        got=shorten(inside, 6) if inside else "an empty folder",
        expected="a run folder, or a weights file",
        remedy=f"Give {place / runs[0]}." if runs else "",
    )


def load(path: str | Path, beside: Sequence[str | Path] = ()) -> Model:
    """Read a weights file, or that of a run folder.

    Parameters
    ----------
    beside : other files that were named with it: if one of them is a weights file, and this is
        none, the message says that they are swapped.

    Raises
    ------
    InputError : missing, not a weights file, truncated, of a newer version, wrong shapes, or
        numbers not finite."""
    remedy = recovered(Path(path))
    path = weights_file(path)
    if not path.is_file():
        raise InputError(
            f"{path} does not exist" if not path.exists() else f"{path} is not a file",
            expected="a weights file (weights.safetensors of a run)",
            remedy=remedy,
        )
    header, tensors = _contents(path, beside)
    try:
        return _model(header, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
        got = f"{type(error).__name__}: {error}"[:LONGEST]
        raise InputError(f"{path} is not a complete weights file", got=got) from error
    except BandfuseError as error:
        raise InputError(
            f"{path} cannot be used: {error.what}", got=error.got, expected=error.expected
        ) from error


def load_further(path: str | Path, name: str) -> Further | None:
    """What a weights file, or that of a run folder, holds beside its model under a name; None where
    there is nothing.

    Raises
    ------
    InputError : as :func:`load`.
    """
    load(path)
    header, tensors = _contents(weights_file(path), ())
    if name not in header:
        return None
    start = f"{name}_"
    own = {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}
    return Further(name, dict(header[name]), own)


def _instead(path: str | Path, beside: Sequence[str | Path]) -> str:
    """What is said to somebody who named a file that is no weights file."""
    swapped = [str(other) for other in beside if is_weights(other)]
    if swapped:
        return f"{swapped[0]} is one. Name the weights first, and then {path}."
    return ""


_NO_HEADER = ("header too large", "header too small", "invalid header", "invalid UTF-8")
"""Words of safetensors for files that are of another kind."""


def _contents(
    path: str | Path, beside: Sequence[str | Path]
) -> tuple[dict[str, Any], dict[str, Floats]]:
    try:
        with safe_open(str(path), framework="numpy") as file:
            text = (file.metadata() or {}).get(WEIGHTS_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError) as error:
        words = str(error).removeprefix("Error while deserializing header: ")
        foreign = any(word in words for word in _NO_HEADER)
        got = "another kind of file" if foreign else words
        raise InputError(
            f"{path} is not a weights file",
            got=got if Path(path).stat().st_size else "an empty file",
            expected="the weights.safetensors of a bandfuse run",
            remedy=_instead(path, beside),
        ) from error
    if text is None and is_moments(path):
        raise InputError(
            f"{path} is a file of moments, and holds no weights",
            expected="the weights.safetensors of a bandfuse run",
            remedy=f"Learn some from it: bandfuse train {path} -o RUN.",
        )
    if text is None:
        raise InputError(
            f"{path} is a safetensors file, but not of bandfuse",
            expected=f"metadata key {WEIGHTS_KEY!r}",
        )
    try:
        header = json.loads(text)
        version = int(header["version"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path} has a damaged header", got=str(error)[:LONGEST]) from error
    if version < 1:
        raise InputError(
            f"{path} has a damaged header", got=f"version {version}", expected="version 1 or later"
        )
    if version > VERSION:
        raise InputError(
            f"{path} was written by a newer bandfuse",
            got=f"version {version}",
            expected=f"version {VERSION} or older",
            remedy="Update bandfuse.",
        )
    return header, tensors


def _model(header: dict[str, Any], tensors: dict[str, Floats]) -> Model:
    for name, tensor in tensors.items():
        if tensor.dtype != np.float64:
            raise ValueError(f"tensor {name} has type {tensor.dtype}, not float64")
    inputs, outputs = bands_of(header["inputs"]), bands_of(header["outputs"])
    seen = {
        f"{name}_seen": None if table is None else values_of(table)
        for name in ("inputs", "outputs")
        for table in [header.get("seen", {}).get(name)]
    }

    def fusion(weight: Floats, gain: Floats, offset: Floats) -> Fusion:
        policy = NodataPolicy(**header["nodata"])
        return Fusion(weight, gain, offset, inputs, outputs, header["activation"], policy, **seen)

    common = fusion(tensors["weight"], tensors["gain"], tensors["offset"])
    back = None
    if {"decoder", "decoder_offset"} & set(tensors):
        back = decoder(tensors["decoder"], tensors["decoder_offset"], inputs, outputs)
        back = replace(back, inputs_seen=common.outputs_seen, outputs_seen=common.inputs_seen)
    classes = _discriminants(header, tensors)
    keys = [str(k) for k in header["scenes"]]
    known = _uncertainty(tensors, common, keys)
    if not keys:
        return Model(common, decoder=back, classes=classes, uncertainty=known)
    own = (tensors["scene_weight"], tensors["scene_gain"], tensors["scene_offset"])
    if any(len(t) != len(keys) for t in own):
        raise ValueError(f"{len(keys)} scenes, but tensors for {[len(t) for t in own]}")
    scenes = {k: fusion(*(t[i] for t in own)) for i, k in enumerate(keys)}
    return Model(common, scenes, back, classes, known)
