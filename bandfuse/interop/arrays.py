"""Arrays: one fusion over whatever holds the pixels: numpy, torch, dask and xarray. None of them is
imported unless an array of its own comes in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bandfuse.errors import MismatchError, shorten
from bandfuse.interop.spatial_ref import encoding_of, without_fill
from bandfuse.model.fusion import Fusion, unmasked
from bandfuse.spectral.band_order import are_made_up, require_order
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.resampling import tolerance
from bandfuse.spectral.units import MICROMETRES_BELOW, UNITS_NM, spelling
from bandfuse.spectral.value_units import Values, unlike

if TYPE_CHECKING:
    import torch

    Tensor = torch.Tensor


def fuse(fusion: Fusion, array: Any, *, dim: str = "band", any_units: bool = False) -> Any:
    """Fuse an array, and give one of its own kind.

    Parameters
    ----------
    array : (N, B), (B, H, W) or (…, B, H, W): numpy and what numpy takes; a torch tensor, which
        stays on its device, in its floating type, and can be differentiated through; a dask array,
        lazily; an xarray DataArray, lazily if it holds a dask array. Values are in the weights'
        units; NaN or infinity marks a missing one, as the fusion's nodata policy has it. What a
        numpy masked array masks is missing.
    dim : of a DataArray, the dimension of the bands, wherever it stands. Its coordinates
        (``wavelength_nm`` or ``wavelength``, names) must be those of the weights' inputs.
    any_units : take values as they are. By default it is an error if they are 60 times and more
        larger or smaller than those of the training, or if an offset holds them apart; a lazy array
        tells when it is computed.

    Returns
    -------
    K in the place of B; float64, but for tensors. A masked array gives one that is masked where
    outputs are missing, with NaN below the mask. A DataArray keeps its other dimensions with their
        coordinates, its CRS among them, and gets the outputs' names along ``dim``, with
        ``wavelength_nm`` and ``fwhm_nm`` where any is known; attributes that tell of other values
        are left out. Values equal to an attribute ``_FillValue`` are missing.

    Raises
    ------
    MismatchError : another number of bands than the fusion's inputs; another order; values in other
        units.

    >>> from bandfuse.spectral.bands import Bands
    >>> mean = Fusion([[0.5, 0.5]], [1], [0], Bands.of(["a", "b"]), Bands.of(["mean"]))
    >>> fuse(mean, np.arange(8.0).reshape(2, 2, 2)).shape
    (1, 2, 2)
    """
    if is_of(array, "xarray", "DataArray"):
        return _labelled(fusion, array, dim, any_units)
    if not hasattr(array, "shape"):
        array = np.asarray(array, dtype=np.float64)
    axis = _axis(fusion, array.shape)
    if is_of(array, "torch", "Tensor"):
        moved = array.movedim(axis, -1)
        if not any_units:
            rows = moved.reshape(-1, moved.shape[-1])
            require_units(fusion, rows[:: _step(len(rows))].detach().cpu().numpy())
        return _tensor(fusion, moved).movedim(-1, axis)
    if is_of(array, "dask.array", "Array"):
        whole = array.rechunk({axis: -1})
        chunks = (*whole.chunks[:axis], (len(fusion.outputs),), *whole.chunks[axis + 1 :])
        return whole.map_blocks(
            _along,
            fusion,
            axis,
            any_units,
            dtype=np.float64,
            chunks=chunks,
            meta=np.empty((0,) * array.ndim),
        )
    return _along(array, fusion, axis, any_units)


def is_of(array: Any, module: str, name: str) -> bool:
    """Whether an array is of a library's class; a library that is not loaded made none."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(array, getattr(loaded, name))


def _axis(fusion: Fusion, shape: tuple[int, ...]) -> int:
    """Where the bands are: last of two, else third from the end."""
    axis = len(shape) - 3 if len(shape) > 2 else 1
    if len(shape) < 2 or shape[axis] != len(fusion.inputs):
        b = len(fusion.inputs)
        raise MismatchError(
            "array to fuse", got=f"shape {tuple(shape)}", expected=f"(N, {b}) or (…, {b}, H, W)"
        )
    return axis


