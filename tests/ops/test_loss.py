"""Losses where cases do not reach: huge logits, labels of other types, what is ignored, textbook values."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_huge_logits(dtype):
    x = mt.Tensor(np.array([[1000.0, -1000.0], [-1000.0, 1000.0]], dtype), requires_grad=True)
    loss = ops.cross_entropy(x, np.array([1, 1]))
    (dx,) = mt.grad(loss, [x])
    assert loss.dtype == dx.dtype == dtype
    assert loss.item() == 1000.0
    assert dx.tolist() == [[0.5, -0.5], [0.0, 0.0]]


def test_cross_entropy_gradient_is_softmax_minus_one_hot(rng):
    x = mt.Tensor(rng.standard_normal((5, 3)), requires_grad=True)
    target = np.array([2, 0, 1, 1, 2])
    (dx,) = mt.grad(ops.cross_entropy(x, target), [x])
    assert np.allclose(dx.numpy(), (ops.softmax(x.numpy()) - np.eye(3)[target]) / 5, rtol=1e-14)


def test_cross_entropy_is_nll_of_log_softmax(rng):
    x, target, weight = rng.standard_normal((5, 3, 2)), rng.integers(0, 3, (5, 2)), rng.uniform(0.5, 2, 3)
    nll = ops.nll_loss(ops.log_softmax(x, 1), target, weight)
    assert ops.cross_entropy(x, target, weight) == pytest.approx(nll, rel=1e-14)


def test_ignored_targets_get_no_gradient_even_beside_infinite_logits(rng):
    values = rng.standard_normal((4, 3))
    values[:, 0] = -np.inf
    x = mt.Tensor(values, requires_grad=True)
    target = mt.Tensor(np.array([1, -100, 2, -100]))
    for loss in (ops.cross_entropy(x, target), ops.nll_loss(ops.log_softmax(x), target)):
        (dx,) = mt.grad(loss, [x])
        assert math.isfinite(loss.item())
        assert np.isfinite(dx.numpy()).all()
        assert not dx.numpy()[[1, 3]].any()


def test_one_sample_gives_one_loss():
    x = np.array([0.0, math.log(3.0)])
    assert ops.cross_entropy(x, np.array(1), reduction="none").shape == ()
    assert ops.cross_entropy(x, 1) == pytest.approx(math.log(4 / 3), rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_of_huge_logits_and_boolean_labels(dtype):
    x = mt.Tensor(np.array([1000.0, -1000.0, 1000.0], dtype), requires_grad=True)
    loss = ops.binary_cross_entropy_with_logits(x, np.array([True, True, False]), reduction="none")
    (dx,) = mt.grad(loss, [x], upstream=mt.Tensor(np.ones(3, dtype)))
    assert loss.dtype == dx.dtype == dtype
    assert loss.tolist() == [0.0, 1000.0, 1000.0]
    assert dx.tolist() == [0.0, -1.0, 1.0]


def test_integer_targets_do_not_widen_the_dtype():
    assert ops.mse_loss(np.ones(3, np.float32), np.zeros(3, int), "none").dtype == np.float32


def test_gaussian_kl_of_the_standard_normal_is_zero():
    assert ops.gaussian_kl(np.zeros((3, 4)), np.zeros((3, 4)), "none").tolist() == [0.0, 0.0, 0.0]


def test_gaussian_kl_near_the_standard_normal_keeps_its_digits():
    assert ops.gaussian_kl(np.zeros((1, 1)), np.full((1, 1), 1e-6)) == pytest.approx(2.5e-13, rel=1e-3)


def test_gaussian_nll_is_least_at_the_true_variance():
    x, target = np.zeros((1, 1)), np.full((1, 1), 3.0)
    losses = [ops.gaussian_nll_loss(x, target, np.full((1, 1), v)) for v in (8.9, 9.0, 9.1)]
    assert losses[1] == min(losses)


def test_targets_and_weights_may_be_numbers_and_lists():
    x = mt.Tensor(np.array([0.5, -1.0, 2.0], np.float32), requires_grad=True)
    loss = ops.binary_cross_entropy_with_logits(x, [0.25, 1, 1], weight=[1.0, 2.0, 3.0], pos_weight=3.0)
    arrays = [np.array(v, np.float32) for v in ([0.25, 1, 1], [1, 2, 3], [3, 3, 3])]
    assert loss.dtype == np.float32
    assert loss.item() == ops.binary_cross_entropy_with_logits(x, arrays[0], arrays[1], pos_weight=arrays[2]).item()
    assert ops.mse_loss(x, [0.5, -1, 2]).item() == 0.0
    rows = mt.Tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    weighted = ops.cross_entropy(rows, [0, 2], weight=[1.0, 2.0, 3.0])
    assert weighted.item() == ops.cross_entropy(rows, np.array([0, 2]), np.array([1, 2, 3], np.float32)).item()
    with pytest.raises(ValueError, match=r"mse_loss: target expects the shape of x \(3,\); it is \(\)"):
        ops.mse_loss(x, 0.0)


def test_weights_are_constants():
    x, weight = mt.Tensor(np.zeros((1, 2))), mt.Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(ValueError, match="cross_entropy: weight expects constants; it requires a gradient"):
        ops.cross_entropy(x, np.array([0]), weight)
    loss = ops.binary_cross_entropy_with_logits(x, np.zeros((1, 2)), weight)
    with pytest.raises(RuntimeError, match="2 gradients came, and operand 2, weight of shape"):
        loss.backward()
