r"""Pooling over the windows of an image: the largest value, or the mean; and the way back from a maximum.

Every pass goes through the places in the window one by one. For each there are the outputs whose window has that place
inside x, and the elements of x that lie there: two strided views of equal shape. So x is never padded, nor are windows
copied, and NumPy goes through x in the order in which it lies in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._capturing import is_capturing
from .._namespace import raw, xp_of
from .._op import op
from ._conv2d import Pair, pair
from ._conv2d import output_size as whole_windows
from .elementwise import check_floating

# ---- the largest value


@op
def max_pool2d(
    x: Any,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    r"""The largest value of each window. Of equal values the first, row by row, takes the gradient.

    Forward:   y[n,c,p,q] = max_{i,j} x[n, c, s p + d i - P, s q + d j - P], x = -infinity outside; a NaN is the largest
    Backward:  dx[n,c,h,v] = \sum_{p,q} dy[n,c,p,q] over the windows p, q whose first largest value is x[n,c,h,v]
    Shapes:    x (N, C, H, W), y (N, C, oh, ow) with oh = floor((H + 2 P - d (kh - 1) - 1) / s) + 1; with `ceil_mode`
               the quotient is rounded up, but the last window starts within x or the padding before it. With
               `return_indices` also integers of the shape of y: where in the flattened H x W plane the value lay
    Units:     window, stride s (default: the window), padding P, dilation d in pixels, a number or (height, width)
    Raises:    ValueError where x has not four axes, a size does not fit, or P is more than half of the window;
               TypeError where x is not floating
    Source:    Ranzato et al. 2007, "Unsupervised learning of invariant feature hierarchies", section 2;
               overlapping windows: Krizhevsky et al. 2012, section 3.4
    Lesson:    lessons/01_alexnet.py
    Kernel:    kernels/cpu/pool2d.py, kernels/cuda/pool2d.cu
    """
    kernel, *settings, shape = pool_geometry("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    x_shape = x.shape
    y, winners = raw(_largest, x, shape, kernel, *settings)

    def backward(dy):
        return max_pool2d_input_gradient(dy, winners, x_shape, kernel, *settings)

    if return_indices:
        return (y, plane_indices(winners, x_shape, kernel, *settings)), backward
    return y, backward


@op(linear_in=("dy",))
def max_pool2d_input_gradient(dy, winners, x_shape, kernel_size, stride, padding, dilation):
    r"""The input gradient of `max_pool2d`: each dy goes to the element that was chosen.

    Forward:   dx[n, c, s p + d i - P, s q + d j - P] = \sum dy[n,c,p,q] over p, q, with i, j the place that won there
    Backward:  with u the gradient of dx: ddy[n,c,p,q] = u at the place that won
    Shapes:    dy (N, C, oh, ow), winners (the number kw i + j for each window) alike, dx of `x_shape` (N, C, H, W)
    Kernel:    kernels/cpu/pool2d.py, kernels/cuda/pool2d.cu
    """
    settings = kernel_size, stride, padding, dilation

    def backward(u):
        return max_pool2d_pick(u, winners, *settings)

    return raw(_spread_to_winners, dy, winners, x_shape, *settings), backward


@op(linear_in=("x",))
def max_pool2d_pick(x, winners, kernel_size, stride, padding, dilation):
    r"""The element of each window at a place that is given: what `max_pool2d` gives near the x that was pooled.

    Forward:   y[n,c,p,q] = x[n, c, s p + d i - P, s q + d j - P], with i, j the place that won
    Backward:  dx = `max_pool2d_input_gradient` of dy for the same places
    Shapes:    x (N, C, H, W), winners and y (N, C, oh, ow)
    """
    settings, x_shape = (kernel_size, stride, padding, dilation), x.shape

    def backward(dy):
        return max_pool2d_input_gradient(dy, winners, x_shape, *settings)

    return raw(_pick, x, winners, *settings), backward


@op(linear_in=("x",))
def max_unpool2d(
    x: Any,
    indices: Any,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    output_size: int | tuple[int, ...] | None = None,
) -> Any:
    r"""Values back at the places from which `max_pool2d` took them, zeros elsewhere.

    Forward:   y = 0, then y[n, c, indices[n,c,p,q]] = x[n,c,p,q] in the flattened plane; of equal indices the last wins
    Backward:  dx[n,c,p,q] = dy[n, c, indices[n,c,p,q]] where x[n,c,p,q] is the one that won, else 0
    Shapes:    x and indices (N, C, oh, ow), y (N, C, H, W) with H = (oh - 1) s - 2 P + kh, or as `output_size` says,
               since several H give the same oh
    Units:     window, stride s (default: the window), padding P, output_size in pixels, a number or (height, width)
    Raises:    ValueError where shapes or sizes do not fit; IndexError where an index lies outside the plane;
               TypeError where indices are no integers
    Source:    Zeiler and Fergus 2013, arXiv 1311.2901, section 2.1
    Lesson:    lessons/02_vgg.py
    """
    height, width = _unpooled_size(x, indices, kernel_size, stride, padding, output_size)
    places = raw(lambda i: i.reshape(*i.shape[:2], -1), indices)
    if places.size and not (0 <= int(places.min()) and int(places.max()) < height * width):
        raise IndexError(
            f"max_unpool2d: indices expects numbers in 0 .. {height * width - 1}, the plane of {height} x {width}; "
            f"they reach from {int(places.min())} to {int(places.max())}"
        )
    x_shape = x.shape

    def put(x):
        y = xp_of(x).zeros((*x_shape[:2], height * width), dtype=x.dtype)
        _put_along_last_axis(y, places, x.reshape(places.shape))
        return y.reshape(*x_shape[:2], height, width)

    def backward(dy):
        xp = xp_of(dy)
        taken = xp.take_along_axis(xp.reshape(dy, (*x_shape[:2], height * width)), places, -1)
        return xp.reshape(xp.where(_last_there(places, height * width), taken, xp.zeros_like(taken)), x_shape)

    return raw(put, x), backward


def _unpooled_size(
    x: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> tuple[int, int]:
    name = "max_unpool2d"
    if x.ndim != 4 or indices.shape != x.shape:
        raise ValueError(f"{name}: x and indices expect one shape (N, C, oh, ow); they are {x.shape}, {indices.shape}")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{name}: indices expects integers; it is of type {indices.dtype}")
    kernel = pair(name, "kernel_size", kernel_size, 1)
    strides = kernel if stride is None else pair(name, "stride", stride, 1)
    size = tuple(
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(x.shape[2:], strides, pair(name, "padding", padding, 0), kernel, strict=True)
    )
    if output_size is not None:
        wanted = pair(name, "output_size", output_size if isinstance(output_size, int) else output_size[-2:], 1)
        if any(abs(w - n) >= s for w, n, s in zip(wanted, size, strides, strict=True)):
            raise ValueError(f"{name}: output_size expects less than a stride {strides} from {size}; it is {wanted}")
        size = wanted
    if min(size) < 1:
        raise ValueError(f"{name}: padding {padding} leaves no output; it would be {size[0]} x {size[1]}")
    return size[0], size[1]


def _put_along_last_axis(target: Any, places: Any, values: Any) -> None:
    """`values` at `places` of each plane; of equal places the last value stays."""
    xp, (n, c, _) = xp_of(target), places.shape
    target[xp.arange(n)[:, None, None], xp.arange(c)[:, None], places] = values


def _last_there(places: Any, size: int) -> Any:
    """True for each place unless the same place comes again in its plane."""
    xp = xp_of(places)
    owner = xp.zeros((*places.shape[:2], size), dtype=np.int64)
    order = xp.broadcast_to(xp.arange(places.shape[2]), places.shape)
    _put_along_last_axis(owner, places, order)
    return xp.take_along_axis(owner, places, -1) == order


# ---- the mean


@op(linear_in=("x",))
def avg_pool2d(
    x: Any,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    r"""The mean of each window.

    Forward:   y[n,c,p,q] = 1/m_pq \sum_{i,j} x[n, c, s p + i - P, s q + j - P], x = 0 outside
    Backward:  dx[n,c,h,v] = \sum_{p,q} dy[n,c,p,q] / m_pq over the windows p, q that contain h, v
    Shapes:    x (N, C, H, W), y (N, C, oh, ow) with oh as for `max_pool2d`. m_pq counts the elements of a window within
               x and its padding; without `count_include_pad` those within x; or is `divisor_override`
    Units:     window, stride s (default: the window), padding P in pixels, a number or (height, width)
    Raises:    ValueError where x has not four axes, a size does not fit, P is more than half of the window, or the
               divisor is zero; TypeError where x is not floating
    Source:    LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B
    Kernel:    kernels/cpu/pool2d.py, kernels/cuda/pool2d.cu
    """
    name, x_shape = "avg_pool2d", x.shape
    kernel, stride, padding, dilation, shape = pool_geometry(name, x, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override == 0:
        raise ValueError(f"{name}: divisor_override expects a number other than 0; it is 0")
    settings = kernel, stride, padding, ceil_mode, count_include_pad, divisor_override

    def average(x):
        y = xp_of(x).zeros_like(x, shape=shape)
        places = _places_2d(x_shape, shape, kernel, stride, padding, dilation)
        for images in _blocks(x):
            block, total = x[images], y[images]
            for inside, there in places:
                total[inside] += block[there]
        y *= xp_of(x).asarray(share_of_window(x.dtype, x_shape, shape, *settings[:3], *settings[4:]))
        return y

    def backward(dy):
        return avg_pool2d_input_gradient(dy, x_shape, *settings)

    return raw(average, x), backward


@op(linear_in=("dy",))
def avg_pool2d_input_gradient(
    dy, x_shape, kernel_size, stride, padding, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    r"""The input gradient of `avg_pool2d`: each dy is shared out over its window.

    Forward:   dx[n,c,h,v] = \sum_{p,q} dy[n,c,p,q] / m_pq over the windows p, q that contain h, v
    Backward:  with u the gradient of dx: ddy = avg_pool2d(u)
    Shapes:    dy (N, C, oh, ow), dx of `x_shape` (N, C, H, W)
    Kernel:    kernels/cpu/pool2d.py, kernels/cuda/pool2d.cu
    """
    settings, y_shape = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override), dy.shape

    def spread(dy):
        dx = xp_of(dy).zeros_like(dy, shape=x_shape)
        dy = dy * xp_of(dy).asarray(share_of_window(dy.dtype, x_shape, y_shape, *settings[:3], *settings[4:]))
        places = _places_2d(x_shape, y_shape, kernel_size, stride, padding, (1, 1))
        for images in _blocks(dy):
            block, gradient = dx[images], dy[images]
            for inside, there in places:
                block[there] += gradient[inside]
        return dx

    def backward(u):
        return avg_pool2d(u, *settings)

    return raw(spread, dy), backward


@op(linear_in=("x",))
def adaptive_avg_pool2d(x: Any, output_size: int | tuple[int | None, int | None] | None) -> Any:
    r"""The means over windows that divide x as evenly as its pixels allow; some overlap where the sizes do not divide.

    Forward:   y[n,c,p,q] = mean of x[n,c,h,v] over floor(p H / oh) <= h < ceil((p + 1) H / oh), v alike
    Backward:  dx[n,c,h,v] = \sum_{p,q} dy[n,c,p,q] / (size of window p, q) over the windows that contain h, v
    Shapes:    x (N, C, H, W), y (N, C, oh, ow) with `output_size` (oh, ow); None keeps a size
    Units:     output_size in pixels, a number or (height, width)
    Raises:    ValueError where x has not four axes or no pixels, or a size is not positive; TypeError where x is not
               floating
    Source:    He et al. 2014, arXiv 1406.4729, section 2.2; with output_size 1: Lin et al. 2013, arXiv 1312.4400
    Lesson:    lessons/03_inception.py
    Kernel:    kernels/cpu/pool2d.py, kernels/cuda/pool2d.cu
    """
    name, x_shape = "adaptive_avg_pool2d", x.shape
    if x.ndim != 4 or min(x_shape[2:]) < 1:
        raise ValueError(f"{name}: x expects four axes (N, C, H, W) and pixels; it is {x_shape}")
    check_floating(name, "x", x)
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    size = pair(name, "output_size", tuple(n if o is None else o for o, n in zip(given, (*x_shape[2:], 0))), 1)

    def average(x):
        if size == (1, 1):
            return x.mean(axis=(2, 3), keepdims=True)
        for axis, n in zip((2, 3), size, strict=True):
            y = xp_of(x).empty_like(x, shape=(*x.shape[:axis], n, *x.shape[axis + 1 :]))
            for p, window in enumerate(_even_windows(x.shape[axis], n)):
                y[_along(axis, slice(p, p + 1))] = x[_along(axis, window)].mean(axis=axis, keepdims=True)
            x = y
        return x

    def backward(dy):
        return adaptive_avg_pool2d_input_gradient(dy, x_shape)

    return raw(average, x), backward


@op(linear_in=("dy",))
def adaptive_avg_pool2d_input_gradient(dy, x_shape):
    r"""The input gradient of `adaptive_avg_pool2d`: each dy is shared out over its window.

    Forward:   dx[n,c,h,v] = \sum_{p,q} dy[n,c,p,q] / (size of window p, q) over the windows that contain h, v
    Backward:  with u the gradient of dx: ddy = adaptive_avg_pool2d(u)
    Shapes:    dy (N, C, oh, ow), dx of `x_shape` (N, C, H, W)
    Kernel:    kernels/cpu/pool2d.py, kernels/cuda/pool2d.cu
    """
    size = dy.shape[2:]

    def spread(dx):
        for axis in (3, 2):
            dy, shape = dx, tuple(x_shape[axis] if k == axis else n for k, n in enumerate(dx.shape))
            dx = xp_of(dy).zeros_like(dy, shape=shape)
            for p, window in enumerate(_even_windows(x_shape[axis], size[axis - 2])):
                dx[_along(axis, window)] += dy[_along(axis, slice(p, p + 1))] * (1 / (window.stop - window.start))
        return dx

    def backward(u):
        return adaptive_avg_pool2d(u, size)

    return raw(spread, dy), backward


def _even_windows(n: int, windows: int) -> list[slice]:
    return [slice(p * n // windows, -(-(p + 1) * n // windows)) for p in range(windows)]


def _along(axis: int, part: slice) -> tuple:
    return (*(slice(None),) * axis, part)


# ---- where the windows lie


def pool_geometry(
    name: str, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[tuple, tuple, tuple, tuple, tuple]:
    """The settings as pairs and the output's shape, after a check that they fit x."""
    if x.ndim != 4:
        raise ValueError(f"{name}: x expects four axes (N, C, H, W); it is {x.shape}")
    check_floating(name, "x", x)
    kernel = pair(name, "kernel_size", kernel_size, 1)
    stride = kernel if stride is None else pair(name, "stride", stride, 1)
    padding, dilation = pair(name, "padding", padding, 0), pair(name, "dilation", dilation, 1)
    window = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(2 * p > w for p, w in zip(padding, window, strict=True)):
        raise ValueError(
            f"{name}: padding expects at most half of the window of {window[0]} x {window[1]}; it is {padding}"
        )
    count = _windows_that_start_inside if ceil_mode else whole_windows
    size = tuple(map(count, x.shape[2:], kernel, stride, padding, dilation))
    if min(size) < 1:
        raise ValueError(
            f"{name}: a window of {window[0]} x {window[1]} expects a larger input; "
            f"x is {x.shape} with padding {padding}"
        )
    return kernel, stride, padding, dilation, (*x.shape[:2], *size)


