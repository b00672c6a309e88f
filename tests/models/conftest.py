"""What the tests of the nets share: their counterparts in PyTorch, and the comparison with them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models


@pytest.fixture(scope="session")
def torch_twins(torch):
    """The module torch_twins.py."""
    path = Path(__file__).with_name("torch_twins.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def torch_twin(torch_twins):
    """`torch_twin(name, **settings)`: see torch_twins.py."""
    return torch_twins.torch_twin


@pytest.fixture
def one_thread_for_torch(torch):
    """Two pools of threads that wait for work in a loop would keep each other from the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def assert_equals_twin(torch, torch_twin, one_thread_for_torch):
    """Compares a net with its twin: names, outputs, all gradients, statistics, and the outputs in evaluation mode.

    `random` gives what ours draws in each forward pass, by the names under which the twin wants it. In single precision
    rounding carries an activation over a kink on one processor or another: a gradient then moves by some 1e-3.
    """

    def compare(name, x, *others, random=dict, dtype=np.float64, tolerance=None, **settings):
        tolerance = tolerance or (1e-9 if dtype == np.float64 else 1e-2)
        ours = models.NAMES[name](**settings, generator=mt.Generator(3)).to(dtype=dtype)
        rng, generator = np.random.default_rng(1), mt.Generator(1)
        for parameter in ours.parameters():  # a layer that starts at zero would hide all that is before it
            if not parameter.numpy().any():
                mt.nn.init.normal_(parameter, 0.0, 0.1, generator=generator)
        state = ours.state_dict()
        theirs = torch_twin(name, **settings).to(getattr(torch, np.dtype(dtype).name))
        expected_state = theirs.state_dict()
        assert list(state) == list(expected_state)
        assert [value.shape for value in state.values()] == [tuple(value.shape) for value in expected_state.values()]
        theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in state.items()})

        x = x.astype(dtype)
        mine = mt.Tensor(x, requires_grad=True), *(mt.Tensor(value) for value in others)
        other = torch.tensor(x, requires_grad=True), *(torch.tensor(value) for value in others)

        def assert_near(what, actual, expected):
            actual, expected = actual.numpy(), expected.detach().numpy()
            assert actual.shape == expected.shape and actual.dtype == expected.dtype, what
            error, scale = np.linalg.norm(actual - expected), np.linalg.norm(expected)
            assert error <= tolerance * max(scale, 1e-2), f"{what}: error {error} of {scale}"

        for training in (True, False):
            ours.train(training), theirs.train(training)
            drawn = {key: torch.tensor(value) for key, value in random().items()}
            outputs, expected = as_tuple(ours(*mine)), as_tuple(theirs(*other, **drawn))
            assert len(outputs) == len(expected)
            for i, (y, z) in enumerate(zip(outputs, expected, strict=True)):
                assert_near(f"output {i}", y, z)
            if training:
                upstream = [rng.standard_normal(y.shape).astype(dtype) for y in outputs]
                sum((y * mt.Tensor(u)).sum() for y, u in zip(outputs, upstream, strict=True)).backward()
                sum((z * torch.tensor(u)).sum() for z, u in zip(expected, upstream, strict=True)).backward()
                assert_near("input", mine[0].grad, other[0].grad)
                for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
                    assert_near(key, p.grad, q.grad)
                for (key, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
                    assert_near(key, p, q)

    return compare


def as_tuple(outputs):
    return tuple(outputs) if isinstance(outputs, tuple) else (outputs,)
