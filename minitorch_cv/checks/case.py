"""What an operation is checked on: cases, error cases and planted faults. They stand in `checks/cases/<stem>.py`."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from .._op import OPS

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Seeded inputs and settings for one public function of `ops`, or for an operation that only others call.

    `inputs(rng)` gives the operands by name: float64 arrays (differentiated), integer or boolean arrays and lists of
    arrays. Values keep away from kinks and ties. `reference(**inputs, **settings)` is an independent forward in plain
    NumPy. `wrt` names the operands to differentiate where that is not every floating one.
    """

    function: str
    title: str
    inputs: Callable[[np.random.Generator], Inputs]
    settings: Mapping[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] | None = None
    wrt: tuple[str, ...] | None = None
    second_order: bool = True

    def __str__(self) -> str:
        return f"{self.function}: {self.title}"

    def draw(self, seed: int = 0) -> Inputs:
        """The inputs for a seed, the same at each call."""
        return self.inputs(np.random.default_rng([seed, *self.title.encode()]))


@dataclass(frozen=True)
class ErrorCase:
    """A wrong call and the whole message that it must get."""

    function: str
    call: Callable[[], Any]
    error: type[Exception]
    message: str


@dataclass(frozen=True)
class Fault:
    """A mistake to plant in an operation: `faulty(body)` gives a wrong body of the same shape, which must be caught."""

    operation: str
    title: str
    faulty: Callable[[Callable], Callable]


def wrong_gradient(change: Callable[..., Any]) -> Callable[[Callable], Callable]:
    """A fault in the backward: `change(gradients, dy, *operands, **settings)` makes right gradients wrong.

    They are a list of arrays, or of Tensors where the body is replayed.

    Fault("matmul", "db not transposed", wrong_gradient(lambda grads, dy, a, b: [grads[0], dy.T @ a]))
    """

    def faulty(body: Callable) -> Callable:
        @functools.wraps(body)
        def wrong(*operands: Any, **settings: Any) -> Any:
            value, backward = body(*operands, **settings)

            def wrong_backward(dy: Any) -> Any:
                gradients = backward(dy)
                gradients = list(gradients) if isinstance(gradients, tuple) else [gradients]
                # A number has no gradient to compute, and its backward need not be able to.
                gradients = [
                    (g() if hasattr(operand, "shape") else None) if callable(g) else g
                    for g, operand in zip_longest(gradients, operands[: len(gradients)])
                ]
                return tuple(change(gradients, dy, *operands, **settings))

            return value, wrong_backward

        return wrong

    return faulty


@contextmanager
def planted(operation: str, body: Callable) -> Iterator[None]:
    """Within it the operation runs `body` instead of its own, and instead of its faster ones."""
    changed = OPS[operation]
    right, faster = changed.body, list(changed.faster)
    changed.body = body
    changed.faster.clear()
    try:
        yield
    finally:
        changed.body = right
        changed.faster[:] = faster


@functools.cache
def collect() -> tuple[list[Case], list[ErrorCase], list[Fault]]:
    """Everything that stands in `checks/cases/`."""
    from . import cases

    modules = [importlib.import_module(f"{cases.__name__}.{m.name}") for m in pkgutil.iter_modules(cases.__path__)]
    return (
        [case for m in modules for case in m.CASES],
        [error for m in modules for error in getattr(m, "ERRORS", ())],
        [fault for m in modules for fault in getattr(m, "FAULTS", ())],
    )


def apart(rng: np.random.Generator, shape: tuple[int, ...], gap: float = 0.1) -> np.ndarray:
    """Distinct values in random order, at least `gap` from each other and from zero: for maxima and kinks at zero."""
    n = int(np.prod(shape))
    values = (np.arange(n) - n // 2 + 0.5) * (2 * gap) + rng.uniform(-0.4, 0.4, n) * gap
    return rng.permutation(values).reshape(shape)


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...], gap: float = 0.1) -> np.ndarray:
    """Normal values pushed away from zero by `gap`: for kinks at zero."""
    values = rng.standard_normal(shape)
    return values + np.copysign(gap, values)
