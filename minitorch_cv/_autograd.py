"""Reverse-mode differentiation: `backward`, `grad`, and when operations record.

A `Node` is made by each operation on a Tensor that requires a gradient. It knows its inputs and the function that takes
the gradient of its output to those of its inputs. Nodes carry the time at which they were made, so "latest first" is a
topological order, and walking it adds up every path by the chain rule without recursion.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import types
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from ._device import array_namespace, is_array, memory_bounds, memory_owner, to_numpy
from ._tensor import Tensor

_clock = itertools.count(1)
tick = _clock.__next__


class _Mode(threading.local):
    """What holds in this thread, and what held outside of each `no_grad` and `debug` that was entered."""

    def __init__(self) -> None:
        self.recording = True
        self.debugging = False
        self.outer: list[bool] = []


mode = _Mode()


class no_grad(contextlib.ContextDecorator):
    """Within it (or within a function that it decorates) operations do not record."""

    def __enter__(self) -> no_grad:
        mode.outer.append(mode.recording)
        mode.recording = False
        return self

    def __exit__(self, *exception: object) -> None:
        mode.recording = mode.outer.pop()


@contextlib.contextmanager
def recorded() -> Iterator[None]:
    """Within it operations record, even inside of `no_grad`."""
    before, mode.recording = mode.recording, True
    try:
        yield
    finally:
        mode.recording = before


class debug(contextlib.ContextDecorator):
    """Within it the engine looks for what it cannot see otherwise, at the price of speed.

    Each operation's result is searched for NaN and infinities, and the first one is named. Each array that a backward
    has saved gets a checksum, compared when it is used: a write through `.data` or `.numpy()` in between is an error.
    """

    def __enter__(self) -> debug:
        mode.outer.append(mode.debugging)
        mode.debugging = True
        return self

    def __exit__(self, *exception: object) -> None:
        mode.debugging = mode.outer.pop()


class Node:
    """One recorded operation: what it was applied to, and the way back."""

    __slots__ = ("__weakref__", "backward", "checksums", "inputs", "name", "operation", "order", "retained", "settings")

    def __init__(self, operation: Any, inputs: tuple, settings: dict[str, Any], backward: Callable):
        self.operation = operation
        self.inputs = inputs
        self.settings = settings
        self.backward: Callable | None = backward
        self.order = tick()
        self.retained: weakref.ref[Tensor] | None = None
        self.checksums: list | None = None

    def free(self) -> None:
        """Let go of the saved arrays and of the nodes before."""
        self.inputs, self.backward, self.checksums = (), None, None


def backward(y: Tensor, upstream: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add dL/dx to `x.grad` of every leaf x that requires a gradient and that `y` was computed from.

    `upstream` is dL/dy, 1 where y is a scalar. The graph is freed as it is walked unless `retain_graph`; with
    `create_graph` the gradients are themselves differentiable (and the graph is kept).
    Raises RuntimeError for a graph that was freed, for a saved value changed in place, and for a non-scalar `y` without
    upstream gradient; ValueError for an upstream gradient of another shape.
    """
    leaves = _walk("backward", y, upstream, None, retain_graph or create_graph, create_graph)
    stored: set[int] = set() if upstream is None else {id(memory_owner(_data(upstream)))}
    for leaf, gradient in leaves.values():
        if leaf.grad is None:
            leaf.grad = _owned(gradient, stored)
        else:
            leaf.grad = leaf.grad + gradient if create_graph else Tensor(leaf.grad.data + gradient)


