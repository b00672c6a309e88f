"""check_gradient on plain functions: every convention of courses, and every way in which a check can go wrong."""

import functools
import math
import re

import numpy as np
import pytest

from minitorch_cv._tensor import Tensor
from minitorch_cv.checks import CheckError, check_gradient

RNG = np.random.default_rng(11)
X, W, B = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 2)), RNG.standard_normal(2)


def affine(x, w, b):
    return x @ w + b


def affine_backward(dy, x, w, b):
    return dy @ w.T, x.T @ dy, dy.sum(0)


# --- conventions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [(X, W, B), [X, W, B], {"b": B, "x": X, "w": W}], ids=["tuple", "list", "dict"])
def test_inputs_as_tuple_list_or_dict(inputs):
    report = check_gradient(affine, affine_backward, inputs)
    assert report, str(report)
    assert {entry.name: entry.shape for entry in report.inputs} == {"x": (4, 3), "w": (3, 2), "b": (2,)}


def test_out_and_cache():
    def forward(x, w, b):
        return affine(x, w, b), (x, w)

    def backward(dout, cache):
        x, w = cache
        return dout @ w.T, x.T @ dout, dout.sum(0)

    report = check_gradient(forward, backward, (X, W, B))
    assert report, str(report)
    assert "(out, cache)" in str(report)


def test_out_and_cache_of_one_input():
    report = check_gradient(lambda x: (np.tanh(x), np.tanh(x)), lambda dout, cache: dout * (1 - cache**2), X)
    assert report, str(report)


def test_several_cached_values():
    def forward(x, w):
        return x @ w, x, w

    report = check_gradient(forward, lambda dout, a, c: (dout @ c.T, a.T @ dout), (X, W))
    assert report, str(report)


def test_a_cache_beside_a_backward_that_takes_the_inputs():
    report = check_gradient(lambda x, w: (x @ w, "cache"), lambda dy, x, w: (dy @ w.T, x.T @ dy), (X, W))
    assert report, str(report)


def test_scalar_loss_without_upstream_gradient():
    labels = np.array([0, 2, 1, 1])

    def loss(scores, labels):
        shifted = scores - scores.max(1, keepdims=True)
        return float((np.log(np.exp(shifted).sum(1)) - shifted[np.arange(4), labels]).mean())

    def backward(scores, labels):
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        p[np.arange(4), labels] -= 1
        return p / 4

    report = check_gradient(loss, backward, (X, labels))
    assert report, str(report)
    assert not check_gradient(loss, lambda scores, labels: 4 * backward(scores, labels), (X, labels))
    assert check_gradient(
        lambda scores, labels: (loss(scores, labels), (scores, labels)), lambda cache: backward(*cache), (X, labels)
    )


def test_a_layer_that_remembers():
    class Linear:
        def forward(self, x, w):
            self.x, self.w = x, w
            return x @ w

        def backward(self, dy):
            return dy @ self.w.T, self.x.T @ dy

    layer = Linear()
    report = check_gradient(layer.forward, layer.backward, (X, W))
    assert report, str(report)
    assert "remembers" in str(report)


def test_upstream_gradient_last_and_output_by_name():
    report = check_gradient(np.exp, lambda x, dout: dout * np.exp(x), (X,), names=["x"])
    assert report, str(report)
    report = check_gradient(lambda x: np.exp(x), lambda dy, x, y: dy * y, (X,))
    assert report, str(report)
    report = check_gradient(lambda x, w: x @ w, lambda x, w, g: (g @ w.T, x.T @ g), (X, W))
    assert report, str(report)


def test_a_gradient_under_an_unknown_name_is_wrong():
    report = check_gradient(lambda x, w: x @ w, lambda dy, x, w: {"dx": dy @ w.T, "dweight": x.T @ dy}, (X, W))
    assert not report and report["x"].ok and not report["w"].ok
    assert report.problems == [
        "backward returns a dict with dx, dweight: the gradient of w is missing (None in its place if it is not to be "
        "checked)",
        "backward returns dweight, which is the gradient of no input: is dw meant?",
    ]
    assert str(report).endswith("The gradient is WRONG.")
    report = check_gradient(affine, lambda dy, x, w, b: {"q": dy}, (X, W, B))
    assert not report and "the gradient of x, w and b is missing" in report.problems[0]


