"""Arithmetic and matrix products where cases do not reach: operands of other types."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops


@pytest.mark.parametrize(
    "product", [ops.matmul, lambda x, w: ops.matmul(w.T, x.T), lambda x, w: ops.linear(x, w.T), ops.multiply]
)
def test_integers_take_the_dtype_of_the_floats(product):
    x = mt.Tensor(np.ones((3, 3), np.float32), requires_grad=True)
    y = product(x, mt.Tensor(np.arange(9).reshape(3, 3)))
    (dx,) = mt.grad(y.sum(), [x])
    assert y.dtype == dx.dtype == np.float32


def test_clip_refuses_a_bound_that_would_get_no_gradient():
    x, bound = mt.Tensor([1.0, -1.0]), mt.Tensor(0.5, requires_grad=True)
    with pytest.raises(TypeError, match=r"clip: min and max expect numbers, which get no gradient"):
        x.clip(bound)
    with pytest.raises(TypeError, match=r"clip: min and max expect numbers"):
        x.clip(max=np.zeros(2, np.float32))


def test_an_axis_that_is_no_number_is_named():
    with pytest.raises(TypeError, match=r"sum: axis expects None, a whole number or several; it is 1.0"):
        mt.Tensor(np.zeros((2, 3))).sum(1.0)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("interpolate", lambda x: ops.interpolate(x, 3, mode="bilinear")),
        ("local_response_norm", lambda x: ops.local_response_norm(x, 3)),
        ("conv2d", lambda x: ops.conv2d(x, np.ones((1, 3, 1, 1), np.float32))),
        ("conv_transpose2d", lambda x: ops.conv_transpose2d(x, np.ones((3, 1, 1, 1), np.float32))),
    ],
)
def test_the_bytes_of_an_image_are_refused_where_they_would_be_rounded(name, call):
    with pytest.raises(TypeError, match=f"{name}: x expects floating values; it is of type uint8"):
        call(np.full((1, 3, 2, 2), 200, np.uint8))
