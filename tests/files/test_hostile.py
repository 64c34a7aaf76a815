"""Hostile inputs: names that control what shows them, headers that lie, sizes without end, streams
that fail."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from makers import weights_file
from pydantic import ValidationError
from rasterio.shutil import copy as gdal_copy
from rasterio.transform import Affine
from rasters import cli, listing, ok, read, spectra, wavelengths, write_envi, write_tiff

from bandfuse.batches.summary import as_csv
from bandfuse.errors import InputError, MismatchError
from bandfuse.export.tables import as_csv as weights_csv
from bandfuse.export.tables import as_srf
from bandfuse.files.textfile import guarded, shown, unguarded
from bandfuse.model.fusion import Fusion
from bandfuse.model.weightsfile import load
from bandfuse.raster.netcdf import check_header
from bandfuse.raster.polygons import Polygon
from bandfuse.report.csv_json import write_csv
from bandfuse.report.page_data import Density
from bandfuse.results.batches import BatchItem
from bandfuse.results.training import WeightRow
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.sensors import parse
from bandfuse.streaming.windows import Window, at_random, drawn, pixels_of, plan, tile

PROGRAM = Path(sys.executable).with_name("bandfuse")
POSIX = pytest.mark.skipif(os.name == "nt", reason="no such pipes and devices on Windows")


def one_line(*arguments: object, code: int = 2) -> str:
    """What a command says that ends with one line."""
    done = cli(*arguments)
    assert done.code == code, done.err
    (line,) = [text for text in done.err.splitlines() if text.startswith("error: ")]
    assert done.err.endswith(f"{line}\n")
    assert "unexpected error" not in line
    return line


@pytest.fixture
def cube(tmp_path: Path) -> str:
    return write_tiff(tmp_path / "cube.tif", spectra(6, 20, 24), nm=wavelengths(6))


@pytest.fixture
def target(tmp_path: Path) -> str:
    return write_tiff(tmp_path / "target.tif", spectra(6, 20, 24)[:2])


# --------------------------------------------------------------------------------------------------


def latin_tiff(path: Path) -> str:
    """A GeoTIFF with a band name in Latin-1."""
    write_tiff(path, spectra(6, 20, 24), names=["GRxxxN", *"bcdef"], nm=wavelengths(6))
    path.write_bytes(path.read_bytes().replace(b"GRxxxN", b"GR\xfcxxN"))
    return str(path)


def latin_envi(path: Path) -> str:
    """An ENVI file with names and a unit in Latin-1."""
    nm = ", ".join(f"{v / 1000:.4f}" for v in wavelengths(6))
    names = "band names = {GR\xfcN, b, c, d, e, f}"
    write_envi(
        path, spectra(6, 20, 24), header=f"{names}\nwavelength units = UNIT\nwavelength = {{{nm}}}"
    )
    header = path.with_suffix(".hdr")
    header.write_bytes(header.read_text().replace("UNIT", "\xb5m").encode("latin-1"))
    return str(path)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("make", [latin_tiff, latin_envi])
def test_names_in_latin_1_are_read_and_written_in_utf_8(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path / "a.bsq")
    (scene,) = ok("info", path, "--json").json["scenes"]
    assert scene["bands"][0]["name"] in ("GR\xfcxxN", "GR\xfcN")
    assert [b["wavelength_nm"] for b in scene["bands"]] == pytest.approx(wavelengths(6), abs=0.1)
    assert any("Latin-1" in message for message in scene["messages"])
    assert "other-encoding" in {f["code"] for f in cli("check", path, "--json").json["findings"]}
    weights_file(tmp_path / "w", 6)
    ok("apply", tmp_path / "w", path, "-o", tmp_path / "out.tif")
    ok("check", path, "--fix", tmp_path / "fixed.vrt")
    with rasterio.open(tmp_path / "fixed.vrt") as ds:
        assert ds.descriptions[0] == scene["bands"][0]["name"]
    assert (read(tmp_path / "fixed.vrt") == spectra(6, 20, 24)).all()


@POSIX
def test_a_file_name_that_is_not_utf_8_is_refused(cube: str, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xe9.tif")
    try:
        os.rename(cube, name)
    except OSError:
        pytest.skip("this file system has no such names")
    for command in (
        ["info", name],
        ["check", name],
        ["train", name, "-o", tmp_path / "o"],
        ["train", "--config", name],
    ):
        assert (
            "UTF-8" in one_line(*command)
            or "not YAML" in one_line(*command)
            or "cannot be read" in one_line(*command)
        )


LACKING = (
    b'<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" '
    b'band="1"><SimpleSource>'
    b"<SourceFilename>\xe9\xe8.tif</SourceFilename><SourceBand>1</SourceBand>"
    b"</SimpleSource></VRTRasterBand></VRTDataset>"
)
"""A mosaic with a part that is missing, which GDAL names in its own bytes."""


LOOKING = """
import logging, sys, rasterio
logging.getLogger("rasterio").addHandler(logging.NullHandler())
def look():
    try:
        with rasterio.open(sys.argv[1]) as ds:
            ds.read()
    except Exception:
        pass
{begin}
"""
"""Python that reads a raster, as a worker does that has begun."""


@pytest.mark.one_in(3)
@POSIX
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("begin", "silent"),
    [
        ("look()", False),
        ("from bandfuse.batches.workers import _begin; _begin(); look()", True),
        ("from bandfuse.batches.dask_workers import _part; _part(look)", True),
    ],
)
def test_messages_of_gdal_in_latin_1_leave_no_exception_behind_in_workers(
    begin: str, silent: bool, tmp_path: Path
) -> None:
    (tmp_path / "a.vrt").write_bytes(LACKING)
    code = LOOKING.format(begin=begin)
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.vrt"], capture_output=True)
    assert (b"Exception ignored" in done.stderr) is not silent, done.stderr


@POSIX
def test_messages_of_gdal_in_latin_1_leave_no_exception_behind(tmp_path: Path) -> None:
    (tmp_path / "a.vrt").write_bytes(LACKING)
    weights_file(tmp_path / "w", 1)
    done = subprocess.run(
        [PROGRAM, "apply", tmp_path / "w", tmp_path / "a.vrt", "-o", tmp_path / "o.tif", "-v"],
        capture_output=True,
    )
    assert b"Exception ignored" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 2)


def test_messages_of_gdal_in_latin_1_within_handlers_are_no_traceback(
    cube: str, tmp_path: Path
) -> None:
    """GDAL's metadata in a GeoTIFF: XML that is cut in two by a letter of another encoding."""
    data = Path(cube).read_bytes()
    at = data.index(b"Item name=", data.index(b"<GDALMetadata>"))
    Path(cube).write_bytes(data[:at] + b"It\x87m" + data[at + 4 :])
    weights_file(tmp_path / "w", 6)
    for command in (["info", cube], ["apply", tmp_path / "w", cube, "-o", tmp_path / "o.tif"]):
        done = subprocess.run([PROGRAM, *command], capture_output=True)
        assert b"Traceback" not in done.stderr
        assert b"UnicodeDecodeError" not in done.stderr
        assert done.returncode in (0, 2)


