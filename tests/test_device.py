"""Where each part of the work runs: decided from its size, tried before it is promised, and said.

A pretended card is torch's CPU under another name: what would run on a GPU runs there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rasters import cli, ok, read, spectra, write_tiff
from safetensors.numpy import load_file

from bandfuse import BandFuser, device
from bandfuse.device import Card, Place, Work, place, plain_errors, row_of, tried
from bandfuse.errors import ConfigError

LARGE, SMALL = Work(flops=1e15, moved=1e9), Work(flops=1e6, moved=1e3)
PRETENDED = Card("cpu:0", "pretended card", 1e13)

Pretend = Callable[..., None]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Puts a card into the machine; ``quick``: one that any work is worth."""

    def put(card: Card = PRETENDED, *, quick: bool = False) -> None:
        monkeypatch.setattr(device, "_absent", lambda: "")
        monkeypatch.setattr(device, "tried", lambda kind: card)
        if quick:
            for name, value in (("START", 0.0), ("LAUNCH", 0.0), ("LINK", 1e30)):
                monkeypatch.setattr(device, name, value)
            monkeypatch.setattr(device, "GPU_FLOPS", 1e30)

    return put


def test_the_cpu_is_taken_if_it_is_asked_for_or_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert place("cpu", LARGE) == Place("cpu", "--device cpu was given")
    monkeypatch.setattr(device, "_absent", lambda: "there is no GPU")
    assert place("auto", LARGE) == Place("cpu", "there is no GPU")


def test_auto_takes_a_gpu_for_large_work_only(pretend: Pretend) -> None:
    pretend()
    large, small = place("auto", LARGE), place("auto", SMALL)
    assert (large.kind, large.torch, large.card) == ("cuda", "cpu:0", "pretended card")
    assert small.kind == "cpu"
    assert "a GPU would take" in small.reason


def test_auto_never_takes_a_gpu_that_is_slower_by_its_own_rate(pretend: Pretend) -> None:
    """A card for games multiplies float64 slowly: its rate is measured, not assumed."""
    pretend(Card("cpu:0", "for games", 1e9))
    assert place("auto", LARGE).kind == "cpu"


def test_threads_of_the_cpu_count(pretend: Pretend) -> None:
    pretend()
    flops = 6.0 * device.START * device.CPU_FLOPS
    assert place("auto", Work(flops, threads=1)).kind == "cuda"
    assert place("auto", Work(flops, threads=16)).kind == "cpu"
    assert place("auto", Work(flops, threads=16), started=True).kind == "cuda"


def test_a_card_that_fails_is_not_promised(pretend: Pretend) -> None:
    pretend(Card(trouble="CUDA error: no kernel image is available"))
    found = place("auto", LARGE)
    assert found.kind == "cpu"
    assert "no kernel image" in found.reason
    with pytest.raises(ConfigError, match="no kernel image"):
        place("cuda", SMALL)


def test_a_device_that_is_asked_for_does_all_that_it_can(pretend: Pretend) -> None:
    pretend()
    assert place("cuda", SMALL).kind == "cuda"
    assert place("mps", SMALL, exact=False).kind == "mps"
    assert place("mps", SMALL).reason == "this part needs float64, which Apple GPUs do not have"


@pytest.mark.parametrize("value", ["", "-1", " "])
def test_hidden_gpus_are_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: None)
    assert place("auto", LARGE) == Place("cpu", "CUDA_VISIBLE_DEVICES hides all GPUs")


