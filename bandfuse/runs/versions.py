"""Versions: of the libraries that compute, and their linear algebra, without an import of torch."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

import numpy as np
from threadpoolctl import threadpool_info

from bandfuse.raster import gdal_version
from bandfuse.results.training import Kernel

PACKAGES = ("bandfuse", "numpy", "scipy", "torch", "rasterio")


def versions() -> dict[str, str]:
    """The version of everything that has a part in the numbers."""
    return {
        **{package: _version(package) for package in PACKAGES},
        "gdal": gdal_version(),
        "python": platform.python_version(),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def kernels() -> list[Kernel]:
    """The linear algebra of this process: each BLAS that is loaded, and torch where it is.

    numpy and scipy may each bring an OpenBLAS of their own; then both are listed.
    """
    blas = [
        Kernel(
            library=pool["internal_api"],
            version=pool["version"] or "",
            kernel=pool.get("architecture") or "",
        )
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    torch = sys.modules.get("torch")
    if torch is not None:
        capability = torch.backends.cpu.get_cpu_capability()
        blas.append(Kernel(library="torch", version=torch.__version__, kernel=capability))
    return sorted(blas, key=lambda k: (k.library, k.version))


def installed() -> dict[str, str]:
    """What is installed, for people: Python, the libraries, and numpy's linear algebra."""
    known = versions()
    config = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    blas = " ".join(f"{k.library} {k.version} {k.kernel}".strip() for k in kernels())
    return {
        "Python": known["python"],
        "GDAL": known["gdal"],
        **{name: known[name] for name in ("rasterio", "numpy", "scipy", "torch")},
        "BLAS": blas or f"{config['name']} {config['version']}",
        "system": platform.platform(terse=True),
    }
