"""Export: learned weights in the forms of other programs. Text or bytes out; the tool writes and
proves them.

Each file is built on those before it::

    linear        y = M x + c per stored value: what every linear form is made of
    tables        csv, json, numpy, srf (1 nm responses), sli (ENVI spectral library)
    vrt           GDAL virtual rasters: derived and processed bands, pansharpening
    expression    OTB's BandMathX
    stac          an item beside a fused raster
    qml           a QGIS style beside a raster
    network       onnx, pt2 (torch.export)

It imports errors, files, spectral, model and raster.
"""

from __future__ import annotations

from dataclasses import dataclass

HERE = "bandfuse.export"


@dataclass(frozen=True)
class Form:
    """A form of weights. ``ending``: of its file. ``make``: ``module:function`` that makes its
    content of a fusion alone; empty where the tool makes it.

    ``placed``: it is for the file of one scene. ``computed``: another program fuses by it, without
    a nodata rule of its own. ``virtual``: GDAL reads it, and it is proved before it takes its
    place."""

    name: str
    says: str
    ending: str
    make: str = ""
    placed: bool = False
    computed: bool = False
    virtual: bool = False


_ROWS = (
    Form(
        "vrt",
        "fused bands that GDAL and QGIS compute",
        ".vrt",
        placed=True,
        computed=True,
        virtual=True,
    ),
    Form("pansharpen", "GDAL's weighted Brovey", ".vrt", placed=True, computed=True, virtual=True),
    Form("csv", "the effective weights", ".csv", f"{HERE}.tables:as_csv"),
    Form("json", "the effective weights", ".json", f"{HERE}.tables:as_json"),
    Form("numpy", "the effective weights", ".npz", f"{HERE}.tables:as_numpy"),
    Form("srf", "responses at 1 nm", ".csv", f"{HERE}.tables:as_srf"),
    Form("sli", "ENVI spectral library", ".sli"),
    Form("bandmathx", "OTB's expression", ".txt", placed=True, computed=True),
    Form(
        "onnx", "a graph for onnxruntime or PyTorch", ".onnx", f"{HERE}.network:onnx", computed=True
    ),
    Form("pt2", "a graph for onnxruntime or PyTorch", ".pt2", f"{HERE}.network:pt2", computed=True),
)

FORMS = {form.name: form for form in _ROWS}
"""What weights can be exported to. A new form is a file in this room and a row here."""


def sentence() -> str:
    """All forms in words, for help."""
    names: dict[str, list[str]] = {}
    for form in FORMS.values():
        names.setdefault(form.says, []).append(form.name)
    return "; ".join(f"{', '.join(some)}: {says}" for says, some in names.items()) + "."
