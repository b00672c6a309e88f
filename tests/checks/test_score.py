"""A score counts what a check catches, and a check that refuses the right gradient scores nothing."""

import numpy as np
import pytest

from minitorch_cv.checks.plain import check_gradient
from minitorch_cv.checks.report import CheckError
from minitorch_cv.checks.score import score_check


def forward(x, weight):
    return x @ weight


def backward(dy, x, weight):
    return dy @ weight.T, x.T @ dy


def inputs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 3)), rng.standard_normal((3, 5))


def numeric_gradients(forward, inputs, dy, h=1e-6):
    gradients = []
    for x in inputs:
        gradient = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            kept = x[index]
            x[index] = kept + h
            above = np.sum(forward(*inputs) * dy)
            x[index] = kept - h
            below = np.sum(forward(*inputs) * dy)
            x[index] = kept
            gradient[index] = (above - below) / (2 * h)
        gradients.append(gradient)
    return gradients


def strict_check(forward, backward, inputs):
    dy = np.random.default_rng(1).standard_normal(forward(*inputs).shape)
    for given, expected in zip(backward(dy, *inputs), numeric_gradients(forward, inputs, dy)):
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-8)


def test_strict_check_catches_everything():
    score = score_check(strict_check, forward, backward, inputs())
    assert score and score.refused is None
    assert score.gradients == ["gradient 0", "gradient 1"]
    assert score.caught == score.planted == 14  # seven faults in each of two gradients
    assert score.headline() == "strict_check catches 14 of 14 planted faults."
    assert "MISSED" not in str(score)


def test_check_gradient_catches_everything():
    score = score_check(check_gradient, forward, backward, inputs())
    assert score and score.headline() == "check_gradient catches 14 of 14 planted faults."


def test_check_of_one_entry_with_a_loose_tolerance_misses_what_it_should():
    def loose(forward, backward, inputs):
        dy = np.random.default_rng(1).standard_normal(forward(*inputs).shape)
        given = backward(dy, *inputs)[0]
        return abs(given[0, 1] / numeric_gradients(forward, inputs, dy)[0][0, 1] - 1) < 0.05

    score = score_check(loose, forward, backward, inputs())
    assert not score
    assert {fault for fault in score.faults if score.outcome[fault, "gradient 0"] == "MISSED"} == {
        "x1.01",
        "one entry dropped",
        "overwritten",
    }
    assert all(score.outcome[fault, "gradient 1"] == "MISSED" for fault in score.faults)
    assert "loose catches 4 of 14 planted faults." in str(score)
    assert "x1.01: the tolerance is above 1 %" in str(score)


def test_check_that_accepts_everything_catches_nothing():
    score = score_check(lambda backward: backward(np.ones((4, 5)), *inputs()) is not None, forward, backward, inputs())
    assert (score.caught, score.planted) == (0, 14) and not score


def test_check_that_refuses_the_right_gradient_scores_nothing():
    def refuse(forward, backward, inputs):
        backward(np.ones((4, 5)), *inputs)
        return False

    score = score_check(refuse, forward, backward, inputs())
    assert score.caught == score.planted and not score
    assert score.headline().startswith("refuse refuses the right gradient (it returned False)")


def test_all_ones_upstream_misses_the_zeroed_gradient_of_softmax():
    def softmax(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def softmax_backward(dy, x):
        y = softmax(x)
        return y * (dy - (dy * y).sum(axis=1, keepdims=True))

    def with_ones(forward, backward, inputs):
        dy = np.ones_like(forward(*inputs))
        np.testing.assert_allclose(backward(dy, *inputs), numeric_gradients(forward, inputs, dy)[0], atol=1e-7)

    score = score_check(with_ones, softmax, softmax_backward, (np.random.default_rng(2).standard_normal((3, 4)),))
    assert score.refused is None and score.caught == 0 and score.planted == 7
    assert "draw it at random" in str(score)


@pytest.mark.parametrize("container", [dict, list, tuple])
def test_backward_may_return_any_container_and_take_a_cache(container):
    def forward(x, weight):
        return x @ weight, (x, weight)

    def backward(dout, cache):
        x, weight = cache
        gradients = {"dx": dout @ weight.T, "dweight": x.T @ dout}
        return gradients if container is dict else container(gradients.values())

    def check(forward, backward, inputs):
        y, cache = forward(*inputs)
        dy = np.random.default_rng(1).standard_normal(y.shape)
        returned = backward(dy, cache)
        assert type(returned) is container
        given = list(returned.values()) if container is dict else returned
        expected = numeric_gradients(lambda *args: forward(*args)[0], inputs, dy)
        return all(np.allclose(g, e, rtol=1e-5, atol=1e-8) for g, e in zip(given, expected))

    score = score_check(check, forward, backward, inputs())
    assert score and score.planted == 14
    assert score.gradients == (["dx", "dweight"] if container is dict else ["gradient 0", "gradient 1"])


def test_single_gradient_none_and_integer_entries_are_left_alone():
    def gather(table, index):
        return table[index]

    def gather_backward(dy, table, index):
        gradient = np.zeros_like(table)
        np.add.at(gradient, index, dy)
        return gradient, None

    def check(forward, backward, inputs):
        dy = np.arange(1.0, 9.0).reshape(4, 2)
        given, none = backward(dy, *inputs)
        assert none is None
        np.testing.assert_allclose(given, gather_backward(dy, *inputs)[0], rtol=1e-9)

    score = score_check(check, gather, gather_backward, (np.ones((3, 2)), np.array([0, 2, 2, 1])))
    assert score and score.gradients == ["gradient 0"]


def test_faults_that_cannot_be_made_are_not_counted():
    def check(forward, backward, inputs):
        (x,) = inputs
        np.testing.assert_allclose(backward(np.ones_like(x), x), np.cos(x))

    score = score_check(check, np.sin, lambda dy, x: dy * np.cos(x), (np.linspace(0, 1, 5),))
    assert score.outcome["transposed", "gradient"] == "-"
    assert score.caught == score.planted == 6


def test_own_faults_can_be_planted():
    faults = {"off by 1e-6": lambda gradient: gradient + 1e-6}
    score = score_check(strict_check, forward, backward, inputs(), faults=faults)
    assert score.faults == ["off by 1e-6"] and score.planted == 2


def test_html_and_dict_hold_the_table():
    score = score_check(lambda backward: backward(np.ones((4, 5)), *inputs()) is None, forward, backward, inputs())
    assert (
        "<table>" in score._repr_html_() and "caught" in score._repr_html_() and "&lt;lambda&gt;" in score._repr_html_()
    )
    assert score.to_dict()["outcome"]["zero"] == {"gradient 0": "caught", "gradient 1": "caught"}


def test_misuse_is_said():
    with pytest.raises(CheckError, match="never called backward"):
        score_check(lambda backward: True, forward, backward, inputs())
    with pytest.raises(CheckError, match=r"check expects the arguments \(forward, backward, inputs\).* takes 4"):
        score_check(lambda a, b, c, d: True, forward, backward, inputs())
    with pytest.raises(CheckError, match="returned no array of floats"):
        score_check(lambda backward: backward() is None, forward, lambda: None, inputs())
