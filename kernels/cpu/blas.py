"""NumPy's own threads: OpenBLAS's wait for work by spinning, and beside ours they take the cores from each other.

Measured: a training step 6 to 11 times slower. So where our pool has several threads, NumPy's matrix products keep to
one; what a step needs of them is computed by the kernels. $MINITORCH_CV_BLAS_THREADS=keep leaves OpenBLAS as it is.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def _functions(verb: str) -> Iterator[Any]:
    """OpenBLAS's functions to get or set the number of threads, of the libraries that came with NumPy."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in folder.glob("*openblas*"):
            library = ctypes.CDLL(str(path))  # loaded already: this only finds it again
            for name in (f"scipy_openblas_{verb}_num_threads64_", f"scipy_openblas_{verb}_num_threads"):
                if function := getattr(library, name, None):
                    yield function
                    break


def blas_threads() -> int | None:
    """How many threads NumPy's own OpenBLAS uses; None where NumPy brings another BLAS."""
    return next((int(function()) for function in _functions("get")), None)


_before: int | None = None


def hold_blas_to_one_thread() -> None:
    """Let NumPy's OpenBLAS compute in the calling thread alone."""
    global _before
    if os.environ.get("MINITORCH_CV_BLAS_THREADS") != "keep":
        _before = _before or blas_threads()
        for function in _functions("set"):
            function(1)


def release_blas() -> None:
    """Give OpenBLAS back the threads that it had."""
    global _before
    if _before is not None:
        for function in _functions("set"):
            function(_before)
        _before = None
