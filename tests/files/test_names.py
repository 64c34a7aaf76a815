"""Names of files: blanks, signs with a meaning for URLs, GDAL or templates, scripts, drive
letters."""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import yaml
from rasters import blend, ok, read, spectra, wavelengths, write_tiff

from bandfuse.files.names import for_gdal, from_vrt, href, linked
from bandfuse.scenes.places import fill_template, pair_of

STEMS = {
    "drive": r"C:\data\cube",
    "backslash": r"a\b",
    "blank": "two words",
    "blank-first": " first",
    "blank-last": "last ",
    "composed": unicodedata.normalize("NFC", "äé"),
    "decomposed": unicodedata.normalize("NFD", "äé"),
    "chinese": "立方体",
    "emoji": "🛰️",
    "dash": "-cube",
    "hash": "a#b",
    "percent": "a%20b",
    "percent-alone": "50%",
    "and": "a&amp;b&c",
    "brackets": "a[1]",
    "star": "a*",
    "braces": "a{b}",
    "template": "{stem}",
    "apostrophe": "a'b",
    "quote": 'a"b',
    "semicolon": "a;b",
    "colon": "a:b",
    "question": "a?b=c",
    "comma": "a,b",
    "equals": "a=b",
    "tag": "<b>",
    "pipe": "a|b",
    "tilde": "~a",
    "dollar": "$HOME",
    "mark": "a!b",
    "at": "@a",
    "newline": "a\nb",
    "http": "http:a",
    "s3": "s3:a",
    "file": "file:a",
    "zip": "zip:a",
    "subdataset": "NETCDF:a",
    "dots": "a..b",
}
STRANGE = re.compile(r'[<>:"/\\|?*\n]| $')
"""What names of files on Windows do not hold."""
WEIGHTS = [[0.2, 0.3, 0.5]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image, its target, and weights that were learned from them."""
    folder = tmp_path_factory.mktemp("made")
    x = spectra(3, 16, 20)
    write_tiff(folder / "x.tif", x, nm=wavelengths(3))
    write_tiff(folder / "t.tif", blend(x, WEIGHTS).astype("float32"))
    ok(
        "train",
        folder / "x.tif",
        "--target",
        folder / "t.tif",
        "--no-fused",
        "--no-report",
        "-o",
        folder / "run",
    )
    return folder


@pytest.fixture(params=[pytest.param(stem, id=key) for key, stem in STEMS.items()])
def stem(
    request: pytest.FixtureRequest, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """One of the names, without its ending; the image lies by that name where the command is
    run."""
    if sys.platform == "win32" and STRANGE.search(request.param):
        pytest.skip("Windows has no such names")
    monkeypatch.chdir(tmp_path)
    shutil.copy(made / "x.tif", tmp_path / f"{request.param}.tif")
    shutil.copy(made / "t.tif", tmp_path / "t.txt")
    return request.param


def given(name: str) -> list[str]:
    """A positional argument."""
    return ["--", name] if name.startswith("-") else [name]


def plain(name: str) -> str:
    """A name in a template that stands for itself."""
    return name.replace("{", "{{").replace("}", "}}")


def right(path: str | Path, made: Path) -> bool:
    """Whether a raster holds what the weights make of the image. Its full path is no URL."""
    return np.allclose(
        read(Path(path).absolute()), blend(read(made / "x.tif"), WEIGHTS), rtol=1e-4, atol=1e-5
    )


@pytest.mark.one_in(5)
def test_train_and_report(stem: str, made: Path) -> None:
    """The image and the target by a flag, the run by its name. The page names the image, and takes
    nothing in it for HTML."""
    shutil.copy(made / "t.tif", f"t{stem}.tif")
    ok(
        "train",
        "--source",
        f"vnir={stem}.tif",
        f"--target=t{plain(stem)}.tif",
        f"--output={stem}.run",
        "--folds=0",
    )
    run = Path(f"{stem}.run")
    (fused,) = run.rglob("*.tif")
    assert right(fused, made)
    kept = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["source"]
    assert [Path(text.partition("=")[2]).absolute() for text in kept] == [
        Path(f"{stem}.tif").absolute()
    ]
    ok("report", f"--output={stem}.html", *given(f"{stem}.run"))
    page = Path(f"{stem}.html").read_text(encoding="utf-8")
    assert f"{stem}.tif" in html.unescape(page)
    assert "<b>.tif" not in page


@pytest.mark.one_in(2)
def test_apply_and_the_link_of_its_item(stem: str, made: Path) -> None:
    out = Path(f"f{stem}.tif")
    ok(
        "apply",
        f"--output={plain(str(out))}",
        "--stac",
        "--",
        made / "run/weights.safetensors",
        f"{stem}.tif",
    )
    assert right(out, made)
    item = Path(f"f{stem}.stac.json")
    link = json.loads(item.read_text(encoding="utf-8"))["assets"]["fused"]["href"]
    assert re.fullmatch(r"\./[A-Za-z0-9_.~%-]+", link)
    assert urlsplit(link)[3:] == ("", ""), "neither a query nor a fragment"
    assert item.parent / unquote(link) == out
    ok(
        "apply",
        f"--output={plain(str(out))}",
        "--stac",
        "--overwrite",
        "--",
        made / "run/weights.safetensors",
        f"{stem}.tif",
    )


@pytest.mark.one_in(2)
def test_a_vrt_finds_its_source(
    stem: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok(
        "export",
        "--to",
        "vrt",
        f"--scene={stem}.tif",
        f"--output={stem}.vrt",
        made / "run/weights.safetensors",
    )
    ok("check", "--fix", "fixed.vrt", *given(f"{stem}.tif"))
    monkeypatch.chdir(made)
    assert right(tmp_path / f"{stem}.vrt", made)
    assert (read(tmp_path / "fixed.vrt") == read(made / "x.tif")).all()


@pytest.mark.one_in(5)
def test_batch_and_the_links_of_its_page(stem: str, made: Path, tmp_path: Path) -> None:
    weights = str(made / "run/weights.safetensors")
    jobs = [
        {"name": "f", "kind": "apply", "weights": weights, "settings": {"stac": True}},
        {"name": "e", "kind": "evaluate", "weights": weights},
    ]
    batch = {
        "version": 1,
        "output": "out",
        "scenes": [{"glob": "*.tif", "target": "{parent}/t.txt"}],
        "jobs": jobs,
    }
    Path("b.yaml").write_text(yaml.safe_dump(batch, allow_unicode=True), encoding="utf-8")
    done = ok("batch", "b.yaml", "--json").json
    assert (done["done"], done["kept"]) == (2, 0)
    page = (tmp_path / "out/batch.html").read_text(encoding="utf-8")
    (link,) = re.findall(r'href="([^"]*)"', page)
    assert urlsplit(link)[:2] == urlsplit(link)[3:4] * 2 == ("", "")
    assert right(tmp_path / "out" / unquote(html.unescape(link)), made)
    assert ok("batch", "b.yaml", "--json").json["kept"] == 2
    (item,) = (tmp_path / "out/f").glob("*.stac.json")
    again = {**batch, "output": "again", "scenes": [{"items": str(item), "asset": "fused"}]}
    again["jobs"] = [
        {"name": "m", "kind": "train", "settings": {"groups": "equal:1", "no_report": True}}
    ]
    Path("a.yaml").write_text(yaml.safe_dump(again, allow_unicode=True), encoding="utf-8")
    assert ok("batch", "a.yaml", "--json").json["done"] == 1


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [r"C:\x.tif", r"C:\a=b\x.tif", "a=b.tif", r"\\server\share\x.tif", "/a/x.tif"]
)
def test_a_source_is_split_at_the_first_sign(path: str) -> None:
    assert pair_of(f"vnir={path}", "--source") == ("vnir", path)


def test_names_for_gdal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is there is a file: all else is left to GDAL."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "http://host/x.tif",
        "s3://bucket/x.tif",
        'NETCDF:"x.nc":band',
        "/vsizip/{a.zip}/x.tif",
        "<VRTDataset>",
    ):
        assert for_gdal(name) == name
    if sys.platform != "win32":
        Path("http:x.tif").touch()
        assert for_gdal("http:x.tif") == str(tmp_path / "http:x.tif")


def test_links(tmp_path: Path) -> None:
    assert href("a/b c#?%:é.tif") == "a/b%20c%23%3F%25%3A%C3%A9.tif"
    assert linked("./a%20b.tif", tmp_path) == "./a b.tif"
    assert linked("https://host/a%20b.tif", tmp_path) == "https://host/a%20b.tif"
    assert linked("/vsicurl/https://host/a%20b.tif", tmp_path) == "/vsicurl/https://host/a%20b.tif"
    (tmp_path / "a%20b.tif").touch()
    assert linked("./a%20b.tif", tmp_path) == "./a%20b.tif", "what is there by this name is meant"


def test_a_source_on_another_drive_has_its_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``relpath`` of Windows has it."""

    def elsewhere(path: object, start: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("bandfuse.files.names.os.path.relpath", elsewhere)
    assert from_vrt(str(tmp_path / "x.tif"), tmp_path / "v.vrt") == (
        str(tmp_path.resolve() / "x.tif"),
        False,
    )


def test_a_template_after_a_folder_with_braces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the parts of a path are divided by another sign."""
    (tmp_path / "{in}").mkdir()
    assert (
        fill_template(f"{tmp_path}/{{in}}/{{stem}}.tif", "a.tif", "--target")
        == f"{tmp_path}/{{in}}/a.tif"
    )
