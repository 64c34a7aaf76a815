"""Unraisable: exceptions that Python cannot raise, as they come of GDAL's messages in other
encodings than UTF-8."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Hook:
    """GDAL's messages that rasterio cannot hand to the log go there as Latin-1; all else to the
    hook ``before``."""

    before: Callable[[Any], object]

    def __call__(self, problem: Any) -> None:
        """One exception."""
        error = problem.exc_value
        if isinstance(error, UnicodeDecodeError) and str(problem.object).startswith("rasterio."):
            logging.getLogger("rasterio").info(error.object.decode("latin-1"))
        else:
            self.before(problem)


@dataclass(frozen=True)
class _Untold:
    """Cython prints with a traceback what it then hands to the other hook: such messages are told
    there only.

    Errors of bandfuse itself do not come here: ``main`` turns every one into a message.
    """

    before: Callable[..., object]

    def __call__(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """One exception."""
        if not isinstance(error, UnicodeDecodeError):
            self.before(kind, error, trace)


def log_latin() -> None:
    """Have this process log GDAL's messages in Latin-1, and not tell of them as exceptions on
    stderr."""
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)
        sys.excepthook = _Untold(sys.excepthook)
