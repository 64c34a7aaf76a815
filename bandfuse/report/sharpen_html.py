"""Sharpen html: the page of a sharpening: one file that needs nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from bandfuse.report import views
from bandfuse.report.displacement_map import displacement_map
from bandfuse.report.html import hash_of, plain_name, template, text_of
from bandfuse.report.numbers import MISSING, fixed, number, percent
from bandfuse.report.sharpen_data import SharpenPage, Spot
from bandfuse.report.sharpen_figures import (
    Line,
    gained_figure,
    has_nm,
    lines_figure,
    places_of,
    spectra_figure,
)
from bandfuse.report.svg import standalone
from bandfuse.results.sharpening import BandScore, MethodScores, RegistrationRow, SharpenResult

SECTIONS = (
    ("verdict", "Verdict"),
    ("gain", "What was gained"),
    ("pictures", "Pictures"),
    ("scores", "Scores"),
    ("gains", "Gains and weights"),
    ("registration", "Registration"),
    ("bands", "Bands"),
    ("provenance", "Provenance"),
)
"""Ids and headings of the sections, in order."""

TITLES = {
    "bandfuse": "bandfuse",
    "interpolation": "Interpolation",
    "gsa": "GSA",
    "glp": "GLP with regression",
    "brovey": "Brovey, as GDAL",
}
SCORES = {
    "psnr": "PSNR (dB)",
    "sam": "SAM (°)",
    "ergas": "ERGAS",
    "ssim": "SSIM",
    "q2n": "Q2ⁿ",
    "rmse": "RMSE",
}
FULL_SCORES = {
    "consistency_psnr": "Consistency, PSNR (dB)",
    "consistency_sam": "SAM (°)",
    "consistency_ergas": "ERGAS",
    "d_lambda": "Dλ",
    "d_s": "Dₛ",
    "qnr": "QNR",
}
LESS = {"sam", "ergas", "rmse", "d_lambda", "d_s", "consistency_sam", "consistency_ergas"}
"""Scores of which less is better."""


@dataclass(frozen=True)
class Figure:
    """A chart with its words; ``svg`` is trusted markup, the rest is text."""

    title: str
    caption: str
    svg: Markup


def render_sharpening(result: SharpenResult, page: SharpenPage) -> str:
    """The page as one HTML text, without any reference to the network.

    The same arguments give the same text. Not safe to call from several threads at once."""
    script = text_of("page.js") + text_of("sharpen.js")
    return template("sharpen.html.j2").render(
        page=page,
        result=result,
        style=Markup(text_of("page.css") + text_of("sharpen.css")),
        script=Markup(script),
        script_hash=hash_of(script),
        sections=SECTIONS,
        glance=_glance(result),
        sentences=[] if result.worth is None else result.worth.sentences,
        gained=_gained(result),
        pair=_pair(page),
        points={i: page.spots[i] for i in page.first},
        spots=_spots(result, page),
        spectra=_spectra(result, page),
        tables=_tables(result),
        charts=[chart for chart in (_gains(result), _weights(result)) if chart is not None],
        registration=_registration(result),
        displaced=list(displacements(result).values()),
        bands=_band_table(result),
        inputs=views.input_table(result.inputs) if result.inputs else None,
        run=_run(result),
    )


def sharpening_files(result: SharpenResult, page: SharpenPage) -> dict[str, bytes]:
    """Every chart of the page as SVG and every picture as PNG, by file name."""
    several = {
        "gain_by_band": _gained(result),
        "gains": _gains(result),
        "weights": _weights(result),
        "spectra": _spectra(result, page),
        **displacements(result),
    }
    files = {
        f"{name}.svg": standalone(str(figure.svg)).encode()
        for name, figure in several.items()
        if figure is not None
    }
    return files | {
        f"{plain_name(shot.title)}.png": base64.b64decode(shot.png) for shot in page.shots
    }


def displacements(result: SharpenResult) -> dict[str, Figure]:
    """A map of each displacement that varies over the scene, by the name of its file."""
    varied = [row for row in result.registration if row.range > 0]
    return {
        "displacement" if len(varied) == 1 else f"displacement_{i}": _displaced(row, i)
        for i, row in enumerate(varied, 1)
    }


def _displaced(row: RegistrationRow, i: int) -> Figure:
    name = Path(row.path).name
    done = {
        "field": "It was moved from place to place, through this field.",
        "whole": "It was moved as a whole, by the mean displacement.",
    }
    caption = (
        "Arrows show where each place of the sharp image is to be moved, to lie on the cube: by up "
        f"to {fixed(row.range, 2)} pixels of the cube more at one place than at another. Their "
        "length is not to the scale of the map. Grey arrows are what single windows say. "
        f"{done.get(row.moved, 'It was taken as it lies.')}"
    )
    label = f"Displacement of {name} against the cube, from place to place"
    svg = displacement_map(row, label=label, key=f"displacement-{i}")
    return Figure(f"Displacement of {name}", caption, Markup(svg))


def _registration(result: SharpenResult) -> views.Table | None:
    """How each sharp image lies on the cube."""
    if not result.registration:
        return None
    titles = {
        "Sharp image": "code",
        "Field": "text",
        "Columns": "number",
        "Rows": "number",
        "Range": "number",
        "±": "number",
        "Windows": "range",
        "Moved": "text",
    }
    done = {"field": "from place to place", "whole": "as a whole"}
    rows = tuple(
        (
            Path(row.path).name,
            row.order,
            fixed(row.dx, 2),
            fixed(row.dy, 2),
            fixed(row.range, 2),
            fixed(row.error, 2),
            f"{row.windows} of {row.of}",
            done.get(row.moved, "no"),
        )
        for row in result.registration
    )
    note = (
        "By how many columns and rows of the cube's grid each sharp image is to be moved on "
        "average, to lie on the cube, before anything was moved. Range: the largest difference "
        "between two places, zero where the displacement is the same everywhere. ±: the largest "
        "standard error at any place. Windows: those that tell something, of all."
    )
    columns = tuple(views.Column(title, kind) for title, kind in titles.items())
    return views.Table("How the sharp images lie on the cube", columns, rows, note)


def _glance(result: SharpenResult) -> views.Facts:
    """The numbers that a reader looks for first."""
    kept = sum(band.detail for band in result.bands)
    facts = [
        ("Sharper by", f"{number(result.ratio, 3)} ×"),
        ("Result", f"{number(result.cols)} × {number(result.rows)} pixels"),
        ("Bands sharpened", f"{number(kept)} of {number(len(result.bands))}"),
    ]
    reduced = None if result.worth is None else result.worth.reduced
    if reduced is not None:
        gained = [band.gained for band in reduced.bands if band.gained is not None]
        if gained:
            facts.append(("Mean gain, held out", f"{fixed(sum(gained) / len(gained), 1)} dB"))
    facts += [
        ("Pixels with detail", percent(result.sharpened_share, 1.0)),
        ("Time", f"{number(result.seconds, 3)} s"),
    ]
    return tuple(facts)


def _scores(result: SharpenResult) -> Sequence[BandScore]:
    known = result.worth is not None and result.worth.reduced is not None
    return result.worth.reduced.bands if known else []  # type: ignore[union-attr]


def _gained(result: SharpenResult) -> Figure | None:
    scores = _scores(result)
    known = [score.gained for score in scores if score.gained is not None]
    if not known:
        return None
    ends = f"{fixed(min(known), 1)} to {fixed(max(known), 1)} dB"
    caption = (
        "How much smaller the squared error of each band is than that of plain interpolation, one "
        "scale down, on blocks that were held out. The tint is the 95\u202f% interval over the "
        f"blocks. Above zero the sharpening helps. From {ends}."
    )
    if any(not band.detail for band in result.bands):
        caption += (
            " Grey points are bands that get no detail; the cube's own consistency can still "
            "change them."
        )
    svg = gained_figure(result.bands, scores, label=f"Gain over interpolation by band: {ends}.")
    return Figure("Gain over interpolation", caption, Markup(svg))


def _pair(page: SharpenPage) -> tuple[int, int] | None:
    """Which pictures are compared first: the cube and the sharpened cube."""
    return (0, 1) if len(page.shots) > 1 else None


def _spots(result: SharpenResult, page: SharpenPage) -> str | None:
    """What the script draws spectra from, as JSON; None without points."""
    if not page.spots:
        return None
    x = places_of(result.bands)
    order = np.argsort(x, kind="stable").tolist()
    taken = {
        "axis": "wavelength (nm)" if has_nm(result.bands) else "band number",
        "x": [float(x[i]) for i in order],
        "names": [result.bands[i].name for i in order],
        "spots": [_columns(spot, order) for spot in page.spots],
        "first": page.first,
    }
    return json.dumps(taken, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _columns(spot: Spot, order: Sequence[int]) -> dict[str, object]:
    before, after = ([values[i] for i in order] for values in (spot.before, spot.after))
    return {"x": spot.x, "y": spot.y, "at": [spot.row, spot.col], "before": before, "after": after}


def _spectra(result: SharpenResult, page: SharpenPage) -> Figure | None:
    drawn = {n: page.spots[i] for n, i in enumerate(page.first, 1)}
    if not drawn:
        return None
    places = "; ".join(f"point {n}: row {s.row}, column {s.col}" for n, s in drawn.items())
    caption = (
        "Dashed: the cube's pixel. Solid: the pixel of the sharpened cube at the numbered points "
        f"of the picture ({places} of the result, from 0)."
    )
    svg = spectra_figure(result.bands, drawn, label=f"Spectra before and after of {places}.")
    return Figure("Spectra before and after", caption, Markup(svg))


def _tables(result: SharpenResult) -> list[views.Table]:
    if result.worth is None:
        return []
    tables = []
    reduced, full = result.worth.reduced, result.worth.full
    if reduced is not None:
        note = (
            f"Wald's protocol: cube and sharp image were reduced by {number(result.ratio, 3)}, and "
            f"each of {reduced.blocks} blocks was sharpened by what was learned from the others. "
            "PSNR: mean over the bands, peak = the band's maximum. SAM: spectral angle. ERGAS: "
            "relative error over all bands. SSIM and Q2ⁿ: likeness, 1 at best. Behind ±: standard "
            f"error over the blocks. {number(reduced.pixels)} pixels were scored. The best value "
            "of each column is marked. Brovey has GDAL's formula, with weights of non-negative "
            "least squares."
        )
        if not reduced.whole:
            note += " They lie in parts that are spread over the scene."
        tables.append(
            _method_table("One scale down, held-out blocks", reduced.methods, SCORES, note)
        )
    if full is not None:
        note = (
            "Without a truth. Consistency: the result, brought back to the cube's grid, against "
            "the cube. Dλ and Dₛ: how far the likeness of bands to each other, and to the sharp "
            "image, differs from that in the cube; QNR = (1 − Dλ)(1 − Dₛ). Plain interpolation "
            "changes little and therefore does well by Dλ and QNR: look at them beside the table "
            "above."
        )
        if not full.whole:
            note += " Of parts that are spread over the scene."
        tables.append(_method_table("At full scale", full.methods, FULL_SCORES, note))
    return tables


def _method_table(
    caption: str, methods: Sequence[MethodScores], titles: Mapping[str, str], note: str
) -> views.Table:
    names = [n for n in titles if any(row.scores.get(n) is not None for row in methods)]
    columns = (views.Column("Method", "range"), *(views.Column(titles[n], "number") for n in names))
    rows = tuple(
        (TITLES.get(row.method, row.method), *(_cell(row, name) for name in names))
        for row in methods
    )
    best = set()
    for j, name in enumerate(names, 1):
        known = [
            (value, i)
            for i, row in enumerate(methods)
            if (value := row.scores.get(name)) is not None
        ]
        if len(known) > 1:
            top = (min if name in LESS else max)(known)[0]
            best |= {(i, j) for value, i in known if value == top}
    return views.Table(caption, columns, rows, note, frozenset(best))


def _cell(row: MethodScores, name: str) -> str:
    value, error = row.scores.get(name), row.errors.get(name)
    if value is None:
        return MISSING
    return number(value) if error is None else f"{number(value)} ± {number(error, 2)}"


def _gains(result: SharpenResult) -> Figure | None:
    if not result.bands or not result.sharp:
        return None
    lines = [
        Line(
            name,
            np.array([band.gain[k] for band in result.bands]),
            np.array([band.low[k] for band in result.bands]),
            np.array([band.high[k] for band in result.bands]),
        )
        for k, name in enumerate(result.sharp)
    ]
    caption = (
        "Injection gains: how much of the detail of each sharp band goes into each band of the "
        "cube, in the cube's units per unit of the sharp band. The tint is the 95\u202f% interval. "
        "A band whose intervals all hold zero gets no detail."
    )
    svg = lines_figure(result.bands, lines, "gain", label="Injection gains by band.", key="gains")
    return Figure("Gains: sharp image → cube", caption, Markup(svg))


def _weights(result: SharpenResult) -> Figure | None:
    if not result.bands or not all(len(b.weight) == len(result.sharp) for b in result.bands):
        return None
    known = all(len(b.weight_low) == len(b.weight_high) == len(b.weight) for b in result.bands)
    lines = [
        Line(
            name,
            np.array([band.weight[k] for band in result.bands]),
            np.array([band.weight_low[k] for band in result.bands]) if known else None,
            np.array([band.weight_high[k] for band in result.bands]) if known else None,
        )
        for k, name in enumerate(result.sharp)
    ]
    caption = (
        "Weights that make each sharp band, as the cube sees it, from the bands of the cube. They "
        "are learned by ridge regression; neighbours are nearly the same, so that only sums over "
        "neighbours are well known. They are not used to sharpen."
    )
    if known:
        caption += " The tint is the 95\u202f% interval, by a bootstrap over blocks."
    svg = lines_figure(result.bands, lines, "weight", label="Weights by band.", key="sharp-weights")
    return Figure("Weights: cube → sharp image", caption, Markup(svg))


def _band_table(result: SharpenResult) -> views.Table:
    """Every band: its gains, and what it gained."""
    scores = {score.index: score for score in _scores(result)}
    titles = {
        "Band": "number",
        "Name": "text",
        "Wavelength (nm)": "number",
        "Gained (dB)": "number",
        "± (dB)": "number",
        "PSNR (dB)": "number",
        "Gains": "range",
        "Comes out": "text",
    }
    rows = []
    for band in result.bands:
        score = scores.get(band.index)
        rows.append(
            (
                str(band.index),
                band.name,
                fixed(band.wavelength_nm, 1),
                fixed(score.gained if score else None, 2),
                fixed(score.error if score else None, 2),
                fixed(score.psnr if score else None, 2),
                ", ".join(number(gain, 3) for gain in band.gain),
                "sharpened" if band.detail else f"interpolated: {band.reason}",
            )
        )
    columns = tuple(views.Column(title, kind) for title, kind in titles.items())
    return views.Table("Every band", columns, tuple(rows))


def _run(result: SharpenResult) -> views.Facts:
    """How and with what the run was made."""
    error = "" if result.blur_error is None else f" ± {number(result.blur_error, 2)}"
    blur = (
        "plain average over the pixels of the cube"
        if result.blur is None
        else f"Gaussian, modulation {number(result.blur, 3)}{error} at the Nyquist frequency"
    )
    facts = [
        ("Result", Path(result.raster).name),
        ("Blur", blur),
        ("Learned from", f"{number(result.pixels)} pixels in {number(result.blocks)} blocks"),
        ("Subspace", f"{number(result.rank)} dimensions of {number(len(result.bands))} bands"),
        ("Ridge", number(result.ridge)),
        ("Device", "cpu: sharpening computes with numpy"),
        ("Seconds", number(result.seconds, 3)),
        ("Seed", str(result.seed)),
    ]
    if result.versions:
        facts.append(("Versions", ", ".join(f"{k} {v}" for k, v in result.versions.items())))
    if result.kernels:
        words = (" ".join((k.library, k.version, k.kernel)).strip() for k in result.kernels)
        facts.append(("Kernels", ", ".join(words)))
    return tuple(facts)
