"""Direct convolution on the processor against the portable one: odd shapes, layouts, both weight gradients."""

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="llvmlite is not installed; kernels on the processor need it")

from minitorch_cv.kernels.cpu import conv2d_direct as direct

from minitorch_cv.ops import _conv2d as portable


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def outputs_last(weight):
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)


def odd_shapes(count):
    """Shapes with channels 1 to 70, kernels 1 to 11, strides 1 to 4, groups, paddings and dilations."""
    rng = np.random.default_rng(3)
    while count:
        groups = int(rng.choice([1, 1, 1, 2, 3, 5]))
        inputs, outputs = (groups * int(rng.integers(1, 70 // groups + 1)) for _ in range(2))
        kernel, stride = tuple(map(int, rng.integers(1, 12, 2))), tuple(map(int, rng.integers(1, 5, 2)))
        padding, dilation = tuple(map(int, rng.integers(0, 6, 2))), tuple(map(int, rng.choice([1, 1, 2, 3], 2)))
        n, h, w = int(rng.integers(1, 4)), *map(int, rng.integers(1, 21, 2))
        if all(
            portable.output_size(*sizes) > 0 for sizes in zip((h, w), kernel, stride, padding, dilation, strict=True)
        ):
            count -= 1
            yield (n, inputs, h, w), (outputs, inputs // groups, *kernel), (stride, padding, dilation, groups)


def assert_close(actual, expected):
    bound = 2e-5 if expected.dtype == np.float32 else 1e-12
    error = np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-30)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    assert error <= bound, f"relative error {error}"


@pytest.mark.parametrize("large_weights", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_odd_shapes(dtype, large_weights, monkeypatch):
    if large_weights:
        monkeypatch.setattr(direct, "SHARED_WEIGHT_BYTES", 0)
    direct._gather_plan.cache_clear()
    rng = np.random.default_rng(0)
    for number, (x_shape, weight_shape, settings) in enumerate(odd_shapes(60)):
        x, weight = (rng.standard_normal(shape).astype(dtype) for shape in (x_shape, weight_shape))
        if number % 2:
            x, weight = channels_last(x), outputs_last(weight)
        bias = rng.standard_normal(weight_shape[0]).astype(dtype)
        y = direct.correlate(x, weight, bias, *settings)
        assert_close(y, portable._correlate(x, weight, *settings) + bias.reshape(-1, 1, 1))
        dy = rng.standard_normal(y.shape).astype(dtype)
        if number % 3:
            dy = channels_last(dy)
        assert_close(direct.spread(dy, weight, x_shape, *settings), portable._spread(dy, weight, x_shape, *settings))
        dw = portable._gather_weights(dy, x, weight_shape, *settings)
        assert_close(direct.gather(dy, x, weight_shape, *settings), dw)
        assert_close(direct.sum_over_pixels(dy), dy.sum(axis=(0, 2, 3)))
    direct._gather_plan.cache_clear()


def test_same_bits_each_time(rng):
    x = rng.standard_normal((4, 20, 30, 30)).astype(np.float32)
    weight = rng.standard_normal((24, 20, 3, 3)).astype(np.float32)
    settings = ((1, 1), (1, 1), (1, 1), 1)
    y = direct.correlate(x, weight, None, *settings)
    results = [direct.gather(y, x, weight.shape, *settings) for _ in range(5)]
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_nan_comes_through(rng):
    x = rng.standard_normal((1, 3, 8, 8)).astype(np.float32)
    x[0, 1, 4, 4] = np.nan
    y = direct.correlate(x, np.ones((5, 3, 3, 3), np.float32), None, (1, 1), (1, 1), (1, 1), 1)
    assert np.isnan(y[:, :, 3:6, 3:6]).all()
    assert np.isnan(y).sum() == 5 * 9