def classic_netcdf(
    path: Path, version: int, dimensions: int = 1, letters: int = 1, values: int = 1
) -> str:
    """A header of one dimension, one attribute and no variable, by the netCDF classic format."""
    wide = ">Q" if version == 5 else ">I"
    numbers = [struct.pack(wide, n) for n in (0, dimensions, letters, 4, 1, 1, values, 0)]
    records, dims, name, length, attributes, one, count, none = numbers
    tag, name_of = (lambda n: struct.pack(">I", n)), b"x\0\0\0"
    data = (
        b"CDF"
        + bytes([version])
        + records
        + tag(10)
        + dims
        + name
        + name_of
        + length
        + tag(12)
        + attributes
        + one
        + name_of
        + tag(4)
        + count
        + bytes(4)
        + tag(0)
        + none
    )
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("version", [1, 2, 5])
@pytest.mark.parametrize("lie", ["dimensions", "letters", "values"])
def test_netcdf_that_counts_more_than_it_holds_is_refused_before_room_is_made(
    version: int, lie: str, tmp_path: Path
) -> None:
    path = classic_netcdf(tmp_path / "a.nc", version, **{lie: 2**30})
    for name in (path, f'NETCDF:"{path}":x', f"NETCDF:{path}:x"):
        line = one_line("info", name)
        assert f"{path} has a damaged netCDF header; got {2**30} entries" in line, line


