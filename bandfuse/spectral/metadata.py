"""Metadata: from what a raster and its user say of the bands to a band table. Text in, numbers out;
no files.

Reading order, for each value the first place that says it: the user's own table, the product's
metadata, the band's own tags, the dataset's ENVI domain, the dataset's tags, the coordinate of its
dimension, the IMAGERY domain, the names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from bandfuse.errors import shorten
from bandfuse.files.textfile import shown
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.headers import Stated, envi_numbers, gdal_items, has_decimal_commas, unit_of
from bandfuse.spectral.remarks import Remark
from bandfuse.spectral.units import UNITS_NM, number, plausible, quantity, scale_of, spelling

Tags = Mapping[str, str]

SHORTEST_NM, LONGEST_NM = 1.0, 1e7
"""Wavelengths beyond these are mistakes: from soft X-rays to microwaves."""

NARROWEST, WIDEST = 5e-5, 0.5
"""Widths relative to the wavelength: beyond these they are in other units than the wavelengths."""

CENTRES = (
    "wavelength",
    "wavelengths",
    "center_wavelength",
    "central_wavelength",
    "centre_wavelength",
)
UNITS = ("wavelength_units", "wavelength_unit", "wavelengths_units", "wavelengths_unit")
FLAGS = ("bbl", "bad_band_multiplier", "enmapbox:bad_band_multiplier")
"""Names of tags, in lower case with ``_`` for spaces."""

_IN_NAME = re.compile(
    r"\s*\(?\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(nanomet(?:er|re)s?|nm|micromet(?:er|re)s?|microns?|um|[µμ]m)\s*\)?\s*$",
    re.I,
)


_BARE = re.compile(r"\s*\(\s*([^()\s]+)\s*\)$")


@dataclass
class RasterTags:
    """The tags of one raster, as GDAL gives them: per band (descriptions, default and IMAGERY
    domain), of the ENVI domain of the dataset, and of its default domain."""

    descriptions: Sequence[str | None]
    bands: Sequence[Tags]
    imagery: Sequence[Tags]
    envi: Tags = field(default_factory=dict)
    dataset: Tags = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.descriptions)


def band_table(
    tags: RasterTags,
    source: str,
    dead: Mapping[int, str] | None = None,
    *,
    stated: Sequence[Stated] = (),
) -> tuple[Bands, list[str]]:
    """The band table of a raster, and messages about what had to be guessed.

    Parameters
    ----------
    dead : reasons that are known otherwise, by position.
    stated : what comes before all tags, in order: the user's own table, the product's metadata.
    """
    messages, mixed = _odd_lists(tags), list[str]()
    tags = _unechoed(tags)
    places = [
        *stated,
        _from_bands(tags, mixed),
        _from_lists(tags, tags.envi, "the ENVI header"),
        _from_lists(tags, tags.dataset, "the dataset's tags"),
        _from_dimension(tags),
    ]
    messages += [] if any(np.isfinite(p.wavelength).any() for p in stated) else mixed
    wavelength, fwhm = _wavelengths(tags, places, messages)
    odd = np.isfinite(wavelength) & ~((wavelength >= SHORTEST_NM) & (wavelength <= LONGEST_NM))
    if odd.any():
        text = (
            f"{int(odd.sum())} wavelengths lie outside {SHORTEST_NM:g} to {LONGEST_NM:g} nm, and "
            "are not used"
        )
        messages.append(Remark("wavelengths-impossible", text))
        wavelength = np.where(odd, np.nan, wavelength)
    flags = _first([p.good for p in places])
    reason = [
        (dead or {}).get(i, "") or ("flagged bad (bbl)" if flags[i] == 0 else "")
        for i in range(len(tags))
    ]
    raw = next(
        (p.wavelength for p in places[len(stated) :] if np.isfinite(p.wavelength).any()), wavelength
    )
    names = [
        _name(text, i, float(nm))
        for i, (text, nm) in enumerate(zip(tags.descriptions, raw, strict=True))
    ]
    table = Bands.of(
        names,
        source=source,
        wavelength_nm=wavelength,
        fwhm_nm=np.where(fwhm > 0, fwhm, np.nan),
        reason=reason,
    )
    return table, list(messages)


def _name(description: str | None, position: int, wavelength: float) -> str:
    """The description without the wavelengths that GDAL's ENVI driver appends, once for every
    rewriting; ``b1`` and so on where there is none. Control characters are written as escapes: few
    formats can hold them."""
    text = (description or "").strip()
    while text.endswith(")"):
        bare = _BARE.search(text)
        own = bare is not None and number(bare[1]) == wavelength
        shorter = (_BARE if own else _IN_NAME).sub("", text).strip()
        if not shorter or shorter == text:
            break
        text = shorter
    return shown(text) or f"b{position + 1}"


def _first(rows: Sequence[Floats]) -> Floats:
    """(B,) for each band the first number that is one."""
    result = np.full_like(rows[0], np.nan)
    for row in rows:
        result = np.where(np.isfinite(result), result, row)
    return result


def _odd_lists(tags: RasterTags) -> list[str]:
    """Lists of the ENVI header that do not fit the number of bands, and are not used; and those
    that can be read in two ways."""
    count, found = len(tags), list[str]()
    for key in ("wavelength", "fwhm", "bbl"):
        text = tags.envi.get(key)
        n = len(envi_numbers(text, count))
        if n not in (0, count):
            told = f"{key} in the ENVI header has {n} items for {count} bands, and is not used"
            found.append(Remark("list-length", told))
        elif has_decimal_commas(text, count):
            told = f"{key} in the ENVI header fits the {count} bands if it has decimal commas"
            found.append(Remark("decimal-commas", f"{told}, and is read so"))
    return found


def _unechoed(tags: RasterTags) -> RasterTags:
    """Tags without what GDAL makes of the list of wavelengths in a header: it hands its items, as
    it parts them, to the bands one after the other, as tags and in their names. The header's text
    says it better."""
    items = gdal_items(tags.envi.get("wavelength"))
    pairs = list(zip(items, tags.bands, strict=False))
    if not pairs or any(band.get("wavelength") != item for item, band in pairs):
        return tags
    start = r"\s*\(" if "band_names" in tags.envi else r"(?:^|\s*\()"
    names = [
        re.sub(rf"{start}{re.escape(item)}(?:\s[^()]*)?\)?$", "", text or "")
        for item, text in zip_longest(items[: len(tags)], tags.descriptions, fillvalue="")
    ]
    bands = [
        {k: v for k, v in band.items() if k not in ("wavelength", "wavelength_units")}
        for band in tags.bands
    ]
    return RasterTags(names, bands, [{} for _ in bands], tags.envi, tags.dataset)


def _wavelengths(
    tags: RasterTags, places: Sequence[Stated], messages: list[str]
) -> tuple[Floats, Floats]:
    """(B,) wavelengths and widths in nm."""
    for place in places:
        if not np.isfinite(place.wavelength).any():
            continue
        scale, remarks = scale_of(place.unit, place.wavelength, place.where)
        messages += remarks
        if np.isfinite(scale):
            nm = place.wavelength * scale
            return nm, _widths(nm, place, scale, places, messages)
    imagery = _from_imagery(tags, messages)
    return (_from_names(tags, messages), np.full(len(tags), np.nan)) if imagery is None else imagery


def _widths(
    nm: Floats, chosen: Stated, scale: float, places: Sequence[Stated], messages: list[str]
) -> Floats:
    """(B,) widths in nm, from the place of the wavelengths or the next one that has any; in that
    place's unit if it says one and the numbers do not contradict it, else in the unit of the
    wavelengths."""
    after = [p for p in places[places.index(chosen) :] if np.isfinite(p.fwhm).any()]
    if not after:
        return np.full(len(nm), np.nan)
    place = after[0]
    own = UNITS_NM.get(spelling(place.unit), scale) if place is not chosen else scale
    if place is not chosen and not plausible(place.wavelength * own):
        own = scale
    widths = place.fwhm * own
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shares = widths / nm
    share = float(np.nanmedian(shares)) if np.isfinite(shares).any() else np.nan
    for factor, name, unit in ((1e3, "µm", 1e3), (1e-3, "nm", 1.0)):
        if not math.isclose(own * factor, unit):
            continue
        if not NARROWEST <= share <= WIDEST and NARROWEST < share * factor < WIDEST / 2:
            text = (
                f"widths in {place.where} are not in the units of the wavelengths; taken as {name} "
                "from their size"
            )
            messages.append(Remark("units-contradict", text))
            return widths * factor
    return widths


def _normal(tags: Tags) -> dict[str, str]:
    """Tags by their names in lower case with ``_`` for spaces."""
    return {"_".join(key.lower().split()): value for key, value in tags.items()}


def _get(tags: Tags, names: Sequence[str]) -> str | None:
    return next((tags[name] for name in names if name in tags), None)


def _from_bands(tags: RasterTags, messages: list[str]) -> Stated:
    """What the bands' own tags say; a unit may be the dataset's."""
    rows = [_normal(t) for t in tags.bands]
    found = [quantity(_get(row, CENTRES)) for row in rows]
    values = np.array([value for value, _ in found])
    units = [unit or _get(row, UNITS) for (_, unit), row in zip(found, rows, strict=True)]
    fwhm = np.array([quantity(row.get("fwhm"))[0] for row in rows])
    good = np.array([number(_get(row, FLAGS)) for row in rows])
    distinct = sorted({u for u in units if u is not None})
    scales = np.array([UNITS_NM.get(spelling(u), np.nan) for u in units])
    if len({spelling(u) for u in distinct}) > 1 and all(
        plausible(v[None]) for v in values * scales if np.isfinite(v)
    ):
        messages.append(
            Remark("units-mixed", f"bands have different units of wavelength ({shorten(distinct)})")
        )
        return Stated("band tags", values * scales, fwhm * scales, good, "nm")
    unit = (
        " and ".join(distinct)
        or _get(_normal(tags.envi), UNITS)
        or _get(_normal(tags.dataset), UNITS)
    )
    return Stated("band tags", values, fwhm, good, unit_of(_normal(tags.envi), unit))


def _from_lists(tags: RasterTags, domain: Tags, where: str) -> Stated:
    """What a domain of the dataset says, in lists."""
    texts = _normal(domain)

    def column(names: Sequence[str]) -> Floats:
        row = envi_numbers(_get(texts, names), len(tags))
        return row if len(row) == len(tags) else np.full(len(tags), np.nan)

    return Stated(
        where, column(CENTRES), column(("fwhm",)), column(FLAGS), unit_of(texts, _get(texts, UNITS))
    )


_DIMENSION = re.compile(r"(?:NETCDF_DIM_(.+)|DIM_(.+)_VALUE)")
"""The tag in which GDAL's drivers for netCDF and for other arrays give a band's place along a
dimension."""


def _from_dimension(tags: RasterTags) -> Stated:
    """The coordinate of the dimension that the bands are of, where it is a length or is called a
    wavelength; what xarray writes."""
    nothing = np.full(len(tags), np.nan)
    for key in tags.bands[0] if len(tags) else ():
        match = _DIMENSION.fullmatch(key)
        name = "" if match is None else match[1] or match[2]
        unit = tags.dataset.get(f"{name}#units", tags.bands[0].get(f"DIM_{name}_UNIT"))
        if name and (spelling(unit) in UNITS_NM if unit else name.lower() in CENTRES):
            values = np.array([number(band.get(key)) for band in tags.bands])
            return Stated(f"the coordinate {name}", values, nothing, nothing, unit)
    return Stated("the dimension of the bands", nothing, nothing, nothing)


def _from_imagery(tags: RasterTags, messages: list[str]) -> tuple[Floats, Floats] | None:
    """What the IMAGERY domain says, always in µm; GDAL's own drivers round it to 1 nm."""
    texts = [t.get("CENTRAL_WAVELENGTH_UM") for t in tags.imagery]
    values = np.array([number(t) for t in texts])
    if not np.isfinite(values).any():
        return None
    if all(len((t or "").partition(".")[2]) <= 3 for t in texts):
        text = "wavelengths come from the IMAGERY domain, which may be rounded to 1 nm"
        messages.append(Remark("imagery-rounded", text))
    return values * 1e3, np.array([number(t.get("FWHM_UM")) for t in tags.imagery]) * 1e3


def named_wavelengths(descriptions: Sequence[str | None]) -> Floats | None:
    """(B,) wavelengths in nm that are written in every band's name; None if one has none."""
    found = [_IN_NAME.search(text or "") for text in descriptions]
    matches = [m for m in found if m]
    if not matches or len(matches) != len(found):
        return None
    return np.array([float(m[1]) * UNITS_NM[spelling(m[2])] for m in matches])


def _from_names(tags: RasterTags, messages: list[str]) -> Floats:
    found = named_wavelengths(tags.descriptions)
    if found is None:
        return np.full(len(tags), np.nan)
    messages.append(Remark("wavelengths-in-names", "wavelengths come from the band names"))
    return found
