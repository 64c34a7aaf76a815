"""Quality layers of products leave out the pixels that numpy takes from them, reason by reason."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import published
import published_hdf
import published_netcdf
import pytest
import rasterio
from helpers import same_bits
from published import Made
from rasters import NORTH_UP, UTM, blend, cli, ok, read, refused, spectra, write_tiff

from bandfuse.config.train import TrainConfig
from bandfuse.model.weightsfile import load
from bandfuse.raster import describe, opened_selection
from bandfuse.raster.describe import QualityLayer, SourceImage
from bandfuse.raster.quality import apart, counted
from bandfuse.scenes.places import Place
from bandfuse.scenes.scene import open_scene
from bandfuse.streaming.windows import Window, tile
from bandfuse.tools.train import train as train_in_python

Reasons = dict[str, np.ndarray]
"""(H, W) flags by reason, as the test knows them."""


def patches(shape: tuple[int, int], seed: int, share: float = 0.1) -> np.ndarray:
    """(H, W) flags in blocks of 5 × 5 pixels, a share of all of these."""
    size = -(-shape[0] // 5), -(-shape[1] // 5)
    order = np.random.default_rng(seed).permutation(size[0] * size[1]).reshape(size)
    small = order < share * order.size
    return np.kron(small, np.ones((5, 5), dtype=bool))[: shape[0], : shape[1]]


def emit(folder: Path) -> tuple[Made, Reasons]:
    made = published.emit(folder)
    shape = made.values.shape[1:]
    words = ("cloud", "cirrus", "water", "invalid", "buffer")
    flags = {word: patches(shape, i) for i, word in enumerate(words)}
    rest = np.full((3, *shape), 0.5)
    rest[:, 0, :4] = -9999.0
    published.emit_mask(made, np.concatenate([np.stack([*flags.values()]), rest]))
    return made, flags


def enmap(folder: Path) -> tuple[Made, Reasons]:
    made = published.enmap(folder)
    shape = made.values.shape[1:]
    flags: Reasons = {}
    names = ("CLOUD", "CLOUDSHADOW", "HAZE", "SNOW")
    for i, (name, word) in enumerate(zip(names, ("cloud", "shadow", "haze", "snow"), strict=True)):
        flags[word] = patches(shape, i)
        published.dlr_layer(made, f"QL_QUALITY_{name}", flags[word])
    cirrus = np.random.default_rng(5).integers(0, 4, shape) * patches(shape, 6)
    classes = np.random.default_rng(7).integers(1, 4, shape)
    published.dlr_layer(made, "QL_QUALITY_CIRRUS", cirrus)
    published.dlr_layer(made, "QL_QUALITY_CLASSES", classes)
    return made, flags | {"cirrus": cirrus > 0, "water": classes == 2}


def desis(folder: Path) -> tuple[Made, Reasons]:
    made = published.desis(folder)
    shape = made.values.shape[1:]
    bands = np.stack([patches(shape, i) for i in range(10)]).astype("uint8")
    bands[8:] = 40
    published.dlr_layer(made, "QL_QUALITY-2", bands)
    on = bands == 1
    return made, {
        "cloud": on[5] | on[6],
        "shadow": on[0],
        "haze": on[3] | on[4],
        "snow": on[2],
        "water": on[7],
    }


def sentinel2(folder: Path) -> tuple[Made, Reasons]:
    """Classes of 20 m over a grid of 10 m."""
    made = published.sentinel2(folder)
    classes = np.random.default_rng(0).choice(12, (66, 66), p=[0.02] * 4 + [0.4, 0.4] + [0.02] * 6)
    published.sentinel2_classes(made, classes)
    fine = classes.repeat(2, 0).repeat(2, 1)
    of = {
        "cloud": (8, 9),
        "cirrus": (10,),
        "shadow": (3,),
        "saturated": (1,),
        "invalid": (0,),
        "dark": (2,),
        "snow": (11,),
        "water": (6,),
    }
    return made, {word: np.isin(fine, values) for word, values in of.items()}


def prisma(folder: Path) -> tuple[Made, Reasons]:
    """With the masks that files of L1 hold."""
    made = published.prisma(folder, level="1")
    shape = made.values.shape[1:]
    rng = np.random.default_rng(1)
    cloud, glint = (rng.choice([0, 1, 10, 255], shape, p=[0.8, 0.1, 0.05, 0.05]) for _ in range(2))
    land = rng.choice([0, 1, 2, 3, 4, 5, 6, 10, 255], shape)
    with h5py.File(made.path, "r+") as file:
        for name, values in (("Cloud", cloud), ("SunGlint", glint), ("LandCover", land)):
            file[f"HDFEOS/SWATHS/PRS_L1_HCO/Data Fields/{name}_Mask"] = values.astype("u1")
    return made, {"cloud": cloud == 1, "glint": glint == 1, "water": land == 0, "snow": land == 1}


def tanager(folder: Path) -> tuple[Made, Reasons]:
    made = published_hdf.tanager(folder, "basic_radiance")
    shape = made.values.shape[1:]
    flags = {word: patches(shape, i) for i, word in enumerate(("cloud", "cirrus"))}
    with h5py.File(made.path, "r+") as file:
        for word, there in flags.items():
            file[f"HDFEOS/SWATHS/HYP/Data Fields/beta_{word}_mask"][:] = there
    return made, flags


OCI_FLAGS = (
    "ATMFAIL LAND PRODWARN HIGLINT HILT HISATZEN COASTZ SPARE STRAYLIGHT CLDICE COCCOLITH TURBIDW "
    "HISOLZEN SPARE LOWLW CHLFAIL NAVWARN ABSAER SPARE MAXAERITER MODGLINT CHLWARN ATMWARN SPARE "
    "SEAICE NAVFAIL FILTER SPARE BOWTIEDEL HIPOL PRODFAIL SPARE"
)
"""The words of the bits of Level-2 flags, as NASA's processing writes them."""


