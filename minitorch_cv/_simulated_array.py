"""Arrays of the device "cuda-sim": NumPy's memory, on which the CUDA kernels are run by the simulator.

They behave as CuPy's do: what is computed from them is on the device, too, and arrays of the CPU are not mixed with
them, so that what runs here runs on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np


class SimulatedArray(np.ndarray):
    """An array of a simulated GPU. What NumPy computes from it is one, too, so that the device is never lost."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **settings) -> Any:
        computed = (inputs[0], *inputs[2:]) if method == "at" else inputs  # an index may come from the CPU
        _refuse_cpu_arrays(ufunc.__name__, (computed, out, settings))
        if out is not None:
            settings["out"] = _plain(out)
        result = getattr(ufunc, method)(*_plain(inputs), **_plain(settings))
        if out is None:
            return simulated(result)
        return out[0] if len(out) == 1 else out

    def __array_function__(self, function, types, args, kwargs) -> Any:
        _refuse_cpu_arrays(function.__name__, (args, kwargs))
        # On views as plain arrays, since NumPy's own code mixes what it is given with arrays that it makes.
        return simulated(function(*_plain(args), **_plain(kwargs)))

    def __getitem__(self, key) -> Any:
        return simulated(super().__getitem__(_plain(key)))

    def __setitem__(self, key, value) -> None:
        _refuse_cpu_arrays("assignment", value)
        super().__setitem__(_plain(key), _plain(value))

    # These methods of NumPy forget the class.
    def argmax(self, *args: Any, **settings: Any) -> Any:
        return simulated(self.view(np.ndarray).argmax(*args, **settings))

    def argmin(self, *args: Any, **settings: Any) -> Any:
        return simulated(self.view(np.ndarray).argmin(*args, **settings))

    def get(self) -> np.ndarray:
        """A copy on the CPU, as a CuPy array's `get`."""
        return np.array(self.view(np.ndarray), order="K", copy=True)


def simulated(value: Any) -> Any:
    """The same value with every NumPy array and scalar in it on the simulated GPU; arrays share memory."""
    if isinstance(value, SimulatedArray):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value).view(SimulatedArray)
    if type(value) in (tuple, list):
        return type(value)(simulated(item) for item in value)
    if isinstance(value, tuple):  # a named one
        return type(value)(*[simulated(item) for item in value])
    return value


def _plain(value: Any) -> Any:
    """The same value with every array in it as a plain one of NumPy; shares memory."""
    if isinstance(value, SimulatedArray):
        return value.view(np.ndarray)
    if type(value) in (tuple, list):
        return type(value)(_plain(item) for item in value)
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    return value


def _refuse_cpu_arrays(name: str, value: Any) -> None:
    """Raise TypeError for an array of the CPU, as CuPy does. One without axes is a number."""
    if isinstance(value, np.ndarray):
        if value.ndim and not isinstance(value, SimulatedArray):
            raise TypeError(
                f"{name}: expects arrays on 'cuda-sim' alone; one of shape {value.shape} is on 'cpu'. "
                "Move it with .to('cuda-sim')"
            )
    elif isinstance(value, (tuple, list)):
        for item in value:
            _refuse_cpu_arrays(name, item)
    elif isinstance(value, Mapping):
        for item in value.values():
            _refuse_cpu_arrays(name, item)


class SimulatedNamespace(ModuleType):
    """NumPy, whose functions make arrays of the simulated GPU, as CuPy's make arrays of a real one."""

    def __init__(self, module: ModuleType):
        super().__init__(f"simulated_{module.__name__}")
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, ModuleType):
            found = SimulatedNamespace(found)
        if not callable(found) or isinstance(found, (type, np.ufunc)):  # ufuncs ask the array already
            return found

        def function(*args: Any, **kwargs: Any) -> Any:
            return simulated(found(*args, **kwargs))

        setattr(self, name, function)
        return function


simulated_numpy = SimulatedNamespace(np)
