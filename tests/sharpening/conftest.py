"""What all tests of sharpening share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="package", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """As the tools have it: many small products are slower on several threads."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield
