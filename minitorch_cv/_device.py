"""Where an array lives: the CPU (NumPy), a CUDA GPU (CuPy) or a simulated one, and how it gets there."""

from __future__ import annotations

import functools
import importlib
import shutil
import sys
from types import ModuleType
from typing import Any

import numpy as np

from ._simulated_array import SimulatedArray, simulated, simulated_numpy

DEVICES = ("cpu", "cuda", "cuda-sim")


def array_namespace(array: Any) -> ModuleType:
    """The library that computes on `array`: NumPy, CuPy for CuPy's arrays, NumPy in disguise for simulated ones."""
    if isinstance(array, SimulatedArray):
        return simulated_numpy
    if isinstance(array, np.ndarray) or "cupy" not in sys.modules:
        return np
    return sys.modules["cupy"].get_array_module(array)


def is_array(value: Any) -> bool:
    """Whether `value` is an array of a supported device (a NumPy scalar is not)."""
    return isinstance(value, np.ndarray) or ("cupy" in sys.modules and isinstance(value, sys.modules["cupy"].ndarray))


def device_of(array: Any) -> str:
    """The name of the device on which `array` lives."""
    if isinstance(array, SimulatedArray):
        return "cuda-sim"
    return "cpu" if isinstance(array, (np.ndarray, np.generic)) else "cuda"


def to_numpy(array: Any) -> np.ndarray:
    """The same values as a NumPy array; shares memory where they are on the CPU already."""
    if isinstance(array, SimulatedArray):
        return array.get()
    if isinstance(array, np.ndarray):
        return array
    return np.asarray(array) if isinstance(array, np.generic) else array.get()


def to_device(array: Any, device: str) -> Any:
    """The same values on `device`; the array itself if it is there already.

    Raises ValueError for a device that does not exist, RuntimeError with the reason where it cannot be used here.
    """
    if device not in DEVICES:
        raise ValueError(f"to: device expects one of {', '.join(DEVICES)}; it is {device!r}")
    if device_of(array) == device:
        return array
    if device == "cpu":
        return to_numpy(array)
    usable, reason = usable_simulator() if device == "cuda-sim" else usable_gpu()
    if not usable:
        raise RuntimeError(f"to: device {device!r} cannot be used here: {reason}")
    if device == "cuda-sim":
        return simulated(np.array(to_numpy(array), order="K"))
    import cupy  # pyright: ignore[reportMissingImports]

    return cupy.asarray(array)


@functools.cache
def usable_gpu() -> tuple[bool, str]:
    """Whether CUDA kernels can run here, and if not, why. Never raises.

    True only after a kernel was compiled and its sum came out right: an importable CuPy or a listed device is no proof.
    """
    try:
        import cupy  # pyright: ignore[reportMissingImports]
    except Exception as error:  # a broken CuPy raises more than ImportError
        return False, f"CuPy cannot be imported ({error}); install it with: pip install -e '.[gpu]'"
    try:
        if cupy.cuda.runtime.getDeviceCount() == 0:
            return False, "CuPy finds no CUDA device"
        total = int(cupy.arange(1000, dtype=cupy.int32).sum())
    except Exception as error:
        return False, f"CuPy is installed, but a test kernel failed ({type(error).__name__}: {error})"
    if total != 499_500:
        return False, f"a test kernel computed 0 + 1 + ... + 999 = {total}"
    return True, "a test kernel ran"


COMPILERS = ("g++", "clang++")
COMPILER_FIXES = {"linux": "install g++ (Debian, Ubuntu: apt install g++)", "darwin": "xcode-select --install"}


def compiler_fix() -> str:
    """What brings a C++ compiler to this machine."""
    return COMPILER_FIXES.get(sys.platform, "use WSL: wsl --install, and in it apt install g++")


@functools.cache
def usable_simulator() -> tuple[bool, str]:
    """Whether the simulator can run CUDA kernels here, and if not, why. Never raises.

    True only after a kernel was compiled for the processor and its result came out right.
    """
    if not any(map(shutil.which, COMPILERS)):
        return False, f"there is no C++ compiler ({' or '.join(COMPILERS)}); {compiler_fix()}"
    try:
        relu = importlib.import_module("minitorch_cv.kernels.cuda.activation").relu
        x = simulated(np.array([-1.0, 2.0, -0.5], np.float32))
        y = relu(x)[0].tolist()
    except Exception as error:  # a compiler may fail in many ways; only the doctor's reader can mend them
        return False, f"a test kernel failed ({type(error).__name__}: {error})"
    return (y == [0, 2, 0], "a test kernel ran" if y == [0, 2, 0] else f"a test kernel computed relu as {y}")


def memory_bounds(array: Any) -> tuple[int, int]:
    """First and past-the-last address of the array's bytes."""
    if isinstance(array, np.ndarray):
        start = array.__array_interface__["data"][0]
        if array.flags.c_contiguous:
            return start, start + array.nbytes
        spans = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)]
        below, above = sum(s for s in spans if s < 0), sum(s for s in spans if s > 0)
        return start + below, start + above + array.itemsize
    start = int(array.data.ptr)
    return start, start + int(array.nbytes)


def memory_owner(array: Any) -> Any:
    """The array that owns the memory of `array` (itself, if it is no view)."""
    while is_array(getattr(array, "base", None)):
        array = array.base
    return array
