"""The languages that a student's file may be written in, and how each is run."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from minitorch_cv.course.sandbox import Limits
from minitorch_cv.kernels import signatures
from minitorch_cv.kernels.simulator.module import compiler
from minitorch_cv.kernels.simulator.watched import binutil


class Language(NamedTuple):
    """ending: of the student's file; comment: what begins one; needs_compiler: whether it is run by way of g++.

    packages: what its process may import, by the names under which it finds them.
    """

    name: Literal["python", "cuda"]
    ending: str
    comment: str
    needs_compiler: bool
    packages: Callable[[], dict[str, Path]]

    def missing(self) -> str:
        """What this machine lacks to run a file, and what brings it; empty if it lacks nothing."""
        if not self.needs_compiler:
            return ""
        try:
            compiler()
            for name in ("nm", "addr2line"):
                binutil(name)
        except RuntimeError as error:
            return str(error)
        return ""

    def limits(self, limits: Limits) -> Limits:
        """The limits of one process: a compiler starts others."""
        return limits._replace(processes=COMPILER_PROCESSES) if self.needs_compiler else limits


COMPILER_PROCESSES = 8


@lru_cache
def numpy_packages() -> dict[str, Path]:
    """The folders of NumPy, which stand for themselves in the sandbox: nothing else of this environment is there."""
    import numpy as np

    folder = Path(np.__file__).parent
    return {path.name: path for path in (folder, folder.with_name("numpy.libs")) if path.is_dir()}


@lru_cache
def simulator_packages() -> dict[str, Path]:
    """NumPy and the simulator of CUDA kernels, with what that imports: no exercise and no solution lies there."""
    # In a checkout the kernels lie beside the package, not in it.
    package, folder = Path(__file__).parents[1], Path(signatures.__file__).parent
    own = {f"minitorch_cv/{name}": package / name for name in ("_device.py", "_simulated_array.py")}
    names = ("__init__.py", "cache.py", "signatures.py", "simulator")
    return {**numpy_packages(), **own, **{f"minitorch_cv/kernels/{name}": folder / name for name in names}}


PYTHON = Language("python", ".py", "#", False, numpy_packages)
CUDA = Language("cuda", ".cu", "//", True, simulator_packages)
LANGUAGES = {language.name: language for language in (PYTHON, CUDA)}
