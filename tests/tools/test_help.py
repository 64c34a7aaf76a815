"""Help: pages of the documentation from the package, in a terminal and in a pipe."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rasters import cli, ok
from rich.cells import cell_len
from rich.console import Console

import bandfuse
from bandfuse.cli import show
from bandfuse.cli.main import COMMANDS
from bandfuse.cli.show_help import show_page
from bandfuse.errors import UsageError
from bandfuse.tools.help import TOPICS, help

DOCS = Path(bandfuse.__file__).parent / "docs"


def in_a_terminal(text: str, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of a page in a terminal of this width, without colours."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(show, "out", lambda: Console(width=width, no_color=True, highlight=False))
    monkeypatch.setattr("sys.stdout", Terminal())
    show_page(text)
    return re.sub(r"\x1b\[[\d;]*m", "", sys.stdout.getvalue()).splitlines()  # type: ignore[attr-defined]


def test_without_a_topic_all_are_listed() -> None:
    lines = ok("help").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(TOPICS)
    assert max(map(len, lines)) <= 80
    assert ok("help", "--json").json == {"topics": TOPICS, "topic": None, "text": None}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_is_printed_as_it_is_written_in_a_pipe(topic: str) -> None:
    printed, written = ok("help", topic).out, (DOCS / f"{topic}.md").read_text(encoding="utf-8")
    assert printed == help(topic).text == ok("help", topic, "--json").json["text"]
    assert printed.splitlines()[0] == written.splitlines()[0]
    assert "<!--" not in printed
    assert ".md)" not in printed
    plain = [line for line in written.splitlines() if not re.search(r"\]\(|<!--", line)]
    assert set(plain) <= set(printed.splitlines())


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_fits_a_terminal_and_is_not_cut(
    topic: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help(topic).text or ""
    lines = in_a_terminal(text, width, monkeypatch)
    assert max(map(cell_len, lines)) <= width
    assert sum("…" in line for line in lines) <= text.count("…")


def test_links_to_pages_are_commands() -> None:
    assert "values (bandfuse help values)" in (help("groups").text or "")
    assert "https://github.com/spectralpython/spectral" in (help("groups").text or "")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_its_own_help(command: str) -> None:
    assert ok("help", command).out == ok(command, "--help").out


@pytest.mark.parametrize(
    ("word", "near"), [("grups", "groups"), ("tran", "train"), ("qgs", "qgis"), ("zzzz", None)]
)
def test_an_unknown_topic_names_the_nearest(word: str, near: str | None) -> None:
    done = cli("help", word)
    assert (done.code, done.out) == (2, "")
    hint = f" Did you mean '{near}'?" if near else ""
    assert done.err == (
        f"error: bandfuse has no help on '{word}'.{hint} bandfuse help lists the topics.\n"
    )
    with pytest.raises(UsageError):
        help(word)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['bandfuse', 'help', 'groups']\n"
        "from bandfuse.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print(*(m for m in ('torch', 'rasterio', 'scipy', "
        "'matplotlib') if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("# Groups")
    assert done.stderr.split() == []
