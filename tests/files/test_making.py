"""Folders that an output names are made, and taken away again if nothing came of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandfuse.errors import OutputError
from bandfuse.files.making import making, names_folder


def test_missing_folders_are_made_with_those_above(tmp_path: Path) -> None:
    with making(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert (tmp_path / "a" / "b").is_dir()


def test_they_are_taken_away_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), making(tmp_path / "a" / "b" / "c"):
            raise error
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "a" / "file").write_text("mine")
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"), making(tmp_path / "a" / "b"):
        work()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "file"]


def test_a_file_in_the_way_is_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"), making(tmp_path / "file" / "b"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_nothing_is_made_where_nothing_is_asked_for(tmp_path: Path) -> None:
    with making(None), making(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_slash_names_a_folder() -> None:
    assert names_folder("out/")
    assert not names_folder("out")