def test_a_key_of_a_settings_name_or_without_gradient_does_no_harm():
    def forward(x, w, b=None):
        return x @ w

    report = check_gradient(forward, lambda dy, x, w: {"dx": dy @ w.T, "dw": x.T @ dy, "db": 0.0, "dz": None}, (X, W))
    assert report, str(report)


@pytest.mark.parametrize("wrapped", [False, True])
def test_too_few_gradients_are_wrong(wrapped):
    def backward(dy, x, w):
        return (dy @ w.T,) if wrapped else dy @ w.T

    report = check_gradient(lambda x, w: x @ w, backward, (X, W))
    assert not report and report["x"].ok and report["w"].problem == "no gradient was returned"
    assert report.problems[0].startswith("backward returns 1 gradient: the gradient of w is missing")
    assert "w: no gradient was returned" in str(report) and report.plot().axes
    report = check_gradient(lambda x, w: x @ w, backward, (X, W), wrt=["x"])
    assert report and str(report).endswith("The gradient is right (w not checked).")


def test_numbers_without_a_gradient_are_missing_or_told_to_be_unchecked():
    report = check_gradient(lambda x, w: x * w, lambda dy, x, w: dy * w, (2.0, 3.0))
    assert not report and [(entry.name, entry.ok) for entry in report.inputs] == [("x", True), ("w", False)]
    report = check_gradient(
        lambda x, eps: np.sqrt(x * x + eps), lambda dy, x, eps: dy * x / np.sqrt(x * x + eps), (X, 0.1)
    )
    assert report and str(report).endswith("The gradient is right (eps not checked).")


def test_missing_gradients_stand_in_the_order_of_the_arguments():
    report = check_gradient(affine, lambda dy, x, w, b: {"db": dy.sum(0), "dx": dy @ w.T}, (X, W, B))
    assert [(entry.name, entry.ok) for entry in report.inputs] == [("x", True), ("w", False), ("b", True)]


def test_a_backward_without_return_is_wrong():
    report = check_gradient(affine, lambda dy, x, w, b: None, (X, W, B))
    assert not report and report.problems == ["backward returns None: is `return` missing?"]
    report = check_gradient(np.square, lambda dy, x: None, X)
    assert not report and not report.inputs[0].ok


def test_an_argument_that_cannot_be_copied_is_passed_on():
    report = check_gradient(lambda x, xp: xp.exp(x), lambda dy, x, xp: dy * xp.exp(x), (X, np))
    assert report, str(report)


def test_settings_reach_forward_and_backward_by_name():
    def forward(x, slope=0.1, *, offset=0.0):
        return np.where(x > 0, x, slope * x) + offset

    def backward(dy, x, slope=0.1):
        return dy * np.where(x > 0, 1, slope)

    assert check_gradient(forward, backward, {"x": X})
    assert check_gradient(forward, backward, {"x": X, "slope": 0.3, "offset": 2.0})
    assert not check_gradient(forward, lambda dy, x: backward(dy, x), {"x": X, "slope": 0.3})


def test_gradients_as_a_dict_under_either_name():
    for prefix in ("d", "", "grad_", "d_"):
        report = check_gradient(
            affine,
            lambda dy, x, w, b, prefix=prefix: {
                prefix + "x": dy @ w.T,
                prefix + "w": x.T @ dy,
                prefix + "b": dy.sum(0),
            },
            (X, W, B),
        )
        assert report and len(report.inputs) == 3, str(report)


def test_integers_dicts_strings_and_none_are_passed_through():
    def forward(x, index, options, mode, extra, flags):
        assert mode == "train" and extra is None and flags.dtype == bool
        return x[index] * options["scale"]

    def backward(dy, x, index, options, mode, extra, flags):
        dx = np.zeros_like(x)
        np.add.at(dx, index, dy * options["scale"])
        return dx, None, None, None, None, None

    inputs = (X, np.array([0, 3, 3, 1]), {"scale": 2.0}, "train", None, np.array([True]))
    report = check_gradient(forward, backward, inputs)
    assert report, str(report)
    assert [entry.name for entry in report.inputs] == ["x"]
    assert check_gradient(forward, lambda *a: backward(*a)[0], inputs)


def test_a_dict_argument_that_forward_fills_is_fresh_at_each_call():
    def forward(x, state):
        state["count"] = state.get("count", 0) + 1
        return x * state["count"]

    state = {}
    assert check_gradient(forward, lambda dy, x, state: dy * state["count"], (X, state))
    assert state == {}


