"""What the judge makes of answers that raise, that are no numbers, or of any kind."""

import numpy as np
import pytest

from minitorch_cv.course.exercise import find_exercise
from minitorch_cv.course.judge import judge
from minitorch_cv.course.sandbox import Sandbox


@pytest.mark.parametrize(
    ("name", "mistake"),
    [("linear_backward", "the weight transposed"), ("softmax_cross_entropy_backward", "overflow")],
)
def test_a_mistake_that_raises_or_overflows_is_recognised(name, mistake):
    exercise = find_exercise(name)
    mistake = next(m for m in exercise.mistakes if m.name == mistake)
    judgement = judge(exercise, exercise.with_mistake(mistake), Sandbox.unconfined(), 3)
    assert judgement.hints == [mistake.hint] and not judgement.is_full


@pytest.mark.parametrize("answer", [None, 3, "abc", ["v1", ["v2"]], {"v1": 1}, np.zeros(3)])
def test_an_answer_without_the_property_is_told_whatever_it_is(answer):
    exercise = find_exercise("topological_order")
    for case in exercise.checks[0].cases(exercise.reference, np.random.default_rng(3)):
        verdict = case.judge(answer, None)
        assert verdict.credit == 0 and verdict.message
