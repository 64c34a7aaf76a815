"""Every path of torch on a device that is only pretended: a test for each row of the tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

sys.path.insert(0, str(Path(__file__).parent))
from pretended import FAULTS, cases

pytestmark = [
    pytest.mark.skipif(
        not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
        reason=f"torch {torch.__version__} cannot pretend a device",
    ),
    pytest.mark.timeout(1200),
    pytest.mark.thorough,
]


@pytest.fixture(scope="module")
def walked() -> dict[str, str]:
    """What went wrong by case, from a process of its own: a device is registered once and for
    all."""
    script, root = Path(__file__).with_name("pretended.py"), Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    rows = map(json.loads, done.stdout.splitlines())
    return {row["name"]: row["wrong"] for row in rows}


@pytest.mark.parametrize("name", cases())
def test_paths_of_torch_keep_to_the_device(name: str, walked: dict[str, str]) -> None:
    assert walked[name] == ""


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(fault: str, walked: dict[str, str]) -> None:
    assert walked[fault] != ""
