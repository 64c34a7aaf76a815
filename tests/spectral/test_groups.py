"""Groups: what a SPEC names, what is refused, and what the message says."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import cli, ok, write_tiff
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from bandfuse.errors import ConfigError, GroupError
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Group, lacking, named, one, per_source, select, split, usable

VNIR = Bands.of(["a", "b", "c", "d"], source="vnir", wavelength_nm=[450, 550, 650, 850])
SWIR = Bands.of(
    ["e", "f"], source="swir", wavelength_nm=[1600, 2200], reason=["", "flagged bad (bbl)"]
)
BOTH = VNIR + SWIR
NAMELESS = Bands.of(["a", "b", "c"])


@pytest.mark.parametrize(
    ("spec", "positions"),
    [
        ("450-650nm", [0, 1, 2]),
        ("450 - 650 nm", [0, 1, 2]),
        ("0.45-0.65um", [0, 1, 2]),
        ("0.45-0.65µm", [0, 1, 2]),
        ("0.45-0.65μm", [0, 1, 2]),
        ("450.5-650NM", [1, 2]),
        ("550-550nm", [1]),
        ("1-3", [0, 1, 2]),
        ("2", [1]),
        ("5,1-2", [0, 1, 4]),
        ("1-3, 2-4", [0, 1, 2, 3]),
        ("1-1", [0]),
        ("800-900nm,1", [0, 3]),
        ("all", [0, 1, 2, 3, 4, 5]),
        ("source:swir", [4, 5]),
        ("source:swir,1", [0, 4, 5]),
    ],
)
def test_select(spec: str, positions: list[int]) -> None:
    assert select(spec, BOTH) == positions


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("900-1000nm", ["'900-1000nm' holds no band", "got 900 to 1000 nm", "450.0 to 2200.0 nm"]),
        ("650-450nm", ["runs backwards", "expected 450-650nm"]),
        ("0", ["outside the cube", "got 0", "numbers from 1 to 6"]),
        ("7", ["outside the cube", "got 7", "numbers from 1 to 6"]),
        ("3-7", ["outside the cube", "got 3-7"]),
        ("3-2", ["runs backwards", "expected 2-3"]),
        ("source:swri", ["no source 'swri'", "Did you mean 'swir'?"]),
        ("red", ["'red' cannot be read", "450-520nm", "regions", "600-700nm"]),
        ("rgb", ["'rgb' cannot be read", "450-520nm", "equal:"]),
        ("", ["cannot be read", "got ''"]),
        ("1,,2", ["'1,,2' cannot be read", "got ''"]),
        ("450-550", ["outside the cube"]),
        ("-3", ["cannot be read"]),
    ],
)
def test_select_refuses_and_says_why(spec: str, said: list[str]) -> None:
    with pytest.raises(GroupError) as caught:
        select(spec, BOTH)
    for part in said:
        assert part in str(caught.value)


def test_a_wavelength_range_needs_wavelengths() -> None:
    with pytest.raises(GroupError, match="needs wavelengths") as caught:
        select("450-500nm", NAMELESS)
    assert "1-3" in caught.value.remedy


def test_bands_without_wavelength_are_in_no_range() -> None:
    table = VNIR + NAMELESS
    assert select("1-9999nm", table) == [0, 1, 2, 3]


@given(st.integers(1, 9), st.permutations(list(range(9))), st.sets(st.integers(0, 8), max_size=4))
def test_equal_splits_good_bands_in_wavelength_order(
    k: int, order: list[int], bad: set[int]
) -> None:
    bands = Bands.of(
        [f"b{i}" for i in order], wavelength_nm=[400 + 10 * i for i in order]
    ).dropping(dict.fromkeys(bad, "dead"))
    good = 9 - len(bad)
    if k > good:
        with pytest.raises(GroupError, match=f"from 1 to {good}"):
            split(f"equal:{k}", bands)
        return
    groups = split(f"equal:{k}", bands)
    sizes = [len(g) for g in groups]
    assert [g.name for g in groups] == [f"g{i}" for i in range(1, k + 1)]
    assert max(sizes) - min(sizes) <= 1
    assert sorted(p for g in groups for p in g.positions) == [i for i in range(9) if i not in bad]
    ranges = [bands.wavelength_nm[list(g.positions)] for g in groups]
    assert all(a.max() < b.min() for a, b in pairwise(ranges))
    assert all(list(g.positions) == sorted(g.positions) for g in groups)


@pytest.mark.parametrize(
    "spec", ["equal:0", "equal:", "equal:-2", "equal:two", "equal:2.5", "equal:6"]
)
def test_equal_refuses_counts_that_make_no_sense(spec: str) -> None:
    with pytest.raises(GroupError, match="a whole number from 1 to 5, the good bands") as caught:
        split(spec, BOTH)
    assert repr(spec) in str(caught.value)


def test_split_makes_one_group_of_any_other_spec() -> None:
    assert split("1-3,5", BOTH) == [Group("1-3,5", (0, 1, 2, 4))]
    assert split("source:vnir", BOTH) == [Group("source:vnir", (0, 1, 2, 3))]


def test_named_one_and_per_source() -> None:
    assert named({"vis": "450-650nm", "last": "6"}, BOTH) == [
        Group("vis", (0, 1, 2)),
        Group("last", (5,)),
    ]
    assert one(BOTH) == [Group("all", (0, 1, 2, 3, 4))]
    assert per_source(BOTH) == [Group("vnir", (0, 1, 2, 3)), Group("swir", (4, 5))]


def test_usable_leaves_bad_bands_out() -> None:
    assert usable(per_source(BOTH), BOTH) == [Group("vnir", (0, 1, 2, 3)), Group("swir", (4,))]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (
            [Group("bad", (5,))],
            [
                "'bad' is empty",
                "band 6 (f, 2200.0 nm): flagged bad (bbl)",
                "at least one good band",
            ],
        ),
        ([Group("none", ())], ["'none' is empty", "no bands"]),
        ([Group("x", (0,)), Group("x", (1,))], ["two groups are named 'x'"]),
        ([], ["there are no groups"]),
    ],
)
def test_usable_refuses_empty_and_double_groups(groups: list[Group], said: list[str]) -> None:
    with pytest.raises(GroupError) as caught:
        usable(groups, BOTH)
    for part in said:
        assert part in str(caught.value)


def test_usable_keeps_the_order_of_the_bands() -> None:
    assert usable([Group("x", (3, 0, 5, 1))], BOTH) == [Group("x", (3, 0, 1))]
    assert np.array_equal(BOTH.good, [True, True, True, True, True, False])


# ---------------------------------------------------------------------------------------------- rul


def runs_that_vary_alike(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, B) pixels whose bands follow one variable per run, some of them upside down, and the run
    of each band."""
    rng = np.random.default_rng(seed)
    run = np.repeat(np.arange(len(sizes)), sizes)
    hidden = rng.standard_normal((4000, len(sizes)))
    return hidden[:, run] + 0.3 * rng.standard_normal((4000, len(run))), run


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_correlation_cuts_where_neighbours_are_least_alike(
    sizes: list[int], random: Random
) -> None:
    x, run = runs_that_vary_alike(sizes)
    order = random.sample(range(len(run)), len(run))
    bands = Bands.of([f"b{i}" for i in order], wavelength_nm=[400 + 10 * i for i in order])
    groups = split(f"correlation:{len(sizes)}", bands, lambda: np.cov(x[:, order].T))
    assert [sorted(order[p] for p in g.positions) for g in groups] == [
        list(np.flatnonzero(run == i)) for i in range(len(sizes))
    ]
    assert [g.name for g in groups] == [f"g{i + 1}" for i in range(len(sizes))]


