"""Explains a wrong line of a derivation: it has inherited a mistake, or what is wrong with it in itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitorch_cv.checks.comparison import check_input, compare
from minitorch_cv.checks.derivation_values import Derivation, is_float
from minitorch_cv.checks.diagnosis import Evidence, diagnose
from minitorch_cv.checks.numeric import NumericGradient, numeric_gradient
from minitorch_cv.checks.report import Hypothesis

_SURE = 0.9  # how sure a diagnosis must be to blame a line that starts from a wrong gradient
_MOST_ENTRIES_TRIED = 256  # of a gradient for which values are exchanged in the search for the mistake


@dataclass
class _Line:
    """A line that is wrong in itself.

    given: the gradient that the learner's line gives for the value `name`; starts: the learner's gradients of the
    values computed directly from it, by name; available: all that the line could have started from; numeric: what the
    line should give, starting from `starts`.
    """

    derivation: Derivation
    name: str
    given: np.ndarray
    starts: dict[str, np.ndarray]
    available: dict[str, np.ndarray]
    numeric: NumericGradient

    @property
    def children(self) -> list[str]:
        """The values computed directly from this one."""
        return list(self.starts)

    @property
    def upstream(self) -> np.ndarray:
        """The gradients that the line starts from, one after another."""
        return _flat(self.starts.values())

    @property
    def values(self) -> dict[str, np.ndarray]:
        """The values that can take part in the line: what comes later in the forward pass cannot."""
        last = max(self.derivation.position(child) for child in self.starts)
        return {
            name: value
            for name, value in self.derivation.values.items()
            if is_float(value) and self.derivation.position(name) <= last
        }

    def is_given_by(self, predicted: np.ndarray) -> bool:
        """Whether a prediction is the given gradient, in every entry that was measured."""
        known = self.numeric.smooth.reshape(-1)
        gap = np.abs(predicted.reshape(-1) - self.given.reshape(-1))[known]
        return bool(known.any() and (gap <= 1e-5 * np.abs(self.given).max()).all())


def explain(
    derivation: Derivation, name: str, gradient: np.ndarray, given: Mapping[str, np.ndarray | None]
) -> tuple[bool, list[Hypothesis]]:
    """Whether a wrong gradient is inherited from the lines before it, and what is wrong.

    name: of the value; gradient: its wrong gradient; given: all gradients that the learner's backward returned.
    """
    if name == derivation.output:
        return False, [Hypothesis("output", f"d{name} is the gradient of the output: the upstream gradient itself")]
    starts, broken = {}, []
    for child in derivation.children(name):
        value = derivation.upstream if child == derivation.output else given.get(child)
        starts[child] = np.asarray(derivation.total(child).value if value is None else value)
        if starts[child].shape != derivation.values[child].shape or not np.isfinite(starts[child]).all():
            broken.append(child)
    if broken:
        return True, [Hypothesis("starts wrong", f"d{name} is computed from {_gradients(broken)}: mend that first")]
    if not starts:
        return False, []
    x, upstream = derivation.values[name], _flat(starts.values())

    def f(moved: np.ndarray) -> np.ndarray:
        return derivation.computed(list(starts), {name: moved})

    numeric = numeric_gradient(f, x, upstream, rng=derivation.rng)
    wrong = [c for c in starts if c != derivation.output and not compare(c, derivation.total(c), starts[c]).ok]
    follows = check_input(name, f, x, gradient, upstream, numeric=numeric, curve=False).ok
    if follows or any(_is_shortcut(derivation, name, gradient, child, starts[child]) for child in wrong):
        source = _gradients(wrong) if wrong else "a line before it"
        return True, [Hypothesis("inherited", f"d{name} is right in itself; it is wrong because of {source}")]
    if not np.isfinite(gradient).all():
        return False, []
    available = {other: value for other, value in given.items() if value is not None and other != name}
    line = _Line(derivation, name, gradient, starts, {**available, derivation.output: derivation.upstream}, numeric)
    if gradient.shape == x.shape:
        for mistakes in (_wrong_paths, _wrong_starts, _wrong_values):
            if found := list(mistakes(line)):
                return False, found
    found = diagnose(_evidence(line))
    if wrong and not any(hypothesis.confidence >= _SURE for hypothesis in found):
        return True, [Hypothesis("starts wrong", f"d{name} is computed from {_gradients(wrong)}: mend that first")]
    return False, found


def _is_shortcut(derivation: Derivation, name: str, gradient: np.ndarray, child: str, start: np.ndarray) -> bool:
    """Whether the line multiplies a wrong gradient by factors that make a right one right.

    Such a line may leave out a path whose contribution is zero for right gradients only: that through the maximum which
    softmax subtracts. It is no mistake of its own.
    """
    right, right_start = derivation.total(name).value, derivation.total(child).value
    if not gradient.shape == start.shape == right.shape:
        return False
    left, other = gradient * right_start, right * start
    return bool((np.abs(left - other) <= 1e-6 * max(np.abs(left).max(), np.abs(other).max())).all())


def _wrong_paths(line: _Line) -> Iterator[Hypothesis]:
    r"""Paths from v to the output that were forgotten or given a wrong factor.

    A gradient is the sum of what each value computed from v contributes, $(\partial c/\partial v)^\top\,\overline{c}$;
    the given one is fitted by these contributions, and a coefficient that is not 1 tells the mistake.
    """
    jacobian, known = line.numeric.jacobian, line.numeric.smooth.reshape(-1)
    if jacobian is None or len(line.starts) < 2:
        return
    contributions, row = {}, 0
    for child, start in line.starts.items():
        contributions[child] = start.reshape(-1) @ jacobian[row : row + start.size, known]
        row += start.size
    target = line.given.reshape(-1)[known].astype(np.float64)
    largest = max(float(np.abs(column).max(initial=0.0)) for column in contributions.values())
    present = [child for child, column in contributions.items() if np.abs(column).max(initial=0.0) > 1e-8 * largest]
    if len(present) < 2 or target.size <= len(present):
        return
    columns = np.stack([contributions[child] for child in present], axis=1)
    coefficients, _, rank, _ = np.linalg.lstsq(columns, target, rcond=1e-10)
    left = float(np.abs(columns @ coefficients - target).max())
    if rank < len(present) or not left <= 1e-6 * largest or np.ptp(coefficients) < 1e-4:
        return  # one factor for all paths is told better by the diagnosis
    for child, coefficient in zip(present, coefficients):
        start = _gradients([child], line.derivation)
        if abs(coefficient) < 1e-4:
            message = f"the path through {child} is missing: d{line.name} lacks what {start} contributes"
            yield Hypothesis("missing path", message, 0.99, left / largest)
        elif abs(coefficient + 1) < 1e-4:
            message = f"what {start} contributes to d{line.name} has the wrong sign"
            yield Hypothesis("sign of a path", message, 0.99, left / largest)
        elif abs(coefficient - 1) > 1e-4:
            message = f"what {start} contributes to d{line.name} is {coefficient:.6g} times what it should be"
            yield Hypothesis("factor of a path", message, 0.98, left / largest)


def _wrong_starts(line: _Line) -> Iterator[Hypothesis]:
    """Another gradient than that of the value the line belongs to: dy in place of dxhat."""
    if line.numeric.jacobian is None:
        return
    for child, right in line.starts.items():
        for other, wrong in line.available.items():
            if other == child or wrong.shape != right.shape:
                continue
            starts = {**line.starts, child: wrong}
            if line.is_given_by(_flat(starts.values()) @ line.numeric.jacobian):
                used, meant = _gradients([other], line.derivation), _gradients([child], line.derivation)
                yield Hypothesis("wrong start", f"d{line.name} starts from {used} where {meant} belongs", 0.97)
                return


def _wrong_values(line: _Line) -> Iterator[Hypothesis]:
    """One value of the forward pass in place of another: x in place of xhat."""
    if line.given.size > _MOST_ENTRIES_TRIED:
        return
    derivation, values = line.derivation, line.values
    for right, wrong in itertools.permutations(values, 2):
        if right in (line.name, *line.children) or values[right].shape != values[wrong].shape:
            continue

        def f(moved: np.ndarray, held: Mapping[str, np.ndarray] = {right: values[wrong]}) -> np.ndarray:
            return derivation.computed(line.children, {**held, line.name: moved})

        numeric = numeric_gradient(f, values[line.name], line.upstream, rng=derivation.rng)
        if line.is_given_by(numeric.value):
            yield Hypothesis("wrong value", f"d{line.name} is computed from {wrong} where {right} belongs", 0.97)
            return


def _evidence(line: _Line) -> Evidence:
    """The line as the backward of a function of one value, for the general diagnosis."""
    derivation = line.derivation
    if len(line.starts) == 1:
        (child,) = line.children
        y, upstream = derivation.values[child], line.starts[child]
    else:
        y, upstream = _flat(derivation.values[child] for child in line.children), line.upstream

    def outputs(**moved: Any) -> np.ndarray:
        return derivation.computed(line.children, moved).reshape(y.shape)

    return Evidence(
        name=line.name,
        expected=line.numeric.value,
        given=np.asarray(line.given, dtype=np.float64),
        x=derivation.values[line.name],
        upstream=upstream,
        y=y,
        inputs=line.values,
        jacobian=line.numeric.jacobian,
        ties=line.numeric.ties,
        outputs=outputs,
    )


def _flat(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.reshape(-1) for array in arrays])


def _gradients(names: Iterable[str], derivation: Derivation | None = None) -> str:
    """The gradients of values as the learner calls them; the output's is dy whatever the output is called."""
    output = derivation.output if derivation is not None else None
    return " and ".join("dy" if name == output else f"d{name}" for name in names)
