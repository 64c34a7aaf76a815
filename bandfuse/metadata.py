"""Metadata: from the tags of a raster to a band table. Text in, numbers out; no files.

Reading order for each value: the band's own tags, the dataset's ENVI domain, the IMAGERY domain, the band's name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bandfuse.bands import Bands, Floats

Tags = Mapping[str, str]

UNITS_NM = {"nanometers": 1.0, "nanometer": 1.0, "nm": 1.0, "micrometers": 1e3, "micrometer": 1e3, "um": 1e3,
            "μm": 1e3, "microns": 1e3, "micron": 1e3}  # fmt: skip
"""Nanometres per unit, by the unit's spelling in lower case (the micro sign as a Greek mu)."""

SHORTEST_NM, LONGEST_NM = 1.0, 1e7
"""Wavelengths beyond these are mistakes: from soft X-rays to microwaves."""

NOT_LENGTHS = {"wavenumber", "ghz", "mhz", "1/cm", "cm-1"}
"""Units that ENVI headers may have and that are not lengths."""

MICROMETRES_BELOW = 100.0
"""Without usable units, wavelengths below this are taken as µm, others as nm."""

_IN_NAME = re.compile(
    r"\s*\(?\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(nanometers?|nm|micrometers?|um|[µμ]m)\s*\)?\s*$", re.I
)


_BARE = re.compile(r"\s*\(\s*([^()\s]+)\s*\)$")


@dataclass
class RasterTags:
    """The tags of one raster, as GDAL gives them: per band (descriptions, default and IMAGERY domain) and of the ENVI
    domain of the dataset."""

    descriptions: Sequence[str | None]
    bands: Sequence[Tags]
    imagery: Sequence[Tags]
    envi: Tags = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.descriptions)


def envi_list(text: str | None) -> list[str]:
    """The items of an ENVI list.

    >>> envi_list("{ 8.41 , 8.52 }")
    ['8.41', '8.52']
    """
    inner = (text or "").strip().removeprefix("{").removesuffix("}")
    return [item.strip() for item in inner.split(",")] if inner.strip() else []


def _spelling(unit: str) -> str:
    """A unit as :data:`UNITS_NM` spells it."""
    return unicodedata.normalize("NFKC", unit.strip().lower())


def number(text: str | None) -> float:
    """A finite number, or NaN."""
    try:
        value = float(text) if text is not None else np.nan
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def band_table(tags: RasterTags, source: str, dead: Mapping[int, str] | None = None) -> tuple[Bands, list[str]]:
    """The band table of a raster, and messages about what had to be guessed.

    ``dead`` gives reasons that are known otherwise, by position.
    """
    messages = _odd_lists(tags)
    wavelength, fwhm = _wavelengths(tags, messages)
    odd = np.isfinite(wavelength) & ~((wavelength >= SHORTEST_NM) & (wavelength <= LONGEST_NM))
    if odd.any():
        messages.append(
            f"{int(odd.sum())} wavelengths lie outside {SHORTEST_NM:g} to {LONGEST_NM:g} nm, and are not used"
        )
        wavelength = np.where(odd, np.nan, wavelength)
    reason = [(dead or {}).get(i, "") or _flag(tags, i) for i in range(len(tags))]
    stated = _from_bands(tags)[0]
    stated = stated if np.isfinite(stated).any() else _from_envi(tags)[0]
    names = [_name(text, i, float(nm)) for i, (text, nm) in enumerate(zip(tags.descriptions, stated, strict=True))]
    return Bands.of(names, source=source, wavelength_nm=wavelength, fwhm_nm=fwhm, reason=reason), messages


def _name(description: str | None, position: int, wavelength: float) -> str:
    """The description without the wavelength that GDAL's ENVI driver appends; ``b1`` and so on where there is none."""
    text = (description or "").strip()
    if not text.endswith(")"):
        return text or f"b{position + 1}"
    bare = _BARE.search(text)
    own = bare is not None and number(bare[1]) == wavelength
    return (_BARE if own else _IN_NAME).sub("", text).strip() or text