def test_correlation_cuts_are_the_lowest_correlations_of_numpy() -> None:
    x = np.random.default_rng(1).standard_normal((500, 12)) @ np.random.default_rng(
        2
    ).standard_normal((12, 12))
    x[:, ::3] = 0.2 * x[:, ::3] + x[:, 1::3]
    like = np.diag(np.corrcoef(x.T), 1)
    for k in range(1, 13):
        groups = split(
            f"correlation:{k}", Bands.of([f"b{i}" for i in range(12)]), lambda: np.cov(x.T)
        )
        assert {g.positions[0] for g in groups} == {0, *(np.argsort(like)[: k - 1] + 1)}
        assert [p for g in groups for p in g.positions] == list(range(12))


def test_cluster_agrees_with_scipy_and_need_not_be_contiguous() -> None:
    x, run = runs_that_vary_alike([2, 3, 2])
    mixed = np.array([0, 5, 2, 3, 1, 6, 4])
    x = x[:, mixed] * np.array([1, -1, 1, 1, 1, 1, -1])
    bands = Bands.of([f"b{i}" for i in range(7)], wavelength_nm=np.arange(700, 0, -100))
    groups = split("cluster:3", bands, lambda: np.cov(x.T))
    tree = linkage(squareform(1 - np.abs(np.corrcoef(x.T)), checks=False), "average")
    label = fcluster(tree, 3, "maxclust")
    assert {g.positions for g in groups} == {
        tuple(map(int, np.flatnonzero(label == i))) for i in set(label)
    }
    assert {g.positions for g in groups} == {
        tuple(map(int, np.flatnonzero(run[mixed] == i))) for i in range(3)
    }
    means = [bands.wavelength_nm[list(g.positions)].mean() for g in groups]
    assert means == sorted(means)
    assert [len(g) for g in split("cluster:7", bands, lambda: np.cov(x.T))] == [1] * 7
    assert split("cluster:1", bands, lambda: np.cov(x.T)) == [Group("g1", tuple(range(7)))]


