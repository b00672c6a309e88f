"""What an exercise asks of the student's kernels: right results, and nothing for the simulator to find.

A case is one launch in three orders of threads. Its results are compared here, outside of the process that runs the
kernels. What the simulator finds and counts, that process says, and compiled code of the student's runs in it: whoever
had it do as they like could report no findings and few requests, and points for a race, a barrier or speed would be
theirs. What is expected they could not learn. `kernel_source` leaves the text no names for that, and nothing of it runs
before a launch, within which loads and stores are watched; a call through a calculated address is seen by nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minitorch_cv.course.answers import difference
from minitorch_cv.course.checks import Case, Check, Verdict
from minitorch_cv.course.runner.kernel_file import ORDERS
from minitorch_cv.course.sandbox import Ending
from minitorch_cv.course.student_kernels import Found, Observed, own_kernels
from minitorch_cv.kernels.signatures import Signature, read_signatures
from minitorch_cv.kernels.simulator import harness
from minitorch_cv.kernels.simulator.advice import ADVICE
from minitorch_cv.kernels.simulator.harness import Launch
from minitorch_cv.kernels.simulator.watched import MemoryCounts

MOST_TOLD = 3
"""Findings of a case that are told: the first mistake mostly brings the others."""
MOST_REQUESTS, LEAST_SHARED = 2.0, 1 / 8
"""Requests of global and of shared memory, as parts of those of the solution: one thread alone takes up to 32 times as
many of global memory."""


@dataclass(eq=False)
class Kernel(Check):
    """The kernel gives NumPy's results, nothing is found wrong, and it asks for memory as the solution does.

    `draw(rng)` yields launches, with `expected`.

    lacks: what a kernel that is right still lacks, by its requests of memory; empty where it lacks nothing.
    """

    function: str
    draw: Callable[[np.random.Generator], Iterable[Launch]]
    share: float = 1.0
    lacks: Callable[[Launch, MemoryCounts], str] = lambda launch, counts: ""

    def cases(self, reference: Any, rng: np.random.Generator) -> Iterator[Case]:
        signature = read_signatures(reference.kernel)[self.function]
        for launch in self.draw(rng):
            yield _KernelCase(_sizes(signature, launch), self, signature, launch, reference.kernel)


@dataclass
class _KernelCase:
    name: str
    check: Kernel
    signature: Signature
    launch: Launch
    solution: str

    @cached_property
    def _own_counts(self) -> MemoryCounts:
        """Those of the solution."""
        return own_kernels(f"{self.check.function}.cu", self.solution).launch(self.launch, ORDERS[0]).counts

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
        counts = [observed.counts for observed in answer.values()]
        lacking = (self.check.lacks(self.launch, c) or works_alike(c, self._own_counts) for c in counts)
        return next(filter(None, lacking), "")

    def _result(self, name: str, observed: Observed) -> np.ndarray:
        names = [parameter.name for parameter in self.signature.parameters]
        return observed.arguments[names.index(name)]


def works_alike(counts: MemoryCounts, own: MemoryCounts) -> str:
    """What a kernel's requests of memory say that it does otherwise than the solution, whose own are; or nothing."""
    requests, of_own = counts.global_loads + counts.global_stores, own.global_loads + own.global_stores
    if requests > MOST_REQUESTS * of_own:
        return (
            f"its warps request global memory {requests} times where {of_own} would do: all threads of a block are to "
            "take part, neighbours with neighbouring numbers at once"
        )
    if counts.shared_accesses < LEAST_SHARED * own.shared_accesses:
        return "it hardly uses shared memory, through which the threads of a block are to work together"
    if counts.shared_accesses and not own.shared_accesses:
        return "it uses shared memory, which this exercise does without"
    return ""


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