def test_a_driver_alone_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first product on it fails: exclusive mode, a card that is too old."""
    tried.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def fail() -> str:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy\nCompile with TORCH_")

    monkeypatch.setattr(torch.cuda, "get_device_name", fail)
    try:
        assert tried("cuda").trouble == "CUDA error: all CUDA-capable devices are busy"
    finally:
        tried.cache_clear()


def test_a_rate_is_measured_after_a_product_was_right() -> None:
    assert 1e8 < device._rate(torch, "cpu") < 1e15


def test_nothing_imports_torch_to_find_that_there_is_no_gpu() -> None:
    code = (
        "import sys; from bandfuse.device import Work, place; place('auto', Work(1e18)); "
        "sys.exit('torch' in sys.modules)"
    )
    environment = {
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )


def test_rows_of_a_report_name_each_place_once() -> None:
    card = Place("cuda", "quicker", "cuda", "H100")
    row = row_of([card, Place("cpu", "there is no GPU"), card])
    assert (row.device, row.card) == ("cuda and cpu", "H100")
    assert row.reason == "quicker; there is no GPU"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_errors_of_a_device_are_one_message(error: RuntimeError) -> None:
    with pytest.raises(ConfigError) as caught, plain_errors(Place("cuda", "", "cuda", "H100")):
        raise error
    assert str(caught.value).count("\n") == 0
    assert "the work on cuda (H100) failed" in str(caught.value)
    assert "--device cpu" in caught.value.remedy


def test_errors_of_bandfuse_are_not_called_errors_of_a_device() -> None:
    with pytest.raises(RuntimeError, match="index"), plain_errors(Place("cuda", "")):
        raise RuntimeError("index out of range")
    with pytest.raises(torch.OutOfMemoryError), plain_errors(Place("cpu", "")):
        raise torch.OutOfMemoryError("CUDA out of memory")


# --------------------------------------------------------------------------------------------------
# Whole commands, on a card that is pretended


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    x = spectra(6, 70, 90)
    target = np.stack([x[:3].mean(axis=0), 0.2 * x[4] + 0.8 * x[5]])
    return write_tiff(tmp_path / "x.tif", x), write_tiff(tmp_path / "t.tif", target)


def trained(folder: Path, pair: tuple[str, str], *flags: object) -> tuple[Path, dict[str, Any]]:
    ok("train", "--no-report", pair[0], "--target", pair[1], "-o", folder, *flags)
    return folder, json.loads((folder / "report.json").read_text())["device"]


LOSS = ("--loss", "huber", "--optimizer", "adam", "--steps", 40, "--constraint", "simplex")


@pytest.mark.one_in(2)
@pytest.mark.parametrize("flags", [(), LOSS], ids=["exact", "descent"])
def test_a_training_on_a_card_finds_what_the_cpu_finds(
    flags: tuple[object, ...], pair: tuple[str, str], tmp_path: Path, pretend: Pretend
) -> None:
    here, said = trained(tmp_path / "cpu", pair, *flags, "--device", "cpu")
    assert {row["device"] for row in said.values()} == {"cpu"}
    pretend()
    there, said = trained(tmp_path / "card", pair, *flags, "--device", "cuda")
    devices = {part: row["device"] for part, row in said.items()}
    fit = "cuda" if flags else "cpu"
    assert devices == {"pass": "cuda", "fit": fit, "refits": fit, "apply": "cuda"}
    assert said["pass"]["card"] == "pretended card"
    a, b = (load_file(folder / "weights.safetensors") for folder in (here, there))
    # Weights of next to nothing may or may not be zero.
    np.testing.assert_allclose(b["weight"], a["weight"], atol=1e-7)
    np.testing.assert_allclose(read(there / "fused.tif"), read(here / "fused.tif"), rtol=1e-6)


def test_a_closed_form_says_why_it_needs_no_gpu(
    pair: tuple[str, str], tmp_path: Path, pretend: Pretend
) -> None:
    pretend(quick=True)
    _, said = trained(tmp_path / "run", pair)
    assert said["fit"] == {
        "device": "cpu",
        "card": "",
        "reason": "the weights are the exact solution, which needs no descent",
    }
    assert said["pass"]["device"] == "cuda"


def test_a_run_on_a_card_can_be_made_again_without_one(
    pair: tuple[str, str], tmp_path: Path, pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What auto chose is in the report, not in config.yaml."""
    pretend(quick=True)
    folder, said = trained(tmp_path / "run", pair)
    assert said["pass"]["device"] == "cuda"
    config = folder / "config.yaml"
    assert yaml.safe_load(config.read_text())["device"] == "auto"
    monkeypatch.undo()
    ok("train", "--no-report", "--config", config, "-o", tmp_path / "again")
    again = json.loads((tmp_path / "again" / "report.json").read_text())["device"]
    assert again["pass"]["device"] == "cpu"