def pace(folder: Path) -> tuple[Made, Reasons]:
    """Flags of which some are of no layer, the highest bit among them."""
    made = published_netcdf.pace_l2(folder)
    shape = made.values.shape[1:]
    words, masks = OCI_FLAGS.split(), (1 << np.arange(32, dtype=np.int64)).astype("i4")
    flags = {word: patches(shape, i) for i, word in enumerate(dict.fromkeys(words))}
    stored = np.zeros(shape, "i4")
    for word, there in flags.items():
        stored[there] |= masks[words.index(word)]
    stored[patches(shape, 99)] |= masks[31]
    with h5py.File(made.path, "r+") as file:
        array = file["geophysical_data/l2_flags"]
        array[:] = stored
        array.attrs["flag_masks"], array.attrs["flag_meanings"] = masks, np.bytes_(OCI_FLAGS)
    names = {"cloud": "CLDICE", "glint": "HIGLINT", "saturated": "HILT", "snow": "SEAICE"}
    return made, {reason: flags[word] for reason, word in names.items()}


@dataclass(frozen=True)
class Case:
    make: Callable[[Path], tuple[Made, Reasons]]
    auto: tuple[str, ...]
    some: str


CASES = {
    "emit": Case(emit, ("cloud", "cirrus", "invalid"), "cloud,buffer"),
    "enmap": Case(enmap, ("cloud", "cirrus", "shadow"), "water,cloud"),
    "desis": Case(desis, ("cloud", "shadow"), "haze"),
    "sentinel2": Case(
        sentinel2, ("cloud", "cirrus", "shadow", "saturated", "invalid"), "snow,water,dark"
    ),
    "prisma": Case(prisma, ("cloud",), "glint,water,snow"),
    "tanager": Case(tanager, ("cloud", "cirrus"), "cirrus"),
    "pace": Case(pace, ("cloud", "saturated"), "glint,snow"),
}


def beside(folder: Path, made: Made, name: str, values: np.ndarray) -> str:
    """A raster on the grid of a product."""
    grid = describe(made.path)
    crs = None if grid.crs is None else grid.crs_text
    return write_tiff(folder / f"{name}.tif", values, crs=crs, transform=grid.transform)


def target_of(folder: Path, made: Made, noise: float = 0.01) -> str:
    """Two bands that follow from those of the product, with noise."""
    known = np.nan_to_num(made.values[made.good], nan=0.1)
    rng = np.random.default_rng(11)
    answer = blend(known, rng.dirichlet(np.ones(len(known)), 2))
    answer += noise * rng.normal(size=answer.shape)
    return beside(folder, made, "target", answer.astype("float32"))


def trained(folder: Path, *arguments: object, name: str = "run") -> tuple[np.ndarray, Any, str]:
    """Weights, report, and what is said of a training."""
    run = folder / name
    quick = ("--constraint", "free", "--folds", 0, "--no-report", "--no-fused")
    done = ok("train", *arguments, *quick, "-o", run)
    report = json.loads((run / "report.json").read_text())
    return load(run / "weights.safetensors").common.matrix, report, " ".join(done.err.split())


