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
    with pytest.raises(ValueError, match="residual expects relu=True"):
        ops.batch_norm(mt.Tensor(x), mean, var, training=True, residual=mt.Tensor(x))
    with pytest.raises(ValueError, match="residual expects the shape of x"):
        ops.batch_norm(mt.Tensor(x), mean, var, training=True, residual=mt.Tensor(x[:1]), relu=True)
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


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("with_residual", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rectified_in_one_is_what_the_separate_operations_give(x, training, with_residual, dtype):
    """Value, gradients and running statistics."""
    rng = np.random.default_rng(2)
    residual, dy = rng.standard_normal(x.shape).astype(dtype), mt.Tensor(rng.standard_normal(x.shape).astype(dtype))
    vectors = rng.standard_normal((2, 3)).astype(dtype)

    def run(normalise):
        given = [mt.Tensor(a, requires_grad=True) for a in (x.astype(dtype), *vectors, residual)]
        statistics = running(lambda a: mt.Tensor(a.astype(dtype)))
        y = normalise(*given[:3], given[3] if with_residual else None, *statistics)
        gradients = mt.grad(y, given if with_residual else given[:3], dy)
        return y, *gradients, *statistics

    def in_one(x, weight, bias, residual, *statistics):
        return ops.batch_norm(x, *statistics, weight, bias, training, residual=residual, relu=True)

    def apart(x, weight, bias, residual, *statistics):
        y = ops.batch_norm(x, *statistics, weight, bias, training)
        return ops.relu(y) if residual is None else ops.add_relu(y, residual)

    for one, other in zip(run(in_one), run(apart), strict=True):
        tolerance = 1e-11 if dtype == np.float64 else 1e-5
        assert one.dtype == dtype
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=tolerance, atol=tolerance)


def test_rectified_without_weight_and_bias_keeps_its_input(x):
    """Where nothing scales or shifts, what is rectified is xhat, which the backward needs as it was."""
    tensor, before = mt.Tensor(x, requires_grad=True), x.copy()
    dy = np.random.default_rng(3).standard_normal(x.shape)
    y = ops.batch_norm(tensor, None, None, training=True, relu=True)
    expected = ops.relu(ops.batch_norm(tensor, None, None, training=True))
    np.testing.assert_allclose(mt.grad(y, tensor, dy).numpy(), mt.grad(expected, tensor, dy).numpy(), atol=1e-12)
    np.testing.assert_array_equal(x, before)


def test_a_residual_in_another_layout_does_not_change_the_layout(x):
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    given = mt.Tensor(last, requires_grad=True), mt.Tensor(x, requires_grad=True)
    y = ops.batch_norm(given[0], None, None, training=True, residual=given[1], relu=True)
    assert y.numpy().strides == last.strides
    dx, _ = mt.grad(y, given, np.ones(x.shape))
    assert dx.numpy().strides == last.strides


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
        lambda x: ops.batch_norm(x, None, None, np.ones(8), np.zeros(8), training=True, relu=True),
        lambda x: ops.batch_norm(x, None, None, np.ones(8), np.zeros(8), training=True, residual=x, relu=True),
        lambda x: ops.batch_norm(x, np.zeros(8), np.ones(8), np.ones(8), np.zeros(8), residual=x, relu=True),
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
