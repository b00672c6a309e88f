"""One case of an operation, run: its value, its gradients of both orders, and what differences say of them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import ops
from .._autograd import Node, grad, no_grad
from .._op import OPS
from .._tensor import Tensor
from ._gradcheck import second_derivatives
from .case import Case
from .numeric import NumericGradient, numeric_gradient, random_upstream

SECOND_ORDER_ENTRIES = 100
"""How many entries of an input the suite measures second derivatives for; a sample where there are more."""

Leaves = Mapping[str, np.ndarray]


class CaseRun:
    """A case on its seeded inputs. Numeric derivatives are measured once, at the first need.

    leaves: the floating arrays by label (`arrays[1]` for one of a list); wrt: labels of those that are differentiated;
    upstream: the random gradient of the value.
    """

    def __init__(self, case: Case, seed: int = 0) -> None:
        self.case = case
        self.function = public_function(case.function)
        self.inputs = case.draw(seed)
        self.leaves = dict(_floating(self.inputs))
        chosen = self.inputs if case.wrt is None else case.wrt
        self.wrt = [label for label in self.leaves if label.partition("[")[0] in chosen]
        self.rng = np.random.default_rng([seed, 1])
        self.y = self.value()
        self.differentiable = self.y.dtype.kind == "f" and self.y.size > 0 and bool(self.wrt)
        self.upstream = random_upstream(self.y.shape, self.rng)
        self.weights = {label: random_upstream(self.leaves[label].shape, self.rng) for label in self.wrt}
        self._numeric: dict[tuple[str, int], NumericGradient] = {}

    def call(self, leaves: Mapping[str, Any]) -> Any:
        """The function's whole result with these in place of the floating inputs."""
        inputs = {name: _replaced(name, value, leaves) for name, value in self.inputs.items()}
        return self.function(**inputs, **copy.deepcopy(dict(self.case.settings)))

    def value(self, leaves: Leaves | None = None) -> np.ndarray:
        """The first value, for Tensors that need no gradient."""
        with no_grad():
            return _first(self.call(_tensors(leaves or self.leaves))).numpy()

    def recorded(self, leaves: Leaves | None = None) -> tuple[Tensor, list[Tensor]]:
        """The first value with its graph, and the Tensors to differentiate it in."""
        tensors = _tensors(leaves or self.leaves, self.wrt)
        return _first(self.call(tensors)), [tensors[label] for label in self.wrt]

    def gradients(self, leaves: Leaves | None = None, upstream: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The gradient in each of `wrt` by the engine."""
        y, variables = self.recorded(leaves)
        dy = (self.upstream if upstream is None else upstream).astype(y.dtype, copy=False)
        found = grad(y, variables, dy) if y.requires_grad else [Tensor(np.zeros_like(v.data)) for v in variables]
        return {label: g.data for label, g in zip(self.wrt, found, strict=True)}

    def second_order(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        r"""The gradients by replay, and the derivatives of $\sum_x \langle g_x, u_x\rangle$ in `wrt` and in dy."""
        y, variables = self.recorded()
        dy = Tensor(self.upstream, requires_grad=True)
        if not y.requires_grad:
            zeros = [np.zeros_like(v.data) for v in (*variables, dy)]
            return dict(zip(self.wrt, zeros)), dict(zip([*self.wrt, "dy"], zeros, strict=True))
        first = grad(y, variables, dy, create_graph=True)
        second = second_derivatives(first, [*variables, dy], list(self.weights.values()))
        replayed = {label: g.data for label, g in zip(self.wrt, first, strict=True)}
        return replayed, dict(zip([*self.wrt, "dy"], second, strict=True))

    def numeric(self, label: str) -> NumericGradient:
        """The first derivatives in one input, by differences of the value: every entry."""
        if (label, 1) not in self._numeric:
            x = self.leaves[label]
            f = lambda moved: self.value({**self.leaves, label: moved})
            self._numeric[label, 1] = numeric_gradient(f, x, self.upstream, rng=self.rng, base=self.y)
        return self._numeric[label, 1]

    def second_numeric(self, label: str) -> NumericGradient:
        """The second derivatives in one input, or in dy, by differences of the gradients."""
        if (label, 2) not in self._numeric:
            x = self.upstream if label == "dy" else self.leaves[label]
            entries = np.sort(self.rng.choice(x.size, min(x.size, SECOND_ORDER_ENTRIES), replace=False))
            weights = np.concatenate([w.reshape(-1) for w in self.weights.values()])

            def first_order(moved: np.ndarray) -> np.ndarray:
                upstream = moved if label == "dy" else self.upstream
                leaves = self.leaves if label == "dy" else {**self.leaves, label: moved}
                return np.concatenate([g.reshape(-1) for g in self.gradients(leaves, upstream).values()])

            self._numeric[label, 2] = numeric_gradient(first_order, x, weights, entries=entries)
        return self._numeric[label, 2]

    @functools.cached_property
    def operations(self) -> list[str]:
        """The operations in the value's graph, without repetition."""
        return operations_of(self.recorded()[0]) if self.differentiable else []


def public_function(name: str) -> Callable:
    """The function of that name in `ops`, or the operation that only others call."""
    return getattr(ops, name, None) or OPS[name]


def operations_of(y: Tensor) -> list[str]:
    """The names of the operations from which a Tensor was computed."""
    names, seen, stack = {}, set(), [y._node]
    while stack:
        node: Node | None = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names[node.operation.__name__] = None
            stack += [operand._node for operand in node.inputs if isinstance(operand, Tensor)]
    return list(names)


@contextmanager
def portable_bodies() -> Iterator[None]:
    """Within it no faster body is chosen: what is checked, and where faults are planted, is the portable one."""
    taken = {name: list(operation.faster) for name, operation in OPS.items()}
    for operation in OPS.values():
        operation.faster.clear()
    try:
        yield
    finally:
        for name, faster in taken.items():
            OPS[name].faster.extend(faster)


def _floating(inputs: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in inputs.items():
        for label, array in _labelled(name, value):
            if isinstance(array, np.ndarray) and array.dtype.kind == "f":
                yield label, array


def _labelled(name: str, value: Any) -> Sequence[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        return [(f"{name}[{i}]", item) for i, item in enumerate(value)]
    return [(name, value)]


def _replaced(name: str, value: Any, leaves: Mapping[str, Any]) -> Any:
    found = [leaves.get(label, item) for label, item in _labelled(name, value)]
    return type(value)(found) if isinstance(value, (list, tuple)) else found[0]


def _tensors(leaves: Leaves, wrt: Sequence[str] = ()) -> dict[str, Tensor]:
    return {label: Tensor(array, requires_grad=label in wrt) for label, array in leaves.items()}


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result