def test_none_is_noted_and_the_others_are_checked():
    report = check_gradient(affine, lambda dy, x, w, b: (dy @ w.T, None, dy.sum(0)), (X, W, B))
    assert report
    assert "w was not checked" in str(report) and report.unchecked == report.to_dict()["unchecked"] == ["w"]
    assert str(report).endswith("The gradient is right (w not checked).")
    assert "The gradient is right (w not checked)." in report._repr_html_()


def test_wrt_demands_a_gradient():
    assert check_gradient(affine, affine_backward, (X, W, B), wrt=["w"])
    report = check_gradient(affine, lambda dy, x, w, b: (dy @ w.T, None, None), (X, W, B), wrt=["x", "w"])
    assert not report
    assert "no gradient was given (None)" in str(report)


def test_a_gradient_of_integers_beside_floats_is_told_to_be_unchecked():
    report = check_gradient(lambda x, n: x * n, lambda dy, x, n: (dy * n, (dy * x).sum()), (X, 2))
    assert report and "note: n is an integer, so it is not differentiated: write 2.0" in str(report)
    assert str(report).endswith("The gradient is right (n not checked).")
    assert "not checked" not in str(check_gradient(lambda x, n: x * n, lambda dy, x, n: (dy * n, None), (X, 2)))


def test_a_number_as_input_gets_its_gradient_checked():
    def backward(dy, x, s):
        return dy * s, (dy * x).sum()

    assert check_gradient(lambda x, s: x * s, backward, (X, 0.7))
    assert not check_gradient(lambda x, s: x * s, lambda dy, x, s: (dy * s, dy.sum()), (X, 0.7))


def test_scalar_output_gets_a_random_upstream_gradient():
    assert check_gradient(lambda x: (x**2).sum(), lambda dy, x: 2 * dy * x, X)
    assert not check_gradient(lambda x: (x**2).sum(), lambda dy, x: 2 * x, X)


def test_float32_inputs_are_checked_in_float64():
    report = check_gradient(affine, affine_backward, tuple(a.astype(np.float32) for a in (X, W, B)))
    assert report, str(report)
    assert "checked in float64" in str(report)


def test_float32_inside_is_coarse_and_said():
    def forward(x):
        return np.tanh(x.astype(np.float32))

    def backward(dy, x):
        return (dy * (1 - np.tanh(x) ** 2)).astype(np.float32)

    report = check_gradient(forward, backward, X)
    assert report, str(report)
    assert "float32" in str(report)
    assert not check_gradient(forward, lambda dy, x: 1.02 * backward(dy, x), X)


def test_partial_functions_and_ufuncs():
    scaled = functools.partial(lambda k, x: k * x, 3.0)
    assert check_gradient(scaled, functools.partial(lambda k, dy, x: k * dy, 3.0), X)
    assert check_gradient(np.sin, lambda dy, x: dy * np.cos(x), X)


def test_the_seed_gives_the_same_report():
    def report(seed):
        return np.asarray(check_gradient(affine, affine_backward, (X, W, B), seed=seed)["x"].expected)

    assert np.array_equal(report(3), report(3))
    assert not np.array_equal(report(3), report(4))


def test_ill_scaled_right_gradients_pass():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3)) * np.array([1e-6, 1.0, 1e5])
    w = rng.standard_normal((3, 2)) * np.array([[1e6], [1.0], [1e-5]])
    report = check_gradient(affine, affine_backward, (x, w, 1e3 * B))
    assert report, str(report)


def test_a_thousandth_in_one_entry_of_an_ill_scaled_gradient_fails():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3)) * np.array([1e-4, 1.0, 1e3])

    def backward(dy, x, w, b):
        dx, dw, db = affine_backward(dy, x, w, b)
        dw[0, 1] *= 1.001
        return dx, dw, db

    report = check_gradient(affine, backward, (x, W, B))
    assert not report
    assert report["w"].worst == (0, 1)


# --- what a check finds besides values ----------------------------------------------------------------------------


def test_an_input_changed_in_place_is_named():
    def backward(dy, x):
        x *= 2
        return dy * x

    report = check_gradient(np.square, backward, (X,), names=["x"])
    assert report["x"].ok and not report
    assert "backward changes its input x in place" in report.problems

    def forward(x):
        x -= x.mean()
        return x * x

    report = check_gradient(forward, lambda dy, x: dy, X)
    assert "forward changes its input x in place" in report.problems


