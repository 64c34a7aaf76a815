"""Guards: the inputs that an output is compared with are all that it may harm."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from bandfuse.errors import OutputError
from bandfuse.files.guards import Inputs, check_file

NAMES = ["a.tif", "a.tif.ovr", "a.img", "a.hdr", "a", "b.tif.aux.xml", "b.tif", "link.tif", "c.b.x"]


def refusal(path: Path, inputs: Iterable[Path]) -> str | None:
    try:
        check_file(path, overwrite=True, inputs=inputs)
    except OutputError as error:
        return str(error)
    return None


def test_inputs_near_an_output_are_those_that_forbid_it(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    for folder in (tmp_path, below):
        for name in ("a.tif", "a.img", "b.tif"):
            (folder / name).touch()
    (tmp_path / "link.tif").symlink_to(tmp_path / "a.img")
    (below / "hard.tif").hardlink_to(tmp_path / "b.tif")
    inputs = [tmp_path / "a.tif", tmp_path / "a.img", below / ".." / "b.tif", tmp_path / "none.tif"]
    known = Inputs.of(inputs)
    refused = 0
    for folder in (tmp_path, below):
        for name in [*NAMES, "hard.tif", "a.img.hdr", "none.tif", "none.hdr"]:
            path = folder / name
            expected = refusal(path, inputs)
            assert refusal(path, known.near(path)) == expected
            refused += expected is not None
    assert refused > 10


def test_an_output_among_many_inputs_meets_few_of_them(tmp_path: Path) -> None:
    known = Inputs.of([tmp_path / f"{i}.tif" for i in range(500)])
    assert known.near(tmp_path / "out" / "7.tif") == [tmp_path / "7.tif"]
    with pytest.raises(OutputError, match="is an input"):
        check_file(tmp_path / "7.tif", overwrite=True, inputs=known.near(tmp_path / "7.tif"))
