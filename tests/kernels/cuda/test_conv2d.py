"""Convolution on CUDA's simulator against the portable body in float64: value, input gradient, weight gradient."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from minitorch_cv.kernels.cuda import conv2d as cuda
from minitorch_cv.kernels.cuda import source
from minitorch_cv.kernels.cuda.arrays import address_of
from minitorch_cv.kernels.simulator.module import ORDERS, SimulatedModule

import minitorch_cv as mt
from minitorch_cv import Tensor, grad, kernel_usage, ops
from minitorch_cv._device import to_device, to_numpy
from minitorch_cv._op import OPS
from minitorch_cv.checks.case_checks import relative_error, watched
from minitorch_cv.checks.case_run import CaseRun, portable_bodies
from minitorch_cv.checks.cases.conv2d import CASES
from minitorch_cv.ops import _conv2d as portable

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the simulator needs g++")

BOUND = 3e-5

# x, weight, stride, padding, dilation, groups
SHAPES: dict[str, Any] = {
    "one pixel": ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    "odd sizes, uneven settings": ((2, 3, 9, 7), (5, 3, 3, 2), (2, 1), (1, 2), (1, 2), 1),
    "aligned channels": ((1, 8, 6, 5), (12, 8, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    "several tiles each way": ((2, 20, 7, 9), (70, 20, 2, 2), (1, 1), (0, 1), (1, 1), 1),
    "several input channel tiles": ((1, 68, 3, 5), (3, 68, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    "fours, several steps and tiles": ((2, 20, 9, 8), (72, 20, 3, 2), (1, 1), (1, 1), (1, 1), 1),
    "fours, uneven settings": ((3, 12, 9, 7), (68, 12, 3, 3), (2, 1), (1, 2), (1, 2), 1),
    "fours, fewer pixels than a step": ((1, 4, 3, 3), (4, 4, 3, 3), (1, 1), (0, 1), (1, 1), 1),
    "fours in groups": ((2, 24, 5, 6), (40, 12, 3, 1), (1, 2), (1, 0), (1, 1), 2),
    "groups": ((2, 8, 5, 6), (12, 4, 3, 3), (2, 2), (1, 1), (1, 1), 2),
    "groups of many channels": ((1, 18, 4, 5), (20, 9, 2, 3), (1, 2), (1, 0), (1, 1), 2),
    "depthwise": ((1, 5, 6, 4), (10, 1, 3, 3), (1, 1), (1, 1), (1, 1), 5),
    "stride beyond the window": ((1, 2, 9, 8), (3, 2, 2, 2), (3, 4), (0, 0), (1, 1), 1),
    "windows wholly in the padding": ((1, 2, 2, 3), (2, 2, 2, 2), (1, 1), (3, 2), (1, 1), 1),
}


def _on_device(array, layout):
    if layout == "channels last":
        array = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    device = to_device(array, "cuda-sim")
    if layout == "strided":
        wide = to_device(np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype), "cuda-sim")
        wide[..., ::2] = device
        return wide[..., ::2]
    return device


@pytest.mark.parametrize("layout", ["channels first", "channels last", "strided"])
@pytest.mark.parametrize("case", SHAPES)
def test_value_and_gradients(case, layout):
    x_shape, weight_shape, *settings = SHAPES[case]
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, weight_shape))
    bias = rng.standard_normal(weight_shape[0]).astype(np.float32)
    wide = [a.astype(np.float64) for a in (x, weight, bias)]
    expected = portable._correlate(*wide[:2], *settings) + wide[2].reshape(-1, 1, 1)
    dy = rng.standard_normal(expected.shape).astype(np.float32)
    dy64 = dy.astype(np.float64)
    on_x, on_weight, on_dy = (_on_device(a, layout) for a in (x, weight, dy))
    y = cuda.correlate(on_x, on_weight, to_device(bias, "cuda-sim"), *settings)
    dx = cuda.spread(on_dy, on_weight, x_shape, *settings)
    dw = cuda.gather(on_dy, on_x, weight_shape, *settings)
    assert relative_error(y.get(), expected) <= BOUND
    assert relative_error(dx.get(), portable._spread(dy64, wide[1], x_shape, *settings)) <= BOUND
    assert relative_error(dw.get(), portable._gather_weights(dy64, wide[0], weight_shape, *settings)) <= BOUND
    assert relative_error(cuda.sum_pixels(on_dy).get(), dy64.sum((0, 2, 3))) <= BOUND


def test_parts_of_the_weight_gradient_are_added_to_the_same_bits():
    """Three parts of the pixels, the last one shorter."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, 3, 15, 15)).astype(np.float32)
    dy = rng.standard_normal((1, 2, 15, 15)).astype(np.float32)
    settings = (1, 1), (1, 1), (1, 1), 1
    assert cuda.parts_of(223, 1) == (3, 75)
    on_dy, on_x = to_device(dy, "cuda-sim"), to_device(x, "cuda-sim")
    first, second = (cuda.gather(on_dy, on_x, (2, 3, 3, 3), *settings).get() for _ in range(2))
    expected = portable._gather_weights(dy.astype(np.float64), x.astype(np.float64), (2, 3, 3, 3), *settings)
    assert np.array_equal(first, second)
    assert relative_error(first, expected) <= BOUND


