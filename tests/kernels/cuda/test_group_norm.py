"""Group normalisation on the simulated GPU against the portable body in float64."""

import numpy as np
import pytest
from portable_comparison import bodies, calls, check

from minitorch_cv.checks.case_checks import Call

BODIES = bodies("group_norm")


@pytest.mark.parametrize("call", calls("group_norm"), ids=lambda call: call.operation)
def test_cases(call):
    check(BODIES[call.operation], call)


@pytest.mark.parametrize(("shape", "groups"), [((3, 6, 5, 7), 2), ((2, 35, 3, 11), 5), ((2, 9), 3), ((1, 5, 3, 3), 5)])
@pytest.mark.parametrize("affine", [False, True])
def test_odd_sizes(shape, groups, affine):
    random = np.random.default_rng(0)
    x = random.standard_normal(shape) * 2 + 3
    weight, bias = random.standard_normal((2, shape[1])) if affine else (None, None)
    check(BODIES["group_norm"], Call("group_norm", (x, groups, weight, bias, 1e-5), {}))


def test_the_value_survives_a_large_mean():
    x = np.random.default_rng(1).standard_normal((2, 4, 9, 9)) + 1e3
    check(BODIES["group_norm"], Call("group_norm", (x, 2), {}), bound=3e-4)