def test_apply_resample_and_evaluate_run_where_they_are_told(
    pair: tuple[str, str], tmp_path: Path, pretend: Pretend
) -> None:
    run, _ = trained(tmp_path / "run", pair)
    asked = ("apply", run / "weights.safetensors", pair[0], "-o")
    ok(*asked, tmp_path / "a.tif", "--device", "cpu")
    score = ("evaluate", run / "weights.safetensors", pair[0], "--target", pair[1], "--json")
    before = json.loads(ok(*score).out)["scores"]
    pretend()
    told = json.loads(ok(*asked, tmp_path / "b.tif", "--device", "cuda", "--json").out)
    assert told["device"]["device"] == "cuda"
    np.testing.assert_allclose(read(tmp_path / "b.tif"), read(tmp_path / "a.tif"), rtol=1e-6)
    after = json.loads(ok(*score, "--device", "cuda").out)["scores"]
    for output, row in before.items():
        assert after[output]["r2"] == pytest.approx(row["r2"], abs=1e-9)
        assert after[output]["mae"] == pytest.approx(row["mae"], abs=1e-7)


def test_the_estimator_takes_a_device(pretend: Pretend) -> None:
    x = np.random.default_rng(0).normal(size=(300, 4))
    y = x @ [1.0, 2.0, 0.0, 0.5]
    here = BandFuser(device="cpu").fit(x, y)
    pretend()
    there = BandFuser(device="cuda").fit(x, y)
    # A card multiplies values of float32: each is off by half of eps at most, relatively.
    off = np.finfo(np.float32).eps / 2
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=off, atol=off)
    pretend(Card(trouble="the driver is too old"))
    with pytest.raises(ValueError, match="the driver is too old"):
        BandFuser(device="cuda").fit(x, y)


@pytest.mark.parametrize("command", ["train", "apply", "evaluate"])
def test_a_device_that_is_not_there_is_refused_before_the_work(
    command: str, pair: tuple[str, str], tmp_path: Path, pretend: Pretend
) -> None:
    run, _ = trained(tmp_path / "run", pair, "--no-fused", "--no-report")
    pretend(Card(trouble="torch 2.13.0 has none"))
    weights = run / "weights.safetensors"
    made = tmp_path / "made"
    given = {
        "train": (pair[0], "--target", pair[1], "-o", made),
        "apply": (weights, pair[0], "-o", made),
        "evaluate": (weights, pair[0], "--target", pair[1]),
    }[command]
    done = cli(command, *given, "--device", "cuda")
    assert done.code == 2
    assert "device 'cuda' is not available; got torch 2.13.0 has none" in " ".join(done.err.split())
    assert not made.exists()


def test_a_card_without_memory_ends_a_training_in_one_message(
    pair: tuple[str, str], tmp_path: Path, pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend()

    def fail(*given: object, **settings: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90.00 GiB.")

    monkeypatch.setattr("bandfuse.survey.gather.reduce_windows", fail)
    run = tmp_path / "run"
    done = cli("train", pair[0], "--target", pair[1], "-o", run, "--device", "cuda")
    assert done.code == 2
    said = " ".join(done.err.split())
    assert "the work on cuda (pretended card) failed; got CUDA out of memory" in said
    assert not run.exists()


@pytest.mark.parametrize("command", ["apply", "evaluate"])
def test_products_on_a_card_without_memory_end_in_one_message(
    command: str,
    pair: tuple[str, str],
    tmp_path: Path,
    pretend: Pretend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, _ = trained(tmp_path / "run", pair, "--no-fused", "--no-report")
    pretend()

    def fail(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90.00 GiB.")

    monkeypatch.setattr("bandfuse.moments.on_device.card.Multiplier.__call__", fail)
    made = ("-o", tmp_path / "made.tif") if command == "apply" else ("--target", pair[1])
    done = cli(command, run / "weights.safetensors", pair[0], *made, "--device", "cuda")
    assert done.code == 2
    assert "the work on cuda (pretended card) failed" in " ".join(done.err.split())
    assert not (tmp_path / "made.tif").exists()


def test_refits_of_exact_weights_are_on_the_cpu_wherever_the_descent_was(
    pair: tuple[str, str], tmp_path: Path, pretend: Pretend
) -> None:
    """A descent that ends at the exact solution is held out and resampled without torch."""
    pretend()
    how = ("--optimizer", "adam", "--init", "least-squares", "--steps", 1, "--lr", 1e-12)
    _, said = trained(tmp_path / "run", pair, *how, "--device", "cuda")
    assert (said["fit"]["device"], said["refits"]["device"]) == ("cuda", "cpu")