def test_cluster_makes_as_many_groups_as_asked_of_bands_that_are_the_same() -> None:
    x = np.repeat(np.random.default_rng(0).standard_normal((50, 1)), 6, axis=1)
    assert len(split("cluster:4", Bands.of(list("abcdef")), lambda: np.cov(x.T))) == 4


@pytest.mark.parametrize("rule", ["correlation", "cluster"])
def test_rules_that_see_pixels_refuse(rule: str) -> None:
    with pytest.raises(GroupError, match="need pixels"):
        split(f"{rule}:2", BOTH)
    with pytest.raises(GroupError, match="no varying pixels"):
        split(f"{rule}:2", BOTH, lambda: np.zeros((6, 6)))
    with pytest.raises(GroupError, match="a whole number from 1 to 5, the good bands"):
        split(f"{rule}:6", BOTH, lambda: np.eye(6))


def cube_of_runs(path: Path) -> str:
    """A cube of three runs of bands, one band of them dead, on wavelengths that fall."""
    x, _ = runs_that_vary_alike([3, 4, 3])
    image = x[:3600].T.reshape(10, 60, 60) + 10
    image[4] = 7.0
    return write_tiff(
        path, image.astype("float32"), nm=[float(v) for v in np.arange(900, 400, -50)]
    )


@pytest.mark.one_in(2)
@pytest.mark.parametrize("rule", ["correlation:3", "cluster:3"])
def test_info_previews_what_train_uses(rule: str, tmp_path: Path) -> None:
    cube = cube_of_runs(tmp_path / "cube.tif")
    preview = ok("info", cube, "--groups", rule, "--json").json["groups"]
    assert [g["bands"] for g in preview] == [[8, 9, 10], [4, 6, 7], [1, 2, 3]]
    ok("train", cube, "--groups", rule, "-o", tmp_path / "run", "--no-report", "--no-fused")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    trained = {
        o["name"]: [w["band"] for w in report["weights"] if w["output"] == o["name"]]
        for o in report["outputs"]
    }
    assert trained == {g["name"]: g["bands"] for g in preview}
    for threads, memory in ((1, 16), (3, 64)):
        again = tmp_path / f"again{threads}"
        ok(
            "train",
            "--config",
            tmp_path / "run" / "config.yaml",
            "-o",
            again,
            "--threads",
            threads,
            "--memory",
            memory,
            "--no-report",
            "--no-fused",
        )
        same = [
            (folder / "weights.safetensors").read_bytes() for folder in (again, tmp_path / "run")
        ]
        assert same[0] == same[1]


# -------------------------------------------------------------------------------------------- senso


def test_regions_hold_their_bands_once() -> None:
    bands = Bands.of([f"b{i}" for i in range(441)], wavelength_nm=np.arange(300, 2505, 5))
    groups = {g.name: bands.wavelength_nm[list(g.positions)] for g in split("regions", bands)}
    ends = {name: (float(nm.min()), float(nm.max())) for name, nm in groups.items()}
    assert list(ends) == ["blue", "green", "red", "rededge", "nir", "swir1", "swir2"]
    assert ends["blue"] == (450, 495)
    assert ends["green"] == (500, 595)
    assert ends["nir"] == (750, 995)
    assert ends["swir2"] == (2100, 2295)
    every = np.concatenate(list(groups.values()))
    assert len(np.unique(every)) == len(every)


