"""What all figures share: colours, dashes, markers, and the figure to draw in."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._device import to_numpy
from .._tensor import Tensor

# Okabe and Ito's colours, in an order in which neighbours differ in lightness as well.
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
    "#000000",
)
COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#666666"


class NotebookFigure(Figure):
    """A Figure that a notebook shows as the last value of a cell, whether or not pyplot is loaded there."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight")
        return picture.getvalue()


def canvas(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """The Axes to draw in and its Figure: `ax`, or a new one of `width` by `height` inches.

    A new Figure is made without pyplot, so that none is kept alive and no window can open.
    """
    if ax is not None:
        return ax.get_figure(root=True), ax  # pyright: ignore[reportReturnType]
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def plain_axes(ax: Axes) -> None:
    """Lines on two sides, a faint grid, so that the data stand out."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, linewidth=0.4, color="#CCCCCC")
    ax.set_axisbelow(True)


def as_array(value: Any) -> np.ndarray:
    """A Tensor's or an array's values as a NumPy array."""
    return to_numpy(value.data) if isinstance(value, Tensor) else np.asarray(value)
