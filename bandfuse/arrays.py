"""Arrays: one fusion over whatever holds the pixels: numpy, torch, dask and xarray. None of them is imported unless an
array of its own comes in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from bandfuse.bands import Floats
from bandfuse.errors import MismatchError, shorten
from bandfuse.fusion import Fusion, unmasked

if TYPE_CHECKING:
    import torch

    Tensor = torch.Tensor


def fuse(fusion: Fusion, array: Any, *, dim: str = "band") -> Any:
    """Fuse an array, and give one of its own kind.

    Parameters
    ----------
    array : (N, B), (B, H, W) or (…, B, H, W): numpy and what numpy takes; a torch tensor, which stays on its device, in
        its floating type, and can be differentiated through; a dask array, lazily; an xarray DataArray, lazily if it
        holds a dask array. Values are in the weights' units; NaN or infinity marks a missing one, as the fusion's
        nodata policy has it. What a numpy masked array masks is missing.
    dim : of a DataArray, the dimension of the bands, wherever it stands.

    Returns
    -------
    K in the place of B; float64, but for tensors. A masked array gives one that is masked where outputs are missing,
    with NaN below the mask. A DataArray keeps its other dimensions with their coordinates, and
    gets the outputs' names along ``dim``, with ``wavelength_nm`` and ``fwhm_nm`` where any is known; its attributes,
    which tell of other values, are left out.

    Raises
    ------
    MismatchError : another number of bands than the fusion's inputs.

    >>> from bandfuse.bands import Bands
    >>> mean = Fusion([[0.5, 0.5]], [1], [0], Bands.of(["a", "b"]), Bands.of(["mean"]))
    >>> fuse(mean, np.arange(8.0).reshape(2, 2, 2)).shape
    (1, 2, 2)
    """
    if _is(array, "xarray", "DataArray"):
        return _labelled(fusion, array, dim)
    if not hasattr(array, "shape"):
        array = np.asarray(array, dtype=np.float64)
    axis = _axis(fusion, array.shape)
    if _is(array, "torch", "Tensor"):
        return _tensor(fusion, array.movedim(axis, -1)).movedim(-1, axis)
    if _is(array, "dask.array", "Array"):
        whole = array.rechunk({axis: -1})
        chunks = (*whole.chunks[:axis], (len(fusion.outputs),), *whole.chunks[axis + 1 :])
        return whole.map_blocks(_along, fusion, axis, dtype=np.float64, chunks=chunks, meta=np.empty((0,) * array.ndim))
    return _along(array, fusion, axis)


def _is(array: Any, module: str, name: str) -> bool:
    """Whether an array is of a library's class; a library that is not loaded made none."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(array, getattr(loaded, name))


def _axis(fusion: Fusion, shape: tuple[int, ...]) -> int:
    """Where the bands are: last of two, else third from the end."""
    axis = len(shape) - 3 if len(shape) > 2 else 1
    if len(shape) < 2 or shape[axis] != len(fusion.inputs):
        b = len(fusion.inputs)
        raise MismatchError("array to fuse", got=f"shape {tuple(shape)}", expected=f"(N, {b}) or (…, {b}, H, W)")
    return axis


def _along(array: Any, fusion: Fusion, axis: int) -> Floats:
    """The fusion along one axis."""
    moved = np.moveaxis(unmasked(array), axis, -1)
    y = fusion(moved.reshape(-1, moved.shape[-1])).reshape(*moved.shape[:-1], len(fusion.outputs))
    fused = np.moveaxis(y, -1, axis)
    if not np.ma.isMaskedArray(array):
        return fused
    masked: Floats = np.ma.MaskedArray(fused, ~np.isfinite(fused), fill_value=np.nan)
    return masked


def _labelled(fusion: Fusion, array: Any, dim: str) -> Any:
    """A DataArray, as a lazy one if it is lazy."""
    import xarray

    if dim not in array.dims or array.sizes[dim] != len(fusion.inputs):
        raise MismatchError(
            "array to fuse", got=f"dimensions {shorten(f'{name}: {n}' for name, n in array.sizes.items())}",
            expected=f"{dim}: {len(fusion.inputs)}", remedy="Name the dimension of the bands with dim=…",
        )  # fmt: skip
    if array.chunks is not None:
        array = array.chunk({dim: -1})
    fused = xarray.apply_ufunc(
        _along, array, kwargs={"fusion": fusion, "axis": -1}, input_core_dims=[[dim]], output_core_dims=[[dim]],
        exclude_dims={dim}, dask="parallelized", output_dtypes=[np.float64], keep_attrs=False,
        dask_gufunc_kwargs={"output_sizes": {dim: len(fusion.outputs)}},
    )  # fmt: skip
    return fused.transpose(*array.dims).assign_coords(band_coordinates(fusion.outputs, dim))


def band_coordinates(bands: Any, dim: str) -> dict[str, Any]:
    """Coordinates of a dimension of bands: names, and wavelengths and widths in nm where any is known."""
    known = {c: getattr(bands, c) for c in ("wavelength_nm", "fwhm_nm") if np.isfinite(getattr(bands, c)).any()}
    return {dim: list(bands.name), **{name: (dim, values) for name, values in known.items()}}


def _tensor(fusion: Fusion, x: Tensor) -> Tensor:
    """(…, K) from (…, B): the arithmetic of :class:`bandfuse.fusion.Kernel` in torch."""
    import torch

    from bandfuse.weights import ACTIVATIONS

    x = x if x.is_floating_point() else x.to(torch.get_default_dtype() if x.device.type == "mps" else torch.float64)
    matrix = torch.tensor(fusion.matrix[:, fusion.support], dtype=x.dtype, device=x.device)
    x = x[..., fusion.support]
    present = torch.isfinite(x)
    total = torch.where(present, x, torch.zeros_like(x)) @ matrix.T
    missing = torch.tensor(~fusion.outputs.good, device=x.device).expand(total.shape)
    if not bool(present.all()):
        factor, lacking = _rescaling(fusion, matrix, present)
        total, missing = total * factor, missing | lacking
    y = ACTIVATIONS[fusion.activation](total + torch.tensor(fusion.offset, dtype=x.dtype, device=x.device))
    # Filled in at the end: a NaN that is computed with would make gradients NaN.
    return y.masked_fill(missing, torch.nan) if bool(missing.any()) else y


def _rescaling(fusion: Fusion, matrix: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """(…, K) factors for what the present bands sum to, one where there is nothing to make up for; and where outputs
    are missing."""
    import torch

    there = present.to(matrix.dtype)
    lacking = (1 - there) @ (matrix != 0).to(matrix.dtype).T > 0
    one = torch.ones_like(lacking, dtype=matrix.dtype)
    if fusion.nodata.kind == "strict":
        return one, lacking
    least, slack = fusion.nodata.min_share, 4 * torch.finfo(matrix.dtype).eps
    size = matrix.abs()
    share = there @ size.T / size.sum(1).clamp_min(torch.finfo(matrix.dtype).tiny)
    scale = matrix.sum(1) / (there @ matrix.T)
    enough = (share >= least * (1 - slack)) & (scale > 0) & (scale <= (1 + slack) / least)
    return torch.where(lacking & enough, scale, one), lacking & ~enough
