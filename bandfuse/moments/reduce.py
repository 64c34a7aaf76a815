"""Reduce: one pass over a scene, wherever its pixels are added up."""

from __future__ import annotations

from collections.abc import Sequence

from bandfuse.moments.gram import CPU
from bandfuse.moments.on_cpu import OnCpu
from bandfuse.moments.tally import Question, Route, Tally
from bandfuse.progress import Progress, silent
from bandfuse.streaming.stream import Source, each_window
from bandfuse.streaming.windows import Window, pixels_of


def route_of(question: Question, most: int) -> Route:
    """Where at most so many pixels are added up: on the device that is asked for. What it cannot do
    is done on the CPU, and the tally says why.

    Raises
    ------
    ConfigError : the device has too little free memory.
    """
    if question.gram.device == CPU:
        return OnCpu(question, most)
    # Torch takes seconds to import.
    from bandfuse.moments.on_device.route import OnDevice, cpu_because

    why = cpu_because(question)
    return OnCpu(question, most, why) if why else OnDevice(question, most)


def reduce_windows(
    source: Source,
    question: Question,
    windows: Sequence[Window],
    *,
    threads: int,
    progress: Progress = silent,
    label: str = "read",
) -> Tally:
    """One pass over a scene.

    The bits of the result do not depend on the windows or threads: moments add up in one fixed
    order, those of cells down each column of stacks, then those of columns from left to right of a
    block. Windows must come row by row.

    Raises
    ------
    ConfigError : the device has too little free memory.
    """
    route = route_of(question, pixels_of(windows))
    for window, part in each_window(
        windows,
        lambda window: route.read(source, window),
        threads=threads,
        progress=progress,
        label=label,
    ):
        route.add(window, part)
    return route.result()
