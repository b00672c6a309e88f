"""A model's ledger as a figure."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ._style import BLUE, GREEN, ORANGE, NotebookFigure, plain_axes

_PANELS = (
    ("parameters", "parameters", BLUE),
    ("multiply_adds", "multiply-adds", ORANGE),
    ("activation_bytes", "activation, bytes", GREEN),
)


def ledger(counted: Any, title: str = "") -> Figure:
    """Where a model has its parameters, its work and its memory: a bar for each layer (`models.ledger`).

    Layers that neither learn nor multiply are left out.
    Raises: ValueError where no layer is left.
    """
    rows = [row for row in counted.rows if row.parameters or row.multiply_adds]
    if not rows:
        raise ValueError("ledger: counted expects at least one layer with parameters or multiply-adds")
    figure = NotebookFigure(figsize=(9.6, max(2.4, 0.9 + 0.17 * len(rows))), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True, squeeze=False)[0]
    places = range(len(rows))
    for ax, (name, label, color) in zip(axes, _PANELS, strict=True):
        ax.barh(places, [getattr(row, name) for row in rows], color=color, height=0.72)
        plain_axes(ax)
        total, drawn = getattr(counted, name), sum(getattr(row, name) for row in rows)
        ax.set(xlabel=label, title=f"{total:,}" + (f", {drawn:,} of it here" if drawn != total else ""))
        ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
        ax.title.set_fontsize(9)
    axes[0].set_yticks(list(places), [row.name for row in rows], fontsize=7)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    figure.suptitle(title or f"{counted.model}, input {' x '.join(map(str, counted.input_shape))}", fontsize=11)
    return figure
