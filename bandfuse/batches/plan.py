"""Plan: jobs × scenes → items of work, every setting checked before any work starts."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bandfuse.batches.item_files import files_of, scored_files
from bandfuse.batches.scenes import Member, members
from bandfuse.batches.settings import MODELS, BatchConfig, Job, Kind
from bandfuse.config.base import build
from bandfuse.config.outputs import Replacing, Running, ending_of
from bandfuse.config.paths import rebased
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError, nearest, shorten
from bandfuse.files.making import names_folder
from bandfuse.files.yamlfile import Lines
from bandfuse.goals import GOALS, TRAINED_ON, terms_of
from bandfuse.scenes.places import fill_template
from bandfuse.training.settings.defaults import resolve

RUN_FILE = "weights.safetensors"

FILES = ("journal.jsonl", ".journal.lock", "manifest.json", "batch.json", "batch.csv", "batch.html")
"""What a batch writes into its output beside the folders of its jobs."""


@dataclass(frozen=True)
class Cache:
    """Where moments are kept, and what all trainings of a batch ask of them: differences of
    neighbours (``noise``), and a ``sample`` of pixels."""

    folder: str
    noise: bool = False
    sample: int | str = 0


@dataclass(frozen=True)
class Item:
    """One piece of work.

    ``key``: ``job`` for pooled scenes, else ``job/scene``. ``values``: settings of the tool, but
    for the output. ``output``: a run folder or a file. ``needs``: the key of the item that makes
    the ``weights``. ``inputs``: files that are named. ``own``: whatever will stand at the output is
    the batch's. ``cache``: where the moments of its scenes are kept, if they are."""

    key: str
    job: str
    kind: Kind
    scene: str
    values: Mapping[str, Any]
    output: str
    inputs: tuple[str, ...]
    weights: str | None = None
    needs: str | None = None
    own: bool = False
    cache: Cache | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """The output, and the raster of its uncertainty where that is asked for."""
        second = self.values.get("uncertainty")
        return (self.output,) if second is None else (self.output, str(second))

    @property
    def settings_hash(self) -> str:
        """SHA-256 of what decides the results beside the inputs' content."""
        free = {*Running.model_fields, *Replacing.model_fields}
        told = {
            "kind": self.kind,
            "weights": self.weights,
            "output": self.output,
            "values": {k: v for k, v in self.values.items() if k not in free},
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """All items in an order in which each comes after what it needs; the folder that holds all
    outputs."""

    folder: Path
    items: list[Item]
    scenes: list[Member]


def plan(config: BatchConfig, folder: Path, lines: Lines) -> Plan:
    """The items of a batch file that lies in ``folder``.

    Raises
    ------
    ConfigError, InputError : settings that do not fit, scenes that are not found, weights that no
        job makes."""
    output = (folder / config.output).resolve()
    scenes = members(config.scenes, folder, lines, _written(config, folder, output))
    made: dict[str, Item] = {}
    jobs: dict[str, Job] = {}
    for number, job in enumerate(config.jobs):
        place = lines.place(("jobs", number))
        for variant in _variants(job):
            if variant.name in jobs:
                raise ConfigError(
                    f"{place}: two jobs would be called {variant.name!r}",
                    remedy="Rename one of them.",
                )
            source = _weights_of(variant, jobs, config, folder, place)
            items = list(_items(variant, config, scenes, folder, output, source, made, place))
            written = (path for item in [*made.values(), *items] for path in item.outputs)
            twice, times = Counter(written).most_common(1)[0]
            if times > 1:
                raise ConfigError(
                    f"{place}: job {variant.name!r} would write {Path(twice).name} twice"
                )
            made |= {item.key: item for item in items}
            jobs[variant.name] = variant
    items = list(made.values())
    return Plan(output, _cached(items, output) if config.cache else items, scenes)


CACHE = ".moments"
"""Where moments lie in the output. No job has such a name."""


def _cached(items: Sequence[Item], output: Path) -> list[Item]:
    """The items, with the place where the moments of those that train are kept. Not of those in
    which the pixels of a scene depend on the other scenes, or are dealt at random."""
    fit = [
        item.kind == "train"
        and item.values.get("max_pixels") is None
        and item.values.get("split") != "random"
        for item in items
    ]
    asked = [item.values for item, fits in zip(items, fit, strict=True) if fits]
    samples = [values.get("sample", TRAINED_ON) for values in asked]
    most = "all" if "all" in samples else max([TRAINED_ON, *samples])
    noise = any(_gathers_noise(values.get("objective")) for values in asked)
    cache = Cache(str(output / CACHE), noise, most)
    return [replace(i, cache=cache) if fits else i for i, fits in zip(items, fit, strict=True)]


def _gathers_noise(objective: object) -> bool:
    """Whether differences of neighbours are to be gathered; what is no objective is refused when
    its item is begun."""
    with suppress(ValueError):
        return any(GOALS[name].gathers == "noise" for name in terms_of(str(objective)))
    return False


def _written(config: BatchConfig, folder: Path, output: Path) -> list[Path]:
    """What the batch writes: its output; where that holds the batch file too, the jobs' folders and
    its own files."""
    if not folder.resolve().is_relative_to(output):
        return [output]
    return [
        output / name
        for name in (*(v.name for job in config.jobs for v in _variants(job)), *FILES, CACHE)
    ]


def _variants(job: Job) -> Iterator[Job]:
    """One job for every combination of the matrix, named after its values."""
    if not job.matrix:
        yield job
        return
    for values in itertools.product(*job.matrix.values()):
        chosen = dict(zip(job.matrix, values, strict=True))
        words = ",".join(f"{key}={value}" for key, value in chosen.items())
        name = "".join(c if c.isalnum() or c in "_.=,+-" else "_" for c in f"{job.name}.{words}")
        yield job.model_copy(
            update={"name": name, "settings": {**job.settings, **chosen}, "matrix": {}}
        )


def _weights_of(
    job: Job, jobs: Mapping[str, Job], config: BatchConfig, folder: Path, place: str
) -> str | None:
    """The earlier job or the file that a job takes its weights from."""
    trains = job.kind in ("train", "train-apply")
    if trains and job.weights is not None:
        raise ConfigError(
            f"{place}: job {job.name!r} trains, and takes no weights", remedy="Leave weights out."
        )
    if job.pool != "all" and not trains:
        raise ConfigError(
            f"{place}: job {job.name!r}, pool does not apply with kind: {job.kind}",
            got=f"pool: {job.pool}",
            expected="kind: train or train-apply",
            remedy="Leave pool out.",
        )
    if trains or (job.kind == "sharpen" and job.weights is None):
        return None
    if job.weights is None:
        raise ConfigError(
            f"{place}: job {job.name!r} needs weights", expected="an earlier job's name, or a file"
        )
    if job.weights in jobs:
        makes = jobs[job.weights].kind
        scored = job.kind == "evaluate" and makes == "sharpen"
        if job.kind == "sharpen" or not (scored or makes in ("train", "train-apply")):
            raise ConfigError(
                f"{place}: job {job.weights!r} makes no weights for this",
                expected="a run folder of bandfuse sharpen"
                if job.kind == "sharpen"
                else "a job that trains",
            )
        return job.weights
    later = [j.name for j in config.jobs]
    if job.weights in later:
        variants = [name for name in jobs if name.startswith(f"{job.weights}.")]
        earlier = (
            "has a matrix"
            if variants
            else "is this job itself"
            if job.weights == job.name
            else "comes later"
        )
        raise ConfigError(
            f"{place}: job {job.name!r} needs {job.weights!r}, which {earlier}",
            expected=f"one of {shorten(variants)}" if variants else "an earlier job",
        )
    path = folder / job.weights
    path = path / RUN_FILE if path.is_dir() else path
    if not path.is_file():
        raise ConfigError(
            f"{place}: weights {job.weights!r} are neither an earlier job nor a file or a run",
            remedy=nearest(job.weights, jobs),
        )
    return str(path)


def _items(
    job: Job,
    config: BatchConfig,
    scenes: Sequence[Member],
    folder: Path,
    output: Path,
    source: str | None,
    made: Mapping[str, Item],
    place: str,
) -> Iterator[Item]:
    """The items of one job."""
    base = output / job.name
    pooled = job.kind in ("train", "train-apply") and job.pool == "all"
    for some in [list(scenes)] if pooled else [[s] for s in scenes]:
        scene = "" if pooled else some[0].key
        key = job.name if pooled else f"{job.name}/{scene}"
        needs = next((k for k in (source, f"{source}/{scene}") if k in made), None)
        maker = None if needs is None else made[needs]
        weights = source if maker is None else _weights_by(maker)
        inputs = tuple(f for s in some for f in s.files) + (
            (weights,) if weights is not None and needs is None else ()
        )
        if maker is not None and maker.kind == "sharpen":
            raster = None if maker.weights is None else maker.output
            files = scored_files(some[0], raster, job, place)
        else:
            files = files_of(MODELS[job.kind].model_fields, some, job, place)
        values = _values(job, config, some, folder, place, files)
        raster = f"{scene.replace('{', '_').replace('}', '_')}{ending_of(values.get('driver'))}"
        ending = {"apply": raster, "evaluate": f"{scene}.json"}.get(job.kind, scene)
        if job.kind == "sharpen" and weights is not None:
            values, ending = {**values, "weights": weights}, raster
        if values.get("uncertainty") is not None:
            values = {**values, "uncertainty": _beside(values["uncertainty"], some[0], raster)}
        yield Item(
            key,
            job.name,
            job.kind,
            scene,
            values,
            str(base if pooled else base / ending),
            inputs,
            weights,
            needs,
        )


def _beside(text: str, scene: Member, raster: str) -> str:
    """The raster of uncertainty of one scene: a file, one in a folder, or by a template."""
    if "{" in text:
        return fill_template(text, scene.path, "uncertainty")
    return str(Path(text) / raster) if names_folder(text) or Path(text).is_dir() else text


def _weights_by(maker: Item) -> str:
    """The weights that an item leaves, or of a sharpening those that it was done with."""
    sharpened = maker.kind == "sharpen" and maker.weights is not None
    return str(maker.weights) if sharpened else str(Path(maker.output) / RUN_FILE)


def _values(
    job: Job,
    config: BatchConfig,
    some: Sequence[Member],
    folder: Path,
    place: str,
    files: Mapping[str, Any],
) -> dict[str, Any]:
    """The settings of one item: the job's before the scene's before the defaults; checked. Files
    are relative to ``folder``. One broken scene does not end a pooled training, unless it is told
    to."""
    model = MODELS[job.kind]
    pooled = job.kind in ("train", "train-apply") and job.pool == "all"
    given: dict[str, Any] = {"skip_broken": True} if pooled else {}
    # A job that writes no rasters is none that the settings of all jobs mean by stac or style.
    # Nor does an apply job mean the pixels that a training is limited to.
    limits = {"window", "bounds", "quality"}
    not_meant = {"train": {"stac", "style"}, "apply": limits}.get(job.kind, set())
    wanted = set(model.model_fields) - set(job.settings) - not_meant
    if job.kind == "evaluate" and "labels" not in files:
        wanted -= {"label_field", "unlabelled"}
    given |= _agreed(config.defaults, some, wanted, job, place)
    given = rebased(given | job.settings, folder)
    if issubclass(model, TrainConfig):
        given |= {"no_fused": job.kind == "train" or given.get("no_fused", False)}
    given |= files
    try:
        checked = build(model, given)
        if isinstance(checked, TrainConfig):
            resolve(checked)
    except ConfigError as error:
        what = f"{place}: job {job.name!r}, {error.what}"
        raise ConfigError(
            what, got=error.got, expected=error.expected, remedy=error.remedy
        ) from error
    return checked.model_dump(mode="json", exclude_unset=True)


def _agreed(
    defaults: Mapping[str, Any], some: Sequence[Member], known: Set[str], job: Job, place: str
) -> dict[str, Any]:
    """The known ones of the scenes' settings over the defaults: the same for all of them."""
    first, *others = [
        {k: v for k, v in {**defaults, **s.settings}.items() if k in known} for s in some
    ]
    for scene, other in zip(some[1:], others, strict=True):
        key = next((k for k in (first | other) if first.get(k) != other.get(k)), None)
        if key is not None:
            raise ConfigError(
                f"{place}: job {job.name!r} pools scenes of different {key}",
                got=f"{first.get(key)!r} for {some[0].path}, {other.get(key)!r} for {scene.path}",
                remedy="Give it in the settings of the job.",
            )
    return first
