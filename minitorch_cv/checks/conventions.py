"""Calls a pair of plain functions, forward and backward, in whichever of the usual conventions they are written.

1. `forward(x, w, ...) -> y` and `backward(dy, x, w, ...) -> gradients`;
2. `forward(x, w, ...) -> (out, cache)` and `backward(dout, cache) -> gradients`;
3. `forward(x, ...) -> scalar` and `backward(x, ...)`, the gradient of the scalar itself;
4. a layer that remembers: `forward(x, ...) -> y` and `backward(dy)`.

Gradients come back as one array, as a tuple in the order of the inputs (None where there is none to have), or as a dict
under the inputs' names or `d` + name.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np

from minitorch_cv.checks.location import describe_exception
from minitorch_cv.checks.numeric import DOMAIN_ERRORS
from minitorch_cv.checks.report import CheckError

UPSTREAM_NAMES = ("dy", "dout", "d_out", "dz", "dL_dy", "dloss", "grad", "grad_output", "grad_out", "upstream", "delta")
_OUTPUT_NAMES = ("y", "out", "output")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class GradientPair:
    """A forward and its backward with their arguments bound.

    arguments: name -> value in forward's order, arrays of floats as float64; changed: sentences on arguments changed in
    place, filled by `run`; remarks: such sentences on what does no harm to the gradient; convention: how backward is
    called; returned: what backward returned, in words; unknown_gradients: keys of the dict that backward returned which
    name no argument (these three after `run`).
    Raises: CheckError, for arguments that do not fit and for whatever the two functions raise.
    """

    def __init__(self, forward: Callable, backward: Callable, inputs: Any, names: Any = None) -> None:
        for role, function in (("forward", forward), ("backward", backward)):
            if not callable(function):
                raise CheckError(f"check_gradient: {role} expects a function; it is {type(function).__name__}")
        self.forward_function, self.backward_function = forward, backward
        self.forward_name, self.backward_name = function_name(forward, "forward"), function_name(backward, "backward")
        self.by_keyword = isinstance(inputs, dict)
        self.promoted: list[str] = []
        self.arguments = {name: self._prepared(name, value) for name, value in self._named(inputs, names).items()}
        self.changed: list[str] = []
        self.remarks: list[str] = []
        self.convention = ""
        self.without_upstream = False
        self.returned = ""
        self.unknown_gradients: list[str] = []

    def _named(self, inputs: Any, names: Any) -> dict[str, Any]:
        parameters = _parameters(self.forward_function)
        _refuse_tensor("inputs", inputs)
        if isinstance(inputs, dict):
            self._checked_call((), inputs, parameters)
            order = [p.name for p in parameters or () if p.name in inputs]
            return {name: inputs[name] for name in [*order, *(name for name in inputs if name not in order)]}
        if isinstance(inputs, (np.ndarray, np.generic, float)):
            inputs = (inputs,)
        if not isinstance(inputs, (tuple, list)):
            raise CheckError(
                f"check_gradient: inputs expects a tuple, list or dict of arguments; it is {type(inputs).__name__}"
            )
        self._checked_call(tuple(inputs), {}, parameters)
        if names is None:
            known = [p.name for p in parameters or () if p.kind in _POSITIONAL]
            names = [known[i] if i < len(known) else f"x{i}" for i in range(len(inputs))]
        names = [str(name) for name in names]
        if len(names) != len(inputs) or len(set(names)) != len(names):
            raise CheckError(
                f"check_gradient: names expects {len(inputs)} different names, one for each input; they are {names}"
            )
        return dict(zip(names, inputs, strict=True))

    def _checked_call(self, args: tuple, kwargs: dict, parameters: list[inspect.Parameter] | None) -> None:
        if not args and not kwargs:
            raise CheckError("check_gradient: inputs expects at least one argument; there is none")
        if parameters is not None:
            try:
                inspect.Signature(parameters).bind(*args, **kwargs)
            except TypeError as failure:
                text = ", ".join(str(p) for p in parameters)
                raise CheckError(f"{self.forward_name}({text}) cannot be called with these inputs: {failure}") from None

    def _prepared(self, name: str, value: Any) -> Any:
        _refuse_tensor(name, value)
        if isinstance(value, (list, tuple)) and value:
            try:
                array = np.asarray(value)
            except ValueError:
                return value
            return array.astype(np.float64) if array.dtype.kind == "f" else value
        if not isinstance(value, np.ndarray):
            return value
        if value.dtype.kind == "c":
            raise CheckError(f"check_gradient: {name} expects real numbers; its dtype is {value.dtype}")
        if value.dtype.kind != "f":
            return value
        if value.dtype != np.float64:
            self.promoted.append(name)
        value = np.array(value, dtype=np.float64, order="C")
        if not np.isfinite(value).all():
            raise CheckError(f"check_gradient: {name} expects finite numbers; it contains NaN or infinity")
        return value

    @property
    def arrays(self) -> list[str]:
        """Names of the arguments that are arrays of floats: those that can have a gradient."""
        return [name for name, value in self.arguments.items() if is_float_array(value)]

    @property
    def numbers(self) -> list[str]:
        """Names of the arguments that are Python floats: inputs where there is no array, else settings mostly."""
        return [name for name, value in self.arguments.items() if isinstance(value, float)]

    @property
    def integers(self) -> list[str]:
        """Names of the arguments that are integers or arrays of them, which cannot be moved a little."""
        return [name for name, value in self.arguments.items() if _is_integers(value)]

    def outputs(self, **moved: Any) -> np.ndarray:
        """The output with some arguments replaced, without any watching: for differences."""
        values = {name: _fresh(moved.get(name, value)) for name, value in self.arguments.items()}
        try:
            result = self._call(self.forward_function, values)
        except DOMAIN_ERRORS:
            raise
        except Exception as failure:  # not a matter of the domain but of the function
            text = f"{self.forward_name}, with an input moved a little: {describe_exception(failure)}"
            raise CheckError(text) from failure
        return np.asarray(result[0] if isinstance(result, tuple) else result, dtype=np.float64)

    def output(self, **moved: Any) -> np.ndarray:
        """The output, as float64, with every error located."""
        with located(self.forward_name):
            values = {name: _fresh(moved.get(name, value)) for name, value in self.arguments.items()}
            result = self._call(self.forward_function, values)
        return self._checked_output(result)

    def run(
        self, upstream: np.ndarray | None = None, watch: bool = False, moved: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Forward and backward once: the output, and a dict name -> gradient of what backward returned.

        upstream: the gradient of the output (default: ones); watch: note arguments changed in place; moved: arguments
        to replace.
        """
        originals = self.arguments | (moved or {})
        values = {name: _fresh(value) for name, value in originals.items()}
        with located(self.forward_name):
            result = self._call(self.forward_function, values)
        y = self._checked_output(result)
        if watch:
            self._note_changes(self.forward_name, originals, values)
        dy = np.ones_like(y) if upstream is None else upstream
        handed = self._handed_upstream(dy, result)
        values_before = {name: _fresh(value) for name, value in values.items()}
        cache = result[1:] if isinstance(result, tuple) else ()
        cache_before = _fresh(cache) if watch else ()
        call = self._backward_call(handed, result, y, values)
        with located(self.backward_name):
            gradients = call()
        if not watch:
            return y, self._named_gradients(gradients)
        self._note_changes(self.backward_name, values_before, values)
        if isinstance(handed, np.ndarray) and not np.array_equal(handed, dy, equal_nan=True):
            self.changed.append(f"{self.backward_name} changes the upstream gradient in place")
        gradients = _fresh(gradients)  # they may be views of the cache
        if not self.changed and not _equal(cache_before, cache):
            again = self._backward_call(self._handed_upstream(dy, result), result, y, values)
            self._note_changed_cache(gradients, again)
        return y, self._named_gradients(gradients)

    def _call(self, function: Callable, values: dict[str, Any]) -> Any:
        return function(**values) if self.by_keyword else function(*values.values())

    def _checked_output(self, result: Any) -> np.ndarray:
        y = result[0] if isinstance(result, tuple) and result else result
        try:
            array = np.asarray(y)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "fiub":
            raise CheckError(
                f"{self.forward_name}: expected to return an array (or the array and a cache); it returns "
                f"{type(y).__name__}{_where(self.forward_function)}"
            )
        self.output_dtype = array.dtype
        return array.astype(np.float64)

    def _handed_upstream(self, dy: np.ndarray, result: Any) -> Any:
        """A copy of the upstream gradient that keeps its strides; a NumPy number where forward returned a number."""
        y = result[0] if isinstance(result, tuple) else result
        if not isinstance(y, np.ndarray):
            return np.float64(dy)
        return dy.copy() if dy.flags.c_contiguous else _same_strides(dy)

    def _backward_call(self, dy: Any, result: Any, y: np.ndarray, values: dict[str, Any]) -> Callable[[], Any]:
        """Backward with its arguments, in the first convention that its signature fits."""
        parameters = _parameters(self.backward_function)
        function, count = self.backward_function, len(values)
        if parameters is None:
            if isinstance(result, tuple):
                return functools.partial(function, dy, *result[1:])
            return functools.partial(function, dy, *values.values())
        fits = _Fit(parameters)
        by_name = self._named_arguments(parameters, dy, y, values, cached=isinstance(result, tuple))
        if by_name is not None:
            return by_name
        if isinstance(result, tuple) and len(result) > 1:
            rest = result[1:]
            if fits(1) and not fits(2) and fits.names[0] not in UPSTREAM_NAMES and y.ndim == 0:
                self._take(f"{self.backward_name}(cache), the gradient of the scalar itself", without_upstream=True)
                return functools.partial(function, rest[0] if len(rest) == 1 else rest)
            if fits(2):
                self._take(f"{self.forward_name} returns (out, cache), {self.backward_name}(dout, cache)")
                return functools.partial(function, dy, rest[0] if len(rest) == 1 else rest)
            if fits(1 + len(rest)):
                self._take(
                    f"{self.forward_name} returns out and {len(rest)} cached values, given to {self.backward_name}"
                )
                return functools.partial(function, dy, *rest)
        if fits(1 + count):
            self._take(f"{self.backward_name}(dy, {', '.join(values)})")
            return functools.partial(function, dy, *values.values())
        if fits(count) and y.ndim == 0 and (count > 1 or fits.names[:1] != ["dy"]):
            if not (fits.names and fits.names[0] in UPSTREAM_NAMES):
                self._take(
                    f"{self.backward_name}({', '.join(values)}), the gradient of the scalar", without_upstream=True
                )
                return functools.partial(function, *values.values())
        if fits(1):
            self._take(f"{self.backward_name}(dy), which remembers what {self.forward_name} was called with")
            return functools.partial(function, dy)
        raise CheckError(
            f"{self.backward_name}({', '.join(fits.names)}) expects to be called as (dy, {', '.join(values)}), or as "
            f"(dout, cache) where {self.forward_name} returns (out, cache); neither fits{_where(function)}"
        )

    def _named_arguments(
        self, parameters: list[inspect.Parameter], dy: Any, y: np.ndarray, values: dict[str, Any], cached: bool
    ) -> Callable[[], Any] | None:
        """Backward by its arguments' names, if its names say it all: the upstream gradient and forward's arguments."""
        named = [p for p in parameters if p.kind in (*_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)]
        if len(named) != len(parameters) or not named:
            return None
        upstream = next((p.name for p in named if p.name in UPSTREAM_NAMES and p.name not in values), None)
        if upstream is None and named[0].name not in values:
            upstream = named[0].name
        if upstream is None and not cached:  # backward(x, w, g): the one argument that is not forward's
            required = [p.name for p in named if p.default is p.empty]
            strange = [name for name in required if name not in values and name not in _OUTPUT_NAMES]
            upstream = strange[0] if len(strange) == 1 else None
        args, kwargs, passed, stop = [], {}, [], False
        for p in named:
            if p.name == upstream:
                value = dy
            elif p.name in values:
                value = values[p.name]
            elif p.name in _OUTPUT_NAMES and p.default is p.empty:
                value = y.copy()
            elif p.default is not p.empty:
                stop = True
                continue
            else:
                return None
            passed.append(p.name)
            if p.kind is inspect.Parameter.KEYWORD_ONLY or (stop and p.kind is not inspect.Parameter.POSITIONAL_ONLY):
                kwargs[p.name] = value
            else:
                args.append(value)
        if not any(name in values for name in passed):
            return None
        call = f"{self.backward_name}({', '.join(passed)})"
        if upstream is None:
            if y.ndim:
                raise CheckError(
                    f"{call} expects the gradient of the output as its first argument, since {self.forward_name} "
                    f"returns an array of shape {y.shape}{_where(self.backward_function)}"
                )
            self._take(f"{call}, the gradient of the scalar itself", without_upstream=True)
        else:
            self._take(call)
        return functools.partial(self.backward_function, *args, **kwargs)

    def _take(self, convention: str, without_upstream: bool = False) -> None:
        self.convention, self.without_upstream = convention, without_upstream

    def _note_changes(self, function: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        for name, value in before.items():
            if isinstance(value, np.ndarray) and not np.array_equal(
                value, after[name], equal_nan=value.dtype.kind == "f"
            ):
                sentence = f"{function} changes its input {name} in place"
                if sentence not in self.changed:
                    self.changed.append(sentence)

    def _note_changed_cache(self, gradients: Any, again: Callable[[], Any]) -> None:
        """Say what a backward that changed its cache does when it is called again with the same cache."""
        sentence = f"{self.backward_name} changes its cache in place"
        try:
            with np.errstate(all="ignore"):
                repeated = _equal(gradients, again())
        except Exception as failure:  # a user's function may raise anything
            repeated = False
            sentence += f": called again with the same cache it raises {describe_exception(failure)}"
        else:
            sentence += "" if repeated else ": called again with the same cache it gives another gradient"
        (self.remarks if repeated else self.changed).append(sentence)

    def _named_gradients(self, gradients: Any) -> dict[str, Any]:
        """What backward returned, under the names of forward's arguments; a name that is missing has no gradient."""
        names, arrays = list(self.arguments), self.arrays
        self.unknown_gradients = []
        if gradients is None:
            self.returned = "None"
            return {}
        if isinstance(gradients, dict):
            return self._gradients_from_dict(gradients)
        if not isinstance(gradients, (tuple, list)):
            gradients = (gradients,)
        self.returned = f"{len(gradients)} gradient" + ("s" if len(gradients) != 1 else "")
        if len(gradients) == len(names):
            return dict(zip(names, gradients, strict=True))
        if len(gradients) <= len(arrays):
            return dict(zip(arrays, gradients, strict=False))
        if len(gradients) < len(names):
            return dict(zip(names, gradients, strict=False))
        raise CheckError(
            f"{self.backward_name}: expected at most {len(names)} gradients, for {', '.join(names)}; it returns "
            f"{len(gradients)}{_where(self.backward_function)}"
        )

    def _gradients_from_dict(self, gradients: dict) -> dict[str, Any]:
        found, unknown = {}, list(gradients)
        unused = [p.name for p in _parameters(self.forward_function) or () if p.name not in self.arguments]
        for name in [*self.arguments, *unused]:
            for key in (f"d{name}", f"d_{name}", f"grad_{name}", f"{name}_grad", name, f"dL_d{name}"):
                if key in unknown:
                    found[name] = gradients[key]
                    unknown.remove(key)
                    break
        self.unknown_gradients = [str(key) for key in unknown if gradients[key] is not None]
        self.returned = f"a dict with {', '.join(map(str, gradients))}" if gradients else "an empty dict"
        return {name: gradient for name, gradient in found.items() if name in self.arguments}


class _Fit:
    """Whether a signature can be called with so many positional arguments."""

    def __init__(self, parameters: list[inspect.Parameter]) -> None:
        positional = [p for p in parameters if p.kind in _POSITIONAL]
        self.names = [p.name for p in positional]
        self.least = sum(p.default is p.empty for p in positional)
        self.most = 10**6 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(positional)
        self.possible = not any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)

    def __call__(self, count: int) -> bool:
        return self.possible and self.least <= count <= self.most


