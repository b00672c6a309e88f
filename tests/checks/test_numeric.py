"""Derivatives by differences: exact where a function is smooth, honest where it is not."""

import math

import numpy as np
import pytest

from minitorch_cv.checks.comparison import check_input, compare
from minitorch_cv.checks.numeric import (
    EVERY_ENTRY_LIMIT,
    directional_derivative,
    numeric_gradient,
    random_upstream,
    step_errors,
)


def measured(f, x, seed=0):
    upstream = random_upstream(np.shape(f(x)), np.random.default_rng(seed))
    return numeric_gradient(f, x, upstream), upstream


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e4, 1e9])
def test_a_smooth_function_at_every_scale(scale):
    x = np.random.default_rng(0).standard_normal((3, 4)) * scale
    numeric, v = measured(lambda x: np.sin(x / scale) + (x / scale) ** 3, x)
    exact = v * (np.cos(x / scale) + 3 * (x / scale) ** 2) / scale
    assert numeric.smooth.all()
    assert (np.abs(numeric.value - exact) <= 1e-6 * np.abs(exact)).all()
    assert (np.abs(numeric.value - exact) <= numeric.uncertainty + 1e-12 * np.abs(exact)).all()


def test_entries_of_very_different_scale():
    x = np.array([1e-7, 1e-3, 1.0, 1e3, 2e6])
    numeric, v = measured(np.log, x)
    assert numeric.smooth.all()
    np.testing.assert_allclose(numeric.value, v / x, rtol=1e-5)


def test_the_jacobian_and_scalar_inputs():
    a = np.random.default_rng(1).standard_normal((3, 4))
    numeric, _ = measured(lambda x: a @ x, np.ones(4))
    assert numeric.jacobian is not None
    np.testing.assert_allclose(numeric.jacobian, a, atol=1e-12)
    numeric, v = measured(lambda x: x**2, np.array(3.0))
    assert numeric.value.shape == ()
    assert math.isclose(float(numeric.value), 6 * float(v), rel_tol=1e-9)


def test_only_the_asked_entries_are_measured():
    x = np.arange(6.0).reshape(2, 3)
    numeric = numeric_gradient(np.exp, x, np.ones((2, 3)), entries=np.array([1, 4]))
    assert np.isfinite(numeric.value).sum() == 2
    np.testing.assert_allclose(numeric.value.flat[[1, 4]], np.exp([1.0, 4.0]), rtol=1e-8)


def test_a_kink_is_found_and_bounded_by_the_one_sided_slopes():
    x = np.array([-1.0, 0.0, 2.0])
    numeric, v = measured(lambda x: np.maximum(x, 0), x)
    assert numeric.status.tolist() == ["smooth", "kink", "smooth"]
    low, high = sorted((0.0, float(v[1])))
    assert math.isclose(numeric.lower[1], low, abs_tol=1e-4) and math.isclose(numeric.upper[1], high, abs_tol=1e-4)


