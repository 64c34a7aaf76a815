"""Remarks: messages for the user that programs can tell apart."""

from __future__ import annotations


class Remark(str):
    """A message with the code by which ``bandfuse check`` knows it.

    >>> Remark("unsorted", "wavelengths are not in order").code
    'unsorted'
    """

    __slots__ = ("code",)
    code: str

    def __new__(cls, code: str, text: str) -> Remark:
        """A message and its code."""
        self = super().__new__(cls, text)
        self.code = code
        return self

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """For copies."""
        return self.code, str(self)
