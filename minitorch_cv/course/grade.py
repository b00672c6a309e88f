"""Grades hand-ins: exercise by exercise, several students at a time, and on from where it stopped."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from minitorch_cv.course.exercise import Exercise
from minitorch_cv.course.handin import Handin, read_handin, student_of
from minitorch_cv.course.judge import Judgement, judge
from minitorch_cv.course.plain_mathematics import plain_mathematics
from minitorch_cv.course.release import Course
from minitorch_cv.course.results import (
    CaseResult,
    ExerciseResult,
    ResultError,
    Status,
    StudentResult,
    digest,
    load_result,
    save_result,
)
from minitorch_cv.course.sandbox import Limits, Sandbox

LIMITS = Limits(seconds=10.0, processor_seconds=30.0)
"""Of the process of one exercise."""


@dataclass(frozen=True)
class Graded:
    """One student's result. fresh: whether it was graded now, or is that of an earlier run."""

    result: StudentResult
    path: Path
    fresh: bool


def grade_exercise(
    course: Course, exercise: Exercise, data: bytes | None, sandbox: Sandbox, worker: int
) -> ExerciseResult:
    """One exercise of one student."""
    about, begun = exercise.about, time.perf_counter()
    if data is None:
        return _result(exercise, Judgement(exercise), "not handed in", about.points, 0.0, "")
    if missing := exercise.language.missing():
        judgement = Judgement(exercise, failure=f"Not graded, by no fault of the file: {missing}")
        return _result(exercise, judgement, "ended", about.points, 0.0, digest(data))
    judgement = judge(exercise, data.decode("utf-8"), sandbox, course.seed_of(exercise, data), LIMITS, worker)
    return _result(exercise, judgement, _status(judgement), about.points, time.perf_counter() - begun, digest(data))


def grade_handin(course: Course, handin: Handin, sandbox: Sandbox, worker: int) -> StudentResult:
    """Every exercise of one student."""
    results = [
        grade_exercise(course, exercise, handin.files.get(exercise.file), sandbox, worker)
        for exercise in course.exercises
    ]
    return StudentResult(
        handin.student, _graded_by(course, sandbox), handin.digest, tuple(results), tuple(handin.problems)
    )


def grade(
    folder: Path, handins: Sequence[Path], results: Path, jobs: int, sandbox: Sandbox, again: bool = False
) -> Iterator[Graded]:
    """Grades every hand-in by the teacher's folder, in any order; a result of an earlier run is taken where it holds.

    results: where one file a student is written, at once or not at all. again: no earlier result is taken.
    Raises CourseError; ValueError for two hand-ins of one name.
    """
    course = Course.read(folder)
    targets = _targets(handins, results)
    results.mkdir(parents=True, exist_ok=True)
    if jobs == 1:
        for path, target in targets.items():
            yield _graded(course, path, target, sandbox, 0, again)
        return
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(jobs):
        numbers.put(number)
    with ProcessPoolExecutor(jobs, context, _begin_worker, (folder, sandbox, numbers)) as pool:
        futures = [pool.submit(_grade_in_worker, path, target, again) for path, target in targets.items()]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _graded(course: Course, path: Path, target: Path, sandbox: Sandbox, worker: int, again: bool) -> Graded:
    handin = read_handin(path, [exercise.file for exercise in course.exercises])
    if not again and target.exists():
        try:
            kept = load_result(target)
            if kept.handin_digest == handin.digest and kept.course == _graded_by(course, sandbox):
                return Graded(kept, target, fresh=False)
        except ResultError:
            pass  # graded anew
    result = grade_handin(course, handin, sandbox, worker)
    save_result(result, target)
    return Graded(result, target, fresh=True)


def _graded_by(course: Course, sandbox: Sandbox) -> str:
    """The course, and all else that a result depends on: one of another kind is graded anew."""
    parts = [course.version, sandbox.strength.value, version("minitorch-cv"), repr(LIMITS)]
    # Where a compiler comes later, what could not be graded is graded then.
    parts += {missing for exercise in course.exercises if (missing := exercise.language.missing())}
    return f"{course.name} {hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"


_worker: tuple[Course, Sandbox, int]


def _begin_worker(folder: Path, sandbox: Sandbox, numbers: multiprocessing.Queue) -> None:
    global _worker
    _worker = Course.read(folder), sandbox, numbers.get()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _grade_in_worker(path: Path, target: Path, again: bool) -> Graded:
    course, sandbox, number = _worker
    return _graded(course, path, target, sandbox, number, again)


def _targets(handins: Sequence[Path], results: Path) -> dict[Path, Path]:
    """The file of each hand-in's result: named after its student, in letters that every file system takes."""
    targets: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for path in handins:
        student = student_of(path)
        name = re.sub(r"[^\w-]+", "_", student)[:100]
        if name != student:
            name += "-" + hashlib.sha256(student.encode()).hexdigest()[:8]
        if (other := taken.setdefault(name.casefold(), path)) is not path:
            raise ValueError(f"HANDINS expects one for each student; {other} and {path} have the same name")
        targets[path] = results / f"{name}.json"
    return targets


def _status(judgement: Judgement) -> Status:
    if judgement.is_full:
        return "full"
    if not judgement.is_written or judgement.is_untouched:
        return "not written"
    if judgement.score > 0:
        return "partial"
    return "ended" if judgement.endings else "wrong"


def _result(
    exercise: Exercise, judgement: Judgement, status: Status, points: float, seconds: float, file_digest: str
) -> ExerciseResult:
    cases = tuple(
        CaseResult(
            case.name,
            case.verdict.credit == 1.0,
            round(points * case.share, 6),
            case.verdict.message,
            round(points * case.share * case.verdict.credit, 6),
        )
        for case in judgement.cases
    )
    message = "\n".join(
        filter(None, [judgement.failure, *(f"Hint: {plain_mathematics(hint)}" for hint in judgement.hints)])
    )
    for_teacher = [ending.teacher for ending in judgement.endings]
    for_teacher += [f"{case.name}:\n{case.verdict.detail}" for case in judgement.cases if case.verdict.detail]
    return ExerciseResult(
        exercise.name,
        exercise.version,
        exercise.title,
        exercise.about.lesson,
        points,
        judgement.score,
        status,
        cases,
        message,
        "\n".join(for_teacher),
        seconds,
        file_digest,
    )
