"""What is added to a function before a student's test gets it, so that no table of known values is a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class SecretTerm:
    r"""Added to each output of a function, smooth in its inputs, other numbers for each seed.

    y' = y + U s(x_1, x_2, ...),  s = \sum_k <R_k, sin(x_k + 1)>;
    in a backward  dx_k' = dx_k + <dy, U> R_k cos(x_k + 1).

    U is drawn for the shape of y, so that no dy is known along which it vanishes, and R_k for that of x_k. A gradient
    that was wrong stays as wrong as it was, seen against the forward.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def forward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function of arrays and settings, with the term."""

        def with_term(*inputs: Any) -> Any:
            y = function(*inputs)
            return y + self._drawn(0, y) * sum(np.sum(r * np.sin(x + 1)) for x, r in self._weighed(inputs))

        return with_term

    def backward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A backward of it, right or wrong, with the term's gradient: it is called as `function(dy, *inputs)`."""

        def with_term(dy: Any, *inputs: Any) -> Any:
            gradients = function(dy, *inputs)
            along = np.sum(dy * self._drawn(0, dy))
            terms = [along * r * np.cos(x + 1) for x, r in self._weighed(inputs)]
            if not isinstance(gradients, tuple):
                return gradients + terms[0]
            return tuple(gradient + term for gradient, term in zip(gradients, terms, strict=True))

        return with_term

    def _weighed(self, inputs: tuple) -> list[tuple[Any, Any]]:
        arrays = [x for x in inputs if np.ndim(x) > 0]
        return [(x, self._drawn(number, x)) for number, x in enumerate(arrays, 1)]

    def _drawn(self, number: int, like: Any) -> Any:
        return np.random.default_rng([self.seed, number, *np.shape(like)]).standard_normal(np.shape(like))
