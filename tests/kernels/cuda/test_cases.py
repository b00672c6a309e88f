"""Every case of every operation that has a body on CUDA, on the simulator: value and gradients."""

import pytest
from minitorch_cv.kernels import manifest

from minitorch_cv._device import usable_simulator
from minitorch_cv.checks.case import collect
from minitorch_cv.checks.case_checks import check_device_bodies
from minitorch_cv.checks.case_run import CaseRun

OPERATIONS = {entry.operation for entry in manifest.BODIES if entry.device == "cuda-sim"}
CASES = [case for case in collect()[0] if OPERATIONS & set(CaseRun(case).operations)]


@pytest.fixture(scope="module", autouse=True)
def _simulator():
    usable, reason = usable_simulator()
    if not usable:
        pytest.skip(reason)


@pytest.mark.parametrize("case", CASES, ids=[f"{i}_{case.function}" for i, case in enumerate(CASES)])
def test_case(case):
    assert check_device_bodies(case, "cuda-sim").findings == []


def test_every_body_is_reached():
    """A body that accepts no case is not tested."""
    ran = set()
    for case in CASES:
        if check_device_bodies(case, "cuda-sim").bodies:
            ran |= set(CaseRun(case).operations)
    assert ran >= OPERATIONS
