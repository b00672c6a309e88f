"""Arrays of the simulated GPU: their device is never lost, and they are not mixed with arrays of the CPU."""

import copy
import pickle

import numpy as np
import pytest

from minitorch_cv import Tensor, nn, ops, optim
from minitorch_cv._device import array_namespace, device_of, memory_bounds, to_numpy
from minitorch_cv._simulated_array import SimulatedArray, simulated, simulated_numpy
from minitorch_cv.checks.case import collect
from minitorch_cv.checks.case_run import CaseRun, portable_bodies

CASES = [case for case in collect()[0] if case.function != "to_device"]  # whose purpose is to leave it


def on_device(*shape, dtype=np.float32):
    return simulated(np.arange(1, 1 + np.prod(shape), dtype=dtype).reshape(shape))


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x + 1,
        lambda x: 2 / x,
        lambda x: x > 3,
        lambda x: x @ x.T,
        lambda x: x.sum(),
        lambda x: x.mean(axis=0),
        lambda x: x.max(),
        lambda x: x[0, 0],
        lambda x: x[x > 2],
        lambda x: x.astype(np.float64),
        lambda x: x.copy(order="K"),
        lambda x: x.T.reshape(-1),
        lambda x: np.where(x > 2, x, 0),
        lambda x: np.concatenate([x, x]),
        lambda x: np.pad(x, 1),
        lambda x: np.split(x, 2)[1],
        lambda x: np.einsum("ij,kj->ik", x, x),
        lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
        lambda x: np.linalg.norm(x),
        lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2)),
        lambda x: np.add.reduce(x, axis=1),
        lambda x: array_namespace(x).zeros((2, 3)),
        lambda x: array_namespace(x).asarray([1.0, 2.0]),
        lambda x: array_namespace(x).arange(3),
        copy.deepcopy,
        lambda x: pickle.loads(pickle.dumps(x)),
    ],
)
def test_the_device_is_kept(compute):
    result = compute(on_device(2, 3))
    assert type(result) is SimulatedArray and device_of(result) == "cuda-sim"


def test_in_place_changes_stay_in_the_array():
    x = on_device(2, 3)
    same = x
    x += 1
    np.multiply(x, 2, out=x)
    x[0] = 7
    assert x is same and x.tolist() == [[7, 7, 7], [10, 12, 14]]


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, a: x + a,
        lambda x, a: a * x,
        lambda x, a: x.T @ a,
        lambda x, a: np.add(x, x, out=a),
        lambda x, a: np.concatenate([x, a]),
        lambda x, a: np.where(a > 2, x, 0),
        lambda x, a: x.__setitem__(slice(None), a),
        lambda x, a: x.__iadd__(a),
    ],
)
def test_arrays_of_the_cpu_are_refused(mix):
    with pytest.raises(TypeError, match=r"expects arrays on 'cuda-sim' alone; one of shape \(2, 3\) is on 'cpu'"):
        mix(on_device(2, 3), np.ones((2, 3), np.float32))


def test_values_come_back_as_a_copy():
    x = on_device(2, 3).T
    values = to_numpy(x)
    assert (
        type(values) is np.ndarray and values.strides == x.strides and not np.shares_memory(values, x.view(np.ndarray))
    )
    low, high = memory_bounds(x)
    assert high - low == x.nbytes and memory_bounds(x[1:])[0] == low + x.strides[0]
    assert simulated_numpy.float32 is np.float32 and not hasattr(simulated_numpy, "no_such_function")


@pytest.mark.parametrize("case", CASES, ids=[f"{i}_{case.function}" for i, case in enumerate(CASES)])
def test_operations_stay_on_the_device(case):
    """Every portable body gives the CPU's values and gradients, on the device."""
    run = CaseRun(case)
    with portable_bodies():
        inputs = {name: _moved(value, name, run.wrt) for name, value in run.inputs.items()}
        settings = {name: _settings_moved(value) for name, value in copy.deepcopy(dict(case.settings)).items()}
        result = run.function(**inputs, **settings)
        y = result[0] if isinstance(result, tuple) else result
        assert y.device == "cuda-sim"
        np.testing.assert_allclose(y.numpy(), run.y, rtol=1e-10, atol=1e-12)
        if y.requires_grad:
            y.backward(simulated(run.upstream.astype(y.dtype)))
            leaves = {label: t for name, value in inputs.items() for label, t in _labelled(name, value)}
            right = run.gradients()
            for label in run.wrt:
                gradient = leaves[label].grad
                assert gradient is not None and type(gradient.data) is SimulatedArray
                np.testing.assert_allclose(gradient.numpy(), right[label], rtol=1e-9, atol=1e-10)


def _moved(value, label, wrt):
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(item, f"{label}[{i}]", wrt) for i, item in enumerate(value))
    if not isinstance(value, np.ndarray):
        return value
    return Tensor(simulated(value.copy(order="K")), requires_grad=label in wrt)


def _settings_moved(value):
    return simulated(value) if isinstance(value, (np.ndarray, tuple)) else value


def _labelled(name, value):
    return [(f"{name}[{i}]", v) for i, v in enumerate(value)] if isinstance(value, (list, tuple)) else [(name, value)]


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop])
def test_a_module_trains_on_the_device(optimizer):
    """The same steps as on the CPU: parameters, running statistics, optimiser state and averages."""
    results = []
    for device in ("cpu", "cuda-sim"):
        rng = np.random.default_rng(0)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)
        )
        for p in net.parameters():
            p.data[...] = rng.standard_normal(p.shape) * 0.1
        net.to(device)
        opt = optimizer(net.parameters(), lr=1e-2)
        x = Tensor(rng.standard_normal((5, 1, 8, 8)).astype(np.float32), device=device)
        t = Tensor(np.array([0, 1, 2, 0, 1]), device=device)
        for _ in range(3):
            opt.zero_grad()
            ops.cross_entropy(net(x), t).backward()
            opt.step()
        opt.load_state_dict(opt.state_dict())
        assert {v.device for v in net.parameters()} == {device}
        results.append([v.numpy() for v in net.state_dict().values()] if device == "cpu" else
                       [to_numpy(getattr(v, "data", v)) for v in net.state_dict().values()])  # fmt: skip
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