def test_regions_without_bands_make_no_group_and_are_told() -> None:
    assert [g.name for g in split("regions", VNIR)] == ["blue", "green", "red", "nir"]
    assert (
        lacking("regions", VNIR)
        == "no good band lies in rededge, swir1, swir2 of regions: no group is made there"
    )
    assert lacking("equal:2", VNIR) == lacking(None, VNIR) == lacking("450-500nm", VNIR) == ""
    assert [g.name for g in split("regions", BOTH)] == ["blue", "green", "red", "nir", "swir1"]


def test_bands_of_a_sensor(tmp_path: Path) -> None:
    bands = Bands.of([f"b{i}" for i in range(1051)], wavelength_nm=np.arange(400, 2501, 2.0))
    groups = {
        g.name: bands.wavelength_nm[list(g.positions)] for g in split("sensor:Sentinel-2A", bands)
    }
    assert list(groups) == [
        "B1",
        "B2",
        "B3",
        "B4",
        "B5",
        "B6",
        "B7",
        "B8",
        "B8A",
        "B9",
        "B10",
        "B11",
        "B12",
    ]
    assert abs(groups["B4"].mean() - 664.6) < 2
    assert 28 <= np.ptp(groups["B4"]) <= 31
    own = tmp_path / "own.csv"
    own.write_text("name,centre_nm,fwhm_nm\nx,500,10\ny,3000,10\n")
    (x,) = split(f"sensor:{own}", bands)
    assert (x.name, list(bands.wavelength_nm[list(x.positions)])) == (
        "x",
        list(np.arange(490, 511, 2.0)),
    )
    assert "lies in y of" in lacking(f"sensor:{own}", bands)


@pytest.mark.parametrize("spec", ["regions", "sensor:sentinel-2a"])
def test_named_ranges_need_wavelengths_and_bands(spec: str) -> None:
    with pytest.raises(GroupError, match="need wavelengths"):
        split(spec, NAMELESS)
    with pytest.raises(GroupError, match=r"hold no band; got bands from 3000.0 to 3000.0 nm"):
        split(spec, Bands.of(["x"], wavelength_nm=[3000]))


def test_regions_take_no_argument_and_sensors_are_known() -> None:
    with pytest.raises(GroupError, match="'regions:3' cannot be made"):
        split("regions:3", BOTH)
    with pytest.raises(ConfigError, match="Did you mean 'sentinel-2a'"):
        split("sensor:sentinel-2aa", BOTH)


def test_info_says_which_bands_of_a_sensor_hold_nothing(tmp_path: Path) -> None:
    cube = cube_of_runs(tmp_path / "cube.tif")
    result = ok("info", cube, "--groups", "sensor:landsat-8-oli", "--json").json
    assert [g["name"] for g in result["groups"]] == ["blue", "green", "red"]
    assert "nir, swir1, swir2" in result["scenes"][0]["messages"][-1]


def test_groups_from_a_table_beside_the_config(tmp_path: Path) -> None:
    """Paths in a settings file are its own, also behind ``sensor:``; the table is no output."""
    cube_of_runs(tmp_path / "cube.tif")
    (tmp_path / "own.csv").write_text("name,centre_nm,fwhm_nm\nlow,600,100\nhigh,800,100\n")
    (tmp_path / "c.yaml").write_text("scenes: cube.tif\ngroups: sensor:own.csv\n")
    ok(
        "train",
        "--config",
        tmp_path / "c.yaml",
        "-o",
        tmp_path / "run",
        "--no-report",
        "--no-fused",
    )
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [o["name"] for o in report["outputs"]] == ["low", "high"]
    assert "sensor:/" in (tmp_path / "run" / "config.yaml").read_text()
    lost = cli("train", "--config", tmp_path / "c.yaml", "-o", tmp_path / "own.csv", "--overwrite")
    assert (lost.code, "own.csv" in lost.err) == (2, True)
