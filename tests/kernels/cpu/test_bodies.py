"""What the cases of gradient checks are too small for: many tasks, long rows, the edges of the exponential."""

import numpy as np
import pytest

from minitorch_cv import ops
from minitorch_cv._op import OPS

pytest.importorskip("llvmlite", reason="llvmlite is not installed; kernels on the processor need it")


def images(rng, *shape, dtype=np.float64):
    n, c, h, w = shape
    return rng.standard_normal((n, h, w, c)).astype(dtype).transpose(0, 3, 1, 2)


def compare(name, operands, settings, tolerance=1e-10):
    """Value and gradients of the body that is chosen against the portable one."""
    operation = OPS[name]
    from minitorch_cv._op import choose

    chosen = choose(operation, operation.faster, list(operands), settings)
    assert chosen is not operation.body, f"{name}: the portable body was chosen"
    results = []
    for body in (chosen, operation.body):
        value, backward = body(*operands, **settings)
        y = value[0] if isinstance(value, tuple) else value
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
        if y.ndim == 4:
            dy = np.ascontiguousarray(dy.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        gradients = backward(dy)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        results.append([y, *[g() if callable(g) else g for g in gradients]])
    for i, (a, b) in enumerate(zip(*results, strict=True)):
        if a is not None and b is not None:
            error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-300)
            assert error <= tolerance, f"{name}: number {i} is off by {error}"


@pytest.mark.parametrize("channels", [1, 3, 16, 24, 64, 130])
def test_batch_norm_of_many_pixels(rng, channels):
    x, residual = images(rng, 8, channels, 23, 20), images(rng, 8, channels, 23, 20)
    weight, bias = rng.standard_normal(channels), rng.standard_normal(channels)
    compare("batch_norm_train", (x, weight, bias, 1e-5), {})
    compare("batch_norm_relu_train", (x, None, weight, bias, 1e-5), {})
    compare("batch_norm_relu_train", (x, residual, weight, bias, 1e-5), {})
    compare("batch_norm_eval", (x, bias, weight * weight, weight, None, 1e-5), {})
    compare("batch_norm_relu_eval", (x, None, bias, weight * weight, weight, None, 1e-5), {})
    compare("batch_norm_relu_eval", (x, residual, bias, weight * weight, weight, bias, 1e-5), {})


def test_batch_norm_far_from_zero(rng):
    """Means a thousand times the deviation: a variance as a difference of squares would be lost in float32."""
    x = (images(rng, 4, 16, 30, 30) + 1000.0).astype(np.float32)
    (y, _, var), _ = _fast("batch_norm_train")(x)
    exact = x.astype(np.float64).var(axis=(0, 2, 3))
    assert np.abs(var / exact - 1).max() < 1e-5
    assert np.abs(y.std(axis=(0, 2, 3)) - 1).max() < 1e-3


def _fast(name):
    from minitorch_cv._op import _loaded

    return _loaded(OPS[name].faster[0])


def test_sums_and_joins_of_large_images(rng):
    x, other = images(rng, 4, 40, 20, 20), images(rng, 4, 40, 20, 20)
    compare("add", (x, other), {})
    compare("add", (x, rng.standard_normal((4, 40, 1, 1))), {})
    compare("add_relu", (x, other), {})
    compare("relu", (x,), {})
    compare("concatenate_operands", (x, images(rng, 4, 24, 20, 20), other), {"axis": 1})


def test_pooling_of_large_images(rng):
    x = images(rng, 3, 20, 31, 30)
    for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), (3, 1, 1), ((2, 3), (1, 2), (1, 1))):
        compare("max_pool2d", (x, kernel, stride, padding), {})
        compare("avg_pool2d", (x, kernel, stride, padding), {})
    compare("adaptive_avg_pool2d", (x, 1), {})


def test_the_first_of_equal_values_and_a_nan_win(rng):
    x = np.zeros((1, 16, 4, 4)).transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    y, backward = _fast("max_pool2d")(x, 2)
    dx = backward(np.ones_like(y))
    assert (dx[:, :, ::2, ::2] == 1).all() and dx.sum() == y.size
    x[0, 3, 1, 0] = np.nan
    assert np.isnan(_fast("max_pool2d")(x, 2)[0][0, 3, 0, 0])


@pytest.mark.parametrize("size", [1, 4, 5])
def test_normalisations_of_large_images(rng, size):
    x = images(rng, 5, 48, 17, 16)
    compare("local_response_norm", (x, size, 1e-2, 0.75, 2.0), {}, 1e-9)
    compare("group_norm", (x, 12, rng.standard_normal(48), rng.standard_normal(48), 1e-5), {})


