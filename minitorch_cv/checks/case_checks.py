"""Everything that is asked of an operation on one case; each finding is one sentence."""

from __future__ import annotations

import importlib
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from .._autograd import captured_arrays
from .._device import device_of, is_array, to_device, to_numpy
from .._op import OPS, suits
from .._tensor import Tensor
from ..kernels import manifest
from .adjoint import RELATIVE_TOLERANCE as ADJOINT_TOLERANCE
from .adjoint import adjoint_error
from .case import Case, ErrorCase, planted
from .case_run import CaseRun, portable_bodies
from .comparison import compare
from .conventions import column_major, strided
from .numeric import random_upstream

REFERENCE_TOLERANCE = 1e-10
"""Largest error of a value against its reference, and of a faster body in float64, relative to the largest entry."""
SINGLE_TOLERANCE = 1e-3
"""Largest error of float32 values and gradients relative to the largest entry: far from exact, but no other number."""
SINGLE_FLOOR = 64 * float(np.finfo(np.float32).eps)
"""What a faster body may be off in float32 where the portable one happens to be exact."""


@dataclass
class CaseResult:
    """What the checks of one case found. findings: what is wrong, a sentence each; operations: what ran."""

    function: str
    title: str
    findings: list[str] = field(default_factory=list)
    entries: int = 0
    second_entries: int = 0
    kinks: int = 0
    adjoints: int = 0
    bodies: int = 0
    max_error: float = 0.0
    seconds: float = 0.0
    reference: bool = False
    operations: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings


class Call(NamedTuple):
    """One run of an operation's body on arrays."""

    operation: str
    operands: tuple
    settings: dict[str, Any]


def check_case(case: Case, order: int = 2) -> CaseResult:
    """Run every check on a case, on the portable bodies; then compare the faster ones with them."""
    result = CaseResult(case.function, case.title, reference=case.reference is not None)
    start = time.perf_counter()
    with warnings.catch_warnings(), portable_bodies():
        warnings.simplefilter("ignore", RuntimeWarning)  # a NaN is found by its value
        try:
            _check(case, result, order)
        except Exception as failure:
            result.findings.append(f"raises {type(failure).__name__}: {failure}")
    result.seconds = time.perf_counter() - start
    return result


def _check(case: Case, result: CaseResult, order: int) -> None:
    run = CaseRun(case)
    result.findings += check_value(run)
    result.findings += check_plain_arrays(run)
    if not run.differentiable:
        result.operations = [case.function] if case.function in OPS else []
        return
    result.operations = run.operations
    result.findings += check_purity(run)
    calls, broken = watched(run)
    result.findings += broken
    check_first_order(run, result)
    result.findings += check_layouts(run)
    result.findings += check_single_precision(run)
    for call in calls:
        result.adjoints += len(OPS[call.operation].linear_in)
        result.findings += check_adjoint(call)
        for laid_out in _layouts(call):
            for entry in _taken_bodies(laid_out):
                result.bodies += 1
                result.findings += check_faster_body(laid_out, entry)
    if order >= 2 and case.second_order:
        check_second_order(run, result)


# ---- the value


def check_value(run: CaseRun) -> list[str]:
    """The value is that of the reference: same shape, 1e-10 of the largest entry."""
    if run.case.reference is None:
        return []
    expected = run.case.reference(**run.inputs, **run.case.settings)
    return _differences("the value", run.call(_leaf_tensors(run)), expected)


def _differences(what: str, given: Any, expected: Any) -> list[str]:
    if isinstance(expected, tuple):
        if not isinstance(given, tuple) or len(given) != len(expected):
            return [f"{what}: {len(expected)} are expected; {type(given).__name__} came"]
        return [f for i, (g, e) in enumerate(zip(given, expected)) for f in _differences(f"{what} {i}", g, e)]
    given, expected = _array(given[0] if isinstance(given, tuple) else given), np.asarray(expected)
    if given.shape != expected.shape:
        return [f"{what} has shape {given.shape}; the reference gives {expected.shape}"]
    error = relative_error(given, expected)
    return [] if error <= REFERENCE_TOLERANCE else [f"{what} differs from the reference by {error:.1e}"]


def check_plain_arrays(run: CaseRun) -> list[str]:
    """Called on arrays it gives the same bits, as arrays."""
    result = run.call(run.leaves)
    result = result[0] if isinstance(result, tuple) else result
    if isinstance(result, Tensor):
        return ["called on arrays it returns a Tensor"]
    same = np.array_equal(np.asarray(result), run.y, equal_nan=run.y.dtype.kind == "f")
    return [] if same else ["called on arrays it gives another value than on Tensors"]


