"""The page of a batch: nothing is cut at 1280 px, and everything on it is explained."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Tab, browser
from matplotlib import image
from rasters import write_tiff

from bandfuse.batches.summary import as_html
from bandfuse.results.batches import BatchItem, BatchResult

NAME = "a_scene_with_a_rather_long_name_of_a_product_20260731T101031_N0511_R022"
SCORES = {"r2": -0.51234567, "rmse": 0.000123456, "cc": 0.9, "psnr": 58.56, "mae": 0.1}


def _items(folder: Path) -> list[BatchItem]:
    rng = np.random.default_rng(0)
    paths = []
    for i in range(3):
        nm = [842.0, 665.0, 490.0, 560.0]
        values = rng.uniform(0.1, 0.4, (4, 40, 50)).astype(np.float32)
        paths.append(write_tiff(folder / f"fused_{i}.tif", values, nm=nm))
    done = [
        BatchItem(
            job="own",
            scene=f"{NAME}_{i}",
            state="done",
            seconds=12.345,
            outputs=[path, str(folder / "report.html")],
            scores=SCORES,
            drift=0.025,
        )
        for i, path in enumerate(paths)
    ]
    classes = {"accuracy": 0.9, "balanced": 0.8, "kappa": 0.7, "valid_share": 1.0}
    other = BatchItem(job="classes", scene=NAME, state="done", seconds=1.0, scores=classes)
    reason = "no such file: /data/" + 30 * "folder/"
    broken = BatchItem(job="own", scene="broken", state="failed", reason=reason)
    return [*done, other, broken]


def _page(folder: Path) -> str:
    items = _items(folder)
    result = BatchResult(
        output=str(folder), done=4, failed=1, skipped=0, kept=0, seconds=1, items=items
    )
    return as_html(result, folder)


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (["out/fused/a.tif", "sd/a.tif"], ["fused/a.tif", "sd/a.tif"]),
        (["out/x/y/a.tif", "z/y/a.tif"], ["x/y/a.tif", "z/y/a.tif"]),
        (["out/fused/a.tif", "out/fused/a_sd.tif"], ["a.tif", "a_sd.tif"]),
        (["run/report.html", "run/fused.tif", "run/report.json"], ["report.html", "fused.tif"]),
    ],
)
def test_links_of_a_row_have_names_of_their_own(
    tmp_path: Path, outputs: list[str], names: list[str]
) -> None:
    paths = [str(tmp_path / o) for o in outputs]
    item = BatchItem(job="fused", scene="a", state="done", outputs=paths)
    result = BatchResult(
        output=str(tmp_path / "out"), done=1, failed=0, skipped=0, kept=0, seconds=1, items=[item]
    )
    page = as_html(result, tmp_path / "out")
    links = re.findall(r'<a href="([^"]*)">([^<]*)</a>', page)
    assert [name for _, name in links] == names
    for (link, _), path in zip(links, paths, strict=False):
        assert (tmp_path / "out" / link).resolve() == Path(path).resolve()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.parametrize(("width", "media"), [(1280, ""), (1040, "print")])
def test_nothing_is_cut(tab: Tab, tmp_path: Path, width: int, media: str) -> None:
    path = tmp_path / "batch.html"
    path.write_text(_page(tmp_path), encoding="utf-8")
    tab.open(path, width)
    tab.call("Emulation.setEmulatedMedia", media=media)
    wide = (
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1)"
        ".map(e => e.getAttribute('aria-label'))"
    )
    assert tab.run(wide) == []
    assert tab.run("document.documentElement.scrollWidth") <= width
    tab.call("Emulation.setEmulatedMedia", media="")
    assert tab.complaints == []


def test_on_a_phone_tables_scroll_and_the_page_does_not(tab: Tab, tmp_path: Path) -> None:
    path = tmp_path / "batch.html"
    path.write_text(_page(tmp_path), encoding="utf-8")
    tab.open(path, 390, scheme="dark")
    assert tab.run("document.documentElement.scrollWidth") <= 390


def test_each_job_has_its_own_scores_and_all_is_explained(tmp_path: Path) -> None:
    page = _page(tmp_path)
    tables = {
        re.findall("<caption>(.*?)</caption>", t)[0]: re.findall('scope="col"[^>]*>(.*?)</th>', t)
        for t in re.findall("<table>.*?</table>", page, re.DOTALL)
    }
    own, classes = tables["own"], tables["classes"]
    assert {"R²", "RMSE", "Drift", "Picture", "Files"} <= set(own)
    assert "Kappa" not in own
    assert {"Accuracy", "Kappa", "Valid"} <= set(classes)
    assert not {"R²", "Drift", "Picture", "Files"} & set(classes)
    for word in ("Scores", "Valid", "Drift", "States", "Pictures"):
        assert f"<dt>{word}</dt>" in page
    assert "share of the target's variance that is explained" in page.replace("&#39;", "'")
    assert "−0.51235" in page
    assert not re.search(r">\s*-\d", page)


def test_pictures_are_in_natural_colour_by_wavelength(tmp_path: Path) -> None:
    page = _page(tmp_path)
    found = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    assert len(found) == 3
    shown = image.imread(io.BytesIO(base64.b64decode(found[0])))[..., :3]
    values = np.random.default_rng(0).uniform(0.1, 0.4, (4, 40, 50))
    for channel, band in enumerate((1, 3, 2)):
        flat = shown[..., channel].ravel()
        assert np.corrcoef(flat, values[band].ravel())[0, 1] > 0.98
