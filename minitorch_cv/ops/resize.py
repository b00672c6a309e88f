"""Images made larger or smaller: nearest neighbour and bilinear interpolation."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .._namespace import raw, xp_of
from .._op import op
from .elementwise import check_floating


def interpolate(
    x: Any,
    size: int | tuple[int, int] | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    r"""An image at another size, by its nearest pixels ("nearest") or by weights over the four around ("bilinear").

    Forward:   nearest: y[p,q] = x[floor(p r), floor(q r)], r the ratio of input to output size (1 / scale_factor where
               that is given); bilinear: y[p,q] = \sum_{h,v} a[p,h] b[q,v] x[h,v], a[p,h] = max(0, 1 - |s_p - h|) with
               the source s_p = (p + 1/2) r - 1/2 held within the image, or p (H - 1) / (oh - 1) where align_corners
    Backward:  dx[h,v] = \sum_{p,q} a[p,h] b[q,v] dy[p,q]; nearest: dy added up at the pixels that were taken
    Shapes:    x (N, C, H, W), y (N, C, oh, ow) with oh = floor(H scale_factor), or of `size`
    Units:     size in pixels, scale_factor without unit; one number or a pair (height, width)
    Raises:    ValueError where x has not four axes, unless exactly one of size and scale_factor is given, for a size
               below 1, for an unknown mode, and for align_corners with "nearest"; TypeError where x is not floating
               for "bilinear"
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
        rows, columns = (_nearest(n, m, r) for n, m, r in zip(x.shape[2:], targets, ratios))
        rows, columns = (raw(lambda v, i=i: xp_of(v).asarray(i), x) for i in (rows, columns))
        return take_rows_and_columns(x, rows, columns)
    check_floating(name, "x", x)
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


@op(linear_in=("x",))
def take_rows_and_columns(x, rows, columns):
    r"""Rows and columns by their numbers, which do not decrease: what nearest interpolation records.

    Forward:   y[p,q] = x[rows[p], columns[q]]
    Backward:  dx[h,v] = \sum dy[p,q] over p with rows[p] = h and q with columns[q] = v
    Shapes:    x (N, C, H, W), rows (oh,), columns (ow,), y (N, C, oh, ow)
    """
    size = x.shape[2:]

    def take(x):
        return _channels_last_kept(x, lambda v, h, w: v.take(rows, axis=h).take(columns, axis=w))

    def backward(dy):
        return add_rows_and_columns(dy, rows, columns, size)

    return raw(take, x), backward


@op(linear_in=("dy",))
def add_rows_and_columns(dy, rows, columns, size):
    r"""Rows and columns added up at their numbers, which do not decrease: the gradient of `take_rows_and_columns`.

    Forward:   dx[h,v] = \sum dy[p,q] over p with rows[p] = h and q with columns[q] = v
    Backward:  with u the gradient of dx: ddy[p,q] = u[rows[p], columns[q]]
    Shapes:    dy (N, C, oh, ow), rows (oh,), columns (ow,), dx (N, C, *size)
    """

    def add_up(dy):
        return _channels_last_kept(dy, lambda v, h, w: _add_at(_add_at(v, columns, w, size[1]), rows, h, size[0]))

    def backward(u):
        return take_rows_and_columns(u, rows, columns)

    return raw(add_up, dy), backward


def _channels_last_kept(x: Any, compute: Callable) -> Any:
    """`compute(x, axis of the rows, axis of the columns)` on x in the order in which its channels lie in memory."""
    if x.strides[1] < x.strides[3]:
        return compute(x.transpose(0, 2, 3, 1), 1, 2).transpose(0, 3, 1, 2)
    return compute(x, 2, 3)


def _add_at(y: Any, numbers: Any, axis: int, n: int) -> Any:
    """The slices of y with equal numbers added up, in n slices."""
    met, firsts, counts = np.unique(numbers, return_index=True, return_counts=True)
    before = (slice(None),) * axis
    total = y.take(firsts, axis=axis)
    for k in range(1, int(counts.max())):  # the k-th slice of each number that has so many
        more = np.flatnonzero(counts > k)
        if len(more) == len(met):
            total += y.take(firsts + k, axis=axis)
        else:
            total[(*before, more)] += y.take(firsts[more] + k, axis=axis)
    if len(met) == n:
        return total
    x = xp_of(y).zeros((*y.shape[:axis], n, *y.shape[axis + 1 :]), dtype=y.dtype)
    x[(*before, met)] = total
    return x


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
        # A scale that leaves a size as it is moves nothing, whatever is left of it.
        ratios = tuple(1.0 if n == m else 1 / s if s > 0 else math.inf for n, m, s in zip(image, targets, given))
    if len(targets) != 2 or min(targets) < 1:
        what = "size" if size is not None else "scale_factor"
        raise ValueError(
            f"{name}: {what} expects an output of at least 1 x 1; it is {given}, x is {image[0]} x {image[1]}"
        )
    return targets, ratios  # pyright: ignore[reportReturnType]


def _nearest(n: int, m: int, ratio: float) -> np.ndarray:
    """For each of m pixels the number of the one of n pixels that it takes; exact, whatever the ratio's rounding."""
    p = np.arange(m)
    if ratio == n / m or m == 2 * n:
        return p * n // m
    return np.minimum(np.floor(p * ratio), n - 1).astype(np.int64)


def _bilinear_weights(n: int, m: int, ratio: float, align_corners: bool) -> np.ndarray:
    """The matrix (m, n) of the weights with which n pixels make m."""
    p = np.arange(m)
    if align_corners:
        source = p * ((n - 1) / (m - 1)) if m > 1 else p * 0.0
    else:
        source = (p + 0.5) * ratio - 0.5
    source = np.clip(source, 0, n - 1)
    return np.maximum(0.0, 1.0 - np.abs(source[:, None] - np.arange(n)))
