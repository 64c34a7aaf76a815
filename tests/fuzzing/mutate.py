"""Mutate: bytes, texts and trees of JSON, made a little wrong. The same random generator makes the
same mistakes."""

from __future__ import annotations

import copy
import re
from random import Random
from typing import Any

NUMBERS = (
    "0",
    "-1",
    "1",
    "0.5",
    "nan",
    "-nan",
    "inf",
    "-inf",
    "1e400",
    "1e308",
    "-1e308",
    "4.9e-324",
    "1e-320",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "999999999999999999999999",
    "65535",
    "65536",
    "1e9",
    "1000000000",
    "0x10",
    "1_000",
    "1,5",
    "٣",
    "+5",
    "--1",
    "",
)
"""Numbers that break what reads them, and texts that are no numbers."""

TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "\x1b[31mred\x1b]0;x\x07",
    "a\nb",
    "a\rb",
    "\t",
    "é",
    "光",
    "\u202egnp",
    "\x85",
    "=cmd()",
    "-1+1",
    "@x",
    "[bold]x[/]",
    "[/]",
    "{x}",
    "{",
    "}",
    "%s",
    "${HOME}",
    "../x",
    "/",
    "~",
    "*",
    "'",
    '"',
    "\\",
    ",",
    ";",
    ":",
    "#",
    "null",
    "true",
    "no",
    "a" * 300,
    "b" * 5000,
    "x=y",
    "http://x.invalid/y",
    "/vsimem/x",
    "/vsizip/x.zip/y",
    "<a>",
    "&b;",
    "\ud800",
)
"""Texts that mean something to what they are handed on to."""

TREES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    2**31,
    2**63,
    2**64,
    10**400,
    "",
    "x",
    "a\0b",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    [0] * 1000,
    ["x"] * 1000,
    [1e308, -1e308],
    "=1+1",
    "\x1b[2J",
    "\ud800",
)
"""Values in the place of others."""

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_ ]{2,}")


def encoded(text: str) -> bytes:
    """Bytes of a text, halves of pairs too."""
    return text.encode("utf-8", "surrogatepass")


def some_bytes(data: bytes, rng: Random) -> bytes:
    """One to four changes of bytes: flipped, cut out, doubled, moved, cut off, replaced by
    extremes."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not found:
            break
        at = rng.randrange(min(len(found), rng.choice((64, 512, len(found)))))
        size = min(rng.choice((1, 1, 2, 4, 8, 64)), len(found) - at)
        match rng.randrange(7):
            case 0:
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                found[at : at + size] = rng.randbytes(size)
            case 2:
                found[at : at + size] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * size
            case 3:
                del found[at : at + size]
            case 4:
                found[at:at] = found[at : at + size] * rng.choice((1, 2, 100))
            case 5:
                del found[at:]
            case _:
                to = rng.randrange(len(found))
                found[to : to + size] = found[at : at + size]
    return bytes(found)


def some_text(data: bytes, rng: Random) -> bytes:
    """One to three changes of a text: numbers, words, lines, bytes that are not UTF-8, odd
    texts."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice(CHANGES)(data, rng)
    return data


def _number(data: bytes, rng: Random) -> bytes:
    places = list(_NUMBER.finditer(data))
    return _put(data, rng.choice(places), encoded(rng.choice(NUMBERS))) if places else data


def _word(data: bytes, rng: Random) -> bytes:
    places = list(_WORD.finditer(data))
    return _put(data, rng.choice(places), encoded(rng.choice(TEXTS))) if places else data


def _put(data: bytes, place: re.Match[bytes], new: bytes) -> bytes:
    return data[: place.start()] + new + data[place.end() :]


def _lines(data: bytes, rng: Random) -> bytes:
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at = rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        case 2:
            lines[at] = lines[at].rstrip(b"\n") * rng.choice((2, 50)) + b"\n"
        case 3:
            rng.shuffle(lines)
        case _:
            lines[at] = lines[at].lstrip() if rng.random() < 0.5 else b"  " + lines[at]
    return b"".join(lines)


def _inserted(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    new = rng.choice(
        (
            b"\xe9",
            b"\xff\xfe",
            b"\0",
            b"{",
            b"}",
            b"[",
            b"]",
            b"<",
            b"&a;",
            b"*a",
            b"!!x ",
            encoded(rng.choice(TEXTS)),
        )
    )
    return data[:at] + new + data[at:]


def _deep(data: bytes, rng: Random) -> bytes:
    places = list(_NUMBER.finditer(data))
    deep = rng.choice((50, 2000))
    return (
        _put(data, rng.choice(places), b"[" * deep + b"]" * rng.choice((0, deep)))
        if places
        else data
    )


CHANGES = (_number, _number, _number, _word, _word, _lines, _inserted, some_bytes, _deep)
"""Ways to change a text."""


def some_tree(tree: Any, rng: Random) -> Any:
    """One to three changes of a tree of dicts and lists: values replaced, left out, doubled,
    nested."""
    made = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holders = [node for node in _nodes(made) if node]
        if not holders:
            return made
        holder = rng.choice(holders)
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        match rng.randrange(6):
            case 0:
                del holder[key]
            case 1:
                _double(holder, key, rng)
            case 2:
                holder[key] = [holder[key]]
            case 3 if isinstance(holder[key], str):
                holder[key] = rng.choice(TEXTS)
            case _:
                holder[key] = copy.deepcopy(rng.choice(TREES))
    return made


def _double(holder: Any, key: Any, rng: Random) -> None:
    if isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = holder[key]
    else:
        holder.insert(key, holder[key])


def _nodes(tree: Any) -> list[Any]:
    """All dicts and lists of a tree."""
    found, todo = [], [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, dict | list):
            found.append(node)
            todo += node.values() if isinstance(node, dict) else node
    return found
