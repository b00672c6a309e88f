"""Cases of pooling, of its gradients, and of unpooling."""

from __future__ import annotations

import math

import numpy as np

from ..._op import OPS
from ...ops import adaptive_avg_pool2d, avg_pool2d, max_pool2d, max_unpool2d
from ..case import Case, ErrorCase, Fault, apart, wrong_gradient


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def _windows(size, kernel_size, stride, padding, dilation=1, ceil_mode=False):
    """For each output the rows and columns of its window, also those outside x."""
    axes = []
    for axis in (0, 1):
        n, k, p, d = size[axis], _pair(kernel_size)[axis], _pair(padding)[axis], _pair(dilation)[axis]
        s = _pair(kernel_size if stride is None else stride)[axis]
        steps = (n + 2 * p - d * (k - 1) - 1) / s
        count = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
        starts = [i * s - p for i in range(count)]
        if ceil_mode and starts[-1] >= n:
            starts.pop()
        axes.append([[start + i * d for i in range(k)] for start in starts])
    return axes


def naive_max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """Every element of every window looked at."""
    (n, c, h, w), windows = x.shape, _windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    y = np.full((n, c, len(windows[0]), len(windows[1])), -np.inf)
    indices = np.full(y.shape, -1)
    for at in np.ndindex(*y.shape):
        image, channel, p, q = at
        for row in windows[0][p]:
            for column in windows[1][q]:
                if 0 <= row < h and 0 <= column < w and (indices[at] < 0 or x[image, channel, row, column] > y[at]):
                    y[at], indices[at] = x[image, channel, row, column], row * w + column
    return (y, indices) if return_indices else y


