"""Every exercise proves itself: solution, stub and mistakes go the way that a student's file goes."""

import subprocess
import sys
from pathlib import Path

import pytest

from minitorch_cv.course import runner
from minitorch_cv.course.exercise import all_exercises
from minitorch_cv.course.judge import judge
from minitorch_cv.course.student import StudentModule

EXERCISES = {exercise.name: exercise for exercise in all_exercises()}
SEED = 2026


class Pipe:
    """The process of a student's file, without a sandbox."""

    def __init__(self, path, imports):
        command = [sys.executable, "-I", str(Path(runner.__file__).parent), str(path), *imports]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self, count, seconds=None):
        data = self.process.stdout.read(count)
        assert len(data) == count, "the process has ended"
        return data

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def judged(tmp_path):
    def run(exercise, text):
        path = tmp_path / exercise.file
        path.write_text(text, encoding="utf-8")
        pipe = Pipe(path, exercise.about.imports)
        try:
            return judge(exercise, StudentModule(pipe, exercise.reference), SEED)
        finally:
            pipe.close()

    return run


@pytest.mark.parametrize("name", EXERCISES)
def test_solution_has_full_marks(name, judged):
    judgement = judged(EXERCISES[name], EXERCISES[name].solution)
    assert judgement.is_full, [(case.name, case.verdict) for case in judgement.cases]
    assert judgement.score == EXERCISES[name].about.points


@pytest.mark.parametrize("name", EXERCISES)
def test_untouched_stub_has_nothing(name, judged):
    judgement = judged(EXERCISES[name], EXERCISES[name].stub)
    assert judgement.score == 0


@pytest.mark.parametrize("name", EXERCISES)
def test_each_mistake_fails_with_its_own_hint(name, judged):
    exercise = EXERCISES[name]
    assert len(exercise.mistakes) >= 2
    for mistake in exercise.mistakes:
        judgement = judged(exercise, exercise.with_mistake(mistake))
        assert judgement.score < exercise.about.points, mistake.name
        assert judgement.hints == [mistake.hint], mistake.name


@pytest.mark.parametrize("name", EXERCISES)
def test_stub_is_the_solution_without_its_middle(name):
    exercise = EXERCISES[name]
    assert "begin solution" in exercise.student
    for text in (exercise.stub, exercise.solution):
        assert "end solution" not in text
        compile(text, exercise.file, "exec")
    assert "NotImplementedError" in exercise.stub or "# instead" in exercise.student
