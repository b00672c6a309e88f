"""What grading found of one student, and the file that keeps it.

The file is the same to the byte whenever the findings are: its keys have one order, and it holds neither a time of day
nor how long grading took.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from .._files import written_whole

SCHEMA = 1
"""The version of the file's layout. A file of another version is graded anew, not read."""

Status = Literal["full", "partial", "wrong", "not written", "not handed in", "ended"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""From every point to none; "ended": the process was ended by a limit of time or of memory."""

_MOST_BYTES = 64 * 2**20


class ResultError(ValueError):
    """A file that is no result of grading, or one of another version."""


@dataclass(frozen=True)
class CaseResult:
    """One case of an exercise.

    Raises: ValueError for values that no case can have.
    """

    name: str
    passed: bool
    points: float
    message: str = ""
    """What the student reads."""
    earned: float = math.nan
    """Of its points; a derivation earns a part by its right lines. Not given: all where it passed, else none."""

    def __post_init__(self) -> None:
        _expect_text(self, "name", "message")
        if not isinstance(self.passed, bool):
            raise ValueError(f"CaseResult: passed expects True or False; it is {self.passed!r}")
        if math.isnan(self.earned):
            object.__setattr__(self, "earned", self.points if self.passed else 0.0)
        _expect_number(self, "points", "earned")
        if self.earned > self.points:
            raise ValueError(f"CaseResult: earned expects at most the points, {self.points}; it is {self.earned}")


@dataclass(frozen=True)
class ExerciseResult:
    """One exercise of a student.

    Raises: ValueError for values that no exercise can have.
    """

    exercise: str
    version: str
    title: str
    lesson: str
    points: float
    """The most that it brings."""
    score: float
    """What it brought, 0 .. points."""
    status: Status
    cases: tuple[CaseResult, ...] = ()
    message: str = ""
    """What the student reads."""
    teacher_message: str = ""
    """What only the teacher reads: it may tell of hidden cases."""
    file_digest: str = ""
    """Of the file that was graded; empty where none was handed in."""

    def __post_init__(self) -> None:
        _expect_text(self, "exercise", "version", "title", "lesson", "message", "teacher_message", "file_digest")
        _expect_number(self, "points", "score")
        if self.status not in STATUSES:
            raise ValueError(f"ExerciseResult: status expects one of {', '.join(STATUSES)}; it is {self.status!r}")
        if self.score > self.points and not math.isclose(self.score, self.points):  # a product may be rounded up
            raise ValueError(f"ExerciseResult: score expects at most the points, {self.points}; it is {self.score}")
        object.__setattr__(self, "score", min(self.score, self.points))
        _expect_items(self, "cases", CaseResult)

    @property
    def share(self) -> float:
        """Of the points, 0 .. 1; an exercise without points is done or not."""
        return self.score / self.points if self.points else float(self.status == "full")


@dataclass(frozen=True)
class StudentResult:
    """All exercises of a student.

    Raises: ValueError for values that no student's result can have.
    """

    student: str
    course: str
    """Name and version of the course that was graded."""
    handin_digest: str
    """Of all that was handed in: whether a regrade has anything to do."""
    exercises: tuple[ExerciseResult, ...] = ()
    problems: tuple[str, ...] = ()
    """What was wrong with the hand-in itself."""

    def __post_init__(self) -> None:
        _expect_text(self, "student", "course", "handin_digest")
        _expect_items(self, "exercises", ExerciseResult)
        _expect_items(self, "problems", str)
        names = [result.exercise for result in self.exercises]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"StudentResult: exercises expects each once; {', '.join(twice)} is there twice")

    @property
    def score(self) -> float:
        return math.fsum(result.score for result in self.exercises)

    @property
    def points(self) -> float:
        """The most that the course brings."""
        return math.fsum(result.points for result in self.exercises)

    @property
    def share(self) -> float:
        """Of the points, 0 .. 1."""
        return self.score / self.points if self.points else 0.0


def digest(data: bytes) -> str:
    """The digest by which a file is known: SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def exercises_of(results: Iterable[StudentResult]) -> list[str]:
    """The names of all exercises of a class, in the order of the course: that of the fullest results."""
    by_size = sorted(results, key=lambda result: -len(result.exercises))
    return list(dict.fromkeys(exercise.exercise for result in by_size for exercise in result.exercises))


def result_to_json(result: StudentResult) -> str:
    """The result as the text of its file."""
    exercises = [
        {
            **{name: getattr(exercise, name) for name in _EXERCISE},
            "cases": [{name: getattr(case, name) for name in _CASE} for case in exercise.cases],
        }
        for exercise in result.exercises
    ]
    document = {
        "schema": SCHEMA,
        **{name: getattr(result, name) for name in _STUDENT},
        "score": result.score,
        "points": result.points,
        "problems": list(result.problems),
        "exercises": exercises,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def result_from_json(text: str) -> StudentResult:
    """The result that a file's text holds.

    Raises: ResultError where it is no JSON, of another version, lacks something or holds what no result can.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"result_from_json: text expects JSON; {error}") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise ResultError(f"result_from_json: schema expects {SCHEMA}; it is {found!r}. Grade the hand-in anew")
    _expect_keys(document, {"schema", "score", "points", "problems", "exercises", *_STUDENT}, "result")
    exercises = []
    for number, entry in enumerate(_listed(document, "exercises")):
        place = f"exercises[{number}]"
        _expect_keys(entry, {"cases", *_EXERCISE}, place)
        cases = []
        for case_number, case in enumerate(_listed(entry, "cases")):
            _expect_keys(case, set(_CASE), f"{place}.cases[{case_number}]")
            cases.append(_made(CaseResult, case, f"{place}.cases[{case_number}]"))
        exercises.append(_made(ExerciseResult, {**entry, "cases": tuple(cases)}, place))
    student = {name: document[name] for name in _STUDENT}
    problems = tuple(_listed(document, "problems"))
    result = _made(StudentResult, {**student, "exercises": tuple(exercises), "problems": problems}, "result")
    for name in ("score", "points"):
        if document[name] != getattr(result, name):
            raise ResultError(
                f"result_from_json: {name} expects the sum of the exercises, {getattr(result, name)}; "
                f"it is {document[name]!r}"
            )
    return result


def save_result(result: StudentResult, path: str | os.PathLike[str]) -> None:
    """Write the result to a file, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(result_to_json(result), encoding="utf-8", newline="\n")


def load_result(path: str | os.PathLike[str]) -> StudentResult:
    """Read the file of a result.

    Raises: FileNotFoundError; ResultError, naming the file, where it holds no result of this version.
    """
    path = Path(path)
    with open(path, "rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ResultError(f"load_result: {path} expects at most {_MOST_BYTES:,} bytes; it is longer")
    try:
        return result_from_json(data.decode("utf-8"))
    except ValueError as error:  # a ResultError, or bytes that are no UTF-8
        raise ResultError(f"load_result: {path} is no result: {error}") from None


_STUDENT = ("student", "course", "handin_digest")
_EXERCISE = (
    "exercise",
    "version",
    "title",
    "lesson",
    "points",
    "score",
    "status",
    "message",
    "teacher_message",
    "file_digest",
)
_CASE = ("name", "passed", "points", "message", "earned")


def _made(kind: Any, values: Mapping[str, Any], place: str) -> Any:
    try:
        return kind(**values)
    except ValueError as error:
        raise ResultError(f"result_from_json: {place}: {error}") from None


def _expect_keys(entry: Any, expected: set[str], place: str) -> None:
    if not isinstance(entry, dict):
        raise ResultError(f"result_from_json: {place} expects an object; it is {type(entry).__name__}")
    for words, names in (("lacks", expected - set(entry)), ("has unknown", set(entry) - expected)):
        if names:
            raise ResultError(f"result_from_json: {place} {words} {', '.join(sorted(names))}")


def _listed(entry: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(entry[name], list):
        raise ResultError(f"result_from_json: {name} expects a list; it is {type(entry[name]).__name__}")
    return entry[name]


def _expect_text(record: Any, *names: str) -> None:
    for name in names:
        if not isinstance(value := getattr(record, name), str):
            raise ValueError(f"{type(record).__name__}: {name} expects text; it is {value!r}")


def _expect_number(record: Any, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise ValueError(f"{type(record).__name__}: {name} expects a finite number of at least 0; it is {value!r}")
        # A whole number and a float of one value must not make two files.
        object.__setattr__(record, name, float(value))


def _expect_items(record: Any, name: str, kind: type) -> None:
    items = getattr(record, name)
    if not isinstance(items, (tuple, list)) or not all(isinstance(item, kind) for item in items):
        raise ValueError(f"{type(record).__name__}: {name} expects a tuple of {kind.__name__}; it is {items!r:.80}")
    object.__setattr__(record, name, tuple(items))