def grad(
    y: Tensor,
    xs: Tensor | Sequence[Tensor],
    upstream: Any = None,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> Any:
    """dL/dx for each of `xs`, without touching any `.grad`: a Tensor for one x, a tuple for a sequence.

    An x that y does not depend on gets zeros. With `create_graph` the result can be differentiated again, to any order.
    Raises as `backward` does, and ValueError for an x that does not require a gradient.
    """
    several = not isinstance(xs, Tensor)
    targets: list[Tensor] = list(xs) if several else [xs]  # pyright: ignore[reportAssignmentType, reportArgumentType]
    for position, x in enumerate(targets):
        if not isinstance(x, Tensor) or not x.requires_grad:
            raise ValueError(f"grad: xs expects Tensors that require a gradient; number {position} is {x!r}")
    found = _walk("grad", y, upstream, targets, retain_graph or create_graph, create_graph)
    stored: set[int] = set() if upstream is None else {id(memory_owner(_data(upstream)))}
    results = []
    for x in targets:
        if id(x) not in found:
            results.append(Tensor(array_namespace(x.data).zeros_like(x.data)))
        else:
            results.append(_owned(found[id(x)][1], stored))
    return tuple(results) if several else results[0]


def _walk(
    name: str, y: Tensor, upstream: Any, targets: list[Tensor] | None, retain: bool, create: bool
) -> dict[int, tuple[Tensor, Any]]:
    """The gradient of each target (of each leaf, where there are no targets), by the id of the Tensor."""
    start = _upstream(name, y, upstream, create)
    found: dict[int, tuple[Tensor, Any]] = {}
    if y._node is None:
        if targets is None or any(y is x for x in targets):
            found[id(y)] = (y, start)
        return found
    order = latest_first(name, y._node)
    leaves = None if targets is None else {id(x) for x in targets if x._node is None}
    inner = {} if targets is None else {x._node: x for x in targets if x._node is not None}
    leading = None if targets is None else _nodes_that_lead_to(order, leaves, inner)
    gradients: dict[Node, Any] = {y._node: start}
    with contextlib.nullcontext() if create else no_grad():
        for node in order:
            dy = gradients.pop(node, None)
            if dy is not None:
                if node in inner:
                    found[id(inner[node])] = (inner[node], dy)
                if targets is None and node.retained is not None and (tensor := node.retained()) is not None:
                    found[id(tensor)] = (tensor, dy)
                if leading is None or node in leading:
                    _step(node, dy, gradients, found, leading, leaves, create)
            if not retain:
                node.free()
    return found


def _step(
    node: Node, dy: Any, gradients: dict, found: dict, leading: set | None, leaves: set | None, create: bool
) -> None:
    """Take the gradient of one node's output to its inputs, and add it to what has come there on other paths."""
    if node.order < _changes.latest or node.checksums is not None:
        _check_unchanged(node, create)
    derivative: Any = node.operation.body(*node.inputs, **node.settings)[1] if create else node.backward
    results = derivative(dy)
    if type(results) is not tuple:
        results = (results,)
    if len(results) < len(node.inputs):
        _check_nothing_is_missing(node, len(results))
    gradient: Any
    for operand, gradient in zip(node.inputs, results, strict=False):
        if gradient is None or not isinstance(operand, Tensor) or not operand._requires_grad:
            continue
        source = operand._node
        if leading is not None:
            if source not in leading if source is not None else id(operand) not in leaves:  # pyright: ignore[reportOperatorIssue]
                continue
        if callable(gradient):
            gradient = gradient()
        if getattr(gradient, "shape", None) != operand.data.shape:
            raise RuntimeError(
                f"backward of {node.operation.__name__}: an operand of shape {operand.shape} "
                f"got a gradient of {_described(gradient)}"
            )
        if gradient.dtype != operand.data.dtype:
            raise RuntimeError(
                f"backward of {node.operation.__name__}: a {operand.dtype} operand got a {gradient.dtype} gradient "
                "(NumPy's float64 scalars make float64 of everything: use Python's numbers)"
            )
        if isinstance(gradient, np.generic):  # NumPy's arithmetic makes scalars of arrays without axes
            gradient = array_namespace(_data(operand)).asarray(gradient)
        if source is not None:
            gradients[source] = _sum(gradients[source], gradient) if source in gradients else gradient
        elif id(operand) in found:
            found[id(operand)] = (operand, _sum(found[id(operand)][1], gradient))
        else:
            found[id(operand)] = (operand, gradient)


def _sum(a: Any, b: Any) -> Any:
    """The sum of two gradients, by the operation that the package has for it where that may be faster."""
    from ._op import OPS

    if isinstance(a, np.ndarray):
        return OPS["add"](a, b) if a.size > 16384 else np.asanyarray(a + b)
    return a + b


def _check_nothing_is_missing(node: Node, count: int) -> None:
    """Behind the last gradient may stand settings: an operand there that requires a gradient was forgotten."""
    for position, operand in enumerate(node.inputs[count:], count):
        if isinstance(operand, Tensor) and operand._requires_grad:
            raise RuntimeError(
                f"backward of {node.operation.__name__}: {count} gradients came, and operand {position}, "
                f"{node.operation.parameters[min(position, len(node.operation.parameters) - 1)]} of shape "
                f"{operand.shape}, requires one; detach it, or return None for it if there is none to have"
            )


def _described(gradient: Any) -> str:
    shape = getattr(gradient, "shape", None)
    return f"type {type(gradient).__name__}" if shape is None else f"shape {shape}"


def latest_first(name: str, root: Node) -> list[Node]:
    """Every node that `root` depends on, latest first. Inputs are always older: this is a topological order."""
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        if node.backward is None:
            raise RuntimeError(
                f"{name}: the graph of {node.operation.__name__} was freed by an earlier backward(); "
                "call that one with retain_graph=True, or compute the value again"
            )
        for operand in node.inputs:
            if isinstance(operand, Tensor):
                source = operand._node
                if source is not None and source not in seen:
                    seen.add(source)
                    stack.append(source)
    return sorted(seen, key=attrgetter("order"), reverse=True)


def _nodes_that_lead_to(order: list[Node], leaves: set[int] | None, inner: dict) -> set[Node]:
    """The nodes whose gradient is wanted: a target itself, or one with a target somewhere before it."""
    leading: set[Node] = set(inner)
    for node in reversed(order):
        for operand in node.inputs:
            if isinstance(operand, Tensor) and (operand._node in leading or id(operand) in leaves):  # pyright: ignore[reportOperatorIssue]
                leading.add(node)
                break
    return leading


def _upstream(name: str, y: Tensor, upstream: Any, create: bool) -> Any:
    if not isinstance(y, Tensor) or not y._requires_grad:
        raise RuntimeError(f"{name}: y expects a Tensor computed from one that requires a gradient; it is {y!r}")
    xp = array_namespace(y.data)
    if upstream is None:
        if y.data.size != 1:
            raise RuntimeError(
                f"{name}: y of shape {y.shape} is no scalar; pass its upstream gradient dL/dy, or reduce it with sum()"
            )
        return Tensor(xp.ones_like(y.data)) if create else xp.ones_like(y.data)
    if create and isinstance(upstream, Tensor):
        gradient = upstream
    else:
        gradient = xp.asarray(_data(upstream), dtype=y.data.dtype)
    if gradient.shape != y.data.shape:
        raise ValueError(f"{name}: upstream expects shape {y.shape}, that of y; it is {gradient.shape}")
    return Tensor(gradient) if create and not isinstance(gradient, Tensor) else gradient


def _owned(gradient: Any, stored: set[int]) -> Tensor:
    """The gradient as a Tensor with memory of its own: two leaves, or a leaf and its upstream, must not share it."""
    array = _data(gradient)
    if is_array(array.base) or id(array) in stored or not getattr(array.flags, "writeable", True):
        if isinstance(gradient, Tensor) and gradient._requires_grad:
            gradient = gradient.clone()
        else:
            gradient = array.copy(order="K") if isinstance(array, np.ndarray) else array.copy()
    stored.add(id(_data(gradient)))
    return gradient if isinstance(gradient, Tensor) else Tensor(gradient)


def _data(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


class _Changes:
    """Which memory was changed in place, and when, so that a backward can tell whether its saved values are stale."""

    def __init__(self) -> None:
        self.latest = 0
        self.times: dict[tuple[int, int], tuple[int, weakref.ref]] = {}

    def mark(self, array: Any) -> None:
        self.latest = tick()
        owner = memory_owner(array)
        if array.size:
            self.times[memory_bounds(array)] = (self.latest, weakref.ref(owner))
        if len(self.times) > 10_000:
            self.times = {bounds: entry for bounds, entry in self.times.items() if entry[1]() is not None}

    def since(self, array: Any, time: int) -> bool:
        if array.size == 0:
            return False
        low, high = memory_bounds(array)
        owner = memory_owner(array)
        return any(
            changed > time and low < end and start < high and reference() is owner
            for (start, end), (changed, reference) in self.times.items()
        )


_changes = _Changes()
mark_changed = _changes.mark


def _check_unchanged(node: Node, create: bool) -> None:
    """Refuse to use a value that was changed in place after it was saved."""
    needed = [a.data for a in node.inputs if isinstance(a, Tensor)] if create else list(captured_arrays(node.backward))
    for array in needed:
        if _changes.since(array, node.order):
            raise RuntimeError(_changed_message(node, array))
    for array, checksum in node.checksums or ():
        if _checksum(array) != checksum:
            raise RuntimeError(_changed_message(node, array) + " (found by its checksum)")


def _changed_message(node: Node, array: Any) -> str:
    return (
        f"backward of {node.operation.__name__}: the saved {array.dtype} array of shape {array.shape} was changed "
        "in place after the forward pass; change a copy (clone()), or use the value again only after backward()"
    )


def captured_arrays(function: Callable | None) -> Iterator[Any]:
    """The arrays that a backward function has captured, through nested functions and containers."""
    stack, seen = [function], set()
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if is_array(value):
            yield value
        elif isinstance(value, types.FunctionType):
            for cell in value.__closure__ or ():
                with contextlib.suppress(ValueError):  # an empty cell
                    stack.append(cell.cell_contents)
            stack.extend(value.__defaults__ or ())
        elif isinstance(value, (tuple, list)):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())


def _checksum(array: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(to_numpy(array)).view(np.uint8).reshape(-1).data)


def inspect_result(name: str, value: Any, node: Node | None) -> None:
    """Under `debug()`: refuse a result that is not finite, and take the checksums of what was saved."""
    if is_array(value) and value.dtype.kind == "f" and not bool(array_namespace(value).isfinite(value).all()):
        raise FloatingPointError(f"{name}: the result of shape {value.shape} has a NaN or an infinity")
    if node is not None:
        node.checksums = [(array, _checksum(array)) for array in captured_arrays(node.backward)]
