"""Operations that move, copy and select elements: shape, order, joining, padding, indexing."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._namespace import raw, unbroadcast, xp_of
from .._op import op
from .._pytorch_names import unknown_argument
from .._tensor import Tensor
from .elementwise import one_dtype
from .reduce import all_axes


@op(linear_in=("x",))
def reshape(x, shape):
    r"""The same elements in another shape, in row-major order; one size may be -1.

    Forward:   y = x, read in row-major order
    Backward:  dx = dy in the shape of x
    Shapes:    y of `shape`, with as many elements as x
    Raises:    ValueError where the number of elements differs
    """
    before = x.shape
    shape = (shape,) if isinstance(shape, int) else tuple(shape)

    def rearrange(v):
        try:
            return v.reshape(shape)
        except ValueError:
            raise ValueError(f"reshape: shape expects {v.size} elements, those of x {before}; it is {shape}") from None

    return raw(rearrange, x), lambda dy: xp_of(dy).reshape(dy, before)


def flatten(x, start_dim=0, end_dim=-1):
    r"""The axes from `start_dim` to `end_dim` merged into one (`reshape`)."""
    if x.ndim == 0:
        return reshape(x, (1,))
    start, end = (_axis("flatten", a, x.ndim) for a in (start_dim, end_dim))
    if start > end:
        raise ValueError(f"flatten: start_dim expects an axis not after end_dim = {end_dim}; it is {start_dim}")
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def _axis(name: str, axis: int, ndim: int) -> int:
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise ValueError(f"{name}: axis expects a number in {-ndim} .. {ndim - 1}; it is {axis}")
    return axis % ndim


@op(linear_in=("x",))
def permute(x, axes):
    r"""The axes in another order.

    Forward:   y[i_axes[0], i_axes[1], ...] = x[i_0, i_1, ...]
    Backward:  dx = dy with the axes in their first order: the inverse permutation
    Shapes:    y.shape[k] = x.shape[axes[k]]
    Raises:    ValueError unless each axis of x is named once
    """
    axes = tuple(axes)
    if sorted(a % x.ndim if -x.ndim <= a < x.ndim else -1 for a in axes) != list(range(x.ndim)):
        raise ValueError(f"permute: axes expects each axis of x {x.shape} once; it is {axes}")
    inverse = tuple(np.argsort([a % x.ndim for a in axes]).tolist())
    return raw(lambda v: v.transpose(axes), x), lambda dy: xp_of(dy).transpose(dy, inverse)


def transpose(x, a, b):
    r"""Two axes exchanged (`permute`), as in PyTorch."""
    a, b = _axis("transpose", a, x.ndim), _axis("transpose", b, x.ndim)
    axes = list(range(x.ndim))
    axes[a], axes[b] = axes[b], axes[a]
    return permute(x, tuple(axes))


@op(linear_in=("x",))
def expand(x, shape):
    r"""Broadcast to a shape; -1 keeps a size.

    Forward:   y[..., i, ...] = x[..., 0, ...] along the axes of x that have one element, and along new axes in front
    Backward:  dx = dy summed over those axes
    Shapes:    x broadcasts to y of `shape`
    Raises:    ValueError where x does not broadcast to the shape
    """
    given = (shape,) if isinstance(shape, int) else tuple(shape)
    new = len(given) - x.ndim
    wanted = tuple(x.shape[i - new] if n == -1 and i >= new >= 0 else n for i, n in enumerate(given))

    def stretch(v):
        try:
            return xp_of(v).broadcast_to(v, wanted)
        except ValueError:
            raise ValueError(f"expand: shape expects one to which x {v.shape} broadcasts; it is {given}") from None

    before = x.shape
    return raw(stretch, x), lambda dy: unbroadcast(dy, before)


def squeeze(x, axis=None, **unknown):
    r"""Without the axes of one element: all of them, or those named (`reshape`)."""
    if unknown:
        raise unknown_argument("squeeze", unknown)
    axes = None if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    dropped = {i for i, n in enumerate(x.shape) if n == 1}
    if axes is not None:
        named = {_axis("squeeze", a, x.ndim) for a in axes}
        if not named <= dropped:
            raise ValueError(f"squeeze: axis expects axes of x {x.shape} with one element; it is {axis}")
        dropped = named
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in dropped))


def unsqueeze(x, axis):
    r"""With a new axis of one element at `axis` (`reshape`)."""
    position = _axis("unsqueeze", axis, x.ndim + 1)
    return reshape(x, (*x.shape[:position], 1, *x.shape[position:]))


@op(linear_in=("x",))
def flip(x, axis=None):
    r"""The elements along axes in reverse order.

    Forward:   y[i] = x[n - 1 - i] along each of the axes, all of them where axis is None
    Backward:  dx = dy flipped along the same axes
    Shapes:    y as x
    Raises:    ValueError for an axis that x does not have, or has twice
    """
    axes = all_axes("flip", axis, x.ndim)
    return raw(lambda v: xp_of(v).flip(v, axes), x), lambda dy: xp_of(dy).flip(dy, axes)


@op
def concatenate_operands(*arrays, axis=0):
    r"""Arrays joined along an axis: what `concatenate` records.

    Forward:   y = x_1, x_2, ... one after the other along `axis`
    Backward:  dx_k = the part of dy that came from x_k
    Shapes:    equal but along `axis`, where they add up
    Lesson:    lessons/03_inception.py
    Kernel:    kernels/cpu/shape.py
    """
    ends = np.cumsum([a.shape[axis] for a in arrays]).tolist()
    parts = [(*(slice(None),) * axis, slice(start, end)) for start, end in zip([0, *ends], ends)]

    def backward(dy):
        return tuple(dy[part] for part in parts)

    return raw(lambda *values: xp_of(values[0]).concatenate(values, axis=axis), *arrays), backward


def concatenate(arrays: Sequence[Any], axis: int = 0, **unknown: Any):
    r"""Arrays joined along an existing axis.

    Raises ValueError for no arrays, or for shapes that differ elsewhere than along `axis`.
    """
    if unknown:
        raise unknown_argument("concatenate", unknown)
    arrays = tuple(arrays)
    if not arrays:
        raise ValueError("concatenate: arrays expects at least one; it is empty")
    if arrays[0].ndim == 0:
        raise ValueError("concatenate: arrays expects at least one axis; number 0 is a number (stack joins numbers)")
    axis = _axis("concatenate", axis, arrays[0].ndim)
    for i, a in enumerate(arrays):
        if a.ndim != arrays[0].ndim or any(
            m != n for k, (m, n) in enumerate(zip(a.shape, arrays[0].shape, strict=True)) if k != axis
        ):
            raise ValueError(
                f"concatenate: arrays expects equal shapes but along axis {axis}; "
                f"number 0 is {arrays[0].shape}, number {i} is {a.shape}"
            )
    floating = next((a for a in arrays if a.dtype.kind == "f"), arrays[0])
    return concatenate_operands(*(one_dtype(floating, a)[1] for a in arrays), axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0, **unknown: Any):
    r"""Arrays of one shape joined along a new axis (`unsqueeze` and `concatenate`)."""
    if unknown:
        raise unknown_argument("stack", unknown)
    arrays = tuple(arrays)
    if not arrays:
        raise ValueError("stack: arrays expects at least one; it is empty")
    for i, a in enumerate(arrays):
        if a.shape != arrays[0].shape:
            raise ValueError(
                f"stack: arrays expects equal shapes; number 0 is {arrays[0].shape}, number {i} is {a.shape}"
            )
    axis = _axis("stack", axis, arrays[0].ndim + 1)
    return concatenate([unsqueeze(a, axis) for a in arrays], axis)


@op(linear_in=("x",))
def getitem(x, index):
    r"""The elements at an index: numbers, slices, None, Ellipsis, integer or boolean arrays, as in NumPy.

    Forward:   y = x[index]
    Backward:  dx = 0, then dx[index] += dy: an element that was taken twice gets both gradients
    Shapes:    y as NumPy's x[index]
    Raises:    IndexError as NumPy does
    """
    shape = x.shape

    def take(v):
        try:
            return v[index]
        except IndexError as error:
            raise IndexError(f"getitem: index expects to lie within x {shape}; {error}") from None

    def backward(dy):
        return scatter_add(dy, index, shape)

    return raw(take, x), backward


@op(linear_in=("values",))
def scatter_add(values, index, shape):
    r"""Values added up at an index of an array of zeros: the derivative of `getitem`.

    Forward:   y = 0, then y[index] += values, for repeated indices as often as they occur
    Backward:  dvalues = dy[index]
    Shapes:    y of `shape`; values as y[index]
    Raises:    IndexError as NumPy does, ValueError where values are not of the shape of y[index]
    """

    def add_up(v):
        y = xp_of(v).zeros_like(v, shape=shape)  # with as many axes as the values, in their order in memory
        try:
            expected = xp_of(v).broadcast_to(xp_of(v).zeros(1, dtype=bool)[: y.size], shape)[index].shape
        except IndexError as error:
            raise IndexError(f"scatter_add: index expects to lie within shape {shape}; {error}") from None
        if v.shape != expected:
            raise ValueError(
                f"scatter_add: values expects shape {expected}, that of the elements at the index; it is {v.shape}"
            )
        if _names_each_element_once(index):
            y[index] = v
        else:
            xp_of(v).add.at(y, index, v)
        return y

    return raw(add_up, values), lambda dy: getitem(dy, index)


def _names_each_element_once(index: Any) -> bool:
    """Whether numbers, slices and masks make up the index: sequences and integer arrays may repeat themselves."""
    parts = index if isinstance(index, tuple) else (index,)
    once = (int, np.integer, slice, type(None), type(...))
    return all(isinstance(i, once) or getattr(i, "dtype", None) == np.bool_ for i in parts)


def take_along_axis(x, indices, axis):
    r"""For each position the element of x at `indices` along `axis`, as in NumPy (`getitem`)."""
    axis = _axis("take_along_axis", axis, x.ndim)
    indices = indices.data if isinstance(indices, Tensor) else indices
    if indices.dtype.kind not in "iu" or indices.ndim != x.ndim:
        raise ValueError(
            f"take_along_axis: indices expects integers with {x.ndim} axes, as x {x.shape}; "
            f"it is {indices.dtype} of shape {indices.shape}"
        )
    xp = xp_of(indices)
    grid = [xp.arange(n).reshape([-1 if k == i else 1 for k in range(x.ndim)]) for i, n in enumerate(x.shape)]
    grid[axis] = indices
    try:
        return getitem(x, tuple(grid))
    except IndexError:
        if all(m in (1, n) for k, (m, n) in enumerate(zip(indices.shape, x.shape)) if k != axis):
            raise
        raise ValueError(
            f"take_along_axis: indices expects the shape of x {x.shape}, or 1, but along axis {axis}; "
            f"it is {indices.shape}"
        ) from None


def pad(x, pad, mode="constant", value=0.0):
    r"""Elements added at the ends of the last axes.

    `pad` holds the numbers before and after the last axis, then of the one before it, and so on. `mode` is "constant"
    (`value`), "reflect" (mirrored, without the edge), "replicate" (the edge) or "circular".

    Raises ValueError for an odd number of sizes, more than x has axes, a negative size, an unknown mode, or a
    reflection wider than x.
    """
    sizes = tuple(operator.index(n) for n in pad)
    if len(sizes) % 2 or len(sizes) > 2 * x.ndim or any(n < 0 for n in sizes):
        raise ValueError(
            f"pad: pad expects a pair of sizes >= 0 for each of at most {x.ndim} axes, last axis first; it is {sizes}"
        )
    widths = ((0, 0),) * (x.ndim - len(sizes) // 2) + tuple(zip(sizes[-2::-2], sizes[::-2], strict=True))
    if mode == "constant":
        return pad_constant(x, widths, value)
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode not in names:
        raise ValueError(f"pad: mode expects constant, {', '.join(names)}; it is {mode!r}")
    for axis, (before, after) in enumerate(widths):
        if before or after:
            n = x.shape[axis]
            if mode == "reflect" and not n > max(before, after):
                raise ValueError(
                    f"pad: pad expects less than the {n} elements of axis {axis} for mode 'reflect'; it is {sizes}"
                )
            source = np.pad(np.arange(n), (before, after), mode=names[mode])  # pyright: ignore[reportCallIssue, reportArgumentType]
            x = getitem(x, (slice(None),) * axis + (source,))
    return x


@op
def pad_constant(x, widths, value=0.0):
    r"""A constant around x; keeps the layout in memory.

    Forward:   y = value, then the inner part of y = x
    Backward:  dx = the inner part of dy
    Shapes:    y.shape[k] = before_k + x.shape[k] + after_k, with widths = ((before_0, after_0), ...)
    """
    inner = tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True))

    def surround(v):
        shape = [before + n + after for n, (before, after) in zip(v.shape, widths, strict=True)]
        y = xp_of(v).full_like(v, value, shape=shape)
        y[inner] = v
        return y

    return raw(surround, x), lambda dy: dy[inner]
