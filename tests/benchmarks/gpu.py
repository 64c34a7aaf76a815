"""`make bench-gpu`: whole commands on the CPU, on a GPU, and where bandfuse decides, in one table;
before it the numbers by which bandfuse decides, measured on this machine.

Usage: ``gpu.py [--gb 0.001,0.25,1] [--runs 3]``. Makes cubes of 224 int16 bands in a temporary
folder. Without a GPU it says at once what is missing. Times are of files in the page cache."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from cubes import make
from run import BANDFUSE, Job, apart, clock
from safetensors.numpy import load_file

from bandfuse import device

DEVICES = ("cpu", "cuda", "auto")
LEAST = ["--no-fused", "--no-report"]
SAMPLED = ["--loss", "huber", "--optimizer", "adam", "--sample", "2000000", "--steps", "1000"]
KINDS = {
    "train, default": [],
    "train, weights only": [*LEAST, "--folds", "0"],
    "train, huber on 2 M pixels": [*SAMPLED, "--batch-size", "65536", *LEAST, "--folds", "0"],
}
HEAD = (
    *("GB", "command", "device", "seconds", "MB", "ratio", "weights differ", "same bits"),
    *("ran on", "aim"),
)
AIM = {"train, huber on 2 M pixels": "cuda at most 1/20 of cpu"}


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    """The median time of some work."""
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def constants() -> dict[str, tuple[float, float]]:
    """By name what bandfuse takes for each number of its rule, and what it is here."""
    import torch

    z = np.random.default_rng(0).standard_normal((224, 4096))
    size, steps = 256 * 2**20, 1000
    there, one = torch.zeros(size, dtype=torch.uint8).pin_memory(), torch.zeros(1, device="cuda")

    def travel() -> None:
        there.to("cuda")
        torch.cuda.synchronize()

    def launch() -> None:
        for _ in range(steps):
            one.add_(1.0)
        torch.cuda.synchronize()

    return {
        "CPU_FLOPS": (device.CPU_FLOPS, 2.0 * 224**2 * 4096 / seconds(lambda: z @ z.T)),
        "GPU_FLOPS": (device.GPU_FLOPS, device.tried("cuda").flops),
        "LINK": (device.LINK, size / seconds(travel)),
        "LAUNCH": (device.LAUNCH, seconds(launch) / steps),
        "START": (device.START, _start()),
    }


def _start() -> float:
    """Seconds to import torch and to start the GPU, beside those of Python alone."""
    begin = "import torch; float((torch.ones(8, 8, device='cuda') @ torch.ones(8, 8).cuda())[0, 0])"
    jobs = [Job([sys.executable, "-c", code]) for code in (begin, "import numpy")]
    for job in jobs * 3:
        clock(job, Path.cwd())
    return statistics.median(jobs[0].seconds) - statistics.median(jobs[1].seconds)


def rows(gb: float, runs: int, folder: Path) -> list[str]:
    """The table of one size: seconds and peak memory on each device, ratios to the CPU, and whether
    the weights are those of the CPU and the same on every run."""
    found = []
    for kind, flags in KINDS.items():
        jobs = {
            where: Job([*_command(flags), "-o", f"run-{where}", "--device", where])
            for where in DEVICES
        }
        bits: dict[str, set[bytes]] = {where: set() for where in DEVICES}
        for _ in range(runs):
            for where, job in jobs.items():
                clock(job, folder)
                bits[where].add((folder / f"run-{where}" / "weights.safetensors").read_bytes())
        median = {where: statistics.median(job.seconds) for where, job in jobs.items()}
        weights = {w: load_file(folder / f"run-{w}" / "weights.safetensors") for w in DEVICES}
        for where, job in jobs.items():
            apart_by = np.abs(weights[where]["weight"] - weights["cpu"]["weight"]).max()
            report = json.loads((folder / f"run-{where}" / "report.json").read_text())
            ran = {part: row["device"] for part, row in report["device"].items()}
            found.append(
                f"| {gb:g} | {kind} | {where} | {median[where]:.2f} | {max(job.memory):.0f} | "
                f"{median[where] / median['cpu']:.2f} × cpu | {apart_by:.1e} | "
                f"{len(bits[where]) == 1} | {ran} | {AIM.get(kind, '')} |"
            )
    return found


def write_targets(folder: Path) -> None:
    """Eight targets: means of 28 neighbouring bands."""
    with rasterio.open(folder / "tiled-band.tif") as cube:
        means = [cube.read(range(at + 1, at + 29)).mean(axis=0) for at in range(0, 224, 28)]
        profile = cube.profile | {"count": len(means), "dtype": "float32"}
    with rasterio.open(folder / "eight.tif", "w", **profile) as file:
        file.write(np.stack(means).astype(np.float32))


def _command(flags: list[str]) -> list[str]:
    target = ["--target", "eight.tif", "--overwrite"]
    return [*BANDFUSE, "train", "tiled-band.tif", *target, *flags]


def main() -> None:
    """Print the numbers of the rule and the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gb", default="0.001,0.25,1")
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    card = device.tried("cuda")
    if card.trouble:
        raise SystemExit(f"There is no CUDA GPU to measure: {card.trouble}.")
    print(f"{card.name}\n\n| number | taken for | here |\n|---|---|---|")  # noqa: T201
    for name, (taken, here) in constants().items():
        print(f"| {name} | {taken:.3g} | {here:.3g} |")  # noqa: T201
    head = (
        "GB | command | device | seconds | MB | ratio | weights differ | same bits | ran on | aim"
    )
    print(f"\n| {head} |\n|{'---|' * 10}")  # noqa: T201
    for gb in map(float, given.gb.split(",")):
        with tempfile.TemporaryDirectory() as name:
            apart(make, Path(name), gb)
            write_targets(Path(name))
            print("\n".join(rows(gb, given.runs, Path(name))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