def check_purity(run: CaseRun) -> list[str]:
    """The same inputs give the same bits, and neither they nor the upstream gradient are changed."""
    before = {label: array.copy() for label, array in run.leaves.items()}
    dy = run.upstream.copy()
    first, second = run.gradients(), run.gradients()
    findings = [
        f"the input {label} is changed in place"
        for label, array in run.leaves.items()
        if not np.array_equal(array, before[label])
    ]
    if not np.array_equal(dy, run.upstream):
        findings.append("the upstream gradient is changed in place")
    if not np.array_equal(run.value(), run.y):
        findings.append("the same inputs give another value")
    findings += [
        f"the same inputs give another d{label}" for label in run.wrt if not _same(first[label], second[label])
    ]
    return findings


def check_layouts(run: CaseRun) -> list[str]:
    """Strided views and column-major copies give the same value and gradients, to rounding."""
    findings, right = [], run.gradients()
    for layout, change in (("strided views", strided), ("column-major", column_major)):
        leaves = {label: change(array) for label, array in run.leaves.items()}
        if not relative_error(run.value(leaves), run.y) <= REFERENCE_TOLERANCE:
            findings.append(f"inputs as {layout} give another value")
        moved = run.gradients(leaves, change(run.upstream))
        findings += [
            f"inputs as {layout} give another d{label}"
            for label in run.wrt
            if not relative_error(moved[label], right[label]) <= REFERENCE_TOLERANCE
        ]
    return findings


def check_single_precision(run: CaseRun) -> list[str]:
    """float32 in gives float32 out, value and gradients, near those of float64."""
    if "dtype" in run.case.settings:
        return []  # the case says which dtype is to come out
    leaves = {label: array.astype(np.float32) for label, array in run.leaves.items()}
    y, _ = run.recorded(leaves)
    gradients = run.gradients(leaves)
    right = run.gradients({label: array.astype(np.float64) for label, array in leaves.items()})
    findings = []
    for what, given, expected in [("the value", y.data, run.y), *((f"d{n}", gradients[n], right[n]) for n in run.wrt)]:
        if given.dtype != np.float32:
            findings.append(f"float32 inputs give {what} in {given.dtype}")
        elif not relative_error(given, expected) <= SINGLE_TOLERANCE:
            findings.append(f"in float32 {what} differs by {relative_error(given, expected):.1e}")
    return findings


# ---- the gradients


def check_first_order(run: CaseRun, result: CaseResult) -> None:
    """Each gradient against differences, entry by entry."""
    given = run.gradients()
    for label in run.wrt:
        _judge(f"d{label}", label, given[label], run.numeric(label), result)


def check_second_order(run: CaseRun, result: CaseResult) -> None:
    """The replayed first-order gradients are those of the recorded ones; their derivatives against differences."""
    recorded = run.gradients()
    replayed, second = run.second_order()
    result.findings += [
        f"replayed, d{label} differs by {relative_error(replayed[label], recorded[label]):.1e}"
        for label in run.wrt
        if not relative_error(replayed[label], recorded[label]) <= REFERENCE_TOLERANCE
    ]
    for label, given in second.items():
        _judge(f"second order, {label}", label, given, run.second_numeric(label), result, second=True)


def _judge(what: str, label: str, given: np.ndarray, numeric: Any, result: CaseResult, second: bool = False) -> None:
    report = compare(label, numeric, given)
    result.kinks += report.skipped
    if second:
        result.second_entries += report.checked
    else:
        result.entries += report.checked
    if not math.isnan(report.max_error):
        result.max_error = max(result.max_error, report.max_error)
    if not report.ok:
        detail = report.problem
        if not detail and report.worst is not None and report.expected is not None:
            at = report.worst
            detail = f"at {at} expected {report.expected[at]:.8g}, given {given[at]:.8g}"
        result.findings.append(f"{what}: {detail}")


# ---- the contract of a body


