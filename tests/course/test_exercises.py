"""Every exercise proves itself: solution, stub and mistakes go the way that a student's file goes."""

import pytest

from minitorch_cv.course.exercise import all_exercises
from minitorch_cv.course.judge import judge
from minitorch_cv.course.sandbox import Sandbox

EXERCISES = {exercise.name: exercise for exercise in all_exercises()}
SEED = 2026


def skip_if_it_cannot_be_run(exercise):
    if missing := exercise.language.missing():
        pytest.skip(f"{exercise.name}: {missing}")


def judged(exercise, text):
    skip_if_it_cannot_be_run(exercise)
    return judge(exercise, text, Sandbox.unconfined(), SEED)


@pytest.mark.parametrize("name", EXERCISES)
def test_solution_has_full_marks(name):
    judgement = judged(EXERCISES[name], EXERCISES[name].solution)
    assert judgement.is_full, [(case.name, case.verdict) for case in judgement.cases]
    assert judgement.score == EXERCISES[name].about.points


@pytest.mark.parametrize("name", EXERCISES)
def test_untouched_stub_has_nothing(name):
    judgement = judged(EXERCISES[name], EXERCISES[name].stub)
    assert judgement.score == 0


@pytest.mark.parametrize("name", EXERCISES)
def test_each_mistake_fails_with_its_own_hint(name):
    exercise = EXERCISES[name]
    assert len(exercise.mistakes) >= 2
    for mistake in exercise.mistakes:
        judgement = judged(exercise, exercise.with_mistake(mistake))
        assert judgement.score < exercise.about.points, mistake.name
        assert judgement.hints == [mistake.hint], mistake.name


@pytest.mark.parametrize("name", EXERCISES)
def test_stub_is_the_solution_without_its_middle(name):
    exercise = EXERCISES[name]
    skip_if_it_cannot_be_run(exercise)
    assert "begin solution" in exercise.student
    for text in (exercise.stub, exercise.solution):
        assert "end solution" not in text
        exercise.as_module(text)
    yours = "NotImplementedError", "// yours to write"
    is_replaced = f"{exercise.language.comment} instead" in exercise.student
    assert is_replaced or any(words in exercise.stub for words in yours)
