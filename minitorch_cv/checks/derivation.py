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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from minitorch_cv.checks.comparison import check_input, compare
from minitorch_cv.checks.diagnosis import Evidence, diagnose
from minitorch_cv.checks.forward_pass import ForwardPass, NamedSteps, forward_pass
from minitorch_cv.checks.location import describe_exception
from minitorch_cv.checks.numeric import NumericGradient, numeric_gradient, random_upstream
from minitorch_cv.checks.report import CheckError, Hypothesis, InputReport, Report

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
    derivation = _Derivation(forward_pass(steps), inputs, seed)
    given = _run_backward(backward, derivation)
    notes = [] if isinstance(steps, Mapping) or not callable(steps) else ["intermediate values taken through `node`"]
    order = [*given, *(name for name in reversed(derivation.differentiable) if name not in given)]
    report = DerivationReport("check_derivation", notes=notes)
    for name in order:
        _add_line(report, derivation, name, given)
    return report


class _Derivation:
    """The values of a forward pass, and what moving one of them does to the others."""

    def __init__(self, program: ForwardPass, inputs: Mapping[str, Any] | Sequence[Any] | np.ndarray, seed: int):
        self.program = program
        self.inputs = _named_inputs(program, inputs)
        self.nodes = self._record()
        self.values = {**self.inputs, **self.nodes}
        self.output = list(self.nodes)[-1]
        if not _is_float(self.nodes[self.output]):
            raise CheckError(f"check_derivation: the output {self.output} is no array of floats")
        self.differentiable = [name for name, value in self.values.items() if _is_float(value) and name != self.output]
        y = self.nodes[self.output]
        self.upstream = random_upstream(y.shape, np.random.default_rng(seed))
        self.rng = np.random.default_rng(seed + 1)
        self._totals: dict[str, NumericGradient] = {}

    def _record(self) -> dict[str, Any]:
        """Run the forward pass once; each value must stay as it was when it was named."""
        copies = {name: _copy(value) for name, value in self.inputs.items()}
        live = dict(copies)
        originals = dict(self.inputs)

        def nothing_changed(name: str) -> None:
            for other, kept in originals.items():
                if not _same(live[other], kept):
                    raise CheckError(f"check_derivation: {name} changes {other} in place; it must compute a new array")

        def node(name: str, value: Any) -> Any:
            if name in originals:
                kind = "an input" if name in self.inputs else "another step"
                raise CheckError(f"check_derivation: the name {name} belongs to {kind} already")
            nothing_changed(f"step {name}")
            live[name] = value = _as_value(np.float64(value) if type(value) is float else value, f"step {name}")
            originals[name] = _copy(value)
            return value

        with _told("the forward pass"):
            self.program.run(copies, node)
        nothing_changed("the forward pass")
        nodes = {name: value for name, value in originals.items() if name not in self.inputs}
        if not nodes:
            raise CheckError("check_derivation: the forward pass names no value")
        return nodes

    def moved(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        """The output as a function of v: what v was computed from is held, all that depends on it follows."""

        def output(moved: np.ndarray) -> np.ndarray:
            last: list[Any] = [None]

            def node(current: str, value: Any) -> Any:
                last[0] = moved if current == name else value
                return last[0]

            self.program.run(self._copied_inputs(name, moved), node)
            return np.asarray(last[0])

        return output

    def total(self, name: str) -> NumericGradient:
        """dL/dv, measured once."""
        if name not in self._totals:
            self._totals[name] = numeric_gradient(self.moved(name), self.values[name], self.upstream, rng=self.rng)
        return self._totals[name]

    def computed(self, children: Sequence[str], moved: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the steps named ``children`` compute, one after another, from the moved values and all others held."""
        found = {}

        def node(current: str, value: Any) -> Any:
            if current in children:
                found[current] = np.asarray(value, dtype=np.float64).reshape(-1)
            return moved[current] if current in moved else _copy(self.nodes[current])

        self.program.run({key: moved.get(key, _copy(value)) for key, value in self.inputs.items()}, node)
        return np.concatenate([found[child] for child in children])

    def _copied_inputs(self, name: str, moved: np.ndarray) -> dict[str, Any]:
        return {key: moved if key == name else _copy(value) for key, value in self.inputs.items()}

    def children(self, name: str) -> list[str]:
        """The values that change when v is moved a little and every other value is held."""
        later = [node for node in self.nodes if _is_float(self.nodes[node])]
        if name in later:
            later = later[later.index(name) + 1 :]
        rng = np.random.default_rng(7)
        value = self.values[name]
        scale = 1e-3 * (float(np.sqrt(np.mean(value**2))) or 1.0)
        changed: set[str] = set()

        def node(current: str, computed: Any) -> Any:
            if current in later and not _same(np.asarray(computed), self.nodes[current]):
                changed.add(current)
            return moved if current == name else _copy(self.nodes[current])

        for sign in (1.0, -1.0):  # both sides of a kink, such as relu's
            moved = value + sign * scale * rng.uniform(0.5, 1.5, value.shape)
            self.program.run(self._copied_inputs(name, moved), node)
        return [child for child in later if child in changed]


def _named_inputs(program: ForwardPass, inputs: Mapping[str, Any] | Sequence[Any] | np.ndarray) -> dict[str, Any]:
    """The inputs by name, arrays of floats as copies in float64."""
    if isinstance(inputs, np.ndarray):
        inputs = (inputs,)
    if not isinstance(inputs, Mapping):
        if len(inputs) != len(program.inputs):
            raise CheckError(
                f"check_derivation: the steps are computed from {len(program.inputs)} inputs "
                f"({', '.join(program.inputs)}); {len(inputs)} were given"
            )
        inputs = dict(zip(program.inputs, inputs))
    absent = [name for name in program.inputs if name not in inputs]
    if absent:
        known = ", ".join(inputs) or "none"
        raise CheckError(f"check_derivation: {absent[0]} is neither a step nor an input; the inputs are {known}")
    unused = [name for name in inputs if name not in program.inputs]
    if isinstance(program, NamedSteps) and unused:
        raise CheckError(f"check_derivation: no step is computed from the input {unused[0]}")
    return {name: _as_value(value, f"the input {name}") for name, value in inputs.items()}


def _run_backward(backward: Callable, derivation: _Derivation) -> dict[str, np.ndarray | None]:
    """The gradients by name of the value, with and without the ``d`` in front, in the order of the derivation."""
    values = {name: _copy(value) for name, value in derivation.values.items()}
    dy = derivation.upstream.copy()
    arguments = _backward_arguments(backward, dy, values)
    with _told("backward"):
        returned = backward(*arguments)
    for name, value in [*values.items(), ("dy", dy)]:
        if not _same(value, derivation.upstream if name == "dy" else derivation.values[name]):
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
        given[name] = None if gradient is None else np.asarray(gradient)
    return given


def _value_named(key: str, derivation: _Derivation) -> str:
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
    report: DerivationReport, derivation: _Derivation, name: str, given: Mapping[str, np.ndarray | None]
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
        elif not is_input:
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
        report.lines[title], entry.hypotheses = _explain(derivation, name, gradient, given)


def _explain(
    derivation: _Derivation, name: str, gradient: np.ndarray, given: Mapping[str, np.ndarray | None]
) -> tuple[str, list[Hypothesis]]:
    """Whether a wrong gradient follows from those of the lines before it, and else what is wrong with it."""
    if name == derivation.output:
        return WRONG, [Hypothesis("output", f"d{name} is the gradient of the output: the upstream gradient itself")]
    children = derivation.children(name)
    gradients, broken = {}, []
    for child in children:
        value = derivation.upstream if child == derivation.output else given.get(child)
        gradients[child] = np.asarray(derivation.total(child).value if value is None else value)
        if gradients[child].shape != derivation.values[child].shape or not np.isfinite(gradients[child]).all():
            broken.append(child)
    if broken:
        return INHERITED, [Hypothesis("inherited", f"d{name} is computed from {_titles(broken)}: mend that first")]
    if not children:
        return WRONG, []
    upstream = np.concatenate([gradients[child].reshape(-1) for child in children])
    x = derivation.values[name]

    def f(moved: np.ndarray) -> np.ndarray:
        return derivation.computed(children, {name: moved})

    numeric = numeric_gradient(f, x, upstream, rng=derivation.rng)
    if check_input(name, f, x, gradient, upstream, numeric=numeric, curve=False).ok:
        wrong = [c for c in children if c != derivation.output and not compare(c, derivation.total(c), gradients[c]).ok]
        source = _titles(wrong) if wrong else "a line before it"
        return INHERITED, [Hypothesis("inherited", f"d{name} is right in itself; it is wrong because of {source}")]
    if not np.isfinite(gradient).all():
        return WRONG, []
    paths = _wrong_paths(name, gradient, gradients, numeric) if gradient.shape == x.shape else []
    return WRONG, paths or _diagnosis(derivation, name, gradient, gradients, numeric)


def _wrong_paths(
    name: str, gradient: np.ndarray, gradients: Mapping[str, np.ndarray], numeric: NumericGradient
) -> list[Hypothesis]:
    r"""Which path from v to the output was forgotten or given a wrong factor.

    A gradient is the sum of what each value computed from v contributes, $(\partial c/\partial v)^\top\,\overline{c}$;
    the given one is fitted by these contributions, and a coefficient that is not 1 tells the mistake.
    """
    if numeric.jacobian is None or len(gradients) < 2:
        return []
    known = numeric.smooth.reshape(-1)
    contributions, start = {}, 0
    for child, upstream in gradients.items():
        rows = numeric.jacobian[start : start + upstream.size, known]
        contributions[child] = upstream.reshape(-1) @ rows
        start += upstream.size
    target = gradient.reshape(-1)[known].astype(np.float64)
    largest = max(float(np.abs(column).max(initial=0.0)) for column in contributions.values())
    present = [child for child, column in contributions.items() if np.abs(column).max(initial=0.0) > 1e-8 * largest]
    if len(present) < 2 or target.size < len(present) + 1:
        return []
    columns = np.stack([contributions[child] for child in present], axis=1)
    coefficients, _, rank, _ = np.linalg.lstsq(columns, target, rcond=1e-10)
    left = float(np.abs(columns @ coefficients - target).max())
    if rank < len(present) or not left <= 1e-6 * largest or np.ptp(coefficients) < 1e-4:
        return []  # one factor for all is told better by the diagnosis
    found = []
    for child, coefficient in zip(present, coefficients):
        if abs(coefficient - 1) > 1e-4:
            found.append(Hypothesis(*_path_mistake(name, child, float(coefficient)), unexplained=left / largest))
    return found


def _path_mistake(name: str, child: str, coefficient: float) -> tuple[str, str]:
    if abs(coefficient) < 1e-4:
        return "missing path", f"the path through {child} is missing: d{name} lacks what d{child} contributes"
    if abs(coefficient + 1) < 1e-4:
        return "sign of a path", f"what d{child} contributes to d{name} has the wrong sign"
    return "factor of a path", f"what d{child} contributes to d{name} is {coefficient:.6g} times what it should be"


def _diagnosis(
    derivation: _Derivation,
    name: str,
    gradient: np.ndarray,
    gradients: Mapping[str, np.ndarray],
    numeric: NumericGradient,
) -> list[Hypothesis]:
    """What is wrong with a line in itself, given the gradients that it starts from."""
    children = list(gradients)
    if len(children) == 1:  # the line is the backward of one function
        y, upstream = derivation.values[children[0]], gradients[children[0]]
    else:
        y = np.concatenate([derivation.values[child].reshape(-1) for child in children])
        upstream = np.concatenate([gradients[child].reshape(-1) for child in children])

    def outputs(**moved: Any) -> np.ndarray:
        return derivation.computed(children, moved).reshape(y.shape)

    evidence = Evidence(
        name=name,
        expected=numeric.value,
        given=np.asarray(gradient, dtype=np.float64),
        x=derivation.values[name],
        upstream=upstream,
        y=y,
        inputs={other: value for other, value in derivation.values.items() if _is_float(value)},
        jacobian=numeric.jacobian,
        ties=numeric.ties,
        outputs=outputs,
    )
    return diagnose(evidence)


def _titles(names: Iterable[str]) -> str:
    return " and ".join(f"d{name}" for name in names)


def _exactly(gradient: np.ndarray) -> NumericGradient:
    """A gradient that is known, not measured."""
    none = np.full(gradient.shape, np.nan)
    return NumericGradient(gradient, np.zeros(gradient.shape), none, none, status=np.full(gradient.shape, "smooth"))


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Tell an exception in the learner's code with its line."""
    try:
        with np.errstate(all="ignore"):
            yield
    except CheckError:
        raise
    except Exception as error:
        raise CheckError(f"check_derivation: {what} raised {describe_exception(error)}") from error


def _as_value(value: Any, name: str) -> Any:
    """Numbers and arrays of floats as new arrays in float64, an input's own numbers (such as eps) as they are."""
    if isinstance(value, (np.ndarray, np.floating)) and np.issubdtype(value.dtype, np.floating):
        array = np.array(value, dtype=np.float64)
        if not np.isfinite(array).all():
            raise CheckError(f"check_derivation: {name} holds NaN or infinity, so nothing can be checked")
        return array
    return value


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f" == b.dtype.kind))
    return a is b or not isinstance(a, (int, float, str)) or a == b