@pytest.mark.parametrize("version", [1, 2, 5])
def test_whole_netcdf_headers_pass_and_cut_ones_do_not(version: int, tmp_path: Path) -> None:
    path = Path(classic_netcdf(tmp_path / "a.nc", version))
    check_header(str(path))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="got the end of the file within it"):
        check_header(str(path))


@pytest.mark.parametrize("kind", ["NC", "NC2", "NC4"])
def test_netcdf_that_gdal_writes_passes(kind: str, cube: str, tmp_path: Path) -> None:
    gdal_copy(cube, str(tmp_path / "a.nc"), driver="netCDF", FORMAT=kind)
    check_header(str(tmp_path / "a.nc"))
    ok("info", f"NETCDF:{tmp_path / 'a.nc'}:Band1")


def test_a_gain_that_makes_infinite_weights_is_refused() -> None:
    bands = Bands.of(["a", "b"])
    with pytest.raises(
        MismatchError, match="gain times weight of a fusion; got an infinite number"
    ):
        Fusion(np.full((1, 2), 1e200), np.array([1e200]), np.zeros(1), bands, bands.take([0]))


def test_scores_whose_squares_overflow_are_named(cube: str, tmp_path: Path) -> None:
    target = write_tiff(tmp_path / "t.tif", np.full((1, 20, 24), 1e200))
    weights_file(tmp_path / "w", 6)
    assert "squares overflow" in one_line("evaluate", tmp_path / "w", cube, "--target", target)


@pytest.mark.one_in(2)
@POSIX
@pytest.mark.parametrize("encoding", ["ascii", "cp437", "cp1252", "latin-1"])
def test_letters_that_stdout_lacks_are_replaced(cube: str, encoding: str) -> None:
    done = subprocess.run(
        [PROGRAM, "info", cube],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert b"20 rows" in done.stdout


# --------------------------------------------------------------------------------------------------


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=folder, check=False
    )


@POSIX
def test_the_work_is_done_where_streams_are_closed(cube: str, tmp_path: Path) -> None:
    weights_file(tmp_path / "w", 6)
    apply = f"{PROGRAM} apply w cube.tif --overwrite -o"
    assert shell(f"{apply} a.tif >&-", tmp_path).returncode == 0
    assert shell(f"{apply} b.tif 2>&-", tmp_path).returncode == 0
    assert shell(f"{apply} c.tif <&- >&- 2>&-", tmp_path).returncode == 0
    assert (read(tmp_path / "a.tif") == read(tmp_path / "b.tif")).all()
    assert (read(tmp_path / "a.tif") == read(tmp_path / "c.tif")).all()


