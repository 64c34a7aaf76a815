"""The error tree of bandfuse.

::

    BandfuseError            anything bandfuse says on purpose
    ├── UsageError           wrong use or bad input; the command line exits with 2
    │   ├── InputError       a file that is missing, damaged or of the wrong kind
    │   ├── GroupError       a group that is empty, unknown or out of the cube
    │   ├── ConfigError      a setting that does not exist or does not fit
    │   ├── MismatchError    two things that do not belong together
    │   ├── OutputError      a place that cannot be written to
    │   └── ScenesError      some of several scenes, with the reason for each
    └── RunError             it ran, and something failed; the command line exits with 1

A message has four parts: *what* is wrong, what was *got*, what was *expected*, and the *remedy*.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence


class BandfuseError(Exception):
    """Base of every error that bandfuse raises on purpose.

    Parameters
    ----------
    what : the thing that is wrong, by name.
    got, expected, remedy : the rest of the message; empty parts are left out.
    """

    exit_code = 1
    hiccup = False
    """Set where an error came from another process, without its cause: whether that was the
    system's."""

    def __init__(self, what: str, *, got: str = "", expected: str = "", remedy: str = "") -> None:
        self.what, self.got, self.expected, self.remedy = what, got, expected, remedy
        super().__init__(self._message())

    def _message(self) -> str:
        parts = [self.what.rstrip(".")]
        if self.got:
            parts.append(f"got {self.got}")
        if self.expected:
            parts.append(f"expected {self.expected.rstrip('.')}")
        text = "; ".join(parts)
        text += "" if text.endswith(".") else "."
        return f"{text} {self.remedy}" if self.remedy else text

    def reworded(self, change: Callable[[str], str]) -> BandfuseError:
        """The same error in other words."""
        what, got, expected, remedy = map(change, (self.what, self.got, self.expected, self.remedy))
        return type(self)(what, got=got, expected=expected, remedy=remedy)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (
            type(self),
            self.what,
            self.got,
            self.expected,
            self.remedy,
            is_transient(self),
        )


def _rebuild(
    kind: type[BandfuseError], what: str, got: str, expected: str, remedy: str, hiccup: bool
) -> BandfuseError:
    made = kind(what, got=got, expected=expected, remedy=remedy)
    made.hiccup = hiccup
    return made


LASTING = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""What the system says again, however often it is asked."""


def is_transient(error: BaseException | None) -> bool:
    """Whether input or output failed on the way: worth another try."""
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, LASTING):
            return True
        if isinstance(error, BandfuseError) and error.hiccup:
            return True
        error = error.__cause__
    return False


class UsageError(BandfuseError):
    """Wrong use or bad input."""

    exit_code = 2


class InputError(UsageError):
    """A file that is missing, damaged or of the wrong kind."""


class GroupError(UsageError):
    """A group that is empty, unknown or out of the cube."""


class ConfigError(UsageError):
    """A setting that does not exist or does not fit."""


class MismatchError(UsageError):
    """Two things that do not belong together: shapes, band counts, wavelengths."""


class OutputError(UsageError):
    """A place that cannot be written to."""


class ScenesError(UsageError):
    """Some of several scenes cannot be used. ``reasons``: why, by the scene's key."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        key, reason = next(iter(self.reasons.items()))
        more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        super().__init__(f"scene {key!r} cannot be used{more}: {reason}")

    def reworded(self, change: Callable[[str], str]) -> ScenesError:
        """The same error, its reasons in other words."""
        return ScenesError({key: change(reason) for key, reason in self.reasons.items()})

    def __reduce__(self) -> tuple[object, ...]:
        return ScenesError, (self.reasons,)


class RunError(BandfuseError):
    """It ran, and something failed."""


MEANT = {
    "gpu": "cuda",
    "byte": "uint8",
    "float": "float32",
    "single": "float32",
    "double": "float64",
    "short": "int16",
    "ushort": "uint16",
    "geotiff": "GTiff",
    "tiff": "GTiff",
    "tif": "GTiff",
    "positive": "nonnegative",
    "nnls": "nonnegative",
    "convex": "simplex",
    "none": "free",
    "unconstrained": "free",
    "sum-to-one": "affine",
    "xlsx": "csv",
    "excel": "csv",
    "npz": "numpy",
    "npy": "numpy",
    "l1": "mae",
    "l2": "mse",
    "rmse": "mse",
    "angle": "sam",
    "pytorch": "pt2",
    "torch": "pt2",
}
"""Words that people use, and the settings that they mean."""

ALIKE = 0.02
"""Words that are as close as the closest, to so much of difflib's ratio, are named too."""


def close(word: str, known: Iterable[str]) -> str:
    """Ask for the known words that are closest to *word*; empty if none is near.

    >>> close("trian", ["train", "apply"])
    "Did you mean 'train'?"
    >>> close("gpu", ["cpu", "cuda"])
    "Did you mean 'cuda'?"
    >>> close("sentinel2", ["sentinel-2a", "sentinel-2b"])
    "Did you mean 'sentinel-2a' or 'sentinel-2b'?"
    """
    choices = list(known)
    meant = MEANT.get(word.lower())
    if meant in choices:
        return did_you_mean([str(meant)])
    found = difflib.get_close_matches(word, choices, n=3)
    ratios = {name: difflib.SequenceMatcher(None, name, word).ratio() for name in found}
    return did_you_mean(sorted(n for n in found if ratios[n] >= max(ratios.values()) - ALIKE))


def did_you_mean(names: Sequence[str]) -> str:
    """The question for one of some words; empty for none.

    >>> did_you_mean(["a", "b", "c"])
    "Did you mean 'a', 'b' or 'c'?"
    """
    *first, last = map(repr, names) if names else [""]
    return f"Did you mean {', '.join(first)}{' or ' if first else ''}{last}?" if last else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known words are close to *word*, else list them all.

    >>> nearest("objectiv", ["objective", "optimizer"])
    "Did you mean 'objective'?"
    >>> nearest("x", ["objective", "optimizer"])
    'Known: objective, optimizer.'
    """
    choices = list(known)
    return close(word, choices) or f"Known: {shorten(choices)}."


def shorten(names: Iterable[str], most: int = 12) -> str:
    """A list of names in one line, cut after *most* of them.

    >>> shorten(["a", "b", "c"], most=2)
    'a, b, … (3 in all)'
    """
    every = list(names)
    if len(every) <= most:
        return ", ".join(every) or "none"
    return ", ".join(every[:most]) + f", … ({len(every)} in all)"


MANY = 3
"""So many messages that differ only in the name before them become one."""


def said_once(texts: Iterable[str]) -> list[str]:
    """Messages, where those that are the same for many scenes are one, with the scenes' names.

    >>> said_once(["a: odd", "b: odd", "c: odd", "all: well"])
    ['a, b, c: odd', 'all: well']
    """
    named: dict[str, list[str]] = {}
    for text in texts:
        name, colon, rest = text.partition(": ")
        named.setdefault(rest if colon else text, []).append(name if colon else "")
    found = list[str]()
    for text, names in named.items():
        if len(names) >= MANY and all(names):
            found.append(f"{shorten(names, 3)}: {text}")
        else:
            found += [f"{name}: {text}" if name else text for name in dict.fromkeys(names)]
    return found
