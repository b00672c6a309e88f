"""Checks every operation of the package on all its cases: the command `minitorch-cv gradcheck` without a file."""

from __future__ import annotations

import difflib
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from .. import ops
from .._op import OPS
from .case import Case, Fault, collect
from .case_checks import CaseResult, check_case, check_error
from .planting import BROKEN, CAUGHT, NO_CHANGE, SURVIVED, Planting, plant_faults

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_SUGGESTIONS = 4
TABLE: dict[str, Any] = {"title_justify": "left", "box": None, "padding": (0, 2, 0, 0), "header_style": "bold"}


def run(
    names: Sequence[str] = (),
    faults: bool = False,
    mutate: bool = False,
    order: int = 2,
    jobs: int | None = None,
    out: Any = None,
) -> int:
    """Check operations by name, or all of them; print a table.

    faults: plant the faults instead; mutate: the mutations; order: of the derivatives; jobs: processes (default: one
    for each core where there is much to do); out: a text stream (default: standard output).
    Returns: 0 where all is right, 1 where something is wrong, 2 for a name that no operation bears.
    """
    out = out or sys.stdout
    chosen, unknown = select(names)
    if unknown:
        print(f"gradcheck: there is no operation {unknown[0]!r}; {_suggestion(unknown[0])}", file=sys.stderr)
        return 2
    start = time.perf_counter()
    code = 0
    if mutate:
        from .mutation import run_mutations

        code = max(code, run_mutations(names, jobs=jobs, out=out))
    if faults:
        code = max(code, _run_faults(chosen, bool(names), jobs, out, start))
    if not (faults or mutate):
        code = _run_checks(chosen, names, order, jobs, out, start)
    return code


# ---- what there is


def public_functions() -> list[str]:
    """The names of the functions in `minitorch_cv.ops`."""
    return sorted(
        name
        for name, value in vars(ops).items()
        if not name.startswith("_") and callable(value) and not inspect.isclass(value)
    )


def known_names() -> list[str]:
    """Public functions and operations, and the stems of the files in which they stand, such as pool2d."""
    functions = _functions()
    return sorted({*functions, *map(_home, functions)})


def _suggestion(name: str) -> str:
    """The known names that are nearest to an unknown one, inner operations last; all of them where none is near."""
    known, wanted = known_names(), name.lower()
    near = [other for other in known if other.startswith(wanted)] if len(wanted) > 2 else []
    near += difflib.get_close_matches(wanted, known, _SUGGESTIONS, 0.7)
    near += [other for other in known if wanted in other] if len(wanted) > 2 else []
    inner = set(OPS) - set(public_functions())
    near = sorted(dict.fromkeys(near), key=lambda other: other in inner)[:_SUGGESTIONS]
    if not near:
        return f"there are {', '.join(known)}"
    return f"did you mean {', '.join(near[:-1])} or {near[-1]}?" if len(near) > 1 else f"did you mean {near[0]}?"


def _functions() -> set[str]:
    return {*public_functions(), *OPS, *(case.function for case in collect()[0])}


def select(names: Iterable[str]) -> tuple[list[Case], list[str]]:
    """The cases that run what is named (all of them without a name), and the names that nothing bears."""
    names, cases = list(names), collect()[0]
    if not names:
        return cases, []
    unknown = [name for name in names if name not in known_names()]
    return [case for case in cases if case.function in names or _home(case.function) in names], unknown


def _home(function: str) -> str:
    """The stem of the file in which a function stands."""
    module = getattr(getattr(ops, function, None) or OPS.get(function), "__module__", "")
    return module.rpartition(".")[2].lstrip("_")


def gaps(reached: Iterable[str], names: Sequence[str] = ()) -> list[str]:
    """What no case reaches: operations, public functions, references, and errors that are promised but not tried.

    reached: the names of the functions and operations that the cases ran.
    """
    cases, errors, _ = collect()
    reached = {*reached, *(case.function for case in cases)}
    with_reference = {case.function for case in cases if case.reference is not None}
    with_error = {error.function for error in errors}
    wanted = sorted(name for name in _functions() if not names or name in names or _home(name) in names)
    found = []
    for name in wanted:
        function = getattr(ops, name, None) or OPS[name]
        if name not in reached:
            found.append(f"{name}: no case runs it")
        elif name in public_functions():
            if name not in {case.function for case in cases}:
                found.append(f"{name}: it has no case of its own")
            elif name not in with_reference:
                found.append(f"{name}: no case has a reference for its value")
        if "Raises" in (function.__doc__ or "") and name in public_functions() and name not in with_error:
            found.append(f"{name}: its docstring says Raises, and no error case tries it")
    return found


# ---- the checks


