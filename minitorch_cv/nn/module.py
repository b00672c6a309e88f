"""Module: what has parameters, buffers and submodules, and computes with `forward`."""

from __future__ import annotations

import contextlib
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._autograd import mark_changed
from .._device import to_device
from .._tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a Module learns: it requires a gradient and is found by `parameters()`."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, device: str | None = None, dtype: Any = None):
        super().__init__(data, requires_grad, device, dtype)

    def __repr__(self) -> str:
        return "Parameter" + super().__repr__().removeprefix("Tensor").replace("\n", "\n   ").replace(
            ", requires_grad=True", ""
        )


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` left alone."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class RemovableHandle:
    """Takes a hook away again: by `remove()`, or at the end of a `with` block."""

    def __init__(self, hooks: dict[int, Callable], key: int):
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Module:
    """A part of a network: what of its attributes is a Parameter or a Module belongs to it.

    Subclasses define `forward`; a call runs it, with the hooks. Tensors that belong to the state but are not learned
    (running statistics) are registered by `register_buffer`.
    """

    training: bool = True
    _buffer_names: tuple[str, ...] = ()
    _forward_hooks: dict[int, Callable] | None = None
    _forward_pre_hooks: dict[int, Callable] | None = None

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no forward(); define it to say what the module computes")

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        if self._forward_pre_hooks:
            for hook in tuple(self._forward_pre_hooks.values()):
                changed = hook(self, inputs)
                if changed is not None:
                    inputs = changed if isinstance(changed, tuple) else (changed,)
        y = self.forward(*inputs, **settings)
        if self._forward_hooks:
            for hook in tuple(self._forward_hooks.values()):
                changed = hook(self, inputs, y)
                y = y if changed is None else changed
        return y

    # ---- what it is made of

    def register_buffer(self, name: str, value: Tensor | None) -> None:
        """Make `value` part of the state, under `name`, without its being learned."""
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"register_buffer: {name} expects a Tensor or None; it is {value!r}")
        setattr(self, name, value)
        if name not in self._buffer_names:
            self._buffer_names = (*self._buffer_names, name)

    def register_parameter(self, name: str, value: Parameter | None) -> None:
        """The same as `self.name = value`, for a name that is computed."""
        if value is not None and not isinstance(value, Parameter):
            raise TypeError(f"register_parameter: {name} expects a Parameter or None; it is {value!r}")
        setattr(self, name, value)

    def add_module(self, name: str, module: Module | None) -> None:
        """The same as `self.name = module`, for a name that is computed."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name} expects a Module or None; it is {module!r}")
        setattr(self, name, module)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        for _, child in self.named_children():
            yield child

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (under `prefix`) and all within it, each once."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                stack.extend(
                    reversed([(f"{name}.{key}" if name else key, child) for key, child in module.named_children()])
                )

    def modules(self) -> Iterator[Module]:
        for _, module in self.named_modules():
            yield module

    def get_submodule(self, name: str) -> Module:
        module: Module = self
        for key in name.split(".") if name else ():
            child = dict(module.named_children()).get(key)
            if child is None:
                raise KeyError(f"get_submodule: {type(self).__name__} has no module {name!r}")
            module = child
        return module

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Each parameter once, under the first name that leads to it."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> Iterator[Parameter]:
        for _, parameter in self.named_parameters():
            yield parameter

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Each buffer once, under the first name that leads to it."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name in module._buffer_names:
                value = getattr(module, name)
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def buffers(self) -> Iterator[Tensor]:
        for _, buffer in self.named_buffers():
            yield buffer

    # ---- state

    def _state(self) -> dict[str, Tensor]:
        """By name, a module's parameters, its buffers, then its submodules: PyTorch's order."""
        state: dict[str, Tensor] = {}
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            prefix, module = stack.pop()
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    state[prefix + name] = value
            for name in module._buffer_names:
                if getattr(module, name) is not None:
                    state[prefix + name] = getattr(module, name)
            stack.extend(reversed([(f"{prefix}{key}.", child) for key, child in module.named_children()]))
        return state

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers by their published names, detached; the memory is shared with the module."""
        return OrderedDict((name, value.detach()) for name, value in self._state().items())

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values in by name. All names, shapes and types are checked before anything is changed.

        Raises ValueError that lists the missing and unexpected names (unless `strict` is False) and the values of
        another shape, or that are no numbers.
        """
        own = self._state()
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        # Copies: what one entry is to become may be the memory of another.
        values = {name: np.asarray(state[name]).copy() for name in own if name in state}
        misshapen = [
            f"{name} expects {tensor.shape}; it is {values[name].shape}"
            for name, tensor in own.items()
            if name in values and values[name].shape != tensor.shape
        ]
        no_numbers = [f"{name} is {value.dtype}" for name, value in values.items() if value.dtype.kind not in "fiub"]
        problems = ["misshapen: " + "; ".join(misshapen)] if misshapen else []
        problems += ["no numbers: " + "; ".join(no_numbers)] if no_numbers else []
        if strict:
            problems += ["missing: " + ", ".join(missing)] if missing else []
            problems += ["unexpected: " + ", ".join(unexpected)] if unexpected else []
        if problems:
            raise ValueError(f"load_state_dict: the state does not fit {type(self).__name__}; " + "; ".join(problems))
        for name, value in values.items():
            own[name].data[...] = to_device(value, own[name].device)
            mark_changed(own[name].data)
        return IncompatibleKeys(missing, unexpected)

    # ---- changes of the whole

    def train(self, mode: bool = True) -> Module:
        """Put this module and all within it in training mode (or, with False, in evaluation mode)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        return self.train(False)

    def requires_grad_(self, value: bool = True) -> Module:
        for parameter in self.parameters():
            parameter.requires_grad = value
        return self

    def zero_grad(self) -> None:
        """Let go of the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, device: Any = None, dtype: Any = None) -> Module:
        """Move all parameters and buffers to a device, and the floating ones to a dtype, with their gradients.

        `module.to("cuda")`, `module.to(np.float64)`, `module.to("cuda", np.float32)`. The Parameters stay the same
        objects, so an optimiser goes on holding them; state that it has built up already is not moved.
        """
        if device is not None and dtype is None and not _names_a_device(device):
            device, dtype = None, device
        for tensor in (*self.parameters(), *self.buffers()):
            tensor.data = _moved(tensor, device, dtype).data
            if tensor.grad is not None:
                tensor.grad = _moved(tensor.grad, device, dtype)
        return self

    def float(self) -> Module:
        return self.to(dtype=np.float32)

    def double(self) -> Module:
        return self.to(dtype=np.float64)

    def apply(self, function: Callable[[Module], Any]) -> Module:
        """Call `function` once on every module within this one, in their order and children first; on this one last."""
        seen: set[int] = set()
        stack: list[tuple[Module, bool]] = [(self, False)]
        while stack:
            module, children_are_done = stack.pop()
            if children_are_done:
                function(module)
            elif id(module) not in seen:
                seen.add(id(module))
                stack.append((module, True))
                stack.extend((child, False) for child in reversed(list(module.children())))
        return self

    # ---- hooks

    def register_forward_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, inputs, output)` after each forward; what it returns, unless None, replaces the output."""
        if self._forward_hooks is None:
            self._forward_hooks = {}
        return _add_hook(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, inputs)` before each forward; what it returns, unless None, replaces the inputs."""
        if self._forward_pre_hooks is None:
            self._forward_pre_hooks = {}
        return _add_hook(self._forward_pre_hooks, hook)

    # ---- how it looks

    def extra_repr(self) -> str:
        """The settings, as they stand in the parentheses of `repr`."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        inside = [self.extra_repr()] * bool(self.extra_repr()) + children
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(inside) + "\n)"


_hook_numbers = itertools.count()  # never used twice, so that a handle cannot remove a later hook


def _add_hook(hooks: dict[int, Callable], hook: Callable) -> RemovableHandle:
    key = next(_hook_numbers)
    hooks[key] = hook
    return RemovableHandle(hooks, key)


def _names_a_device(value: Any) -> bool:
    return isinstance(value, str) and value.partition(":")[0] in ("cpu", "cuda", "cuda-sim")


def _moved(tensor: Tensor, device: str | None, dtype: Any) -> Tensor:
    """Detached; on `device`, and of `dtype` if it is floating."""
    return tensor.detach().to(device, dtype if tensor.dtype.kind == "f" else None)


@contextlib.contextmanager
def evaluation(module: Module) -> Iterator[Module]:
    """Within it the module is in evaluation mode; afterwards each of its parts is in the mode in which it was."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield module
    finally:
        for part, training in before:
            part.training = training
