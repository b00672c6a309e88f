"""Judges a given gradient against the numeric one, entry by entry, tightly and with no way for NaN to pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minitorch_cv.checks.numeric import NumericGradient, directional_derivative, numeric_gradient, step_errors
from minitorch_cv.checks.report import InputReport

RELATIVE_TOLERANCE = 1e-5
"""Largest relative error of a right gradient, beyond the numeric derivative's own uncertainty."""
COMPARED_SHARE = 0.5
"""Share of the tried entries that has to be comparable; below it the check fails rather than passes on nothing."""
LOCALISED_GROUPS = 3
"""In how many of the wrong random directions the wrong entry is searched for."""


def check_input(
    name: str,
    f: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    given: Any,
    upstream: np.ndarray,
    *,
    rng: np.random.Generator | None = None,
    rtol: float = RELATIVE_TOLERANCE,
    base: np.ndarray | None = None,
    numeric: NumericGradient | None = None,
    curve: bool = True,
) -> InputReport:
    r"""Compare a given gradient of $\langle f(x), v\rangle$ in x with differences of f.

    f: a function of one array with everything else held; given: the gradient to judge, of x's shape; upstream: v;
    base: f(x) if known; numeric: the numeric gradient if known; curve: measure the V-curve of the worst entry as well.
    """
    x = np.asarray(x, dtype=np.float64)
    if numeric is None:
        numeric = numeric_gradient(f, x, upstream, rng=rng, base=base)
    report = compare(name, numeric, given, rtol=rtol)
    if report.given is None or report.given.shape != x.shape:
        return report
    if np.isfinite(report.given).all():
        _judge_directions(report, numeric, f, x, upstream, rtol)
    if curve:
        _measure_curve(report, f, x, upstream)
    return report


def compare(name: str, numeric: NumericGradient, given: Any, *, rtol: float = RELATIVE_TOLERANCE) -> InputReport:
    """Judge a given gradient by what was measured; random directions are left to `check_input`."""
    shape = numeric.value.shape
    tried = int((numeric.status != "").sum())
    report = InputReport(name, shape, ok=True, expected=numeric.value.copy(), skipped=int(numeric.skipped.sum()))
    array, problem = _as_gradient(given, shape)
    if problem:
        report.ok, report.problem, report.given = False, problem, array
        return report
    assert array is not None
    report.given = array
    smooth = numeric.smooth
    report.checked = int(smooth.sum())
    largest = float(np.abs(numeric.value[smooth]).max()) if smooth.any() else 0.0
    rounding = 4 * float(np.finfo(array.dtype).eps) * largest
    tolerance = rtol * np.abs(numeric.value) + numeric.uncertainty + rounding
    report.given = array = array.astype(np.float64)
    report.tolerance = tolerance
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(array - numeric.value) <= tolerance) & smooth
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        count = int((~np.isfinite(array)).sum())
        report.problem = f"{count} of {array.size} entries of the gradient are NaN or infinite, the first at {index}"
    elif wrong.any():
        report.ok = False
    report.ok = report.ok and not report.problem
    _judge_kinks(report, numeric)
    if report.ok and tried and report.checked < COMPARED_SHARE * tried:
        report.ok = False
        report.problem = (
            f"only {report.checked} of {tried} entries could be compared: the function has kinks, jumps or noise at "
            "the others; choose inputs away from them"
        )
    if report.ok and largest == 0 and not array.any() and not numeric.directions:
        report.notes.append("the output does not depend on it at these inputs: a gradient of zero proves little")
    return report


def _as_gradient(given: Any, shape: tuple[int, ...]) -> tuple[np.ndarray | None, str]:
    """The given gradient as an array of floats, or why it is none."""
    if given is None:
        return None, "no gradient was given (None)"
    try:
        array = np.asarray(given)
    except ValueError:
        return None, "the gradient is not an array"
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        return None, f"the gradient has dtype {array.dtype}; a real floating-point array is expected"
    if array.shape != shape:
        return array, f"the gradient has shape {array.shape}; {shape} is expected"
    return array, ""


