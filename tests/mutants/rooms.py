"""Which tests know a file directly: the shortest way to see that it has changed."""

from __future__ import annotations

TESTS = {
    "fusion": "values",
    "moments": "values",
    "exact": "exact trust",
    "pivoting": "trust exact",
    "objectives": "weights losses",
    "contrast": "contrast weights",
    "weights": "weights",
    "tally": "values contrast",
    "trust/cases": "trust",
    "trust/choose": "trust",
    "trust/folds": "trust",
    "trust/holdout": "trust",
    "trust/identify": "belief",
    "trust/intervals": "trust jackknife",
    "trust/jackknife": "jackknife",
    "trust/needed": "belief",
    "trust/penalty": "trust",
    "trust/rebuild": "trust",
    "trust/shape": "trust",
    "trust/stability": "belief",
    "resampling": "resample",
    "overlap": "align",
    "displacement": "align",
    "tools/shift": "align",
    "raster/align": "align",
    "raster/read": "raster formats",
    "raster/describe": "raster metadata quirks",
    "raster/write": "raster outputs",
    "output": "raster outputs",
    "placing": "placing raster",
    "batches/journal": "resume",
}
"""Test files (``tests/test_NAME.py``) of each file of bandfuse; its own doctests come with them."""