def _run_checks(chosen: list[Case], names: Sequence[str], order: int, jobs: int | None, out: Any, start: float) -> int:
    from rich.table import Table

    results = in_processes(_check_indexed, [(index, order) for index in _indices(chosen)], jobs, len(chosen) > 40)
    errors = [(e, check_error(e)) for e in collect()[1] if not names or e.function in {c.function for c in chosen}]
    table = Table(title="Gradients against differences: entries of first and second order", **TABLE)
    for column in ("function", "cases", "1st", "2nd", "kinks", "adjoint", "errors", "error", "s", ""):
        table.add_column(column, justify="left" if column in ("function", "") else "right", no_wrap=True)
    for function in dict.fromkeys(case.function for case in chosen):
        rows = [result for result in results if result.function == function]
        tried = [(e, f) for e, f in errors if e.function == function]
        wrong = any(not row.ok for row in rows) or any(f for _, f in tried)
        table.add_row(
            function,
            str(len(rows)),
            str(sum(row.entries for row in rows)),
            str(sum(row.second_entries for row in rows)) if order >= 2 else "-",
            str(sum(row.kinks for row in rows)),
            str(sum(row.adjoints for row in rows)),
            str(len(tried)),
            f"{max(row.max_error for row in rows):.0e}",
            f"{sum(row.seconds for row in rows):.1f}",
            "[red]WRONG" if wrong else "[green]right",
        )
    console = console_on(out)
    console.print(table)
    findings = [f"{result.function}, {result.title}: {f}" for result in results for f in result.findings]
    findings += [f"{error.function}: {f}" for error, found in errors for f in found]
    findings += gaps({name for result in results for name in result.operations}, names)
    for finding in findings:
        console.print(finding, style="red", markup=False, highlight=False, soft_wrap=True)
    first, second = sum(result.entries for result in results), sum(result.second_entries for result in results)
    bodies, kinks = sum(result.bodies for result in results), sum(result.kinks for result in results)
    console.print(
        f"{len({r.function for r in results})} functions, {len(results)} cases, "
        f"{first} entries of first order, {second} of second, {kinks} at kinks, {len(errors)} errors, "
        f"{bodies} runs of faster bodies, "
        f"{time.perf_counter() - start:.0f} s: " + (f"{len(findings)} findings" if findings else "all right"),
        highlight=False,
        soft_wrap=True,
    )
    return 1 if findings else 0


def _check_indexed(task: tuple[int, int]) -> CaseResult:
    index, order = task
    return check_case(collect()[0][index], order)


# ---- the faults


def plant_all(chosen: list[Case] | None = None, jobs: int | None = None) -> list[Planting]:
    """Plant every fault on the chosen cases (all of them where None)."""
    chosen = collect()[0] if chosen is None else chosen
    found = in_processes(_plant_indexed, _indices(chosen), jobs, len(chosen) > 40)
    return [planting for of_case in found for planting in of_case]


def _run_faults(chosen: list[Case], some: bool, jobs: int | None, out: Any, start: float) -> int:
    from rich.table import Table

    results = plant_all(chosen, jobs)
    table = Table(title="Faults planted in the operations", **TABLE)
    for column in ("operation", "generic", "its own", "caught", "change nothing", "survived"):
        table.add_column(column, justify="left" if column == "operation" else "right", no_wrap=True)
    for operation in sorted({result.operation for result in results}):
        rows = [result for result in results if result.operation == operation]
        survived = sum(row.outcome in (SURVIVED, BROKEN) for row in rows)
        table.add_row(
            operation,
            str(sum(not row.own for row in rows)),
            str(len({row.fault for row in rows if row.own})),
            str(sum(row.outcome == CAUGHT for row in rows)),
            str(sum(row.outcome == NO_CHANGE for row in rows)),
            f"[red]{survived}" if survived else "0",
        )
    console = console_on(out)
    console.print(table)
    at_home = _operations(result for result in results if result.own)  # the others' faults stand on cases not chosen
    findings = fault_findings(results, [f for f in collect()[2] if not some or f.operation in at_home])
    for finding in findings:
        console.print(finding, style="red", markup=False, highlight=False, soft_wrap=True)
    caught = sum(result.outcome == CAUGHT for result in results)
    applied = caught + sum(result.outcome in (SURVIVED, BROKEN) for result in results)
    console.print(
        f"{caught} of {applied} planted faults caught in {time.perf_counter() - start:.0f} s; "
        f"{sum(result.outcome == NO_CHANGE for result in results)} more change no number",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if findings or not applied else 0


def fault_findings(results: list[Planting], own_faults: Iterable[Fault]) -> list[str]:
    """The faults that survived, those that are themselves at fault, and an operation's own that no case shows."""
    findings = [
        f"{result.operation}, {result.case}: {result.fault} {result.outcome.lower()}: {result.detail}"
        for result in results
        if result.outcome in (SURVIVED, BROKEN)
    ]
    shown = {(r.operation, r.fault) for r in results if r.own and r.outcome != NO_CHANGE}
    findings += [
        f"{fault.operation}: no case shows its fault: {fault.title}"
        for fault in own_faults
        if (fault.operation, fault.title) not in shown
    ]
    generic = {r.operation for r in results if not r.own and r.outcome == CAUGHT}
    findings += [f"{name}: no case catches any generic fault in it" for name in sorted(_operations(results) - generic)]
    return findings


def _operations(results: Iterable[Planting]) -> set[str]:
    return {result.operation for result in results}


def _plant_indexed(index: int) -> list[Planting]:
    cases, _, own = collect()
    return plant_faults(cases[index], own)


# ---- in several processes


def in_processes(function: Callable, tasks: list, jobs: int | None, worthwhile: bool, chunk: int = 4) -> list:
    """`function` of each task, in order; in several processes where that is worthwhile, `chunk` tasks at a time."""
    if jobs is None:
        jobs = min(os.cpu_count() or 1, 8) if worthwhile else 1
    if jobs <= 1:
        return [function(task) for task in tasks]
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # the processes share the cores already
    try:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            return list(pool.map(function, tasks, chunksize=chunk))
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _indices(chosen: list[Case]) -> list[int]:
    wanted = {id(case) for case in chosen}
    return [i for i, case in enumerate(collect()[0]) if id(case) in wanted]


def console_on(out: Any) -> Any:
    """A console that prints on a text stream, wide enough for the tables where it is no terminal."""
    from rich.console import Console

    return Console(file=out, width=None if out.isatty() else 100)
