"""What an exercise asks of the student's kernels: right results, and nothing for the simulator to find.

A case is one launch in three orders of threads. Its results are compared here, outside of the process that runs the
kernels; what the simulator finds and counts, that process says. It runs compiled code of the student's, which may do
whatever a process in the sandbox may: code that was written for it could hide its own findings. It could neither learn
what is expected nor be right where its results are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitorch_cv.course.answers import difference
from minitorch_cv.course.checks import Case, Check, Verdict
from minitorch_cv.course.runner.kernel_file import ORDERS
from minitorch_cv.course.sandbox import Ending
from minitorch_cv.course.student_kernels import Found, Observed
from minitorch_cv.kernels.signatures import Signature, read_signatures
from minitorch_cv.kernels.simulator import harness
from minitorch_cv.kernels.simulator.advice import ADVICE
from minitorch_cv.kernels.simulator.harness import Launch
from minitorch_cv.kernels.simulator.watched import MemoryCounts

MOST_TOLD = 3
"""Findings of a case that are told: the first mistake mostly brings the others."""


@dataclass(eq=False)
class Kernel(Check):
    """The kernel gives NumPy's results, and nothing is found wrong. `draw(rng)` yields launches, with `expected`.

    lacks: what a kernel that is right still lacks, by its requests of memory; empty where it lacks nothing.
    """

    function: str
    draw: Callable[[np.random.Generator], Iterable[Launch]]
    share: float = 1.0
    lacks: Callable[[Launch, MemoryCounts], str] = lambda launch, counts: ""

    def cases(self, reference: Any, rng: np.random.Generator) -> Iterator[Case]:
        signature = read_signatures(reference.kernel)[self.function]
        for launch in self.draw(rng):
            yield _KernelCase(_sizes(signature, launch), self, signature, launch)


@dataclass
class _KernelCase:
    name: str
    check: Kernel
    signature: Signature
    launch: Launch

    def ask(self, module: Any) -> dict[str, Observed]:
        return {order: module.launch(self.launch, order) for order in ORDERS}

    def judge(self, answer: dict[str, Observed], student: Any) -> Verdict:
        findings: dict[tuple, Found] = {}
        for observed in answer.values():
            for found in observed.findings:
                findings.setdefault((found.kind, found.line, found.other_line), found)
        lines = _told(list(findings.values()), explain=student is not None)
        detail = list(lines)
        for name, expected in self.launch.expected.items():
            wrong = {
                order: problem
                for order, observed in answer.items()
                if (problem := difference(self._result(name, observed), expected, self.launch.tolerance))
            }
            if wrong:
                order, problem = next(iter(wrong.items()))
                which = "" if len(wrong) == len(ORDERS) else f"; orders of threads: {', '.join(wrong)}"
                result = self._result(name, answer[order])
                lines.append(f"{name}: {problem}{which}")
                told = harness.difference(name, result, expected, self.launch.tolerance) or problem
                detail.append(f"{told.replace('what the harness expects', 'what is expected')}{which}")
        if not lines and (lacking := self._lacks(answer)):
            return Verdict(0.0, f"its results are right, but {lacking}")
        return Verdict(0.0, "\n".join(lines), "\n".join(detail)) if lines else Verdict(1.0)

    def is_same(self, answer: dict[str, Observed], other: dict[str, Observed]) -> bool:
        """Whether two answers come of the same mistake: by results and findings, in each order of threads."""
        return self._lacks(answer) == self._lacks(other) and all(
            {_in_general(found) for found in answer[order].findings}
            == {_in_general(found) for found in other[order].findings}
            and all(
                np.allclose(
                    self._result(name, answer[order]),
                    self._result(name, other[order]),
                    rtol=self.launch.tolerance,
                    atol=self.launch.tolerance,
                    equal_nan=True,
                )
                for name in self.launch.expected
            )
            for order in ORDERS
        )

    def _lacks(self, answer: dict[str, Observed]) -> str:
        lacking = (self.check.lacks(self.launch, observed.counts) for observed in answer.values())
        return next(filter(None, lacking), "")

    def _result(self, name: str, observed: Observed) -> np.ndarray:
        names = [parameter.name for parameter in self.signature.parameters]
        return observed.arguments[names.index(name)]


def told_ending(ending: Ending) -> str:
    """What a student reads of a process that ended while it launched a kernel of theirs."""
    kind = _KINDS_OF_ENDINGS.get(ending.reason)
    return f"{kind}: {ending.teacher} {ADVICE[kind][0]}" if kind else ending.student


_KINDS_OF_ENDINGS = {"time": "never-ends", "processor time": "never-ends", "signal": "crash", "exit": "crash"}


def _sizes(signature: Signature, launch: Launch) -> str:
    """The numbers that a kernel is given, by their names."""
    pairs = zip(signature.parameters, launch.arguments)
    return ", ".join(f"{parameter.name} = {value}" for parameter, value in pairs if isinstance(value, int | np.integer))


def _in_general(found: Found) -> tuple[str, str]:
    """A finding without lines, numbers and names, for students lay out and name things as they like."""
    return found.kind, re.sub(r"\w+(?:\[\d+\])+|\d+", "", found.what)


def _told(findings: list[Found], explain: bool) -> list[str]:
    """Where and what each is, and if it is to be explained, why its kind matters, once."""
    lines = []
    explained: set[str] = set()
    for found in findings[:MOST_TOLD]:
        who = f"block {found.block}, thread {found.thread} " if found.block is not None else ""
        lines.append(f"{found.kind}, line {found.line}: {who}{found.what}")
        if explain and found.kind not in explained:
            explained.add(found.kind)
            lines.append(f"  why it matters: {ADVICE[found.kind][0]}")
    if len(findings) > MOST_TOLD:
        lines.append(f"and {len(findings) - MOST_TOLD} more")
    return lines
