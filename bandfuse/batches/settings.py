"""Settings: the batch file, checked; what does not fit is said with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from bandfuse.config.base import Config, Strict, Texts
from bandfuse.config.commands import ApplyConfig, EvaluateConfig, SharpenConfig
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError, InputError, nearest
from bandfuse.files.yamlfile import At, Lines, parse_set, read_located

Kind = Literal["train", "apply", "train-apply", "evaluate", "sharpen"]

MODELS: dict[str, type[Config]] = {
    "train": TrainConfig,
    "train-apply": TrainConfig,
    "apply": ApplyConfig,
    "evaluate": EvaluateConfig,
    "sharpen": SharpenConfig,
}
"""The settings of each kind of job."""

OWN = {
    *("scenes", "moments", "images", "source", "target", "labels", "mask"),
    *("output", "overwrite", "checkpoint"),
}
"""Settings that the batch makes for every item: they are no defaults."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class SceneRule(Strict):
    """Scenes, by one way of finding them, and what belongs to each. Paths are relative to the batch
    file."""

    glob: str | None = Field(None, description="Pattern of files, ** for any folders: in/**/*.tif.")
    folder: str | None = Field(None, description="Every file in a folder.")
    files: Texts = Field(default_factory=list, description="Files by name.")
    table: str | None = Field(
        None,
        description="CSV with a column scene, and if wanted target, labels, mask, truth; relative "
        "to the table.",
    )
    items: str | None = Field(
        None,
        description="GeoJSON or STAC items: the file is the property scene, or the asset that "
        "`asset` names.",
    )
    asset: str = Field("data", description="Name of the STAC asset that is the scene.")
    exclude: Texts = Field(default_factory=list, description="Patterns of names that are left out.")
    match: str | None = Field(
        None,
        description="Regular expression on the file's name; its named groups can stand in "
        "templates.",
    )
    target: str | None = Field(None, description="Template of the target: {parent}/{stem}_t.tif.")
    labels: str | None = Field(None, description="Template of the labels.")
    mask: str | None = Field(None, description="Template of the mask.")
    truth: str | None = Field(
        None, description="Template of the true cube at the small pixels, to evaluate a sharpening."
    )
    source: dict[str, str] = Field(
        default_factory=dict, description="Further sources: a name and its template."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Settings for these scenes only."
    )


