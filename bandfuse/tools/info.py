"""Info: what bandfuse sees in a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandfuse.raster import Raster, describe, finite_or_none
from bandfuse.results import BandInfo, GroupInfo, InfoResult, SceneInfo
from bandfuse.tools.learn import make_groups


def info(paths: Sequence[str], groups: str | None = None) -> InfoResult:
    """Describe scenes, and preview the groups that a SPEC makes on the first of them.

    Raises
    ------
    InputError, GroupError
    """
    rasters = [describe(p) for p in paths]
    preview = None
    if groups:
        made, _ = make_groups((), groups, "within", rasters[0].bands)
        preview = [GroupInfo(name=g.name, bands=[p + 1 for p in g.positions]) for g in made]
    return InfoResult(scenes=[scene_info(r) for r in rasters], groups=preview)


def scene_info(raster: Raster) -> SceneInfo:
    """One file as a result model."""
    bands = raster.bands
    nm, fwhm = finite_or_none(bands.wavelength_nm), finite_or_none(bands.fwhm_nm)
    pairs = {(float(s), float(o)) for s, o in zip(raster.scale, raster.offset, strict=True)}
    scale = pairs.pop() if len(pairs) == 1 else (1.0, 0.0)
    nodata = np.unique(raster.nodata[np.isfinite(raster.nodata)])
    return SceneInfo(
        path=raster.path,
        driver=raster.driver,
        rows=raster.rows,
        cols=raster.cols,
        dtype=raster.dtypes[0],
        crs=raster.crs_text,
        transform=[float(v) for v in raster.transform[:6]],
        nodata=float(nodata[0]) if len(nodata) else None,
        scale=None if scale == (1.0, 0.0) else list(scale),
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
        messages=list(raster.messages),
    )
