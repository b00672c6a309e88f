"""What a check credits, and what it says where there is something wrong."""

import numpy as np
import pytest

from minitorch_cv.course.answers import difference
from minitorch_cv.course.checks import Derivation, FindsFaults, Gradient
from minitorch_cv.course.exercise import find_exercise
from minitorch_cv.course.judge import judge
from minitorch_cv.course.sandbox import Sandbox


def judged(exercise, check, function):
    """The mean credit and the first message of a student whose one function this is."""
    exercise = find_exercise(exercise)
    (check,) = [one for one in exercise.checks if isinstance(one, check)]

    class Student:
        pass

    setattr(Student, check.function, staticmethod(function))
    verdicts = [c.judge(c.ask(Student), Student) for c in check.cases(exercise.reference, np.random.default_rng(0))]
    verdicts = check.settled(verdicts)
    return np.mean([verdict.credit for verdict in verdicts]), verdicts[0].message


def derived(change, exercise="wgan_gp_penalty"):
    backward = find_exercise(exercise).reference.backward
    return lambda dy, values: {name: change(name, value) for name, value in backward(dy, values).items()}


def test_lines_after_a_wrong_one_count_as_right_where_differences_tell():
    credit, message = judged("wgan_gp_penalty", Derivation, derived(lambda name, value: 2 * value))
    assert credit == pytest.approx(3 / 4 * 7 / 8)  # of three small cases and a large one
    assert message.startswith("the first wrong line is dr")


@pytest.mark.parametrize("change", [lambda name, value: 1e-9 * value, lambda name, value: np.zeros_like(value)])
def test_lines_of_nothing_earn_nothing(change):
    credit, _ = judged("wgan_gp_penalty", Derivation, derived(change))
    assert credit == 0


def test_lines_that_nobody_can_tell_about_earn_nothing():
    noise = np.random.default_rng(0)
    credit, _ = judged(
        "elbo_gradient", Derivation, derived(lambda name, value: noise.standard_normal(value.shape), "elbo_gradient")
    )
    assert credit == 0


def test_no_explanation_speaks_of_a_gradient_that_is_not_asked_for():
    backward = find_exercise("spectral_norm").reference.spectral_norm_backward
    credit, message = judged("spectral_norm", Gradient, lambda dy, W, u, v: -backward(dy, W, u, v))
    assert credit == 0
    assert "sign" in message and "no gradient was returned" not in message


def test_counting_the_calls_finds_no_faults():
    calls = iter(range(1000))
    credit, _ = judged("find_faults_batch_norm", FindsFaults, lambda forward, backward: next(calls) % 2 == 0)
    assert credit == 0


def test_a_large_case_runs_out_of_time_and_loses_nothing_but_itself():
    exercise = find_exercise("simple_loss_gradient")
    slow = exercise.solution.replace("    dsaid =", "    while x_0.size > 10_000:\n        pass\n    dsaid =")
    judgement = judge(exercise, slow, Sandbox.unconfined())
    *small, large = [case.verdict for case in judgement.cases]
    assert all(verdict.credit == 1 for verdict in small)
    assert large.credit == 0 and large.message.startswith("this case is large: 3 s were not enough for its 92,430")


def test_float32_is_refused_by_its_name():
    exact = np.array([0.5, 1.0])
    assert difference(exact.astype(np.float32), exact) == "it is float32: compute in float64"
    assert not difference(exact, exact)