@contextmanager
def intercepted(names: list[str], wrap: Callable[[str, Callable], Callable]) -> Iterator[None]:
    """Within it each named operation runs `wrap(name, body)`."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(planted(name, wrap(name, OPS[name].body)))
        yield


def watched(run: CaseRun) -> tuple[list[Call], list[str]]:
    """Run the case; the calls of its operations, and what in their gradients breaks the contract.

    A gradient has its operand's shape and dtype, and is a fresh array or (a view of) dy: never the memory of an operand
    or of a saved array, which another gradient or the user may change.
    """
    calls: list[Call] = []
    findings: list[str] = []

    def wrap(name: str, body: Callable) -> Callable:
        def watching(*operands: Any, **settings: Any) -> Any:
            value, backward = body(*operands, **settings)
            if not any(isinstance(operand, Tensor) for operand in operands):
                calls.append(Call(name, operands, settings))
            return value, lambda dy: _inspected(name, operands, backward, dy, findings)

        return watching

    with intercepted(run.operations, wrap):
        run.gradients()
    return calls, list(dict.fromkeys(findings))


def _inspected(name: str, operands: tuple, backward: Callable, dy: Any, findings: list[str]) -> tuple:
    before = dy.copy() if isinstance(dy, np.ndarray) else None
    gradients = called_out(backward(dy), operands)
    if any(gradient is not None for gradient in gradients[len(operands) :]):
        findings.append(f"{name}: {len(gradients)} gradients for {len(operands)} operands")
    saved = [*[o for o in operands if isinstance(o, np.ndarray)], *captured_arrays(backward)]
    for position, (operand, gradient) in enumerate(zip(operands, gradients)):
        if not isinstance(gradient, np.ndarray) or not isinstance(operand, np.ndarray):
            continue
        what = f"{name}: the gradient of {_operand_name(name, position)}"
        if gradient.shape != operand.shape:
            findings.append(f"{what} has shape {gradient.shape}; the operand has {operand.shape}")
        if gradient.dtype != operand.dtype:
            findings.append(f"{what} is {gradient.dtype}; the operand is {operand.dtype}")
        if not np.shares_memory(gradient, dy) and any(np.shares_memory(gradient, array) for array in saved):
            findings.append(f"{what} is the memory of an operand or of a saved array")
    if before is not None and not np.array_equal(before, dy, equal_nan=True):
        findings.append(f"{name}: its backward changes dy in place")
    return gradients


def called_out(gradients: Any, operands: tuple) -> tuple:
    """What a backward returned as a tuple of gradients; those that wait to be wanted are computed, save for numbers."""
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    paired = zip_longest(gradients, operands[: len(gradients)])
    return tuple((g() if hasattr(operand, "shape") else None) if callable(g) else g for g, operand in paired)


def _operand_name(name: str, position: int) -> str:
    parameters = OPS[name].parameters
    return parameters[position] if position < len(parameters) else f"{parameters[-1]}[{position}]"


def check_adjoint(call: Call) -> list[str]:
    """The adjoint test in each operand in which the operation is linear, at random values of that operand."""
    operation, findings = OPS[call.operation], []
    rng = np.random.default_rng(len(call.operation))
    for name in operation.linear_in:
        position = operation.parameters.index(name)
        if position >= len(call.operands) or not isinstance(call.operands[position], np.ndarray):
            continue
        x = rng.standard_normal(call.operands[position].shape)
        y, backward = operation.body(*_with(call.operands, position, x), **call.settings)
        # What a bias adds.
        constant, _ = operation.body(*_with(call.operands, position, np.zeros_like(x)), **call.settings)
        image = np.asarray(_first(y)) - _first(constant)
        v = random_upstream(image.shape, rng)
        errors = []
        for dy in (v, np.abs(v) * np.where(image < 0, -1.0, 1.0)):  # the terms of the second do not cancel
            gradient = called_out(backward(dy), call.operands)[position]
            errors.append(adjoint_error(image, dy, x, np.asarray(gradient)))
        if not all(error <= ADJOINT_TOLERANCE for error in errors):
            findings.append(
                f"{call.operation}: not the transpose in {name}: <A x, v> and <x, A^T v> differ by {max(errors):.1e}"
            )
    return findings


# ---- faster bodies


def _layouts(call: Call) -> list[Call]:
    """The call, and where it has images, the call on them with their channels last in memory."""
    moved = tuple(
        np.ascontiguousarray(o.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        if isinstance(o, np.ndarray) and o.ndim == 4
        else o
        for o in call.operands
    )
    same = all(a is b for a, b in zip(moved, call.operands, strict=True))
    return [call] if same else [call, call._replace(operands=moved)]


def check_device_bodies(case: Case, device: str) -> CaseResult:
    """The bodies on a device, cuda or cuda-sim, against the portable ones on the CPU; `bodies` is how many ran."""
    result = CaseResult(case.function, case.title)
    with warnings.catch_warnings(), portable_bodies():
        warnings.simplefilter("ignore", RuntimeWarning)  # a NaN is found by its value
        run = CaseRun(case)
        if not run.differentiable:
            return result
        result.operations = run.operations
        for call in watched(run)[0]:
            for laid_out in _layouts(call):
                single = laid_out._replace(operands=tuple(_cast(o, np.dtype(np.float32)) for o in laid_out.operands))
                for entry in _taken_bodies(_on_device(single, device), device):
                    result.bodies += 1
                    result.findings += check_faster_body(single, entry)
    return result


def _on_device(call: Call, device: str) -> Call:
    """The call with its arrays moved."""
    return call._replace(operands=tuple(to_device(o, device) if is_array(o) else o for o in call.operands))


def _taken_bodies(call: Call, device: str = "cpu") -> list[manifest.Body]:
    """The faster bodies on a device for this call's arguments."""
    entries = [e for e in manifest.BODIES if e.operation == call.operation and e.device == device]
    if device != "cpu":  # a body has fewer dtypes there
        entries = [e for e in entries if suits(e, call.operands)]
    taken = []
    for entry in entries:
        accepts = getattr(_load(entry), "accepts", None)
        if accepts is None or accepts(*call.operands, **call.settings):
            taken.append(entry)
    return taken


