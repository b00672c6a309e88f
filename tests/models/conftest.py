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
def twin_errors(torch, torch_twin, one_thread_for_torch):
    """Compares a net with its twin in double precision: names, outputs, all gradients, statistics, and the outputs in
    evaluation mode. Returns the relative error of each.

    `random` gives what ours draws in each forward pass, by the names under which the twin wants it.
    """

    def double(values):
        return torch.tensor(np.asarray(values, dtype=np.float64))

    def compare(name, x, *others, random=dict, dtype=np.float64, **settings):
        ours = models.NAMES[name](**settings, generator=mt.Generator(3)).to(dtype=dtype)
        rng, generator = np.random.default_rng(1), mt.Generator(1)
        for parameter in ours.parameters():  # a layer that starts at zero would hide all that is before it
            if not parameter.numpy().any():
                mt.nn.init.normal_(parameter, 0.0, 0.1, generator=generator)
        state = ours.state_dict()
        theirs = torch_twin(name, **settings).to(torch.float64)
        expected_state = theirs.state_dict()
        assert list(state) == list(expected_state)
        assert [value.shape for value in state.values()] == [tuple(value.shape) for value in expected_state.values()]
        theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in state.items()})

        x = x.astype(dtype)
        mine = mt.Tensor(x, requires_grad=True), *(mt.Tensor(value) for value in others)
        other = double(x).requires_grad_(), *(torch.tensor(value) for value in others)
        errors = {}

        def compare_one(what, actual, expected):
            actual, expected = actual.numpy(), expected.detach().numpy()
            assert actual.shape == expected.shape, what
            assert actual.dtype == (dtype if expected.dtype == np.float64 else expected.dtype), what
            errors[what] = np.linalg.norm(actual - expected) / max(np.linalg.norm(expected), 1e-2)

        for training in (True, False):
            ours.train(training), theirs.train(training)
            drawn = {key: double(value) for key, value in random().items()}
            outputs, expected = as_tuple(ours(*mine)), as_tuple(theirs(*other, **drawn))
            assert len(outputs) == len(expected)
            for i, (y, z) in enumerate(zip(outputs, expected, strict=True)):
                compare_one(f"output {i}, {training=}", y, z)
            if training:
                upstream = [rng.standard_normal(y.shape).astype(dtype) for y in outputs]
                sum((y * mt.Tensor(u)).sum() for y, u in zip(outputs, upstream, strict=True)).backward()
                sum((z * double(u)).sum() for z, u in zip(expected, upstream, strict=True)).backward()
                compare_one("input", mine[0].grad, other[0].grad)
                for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
                    compare_one(key, p.grad, q.grad)
                for (key, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
                    compare_one(key, p, q)
        return errors

    return compare


@pytest.fixture
def assert_equals_twin(twin_errors):
    """See `twin_errors`: none is above the tolerance."""

    def compare(*arguments, tolerance=1e-9, **settings):
        errors = twin_errors(*arguments, **settings)
        assert max(errors.values()) <= tolerance, max(errors.items(), key=lambda item: item[1])

    return compare


@pytest.fixture
def assert_equals_twin_in_single_precision(twin_errors, rng):
    """See `twin_errors`: of three inputs the least of each error is small.

    Rounding carries an activation over a kink for one input or another, and its gradients with it. A mistake shows in
    all of them.
    """

    def compare(name, shape, **settings):
        found = [twin_errors(name, rng.standard_normal(shape), dtype=np.float32, **settings) for _ in range(3)]
        errors = {what: min(errors[what] for errors in found) for what in found[0]}
        assert max(errors.values()) <= 1e-3, max(errors.items(), key=lambda item: item[1])

    return compare


def as_tuple(outputs):
    return tuple(outputs) if isinstance(outputs, tuple) else (outputs,)
