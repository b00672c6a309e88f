"""Indexing, joining and flipping where cases do not reach: indices of other types, numbers of other dtypes, errors."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops


@pytest.mark.parametrize("index", [((0, 0, 1),), range(-2, 2), [0, 0, 1], np.array([1, 1]), (slice(None), (2, 2))])
def test_what_an_index_takes_twice_gets_both_gradients(index):
    x = mt.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    (dx,) = mt.grad(x[index].sum(), [x])
    taken = np.bincount(np.arange(6).reshape(2, 3)[index].ravel(), minlength=6)
    assert dx.numpy().ravel().tolist() == taken.tolist()


def test_take_along_axis_stretches_indices_as_numpy_does(rng):
    x, indices = rng.standard_normal((4, 3)), np.array([[2, 0]])
    assert np.array_equal(ops.take_along_axis(x, indices, 1), np.take_along_axis(x, indices, 1))
    variable = mt.Tensor(x, requires_grad=True)
    (dx,) = mt.grad(ops.take_along_axis(variable, indices, 1).sum(), [variable])
    assert dx.tolist() == [[1.0, 0.0, 1.0]] * 4


def test_take_along_axis_refuses_fewer_indices_than_rows():
    with pytest.raises(ValueError, match=r"expects the shape of x \(4, 3\), or 1, but along axis 1; it is \(2, 1\)"):
        ops.take_along_axis(np.zeros((4, 3)), np.array([[0], [1]]), 1)
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        ops.take_along_axis(np.zeros((4, 3)), np.array([[3]]), 1)


@pytest.mark.parametrize("join", [ops.concatenate, ops.stack])
def test_integers_join_floats_in_the_dtype_of_these(join):
    x = mt.Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    y = join([np.array([[1, 2, 3], [4, 5, 6]]), x])
    (dx,) = mt.grad(y.sum(), [x])
    assert y.dtype == dx.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.flip(x, 2), "flip: axis expects different numbers in -2 .. 1; it is 2"),
        (lambda x: ops.flip(x, (0, -2)), r"flip: axis expects different numbers in -2 .. 1; it is \(0, -2\)"),
        (lambda x: ops.stack([x], 5), "stack: axis expects a number in -3 .. 2; it is 5"),
        (lambda x: ops.concatenate([x[0, 0]]), "concatenate: arrays expects at least one axis; number 0 is a number"),
    ],
)
def test_errors_name_the_operation_that_was_called(call, message):
    with pytest.raises(ValueError, match=message):
        call(mt.Tensor(np.zeros((2, 3))))
