"""Which tests know a file directly: the shortest way to see that it has changed."""

from __future__ import annotations

TESTS = {
    "batches/journal": "batches/resume",
    "files/guards": "raster/raster applying/outputs",
    "files/placing": "files/placing raster/raster",
    "files/whole": "raster/raster applying/outputs",
    "model/fusion": "moments/values",
    "moments/census": "moments/values optimise/separability",
    "moments/moments": "moments/values",
    "moments/on_cpu": "moments/values optimise/separability",
    **dict.fromkeys(
        [
            f"moments/on_device/{name}"
            for name in ("card", "cells", "facts", "route", "sums", "windows")
        ],
        "moments/on_device survey/on_device",
    ),
    "moments/tally": "moments/values optimise/separability moments/on_device",
    "optimise/activations": "optimise/parameters",
    "optimise/objectives/base": "optimise/separability optimise/parameters",
    "optimise/objectives/reconstruction": "optimise/parameters optimise/losses",
    "optimise/objectives/regression": "optimise/parameters optimise/losses",
    "optimise/objectives/sampled": "optimise/parameters optimise/losses",
    "optimise/objectives/separability": "optimise/separability optimise/parameters",
    "optimise/objectives/snr": "optimise/separability optimise/parameters",
    "optimise/objectives/total": "optimise/separability optimise/parameters",
    "optimise/parameters": "optimise/parameters",
    "raster/align": "raster/align",
    "raster/areas": "raster/align",
    "raster/encoding": "raster/raster applying/outputs",
    "raster/describe": "raster/raster spectral/metadata raster/quirks",
    "raster/drivers/driver": "raster/raster applying/outputs",
    "raster/read": "raster/raster raster/formats",
    "raster/write": "raster/raster applying/outputs",
    "scenes/alignment": "raster/align",
    "scenes/displacement": "raster/align",
    "scenes/local_shifts": "scenes/field",
    "sharpening/pairs/field": "scenes/field",
    "solve/exact": "solve/exact trust/trust",
    "solve/nnls": "trust/trust solve/exact",
    "spectral/resampling": "tools/resample",
    "trust/band_windows": "trust/stability",
    "trust/baselines": "trust/trust",
    "trust/bootstrap": "trust/trust trust/jackknife",
    "trust/fold_problems": "trust/trust",
    "trust/folds": "trust/trust",
    "trust/indistinguishable": "trust/stability",
    "trust/jackknife": "trust/jackknife",
    "trust/penalty": "trust/trust",
    "trust/regularisation": "trust/trust",
    "trust/response_shape": "trust/trust",
    "trust/stability": "trust/stability",
    "trust/scorers": "trust/trust",
    "trust/trials": "trust/assess",
}
"""Test files (ROOM/FILE of ``tests/ROOM/test_FILE.py``) of each file of bandfuse; its own doctests
come with them."""


def test_file(name: str) -> str:
    """The path of ``room/file``, or of a file that is in no room."""
    room, _, file = name.rpartition("/")
    return f"tests/{room}/test_{file}.py" if room else f"tests/test_{file}.py"
