"""What manifests of Sentinel-2 of before baseline 02.07 say in other words, or not at all.

Until December 2016 (PSD 13 and before) the manifest is called ``S2A_OPER_MTD_SAFL1C_….xml`` and
names images without their folders: ``IMAGE_ID`` (L1C) and ``IMAGE_ID_2A`` (L2A) lie in
``GRANULE/granuleIdentifier/IMG_DATA``, those of L2A in ``R10m``, ``R20m`` and ``R60m`` below. A
product holds many granules. L2A of baselines 02.04 to 02.06 (PSD 14.2, Sen2Cor) has
``IMAGE_FILE_2A`` and repeats its granule for every resolution. Both have
``L2A_BOA_QUANTIFICATION_VALUE``, and their L2A manifests tell no wavelengths (GDAL,
frmts/sentinel2/sentinel2dataset.cpp and its test data)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from bandfuse.spectral.sensors import SensorBand, find, known

OLD_MANIFEST = r"S2[A-D]_\w{4}_MTD_SAF(?:L2A|L1C)\w*\.xml"

SENSED = {
    **dict.fromkeys(("B2", "B3", "B4", "B8"), 10),
    **dict.fromkeys(("B5", "B6", "B7", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B1", "B9", "B10"), 60),
}
"""The resolution at which each band is sensed, in m."""


def granule_of(path: str) -> tuple[str, str]:
    """The folder of the product and the name of the granule, where the folder of a granule is
    given; else the path itself, and nothing."""
    place = Path(path)
    if place.is_dir() and place.parent.name.upper() == "GRANULE":
        return str(place.parent.parent), place.name
    return path, ""


def granules(root: Element) -> dict[str, list[str]]:
    """The images of each granule, as paths without their endings from the manifest's folder."""
    found: dict[str, list[str]] = {}
    for granule in (*root.iterfind(".//{*}Granule"), *root.iterfind(".//{*}Granules")):
        name = granule.get("granuleIdentifier", "")
        found.setdefault(name, []).extend(_stems(granule, name))
    return found


def _stems(granule: Element, name: str) -> Iterator[str]:
    for image in granule:
        tag, text = image.tag.rpartition("}")[2], (image.text or "").strip()
        if tag in ("IMAGE_FILE", "IMAGE_FILE_2A"):
            yield text
        if tag in ("IMAGE_ID", "IMAGE_ID_2A"):
            metres = re.search(r"_(10|20|60)m$", text)
            below = f"R{metres[1]}m/" if metres and tag == "IMAGE_ID_2A" else ""
            yield f"GRANULE/{name}/IMG_DATA/{below}{text}"


def known_bands(root: Element) -> tuple[str, tuple[SensorBand, ...]]:
    """The name and the bands of the known sensor of a manifest's spacecraft; nothing where it is
    none."""
    craft = (root.findtext(".//{*}SPACECRAFT_NAME") or "").strip().lower()
    return (craft, find(craft).bands) if craft in known() else ("", ())
