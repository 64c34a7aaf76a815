"""Settings: every one is used, or refused by a message that names what takes its meaning away."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import typer
import yaml
from rasters import blend, cli, ok, spectra, write_tiff

from bandfuse.cli.commands import app_of
from bandfuse.config.base import Config, build
from bandfuse.config.commands import (
    ApplyConfig,
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    ReportConfig,
    ResampleConfig,
)
from bandfuse.config.paths import rebased
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError
from bandfuse.needs import Need, flag
from bandfuse.training.settings.defaults import resolve

MODELS: list[type[Config]] = [
    TrainConfig,
    ApplyConfig,
    ResampleConfig,
    EvaluateConfig,
    ExportConfig,
    ReportConfig,
    CompareConfig,
]

BY_OBJECTIVE = """
target labels label_field unlabelled balance weights scope pooling constraint ridge smooth sparse
gain no_offset activation loss split group groups outputs sensor sample batch_size patience shift
blur folds no_tags
"""
"""Settings of a training whose meaning depends on the objective, or on several others: ``resolve``
judges them."""

ALWAYS: dict[type[Config], str] = {
    TrainConfig: """
        threads memory overwrite mask layer bounds window scenes source wavelengths output objective
        fuse moments
        overlap fixed init starts optimizer steps device precision max_pixels seed
        nodata_policy skip_broken no_fused no_report nodata any_units scale_inputs quality
        registration
        """,
    ApplyConfig: """
        threads memory overwrite scenes source wavelengths output dtype driver co stac style
        device inverse nodata nodata_out any_units scale_inputs window bounds quality precision
        """,
    ResampleConfig: """
        threads memory overwrite scenes source wavelengths output sensor weights_only
        min_coverage nodata_policy nodata
        """,
    EvaluateConfig: """
        threads memory mask layer bounds window scenes source wavelengths target labels cube
        shift blur use_common nodata any_units scale_inputs quality device
        """,
    ExportConfig: "to output scene use_common overwrite any_units",
    ReportConfig: "output figures overwrite",
    CompareConfig: "output",
}
"""Settings that have a meaning beside all values of the others: bounds of what is taken (``steps``,
``starts``, ``max_pixels``), and what only files can contradict (``use_common`` and ``scene`` of
weights that scenes share)."""


def pairs() -> list[tuple[type[Config], str, Need]]:
    return [
        (model, name, need)
        for model in MODELS
        for need in model.needs
        for name in need.names.split()
    ]


def other_than_default(model: type[Config], name: str) -> Any:
    """A value that a setting takes, and that is not its default."""
    default = model.default_values()[name]
    if isinstance(default, bool):
        return not default
    choices = [
        a
        for part in (
            model.model_fields[name].annotation,
            *get_args(model.model_fields[name].annotation),
        )
        for a in get_args(part)
        if isinstance(a, str)
    ]
    if choices:
        return next(c for c in choices if c != default)
    if isinstance(default, list):
        return [1] if name == "unlabelled" else ["A=1"]
    if name == "quality":
        return "cloud"
    texts = {"checkpoint", "driver", "pan", "output", "label_field", "uncertainty"}
    return "x" if name in texts else 0.5 if not isinstance(default, int) else default + 1


def beside(model: type[Config], need: Need, *, right: bool) -> dict[str, Any]:
    """The other setting with a value that gives a meaning, or that does not."""
    if not need.values:
        return {need.other: other_than_default(model, need.other)} if right else {}
    if right:
        return {need.other: need.values[0]}
    options = [
        a for a in get_args(model.model_fields[need.other].annotation) if a not in need.values
    ]
    return {need.other: options[0] if options else not need.values[0]}


def test_every_setting_is_in_the_table() -> None:
    for model in MODELS:
        needy = {name for need in model.needs for name in need.names.split()}
        judged = set(BY_OBJECTIVE.split()) if model is TrainConfig else set()
        always = set(ALWAYS[model].split())
        assert needy | judged | always == set(model.model_fields), model
        assert not (needy | judged) & always, model
        assert {need.other for need in model.needs} <= set(model.model_fields)


@pytest.mark.parametrize(
    ("model", "name", "need"), pairs(), ids=lambda v: v if isinstance(v, str) else None
)
def test_a_setting_without_a_meaning_is_refused(model: type[Config], name: str, need: Need) -> None:
    given = {name: other_than_default(model, name)}
    wrong = beside(model, need, right=False)
    with pytest.raises(ConfigError) as refused:
        build(model, {**given, **wrong})
    said = str(refused.value)
    assert said.startswith(f"{flag(name)} does not apply with")
    assert flag(need.other) in said.partition(";")[0]
    assert all((refused.value.got, refused.value.expected, refused.value.remedy))
    build(
        model,
        {
            **wrong,
            **(
                {} if model.default_values()[name] is None else {name: model.default_values()[name]}
            ),
        },
    )
    with pytest.raises(ConfigError, match="does not apply"):
        build(model, {**given, **wrong}, flags={name})
    right = {**given, **beside(model, need, right=True)}
    integer = {"dtype": "int16"}
    right |= {
        "scale": integer,
        "offset_out": integer,
        "checkpoint_every": {"optimizer": "adam"},
    }.get(name, {})
    assert getattr(build(model, right), name) == given[name]


@pytest.mark.parametrize("model", MODELS)
def test_a_file_that_lists_every_default_is_taken(model: type[Config]) -> None:
    every = {**model.default_values(), **({"to": "csv"} if model is ExportConfig else {})}
    assert build(model, every) == build(model, {k: v for k, v in every.items() if k == "to"})


def test_a_flag_that_says_the_default_has_to_have_a_meaning(tmp_path: Path) -> None:
    x = write_tiff(tmp_path / "x.tif", spectra(4, 12, 12))
    done = cli("train", x, "--patience", 20, "-o", tmp_path / "run")
    assert done.code == 2
    assert (
        "--patience does not apply with --optimizer lbfgs; got --patience 20; expected "
        "--optimizer adam," in done.err
    )
    (tmp_path / "c.yaml").write_text(
        yaml.safe_dump({"patience": 20, "scenes": ["x.tif"], "steps": 2})
    )
    ok(
        "train",
        "--config",
        tmp_path / "c.yaml",
        "-o",
        tmp_path / "run",
        "--no-fused",
        "--no-report",
    )
    ok(
        "train",
        "--config",
        tmp_path / "run/config.yaml",
        "-o",
        tmp_path / "again",
        "--no-fused",
        "--no-report",
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"optimizer": "adam", "patience": 3},
            "--patience does not apply with --loss mse and --activation identity",
        ),
        ({"sample": 3}, "--sample does not apply with --loss mse"),
        ({"optimizer": "sgd", "batch_size": 3}, "--batch-size does not apply with --loss mse"),
        (
            {"objective": "reconstruction", "target": [], "no_offset": True},
            "--no-offset does not apply to recon",
        ),
        ({"target": [], "shift": (1, 0)}, "--shift does not apply without --target or --labels"),
        (
            {"target": [], "blur": 0.3},
            "--blur does not apply without --target, --labels or --source",
        ),
    ],
)
def test_what_depends_on_the_objective_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve(TrainConfig(**{"scenes": ["x.tif"], "target": ["t.tif"], **settings}))
    assert str(refused.value).startswith(words)


def test_what_the_weights_contradict_is_refused(tmp_path: Path) -> None:
    cube = spectra(4, 12, 12)
    x, t = (
        write_tiff(tmp_path / "x.tif", cube),
        write_tiff(tmp_path / "t.tif", blend(cube, np.full((1, 4), 0.25))),
    )
    ok("train", x, "--target", t, "-o", tmp_path / "run", "--no-fused", "--no-report")
    weights = tmp_path / "run/weights.safetensors"
    for command in (
        ("apply", weights, x, "-o", tmp_path / "f.tif"),
        ("evaluate", weights, x, "--target", t),
        ("export", weights, "--to", "csv", "-o", tmp_path / "w.csv"),
    ):
        ok(*command)
        done = cli(
            *command, "--use-common", *(() if command[0] == "evaluate" else ("--overwrite",))
        )
        assert (done.code, "--use-common does not apply to these weights" in done.err) == (
            2,
            True,
        ), command
    done = cli("export", weights, "--to", "csv", "--scene", x, "-o", tmp_path / "s.csv")
    assert done.code == 2
    assert "--scene does not apply with --to csv of weights that all scenes share" in done.err
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize(
    ("flags", "other"),
    [
        *(
            (["batch", "b.yaml", "--dry-run", *given], "--dry-run")
            for given in (
                ["--workers", "1"],
                ["--workers", "0"],
                ["--dask"],
                ["--scheduler", "tcp://127.0.0.1:9"],
                ["--fresh"],
                ["--fail-fast"],
                ["--overwrite"],
            )
        ),
        *(
            (["info", "--formats", *given], "--formats")
            for given in (["--groups", "all"], ["--wavelengths", "w.csv"])
        ),
        *((["check", "x.tif", *given], "--fix") for given in (["--scale", "2"], ["--overwrite"])),
    ],
    ids=lambda v: "_".join(v) if isinstance(v, list) else None,
)
def test_a_flag_of_a_command_without_settings_has_to_have_a_meaning(
    flags: list[str], other: str
) -> None:
    done = cli(*flags)
    assert done.code == 2
    name = next(f for f in flags if f.startswith("--") and f != other)
    assert done.err.startswith(f"error: {name} does not apply with")
    assert other in done.err.partition(";")[0]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["info", "x.tif", "--formats"],
            "--formats lists what can be opened, and reads no SCENE; got x.tif",
        ),
        (["schema", "-v", "-q"], "-v says more and -q says less; got both"),
        (
            ["batch", "b.yaml", "--scheduler", "tcp://127.0.0.1:9", "--workers", "1"],
            "--scheduler excludes --workers",
        ),
    ],
)
def test_two_that_contradict_each_other_are_refused(
    flags: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "b.yaml").write_text(
        "version: 1\noutput: out\nscenes: [{files: [x.tif]}]\njobs: [{name: a, kind: train, "
        "pool: all}]\n"
    )
    write_tiff(tmp_path / "x.tif", spectra(4, 12, 12))
    done = cli(*(str(tmp_path / f) if f == "b.yaml" else f for f in flags))
    assert (done.code, said in done.err) == (2, True), done.err


def test_every_flag_of_a_command_without_settings_is_in_the_table() -> None:
    """A new flag of these commands is to be put into one of the tests above, or here."""
    always = {
        "batch": "--set",
        "schema": "",
        "info": "",
        "sensors": "",
        "init": "--output --overwrite",
        "check": "--wavelengths --nodata --seed",
        "demo": "--seed --overwrite",
    }
    every = {"--json", "--verbose", "--quiet", "--log-file", "--help-all"}
    judged = {
        "batch": "--dry-run --workers --dask --scheduler --fresh --fail-fast --overwrite",
        "info": "--formats --groups --wavelengths",
        "check": "--fix --scale --overwrite",
    }
    for name, flags in always.items():
        command = typer.main.get_group(app_of(name)).commands[name]
        found = {p.opts[0] for p in command.params if p.param_type_name == "option"}
        general = every if name != "schema" else every - {"--json"}
        assert found == {*flags.split(), *general, *judged.get(name, "").split()}, name


def test_a_folder_that_a_file_names_stays_a_folder(tmp_path: Path) -> None:
    """The slash at its end says that it is to be made; it is relative to the file."""
    given = {"output": "y/", "uncertainty": "{parent}/s/", "checkpoint": "c"}
    assert rebased(given, tmp_path) == {
        "output": f"{tmp_path}/y/",
        "uncertainty": "{parent}/s/",
        "checkpoint": f"{tmp_path}/c",
    }
