"""Checks the gradient of a function of Tensors, or of a module, against differences of it: first and second order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._autograd import grad, no_grad
from .._tensor import Tensor
from .comparison import RELATIVE_TOLERANCE
from .conventions import function_name
from .plain import check_gradient
from .report import CheckError, Report


def gradcheck(
    f: Callable[..., Tensor],
    inputs: Any,
    *,
    parameters: Mapping[str, Tensor] | Iterable[Tensor] | None = None,
    order: int = 1,
    wrt: Iterable[str] | None = None,
    seed: int = 0,
    rtol: float = RELATIVE_TOLERANCE,
    diagnose: bool = True,
) -> Report:
    r"""Check the gradients of a function of Tensors against differences, in float64.

    Forward: $y = f(x, w, \dots)$, of any shape. Under test: $g_x = \partial \langle y, v\rangle / \partial x$ as
    `mt.grad` gives it for a random upstream gradient v. Second order (`order=2`): with fixed random u the derivatives
    of $\sum_x \langle g_x, u_x\rangle$ in every input and in v (named dy), as `mt.grad(..., create_graph=True)` gives
    them, against differences of the first-order gradients. Every entry, or random directions where there are many;
    non-contiguous copies too; kinks counted.

    f: takes Tensors, returns one; inputs: a Tensor, array or number, or a tuple, list or dict of arguments; what is
    floating is differentiated. parameters: Tensors that f uses besides, as `model.parameters()`; those of f if f is a
    module. wrt: only these, by name; seed: of the upstream gradients; rtol: largest relative error of an entry.
    Nothing changes: no `.grad`, no parameter, no buffer. A wrong gradient never raises.
    Returns: a `Report`, true when right.
    Raises: CheckError where nothing can be checked, such as an exception inside f, or a NaN.
    """
    if order not in (1, 2):
        raise CheckError(f"gradcheck: order expects 1 or 2; it is {order!r}")
    function = _TensorFunction(f, inputs, _named_parameters(f, parameters))
    wanted = None if wrt is None else list(wrt)
    with function.in_double():
        report = check_gradient(
            function.forward,
            function.backward,
            function.values,
            names=function.names,
            wrt=wanted,
            seed=seed,
            rtol=rtol,
            diagnose=diagnose,
        )
        report.title = f"{function.name}: gradients against differences"
        report.notes = [note for note in report.notes if not note.startswith("called ")]
        if order == 2 and report.ok:
            _add_second_order(report, function, seed, rtol)
    return report


def _add_second_order(report: Report, function: _TensorFunction, seed: int, rtol: float) -> None:
    rng = np.random.default_rng([seed, 2])
    upstream = rng.standard_normal(function.forward(*function.values).shape)
    second = check_gradient(
        function.flat_gradients,
        function.second_order,
        [*function.values, upstream],
        names=[*function.names, "dy"],
        wrt=[*(entry.name for entry in report.inputs), "dy"],
        seed=seed,
        rtol=rtol,
        diagnose=False,
    )
    report.title = f"{function.name}: gradients of first and second order against differences"
    for entry in second.inputs:
        entry.name = f"second order, {entry.name}"
        entry.notes.clear()  # a second derivative of zero is nothing unusual
        report.inputs.append(entry)
    report.problems += [f"second order: {problem}" for problem in second.problems]


class _TensorFunction:
    """A function of Tensors as one of plain arrays, with its gradients by the engine.

    values: the inputs and then the parameters, what is floating as float64 arrays; names: one for each.
    """

    def __init__(self, f: Callable[..., Tensor], inputs: Any, parameters: dict[str, Tensor]) -> None:
        if not callable(f):
            raise CheckError(f"gradcheck: f expects a function of Tensors; it is {type(f).__name__}")
        arguments = inputs if isinstance(inputs, (tuple, list, Mapping)) else (inputs,)
        given = list(arguments.values()) if isinstance(arguments, Mapping) else list(arguments)
        self.f, self.parameters = f, list(parameters.values())
        self.name = type(f).__name__ if _is_module(f) else function_name(f, "f")
        self.keywords = list(arguments) if isinstance(arguments, Mapping) else None
        self.names = [*(self.keywords or _argument_names(f, len(given))), *parameters]
        self.count = len(given)
        self.was_tensor = [isinstance(value, Tensor) for value in given]
        self.values = [_in_double(value) for value in [*given, *self.parameters]]
        self.floating = [isinstance(value, np.ndarray) and value.dtype.kind == "f" for value in self.values]
        self.buffers = list(f.buffers()) if _is_module(f) else []
        self.buffer_values = [_in_double(buffer) for buffer in self.buffers]
        if not any(self.floating):
            raise CheckError("gradcheck: inputs expects at least one floating Tensor or array; there is none")

    @contextmanager
    def in_double(self) -> Iterator[None]:
        """Parameters and buffers in float64 for a while; afterwards they are what they were."""
        tensors = [*self.parameters, *self.buffers]
        before = [(tensor.data, tensor._requires_grad) for tensor in tensors]
        try:
            for parameter in self.parameters:
                parameter._requires_grad = True
            yield
        finally:
            for tensor, (data, requires_grad) in zip(tensors, before, strict=True):
                tensor.data, tensor._requires_grad = data, requires_grad

    def forward(self, *values: Any) -> np.ndarray:
        with no_grad():
            return self._run(values)[0].numpy()

    def backward(self, dy: np.ndarray, *values: Any) -> tuple:
        y, variables = self._run(values)
        return self._spread([g.numpy() for g in self._gradients(y, variables, dy, create_graph=False)])

    def flat_gradients(self, *values: Any) -> np.ndarray:
        """All first-order gradients in one row; the last of `values` is the upstream gradient."""
        gradients = self.backward(values[-1], *values[:-1])
        return np.concatenate([g.reshape(-1) for g in gradients if g is not None])

    def second_order(self, u: np.ndarray, *values: Any) -> tuple:
        r"""The gradient of <flat_gradients, u> in each of `values`."""
        y, variables = self._run(values[:-1])
        dy = Tensor(values[-1], requires_grad=True)
        gradients = self._gradients(y, variables, dy, create_graph=True)
        totals = second_derivatives(gradients, [*variables, dy], np.split(u, np.cumsum([v.size for v in variables])))
        return (*self._spread(totals[:-1]), totals[-1])

    def _run(self, values: Sequence[Any]) -> tuple[Tensor, list[Tensor]]:
        """The output, and the Tensors to differentiate it in."""
        for buffer, value in zip(self.buffers, self.buffer_values, strict=True):
            buffer.data = value.copy()
        arguments, variables = [], []
        for i, value in enumerate(values):
            if i >= self.count:
                tensor = self.parameters[i - self.count]
                tensor.data = value
            elif self.floating[i]:
                tensor = Tensor(value, requires_grad=True)
                arguments.append(tensor)
            else:
                arguments.append(Tensor(value) if self.was_tensor[i] else value)
                continue
            variables.append(tensor)
        y = self.f(*arguments) if self.keywords is None else self.f(**dict(zip(self.keywords, arguments, strict=True)))
        if not isinstance(y, Tensor):
            raise CheckError(f"gradcheck: {self.name} expects to return one Tensor; it returns {type(y).__name__}")
        return y, variables

    def _gradients(self, y: Tensor, variables: list[Tensor], dy: Any, create_graph: bool) -> Sequence[Tensor]:
        if not y.requires_grad:
            return [Tensor(np.zeros_like(v.data)) for v in variables]
        return grad(y, variables, dy if isinstance(dy, Tensor) else dy.reshape(y.shape), create_graph=create_graph)

    def _spread(self, gradients: Iterable[Any]) -> tuple:
        """One gradient for each of `values`, None for those that have none."""
        remaining = iter(gradients)
        return tuple(next(remaining) if floating else None for floating in self.floating)


def second_derivatives(gradients: Sequence[Tensor], variables: Sequence[Tensor], weights: Sequence) -> list[np.ndarray]:
    r"""The gradient of $\sum_k \langle g_k, u_k\rangle$ in each variable, with no operation recorded on the way."""
    totals = [np.zeros_like(v.data) for v in variables]
    for g, u in zip(gradients, weights, strict=False):
        if g.requires_grad:
            terms = grad(g, list(variables), np.reshape(u, g.shape), retain_graph=True)
            totals = [total + term.data for total, term in zip(totals, terms, strict=True)]
    return totals


def _is_module(f: Any) -> bool:
    from ..nn.module import Module

    return isinstance(f, Module)


def _named_parameters(f: Any, parameters: Any) -> dict[str, Tensor]:
    if parameters is None:
        return dict(f.named_parameters()) if _is_module(f) else {}
    if isinstance(parameters, Mapping):
        named = dict(parameters)
    else:
        listed = list(parameters)
        known = {id(p): name for name, p in f.named_parameters()} if _is_module(f) else {}
        named = {known.get(id(p), f"parameter {i}"): p for i, p in enumerate(listed)}
    for name, parameter in named.items():
        if not isinstance(parameter, Tensor) or parameter._node is not None:
            raise CheckError(f"gradcheck: parameters expects Tensors that no operation made; {name} is {parameter!r}")
    return named


def _argument_names(f: Any, count: int) -> list[str]:
    """The names of the first positional arguments, as far as the signature tells them."""
    target = f.forward if _is_module(f) else f
    try:
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        known = [p.name for p in inspect.signature(target).parameters.values() if p.kind in positional]
    except (TypeError, ValueError):
        known = []
    return [known[i] if i < len(known) else f"x{i}" for i in range(count)]


def _in_double(value: Any) -> Any:
    """A Tensor as an array of its own, float64 where it is floating; anything else as it is."""
    if isinstance(value, Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return np.array(value, dtype=np.float64) if value.dtype.kind == "f" else value.copy()
    return value
