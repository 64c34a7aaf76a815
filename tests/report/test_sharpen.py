"""The page of a sharpening: charts, tables, escaping, and in a browser."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import browser

from bandfuse.report.page_data import Shot
from bandfuse.report.pictures import picture
from bandfuse.report.sharpen_data import SharpenPage, Spot
from bandfuse.report.sharpen_html import SECTIONS, render_sharpening
from bandfuse.results.sharpening import (
    BandScore,
    DisplacedPlace,
    FullScale,
    GainRow,
    MethodScores,
    Reduced,
    RegistrationRow,
    SharpenResult,
    Worth,
)

EVIL = "<script>alert(1)</script>\"&'"
PNG = base64.b64encode(picture(np.zeros((20, 25))).png).decode("ascii")


def result(
    bands: int = 12, *, name: str = "b", worth: bool = True, nm: bool = True
) -> SharpenResult:
    rows = [
        GainRow(
            index=i + 1,
            name=f"{name}{i}",
            wavelength_nm=450.0 + 40 * i if nm else None,
            gain=[0.1 * i],
            low=[0.1 * i - 0.05],
            high=[0.1 * i + 0.05],
            detail=i < 9,
            reason="" if i < 9 else "held-out error grows",
            explained=0.5,
            weight=[0.01 * i],
        )
        for i in range(bands)
    ]
    scores = [
        BandScore(
            index=i + 1,
            psnr=30.0 + i,
            interpolated=25.0,
            gained=5.0 - i,
            error=0.5,
            rmse=0.1,
            ssim=0.9,
        )
        for i in range(bands)
    ]
    methods = [
        MethodScores(
            method=m,
            scores={"psnr": 30.0 - k, "sam": 2.0 + k, "ergas": 3.0 + k, "ssim": 0.9 - 0.1 * k},
            errors={"psnr": 0.5, "ssim": None},
        )
        for k, m in enumerate(("bandfuse", "interpolation", "gsa"))
    ]
    full = [MethodScores(method="bandfuse", scores={"qnr": 0.9, "consistency_ergas": 0.3})]
    reduced = Reduced(
        methods=methods,
        bands=scores,
        blocks=9,
        pixels=400,
        coarse=25,
        whole=False,
        better=[],
        alike=["gsa"],
    )
    told = Worth(
        sentences=[f"The first {name}.", "The second."],
        reduced=reduced,
        full=FullScale(methods=full, whole=False),
    )
    return SharpenResult(
        output="run",
        raster="run/sharpened.tif",
        ratio=4.0,
        rows=40,
        cols=50,
        sharp=[f"{name}pan"],
        blur=0.3,
        blur_error=0.01,
        rank=3,
        ridge=0.1,
        blocks=9,
        pixels=100,
        bands=rows,
        sharpened_share=0.95,
        interpolated_share=0.05,
        clipped=0,
        seconds=2.5,
        messages=[f"a message of {name}"],
        worth=told if worth else None,
    )


def page(bands: int = 12, *, name: str = "p") -> SharpenPage:
    shots = [
        Shot(title=t, caption=f"{name} {t}", png=PNG, width=25, height=20, ends=None)
        for t in ("Cube", "Sharpened", "Sharp image")
    ]
    spots = [
        Spot(
            x=x,
            y=0.5,
            row=20,
            col=int(50 * x),
            before=[float(b) for b in range(bands)],
            after=[x * 10 + b for b in range(bands)],
        )
        for x in (0.25, 0.75)
    ]
    return SharpenPage(
        title=f"{name}: sharpened cube",
        command="bandfuse sharpen --config x",
        shots=shots,
        spots=spots,
        first=[0, 1],
    )


def test_the_page_is_the_same_every_time_and_needs_no_network() -> None:
    text = render_sharpening(result(), page())
    assert text == render_sharpening(result(), page())
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    for name, title in SECTIONS:
        assert f'id="{name}"' in text
        assert f">{title}<" in text


def test_all_texts_are_escaped() -> None:
    text = render_sharpening(result(name=EVIL), page(name=EVIL))
    assert "<script>alert" not in text
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in text


def cells(text: str, method: str) -> list[str]:
    row = re.search(rf'<tr><th scope="row" class="range">{method}</th>(.*?)</tr>', text, re.DOTALL)
    assert row is not None
    return [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", row[1], re.DOTALL)]


def test_scores_are_in_the_table_and_the_best_is_marked() -> None:
    text = render_sharpening(result(), page())
    assert cells(text, "bandfuse")[0] == "30 ± 0.50"
    assert cells(text, "GSA") == ["28 ± 0.50", "4", "5", "0.7000"]
    best = re.findall(r'class="number best"><strong>(.*?)</strong>', text)
    assert best == ["30 ± 0.50", "2", "3", "0.9000"]


def test_every_band_has_a_row() -> None:
    text = render_sharpening(result(), page())
    table = text[text.index("Every band") :]
    assert table.count("<tr>") >= 12
    assert "interpolated: held-out error grows" in table
    assert table.count(">sharpened<") == 9


def test_intervals_of_the_weights_are_drawn_where_they_are_known() -> None:
    bare = result()
    rows = [
        band.model_copy(update={"weight_low": [-0.1], "weight_high": [0.2]}) for band in bare.bands
    ]
    drawn = "The tint is the 95\u202f% interval, by a bootstrap"
    assert drawn not in render_sharpening(bare, page())
    assert drawn in render_sharpening(bare.model_copy(update={"bands": rows}), page())


def test_how_images_lie_is_in_a_table_and_a_varying_displacement_on_a_map() -> None:
    place = {"row": 1.0, "col": 2.0, "dx": 0.5, "dy": -0.2, "error": 0.01}
    rows = [
        RegistrationRow(
            path=f"{EVIL}{order}.tif",
            order=order,
            dx=0.11,
            dy=-0.22,
            range=most,
            error=0.03,
            windows=7,
            of=9,
            scores={},
            correlation=0.9,
            before=0.8,
            certain=True,
            moved="no",
            shape=(10, 12),
            field=[DisplacedPlace(**place)],
            measured=[DisplacedPlace(**place)],
        )
        for order, most in (("constant", 0.0), ("affine", 0.25))
    ]
    text = render_sharpening(result().model_copy(update={"registration": rows}), page())
    assert text.count("<script>") == 1
    section = text[text.index('<section id="registration"') :]
    section = section[: section.index("</section>")]
    assert section.count("7 of 9") == 2
    assert section.count("Arrows show where") == 1
    assert "by up to 0.25 pixels of the cube" in section
    assert "Arrows show" not in render_sharpening(result(), page())


def test_a_run_without_a_verdict_has_a_page() -> None:
    bare = SharpenPage(title="t", command="c")
    text = render_sharpening(result(worth=False, nm=False), bare)
    assert "No verdict was drawn for this run." in text
    assert "No pictures were made in this run." in text
    assert "band number" in text


def test_points_are_in_the_page_as_numbers() -> None:
    text = render_sharpening(result(), page())
    found = re.search(r'data-spots="(.*?)"', text)
    assert found is not None
    taken = json.loads(found[1].replace("&#34;", '"'))
    assert taken["x"][:2] == [450.0, 490.0]
    assert [spot["at"] for spot in taken["spots"]] == [[20, 12], [20, 37]]
    np.testing.assert_allclose(taken["spots"][1]["after"], 7.5 + np.arange(12))


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_in_a_browser(tmp_path: Path, width: int, scheme: str) -> None:
    file = tmp_path / "page.html"
    file.write_text(render_sharpening(result(), page()), encoding="utf-8")
    with browser(tmp_path / "profile") as tab:
        tab.open(file, width, 900, scheme)
        assert tab.complaints == []
        assert [r for r in tab.requests if not r.startswith("data:")] == [file.as_uri()]
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.run("document.querySelectorAll('.stage img').length") == 2
        assert "Row 20, column 12" in tab.run("document.querySelector('.where').textContent")
        tab.run(
            "document.querySelector('.map').scrollIntoView({block: 'center', behavior: 'instant'})"
        )
        box = tab.run(
            "(() => { const r = document.querySelector('.map').getBoundingClientRect();"
            " return [r.left, r.top, r.width, r.height]; })()"
        )
        x, y = box[0] + 0.8 * box[2], box[1] + 0.5 * box[3]
        for kind in ("mousePressed", "mouseReleased"):
            tab.mouse(kind, x, y, button="left", clickCount=1)
        assert "Row 20, column 37" in tab.run("document.querySelector('.where').textContent")
        assert tab.run("document.querySelectorAll('.clicked path').length") == 2
