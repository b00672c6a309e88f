"""Optimiser steps of many parameters at once against one after the other, in every layout."""

import numpy as np
import pytest
from minitorch_cv.kernels import manifest

import minitorch_cv as mt
from minitorch_cv import nn, optim

pytest.importorskip("llvmlite", reason="llvmlite is not installed; kernels on the processor need it")

OPTIMIZERS = {
    "SGD": lambda ps: optim.SGD(ps, 0.1),
    "SGD, decay": lambda ps: optim.SGD(ps, 0.1, weight_decay=0.01),
    "momentum": lambda ps: optim.SGD(ps, 0.1, momentum=0.9, weight_decay=0.01),
    "dampening": lambda ps: optim.SGD(ps, 0.1, momentum=0.9, dampening=0.3),
    "Nesterov": lambda ps: optim.SGD(ps, 0.1, momentum=0.9, nesterov=True),
    "Adam": lambda ps: optim.Adam(ps, 0.01, weight_decay=0.01),
    "AdamW": lambda ps: optim.AdamW(ps, 0.01, betas=(0.5, 0.99)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_step_at_a_time(name):
    """A parameter whose first gradient comes later takes one step for each gradient, as one alone does."""
    late, alone = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))
    other = nn.Parameter(np.ones(3))
    together, single = OPTIMIZERS[name]([other, late]), OPTIMIZERS[name]([alone])
    other.grad = mt.Tensor(np.ones(3))
    together.step()
    for _ in range(2):
        for p in (other, late, alone):
            p.grad = mt.Tensor(np.ones(3))
        together.step()
        single.step()
    assert np.allclose(late.numpy(), alone.numpy())


def test_types_are_not_mixed():
    """Parameters of two types in a group: each is updated in its own."""
    double, single = nn.Parameter(np.ones(100)), nn.Parameter(np.ones(100, np.float32))
    optimizer = optim.SGD([double, single], 0.5)
    double.grad, single.grad = mt.Tensor(np.ones(100)), mt.Tensor(np.ones(100, np.float32))
    optimizer.step()
    assert (double.numpy() == 0.5).all() and (single.numpy() == 0.5).all()


@pytest.mark.parametrize("make", [lambda ps: optim.SGD(ps, 0.1, momentum=0.9), lambda ps: optim.Adam(ps, 0.1)])
def test_a_loaded_state_goes_on_with_the_same_bits(make, tmp_path, rng):
    from minitorch_cv.training.checkpoint import load_checkpoint, save_checkpoint

    weights = nn.Conv2d(5, 7, 3, generator=mt.Generator(0)).weight, nn.Conv2d(5, 7, 3, generator=mt.Generator(0)).weight
    gradients = [rng.standard_normal(weights[0].shape).astype(np.float32) for _ in range(6)]
    first = make([weights[0]])
    for step, gradient in enumerate(gradients):
        weights[0].grad = mt.Tensor(gradient)
        first.step()
        if step == 2:
            weights[1].data[...] = weights[0].data
            save_checkpoint(tmp_path / "state", first.state_dict())
    second = make([weights[1]])
    second.load_state_dict(load_checkpoint(tmp_path / "state"))
    for gradient in gradients[3:]:
        weights[1].grad = mt.Tensor(gradient)
        second.step()
    assert np.array_equal(weights[0].numpy(), weights[1].numpy())


def steps(make, dtype, monkeypatch, portable):
    """Weights after four steps; a parameter joins at the second one."""
    if portable:
        monkeypatch.setattr(manifest, "UPDATES", [])
    rng = np.random.default_rng(0)
    generator = mt.Generator(0)
    parameters = [
        nn.Conv2d(5, 7, 3, generator=generator).weight,  # its outputs are last in memory
        nn.Linear(300, 70, generator=generator).weight,
        nn.Conv2d(6, 1, 4, generator=generator).weight,
        nn.Parameter(rng.standard_normal(3)),
        nn.Parameter(rng.standard_normal(())),
    ]
    for p in parameters:
        p.data = p.data.astype(dtype)
    optimizer = make(parameters)
    for step in range(4):
        for number, p in enumerate(parameters):
            gradient = rng.standard_normal(p.shape).astype(dtype)
            p.grad = mt.Tensor(gradient) if step or number else None
        optimizer.step()
    return [p.numpy() for p in parameters], optimizer.state_dict()["state"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_same_as_one_after_the_other(name, dtype, monkeypatch):
    fast, fast_state = steps(OPTIMIZERS[name], dtype, monkeypatch, portable=False)
    plain, plain_state = steps(OPTIMIZERS[name], dtype, monkeypatch, portable=True)
    tolerance = 1e-6 if dtype == np.float32 else 1e-13
    for a, b in zip(fast, plain, strict=True):
        assert a.dtype == dtype and np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())
    assert fast_state.keys() == plain_state.keys()
    for number in plain_state:
        assert fast_state[number].keys() == plain_state[number].keys()
        for key, value in plain_state[number].items():
            assert np.allclose(fast_state[number][key], value, rtol=1e-5, atol=tolerance)
