"""Grades hand-ins: exercise by exercise, several students at a time, and on from where it stopped."""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from minitorch_cv.course.exercise import Exercise
from minitorch_cv.course.handin import Handin, read_handin, student_of
from minitorch_cv.course.judge import Judgement, NotStarted, judge
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
from minitorch_cv.course.sandbox import Ending, Limits, Sandbox

LIMITS = Limits(seconds=10.0, processor_seconds=30.0, answer=32 * 2**20)
"""Of the process of one exercise. The longest right answer, of all exercises, has 0.2 MB."""

MINUTES, MINUTES_OF_A_KERNEL = 10.0, 1.0
"""For all of a hand-in, and besides for each exercise whose file is compiled: all 74 exercises take one in all."""

ENDED_TWICE = (
    "While this hand-in was graded the process that grades ended, twice: killed, or for want of memory. Look at its "
    "files; --again tries once more."
)


@dataclass(frozen=True)
class Graded:
    """One student's result. fresh: whether it was graded now, or is that of an earlier run."""

    result: StudentResult
    path: Path
    fresh: bool


def grade_exercise(
    course: Course,
    exercise: Exercise,
    data: bytes | None,
    sandbox: Sandbox,
    worker: int,
    until: float = math.inf,
) -> ExerciseResult:
    """One exercise of one student. until: when, by `time.monotonic()`, the time for the hand-in is over."""
    points = exercise.about.points
    if data is None:
        return _result(exercise, Judgement(exercise), "not handed in", points, "")
    if missing := exercise.language.missing():
        judgement = Judgement(exercise, failure=f"Not graded, by no fault of the file: {missing}")
        return _result(exercise, judgement, "ended", points, digest(data))
    judgement = judge(exercise, data.decode("utf-8"), sandbox, course.seed_of(exercise, data), LIMITS, worker, until)
    return _result(exercise, judgement, _status(judgement), points, digest(data))


def minutes_for(course: Course) -> float:
    """In which a hand-in is to be graded, where nobody says otherwise."""
    return MINUTES + MINUTES_OF_A_KERNEL * sum(exercise.language.needs_compiler for exercise in course.exercises)


def grade_handin(
    course: Course, handin: Handin, sandbox: Sandbox, worker: int, minutes: float | None = None
) -> StudentResult:
    """Every exercise of one student. minutes: for all of them; what they do not suffice for is not run."""
    minutes = minutes or minutes_for(course)
    until = time.monotonic() + 60 * minutes
    results = [
        grade_exercise(course, exercise, handin.files.get(exercise.file), sandbox, worker, until)
        for exercise in course.exercises
    ]
    return StudentResult(
        handin.student, _graded_by(course, sandbox, minutes), handin.digest, tuple(results), tuple(handin.problems)
    )