def test_the_upstream_gradient_changed_in_place_is_named():
    def backward(dy, x):
        dy[x < 0] = 0
        return dy

    report = check_gradient(lambda x: np.maximum(x, 0), backward, X)
    assert not report
    assert "backward changes the upstream gradient in place" in report.problems


def test_a_cache_changed_in_place_is_named():
    def forward(x):
        y = np.tanh(x)
        return y * 1.0, (y, x.shape)

    def backward(dout, cache):
        slope, _ = cache
        slope *= -slope
        slope += 1
        slope *= dout
        return slope

    report = check_gradient(forward, backward, X)
    assert report["x"].ok and not report
    assert report.problems == [
        "backward changes its cache in place: called again with the same cache it gives another gradient"
    ]

    def emptying(dout, cache):
        return dout * (1 - cache.pop() ** 2)

    report = check_gradient(lambda x: (np.tanh(x), [np.tanh(x)]), emptying, (X,), names=["x"])
    assert not report and "called again with the same cache it raises IndexError" in report.problems[0]

    def marking(dout, cache):
        cache["used"] = True
        return dout * (1 - cache["y"] ** 2)

    report = check_gradient(lambda x: (np.tanh(x), {"y": np.tanh(x)}), marking, (X,), names=["x"])
    assert report and "marking changes its cache in place" in report.notes


def test_the_callers_arrays_are_never_touched():
    def backward(dy, x):
        x[:] = 0
        return dy

    x = X.copy()
    check_gradient(lambda x: x * 1.0, backward, x)
    assert np.array_equal(x, X)


def test_a_backward_that_adds_to_an_earlier_call_or_draws_is_found():
    class Linear:
        dw = 0.0

        def forward(self, x, w):
            self.x, self.w = x, w
            return x @ w

        def backward(self, dy):
            self.dw = self.dw + self.x.T @ dy
            return dy @ self.w.T, self.dw

    layer = Linear()
    report = check_gradient(layer.forward, layer.backward, (X, W))
    assert not report and report["x"].ok and report["w"].ok
    assert report.problems[0].startswith("backward gives another gradient of w when it is called again")
    rng = np.random.default_rng(0)
    report = check_gradient(np.square, lambda dy, x: 2 * dy * x * rng.uniform(0.9, 1.1, x.shape), (X,), names=["x"])
    assert not report and not report.hypotheses
    assert report.problems[0].startswith("backward gives another gradient of x when it is called again")


def test_reliance_on_the_order_in_memory_is_found():
    def backward(dy, x):
        return np.frombuffer(dy.tobytes("A")).reshape(dy.shape) * 2

    report = check_gradient(lambda x: 2 * x, backward, X)
    assert report["x"].ok
    assert not report
    assert any("order in memory" in problem for problem in report.problems)


def test_an_exception_on_strided_inputs_is_a_problem():
    def forward(x):
        y = x.view()
        y.shape = (x.size,)
        return (y * y).reshape(x.shape)

    report = check_gradient(forward, lambda dy, x: 2 * dy * x, X)
    assert not report
    assert "non-contiguous" in report.problems[0]


def test_nan_in_a_gradient_is_wrong_and_located():
    def backward(dy, x):
        scale = 0 * x
        return dy * 2 * x * (scale / scale)

    report = check_gradient(lambda x: x * x, backward, X)
    assert not report
    assert "NaN" in report["x"].problem
    assert re.search(r"test_plain\.py, line \d+: return dy \* 2", report["x"].problem)


# --- what cannot be checked ---------------------------------------------------------------------------------------


def test_a_forward_that_returns_nan_cannot_be_checked_and_is_located():
    def forward(x):
        return np.log(-np.abs(x))

    with pytest.raises(CheckError, match=r"forward: returns nan at \(0, 0\).*test_plain\.py, line \d+: return np.log"):
        check_gradient(forward, lambda dy, x: dy, X)


def test_an_exception_is_located():
    def helper(x):
        return x @ np.ones((7, 7))

    def forward(x):
        return helper(x)

    with pytest.raises(CheckError, match=r"forward: ValueError: matmul.*test_plain\.py, line \d+: return x @ np.ones"):
        check_gradient(forward, lambda dy, x: dy, X)
    with pytest.raises(CheckError, match=r"ZeroDivisionError: division by zero .*line \d+"):
        check_gradient(np.square, lambda dy, x: dy * (1 / 0), X)


