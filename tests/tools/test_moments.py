"""Moments that travel: a training from a file of moments gives what one from the images gives, bit
for bit."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import blend, cli, ok, read, spectra, wavelengths, write_tiff
from safetensors import safe_open
from scipy import ndimage

import bandfuse
from bandfuse.survey.together import gathered

BANDS = 10
TRUTH = [[0, 0.2, 0.5, 0.3, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.4, 0.6, 0, 0, 0]]
QUICK = ("--threads", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of different sizes with targets and labels, and their moments."""
    place = tmp_path_factory.mktemp("moments")
    for i, (name, shape) in enumerate({"a": (90, 120), "b": (70, 64), "c": (75, 90)}.items()):
        cube = spectra(BANDS, *shape, seed=i)
        cube[:, 3:6, 5:9] = np.nan
        noise = np.random.default_rng(i).normal(0, 0.01, (2, *shape))
        write_tiff(place / f"{name}.tif", cube, nm=wavelengths(BANDS))
        write_tiff(place / f"{name}_t.tif", blend(cube, TRUTH, [0.1, -0.2]) + noise)
        rank = np.nan_to_num(cube[2]) > 0.3
        classes = rank.astype("uint8") + (np.nan_to_num(cube[7]) > 0.28) + 1
        write_tiff(place / f"{name}_l.tif", classes[None].astype("uint8"))
        target, labels = place / f"{name}_t.tif", place / f"{name}_l.tif"
        ok("moments", place / f"{name}.tif", "-o", place / f"{name}.moments", "--noise", *QUICK)
        out = place / f"{name}_t.moments"
        ok("moments", place / f"{name}.tif", "--target", target, "-o", out, *QUICK)
        out = place / f"{name}_l.moments"
        ok("moments", place / f"{name}.tif", "--labels", labels, "-o", out, *QUICK)
    return place


def report_of(run: Path) -> dict[str, Any]:
    """report.json without where and when it was made."""
    found: dict[str, Any] = json.loads((run / "report.json").read_text())
    for name in ("seconds", "versions", "kernels"):
        found.pop(name)
    return found


def trained(folder: Path, run: str, *arguments: object) -> Path:
    place = folder / run
    shutil.rmtree(place, ignore_errors=True)
    ok("train", *arguments, "-o", place, "--no-report", *QUICK)
    return place


def assert_alike(folder: Path, names: str, kind: str, *flags: object) -> None:
    """Trainings from files and from moments leave the same weights and the same report."""
    files = [folder / f"{name}.tif" for name in names]
    beside: list[object] = []
    if kind:
        flag = {"t": "--target", "l": "--labels"}[kind]
        for name in names:
            beside += [flag, folder / f"{name}_{kind}.tif"]
    given: list[object] = []
    for name in names:
        given += ["--moments", folder / f"{name}{'_' if kind else ''}{kind}.moments"]
    one = trained(folder, "from-files", *files, *beside, "--no-fused", *flags)
    other = trained(folder, "from-moments", *given, *flags)
    first, second = ((run / "weights.safetensors").read_bytes() for run in (one, other))
    assert first == second
    assert report_of(one) == report_of(other)


CASES = {
    "regression": ("t",),
    "simplex": ("t", "--constraint", "simplex"),
    "ridge": ("t", "--constraint", "free", "--ridge", 0.01),
    "huber": ("t", "--loss", "huber", "--constraint", "free", "--steps", 60),
    "adam": ("t", "--activation", "sigmoid", "--optimizer", "adam", "--steps", 40),
    "per scene": ("t", "--scope", "per-scene"),
    "across scenes": ("t", "--split", "scenes"),
    "reconstruction": ("", "--groups", "equal:3"),
    "components": ("", "--outputs", 2),
    "correlation": ("", "--groups", "correlation:3"),
    "snr": ("", "--objective", "snr"),
    "sum": ("", "--objective", "reconstruction + 0.5*snr", "--steps", 40),
    "separability": ("l", "--outputs", 2),
    "separability by groups": ("l", "--groups", "equal:2", "--split", "scenes"),
}


