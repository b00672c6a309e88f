"""What this processor can do: how wide its vectors are and how many it holds, and how many cores are ours."""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import NamedTuple

import llvmlite.binding as llvm

if importlib.util.find_spec("numba") is None:  # LLVM alone cannot compile a kernel
    raise ModuleNotFoundError("No module named 'numba'", name="numba")
llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


class Machine(NamedTuple):
    """The processor for which kernels are compiled."""

    name: str
    """LLVM's name of it, such as "znver4"."""
    features: str
    """What LLVM may use, as "+avx2,-avx512f"."""
    vector_bytes: int
    vector_registers: int

    def lanes(self, itemsize: int) -> int:
        """How many numbers of that size a vector holds."""
        return self.vector_bytes // itemsize

    def rows(self, vectors: int) -> int:
        """Over how many rows a block of accumulators, `vectors` wide, can reach and leave room for its operands."""
        return min(16, (self.vector_registers - vectors - 1) // vectors)


@functools.cache
def machine() -> Machine:
    """This processor; no wider than $MINITORCH_CV_VECTORS says (avx512, avx2, or 128 for vectors of 128 bits)."""
    features = llvm.get_host_cpu_features()
    limit = os.environ.get("MINITORCH_CV_VECTORS", "avx512")
    if limit not in ("avx512", "avx2", "128"):
        raise ValueError(f"MINITORCH_CV_VECTORS expects avx512, avx2 or 128; it is {limit!r}")
    name, flags = llvm.get_host_cpu_name(), features.flatten()
    widest = limit == "avx512" and features.get("avx512f") and features.get("avx512vl")
    if features.get("avx512f") and not widest:
        name = "haswell"
        flags = ",".join(flag for flag in flags.split(",") if "avx512" not in flag and "evex" not in flag)
    if widest:
        return Machine(name, flags, 64, 32)
    if limit == "128":
        flags = ",".join(flag for flag in flags.split(",") if "avx" not in flag and "fma" not in flag)
        name = "x86-64-v2" if not llvm.get_default_triple().startswith(("aarch64", "arm64")) else name
    elif features.get("avx2") and features.get("fma"):
        return Machine(name, flags, 32, 16)
    return Machine(name, flags, 16, 32 if llvm.get_default_triple().startswith(("aarch64", "arm64")) else 16)


@functools.cache
def cores() -> int:
    """How many threads compute: $MINITORCH_CV_THREADS or $OMP_NUM_THREADS, else the cores that this process may use."""
    for variable in ("MINITORCH_CV_THREADS", "OMP_NUM_THREADS"):
        given = os.environ.get(variable, "")
        if given.isdigit() and int(given) > 0:
            return int(given)
        if given and variable.startswith("MINITORCH_CV"):
            raise ValueError(f"{variable} expects a whole number >= 1; it is {given!r}")
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
