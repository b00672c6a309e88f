"""Modules that hold others: in a row, in a list."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .module import Module


class _Numbered(Module):
    """Submodules under names that are numbers, or under names of their own."""

    def _append(self, module: Module, name: str | None = None) -> None:
        self._check_module(module)
        taken = dict(self.named_children())
        if name is None:
            number = len(taken)
            while str(number) in taken:  # after a slice or a deletion the numbers need not start at 0
                number += 1
            name = str(number)
        elif not name or "." in name or name in taken or hasattr(self, name):
            raise ValueError(
                f"{type(self).__name__}: a name expects to be new, without dots, and no attribute's; it is {name!r}"
            )
        setattr(self, name, module)

    def _check_module(self, module: Any) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expects Modules; it got {module!r}")

    def _position(self, index: Any) -> int:
        position, length = operator.index(index), len(self)
        if not -length <= position < length:
            raise IndexError(f"{type(self).__name__}: index {position} is outside its {length} modules")
        return position % length

    def _renumber(self, modules: list[Module]) -> None:
        """Hold `modules`, named by their positions."""
        for name in [name for name, _ in self.named_children()]:
            delattr(self, name)
        for position, module in enumerate(modules):
            setattr(self, str(position), module)

    def _insert(self, index: int, module: Module) -> None:
        self._check_module(module)
        names = [name for name, _ in self.named_children()]
        if not all(name.isdecimal() for name in names):
            raise ValueError(f"{type(self).__name__}: insert expects modules named by numbers; they are {names}")
        modules = list(self.children())
        modules.insert(index, module)
        self._renumber(modules)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __setitem__(self, index: int, module: Module) -> None:
        self._check_module(module)
        names = [name for name, _ in self.named_children()]
        setattr(self, names[self._position(index)], module)


class Sequential(_Numbered):
    """Modules one after the other: `Sequential(a, b)(x)` is `b(a(x))`. A dict gives them names.

    A slice is a Sequential of the same modules under the same names.
    """

    def __init__(self, *modules: Any):
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self._append(module, name)
        else:
            for module in modules:
                self._append(module)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(list(self.named_children())[index]))
        return list(self.children())[self._position(index)]

    def __delitem__(self, index: int) -> None:
        """Take one module out; the others keep their names."""
        delattr(self, [name for name, _ in self.named_children()][self._position(index)])

    def append(self, module: Module) -> Sequential:
        self._append(module)
        return self

    def insert(self, index: int, module: Module) -> Sequential:
        self._insert(index, module)
        return self

    def extend(self, modules: Iterable[Module]) -> Sequential:
        for module in modules:
            self._append(module)
        return self

    def forward(self, x: Any) -> Any:
        for module in self.children():
            x = module(x)
        return x


class ModuleList(_Numbered):
    """A list of modules whose parameters are found, named by their positions. It has no forward of its own."""

    def __init__(self, modules: Iterable[Module] = ()):
        self.extend(modules)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ModuleList(list(self.children())[index])
        return list(self.children())[self._position(index)]

    def __delitem__(self, index: int) -> None:
        """Take one module out; those behind it move up."""
        modules = list(self.children())
        del modules[self._position(index)]
        self._renumber(modules)

    def append(self, module: Module) -> ModuleList:
        self._append(module)
        return self

    def insert(self, index: int, module: Module) -> ModuleList:
        self._insert(index, module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        for module in modules:
            self._append(module)
        return self