def naive_avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """Every element of every window added up, and counted."""
    (n, c, h, w), windows = x.shape, _windows(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    (ph, pw) = _pair(padding)
    y = np.zeros((n, c, len(windows[0]), len(windows[1])))
    for at in np.ndindex(*y.shape):
        image, channel, p, q = at
        count = 0
        for row in windows[0][p]:
            for column in windows[1][q]:
                within = 0 <= row < h and 0 <= column < w
                y[at] += x[image, channel, row, column] if within else 0
                count += within or (count_include_pad and row < h + ph and column < w + pw)
        y[at] /= divisor_override or count
    return y


def naive_adaptive_avg_pool2d(x, output_size):
    """The mean of each window, cut out."""
    (n, c, h, w), (oh, ow) = x.shape, _pair(output_size)
    oh, ow = oh or h, ow or w
    y = np.zeros((n, c, oh, ow))
    for p, q in np.ndindex(oh, ow):
        rows = slice(math.floor(p * h / oh), math.ceil((p + 1) * h / oh))
        columns = slice(math.floor(q * w / ow), math.ceil((q + 1) * w / ow))
        y[:, :, p, q] = x[:, :, rows, columns].mean(axis=(2, 3))
    return y


def naive_max_unpool2d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Each value put at its place, one after the other."""
    (kh, kw), (ph, pw) = _pair(kernel_size), _pair(padding)
    sh, sw = _pair(kernel_size if stride is None else stride)
    n, c, oh, ow = x.shape
    h, w = output_size or ((oh - 1) * sh - 2 * ph + kh, (ow - 1) * sw - 2 * pw + kw)
    y = np.zeros((n, c, h * w))
    for at in np.ndindex(*x.shape):
        y[at[0], at[1], indices[at]] = x[at]
    return y.reshape(n, c, h, w)


def _image(*shape):
    return lambda rng: {"x": apart(rng, shape)}


def _channels_last(*shape):
    """An image whose channels lie side by side in memory, as a convolution leaves it."""
    n, c, h, w = shape
    return lambda rng: {"x": apart(rng, (n, h, w, c)).transpose(0, 3, 1, 2)}


def _unpooled(shape, *settings):
    """What unpooling gets after a max pooling of an image of `shape`."""

    def draw(rng):
        y, indices = naive_max_pool2d(apart(rng, shape), *settings, return_indices=True)
        return {"x": rng.standard_normal(y.shape), "indices": indices}

    return draw


def _winners(dy, dx, places):
    """Random winners among the places of a window, for the operations that take them."""

    def draw(rng):
        given = {"dy": rng.standard_normal(dy)} if dx is None else {"x": rng.standard_normal(dx)}
        return given | {"winners": rng.integers(0, places, dy, dtype=np.uint8)}  # as max_pool2d writes them

    return draw


_PICK = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (0, 0), "dilation": (1, 2)}


def _naive_pick(x, winners, kernel_size, stride, padding, dilation):
    y = np.zeros(winners.shape)
    for at in np.ndindex(*y.shape):
        i, j = divmod(winners[at], kernel_size[1])
        row, column = at[2] * stride[0] + i * dilation[0], at[3] * stride[1] + j * dilation[1]
        y[at] = x[at[0], at[1], row, column]
    return y


def _naive_spread(dy, winners, x_shape, kernel_size, stride, padding, dilation):
    dx = np.zeros(x_shape)
    for at in np.ndindex(*dy.shape):
        i, j = divmod(winners[at], kernel_size[1])
        dx[at[0], at[1], at[2] * stride[0] + i * dilation[0], at[3] * stride[1] + j * dilation[1]] += dy[at]
    return dx


CASES = [
    Case("max_pool2d", "2x2", _image(2, 3, 4, 6), {"kernel_size": 2}, naive_max_pool2d),
    Case("max_pool2d", "overlapping, left over", _image(2, 2, 7, 8), {"kernel_size": 3, "stride": 2}, naive_max_pool2d),
    Case(
        "max_pool2d",
        "uneven, padding, dilation, channels last",
        _channels_last(2, 3, 7, 6),
        {"kernel_size": (3, 2), "stride": (1, 2), "padding": (2, 1), "dilation": (2, 1)},
        naive_max_pool2d,
    ),
    Case(
        "max_pool2d",
        "ceil mode, the last window starts in the padding after x",
        _image(1, 2, 5, 6),
        {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
        naive_max_pool2d,
    ),
    Case(
        "max_pool2d",
        "ceil mode, the last window reaches over the end; indices",
        _image(2, 2, 6, 5),
        {"kernel_size": 3, "stride": 2, "ceil_mode": True, "return_indices": True},
        naive_max_pool2d,
    ),
    Case(
        "max_pool2d_input_gradient",
        "windows that overlap",
        _winners((2, 2, 2, 3), None, 6),
        {"x_shape": (2, 2, 6, 6), **_PICK},
        _naive_spread,
    ),
    Case("max_pool2d_pick", "windows that overlap", _winners((2, 2, 2, 3), (2, 2, 6, 6), 6), _PICK, _naive_pick),
    Case("max_unpool2d", "2x2", _unpooled((2, 3, 4, 6), 2), {"kernel_size": 2}, naive_max_unpool2d),
    Case(
        "max_unpool2d",
        "overlapping: a place comes twice; output size",
        _unpooled((2, 2, 6, 8), 3, 2),
        {"kernel_size": 3, "stride": 2, "output_size": (6, 8)},
        naive_max_unpool2d,
    ),
    Case(
        "max_unpool2d",
        "uneven, padding",
        _unpooled((1, 2, 5, 6), (3, 2), (2, 2), (1, 1)),
        {"kernel_size": (3, 2), "stride": (2, 2), "padding": (1, 1), "output_size": (5, 6)},
        naive_max_unpool2d,
    ),
    Case("avg_pool2d", "2x2", _image(2, 3, 4, 6), {"kernel_size": 2}, naive_avg_pool2d),
    Case(
        "avg_pool2d",
        "uneven and overlapping, padding, channels last",
        _channels_last(2, 3, 7, 6),
        {"kernel_size": (3, 4), "stride": (2, 3), "padding": (1, 2)},
        naive_avg_pool2d,
    ),
    Case(
        "avg_pool2d",
        "padding not counted, ceil mode",
        _image(2, 2, 6, 7),
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
        naive_avg_pool2d,
    ),
    Case(
        "avg_pool2d",
        "padding counted, ceil mode",
        _image(2, 2, 6, 7),
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        naive_avg_pool2d,
    ),
    Case(
        "avg_pool2d",
        "a divisor of its own",
        _image(2, 2, 5, 5),
        {"kernel_size": 2, "stride": 1, "divisor_override": 3},
        naive_avg_pool2d,
    ),
    Case(
        "avg_pool2d_input_gradient",
        "overlapping, padding not counted",
        lambda rng: {"dy": rng.standard_normal((2, 2, 3, 2))},
        {
            "x_shape": (2, 2, 6, 5),
            "kernel_size": (3, 3),
            "stride": (2, 2),
            "padding": (1, 0),
            "count_include_pad": False,
        },
    ),
    Case("adaptive_avg_pool2d", "the mean", _image(2, 3, 5, 4), {"output_size": 1}, naive_adaptive_avg_pool2d),
    Case(
        "adaptive_avg_pool2d",
        "windows that overlap, channels last",
        _channels_last(2, 2, 7, 5),
        {"output_size": (3, 2)},
        naive_adaptive_avg_pool2d,
    ),
    Case(
        "adaptive_avg_pool2d",
        "more windows than columns, rows kept",
        _image(1, 2, 3, 4),
        {"output_size": (None, 6)},
        naive_adaptive_avg_pool2d,
    ),
    Case(
        "adaptive_avg_pool2d_input_gradient",
        "windows that overlap",
        lambda rng: {"dy": rng.standard_normal((2, 2, 3, 2))},
        {"x_shape": (2, 2, 7, 5)},
    ),
]

_x = np.zeros((2, 3, 8, 8))

ERRORS = [
    ErrorCase(
        "max_pool2d",
        lambda: max_pool2d(np.zeros((3, 8, 8)), 2),
        ValueError,
        "max_pool2d: x expects four axes (N, C, H, W); it is (3, 8, 8)",
    ),
    ErrorCase(
        "max_pool2d",
        lambda: max_pool2d(_x, 0),
        ValueError,
        "max_pool2d: kernel_size expects a whole number >= 1, or two; it is 0",
    ),
    ErrorCase(
        "max_pool2d",
        lambda: max_pool2d(_x, 3, padding=2),
        ValueError,
        "max_pool2d: padding expects at most half of the window of 3 x 3; it is (2, 2)",
    ),
    ErrorCase(
        "max_pool2d",
        lambda: max_pool2d(_x, 5, dilation=2),
        ValueError,
        "max_pool2d: a window of 9 x 9 expects a larger input; x is (2, 3, 8, 8) with padding (0, 0)",
    ),
    ErrorCase(
        "max_unpool2d",
        lambda: max_unpool2d(_x, np.zeros((2, 3, 8, 7), int), 2),
        ValueError,
        "max_unpool2d: x and indices expect one shape (N, C, oh, ow); they are (2, 3, 8, 8), (2, 3, 8, 7)",
    ),
    ErrorCase(
        "max_unpool2d",
        lambda: max_unpool2d(_x, _x, 2),
        TypeError,
        "max_unpool2d: indices expects integers; it is of type float64",
    ),
    ErrorCase(
        "max_unpool2d",
        lambda: max_unpool2d(_x, np.full(_x.shape, 256), 2),
        IndexError,
        "max_unpool2d: indices expects numbers in 0 .. 255, the plane of 16 x 16; they reach from 256 to 256",
    ),
    ErrorCase(
        "max_unpool2d",
        lambda: max_unpool2d(_x, np.zeros(_x.shape, int), 2, output_size=(16, 18)),
        ValueError,
        "max_unpool2d: output_size expects less than a stride (2, 2) from (16, 16); it is (16, 18)",
    ),
    ErrorCase(
        "max_unpool2d",
        lambda: max_unpool2d(np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1, 1), int), 2, padding=1),
        ValueError,
        "max_unpool2d: padding 1 leaves no output; it would be 0 x 0",
    ),
    ErrorCase(
        "avg_pool2d",
        lambda: avg_pool2d(_x, 9),
        ValueError,
        "avg_pool2d: a window of 9 x 9 expects a larger input; x is (2, 3, 8, 8) with padding (0, 0)",
    ),
    ErrorCase(
        "avg_pool2d",
        lambda: avg_pool2d(_x, 2, divisor_override=0),
        ValueError,
        "avg_pool2d: divisor_override expects a number other than 0; it is 0",
    ),
    ErrorCase(
        "adaptive_avg_pool2d",
        lambda: adaptive_avg_pool2d(np.zeros((3, 8)), 2),
        ValueError,
        "adaptive_avg_pool2d: x expects four axes (N, C, H, W) and pixels; it is (3, 8)",
    ),
    ErrorCase(
        "adaptive_avg_pool2d",
        lambda: adaptive_avg_pool2d(_x, (0, 2)),
        ValueError,
        "adaptive_avg_pool2d: output_size expects a whole number >= 1, or two; it is (0, 2)",
    ),
]


def _numpy_places(x_shape, winners, kernel_size, stride, padding, dilation):
    """For each window the row and column of its winner."""
    i, j = np.divmod(winners, kernel_size[1])
    rows = np.arange(winners.shape[2])[:, None] * stride[0] + i * dilation[0] - padding[0]
    columns = np.arange(winners.shape[3]) * stride[1] + j * dilation[1] - padding[1]
    return (*np.ix_(range(x_shape[0]), range(x_shape[1])), rows, columns)


def _overwritten(body):
    """dx is set where it has to be added up: of overlapping windows the last one counts alone."""

    def wrong(dy, winners, x_shape, *settings):
        _, backward = body(dy, winners, x_shape, *settings)
        dx = np.zeros(x_shape, dy.dtype)
        n, c, rows, columns = _numpy_places(x_shape, winners, *settings)
        dx[n[..., None, None], c[..., None, None], rows, columns] = dy
        return dx, backward

    return wrong


def _shifted(change):
    """Another place in the window gets the gradient."""

    def faulty(body):
        def wrong(dy, winners, x_shape, kernel_size, *settings):
            number = change(np.divmod(winners.astype(int), kernel_size[1]), kernel_size)
            return body(dy, number, x_shape, kernel_size, *settings)

        return wrong

    return faulty


def _to_every_element(body):
    """The gradient goes to the whole window, as if the mean had been taken."""

    def wrong(dy, winners, x_shape, *settings):
        spread = [body(dy, np.full_like(winners, k), x_shape, *settings)[0] for k in range(np.prod(settings[0]))]
        return sum(spread), body(dy, winners, x_shape, *settings)[1]

    return wrong


def _counted(grads, dy, x, kernel_size, *settings):
    """The sum's gradient where the mean's is wanted."""
    kh, kw = _pair(kernel_size)
    return [grads[0] * float(kh * kw)]


def _whole_window_counted(grads, dy, x, kernel_size, stride=None, padding=0, ceil_mode=False, padded=True, own=None):
    """Windows at the edge divided as those inside."""
    kh, kw = _pair(kernel_size)
    body_settings = (x.shape, _pair(kernel_size), _pair(kernel_size if stride is None else stride), _pair(padding))
    return [OPS["avg_pool2d_input_gradient"](dy, *body_settings, ceil_mode, True, own or kh * kw)]


def _every_copy(grads, dy, x, indices, *settings):
    """A value that was overwritten gets the gradient of what took its place."""
    n, c = np.ix_(range(x.shape[0]), range(x.shape[1]))
    flat = dy.reshape((*dy.shape[:2], -1))
    return [flat[n[..., None, None], c[..., None, None], indices]]


def _equal_shares(grads, dy, x, output_size):
    """As if the windows did not overlap, all of one size."""
    oh, ow = dy.shape[2:]
    return [
        grads[0] * float(x.shape[2] * x.shape[3]) / (oh * ow * math.ceil(x.shape[2] / oh) * math.ceil(x.shape[3] / ow))
    ]


FAULTS = [
    Fault("max_pool2d_input_gradient", "overwritten where windows overlap, not added up", _overwritten),
    Fault(
        "max_pool2d_input_gradient",
        "rows and columns of the window exchanged",
        _shifted(lambda place, kernel: (place[1] * kernel[1] + place[0]) % (kernel[0] * kernel[1])),
    ),
    Fault(
        "max_pool2d_input_gradient",
        "the first element of the window gets all",
        _shifted(lambda place, kernel: np.zeros_like(place[0])),
    ),
    Fault("max_pool2d_input_gradient", "the whole window gets the gradient", _to_every_element),
    Fault("max_unpool2d", "values that were overwritten get a gradient", wrong_gradient(_every_copy)),
    Fault("avg_pool2d", "not divided by the size of the window", wrong_gradient(_counted)),
    Fault(
        "avg_pool2d", "windows at the edge divided by the size of a whole one", wrong_gradient(_whole_window_counted)
    ),
    Fault("adaptive_avg_pool2d", "all windows taken to be of one size", wrong_gradient(_equal_shares)),
]
