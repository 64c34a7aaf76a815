"""Commands: the settings of the commands other than ``bandfuse train``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bandfuse.config.base import Config, Texts
from bandfuse.config.inputs import Aligning, AnyUnits, Inputs, Limits, Units
from bandfuse.config.outputs import STORED, Encoded, Running
from bandfuse.export import FORMS, sentence
from bandfuse.needs import Need


class ApplyConfig(Inputs, Units, Encoded, Running):
    """Settings of ``bandfuse apply``."""

    needs = (
        *STORED,
        Need("min_coverage", "resample"),
        Need("resample nodata_policy use_common", "inverse", (False,)),
    )

    output: str | None = Field(
        None, description="Raster to write; with several scenes a folder or a template."
    )
    stac: bool = Field(False, description="Write a STAC item beside each raster: NAME.stac.json.")
    nodata_policy: Literal["strict", "renormalise"] | None = Field(
        None, description="Pixels with a missing input; by default as in training."
    )
    use_common: bool = Field(
        False, description="Per-scene weights: use the common ones for a scene not in training."
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the products are computed.")
    resample: bool = Field(
        False,
        description="Move the weights to a cube of other wavelengths: as a density over "
        "wavelength.",
    )
    min_coverage: float | None = Field(
        None,
        ge=0,
        le=1,
        description="With --resample: the least share of every output's weight that must find "
        "bands, 0.95 by default.",
    )
    inverse: bool = Field(
        False,
        description="The other way: rebuild the cube from a raster that weights of a "
        "reconstruction have fused.",
    )


class ResampleConfig(Inputs, Encoded, Running):
    """Settings of ``bandfuse resample``."""

    needs = (
        Need("stac dtype scale offset_out driver co device", "weights_only", (False,)),
        *STORED,
    )

    sensor: str | None = Field(
        None,
        min_length=1,
        description="A known sensor (sentinel-2a, landsat-8-oli, enmap, …), or a CSV file: "
        "wavelength_nm,B1,B2,… or name,centre_nm,fwhm_nm.",
    )
    output: str | None = Field(
        None,
        description="Raster to write, its weights beside it as NAME.weights.safetensors; with "
        "several scenes a folder or a template.",
    )
    stac: bool = Field(False, description="Write a STAC item beside each raster: NAME.stac.json.")
    weights_only: bool = Field(
        False, description="Write no raster: the output is the weights file, *.safetensors."
    )
    min_coverage: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Bands of the sensor are left out of which the cube's bands cover less than "
        "this share of the response.",
    )
    nodata_policy: Literal["strict", "renormalise"] = Field(
        "strict",
        description="Pixels with a missing input: nodata (strict), or from the bands present "
        "(renormalise).",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the products are computed.")


class EvaluateConfig(Inputs, Units, Limits, Aligning, Running):
    """Settings of ``bandfuse evaluate``."""

    target: Texts = Field(default_factory=list, description="Raster with the true values.")
    use_common: bool = Field(
        False, description="Per-scene weights: use the common ones for a scene not in training."
    )


if TYPE_CHECKING:
    FormName = str
else:
    FormName = Literal[tuple(FORMS)]


class ExportConfig(AnyUnits):
    """Settings of ``bandfuse export``."""

    needs = (Need("form", "to", ("vrt",)), Need("pan", "to", ("pansharpen",)))

    to: FormName = Field(description=sentence())
    output: str | None = Field(None, description="File to write.")
    scene: str | None = Field(
        None, description="Raster that the form is for: vrt, pansharpen and bandmathx."
    )
    pan: str | None = Field(None, description="Panchromatic image, for pansharpen.")
    form: Literal["derived", "processed"] = Field(
        "derived",
        description="Of a vrt. derived: GDAL 3.4 and later. processed: GDAL 3.9 and later, "
        "quicker; outputs of different bands only where no value is missing.",
    )
    use_common: bool = Field(False, description="Per-scene weights: use the common ones.")
    overwrite: bool = Field(False, description="Replace an existing output.")


class ReportConfig(Config):
    """Settings of ``bandfuse report``."""

    output: str | None = Field(None, description="HTML file to write.")
    figures: str | None = Field(
        None, description="Also write the figures as files into this folder, made new."
    )
    overwrite: bool = Field(False, description="Replace an existing output.")


class CompareConfig(Config):
    """Settings of ``bandfuse compare``."""

    needs = (Need("overwrite", "output"),)

    output: str | None = Field(
        None, description="HTML file to write; nothing is written if not given."
    )
    overwrite: bool = Field(False, description="Replace an existing output.")
