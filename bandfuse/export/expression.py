"""Expression: the fusion as one line for OTB's BandMathX."""

from __future__ import annotations

from bandfuse.export.linear import LinearForm


def bandmathx(linear: LinearForm) -> str:
    """``im1b1*w1 + im1b2*w2 + … + c; …``: one sum per output, of the stored values of the first
    image's bands."""
    rows = []
    for k in range(len(linear.matrix)):
        terms = [f"im1b{b + 1}*({linear.matrix[k, b]:.17g})" for b in linear.used(k)]
        rows.append(" + ".join([*terms, f"({linear.constant[k]:.17g})"]))
    return "; ".join(rows) + "\n"