class Job(Strict):
    """One thing to do with the scenes."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.=,+-]*$", description="Its folder in the output."
    )
    kind: Kind = Field(
        description="train, apply, train-apply (a training that writes fused rasters), evaluate, "
        "or sharpen (each scene by its target, and by its sources)."
    )
    pool: Literal["all", "each"] = Field(
        "all", description="train: one model of all scenes, or one per scene."
    )
    weights: str | None = Field(
        None,
        description="apply, evaluate: the name of an earlier job, a run folder or a weights file; "
        "sharpen: a run folder or a weights file, if nothing is to be learned. A job that "
        "evaluates one that sharpens scores each scene against its truth.",
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Settings for this job only."
    )
    matrix: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Settings to try: one job for every combination of the values.",
    )


class BatchConfig(Strict):
    """A batch file."""

    version: Literal[1] = Field(description="Of the batch file's format.")
    output: str = Field(
        min_length=1, description="Folder for everything that is written; made if it is not there."
    )
    cache: bool = Field(
        False,
        description="Keep what is gathered of each scene in the output, so that trainings with "
        "other settings do not read it again.",
    )
    environment: Texts = Field(
        default_factory=list,
        description="Environment variables that may stand in texts as ${NAME}.",
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of all jobs, by the names of the flags with _ for -.",
    )
    scenes: list[SceneRule] = Field(min_length=1, description="Where the scenes are.")
    jobs: list[Job] = Field(min_length=1, description="What to do, in this order.")

    @field_validator("jobs")
    @classmethod
    def _names_differ(cls, jobs: list[Job]) -> list[Job]:
        names = [job.name for job in jobs]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise ValueError(f"jobs of different names; {twice!r} appears twice")
        return jobs


def read_batch(path: str | Path, sets: Sequence[str] = ()) -> tuple[BatchConfig, Lines]:
    """A batch file, with ``--set key=value`` in it (``defaults.ridge=0.1`` goes deeper), and the
    lines of its keys.

    Raises
    ------
    InputError : missing, or not YAML. ConfigError : what does not fit, with its line.
    """
    content, lines = read_located(path)
    for key, value in parse_set(list(sets)).items():
        _put(content, key.split("."), value)
    content = _expanded(content, content.get("environment") or [], lines)
    try:
        config = BatchConfig.model_validate(content)
    except ValidationError as error:
        raise _explained(error, lines) from error
    _check_defaults(config, lines)
    return config, lines


def _put(content: dict[str, Any], keys: list[str], value: object) -> None:
    """Set a value at the end of a chain of keys."""
    for key in keys[:-1]:
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise ConfigError(
                "--set cannot be applied", got=".".join(keys), expected="keys of mappings"
            )
    content[keys[-1]] = value


def _expanded(value: Any, known: object, lines: Lines, at: At = ()) -> Any:
    """Texts with declared environment variables filled in; any other ``${…}`` is an error."""
    if isinstance(value, dict):
        return {k: _expanded(v, known, lines, (*at, k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_expanded(v, known, lines, (*at, i)) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if not isinstance(known, list) or name not in known:
            raise ConfigError(
                f"{lines.place(at)}: ${{{name}}} is not declared",
                remedy=f"Add environment: [{name}] to the file.",
            )
        if name not in os.environ:
            raise ConfigError(f"{lines.place(at)}: ${{{name}}} is not set in the environment")
        return os.environ[name]

    return _VARIABLE.sub(fill, value)


_FIELDS: dict[str, type[Strict]] = {"scenes": SceneRule, "jobs": Job}
"""Models of the lists of a batch file."""


def _explained(error: ValidationError, lines: Lines) -> ConfigError:
    """The first thing that does not fit."""
    first = error.errors()[0]
    at = first["loc"]
    key = str(at[-1])
    if first["type"] == "extra_forbidden":
        model = _FIELDS.get(str(at[0]), BatchConfig) if len(at) > 1 else BatchConfig
        return ConfigError(
            f"{lines.place(at)}: unknown key {key!r}", remedy=nearest(key, model.model_fields)
        )
    if first["type"] == "missing":
        keys = first["input"] if len(at) == 1 and isinstance(first["input"], Mapping) else {}
        training = len(keys) > 0 and set(keys) <= set(TrainConfig.model_fields)
        place = lines.place(at[:-1])
        return ConfigError(
            f"{place}: key {key!r} is missing",
            remedy=f"This looks like a train config: bandfuse train --config {place} -o RUN."
            if training
            else "",
        )
    what, expected = ".".join(map(str, at)), first["msg"]
    for words in ("Value error, ", "Input should be ", "List should have "):
        expected = expected.removeprefix(words)
    return ConfigError(
        f"{lines.place(at)}: {what}", got=repr(first["input"])[:80], expected=expected
    )


def _check_defaults(config: BatchConfig, lines: Lines) -> None:
    """Keys of defaults and settings are settings of some command."""
    every = sorted({name for model in MODELS.values() for name in model.model_fields} - OWN)
    places: list[tuple[At, Mapping[str, Any], list[str]]] = [
        (("defaults",), config.defaults, every)
    ]
    for i, rule in enumerate(config.scenes):
        places.append((("scenes", i, "settings"), rule.settings, every))
    for i, job in enumerate(config.jobs):
        known = sorted(set(MODELS[job.kind].model_fields) - OWN)
        places.append((("jobs", i, "settings"), job.settings, known))
        places.append((("jobs", i, "matrix"), job.matrix, known))
    for at, given, known in places:
        for key in given:
            if key not in known:
                raise ConfigError(
                    f"{lines.place((*at, key))}: unknown key {key!r}", remedy=nearest(key, known)
                )


def schema() -> dict[str, Any]:
    """The JSON schema of a batch file, with the settings of every kind of job where they may
    stand."""
    found = BatchConfig.model_json_schema()
    settings: dict[str, Any] = {}
    for model in MODELS.values():
        made = model.model_json_schema()
        for name, field in made["properties"].items():
            if name not in OWN:
                settings[name] = _either(settings.get(name), field)
        found.setdefault("$defs", {}).update(made.get("$defs", {}))
    allowed = {"type": "object", "properties": settings, "additionalProperties": False}
    found["properties"]["defaults"] |= allowed
    for name in ("SceneRule", "Job"):
        found["$defs"][name]["properties"]["settings"] |= allowed
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _either(known: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    """The schema of a setting that two kinds of job have."""
    if known is None or known == other:
        return other
    return {"anyOf": [*known.get("anyOf", [known]), *other.get("anyOf", [other])]}


def require_folder(path: Path) -> Path:
    """The output folder, made if it is not there.

    Raises
    ------
    InputError : something else is there, or it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"output {path} cannot be made", got=error.strerror or str(error)
        ) from error
    return path
