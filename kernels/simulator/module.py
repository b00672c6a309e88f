"""A `.cu` file built for the processor, whose kernels are launched on NumPy arrays."""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import included, trusted_folder
from ..signatures import Signature, read_signatures, without_comments
from .finding import KINDS, Finding, Place

HERE = Path(__file__).parent
FLAGS = (
    *("-std=c++17", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-ffp-contract=fast", "-w"),
    "-fstack-clash-protection",  # a stack that overflows meets its guard
)
ORDERS = ("forward", "reverse", "random")
MAX_GRID, MAX_SHARED_BYTES = (2**31 - 1, 65535, 65535), 227 << 10
"""CUDA's limits of a launch; shared memory as on Hopper, where a block can have most."""

ALIGNED = r"(?:(?:__align__|alignas)\s*\((?:[^()]|\([^()]*\))*\)\s*)?"
DYNAMIC = re.compile(rf"extern\s+{ALIGNED}__shared__\s+{ALIGNED}([\w ]+?)\s+(\w+)\s*\[\s*\]\s*;")

INCLUDE = re.compile(r"""^[ \t]*#[ \t]*include[ \t]*[<"]([\w./]+)[>"]""", re.MULTILINE)
NOT_NEEDED = ("cuda.h", "cuda_runtime.h", "cuda_runtime_api.h", "device_launch_parameters.h", "cassert", "assert.h")
"""Headers whose words the simulator's cuda.h has. They are left out, so that no CUDA and no other assert comes in."""
OTHERS_OF_CUDA = re.compile(r"cuda|cooperative_groups|mma\.h|cub/|thrust/|curand")

INITIALISERS = (b"_GLOBAL__sub_I_", b"__cxx_global_var_init")
"""What g++ and clang++ call code that runs when a library is loaded."""

LOCK = threading.RLock()
"""A library's fibers, and what it has found, are those of one launch."""


class KernelError(RuntimeError):
    """A kernel that cannot be compiled, or did what no kernel may do."""

    finding: Finding | None = None
    """What it did and where, if it ran."""


@functools.cache
def compiler() -> str:
    """The C++ compiler: $MINITORCH_CV_CXX, or the first of g++ and clang++. Raises RuntimeError without one."""
    named = os.environ.get("MINITORCH_CV_CXX")
    for name in [named] if named else ["g++", "clang++"]:
        found = shutil.which(name)
        if found:
            return found
    raise RuntimeError(
        f"the simulator of CUDA kernels needs a C++ compiler; there is no {named or 'g++ or clang++'}. "
        "Debian and Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install; "
        "Windows: WSL with one of these"
    )


@functools.cache
def _own_folder() -> Path:
    """For this process alone, where none may be kept."""
    folder = tempfile.mkdtemp(prefix="minitorch-cv-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class SimulatedModule:
    """The kernels of one file. Each is `extern "C" __global__ void name(...)`.

    order: in which the threads of a block take turns, one of `ORDERS`; seed: of the random order.
    """

    instrumentation: tuple[str, ...] = ()
    """What the compiler is told besides, but the linker is not."""

    stacks: int | None = None
    """Where those of the threads lie, of all modules, once the first one has made them."""

    def __init__(self, path: Path, options: Sequence[str] = (), order: str = "forward", seed: int = 1):
        if order not in ORDERS:
            raise ValueError(f"SimulatedModule: order expects one of {', '.join(ORDERS)}; it is {order!r}")
        self.path, self.order, self.seed = Path(path), ORDERS.index(order), seed
        text = self.path.read_text(encoding="utf-8")
        self.signatures = read_signatures(text)
        library = _built(self.path, text, tuple(self.signatures), tuple(options), self.instrumentation)
        self.library = ctypes.CDLL(str(library))
        use_stacks = self.library.use_stacks
        use_stacks.restype = ctypes.c_void_p
        with LOCK:
            SimulatedModule.stacks = use_stacks(ctypes.c_void_p(SimulatedModule.stacks))
        if not SimulatedModule.stacks:
            raise MemoryError("the simulator finds no address space for the stacks of 1024 threads, of 640 KB each")

    def launch(
        self,
        kernel: str,
        grid: Sequence[int],
        block: Sequence[int],
        values: Sequence[Any],
        shared_bytes: int = 0,
        reached: Sequence[np.ndarray] = (),
    ) -> None:
        """Run `kernel`. values: an array for each pointer (None: a null pointer), a number for each number.

        reached: the arrays whose addresses stand in others of `values`; of use to `WatchedModule` alone.

        Raises TypeError for values that the kernel does not take; ValueError for a launch outside CUDA's limits;
        KernelError, with block, thread, file and line, for a
        barrier that not all threads reach, a wrong mask, or copies that nobody waited for.
        """
        values = self._signature(kernel).bound(values)
        self._check(kernel, grid, block, shared_bytes)
        addresses = [_address(v) if v is None or isinstance(v, np.ndarray) else v for v in values]
        finding = self._run(kernel, grid, block, addresses, shared_bytes)
        if finding:
            error = KernelError(
                f"{kernel}: {finding.what}: block ({_comma(finding.block)}) thread ({_comma(finding.thread)}) "
                f"at {finding.file}:{finding.line}"
            )
            error.finding = finding
            raise error

    def _run(
        self, kernel: str, grid: Sequence[int], block: Sequence[int], numbers: Sequence[Any], shared_bytes: int
    ) -> Finding | None:
        """Run `kernel`; None, or the mistake that ended the launch."""
        cells = [np.array(number) for number in numbers]
        pointers = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
        function = getattr(self.library, f"launch_{kernel}")
        function.restype = ctypes.c_char_p
        shape = (ctypes.c_uint * 6)(*_shape(grid, block))
        with LOCK:
            told = function(
                pointers,
                shape,
                ctypes.c_size_t(shared_bytes),
                ctypes.c_int(self.order),
                ctypes.c_uint64(self.seed),
            )
        if not told:
            return None
        kind, what, at_block, thread, file, line = told.decode().split("\t")
        return Finding(
            KINDS[int(kind)],
            kernel,
            _place(at_block),
            _place(thread),
            file or str(self.path),
            int(line) or self._signature(kernel).line,
            what,
        )

    def _check(self, kernel: str, grid: Sequence[int], block: Sequence[int], shared_bytes: int) -> None:
        shape = _shape(grid, block)
        threads, limit = shape[3] * shape[4] * shape[5], self._signature(kernel).thread_limit
        if not 1 <= threads <= limit or shape[5] > 64:
            raise ValueError(f"{kernel}: block expects 1 to {limit} threads, 64 at most along z; it is {shape[3:]}")
        if any(not 1 <= n <= limit for n, limit in zip(shape[:3], MAX_GRID, strict=True)):
            raise ValueError(f"{kernel}: grid expects 1 to {MAX_GRID} blocks; it is {shape[:3]}")
        if not 0 <= shared_bytes <= MAX_SHARED_BYTES:
            raise ValueError(f"{kernel}: shared_bytes expects 0 to {MAX_SHARED_BYTES}; it is {shared_bytes}")

    def _signature(self, kernel: str) -> Signature:
        if kernel not in self.signatures:
            raise ValueError(f"{self.path.name}: no kernel {kernel}; there are {', '.join(self.signatures) or 'none'}")
        return self.signatures[kernel]


def _shape(grid: Sequence[int], block: Sequence[int]) -> list[int]:
    return [*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3]]


def _comma(place: Place | None) -> str:
    return ",".join(map(str, place or ()))


def _place(text: str) -> Place:
    x, y, z = map(int, text.split(","))
    return x, y, z


def _address(array: np.ndarray | None) -> np.uintp:
    return np.uintp(0 if array is None else array.ctypes.data)


def _without_headers_of_cuda(path: Path, text: str) -> str:
    """The source without the headers whose words the simulator has itself. Raises KernelError for others of CUDA's."""
    for include in INCLUDE.finditer(without_comments(text)):
        name = include[1]
        if name not in NOT_NEEDED and OTHERS_OF_CUDA.match(name) and not (path.parent / name).exists():
            line = text.count("\n", 0, include.end()) + 1
            raise KernelError(
                f"{path.name}:{line}: {name} is not simulated: there is no half "
                "precision, no wmma, no cooperative groups, CUB, Thrust or cuRAND; there are the words of "
                "<cuda_runtime.h> for kernels, and <cassert>"
            )
    return INCLUDE.sub(lambda included: "" if included[1] in NOT_NEEDED else included[0], text)


def _built(
    path: Path, text: str, kernels: tuple[str, ...], options: tuple[str, ...], instrumentation: tuple[str, ...]
) -> Path:
    """The library of these kernels, built if it is not there already."""
    source = "\n".join(
        [
            f'#include "{HERE / "cuda.h"}"',
            f'#line 1 "{path.resolve()}"',
            DYNAMIC.sub(r"SIMULATOR_DYNAMIC(\1, \2);", _without_headers_of_cuda(path, text)),
            *(f"SIMULATOR_EXPORT({name})" for name in kernels),
            "",
        ]
    )
    path = path.resolve()
    parts = [source, *included(source, path.parent).values(), compiler(), *FLAGS, *options, *instrumentation]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    folder, name = trusted_folder("simulator"), f"{path.stem}-{key}.so"
    if not folder or not ((folder / name).exists() or os.access(folder, os.W_OK)):
        folder = _own_folder()
    library = folder / name
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=folder) as building:
        unit, built = Path(building) / f"{path.stem}.cpp", Path(building) / name
        unit.write_text(source, encoding="utf-8")
        include = ["-I", str(path.parent)]
        compiled = unit.with_suffix(".o")
        for command in (
            [compiler(), *FLAGS, *options, *instrumentation, *include, "-c", "-o", str(compiled), str(unit)],
            [compiler(), *options, "-shared", "-o", str(built), str(compiled)],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                has_host_code = "<<<" in without_comments(text)
                hint = "\nIt holds host code, <<<...>>>; here it is to hold kernels alone" if has_host_code else ""
                raise KernelError(f"{path.name} does not compile:\n{done.stderr.strip()}{hint}")
            if compiled.exists() and any(name in compiled.read_bytes() for name in INITIALISERS):
                raise KernelError(
                    f"{path.name}: a variable outside of the kernels needs code to begin with, which would run before "
                    "any launch; as in CUDA, it may only begin with constants"
                )
        os.replace(built, library)
    return library
