"""A forward pass that can be run again with some of its intermediate values moved or held."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minitorch_cv.checks.report import CheckError

_NODE = "node"
_OUTPUT = "y"


class ForwardPass(ABC):
    """A forward pass that can be run again with some of its values moved or held.

    ``run(inputs, node)`` calls ``node(name, value)`` for each intermediate value in order and goes on with what it
    returns; the last value is the output.
    """

    inputs: list[str]
    """The names of the inputs, in the order in which they are first needed."""

    @abstractmethod
    def run(self, inputs: Mapping[str, Any], node: Callable[[str, Any], Any]) -> None:
        """Run once, passing every intermediate value through ``node``."""


class NamedSteps(ForwardPass):
    """Named functions whose argument names are the values that they are computed from."""

    def __init__(self, steps: Mapping[str, Callable] | Iterable[Callable]):
        if isinstance(steps, Mapping):
            self.steps = {str(name): step for name, step in steps.items()}
        else:
            functions = list(steps)
            self.steps = {getattr(step, "__name__", repr(step)): step for step in functions}
            if len(self.steps) != len(functions):
                raise CheckError("check_derivation: two steps have the same name; give them as a dict name -> function")
        if not self.steps:
            raise CheckError("check_derivation: steps is empty; it expects a dict name -> function, the output last")
        self.parents = {name: self._parents_of(name, step) for name, step in self.steps.items()}
        before: set[str] = set()
        self.inputs = []
        for name, parents in self.parents.items():
            for parent in parents:
                if parent in self.steps and parent not in before:
                    raise CheckError(f"check_derivation: step {name} is computed from {parent}, which comes after it")
                if parent not in self.steps and parent not in self.inputs:
                    self.inputs.append(parent)
            before.add(name)

    def _parents_of(self, name: str, step: Callable) -> list[str]:
        if not callable(step):
            raise CheckError(f"check_derivation: step {name} is a {type(step).__name__}; it expects a function")
        try:
            parameters = inspect.signature(step).parameters.values()
        except (TypeError, ValueError):
            raise CheckError(
                f"check_derivation: step {name} does not say what it is computed from; wrap it in a lambda whose "
                f"arguments are the names of its parents"
            ) from None
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise CheckError(
                    f"check_derivation: step {name}{inspect.signature(step)}: its arguments must name the values that "
                    f"it is computed from; {parameter} names none"
                )
        # an argument with a default that names no step is a constant, such as eps=1e-5
        return [p.name for p in parameters if p.default is p.empty or p.name in self.steps]

    def run(self, inputs: Mapping[str, Any], node: Callable[[str, Any], Any]) -> None:
        values = dict(inputs)
        for name, step in self.steps.items():
            arguments = {parent: values[parent] for parent in self.parents[name]}
            values[name] = node(name, step(**arguments))


class TracedFunction(ForwardPass):
    """One function that passes each intermediate value through its argument ``node``."""

    def __init__(self, forward: Callable):
        self.forward = forward
        parameters = inspect.signature(forward).parameters.values()
        self.inputs = [p.name for p in parameters if p.name != _NODE and p.default is p.empty]

    def run(self, inputs: Mapping[str, Any], node: Callable[[str, Any], Any]) -> None:
        last: list[Any] = [None]

        def keep(name: str, value: Any) -> Any:
            last[0] = node(name, value)
            return last[0]

        returned = self.forward(**inputs, **{_NODE: keep})
        if returned is not None and returned is not last[0]:  # the output was returned without a name
            node(_OUTPUT, returned)


def forward_pass_of(steps: Any) -> ForwardPass:
    """The forward pass given as named steps or as a function with an argument ``node``."""
    if isinstance(steps, Mapping):
        return NamedSteps(steps)
    if callable(steps):
        if _NODE in inspect.signature(steps).parameters:
            return TracedFunction(steps)
        raise CheckError(
            f"check_derivation: {getattr(steps, '__name__', 'forward')}{inspect.signature(steps)} expects an argument "
            f"`node`, through which it passes its intermediate values: mean = node('mean', x.mean(axis=0)); or give "
            f"the steps as a dict name -> function"
        )
    if isinstance(steps, Iterable):
        return NamedSteps(steps)
    raise CheckError(f"check_derivation: steps expects a dict name -> function; it is a {type(steps).__name__}")
