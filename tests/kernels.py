"""`make test-kernels`: the numerical tests under every processor kernel that this machine can run.

Usage: ``kernels.py [--apart] [--jobs N] [TEST FILE …]``. OpenBLAS chooses its kernel by
``OPENBLAS_CORETYPE`` and torch by ``ATEN_CPU_CAPABILITY``; each pair of them is tried in a process
of its own first, and left out where the processor cannot run it or another kernel answers.
``--apart`` takes the narrowest and the widest pair other than the native one, and the quick half of
the tests. Prints a table; exits with 1 if a test failed anywhere."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent

CORES = {
    "Nehalem": "default",
    "Sandybridge": "default",
    "Haswell": "avx2",
    "Zen": "avx2",
    "SkylakeX": "avx512",
    "Cooperlake": "avx512",
}
"""OpenBLAS kernels from the narrowest to the widest, each with the capability of torch that goes
with it."""

CROSSED = (("Nehalem", "avx2"), ("Haswell", "default"))
"""Pairs that no processor has: what depends on one of the two alone."""

ROOMS = (
    "raster/align",
    "tools/apply",
    "interop/arrays",
    "trust/assess",
    "trust/stability",
    "optimise/separability",
    "interop/estimator",
    "solve/exact",
    "solve/bandpass",
    "optimise/fit",
    "spectral/groups",
    "model/decoder",
    "trust/jackknife",
    "optimise/losses",
    "survey/parts",
    "moments/gram",
    "moments/on_device",
    "tools/resample",
    "solve/scores",
    "survey/spread",
    "tools/train",
    "trust/trust",
    "moments/values",
    "optimise/parameters",
)
"""Test files whose results come from BLAS or torch, as ROOM/FILE."""

CORE = (
    "optimise/separability",
    "solve/exact",
    "solve/bandpass",
    "model/decoder",
    "optimise/losses",
    "moments/gram",
    "moments/on_device",
    "tools/resample",
    "solve/scores",
    "trust/trust",
    "moments/values",
    "optimise/parameters",
)
"""Those of them without files and commands: what ``--apart`` runs."""

TRIAL = """
import numpy, scipy.linalg, torch
from threadpoolctl import threadpool_info
a = numpy.random.default_rng(0).random((99, 99))
scipy.linalg.cholesky(a @ a.T + numpy.eye(99))
torch.exp(torch.from_numpy(a)).sum()
print(*{i["architecture"] for i in threadpool_info() if i["internal_api"] == "openblas"})
print(torch.backends.cpu.get_cpu_capability().lower())
"""


def test_file(name: str) -> str:
    """The path of the tests of ``room/file``."""
    room, _, file = name.rpartition("/")
    return f"tests/{room}/test_{file}.py"


def trial(core: str, capability: str) -> tuple[str, str]:
    """The kernels that answer to a pair of settings; empty if the processor cannot run them."""
    done = subprocess.run(
        [sys.executable, "-c", TRIAL], env=chosen(core, capability), capture_output=True, text=True
    )
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return (lines[0], lines[1]) if len(lines) == 2 else ("", "")


def chosen(core: str, capability: str) -> dict[str, str]:
    """The environment that asks for these kernels; for the native ones both are empty."""
    names = {"OPENBLAS_CORETYPE": core, "ATEN_CPU_CAPABILITY": capability}
    plain = {key: value for key, value in os.environ.items() if key not in names}
    return plain | {key: value for key, value in names.items() if value}


def answers() -> dict[tuple[str, str], tuple[str, str]]:
    """What answers to each pair of settings that this processor can run, the native one first. A
    core that this build of OpenBLAS gives to another one's kernel is not run twice."""
    found = {p: trial(*p) for p in (("", ""), *CORES.items(), *CROSSED)}
    return {p: kernel for p, kernel in found.items() if kernel[0] and p in (("", ""), kernel)}


def apart(able: dict[tuple[str, str], tuple[str, str]]) -> list[tuple[str, str]]:
    """The narrowest and the widest pair that differ from the native one."""
    other = [p for p, kernel in able.items() if kernel != able["", ""] and p not in CROSSED]
    return other[:1] + other[1:][-1:]


def run(core: str, capability: str, files: list[str], jobs: int) -> tuple[int, str, float]:
    """pytest's exit code, its last line, and the seconds that it took."""
    start = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        str(jobs),
        "-p",
        "no:cacheprovider",
        *files,
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=chosen(core, capability), capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout[-6000:], done.stderr[-2000:], sep="\n", flush=True)
    last = re.sub(r"^=+ | =+$| in [\d.]+s.*", "", done.stdout.strip().splitlines()[-1])
    return done.returncode, last, time.perf_counter() - start


def main() -> int:
    """Run all pairs and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--apart",
        action="store_true",
        help="only two kernels that are far apart, not the native one",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes of one run"
    )
    parser.add_argument("files", nargs="*", help="test files; by default the numerical ones")
    given = parser.parse_args()
    rooms = CORE if given.apart else ROOMS
    files = given.files or [test_file(room) for room in rooms]
    able = answers()
    asked = apart(able) if given.apart else list(able)
    ran = {able[p][0] for p in asked}
    print(f"{'OpenBLAS':<14}{'torch':<12}{'seconds':>8}  tests")
    worst = 0
    for core, capability in asked:
        code, line, seconds = run(core, capability, files, given.jobs)
        print(
            f"{core or 'native':<14}{capability or 'native':<12}{seconds:>8.0f}  {line}", flush=True
        )
        worst = max(worst, code)
    left = ", ".join(core for core in CORES if core not in ran)
    print(f"not run here: {left or 'none'}; native: {' and '.join(able['', ''])}")
    return min(worst, 1)


if __name__ == "__main__":
    sys.exit(main())