def grade(
    folder: Path,
    handins: Sequence[Path],
    results: Path,
    jobs: int,
    sandbox: Sandbox,
    again: bool = False,
    minutes: float | None = None,
) -> Iterator[Graded]:
    """Grades every hand-in by the teacher's folder, in any order; a result of an earlier run is taken where it holds.

    results: where one file a student is written, at once or not at all. again: no earlier result is taken. minutes:
    for a hand-in, if not `minutes_for(course)`. A hand-in whose grading twice ends its process, by a signal or for want
    of memory, gets a result that says so.
    Raises CourseError; ValueError for two hand-ins of one name; NotStarted where this machine starts no processes.
    """
    course = Course.read(folder)
    minutes = minutes or minutes_for(course)
    waiting = deque(_targets(handins, results).items())
    results.mkdir(parents=True, exist_ok=True)

    def pool(workers: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        numbers = context.Queue()
        for number in range(workers):
            numbers.put(number)
        return ProcessPoolExecutor(workers, context, _begin_worker, (folder, sandbox, minutes, numbers))

    while waiting:
        suspects = yield from _until_a_worker_dies(pool(jobs), jobs, waiting, again)
        for path, target in suspects:  # each alone, so that nobody is blamed for another's deed
            if (yield from _until_a_worker_dies(pool(1), 1, deque([(path, target)]), again)):
                save_result(_ungradable(course, path, sandbox, minutes), target)
                yield Graded(load_result(target), target, fresh=True)


def _until_a_worker_dies(
    pool: ProcessPoolExecutor, workers: int, waiting: deque[tuple[Path, Path]], again: bool
) -> Generator[Graded, None, list[tuple[Path, Path]]]:
    """Grades what is waiting, and takes it from there; returns what was being graded when a worker died.

    Raises NotStarted: one died with nothing to grade.
    """
    running: dict[Future[Graded], tuple[Path, Path]] = {}
    try:
        try:
            pool.submit(os.getpid).result()
        except BrokenProcessPool:
            raise NotStarted("a process to grade in ended at its start: is there enough memory?") from None
        while waiting or running:
            while waiting and len(running) < workers:
                running[pool.submit(_grade_in_worker, *waiting[0], again)] = waiting[0]
                waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield future.result()
                del running[future]
    except BrokenProcessPool:
        return list(running.values())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return []


def _ungradable(course: Course, path: Path, sandbox: Sandbox, minutes: float) -> StudentResult:
    """The result of a hand-in that twice ended the process that graded it."""
    handin = read_handin(path, [exercise.file for exercise in course.exercises])
    results = []
    for exercise in course.exercises:
        judgement = Judgement(exercise, failure="it could not be graded: the process that graded it ended")
        judgement.endings.append(Ending("exit", judgement.failure, ENDED_TWICE))
        data = handin.files.get(exercise.file)
        results.append(
            _result(exercise, judgement, "ended", exercise.about.points, "" if data is None else digest(data))
        )
    graded_by, problems = _graded_by(course, sandbox, minutes), (*handin.problems, ENDED_TWICE)
    return StudentResult(handin.student, graded_by, handin.digest, tuple(results), problems)


def _graded(
    course: Course, sandbox: Sandbox, worker: int, minutes: float, path: Path, target: Path, again: bool
) -> Graded:
    handin = read_handin(path, [exercise.file for exercise in course.exercises])
    if not again and target.exists():
        try:
            kept = load_result(target)
            if kept.handin_digest == handin.digest and kept.course == _graded_by(course, sandbox, minutes):
                return Graded(kept, target, fresh=False)
        except ResultError:
            pass  # graded anew
    try:
        result = grade_handin(course, handin, sandbox, worker, minutes)
    except NotStarted as reason:
        raise NotStarted(f"{path}: {reason}") from None
    save_result(result, target)
    return Graded(result, target, fresh=True)


def _graded_by(course: Course, sandbox: Sandbox, minutes: float) -> str:
    """The course, and all else that a result depends on: one of another kind is graded anew."""
    parts = [course.version, sandbox.strength.value, version("minitorch-cv"), repr(LIMITS), str(minutes)]
    # Where a compiler comes later, what could not be graded is graded then.
    parts += {missing for exercise in course.exercises if (missing := exercise.language.missing())}
    return f"{course.name} {hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"


_grade_one: Callable[[Path, Path, bool], Graded]
"""What a worker does; set when it begins."""


def _begin_worker(folder: Path, sandbox: Sandbox, minutes: float, numbers: multiprocessing.Queue) -> None:
    global _grade_one
    _grade_one = partial(_graded, Course.read(folder), sandbox, numbers.get(), minutes)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _grade_in_worker(path: Path, target: Path, again: bool) -> Graded:
    return _grade_one(path, target, again)


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
            raise ValueError(f"HANDIN expects one for each student; {other} and {path} have the same name")
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
    exercise: Exercise, judgement: Judgement, status: Status, points: float, file_digest: str
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
        file_digest,
    )
