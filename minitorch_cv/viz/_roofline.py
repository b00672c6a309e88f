"""The roofline: what a processor's peak and its memory allow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import COLORS, DASHES, GREY, MARKERS, canvas, plain_axes


def roofline(
    roofs: Mapping[str, tuple[float, float]],
    points: Mapping[str, tuple[float, float | None]],
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """The speed that a program of each intensity can reach, min(peak, intensity * bandwidth), and where programs are.

    roofs: for each name the peak in operations a second, and the bandwidth in bytes a second. points: for each name
    its intensity, operations a byte, and its speed; None for one that was not measured, drawn hollow on the first roof.
    Raises: ValueError where there is no roof, or a number is not positive.
    """
    numbers = [n for pair in (*roofs.values(), *points.values()) for n in pair if n is not None]
    if not roofs or not all(n > 0 for n in numbers):
        raise ValueError("roofline: roofs expects at least one, and all numbers positive")
    figure, axes = canvas(ax, 8.4, 4.8)
    ridges = [peak / bandwidth for peak, bandwidth in roofs.values()]
    places = [intensity for intensity, _ in points.values()]
    low, high = min((*ridges, *places)) / 3, max((*ridges, *places)) * 10
    intensity = np.geomspace(low, high, 400)
    for (name, (peak, bandwidth)), dashes in zip(roofs.items(), DASHES * len(roofs)):
        axes.loglog(intensity, np.minimum(peak, bandwidth * intensity) / 1e12, color="black", linestyle=dashes)
        axes.annotate(
            name,
            (high, peak / 1e12),
            (-2, 3),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85},
        )
    peak, bandwidth = next(iter(roofs.values()))
    for i, (name, (place, speed)) in enumerate(points.items()):
        color, bound = COLORS[i % len(COLORS)], min(peak, bandwidth * place)
        axes.plot([place] * 2, [1e-6, bound / 1e12], color=color, linewidth=0.8, alpha=0.6)
        height = bound if speed is None else speed
        axes.plot(
            place, height / 1e12, MARKERS[i % len(MARKERS)], markersize=8, color=color, label=f"{name}: {place:.3g}",
            markerfacecolor="white" if speed is None else color, linestyle="none",
        )  # fmt: skip
    lowest = min((*places, *ridges)) * bandwidth / 1e12
    speeds = [speed / 1e12 for _, speed in points.values() if speed is not None]
    axes.set(xlim=(low, high), ylim=(min((lowest, *speeds)) / 3, max(p for p, _ in roofs.values()) / 1e12 * 4))
    axes.set(xlabel="intensity (operations / byte)", ylabel="Tflop/s", title=title)
    plain_axes(axes)
    if points:
        legend = axes.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, title="operations / byte", alignment="left"
        )
        legend.get_title().set_color(GREY)
    return figure
