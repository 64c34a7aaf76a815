"""Checkpoints: an interrupted training goes on to the same bits; a checkpoint of another training
is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasters import blend, cli, listing, spectra, wavelengths, write_tiff

from bandfuse import TrainConfig, train
from bandfuse.errors import BandfuseError, ConfigError, InputError
from bandfuse.optimise.checkpointfile import dumps, load
from bandfuse.optimise.descent import Descent, State
from bandfuse.training.checkpoint import Checkpoint

B = 4
WEIGHT = [[0.5, 0.2, 0.2, 0.1], [0.1, 0.0, 0.3, 0.6]]


class Power(Exception):
    """The machine went off."""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., TrainConfig]:
    """Settings of a training with a checkpoint that is written after every step."""
    cube = spectra(B, 40, 60)
    scene = write_tiff(tmp_path / "cube.tif", cube, nm=wavelengths(B))
    target = write_tiff(tmp_path / "t.tif", blend(cube, WEIGHT, [0.4, -0.1]).astype(np.float32))

    def config(name: str, **how: object) -> TrainConfig:
        values = {
            "scenes": [scene],
            "target": [target],
            "output": str(tmp_path / name),
            "no_fused": True,
            "no_report": True,
            "loss": "huber",
            "optimizer": "adamw",
            "batch_size": 600,
            "steps": 35,
            "patience": 2,
            "checkpoint_every": 0,
            "folds": 0,
        }
        values |= how
        sampled = {"batch_size", "patience"} if values["loss"] == "mse" else set()
        idle = sampled | (set() if "checkpoint" in how else {"checkpoint_every"})
        return TrainConfig.model_validate(
            {key: value for key, value in values.items() if key not in idle}
        )

    return config


def weights(folder: Path, name: str) -> bytes:
    return (folder / name / "weights.safetensors").read_bytes()


def fail_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Descents stop dead after so many steps in all; the list counts them."""
    real, count = Descent._step, [0]

    def step(self: Descent, index: object) -> None:
        count[0] += 1
        if count[0] > steps:
            raise Power
        real(self, index)  # type: ignore[arg-type]

    monkeypatch.setattr(Descent, "_step", step)
    return count


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"optimizer": "adam", "constraint": "simplex", "gain": True},
        {"optimizer": "sgd", "batch_size": 0, "lr": 0.01},
        {"loss": "sam", "optimizer": "adam"},
        {"loss": "mse", "constraint": "free"},
    ],
    ids=["adamw", "adam", "sgd", "coupled", "moments"],
)
def test_an_interrupted_training_ends_in_the_same_bits(
    how: dict[str, object],
    tmp_path: Path,
    make: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train(make("whole", **how))
    file = str(tmp_path / "state")
    for steps in (7, 23):
        with monkeypatch.context() as patch:
            fail_after(steps, patch)
            with pytest.raises(Power):
                train(make("run", checkpoint=file, **how))
        assert not (tmp_path / "run").exists()
    with monkeypatch.context() as patch:
        count = fail_after(10_000, patch)
        _, messages = train(make("run", checkpoint=file, **how))
    assert weights(tmp_path, "run") == weights(tmp_path, "whole")
    assert 0 < count[0] <= 70 - 28
    with monkeypatch.context() as patch:
        fail_after(0, patch)
        _, again = train(make("again", checkpoint=file, **how))
    assert weights(tmp_path, "again") == weights(tmp_path, "whole")
    assert again == messages
    assert "checkpoint" not in (tmp_path / "run" / "config.yaml").read_text()
    assert not [name for name in listing(tmp_path) if "partial" in name]


def test_other_settings_and_other_pixels_are_refused(
    tmp_path: Path, make: Callable[..., TrainConfig]
) -> None:
    file = str(tmp_path / "state")
    train(make("run", checkpoint=file, steps=2))
    before = Path(file).read_bytes()
    with pytest.raises(
        ConfigError, match=r"made with other settings; got lr 0.5; expected lr None. Delete it"
    ):
        train(make("other", checkpoint=file, steps=2, lr=0.5))
    write_tiff(tmp_path / "cube.tif", spectra(B, 40, 60) + 0.1, nm=wavelengths(B))
    with pytest.raises(ConfigError, match="was made from other pixels"):
        train(make("other", checkpoint=file, steps=2))
    assert Path(file).read_bytes() == before
    # How a command runs does not matter.
    write_tiff(tmp_path / "cube.tif", spectra(B, 40, 60), nm=wavelengths(B))
    train(make("other", checkpoint=file, steps=2, threads=1, memory=64, checkpoint_every=5))


@pytest.mark.parametrize("content", [b"", b"something else", dumps({}, {})[:-3]])
def test_files_that_are_no_checkpoints_are_left_alone(
    content: bytes, tmp_path: Path, make: Callable[..., TrainConfig]
) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(InputError, match="is not a checkpoint of bandfuse"):
        train(make("run", checkpoint=str(tmp_path / "state"), steps=2))
    assert (tmp_path / "state").read_bytes() == content


def test_a_weights_file_is_no_checkpoint(tmp_path: Path, make: Callable[..., TrainConfig]) -> None:
    train(make("run", steps=2))
    with pytest.raises(InputError, match="is not a checkpoint"):
        train(make("other", checkpoint=str(tmp_path / "run" / "weights.safetensors"), steps=2))


def test_a_place_that_cannot_be_written_to(
    tmp_path: Path, make: Callable[..., TrainConfig]
) -> None:
    with pytest.raises(BandfuseError, match="does not exist"):
        train(make("run", checkpoint=str(tmp_path / "nowhere" / "state"), steps=2))


def test_states_come_back(tmp_path: Path) -> None:
    state: State = {
        "a.b": np.arange(3.0),
        "scalar": np.float32(2.5).reshape(()),
        "count": np.array([1, 2]),
    }
    (tmp_path / "state").write_bytes(
        dumps({"lr": None, "loss": "mae"}, {"scene 1, 0": state, "common, 0": {}})
    )
    settings, states = load(tmp_path / "state")
    assert settings == {"lr": None, "loss": "mae"}
    assert list(states) == ["scene 1, 0"]
    for name, array in states["scene 1, 0"].items():
        assert array.dtype == state[name].dtype
        assert array.shape == state[name].shape
        assert array.tolist() == state[name].tolist()


def test_the_file_is_written_when_it_is_due(tmp_path: Path) -> None:
    states = iter(range(100))
    rare = Checkpoint(tmp_path / "state", {}, every=1000.0)
    slot = rare.slot("part")
    slot.keep(lambda: {"n": np.array([next(states)])})
    assert not (tmp_path / "state").exists()
    slot.keep(lambda: {"n": np.array([next(states)])}, last=True)
    assert load(tmp_path / "state")[1]["part"]["n"].tolist() == [0]


def test_the_flag(tmp_path: Path, make: Callable[..., TrainConfig]) -> None:
    config = make("run")
    for name in ("run", "again"):
        done = cli(
            "train",
            config.scenes[0],
            "--target",
            config.target[0],
            "-o",
            tmp_path / name,
            "--optimizer",
            "adam",
            "--steps",
            5,
            "--checkpoint",
            tmp_path / "state",
            "--no-fused",
            "--no-report",
        )
        assert done.code == 0, done.err
    assert weights(tmp_path, "run") == weights(tmp_path, "again")
