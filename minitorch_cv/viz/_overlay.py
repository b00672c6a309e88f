"""Pictures of what `_attribution` finds, and of what a classifier says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import BLUE, GREY, NotebookFigure, as_array, canvas, plain_axes


def overlay(
    image: Any,
    values: Any,
    ax: Axes | None = None,
    title: str = "",
    label: str = "",
    opacity: float = 0.55,
    windows: tuple[int, int] | None = None,
) -> Figure:
    """A map of values over the image that it was made of, with its colour bar.

    The map is stretched to the image's size, or, where `windows` gives the size and stride of the squares of pixels to
    which the values belong (as for `occlusion`), each value lies in the middle of its square.
    Shapes: image (C, H, W) or (1, C, H, W) with one or three channels, values (h, w).
    Units: the image is shown from its smallest to its largest value, uint8 and 0 .. 1 as they are.
    Raises: ValueError for other shapes.
    """
    picture, values = shown("overlay", image), as_array(values)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"overlay: values expects shape (h, w); it is {values.shape}")
    figure, axes = canvas(ax, 4.2, 3.6)
    height, width = picture.shape[:2]
    axes.imshow(picture.mean(axis=2), cmap="gray", vmin=0, vmax=1)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    if windows is not None:
        size, stride = windows
        first = (size - stride) / 2 - 0.5  # where the part begins that is nearer to the first middle than to another
        extent = (first, first + values.shape[1] * stride, first + values.shape[0] * stride, first)
    drawn = axes.imshow(values, cmap="viridis", alpha=opacity, extent=extent, interpolation="bilinear")
    bar = figure.colorbar(drawn, ax=axes, shrink=0.85, label=label)
    bar.solids.set_alpha(1.0)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)
    return figure


def signed(values: Any, ax: Axes | None = None, title: str = "") -> Figure:
    """A gradient or a pattern as a picture: middle grey is zero, the largest absolute value black or white.

    Shapes: values (C, H, W) with one or three channels, which are shown in colour.
    Raises: ValueError for another shape.
    """
    values = as_array(values)
    if values.ndim != 3 or values.shape[0] not in (1, 3) or not values.size:
        raise ValueError(f"signed: values expects shape (1, H, W) or (3, H, W); it is {values.shape}")
    scaled = 0.5 + 0.5 * values.transpose(1, 2, 0) / max(float(np.abs(values).max()), 1e-12)
    figure, axes = canvas(ax, 3.4, 3.6)
    axes.imshow(scaled[..., 0] if scaled.shape[2] == 1 else scaled, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)
    return figure


def top_classes(image: Any, probabilities: Sequence[tuple[str, float]], title: str = "") -> Figure:
    """A photograph, and beside it its most probable classes as bars.

    Shapes: image (C, H, W) or (1, C, H, W) with one or three channels.
    Units: probabilities in 0 .. 1.
    Raises: ValueError for another shape.
    """
    picture = shown("top_classes", image)
    figure = NotebookFigure(figsize=(8.0, max(3.4, 0.9 + 0.45 * len(probabilities))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.3))
    left.imshow(picture)
    left.set_axis_off()
    left.set_title(title, fontsize=10, parse_math=False)
    places = np.arange(len(probabilities))[::-1]
    shares = [share for _, share in probabilities]
    right.barh(places, shares, color=BLUE, height=0.62)
    for place, (name, share) in zip(places, probabilities, strict=True):
        right.text(0.0, place + 0.33, name, va="bottom", ha="left", fontsize=9, parse_math=False)
        right.text(share + 0.01, place, f"{share:.1%}", va="center", fontsize=8.5, color=GREY)
    plain_axes(right)
    right.set(xlim=(0, 1.12), ylim=(-0.6, len(probabilities) - 0.1), yticks=[], xlabel="probability")
    right.set_xticks(np.linspace(0, 1, 6))
    return figure


def shown(name: str, image: Any) -> np.ndarray:
    """An image as matplotlib wants it: (H, W, 3) in 0 .. 1."""
    image = as_array(image)
    image = image[0] if image.ndim == 4 and len(image) == 1 else image
    if image.ndim != 3 or image.shape[0] not in (1, 3) or not image.size:
        raise ValueError(f"{name}: image expects shape (C, H, W) with one or three channels; it is {image.shape}")
    low, high = (0, 255) if image.dtype == np.uint8 else (float(image.min()), float(image.max()))
    if image.dtype != np.uint8 and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = (image.astype(np.float64) - low) / max(high - low, 1e-12)
    return np.repeat(scaled, 3 // len(scaled), axis=0).transpose(1, 2, 0)
