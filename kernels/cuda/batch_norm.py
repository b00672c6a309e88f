"""Bodies of `ops/_batch_norm.py` on CUDA; images have their channels last in memory, inside and in what comes out."""

from __future__ import annotations

from typing import Any

from ..._device import array_namespace
from .arrays import channels_last, empty, empty_like
from .source import Source

SOURCE = Source("batch_norm.cu")
THREADS = 256
PARTS = 128
"""Into how many parts the rows are cut at most for their sums: with some channels, work for every multiprocessor."""
PLAIN, RECTIFIED, RESIDUAL = range(3)
"""What a gradient is masked by, as in batch_norm.cu."""


def _blocks(size: int) -> tuple[int]:
    return (-(-size // THREADS),)


class _Rows:
    """How the sums over an image's channels are shared out among blocks."""

    def __init__(self, x: Any):
        self.channels = x.shape[1]
        self.rows = x.size // self.channels
        across = min(32, 1 << (self.channels - 1).bit_length())
        self.block = across, THREADS // across
        # 8 rows a thread at least: a block that sums less costs more than it saves
        parts = max(1, min(PARTS, self.rows // (8 * self.block[1])))
        self.rows_of_part = -(-self.rows // parts)
        self.parts = -(-self.rows // self.rows_of_part)
        self.grid = -(-self.channels // across), self.parts

    def partial(self, like: Any) -> Any:
        return empty((self.parts, 2, self.channels), like, dtype="float64")


def _statistics(x: Any, weight: Any, eps: float) -> tuple[Any, ...]:
    """Mean, biased variance, r = (var + eps)^(-1/2) and w r of each channel."""
    over = _Rows(x)
    shift, mean, var, r, scale = (empty((over.channels,), x) for _ in range(5))
    partial, each_channel = over.partial(x), (_blocks(over.channels), (THREADS,))
    SOURCE.launch("first_guess", *each_channel, x, shift, over.rows, over.channels)
    SOURCE.launch(
        "sum_powers", over.grid, over.block, x, shift, partial, over.rows, over.channels, over.rows_of_part
    )  # fmt: skip
    totals = partial, shift, weight, mean, var, r, scale
    SOURCE.launch("finish_statistics", *each_channel, *totals, over.rows, over.channels, over.parts, eps)
    return mean, var, r, scale


def _dense(vector: Any) -> Any:
    return None if vector is None else array_namespace(vector).ascontiguousarray(vector)


def _scaled(x, residual, mean, r, scale, bias, rectified: bool, by_batch: bool) -> tuple[Any, Any]:
    """y, and a backward that gives dx, g, dw and db. `by_batch` mean and r depend on x."""
    channels, y = x.shape[1], empty_like(x)
    residual = None if residual is None else channels_last(residual)
    each = _blocks(x.size), (THREADS,)
    SOURCE.launch("scale_rows", *each, x, mean, scale, bias, residual, y, x.size, channels, rectified)
    mask = PLAIN if not rectified else RECTIFIED if residual is None else RESIDUAL
    output = y if mask == RESIDUAL else None

    def backward(dy):
        dy, over, dx = channels_last(dy), _Rows(x), empty_like(x)
        g = empty_like(x) if mask == RESIDUAL else None
        db, dw, offset, slope = (empty((channels,), x) for _ in range(4))
        partial, sizes = over.partial(x), (over.rows, channels)
        arrays = dy, output, x, mean, scale, bias, g, partial
        SOURCE.launch("sum_gradients", over.grid, over.block, *arrays, *sizes, over.rows_of_part, mask)
        vectors = r, db, dw, offset, slope
        SOURCE.launch("finish_gradients", _blocks(channels), (THREADS,), partial, *vectors, *sizes, over.parts)
        through = (offset, slope) if by_batch else (None, None)
        arrays = dy if g is None else g, x, mean, scale, bias, *through, dx
        SOURCE.launch("spread_gradients", *each, *arrays, x.size, channels, mask == RECTIFIED)
        return dx, g, dw, db

    return y, backward


def _by_batch(x, residual, weight, bias, eps, rectified: bool) -> tuple[Any, Any]:
    x = channels_last(x)
    mean, var, r, scale = _statistics(x, _dense(weight), eps)
    y, backward = _scaled(x, residual, mean, r, scale, _dense(bias), rectified, by_batch=True)
    return (y, mean, var), backward


def _by_statistics(x, residual, mean, var, weight, bias, eps, rectified: bool) -> tuple[Any, Any]:
    """Value and backward by given statistics. `backward` gives dx, g, dmean, dvar, dw and db."""
    x, mean = channels_last(x), _dense(mean)
    r = 1 / array_namespace(var).sqrt(_dense(var) + eps)
    scale = r if weight is None else _dense(weight * r)
    y, gradients = _scaled(x, residual, mean, r, scale, _dense(bias), rectified, by_batch=False)

    def backward(dy):
        dx, g, dw, db = gradients(dy)
        return dx, g, -scale * db, scale * r * dw * (-0.5), dw, db

    return y, backward


def batch_norm_train(x, weight=None, bias=None, eps=1e-5) -> Any:
    """`batch_norm_train` on CUDA."""
    values, gradients = _by_batch(x, None, weight, bias, eps, rectified=False)

    def backward(dy):
        dx, _, dw, db = gradients(dy)
        return dx, dw, db

    return values, backward


def batch_norm_relu_train(x, residual=None, weight=None, bias=None, eps=1e-5) -> Any:
    """`batch_norm_relu_train` on CUDA."""
    return _by_batch(x, residual, weight, bias, eps, rectified=True)


def batch_norm_eval(x, mean, var, weight=None, bias=None, eps=1e-5) -> Any:
    """`batch_norm_eval` on CUDA."""
    y, gradients = _by_statistics(x, None, mean, var, weight, bias, eps, rectified=False)

    def backward(dy):
        dx, _, *others = gradients(dy)
        return dx, *others

    return y, backward


def batch_norm_relu_eval(x, residual, mean, var, weight=None, bias=None, eps=1e-5) -> Any:
    """`batch_norm_relu_eval` on CUDA."""
    return _by_statistics(x, residual, mean, var, weight, bias, eps, rectified=True)


def _fits(x, *_: Any, **__: Any) -> bool:
    return 0 < x.size < 2**31


for _body in (batch_norm_train, batch_norm_relu_train, batch_norm_eval, batch_norm_relu_eval):
    _body.accepts = _fits  # pyright: ignore[reportFunctionMemberAccess]
