"""The adjoint test on linear maps and on what is none."""

import numpy as np
import pytest

from minitorch_cv import ops
from minitorch_cv.checks import CheckError, adjoint_check


def _im2col(x):
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), axis=(1, 2))
    return windows.transpose(1, 2, 0, 3, 4).reshape(-1, x.shape[0] * 6)


def _col2im(columns, shape=(2, 5, 4)):
    c, h, w = shape
    x, windows = np.zeros(shape), columns.reshape(h - 2, w - 1, c, 3, 2)
    for p, q in np.ndindex(h - 2, w - 1):
        x[:, p : p + 3, q : q + 2] += windows[p, q]
    return x


def _overwriting(columns, shape=(2, 5, 4)):
    c, h, w = shape
    x, windows = np.zeros(shape), columns.reshape(h - 2, w - 1, c, 3, 2)
    for p, q in np.ndindex(h - 2, w - 1):
        x[:, p : p + 3, q : q + 2] = windows[p, q]
    return x


def test_col2im_is_the_transpose_of_im2col():
    report = adjoint_check(_im2col, _col2im, (2, 5, 4))
    assert report and report["x"].checked == 40 and report["x"].max_error < 1e-12


def test_overwriting_instead_of_adding_is_found():
    report = adjoint_check(_im2col, _overwriting, (2, 5, 4))
    assert not report and report["x"].worst is not None


@pytest.mark.parametrize("shape", [(3, 4), (60, 50)])
def test_tight_for_few_entries_and_for_many(shape):
    a = np.random.default_rng(0).standard_normal((shape[1], 5))
    assert adjoint_check(lambda x: x @ a, lambda v: v @ a.T, shape)
    wrong = a.copy()
    wrong[1, 2] *= 1.001
    assert not adjoint_check(lambda x: x @ a, lambda v: v @ wrong.T, shape)
    assert not adjoint_check(lambda x: x @ a, lambda v: (v @ a.T) * np.nan, shape)
    assert not adjoint_check(lambda x: x @ a, lambda v: (v @ a.T).T, shape)


def test_what_is_not_linear_is_said_so():
    report = adjoint_check(lambda x: np.maximum(x, 0), lambda v: v, (3, 3))
    assert not report and "not linear" in report.problems[0]
    shifted = adjoint_check(lambda x: x + 1, lambda v: v, (3, 3))
    assert not shifted and "not linear" in shifted.problems[0]


def test_operations_of_the_package():
    w = np.random.default_rng(0).standard_normal((4, 3, 3, 2))
    shape = (2, 3, 5, 4)
    report = adjoint_check(
        lambda x: ops.conv2d(x, w, stride=2), lambda v: ops.conv2d_input_gradient(v, w, shape, stride=2), shape
    )
    assert report


def test_no_numbers_cannot_be_checked():
    with pytest.raises(CheckError, match="finite floats"):
        adjoint_check(lambda x: x * np.nan, lambda v: v, (2,))
