"""What the cases of normalisation do not hold: running statistics, precision, and layouts in memory."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((4, 3, 5, 2)) * 2 + 1


def running(make):
    return make(np.array([1.0, 2.0, 3.0])), make(np.array([4.0, 5.0, 6.0]))


@pytest.mark.parametrize("make", [mt.Tensor, np.array])
@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_running_statistics_follow_the_mean_and_the_unbiased_variance(x, make, momentum):
    mean, var = running(make)
    ops.batch_norm(mt.Tensor(x), mean, var, training=True, momentum=momentum)
    old_mean, old_var = running(np.array)
    by_channel = x.transpose(1, 0, 2, 3).reshape(3, -1)
    expected = (1 - momentum) * old_mean + momentum * by_channel.mean(axis=1)
    np.testing.assert_allclose(np.asarray(mean), expected, rtol=1e-13)
    expected = (1 - momentum) * old_var + momentum * by_channel.var(axis=1, ddof=1)
    np.testing.assert_allclose(np.asarray(var), expected, rtol=1e-13)


def test_the_batch_is_normalised_by_the_biased_variance(x):
    y = ops.batch_norm(x, None, None, training=True, eps=0.0)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1.0, rtol=1e-13)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0.0, atol=1e-14)


def test_running_tensors_get_new_arrays(x):
    mean, var = running(mt.Tensor)
    before = mean.data, var.data
    ops.batch_norm(mt.Tensor(x), mean, var, training=True)
    assert mean.data is not before[0]
    assert var.data is not before[1]
    np.testing.assert_array_equal(before[0], [1, 2, 3])


def test_running_statistics_keep_their_dtype(x):
    mean, var = running(lambda a: mt.Tensor(a.astype(np.float32)))
    ops.batch_norm(mt.Tensor(x.astype(np.float32)), mean, var, training=True)
    assert mean.dtype == var.dtype == np.float32


def test_an_error_leaves_the_running_statistics_alone(x):
    mean, var = running(mt.Tensor)
    with pytest.raises(ValueError, match="bias expects shape"):
        ops.batch_norm(mt.Tensor(x), mean, var, np.ones(3), np.ones(2), training=True)
    with pytest.raises(ValueError, match="more than one value"):
        ops.batch_norm(mt.Tensor(x[:1, :, :1, :1]), mean, var, training=True)
    np.testing.assert_array_equal(mean.numpy(), [1, 2, 3])
    np.testing.assert_array_equal(var.numpy(), [4, 5, 6])


def test_without_training_the_running_statistics_stay(x):
    mean, var = running(mt.Tensor)
    arrays = mean.data, var.data
    ops.batch_norm(mt.Tensor(x), mean, var)
    assert (mean.data, var.data) == arrays


def test_a_second_derivative_moves_the_running_statistics_once(x):
    mean, var = running(mt.Tensor)
    tensor = mt.Tensor(x, requires_grad=True)
    y = ops.batch_norm(tensor, mean, var, training=True)
    after = mean.numpy().copy()
    first = mt.grad((y * y * y).sum(), tensor, create_graph=True)
    mt.grad((first * first).sum(), tensor)
    np.testing.assert_array_equal(mean.numpy(), after)


def test_dx_is_orthogonal_to_what_batch_norm_cannot_see(x):
    """y does not change where a channel of x is shifted or scaled (eps = 0): dx has no part in those directions."""
    tensor = mt.Tensor(x, requires_grad=True)
    dy = np.random.default_rng(1).standard_normal(x.shape)
    dx = mt.grad(ops.batch_norm(tensor, None, None, training=True, eps=0.0), tensor, dy).numpy()
    np.testing.assert_allclose(dx.sum(axis=(0, 2, 3)), 0, atol=1e-13)
    np.testing.assert_allclose((dx * x).sum(axis=(0, 2, 3)), 0, atol=1e-12)


def test_float32_statistics_of_a_large_batch_are_exact_to_rounding():
    """A hundred thousand values far from zero, channels last: added one by one in float32 they lose digits."""
    x = np.random.default_rng(0).standard_normal((128, 28, 28, 4), dtype=np.float32) + 10
    x = x.transpose(0, 3, 1, 2)
    mean, var = np.zeros(4, np.float32), np.zeros(4, np.float32)
    ops.batch_norm(x, mean, var, training=True, momentum=1.0)
    right = x.astype(np.float64)
    np.testing.assert_allclose(mean, right.mean(axis=(0, 2, 3)), rtol=5e-7)
    np.testing.assert_allclose(var, right.var(axis=(0, 2, 3), ddof=1), rtol=2e-6)


@pytest.mark.parametrize(
    "normalise",
    [
        lambda x: ops.batch_norm(x, None, None, np.ones(8), np.zeros(8), training=True),
        lambda x: ops.batch_norm(x, np.zeros(8), np.ones(8), np.ones(8), np.zeros(8)),
        lambda x: ops.group_norm(x, 4, np.ones(8), np.zeros(8)),
        lambda x: ops.local_response_norm(x, 5),
    ],
)
def test_channels_last_stays_channels_last(normalise):
    x = np.random.default_rng(0).standard_normal((2, 8, 5, 3))
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    y = normalise(mt.Tensor(last, requires_grad=True))
    np.testing.assert_allclose(y.numpy(), normalise(x), rtol=1e-13, atol=1e-13)
    assert y.numpy().strides[1] == y.numpy().itemsize


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_of_one_group_is_layer_norm(groups):
    x = np.random.default_rng(0).standard_normal((3, 4, 2, 5))
    rows = x.reshape(3 * groups, -1)
    expected = ops.layer_norm(rows, rows.shape[1]).reshape(x.shape)
    np.testing.assert_allclose(ops.group_norm(x, groups), expected, rtol=1e-13, atol=1e-13)


def test_local_response_norm_in_the_papers_convention():
    """Krizhevsky et al. 2012: b_i = a_i / (2 + 1e-4 sum a_j^2)^0.75 over five channels around i; alpha is 5e-4 here."""
    a = np.random.default_rng(0).standard_normal((1, 9, 1)) * 30
    b = ops.local_response_norm(a, 5, alpha=5e-4, beta=0.75, k=2.0)[0, :, 0]
    for i in range(9):
        energy = (a[0, max(0, i - 2) : i + 3, 0] ** 2).sum()
        assert b[i] == pytest.approx(a[0, i, 0] / (2 + 1e-4 * energy) ** 0.75, rel=1e-12)
