"""Info: what bandfuse sees in a file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bandfuse.errors import ConfigError, shorten
from bandfuse.files.kinds import is_moments
from bandfuse.moments.tally import MOST_STRATA
from bandfuse.raster import (
    FORMATS,
    Layer,
    QualityLayer,
    Raster,
    describe,
    is_product,
    layers_of,
    vector_driver,
)
from bandfuse.results.rasters import (
    BandInfo,
    FieldInfo,
    FormatInfo,
    FormatsResult,
    GroupInfo,
    InfoResult,
    LayerInfo,
    MomentsResult,
    QualityInfo,
    SceneInfo,
    VectorInfo,
)
from bandfuse.runs.moments_rows import moments_row
from bandfuse.scenes.folders import scene_files
from bandfuse.scenes.places import MAIN
from bandfuse.scenes.scene import Scene
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.detectors import order_remarks
from bandfuse.spectral.groups import SEEING, lacking
from bandfuse.streaming.budget import Effort
from bandfuse.survey.momentsfile import ENDING, each_scene
from bandfuse.training.arrange import Grouping


def info(
    paths: Sequence[str], groups: str | None = None, wavelengths: str | None = None
) -> InfoResult:
    """Describe scenes, and preview the groups that a SPEC makes on the first of them.
    ``wavelengths``: a file that says more of the bands of each.

    Raises
    ------
    InputError, GroupError
    ConfigError : no scene.
    """
    if not paths:
        raise ConfigError(
            "no scene is given",
            expected="SCENE files",
            remedy="bandfuse info --formats lists what can be.",
        )
    gathered = [p for p in paths if p.endswith(ENDING) or is_moments(p)]
    paths = [p for p in paths if p not in gathered]
    drivers = {p: None if is_product(p) else vector_driver(p) for p in paths}
    vectors = [_vector(p, driver) for p, driver in drivers.items() if driver]
    others = [p for p in paths if not drivers[p]]
    rasters = [describe(p, MAIN, wavelengths) for p in scene_files(others)]
    scenes = [scene_info(r) for r in rasters]
    preview = None
    if groups and not rasters:
        raise ConfigError("--groups previews groups of bands", got="no raster", expected="a raster")
    if groups:
        preview, messages = _preview(groups, rasters[0])
        scenes[0].messages += messages
    moments = [moments_info(p) for p in gathered]
    return InfoResult(scenes=scenes, groups=preview, vectors=vectors, moments=moments)


def moments_info(path: str) -> MomentsResult:
    """What a file of moments holds.

    Raises
    ------
    InputError : it is none, or damaged.
    """
    rows = [moments_row(one) for one in each_scene(path)]
    return MomentsResult(output=path, bytes=os.path.getsize(path), scenes=rows)


def _vector(path: str, driver: str) -> VectorInfo:
    """A vector file as a result model."""
    return VectorInfo(path=path, driver=driver, layers=list(map(_layer, layers_of(path, driver))))


def _layer(layer: Layer) -> LayerInfo:
    return LayerInfo(
        name=layer.name,
        geometry=layer.geometry,
        features=layer.features,
        crs=None if layer.crs is None else layer.crs.to_string(),
        fields=[_field(*field) for field in layer.fields],
    )


def _field(name: str, kind: str, values: Counter[Any]) -> FieldInfo:
    """A field; its values where they could be classes."""
    known = {v: n for v, n in values.most_common() if v is not None}
    classes = kind in ("text", "whole number") and len(known) <= MOST_STRATA
    return FieldInfo(
        name=name,
        kind=kind,
        distinct=len(known),
        values={str(v): n for v, n in known.items()} if classes else None,
    )


def _preview(spec: str, raster: Raster) -> tuple[list[GroupInfo], list[str]]:
    """The groups that a SPEC makes on a raster, as a training with the default seed would make
    them; and remarks."""
    bands, covariance = raster.bands, None
    if spec.partition(":")[0] in SEEING:
        from bandfuse.survey.scout import Lookout, scout_scenes

        scenes = [Scene(raster.path, (raster,))]
        seen = scout_scenes(scenes, Lookout(scenes, Effort.of(None, None), seed=0))
        bands = seen.bands

        def covariance() -> Floats:
            return seen.covariance

    made, _ = Grouping(spec=spec).groups(bands, covariance)
    return [GroupInfo(name=g.name, bands=[p + 1 for p in g.positions]) for g in made], [
        *filter(None, [lacking(spec, bands)])
    ]


def formats() -> FormatsResult:
    """All that can be opened."""
    return FormatsResult(
        formats=[
            FormatInfo(name=f.name, give=f.give, understood=f.understood, proven=f.proven)
            for f in FORMATS
        ]
    )


def scene_info(raster: Raster) -> SceneInfo:
    """One file as a result model."""
    bands = raster.bands
    nm, fwhm = _finite_or_none(bands.wavelength_nm), _finite_or_none(bands.fwhm_nm)
    messages = [*raster.messages, *order_remarks(bands)]
    scales = np.unique(raster.scale)
    if (raster.offset != 0).any():
        messages.append(
            "after the scale an offset is added: "
            f"{shorten(f'{o:g}' for o in np.unique(raster.offset))}"
        )
    nodata = np.unique(raster.nodata[np.isfinite(raster.nodata)])
    return SceneInfo(
        path=raster.path,
        driver=f"{raster.product} ({raster.driver})" if raster.product else raster.driver,
        rows=raster.rows,
        cols=raster.cols,
        dtype=raster.dtypes[0],
        crs=raster.crs_text,
        transform=[float(v) for v in raster.transform[:6]],
        nodata=float(nodata[0]) if len(nodata) else None,
        scale=float(scales[0]) if len(scales) == 1 else None,
        bands=[
            BandInfo(
                index=bands.index[i],
                name=bands.name[i],
                wavelength_nm=nm[i],
                fwhm_nm=fwhm[i],
                good=bool(bands.good[i]),
                reason=bands.reason[i],
            )
            for i in range(len(bands))
        ],
        messages=messages,
        quality=[QualityInfo(word=q.reason, file=q.file) for q in _one_a_word(raster)],
        no_quality=raster.no_quality,
    )


def _one_a_word(raster: Raster) -> list[QualityLayer]:
    """The quality layers of a raster, the first of each word."""
    return list({layer.reason: layer for layer in reversed(raster.quality)}.values())[::-1]


def _finite_or_none(values: Iterable[float]) -> list[float | None]:
    """Numbers for JSON: None for NaN."""
    return [float(v) if np.isfinite(v) else None for v in values]
