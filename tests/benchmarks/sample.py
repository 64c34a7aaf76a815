"""Training on a large sample of pixels: its memory, and its steps beside bare products.

Usage: ``sample.py [--pixels 200000] [--bands 224] [--outputs 8] [--batch 65536] [--only
memory,steps]``. ``memory`` trains with ``--loss huber --sample N`` on a cube of int16 that is made
in a temporary folder, and prints the peak of the whole process. ``steps`` times a step beside the
products of torch on the same batch, forward and backward, with as many threads."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import torch

from bandfuse.optimise.objectives.sampled import SampledRegression
from bandfuse.optimise.parameters import Weights
from bandfuse.solve.layout import within
from bandfuse.spectral.groups import Group

COLS = 2000
ROUNDS = 7


def make(folder: Path, pixels: int, bands: int, outputs: int) -> tuple[str, str]:
    """A cube of int16 of few materials, and targets of it with noise."""
    random, rows = np.random.default_rng(0), -(-pixels // COLS)
    spectra = random.uniform(500, 5000, (6, bands))
    weight = random.dirichlet(np.ones(bands), outputs)
    shape = {"driver": "GTiff", "width": COLS, "height": rows, "tiled": True, "BIGTIFF": "YES"}
    cube, target = str(folder / "cube.tif"), str(folder / "target.tif")
    with (
        rasterio.open(cube, "w", count=bands, dtype="int16", interleave="pixel", **shape) as x,
        rasterio.open(target, "w", count=outputs, dtype="float32", **shape) as t,
    ):
        for top in range(0, rows, 256):
            height = min(256, rows - top)
            window = rasterio.windows.Window(0, top, COLS, height)
            share = random.dirichlet(np.ones(6), height * COLS)
            values = np.rint(share @ spectra + 20 * random.standard_normal((len(share), bands)))
            truth = values @ weight.T + 30 * random.standard_t(2, (len(share), outputs))
            x.write(values.astype(np.int16).T.reshape(bands, height, COLS), window=window)
            t.write(truth.astype(np.float32).T.reshape(outputs, height, COLS), window=window)
    return cube, target


def memory(args: argparse.Namespace) -> None:
    """Wall seconds and the peak memory of a whole training."""
    with tempfile.TemporaryDirectory() as folder:
        cube, target = make(Path(folder), args.pixels, args.bands, args.outputs)
        command = [sys.executable, "-m", "bandfuse", "train", cube, "--target", target]
        command += ["-o", str(Path(folder) / "run"), "--no-fused", "--no-report", "--loss", "huber"]
        command += ["--sample", str(args.pixels), *args.more.split()]
        start = time.perf_counter()
        child = subprocess.Popen(command)
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"failed: {' '.join(command)}")
        seconds, peak = time.perf_counter() - start, usage.ru_maxrss / 2**20
        say(f"train --sample {args.pixels}: peak {peak:.2f} GB, {seconds:.0f} s")


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def clocked(*works: Callable[[], object]) -> list[float]:
    """The median seconds of calls that take turns, after two turns that warm up."""
    seconds: list[list[float]] = []
    for _ in range(ROUNDS + 2):
        seconds.append([])
        for work in works:
            start = time.perf_counter()
            work()
            seconds[-1].append(time.perf_counter() - start)
    return [statistics.median(each) for each in zip(*seconds[2:], strict=True)]


def products(x: torch.Tensor, outputs: int) -> Callable[[], object]:
    """The bare products of a batch: forward, and backward to the weights."""
    weight = torch.zeros(outputs, x.shape[1], dtype=x.dtype, requires_grad=True)
    above = torch.ones(len(x), outputs, dtype=x.dtype)

    def work() -> None:
        weight.grad = None
        (x @ weight.T).backward(above)

    return work


def steps(args: argparse.Namespace) -> None:
    """A step on all pixels, and one on a batch, beside the products of the same pixels."""
    random, threads = np.random.default_rng(0), torch.get_num_threads()
    size = args.bands + args.outputs
    sample = random.standard_normal((args.pixels, size), dtype=np.float32)
    mean = np.zeros(args.bands)
    objective = SampledRegression(
        sample, args.bands, mean, "identity", loss="huber", threads=threads
    )
    group = Group("all", tuple(range(args.bands)))
    layout = within([group], args.bands, "channel", set(), [0] * args.outputs)
    module = Weights(layout, "nonnegative", level=np.zeros(args.outputs), copies=1)
    module.start(np.full((1, layout.size), 1 / args.bands))
    x = torch.as_tensor(sample[:, : args.bands].copy())
    optimizer = torch.optim.Adam(module.parameters())
    order = torch.as_tensor(random.permutation(args.pixels))

    def step(index: torch.Tensor | None) -> None:
        seen = objective if index is None else objective.batch(index)
        torch.set_num_threads(1)
        optimizer.zero_grad()
        seen.losses(*module()).sum().backward()
        optimizer.step()
        torch.set_num_threads(threads)

    for name, index in (("all pixels", None), ("a batch", order[: args.batch])):
        count = args.pixels if index is None else len(index)
        batch = x if index is None else x[index]
        ours, bare = clocked(partial(step, index), products(batch, args.outputs))
        times = f"{1e3 * ours:.1f} ms a step, {1e3 * bare:.1f} ms bare"
        say(f"{name} ({count}): {times}: {ours / bare:.2f}")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pixels", type=int, default=200_000)
    parser.add_argument("--bands", type=int, default=224)
    parser.add_argument("--outputs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=65_536)
    parser.add_argument("--only", default="memory,steps")
    parser.add_argument("--more", default="--optimizer adam --steps 50 --folds 2")
    args = parser.parse_args()
    if "steps" in args.only:
        steps(args)
    if "memory" in args.only:
        memory(args)


if __name__ == "__main__":
    main()
