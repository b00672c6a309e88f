"""What the exercises hold a student to is itself held to differences of the forward."""

import numpy as np
import pytest

from minitorch_cv.checks import check_gradient
from minitorch_cv.course.checks import Derivation, Gradient, Property, generator
from minitorch_cv.course.exercise import all_exercises

EXERCISES = {exercise.name: exercise for exercise in all_exercises()}


def of_kind(kind):
    return [
        pytest.param(exercise, check, id=f"{name}-{check.function}")
        for name, exercise in EXERCISES.items()
        for check in exercise.checks
        if isinstance(check, kind)
    ]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("exercise", "check"), of_kind(Gradient))
def test_gradients_are_those_of_the_forward(exercise, check, seed):
    forward, backward = (getattr(exercise.reference, name) for name in (check.of, check.function))
    cases = list(check.draw(generator(seed, "references", exercise.name)))
    assert len(cases) >= 2
    for inputs in cases:
        report = check.report(forward, backward, tuple(inputs), seed=seed)
        assert report, report.text()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("exercise", "check"), of_kind((Derivation, Property)))
def test_answers_are_right(exercise, check, seed):
    for case in check.cases(exercise.reference, generator(seed, "references", exercise.name)):
        verdict = case.judge(case.ask(exercise.reference), exercise.reference)
        assert verdict.credit == 1.0, (case.name, verdict)


@pytest.mark.parametrize("seed", [0, 1])
def test_col2im_is_the_adjoint_of_im2col(seed):
    rng = generator(seed, "references")
    module = EXERCISES["col2im"].reference
    for columns, shape, *plan in module.draw(rng):
        x = rng.standard_normal(shape)
        there, back = module.im2col(x, *plan), module.col2im(columns, shape, *plan)
        assert back.shape == shape and np.isclose((there * columns).sum(), (x * back).sum(), rtol=1e-12)
        assert np.array_equal(there, EXERCISES["im2col"].reference.im2col(x, *plan))


def test_ledgers_are_those_of_the_published_nets():
    module = EXERCISES["parameters_and_multiply_adds"].reference
    parameters, multiply_adds = module.ledger((3, 224, 224), module.VGG16)
    assert (sum(parameters), sum(multiply_adds)) == (138_357_544, 15_470_264_320)
    assert sum(module.ledger((3, 224, 224), module.ALEXNET)[0]) == 60_965_224


@pytest.mark.parametrize("seed", [0, 1])
def test_the_way_back_by_the_rule_of_the_gradient_is_the_gradient(seed):
    module = EXERCISES["max_unpool_with_switches"].reference
    for dy, x, weight, size, stride, rule in module.draw(generator(seed, "references")):
        forward = lambda x, w=weight, s=(size, stride): module.max_pool2d(np.maximum(module.conv2d(x, w), 0), *s)[0]
        backward = lambda dy, x, w=weight, s=(size, stride): module.send_back(dy, x, w, *s, "gradient")
        assert (report := check_gradient(forward, backward, (x,), seed=seed)), report.text()
        pattern, gradient = module.send_back(dy, x, weight, size, stride, rule), backward(dy, x)
        assert np.array_equal(pattern, gradient) == (rule == "gradient")
