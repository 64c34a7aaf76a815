"""Make the picture of the README from the demo's scene: the cube, what was learned, what came out.

Run from the repository's root: ``python tests/make_picture.py``, or ``make docs``.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import bandfuse
from bandfuse.tools.demo import demo

matplotlib.use("Agg")

PLACE = Path(__file__).parents[1] / "bandfuse" / "docs" / "images" / "match.png"
COLOURS = {"blue": "#2b6cb0", "green": "#2f855a", "red": "#c53030", "nir": "#6b46c1"}
NATURAL_NM = (650.0, 550.0, 470.0)
PALETTE = 256
"""Colours of the PNG."""


def stretched(bands: np.ndarray) -> np.ndarray:
    """(3, H, W) as (H, W, 3) from 0 to 1: from the 1st to the 99th percentile; white where NaN."""
    low, high = np.nanpercentile(bands, (1, 99), axis=(1, 2))
    image = np.clip((bands.transpose(1, 2, 0) - low) / (high - low), 0, 1)
    return np.where(np.isnan(image), 1.0, image**0.8)


def show_image(ax: Axes, bands: np.ndarray, title: str) -> None:
    """Three bands as a picture."""
    ax.imshow(stretched(bands), interpolation="nearest")
    ax.set_title(title, fontsize=11, loc="left")
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)


def show_responses(ax: Axes, folder: Path) -> None:
    """What was learned, on what the target was made with."""
    fusion = bandfuse.load(folder / "run" / "weights.safetensors").common
    truth = np.genfromtxt(folder / "true_weights.csv", delimiter=",", names=True)
    nm = truth["wavelength_nm"]
    for name, weights in zip(fusion.outputs.name, fusion.matrix, strict=True):
        colour = COLOURS[name]
        ax.fill_between(nm, truth[name] / truth[name].max(), color=colour, alpha=0.22, lw=0)
        ax.plot(nm, weights / weights.max(), "o-", color=colour, ms=3.5, lw=1.2, label=name)
    ax.set_xlim(400, 1000)
    ax.set_ylim(-0.05, 1.3)
    ax.set_yticks([0, 0.5, 1])
    ax.set_xlabel("wavelength (nm)", fontsize=10)
    ax.set_title("Learned responses (lines) on the true ones (areas)", fontsize=11, loc="left")
    ax.legend(ncols=4, frameon=False, fontsize=9, loc="upper left")
    ax.spines[["top", "right"]].set_visible(False)


def picture(folder: Path) -> bytes:
    """The PNG, of a folder that the demo made."""
    cube = bandfuse.open(folder / "cube.tif")
    nearest = [int(np.argmin(np.abs(cube.bands.wavelength_nm - nm))) for nm in NATURAL_NM]
    figure = Figure(figsize=(13, 3.9), dpi=100, layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.35, 1))
    show_image(left, cube.read()[nearest], f"Before: a cube of {len(cube.bands)} bands")
    show_responses(middle, folder)
    fused = bandfuse.open(folder / "fused.tif").read()
    show_image(right, fused[[3, 2, 1]], "After: 4 bands (shown: nir, red, green)")
    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    small = io.BytesIO()
    Image.open(whole).convert("RGB").quantize(PALETTE).save(small, "png", optimize=True)
    return small.getvalue()


def make() -> bytes:
    """Run the demo, and draw what it made."""
    with tempfile.TemporaryDirectory() as folder:
        demo(Path(folder) / "demo")
        return picture(Path(folder) / "demo")


if __name__ == "__main__":
    PLACE.write_bytes(make())
    print(f"{PLACE.name}: {PLACE.stat().st_size} bytes")
