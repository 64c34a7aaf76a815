"""A run says which linear algebra it used, so that two runs that differ in their last bits can be
explained."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bandfuse.config.commands import CompareConfig
from bandfuse.runs.versions import kernels
from bandfuse.tools.compare import compare

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample"


def train(run: Path, **settings: str) -> dict:
    command = [
        sys.executable,
        "-m",
        "bandfuse",
        "train",
        SAMPLE / "cube.tif",
        "--target",
        SAMPLE / "target.tif",
    ]
    flags = ["-o", run, "--no-fused", "--no-report", "-q"]
    subprocess.run(
        [*map(str, [*command, *flags])], env=os.environ | settings, check=True, timeout=120
    )
    return json.loads((run / "report.json").read_text())


def test_the_kernels_of_this_process_are_named() -> None:
    import torch
    from threadpoolctl import ThreadpoolController

    blas = ThreadpoolController().select(user_api="blas").info()
    named = {(k.library, k.version, k.kernel) for k in kernels() if k.library != "torch"}
    assert named == {(b["internal_api"], b["version"], b["architecture"]) for b in blas}
    assert [k.kernel for k in kernels() if k.library == "torch"] == [
        torch.backends.cpu.get_cpu_capability()
    ]


@pytest.mark.thorough
@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="Nehalem is a kernel of x86-64"
)
def test_a_run_under_another_kernel_says_so(tmp_path: Path) -> None:
    """OpenBLAS runs the kernel that it is told to; the report names that one, and `compare` names
    the difference."""
    native, other = (
        train(tmp_path / "native"),
        train(tmp_path / "other", OPENBLAS_CORETYPE="Nehalem"),
    )
    assert {k["kernel"] for k in other["kernels"] if k["library"] == "openblas"} == {"Nehalem"}
    messages = compare([tmp_path / "native", tmp_path / "other"], CompareConfig()).messages
    differ = native["kernels"] != other["kernels"]
    assert any("another kind of processor" in line for line in messages) == differ


def test_runs_of_one_machine_are_not_said_to_differ(tmp_path: Path) -> None:
    report = train(tmp_path / "one")
    (tmp_path / "two").mkdir()
    without = [k for k in report["kernels"] if k["library"] != "torch"]
    (tmp_path / "two/report.json").write_text(json.dumps(report | {"kernels": without}))
    assert compare([tmp_path / "one", tmp_path / "two"], CompareConfig()).messages == []