def _load(entry: manifest.Body) -> Callable:
    return getattr(importlib.import_module(entry.module), entry.function)


def check_faster_body(call: Call, entry: manifest.Body) -> list[str]:
    """A faster body against the portable one in float64: value and gradients, in each of its dtypes."""
    portable, findings = OPS[call.operation].body, []
    for dtype in entry.dtypes:
        # The right results for exactly the numbers that the faster body gets.
        operands = [_cast(o, np.dtype(dtype)) for o in call.operands]
        right = _evaluate(portable, [_cast(o, np.dtype(np.float64)) for o in operands], call.settings)
        moved = [to_device(o, entry.device) if is_array(o) else o for o in operands]
        given = _evaluate(_load(entry), moved, call.settings)
        lost = [g for g in given if g is not None and device_of(g) != entry.device]
        if lost:
            findings.append(f"{entry.module}.{entry.function}: {len(lost)} results are not on {entry.device}")
        given = [None if g is None else to_numpy(g) for g in given]
        plain = _evaluate(portable, operands, call.settings)
        for i, (g, r, p) in enumerate(zip(given, right, plain, strict=True)):
            if r is None or g is None:
                if (r is None) != (g is None):
                    findings.append(f"{entry.module}.{entry.function} in {dtype}: gradient {i - 1} is missing")
                continue
            bound = REFERENCE_TOLERANCE
            if dtype != "float64":
                bound = entry.error_bound or 2 * relative_error(p, r) + SINGLE_FLOOR
            error = relative_error(g, r)
            if g.dtype != p.dtype or not error <= bound:
                what = "value" if i == 0 else f"gradient {i - 1}"
                findings.append(
                    f"{entry.module}.{entry.function} in {dtype}: {what} is {g.dtype} and off by {error:.1e}; "
                    f"{p.dtype} and at most {bound:.1e} are expected"
                )
    return findings


def _evaluate(body: Callable, operands: list, settings: dict[str, Any]) -> list:
    value, backward = body(*operands, **settings)
    y = _first(value)
    y = y if is_array(y) else np.asarray(y)
    dy = random_upstream(y.shape, np.random.default_rng(y.size)).astype(y.dtype)
    dy = to_device(dy, device_of(y))
    gradients = called_out(backward(dy), tuple(operands))
    return [y, *[g if i < len(operands) and _is_floating(operands[i]) else None for i, g in enumerate(gradients)]]


# ---- errors


def check_error(case: ErrorCase) -> list[str]:
    """A wrong call raises the expected error with the whole expected message."""
    try:
        case.call()
    except case.error as error:
        message = error.args[0] if error.args else ""
        return [] if message == case.message else [f'the message is "{message}"; expected is "{case.message}"']
    except Exception as error:
        return [f"{type(error).__name__} ({error}) is raised; {case.error.__name__} is expected: {case.message}"]
    return [f"no error is raised; {case.error.__name__} is expected: {case.message}"]


# ---- arrays


def relative_error(given: Any, expected: Any) -> float:
    """Largest difference relative to the largest expected entry (absolute where that is 0); NaN where one has NaN."""
    given, expected = np.asarray(given, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if given.shape != expected.shape:
        return math.inf
    if not expected.size:
        return 0.0
    finite = np.isfinite(expected)
    same = (given == expected) | (np.isnan(given) & np.isnan(expected))
    if not same[~finite].all():
        return math.nan
    largest = float(np.abs(expected[finite]).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        error = float(np.abs(given[finite] - expected[finite]).max(initial=0.0))
    return error / largest if largest else error


def _leaf_tensors(run: CaseRun) -> dict[str, Tensor]:
    return {label: Tensor(array) for label, array in run.leaves.items()}


def _array(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


def _with(operands: tuple, position: int, value: Any) -> tuple:
    return (*operands[:position], value, *operands[position + 1 :])


def _is_floating(value: Any) -> bool:
    return is_array(value) and value.dtype.kind == "f"


def _cast(value: Any, dtype: np.dtype) -> Any:
    return value.astype(dtype) if _is_floating(value) else value
