"""Products: where the products of fused pixels are computed, by how much there is to compute."""

from __future__ import annotations

from bandfuse.device import Place, Work, place, plain_errors
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.model.stored import StoredKernel
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.windows import CELL_PIXELS

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
    flops, cells = 2.0 * pixels * bands * len(fusion.outputs), pixels / CELL_PIXELS
    work = Work(flops, 8.0 * pixels * bands, LAUNCHES * cells, effort.threads)
    return place(effort.device, work, exact=False)


def kernel_at(where: Place, fusion: Fusion, precision: str = "float64") -> FusionKernel:
    """The product of a fusion there: on the CPU of values as they are stored, in this precision; on
    a GPU in float64, but on Apple's in float32; errors of a GPU are one message."""
    if not where.on_card:
        return StoredKernel(fusion, precision)
    # Torch takes seconds to import.
    from bandfuse.moments.on_device.card import Multiplier

    multiply = Multiplier(where.torch)

    def told(matrix: Floats, x: Floats) -> Floats:
        with plain_errors(where):
            return multiply(matrix, x)

    return FusionKernel(fusion, told)
