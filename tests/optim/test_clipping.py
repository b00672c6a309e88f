"""Gradient clipping, by norm and by value."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn
from minitorch_cv.optim import clip_grad_norm_, clip_grad_value_

SHAPES = [(3, 2), (4,), (0, 2), ()]


def parameters(rng, dtype=np.float64):
    ps = [nn.Parameter(np.zeros(shape, dtype)) for shape in SHAPES]
    for p in ps:
        p.grad = mt.Tensor(np.asarray(rng.standard_normal(p.shape), dtype))
    return [*ps, nn.Parameter(np.zeros(2, dtype))]  # the last has no gradient


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1000.0])
def test_the_norm_is_held_as_in_torch(norm_type, max_norm, rng, torch):
    ours = parameters(rng)
    theirs = [torch.nn.Parameter(torch.zeros(p.shape, dtype=torch.float64)) for p in ours]
    for p, q in zip(ours, theirs, strict=True):
        q.grad = None if p.grad is None else torch.tensor(p.grad.numpy())
    theirs[SHAPES.index((0, 2))].grad = None  # torch has no largest entry of none
    total = clip_grad_norm_(iter(ours), max_norm, norm_type)
    assert total == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type).item(), rel=1e-12)
    for p, q in zip(ours, theirs, strict=True):
        if q.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)
    assert ours[-1].grad is None


def test_one_tensor_and_none_are_taken_too():
    p = nn.Parameter(np.zeros(2, np.float32))
    assert clip_grad_norm_([p], 1.0) == 0.0
    p.grad = mt.Tensor(np.float32([3.0, 4.0]))
    assert clip_grad_norm_(p, 1.0) == 5.0
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-6)
    assert p.grad.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_power_overflows(dtype):
    big = float(np.finfo(dtype).max) / 4
    p = nn.Parameter(np.zeros(2, dtype))
    p.grad = mt.Tensor(np.array([big, big], dtype))
    assert clip_grad_norm_(p, 1.0) == pytest.approx(math.sqrt(2) * big, rel=1e-6)
    np.testing.assert_allclose(p.grad.numpy(), math.sqrt(0.5), rtol=1e-6)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_gradients_that_are_not_finite_are_refused_before_anything_changes(norm_type, bad, place):
    ps = [nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(2))]
    for i, p in enumerate(ps):
        p.grad = mt.Tensor(np.array([1.0, bad if i == place else 2.0]))
    with pytest.raises(ValueError, match="clip_grad_norm_: parameters expect finite gradients; their norm is"):
        clip_grad_norm_(ps, 0.1, norm_type)
    assert [p.grad.numpy()[0] for p in ps] == [1.0, 1.0]


def test_values_are_held_as_in_torch(rng, torch):
    ours = parameters(rng)
    theirs = [torch.nn.Parameter(torch.zeros(p.shape, dtype=torch.float64)) for p in ours]
    for p, q in zip(ours, theirs, strict=True):
        q.grad = None if p.grad is None else torch.tensor(p.grad.numpy())
    clip_grad_value_(ours, 0.4)
    torch.nn.utils.clip_grad_value_(theirs, 0.4)
    for p, q in zip(ours[:-1], theirs[:-1], strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), q.grad.numpy())


def test_a_graph_notices_that_a_gradient_was_clipped():
    for clip in (clip_grad_norm_, clip_grad_value_):
        p = nn.Parameter(np.array([3.0]))
        (p * p * p).sum().backward(create_graph=True)
        penalty = (p.grad * p.grad).sum()
        clip(p, 0.5)
        with pytest.raises(RuntimeError, match="changed in place"):
            penalty.backward()


def test_wrong_settings_are_named():
    p = nn.Parameter(np.zeros(1))
    with pytest.raises(ValueError, match=r"clip_grad_norm_: max_norm expects a number >= 0 .*; they are -1.0 and 2.0"):
        clip_grad_norm_(p, -1.0)
    with pytest.raises(ValueError, match=r"norm_type one above 0; they are 1.0 and 0.0"):
        clip_grad_norm_(p, 1.0, 0.0)
    with pytest.raises(ValueError, match=r"clip_grad_value_: clip_value expects a number >= 0; it is nan"):
        clip_grad_value_(p, math.nan)
