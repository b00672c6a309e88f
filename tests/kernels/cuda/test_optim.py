"""The optimisers' updates on the simulator against the portable ones in float64."""

import numpy as np
import pytest
from minitorch_cv.kernels.cuda import optim as cuda

from minitorch_cv import Tensor, kernel_usage, optim
from minitorch_cv._device import to_numpy, usable_simulator


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: optim.SGD(p, 0.1),
        lambda p: optim.SGD(p, 0.1, weight_decay=0.1),
        lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.3),
        lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        lambda p: optim.Adam(p, 0.1, weight_decay=0.1),
        lambda p: optim.AdamW(p, 0.1, betas=(0.5, 0.9), weight_decay=0.1),
    ],
)
def test_updates(optimizer):
    if not usable_simulator()[0]:
        pytest.skip(usable_simulator()[1])
    results = []
    for device, dtype in (("cpu", np.float64), ("cuda-sim", np.float32)):
        rng = np.random.default_rng(0)
        # A weight with channels last in memory, of one channel, of one element; more than one block.
        shapes = ((3, 3, 5, 4), (3, 3, 1, 4), (1,), (9001,))
        values = [rng.standard_normal(shape).astype(np.float32).astype(dtype) for shape in shapes]
        values[:2] = [v.transpose(3, 2, 0, 1) for v in values[:2]]
        parameters = [Tensor(v, requires_grad=True, device=device) for v in values]
        steps = optimizer(parameters)
        with kernel_usage() as usage:
            for _ in range(4):
                for p in parameters:
                    gradient = rng.standard_normal(p.shape).astype(np.float32).astype(dtype)
                    p.grad = Tensor(gradient, device=device)
                steps.step()
        assert device == "cpu" or only_kernels(usage)
        results.append([to_numpy(p.data) for p in parameters])
    for right, given in zip(*results, strict=True):
        assert np.abs(given - right).max() <= 2e-6 * np.abs(right).max()


def test_all_parameters_are_one_launch(monkeypatch):
    if not usable_simulator()[0]:
        pytest.skip(usable_simulator()[1])
    grids, launch = [], cuda.SOURCE.launch

    def counted(kernel, grid, *rest, **also):
        grids.append((kernel, grid))
        launch(kernel, grid, *rest, **also)

    monkeypatch.setattr(cuda.SOURCE, "launch", counted)
    parameters = [Tensor(np.ones(n, np.float32), requires_grad=True, device="cuda-sim") for n in (1, 4096, 4097)]
    for p in parameters:
        p.grad = Tensor(np.full(p.shape, 2, np.float32), device="cuda-sim")
    optim.SGD(parameters, 0.25).step()
    assert grids == [("sgd_update", (4,))]
    assert all((to_numpy(p.data) == 0.5).all() for p in parameters)


def only_kernels(usage):
    return usage.counts and not usage.portable()
