"""The end of a residual block on the simulated GPU against the portable body in float64."""

import numpy as np
import pytest
from portable_comparison import bodies, calls, check

from minitorch_cv.checks.case_checks import Call

BODIES = bodies("residual")


@pytest.mark.parametrize("call", calls("residual"), ids=lambda call: call.operation)
def test_cases(call):
    check(BODIES[call.operation], call)


def test_branches_in_two_layouts():
    x, residual = np.random.default_rng(0).standard_normal((2, 2, 9, 5, 7))
    check(BODIES["add_relu"], Call("add_relu", (x.transpose(0, 3, 1, 2), residual.transpose(0, 3, 1, 2).copy()), {}))
