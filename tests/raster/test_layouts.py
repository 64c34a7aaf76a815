"""Products in the layouts that agencies deliver and people keep: every command reads them alike, or
says in one line which product and level it is, and what to give. Nothing but bandfuse's own lines
comes to stderr, at the level of the system too."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import published
import pytest
from makers import weights_file
from rasters import cli, ok, read, write_tiff

from bandfuse.raster import Raster, Reader, describe
from bandfuse.streaming.windows import Window

# ---------------------------------------------------------------------------------------- products


def enmap(folder: Path, level: str) -> Path:
    """EnMAP of another level: the same structure."""
    path = published.enmap(folder).path
    for file in sorted(path.iterdir()):
        if file.suffix == ".XML":
            file.write_text(file.read_text().replace("L2A", level))
        file.rename(path / file.name.replace("L2A", level))
    return path.rename(path.with_name(path.name.replace("L2A", level)))


def enmap_l1b(folder: Path) -> Path:
    """Two images, of bands 1 to 3 and 4 to 8."""
    path = enmap(folder, "L1B")
    image, meta = next(path.glob("*IMAGE.TIF")), next(path.glob("*.XML"))
    cube = read(image)
    lists = ""
    for name, numbers in (("VNIR", range(1, 4)), ("SWIR", range(4, 9))):
        write_tiff(
            image.with_name(image.name.replace("IMAGE", f"IMAGE_{name}")),
            cube[[n - 1 for n in numbers]],
            crs=None,
            transform=None,
        )
        lists += (
            f"<{name.lower()}ProductQuality><expectedChannelsList>{','.join(map(str, numbers))}"
            f"</expectedChannelsList></{name.lower()}ProductQuality>"
        )
    image.unlink()
    meta.write_text(meta.read_text().replace("<specific>", f"<specific>{lists}"))
    return path


def desis_without_header(folder: Path) -> Path:
    """As DLR's Geoservice serves it: all stands in the XML."""
    path = published.desis(folder).path
    next(path.glob("*.hdr")).unlink()
    rows = "".join(
        f"<band><bandNumber>{i}</bandNumber><wavelengthCenterOfBand>{400 + 50 * i}"
        "</wavelengthCenterOfBand><wavelengthWidthOfBand>3.4</wavelengthWidthOfBand>"
        "<gainOfBand>0.0001</gainOfBand><offsetOfBand>0</offsetOfBand></band>"
        for i in range(1, 8)
    )
    next(path.glob("*.xml")).write_text(
        "<hsi_doc><base><level>L2A</level></base><specific>"
        f"<bandCharacterisation>{rows}</bandCharacterisation></specific></hsi_doc>"
    )
    return path


def sentinel2_l1c(folder: Path) -> Path:
    """The names of files do not tell their resolution."""
    path = published.sentinel2(folder).path
    manifest = path / "MTD_MSIL2A.xml"
    text = manifest.read_text().replace("BOA_ADD", "RADIO_ADD").replace("BOA_QUANT", "QUANT")
    sensed = {"B01": 60, "B09": 60, "B8A": 20, "B11": 20}
    kept = []
    for stem in re.findall(r"<IMAGE_FILE>(.*?)</IMAGE_FILE>", text):
        match = re.search(r"IMG_DATA/R\d0m/(\w+_(B..))_(\d0)m$", stem)
        if match and int(match[3]) == sensed.get(match[2], 10):
            other = f"{stem[: match.start()]}IMG_DATA/{match[1]}"
            (path / f"{stem}.jp2").rename(path / f"{other}.jp2")
            kept.append(f"<IMAGE_FILE>{other}</IMAGE_FILE>")
    text = re.sub(r"(<IMAGE_FILE>.*</IMAGE_FILE>)", "".join(kept), text)
    (path / "MTD_MSIL1C.xml").write_text(text)
    manifest.unlink()
    return path.rename(path.with_name(path.name.replace("MSIL2A", "MSIL1C")))


def prisma(folder: Path, level: str = "2D") -> Path:
    """With the group that real files have, at which the HDF5 library complains."""
    path = published.prisma(folder, 24, 20, level=level).path
    with h5py.File(path, "r+") as file:
        file.create_group("HDFEOS INFORMATION").attrs["HDFEOSVersion"] = b"HDFEOS_5.1.15"
    return path


