"""Every case of every operation that has a body on CUDA, on a GPU: value and gradients, by NVRTC and CuPy.

Run it with MINITORCH_CV_CUDA=untried, which has device "cuda" take these bodies.
"""

import numpy as np
import pytest
from minitorch_cv.kernels import manifest

import minitorch_cv as mt
from minitorch_cv import ops
from minitorch_cv.checks.case import collect
from minitorch_cv.checks.case_checks import check_device_bodies
from minitorch_cv.checks.case_run import CaseRun

OPERATIONS = {entry.operation for entry in manifest.BODIES if entry.device == "cuda-sim"}
CASES = [case for case in collect()[0] if OPERATIONS & set(CaseRun(case).operations)]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not manifest.UNTRIED, reason="the bodies run on a GPU with MINITORCH_CV_CUDA=untried alone"),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{i}_{case.function}" for i, case in enumerate(CASES)])
def test_case(case):
    assert check_device_bodies(case, "cuda").findings == []


def test_every_body_is_reached():
    """A body that accepts no case is not tested."""
    ran = set()
    for case in CASES:
        if check_device_bodies(case, "cuda").bodies:
            ran |= set(CaseRun(case).operations)
    assert ran >= OPERATIONS


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_training_as_on_the_processor(name):
    """The same losses for a few steps, with our kernels and not the portable bodies."""

    def losses(device):
        net = mt.models.resnet20(num_classes=10, in_channels=1, width=4, generator=mt.Generator(0)).to(device)
        optimizer = {"sgd": mt.optim.SGD, "adam": mt.optim.Adam}[name](net.parameters(), lr=1e-3)
        rng, told = np.random.default_rng(0), []
        for _ in range(3):
            x = mt.Tensor(rng.standard_normal((4, 1, 16, 16)).astype(np.float32), device=device)
            target = mt.Tensor(rng.integers(0, 10, 4), device=device)
            loss = ops.cross_entropy(net(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            told.append(loss.item())
        return told

    expected = losses("cpu")
    with mt.kernel_usage() as usage:
        found = losses("cuda")
    assert "conv2d" not in usage.portable() and f"{name}_step" not in usage.portable()
    np.testing.assert_allclose(found, expected, rtol=1e-3)
