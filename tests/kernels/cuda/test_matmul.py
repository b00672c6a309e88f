"""Matrix products on CUDA's simulator: against the portable bodies in float64, and in each precision."""

import numpy as np
import portable_comparison
import pytest
from minitorch_cv.kernels.cuda import conv2d as convolution
from minitorch_cv.kernels.cuda import matmul as cuda

import minitorch_cv as mt
from minitorch_cv import Tensor, kernel_usage, ops
from minitorch_cv._device import to_device, usable_simulator
from minitorch_cv._precision import PRECISIONS, in_precision

BODIES = portable_comparison.bodies("matmul")
CALLS = portable_comparison.calls("matmul")


@pytest.fixture(scope="module", autouse=True)
def _simulator():
    usable, reason = usable_simulator()
    if not usable:
        pytest.skip(reason)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.operation)
def test_every_case(call):
    portable_comparison.check(BODIES[call.operation], call)


@pytest.mark.parametrize(("n", "k", "m"), [(2, 3, 4), (3, 70, 5), (67, 9, 66), (130, 33, 1)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_precision_within_its_bound(precision, n, k, m):
    """Value and gradients of x w^T: within the bound times the sum of the terms' sizes, and no more exact than it."""
    rng = np.random.default_rng(n)
    x, weight, dy = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, k), (m, k), (n, m)))
    on_x, on_weight, on_dy = (to_device(a, "cuda-sim") for a in (x, weight, dy))
    with in_precision(precision):
        given = cuda.product(on_x, on_weight), cuda.product_with_rows(on_dy, on_weight)
        given = (*given, cuda.product_over_rows(on_dy, on_x))

    def exact(x, weight, dy):
        return x @ weight.T, dy @ weight, dy.T @ x

    operands = [a.astype(np.float64) for a in (x, weight, dy)]
    for result, right, sizes in zip(given, exact(*operands), exact(*map(np.abs, operands)), strict=True):
        error = np.abs(result.get() - right)
        assert (error <= 1.01 * convolution.ERROR_BOUNDS[precision] * sizes).all()
        assert precision == "fp32" or error.max() > 1e-6 * sizes.max()


def test_what_does_not_fit_is_said_by_the_portable_body():
    x, weight = Tensor(np.ones((2, 3), np.float32), device="cuda-sim"), np.ones((4, 5), np.float32)
    with pytest.raises(ValueError, match=r"linear: weight \(4, 5\) expects 5 features; x is \(2, 3\)"):
        ops.linear(x, Tensor(weight, device="cuda-sim"))


def test_products_of_many_matrices_are_left_to_the_portable_body():
    a = Tensor(np.ones((2, 3, 4), np.float32), device="cuda-sim")
    with kernel_usage() as usage:
        ops.matmul(a, a.transpose(1, 2))
    assert {choice.body for choice in usage.counts if choice.operation == "matmul"} == {"portable"}


def test_the_second_derivative_is_rounded_likewise():
    """Differentiated again, the products go through the same body."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(np.float32) for shape in ((5, 7), (3, 7))]
    found = {}
    for device in ("cpu", "cuda-sim"):
        x, weight = (Tensor(v, device=device, requires_grad=True) for v in values)
        (dx,) = mt.grad((ops.linear(x, weight) ** 2).sum(), [x], create_graph=True)
        (found[device],) = mt.grad((dx**2).sum(), [weight])
    np.testing.assert_allclose(found["cuda-sim"].numpy(), found["cpu"].numpy(), rtol=1e-4, atol=1e-4)
