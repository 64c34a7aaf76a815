"""Commands: the settings of the commands other than ``bandfuse train``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from bandfuse.config.base import Config, Numbers, Texts
from bandfuse.config.inputs import (
    Aligning,
    AnyUnits,
    Flagged,
    Inputs,
    Labelling,
    Limits,
    Units,
    not_empty,
    ordered,
    two_numbers,
)
from bandfuse.config.outputs import STORED, Encoded, Running
from bandfuse.export import FORMS, sentence
from bandfuse.needs import Need


class Common(Config):
    """Which of the weights are used."""

    section: ClassVar[str] = "Weights"

    use_common: bool = Field(
        False, description="Per-scene weights: use the common ones for a scene not in training."
    )


class Adapting(Common):
    """How weights are used on a cube that is not like those of the training."""

    section: ClassVar[str] = "Weights"

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


class OnDevice(Running):
    """Where fused values are computed."""

    section: ClassVar[str] = "Where it runs"

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="Where the products are computed; auto takes a CUDA GPU where it is quicker. "
        "mps computes in float32.",
    )


class Precise(Running):
    """How exactly fused values are computed."""

    section: ClassVar[str] = "Where it runs"

    precision: Literal["auto", "float64"] = Field(
        "auto",
        description="Precision of the weighted sums. float64: the bits of Fusion over values in "
        "memory. auto: in the order that is quickest, with the scales in the weights; a sum then "
        "errs by at most 4e-7 of the sum of the sizes of its terms (of 224 bands by 3e-14).",
    )


class Part(Config):
    """The part of a scene that is written."""

    section: ClassVar[str] = "Which part is written"

    window: tuple[int, int, int, int] | None = Field(
        None,
        description="Write only this part of each scene: first row and column from 0, rows, "
        "columns. The values are those of the whole result, to the bit.",
    )
    bounds: tuple[float, float, float, float] | None = Field(
        None,
        description="Write only the pixels whose centres are in here, in the CRS of the scene.",
    )

    check_bounds = field_validator("bounds")(ordered)
    check_window = field_validator("window")(not_empty)


class Rasters(Encoded):
    """What is written beside each raster."""

    section: ClassVar[str] = "Outputs"

    stac: bool = Field(False, description="Write a STAC item beside each raster: NAME.stac.json.")
    style: bool = Field(
        False,
        description="Write a QGIS style beside each raster, NAME.qml: natural colour where outputs "
        "cover red, green and blue.",
    )


class ApplyConfig(Rasters, Part, Precise, OnDevice, Adapting, Flagged, Units, Inputs):
    """Settings of ``bandfuse apply``."""

    section: ClassVar[str] = "Outputs"

    most_used: ClassVar[tuple[str, ...]] = (
        "output",
        "overwrite",
        "window",
        "bounds",
        "dtype",
        "scale",
        "uncertainty",
        "resample",
        "inverse",
        "threads",
    )

    needs = (
        *STORED,
        Need("min_coverage", "resample"),
        Need("resample nodata_policy use_common uncertainty", "inverse", (False,)),
        Need("uncertainty", "resample", (False,)),
    )

    output: str | None = Field(
        None,
        description="Raster to write; or a folder for it: one that exists, or one whose name ends "
        "in a slash, which is made. With several scenes a folder, or a template such as "
        "out/{stem}.tif.",
    )
    uncertainty: str | None = Field(
        None,
        min_length=1,
        description="A second raster, float32: the standard deviation of each output, NAME_sd, and "
        "as extrapolation, from 0 to 1, how far a spectrum lies outside of those of the training. "
        "Given like --output.",
    )
    nodata_policy: Literal["strict", "renormalise"] | None = Field(
        None, description="Pixels with a missing input; by default as in training."
    )


class Sensing(Config):
    """The sensor whose bands are made."""

    section: ClassVar[str] = "The sensor"

    sensor: str | None = Field(
        None,
        min_length=1,
        description="A known sensor (sentinel-2a, landsat-8-oli, enmap, …; bandfuse sensors lists "
        "them), or a CSV file: wavelength_nm,B1,B2,… or name,centre_nm,fwhm_nm.",
    )
    min_coverage: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Bands of the sensor are left out of which the cube's bands cover less than "
        "this share of the response.",
    )


class ResampleConfig(Rasters, Precise, OnDevice, Sensing, Flagged, Inputs):
    """Settings of ``bandfuse resample``."""

    section: ClassVar[str] = "Outputs"

    most_used: ClassVar[tuple[str, ...]] = (
        "sensor",
        "output",
        "overwrite",
        "weights_only",
        "dtype",
        "scale",
        "threads",
    )

    needs = (
        Need(
            "stac style dtype scale offset_out nodata_out driver co device precision quality",
            "weights_only",
            (False,),
        ),
        *STORED,
    )

    output: str | None = Field(
        None,
        description="Raster to write, its weights beside it as NAME.weights.safetensors; or a "
        "folder for them: one that exists, or one whose name ends in a slash, which is made. With "
        "several scenes a folder, or a template such as out/{stem}.tif.",
    )
    weights_only: bool = Field(
        False, description="Write no raster: the output is the weights file, *.safetensors."
    )
    nodata_policy: Literal["strict", "renormalise"] = Field(
        "strict",
        description="Pixels with a missing input: nodata (strict), or from the bands present "
        "(renormalise).",
    )


class Pansharpening(Config):
    """The cube and the sharp images, and what is learned of them."""

    section: ClassVar[str] = "Sharpening"

    images: Texts = Field(
        default_factory=list,
        description="The cube, and then one or more sharper images of the same place: "
        "panchromatic, multispectral, or the PAN of a product such as PRISMA's FILE.he5:PAN, which "
        "is taken where the product is given alone.",
    )
    weights: str | None = Field(
        None,
        title="RUN",
        description="Sharpen with what an earlier run learned: its folder, or its weights file. "
        "The output is then a raster.",
    )
    blur: Literal["auto", "average"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "auto",
        title="M|auto|average",
        description="How the cube sees what the sharp image shows: through a Gaussian with this "
        "modulation at the Nyquist frequency of the cube's grid, e.g. 0.3; average: the plain mean "
        "over each pixel; auto: what explains the cube best.",
    )
    bands: str | None = Field(
        None,
        min_length=1,
        title="SPEC",
        description="Bands of the cube that are sharpened and written: 450-900nm, 1-30,35 or all; "
        "by default all that are good.",
    )
    force: bool = Field(
        False,
        description="Give detail to bands that it does not help, too. By default they are "
        "interpolated and made consistent with the cube, and are named.",
    )
    source_band: bool = Field(
        False,
        description="Write one more band, source, that says what each pixel is made of: 2 "
        "sharpened, 1 interpolated as the sharp image is missing, 0 missing.",
    )
    seed: int = Field(0, ge=0, description="Of the folds and the bootstrap.")


class SharpenConfig(Encoded, Running, Flagged, Pansharpening):
    """Settings of ``bandfuse sharpen``."""

    section: ClassVar[str] = "Outputs"

    most_used: ClassVar[tuple[str, ...]] = (
        "images",
        "output",
        "overwrite",
        "weights",
        "blur",
        "bands",
        "shift",
        "dtype",
        "scale",
        "threads",
    )

    needs = (*STORED, Need("blur bands force seed", "weights", (None,)))

    output: str | None = Field(
        None,
        description="Folder of the run to write: sharpened.tif, the weights and a report. With "
        "--weights the raster to write.",
    )
    wavelengths: str | None = Field(
        None,
        title="FILE",
        description="FILE with the wavelengths of the cube's bands, instead of what the raster "
        "says: columns wavelength, fwhm, good, or an ENVI header.",
    )
    nodata: Numbers = Field(
        default_factory=list,
        description="Stored value that means missing in the cube, in place of what the file "
        "declares: one for all bands, one per band (V1,V2,...), or none; sharp=V for the sharp "
        "images.",
    )
    no_report: bool = Field(
        False, description="Do not write report.html; a sharpening is then not scored either."
    )
    shift: Literal["auto", "field", "keep"] | tuple[float, float] | None = Field(
        None,
        title="auto|field|keep|DX,DY",
        description="What is done where the sharp images are displaced against the cube. auto: "
        "move each as a whole by what is estimated; field: move it from place to place, by a "
        "smooth field; keep: take it as it lies; DX,DY: move it by so many columns and rows of the "
        "cube's grid, without an estimate. By default nothing is moved, and a displacement that "
        "varies by more than 0.3 of the cube's pixels is an error.",
    )

    @field_validator("wavelengths", mode="before")
    @classmethod
    def _only_one(cls, value: object) -> object:
        """A file may hold it as a list of one, as other commands have several."""
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    @field_validator("shift", mode="before")
    @classmethod
    def _word_or_numbers(cls, value: object) -> object:
        try:
            return value if value in ("auto", "field", "keep") else two_numbers(value)
        except ValueError:
            raise ValueError("auto, field, keep, or DX,DY: two numbers such as 0.5,-1") from None


class Scored(Config):
    """What outputs are compared with."""

    section: ClassVar[str] = "Inputs"
    target: Texts = Field(
        default_factory=list,
        description="Raster with the true values; for a sharpening, the true cube at the small "
        "pixels.",
    )
    cube: str | None = Field(
        None,
        min_length=1,
        title="FILE",
        description="For a sharpening, the cube that was sharpened; its interpolation is scored "
        "too. Without a SCENE, the cube of the run is used. --nodata cube=V tells what means "
        "missing in it.",
    )


class EvaluateConfig(OnDevice, Common, Aligning, Limits, Units, Labelling, Scored, Inputs):
    """Settings of ``bandfuse evaluate``."""

    needs = (Need("label_field unlabelled", "labels"),)

    most_used: ClassVar[tuple[str, ...]] = (
        "target",
        "labels",
        "cube",
        "mask",
        "bounds",
        "window",
        "quality",
        "shift",
    )


if TYPE_CHECKING:
    FormName = str
else:
    FormName = Literal[tuple(FORMS)]


class ExportConfig(AnyUnits):
    """Settings of ``bandfuse export``."""

    section: ClassVar[str] = "Options"

    needs = (
        Need("form", "to", ("vrt",)),
        Need("pan", "to", ("pansharpen",)),
        Need("style", "to", ("vrt", "pansharpen")),
    )

    to: FormName = Field(description=sentence())
    output: str | None = Field(
        None,
        description="File to write; or a folder for it: one that exists, or one whose name ends in "
        "a slash, which is made.",
    )
    scene: str | None = Field(
        None, description="Raster that the form is for: vrt, pansharpen and bandmathx."
    )
    pan: str | None = Field(None, description="Panchromatic image, for pansharpen.")
    form: Literal["derived", "processed"] = Field(
        "derived",
        description="Of a vrt. derived: GDAL 3.4 and later. processed: GDAL 3.9 and later, "
        "quicker; outputs of different bands only where no value is missing.",
    )
    style: bool = Field(
        False,
        description="Write a QGIS style beside a vrt, NAME.qml: natural colour where its bands "
        "cover red, green and blue.",
    )
    use_common: bool = Field(False, description="Per-scene weights: use the common ones.")
    overwrite: bool = Field(False, description="Replace an existing output.")


class ReportConfig(Config):
    """Settings of ``bandfuse report``."""

    section: ClassVar[str] = "Options"

    output: str | None = Field(
        None, description="HTML file to write; report.html in the run folder if not given."
    )
    figures: str | None = Field(
        None, description="Also write the figures as files into this folder, made new."
    )
    overwrite: bool = Field(False, description="Replace an existing output.")


class CompareConfig(Config):
    """Settings of ``bandfuse compare``."""

    section: ClassVar[str] = "Options"

    needs = (Need("overwrite", "output"),)

    output: str | None = Field(
        None, description="HTML file to write; nothing is written if not given."
    )
    overwrite: bool = Field(False, description="Replace an existing output.")
