"""Judges a student's file: the cases of an exercise, the credit for each, and the hint that the mistake deserves.

The file runs in processes of its own; expected values, references and seeds stay here. A check whose process has ended,
by a limit or by the file's own doing, loses the cases that were left; the next check begins with a new process.
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
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
) -> Judgement:
    """Asks the student's code for the answer to each case, and judges the answers.

    worker: distinguishes graders that work side by side. Nothing is raised for what the code does: an answer that even
    breaks its judging is worth nothing, and the teacher reads why.
    Raises NotStarted: no process can be had.
    """
    judgement = Judgement(exercise)
    shares = sum(check.share for check in exercise.checks)
    if exercise.language is CUDA:
        judgement.is_untouched = exercise.is_stub(code)
        if reason := refusal(code):
            judgement.failure = f"the file is not compiled: {reason}"
    with _Student(exercise, code, sandbox, limits or Limits(), worker, judgement) as student:
        for check in exercise.checks:
            cases = _cases(exercise, check, seed)
            share = check.share / shares / len(cases)
            answers: list[Any] = []
            verdicts: list[Verdict] = []
            for case in cases:
                # One diagnosis is enough: the next case mostly suffers from the same mistake.
                diagnose = all(verdict.credit == 1.0 for verdict in verdicts)
                answer, verdict = student.judged(case, diagnose)
                answers.append(answer)
                verdicts.append(verdict)
            student.renew()
            verdicts = [_tidy(verdict) for verdict in check.settled(verdicts)]
            judgement.cases += [JudgedCase(_title(check, c), share, verdict) for c, verdict in zip(cases, verdicts)]
            if any(verdict.credit < 1.0 for verdict in verdicts) and not judgement.is_untouched:
                recognised = [mistake.hint for mistake in _recognised(exercise, cases, answers)]
                judgement.hints = list(dict.fromkeys([*judgement.hints, *recognised]))
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
_NOT_RUN = Verdict(0.0, "not run: the process had ended")


class _Student:
    """The student's module, in a process that is started when it is first asked, and again after it has ended."""

    def __init__(
        self, exercise: Exercise, code: str, sandbox: Sandbox, limits: Limits, worker: int, judgement: Judgement
    ):
        self.exercise, self.code, self.judgement = exercise, code, judgement
        self.sandbox, self.limits, self.worker = sandbox, limits, worker
        self.processes = ExitStack()
        self.process: Process | None = None
        self.module: Any = None
        self.ended = False
        self.begun = time.monotonic()

    def __enter__(self) -> _Student:
        return self

    def __exit__(self, *exception: object) -> None:
        self.processes.close()

    def renew(self) -> None:
        """A new check begins: a process that has ended is forgotten."""
        self.ended = False

    def judged(self, case: Case, diagnose: bool) -> tuple[Any, Verdict]:
        """The answer to a case and what it is worth."""
        if self.judgement.failure or self.ended:
            return _NOTHING, Verdict(0.0, self.judgement.failure) if self.judgement.failure else _NOT_RUN
        if time.monotonic() - self.begun > MOST_SECONDS:
            return _NOTHING, Verdict(0.0, f"not run: the cases before took more than {MOST_SECONDS:.0f} s")
        try:
            module = self._loaded()
            answer = case.ask(module)
            return answer, case.judge(answer, module if diagnose else None)
        except Failed as failure:
            return failure, self._failed(failure)
        except Missing as missing:
            return _NOTHING, Verdict(0.0, str(missing))
        except MessageError as error:  # what comes next on this channel belongs to no question
            self.ended, self.module = True, None
            return _NOTHING, Verdict(0.0, str(error))
        except Ended as ended:
            self.ended, self.module = True, None
            self.judgement.endings.append(ended.ending)
            is_cuda = self.exercise.language is CUDA
            told = told_ending(ended.ending) if is_cuda else ended.ending.student
            return _NOTHING, Verdict(0.0, told, ended.ending.teacher)
        except NotStarted:
            raise
        except Exception:
            return _NOTHING, Verdict(0.0, "the answer could not be judged", traceback.format_exc(limit=-3))

    def _anew(self) -> Any:
        """The functions in a new process."""
        if self.process is not None:
            self.process.close()
        self.module = None
        return self._loaded()

    def _loaded(self) -> Any:
        """The student's functions, or kernels."""
        if self.module is None:
            language = self.exercise.language
            if missing := language.missing():
                raise NotStarted(f"{self.exercise.name}: {missing}")
            is_cuda = language is CUDA
            kernels = frozenset(check.function for check in self.exercise.checks)
            text = confined(self.code, kernels) if is_cuda else self.code
            process = self.sandbox.start(
                RUNNER,
                {self.exercise.file: text.encode()},
                packages=language.packages(),
                limits=language.limits(self.limits),
                worker=self.worker,
                compiler=language.needs_compiler,
            )
            self.process = self.processes.enter_context(process)
            self.processes.callback(self._keep_printed, process)
            module = StudentKernels(process) if is_cuda else StudentModule(process, self.exercise.reference, self._anew)
            try:
                module.begin()
            except Ended as ended:
                raise NotStarted(f"{ended.ending.teacher} {process.printed[-1000:]}".rstrip()) from None
            try:
                module.load(self.exercise.file, self.exercise.about.imports)
            except Failed as failure:
                self.judgement.failure = _tidied(f"the file cannot be run: {failure}", _MOST_MESSAGE)
                raise
            self.module = module
        return self.module

    def _keep_printed(self, process: Any) -> None:
        self.judgement.printed += process.printed

    def _failed(self, failure: Failed) -> Verdict:
        if self.judgement.failure:
            return Verdict(0.0, self.judgement.failure)
        if failure.is_stub:
            return Verdict(0.0, NOT_WRITTEN)
        if limit := explain(f"{failure.kind}: {failure.text}", self.limits):
            return Verdict(0.0, limit.student, limit.teacher)
        return Verdict(0.0, f"it raises {failure}")


@lru_cache(maxsize=1024)
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
