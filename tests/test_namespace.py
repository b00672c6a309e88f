"""The array functions that bodies use: the same on Tensors as in NumPy."""

import inspect

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import Tensor
from minitorch_cv._namespace import TensorNamespace, output, raw, unbroadcast, xp_of

_A = np.random.default_rng(0).uniform(0.2, 0.9, (2, 3, 4))
_INDEX = np.array([[[0, 3, 1, 1]], [[2, 0, 0, 3]]]) % 3

CALLS = {
    "exp": lambda xp, x: xp.exp(x),
    "log": lambda xp, x: xp.log(x),
    "log1p": lambda xp, x: xp.log1p(x),
    "expm1": lambda xp, x: xp.expm1(x),
    "sqrt": lambda xp, x: xp.sqrt(x),
    "abs": lambda xp, x: xp.abs(x - 0.5),
    "sign": lambda xp, x: xp.sign(x - 0.5),
    "sin": lambda xp, x: xp.sin(x),
    "cos": lambda xp, x: xp.cos(x),
    "tanh": lambda xp, x: xp.tanh(x),
    "maximum": lambda xp, x: xp.maximum(x, 0.5),
    "minimum": lambda xp, x: xp.minimum(0.5, x),
    "where": lambda xp, x: xp.where(x > 0.5, x, 0.0),
    "clip": lambda xp, x: xp.clip(x, 0.3, 0.6),
    "sum": lambda xp, x: xp.sum(x, axis=(0, 2), keepdims=True),
    "mean": lambda xp, x: xp.mean(x, axis=-1),
    "max": lambda xp, x: xp.max(x, axis=1),
    "min": lambda xp, x: xp.min(x, axis=(0, 1)),
    "reshape": lambda xp, x: xp.reshape(x, (4, -1)),
    "transpose": lambda xp, x: xp.transpose(x, (2, 0, 1)),
    "swapaxes": lambda xp, x: xp.swapaxes(x, 0, -1),
    "broadcast_to": lambda xp, x: xp.broadcast_to(x, (5, 2, 3, 4)),
    "expand_dims": lambda xp, x: xp.expand_dims(x, -2),
    "squeeze": lambda xp, x: xp.squeeze(xp.expand_dims(x, 0), axis=0),
    "flip": lambda xp, x: xp.flip(x, (0, 2)),
    "concatenate": lambda xp, x: xp.concatenate([x, x], axis=1),
    "stack": lambda xp, x: xp.stack([x, x], axis=-1),
    "matmul": lambda xp, x: xp.matmul(x, xp.swapaxes(x, -1, -2)),
    "take_along_axis": lambda xp, x: xp.take_along_axis(x, _INDEX, 1),
    "zeros_like": lambda xp, x: xp.zeros_like(x),
    "ones_like": lambda xp, x: xp.ones_like(x),
}
WITHOUT_GRADIENT = {"sign", "zeros_like", "ones_like", "argmax", "argmin"}


def test_every_function_of_the_namespace_is_tried():
    functions = {name for name, _ in inspect.getmembers(TensorNamespace, inspect.isfunction)}
    untried = functions - set(CALLS) - {"erf"}
    assert not untried, f"add calls of {sorted(untried)} to CALLS"


@pytest.mark.parametrize("name", sorted(CALLS))
def test_as_in_numpy(name):
    call, expected = CALLS[name], CALLS[name](np, _A)
    x = Tensor(_A, requires_grad=True)
    result = call(xp_of(x), x)
    assert isinstance(result, Tensor)
    np.testing.assert_allclose(result.numpy(), expected, rtol=4e-15)  # a faster body may round otherwise
    assert result.requires_grad == (name not in WITHOUT_GRADIENT)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_float32_stays_float32(name):
    x = Tensor(_A.astype(np.float32))
    assert CALLS[name](xp_of(x), x).dtype == np.float32


def test_xp_of():
    assert xp_of(np.zeros(2)) is np and xp_of(1.0) is np and xp_of(Tensor(1.0)) is TensorNamespace


def test_raw_records_nothing():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert type(raw(np.add, x, x)) is np.ndarray


def test_output_records_only_on_tensors():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert output(mt.ops.exp, np.exp, x).requires_grad
    assert type(output(mt.ops.exp, np.exp, x.numpy())) is np.ndarray


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 4), (1, 4), (3, 1), (1, 1), (4,), (1,), (), (2, 1, 1), (1, 3, 4)])
@pytest.mark.parametrize("by_shape", [False, True])
def test_unbroadcast_is_the_transpose_of_broadcasting(rng, shape, by_shape):
    x, dy = rng.standard_normal(shape), rng.standard_normal((2, 3, 4))
    dx = unbroadcast(dy, shape if by_shape else x)
    assert dx.shape == shape
    np.testing.assert_allclose((np.broadcast_to(x, dy.shape) * dy).sum(), (x * dx).sum(), rtol=1e-12)
    as_tensor = unbroadcast(Tensor(dy), Tensor(x))
    np.testing.assert_allclose(as_tensor.numpy(), dx, rtol=1e-12)


def test_unbroadcast_of_a_number_is_no_gradient():
    assert unbroadcast(np.ones(3), 2.0) is None
