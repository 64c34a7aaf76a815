"""Names: which product, and which level of it, the name of a file tells."""

from __future__ import annotations

import re
from collections.abc import Iterable

PRODUCTS = {
    r"ENMAP\d\d-_*(L\d\w)-": "EnMAP",
    r"DESIS-HSI-(L\d\w)-": "DESIS",
    r"S2[A-D]_MSI(L\d\w)_": "Sentinel-2",
    r"MTD_MSI(L\d\w)\.": "Sentinel-2",
    r"PRS_(L\d\w?)_": "PRISMA",
    r"EMIT_(L\d\w)_": "EMIT",
    r"PACE_OCI\w*\.[\dT_]+\.(L\d\w?)\.": "PACE OCI",
    r"AV3\d{8}T\d{6}\w*?_(L\d\w)_": "AVIRIS-3",
    r"AV5\d{8}T\d{6}\w*?_(L\d\w)_": "AVIRIS-5",
    r"ANG\d{8}T\d{6}\w*?_(L\d\w)_": "AVIRIS-NG",
}
"""How names of the agencies' files begin."""

OLD = r"S2[A-D]_(?:OPER|USER)_\w+?_?MSI_?(L\d\w)_|S2[A-D]_(?:OPER|USER)_MTD_SAF(L\d\w)_"
"""Names of Sentinel-2's files until December 2016."""

SCENES = {
    r"\d{8}_\d{6}_\d\d_\d{4}_(basic|ortho)_(radiance|sr)": "Tanager {} {}",
    r"NEON_D\d\d_\w{4}_DP(\d).*?_(?:((?:bi)?directional)_)?(reflectance|radiance)\.h5": (
        "NEON AOP L{} {} {}"
    ),
    r"wyvern_dragonette-\d+_\d{8}T\d{6}_[0-9a-f]{8}(?:_(l\d\w)(?=[_.]|$))?": (
        "Wyvern Dragonette {}"
    ),
}
"""How names of files begin whose products are told by other words than a level."""

WORDS = {"sr": "surface reflectance", "l1b": "L1B", "l2a": "L2A"}
"""What words in these names mean."""


def product_in(names: Iterable[str]) -> str:
    """The product and level that the first name tells that tells any; empty where none does.

    >>> product_in(["order/readme.txt", "order/PRS_L2D_STD_20201002193710.he5"])
    'PRISMA L2D'
    """
    for name in names:
        for part in name.split("/"):
            for pattern, product in PRODUCTS.items():
                match = re.match(pattern, part, re.I)
                if match:
                    return f"{product} {match[1].upper()}"
            for pattern, title in SCENES.items():
                match = re.match(pattern, part, re.I)
                if match:
                    return _titled(title, match)
            old = re.match(OLD, part, re.I)
            if old:
                return f"Sentinel-2 {(old[1] or old[2]).upper()} of before December 2016"
    return ""


def _titled(title: str, match: re.Match[str]) -> str:
    """The name of a product with the words of its file's name. Wyvern's files without a level are
    of L1B, which was the only one then."""
    words = [(word or "").lower() for word in match.groups()]
    if title.startswith("Wyvern"):
        words = [word or "l1b" for word in words]
    return " ".join(title.format(*(WORDS.get(word, word) for word in words)).split())
