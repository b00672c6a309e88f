"""Every generic fault is wrong, keeps shape and dtype, leaves its argument alone and says where it cannot be made."""

import numpy as np
import pytest

from minitorch_cv.checks.faults import GENERIC

SHAPES = [(2, 3), (4, 4), (2, 3, 5, 4), (3, 1, 3), (5,)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", GENERIC)
def test_fault_changes_values_but_neither_shape_nor_dtype_nor_argument(name, shape, dtype):
    gradient = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    before = gradient.copy()
    wrong = GENERIC[name](gradient)
    np.testing.assert_array_equal(gradient, before)
    if wrong is None:
        assert name == "transposed" and gradient.ndim == 1
        return
    assert wrong.shape == shape and wrong.dtype == dtype
    assert not np.shares_memory(wrong, gradient)
    assert np.any(wrong != gradient)


@pytest.mark.parametrize("name", GENERIC)
def test_fault_accepts_arrays_that_are_not_contiguous(name):
    gradient = np.random.default_rng(1).standard_normal((4, 6))[:, ::2].T
    before = gradient.copy()
    wrong = GENERIC[name](gradient)
    assert wrong is not None and np.any(wrong != before)
    np.testing.assert_array_equal(gradient, before)


@pytest.mark.parametrize("name", GENERIC)
def test_no_fault_where_nothing_would_change(name):
    assert GENERIC[name](np.zeros((3, 3))) is None


def test_values_of_each_fault():
    gradient = np.array([[1.0, -4.0], [2.0, 3.0]])
    expected = {
        "zero": [[0, 0], [0, 0]],
        "x1.01": [[1.01, -4.04], [2.02, 3.03]],
        "sign": [[-1, 4], [-2, -3]],
        "transposed": [[1, 2], [-4, 3]],
        "rolled": [[-4, 1], [3, 2]],
        "one entry dropped": [[1, -4], [2, 0]],
        "overwritten": [[0.5, -4], [1, 3]],
    }
    assert expected.keys() == GENERIC.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(GENERIC[name](gradient), values, err_msg=name)


def test_transposed_without_equal_axes_fills_the_shape_in_the_transposed_order():
    gradient = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(GENERIC["transposed"](gradient), [[0, 3, 1], [4, 2, 5]])


def test_scalar_gradients_have_only_the_faults_of_value():
    possible = {name for name, fault in GENERIC.items() if fault(np.array(3.0)) is not None}
    assert possible == {"zero", "x1.01", "sign", "overwritten"}
