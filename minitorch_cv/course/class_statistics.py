"""The numbers of a class: how the scores lie, how hard each exercise is and what goes wrong in it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .results import ExerciseResult, Status, StudentResult, exercises_of

LEAST_STUDENTS = 10
"""Below that a correlation says nothing."""
_MOST_CHARACTERS = 240


@dataclass(frozen=True)
class ExerciseStatistics:
    """One exercise over a class."""

    exercise: str
    title: str
    lesson: str
    students: int
    """Who has a result of it."""
    mean_share: float
    """Of its points, 0 .. 1, over all students."""
    statuses: dict[Status, int]
    """How many students came to each."""
    discrimination: float
    """The correlation of its score with that of all other exercises, -1 .. 1; NaN where it says nothing.

    Near 0 or below, who does well elsewhere does no better here: the exercise, or its cases, deserve a look.
    """
    mistakes: tuple[tuple[str, int], ...]
    """The most frequent messages and how many students had each; those that differ in numbers alone are one."""
    failed_cases: tuple[tuple[str, float], ...]
    """The cases and the share of students, of those whose file ran, that failed each; the most failed first."""

    @property
    def full_share(self) -> float:
        """Of the students, who have all points."""
        return self.statuses.get("full", 0) / self.students if self.students else 0.0


def exercise_statistics(results: Sequence[StudentResult]) -> list[ExerciseStatistics]:
    """Every exercise of a class, in the order of the course."""
    return [_statistics(name, results) for name in exercises_of(results)]


def histogram(shares: Sequence[float], bins: int = 10) -> list[int]:
    """How many of the shares, 0 .. 1, lie in each of the equal bins; a bin holds its lower end, the last both."""
    counts = [0] * bins
    for share in shares:
        # Shares are quotients: 0.3 must not fall below 3/10 by a rounding.
        counts[min(bins - 1, math.floor(share * bins + 1e-9))] += 1
    return counts


def _statistics(name: str, results: Sequence[StudentResult]) -> ExerciseStatistics:
    found: list[tuple[StudentResult, ExerciseResult]] = [
        (result, exercise) for result in results for exercise in result.exercises if exercise.exercise == name
    ]
    exercises = [exercise for _, exercise in found]
    shares = np.array([exercise.share for exercise in exercises])
    rest = np.array([result.score - exercise.score for result, exercise in found])
    messages = [text for exercise in exercises if (text := _mistake(exercise))]
    # By their places: the sizes in their names differ from student to student.
    cases = [list(enumerate(exercise.cases, 1)) for exercise in exercises]
    ran = Counter(number for numbered in cases for number, _ in numbered)
    failed = Counter(number for numbered in cases for number, case in numbered if not case.passed)
    names = {number: case.name for numbered in reversed(cases) for number, case in numbered}
    return ExerciseStatistics(
        name,
        exercises[0].title,
        exercises[0].lesson,
        len(exercises),
        float(shares.mean()),
        dict(Counter(exercise.status for exercise in exercises)),
        _correlation(shares, rest),
        _most_frequent(messages),
        tuple(
            (f"case {number} of {len(ran)}, such as {names[number]}", count / ran[number])
            for number, count in sorted(failed.items(), key=lambda item: (-item[1] / ran[item[0]], item[0]))
        ),
    )


def _mistake(exercise: ExerciseResult) -> str:
    """What went wrong, in a line; empty where nothing did or nothing was written."""
    if exercise.status in ("full", "not written", "not handed in"):
        return ""
    of_cases = (case.message or f"the case {case.name} fails" for case in exercise.cases if not case.passed)
    text = " ".join((exercise.message or next(of_cases, "")).split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ..."


def _most_frequent(messages: Sequence[str]) -> tuple[tuple[str, int], ...]:
    alike: dict[str, list[str]] = {}
    for message in messages:
        alike.setdefault(_NUMBER.sub("#", message), []).append(message)
    counted = [(min(same), len(same)) for same in alike.values()]
    return tuple(sorted(counted, key=lambda pair: (-pair[1], pair[0])))


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < LEAST_STUDENTS or np.ptp(a) < 1e-9 or np.ptp(b) < 1e-9:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])