@pytest.mark.one_in(5)
@pytest.mark.parametrize("case", CASES)
def test_a_training_of_several_scenes_is_the_same_from_moments(folder: Path, case: str) -> None:
    kind, *flags = CASES[case]
    assert_alike(folder, "abc", str(kind), *flags)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("case", ["regression", "huber", "snr", "separability"])
def test_a_training_of_one_scene_is_the_same_from_moments(folder: Path, case: str) -> None:
    kind, *flags = CASES[case]
    assert_alike(folder, "a", str(kind), *flags)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("names", "flags"), [("ca", ()), ("cb", ("--loss", "huber", "--steps", 30))]
)
def test_scenes_can_be_left_out_and_come_in_any_order(
    folder: Path, names: str, flags: tuple[object, ...]
) -> None:
    assert_alike(folder, names, "t", *flags)


def test_a_registered_target_is_registered_from_moments(folder: Path) -> None:
    """A target that is shifted by a third of a pixel: slopes are gathered by default."""
    cube = ndimage.gaussian_filter(spectra(4, 120, 120, seed=7), (0, 2, 2))
    moved = ndimage.shift(blend(cube, [[0.2, 0.5, 0.3, 0]])[0], (0.3, 0.4), order=3, mode="nearest")
    write_tiff(folder / "r.tif", cube, nm=wavelengths(4))
    write_tiff(folder / "r_t.tif", moved[None])
    given = (folder / "r.tif", "--target", folder / "r_t.tif")
    ok("moments", *given, "-o", folder / "r_t.moments", *QUICK)
    assert facts(folder / "r_t.moments")["slopes"]
    assert_alike(folder, "r", "t")
    run = trained(folder, "pool", folder / "r_t.moments", "--register", "off")
    assert len(json.loads((run / "report.json").read_text())["weights"]) == 4
    why = refused_train(folder, "a_t.moments", "--register", "on")
    assert "--register on" in why
    assert "bandfuse moments" in why


def facts(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ok("info", path, "--json").out)["moments"][0]["scenes"][0]
    return found


def refused_train(folder: Path, moments: str, *flags: object) -> str:
    """The message of a training from moments that is refused; nothing is left behind."""
    done = cli("train", folder / moments, "-o", folder / "none", *flags)
    assert done.code == 2, done.err
    assert not (folder / "none").exists()
    assert "Traceback" not in done.err
    return " ".join(done.err.split())


