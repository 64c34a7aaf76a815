"""Pictures, points and the map of a sharpening, and the files of its page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from sharp_images import MODULATION, scene, seen

from bandfuse.config.commands import SharpenConfig
from bandfuse.report.sharpen_data import SharpenPage
from bandfuse.results.sharpening import SharpenResult
from bandfuse.sharpening.arrays import learn_gains, sharpened
from bandfuse.sharpening.outputs import looks
from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading
from bandfuse.spectral.bands import Bands
from bandfuse.tools.sharpen import sharpen

SAMPLE = Path(__file__).parents[3] / "data" / "sample"
BANDS = Bands.of("abcd", wavelength_nm=[480, 560, 660, 860])
SHARP = Bands.of("rs", wavelength_nm=[600, 800])


def test_pictures_show_cube_result_and_sharp_image() -> None:
    truth, sharp = scene(96)
    cube = seen(truth, 4)
    geometry = Geometry.of_ratio((96, 96), 4)
    gains = learn_gains(cube, [sharp], geometry, blur=MODULATION)
    result = sharpened(cube, [sharp], gains, geometry)
    pair = Pair(geometry, MODULATION, reading(cube), reading(sharp))
    found = looks.looks_of(pair, gains, BANDS, SHARP)
    pictures = {look.title: look for look in found.looks}
    assert list(pictures) == [
        "Cube",
        "Sharpened",
        "Sharp image",
        "Cube, infrared",
        "Sharpened, infrared",
    ]
    red_green_blue = [2, 1, 0]
    np.testing.assert_allclose(
        pictures["Sharpened"].array, np.moveaxis(result[red_green_blue], 0, -1), rtol=1e-9
    )
    repeated = cube.repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_array_equal(
        pictures["Cube"].array, np.moveaxis(repeated[red_green_blue], 0, -1)
    )
    assert pictures["Cube"].limits == pictures["Sharpened"].limits
    np.testing.assert_array_equal(pictures["Sharp image"].array, sharp[0])
    for spot in found.spots:
        np.testing.assert_allclose(spot.after, result[:, spot.row, spot.col], rtol=1e-3)
        np.testing.assert_allclose(spot.before, repeated[:, spot.row, spot.col], rtol=1e-3)
    assert len(found.spots) == looks.MOST_SPOTS**2
    assert len(set(found.first)) == looks.DRAWN


def test_false_colour_is_swir_where_there_is_some() -> None:
    assert looks.false_colour(BANDS) == (
        [3, 2, 1],
        "infrared false colour: red 860 nm, green 660 nm, blue 560 nm",
    )
    assert looks.false_colour(Bands.of("ab", wavelength_nm=[500, 600])) is None
    swir = Bands.of("abc", wavelength_nm=[2200, 1650, 860])
    assert looks.false_colour(swir) is not None
    assert looks.false_colour(replace(swir, reason=("", "flagged bad", ""))) is None


def test_the_map_is_blue_where_it_helps() -> None:
    gain = np.array([[5.0, -5.0], [0.0, np.nan]])
    look = looks.gain_look(gain, None)
    assert look is not None
    np.testing.assert_allclose(look.array[0, 0], looks.BLUE)
    np.testing.assert_allclose(look.array[0, 1], looks.ORANGE)
    np.testing.assert_allclose(look.array[1, 0], looks.GREY)
    assert np.isnan(look.array[1, 1]).all()
    assert looks.gain_look(np.full((2, 2), np.nan), None) is None


def run_of(folder: Path, **more: object) -> SharpenResult:
    images = [str(SAMPLE / "coarse.tif"), str(SAMPLE / "target.tif")]
    settings = {"images": images, "output": str(folder), **more}
    return sharpen(SharpenConfig.model_validate(settings))


def test_a_run_scores_itself_and_writes_its_page(tmp_path: Path) -> None:
    result = run_of(tmp_path / "run")
    assert result.worth is not None
    assert result.worth.full is not None
    assert result.worth.sentences
    stored = json.loads((tmp_path / "run" / "report.json").read_text())
    assert stored["worth"]["sentences"] == result.worth.sentences
    assert stored["versions"]["bandfuse"]
    page = SharpenPage.model_validate_json((tmp_path / "run" / "report.data.json").read_text())
    assert {"Cube", "Sharpened"} <= {shot.title for shot in page.shots}
    text = (tmp_path / "run" / "report.html").read_text()
    assert result.worth.sentences[0].split(" (")[0] in text


def test_no_report_leaves_both_out(tmp_path: Path) -> None:
    result = run_of(tmp_path / "run", no_report=True)
    assert result.worth is None
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"sharpened.tif", "weights.safetensors", "config.yaml", "report.json"}
