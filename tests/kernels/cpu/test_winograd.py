"""Winograd's convolution: its maps against the definition and each other, the operations against direct ones."""

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="llvmlite is not installed; kernels on the processor need it")

from minitorch_cv.kernels.cpu import conv2d_direct as direct
from minitorch_cv.kernels.cpu import winograd
from minitorch_cv.kernels.manifest import BODIES

TRANSFORMS = list(winograd.BY_NAME.values())
NAMES = list(winograd.BY_NAME)


@pytest.mark.parametrize("f", TRANSFORMS, ids=NAMES)
def test_definition(f, rng):
    d, w = rng.standard_normal(f.points), rng.standard_normal(f.taps)
    y = f.output([a * b for a, b in zip(f.input(d), f.weight(w), strict=True)])
    assert np.allclose(y, np.correlate(d, w, "valid"))


@pytest.mark.parametrize("f", TRANSFORMS, ids=NAMES)
def test_adjoints(f, rng):
    values = rng.standard_normal(f.points)
    y, w = rng.standard_normal(f.outputs), rng.standard_normal(f.taps)
    assert np.isclose(np.dot(f.output(values), y), np.dot(values, f.output_adjoint(y)))
    assert np.isclose(np.dot(f.weight(w), values), np.dot(w, f.weight_adjoint(values)))


def geometries():
    for images, inputs, height, width, outputs in (
        *((2, 16, 9, 13, 32), (1, 64, 8, 8, 64), (3, 48, 7, 7, 96), (2, 32, 20, 17, 16), (2, 16, 5, 4, 80)),
        *((2, 256, 7, 7, 128), (1, 16, 4, 5, 48)),
    ):
        for padding in (0, 1, 2):
            yield (images, inputs, height, width), outputs, padding


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f", TRANSFORMS, ids=NAMES)
def test_against_direct(f, dtype, rng):
    bound = max(body.error_bound for body in BODIES if body.operation == "conv2d") if dtype == "float32" else 1e-11
    stride = 2 if f.taps == 2 else 1
    for x_shape, outputs, padding in geometries():
        x = rng.standard_normal(x_shape)
        weight = rng.standard_normal((outputs, x_shape[1], f.taps * stride, f.taps * stride)) / x_shape[1] ** 0.5
        settings = ((stride, stride), (padding, padding), (1, 1), 1)
        bias = rng.standard_normal(outputs)
        y = direct.correlate(x, weight, bias, *settings)
        dy = rng.standard_normal(y.shape)
        expected = (y, direct.spread(dy, weight, x.shape, *settings), direct.gather(dy, x, weight.shape, *settings))
        x, weight, dy, bias = (array.astype(dtype) for array in (x, weight, dy, bias))
        actual = (
            winograd.correlate(f, x, weight, bias, stride, padding),
            winograd.spread(f, dy, weight, x.shape, stride, padding),
            winograd.gather(f, dy, x, weight.shape, stride, padding),
        )
        for name, a, b in zip(("y", "dx", "dw"), actual, expected, strict=True):
            error = np.abs(a - b).max() / np.abs(b).max()
            assert error <= bound, f"{name}, {x_shape}, padding {padding}: {error}"
            assert a.dtype == dtype


def test_turned_filters_of_any_layout(rng):
    weight = rng.standard_normal((32, 16, 3, 3))
    last = np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    dy = rng.standard_normal((2, 32, 8, 8))
    results = [winograd.spread(winograd.F4, dy, w, (2, 16, 8, 8), 1, 1) for w in (weight, last)]
    assert np.array_equal(*results)