@pytest.mark.parametrize("distance", [1e-3, 1e-4, 1e-5, 1e-6, 3e-7])
def test_a_kink_beside_the_point_does_not_spoil_its_slope(distance):
    x = np.array([distance, -distance, 1.0])
    numeric, v = measured(lambda x: np.maximum(x, 0) + 0.1 * x**2, x)
    assert numeric.smooth.all()
    np.testing.assert_allclose(numeric.value, v * ((x > 0) + 0.2 * x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("frequency", [1e3, 1e4, 1e5])
@pytest.mark.parametrize("seed", range(5))
def test_a_step_over_whole_waves_is_refuted_by_finer_ones(frequency, seed):
    x = np.random.default_rng(seed).standard_normal(8)
    numeric, v = measured(lambda x: np.sin(frequency * x), x)
    assert numeric.smooth.all()
    np.testing.assert_allclose(numeric.value, v * frequency * np.cos(frequency * x), rtol=1e-5)


def test_jumps_and_infinite_slopes_are_not_taken_for_derivatives():
    numeric, _ = measured(np.floor, np.array([1.0, 2.0, 2.5]))
    assert numeric.status.tolist() == ["unresolved", "unresolved", "smooth"]
    numeric, _ = measured(lambda x: np.sqrt(np.maximum(x, 0)), np.array([0.0, 1.0]))
    assert numeric.status.tolist() == ["unresolved", "smooth"]


def test_a_function_in_low_precision_is_not_taken_for_a_constant():
    x = np.random.default_rng(2).uniform(1, 2, 6)
    numeric, v = measured(lambda x: x.astype(np.float32) ** 2, x)
    known = numeric.smooth
    np.testing.assert_allclose(numeric.value[known], (2 * v * x)[known], rtol=1e-3)
    report = compare("x", numeric, 0 * x)
    assert not report.ok


def test_tied_maxima_have_a_slope_together():
    x = np.array([[1.0, 3.0, 3.0], [2.0, 0.5, 1.0]])
    numeric, v = measured(lambda x: x.max(1), x)
    (members, slope), *rest = numeric.ties
    assert not rest and members.tolist() == [1, 2]
    assert math.isclose(slope.value, float(v[0]), rel_tol=1e-6)


def test_a_point_where_the_function_cannot_be_evaluated_is_survived():
    numeric, v = measured(lambda x: np.array([math.log(t) for t in x]), np.array([1e-6, 1.0]))
    assert numeric.smooth.all()
    np.testing.assert_allclose(numeric.value, v / np.array([1e-6, 1.0]), rtol=1e-4)


def test_directional_derivative():
    x = np.array([1.0, 2.0, 3.0])
    slope = directional_derivative(lambda x: x**3, x, np.array([1.0, 0.0, -1.0]), np.ones(3))
    assert slope.status == "smooth"
    assert math.isclose(slope.value, 3 - 27, rel_tol=1e-7)


def test_random_upstream_is_never_small_and_has_both_signs():
    v = random_upstream((100,), np.random.default_rng(0))
    assert np.abs(v).min() >= 0.5 and (v > 0).any() and (v < 0).any()


def test_the_v_curve_of_a_right_and_of_a_wrong_entry():
    x, v = np.array([0.7]), np.ones(1)
    steps, right = step_errors(np.exp, x, (0,), v, math.exp(0.7))
    assert right.min() < 1e-9 < right[0] and right[-1] > 1e-6
    assert steps[right.argmin()] < steps[0]
    _, wrong = step_errors(np.exp, x, (0,), v, 1.001 * math.exp(0.7))
    assert wrong.min() > 5e-4


# --- judging -------------------------------------------------------------------------------------------------------


def layer(x):
    return np.tanh(x) * np.exp(0.3 * x).sum()


def layer_gradient(x, v):
    factor = np.exp(0.3 * x)
    return v * (1 - np.tanh(x) ** 2) * factor.sum() + 0.3 * factor * (v * np.tanh(x)).sum()


@pytest.mark.parametrize("shape", [(2, 3, 2), (20, 25)])
@pytest.mark.parametrize("seed", range(3))
def test_one_entry_wrong_by_a_thousandth_fails(shape, seed):
    rng = np.random.default_rng(seed)
    x, v = rng.standard_normal(shape), random_upstream(shape, rng)
    right = layer_gradient(x, v)
    numeric = numeric_gradient(layer, x, v)
    assert compare("x", numeric, right).ok
    for flat in rng.choice(x.size, 12, replace=False):
        wrong = right.copy()
        wrong.flat[flat] *= 1.001
        report = compare("x", numeric, wrong)
        assert not report.ok
        assert report.worst == tuple(np.unravel_index(flat, shape))


@pytest.mark.parametrize("smallest", [1e-3, 1e-6])
def test_one_small_entry_among_large_ones_wrong_by_a_thousandth_fails(smallest):
    x = np.array([1e3, 1.0, smallest, 10.0])
    v = np.array([1.0, -1.2, 0.7, 1.1])
    numeric = numeric_gradient(np.square, x, v)
    right = 2 * x * v
    assert compare("x", numeric, right).ok
    wrong = right.copy()
    wrong[2] *= 1.001
    assert not compare("x", numeric, wrong).ok


def test_a_large_input_is_covered_by_directions_and_the_wrong_entry_is_found():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((8, 3, 20, 20))
    assert x.size > EVERY_ENTRY_LIMIT
    v = random_upstream(x.shape, rng)
    right = v * (1 - np.tanh(x) ** 2)
    assert check_input("x", np.tanh, x, right, v).ok
    for flat in (4321, 17):
        wrong = right.copy()
        wrong.flat[flat] *= 1.001
        report = check_input("x", np.tanh, x, wrong, v)
        assert not report.ok
        assert report.worst == tuple(np.unravel_index(flat, x.shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_never_pass(bad):
    x, v = np.ones((2, 2)), np.ones((2, 2))
    numeric = numeric_gradient(np.square, x, v)
    given = 2 * x
    given[1, 0] = bad
    report = compare("x", numeric, given)
    assert not report.ok
    assert "(1, 0)" in report.problem


def test_a_wrong_gradient_does_not_hide_at_kinks():
    x = np.array([0.0, 0.0, 1.0, -1.0])
    numeric, v = measured(lambda x: np.maximum(x, 0), x)
    right = v * (x > 0)
    assert compare("x", numeric, right).ok
    assert compare("x", numeric, right).skipped == 2
    for value in (2.0, -0.5):
        wrong = right.copy()
        wrong[1] = value * v[1]
        report = compare("x", numeric, wrong)
        assert not report.ok and "kink" in report.problem


def test_a_function_of_kinks_alone_fails():
    numeric, v = measured(lambda x: np.maximum(x, 0), np.array([0.0, 0.0, 0.0, 1.0]))
    report = compare("x", numeric, v * np.array([0, 0, 0, 1.0]))
    assert not report.ok
    assert "only 1 of 4" in report.problem


def test_noise_fails():
    noise = np.random.default_rng(0)
    x = np.ones(5)
    numeric = numeric_gradient(lambda x: x + 1e-3 * noise.standard_normal(5), x, np.ones(5))
    assert not compare("x", numeric, np.ones(5)).ok


def test_a_right_gradient_of_float32_passes():
    rng = np.random.default_rng(3)
    x, v = rng.standard_normal((4, 5)), random_upstream((4, 5), rng)
    numeric = numeric_gradient(layer, x, v)
    assert compare("x", numeric, layer_gradient(x, v).astype(np.float32)).ok


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "None"),
        (np.ones((3, 2)), "shape (3, 2); (2, 3) is expected"),
        (np.ones((2, 3), complex), "dtype complex128"),
        ([[1.0], [1.0, 2.0]], "not an array"),
        ("gradient", "dtype"),
    ],
)
def test_what_is_no_gradient_is_said(given, words):
    numeric = numeric_gradient(np.square, np.ones((2, 3)), np.ones((2, 3)))
    report = compare("x", numeric, given)
    assert not report.ok
    assert words in report.problem


def test_wrong_number_of_upstream_entries():
    with pytest.raises(ValueError, match="upstream of 2 entries expects as many outputs"):
        numeric_gradient(np.square, np.ones(3), np.ones(2))
