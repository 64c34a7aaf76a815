"""Run: the folder of a sharpening, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandfuse.applying.outputs import creation, encoding_of
from bandfuse.config.commands import SharpenConfig
from bandfuse.config.paths import rebased
from bandfuse.errors import InputError, shorten
from bandfuse.files.guards import RASTERS, Contents
from bandfuse.files.yamlfile import dump_yaml
from bandfuse.model.weightsfile import WEIGHTS
from bandfuse.progress import Progress, during
from bandfuse.raster import Raster, Writer
from bandfuse.report.sharpen_html import displacements
from bandfuse.report.svg import standalone
from bandfuse.results.sharpening import GainRow, SharpenResult
from bandfuse.results.training import InputFile
from bandfuse.sharpening.gains.gainsfile import SharpeningWeights, dumps_gains
from bandfuse.sharpening.gains.streamed import ENOUGH, Counts, least_pixels, write_tiles
from bandfuse.sharpening.inputs.opening import Images
from bandfuse.sharpening.inputs.sources import opened_pair
from bandfuse.sharpening.outputs.page import judged, worth_of, write_page
from bandfuse.spectral.bands import Bands
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.heap import give_back

RASTER, SETTINGS = "sharpened", "config.yaml"

SOURCE = "source"
"""The name of the band that says what pixels are made of."""

CONTENTS = Contents(
    WEIGHTS,
    (
        f"{RASTER}.tif",
        f"{RASTER}.img",
        f"{RASTER}.hdr",
        f"{RASTER}.zarr/*",
        f"{RASTER}.zarr/*/*",
        f"{RASTER}.zarr/*/*/*",
        "report.json",
        "report.html",
        "report.data.json",
        SETTINGS,
        "figures/*.svg",
        "figures/*.png",
    ),
    unlike=RASTERS,
)
"""By what the folder of a sharpening is known, and what it holds."""

ENDINGS = {"zarr": ".zarr", "envi": ".img"}
"""Of the raster in the folder, by its driver; else .tif."""

NOT_RESULTS = {"output", "threads", "memory", "overwrite"}
"""Settings that change no result."""


@dataclass(frozen=True, eq=False)
class Sharpening:
    """What is to be written: the images, what was learned of them, and how it is stored."""

    images: Images
    weights: SharpeningWeights
    config: SharpenConfig
    effort: Effort

    @property
    def outputs(self) -> Bands:
        """The bands of the result."""
        bands = self.weights.outputs
        if not self.config.source_band:
            return bands
        unknown = [float("nan")]
        return bands + Bands.of([SOURCE], source=SOURCE, wavelength_nm=unknown, fwhm_nm=unknown)


def raster_name(driver: str | None) -> str:
    """What the raster in a run folder is called."""
    return RASTER + ENDINGS.get((driver or "").lower(), ".tif")


def raster_in(run: Path) -> str:
    """The raster that a run folder holds.

    Raises
    ------
    InputError : it holds none.
    """
    names = [raster_name(driver) for driver in (None, *ENDINGS)]
    found = next((run / name for name in names if (run / name).exists()), None)
    if found is None:
        raise InputError(
            f"folder {run} holds no sharpened raster",
            expected=f"one of {', '.join(names)}",
            remedy="Name the raster: bandfuse evaluate RUN SHARPENED --target TRUE_CUBE.",
        )
    return str(found)


def write_raster(path: Path, what: Sharpening, driver: str, progress: Progress) -> Counts:
    """Write the sharpened cube."""
    config, images, gains = what.config, what.images, what.weights.gains
    encoding = encoding_of(config)
    with (
        opened_pair(images, what.weights.positions, what.weights.steps, gains.blur) as pair,
        Writer(
            path,
            images.meeting.result,
            what.outputs,
            encoding,
            driver=driver,
            options=creation(config),
            threads=what.effort.threads,
        ) as writer,
    ):
        return write_tiles(
            pair, gains, encoding, writer, what.effort, progress, source_band=config.source_band
        )


def write_run(
    scratch: Path,
    what: Sharpening,
    driver: str,
    progress: Progress,
    described: Callable[[Counts], SharpenResult],
) -> SharpenResult:
    """Write what a run folder holds: raster, weights, settings and report."""
    (scratch / WEIGHTS).write_bytes(dumps_gains(what.weights))
    settings = what.config.model_dump(mode="json", exclude=NOT_RESULTS, exclude_none=True)
    text = dump_yaml(rebased(settings, Path.cwd()))
    (scratch / SETTINGS).write_text(text, encoding="utf-8")
    give_back()
    counts = write_raster(scratch / raster_name(what.config.driver), what, driver, progress)
    result = (
        described(counts)
        if what.config.no_report
        else _judged(scratch, what, progress, lambda: described(counts))
    )
    _write_maps(scratch, result)
    (scratch / "report.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    return result


def _judged(
    scratch: Path, what: Sharpening, progress: Progress, described: Callable[[], SharpenResult]
) -> SharpenResult:
    """Score the result, and write its page."""
    config, images, weights = what.config, what.images, what.weights
    with opened_pair(images, weights.positions, weights.steps, weights.gains.blur) as pair:
        give_back()
        verdict = judged(pair, weights, force=config.force, seed=config.seed, progress=progress)
        result = described()
        worth = worth_of(verdict, result.bands, result.ratio)
        result = result.model_copy(update={"worth": worth})
        give_back()
        with during(progress, "write the report"):
            write_page(scratch, pair, weights, verdict, result)
    return result


def _write_maps(scratch: Path, result: SharpenResult) -> None:
    """A map of each displacement that varies, in ``figures``."""
    for name, figure in displacements(result).items():
        (scratch / "figures").mkdir(exist_ok=True)
        text = standalone(str(figure.svg))
        (scratch / "figures" / f"{name}.svg").write_text(text, encoding="utf-8")


def result_of(
    what: Sharpening,
    counts: Counts,
    places: Mapping[str, str],
    started: float,
    sums: Mapping[str, str] | None = None,
) -> SharpenResult:
    """What is said of a sharpening. ``places``: its ``output``, and the ``raster`` in it; ``sums``:
    SHA-256 of the inputs by path, where they were taken: else inputs are not listed."""
    gains, geometry = what.weights.gains, what.images.meeting.geometry
    size = max(1, counts.sharpened + counts.interpolated + counts.missing)
    encoding = encoding_of(what.config)
    return SharpenResult(
        **places,
        ratio=what.images.meeting.ratio,
        rows=geometry.rows.fine,
        cols=geometry.cols.fine,
        sharp=list(what.weights.sharp.name),
        blur=gains.blur,
        blur_error=None if np.isnan(gains.blur_error) else gains.blur_error,
        rank=gains.rank,
        ridge=gains.ridge,
        blocks=gains.blocks,
        pixels=gains.pixels,
        bands=_rows(what.weights),
        registration=list(what.images.registrations),
        sharpened_share=counts.sharpened / size,
        interpolated_share=counts.interpolated / size,
        clipped=counts.lost.clipped,
        seconds=time.perf_counter() - started,
        inputs=_inputs(what.images, sums or {}),
        seed=what.config.seed,
        messages=[
            *what.images.messages,
            *_messages(what.weights, counts, size),
            *counts.lost.messages(encoding, size * len(what.outputs)),
        ],
    )


def _inputs(images: Images, sums: Mapping[str, str]) -> list[InputFile]:
    """What is recorded of each input, if it was looked through."""
    return [_input(raster, sums) for raster in images.rasters] if sums else []


def _input(raster: Raster, sums: Mapping[str, str]) -> InputFile:
    """What is recorded of an input; the size and the sum of ordinary files only."""
    path = Path(raster.path)
    return InputFile(
        path=raster.path,
        size=path.stat().st_size if path.is_file() else 0,
        sha256=sums.get(raster.path, ""),
        shape=(len(raster.bands), raster.rows, raster.cols),
        crs=raster.crs_text,
    )


def _rows(weights: SharpeningWeights) -> list[GainRow]:
    gains, bands = weights.gains, weights.outputs
    return [
        GainRow(
            index=bands.index[i],
            name=bands.name[i],
            wavelength_nm=None if np.isnan(nm) else float(nm),
            gain=gains.learned[i].tolist(),
            low=gains.low[i].tolist(),
            high=gains.high[i].tolist(),
            detail=not gains.reasons[i],
            reason=gains.reasons[i],
            weight=gains.weight[:, i].tolist(),
            weight_low=[] if gains.weight_low is None else gains.weight_low[:, i].tolist(),
            weight_high=[] if gains.weight_high is None else gains.weight_high[:, i].tolist(),
            explained=1 - float(gains.error[i] / gains.plain[i]) if gains.plain[i] > 0 else None,
        )
        for i, nm in enumerate(bands.wavelength_nm)
    ]


def _messages(weights: SharpeningWeights, counts: Counts, size: int) -> list[str]:
    """Which bands get no detail, and where there is none."""
    found = []
    gains = weights.gains
    if gains.pixels < least_pixels(len(weights.sharp), ENOUGH):
        found.append(
            f"the gains were learned from {gains.pixels} pixels of the cube only: they, their "
            "intervals and the choice of bands that get detail are uncertain"
        )
    reasons = gains.reasons
    for reason in dict.fromkeys(filter(None, reasons)):
        bands = weights.outputs
        numbers = [str(bands.index[i]) for i, why in enumerate(reasons) if why == reason]
        found.append(
            f"{len(numbers)} of {len(reasons)} bands get no detail, as {reason}: "
            f"{shorten(numbers)}. They are interpolated and made consistent with the cube; --force "
            "gives them detail all the same"
        )
    if counts.interpolated:
        found.append(
            f"{100 * counts.interpolated / size:.3g} % of the pixels are only interpolated, as the "
            "sharp image is missing there"
        )
    if not counts.sharpened:
        found.append("no pixel is sharpened: see the nodata of both images with bandfuse check")
    return found
