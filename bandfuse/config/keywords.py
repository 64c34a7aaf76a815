"""Keywords: messages about flags of the command line, said of keywords in Python."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType

_FLAG = re.compile(r"--([a-z][a-z-]*[a-z])")
_NUMBER = re.compile(r" (-?\d[\d.e+-]*\d|\d)")
_PLACEHOLDER = re.compile(r" [A-Z]+(?![A-Za-z])")

NOTHING: Mapping[str, str] = MappingProxyType({})


def keywords(
    text: str, choices: Mapping[str, Collection[str]], names: Mapping[str, str] = NOTHING
) -> str:
    """A message in which keywords stand in the place of flags.

    Parameters
    ----------
    choices : words that are values, by the setting's name.
    names : what else a setting is called, by its name.

    >>> keywords("Give --lr 0.1 or --loss mse, mae.", {"loss": ["mse", "mae"]})
    "Give lr=0.1 or loss='mse', 'mae'."
    >>> keywords("Give --target T, or --no-offset.", {}, {"target": "y", "no_offset": "offset="})
    'Give y, or offset=.'
    """
    parts, at = [], 0
    for match in _FLAG.finditer(text):
        name = match[1].replace("-", "_")
        value, end = _value(text, match.end(), choices.get(name, ()))
        parts += [text[at : match.start()], names.get(name, f"{name}="), value]
        at = end
    return "".join([*parts, text[at:]])


def _value(text: str, start: int, words: Collection[str]) -> tuple[str, int]:
    """The value that follows a flag, as Python writes it, and where it ends. A placeholder is left
    out."""
    if found := _NUMBER.match(text, start):
        return found[1], found.end()
    if found := _PLACEHOLDER.match(text, start):
        return "", found.end()
    known = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    several = re.compile(rf" ((?:{known})(?:(?:, | or )(?:{known}))*)(?![\w-])")
    found = several.match(text, start) if known else None
    if found is None:
        return "", start
    return re.sub(known, lambda word: repr(word[0]), found[1]), found.end()
