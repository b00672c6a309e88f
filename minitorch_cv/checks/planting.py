"""Faults planted in the operations: each must be caught by the checks of the cases that run it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._op import OPS
from .case import Case, Fault, collect, planted
from .case_checks import REFERENCE_TOLERANCE, called_out, check_value, relative_error
from .case_run import CaseRun, portable_bodies
from .comparison import compare
from .faults import GENERIC, ArrayFault

CAUGHT, SURVIVED, NO_CHANGE, BROKEN = "caught", "SURVIVED", "changes nothing", "BROKEN"

# What a fault may raise and still be a fault that a check catches; anything else is a mistake in the fault itself.
_RAISED_BY_A_CHECK = (RuntimeError, ValueError, IndexError, ArithmeticError)


def one_entry_a_thousandth_off(gradient: np.ndarray) -> np.ndarray | None:
    """One entry times 1.001, that of median size among those that are not zero."""
    flat = np.ravel(gradient).copy()
    present = np.flatnonzero(flat)
    if not present.size:
        return None
    flat[present[np.argsort(np.abs(flat[present]), kind="stable")[present.size // 2]]] *= flat.dtype.type(1.001)
    return flat.reshape(gradient.shape)


FAULTS_OF_ANY_GRADIENT: dict[str, ArrayFault] = {**GENERIC, "one entry x1.001": one_entry_a_thousandth_off}


@dataclass
class Planting:
    """What became of one fault in one operation on one case."""

    operation: str
    fault: str
    case: str
    outcome: str
    detail: str = ""
    own: bool = False


def plant_faults(case: Case, own_faults: list[Fault]) -> list[Planting]:
    """Plant every fault in every operation of a case: the generic ones in each gradient, then the operations' own."""
    with warnings.catch_warnings(), portable_bodies(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        run = CaseRun(case)
        if not run.differentiable:
            return []
        right = run.gradients()
        for label in run.wrt:
            run.numeric(label)  # before a fault is planted, which may be one of the value
        found = [
            _outcome(run, right, name, title, body, own=False)
            for name in run.operations
            for title, body in _generic_faults(run, name)
        ]
        for fault in own_faults:
            if fault.operation in run.operations and _is_home(case, fault.operation):
                body = fault.faulty(OPS[fault.operation].body)
                found.append(_outcome(run, right, fault.operation, fault.title, body, own=True))
        return found


def _is_home(case: Case, operation: str) -> bool:
    """Whether an operation's own faults belong on a case: one of its own, or any where it has none."""
    return case.function == operation or all(other.function != operation for other in collect()[0])


def _generic_faults(run: CaseRun, name: str) -> Iterator[tuple[str, Callable]]:
    body = OPS[name].body
    for position in range(_gradient_count(run, name)):
        for title, fault in FAULTS_OF_ANY_GRADIENT.items():
            yield f"gradient {position}: {title}", _with_faulty_gradient(body, position, fault)


def _gradient_count(run: CaseRun, name: str) -> int:
    """How many gradients an operation's backward returns on this case."""
    counts = [0]

    def counting(*operands: Any, **settings: Any) -> Any:
        value, backward = body(*operands, **settings)

        def count(dy: Any) -> Any:
            gradients = backward(dy)
            counts.append(len(gradients) if isinstance(gradients, tuple) else 1)
            return gradients

        return value, count

    body = OPS[name].body
    with planted(name, counting):
        run.gradients()
    return max(counts)


def _with_faulty_gradient(body: Callable, position: int, fault: ArrayFault) -> Callable:
    @functools.wraps(body)
    def wrong(*operands: Any, **settings: Any) -> Any:
        value, backward = body(*operands, **settings)

        def wrong_backward(dy: Any) -> tuple:
            gradients = list(called_out(backward(dy), operands))
            if position < len(gradients) and isinstance(gradients[position], np.ndarray):
                changed = fault(gradients[position])
                if changed is not None:
                    gradients[position] = changed
            return tuple(gradients)

        return value, wrong_backward

    return wrong


def _outcome(run: CaseRun, right: dict, name: str, title: str, body: Callable, own: bool) -> Planting:
    result = Planting(name, title, str(run.case), NO_CHANGE, own=own)
    try:
        with planted(name, body):
            given = run.gradients()
            result.outcome, result.detail = judge(run, right, given)
        if result.outcome == NO_CHANGE and own and run.case.second_order:
            for label in (*run.wrt, "dy"):
                run.second_numeric(label)
            with planted(name, body):
                result.outcome, result.detail = judge_second_order(run, right)
    except _RAISED_BY_A_CHECK as error:
        result.outcome, result.detail = CAUGHT, f"{type(error).__name__}: {error}"
    except Exception as error:
        result.outcome, result.detail = BROKEN, f"{type(error).__name__}: {error}"
    return result


def judge(run: CaseRun, right: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> tuple[str, str]:
    """Whether the checks of first order tell these gradients, and the value, from right ones."""
    outcome, detail = judge_gradients(run, right, given)
    if outcome != CAUGHT and (wrong_value := check_value(run)):
        return CAUGHT, wrong_value[0]
    return outcome, detail


def judge_gradients(run: CaseRun, right: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> tuple[str, str]:
    """Whether differences tell these gradients from right ones; `run` has measured them on the right body."""
    for label in run.wrt:
        if not compare(label, run.numeric(label), given[label]).ok:
            return CAUGHT, f"d{label}"
    changed = []
    for label in run.wrt:
        smooth = run.numeric(label).smooth  # at a kink another subgradient is not wrong
        if not relative_error(given[label][smooth], right[label][smooth]) <= 1e-14:
            changed.append(label)
    return (SURVIVED, f"d{changed[0]} is wrong, and passes") if changed else (NO_CHANGE, "")


def judge_second_order(run: CaseRun, right: dict[str, np.ndarray]) -> tuple[str, str]:
    """Whether the checks of second order tell the body, as it is planted, from a right one.

    Differences are taken of the recorded gradients, which must be right: `judge` has found no change in them.
    """
    replayed, second = run.second_order()
    for label in run.wrt:
        if not relative_error(replayed[label], right[label]) <= REFERENCE_TOLERANCE:
            return CAUGHT, f"d{label}, replayed"
    for label, given in second.items():
        if not compare(label, run.second_numeric(label), given).ok:
            return CAUGHT, f"second order, {label}"
    return NO_CHANGE, ""