def prisma_l2a(folder: Path) -> Path:
    """A level that is none."""
    path = prisma(folder)
    with h5py.File(path, "r+") as file:
        file.attrs["Processing_Level"] = b"2A"
    return path.rename(path.with_name(path.name.replace("L2D", "L2A")))


def emit_radiance(folder: Path) -> Path:
    path = published.emit(folder, 24, 20, cube_name="radiance").path
    return path.rename(path.with_name(path.name.replace("L2A_RFL", "L1B_RAD")))


def small(make: Callable[..., published.Made], **how: object) -> Callable[[Path], Path]:
    return lambda folder: make(folder, **how).path


PRODUCTS: dict[str, Callable[[Path], Path]] = {
    "EnMAP L2A": small(published.enmap),
    "EnMAP L1C": partial(enmap, level="L1C"),
    "EnMAP L1B": enmap_l1b,
    "DESIS L2A": small(published.desis),
    "DESIS L2A without its header": desis_without_header,
    "Sentinel-2 L2A": small(published.sentinel2),
    "Sentinel-2 L1C": sentinel2_l1c,
    "Sentinel-2 L2A of 2017": small(published.sentinel2_of_2017),
    "Sentinel-2 L2A of 2016": small(published.sentinel2_of_2016),
    "Sentinel-2 L1C of 2016": small(published.sentinel2_of_2016, level="L1C"),
    "PRISMA L2D": prisma,
    "PRISMA L2C": partial(prisma, level="2C"),
    "PRISMA L2B": partial(prisma, level="2B"),
    "PRISMA L1": partial(prisma, level="1"),
    "PRISMA L2A": prisma_l2a,
    "PRISMA L2D PAN": prisma,
    "PRISMA L2C PAN": partial(prisma, level="2C"),
    "PRISMA L2B PAN": partial(prisma, level="2B"),
    "PRISMA L1 PAN": partial(prisma, level="1"),
    "EMIT L2A": small(published.emit, rows=24, cols=20),
    "EMIT L1B": emit_radiance,
}

# ----------------------------------------------------------------------------------------- layouts


def in_a_folder(path: Path) -> Path:
    """The folder that holds a file; a folder as it is."""
    if path.is_dir():
        return path
    folder = path.with_name("delivered")
    folder.mkdir()
    shutil.move(path, folder / path.name)
    return folder


def one_up(path: Path) -> Path:
    """The folder of an order, two above the files."""
    order = path.with_name("dims_op_1")
    (order / "TILE").mkdir(parents=True)
    shutil.move(path, order / "TILE" / path.name)
    return order


def packed(path: Path, kind: str, form: int = tarfile.GNU_FORMAT) -> Path:
    """An archive beside the product, which is taken away."""
    if kind == "zip":
        made = Path(shutil.make_archive(str(path), "zip", path.parent, path.name))
    else:
        made = path.with_name(f"{path.name}.{kind}")
        with tarfile.open(made, "w:gz" if kind.endswith("gz") else "w", format=form) as tar:
            tar.add(path, path.name)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return made


def renamed(path: Path, change: Callable[[str], str]) -> Path:
    """All names in upper or lower case."""
    everything = sorted(path.rglob("*"), reverse=True) if path.is_dir() else []
    for file in [*everything, path]:
        shutil.move(file, file.with_name("between"))
        shutil.move(file.with_name("between"), file.with_name(change(file.name)))
    return path.with_name(change(path.name))


def single(path: Path) -> Path:
    """One file: of a folder its image, or the manifest."""
    if path.is_file():
        return path
    patterns = ("*SPECTRAL_IMAGE.*[fF]", "*IMAGE_SWIR.TIF", "*MTD_*")
    return next(file for pattern in patterns for file in path.glob(pattern))


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "as it is": lambda path: path,
    "folder": in_a_folder,
    "one folder up": one_up,
    "zip": partial(packed, kind="zip"),
    "tar": partial(packed, kind="tar"),
    "tar.gz": partial(packed, kind="tar.gz"),
    "single file": single,
    "upper case": partial(renamed, change=str.upper),
    "lower case": partial(renamed, change=str.lower),
}


@dataclass(frozen=True)
class Refusal:
    """What one line must say."""

    says: tuple[str, ...]


