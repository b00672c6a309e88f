"""Judges a student's module: the cases of an exercise, the credit for each, and the hint that the mistake deserves."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from minitorch_cv.course.answers import difference
from minitorch_cv.course.checks import Case, Check, Verdict, generator
from minitorch_cv.course.exercise import Exercise, Mistake
from minitorch_cv.course.runner.message import MessageError
from minitorch_cv.course.student import Failed, Missing, StudentModule

NOT_WRITTEN = "not written yet"


@dataclass(frozen=True)
class JudgedCase:
    """One case. share: its part of the exercise's points, all parts together being 1."""

    name: str
    share: float
    verdict: Verdict


@dataclass
class Judgement:
    """What became of a hand-in of one exercise.

    hints: of the mistakes that give the very answers that the student's functions gave; stopped: why not all cases were
    judged.
    """

    exercise: Exercise
    cases: list[JudgedCase] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    stopped: str = ""

    @property
    def score(self) -> float:
        """The points."""
        return round(self.exercise.about.points * sum(case.share * case.verdict.credit for case in self.cases), 4)

    @property
    def is_full(self) -> bool:
        """Whether every case is right."""
        return bool(self.cases) and all(case.verdict.credit == 1.0 for case in self.cases)

    @property
    def is_written(self) -> bool:
        """Whether anything was there to be judged."""
        return any(case.verdict.message != NOT_WRITTEN for case in self.cases)


def judge(exercise: Exercise, student: StudentModule, seed: int) -> Judgement:
    """Asks for the answer to each case and judges it.

    The student's process may end at any time; what `student` raises then is passed on, with the cases judged so far in
    its attribute `judgement`.
    """
    judgement = Judgement(exercise)
    try:
        student.load()
    except Failed as failure:
        judgement.stopped = f"the file cannot be run: {failure}"
    except Exception as error:
        error.judgement = judgement  # type: ignore[attr-defined]
        raise
    for check in exercise.checks:
        cases = list(check.cases(exercise.reference, generator(seed, exercise.name, check.function)))
        share = check.share / sum(other.share for other in exercise.checks) / len(cases)
        if judgement.stopped:
            judgement.cases += [JudgedCase(_title(check, case), share, Verdict(0.0, "not run")) for case in cases]
            continue
        answers: list[Any] = []
        try:
            for case in cases:
                answer, verdict = _judged(case, student)
                answers.append(answer)
                judgement.cases.append(JudgedCase(_title(check, case), share, verdict))
        except Exception as error:
            error.judgement = judgement  # type: ignore[attr-defined]
            raise
        mine = judgement.cases[len(judgement.cases) - len(cases) :]
        if any(case.verdict.credit < 1.0 for case in mine):
            judgement.hints += [m.hint for m in _recognised(exercise, cases, answers) if m.hint not in judgement.hints]
    return judgement


_NOTHING = object()


def _judged(case: Case, student: StudentModule) -> tuple[Any, Verdict]:
    try:
        answer = case.ask(student)
        return answer, case.judge(answer, student)
    except Failed as failure:
        return _NOTHING, Verdict(0.0, NOT_WRITTEN if failure.is_stub else f"it raises {failure}")
    except Missing as missing:
        return _NOTHING, Verdict(0.0, str(missing))
    except MessageError as error:
        return _NOTHING, Verdict(0.0, str(error))


def _title(check: Check, case: Case) -> str:
    return f"{check.function}: {case.name}" if case.name else check.function


def _recognised(exercise: Exercise, cases: list[Case], answers: list[Any]) -> Iterator[Mistake]:
    """The mistakes whose answers are the student's, in every case."""
    if any(answer is _NOTHING for answer in answers):
        return
    for mistake in exercise.mistakes:
        module = _mistaken(exercise, mistake)
        try:
            if all(not difference(answer, case.ask(module)) for case, answer in zip(cases, answers)):
                yield mistake
        except Exception:  # this mistake cannot even be run in this case: it is not the student's
            continue


@lru_cache(maxsize=1024)
def _mistaken(exercise: Exercise, mistake: Mistake) -> types.ModuleType:
    return exercise.as_module(exercise.with_mistake(mistake))
