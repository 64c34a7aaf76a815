"""The verdict in words."""

from __future__ import annotations

from bandfuse.results.base import Score
from bandfuse.results.sharpening import BandScore, FullScale, GainRow, MethodScores, Reduced
from bandfuse.sharpening.outputs.sentences import ranges, sentences


def band(index: int, *, detail: bool = True, nm: float | None = None) -> GainRow:
    return GainRow(
        index=index,
        name=f"b{index}",
        wavelength_nm=nm,
        gain=[1.0],
        low=[0.9],
        high=[1.1],
        detail=detail,
        reason="" if detail else "held-out error grows",
        explained=None,
    )


def score(index: int, gained: float, error: float = 0.1) -> BandScore:
    return BandScore(
        index=index,
        psnr=30.0,
        interpolated=30.0 - gained,
        gained=gained,
        error=error,
        rmse=1.0,
        ssim=0.9,
    )


def reduced(ergas: dict[str, float], gains: list[float], **other: object) -> Reduced:
    fields: dict[str, object] = {
        "methods": [MethodScores(method=m, scores={"ergas": e}) for m, e in ergas.items()],
        "bands": [score(i, g) for i, g in enumerate(gains, 1)],
        "blocks": 9,
        "pixels": 500,
        "coarse": 36,
        "whole": True,
        "better": [],
        "alike": [],
    }
    return Reduced.model_validate({**fields, **other})


def full(own: float, plain: float) -> FullScale:
    def scores(value: float) -> Score:
        return {"consistency_ergas": value}

    return FullScale(
        methods=[
            MethodScores(method="bandfuse", scores=scores(own)),
            MethodScores(method="interpolation", scores=scores(plain)),
        ],
        whole=True,
    )


def test_a_good_result() -> None:
    found = reduced({"bandfuse": 2.0, "interpolation": 5.0, "gsa": 3.0, "glp": 2.1}, [4.0, 6.0])
    found = found.model_copy(update={"alike": ["glp"]})
    told = sentences([band(1, nm=500), band(2, nm=600)], found, full(0.3, 1.2), 4.0)
    assert told == [
        "One scale down, where the cube itself is the truth, the error of the sharpened cube "
        "(ERGAS) is 2 on held-out blocks, and that of plain interpolation 5; the mean gain over "
        "the bands is 5.0 dB.",
        "It is better than interpolation and GSA; it does not differ by more than twice the "
        "standard error over the blocks from GLP with regression.",
        "All 2 bands were sharpened.",
        "Of the sharpened bands 600 nm gains most (6.0 dB) and 500 nm least (4.0 dB).",
        "Brought back to the cube's grid, the result differs from the cube by an ERGAS of 0.3; the "
        "interpolated cube differs by 1.2.",
        "These scores are of pixels 4 times as large as those of the result: finer detail can be "
        "harder or easier to predict.",
    ]


def test_a_bad_result_is_called_that() -> None:
    found = reduced(
        {"bandfuse": 5.0, "interpolation": 4.0, "gsa": 3.0},
        [-1.0, -0.1, 0.2],
        better=["interpolation", "gsa"],
        whole=False,
    )
    bands = [band(1), band(2), band(3, detail=False), band(4, detail=False)]
    told = sentences(bands, found, None, 3.0)
    assert told[1] == "Interpolation and GSA have a smaller error here."
    assert told[2] == (
        "2 of 4 bands were sharpened; band 3 to band 4 come out interpolated and made "
        "consistent with the cube, as held-out error grows."
    )
    assert "Worse than interpolation by more than twice the standard error: band 1." in told
    assert told[-1] == "They are of 500 pixels in parts of the scene that are spread evenly."


def test_what_is_not_known_is_said() -> None:
    told = sentences([band(1, detail=False)], None, None, 4.0)
    assert told[0].startswith("What the sharpening is worth is not known")
    assert (
        told[1]
        == "No band was sharpened: all come out interpolated and made consistent with the cube."
    )


def test_ranges_are_of_neighbours() -> None:
    some = [band(i, nm=100.0 * i) for i in (1, 2, 3, 5, 7, 9, 11, 13)]
    assert ranges(some[:4]) == "100 nm to 300 nm and 500 nm"
    assert ranges(some) == "100 nm to 300 nm, 500 nm, 700 nm, 900 nm and 2 more ranges"
