"""Interrupts: Ctrl-C while the program starts or ends, when no file is being written.

Python would show where it was in its imports. A handler of our own ends the process instead: what
is imported can neither swallow it nor print it."""

import os
import signal
from contextlib import suppress
from types import FrameType

CODE = 130
"""Exit code of a command that Ctrl-C ended: 128 and the number of the signal."""

NOTHING = b"interrupted: nothing was written\n"


def _at_start(number: int, frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, NOTHING)
    os._exit(CODE)


def _at_end(number: int, frame: FrameType | None) -> None:
    os._exit(CODE)


def started() -> None:
    """From now on Ctrl-C ends the program at once. A shell may have told it to ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _at_start)


def working() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, so that unfinished files are removed."""
    if signal.getsignal(signal.SIGINT) is _at_start:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ended() -> None:
    """From now on Ctrl-C ends the program at once; it has said what it wrote."""
    if signal.getsignal(signal.SIGINT) in (_at_start, signal.default_int_handler):
        signal.signal(signal.SIGINT, _at_end)
