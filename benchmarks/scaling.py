"""How a training step's time grows with the batch and with the image: a kernel that stops suiting shows as a cliff."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alternate import alternate
from steps import JOBS, OURS, TORCH, batches, images, initial_weights, make_side, stepper

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SIZES = (32, 64, 96, 128, 160, 192, 224, 256)
CLIFF = 1.3
"""A size is a cliff where an image (a pixel) takes so many times as long as at the best smaller size. Points that were
measured beside other processes are not judged."""


def series(name: str, sizes: tuple[int, ...], draw: Callable[[int], tuple[Callable, int, float]]) -> list[Any]:
    """A point for each size; `draw(size)` gives the batches, images in one, and units of work in one."""
    job = JOBS[name]
    weights = initial_weights(job)
    sides = {kind: make_side(kind, job, weights) for kind in (OURS, TORCH)}
    points: list[dict[str, Any]] = []
    best: dict[str, float] = {}
    for size in sizes:
        batch, count, units = draw(size)
        drawn = batches(dataclasses.replace(job, batch=batch), 2)
        times = alternate({kind: stepper(side, drawn) for kind, side in sides.items()}, 3, seconds=0.1)
        cost = {kind: seconds / units for kind, seconds in times.median.items()}
        cliff = [kind for kind in cost if kind in best and cost[kind] > CLIFF * best[kind]]
        if times.foreign_load:
            cliff = []  # it may be the other processes' doing
        best = {kind: min(cost[kind], best.get(kind, cost[kind])) for kind in cost}
        told = {"size": size, "images": count, "seconds": times.median, "cliff": cliff}
        points.append({**told, "foreign load": times.foreign_load})
    return points


def measured(environment: dict[str, Any]) -> dict[str, Any]:
    return {
        "series": [
            {
                "title": "ResNet-20, 32x32",
                "over": "batch",
                "points": series("resnet20", BATCHES, lambda n: (images(n, 32, 10), n, n)),
            },
            {
                "title": "ResNet-18, batch 4",
                "over": "image size",
                "points": series("resnet18", SIZES, lambda size: (images(4, size, 1000), 4, 4 * size**2)),
            },
        ],
        "environment": environment,
    }


def draw(found: dict[str, Any], path: Path) -> None:
    """Milliseconds an image; over image sizes, milliseconds a million pixels."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, ScalarFormatter

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, one in zip(figure.subplots(1, 2), found["series"], strict=True):
        by_pixel = one["over"] == "image size"
        for kind, colour, marker in ((OURS, "#0072B2", "o"), (TORCH, "#D55E00", "s")):
            x = [point["size"] for point in one["points"]]
            units = [p["images"] * (p["size"] ** 2 / 1e6 if by_pixel else 1.0) for p in one["points"]]
            y = [1e3 * p["seconds"][kind] / n for p, n in zip(one["points"], units, strict=True)]
            axes.plot(x, y, marker=marker, color=colour, label=kind)
        axes.set(
            xscale="log" if not by_pixel else "linear",
            yscale="log",
            xlabel=one["over"],
            ylabel="ms a million pixels" if by_pixel else "ms an image",
            title=one["title"],
        )
        axes.set_xticks(x, [str(value) for value in x], minor=False)
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, linewidth=0.4, color="#CCCCCC")
        axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.tmp{path.suffix}")
    figure.savefig(temporary, dpi=110)
    os.replace(temporary, path)
