"""`@op`: one function over arrays becomes a differentiable operation; the registry of all of them; the dispatcher.

The body returns its value and its backward. Called on arrays the operation just computes. Called on Tensors it computes
on their arrays and, where one of them requires a gradient, makes the node that leads back. For derivatives of
derivatives the engine calls the body again on the Tensors: the backward that it then returns has captured Tensors, and
records.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import os
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, Protocol, cast, overload

import numpy as np

from ._autograd import Node, inspect_result, mode
from ._device import array_namespace, device_of, is_array
from ._kernel_usage import count, listeners
from ._pytorch_names import unknown_argument
from ._tensor import Tensor, make
from .kernels import manifest

P = ParamSpec("P")


class Operation(Protocol):
    """What `@op` makes: a function, with what the engine and the checks need to know of it."""

    __name__: str
    __module__: str
    body: Callable
    """The portable body."""
    faster: list[manifest.Body]
    """The faster bodies that the manifest lists, the preferred first."""
    linear_in: tuple[str, ...]
    """The operands in which the operation is linear."""
    parameters: tuple[str, ...]
    """The names of operands and settings, in order."""

    def __call__(self, *args: Any, **settings: Any) -> Any: ...


OPS: dict[str, Operation] = {}

PORTABLE_ONLY = os.environ.get("MINITORCH_CV_KERNELS", "") == "portable"
if not PORTABLE_ONLY and os.environ.get("MINITORCH_CV_KERNELS"):
    raise ValueError(f"MINITORCH_CV_KERNELS expects portable, or nothing; it is {os.environ['MINITORCH_CV_KERNELS']!r}")


@overload
def op(body: Callable[P, Any], *, linear_in: tuple[str, ...] = ()) -> Callable[P, Any]: ...


@overload
def op(body: None = None, *, linear_in: tuple[str, ...] = ()) -> Callable[[Callable[P, Any]], Callable[P, Any]]: ...


def op(body: Callable | None = None, *, linear_in: tuple[str, ...] = ()) -> Any:
    """Make a differentiable operation of `body(operands..., settings...) -> (value, backward)` and register it.

    `backward(dy)` returns the gradient of each operand, in order: an array of the operand's shape, None where there is
    none to have, or a function of no arguments that computes it if it is wanted. A body may return a tuple of values;
    only the first carries a gradient. `linear_in` names operands in which the operation is linear, for the adjoint
    test.
    """
    if body is None:
        return functools.partial(op, linear_in=linear_in)
    name = body.__name__
    if name in OPS and OPS[name].__module__ != body.__module__:
        raise ValueError(f"op: an operation of the name {name} exists already, in {OPS[name].__module__}")
    bind = _binder(body)
    faster = [] if PORTABLE_ONLY else [entry for entry in manifest.BODIES if entry.operation == name]

    @functools.wraps(body)
    def call(*args: Any, **settings: Any) -> Any:
        if settings:
            args, settings = bind(args, settings)
        arrays, first, record, mixed = [], None, False, False
        for a in args:
            if isinstance(a, Tensor):
                data = a.data
                arrays.append(data)
                if first is None:
                    first = data
                elif data.dtype is not first.dtype or type(data) is not type(first):
                    mixed = True
                if a._requires_grad:
                    record = True
            else:
                arrays.append(a)
                if type(a) not in _PLAIN:
                    mixed = True
        if first is None:
            chosen = choose(operation, faster, arrays, settings) if faster or listeners else operation.body
            return chosen(*arrays, **settings)[0]
        if mixed:
            _check_mixture(name, positional, args, arrays)
        chosen = choose(operation, faster, arrays, settings) if faster or listeners else operation.body
        value, backward = chosen(*arrays, **settings)
        others = None
        if type(value) is tuple:
            value, *others = value
        if not isinstance(value, np.ndarray):
            value = _as_array(value, first)
        node = Node(operation, args, settings, backward) if record and mode.recording else None
        if mode.debugging:
            inspect_result(name, value, node)
        result = make(value, node)
        return result if others is None else (result, *[make(_as_array(other, first), None) for other in others])

    parameters = inspect.signature(body).parameters
    positional = tuple(p.name for p in parameters.values() if p.kind is not p.KEYWORD_ONLY)
    operation = cast("Operation", call)
    operation.body, operation.faster, operation.linear_in = body, faster, linear_in
    operation.parameters = tuple(parameters)
    OPS[name] = operation
    return operation


# What may stand among the operands and needs no check. Types, not instances: a NumPy float64 is a float, too.
_PLAIN = frozenset([type(None), bool, int, float, str, tuple, slice])


def choose(operation: Operation, faster: list, arrays: list, settings: dict[str, Any]) -> Callable:
    """The body to run: the first faster one that suits device, dtype and layout, else the portable one."""
    chosen, name = operation.body, "portable"
    for entry in faster:
        if suits(entry, arrays):
            candidate = _loaded(entry)
            accepts = getattr(candidate, "accepts", None)
            if candidate is not None and (accepts is None or accepts(*arrays, **settings)):
                chosen, name = candidate, f"{entry.module.partition('.')[2]}.{entry.function}"
                break
    if listeners:
        count(operation.__name__, name, arrays)
    return chosen


def suits(entry: manifest.Body, arrays: Iterable) -> bool:
    """Whether all floating operands are of one dtype that the body knows, aligned, and on its device."""
    met = None
    for a in arrays:
        if isinstance(a, np.ndarray) or is_array(a):
            dtype = a.dtype
            if dtype.kind != "f":
                if not entry.takes_integers:
                    return False
                continue
            if met is None:
                if _DTYPE_NAMES.get(dtype, "") not in entry.dtypes:
                    return False
                met = dtype
            elif dtype != met:
                return False
            if device_of(a) != entry.device or not getattr(a.flags, "aligned", True):
                return False
    return met is not None


_DTYPE_NAMES = {np.dtype(name): name for name in ("float16", "float32", "float64")}


def faster_update(name: str, parameters: list, gradients: list, *states: list) -> Callable | None:
    """The faster body of an optimiser's update, where there is one for these arrays."""
    if PORTABLE_ONLY:
        return None
    for entry in manifest.UPDATES:
        if entry.operation == name and suits(entry, itertools.chain(parameters, gradients, *states)):
            body = _loaded(entry)
            if body is not None and body.accepts(parameters, gradients, *states):
                if listeners:
                    count(name, f"{entry.module.partition('.')[2]}.{entry.function}", parameters)
                return body
    if listeners:
        count(name, "portable", parameters)
    return None


