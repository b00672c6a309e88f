"""What the judge makes of answers that raise, that are no numbers, or of any kind."""

import numpy as np
import pytest

from minitorch_cv.course.exercise import find_exercise
from minitorch_cv.course.judge import NotStarted, judge
from minitorch_cv.course.sandbox import Limits, Sandbox, Unavailable


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


@pytest.mark.parametrize(
    "error", [OSError(12, "Cannot allocate memory"), Unavailable("out of reach"), RuntimeError("x")]
)
def test_a_machine_that_starts_no_process_takes_nobody_s_points(error, monkeypatch):
    def refused(*arguments, **options):
        raise error

    exercise = find_exercise("receptive_field")
    monkeypatch.setattr(Sandbox, "start", refused)
    with pytest.raises(NotStarted, match="receptive_field: no process can be started: "):
        judge(exercise, exercise.solution, Sandbox.unconfined())


def test_a_process_that_cannot_be_renewed_takes_nobody_s_points(monkeypatch):
    """A check that wants a new process for each question finds the machine's limit in the middle of a case."""
    started, start = [], Sandbox.start

    def refused(*arguments, **options):
        if len(started) == 3:
            raise OSError(24, "Too many open files")
        started.append(start(*arguments, **options))
        return started[-1]

    exercise = find_exercise("find_faults_linear")
    monkeypatch.setattr(Sandbox, "start", refused)
    with pytest.raises(NotStarted, match="Too many open files"):
        judge(exercise, exercise.solution, Sandbox.unconfined())


def test_limits_that_cannot_be_are_not_the_student_s():
    exercise = find_exercise("receptive_field")
    with pytest.raises(NotStarted, match="seconds expects a positive number"):
        judge(exercise, exercise.solution, Sandbox.unconfined(), limits=Limits(seconds=0))


def test_what_is_printed_is_kept_of_every_process():
    exercise = find_exercise("find_faults_linear")
    judgement = judge(exercise, f"print('loaded')\n{exercise.solution}", Sandbox.unconfined())
    assert judgement.is_full and judgement.printed.count("loaded") > 1


def test_a_notebook_s_half_of_a_character_is_the_student_s():
    exercise = find_exercise("receptive_field")
    assert judge(exercise, f"half = '\ud800'\n{exercise.solution}", Sandbox.unconfined()).is_full