def _windows_that_start_inside(n: int, k: int, stride: int, padding: int, dilation: int) -> int:
    count = -(-(n + 2 * padding - dilation * (k - 1) - 1) // stride) + 1
    return count - 1 if (count - 1) * stride >= n + padding else count


def _places(n: int, count: int, k: int, stride: int, padding: int, dilation: int) -> list[tuple[slice, slice]]:
    """Along one axis, for each place in the window: the outputs for which it lies inside x, and where there."""
    found = []
    for i in range(k):
        offset = dilation * i - padding
        first = max(0, -(offset // stride))
        end = max(first, min(count, (n - 1 - offset) // stride + 1))
        start = first * stride + offset
        found.append((slice(first, end), slice(start, start + (end - first - 1) * stride + 1, stride)))
    return [(inside, there if inside.start < inside.stop else slice(0, 0)) for inside, there in found]


def _places_2d(
    x_shape: tuple, y_shape: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple
) -> list[tuple[tuple, tuple]]:
    """`_places` for height and width together, row by row, as indices of the outputs and of x."""
    rows, columns = map(_places, x_shape[2:], y_shape[2:], kernel, stride, padding, dilation)
    return [((..., p, q), (..., h, v)) for p, h in rows for q, v in columns]


_BLOCK_BYTES = 2**19  # what is gone through once for each place should stay in the cache


def _blocks(x: Any) -> Iterator[slice]:
    """Slices over the images; a single one on a GPU."""
    images = x.shape[0]
    if isinstance(x, np.ndarray) and x.size:
        images = max(1, _BLOCK_BYTES * x.shape[0] // x.nbytes)
    return (slice(start, start + images) for start in range(0, x.shape[0], max(1, images)))


# ---- the values, on arrays


def _largest(x: Any, shape: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple[Any, Any]:
    """The maxima, and for each the number of its place: as many places come before it as are smaller or outside."""
    xp = xp_of(x)
    y = xp.full_like(x, -math.inf, shape=shape)
    winners = xp.zeros_like(y, dtype=np.min_scalar_type(kernel[0] * kernel[1]))
    places = _places_2d(x.shape, shape, kernel, stride, padding, dilation)
    for images in _blocks(x):
        block, largest, number = x[images], y[images], winners[images]
        for inside, there in places:
            xp.maximum(largest[inside], block[there], out=largest[inside])
        missing = xp.isnan(largest)  # with infinity for bound, the first NaN is the first that is not below it
        bound = xp.where(missing, math.inf, largest) if is_capturing() or missing.any() else largest
        before = xp.ones_like(largest, dtype=bool)
        for inside, there in places[:-1]:
            before[inside] &= block[there] < bound[inside]
            number += before
    return y, winners


def _spread_to_winners(
    dy: Any, winners: Any, x_shape: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple
) -> Any:
    xp = xp_of(dy)
    dx = xp.zeros_like(dy, shape=x_shape)
    places = _places_2d(x_shape, dy.shape, kernel, stride, padding, dilation)
    # Where all are finite the product with False is 0, and faster than a choice.
    finite = not is_capturing() and bool(xp.isfinite(dy).all())
    for images in _blocks(dy):
        block, gradient, number = dx[images], dy[images], winners[images]
        for k, (inside, there) in enumerate(places):
            won = number[inside] == k
            block[there] += gradient[inside] * won if finite else xp.where(won, gradient[inside], 0)
    return dx


def _pick(x: Any, winners: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    xp = xp_of(x)
    y = xp.zeros_like(x, shape=winners.shape)
    for k, (inside, there) in enumerate(_places_2d(x.shape, y.shape, kernel, stride, padding, dilation)):
        y[inside] = xp.where(winners[inside] == k, x[there], y[inside])
    return y


def plane_indices(winners: Any, x_shape: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    """Where in the flattened plane the winners lie."""
    xp, (oh, ow) = xp_of(winners), winners.shape[2:]
    row, column = xp.divmod(winners.astype(np.int64), kernel[1])
    row = row * dilation[0] + (xp.arange(oh) * stride[0] - padding[0])[:, None]
    column = column * dilation[1] + (xp.arange(ow) * stride[1] - padding[1])
    return row * x_shape[3] + column


def share_of_window(
    dtype: Any, x_shape: tuple, y_shape: tuple, kernel: tuple, stride: tuple, padding: tuple, padded: bool, divisor: Any
) -> Any:
    """1 / (number of elements) of each window: a number where all are equal."""
    if divisor is not None:
        return 1 / divisor
    rows, columns = (
        [
            min(p * s - pad + k, n + (pad if padded else 0)) - max(p * s - pad, -pad if padded else 0)
            for p in range(count)
        ]
        for n, count, k, s, pad in zip(x_shape[2:], y_shape[2:], kernel, stride, padding, strict=True)
    )
    if len({*rows}) == len({*columns}) == 1:
        return 1 / (rows[0] * columns[0])
    return (1 / np.multiply.outer(rows, columns)).astype(dtype)