def is_float_array(value: Any) -> bool:
    """Whether a value is an array of real floating-point numbers."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def integers_text(name: str, value: Any) -> str:
    """Why an argument of integers has no gradient, and what to write."""
    kind, example = ("an integer", float(value)) if np.ndim(value) == 0 else ("an array of integers", 1.0)
    return f"{name} is {kind}, so it is not differentiated: write {example} for {example:g} to have it checked"


def _is_integers(value: Any) -> bool:
    if not isinstance(value, (int, list, tuple, np.ndarray, np.generic)):
        return False
    try:
        return np.asarray(value).dtype.kind in "iu"
    except ValueError:  # a ragged list
        return False


def _refuse_tensor(name: str, value: Any) -> None:
    """Tensors of any library are no plain arrays; their gradients are the library's own."""
    if any(base.__name__ == "Tensor" for base in type(value).__mro__):
        raise CheckError(f"check_gradient: {name} is a Tensor; pass arrays ({name}.numpy())")


def function_name(function: Any, fallback: str) -> str:
    """A function's name as its author knows it."""
    name = getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", None)
    return fallback if name in (None, "<lambda>") else str(name)


@contextmanager
def located(name: str):
    """Turn an exception inside a user's function into one CheckError that names its file, line and source."""
    try:
        with np.errstate(all="ignore"):
            yield
    except CheckError:
        raise
    except Exception as failure:  # a user's function may raise anything
        raise CheckError(f"{name}: {describe_exception(failure)}") from failure