SEEN, FEWEST, BANDS = 1024, 64, 16
"""At most so many pixels and bands of an array are compared with the values of the training; fewer
pixels than ``FEWEST`` tell nothing."""


def _step(pixels: int) -> int:
    return max(1, -(-pixels // SEEN))


def require_units(fusion: Fusion, pixels: Any) -> None:
    """The values of (N, B) pixels must be in the units of the training.

    Raises
    ------
    MismatchError : they are not.
    """
    if fusion.inputs_seen is None or len(pixels) < FEWEST or not fusion.support:
        return
    pixels = pixels[:: _step(len(pixels))]
    some = [
        fusion.support[int(i)]
        for i in np.unique(np.linspace(0, len(fusion.support) - 1, BANDS).astype(int))
    ]
    sources = [fusion.inputs.source[p] for p in some]
    here = Values.of(np.asarray(pixels[:, some], dtype=np.float64).T)
    found = unlike(here, fusion.inputs_seen.take(some), (sources, sources))
    if found.grave:
        raise MismatchError(
            f"the array is in other units than the training: {found.text}",
            remedy="Bring it to those units, or take it as it is with any_units=True.",
        )


def _along(array: Any, fusion: Fusion, axis: int, any_units: bool) -> Floats:
    """The fusion along one axis."""
    moved = np.moveaxis(unmasked(array), axis, -1)
    rows = moved.reshape(-1, moved.shape[-1])
    if not any_units:
        require_units(fusion, rows)
    y = fusion(rows).reshape(*moved.shape[:-1], len(fusion.outputs))
    fused = np.moveaxis(y, -1, axis)
    if not np.ma.isMaskedArray(array):
        return fused
    masked: Floats = np.ma.MaskedArray(fused, ~np.isfinite(fused), fill_value=np.nan)
    return masked


def _labelled(fusion: Fusion, array: Any, dim: str, any_units: bool) -> Any:
    """A DataArray, as a lazy one if it is lazy."""
    import xarray

    if dim not in array.dims or array.sizes[dim] != len(fusion.inputs):
        raise MismatchError(
            "array to fuse",
            got=f"dimensions {shorten(f'{name}: {n}' for name, n in array.sizes.items())}",
            expected=f"{dim}: {len(fusion.inputs)}",
            remedy="Name the dimension of the bands with dim=…",
        )
    _require_bands(fusion, array, dim)
    kept = {name: text for name, text in array.attrs.items() if name in PLACE}
    encoding, array = encoding_of(array), without_fill(array)
    if array.chunks is not None:
        array = array.chunk({dim: -1})
    fused = xarray.apply_ufunc(
        _along,
        array,
        kwargs={"fusion": fusion, "axis": -1, "any_units": any_units},
        input_core_dims=[[dim]],
        output_core_dims=[[dim]],
        exclude_dims={dim},
        dask="parallelized",
        output_dtypes=[np.float64],
        keep_attrs=True,
        dask_gufunc_kwargs={"output_sizes": {dim: len(fusion.outputs)}},
    )
    fused = fused.transpose(*array.dims).assign_coords(band_coordinates(fusion.outputs, dim))
    fused.attrs, fused.encoding = kept, encoding
    return fused


PLACE = ("crs", "grid_mapping")
"""Attributes that tell where an array lies, not of its values."""


WAVELENGTHS = {"wavelength_nm": 1.0, "wavelength": 1.0, "wavelengths": 1.0, "wavelength_um": 1000.0}
"""Coordinates of a dimension of bands that hold wavelengths, and what makes nm of them, if no unit
is said."""


def _require_bands(fusion: Fusion, array: Any, dim: str) -> None:
    """The coordinates of the bands, wavelengths or names, must be those of the fusion's inputs.

    Raises
    ------
    MismatchError : other wavelengths, or names in another order.
    """
    expected = fusion.inputs
    name, nm = wavelengths_of(array, dim)
    if nm is not None:
        known = np.isfinite(nm) & np.isfinite(expected.wavelength_nm) & expected.good
        off = np.flatnonzero(
            known & (np.abs(nm - expected.wavelength_nm) > np.nan_to_num(tolerance(expected)))
        )
        if len(off):
            i = int(off[0])
            raise MismatchError(
                f"{len(off)} bands of the array lie at other wavelengths than the weights",
                got=f"{nm[i]:.1f} nm at place {i + 1} of {name!r}",
                expected=f"{expected.label(i)}",
                remedy=f"Select the bands in the weights' order: array.sel({dim}=…).",
            )
        if known[expected.good].all():
            return
    names = names_of(array, dim)
    numbered = all(name.isdecimal() for name in names)
    if len(names) == len(expected) and not are_made_up(names):
        require_order(
            "the array", names, [str(i) for i in expected.index] if numbered else expected.name
        )


def wavelengths_of(
    array: Any, dim: str, words: Mapping[str, float] = WAVELENGTHS
) -> tuple[str, Floats | None]:
    """The coordinate of a dimension of bands that holds wavelengths, and what it says in nm; or
    widths, with the ``words`` for them. None where there is none."""
    for name, scale in words.items():
        if name in array.coords and array.coords[name].dims == (dim,):
            coordinate = array.coords[name]
            scale = UNITS_NM.get(spelling(coordinate.attrs.get("units")), scale)
            nm = np.asarray(coordinate.values, dtype=np.float64)
            small = words is WAVELENGTHS and np.nanmax(nm, initial=0) < MICROMETRES_BELOW
            if "units" not in coordinate.attrs and small:
                scale = 1000.0
            return name, nm * scale
    return "", None


def names_of(array: Any, dim: str) -> list[str]:
    """What the bands of a DataArray are called; empty where it does not say."""
    labels = array.coords[dim].values if dim in array.coords else array.attrs.get("long_name", ())
    return [str(label) for label in np.atleast_1d(labels)]


def band_coordinates(bands: Any, dim: str) -> dict[str, Any]:
    """Coordinates of a dimension of bands: names, and wavelengths and widths in nm where any is
    known."""
    known = {
        c: getattr(bands, c)
        for c in ("wavelength_nm", "fwhm_nm")
        if np.isfinite(getattr(bands, c)).any()
    }
    return {dim: list(bands.name), **{name: (dim, values) for name, values in known.items()}}


def _tensor(fusion: Fusion, x: Tensor) -> Tensor:
    """(…, K) from (…, B): the arithmetic of :class:`bandfuse.model.fusion.FusionKernel` in
    torch."""
    import torch

    from bandfuse.optimise.activations import ACTIVATIONS

    x = (
        x
        if x.is_floating_point()
        else x.to(torch.get_default_dtype() if x.device.type == "mps" else torch.float64)
    )
    matrix = torch.tensor(fusion.matrix[:, fusion.support], dtype=x.dtype, device=x.device)
    x = x[..., fusion.support]
    present = torch.isfinite(x)
    total = torch.where(present, x, torch.zeros_like(x)) @ matrix.T
    missing = torch.tensor(~fusion.outputs.good, device=x.device).expand(total.shape)
    if not bool(present.all()):
        factor, lacking = _rescaling(fusion, matrix, present)
        total, missing = total * factor, missing | lacking
    y = ACTIVATIONS[fusion.activation](
        total + torch.tensor(fusion.offset, dtype=x.dtype, device=x.device)
    )
    # Filled in at the end: a NaN that is computed with would make gradients NaN.
    return y.masked_fill(missing, torch.nan) if bool(missing.any()) else y


def _rescaling(fusion: Fusion, matrix: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """(…, K) factors for what the present bands sum to, one where there is nothing to make up for;
    and where outputs are missing."""
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
