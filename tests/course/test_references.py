"""The gradients that exercises are judged by are true: they agree with differences of the forward."""

import numpy as np
import pytest

from minitorch_cv import check_gradient
from minitorch_cv.course.checks import Derivation, Gradient, differentiated, generator
from minitorch_cv.course.exercise import all_exercises

CHECKS = [
    pytest.param(exercise, check, id=f"{exercise.name}-{check.function}")
    for exercise in all_exercises()
    for check in exercise.checks
]
SEEDS = (11, 12)


def of_kind(kind):
    return [param for param in CHECKS if isinstance(param.values[1], kind)]


@pytest.mark.parametrize("exercise, check", of_kind(Gradient))
def test_gradients_agree_with_differences(exercise, check):
    forward, backward = getattr(exercise.reference, check.of), getattr(exercise.reference, check.function)
    for seed in SEEDS:
        for inputs in check.draw(generator(seed, exercise.name, check.function)):
            gradients = backward(np.ones_like(forward(*inputs)), *inputs)
            wrt = differentiated(forward, gradients)
            report = check_gradient(forward, backward, tuple(inputs), wrt=wrt, seed=seed)
            assert report, report.text()


@pytest.mark.parametrize("exercise, check", of_kind(Derivation))
def test_derivations_are_right_in_every_line(exercise, check):
    for seed in SEEDS:
        for case in check.cases(exercise.reference, generator(seed, exercise.name, check.function)):
            verdict = case.judge(case.ask(exercise.reference), exercise.reference)
            assert verdict.credit == 1.0, verdict.detail
