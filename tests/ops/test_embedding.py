"""The embedding's padding row, which is no derivative but a rule, and index types."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops

INDICES = np.array([[1, 4, 1], [0, 1, 3]])


@pytest.mark.parametrize("padding_idx", [1, -4])
def test_the_padding_row_gets_no_gradient(rng, padding_idx):
    weight = mt.Tensor(rng.standard_normal((5, 2)), requires_grad=True)
    upstream = rng.standard_normal((2, 3, 2))
    y = ops.embedding(INDICES, weight, padding_idx)
    (dweight,) = mt.grad(y, [weight], upstream=mt.Tensor(upstream))
    assert (y.numpy() == weight.numpy()[INDICES]).all()
    assert not dweight.numpy()[1].any()
    assert (dweight.numpy()[[0, 3, 4]] == upstream[[1, 1, 0], [0, 2, 1]]).all()


def test_repeated_indices_add_up():
    weight = mt.Tensor(np.zeros((5, 1)), requires_grad=True)
    (dweight,) = mt.grad(ops.embedding(mt.Tensor(INDICES), weight), [weight], upstream=mt.Tensor(np.ones((2, 3, 1))))
    assert dweight.tolist() == [[1.0], [3.0], [0.0], [1.0], [1.0]]


def test_negative_indices_are_refused():
    with pytest.raises(IndexError, match=r"^embedding: x expects indices 0 \.\. 4; it has -1$"):
        ops.embedding(np.array([0, -1]), np.zeros((5, 2)))
