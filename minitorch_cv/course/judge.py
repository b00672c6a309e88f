"""Judges a student's file: the cases of an exercise, the credit for each, and the hint that the mistake deserves.

The file runs in processes of its own; expected values, references and seeds stay here. A check whose process has ended,
by a limit or by the file's own doing, loses the cases that were left; the next check begins with a new process.
"""

from __future__ import annotations

import math
import re
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from minitorch_cv.course._text import readable
from minitorch_cv.course.checks import Case, Check, Verdict, generator
from minitorch_cv.course.exercise import Exercise, Mistake
from minitorch_cv.course.kernel_checks import told_ending
from minitorch_cv.course.kernel_source import confined, refusal
from minitorch_cv.course.language import CUDA
from minitorch_cv.course.runner.message import MessageError
from minitorch_cv.course.sandbox import Ended, Ending, Limits, Process, Sandbox, explain
from minitorch_cv.course.student import Failed, Missing, StudentModule
from minitorch_cv.course.student_kernels import StudentKernels

NOT_WRITTEN = "not written yet"
PUBLIC_SEED = 1
"""Of the inputs that everybody sees; grading has a secret one."""

RUNNER = Path(__file__).with_name("runner")


class NotStarted(RuntimeError):
    """The process ended before it had seen anything of the student's: this machine's fault, and nobody's points."""


@dataclass(frozen=True)
class JudgedCase:
    """One case. share: its part of the exercise's points, all parts together being 1."""

    name: str
    share: float
    verdict: Verdict


@dataclass
class Judgement:
    """What became of a hand-in of one exercise.

    hints: of the mistakes that give the very answers that the student's functions gave; endings: of processes that
    ended before their time; failure: why the file could not be run at all; printed: the end of what it printed;
    is_untouched: whether it is a kernel to mend as it was handed out, which is judged all the same.
    """

    exercise: Exercise
    cases: list[JudgedCase] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    failure: str = ""
    printed: str = ""
    is_untouched: bool = False

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
        return bool(self.failure) or any(case.verdict.message != NOT_WRITTEN for case in self.cases)


def judge(
    exercise: Exercise,
    code: str,
    sandbox: Sandbox,
    seed: int = PUBLIC_SEED,
    limits: Limits | None = None,
    worker: int = 0,
    until: float = math.inf,
) -> Judgement:
    """Asks the student's code for the answer to each case, and judges the answers.

    worker: distinguishes graders that work side by side; until: when, by `time.monotonic()`, the time for the whole
    hand-in is over. Nothing is raised for what the code does: an answer that even breaks its judging is worth nothing,
    and the teacher reads why.
    Raises NotStarted: no process can be had.
    """
    judgement = Judgement(exercise, is_untouched=exercise.language is CUDA and exercise.is_stub(code))
    shares = sum(check.share for check in exercise.checks)
    with Session(exercise, code, sandbox, limits or Limits(), worker) as session:
        late_at = min(time.monotonic() + MOST_SECONDS, until)
        for check in exercise.checks:
            cases = _cases(exercise, check, seed)
            share = check.share / shares / len(cases)
            answers: list[Any] = []
            verdicts: list[Verdict] = []
            session.has_ended = False
            for case in cases:
                if time.monotonic() > late_at:
                    answer, verdict = _NOTHING, _late(session, late_at == until)
                else:
                    # One diagnosis is enough: the next case mostly suffers from the same mistake.
                    diagnose = all(verdict.credit == 1.0 for verdict in verdicts)
                    answer, verdict = _judged(session, case, diagnose)
                answers.append(answer)
                verdicts.append(verdict)
            verdicts = [_tidy(verdict) for verdict in check.settled(verdicts)]
            judgement.cases += [JudgedCase(_title(check, c), share, verdict) for c, verdict in zip(cases, verdicts)]
            if any(verdict.credit < 1.0 for verdict in verdicts) and not judgement.is_untouched:
                recognised = [mistake.hint for mistake in _recognised(exercise, cases, answers)]
                judgement.hints = list(dict.fromkeys([*judgement.hints, *recognised]))
    judgement.failure, judgement.endings, judgement.printed = session.refusal, session.endings, session.printed
    return judgement


MOST_SECONDS = 120.0
"""By the clock, for all cases of an exercise together; a case that has begun may end."""

_MOST_MESSAGE, _MOST_DETAIL = 2_000, 20_000  # characters: a student's code may say anything, and as much as it likes


def _tidy(verdict: Verdict) -> Verdict:
    """A verdict whose texts are short, can be written in every format, and are the same in every run."""
    return Verdict(verdict.credit, _tidied(verdict.message, _MOST_MESSAGE), _tidied(verdict.detail, _MOST_DETAIL))


def _tidied(text: str, most: int) -> str:
    text = re.sub(r"\b0x[0-9a-f]{6,16}\b", "0x...", readable(text))  # addresses in memory
    return text if len(text) <= most else f"{text[:most]} ..."


_NOTHING = object()


class Refused(Exception):
    """The student's file cannot be run."""