def _flag(tags: RasterTags, i: int) -> str:
    """The bad-band flag of a band: 1 is good, 0 is bad."""
    listed = envi_list(tags.envi.get("bbl"))
    flag = tags.bands[i].get("bbl", listed[i] if len(listed) == len(tags) else None)
    return "flagged bad (bbl)" if flag is not None and number(flag) == 0 else ""


def _odd_lists(tags: RasterTags) -> list[str]:
    """Lists of the ENVI header that do not fit the number of bands: they are not used."""
    lengths = {key: len(envi_list(tags.envi.get(key))) for key in ("wavelength", "fwhm", "bbl")}
    return [
        f"{key} in the ENVI header has {n} items for {len(tags)} bands, and is not used"
        for key, n in lengths.items()
        if n not in (0, len(tags))
    ]


def _wavelengths(tags: RasterTags, messages: list[str]) -> tuple[Floats, Floats]:
    for values, widths, unit, where in (_from_bands(tags), _from_envi(tags)):
        if np.isfinite(values).any():
            scale = _unit(unit, values, where, messages)
            return values * scale, widths * scale
    values = np.array([number(t.get("CENTRAL_WAVELENGTH_UM")) for t in tags.imagery])
    if np.isfinite(values).any():
        messages.append("wavelengths come from the IMAGERY domain, which may be rounded to 1 nm")
        return values * 1e3, np.array([number(t.get("FWHM_UM")) for t in tags.imagery]) * 1e3
    return _from_names(tags, messages), np.full(len(tags), np.nan)


Found = tuple[Floats, Floats, str | None, str]


def _from_bands(tags: RasterTags) -> Found:
    """Wavelength and FWHM from the bands' own tags; the FWHM may be in the ENVI domain only."""
    lower = [{k.lower(): v for k, v in t.items()} for t in tags.bands]
    values = np.array([number(t.get("wavelength")) for t in lower])
    widths = np.array([number(t.get("fwhm")) for t in lower])
    if not np.isfinite(widths).any():
        widths = _from_envi(tags)[1]
    units = sorted({u for t in lower if (u := t.get("wavelength_units", t.get("wavelength_unit"))) is not None})
    return values, widths, " and ".join(units) or None, "band tags"


def _from_envi(tags: RasterTags) -> Found:
    def column(key: str) -> Floats:
        items = envi_list(tags.envi.get(key))
        return np.array([number(t) for t in items]) if len(items) == len(tags) else np.full(len(tags), np.nan)

    return column("wavelength"), column("fwhm"), tags.envi.get("wavelength_units"), "the ENVI header"


def _unit(unit: str | None, values: Floats, where: str, messages: list[str]) -> float:
    """Nanometres per unit. Unknown units are guessed from the size of the numbers, with a message."""
    if _spelling(unit or "") in NOT_LENGTHS:
        messages.append(f"{where} gives {unit!r} where wavelengths should be; not used")
        return float("nan")
    known = UNITS_NM.get(_spelling(unit or ""))
    middle = float(np.nanmedian(values))
    guess = 1e3 if middle < MICROMETRES_BELOW else 1.0
    name = "µm" if guess > 1 else "nm"
    if known is None:
        said = f"units {unit!r}" if unit else "no units"
        messages.append(f"wavelengths in {where} have {said}; taken as {name} from their size ({middle:g})")
        return guess
    if known != guess:
        messages.append(
            f"wavelengths in {where} say {unit!r} but are {name} by their size ({middle:g}); taken as {name}"
        )
        return guess
    return known


def _from_names(tags: RasterTags, messages: list[str]) -> Floats:
    """Wavelengths that are written in every band's name."""
    found = [_IN_NAME.search(text or "") for text in tags.descriptions]
    matches = [m for m in found if m]
    if not matches or len(matches) != len(found):
        return np.full(len(tags), np.nan)
    messages.append("wavelengths come from the band names")
    return np.array([float(m[1]) * UNITS_NM[_spelling(m[2])] for m in matches])
