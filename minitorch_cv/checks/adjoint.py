r"""The adjoint test: a backward of a linear map is its transpose, $\langle A x, v\rangle = \langle x, A^T v\rangle$.

It needs no step size, so that it holds to rounding, where differences hold to seven figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .numeric import random_upstream
from .report import CheckError, InputReport, Report

RELATIVE_TOLERANCE = 1e-10
EVERY_ENTRY_LIMIT = 2000
"""Inputs of at most this many entries are compared entry by entry, with one forward for each."""


def adjoint_check(
    forward: Callable[[np.ndarray], np.ndarray],
    backward: Callable[[np.ndarray], np.ndarray],
    shape: tuple[int, ...],
    *,
    seed: int = 0,
    rtol: float = RELATIVE_TOLERANCE,
) -> Report:
    r"""Check that `backward` is the transpose of the linear map `forward`, as col2im is that of im2col.

    Forward: $y = A x$. Backward under test: $x' = A^T v$ for a random v; entry i is compared with
    $\langle A e_i, v\rangle$, and for large inputs $\langle x, x'\rangle$ with $\langle A x, v\rangle$ for a random x.
    forward is checked to be linear first.

    forward: an array of `shape` to an array; backward: an array of forward's output's shape to one of `shape`.
    seed: of the random arrays; rtol: largest error relative to the sizes of what is summed.
    Returns: a `Report`, true when right; a wrong transpose never raises.
    Raises: CheckError where forward does not return an array of finite numbers.
    """
    rng = np.random.default_rng(seed)
    x, other = rng.standard_normal(shape), rng.standard_normal(shape)
    y = _output(forward, x)
    # With the signs of A x the terms of <A x, v> do not cancel, so that no error hides in a small sum.
    v = np.abs(random_upstream(y.shape, rng)) * np.where(y < 0, -1.0, 1.0)
    report = Report("adjoint test: <A x, v> = <x, A^T v>")
    # The coefficients are no powers of two, whose products are exact and would let a rounding to integers pass.
    combined = _output(forward, 0.7 * x - 1.3 * other)
    apart = np.abs(combined - (0.7 * y - 1.3 * _output(forward, other))).max(initial=0.0)
    if not apart <= rtol * max(1.0, float(np.abs(y).max(initial=0.0))):
        report.problems.append(
            f"forward is not linear: A(0.7 x - 1.3 z) and 0.7 A x - 1.3 A z differ by {apart:.1e}; the adjoint test is "
            "for linear maps, check_gradient for any"
        )
        return report
    report.inputs.append(_compare(forward, backward(v.copy()), x, v, rtol))
    return report


def _output(forward: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    y = np.asarray(forward(x.copy()))
    if y.dtype.kind != "f" or not np.isfinite(y).all():
        raise CheckError(f"adjoint_check: forward expects to return an array of finite floats; it returns {y!r}")
    return y


def _compare(forward: Callable, given: Any, x: np.ndarray, v: np.ndarray, rtol: float) -> InputReport:
    given = np.asarray(given)
    report = InputReport("x", x.shape, ok=True, given=given)
    if given.shape != x.shape:
        report.ok, report.problem = False, f"backward returns shape {given.shape}; {x.shape} is expected"
        return report
    if x.size <= EVERY_ENTRY_LIMIT:
        report.expected, size = np.zeros(x.shape), np.zeros(x.shape)
        for index in np.ndindex(*x.shape):
            unit = np.zeros(x.shape)
            unit[index] = 1
            terms = v * _output(forward, unit)
            report.expected[index], size[index] = terms.sum(), np.abs(terms).sum()
        report.tolerance = rtol * (size + size.max(initial=0.0) * 1e-3)
        report.checked = x.size
        report.ok = not (~(np.abs(given - report.expected) <= report.tolerance)).any()
        return report
    error = adjoint_error(_output(forward, x), v, x, given)
    report.directions = 1
    if not error <= rtol:
        report.ok, report.problem = False, f"<A x, v> and <x, A^T v> differ by {error:.1e} of the sizes of their terms"
    return report


def adjoint_error(y: np.ndarray, v: np.ndarray, x: np.ndarray, transposed: np.ndarray) -> float:
    r"""$|\langle A x, v\rangle - \langle x, A^T v\rangle|$ relative to the terms; infinite where a shape is wrong."""
    if transposed.shape != x.shape or y.shape != v.shape:
        return float("inf")
    left, right = y * v, x * transposed
    size = float(np.abs(left).sum() + np.abs(right).sum())
    gap = abs(float(left.sum()) - float(right.sum()))
    return gap if size == 0 else gap / size