@POSIX
def test_a_reader_that_has_seen_enough_is_no_error(cube: str, tmp_path: Path) -> None:
    done = shell(f"{PROGRAM} info -v cube.tif | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
def test_a_full_stdout_is_said_in_one_line(cube: str, tmp_path: Path) -> None:
    weights_file(tmp_path / "w", 6)
    done = shell(f"{PROGRAM} apply w cube.tif -o o.tif > /dev/full", tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: the work is done, but its result cannot be printed; got No space left on "
        "device.\n"
    )
    assert (tmp_path / "o.tif").exists()
    assert shell(f"{PROGRAM} apply w cube.tif -o p.tif 2> /dev/full", tmp_path).returncode == 0


# ------------------------------------------------------------------------------------------------ n

EVIL = "\x1b[31mEVIL\x1b]0;pwn\x07[bold]x[/]"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_control_characters_of_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    path = write_envi(
        tmp_path / "e.img", spectra(3, 20, 24), header=f"band names = {{{EVIL}, b\x9b2J, c\u202ed}}"
    )
    for arguments in (
        ["info", path, "-v"],
        ["info", path, "--json"],
        ["check", path],
        ["info", f"no\x1b[2J{EVIL}.tif"],
    ):
        done = cli(*arguments)
        assert not set(done.out + done.err) & set("\x1b\x07\x9b\u202e\r"), arguments
    out = ok("info", path, "-v").out
    assert r"\x1b[31mEVIL\x1b]0;pwn\x07[bold]x[/]" in out
    weights_file(tmp_path / "w", 3)
    ok("check", path, "--fix", tmp_path / "x.vrt")
    with rasterio.open(tmp_path / "x.vrt") as ds:
        assert ds.descriptions[0].startswith(r"\x1b[31mEVIL")


def test_shown_keeps_all_other_letters() -> None:
    text = "µm 光 é \xa0 – ‰"
    assert shown(text) == text
    assert shown("a\nb\tc\udce9\u2028") == r"a\nb\tc\udce9\u2028"


FORMULAS = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=x", "''=x", "'", "red", ""]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_guarded_and_come_back(text: str) -> None:
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguarded(guarded(text)) == text


def test_every_table_guards_its_names(tmp_path: Path) -> None:
    row = WeightRow(
        output="=o",
        scene="@s",
        band=1,
        source="+s",
        source_band=1,
        name="-n",
        wavelength_nm=-1.0,
        fwhm_nm=None,
        weight=-0.5,
        effective_weight=-0.5,
        ci_low=None,
        ci_high=None,
    )
    assert write_csv([row]).splitlines()[1].startswith("'=o,'@s,1,'+s,1,'-n,-1.0,,-0.5")
    weights_file(tmp_path / "w", 2)
    fusion = load(tmp_path / "w").common
    odd = fusion.outputs.__class__.of(["=cmd()"] * len(fusion.outputs))
    made = fusion.__class__(
        fusion.weight,
        fusion.gain,
        fusion.offset,
        fusion.inputs.__class__.of(["@a", "+b"], wavelength_nm=[500, 600]),
        odd,
        "identity",
        fusion.nodata,
    )
    assert "'=cmd(),1," in weights_csv(made)
    assert ",'@a," in weights_csv(made)
    table = as_srf(made)
    assert table.startswith("wavelength_nm,'=cmd()")
    assert parse(table.replace(",'=cmd()\n", ",'=cmd()\n"), "s", "s.csv").names == ("=cmd()",)
    item = BatchItem(job="=j", scene="@s", state="failed", reason="-r", seconds=1.0)
    assert as_csv([item]).splitlines()[1].startswith("'=j,'@s,failed,False,'-r,,1.0")
    doubted = BatchItem(job="j", state="done", scores={"r2": -0.5})
    head, row = as_csv([doubted]).splitlines()
    assert (
        row.split(",")[head.split(",").index("doubt")]
        == "r2 -0.5: worse than the target's own mean"
    )


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", ["abc", "-1", "1e3", "9" * 30])
def test_a_header_offset_that_is_no_number_is_named(offset: str, tmp_path: Path) -> None:
    path = write_envi(tmp_path / "a.img", spectra(3, 20, 24))
    header = Path(path).with_suffix(".hdr")
    header.write_text(header.read_text().replace("header offset = 0", f"header offset = {offset}"))
    done = cli("info", path)
    assert done.code == 2
    assert "header offset" in done.err or "truncated" in done.err or "cannot be opened" in done.err


def rewritten(path: Path, change: Any) -> Path:
    """A weights file with other metadata."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"]["bandfuse"] = change(header["__metadata__"]["bandfuse"])
    text = json.dumps(header).encode()
    made = path.with_name("odd")
    made.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace('"version":1', '"version":1e400'),
        lambda t: t.replace('"index":[1', '"index":[1e400', 1),
        lambda t: "[" * 100_000,
        lambda t: t.replace('"version":1', '"version":"\\ud800"'),
    ],
)
def test_odd_headers_of_weights_are_one_line(change: Any, cube: str, tmp_path: Path) -> None:
    weights_file(tmp_path / "w", 6)
    one_line("apply", rewritten(tmp_path / "w", change), cube, "-o", tmp_path / "o.tif")


def test_a_cell_without_end_is_one_line(cube: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("name,centre_nm,fwhm_nm\n" + "x" * 200_000 + ",500,60\n")
    assert "line 2" in one_line(
        "resample", cube, "--sensor", tmp_path / "s.csv", "-o", tmp_path / "r.tif"
    )
    (tmp_path / "t.csv").write_text("scene\n" + "x" * 200_000 + "\n")
    (tmp_path / "b.yaml").write_text(
        "version: 1\noutput: o\nscenes: [{table: t.csv}]\njobs: [{name: a, kind: train}]\n"
    )
    one_line("batch", tmp_path / "b.yaml", "--dry-run")


BATCH = "version: 1\noutput: o\nscenes: [{files: [x]}]\njobs: [{name: a, kind: train}]\n"
LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "values"),
        ("defaults: &a {x: *a}\n", "alias"),
        ("defaults: {a: !!timestamp x}\n", "timestamp"),
        ("defaults: {a: !!binary x}\n", "binary"),
        ("defaults: {a: !!int x}\n", "int"),
        ("defaults: {a: !!bool x}\n", "not YAML"),
        ("defaults: {a: " + "[" * 3000 + "\n", "levels"),
        ("defaults: {a: " + "[" * 150 + "]" * 150 + "}\n", "levels"),
        ("? [1, 2]\n: x\n", "not YAML"),
        ("a: \x1b\n", "special characters"),
    ],
)
def test_settings_that_grow_or_are_no_settings_are_one_line(
    text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "b.yaml").write_text(BATCH + text)
    assert said in one_line("batch", tmp_path / "b.yaml", "--dry-run")
    (tmp_path / "c.yaml").write_text("scenes: x\n" + text)
    assert said in one_line("train", "--config", tmp_path / "c.yaml")


def test_many_keys_take_no_time_and_dates_are_texts(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("".join(f"k{i}: 2020-01-01\n" for i in range(5_000)))
    began = time.process_time()
    assert "unknown key 'k0'" in one_line("train", "--config", tmp_path / "c.yaml")
    assert time.process_time() - began < 20
    (tmp_path / "d.yaml").write_text("output: 2020-01-01\n")
    assert "output" not in one_line("train", "--config", tmp_path / "d.yaml")


@pytest.mark.parametrize("value", ["[" * 3000, "&a [*a]", "!!timestamp x", "\x1b", "*x"])
def test_odd_values_of_set_are_one_short_line(value: str) -> None:
    assert len(one_line("train", "--set", f"seed={value}")) < 600


def test_names_that_the_system_refuses_are_one_line(cube: str, tmp_path: Path) -> None:
    weights_file(tmp_path / "w", 6)
    for name in ("a" * 5000, f"{cube}/x"):
        for command in (
            ["info", name],
            ["apply", name, cube, "-o", tmp_path / "o"],
            ["apply", tmp_path / "w", name, "-o", tmp_path / "o"],
            ["info", cube, "--wavelengths", name],
            ["train", "--config", name],
            ["batch", name],
            ["report", name, "-o", tmp_path / "o"],
            ["resample", cube, "--sensor", f"{name}.csv", "-o", tmp_path / "o"],
            ["train", cube, "--mask", name, "-o", tmp_path / "o"],
            ["check", cube, "--fix", f"{name}.vrt"],
            ["apply", tmp_path / "w", cube, "-o", name],
        ):
            assert len(one_line(*command)) <= 1600
    (tmp_path / "e.yaml").write_text('scenes: x\noutput: "a\\0b"\n')
    one_line("apply", tmp_path / "w", cube, "--config", tmp_path / "e.yaml")


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_makes_no_numbers_is_named_and_no_vrt_is_left(
    scale: float, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "a.tif", spectra(3, 20, 24), scales=[1, scale, 1])
    assert "scale of band 2" in one_line("check", path, "--fix", tmp_path / "x.vrt")
    assert set(listing(tmp_path)) == {"a.tif"}


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300, 0.0])
def test_an_odd_transform_is_a_finding_and_no_more(odd: float, tmp_path: Path) -> None:
    affine = Affine(odd, 0.0, 5e5, 0.0, odd, 5e6)
    path = write_tiff(tmp_path / "a.tif", spectra(3, 20, 24), transform=affine)
    found = {f["code"] for f in cli("check", path, "--json").json["findings"]}
    assert found & {"transform-unusable", "no-transform"}
    ok("info", path)


def test_json_that_is_too_deep_or_has_odd_numbers_is_one_line(
    cube: str, target: str, tmp_path: Path
) -> None:
    for text in (
        "[" * 100_000,
        '{"type": "FeatureCollection", "features": '
        + '[{"type":"GeometryCollection","geometries":' * 2000,
        '{"type":"Polygon","crs":{"properties":{"name":"EPSG:1e308"}},"coordinates":[]}',
    ):
        (tmp_path / "m.geojson").write_text(text)
        one_line(
            "train",
            cube,
            "--target",
            target,
            "--mask",
            tmp_path / "m.geojson",
            "-o",
            tmp_path / "o",
        )
        (tmp_path / "b.yaml").write_text(
            "version: 1\noutput: o\nscenes: [{items: m.geojson}]\njobs: [{name: a, kind: train}]\n"
        )
        one_line("batch", tmp_path / "b.yaml", "--dry-run")


def test_results_of_a_run_that_do_not_go_together_are_one_line(
    cube: str, target: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ok("train", cube, "--target", target, "-o", run, "--folds", "2")
    data = json.loads((run / "report.json").read_text())
    data["weights"] = data["weights"][:-1]
    data["outputs"][0]["name"] = "other"
    (run / "report.json").write_text(json.dumps(data))
    done = cli("report", run, "-o", tmp_path / "r.html")
    assert done.code == 0 or "go together" in done.err
    assert "unexpected" not in done.err


@pytest.mark.parametrize("count", [-1, -1000, -(2**63)])
def test_counts_below_zero_are_no_counts(count: int) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Density(output="y", low=0, high=1, counts=[[1, count]], pixels=2)


def test_what_nobody_expected_is_one_line_with_a_way_to_see_more(
    cube: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("bandfuse.tools.info.info", broken)
    done = cli("info", cube)
    assert done.code == 1
    assert done.err.startswith("error: unexpected error ZeroDivisionError: by zero. ")
    assert done.err.count("\n") == 1
    assert "--traceback" in done.err
    assert "Traceback (most recent call last)" in cli("--traceback", "info", cube).err
    monkeypatch.setattr("bandfuse.tools.info.info", lambda *_: (_ for _ in ()).throw(MemoryError))
    assert "memory" in cli("info", cube).err


# --------------------------------------------------------------------------------------------------


def test_windows_of_the_largest_scenes_cost_nothing() -> None:
    side = 10**9
    windows = plan((side, side), (128, 128), 8, 2**26)
    assert pixels_of(windows) == side * side
    last = windows[len(windows) - 1]
    assert (last.row + last.rows, last.col + last.cols) == (side, side)
    some = drawn((side, side), (1, side), 10**6, seed=1)
    assert 10**6 <= sum(w.size for w in some) < 3 * 10**6
    numbers = at_random(len(windows), seed=2)
    assert len({next(numbers) for _ in range(100)}) == 100


def test_tiles_are_a_sequence_and_can_be_cut_between_rows() -> None:
    tiles = tile((100, 70), 16, 32)
    every = list(tiles)
    assert [tiles[i] for i in range(-len(tiles), len(tiles))] == every + every
    assert tiles[2:7:2] == every[2:7:2]
    assert every[5] in tiles
    with pytest.raises(IndexError):
        tiles[len(tiles)]
    for top, bottom in ((0, 100), (5, 6), (16, 48), (40, 40), (90, 100)):
        cut = [
            Window(max(w.row, top), w.col, min(w.row + w.rows, bottom) - max(w.row, top), w.cols)
            for w in every
            if w.row < bottom and w.row + w.rows > top and top < bottom
        ]
        assert list(tiles.between(top, bottom)) == cut


def test_a_raster_of_10_9_by_10_9_pixels_is_looked_at(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", spectra(1, 20, 24))
    for side in (200_000, 1_000_000_000):
        (tmp_path / "h.vrt").write_text(
            f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}"><VRTRasterBand '
            'dataType="Float64" band="1">'
            "<SimpleSource><SourceFilename "
            'relativeToVRT="1">a.tif</SourceFilename><SourceBand>1</SourceBand>'
            "</SimpleSource></VRTRasterBand></VRTDataset>"
        )
        assert cli("check", tmp_path / "h.vrt").code in (0, 1)


def test_polygons_of_many_edges_are_burnt_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = np.linspace(0, 2 * np.pi, 20_001)
    reach = 50 * (1 + 0.5 * (np.arange(len(turn)) % 2))
    ring = np.stack([80 + reach * np.cos(turn), 80 + reach * np.sin(turn)], axis=1)
    ring[-1] = ring[0]
    polygon, window = Polygon.of([ring]), Window(0, 0, 160, 160)
    whole = polygon.inside(window)
    monkeypatch.setattr("bandfuse.raster.polygons.PART", (7, 11))
    assert (polygon.inside(window) == whole).all()
    assert 0 < whole.sum() < whole.size


def test_what_a_zip_unpacks_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandfuse.raster.products.files.LARGEST", 10_000)
    name = "DESIS-HSI-L2A-DT0-20200101T000000"
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}-METADATA.xml", b"<a>" + b" " * 100_000 + b"</a>")
        archive.writestr(f"{name}-SPECTRAL_IMAGE.tif", b"")
    done = cli("info", tmp_path / "bomb.zip")
    assert done.code == 2
    assert "too large" in done.err or "no product" in done.err


@POSIX
def test_pipes_and_devices_are_not_read(cube: str, tmp_path: Path) -> None:
    weights_file(tmp_path / "w", 6)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for place in (pipe, "/dev/zero"):
        for command in (
            ["info", place],
            ["info", cube, "--wavelengths", place],
            ["train", "--config", place],
            ["batch", place],
            ["train", cube, "--mask", place, "-o", tmp_path / "o"],
            ["apply", place, cube, "-o", tmp_path / "o"],
            ["train", cube, "--groups", f"file:{place}", "-o", tmp_path / "o"],
        ):
            one_line(*command)
    assert "pipe" in one_line("resample", cube, "--sensor", pipe, "-o", tmp_path / "o.tif")


@pytest.mark.parametrize(("limit", "name"), [("TABLE", "t.csv"), ("SETTINGS", "c.yaml")])
def test_sizes_are_bounded_before_they_are_read(
    limit: str, name: str, cube: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / name, "wb") as stream:
        stream.truncate(2**40)
    command = ["info", cube, "--wavelengths"] if limit == "TABLE" else ["train", "--config"]
    assert "too large" in one_line(*command, tmp_path / name)


# --------------------------------------------------------------------------------------------------


def test_fewer_pixels_than_weights_are_said_and_get_no_intervals(tmp_path: Path) -> None:
    x = spectra(20, 3, 4)
    scene = write_tiff(tmp_path / "a.tif", x, nm=wavelengths(20))
    target = write_tiff(tmp_path / "t.tif", x[:2])
    done = ok("train", scene, "--target", target, "-o", tmp_path / "run", "--no-report", "--json")
    assert "fewer pixels than weights of an output (12 and 20)" in done.err
    assert all(row["ci_low"] is None for row in done.json["weights"])


def test_a_target_band_without_data_is_named(cube: str, tmp_path: Path) -> None:
    values = spectra(6, 20, 24)[:2].copy()
    values[1] = np.nan
    target = write_tiff(tmp_path / "t.tif", values, names=["red", "nir"])
    assert "got band 2 (nir)" in one_line("train", cube, "--target", target, "-o", tmp_path / "run")


def test_a_target_whose_squares_overflow_is_named(cube: str, tmp_path: Path) -> None:
    target = write_tiff(tmp_path / "t.tif", spectra(6, 20, 24)[:1].astype("float64") * 1e154)
    assert "squares overflow" in one_line("train", cube, "--target", target, "-o", tmp_path / "run")