def test_depthwise_gradients_and_the_bias_in_parts():
    """More pixels than a part sums, more channels than a warp of the bias's kernel serves."""
    rng = np.random.default_rng(4)
    x, dy = (rng.standard_normal((2, 35, 11, 10)).astype(np.float32) for _ in range(2))
    settings = (1, 1), (1, 1), (1, 1), 35
    on_x, on_dy = to_device(x, "cuda-sim"), to_device(dy, "cuda-sim")
    assert cuda.parts_of(220, 2)[0] > 1
    dw = cuda.gather(on_dy, on_x, (35, 1, 3, 3), *settings).get()
    wide = x.astype(np.float64), dy.astype(np.float64)
    assert relative_error(dw, portable._gather_weights(wide[1], wide[0], (35, 1, 3, 3), *settings)) <= BOUND
    assert relative_error(cuda.sum_pixels(on_dy).get(), wide[1].sum((0, 2, 3))) <= BOUND


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_transposed_convolution_runs_on_these_kernels(groups):
    rng = np.random.default_rng(5)
    values = [rng.standard_normal(s).astype(np.float32) for s in ((2, 4, 5, 3), (4, 8 // groups, 3, 2), (8,))]
    settings: dict[str, Any] = {"stride": (2, 1), "padding": (1, 0), "output_padding": (1, 0), "groups": groups}
    results = []
    for device, dtype in (("cpu", np.float64), ("cuda-sim", np.float32)):
        x, weight, bias = (Tensor(v.astype(dtype), requires_grad=True, device=device) for v in values)
        with kernel_usage() as usage:
            y = ops.conv_transpose2d(x, weight, bias, **settings)
            gradients = grad((y * y).sum(), [x, weight, bias])
        results.append([to_numpy(a.data) for a in (y, *gradients)])
    ours = {choice.operation for choice in usage.counts if choice.body != "portable"}
    assert ours >= {"conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"}
    for right, given in zip(*results, strict=True):
        assert relative_error(given, right) <= BOUND


def test_nothing_is_launched_for_empty_arrays():
    empty = np.zeros((0, 3, 5, 5), np.float32)
    assert not cuda.conv2d.accepts(empty, np.zeros((2, 3, 3, 3), np.float32))  # pyright: ignore


def _only_a_shape(*shape):
    return np.broadcast_to(np.float32(0), shape)


def test_what_the_kernels_cannot_count_is_left_to_the_portable_body():
    accepts: Any = cuda.conv2d.accepts  # pyright: ignore[reportFunctionMemberAccess]
    small = _only_a_shape(1, 1, 1, 1)
    assert accepts(_only_a_shape(2, 3, 30000, 30000), _only_a_shape(4, 3, 3, 3))
    assert not accepts(_only_a_shape(2, 3, 40000, 40000), _only_a_shape(4, 3, 3, 3))
    assert not accepts(small, small, padding=(25000, 25000))
    assert not accepts(_only_a_shape(1, 4, 1, 1), _only_a_shape(2**23, 4, 1, 1))
    many, channels = 70000, 9 * 70000
    assert not accepts(_only_a_shape(1, channels, 1, 1), _only_a_shape(channels, 9, 1, 1), groups=many)
    assert accepts(_only_a_shape(1, many, 1, 1), _only_a_shape(many, 1, 1, 1), groups=many)
    dx: Any = cuda.conv2d_input_gradient.accepts  # pyright: ignore[reportFunctionMemberAccess]
    assert dx(small, small, (1, 1, 1, 1))
    assert not dx(small, small, (1, 1, 50000, 50000), stride=50000)
    dw: Any = cuda.conv2d_weight_gradient.accepts  # pyright: ignore[reportFunctionMemberAccess]
    assert dw(small, small, (1, 1, 1, 1))
    assert not dw(small, _only_a_shape(1, 1, 50000, 50000), (1, 1, 1, 1), stride=50000)


@pytest.fixture
def restored_precision():
    yield
    mt.set_precision("fp32")


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("case", SHAPES)
def test_tensor_cores_within_their_bound(case, precision, restored_precision):
    """Each result within the bound times the sum of its terms' sizes, and not as exact as float32."""
    x_shape, weight_shape, *settings = SHAPES[case]
    rng = np.random.default_rng(2)
    x, weight = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, weight_shape))
    dy_shape = portable._output_shape("conv2d", x_shape, weight_shape, *settings[:3])
    dy = rng.standard_normal(dy_shape).astype(np.float32)
    on_x, on_weight, on_dy = (to_device(a, "cuda-sim") for a in (x, weight, dy))
    mt.set_precision(precision)
    given = (
        cuda.correlate(on_x, on_weight, None, *settings),
        cuda.spread(on_dy, on_weight, x_shape, *settings),
        cuda.gather(on_dy, on_x, weight_shape, *settings),
    )

    def exact(x, weight, dy):
        return (
            portable._correlate(x, weight, *settings),
            portable._spread(dy, weight, x_shape, *settings),
            portable._gather_weights(dy, x, weight_shape, *settings),
        )

    operands = [a.astype(np.float64) for a in (x, weight, dy)]
    for result, right, sizes in zip(given, exact(*operands), exact(*map(np.abs, operands)), strict=True):
        error = np.abs(result.get() - right)
        assert (error <= 1.01 * cuda.ERROR_BOUNDS[precision] * sizes).all()
        if not cuda.has_few_channels(weight_shape, settings[-1]):
            assert error.max() > 1e-6 * sizes.max()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_copies_in_the_background_change_nothing(precision, order, restored_precision, monkeypatch):
    """The kernels that copy in the background, in each order of threads, against those that do not."""
    x_shape, weight_shape, *settings = SHAPES["fours, several steps and tiles"]
    rng = np.random.default_rng(3)
    x, weight = (to_device(rng.standard_normal(s).astype(np.float32), "cuda-sim") for s in (x_shape, weight_shape))
    dy_shape = portable._output_shape("conv2d", x_shape, weight_shape, *settings[:3])
    dy = to_device(rng.standard_normal(dy_shape).astype(np.float32), "cuda-sim")
    mt.set_precision(precision)

    def results():
        return (
            cuda.correlate(x, weight, None, *settings).get(),
            cuda.spread(dy, weight, x_shape, *settings).get(),
            cuda.gather(dy, x, weight_shape, *settings).get(),
        )

    launched = []

    def in_order(path):
        launched.append(path.name)
        return SimulatedModule(path, order=order)

    monkeypatch.setattr(source, "_simulated", in_order)
    given = results()
    assert launched.count("conv2d_pipelined.cu") == 3
    assert "conv2d_tensor_core.cu" not in launched
    monkeypatch.setattr(cuda, "comes_in_fours", lambda *_: False)
    for result, right in zip(given, results(), strict=True):
        assert relative_error(result, right) <= 1e-6
    assert launched.count("conv2d_tensor_core.cu") == launched.count("conv2d_pipelined.cu") == 3


def test_copies_in_the_background_need_aligned_arrays():
    """An array that begins at an address no multiple of 16 goes the other way."""
    sizes = cuda._sizes((1, 4, 3, 3), (4, 4, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    numbers = to_device(np.zeros(64, np.float32), "cuda-sim")
    start = -address_of(numbers) % 16 // 4
    assert cuda.comes_in_fours(numbers[start:], *sizes)
    assert not cuda.comes_in_fours(numbers[start + 1 :], *sizes)
    assert not cuda.comes_in_fours(numbers[start:], *cuda._sizes((1, 6, 3, 3), (4, 6, 1, 1), *[(1, 1)] * 3, 1))


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match=r"^set_precision: value expects one of fp32, tf32, bf16; it is 'fp16'$"):
        mt.set_precision("fp16")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.function}: {case.title}")
def test_every_case_of_the_operations(case):
    """The calls that each case makes, on the bodies that the manifest enters for the simulator."""
    with portable_bodies():
        calls, _ = watched(CaseRun(case))
    compared = 0
    for call in calls:
        body = getattr(cuda, call.operation, None)
        if body is None:
            continue
        operands = [a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in call.operands]
        wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in operands]
        right, _ = OPS[call.operation].body(*wide, **call.settings)
        moved = [to_device(a, "cuda-sim") if isinstance(a, np.ndarray) else a for a in operands]
        given, _ = body(*moved, **call.settings)
        assert relative_error(given.get(), right) <= BOUND
        compared += 1
    assert compared
