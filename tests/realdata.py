"""The real cubes, from the folder in ``BANDFUSE_REAL_DATA``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SET = os.environ.get("BANDFUSE_REAL_DATA", "")
DATA = Path(_SET or "nowhere")
THERE = bool(_SET and DATA.is_dir())
MISSING = "BANDFUSE_REAL_DATA is not set to a folder with the real cubes"

needs_real_data = pytest.mark.skipif(not THERE, reason=MISSING)