def expected_counts(flags: Iterable[np.ndarray], words: Iterable[str]) -> dict[str, int]:
    return {word: int(f.sum()) for word, f in zip(words, flags, strict=True) if f.any()}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", ["auto", "some"])
def test_flagged_pixels_are_those_of_a_mask_made_by_hand(
    name: str, how: str, tmp_path: Path
) -> None:
    case = CASES[name]
    made, flags = case.make(tmp_path)
    target = target_of(tmp_path, made)
    words = case.auto if how == "auto" else tuple(case.some.split(","))
    out = np.logical_or.reduce([flags[word] for word in words])
    mask = beside(tmp_path, made, "mask", (~out)[None].astype("uint8"))
    call = [made.path, "--target", target]
    asked = [] if how == "auto" else ["--quality", case.some]
    weights, report, said = trained(tmp_path, *call, *asked)
    by_hand, other, silent = trained(
        tmp_path, *call, "--quality", "none", "--mask", mask, name="hand"
    )
    same_bits(weights, by_hand)
    pixels = report["pixels"]
    assert pixels["used"] == other["pixels"]["used"] > 0
    assert pixels["quality"] == expected_counts([flags[word] for word in words], words)
    assert pixels["by_reason"]["flagged by quality layers"] == out.sum()
    assert pixels["invalid"] == sum(pixels["by_reason"].values()) == out.size - pixels["used"]
    assert other["pixels"]["by_reason"]["outside the mask"] == out.sum()
    assert other["pixels"]["quality"] == {}
    listed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    assert f"{made.path.name}: pixels that it flags as {listed} are left out" in said
    assert "flags as" not in silent
    kept, all_of_them, _ = trained(tmp_path, *call, "--quality", "none", name="kept")
    assert all_of_them["pixels"]["used"] > pixels["used"]
    assert (kept != weights).any()


@pytest.mark.parametrize("name", CASES)
def test_info_lists_what_the_product_offers(name: str, tmp_path: Path) -> None:
    made, flags = CASES[name].make(tmp_path)
    done = ok("info", made.path, "--json").json["scenes"][0]
    assert {row["word"] for row in done["quality"]} == set(flags)
    assert all(Path(row["file"]).is_file() for row in done["quality"])
    assert done["no_quality"] == ""
    shown = " ".join(ok("info", made.path).out.split())
    assert all(word in shown for word in flags)