def _judge_kinks(report: InputReport, numeric: NumericGradient) -> None:
    """At a kink a gradient must be a subgradient; over tied entries its sum must be the derivative along the sum."""
    given = report.given
    assert given is not None
    kinks = numeric.status == "kink"
    with np.errstate(invalid="ignore"):
        outside = kinks & ~((given >= numeric.lower) & (given <= numeric.upper))
    if outside.any():
        index = tuple(int(i) for i in np.argwhere(outside)[0])
        low, high = numeric.lower[index], numeric.upper[index]
        report.ok = False
        report.problem = report.problem or (
            f"at the kink {index} the one-sided derivatives allow {low:.6g} to {high:.6g}; given is {given[index]:.6g}"
        )
    for members, slope in numeric.ties:
        total = float(given.reshape(-1)[members].sum())
        if not abs(total - slope.value) <= 1e-5 * abs(slope.value) + slope.uncertainty:
            index = tuple(int(i) for i in np.unravel_index(int(members[0]), given.shape))
            report.ok = False
            report.problem = report.problem or (
                f"the {members.size} tied entries around {index} together get {total:.6g}; expected is "
                f"{slope.value:.6g}"
            )
            return


def _judge_directions(report: InputReport, numeric: NumericGradient, f, x, upstream, rtol: float) -> None:
    """Compare along the random directions, and find the worst entry of those that disagree."""
    given = report.given
    assert given is not None and report.expected is not None
    flat = given.reshape(-1)
    wrong = []
    for members, signs, slope in numeric.directions:
        if slope.status != "smooth":
            report.skipped += members.size
            continue
        report.directions += 1
        if not abs(float(flat[members] @ signs) - slope.value) <= _direction_tolerance(flat, members, slope, rtol):
            wrong.append(members)
    if not wrong:
        return
    report.ok = False
    found = []
    for members in wrong[:LOCALISED_GROUPS]:
        found += _localise(members, flat, f, x, upstream)
    if found:
        exact = numeric_gradient(f, x, upstream, entries=np.array(found))
        known = exact.smooth
        assert report.tolerance is not None
        report.expected[known] = exact.value[known]
        report.tolerance[known] = rtol * np.abs(exact.value[known]) + exact.uncertainty[known]
        report.checked = int(np.isfinite(report.expected).sum())


def _direction_tolerance(flat: np.ndarray, members: np.ndarray, slope, rtol: float) -> float:
    return 1e-2 * rtol * float(np.linalg.norm(flat[members])) + 1e-2 * rtol * abs(slope.value) + slope.uncertainty


def _localise(members: np.ndarray, flat: np.ndarray, f, x: np.ndarray, upstream: np.ndarray) -> list[int]:
    """Halve a wrong group until single entries are left: the half that disagrees more is followed."""
    scale = float(np.sqrt(np.mean(x * x))) or 1.0
    while members.size > 1:
        halves = np.array_split(members, 2)
        gaps = []
        for half in halves:
            direction = np.zeros(x.size)
            direction[half] = scale
            slope = directional_derivative(f, x, direction, upstream)
            gaps.append(abs(scale * float(flat[half].sum()) - slope.value) if slope.status == "smooth" else -1.0)
        members = halves[int(np.argmax(gaps))]
    return [int(members[0])]


def _measure_curve(report: InputReport, f, x: np.ndarray, upstream: np.ndarray) -> None:
    """The V-curve of the worst entry of a wrong gradient, of the largest entry of a right one."""
    expected, given = report.expected, report.given
    if expected is None or given is None or not np.isfinite(expected).any():
        return
    index = report.worst
    if report.ok or index is None:
        index = tuple(int(i) for i in np.unravel_index(int(np.nanargmax(np.abs(expected))), expected.shape))
    if np.isfinite(given[index]):
        report.steps, report.step_errors = step_errors(f, x, index, upstream, float(given[index]))
