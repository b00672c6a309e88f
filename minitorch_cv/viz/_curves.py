"""Learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ._style import COLORS, DASHES, MARKERS, NotebookFigure, as_array, canvas, plain_axes

_NOT_DRAWN = ("epoch", "lr", "seconds", "images_per_second")
_MOST_MARKERS = 25


def curves(
    series: Any,
    x: Any = None,
    ax: Axes | None = None,
    xlabel: str = "epoch",
    ylabel: str = "",
    title: str = "",
    log: bool = False,
    percent: bool = False,
) -> Figure:
    """Lines of named series, or the learning curves of a training run.

    series: a `training.History`, which gives a panel for each kind of measurement, with training solid and test dashed;
        or a mapping of names to values, or to pairs (x, values), which gives one panel.
    x: where the values lie; 1, 2, 3, ... where it is None.
    ax: where to draw; a History is then drawn in it as a whole.
    log: a logarithmic vertical axis, where a value is above 0. percent: shares are written in per cent.
    Raises: TypeError for other series; ValueError where there is nothing to draw, or x and values differ in length.

    >>> figure = curves({"ReLU": [1.0, 0.3, 0.1], "tanh": [1.0, 0.6, 0.4]}, ylabel="training loss", log=True)
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['ReLU', 'tanh']
    """
    if not hasattr(series, "keys"):
        raise TypeError(f"curves: series expects a History or a mapping of names to values; it is {series!r:.60}")
    names = list(series.keys())
    if not names or not any(np.size(series[name]) for name in names):
        raise ValueError("curves: series expects at least one value; there is none")
    if "epoch" not in names:
        figure, ax = canvas(ax, 6.0, 3.6)
        for number, name in enumerate(names):
            where, values = _points(name, series[name], x)
            _line(ax, where, values, name, number, number, number)
        _finish(ax, xlabel, ylabel, title, log, percent)
        return figure
    return _learning_curves(series, names, ax, xlabel, title, log)


def _learning_curves(series: Any, names: list[str], ax: Axes | None, xlabel: str, title: str, log: bool) -> Figure:
    panels: dict[str, list[str]] = {}
    for name in names:
        if name not in _NOT_DRAWN:
            panels.setdefault(_panel(name), []).append(name)
    if not panels:
        raise ValueError(f"curves: series expects a measurement besides {', '.join(names)}; there is none")
    if ax is None:
        figure = NotebookFigure(figsize=(4.6 * len(panels), 3.4), layout="constrained")
        axes: Sequence[Axes] = list(figure.subplots(1, len(panels), squeeze=False)[0])
    else:
        figure, axes = canvas(ax, 0, 0)[0], [ax] * len(panels)
    for panel_axes, (panel, members) in zip(axes, panels.items(), strict=True):
        bases = list(dict.fromkeys(name.removeprefix("test_") for name in members))
        for name in members:
            base, test = name.removeprefix("test_"), name.startswith("test_")
            label = f"{'test' if test else 'training'} {_readable(base)}"
            color = bases.index(base) if ax is None else names.index(base)
            _line(
                panel_axes,
                *_points(name, series[name], series["epoch"]),
                label,
                color,
                int(test),
                2 * color + int(test),
            )
        _finish(panel_axes, xlabel, panel, "", log and panel == "loss", panel == "accuracy")
    if title:
        figure.suptitle(title) if ax is None else ax.set_title(title)
    return figure


def _panel(name: str) -> str:
    base = name.removeprefix("test_")
    return "accuracy" if base.startswith("top") else base


def _readable(name: str) -> str:
    return f"top-{name[3:]}" if name.startswith("top") and name[3:].isdigit() else name


def _points(name: str, values: Any, x: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(values, tuple) and len(values) == 2 and np.ndim(values[0]) == 1:
        x, values = values
    values = as_array(values)
    where = np.arange(1, len(values) + 1) if x is None else as_array(x)
    if values.ndim != 1 or where.shape != values.shape:
        raise ValueError(f"curves: {name!r} of shape {values.shape} expects x of its shape; it is {where.shape}")
    return where, values


def _line(ax: Axes, x: np.ndarray, y: np.ndarray, label: str, color: int, dash: int, marker: int) -> None:
    ax.plot(
        x,
        y,
        color=COLORS[color % len(COLORS)],
        linestyle=DASHES[dash % len(DASHES)],
        marker=MARKERS[marker % len(MARKERS)],
        markevery=max(1, len(x) // _MOST_MARKERS),
        markersize=4,
        linewidth=1.6,
        label=label,
    )


def _finish(ax: Axes, xlabel: str, ylabel: str, title: str, log: bool, percent: bool) -> None:
    plain_axes(ax)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if log and any((np.asarray(line.get_ydata(), dtype=np.float64) > 0).any() for line in ax.lines):
        ax.set_yscale("log")
    if percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    if xlabel in ("epoch", "step"):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
