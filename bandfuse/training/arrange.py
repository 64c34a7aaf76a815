"""Arrange: groups, targets and outputs of a training."""

from __future__ import annotations

from collections.abc import Sequence

from bandfuse.config import TrainConfig
from bandfuse.errors import ConfigError, GroupError, shorten
from bandfuse.scenes.places import pair_of
from bandfuse.scenes.scene import Scene, target_bands, target_names
from bandfuse.solve.design import Design, design, unique_names
from bandfuse.spectral import groups as make
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Covariance, Group
from bandfuse.survey.survey import Survey
from bandfuse.trust.published import require_comparable


def require_room(config: TrainConfig, found: Survey) -> None:
    """Without targets, outputs of the same bands must be able to differ."""
    if config.goal == "regression":
        return
    layout = found.design.layout
    same: dict[tuple[int, ...], list[str]] = {}
    for k, name in enumerate(found.design.names):
        same.setdefault(tuple(sorted(layout.col[layout.row == k].tolist())), []).append(name)
    for bands, names in same.items():
        most = 1 if [*config.terms] == ["snr"] else len(bands)
        if len(names) > most:
            raise GroupError(
                f"outputs {shorten(names)} are of the same bands", got=f"{len(names)} outputs of {len(bands)} bands",
                expected=f"at most {most}", remedy="Give each a group of its own, such as --groups equal:K.",
            )  # fmt: skip


def unique_target_names(config: TrainConfig, scenes: Sequence[Scene]) -> list[str] | None:
    """Unique names of the target bands; None without a target."""
    if config.goal != "regression":
        return None
    first = scenes[0].target
    assert first is not None
    count = len(target_bands(first))
    names = target_names(first)
    return [f"b{i}" for i in range(1, count + 1)] if names is None else unique_names(names)


def make_groups(
    config_group: Sequence[str], spec: str | None, fuse: str, bands: Bands, covariance: Covariance | None = None
) -> tuple[list[Group], bool]:
    """The usable groups, and whether their names were given by the user. ``covariance`` of the bands, for rules that
    see pixels."""
    if config_group:
        pairs = [pair_of(text, "--group") for text in config_group]
        names = [name for name, _ in pairs]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise ConfigError(f"two groups are named {twice!r}", remedy="Give each group a name of its own.")
        return make.usable(make.named(dict(pairs), bands), bands), True
    if spec and spec.startswith("file:"):
        from bandfuse.files.yamlfile import read_yaml

        content = read_yaml(spec.removeprefix("file:"))
        return make.usable(make.named({k: str(v) for k, v in content.items()}, bands), bands), True
    if spec:
        return make.usable(make.split(spec, bands, covariance), bands), True
    found = make.per_source(bands) if fuse == "across" else make.one(bands)
    return make.usable(found, bands), fuse == "across"


def arrange(config: TrainConfig, bands: Bands, targets: list[str] | None, covariance: Covariance) -> Design:
    """The outputs and the layout of their weights, for a table of bands."""
    groups, named = make_groups(config.group, config.groups, config.fuse, bands, covariance)
    made = design(groups, targets=targets, kind=config.weights, fuse=config.fuse, fixed=config.fixed, named=named)
    if config.sensor:
        require_comparable(config.sensor, bands, made.names)
    return made
