"""Make the tracked sample: a small synthetic cube, a target with known responses, and the true
weights.

Run from the repository's root: ``python data/make_sample.py``.
"""

from pathlib import Path

from bandfuse.synthetic import scene
from bandfuse.tools.demo import write_scene

if __name__ == "__main__":
    folder = Path(__file__).parent / "sample"
    folder.mkdir(exist_ok=True)
    write_scene(scene(rows=48, cols=60, n_bands=124, seed=7), folder)
    print(*(f"{p.name}: {p.stat().st_size} bytes" for p in sorted(folder.iterdir())), sep="\n")
