"""Local response normalisation on the simulated GPU against the portable body in float64."""

import numpy as np
import pytest
from portable_comparison import bodies, calls, check

from minitorch_cv.checks.case_checks import Call

BODIES = bodies("local_response_norm")


@pytest.mark.parametrize("call", calls("local_response_norm"), ids=lambda call: call.operation)
def test_cases(call):
    check(BODIES[call.operation], call)


@pytest.mark.parametrize("settings", [(5, 1e-1, 0.75, 2.0), (2, 0.3, 0.5, 1.0), (9, 1.0, 1.3, 0.5)])
def test_odd_sizes(settings):
    x = np.random.default_rng(0).standard_normal((2, 7, 3, 5))
    check(BODIES["local_response_norm"], Call("local_response_norm", (x, *settings), {}))
