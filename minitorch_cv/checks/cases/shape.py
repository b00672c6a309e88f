"""Cases of shape, order, joining, padding and indexing."""

from __future__ import annotations

import numpy as np

from ..._namespace import xp_of
from ...ops import (
    concatenate,
    expand,
    flatten,
    flip,
    getitem,
    pad,
    permute,
    reshape,
    scatter_add,
    squeeze,
    stack,
    take_along_axis,
    transpose,
    unsqueeze,
)
from ..case import Case, ErrorCase, Fault, wrong_gradient


def _normal(*shape):
    return lambda rng: {"x": rng.standard_normal(shape)}


def _arrays(*shapes):
    return lambda rng: {"arrays": [rng.standard_normal(shape) for shape in shapes]}


def _gathered(source):
    """The reference for what moves elements: y[at] = x[source(x, at, settings...)], one element at a time.

    `source` gets the shape of y as well, which `shape_of` computes.
    """

    def with_shape(shape_of):
        def naive(x, **settings):
            y = np.empty(shape_of(x.shape, **settings))
            for at in np.ndindex(*y.shape):
                y[at] = x[source(x.shape, at, **settings)]
            return y

        return naive

    return with_shape


def _in_row_major_order(x, shape):
    """The elements one after the other, last index fastest."""
    return np.array([x[at] for at in np.ndindex(*x.shape)]).reshape(shape)


