"""Info: what bandfuse sees in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bandfuse.errors import ConfigError, shorten
from bandfuse.raster import FORMATS, Raster, describe
from bandfuse.results import BandInfo, FormatInfo, FormatsResult, GroupInfo, InfoResult, SceneInfo
from bandfuse.tools.learn import make_groups


def info(paths: Sequence[str], groups: str | None = None) -> InfoResult:
    """Describe scenes, and preview the groups that a SPEC makes on the first of them.

    Raises
    ------
    InputError, GroupError
    ConfigError : no scene.
    """
    if not paths:
        raise ConfigError(
            "no scene is given", expected="SCENE files", remedy="bandfuse info --formats lists what can be."
        )
    rasters = [describe(p) for p in paths]
    preview = None
    if groups:
        made, _ = make_groups((), groups, "within", rasters[0].bands)
        preview = [GroupInfo(name=g.name, bands=[p + 1 for p in g.positions]) for g in made]
    return InfoResult(scenes=[scene_info(r) for r in rasters], groups=preview)


def formats() -> FormatsResult:
    """All that can be opened."""
    return FormatsResult(
        formats=[FormatInfo(name=f.name, give=f.give, understood=f.understood, proven=f.proven) for f in FORMATS]
    )


def scene_info(raster: Raster) -> SceneInfo:
    """One file as a result model."""
    bands = raster.bands
    nm, fwhm = _finite_or_none(bands.wavelength_nm), _finite_or_none(bands.fwhm_nm)
    messages = list(raster.messages)
    scales = np.unique(raster.scale)
    if (raster.offset != 0).any():
        messages.append(f"after the scale an offset is added: {shorten(f'{o:g}' for o in np.unique(raster.offset))}")
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
    )


def _finite_or_none(values: Iterable[float]) -> list[float | None]:
    """Numbers for JSON: None for NaN."""
    return [float(v) if np.isfinite(v) else None for v in values]
