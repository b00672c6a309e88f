"""Attention on the simulated GPU against the portable body in float64."""

import numpy as np
import pytest
from portable_comparison import bodies, calls, check

from minitorch_cv._device import to_device, to_numpy
from minitorch_cv.checks.case_checks import Call

BODIES = bodies("attention")


def attention(*operands, bound=3e-6):
    check(BODIES["masked_attention"], Call("masked_attention", operands, {}), bound)


def drawn(batch, queries, keys, features, values):
    random = np.random.default_rng(0)
    shapes = (queries, features), (keys, features), (keys, values)
    return tuple(random.standard_normal((*batch, *shape)) for shape in shapes)


@pytest.mark.parametrize("call", calls("attention"), ids=lambda call: call.operation)
def test_cases(call):
    check(BODIES[call.operation], call)


SIZES = [((2,), 33, 37, 5, 3), ((), 1, 65, 33, 66), ((1, 3), 5, 1, 67, 7), ((2,), 7, 70, 1, 129)]


@pytest.mark.parametrize("sizes", SIZES)
def test_odd_sizes_over_several_tiles(sizes):
    attention(*drawn(*sizes), None, None, 0.7, 0.0)


@pytest.mark.parametrize("mask_shape", [(35, 41), (41,), (1, 35, 41), (2, 35, 41), (2, 1, 41)])
@pytest.mark.parametrize("floating", [False, True])
def test_masks_that_broadcast(mask_shape, floating):
    drawn_mask = np.random.default_rng(1).standard_normal(mask_shape)
    attention(*drawn((2,), 35, 41, 6, 5), drawn_mask if floating else drawn_mask > -0.5, None, 0.4, 0.0)


def test_dropout_under_a_causal_mask():
    causal = np.arange(34)[:, None] >= np.arange(39)
    keep = np.random.default_rng(2).random((2, 34, 39)) > 0.3
    attention(*drawn((2,), 34, 39, 4, 3), causal, keep, 0.5, 0.3)


def test_a_query_that_sees_nothing_gets_zeros_and_no_gradient():
    mask = np.ones((3, 40), bool)
    mask[1] = False
    mask[2, :33] = False  # nothing in the first tile
    q, k, v = (to_device(a.astype(np.float32), "cuda-sim") for a in drawn((), 3, 40, 4, 5))
    y, backward = BODIES["masked_attention"](q, k, v, to_device(mask, "cuda-sim"), None, 0.5, 0.0)
    assert not to_numpy(y)[1].any()
    assert to_numpy(y)[2].all()
    assert not to_numpy(backward(y)[0])[1].any()
    attention(*drawn((), 3, 40, 4, 5), mask, None, 0.5, 0.0)


def test_what_is_added_to_every_key_alike_has_no_gradient():
    operands = *drawn((2,), 35, 41, 6, 5), np.random.default_rng(3).standard_normal((35, 1))
    y, backward = BODIES["masked_attention"](
        *(to_device(a.astype(np.float32), "cuda-sim") for a in operands), None, 0.4, 0.0
    )
    dmask = to_numpy(backward(y)[3])
    assert dmask.shape == (35, 1)
    np.testing.assert_allclose(dmask, 0, atol=1e-6)


def test_large_scores_do_not_overflow():
    operands = [a.astype(np.float32) for a in drawn((2,), 5, 70, 8, 3)]
    operands[0] *= 30
    operands[1] *= 30  # scores in the thousands, of which one wins wholly
    y, backward = BODIES["masked_attention"](*(to_device(a, "cuda-sim") for a in operands), None, None, 1.0, 0.0)
    query, key, value = operands
    winner = (query @ key.swapaxes(1, 2)).argmax(axis=2)
    np.testing.assert_allclose(to_numpy(y), np.take_along_axis(value, winner[..., None], 1), rtol=1e-5)
    assert all(np.isfinite(to_numpy(g)).all() for g in backward(y)[:3])
