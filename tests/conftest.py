"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("ci")

collect_ignore = ["qgis_look.py", "benchmarks", "mutants"]
"""They are programs of their own."""
