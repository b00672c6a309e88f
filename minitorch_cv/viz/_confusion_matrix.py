"""A confusion matrix as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ._style import as_array, canvas

_MOST_WITH_NUMBERS = 20


def confusion_matrix(
    matrix: Any, names: Sequence[str] | None = None, ax: Axes | None = None, title: str = ""
) -> Figure:
    """Which classes are taken for which: counts as numbers, the share of the row's class as lightness.

    matrix: entry (i, j) counts images of class i that were predicted as j, as `training.confusion_matrix` returns it.
    Raises: ValueError for a matrix that is not square, or another number of names.
    """
    matrix = as_array(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"confusion_matrix: matrix expects shape (classes, classes); it is {matrix.shape}")
    classes = len(matrix)
    labels = [str(i) for i in range(classes)] if names is None else [str(name) for name in names]
    if len(labels) != classes:
        raise ValueError(f"confusion_matrix: names expects {classes}, one for each class; there are {len(labels)}")
    side = min(2.2 + 0.42 * classes, 9.0)
    figure, axes = canvas(ax, side + 0.8, side)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="share of the true class", format=PercentFormatter(1.0), shrink=0.8)
    if classes <= _MOST_WITH_NUMBERS:
        for i, j in np.argwhere(matrix):
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", color=color, fontsize=8)
    steep = max(map(len, labels)) > 3
    step = max(1, classes // 50)
    ticks = range(0, classes, step)
    axes.set_xticks(ticks, labels[::step], rotation=90 if steep else 0, fontsize=8)
    axes.set_yticks(ticks, labels[::step], fontsize=8)
    right, total = int(np.trace(matrix)), int(matrix.sum())
    verdict = f"{right:,} of {total:,} right ({right / max(total, 1):.1%})"
    axes.set(xlabel="predicted", ylabel="true", title=f"{title}\n{verdict}" if title else verdict)
    return figure
