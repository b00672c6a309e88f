"""Images made larger or smaller: nearest neighbour and bilinear interpolation."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from .._namespace import raw, xp_of
from .._op import op
from .shape import getitem


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None):
    r"""An image at another size, by its nearest pixels ("nearest") or by weights over the four around ("bilinear").

    Forward:   nearest: y[p,q] = x[floor(p r), floor(q r)], r the ratio of input to output size (1 / scale_factor where
               that is given); bilinear: y[p,q] = \sum_{h,v} a[p,h] b[q,v] x[h,v], a[p,h] = max(0, 1 - |s_p - h|) with
               the source s_p = (p + 1/2) r - 1/2 held within the image, or p (H - 1) / (oh - 1) where align_corners
    Backward:  dx[h,v] = \sum_{p,q} a[p,h] b[q,v] dy[p,q]; nearest: dy added up at the pixels that were taken
    Shapes:    x (N, C, H, W), y (N, C, oh, ow) with oh = floor(H scale_factor), or of `size`
    Units:     size in pixels, scale_factor without unit; one number or a pair (height, width)
    Raises:    ValueError where x has not four axes, unless exactly one of size and scale_factor is given, for a size
               below 1, for an unknown mode, and for align_corners with "nearest"
    """
    name = "interpolate"
    if x.ndim != 4 or not x.size:
        raise ValueError(f"{name}: x expects four axes (N, C, H, W), none of them empty; it is {x.shape}")
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"{name}: mode expects 'nearest' or 'bilinear'; it is {mode!r}")
    if align_corners is not None and mode == "nearest":
        raise ValueError(f"{name}: align_corners expects mode='bilinear'; the mode is 'nearest'")
    targets, ratios = _targets(name, x.shape[2:], size, scale_factor)
    if mode == "nearest":
        rows, columns = (
            np.minimum(np.floor(np.arange(m) * r), n - 1).astype(np.int64)
            for m, r, n in zip(targets, ratios, x.shape[2:])
        )
        return getitem(x, (slice(None), slice(None), rows[:, None], columns))
    weights = [_bilinear_weights(n, m, r, bool(align_corners)) for n, m, r in zip(x.shape[2:], targets, ratios)]
    rows, columns = (raw(lambda v, w=w: xp_of(v).asarray(w, dtype=v.dtype), x) for w in weights)
    return weigh_rows_and_columns(x, rows, columns)


@op(linear_in=("x",))
def weigh_rows_and_columns(x, rows, columns):
    r"""Sums over rows and over columns with the weights of two matrices: what bilinear interpolation records.

    Forward:   y[p,q] = \sum_{h,v} a[p,h] x[h,v] b[q,v], that is y = a x b^T
    Backward:  dx = a^T dy b: the same with transposed matrices
    Shapes:    x (N, C, H, W), rows a (oh, H), columns b (ow, W), y (N, C, oh, ow)
    """

    def weigh(x, rows, columns):
        return rows @ x @ columns.T

    def backward(dy):
        return weigh_rows_and_columns(dy, rows.T, columns.T)

    return raw(weigh, x, rows, columns), backward


def _targets(name: str, image: tuple, size: Any, scale_factor: Any) -> tuple[tuple[int, int], tuple[float, float]]:
    """The output's height and width, and how many input pixels one of its pixels spans in each."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{name}: expects one of size and scale_factor; they are {size} and {scale_factor}")
    if size is not None:
        given = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        targets = tuple(operator.index(n) for n in given)
        ratios = tuple(n / m if m else math.inf for n, m in zip(image, targets))
    else:
        given = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor, scale_factor)
        targets = tuple(math.floor(n * s) for n, s in zip(image, given))
        ratios = tuple(1 / s if s > 0 else math.inf for s in given)
    if len(targets) != 2 or min(targets) < 1:
        what = "size" if size is not None else "scale_factor"
        raise ValueError(
            f"{name}: {what} expects an output of at least 1 x 1; it is {given}, x is {image[0]} x {image[1]}"
        )
    return targets, ratios  # pyright: ignore[reportReturnType]


def _bilinear_weights(n: int, m: int, ratio: float, align_corners: bool) -> np.ndarray:
    """The matrix (m, n) of the weights with which n pixels make m."""
    p = np.arange(m)
    if align_corners:
        source = p * ((n - 1) / (m - 1)) if m > 1 else p * 0.0
    else:
        source = (p + 0.5) * ratio - 0.5
    source = np.clip(source, 0, n - 1)
    return np.maximum(0.0, 1.0 - np.abs(source[:, None] - np.arange(n)))
