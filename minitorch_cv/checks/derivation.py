r"""Every line of a derivation is checked, and the first wrong one is named.

A derivation by the chain rule gives one gradient for each intermediate value, from the output back to the inputs: for
batch norm $\partial L/\partial\hat x$, $\partial L/\partial\sigma^2$, $\partial L/\partial\mu$ and
$\partial L/\partial x$. With $L = \langle y, dy\rangle$ two questions are put to each:

- Is it $\partial L/\partial v$? The value $v$ is moved, what it was computed from is held, all that depends on it
  follows.
- Does it follow from the lines before it? $v$ is moved and *every* other value held, so that only the values $c$
  computed from it directly change; then $\partial L/\partial v = \sum_c (\partial c/\partial v)^\top\, \overline{c}$
  with $\overline{c}$ the learner's own gradients, right or wrong.

A line that fails both is a mistake of its own; one that fails only the first has inherited a mistake made before it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from minitorch_cv.checks.comparison import check_input, compare
from minitorch_cv.checks.conventions import function_name
from minitorch_cv.checks.derivation_values import Derivation, copied, same_value, told
from minitorch_cv.checks.explain_line import explain
from minitorch_cv.checks.forward_pass import forward_pass_of
from minitorch_cv.checks.numeric import NumericGradient
from minitorch_cv.checks.report import CheckError, InputReport, Report

RIGHT, WRONG, INHERITED, MISSING = "right", "wrong", "inherited", "not given"


@dataclass(repr=False)
class DerivationReport(Report):
    """A `Report` with one entry for each line of the derivation.

    lines: name of the gradient -> ``"right"``, ``"wrong"`` (a mistake in this line), ``"inherited"`` (right in itself,
    wrong because of a line before it) or ``"not given"``.
    """

    lines: dict[str, str] = field(default_factory=dict)
    _heading: ClassVar[str] = "line"

    @property
    def wrong_lines(self) -> list[str]:
        """The lines that hold a mistake of their own, in the order of the derivation."""
        return [name for name, verdict in self.lines.items() if verdict == WRONG]

    @property
    def first_wrong(self) -> str | None:
        """The first line that holds a mistake; ``None`` where all are right."""
        return next(iter(self.wrong_lines), None)

    def at_fault(self) -> list[InputReport]:
        """The lines that hold a mistake of their own."""
        return [entry for entry in self.inputs if self.lines[entry.name] == WRONG]

    def _verdict(self, entry: InputReport) -> str:
        return "inherited" if self.lines[entry.name] == INHERITED else super()._verdict(entry)

    def _findings(self) -> list[str]:
        headline = [f"The first wrong line is {self.first_wrong}."] if self.first_wrong else []
        return headline + super()._findings()

    def to_dict(self) -> dict[str, Any]:
        """The report in the types of JSON."""
        return {**super().to_dict(), "lines": dict(self.lines), "first_wrong": self.first_wrong}


def check_derivation(
    steps: Mapping[str, Callable] | Iterable[Callable] | Callable,
    backward: Callable,
    inputs: Mapping[str, Any] | Sequence[Any] | np.ndarray,
    *,
    seed: int = 0,
) -> DerivationReport:
    r"""Check every line of a derivation: the gradient of each intermediate value, from the output back to the inputs.

    steps: named functions in order, whose argument names are the values that they are computed from; the last is the
    output. Arguments with a default that name no step are constants. Or one function with an argument ``node``, which
    passes each intermediate value through it: ``mean = node("mean", x.mean(axis=0))``.

    backward: ``backward(dy, values)`` with ``values`` a dict of all inputs and intermediate values, or
    ``backward(dy, x, mean, ...)``, which names those it wants. It returns a dict of gradients under the names of the
    steps and inputs (``mean`` or ``dmean``), in the order of the derivation. Intermediate gradients may be left out; an
    input's may be ``None``.

    inputs: a dict, or arrays in the order in which the steps first name them. Arrays of floats are differentiated.

    >>> steps = {
    ...     "mean": lambda x: x.mean(axis=0),
    ...     "centred": lambda x, mean: x - mean,
    ...     "y": lambda centred: centred**2,
    ... }
    >>> def backward(dy, centred):
    ...     dcentred = 2 * dy * centred
    ...     dmean = dcentred.sum(axis=0)  # the minus sign is missing
    ...     return {"dcentred": dcentred, "dmean": dmean, "dx": dcentred + dmean / len(dy)}
    >>> report = check_derivation(steps, backward, {"x": np.arange(12.0).reshape(4, 3) ** 2})
    >>> report.lines
    {'dcentred': 'right', 'dmean': 'wrong', 'dx': 'inherited'}
    >>> bool(report), report.first_wrong
    (False, 'dmean')

    Raises:
        CheckError: the derivation cannot be checked: steps that do not fit together, names that are no step's, an input
            that is changed in place, an exception in a step or in backward.
    """
    derivation = Derivation(forward_pass_of(steps), inputs, seed)
    given = _run_backward(backward, derivation)
    notes = [] if isinstance(steps, Mapping) or not callable(steps) else ["intermediate values taken through `node`"]
    order = [*given, *(name for name in reversed(derivation.differentiable) if name not in given)]
    report = DerivationReport(f"{function_name(backward, 'backward')}, line by line", notes=notes)
    for name in order:
        with told("the forward pass, with a value moved a little,"):
            _add_line(report, derivation, name, given)
    return report


def _run_backward(backward: Callable, derivation: Derivation) -> dict[str, np.ndarray | None]:
    """The gradients by name of the value, with and without the ``d`` in front, in the order of the derivation."""
    values = {name: copied(value) for name, value in derivation.values.items()}
    dy = derivation.upstream.copy()
    arguments = _backward_arguments(backward, dy, values)
    with told("backward"):
        returned = backward(*arguments)
    for name, value in [*values.items(), ("dy", dy)]:
        if not same_value(value, derivation.upstream if name == "dy" else derivation.values[name]):
            raise CheckError(f"check_derivation: backward changes {name} in place; it must compute a new array")
    if not isinstance(returned, Mapping):
        raise CheckError(
            f"check_derivation: backward expects to return a dict name -> gradient; "
            f"it returned a {type(returned).__name__}"
        )
    given: dict[str, np.ndarray | None] = {}
    for key, gradient in returned.items():
        name = _value_named(str(key), derivation)
        if name in given:
            raise CheckError(f"check_derivation: backward returns the gradient of {name} twice")
        given[name] = None if gradient is None else _as_gradient(str(key), gradient)
    return given


def _as_gradient(key: str, gradient: Any) -> np.ndarray:
    try:
        array = np.asarray(gradient)
    except ValueError:  # a ragged list
        array = np.asarray(None)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise CheckError(f"check_derivation: backward expects {key} to be an array of floats; it is {gradient!r:.60}")
    return array


def _value_named(key: str, derivation: Derivation) -> str:
    """The value whose gradient is called ``key``: ``mean`` or ``dmean``."""
    for prefix in ("", "d", "d_", "grad_"):
        name = key[len(prefix) :]
        if key.startswith(prefix) and (name in derivation.differentiable or name == derivation.output):
            return name
    known = ", ".join(f"d{name}" for name in reversed(derivation.differentiable))
    raise CheckError(
        f"check_derivation: backward returns {key}, which is the gradient of no step or input; those are {known}"
    )


def _backward_arguments(backward: Callable, dy: np.ndarray, values: dict[str, Any]) -> list[Any]:
    parameters = [
        p
        for p in inspect.signature(backward).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and (p.default is p.empty or p.name in values)
    ]
    wanted = [p.name for p in parameters[1:]]
    if all(name in values for name in wanted) and parameters:
        return [dy, *(values[name] for name in wanted)]
    if len(wanted) == 1:
        return [dy, values]
    unknown = next((name for name in wanted if name not in values), "no argument")
    raise CheckError(
        f"check_derivation: backward{inspect.signature(backward)} expects (dy, values), or dy and the names of inputs "
        f"and steps ({', '.join(values)}); {unknown} is none of them"
    )


def _add_line(
    report: DerivationReport, derivation: Derivation, name: str, given: Mapping[str, np.ndarray | None]
) -> None:
    """Compare the gradient of one value and say whether a mistake is this line's own."""
    title, gradient, shape = f"d{name}", given.get(name), np.shape(derivation.values[name])
    if gradient is None:
        is_input = name in derivation.inputs
        report.lines[title] = MISSING
        if is_input and name not in given:
            problem = f"backward returns no gradient of the input {name}"
            report.inputs.append(InputReport(title, shape, ok=False, problem=problem))
            report.lines[title] = WRONG
        elif is_input:
            report.unchecked.append(name)
        else:
            report.notes.append(f"{title} was not given, so its line was not checked")
        return
    if name == derivation.output:
        entry = compare(title, _exactly(derivation.upstream), gradient)
    else:
        f, x, numeric = derivation.moved(name), derivation.values[name], derivation.total(name)
        entry = check_input(title, f, x, gradient, derivation.upstream, numeric=numeric)
    report.inputs.append(entry)
    report.lines[title] = RIGHT
    if not entry.ok:
        inherited, entry.hypotheses = explain(derivation, name, gradient, given)
        report.lines[title] = INHERITED if inherited else WRONG


def _exactly(gradient: np.ndarray) -> NumericGradient:
    """A gradient that is known, not measured."""
    none = np.full(gradient.shape, np.nan)
    return NumericGradient(gradient, np.zeros(gradient.shape), none, none, status=np.full(gradient.shape, "smooth"))
