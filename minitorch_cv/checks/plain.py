"""Checks a gradient derived by hand for plain NumPy functions: no Tensor, no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np

from minitorch_cv.checks.comparison import RELATIVE_TOLERANCE, check_input
from minitorch_cv.checks.conventions import (
    GradientPair,
    column_major,
    integers_text,
    is_float_array,
    strided,
)
from minitorch_cv.checks.location import describe_exception
from minitorch_cv.checks.numeric import NumericGradient, numeric_gradient, random_upstream
from minitorch_cv.checks.report import CheckError, InputReport, Report


def check_gradient(
    forward: Callable,
    backward: Callable,
    inputs: Any,
    *,
    names: Iterable[str] | None = None,
    wrt: Iterable[str] | None = None,
    seed: int = 0,
    rtol: float = RELATIVE_TOLERANCE,
    diagnose: bool = True,
) -> Report:
    r"""Check a backward function derived by hand against differences of its forward function.

    Forward: $y = f(x, w, \dots)$. Backward under test: $g_x = \sum_j v_j\, \partial y_j / \partial x$ for a random
    upstream gradient v; it is compared entry by entry with $\sum_j v_j\,(f_j(x + h e_i) - f_j(x - h e_i)) / 2h$, in
    float64, extrapolated in h. Entries whose kink lies within the step are counted and held to the subgradients.

    forward, backward: `forward(x, w, ...) -> y` with `backward(dy, x, w, ...) -> gradients`, or
    `forward(...) -> (out, cache)` with `backward(dout, cache)`; gradients as an array, a tuple in the inputs' order, or
    a dict (`dx` or `x`). inputs: tuple, list, or dict by argument name; each array of floats needs a gradient, or None
    in its place if it is not to be checked; a float beside arrays may have one; anything else is passed through.
    names: for inputs without any; wrt: only these are checked.
    seed: of the upstream gradient. rtol: largest relative error of an entry. diagnose: explain a wrong gradient.
    Returns: a `Report`, true when right; a wrong gradient never raises.

    >>> def forward(x, w):
    ...     return np.maximum(x @ w, 0)
    >>> def backward(dy, x, w):
    ...     dz = dy * (x @ w > 0)
    ...     return dz @ w.T, dz @ x.T  # the second should be x.T @ dz
    >>> rng = np.random.default_rng(0)
    >>> report = check_gradient(forward, backward, (rng.standard_normal((3, 3)), rng.standard_normal((3, 3))))
    >>> bool(report), report["x"].ok, report["w"].ok
    (False, True, False)

    Raises: CheckError where nothing can be checked: arguments that do not fit, an exception inside the functions (its
    line is named), a forward that returns NaN or draws random numbers.
    """
    rng = np.random.default_rng(seed)
    pair = GradientPair(forward, backward, inputs, list(names) if names is not None else None)
    _expect_floats(pair)
    y = _first_output(pair)
    upstream = random_upstream(y.shape, rng)
    _, gradients = pair.run(upstream, watch=True)
    if pair.without_upstream:
        upstream = np.ones_like(y)
    wanted = None if wrt is None else _wanted(pair, wrt)
    missing = _missing(pair, gradients, wanted)
    chosen = _chosen(pair, gradients, wanted, missing)
    report = Report(f"{pair.backward_name} against differences of {pair.forward_name}")
    report.problems += pair.changed
    _note_circumstances(report, pair, gradients, [*chosen, *missing], wanted)
    _add_missing(report, pair, missing)
    numerics: dict[str, NumericGradient] = {}
    for name in chosen:
        x = np.asarray(pair.arguments[name], dtype=np.float64)
        f = _in_one_input(pair, name)
        numerics[name] = numeric_gradient(f, x, upstream, rng=rng, base=y)
        entry = check_input(name, f, x, gradients[name], upstream, rng=rng, rtol=rtol, numeric=numerics[name])
        _locate_nan(entry, pair, upstream)
        report.inputs.append(entry)
    report.inputs.sort(key=lambda entry: [*pair.arguments].index(entry.name))
    given = {name: gradients[name] for name in chosen}
    if not _repeats(report, pair, upstream, given):
        return report
    _check_strides(report, pair, upstream, y, given)
    if diagnose and not all(entry.ok for entry in report.inputs):
        _diagnose(report, pair, y, upstream, numerics)
    return report


def _expect_floats(pair: GradientPair) -> None:
    if not any(is_float_array(value) or isinstance(value, float) for value in pair.arguments.values()):
        reason = "; ".join(integers_text(name, pair.arguments[name]) for name in pair.integers)
        raise CheckError(
            "check_gradient: inputs expects at least one array of floats; "
            + (reason or f"there is none among {', '.join(pair.arguments)}")
        )


def _first_output(pair: GradientPair) -> np.ndarray:
    """The output, found finite and the same at each call."""
    y = pair.output()
    if y.size == 0:
        raise CheckError(f"{pair.forward_name}: expected to return numbers; the array it returns is empty, {y.shape}")
    if not np.isfinite(y).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(y))[0])
        line = _line_of_nan(pair.outputs)
        raise CheckError(f"{pair.forward_name}: returns {float(y[index])} at {index}{line}")
    if not np.array_equal(y, pair.output()):
        raise CheckError(
            f"{pair.forward_name}: gives different outputs for the same inputs; draw random numbers (a dropout mask) "
            "outside and pass them in, and keep no state from call to call"
        )
    return y


def _line_of_nan(call: Callable[[], Any]) -> str:
    """Where floating-point arithmetic first goes wrong, if NumPy can tell."""
    try:
        with np.errstate(divide="raise", invalid="raise", over="raise"):
            call()
    except FloatingPointError as failure:
        return f" ({describe_exception(failure)})"
    except Exception:  # the same call has passed before; its warnings may be errors here
        return ""
    return ""


def _wanted(pair: GradientPair, wrt: Iterable[str]) -> list[str]:
    """The names in `wrt`, each found to be an argument that can be differentiated."""
    wanted = [wrt] if isinstance(wrt, str) else list(wrt)
    for name in wanted:
        if name not in pair.arguments:
            raise CheckError(f"check_gradient: wrt expects names among {list(pair.arguments)}; {name!r} is not one")
        if not is_float_array(pair.arguments[name]) and not isinstance(pair.arguments[name], float):
            raise CheckError(f"check_gradient: wrt expects arrays of floats; {name} is {pair.arguments[name]!r}")
    return wanted


def _missing(pair: GradientPair, gradients: dict[str, Any], wanted: list[str] | None) -> list[str]:
    """The arguments that need a gradient and got none, not even an explicit None."""
    required = [name for name in pair.arrays if pair.arguments[name].size] or pair.numbers if wanted is None else wanted
    return [name for name in required if name not in gradients]


def _chosen(pair: GradientPair, gradients: dict[str, Any], wanted: list[str] | None, missing: list[str]) -> list[str]:
    """The arguments to compare: arrays of floats, and Python floats that a gradient came back for."""
    if wanted is not None:
        return [name for name in wanted if name not in missing]
    chosen = []
    for name, value in pair.arguments.items():
        if gradients.get(name) is None:
            continue
        if (is_float_array(value) and value.size) or (isinstance(value, float) and not isinstance(value, bool)):
            chosen.append(name)
    if not chosen and not missing:
        raise CheckError(
            f"{pair.backward_name}: expected a gradient for at least one array of floats among "
            f"{', '.join(pair.arguments)}; it returns none"
        )
    return chosen


def _add_missing(report: Report, pair: GradientPair, missing: list[str]) -> None:
    """Say which gradients are missing, and which keys of a dict name no argument."""
    for name in missing:
        shape = np.shape(pair.arguments[name])
        report.inputs.append(InputReport(name, shape, ok=False, problem="no gradient was returned"))
    if missing and pair.returned == "None":
        report.problems.append(f"{pair.backward_name} returns None: is `return` missing?")
    elif missing:
        listed = " and ".join([", ".join(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)
        report.problems.append(
            f"{pair.backward_name} returns {pair.returned}: the gradient of {listed} is missing (None in its place if "
            "it is not to be checked)"
        )
    for key in pair.unknown_gradients:
        close = missing[0] if len(missing) == 1 else next(iter(get_close_matches(key, pair.arguments, 1)), None)
        hint = f": is d{close} meant?" if close else ""
        report.problems.append(f"{pair.backward_name} returns {key}, which is the gradient of no input{hint}")


def _note_circumstances(
    report: Report, pair: GradientPair, gradients: dict[str, Any], judged: list[str], wanted: list[str] | None
) -> None:
    report.notes += pair.remarks
    report.notes.append(f"called as {pair.convention}" if pair.convention else "called with its inputs in order")
    for name in pair.arrays:
        if name not in judged and pair.arguments[name].size:
            reason = f"{pair.backward_name} returns no gradient for it (None)"
            report.notes.append(f"{name} was not checked: {reason if wanted is None else 'wrt does not name it'}")
            report.unchecked.append(name)
    report.unchecked += [name for name in pair.numbers if name not in judged]
    for name in pair.integers if wanted is None else ():
        if gradients.get(name) is not None:
            report.notes.append(integers_text(name, pair.arguments[name]))
            report.unchecked.append(name)
    if pair.promoted:
        report.notes.append(f"checked in float64; {', '.join(pair.promoted)} came in lower precision")
    if pair.output_dtype.kind == "f" and pair.output_dtype.itemsize < 8:
        report.notes.append(
            f"{pair.forward_name} returns {pair.output_dtype} for float64 inputs, so that the check is coarse: do not "
            "fix the dtype inside"
        )
    if pair.output_dtype.kind != "f":
        report.notes.append(f"{pair.forward_name} returns {pair.output_dtype}, which has no derivative to speak of")


def _in_one_input(pair: GradientPair, name: str) -> Callable[[np.ndarray], np.ndarray]:
    scalar = isinstance(pair.arguments[name], float)

    def f(x: np.ndarray) -> np.ndarray:
        return pair.outputs(**{name: float(x) if scalar else x})

    return f


def _locate_nan(entry: InputReport, pair: GradientPair, upstream: np.ndarray) -> None:
    if entry.given is not None and not np.isfinite(entry.given).all():
        entry.problem += _line_of_nan(lambda: _run_raising(pair, upstream))


def _run_raising(pair: GradientPair, upstream: np.ndarray) -> None:
    """Backward with NumPy's floating-point errors raised as they are."""
    original = pair.backward_function

    def strict(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(divide="raise", invalid="raise", over="raise"):
            return original(*args, **kwargs)

    strict.__wrapped__ = original  # type: ignore[attr-defined]
    pair.backward_function = strict
    try:
        pair.run(upstream)
    except CheckError as failure:
        raise failure.__cause__ or failure from None
    finally:
        pair.backward_function = original


def _repeats(report: Report, pair: GradientPair, upstream: np.ndarray, gradients: dict) -> bool:
    """Whether backward returns the same gradients again; nothing else can be said of one that does not."""
    _, again = pair.run(upstream)
    for name, gradient in gradients.items():
        if _comparable(gradient) and not _same(np.asarray(gradient), np.asarray(again.get(name), dtype=np.float64)):
            report.problems.append(
                f"{pair.backward_name} gives another gradient of {name} when it is called again with the same inputs: "
                "it draws random numbers (pass them in), or adds to what an earlier call left behind"
            )
            return False
    return True


def _check_strides(report: Report, pair: GradientPair, upstream: np.ndarray, y: np.ndarray, gradients: dict) -> None:
    """Run again on non-contiguous copies: a view with gaps, and column-major order."""
    for layout, change in (("a strided view", strided), ("column-major", column_major)):
        moved = {name: change(pair.arguments[name]) for name in pair.arrays}
        try:
            other_y, others = pair.run(change(upstream), moved=moved)
        except CheckError as failure:
            report.problems.append(f"with non-contiguous inputs ({layout}): {failure}")
            return
        if not _same(y, other_y):
            report.problems.append(f"{pair.forward_name} gives another output when its inputs are {layout}")
            return
        for name, gradient in gradients.items():
            if _comparable(gradient) and not _same(np.asarray(gradient), np.asarray(others[name])):
                report.problems.append(
                    f"{pair.backward_name} gives another gradient of {name} when its inputs are {layout}: something in "
                    "it relies on the order in memory"
                )
                return


def _comparable(gradient: Any) -> bool:
    array = np.asarray(gradient)
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-6, atol=1e-9 * float(np.abs(a).max(initial=0.0))))


def _diagnose(
    report: Report, pair: GradientPair, y: np.ndarray, upstream: np.ndarray, numerics: dict[str, NumericGradient]
) -> None:
    from minitorch_cv.checks.diagnosis import Evidence, diagnose

    for entry in report.inputs:
        if not entry.ok:
            entry.hypotheses = diagnose(Evidence.of_pair(entry, pair, y, upstream, numerics))
