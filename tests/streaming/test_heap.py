"""What was freed goes back to the system, whatever small objects lie between."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rasters import blend, ok, spectra, write_tiff

CODE = """
import re
import numpy as np
from bandfuse.streaming.heap import give_back

def held():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

np.ones(2**20)
before, large, small = held(), [], []
for _ in range(30):
    large.append(np.ones(2**20 - 1000))
    small.append(np.ones(10_000))
large.clear()
freed = held() - before
give_back()
print(freed, held() - before)
"""


ON_THE_HEAP = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""glibc is to put the arrays on its heap, and to keep what is freed, as it does of its own accord
once it has seen a few."""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the function")
def test_large_arrays_that_are_freed_go_back() -> None:
    """Megabytes that stay once 30 arrays of 8 MB are freed, and after they were given back."""
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True, text=True, check=True,
        env={**os.environ, **ON_THE_HEAP, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    freed, given = map(float, done.stdout.split())
    assert given < 30
    if "glibc" in os.confstr("CS_GNU_LIBC_VERSION"):
        assert freed > 100


def test_a_training_gives_back_between_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each output, and before the steps that need most."""
    calls: list[int] = []
    monkeypatch.setattr("bandfuse.trust.assess.give_back", lambda: calls.append(1))
    cube = spectra(6, 40, 40)
    write_tiff(tmp_path / "x.tif", cube)
    write_tiff(tmp_path / "t.tif", blend(cube, np.eye(6)[:3]))
    ok("train", tmp_path / "x.tif", "--target", tmp_path / "t.tif", "-o", tmp_path / "run")
    assert len(calls) == 3 + 2
