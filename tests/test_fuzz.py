"""Some cases of `make fuzz`: 60, or 500 where BANDFUSE_THOROUGH is set, as CI does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = "500" if os.environ.get("BANDFUSE_THOROUGH") else "60"

QUICK = "tiff,envi,vrt,weights,table,stac,flags,sets,names"
"""Kinds whose cases take little time each; `make fuzz` has them all. libhdf5 itself may crash on a
damaged file."""


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="fuzzing needs fork and limits, which Windows has not")
def test_damaged_inputs_end_as_they_should() -> None:
    program = Path(__file__).with_name("fuzz.py")
    done = subprocess.run(
        [sys.executable, program, "--cases", CASES, "--jobs", "1", "--kinds", QUICK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{CASES} cases, 0 with faults" in done.stdout
