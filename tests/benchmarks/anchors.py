"""Anchors: what the same work costs elsewhere. Programs of their own; argv[1] is the cube, argv[2]
the target."""

from __future__ import annotations

READ = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as ds:
    for _, window in ds.block_windows(1):
        ds.read(window=window)
"""

MAP = """
import sys, numpy as np
x = np.memmap(sys.argv[1], "int16", "r")
for start in range(0, len(x), 1 << 22):
    x[start : start + (1 << 22)].max()
"""
"""Looks at every value of an ENVI file where it lies."""

READ_TO_TILES = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as ds:
    profile = {"driver": "GTiff", "width": ds.width, "height": ds.height,
               "count": ds.count, "dtype": "float32",
               "tiled": True, "blockxsize": 256, "blockysize": 64,
               "compress": "DEFLATE", "zlevel": 1,
               "interleave": "band", "crs": ds.crs, "transform": ds.transform}
    with rasterio.open("vrt.tif", "w", **profile) as out:
        for row in range(0, ds.height, 64):
            window = ((row, min(row + 64, ds.height)), (0, ds.width))
            out.write(ds.read(window=window), window=window)
"""

TORCH = "import torch"

LIBRARIES = "import numpy, rasterio, pydantic, typer"

SAMPLED = """
import collections, sys, threading, time
seen, done = collections.Counter(), threading.Event()

def sample():
    me = threading.get_ident()
    while not done.wait(0.002):
        for thread, frame in list(sys._current_frames().items()):
            name = frame.f_code.co_filename
            if thread != me and not name.endswith(("threading.py", "queue.py")):
                seen[f"{frame.f_code.co_name} ({name.rpartition('site-packages/')[2]})"] += 1

thread = threading.Thread(target=sample, daemon=True)
thread.start()
from bandfuse.cli.main import main
try:
    main()
finally:
    done.set()
    thread.join()
    total = sum(seen.values())
    for where, count in seen.most_common(30):
        print(f"{100 * count / total:5.1f} %  {where}", file=sys.stderr)
"""
"""Runs bandfuse with the arguments given, and prints where its threads were when they were looked
at every few milliseconds."""

NUMPY = """
import sys, numpy as np, rasterio
with rasterio.open(sys.argv[1]) as ds:
    x, profile = ds.read(), ds.profile
w = np.random.default_rng(0).random((8, len(x)))
y = np.tensordot(w, x.astype("float32"), 1).astype("float32")
profile.update(count=8, dtype="float32", nodata=None)
with rasterio.open("numpy.tif", "w", **profile) as ds:
    ds.write(y)
"""

RIDGE = """
import sys, numpy as np, rasterio
from sklearn.linear_model import Ridge
with rasterio.open(sys.argv[1]) as ds, rasterio.open(sys.argv[2]) as target:
    x = ds.read().reshape(ds.count, -1).T.astype("float32")
    Ridge().fit(x, target.read(1).ravel())
"""

PCA = """
import sys, numpy as np, rasterio
from sklearn.decomposition import PCA
with rasterio.open(sys.argv[1]) as ds:
    PCA(8).fit(ds.read().reshape(ds.count, -1).T.astype("float32"))
"""

SPECTRAL = """
import sys, spectral
spectral.settings.show_progress = False
spectral.principal_components(spectral.open_image(sys.argv[1].rsplit(".", 1)[0] + ".hdr"))
"""

STEPS, ALL_STEPS = 3, 1000

ADAM = f"""
import sys, time, rasterio, torch
with rasterio.open(sys.argv[1]) as ds, rasterio.open(sys.argv[2]) as target:
    x = torch.from_numpy(ds.read().astype("float32")); t = torch.from_numpy(target.read(1))
w = torch.full((len(x), 1, 1), 1 / len(x), requires_grad=True)
adam = torch.optim.Adam([w], lr=1e-3)
start = time.perf_counter()
for _ in range({STEPS}):
    adam.zero_grad(); loss = (((x * w).sum(0) - t) ** 2).mean(); loss.backward(); adam.step()
print((time.perf_counter() - start) / {STEPS} * {ALL_STEPS})
"""


def mixture(cube: str, bands: int, groups: int) -> str:
    """A VRT whose bands are plain sums of groups of bands, for GDAL from 3.4 on."""
    import rasterio

    with rasterio.open(cube) as ds:
        size, crs, transform = (ds.width, ds.height), ds.crs.to_wkt(), ds.transform.to_gdal()
    step = bands // groups
    rows = []
    for g in range(groups):
        sources = "".join(
            "<SimpleSource><SourceFilename "
            f'relativeToVRT="1">{cube}</SourceFilename><SourceBand>{b}</SourceBand>'
            "</SimpleSource>"
            for b in range(g * step + 1, (g + 1) * step + 1)
        )
        rows.append(
            f'<VRTRasterBand dataType="Float32" band="{g + 1}" subClass="VRTDerivedRasterBand">'
            f"<PixelFunctionType>sum</PixelFunctionType>{sources}</VRTRasterBand>"
        )
    return (
        f'<VRTDataset rasterXSize="{size[0]}" rasterYSize="{size[1]}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{', '.join(map(str, transform))}</GeoTransform>{''.join(rows)}</VRTDataset>"
    )


def band_math(cube: str, bands: int, groups: int) -> list[str]:
    """OTB's BandMathX for the same sums."""
    step = bands // groups
    sums = [
        " + ".join(f"im1b{b}" for b in range(g * step + 1, (g + 1) * step + 1))
        for g in range(groups)
    ]
    return ["otbcli_BandMathX", "-il", cube, "-out", "otb.tif", "float", "-exp", "; ".join(sums)]
