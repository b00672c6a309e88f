"""The values of a forward pass, and what moving one of them does to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minitorch_cv.checks.forward_pass import ForwardPass, NamedSteps
from minitorch_cv.checks.location import describe_exception
from minitorch_cv.checks.numeric import NumericGradient, numeric_gradient, random_upstream
from minitorch_cv.checks.report import CheckError


class Derivation:
    """A derivation to check: the forward pass, its values, and the random upstream gradient of its output."""

    def __init__(self, program: ForwardPass, inputs: Mapping[str, Any] | Sequence[Any] | np.ndarray, seed: int):
        self.program = program
        self.inputs = _named_inputs(program, inputs)
        self.nodes = self._record()
        self.values = {**self.inputs, **self.nodes}
        self.output = list(self.nodes)[-1]
        if not is_float(self.nodes[self.output]):
            raise CheckError(f"check_derivation: the output {self.output} is no array of floats")
        self.differentiable = [name for name, value in self.values.items() if is_float(value) and name != self.output]
        y = self.nodes[self.output]
        self.upstream = random_upstream(y.shape, np.random.default_rng(seed))
        self.rng = np.random.default_rng(seed + 1)
        self._totals: dict[str, NumericGradient] = {}

    def _record(self) -> dict[str, Any]:
        """Run the forward pass once; each value must stay as it was when it was named."""
        copies = {name: copied(value) for name, value in self.inputs.items()}
        live = dict(copies)
        originals = dict(self.inputs)

        def nothing_changed(name: str) -> None:
            for other, kept in originals.items():
                if not same_value(live[other], kept):
                    raise CheckError(f"check_derivation: {name} changes {other} in place; it must compute a new array")

        def node(name: str, value: Any) -> Any:
            if name in originals:
                kind = "an input" if name in self.inputs else "another step"
                raise CheckError(f"check_derivation: the name {name} belongs to {kind} already")
            nothing_changed(f"step {name}")
            live[name] = value = _as_value(np.float64(value) if type(value) is float else value, f"step {name}")
            originals[name] = copied(value)
            return value

        with told("the forward pass"):
            self.program.run(copies, node)
            self.program.run({name: copied(value) for name, value in self.inputs.items()}, self._same_as(originals))
        nothing_changed("the forward pass")
        nodes = {name: value for name, value in originals.items() if name not in self.inputs}
        if not nodes:
            raise CheckError("check_derivation: the forward pass names no value")
        return nodes

    @staticmethod
    def _same_as(first: Mapping[str, Any]) -> Callable[[str, Any], Any]:
        """For a second run, in which every value must be what it was in the first."""

        def node(name: str, value: Any) -> Any:
            if isinstance(value, (np.ndarray, np.generic)) and not np.array_equal(value, first[name]):
                raise CheckError(
                    f"check_derivation: step {name} gives another value at each run; draw random numbers outside and "
                    f"pass them in as an input"
                )
            return value

        return node

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
            return moved[current] if current in moved else copied(self.nodes[current])

        self.program.run({key: moved.get(key, copied(value)) for key, value in self.inputs.items()}, node)
        return np.concatenate([found[child] for child in children])

    def position(self, name: str) -> int:
        """Where a value comes in the order of the forward pass."""
        return list(self.values).index(name)

    def _copied_inputs(self, name: str, moved: np.ndarray) -> dict[str, Any]:
        return {key: moved if key == name else copied(value) for key, value in self.inputs.items()}

    def children(self, name: str) -> list[str]:
        """The values that change when v is moved a little and every other value is held."""
        later = [node for node in self.nodes if is_float(self.nodes[node])]
        if name in later:
            later = later[later.index(name) + 1 :]
        rng = np.random.default_rng(7)
        value = self.values[name]
        scale = 1e-3 * (float(np.sqrt(np.mean(value**2))) or 1.0)
        changed: set[str] = set()

        def node(current: str, computed: Any) -> Any:
            if current in later and not same_value(np.asarray(computed), self.nodes[current]):
                changed.add(current)
            return moved if current == name else copied(self.nodes[current])

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


@contextmanager
def told(what: str) -> Iterator[None]:
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


def is_float(value: Any) -> bool:
    """Whether a value has a gradient: whether it is an array of floats."""
    return isinstance(value, np.ndarray) and value.dtype == np.float64


def copied(value: Any) -> Any:
    """A copy of an array; anything else as it is."""
    return value.copy() if isinstance(value, np.ndarray) else value


def same_value(a: Any, b: Any) -> bool:
    """Whether a value is still what it was."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f" == b.dtype.kind))
    return a is b or not isinstance(a, (int, float, str)) or a == b
