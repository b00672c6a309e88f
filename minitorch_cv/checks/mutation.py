"""Mutation: every backward is changed in its source, one small change at a time, and each change must be caught."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._op import OPS
from .case import collect, planted
from .case_checks import check_single_precision, watched
from .case_run import CaseRun, portable_bodies
from .equivalent_mutants import EQUIVALENT
from .mutants import Mutant, NoBackward, mutants
from .planting import CAUGHT, judge_gradients, judge_second_order

CASES_PER_OPERATION = 24
"""An operation that many cases run is judged by its own cases first, then by others up to this number in all."""


@dataclass
class MutationResult:
    """What became of one operation's mutants.

    raised: how many of those that were killed raised an exception; survivors: the changes that no check caught;
    problem: why nothing could be tried.
    """

    operation: str
    count: int = 0
    raised: int = 0
    survivors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""

    @property
    def killed(self) -> int:
        return self.count - len(self.survivors)

    @property
    def unjustified(self) -> list[str]:
        return [change for change in self.survivors if change not in EQUIVALENT.get(self.operation, {})]

    @property
    def stale(self) -> list[str]:
        """Justifications of mutants that do not survive, or that there are no more."""
        return [change for change in EQUIVALENT.get(self.operation, {}) if change not in self.survivors]


def mutate_operation(name: str) -> MutationResult:
    """Plant every mutant of an operation's backward and judge it by the cases that run the operation."""
    result, start = MutationResult(name), time.perf_counter()
    with warnings.catch_warnings(), portable_bodies(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        judges = [_Judge(run) for run in _runs_of(name)]
        try:
            for mutant in mutants(name, OPS[name].body):
                result.count += 1
                caught, raised = _verdict(mutant, judges)
                result.raised += raised
                if not caught:
                    result.survivors.append(mutant.change)
        except NoBackward as problem:
            result.problem = str(problem)
    if not judges:
        result.problem = f"{name}: no case runs it"
    result.seconds = time.perf_counter() - start
    return result


class _Judge:
    """The checks of one case: its right gradients, and the numeric ones, measured before anything is planted."""

    def __init__(self, run: CaseRun) -> None:
        self.run = run
        self.right = run.gradients()
        for label in run.wrt:
            run.numeric(label)

    def first_order(self, mutant: Mutant) -> bool:
        with planted(mutant.operation, mutant.body):
            return judge_gradients(self.run, self.right, self.run.gradients())[0] == CAUGHT

    def contract(self, mutant: Mutant) -> bool:
        with planted(mutant.operation, mutant.body):
            return bool(watched(self.run)[1] or check_single_precision(self.run))

    def second_order(self, mutant: Mutant) -> bool:
        if not self.run.case.second_order:
            return False
        for label in (*self.run.wrt, "dy"):
            self.run.second_numeric(label)
        with planted(mutant.operation, mutant.body):
            return judge_second_order(self.run, self.right)[0] == CAUGHT


def _runs_of(name: str) -> list[CaseRun]:
    """The cases that run an operation, its own first."""
    cases = sorted(collect()[0], key=lambda case: case.function != name)
    runs: list[CaseRun] = []
    for case in cases:
        if len(runs) == CASES_PER_OPERATION and case.function != name:
            break
        run = CaseRun(case)
        if name in run.operations:
            runs.append(run)
    return runs


def _verdict(mutant: Mutant, judges: list[_Judge]) -> tuple[bool, bool]:
    """Whether a check caught a mutant, and whether by an exception. The dearer checks only where others see nothing."""
    for check in (_Judge.first_order, _Judge.contract, _Judge.second_order):
        for judge in judges:
            try:
                if check(judge, mutant):
                    return True, False
            except Exception:  # whatever a change of the source may lead to: it is seen
                return True, True
    return False, False


def mutable_operations(names: Sequence[str] = ()) -> list[str]:
    """The operations to mutate: those named, or all."""
    from .suite import select

    if not names:
        return sorted(OPS)
    functions = {case.function for case in select(names)[0]}
    reached = {n for case in select(names)[0] for n in CaseRun(case).operations if case.function not in OPS}
    return sorted(name for name in OPS if name in functions | reached)


def run_mutations(names: Sequence[str] = (), jobs: int | None = None, out: Any = None) -> int:
    """Mutate every backward and print what became of it.

    Returns: 0 where each survivor is justified and no justification is stale, else 1.
    """
    from rich.table import Table

    from .suite import TABLE, console_on, in_processes

    start, operations = time.perf_counter(), mutable_operations(names)
    results = in_processes(mutate_operation, operations, jobs, len(operations) > 8, chunk=1)
    table = Table(title="Backwards with one change in their source", **TABLE)
    for column in ("operation", "mutants", "killed", "by an exception", "equivalent", "survived", "s"):
        table.add_column(column, justify="left" if column == "operation" else "right", no_wrap=True)
    for r in results:
        survived = len(r.unjustified)
        cells = [r.count, r.killed, r.raised, len(r.survivors) - survived]
        table.add_row(r.operation, *map(str, cells), f"[red]{survived}" if survived else "0", f"{r.seconds:.1f}")
    console = console_on(out or sys.stdout)
    console.print(table)
    for r in results:
        for change in r.survivors:
            why = EQUIVALENT.get(r.operation, {}).get(change)
            if why:
                _tell(console, f"{r.operation}: {change}: equivalent, {why}")
    findings = findings_of(results)
    for finding in findings:
        _tell(console, finding, style="red")
    total, killed = sum(r.count for r in results), sum(r.killed for r in results)
    justified = sum(len(r.survivors) - len(r.unjustified) for r in results)
    _tell(
        console,
        f"{killed} of {total} mutants killed, {justified} equivalent, {total - killed - justified} survived, "
        f"in {time.perf_counter() - start:.0f} s",
    )
    return 1 if findings or not total else 0


def findings_of(results: Sequence[MutationResult]) -> list[str]:
    """What is wrong: survivors without a justification, justifications without a survivor, backwards not found."""
    findings = [f"{r.operation}: survived: {change}" for r in results for change in r.unjustified]
    findings += [f"{r.operation}: justified, but no survivor: {change}" for r in results for change in r.stale]
    findings += [r.problem for r in results if r.problem]
    return findings


def _tell(console: Any, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