MISSING = {
    "emit": (published.emit, "the mask file EMIT_L2A_MASK_…_20220815T042838_2222703_003.nc is not"),
    "enmap": (published.enmap, "no image QL_QUALITY_… is beside it"),
    "desis": (published.desis, "…-QL_QUALITY-2.tif is not beside it"),
    "sentinel2": (published.sentinel2, "the scene classification …_SCL_20m.jp2 is not in it"),
    "prisma": (published.prisma, "it holds no cloud mask, which is in the L1 file"),
    "pace": (published_netcdf.pace_l2, "it holds no geophysical_data/l2_flags with CLDICE"),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", MISSING)
def test_missing_layers_are_said(name: str, tmp_path: Path) -> None:
    make, why = MISSING[name]
    made = make(tmp_path)
    target = target_of(tmp_path, made)
    _, report, said = trained(tmp_path, made.path, "--target", target)
    assert f"{made.path.name}: no pixels are left out by quality, because " in said
    assert why in said
    assert report["pixels"]["quality"] == {}
    assert f"quality none: {why}" in " ".join(ok("info", made.path).out.split())
    said = refused(tmp_path, made.path, "--target", target, "--quality", "cloud")
    assert "--quality cloud" in said
    assert why in said
    _, _, said = trained(tmp_path, made.path, "--target", target, "--quality", "none", name="x")
    assert "quality" not in said


def test_a_word_that_is_not_offered_names_those_that_are(tmp_path: Path) -> None:
    made, _ = desis(tmp_path)
    target = target_of(tmp_path, made)
    said = refused(tmp_path, made.path, "--target", target, "--quality", "clouds")
    assert "offers no such layer" in said
    assert "cloud, shadow, haze, snow, water" in said
    assert "Did you mean 'cloud'" in said
    assert "saturated" in refused(tmp_path, made.path, "--quality", "cloud,saturated")
    for wrong in ("cloud,,shadow", "auto,cloud", ""):
        assert "--quality" in refused(tmp_path, made.path, "--target", target, "--quality", wrong)


def test_flags_without_their_words_are_no_layers(tmp_path: Path) -> None:
    """A bit is what ``flag_meanings`` says: of another order of words other bits are taken, and of
    more or fewer words than masks none."""
    made, _ = pace(tmp_path)
    swapped = OCI_FLAGS.replace("CLDICE", "X").replace("LAND", "CLDICE").replace("X", "LAND")
    for words, bits in ((OCI_FLAGS, {512}), (swapped, {2}), (OCI_FLAGS + " MORE", set())):
        with h5py.File(made.path, "r+") as file:
            file["geophysical_data/l2_flags"].attrs["flag_meanings"] = np.bytes_(words)
        raster = describe(made.path)
        assert {layer.bits for layer in raster.quality if layer.reason == "cloud"} == bits
        assert bool(raster.no_quality) == (not bits)


def test_products_whose_layers_are_not_read_are_named(tmp_path: Path) -> None:
    """A word asked of a panchromatic image, and of a product that has no layers for bandfuse."""
    pan = f"{published.prisma(tmp_path, level='1').path}:PAN"
    said = refused(tmp_path, pan, "--objective", "reconstruction", "--quality", "cloud")
    assert "no cloud mask lies on the grid of its panchromatic image" in said
    made = published_hdf.neon(tmp_path)
    said = refused(tmp_path, made.path, "--objective", "reconstruction", "--quality", "cloud")
    assert "NEON AOP L3 reflectance: bandfuse reads no quality layers of it" in said
    assert "no product" not in said


def test_plain_rasters_have_no_layers(tmp_path: Path) -> None:
    cube = spectra(4, 30, 40)
    scene = write_tiff(tmp_path / "cube.tif", cube)
    target = write_tiff(tmp_path / "t.tif", blend(cube, [[0.4, 0.3, 0.2, 0.1]]).astype("f4"))
    _, report, said = trained(tmp_path, scene, "--target", target, "--quality", "auto")
    assert report["pixels"]["quality"] == {}
    assert "quality" not in said
    said = refused(tmp_path, scene, "--target", target, "--quality", "cloud")
    assert "no quality layers" in said
    assert "quality" not in ok("info", scene).out


def test_layers_of_the_target_count_too(tmp_path: Path) -> None:
    made, flags = desis(tmp_path)
    known = np.nan_to_num(made.values[made.good], nan=0.1)
    cube = blend(known, np.random.default_rng(3).dirichlet(np.ones(len(known)), 4))
    scene = beside(tmp_path, made, "cube", cube.astype("float32"))
    _, report, said = trained(tmp_path, scene, "--target", made.path)
    assert report["pixels"]["quality"] == expected_counts(
        [flags["cloud"], flags["shadow"]], ["cloud", "shadow"]
    )
    assert made.path.name in said
    files = [Path(i["path"]).name for i in report["inputs"]]
    assert files[:2] == ["cube.tif", made.path.name]
    assert files[2].endswith("QL_QUALITY-2.tif")


def test_layers_move_with_a_target_that_is_moved(tmp_path: Path) -> None:
    """The target lies two columns and a row beside its scene, and so do its layers."""
    made, flags = desis(tmp_path)
    known = np.nan_to_num(made.values[made.good], nan=0.1)
    cube = blend(known, np.random.default_rng(3).dirichlet(np.ones(len(known)), 4))
    scene = beside(tmp_path, made, "cube", cube.astype("float32"))
    _, report, _ = trained(tmp_path, scene, "--target", made.path, "--shift", "2,1")
    here = np.logical_or(flags["cloud"], flags["shadow"])[:-1, :-2]
    assert report["pixels"]["by_reason"]["flagged by quality layers"] == here.sum()


def test_a_coarser_grid_leaves_out_every_pixel_that_a_flag_touches(tmp_path: Path) -> None:
    """A target of pixels twice as wide: of its pixels those with a flagged one in them."""
    made, flags = enmap(tmp_path)
    values = np.nan_to_num(made.values[made.good], nan=0.1)
    coarse = values.reshape(len(values), 33, 2, 26, 2).mean(axis=(2, 4))
    answer = blend(coarse, [np.full(len(values), 1 / len(values))])
    a = NORTH_UP
    wide = rasterio.Affine(2 * a.a, 0, a.c, 0, 2 * a.e, a.f)
    target = write_tiff(tmp_path / "t.tif", answer.astype("f4"), crs=UTM, transform=wide)
    _, report, _ = trained(tmp_path, made.path, "--target", target)
    touched = {w: flags[w].reshape(33, 2, 26, 2).any(axis=(1, 3)) for w in CASES["enmap"].auto}
    assert report["pixels"]["quality"] == {w: int(f.sum()) for w, f in touched.items()}
    out = np.logical_or.reduce([*touched.values()])
    assert report["pixels"]["by_reason"]["flagged by quality layers"] == out.sum()


def test_clouds_change_no_weight_beyond_its_interval(tmp_path: Path) -> None:
    """Bright pixels in a tenth of the cube, of which the target knows nothing."""
    made = published.enmap(tmp_path)
    target = target_of(tmp_path, made, noise=0.02)
    call = ["train", made.path, "--target", target, "--constraint", "free", "--no-report"]
    more = ["--no-fused", "--ridge", 0, "--smooth", 0]
    ok(*call, *more, "--quality", "none", "-o", tmp_path / "clear")
    shape = made.values.shape[1:]
    clouds = patches(shape, 1)
    assert 0.08 < clouds.mean() < 0.12
    image = next(made.path.glob("*SPECTRAL_IMAGE.TIF"))
    stored = read(image)
    stored[:, clouds & (stored[0] != -32768)] += 4000
    stored[3] = -32768
    with rasterio.open(image, "r+") as ds:
        ds.write(stored)
    published.dlr_layer(made, "QL_QUALITY_CLOUD", clouds)
    ok(*call, *more, "-o", tmp_path / "left_out")
    ok(*call, *more, "--quality", "none", "-o", tmp_path / "kept")
    rows = json.loads((tmp_path / "clear" / "report.json").read_text())["weights"]
    clear = {(r["output"], r["band"]): (r["ci_low"], r["ci_high"]) for r in rows}

    def outside(name: str) -> int:
        report = json.loads((tmp_path / name / "report.json").read_text())
        return sum(
            not clear[r["output"], r["band"]][0]
            <= r["effective_weight"]
            <= clear[r["output"], r["band"]][1]
            for r in report["weights"]
        )

    assert outside("left_out") == 0
    assert outside("kept") > len(clear) / 2


@pytest.mark.thorough
def test_windows_threads_and_other_processes_change_no_bit(tmp_path: Path) -> None:
    made, _ = sentinel2(tmp_path)
    target = target_of(tmp_path, made)
    call = [made.path, "--target", target]
    first, report, _ = trained(tmp_path, *call)
    second, other, _ = trained(tmp_path, *call, "--threads", 1, "--memory", 16, name="one")
    config = TrainConfig(
        scenes=[str(made.path)],
        target=[target],
        output=str(tmp_path / "spread"),
        constraint="free",
        folds=0,
        no_report=True,
        no_fused=True,
    )

    def elsewhere(work: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterable[Any]:
        for task in tasks:
            function, arguments = pickle.loads(pickle.dumps((work, task)))
            yield pickle.loads(pickle.dumps(function(*arguments)))

    third, _ = train_in_python(config, spread=elsewhere)
    weights = load(tmp_path / "spread" / "weights.safetensors").common.matrix
    same_bits(first, second, weights)
    assert report["pixels"] == other["pixels"] == third.pixels.model_dump()


def test_pooled_scenes_have_layers_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, flags = desis(tmp_path / "a")
    two = published.desis(tmp_path / "b")
    renamed = two.path.rename(two.path.with_name("other"))
    targets = [target_of(tmp_path / name, one) for name in ("a", "b")]
    _, report, said = trained(
        tmp_path, one.path, renamed, "--target", targets[0], "--target", targets[1]
    )
    words = CASES["desis"].auto
    assert report["pixels"]["quality"] == expected_counts([flags[w] for w in words], words)
    assert f"{one.path.name}: pixels that it flags" in said
    assert "other: no pixels are left out by quality" in said


def test_evaluate_leaves_them_out(tmp_path: Path) -> None:
    made, flags = desis(tmp_path)
    target = target_of(tmp_path, made)
    trained(tmp_path, made.path, "--target", target)
    call = ["evaluate", tmp_path / "run", made.path, "--target", target]
    done = ok(*call, "--json").json
    words = CASES["desis"].auto
    assert done["pixels"]["quality"] == expected_counts([flags[w] for w in words], words)
    mask = np.logical_or.reduce([flags[w] for w in words])
    path = beside(tmp_path, made, "mask", (~mask)[None].astype("uint8"))
    other = ok(*call, "--quality", "none", "--mask", path, "--json").json
    assert done["scores"] == other["scores"]
    shown = " ".join(ok(*call).out.split())
    assert f"{mask.sum()} pixels left out by quality layers: cloud" in shown


@pytest.mark.one_in(2)
@pytest.mark.parametrize("policy", ["strict", "renormalise"])
def test_apply_writes_all_pixels_unless_it_is_asked(policy: str, tmp_path: Path) -> None:
    made, flags = sentinel2(tmp_path)
    target = target_of(tmp_path, made)
    trained(tmp_path, made.path, "--target", target)
    call = ["apply", tmp_path / "run", made.path, "--nodata-policy", policy]
    said = ok(*call, "-o", tmp_path / "all.tif").err
    assert "nodata" not in said
    done = ok(*call, "-o", tmp_path / "some.tif", "--quality", "cloud,shadow")
    whole, some = read(tmp_path / "all.tif"), read(tmp_path / "some.tif")
    out = flags["cloud"] | flags["shadow"]
    assert np.isfinite(whole[:, out]).any()
    same_bits(np.where(out, np.float32(np.nan), whole), some)
    assert "flags as cloud or shadow are written as nodata" in " ".join(done.err.split())


def test_resample_writes_them_as_nodata(tmp_path: Path) -> None:
    made, flags = enmap(tmp_path)
    call = ["resample", made.path, "--sensor", "sentinel-2a", "--min-coverage", 0]
    ok(*call, "-o", tmp_path / "all.tif")
    ok(*call, "-o", tmp_path / "some.tif", "--quality", "cloud")
    whole, some = read(tmp_path / "all.tif"), read(tmp_path / "some.tif")
    same_bits(np.where(flags["cloud"], np.float32(np.nan), whole), some)


def test_a_dry_run_says_which_are_used(tmp_path: Path) -> None:
    made, _ = enmap(tmp_path)
    target = target_of(tmp_path, made)
    done = ok("train", made.path, "--target", target, "-o", tmp_path / "run", "--dry-run", "--json")
    assert done.json["scenes"][0]["quality"] == list(CASES["enmap"].auto)
    assert any("flags as cloud, cirrus or shadow" in text for text in done.json["messages"])
    files = [Path(name).name for name in done.json["scenes"][0]["files"]]
    assert sum("QL_QUALITY_" in name for name in files) == 3


def test_the_report_and_the_terminal_count_by_reason(tmp_path: Path) -> None:
    made, flags = desis(tmp_path)
    target = target_of(tmp_path, made)
    done = ok("train", made.path, "--target", target, "-o", tmp_path / "run", "--folds", 0)
    cloud, shadow = int(flags["cloud"].sum()), int(flags["shadow"].sum())
    both = int((flags["cloud"] | flags["shadow"]).sum())
    text = f"{both} pixels left out by quality layers: cloud {cloud}, shadow {shadow}"
    assert text in " ".join(done.out.split())
    page = (tmp_path / "run" / "report.html").read_text()
    assert "invalid: flagged by quality layers" in page
    assert "of these flagged as cloud" in page


def test_a_config_file_may_list_the_words(tmp_path: Path) -> None:
    made, _ = desis(tmp_path)
    target = target_of(tmp_path, made)
    config = tmp_path / "c.yaml"
    config.write_text("quality: [Cloud, haze]\n")
    _, report, _ = trained(tmp_path, made.path, "--target", target, "--config", config)
    assert set(report["pixels"]["quality"]) == {"cloud", "haze"}
    assert "quality: cloud,haze" in (tmp_path / "run" / "config.yaml").read_text()


def test_nothing_but_flagged_pixels(tmp_path: Path) -> None:
    made = published.desis(tmp_path)
    everything = np.ones((10, *made.values.shape[1:]), "uint8")
    published.dlr_layer(made, "QL_QUALITY-2", everything)
    said = refused(tmp_path, made.path, "--target", target_of(tmp_path, made))
    assert "no pixel of scene" in said
    assert "--quality cloud,shadow" in said
    assert "--quality none" in said


@pytest.mark.parametrize("fault", ["size", "damage", "bands"])
def test_a_layer_that_does_not_fit_is_refused(fault: str, tmp_path: Path) -> None:
    made, _ = desis(tmp_path)
    target = target_of(tmp_path, made)
    path = next(made.path.glob("*QL_QUALITY-2.tif"))
    if fault == "damage":
        path.write_bytes(b"no image")
    else:
        shape = (10, 7, 9) if fault == "size" else (3, *made.values.shape[1:])
        where = {} if fault == "bands" else {"transform": None, "crs": None}
        write_tiff(path, np.zeros(shape, "uint8"), **where)
    said = refused(tmp_path, made.path, "--target", target)
    assert "QL_QUALITY-2" in said
    assert "--quality none" in said
    assert cli("info", made.path).code == 0
    trained(tmp_path, made.path, "--target", target, "--quality", "none")


def test_emit_masks_of_other_versions(tmp_path: Path) -> None:
    """Their number of bands tells what they are; of another number nothing is taken."""
    made = published.emit(tmp_path)
    shape = made.values.shape[1:]
    bands = np.stack([patches(shape, i) for i in range(11)]).astype("f4")
    names = tuple(f"b{i}" for i in range(11))
    for count, expected in ((11, {1, 10}), (7, {1, 6})):
        published.emit_mask(made, bands[:count], names[:count])
        layers = describe(made.path).quality
        assert {layer.image.bands[0] for layer in layers if layer.reason == "cloud"} == expected
    published.emit_mask(made, bands[:9], names[:9])
    raster = describe(made.path)
    assert raster.quality == ()
    assert "has 9 bands, of unknown meaning" in raster.no_quality
    published.emit_mask(made, bands[:8]).write_bytes(b"no mask")
    assert "cannot be read as a mask file" in describe(made.path).no_quality


def test_sentinel2_l1c_has_bands_of_60_m(tmp_path: Path) -> None:
    path = published.sentinel2(tmp_path).path
    text = (path / "MTD_MSIL2A.xml").read_text()
    text = text.replace("BOA_ADD", "RADIO_ADD").replace("BOA_QUANT", "QUANT")
    (path / "MTD_MSIL1C.xml").write_text(text)
    (path / "MTD_MSIL2A.xml").unlink()
    assert "MSK_CLASSI_B00.jp2 is not in it" in describe(path).no_quality
    folder = next(path.glob("GRANULE/*")) / "QI_DATA"
    folder.mkdir()
    bands = (np.random.default_rng(0).random((3, 22, 22)) < 0.1).astype("uint8")
    wide = rasterio.Affine(60, 0, NORTH_UP.c, 0, -60, NORTH_UP.f)
    place = str(folder / "MSK_CLASSI_B00.jp2")
    with rasterio.open(
        place, "w", "JP2OpenJPEG", 22, 22, 3, UTM, wide, "uint8", QUALITY="100", REVERSIBLE="YES"
    ) as ds:
        ds.write(bands)
    raster = describe(path)
    cube = np.random.default_rng(1).random((1, *raster.shape)).astype("f4")
    target = write_tiff(tmp_path / "t.tif", cube, crs=UTM, transform=raster.transform)
    _, report, _ = trained(tmp_path, path, "--target", target, "--quality", "cloud,snow")
    assert report["pixels"]["quality"] == {
        "cloud": 36 * int(bands[0].sum()),
        "snow": 36 * int(bands[2].sum()),
    }


def test_an_archive_holds_its_layers(tmp_path: Path) -> None:
    made, flags = enmap(tmp_path)
    target = target_of(tmp_path, made)
    packed = published.zipped(made.path)
    _, report, _ = trained(tmp_path, packed, "--target", target)
    words = CASES["enmap"].auto
    assert report["pixels"]["quality"] == expected_counts([flags[w] for w in words], words)
    assert [Path(i["path"]).name for i in report["inputs"]] == [packed.name, "target.tif"]


# ------------------------------------------------------------------------------------------- parts


def test_bits_and_values() -> None:
    image = SourceImage("x", (1,))
    values = np.array([0, 1, 2, 3, 4.0, -(2.0**31), np.nan])
    by_value = QualityLayer("cloud", image, "x", (1, 3))
    assert by_value.flags(values).tolist() == [False, True, False, True, False, False, False]
    by_bits = QualityLayer("cloud", image, "x", bits=2 | 2**31)
    assert by_bits.flags(values).tolist() == [False, False, True, True, False, True, False]


def test_reasons_apart_are_counted_together() -> None:
    rng = np.random.default_rng(0)
    flags = {word: rng.random((20, 30)) < 0.3 for word in ("cloud", "shadow", "snow")}
    inside = rng.random((20, 30)) < 0.8
    parts = apart(flags, inside)
    assert (sum(part.astype(int) for part in parts.values()) <= 1).all()
    others, whole, each = counted(
        {"band missing": 3, **{k: int(p.sum()) for k, p in parts.items()}}
    )
    assert others == {"band missing": 3}
    assert whole == (np.logical_or.reduce([*flags.values()]) & inside).sum()
    assert each == {word: int((f & inside).sum()) for word, f in flags.items()}


@pytest.mark.parametrize("grid", ["same", "finer", "coarser"])
def test_windows_see_what_the_whole_sees(grid: str, tmp_path: Path) -> None:
    """A layer on the grid of the scene, of 20 m over 10 m, and under pixels of another size."""
    made, _ = (sentinel2 if grid == "finer" else enmap)(tmp_path)
    wide = rasterio.Affine(70, 0, NORTH_UP.c + 11, 0, -50, NORTH_UP.f - 17)
    values = np.zeros((1, 20, 20), "f4")
    target = write_tiff(tmp_path / "t.tif", values, crs=UTM, transform=wide)
    place = Place("x", (("scene", str(made.path)),), target if grid == "coarser" else None)
    scene = open_scene(place, quality="auto", training=True)
    with opened_selection(scene.where) as where:
        assert where is not None
        whole = where.outside(Window(0, 0, *scene.shape))
        assert 0 < whole.sum() < whole.size
        for window in tile(scene.shape, 7, 9):
            same_bits(where.outside(window), whole[window.within(Window(0, 0, *scene.shape))])


def test_a_batch_takes_it_for_trainings_and_not_for_apply(tmp_path: Path) -> None:
    """A default of all jobs limits trainings; rasters are written whole."""
    made, flags = desis(tmp_path)
    target = target_of(tmp_path, made)
    place = tmp_path / "batch.yaml"
    place.write_text(
        f"version: 1\noutput: out\nscenes:\n  - files: ['{made.path}']\n    target: '{target}'\n"
        "defaults: {quality: [cloud, haze], folds: 0, no_report: true, constraint: free}\n"
        "jobs:\n  - {name: learn, kind: train}\n"
        "  - {name: use, kind: apply, weights: learn}\n"
        "  - {name: score, kind: evaluate, weights: learn}\n"
    )
    ok("batch", place)
    expected = expected_counts([flags[w] for w in ("cloud", "haze")], ("cloud", "haze"))
    report = json.loads(next((tmp_path / "out").rglob("report.json")).read_text())
    assert report["pixels"]["quality"] == expected
    written = read(next((tmp_path / "out" / "use").rglob("*.tif")))
    there = np.isfinite(made.values[made.good]).all(axis=0)
    assert np.isfinite(written).all(axis=0).sum() == there.sum()
    scored = [json.loads(p.read_text()) for p in (tmp_path / "out" / "score").rglob("*.json")]
    assert [s["pixels"]["quality"] for s in scored if "pixels" in s] == [expected]


@pytest.mark.parametrize("rule", ["glob: 'in/*'", "folder: in", "glob: in/DESIS*"])
def test_a_batch_finds_products_that_are_folders(rule: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "other").mkdir()
    made, flags = desis(tmp_path / "in")
    place = tmp_path / "batch.yaml"
    place.write_text(
        f"version: 1\noutput: out\nscenes:\n  - {{{rule}}}\n"
        "defaults: {folds: 0, no_report: true, groups: 'equal:1'}\n"
        "jobs:\n  - {name: learn, kind: train}\n"
    )
    ok("batch", place)
    report = json.loads(next((tmp_path / "out").rglob("report.json")).read_text())
    words = CASES["desis"].auto
    assert report["pixels"]["quality"] == expected_counts([flags[w] for w in words], words)
    assert report["inputs"][0]["path"].endswith(made.path.name)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ["emit", "sentinel2", "prisma"])
def test_only_bandfuse_speaks(name: str, tmp_path: Path) -> None:
    """Libraries that open the layers write nothing on standard error."""
    made, _ = CASES[name].make(tmp_path)
    target = target_of(tmp_path, made)
    call = ["train", made.path, "--target", target, "--folds", 0, "-o", tmp_path / "run"]
    done = subprocess.run(
        [sys.executable, "-m", "bandfuse", *map(str, call), "--no-report", "--log-file", "log"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    own = [line for line in done.stderr.splitlines() if line.startswith(f"{made.path.name}: ")]
    assert sum("flags as" in line for line in own) == 1
    lies = [line for line in done.stderr.splitlines() if line.startswith("target.tif lies on ")]
    assert sorted(done.stderr.splitlines()) == sorted([*own, *lies])