def short(product: str) -> str:
    """What bandfuse calls it."""
    return re.sub(" (without its header|of 201[67])$", "", product)


def refusal(product: str, layout: str) -> Refusal | None:
    """Which product in which layout is refused, and what is said."""
    if layout == "tar.gz":
        return Refusal((short(product).removesuffix(" PAN"), "Unpack it"))
    hdf = product.startswith(("PRISMA", "EMIT"))
    if hdf and layout in ("zip", "tar"):
        return Refusal((product.removesuffix(" PAN"), "Unpack it"))
    if product == "PRISMA L2A":
        return Refusal(("PRISMA level 2A", "L1, L2B, L2C, L2D"))
    if product.endswith("PAN") and layout in ("folder", "one folder up"):
        return Refusal((":PAN", "is a folder"))
    if product == "EnMAP L1B" and layout != "single file":
        return Refusal(("EnMAP L1B", "Give", "SPECTRAL_IMAGE_"))
    return None


# ------------------------------------------------------------------------------------------- tests


def pixels(raster: Raster) -> np.ndarray:
    with Reader([(raster, range(len(raster.bands)))]) as reader:
        whole = reader.read(Window(0, 0, *raster.shape))
        return whole.cell(slice(0, raster.rows), slice(0, raster.cols)).values().copy()


CELLS = [
    (product, layout)
    for product in PRODUCTS
    for layout in LAYOUTS
    # A file has no folder of its own, a folder is delivered as it is.
    if (layout == "folder") <= product.startswith(("PRISMA", "EMIT"))
]


@pytest.mark.one_in(23)
@pytest.mark.parametrize(("product", "layout"), CELLS)
def test_every_command_reads_it_or_names_it(
    product: str, layout: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    made = PRODUCTS[product](tmp_path / "in")
    expected = refusal(product, layout)
    part = ":PAN" if product.endswith("PAN") else ""
    plain = None if refusal(product, "single file") else describe(f"{single(made)}{part}")
    values = None if plain is None else pixels(plain)
    given = f"{LAYOUTS[layout](made)}{part}"
    run, fused = tmp_path / "run", tmp_path / "fused.tif"
    outputs = 1 if part else 2
    groups = ["--groups", f"equal:{outputs}"]
    learn = ["train", given, *groups, "--folds", 0, "--no-report", "--steps", 3]
    if expected is not None:
        weights = weights_file(tmp_path / "w.safetensors", 3)
        for command in (
            ["info", given],
            ["check", given],
            [*learn, "-o", run],
            ["apply", weights, given, "-o", fused],
            ["export", weights, "--to", "vrt", "--scene", given, "-o", tmp_path / "f.vrt"],
        ):
            refused_in_one_line(command, expected)
        assert not run.exists()
    else:
        assert plain is not None
        (scene,) = ok("info", given, "--json").json["scenes"]
        assert scene["driver"].startswith(f"{short(product)} (")
        raster = describe(given)
        np.testing.assert_array_equal(raster.bands.wavelength_nm, plain.bands.wavelength_nm)
        np.testing.assert_array_equal(pixels(raster), values)
        ok("check", given)
        ok(*learn, "-o", run, "--no-fused")
        ok("apply", run / "weights.safetensors", given, "-o", fused)
        assert read(fused).shape[0] == outputs
        vrt = ["export", run / "weights.safetensors", "--to", "vrt", "--scene", given]
        if product.startswith(("EnMAP", "DESIS")):
            ok(*vrt, "-o", tmp_path / "f.vrt")
            np.testing.assert_allclose(read(tmp_path / "f.vrt"), read(fused), rtol=1e-5)
        else:
            refused_in_one_line([*vrt, "-o", tmp_path / "f.vrt"], Refusal((short(product), "Use")))
    assert capfd.readouterr().err == ""


def test_names_that_gdal_does_not_read_in_a_tar_are_told(tmp_path: Path) -> None:
    path = packed(published.enmap(tmp_path).path, "tar", tarfile.PAX_FORMAT)
    refused_in_one_line(["info", path], Refusal(("EnMAP L2A", "pax format", "Unpack it")))


def refused_in_one_line(command: list[object], expected: Refusal) -> None:
    done = cli(*command)
    assert done.code == 2, done.out
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert done.err.count("\n") == 1
    for text in expected.says:
        assert text.lower() in done.err.lower()
