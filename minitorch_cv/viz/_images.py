"""Images, filters and feature maps as mosaics in one Axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import as_array, canvas

_TITLE_POINTS = 8.0
_POINTS_PER_INCH = 72.0
_FINEST_TILE = 24


def image_grid(
    images: Any,
    columns: int | None = None,
    titles: Sequence[Any] | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Figure:
    """Images side by side, each with its title above it.

    Shapes: images (N, 1, H, W), (N, 3, H, W) or (N, H, W).
    Units: `limits` are the values shown as black and white: 0 .. 255 for uint8, 0 .. 1 for floats that lie in it;
        otherwise, as for normalised images, the smallest and the largest value of all.
    Raises: ValueError for other shapes, or another number of titles.
    """
    images = as_array(images)
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise ValueError(
            f"image_grid: images expects shape (N, 1, H, W), (N, 3, H, W) or (N, H, W), N >= 1; it is {images.shape}"
        )
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"image_grid: titles expects {len(images)}, one for each image; there are {len(titles)}")
    low, high = _limits(images) if limits is None else limits
    scaled = np.clip((images.astype(np.float64) - low) / max(high - low, 1e-12), 0.0, 1.0)
    return _mosaic(scaled, columns, None if titles is None else [str(t) for t in titles], ax, title)


def filters(weight: Any, columns: int | None = None, ax: Axes | None = None, title: str = "") -> Figure:
    """The filters of a convolution, such as the first of AlexNet (figure 3 of the paper).

    Each filter is scaled by its largest absolute weight: middle grey is 0, white (or full colour) positive, black
    negative. Filters of three channels are shown in colour, others as a row of grey pictures, one for each channel.
    Shapes: weight (O, C, kh, kw).
    Raises: ValueError for another shape.
    """
    weight = as_array(weight)
    if weight.ndim != 4 or not weight.size:
        raise ValueError(f"filters: weight expects shape (O, C, kh, kw); it is {weight.shape}")
    largest = np.maximum(abs(weight).max(axis=(1, 2, 3), keepdims=True), 1e-12)
    scaled = 0.5 + 0.5 * weight.astype(np.float64) / largest
    out, channels, height, width = scaled.shape
    if channels not in (1, 3):
        return _mosaic(scaled.reshape(out * channels, 1, height, width), columns or channels, None, ax, title)
    return _mosaic(scaled, columns, None, ax, title)


def feature_maps(
    maps: Any, columns: int | None = None, titles: Sequence[Any] | None = None, ax: Axes | None = None, title: str = ""
) -> Figure:
    """The channels of an activation, on one scale, with its colour bar.

    Shapes: maps (C, H, W), or (1, C, H, W).
    Raises: ValueError for another shape, or another number of titles.
    """
    maps = as_array(maps)
    given = maps.shape
    if maps.ndim == 4 and len(maps) == 1:
        maps = maps[0]
    if maps.ndim != 3 or not maps.size:
        raise ValueError(f"feature_maps: maps expects shape (C, H, W) or (1, C, H, W); it is {given}")
    if titles is not None and len(titles) != len(maps):
        raise ValueError(f"feature_maps: titles expects {len(maps)}, one for each channel; there are {len(titles)}")
    limits = float(maps.min()), float(maps.max())
    return _mosaic(maps[:, None], columns, None if titles is None else [str(t) for t in titles], ax, title, limits)


def _limits(images: np.ndarray) -> tuple[float, float]:
    if images.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(images.min()), float(images.max())
    return (0.0, 1.0) if low >= 0.0 and high <= 1.0 else (low, high)


def _mosaic(
    tiles: np.ndarray,
    columns: int | None,
    titles: list[str] | None,
    ax: Axes | None,
    title: str,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw tiles (N, 1 or 3, H, W) row by row; grey in 0 .. 1, or in colours that span `limits` with their bar."""
    fine = -(-_FINEST_TILE // tiles.shape[-1])  # so that the gaps can be narrow between tiles of few pixels
    tiles = tiles.repeat(fine, axis=2).repeat(fine, axis=3)
    count, channels, height, width = tiles.shape
    if columns is not None and columns < 1:
        raise ValueError(f"images: columns expects 1 or more; it is {columns}")
    across = min(count, columns or math.ceil(math.sqrt(count * 1.6)))
    rows = -(-count // across)
    inches = min(1.3, max(0.35, 9.0 / across))  # the width of a tile
    gap = max(1, round(0.06 * width))
    above = math.ceil(1.7 * _TITLE_POINTS / _POINTS_PER_INCH / inches * width) if titles else gap
    picture = np.full((rows * (height + above), across * (width + gap) - gap, channels), np.nan)
    corners = []
    for number, tile in enumerate(tiles):
        top = (number // across) * (height + above) + above
        left = (number % across) * (width + gap)
        picture[top : top + height, left : left + width] = tile.transpose(1, 2, 0)
        corners.append((top, left))
    if not titles:
        picture = picture[above:]
    per_pixel = inches / width
    size = (
        picture.shape[1] * per_pixel + (0.9 if limits else 0.1),
        picture.shape[0] * per_pixel + (0.35 if title else 0.1),
    )
    figure, axes = canvas(ax, max(size[0], 1.6), max(size[1], 0.8))
    if limits is not None:
        image = axes.imshow(picture[..., 0], cmap="viridis", vmin=limits[0], vmax=limits[1], interpolation="nearest")
        figure.colorbar(image, ax=axes, shrink=0.9, label="activation")
    elif channels == 1:
        axes.imshow(picture[..., 0], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    else:
        axes.imshow(np.where(np.isnan(picture), 1.0, picture), interpolation="nearest")
    for (top, left), text in zip(corners, titles or []):
        axes.text(
            left + (width - 1) / 2, top - 0.2 * above - 0.5, text, ha="center", va="bottom", fontsize=_TITLE_POINTS
        )
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=10)
    return figure