class Session:
    """The student's functions, in a process that is started when they are first asked for, and again after it ended.

    refusal: why the file cannot be run, if it cannot; has_ended: whether a process ended before its time, after which
    the cases of the same check are not run; endings: all of these; printed: the ends of what the processes printed.
    """

    def __init__(self, exercise: Exercise, code: str, sandbox: Sandbox, limits: Limits, worker: int):
        self.exercise, self.limits = exercise, limits
        self._sandbox, self._worker = sandbox, worker
        self._process: Process | None = None
        self._functions: Any = None
        is_cuda = exercise.language is CUDA
        reason = refusal(code) if is_cuda else ""
        code = confined(code, frozenset(check.function for check in exercise.checks)) if is_cuda else code
        self._code = code.encode("utf-8", "backslashreplace")  # a notebook may hold halves of characters
        self.refusal = f"the file is not compiled: {reason}" if reason else ""
        self.has_ended = False
        self.endings: list[Ending] = []
        self.printed = ""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def functions(self) -> Any:
        """The student's functions, or kernels, in a process that runs.

        Raises NotStarted; Refused; what `Conversation` does, for the file's own loading.
        """
        if self.refusal:
            raise Refused(self.refusal)
        if self._functions is None:
            functions = self._started()
            try:
                functions.load(self.exercise.file, self.exercise.about.imports)
            except Failed as failure:
                self.refusal = _tidied(f"the file cannot be run: {failure}", _MOST_MESSAGE)
                raise Refused(self.refusal) from None
            self._functions = functions
        return self._functions

    def end(self) -> None:
        """Nothing more is asked of this process, nor of another before the next check."""
        self.has_ended = True
        self._close()

    def _anew(self) -> Any:
        """The functions in a new process."""
        self._close()
        return self.functions()

    def _started(self) -> Any:
        """What asks a new process, which has seen nothing of the student's: whatever fails is this machine's fault."""
        language = self.exercise.language
        if missing := language.missing():
            raise NotStarted(f"{self.exercise.name}: {missing}")
        try:
            self._process = self._sandbox.start(
                RUNNER,
                {self.exercise.file: self._code},
                packages=language.packages(),
                limits=language.limits(self.limits),
                worker=self._worker,
                compiler=language.needs_compiler,
            )
            functions = (
                StudentKernels(self._process)
                if language is CUDA
                else StudentModule(self._process, self.exercise.reference, self._anew)
            )
            functions.begin()
        except Ended as ended:
            printed = self._process.printed[-1000:] if self._process else ""
            raise NotStarted(f"{self.exercise.name}: {ended.ending.teacher} {printed}".rstrip()) from None
        except Exception as error:
            raise NotStarted(f"{self.exercise.name}: no process can be started: {error}") from error
        return functions

    def _close(self) -> None:
        if self._process is not None:
            self._process.close()
            self.printed += self._process.printed
        self._process = self._functions = None


def _judged(session: Session, case: Case, diagnose: bool) -> tuple[Any, Verdict]:
    """The answer to a case and what it is worth."""
    if session.has_ended:
        return _NOTHING, Verdict(0.0, "not run: the process had ended")
    try:
        functions = session.functions()
        answer = case.ask(functions)
        return answer, case.judge(answer, functions if diagnose else None)
    except NotStarted:
        raise
    except Failed as failure:
        return failure, _failed(failure, session.limits)
    except (Refused, Missing) as reason:
        return _NOTHING, Verdict(0.0, str(reason))
    except MessageError as error:
        session.end()  # what comes next on its channel belongs to no question
        return _NOTHING, Verdict(0.0, str(error))
    except Ended as ended:
        session.end()
        session.endings.append(ended.ending)
        is_cuda = session.exercise.language is CUDA
        told = told_ending(ended.ending) if is_cuda else ended.ending.student
        return _NOTHING, Verdict(0.0, told, ended.ending.teacher)
    except Exception:
        return _NOTHING, Verdict(0.0, "the answer could not be judged", traceback.format_exc(limit=-3))


def _failed(failure: Failed, limits: Limits) -> Verdict:
    if failure.is_stub:
        return Verdict(0.0, NOT_WRITTEN)
    if limit := explain(f"{failure.kind}: {failure.text}", limits):
        return Verdict(0.0, limit.student, limit.teacher)
    return Verdict(0.0, f"it raises {failure}")


def _late(session: Session, is_handin: bool) -> Verdict:
    """Of a case for which no time is left; among the endings it is told once."""
    reason = "the time for the whole hand-in is over" if is_handin else f"the cases before took {MOST_SECONDS:.0f} s"
    told = Ending("time", f"not run: {reason}", f"Not all cases were run: {reason}.")
    if told not in session.endings:
        session.endings.append(told)
    return Verdict(0.0, told.student)


@lru_cache(maxsize=16)  # in grading each file has a seed of its own: more would only take memory
def _cases(exercise: Exercise, check: Check, seed: int) -> list[Case]:
    """The cases of a check, with what they expect; kept, as a student's next try has the same."""
    return list(check.cases(exercise.reference, generator(seed, exercise.name, check.function)))


def _title(check: Check, case: Case) -> str:
    return f"{check.function}: {case.name}" if case.name else check.function


def _recognised(exercise: Exercise, cases: list[Case], answers: list[Any]) -> Iterator[Mistake]:
    """The mistakes whose answers are the student's in every case, or that raise the same."""
    for mistake in exercise.mistakes:
        module = _mistaken(exercise, mistake)
        if all(_is_same(answer, case, module) for case, answer in zip(cases, answers)):
            yield mistake


def _is_same(answer: Any, case: Case, module: Any) -> bool:
    try:
        with np.errstate(all="ignore"):  # a mistake may overflow
            other = case.ask(module)
    except Exception as error:
        raised = type(error).__name__, str(error)
        return isinstance(answer, Failed) and not answer.is_stub and (answer.kind, answer.text) == raised
    if answer is _NOTHING or isinstance(answer, Failed):
        return False
    return case.is_same(answer, other)


@lru_cache(maxsize=1024)
def _mistaken(exercise: Exercise, mistake: Mistake) -> Any:
    return exercise.as_module(exercise.with_mistake(mistake))
