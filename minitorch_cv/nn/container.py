"""Modules that hold others: in a row, in a list."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

from .module import Module


class _Numbered(Module):
    """Submodules under names that are numbers, or under names of their own."""

    def _append(self, module: Module, name: str | None = None) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expects Modules; it got {module!r}")
        setattr(self, str(len(self)) if name is None else name, module)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: Any) -> Any:
        modules = list(self.children())
        if isinstance(index, slice):
            return type(self)(*modules[index]) if isinstance(self, Sequential) else type(self)(modules[index])  # pyright: ignore[reportCallIssue]
        try:
            return modules[operator.index(index)]
        except IndexError:
            raise IndexError(f"{type(self).__name__}: index {index} is outside its {len(modules)} modules") from None

    def __setitem__(self, index: int, module: Module) -> None:
        names = [name for name, _ in self.named_children()]
        setattr(self, names[index], module)


class Sequential(_Numbered):
    """Modules one after the other: `Sequential(a, b)(x)` is `b(a(x))`. A dict gives them names."""

    def __init__(self, *modules: Any):
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, module in modules[0].items():
                self._append(module, name)
        else:
            for module in modules:
                self._append(module)

    def append(self, module: Module) -> Sequential:
        self._append(module)
        return self

    def forward(self, x: Any) -> Any:
        for module in self.children():
            x = module(x)
        return x


class ModuleList(_Numbered):
    """A list of modules whose parameters are found."""

    def __init__(self, modules: Iterable[Module] = ()):
        self.extend(modules)

    def append(self, module: Module) -> ModuleList:
        self._append(module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        for module in modules:
            self._append(module)
        return self
