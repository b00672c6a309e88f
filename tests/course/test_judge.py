"""What the judge makes of answers that raise, or that are no numbers."""

import itertools
import types

import numpy as np
import pytest

from minitorch_cv.course.exercise import find_exercise
from minitorch_cv.course.judge import judge
from minitorch_cv.course.student import Failed


class Here:
    """A module of ours in place of a student's process."""

    def __init__(self, module):
        self.module = module

    def load(self):
        return []

    def __getattr__(self, name):
        function = getattr(self.module, name)

        def call(*arguments):
            try:
                return function(*arguments)
            except Exception as error:
                raise Failed(type(error).__name__, str(error), None) from None

        return call


@pytest.mark.parametrize(
    ("name", "mistake"),
    [("linear_backward", "the weight transposed"), ("softmax_cross_entropy_backward", "overflow")],
)
def test_a_mistake_that_raises_or_overflows_is_recognised(name, mistake):
    exercise = find_exercise(name)
    mistake = next(m for m in exercise.mistakes if m.name == mistake)
    with np.errstate(all="ignore"):
        judgement = judge(exercise, Here(exercise.as_module(exercise.with_mistake(mistake))), 3)
    assert judgement.hints == [mistake.hint] and not judgement.is_full


@pytest.mark.parametrize("answer", [None, 3, "abc", ["v1", ["v2"]], {"v1": 1}, np.zeros(3)])
def test_an_answer_without_the_property_is_told_whatever_it_is(answer):
    module = types.SimpleNamespace(topological_order=lambda parents, loss: answer)
    judgement = judge(find_exercise("topological_order"), Here(module), 3)
    assert judgement.score == 0 and all(case.verdict.message for case in judgement.cases)


@pytest.mark.parametrize("pattern", [(True, False), (False, True), (True,), (False,), (True, True, False)])
def test_a_test_that_only_counts_its_calls_finds_few_faults(pattern):
    calls = itertools.cycle(pattern)
    module = types.SimpleNamespace(test=lambda forward, backward: next(calls))
    judgement = judge(find_exercise("find_faults_softmax"), Here(module), 3)
    assert judgement.score <= judgement.exercise.about.points / 2
