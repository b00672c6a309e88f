"""Which body ran, counted."""

import numpy as np
import pytest

from minitorch_cv import Tensor, kernel_usage, optim
from minitorch_cv._device import usable_simulator
from minitorch_cv._kernel_usage import listeners


def test_portable_bodies_are_told():
    with kernel_usage() as usage:
        x = Tensor(np.ones(3, np.float32), requires_grad=True)
        x.exp().exp().sum().backward()
        optim.RMSprop([x], lr=0.1).step()
    x.exp()
    assert not listeners and usage.portable() == ["exp", "sum"]
    assert sum(usage.counts.values()) == 3
    assert str(usage).splitlines()[1].split() == ["exp", "cpu", "float32", "2", "portable"]


def test_a_kernel_is_told():
    if not usable_simulator()[0]:
        pytest.skip(usable_simulator()[1])
    with kernel_usage() as usage:
        Tensor(np.ones(3, np.float32), device="cuda-sim").relu()
        Tensor(np.ones(3, np.float64), device="cuda-sim").relu()
    assert [(c.dtype, c.body, n) for c, n in sorted(usage.counts.items())] == [
        ("float32", "kernels.cuda.activation.relu", 1),
        ("float64", "portable", 1),
    ]