def test_a_forward_that_refuses_moved_inputs_is_survived():
    def forward(x):
        if (x < 0).any():
            raise RuntimeError("negative")
        return x * x

    x = np.array([1e-6, 1.0, 2.0])
    assert check_gradient(forward, lambda dy, x: 2 * dy * x, x)


def test_a_forward_that_breaks_at_moved_inputs_is_told():
    def forward(x):
        return {1.0: x}[float(x[0])]

    with pytest.raises(CheckError, match=r"forward, with an input moved a little: KeyError.*line \d+"):
        check_gradient(forward, lambda dy, x: dy, np.ones(2))


def test_random_forwards_are_refused():
    generator = np.random.default_rng(0)

    def dropout(x):
        return x * (generator.random(x.shape) < 0.5)

    with pytest.raises(CheckError, match="dropout: gives different outputs for the same inputs"):
        check_gradient(dropout, lambda dy, x: dy, X)


@pytest.mark.parametrize(
    ("forward", "backward", "inputs", "words"),
    [
        (None, affine_backward, (X,), "forward expects a function; it is NoneType"),
        (affine, affine_backward, 3, "inputs expects a tuple, list or dict"),
        (affine, affine_backward, (), "at least one argument"),
        (affine, affine_backward, (X, W), "missing a required argument: 'b'"),
        (affine, affine_backward, {"x": X, "w": W, "z": B}, "affine(x, w, b) cannot be called"),
        (affine, lambda dy, x: dy, (X * 1j, W, B), "x expects real numbers"),
        (affine, affine_backward, (X * np.nan, W, B), "x expects finite numbers"),
        (affine, lambda dy, p, q: dy, (X, W, B), "neither fits"),
        (affine, lambda x, w, b: x, (X, W, B), "the gradient of the output as its first argument"),
        (affine, lambda dy, x, w, b: (None, None, None), (X, W, B), "it returns none"),
        (affine, lambda dy, x, w, b: (1, 2, 3, 4), (X, W, B), "at most 3 gradients"),
        (lambda x: None, lambda dy, x: dy, (X,), "expected to return an array"),
        (lambda x: x[:0], lambda dy, x: dy, (X,), "is empty"),
        (lambda n: np.ones(3) * n, lambda dy, n: dy, (3,), "n is an integer, so it is not differentiated: write 3.0"),
        (np.square, lambda dy, x: dy, "x", "inputs expects a tuple, list or dict"),
        (
            lambda x: x * x,
            lambda dy, x: 2 * dy * x,
            np.arange(3),
            "x is an array of integers, so it is not differentiated: write 1.0",
        ),
        (lambda x: x * x, lambda dy, x: 2 * dy * x, (Tensor(X),), "x is a Tensor; pass arrays (x.numpy())"),
        (lambda x: x * x, lambda dy, x: 2 * dy * x, Tensor(X), "inputs is a Tensor; pass arrays (inputs.numpy())"),
        (lambda mode: 1.0, lambda dy, mode: dy, ("train",), "at least one array of floats; there is none among mode"),
    ],
)
def test_misuse_has_one_clear_message(forward, backward, inputs, words):
    with pytest.raises(CheckError) as failure:
        check_gradient(forward, backward, inputs)
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


def test_names_and_wrt_are_checked():
    with pytest.raises(CheckError, match="names expects 3 different names"):
        check_gradient(affine, affine_backward, (X, W, B), names=["a", "b"])
    with pytest.raises(CheckError, match="wrt expects names among"):
        check_gradient(affine, affine_backward, (X, W, B), wrt=["z"])


def test_functions_made_from_text_as_in_a_notebook():
    scope: dict = {"np": np}
    exec(compile("def forward(x):\n    return x / np.zeros(7)\n", "<cell 3>", "exec"), scope)
    with pytest.raises(CheckError, match=r"<cell 3>, line 2"):
        check_gradient(scope["forward"], lambda dy, x: dy, X)


def test_many_evaluations_stay_fast_enough():
    calls = 0

    def forward(x):
        nonlocal calls
        calls += 1
        return np.tanh(x)

    x = RNG.standard_normal((100, 100))
    assert check_gradient(forward, lambda dy, x: dy * (1 - np.tanh(x) ** 2), x)
    assert calls < 6000