def _where(function: Any) -> str:
    code = _code(function)
    return f" ({code.co_filename}, line {code.co_firstlineno})" if code is not None else ""


def _code(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004 (its code is wanted, not whether it exists)
    return getattr(function, "__code__", None)


def _parameters(function: Callable) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a compiled function without a signature
        return None


def _fresh(value: Any) -> Any:
    """A copy that a function may spoil; an array keeps its strides."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.copy() if value.flags.c_contiguous else _same_strides(value)
    try:
        return copy.deepcopy(value)
    except TypeError:  # what cannot be copied, such as a module or an open file, is no place to keep numbers in
        return value


def _equal(a: Any, b: Any) -> bool:
    """Whether two values hold the same numbers, through tuples, lists and dicts; other objects are not looked into."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.dtype.kind not in "fiub":
            return a.shape == b.shape
        return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-12, atol=0, equal_nan=True))
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (int, float, str)):
        return bool(a == b or (a != a and b != b))
    return type(a) is type(b)


def _same_strides(array: np.ndarray) -> np.ndarray:
    if array.flags.f_contiguous:
        return array.copy(order="F")
    return strided(array)


def column_major(array: np.ndarray) -> np.ndarray:
    """The same numbers with the first axis moving fastest; of a single number a copy, without a new axis."""
    return np.asfortranarray(array) if array.ndim else array.copy()


def strided(array: np.ndarray) -> np.ndarray:
    """The same numbers as a view with gaps: every second entry of a wider array."""
    if array.ndim == 0:
        return array.copy()
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]
