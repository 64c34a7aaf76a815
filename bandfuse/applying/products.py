"""Products: where the products of fused pixels are computed, by how much there is to compute."""

from __future__ import annotations

from bandfuse.device import Place, Work, place
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.model.stored import StoredKernel
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.windows import CELL_COLS, CELL_ROWS

LAUNCHES = 4
"""Operations that one cell starts on a GPU."""


def place_of_products(fusion: Fusion, pixels: int, effort: Effort) -> Place:
    """Where so many pixels are fused: ``2 S K`` operations each, and 8 S bytes there, for S bands
    and K outputs.

    Raises
    ------
    ConfigError : the device that is asked for is not there, or does not work.
    """
    bands = len(fusion.support)
    flops, cells = 2.0 * pixels * bands * len(fusion.outputs), pixels / (CELL_ROWS * CELL_COLS)
    work = Work(flops, 8.0 * pixels * bands, LAUNCHES * cells, effort.threads)
    return place(effort.device, work, exact=False)


def kernel_at(where: Place, fusion: Fusion, precision: str = "float64") -> FusionKernel:
    """The product of a fusion there: on the CPU of values as they are stored, in this precision; on
    a GPU in float64, but on Apple's in float32."""
    if not where.on_card:
        return StoredKernel(fusion, precision)
    dtype = "float32" if where.kind == "mps" else "float64"
    # Torch takes seconds to import.
    from bandfuse.moments.on_device.card import Multiplier

    return FusionKernel(fusion, Multiplier(where.torch, dtype))
