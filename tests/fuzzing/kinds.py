"""Kinds: what is damaged, and which commands then get it. A kind fills a folder and gives the
arguments."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import rasterio
from rasterio.transform import Affine

from fuzzing.bases import VECTORS, packed, unpacked
from fuzzing.mutate import NUMBERS, TEXTS, encoded, some_bytes, some_text, some_tree

Arguments = list[str]
Kind = Callable[[Path, Path, Random], Arguments]
"""Bases, the folder of the case, and a random generator; gives the arguments."""

TRAIN = ("--folds", "0", "--no-report", "--constraint", "free", "--threads", "1")
W = "run/weights.safetensors"
SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")


def lay(base: Path, folder: Path, *names: str) -> None:
    """Put copies of bases into the folder of a case."""
    for name in names:
        if (base / name).is_dir():
            shutil.copytree(base / name, folder / name)
        else:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(base / name, folder / name)


def reading(scene: str, base: Path, folder: Path, rng: Random) -> Arguments:
    """A command that reads a scene."""
    match rng.randrange(10):
        case 0 | 1 | 2:
            return ["info", scene, *rng.choice(([], ["-v"], ["--json"], ["--groups", "equal:2"]))]
        case 3:
            return ["check", scene]
        case 4:
            return ["check", scene, "--fix", "out.vrt"]
        case 5:
            lay(base, folder, "target.tif")
            return ["check", scene, "target.tif"]
        case 6:
            lay(base, folder, W)
            return ["apply", W, scene, "-o", rng.choice(("out.tif", "out.img"))]
        case 7:
            lay(base, folder, "sensor.csv")
            return ["resample", scene, "--sensor", "sensor.csv", "-o", "out.tif"]
        case 8:
            lay(base, folder, W, "target.tif")
            return ["evaluate", W, scene, "--target", "target.tif"]
        case _:
            lay(base, folder, "target.tif")
            return ["train", scene, "--target", "target.tif", "-o", "out", *TRAIN]


def tiff(base: Path, folder: Path, rng: Random) -> Arguments:
    """A GeoTIFF with wrong bytes."""
    name = rng.choice(("cube.tif", "cube.tif", "target.tif"))
    (folder / "in.tif").write_bytes(some_bytes((base / name).read_bytes(), rng))
    return reading("in.tif", base, folder, rng)


def tags(base: Path, folder: Path, rng: Random) -> Arguments:
    """A GeoTIFF with odd tags, names, transforms, scales and nodata."""
    lay(base, folder, "cube.tif")
    with (
        warnings.catch_warnings(),
        suppress(Exception),
        rasterio.open(folder / "cube.tif", "r+") as ds,
    ):
        warnings.simplefilter("ignore")
        for _ in range(rng.choice((1, 2, 4))):
            _odd_tag(ds, rng)
    os.utime(folder / "cube.tif")
    return reading("cube.tif", base, folder, rng)


def _odd_tag(ds: Any, rng: Random) -> None:
    band = rng.randrange(ds.count) + 1
    text = rng.choice((*TEXTS, *NUMBERS)).replace("\0", "")
    match rng.randrange(8):
        case 0:
            ds.set_band_description(band, text)
        case 1 | 2:
            ds.update_tags(
                band, **{rng.choice(("wavelength", "fwhm", "bbl", "wavelength_units")): text}
            )
        case 3:
            ds.update_tags(
                **{
                    rng.choice(
                        ("wavelength", "wavelengths", "bbl", "fwhm", "wavelength_units")
                    ): text
                }
            )
        case 4:
            ds.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=text)
        case 5:
            ds.scales = [_float(rng) for _ in range(ds.count)]
        case 6:
            ds.nodata = _float(rng)
        case _:
            ds.transform = Affine(*(rng.choice((1.0, 0.0, -5.0, _float(rng))) for _ in range(6)))


def _float(rng: Random) -> float:
    return rng.choice(
        (
            0.0,
            1.0,
            -1.0,
            1e-320,
            1e308,
            -1e308,
            float("nan"),
            float("inf"),
            -float("inf"),
            32767.0,
            0.1,
        )
    )


def envi(base: Path, folder: Path, rng: Random) -> Arguments:
    """An ENVI file with a wrong header or wrong data."""
    lay(base, folder, "cube.img", "cube.hdr")
    name, change = ("cube.img", some_bytes) if rng.random() < 0.15 else ("cube.hdr", some_text)
    (folder / name).write_bytes(change((base / name).read_bytes(), rng))
    return reading(rng.choice(("cube.img", "cube.img", "cube.hdr")), base, folder, rng)


def vrt(base: Path, folder: Path, rng: Random) -> Arguments:
    """A VRT with wrong XML."""
    lay(base, folder, "cube.tif")
    (folder / "cube.vrt").write_bytes(some_text((base / "cube.vrt").read_bytes(), rng))
    return reading("cube.vrt", base, folder, rng)


def hdf(base: Path, folder: Path, rng: Random) -> Arguments:
    """HDF5 and netCDF with wrong bytes."""
    name, inside = rng.choice((("cube.h5", 'HDF5:"cube.h5"://cube'), ("target.nc", "target.nc")))
    (folder / name).write_bytes(some_bytes((base / name).read_bytes(), rng))
    return reading(rng.choice((name, inside)), base, folder, rng)


def weights(base: Path, folder: Path, rng: Random) -> Arguments:
    """A weights file with a wrong header, wrong metadata or wrong tensors."""
    header, tensors = unpacked((base / W).read_bytes())
    match rng.randrange(5):
        case 0:
            data = some_bytes((base / W).read_bytes(), rng)
        case 1:
            data = packed(
                some_text(json.dumps(header).encode(), rng),
                tensors,
                rng.choice((None, None, 0, 2**40, 2**63)),
            )
        case 2:
            data = packed(json.dumps(header).encode(), some_bytes(tensors, rng))
        case 3:
            inner = some_text(header["__metadata__"]["bandfuse"].encode(), rng).decode(
                "utf-8", "replace"
            )
            data = packed(
                json.dumps({**header, "__metadata__": {"bandfuse": inner}}).encode(), tensors
            )
        case _:
            inner = json.dumps(some_tree(json.loads(header["__metadata__"]["bandfuse"]), rng))
            data = packed(
                json.dumps({**header, "__metadata__": {"bandfuse": inner}}).encode(), tensors
            )
    (folder / "w.safetensors").write_bytes(data)
    return _using_weights(base, folder, rng)


def _using_weights(base: Path, folder: Path, rng: Random) -> Arguments:
    forms = ("vrt", "csv", "json", "numpy", "srf", "sli", "bandmathx")
    lay(base, folder, "cube.tif")
    match rng.randrange(4):
        case 0:
            lay(base, folder, "target.tif")
            return ["evaluate", "w.safetensors", "cube.tif", "--target", "target.tif"]
        case 1:
            to = rng.choice(forms)
            return [
                "export",
                "w.safetensors",
                "--to",
                to,
                "-o",
                f"out.{to}",
                *(["--scene", "cube.tif"] if to in ("vrt", "bandmathx") else []),
            ]
        case _:
            return ["apply", "w.safetensors", "cube.tif", "-o", rng.choice(("out.tif", "out.img"))]


def config(base: Path, folder: Path, rng: Random) -> Arguments:
    """Settings in YAML, wrong ones."""
    lay(base, folder, "cube.tif", "target.tif")
    (folder / "c.yaml").write_bytes(some_text((base / "config.yaml").read_bytes(), rng))
    return ["train", "--config", "c.yaml", "-o", "out", *TRAIN]


def groups(base: Path, folder: Path, rng: Random) -> Arguments:
    """A file of groups, wrong."""
    lay(base, folder, "cube.tif")
    (folder / "g.yaml").write_bytes(some_text((base / "groups.yaml").read_bytes(), rng))
    if rng.random() < 0.5:
        return ["info", "cube.tif", "--groups", "file:g.yaml"]
    return ["train", "cube.tif", "--groups", "file:g.yaml", "-o", "out", *TRAIN]


def plan(base: Path, folder: Path, rng: Random) -> Arguments:
    """A batch file, wrong."""
    lay(base, folder, "cube.tif", "target.tif")
    (folder / "b.yaml").write_bytes(some_text((base / "batch.yaml").read_bytes(), rng))
    return ["batch", "b.yaml", *rng.choice((["--dry-run"], ["--dry-run"], []))]


SETTINGS = (
    "seed",
    "ridge",
    "smooth",
    "sparse",
    "bounds",
    "window",
    "groups",
    "fixed",
    "constraint",
    "objective",
    "folds",
    "max_pixels",
    "shift",
    "blur",
    "huber_delta",
    "steps",
    "lr",
    "memory",
    "threads",
    "loss",
    "activation",
    "starts",
    "pooling",
    "unlabelled",
    "label_field",
    "source",
    "wavelengths",
    "device",
    "precision",
    "sample",
    "batch_size",
    "x",
    "scenes",
    "target",
    "mask",
    "nodata_policy",
    "starts",
    "optimizer",
    "init",
    "gain",
    "no_offset",
)
"""Settings of ``train`` that are given odd values."""


def sets(base: Path, folder: Path, rng: Random) -> Arguments:
    """Odd values for settings and flags."""
    lay(base, folder, "cube.tif", "target.tif")
    given: Arguments = []
    for _ in range(rng.choice((1, 1, 2))):
        value = rng.choice(
            (
                *NUMBERS,
                *TEXTS,
                "[1, 2]",
                "[1, 2, 3, 4]",
                "{a: 1}",
                "[[[[",
                "&a [*a]",
                "auto",
                "!!float x",
                "2020-01-01",
            )
        )
        value = value.replace("\0", "").encode("utf-8", "replace").decode()
        key = rng.choice(SETTINGS)
        given += (
            ["--set", f"{key}={value}"]
            if rng.random() < 0.7
            else [f"--{key.replace('_', '-')}={value}"]
        )
    return ["train", "cube.tif", "--target", "target.tif", "-o", "out", *TRAIN, *given]


def flags(base: Path, folder: Path, rng: Random) -> Arguments:
    """Odd values for the flags of apply, resample and check."""
    lay(base, folder, "cube.tif", W)
    value = rng.choice((*NUMBERS, *TEXTS)).replace("\0", "").encode("utf-8", "replace").decode()
    flag = rng.choice(
        (
            "scale",
            "offset",
            "nodata",
            "dtype",
            "co",
            "driver",
            "memory",
            "bounds",
            "window",
            "sensor",
        )
    )
    command = rng.choice(
        (
            ["apply", W, "cube.tif", "-o", "out.tif"],
            ["resample", "cube.tif", "--sensor", "sentinel-2a", "-o", "out.tif"],
            ["check", "cube.tif", "--fix", "out.vrt"],
        )
    )
    return [*command, f"--{flag}={value}", *([value] * 3 if flag in ("bounds", "window") else [])]


def geojson(base: Path, folder: Path, rng: Random) -> Arguments:
    """Polygons that are none."""
    lay(base, folder, "cube.tif", "target.tif")
    text = (base / "mask.geojson").read_bytes()
    changed = (
        some_text(text, rng)
        if rng.random() < 0.5
        else json.dumps(some_tree(json.loads(text), rng)).encode()
    )
    (folder / "m.geojson").write_bytes(changed)
    match rng.randrange(3):
        case 0:
            return [
                "train",
                "cube.tif",
                "--target",
                "target.tif",
                "--mask",
                "m.geojson",
                "-o",
                "out",
                *TRAIN,
            ]
        case 1:
            return [
                "train",
                "cube.tif",
                "--labels",
                "m.geojson",
                "--label-field",
                "class",
                "--objective",
                "separability",
                "--groups",
                "equal:2",
                "-o",
                "out",
                *TRAIN,
            ]
        case _:
            lay(base, folder, W)
            return ["evaluate", W, "cube.tif", "--target", "target.tif", "--mask", "m.geojson"]


def vector(base: Path, folder: Path, rng: Random) -> Arguments:
    """Vector files, damaged; of a shapefile one of its files."""
    lay(base, folder, "cube.tif", "target.tif")
    name = rng.choice(sorted(VECTORS))
    parts = sorted(p.name for p in base.glob("l.*") if p.suffix in SHAPEFILE or p.name == name)
    parts = parts if name.endswith(".shp") else [name]
    lay(base, folder, *parts)
    part = folder / rng.choice(parts)
    part.write_bytes(some_bytes(part.read_bytes(), rng))
    match rng.randrange(3):
        case 0:
            return ["info", name]
        case 1:
            how = ["--target", "target.tif", "--mask", name]
        case _:
            how = ["--labels", name, "--groups", "equal:2"]
    return ["train", "cube.tif", *how, "-o", "out", *TRAIN]


def stac(base: Path, folder: Path, rng: Random) -> Arguments:
    """Lists of scenes for a batch, wrong: STAC, GeoJSON, CSV."""
    lay(base, folder, "cube.tif", "target.tif", "mask.geojson")
    name, rule = rng.choice(
        (("items.json", "items: items.json"), ("scenes.csv", "table: scenes.csv"))
    )
    text = (base / name).read_bytes()
    tree = name == "items.json" and rng.random() < 0.6
    changed = (
        json.dumps(some_tree(json.loads(text), rng)).encode() if tree else some_text(text, rng)
    )
    (folder / name).write_bytes(changed)
    (folder / "b.yaml").write_text(
        f"version: 1\noutput: out\nscenes: [{{{rule}}}]\njobs: [{{name: a, kind: train}}]\n"
    )
    return ["batch", "b.yaml", "--dry-run"]


def table(base: Path, folder: Path, rng: Random) -> Arguments:
    """Tables of wavelengths and of responses, wrong."""
    lay(base, folder, "cube.tif")
    name = rng.choice(("table.csv", "sensor.csv", "responses.csv", "cube.hdr"))
    changed = some_text((base / name).read_bytes(), rng)
    (folder / f"t{Path(name).suffix}").write_bytes(changed)
    if name in ("table.csv", "cube.hdr"):
        return [rng.choice(("info", "check")), "cube.tif", "--wavelengths", f"t{Path(name).suffix}"]
    return [
        "resample",
        "cube.tif",
        "--sensor",
        "t.csv",
        "-o",
        rng.choice(("out.tif", "out.safetensors")),
        "--min-coverage",
        "0",
    ][: rng.choice((6, 8))]


def report(base: Path, folder: Path, rng: Random) -> Arguments:
    """Results of a run, wrong."""
    lay(base, folder, "run")
    names = [name for name in os.listdir(base / "run") if name.endswith(".json")]
    path = folder / "run" / rng.choice(names)
    text = path.read_bytes()
    path.write_bytes(
        json.dumps(some_tree(json.loads(text), rng)).encode()
        if rng.random() < 0.75
        else some_text(text, rng)
    )
    if rng.random() < 0.8:
        return [
            "report",
            "run",
            "-o",
            "out.html",
            *rng.choice(([], [], ["--figures", "outfigures"])),
        ]
    shutil.copytree(base / "run", folder / "run2")
    return ["compare", "run", "run2", "-o", "out.html"]


def journal(base: Path, folder: Path, rng: Random) -> Arguments:
    """The journal of a batch, wrong."""
    lay(base, folder, "cube.tif", "target.tif", "batch.yaml")
    shutil.copytree(base / "batch", folder / "out")
    name = rng.choice(("journal.jsonl", "journal.jsonl", "manifest.json"))
    path = folder / "out" / name
    if path.is_file():
        path.write_bytes(some_text(path.read_bytes(), rng))
    return ["batch", "batch.yaml", *rng.choice((["--dry-run"], []))]


def names(base: Path, folder: Path, rng: Random) -> Arguments:
    """Files with odd names, and names of files that are none."""
    lay(base, folder, "target.tif", W)
    name = rng.choice(TEXTS).replace("\0", "").replace("/", "_")[:80] + rng.choice(("", ".tif"))
    with suppress(OSError, UnicodeEncodeError):
        shutil.copyfile(base / "cube.tif", folder / name)
    if rng.random() < 0.2:
        name = rng.choice(
            ("/dev/zero", "/dev/null", "c" * 5000, "no/such", "run", ".", "target.tif/x")
        )
    elif rng.random() < 0.2:
        name = "fifo"
        os.mkfifo(folder / name)
    name = name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    match rng.randrange(6):
        case 0:
            return ["info", name, "--wavelengths", name]
        case 1:
            return ["check", name]
        case 2:
            return ["apply", W, "target.tif", "-o", f"out{name}"]
        case 3:
            return ["apply", name, "target.tif", "-o", "out.tif"]
        case 4:
            return ["train", "target.tif", "--target", name, "-o", "out", "--mask", name, *TRAIN]
        case _:
            return rng.choice(
                (
                    ["batch", name],
                    ["report", name, "-o", "out.html"],
                    ["resample", "target.tif", "--sensor", f"{name}.csv", "-o", "out.tif"],
                    ["train", "--config", name, "-o", "out"],
                    ["evaluate", W, name, "--target", name],
                )
            )


KINDS: dict[str, Kind] = {
    f.__name__: f
    for f in (
        tiff,
        tags,
        envi,
        vrt,
        hdf,
        weights,
        config,
        groups,
        plan,
        sets,
        flags,
        geojson,
        vector,
        stac,
        table,
        report,
        journal,
        names,
    )
}
"""Every kind by its name."""

__all__ = ["KINDS", "encoded"]