def test_attention_of_many_heads(rng):
    q, k, v = (
        rng.standard_normal((3, 5, 37, 24)),
        rng.standard_normal((3, 5, 50, 24)),
        rng.standard_normal((3, 5, 50, 19)),
    )
    compare("masked_attention", (q, k, v, None, None, 0.3, 0.0), {})


def test_softmax_of_many_classes(rng):
    x = 20 * rng.standard_normal((300, 1000))
    compare("softmax", (x,), {})
    compare("softmax_cross_entropy", (x, np.eye(1000)[rng.integers(0, 1000, 300)]), {})


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_many_logits(rng, reduction):
    x, target = 30 * rng.standard_normal((200, 300)), rng.random((200, 300))
    compare("binary_cross_entropy_with_logits", (x, target), {"reduction": reduction})


@pytest.mark.parametrize("rows", [1, 3, 16, 17, 200])
def test_matrix_products(rng, rows):
    x, weight, bias = rng.standard_normal((rows, 1100)), rng.standard_normal((70, 1100)), rng.standard_normal(70)
    compare("linear", (x, weight, bias), {})
    compare("matmul", (x, weight.T), {})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential(dtype):
    """Through the softmax of pairs (0, -x), that is 1 / (1 + e^-x) and e^-x / (1 + e^-x), whose exponential it is."""
    x = np.linspace(0.0, 60.0, 200_001).astype(dtype)
    pairs, _ = _fast("softmax")(np.ascontiguousarray(np.stack([np.zeros_like(x), -x], axis=1)))
    exact = np.exp(-x.astype(np.longdouble)) / (1 + np.exp(-x.astype(np.longdouble)))
    error = np.abs(pairs[:, 1] / exact - 1).max() / np.finfo(dtype).eps
    assert error < 4, f"{error} units of rounding"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_beyond_the_exponential(dtype):
    extreme = np.array([-1e4, -200.0, 0.0, 200.0, 1e4, np.inf, -np.inf, np.nan], dtype)
    y, _ = _fast("sigmoid")(extreme)
    assert y[:2].max() < 1e-30 and y[2] == 0.5 and (y[3:6] == 1).all() and y[6] == 0 and np.isnan(y[7])
    y, _ = _fast("tanh")(np.array([-np.inf, -50.0, -1e-6, 0.0, 1e-6, 0.3, 50.0, np.inf, np.nan], dtype))
    assert y[0] == y[1] == -1 and y[6] == y[7] == 1 and np.isnan(y[8]) and np.isclose(y[4], 1e-6, rtol=1e-6, atol=0)


def test_other_types_are_left_to_the_portable_bodies(rng):
    x, weight = rng.standard_normal((3, 5)).astype(np.float32), rng.standard_normal((4, 5)).astype(np.float32)
    assert np.allclose(ops.linear(x, weight, np.arange(4)), x @ weight.T + np.arange(4), atol=1e-6)
    image, filters = images(rng, 1, 2, 4, 4, dtype=np.float32), rng.standard_normal((3, 2, 3, 3)).astype(np.float32)
    plain = ops.conv2d(image, filters, None)
    for one in (np.ones(3), np.ones(3, np.int64), np.ones(3, np.int8)):
        assert np.allclose(ops.conv2d(image, filters, one), plain + 1, atol=1e-6)
    assert np.array_equal(ops.add_relu(np.ones((2, 3), np.float32), np.ones((2, 3))), np.full((2, 3), 2.0))


def test_gaps_in_memory(rng):
    fields = np.zeros(6, dtype=[("a", np.float64, (6,)), ("b", np.float32)])
    fields["a"] = rng.standard_normal((6, 6))
    assert np.allclose(ops.matmul(fields["a"], np.eye(6)), fields["a"])


def test_nothing_to_convolve():
    for x_shape, weight_shape in (
        ((0, 2, 6, 6), (4, 2, 3, 3)),
        ((1, 2, 5, 5), (0, 2, 3, 3)),
        ((0, 2, 3, 3), (4, 2, 3, 3)),
    ):
        x, weight = np.zeros(x_shape, np.float32), np.zeros(weight_shape, np.float32)
        size = x_shape[2] - 2
        assert ops.conv2d(x, weight).shape == (x_shape[0], weight_shape[0], size, size)