def _reshaped(x, shape):
    shape = (shape,) if isinstance(shape, int) else shape
    return _in_row_major_order(x, [x.size // -_product(shape) if n == -1 else n for n in shape])


def _product(sizes):
    product = 1
    for n in sizes:
        product *= n
    return product


def _flattened(x, start_dim=0, end_dim=-1):
    start, end = start_dim % max(x.ndim, 1), end_dim % max(x.ndim, 1)
    return _in_row_major_order(x, (*x.shape[:start], _product(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def _permuted(x, axes):
    y = np.empty([x.shape[a] for a in axes])
    for at in np.ndindex(*x.shape):
        y[tuple(at[a] for a in axes)] = x[at]
    return y


def _transposed(x, a, b):
    axes = list(range(x.ndim))
    axes[a], axes[b] = axes[b], axes[a]
    return _permuted(x, axes)


def _expanded_shape(before, shape):
    kept = (None,) * (len(shape) - len(before)) + before
    return [old if n == -1 else n for n, old in zip(shape, kept, strict=True)]


def _expanded_source(before, at, shape):
    return tuple(0 if n == 1 else i for n, i in zip(before, at[len(shape) - len(before) :], strict=True))


def _squeezed(x, axis=None):
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    dropped = [a % x.ndim for a in axes if x.shape[a] == 1]
    return _in_row_major_order(x, [n for i, n in enumerate(x.shape) if i not in dropped])


def _unsqueezed(x, axis):
    sizes = list(x.shape)
    sizes.insert(axis % (x.ndim + 1), 1)
    return _in_row_major_order(x, sizes)


def _flipped_source(before, at, axis=None):
    axes = range(len(before)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = [a % len(before) for a in axes]
    return tuple(before[i] - 1 - n if i in axes else n for i, n in enumerate(at))


def _joined(arrays, axis=0):
    axis %= arrays[0].ndim
    sizes = list(arrays[0].shape)
    sizes[axis] = sum(a.shape[axis] for a in arrays)
    y, start = np.empty(sizes), 0
    for a in arrays:
        for at in np.ndindex(*a.shape):
            y[(*at[:axis], at[axis] + start, *at[axis + 1 :])] = a[at]
        start += a.shape[axis]
    return y


def _stacked(arrays, axis=0):
    axis %= arrays[0].ndim + 1
    y = np.empty((*arrays[0].shape[:axis], len(arrays), *arrays[0].shape[axis:]))
    for i, a in enumerate(arrays):
        for at in np.ndindex(*a.shape):
            y[(*at[:axis], i, *at[axis:])] = a[at]
    return y


def _added_up(values, index, shape):
    """Each value added where its index points, found by indexing the positions themselves."""
    flat = np.zeros(_product(shape))
    positions = np.arange(flat.size).reshape(shape)[index]
    for position, value in zip(positions.ravel().tolist(), np.ravel(values).tolist(), strict=True):
        flat[position] += value
    return flat.reshape(shape)


def _taken_along(x, indices, axis):
    y = np.empty(indices.shape)
    for at in np.ndindex(*indices.shape):
        source = list(at)
        source[axis] = indices[at]
        y[at] = x[tuple(source)]
    return y


def _padded(x, pad, mode="constant", value=0.0):
    """Each element of y traced back to the element of x that it shows, if any."""
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[k], pad[k + 1]) for k in range(len(pad) - 2, -1, -2)]
    y = np.empty([before + n + after for n, (before, after) in zip(x.shape, widths, strict=True)])
    for at in np.ndindex(*y.shape):
        source = [_traced(i - before, n, mode) for i, n, (before, _) in zip(at, x.shape, widths, strict=True)]
        y[at] = value if None in source else x[tuple(source)]  # pyright: ignore[reportArgumentType]
    return y


def _traced(i, n, mode):
    if 0 <= i < n:
        return i
    if mode == "constant":
        return None
    if mode == "replicate":
        return 0 if i < 0 else n - 1
    if mode == "circular":
        return i % n
    return -i if i < 0 else 2 * (n - 1) - i


_REPEATED = np.array([2, 0, 2, 2, 1])
_MASK = np.array([[True, False, True, False], [False, True, True, False], [True, True, False, False]])

_INDICES = [
    ("a number", (3, 4), 1),
    ("a negative number", (3, 4), -1),
    ("a slice with a step", (5, 4), slice(None, None, 2)),
    ("a slice backwards", (5, 4), slice(3, 0, -1)),
    ("nothing", (5, 4), slice(2, 2)),
    ("number and slice", (3, 5), (1, slice(1, 4))),
    ("Ellipsis", (2, 3, 4), (Ellipsis, 1)),
    ("a new axis", (3, 4), (slice(None), None, slice(1, 3))),
    ("repeated indices", (3, 4), _REPEATED),
    ("repeated indices in the last axis", (2, 3), (slice(None), _REPEATED)),
    ("a list", (4, 3), [0, 3, 0]),
    ("two index arrays", (3, 4), (np.array([0, 2, 0]), np.array([1, 3, 1]))),
    ("index arrays that broadcast", (3, 4), (np.array([[0], [2]]), np.array([1, 3, 1]))),
    ("index arrays apart", (3, 2, 4), (np.array([0, 2, 2]), slice(None), np.array([1, 3, 3]))),
    ("a mask", (3, 4), _MASK),
    ("a mask of the first axis", (3, 2), np.array([True, False, True])),
]

CASES = [
    Case("reshape", "to a matrix", _normal(2, 3, 4), {"shape": (4, 6)}, _reshaped),
    Case("reshape", "one size left open", _normal(2, 3, 4), {"shape": (3, -1)}, _reshaped),
    Case("reshape", "to a vector, by a number", _normal(3, 5), {"shape": -1}, _reshaped),
    Case("reshape", "one element to no axes", _normal(1, 1), {"shape": ()}, _reshaped),
    Case("flatten", "all", _normal(2, 3, 4), {}, _flattened),
    Case("flatten", "from the second axis", _normal(2, 3, 4), {"start_dim": 1}, _flattened),
    Case("flatten", "up to the one before the last", _normal(2, 3, 4), {"end_dim": -2}, _flattened),
    Case("flatten", "no axes", _normal(), {}, lambda x: np.array([x.item()])),
    Case("permute", "three axes in a cycle", _normal(2, 3, 4), {"axes": (2, 0, 1)}, _permuted),
    Case("permute", "negative axes", _normal(2, 3, 4, 5), {"axes": (0, -2, -1, 1)}, _permuted),
    Case("transpose", "matrix", _normal(3, 5), {"a": 0, "b": 1}, _transposed),
    Case("transpose", "negative axes of four", _normal(2, 3, 4, 5), {"a": 1, "b": -1}, _transposed),
    Case("expand", "rows", _normal(1, 4), {"shape": (3, 4)}, _gathered(_expanded_source)(_expanded_shape)),
    Case(
        "expand",
        "new axes in front, one size kept",
        _normal(3, 1),
        {"shape": (2, -1, 4)},
        _gathered(_expanded_source)(_expanded_shape),
    ),
    Case("squeeze", "all", _normal(1, 3, 1, 2), {}, _squeezed),
    Case("squeeze", "one axis", _normal(1, 3, 1, 2), {"axis": -2}, _squeezed),
    Case("squeeze", "two axes", _normal(1, 3, 1, 2), {"axis": (0, 2)}, _squeezed),
    Case("unsqueeze", "in front", _normal(3, 2), {"axis": 0}, _unsqueezed),
    Case("unsqueeze", "at the end", _normal(3, 2), {"axis": -1}, _unsqueezed),
    Case("flip", "all", _normal(2, 3), {}, _gathered(_flipped_source)(lambda shape, axis=None: shape)),
    Case("flip", "last axis", _normal(2, 3, 4), {"axis": -1}, _gathered(_flipped_source)(lambda shape, axis: shape)),
    Case("flip", "space", _normal(2, 3, 4), {"axis": (1, 2)}, _gathered(_flipped_source)(lambda shape, axis: shape)),
    Case("concatenate", "first axis", _arrays((2, 3), (4, 3), (1, 3)), {}, _joined),
    Case("concatenate", "last axis", _arrays((2, 1, 3), (2, 1, 4)), {"axis": -1}, _joined),
    Case("concatenate", "channels of images", _arrays((2, 3, 2, 2), (2, 1, 2, 2)), {"axis": 1}, _joined),
    Case("concatenate", "one array, one empty", _arrays((2, 3), (0, 3)), {}, _joined),
    Case("stack", "in front", _arrays((2, 3), (2, 3), (2, 3)), {}, _stacked),
    Case("stack", "at the end", _arrays((2, 3), (2, 3)), {"axis": -1}, _stacked),
    *[
        Case("getitem", title, _normal(*shape), {"index": index}, lambda x, index: x[index].copy())
        for title, shape, index in _INDICES
    ],
    *[
        Case(
            "scatter_add",
            title,
            lambda rng, shape=shape, index=index: {"values": rng.standard_normal(np.zeros(shape)[index].shape)},
            {"index": index, "shape": shape},
            _added_up,
        )
        for title, shape, index in _INDICES
    ],
    Case(
        "take_along_axis",
        "one of each row",
        lambda rng: {"x": rng.standard_normal((4, 3)), "indices": np.array([[2], [0], [1], [2]])},
        {"axis": 1},
        _taken_along,
    ),
    Case(
        "take_along_axis",
        "several of each column, repeated",
        lambda rng: {"x": rng.standard_normal((4, 3)), "indices": np.array([[3, 0, 1], [3, 2, 1], [0, 0, 3]])},
        {"axis": 0},
        _taken_along,
    ),
    Case("pad", "last axis", _normal(2, 3), {"pad": (1, 2)}, _padded),
    Case("pad", "two axes, a value", _normal(2, 1, 3, 4), {"pad": (1, 0, 2, 1), "value": -1.5}, _padded),
    Case("pad", "reflect", _normal(1, 2, 4, 5), {"pad": (3, 2, 1, 0), "mode": "reflect"}, _padded),
    Case("pad", "replicate", _normal(1, 2, 2, 3), {"pad": (1, 2, 2, 1), "mode": "replicate"}, _padded),
    Case("pad", "circular", _normal(1, 2, 3, 3), {"pad": (2, 1, 0, 3), "mode": "circular"}, _padded),
]

_x = np.zeros((2, 3))

ERRORS = [
    ErrorCase(
        "reshape",
        lambda: reshape(_x, (4, 2)),
        ValueError,
        "reshape: shape expects 6 elements, those of x (2, 3); it is (4, 2)",
    ),
    ErrorCase(
        "flatten",
        lambda: flatten(_x, 1, 0),
        ValueError,
        "flatten: start_dim expects an axis not after end_dim = 0; it is 1",
    ),
    ErrorCase("flatten", lambda: flatten(_x, 2), ValueError, "flatten: axis expects a number in -2 .. 1; it is 2"),
    ErrorCase(
        "permute",
        lambda: permute(_x, (0, -2)),
        ValueError,
        "permute: axes expects each axis of x (2, 3) once; it is (0, -2)",
    ),
    ErrorCase(
        "transpose", lambda: transpose(_x, 0, 2), ValueError, "transpose: axis expects a number in -2 .. 1; it is 2"
    ),
    ErrorCase(
        "expand",
        lambda: expand(_x, (4, 3)),
        ValueError,
        "expand: shape expects one to which x (2, 3) broadcasts; it is (4, 3)",
    ),
    ErrorCase(
        "squeeze",
        lambda: squeeze(_x, 0),
        ValueError,
        "squeeze: axis expects axes of x (2, 3) with one element; it is 0",
    ),
    ErrorCase(
        "unsqueeze", lambda: unsqueeze(_x, 3), ValueError, "unsqueeze: axis expects a number in -3 .. 2; it is 3"
    ),
    ErrorCase(
        "concatenate", lambda: concatenate([]), ValueError, "concatenate: arrays expects at least one; it is empty"
    ),
    ErrorCase(
        "concatenate",
        lambda: concatenate([_x, np.zeros((2, 4))]),
        ValueError,
        "concatenate: arrays expects equal shapes but along axis 0; number 0 is (2, 3), number 1 is (2, 4)",
    ),
    ErrorCase("stack", lambda: stack([]), ValueError, "stack: arrays expects at least one; it is empty"),
    ErrorCase(
        "stack",
        lambda: stack([_x, np.zeros((3, 2))]),
        ValueError,
        "stack: arrays expects equal shapes; number 0 is (2, 3), number 1 is (3, 2)",
    ),
    ErrorCase(
        "getitem",
        lambda: getitem(_x, 2),
        IndexError,
        "getitem: index expects to lie within x (2, 3); index 2 is out of bounds for axis 0 with size 2",
    ),
    ErrorCase(
        "scatter_add",
        lambda: scatter_add(np.zeros(3), np.array([0, 2, 4]), (4,)),
        IndexError,
        "scatter_add: index expects to lie within shape (4,); index 4 is out of bounds for axis 0 with size 4",
    ),
    ErrorCase(
        "scatter_add",
        lambda: scatter_add(np.zeros(2), np.array([0, 2, 3]), (4,)),
        ValueError,
        "scatter_add: values expects shape (3,), that of the elements at the index; it is (2,)",
    ),
    ErrorCase("flip", lambda: flip(_x, 2), ValueError, "flip: axis expects different numbers in -2 .. 1; it is 2"),
    ErrorCase(
        "take_along_axis",
        lambda: take_along_axis(_x, np.array([0, 1]), 1),
        ValueError,
        "take_along_axis: indices expects integers with 2 axes, as x (2, 3); it is int64 of shape (2,)",
    ),
    ErrorCase(
        "pad",
        lambda: pad(_x, (1, 2, 3)),
        ValueError,
        "pad: pad expects a pair of sizes >= 0 for each of at most 2 axes, last axis first; it is (1, 2, 3)",
    ),
    ErrorCase(
        "pad",
        lambda: pad(_x, (1, 1), "mirror"),
        ValueError,
        "pad: mode expects constant, reflect, replicate, circular; it is 'mirror'",
    ),
    ErrorCase(
        "pad",
        lambda: pad(_x, (3, 0), "reflect"),
        ValueError,
        "pad: pad expects less than the 3 elements of axis 1 for mode 'reflect'; it is (3, 0)",
    ),
]


def _transposed_twice_the_same_way(grads, dy, x, axes):
    """The permutation applied again in place of its inverse: right for the exchange of two axes alone."""
    again = xp_of(dy).transpose(dy, axes)
    return [again if again.shape == x.shape else again.reshape(x.shape)]


def _column_major(grads, dy, x, shape):
    """The elements back in column-major order."""
    if x.ndim < 2:
        return grads
    reverse = tuple(reversed(range(x.ndim)))
    return [xp_of(dy).transpose(grads[0], reverse).reshape(x.shape)]


def _first_copy(grads, dy, x, shape):
    """One of the copies in place of their sum."""
    extra = dy.ndim - x.ndim
    return [dy[(0,) * extra + tuple(slice(0, n) for n in x.shape)]]


def _overwritten(grads, dy, x, index):
    """dx[index] = dy in place of dx[index] += dy: of the elements taken twice only the last gradient stays."""
    positions = np.arange(x.size).reshape(x.shape)[index].ravel()
    last = {position: number for number, position in enumerate(positions.tolist())}
    kept = np.array([last[position] == number for number, position in enumerate(positions.tolist())], dtype=bool)
    return [scatter_add(dy * kept.reshape(dy.shape).astype(dy.dtype), index, x.shape)]


def _in_reverse(grads, dy, *arrays, axis=0):
    """The parts handed out in the wrong order, where their sizes agree."""
    reverse = grads[::-1]
    return reverse if all(g.shape == a.shape for g, a in zip(reverse, arrays, strict=True)) else grads


def _corner(grads, dy, x, widths, value=0.0):
    """The part of dy at its origin in place of its middle."""
    return [dy[tuple(slice(0, n) for n in x.shape)]]


FAULTS = [
    Fault("reshape", "back in column-major order", wrong_gradient(_column_major)),
    Fault("permute", "the same permutation in place of its inverse", wrong_gradient(_transposed_twice_the_same_way)),
    Fault("expand", "one copy in place of the sum of all", wrong_gradient(_first_copy)),
    Fault("flip", "not flipped back", wrong_gradient(lambda grads, dy, x, *axis: [dy])),
    Fault("concatenate_operands", "parts in reverse order", wrong_gradient(_in_reverse)),
    Fault("getitem", "overwritten where an index repeats", wrong_gradient(_overwritten)),
    Fault(
        "scatter_add",
        "dy of the wrong elements",
        wrong_gradient(lambda grads, dy, values, index, shape: [xp_of(dy).flip(grads[0], None)]),
    ),
    Fault("pad_constant", "the corner of dy in place of its middle", wrong_gradient(_corner)),
]
