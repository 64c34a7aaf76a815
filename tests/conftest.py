"""Settings that all tests share."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("ci")

collect_ignore = ["qgis_look.py", "benchmarks", "mutants"]
"""They are programs of their own."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors are slower on several of torch's threads, much slower where other programs
    run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


THOROUGH = bool(os.environ.get("BANDFUSE_THOROUGH"))

if not THOROUGH:
    # As pytest's workers share the processors, more threads in each only wait for one another.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need a GPU, with what is missing; and those that take long, unless all
    are asked for."""
    marked = [item for item in items if item.get_closest_marker("cuda")]
    trouble = _without_gpu() if marked else ""
    for item in marked if trouble else ():
        item.add_marker(pytest.mark.skip(reason=trouble))
    for item in [] if THOROUGH else _left_to_ci(items):
        item.add_marker(pytest.mark.skip(reason="runs where BANDFUSE_THOROUGH is set, as CI does"))


def _left_to_ci(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Tests marked ``thorough``, and of the cases of those marked ``one_in(n)`` all but each
    n-th."""
    seen: Counter[str] = Counter()
    for item in items:
        some = item.get_closest_marker("one_in")
        name = item.nodeid.partition("[")[0]
        if item.get_closest_marker("thorough") or (some and seen[name] % some.args[0]):
            yield item
        seen[name] += 1


def _without_gpu() -> str:
    """Why no test can run on a GPU; empty if they can."""
    from bandfuse.device import tried

    trouble = tried("cuda").trouble
    return f"there is no CUDA GPU: {trouble}" if trouble else ""