def test_batch_norm_in_ten_lines():
    def forward(x, gamma, beta):
        mean, var = x.mean(0), x.var(0)
        return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta

    def backward(dy, x, gamma, beta):
        std = np.sqrt(x.var(0) + 1e-5)
        xhat = (x - x.mean(0)) / std
        dxhat = dy * gamma
        dx = (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0)) / std
        return {"dx": dx, "dgamma": (dy * xhat).sum(0), "dbeta": dy.sum(0)}

    report = check_gradient(forward, backward, (RNG.standard_normal((8, 5)), np.ones(5), np.zeros(5)))
    assert report, str(report)
    assert math.isfinite(report["x"].max_error)


# --- no false alarms: right gradients where numerics are hard ------------------------------------------------------


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_backward(dy, x):
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return dy * (0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) + x * density)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_backward(dy, x):
    y = softmax(x)
    return y * (dy - (dy * y).sum(1, keepdims=True))


def log_sum_exp(x):
    largest = x.max(1)
    return largest + np.log(np.exp(x - largest[:, None]).sum(1))


def layer_norm(x, gamma):
    return gamma * (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def layer_norm_backward(dy, x, gamma):
    inverse = 1 / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    xhat = (x - x.mean(1, keepdims=True)) * inverse
    dxhat = dy * gamma
    dx = inverse * (dxhat - dxhat.mean(1, keepdims=True) - xhat * (dxhat * xhat).mean(1, keepdims=True))
    return dx, (dy * xhat).sum(0)


def residual(x, w):
    return np.maximum(x @ w, 0) @ w.T


def residual_backward(dy, x, w):
    hidden = x @ w
    dhidden = (dy @ w) * (hidden > 0)
    return dhidden @ w.T, x.T @ dhidden + dy.T @ np.maximum(hidden, 0)


def row_maximum(x):
    return x.max(1)


def row_maximum_backward(dy, x):
    return dy[:, None] * (np.arange(x.shape[1]) == x.argmax(1)[:, None])


HARD = {
    "gelu, far out": (gelu, gelu_backward, lambda rng: (3 * rng.standard_normal((4, 5)),)),
    "softmax, saturated": (softmax, softmax_backward, lambda rng: (10 * rng.standard_normal((4, 5)),)),
    "log-sum-exp, saturated": (
        log_sum_exp,
        lambda dy, x: dy[:, None] * softmax(x),
        lambda rng: (10 * rng.standard_normal((4, 5)),),
    ),
    "layer norm, large mean": (
        layer_norm,
        layer_norm_backward,
        lambda rng: (3 * rng.standard_normal((4, 5)) + 500, rng.standard_normal(5)),
    ),
    "layer norm, tiny spread": (
        layer_norm,
        layer_norm_backward,
        lambda rng: (1e-3 * rng.standard_normal((4, 5)), rng.standard_normal(5)),
    ),
    "variance, large mean": (
        lambda x: x.var(0),
        lambda dy, x: 2 * dy * (x - x.mean(0)) / len(x),
        lambda rng: (rng.standard_normal((5, 4)) + 1e4,),
    ),
    "exp, 25 orders of magnitude": (
        np.exp,
        lambda dy, x: dy * np.exp(x),
        lambda rng: (20 * rng.standard_normal((5, 4)),),
    ),
    "residual with relu": (
        residual,
        residual_backward,
        lambda rng: (rng.standard_normal((5, 4)), rng.standard_normal((4, 6))),
    ),
    "relu of integers": (
        lambda x: np.maximum(x, 0),
        lambda dy, x: dy * (x > 0),
        lambda rng: (rng.integers(-3, 4, (6, 5)).astype(float),),
    ),
    "maximum with ties": (
        row_maximum,
        row_maximum_backward,
        lambda rng: (rng.integers(0, 9, (6, 8)).astype(float),),
    ),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", HARD)
def test_no_false_alarm(name, seed):
    forward, backward, draw = HARD[name]
    inputs = draw(np.random.default_rng(seed))
    report = check_gradient(forward, backward, inputs, names=["x", "w"][: len(inputs)], seed=seed)
    assert report, str(report)
    assert not report.hypotheses


def test_the_upstream_of_a_single_number_has_no_axis_in_any_layout():
    seen = []

    def backward(dy, x):
        seen.append(np.shape(dy))
        return 2 * dy * x

    assert check_gradient(lambda x: (x * x).sum(), backward, (np.arange(6.0).reshape(2, 3),))
    assert set(seen) == {()}