@functools.cache
def _loaded(entry: manifest.Body) -> Callable | None:
    """The body's function, or None where it cannot be compiled: Numba and LLVM have no wheel for every machine."""
    try:
        return getattr(importlib.import_module(entry.module), entry.function)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("numba", "llvmlite"):
            raise
        return None


def _binder(body: Callable) -> Callable:
    """Puts operands that were passed by keyword into their positions; keyword-only settings stay."""
    parameters = inspect.signature(body).parameters
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    position = {p.name: i for i, p in enumerate(positional)}
    defaults = [p.default for p in positional]
    name = body.__name__
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())

    def bind(args: tuple, given: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        settings, named = {}, {}
        for key, value in given.items():
            if key not in position:
                if key not in parameters and not takes_any:
                    raise unknown_argument(name, [key], parameters)
                settings[key] = value
            elif position[key] < len(args):
                raise TypeError(f"{name}: {key} was given twice")
            else:
                named[position[key]] = value
        if not named:
            return args, settings
        filled = list(args)
        for i in range(len(args), max(named) + 1):
            value = named.get(i, defaults[i])
            if value is inspect.Parameter.empty:
                raise TypeError(f"{name}: {positional[i].name} is missing")
            filled.append(value)
        return tuple(filled), settings

    return bind


def _check_mixture(name: str, positional: tuple[str, ...], operands: tuple, arrays: list) -> None:
    """Refuse operands of several floating dtypes or on several devices; turn NumPy's scalars into numbers."""
    met: tuple[int, str, Any] | None = None
    for position, a in enumerate(arrays):
        if isinstance(a, np.generic):
            arrays[position] = a.item()
        elif is_array(a):
            label = _label(positional, position, len(operands))
            if a.dtype.kind == "f" and met is not None and a.dtype != met[2].dtype:
                number, first, other = met
                ways = (
                    _conversion(first, operands[number], a.dtype),
                    _conversion(label, operands[position], other.dtype),
                )
                raise TypeError(
                    f"{name.removesuffix('_operands')}: {first} is {other.dtype} and {label} is {a.dtype}; "
                    f"convert one: {' or '.join(ways)} (NumPy's arrays are float64 unless made otherwise; "
                    "a whole module: net.float() or net.double())"
                )
            if met is not None and device_of(a) != device_of(met[2]):
                raise TypeError(
                    f"{name}: {label} expects to be on {device_of(met[2])!r}, with {met[1]}; "
                    f"it is on {device_of(a)!r}. Move one with .to(device)"
                )
            if met is None and a.dtype.kind == "f":
                met = position, label, a


def _label(positional: tuple[str, ...], position: int, count: int) -> str:
    """The operand's name; where one name stands for several operands (*arrays) with its number."""
    last = len(positional) - 1
    return positional[position] if count <= last + 1 else f"{positional[last]}[{position - last}]"


def _conversion(label: str, operand: Any, dtype: Any) -> str:
    """How one writes that an operand be of another dtype."""
    method = {"float32": "float", "float64": "double"}.get(dtype.name)
    if isinstance(operand, Tensor) and method is not None:
        return f"{label}.{method}()"
    return f"{label}.astype({dtype.name!r})"


def _as_array(value: Any, like: Any) -> Any:
    return value if is_array(value) else array_namespace(like).asarray(value)
