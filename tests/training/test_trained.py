"""What is said of the targets of several scenes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import bandfuse


def pair(seed: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """A cube (6, 48, 48), and the mean of its bands, which lies some columns off."""
    random = np.random.default_rng(seed)
    cube = np.array([gaussian_filter(random.normal(size=(48, 48)), 1.0) for _ in range(6)])
    return 1 + cube, np.roll(1 + cube.mean(axis=0), columns, axis=1)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("offsets", "settings", "said"),
    [
        ((0, 2), {}, ["b"]),
        ((2, 2), {}, ["a", "b"]),
        ((0, 0), {}, []),
        ((2,), {}, []),
        ((0, 2), {"registration": "off"}, []),
        ((0, 2), {"shift": "auto"}, []),
    ],
)
def test_targets_of_several_scenes_that_lie_off_are_named(
    offsets: tuple[int, ...], settings: dict[str, str], said: list[str]
) -> None:
    pairs = [pair(seed, columns) for seed, columns in enumerate(offsets)]
    scenes = dict(zip("ab", (cube for cube, _ in pairs), strict=False))
    targets = [target for _, target in pairs]
    learned = bandfuse.train_arrays(scenes, targets, folds=0, no_report=True, **settings)
    found = [text for text in learned.messages if "lie off their scenes" in text]
    assert len(found) == bool(said)
    for key in said:
        assert any(text.startswith("the targets of ") and key in text[15:30] for text in found)
    assert all("shift='auto'" in text for text in found)
