"""Tables: weights as text, arrays, response tables and a spectral library."""

from __future__ import annotations

import csv
import io
import json

import numpy as np

from bandfuse.errors import MismatchError
from bandfuse.files.textfile import guarded
from bandfuse.model.fusion import Fusion
from bandfuse.spectral.bands import Bands, Floats


def as_csv(fusion: Fusion) -> str:
    """One row per output and band with weight: names, wavelengths in nm, effective weight (gain ·
    w); the offsets in rows of band 0."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "output",
            "band",
            "source",
            "source_band",
            "name",
            "wavelength_nm",
            "fwhm_nm",
            "effective_weight",
        ]
    )
    inputs = fusion.inputs
    for k, output in enumerate(fusion.outputs.name):
        writer.writerow(
            [guarded(output), 0, "", "", "offset", "", "", repr(float(fusion.offset[k]))]
        )
        for b in np.flatnonzero(fusion.matrix[k]).tolist():
            told = [
                _known(inputs.wavelength_nm[b]),
                _known(inputs.fwhm_nm[b]),
                repr(float(fusion.matrix[k, b])),
            ]
            place = [guarded(inputs.source[b]), inputs.index[b], guarded(inputs.name[b])]
            writer.writerow([guarded(output), b + 1, *place, *told])
    return out.getvalue()


def _known(value: float) -> str:
    return repr(float(value)) if np.isfinite(value) else ""


def as_json(fusion: Fusion) -> str:
    """``activation``, ``inputs`` and ``outputs`` with names and wavelengths in nm, ``weights`` (K
    rows of B effective weights) and ``offsets``: y = activation(weights · x + offsets)."""
    return (
        json.dumps(
            {
                "activation": fusion.activation,
                "nodata_policy": fusion.nodata.kind,
                "inputs": _bands(fusion.inputs),
                "outputs": _bands(fusion.outputs),
                "weights": fusion.matrix.tolist(),
                "offsets": fusion.offset.tolist(),
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def _bands(bands: Bands) -> list[dict[str, object]]:
    return [
        {
            "name": bands.name[i],
            "source": bands.source[i],
            "index": bands.index[i],
            "wavelength_nm": _or_none(bands.wavelength_nm[i]),
            "fwhm_nm": _or_none(bands.fwhm_nm[i]),
        }
        for i in range(len(bands))
    ]


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def as_numpy(fusion: Fusion) -> bytes:
    """An .npz file without pickle: ``matrix`` (K, B), ``offset`` (K,), ``wavelength_nm`` (B,),
    ``names`` (K,)."""
    out = io.BytesIO()
    np.savez(
        out,
        matrix=fusion.matrix,
        offset=fusion.offset,
        wavelength_nm=fusion.inputs.wavelength_nm,
        names=np.array(fusion.outputs.name),
    )
    return out.getvalue()


def _axis(fusion: Fusion) -> Floats:
    """(B,) wavelengths.

    Raises
    ------
    MismatchError : a band with weight has none.
    """
    nm = fusion.inputs.wavelength_nm
    if not np.isfinite(nm[fusion.support]).all():
        raise MismatchError(
            "a response needs wavelengths",
            got="bands with weight that have none",
            remedy="Train on a cube with wavelengths.",
        )
    return nm


def responses(fusion: Fusion) -> tuple[Floats, Floats]:
    """(n,) whole nanometres and (K, n) responses: the density of the effective weights, linear
    between bands, peak 1.

    The density is ``w_b / width_b``, width_b half the distance between the neighbours along
    wavelength; bands without weight have none. Outside of the bands it is zero."""
    nm = _axis(fusion)
    known = np.flatnonzero(np.isfinite(nm))
    order = known[np.argsort(nm[known], kind="stable")]
    x = nm[order]
    width = np.gradient(x) if len(x) > 1 else np.ones(1)
    density = fusion.matrix[:, order] / np.where(width > 0, width, np.inf)
    grid = np.arange(np.floor(x[0]), np.ceil(x[-1]) + 1)
    found = np.array([np.interp(grid, x, row, left=0.0, right=0.0) for row in density])
    peak = np.abs(found).max(axis=1, keepdims=True)
    return grid, found / np.where(peak > 0, peak, 1.0)


def as_srf(fusion: Fusion) -> str:
    """CSV of :func:`responses`: ``wavelength_nm``, then one column per output."""
    grid, found = responses(fusion)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["wavelength_nm", *map(guarded, fusion.outputs.name)])
    writer.writerows(
        [int(x), *(f"{v:.9g}" for v in column)] for x, column in zip(grid, found.T, strict=True)
    )
    return out.getvalue()


def as_sli(fusion: Fusion) -> tuple[str, bytes]:
    """Header and data of an ENVI spectral library: one spectrum per output, its effective weights
    at the bands' wavelengths in nm."""
    nm = _axis(fusion)
    k, b = fusion.matrix.shape
    lists = {
        "wavelength": [repr(float(x)) for x in nm],
        "spectra names": [_plain(n) for n in fusion.outputs.name],
    }
    if np.isfinite(fusion.inputs.fwhm_nm).all():
        lists["fwhm"] = [repr(float(x)) for x in fusion.inputs.fwhm_nm]
    header = [
        "ENVI",
        "description = {weights learned by bandfuse}",
        f"samples = {b}",
        f"lines = {k}",
        "bands = 1",
        "header offset = 0",
        "file type = ENVI Spectral Library",
        "data type = 5",
        "interleave = bsq",
        "byte order = 0",
        "wavelength units = Nanometers",
    ]
    for key, values in lists.items():
        header += [f"{key} = {{"] + [
            f" {v}{',' if i + 1 < len(values) else '}'}" for i, v in enumerate(values)
        ]
    return "\n".join(header) + "\n", fusion.matrix.astype("<f8").tobytes()


def _plain(name: str) -> str:
    """A name without the signs that ENVI's lists are made of."""
    return "".join("_" if c in "{},=\n\r" else c for c in name)
