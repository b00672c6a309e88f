"""Arrays of the device "cuda-sim": NumPy's memory, on which the CUDA kernels are run by the simulator."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


class SimulatedArray(np.ndarray):
    """An array of a simulated GPU. What NumPy computes from it is one, too, so that the device is never lost."""

    def __array_function__(self, function, types, args, kwargs) -> Any:
        return simulated(super().__array_function__(function, types, args, kwargs))

    def get(self) -> np.ndarray:
        """A copy on the CPU, as a CuPy array's `get`."""
        return np.array(self, order="K", copy=True, subok=False)


def simulated(value: Any) -> Any:
    """The same value with every NumPy array in it on the simulated GPU; shares memory."""
    if isinstance(value, np.ndarray):
        return value.view(SimulatedArray)
    if isinstance(value, (tuple, list)):
        return type(value)(simulated(item) for item in value)
    return value


class SimulatedNamespace(ModuleType):
    """NumPy, whose functions make arrays of the simulated GPU, as CuPy's make arrays of a real one."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if not callable(found) or isinstance(found, type):
            return found

        def function(*args: Any, **kwargs: Any) -> Any:
            return simulated(found(*args, **kwargs))

        setattr(self, name, function)
        return function


simulated_numpy = SimulatedNamespace("simulated_numpy")
