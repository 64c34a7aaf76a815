"""Arrange: groups, targets and outputs of a training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bandfuse.errors import ConfigError, GroupError, shorten
from bandfuse.files.yamlfile import read_yaml
from bandfuse.goals import Goal
from bandfuse.scenes.places import pair_of
from bandfuse.scenes.scene import Scene, target_bands, target_names
from bandfuse.solve.design import Design, design, unique_names
from bandfuse.spectral import groups as make
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Covariance, Group
from bandfuse.trust.published import require_comparable


@dataclass(frozen=True)
class Grouping:
    """How bands become outputs.

    ``named``: texts NAME=SPEC; ``spec``: one text for all groups. ``fuse``: within or across
    groups. ``weights``: scalar, channel or instance. ``fixed``: groups whose weights are given.
    ``sensor``: published responses that the weights are compared with. ``outputs``: of each group,
    called ``component`` and a number; one of the group's own name if not given. ``apart``: those of
    several groups have this name, too."""

    named: Sequence[str] = ()
    spec: str | None = None
    fuse: str = "within"
    weights: str = "channel"
    fixed: Sequence[str] = ()
    sensor: str | None = None
    outputs: int | None = None
    component: str = "c"
    apart: bool = False

    def design(
        self, bands: Bands, targets: Sequence[str] | None, covariance: Covariance | None = None
    ) -> Design:
        """The outputs and the layout of their weights. ``covariance`` of the bands, for rules that
        see pixels."""
        groups, named = self.groups(bands, covariance)
        outputs = design(
            self._repeated(groups),
            targets=targets,
            kind=self.weights,
            fuse=self.fuse,
            fixed=self.fixed,
            named=named,
        )
        if self.sensor:
            require_comparable(self.sensor, bands, outputs.names)
        return outputs

    def _repeated(self, groups: list[Group]) -> list[Group]:
        """Each group once for every output of it."""
        if self.outputs is None:
            return groups
        one = len(groups) == 1
        word = self.component if one or self.apart else "c"
        return [
            Group(f"{'' if one and not self.named else f'{group.name}_'}{word}{i}", group.positions)
            for group in groups
            for i in range(1, self.outputs + 1)
        ]

    def groups(
        self, bands: Bands, covariance: Covariance | None = None
    ) -> tuple[list[Group], bool]:
        """The groups that can be used, and whether the user gave their names."""
        groups, named = self._all_groups(bands, covariance)
        return make.usable(groups, bands), named

    def _all_groups(self, bands: Bands, covariance: Covariance | None) -> tuple[list[Group], bool]:
        if self.named:
            return make.named(_pairs(self.named), bands), True
        if self.spec and self.spec.startswith("file:"):
            content = read_yaml(self.spec.removeprefix("file:"))
            return make.named({name: str(spec) for name, spec in content.items()}, bands), True
        if self.spec:
            return make.split(self.spec, bands, covariance), True
        across = self.fuse == "across"
        return make.per_source(bands) if across else make.one(bands), across


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs = [pair_of(text, "--group") for text in texts]
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"two groups are named {twice!r}", remedy="Give each group a name of its own."
        )
    return dict(pairs)


def require_discriminants(outputs: int, classes: int) -> None:
    """C classes have at most C − 1 discriminants.

    Raises
    ------
    ConfigError : more outputs are asked for.
    """
    if outputs > classes - 1:
        raise ConfigError(
            "--outputs asks for more than separate the classes",
            got=f"{outputs} outputs for {classes} classes",
            expected=f"at most {classes - 1}, the number of linear discriminants",
        )


def require_room(goals: Collection[Goal], outputs: Design, *, leading: bool = False) -> None:
    """Without targets, outputs of the same bands must be able to differ. ``leading``: they are the
    first ones by the goal, which differ.

    Raises
    ------
    GroupError : more outputs of the same bands than can differ.
    """
    if any(goal.matches for goal in goals):
        return
    layout = outputs.layout
    same: dict[tuple[int, ...], list[str]] = {}
    for k, name in enumerate(outputs.names):
        bands = tuple(sorted(layout.col[layout.row == k].tolist()))
        same.setdefault(bands, []).append(name)
    alike = all(goal.one_per_group for goal in goals) and not leading
    for bands, names in same.items():
        most = 1 if alike else len(bands)
        if len(names) > most:
            raise GroupError(
                f"outputs {shorten(names)} are of the same bands",
                got=f"{len(names)} outputs of {len(bands)} bands",
                expected=f"at most {most}",
                remedy="Give each a group of its own, such as --groups equal:K; or ask for the "
                "leading ones, --outputs K.",
            )


def unique_target_names(scene: Scene) -> list[str] | None:
    """Unique names of the bands of a scene's target; None without a target."""
    if scene.target is None:
        return None
    names = target_names(scene.target)
    if names is not None:
        return unique_names(names)
    return [f"b{i}" for i in range(1, len(target_bands(scene.target)) + 1)]