MISSING = {
    "snr": ("a_t.moments", ("--objective", "snr"), "--noise"),
    "labels": ("a.moments", ("--objective", "separability"), "bandfuse moments --labels"),
    "target": ("a.moments", ("--objective", "regression"), "bandfuse moments --target"),
    "sample": ("a_t.moments", ("--loss", "huber", "--sample", 10_500), "--sample 10500"),
    "random": ("a_t.moments", ("--split", "random"), "--split random"),
    "mask": ("a_t.moments", ("--window", 0, 0, 9, 9), "--window"),
    "files": ("a_t.moments", ("b.tif",), "scenes and moments"),
    "style": ("a_t.moments", ("--style",), "--style"),
    "one scene": ("a_t.moments", ("--split", "scenes"), "--split scenes"),
    "twice": ("a_t.moments", ("a_t.moments",), "twice"),
    "kinds": ("a_t.moments", ("b_l.moments",), "gathered alike"),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_was_not_gathered_is_refused_in_one_message(
    folder: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    moments, flags, words = MISSING[case]
    given = 5_000 if case == "sample" else None
    if given:
        target = folder / "a_t.tif"
        moments = "few.moments"
        ok("moments", "a.tif", "--target", target, "-o", moments, "--sample", given, "--overwrite")
    assert words in refused_train(folder, moments, *flags)


ELSEWHERE = {
    "moments again": ("moments", "a.moments", "-o", "none"),
    "target": ("train", "a.tif", "--target", "a.moments", "-o", "none"),
    "labels": ("train", "a.tif", "--labels", "a.moments", "-o", "none"),
    "source": ("train", "--source", "x=a.moments", "-o", "none"),
    "check": ("check", "a.moments"),
    "resample": ("resample", "a.moments", "--sensor", "sentinel-2a", "-o", "none"),
    "sharpen": ("sharpen", "a.moments", "a_t.tif", "-o", "none"),
    "as weights": ("apply", "a.moments", "a.tif", "-o", "none"),
    "weights to export": ("export", "a.moments", "--to", "csv", "-o", "none"),
    "weights to evaluate": ("evaluate", "a.moments", "a.tif", "--target", "a_t.tif"),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_moments_in_another_place_are_named_and_the_way_to_use_them_is_told(
    folder: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = cli(*ELSEWHERE[case])
    said = " ".join(done.err.split())
    assert done.code == 2
    assert "a file of moments" in said
    assert "bandfuse train " in said
    assert "a.moments -o RUN" in said
    assert not (folder / "none").exists()


def test_weights_in_the_place_of_an_image_are_named(folder: Path) -> None:
    run = trained(folder, "as-image", folder / "a.moments", "--groups", "equal:2")
    done = cli("check", run / "weights.safetensors")
    assert done.code == 2
    assert "got a weights file" in done.err
    assert "bandfuse apply" in done.err


@pytest.mark.thorough
def test_objectives_of_bands_alone_take_moments_with_a_target_or_labels(folder: Path) -> None:
    """The pixels are those that have the target; here all have one."""
    for name in ("a_t", "a_l"):
        runs = [
            trained(folder, run, folder / f"{which}.moments", "--objective", "reconstruction")
            for run, which in (("plain", "a"), ("other", name))
        ]
        first, second = (bandfuse.load(run).common.matrix for run in runs)
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_groups_of_some_bands_are_the_same_up_to_rounding(folder: Path) -> None:
    target = ("--target", folder / "c_t.tif")
    for groups in ("450-800nm", "equal:2"):
        flags = ("--groups", groups, "--constraint", "free", "--ridge", 0.001)
        one = trained(folder, "from-files", folder / "c.tif", *target, "--no-fused", *flags)
        other = trained(folder, "from-moments", folder / "c_t.moments", *flags)
        first, second = (bandfuse.load(run).common.matrix for run in (one, other))
        np.testing.assert_allclose(first, second, rtol=1e-7, atol=1e-9)


def test_fused_rasters_are_not_written_and_the_run_says_so(folder: Path) -> None:
    run = folder / "said"
    shutil.rmtree(run, ignore_errors=True)
    done = ok("train", folder / "a_t.moments", "-o", run)
    assert "bandfuse apply" in done.err
    assert not list(run.glob("*.tif"))
    assert (run / "report.html").is_file()
    ok("train", "--config", run / "config.yaml", "-o", folder / "again", "--overwrite")
    again = (folder / "again" / "weights.safetensors").read_bytes()
    assert again == (run / "weights.safetensors").read_bytes()
    ok("apply", run, folder / "a.tif", "-o", folder / "fused.tif", "--overwrite")


def test_a_plan_of_a_training_from_moments_reads_no_pixel(folder: Path) -> None:
    given = (folder / "a_t.moments", "-o", folder / "planned", "--dry-run", "--json")
    plan = json.loads(ok("train", *given).out)
    assert plan["seconds"]["read"] == 0
    assert [scene["scene"] for scene in plan["scenes"]] == ["a"]
    assert "fused.tif" not in plan["writes"]


def test_a_scene_that_does_not_fit_is_left_out_where_that_is_allowed(folder: Path) -> None:
    write_tiff(folder / "odd.tif", spectra(4, 30, 30))
    ok("moments", folder / "odd.tif", "-o", folder / "odd.moments", "--overwrite")
    given = [folder / f"{name}.moments" for name in ("a", "odd", "b")]
    run = trained(folder, "fewer", *given, "--skip-broken")
    assert list(json.loads((run / "report.json").read_text())["left_out"]) == ["odd"]
    assert cli("train", *given, "-o", folder / "none").code == 2
    assert not (folder / "none").exists()


@pytest.mark.one_in(2)
@pytest.mark.parametrize("flag", [(), ("--moments",)])
def test_damaged_files_are_left_out_where_that_is_allowed(
    folder: Path, flag: tuple[str, ...]
) -> None:
    damaged = folder / "damaged.moments"
    damaged.write_bytes((folder / "a.moments").read_bytes()[:5000])
    given: list[object] = []
    for file in (damaged, folder / "a.moments", folder / "b.moments"):
        given += [*flag, file]
    run = trained(folder, "whole", *given, "--skip-broken")
    report = json.loads((run / "report.json").read_text())
    assert list(report["left_out"]) == [str(damaged)]
    assert "is not a file of moments" in report["left_out"][str(damaged)]
    alone = trained(folder, "others", folder / "a.moments", folder / "b.moments")
    weights = [(place / "weights.safetensors").read_bytes() for place in (run, alone)]
    assert weights[0] == weights[1]
    for refused in ((*given,), (*flag, damaged, "--skip-broken")):
        done = cli("train", *refused, "-o", folder / "none")
        assert done.code == 2
        assert "damaged.moments is not a file of moments" in done.err
        assert not (folder / "none").exists()


def test_scenes_are_held_out_as_wholes(folder: Path) -> None:
    """The scores are those of weights that were learned without each scene (least squares by
    numpy)."""
    given = [folder / f"{name}_t.moments" for name in "abc"]
    flags = ("--split", "scenes", "--constraint", "free", "--ridge", 0)
    run = trained(folder, "scenes", *given, *flags)
    found = json.loads((run / "report.json").read_text())["scores"]
    assert found["split"] == "scenes"
    pixels = [columns(folder, name) for name in "abc"]
    errors, every = np.zeros(2), np.concatenate([y for _, y in pixels])
    for i, (x, y) in enumerate(pixels):
        rest = [pair for j, pair in enumerate(pixels) if j != i]
        a = np.concatenate([x for x, _ in rest])
        b = np.concatenate([y for _, y in rest])
        w = np.linalg.lstsq(np.c_[a, np.ones(len(a))], b, rcond=None)[0]
        errors += ((np.c_[x, np.ones(len(x))] @ w - y) ** 2).sum(axis=0)
    expected = 1 - errors / len(every) / every.var(axis=0)
    r2 = [row["r2"] for row in found["holdout"].values()]
    np.testing.assert_allclose(r2, expected, atol=1e-6)


def columns(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, B) bands and (n, T) targets of the valid pixels of a scene."""
    x, y = (read(folder / f"{name}{end}.tif").astype(float) for end in ("", "_t"))
    here = np.isfinite(x).all(axis=0) & np.isfinite(y).all(axis=0)
    return x[:, here].T, y[:, here].T


def test_no_block_has_fewer_pixels_than_is_stated(folder: Path) -> None:
    out = folder / "least.moments"
    target = ("--target", folder / "a_t.tif")
    ok("moments", folder / "a.tif", *target, "-o", out, "--least-pixels", 1500, "--overwrite")
    with safe_open(out, framework="numpy") as file:
        counts = file.get_tensor("0.strata")[:, 2]
        assert counts.min() >= 1500
        assert counts.sum() == facts(out)["pixels"]
        for name in ("0.sample_values", "0.look_sample"):
            assert file.get_tensor(name).size == 0
    assert facts(out)["blocks"] > 1
    run = trained(folder, "least", out)
    whole = trained(folder, "all", folder / "a_t.moments")
    first, second = (bandfuse.load(r).common.matrix for r in (run, whole))
    np.testing.assert_allclose(first, second, atol=0.02)
    assert "--loss huber" in refused_train(folder, "least.moments", "--loss", "huber")
    few = cli("moments", folder / "a.tif", "-o", folder / "none", "--least-pixels", 10**6)
    assert few.code == 2
    for name in ("none/", "none{stem}.moments"):
        no_file = cli("moments", folder / "a.tif", "-o", f"{folder}/{name}")
        assert (no_file.code, "writes one file" in no_file.err) == (2, True)
    both = ("--least-pixels", 9, "--sample", 9)
    assert cli("moments", folder / "a.tif", "-o", folder / "none", *both).code == 2
    assert not (folder / "none").exists()


def tensors(path: Path) -> dict[str, np.ndarray]:
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in sorted(file.keys())}


def test_no_number_tells_a_single_pixel(tmp_path: Path) -> None:
    """Nothing tells the value of a pixel that is the greatest or the least. One that does not
    count, as it has no target, leaves the same file whatever it is: what the first windows told is
    not there to be subtracted from. Extremes of many pixels are told."""
    found = []
    for odd in (9.0, 0.3):
        cube = spectra(5, 40, 40)
        cube[4] = np.where(cube[4] < np.quantile(cube[4], 0.8), 0, cube[4])
        target = blend(cube, [[0.2, 0.5, 0.3, 0, 0]])
        cube[:4, 3, 4], cube[:4, 5, 6], cube[:4, 7, 8] = 7.25, -3.5, odd
        target[:, 7, 8] = np.nan
        write_tiff(tmp_path / "x.tif", cube, nm=wavelengths(5))
        write_tiff(tmp_path / "t.tif", target)
        given = ("--target", tmp_path / "t.tif", "--register", "off", "--nodata", "none")
        out = tmp_path / "x.moments"
        ok("moments", tmp_path / "x.tif", *given, "-o", out, "--least-pixels", 200, "--overwrite")
        found.append(tensors(out))
    one, other = found
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], name)
        assert not np.isin([7.25, -3.5, 9.0, 0.3], values).any(), name
    known = np.isfinite(one["0.ends"])
    np.testing.assert_array_equal(np.argwhere(known), [[0, 4]])
    assert one["0.ends"][0, 4] == 0
    run = tmp_path / "run"
    ok("train", out, "-o", run, "--no-report", "--constraint", "free", *QUICK)
    (row,) = json.loads((run / "report.json").read_text())["scores"]["train"].values()
    assert row["psnr"] is None
    assert row["rmse"] > 0


@pytest.mark.parametrize(("noise", "fewest"), [((), 20), (("--noise",), 40)])
def test_moments_that_tell_their_pixels_are_refused(
    folder: Path, noise: tuple[str, ...], fewest: int
) -> None:
    """The scatter of fewer pixels than bands, of whole numbers, gives the pixels back; 10 bands."""
    given = ("moments", folder / "a.tif", "-o", folder / "few.moments", "--overwrite", *noise)
    done = cli(*given, "--least-pixels", fewest - 1)
    assert done.code == 2
    assert f"got --least-pixels {fewest - 1}; expected {fewest} or more" in done.err
    ok(*given, "--least-pixels", fewest)


def test_classes_with_few_pixels_in_a_block_are_left_out(folder: Path) -> None:
    labels = read(folder / "c_l.tif")
    labels[0, 40:44, 50] = 9
    write_tiff(folder / "rare.tif", labels.astype("uint8"))
    out = folder / "rare.moments"
    given = ("--labels", folder / "rare.tif", "-o", out, "--least-pixels", 20, "--overwrite")
    ok("moments", folder / "c.tif", *given)
    row = facts(out)
    assert "9" not in row["classes"]
    assert row["pixels"] <= labels.size - 4
    trained(folder, "rare", out, "--outputs", 1)


def test_moments_without_a_sample_learn_all_that_needs_none(folder: Path) -> None:
    for kind, flags in (("t", ()), ("l", ("--outputs", 1))):
        out, flag = folder / f"none_{kind}.moments", {"t": "--target", "l": "--labels"}[kind]
        beside = (flag, folder / f"b_{kind}.tif")
        ok("moments", folder / "b.tif", *beside, "-o", out, "--sample", "none", "--overwrite")
        one = trained(folder, "bare", out, *flags)
        other = trained(folder, "full", folder / f"b_{kind}.moments", *flags)
        first, second = (bandfuse.load(run).common.matrix for run in (one, other))
        np.testing.assert_array_equal(first, second)


def test_the_same_from_python(folder: Path) -> None:
    out = str(folder / "py.moments")
    target = [str(folder / "c_t.tif")]
    config = bandfuse.MomentsConfig(
        scenes=[str(folder / "c.tif")], target=target, output=out, overwrite=True
    )
    assert bandfuse.gather_moments(config).scenes[0].scene == "c"
    run = str(folder / "py")
    given = {"output": run, "no_report": True, "overwrite": True}
    report, _ = bandfuse.train(bandfuse.TrainConfig(moments=[out], **given))
    assert len(report.outputs) == 2
    assert bandfuse.info([out]).moments[0].scenes[0].pixels == report.pixels.used


def test_scenes_are_let_go_as_they_are_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many scenes go into one file, the blocks of one or two are held."""
    made: list[weakref.ref[object]] = []
    held: list[int] = []

    def watched(*args: Any) -> Any:
        gc.collect()
        held.append(sum(one() is not None for one in made))
        found = gathered(*args)
        made.append(weakref.ref(found.scenes[0].tally))
        return found

    monkeypatch.setattr("bandfuse.tools.moments.gathered", watched)
    names = [f"m{i}.tif" for i in range(5)]
    for name in names:
        shutil.copy(folder / "c.tif", tmp_path / name)
    config = bandfuse.MomentsConfig(
        scenes=[str(tmp_path / name) for name in names], output=str(tmp_path / "m.moments")
    )
    assert len(bandfuse.gather_moments(config).scenes) == 5
    assert len(held) == 5
    assert max(held) <= 1


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header: dict[str, Any], rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def changed(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A file whose document is changed."""
    header, rest = header_of(data)
    document = json.loads(header["__metadata__"]["bandfuse_moments"])
    change(document)
    header["__metadata__"]["bandfuse_moments"] = json.dumps(document)
    return with_header(header, rest)


def set_in(*keys: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = to

    return change


def nan_in(data: bytes, tensor: str) -> bytes:
    header, rest = header_of(data)
    start = header[tensor]["data_offsets"][0]
    return with_header(header, rest[:start] + b"\xff" * 8 + rest[start + 8 :])


FIRST = ("scenes", 0)
DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "text": lambda data: b"not at all a file of moments",
    "cut": lambda data: data[: len(data) // 2],
    "cut in the header": lambda data: data[:100],
    "huge header": lambda data: (2**40).to_bytes(8, "little") + data[8:],
    "deep": lambda data: changed_text(data, "[" * 100_000),
    "no document": lambda data: changed_text(data, "null"),
    "newer": lambda data: changed(data, set_in("version", to=99)),
    "version 0": lambda data: changed(data, set_in("version", to=0)),
    "no scene": lambda data: changed(data, set_in("scenes", to=[])),
    "bands": lambda data: changed(data, set_in(*FIRST, "used", to=[0, 1])),
    "bands twice": lambda data: changed(data, set_in(*FIRST, "used", to=[0] * BANDS)),
    "far bands": lambda data: changed(data, set_in(*FIRST, "wanted", to=[*range(9), 99])),
    "edges": lambda data: changed(data, set_in(*FIRST, "row_edges", to=[0, 9, 5])),
    "other size": lambda data: changed(data, set_in(*FIRST, "row_edges", to=[0, 9])),
    "pixels": lambda data: changed(data, set_in(*FIRST, "pixels", to=7)),
    "slopes": lambda data: changed(data, set_in(*FIRST, "slopes", to=-5)),
    "precision": lambda data: changed(data, set_in(*FIRST, "precision", to="float16")),
    "crs": lambda data: changed(data, set_in(*FIRST, "scene", "rasters", 0, "crs", to="LOCAL[")),
    "rows": lambda data: changed(data, set_in(*FIRST, "scene", "rasters", 0, "rows", to=-1)),
    "no rasters": lambda data: changed(data, set_in(*FIRST, "scene", "rasters", to=[])),
    "nan": lambda data: nan_in(data, "0.scatters"),
    "nan in the sample": lambda data: nan_in(data, "0.sample_values"),
    "negative counts": lambda data: nan_in(data, "0.counts"),
}


def changed_text(data: bytes, text: str) -> bytes:
    header, rest = header_of(data)
    header["__metadata__"]["bandfuse_moments"] = text
    return with_header(header, rest)


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused_in_one_message(folder: Path, case: str) -> None:
    bad = folder / "bad.moments"
    bad.write_bytes(DAMAGED[case]((folder / "b_t.moments").read_bytes()))
    for command in (("train", "--moments", bad, "-o", folder / "none"), ("info", bad)):
        done = cli(*command)
        assert done.code == 2, (case, command[0], done.err)
        assert "bad.moments" in done.err
        assert "Traceback" not in done.err
        assert "unexpected" not in done.err
        assert len(done.err) < 1600
    assert not (folder / "none").exists()


def test_an_output_that_exists_is_kept(folder: Path) -> None:
    before = (folder / "b.moments").read_bytes()
    assert cli("moments", folder / "b.tif", "-o", folder / "b.moments").code == 2
    assert cli("moments", folder / "b.tif", "-o", folder / "b.tif", "--overwrite").code == 2
    assert (folder / "b.moments").read_bytes() == before
    assert cli("moments", folder / "b.tif").code == 2
    units = cli("moments", folder / "b.tif", "-o", folder / "none", "--any-units")
    assert "bandfuse train" in units.err
    assert units.code == 2
    out = ("-o", folder / "b2.moments", "--noise", "--overwrite")
    ok("moments", folder / "b.tif", *out, "--threads", 3, "--memory", 16)
    again = (folder / "b2.moments").read_bytes()
    assert again == before


def test_texts_of_classes_are_numbered_alike_over_files(folder: Path) -> None:
    """Two vector files with other names in another order."""
    for name, kinds in {"a": ["wheat", "corn", "soil"], "b": ["oak", "wheat", "corn"]}.items():
        boxes = []
        for i, kind in enumerate(kinds):
            x, y = 400_000 + 600 * i, 5_800_000 - 60
            ring = [[x, y], [x + 540, y], [x + 540, y - 1800], [x, y - 1800], [x, y]]
            shape = {"type": "Polygon", "coordinates": [ring]}
            boxes.append({"type": "Feature", "properties": {"kind": kind}, "geometry": shape})
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
        text = {"type": "FeatureCollection", "crs": crs, "features": boxes}
        (folder / f"{name}_k.geojson").write_text(json.dumps(text))
        labels = ("--labels", folder / f"{name}_k.geojson", "--label-field", "kind")
        ok("moments", folder / f"{name}.tif", *labels, "-o", folder / f"{name}_k.moments")
    files = [folder / "a.tif", folder / "b.tif"]
    labels = ("--labels", folder / "a_k.geojson", "--labels", folder / "b_k.geojson")
    flags = ("--no-fused", "--label-field", "kind", "--outputs", 2)
    one = trained(folder, "from-files", *files, *labels, *flags)
    both = [folder / "a_k.moments", folder / "b_k.moments"]
    other = trained(folder, "from-moments", *both, "--outputs", 2)
    first, second = ((run / "weights.safetensors").read_bytes() for run in (one, other))
    assert first == second
    assert report_of(one) == report_of(other)


def test_one_file_can_hold_several_scenes_without_the_broken_ones(folder: Path) -> None:
    (folder / "broken.tif").write_bytes(b"II*\0nothing")
    names = [folder / f"{name}.tif" for name in ("a", "broken", "c")]
    out = folder / "all.moments"
    given = (*names, "--noise", "-o", out, "--overwrite")
    assert cli("moments", *given).code == 2
    assert not out.exists()
    done = ok("moments", *given, "--skip-broken", "--json")
    found = json.loads(done.out)
    assert [scene["scene"] for scene in found["scenes"]] == ["a", "c"]
    assert list(found["left_out"]) == ["broken"]
    one = trained(folder, "together", "--moments", out)
    other = trained(folder, "apart", folder / "a.moments", folder / "c.moments")
    first, second = ((run / "weights.safetensors").read_bytes() for run in (one, other))
    assert first == second
    pattern = trained(folder, "pattern", "--moments", folder / "[ac].moments")
    assert (pattern / "weights.safetensors").read_bytes() == first
    assert "no file is named" in refused_train(folder, "a.moments", "--moments", folder / "x*.y")
