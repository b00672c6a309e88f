"""The way of a `.cu` file to a GPU: compiled by NVRTC for one architecture, kept on disk, launched through CuPy.

Compiling needs no GPU: `minitorch-cv kernel report` compiles every source for every architecture and tells what the
machine code uses.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._device import is_array
from .._files import written_whole
from .cache import included, trusted_folder
from .simulator.module import KernelError

STANDARD = "c++17"
PTXAS = ("-v",)
"""So that the compiler's log tells of each kernel's registers and memory."""

SHARED_BYTES = 48 << 10
"""What a block may have of dynamic shared memory without asking for more."""

NEEDED = re.compile(r"\(sm_(\d+) and later\)")


class Compiled(NamedTuple):
    """The machine code of one source for one architecture, and what the compiler told of it."""

    path: Path
    architecture: str
    cubin: bytes
    log: str


def compiled(path: Path, architecture: str) -> Compiled:
    """The source at `path` as machine code for `architecture` ("sm_80"), from the disk if it was compiled before.

    Raises RuntimeError without NVRTC, ValueError for an architecture that it does not know, KernelError with the
    compiler's messages, which name our file and line, for a source that does not compile.
    """
    path = Path(path).resolve()
    _check(architecture)
    text = path.read_text(encoding="utf-8")
    folder = trusted_folder("cuda")
    if folder is None:
        return Compiled(path, architecture, *_compile(path, text, architecture))
    kept = folder / f"{path.stem}-{architecture}-{_key(path, text, architecture)}.cubin"
    log = kept.with_suffix(".log")
    with contextlib.suppress(FileNotFoundError):
        return Compiled(path, architecture, kept.read_bytes(), log.read_text(encoding="utf-8"))
    cubin, told = _compile(path, text, architecture)
    # Where the disk is full the code runs all the same, and is compiled again the next time.
    with contextlib.suppress(OSError):
        for file, content in ((log, told.encode()), (kept, cubin)):
            with written_whole(file) as temporary:
                temporary.write_bytes(content)
    return Compiled(path, architecture, cubin, told)


def least_architecture(path: Path) -> int:
    """The number of the first architecture that has what a source uses, 0 where any has: its first line says so."""
    found = NEEDED.search(path.read_text(encoding="utf-8").partition("\n")[0])
    return int(found[1]) if found else 0


def version() -> str:
    """The compiler and its version. Raises RuntimeError, saying what to install, where there is none."""
    return _nvrtc()[0]


def architectures() -> list[int]:
    """The numbers of the architectures that the installed NVRTC compiles for."""
    return _nvrtc()[1]


@functools.cache
def _nvrtc() -> tuple[str, list[int]]:
    try:
        import cuda.core  # noqa: F401  its first import must not happen in two threads at once
        from cuda.bindings import nvrtc

        status, major, minor = nvrtc.nvrtcVersion()
        also, known = nvrtc.nvrtcGetSupportedArchs()
    except Exception as error:  # a package that is not there, or one whose library is not
        reason = str(error).partition("\n")[0]
        raise RuntimeError(
            f"CUDA kernels are compiled by NVRTC, which cannot be loaded ({type(error).__name__}: {reason}). "
            "Install it with pip install 'cuda-core[cu13]>=1.2' 'cuda-toolkit[nvrtc]==13.0.*', or for a GPU at hand "
            "pip install -e '.[gpu]'"
        ) from error
    if int(status) or int(also):
        raise RuntimeError(f"NVRTC does not tell its version: {status!r}, {also!r}")
    release = f"{major}.{minor}"
    for package in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if (found := importlib.metadata.version(package)).startswith(f"{release}."):
                release = found
                break
    return f"NVRTC {release}", list(known)


def _check(architecture: str) -> None:
    name, known = _nvrtc()
    found = re.fullmatch(r"sm_(\d+)[af]?", architecture)
    if not found or int(found[1]) not in known:
        expected = ", ".join(f"sm_{number}" for number in known)
        raise ValueError(f"compiled: architecture expects one that {name} knows: {expected}; it is {architecture!r}")


def _key(path: Path, text: str, architecture: str) -> str:
    """A hash of all that the machine code depends on, and of the name that its messages and line numbers bear."""
    parts = [str(path), text, *included(text, path.parent).values(), architecture, version(), STANDARD, *PTXAS]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _compile(path: Path, text: str, architecture: str) -> tuple[bytes, str]:
    from cuda.core import Program, ProgramOptions

    log = io.StringIO()
    options = ProgramOptions(
        name=str(path),
        arch=architecture,
        std=STANDARD,
        include_path=str(path.parent),
        lineinfo=True,
        ptxas_options=list(PTXAS),
    )
    try:
        code = Program(text, "c++", options).compile("cubin", logs=log)
    except Exception as error:  # of a class that no version of cuda-core documents
        told = str(error).partition("compilation log:")[2] or str(error)
        raise KernelError(f"{path.name} does not compile for {architecture}:\n{told.strip(chr(0)).strip()}") from error
    return bytes(code.code), log.getvalue().strip("\0")


# On a GPU.


class Module:
    """The kernels of one source on the current GPU."""

    def __init__(self, path: Path):
        import cupy

        self.path = Path(path)
        architecture = architecture_of(cupy.cuda.Device().compute_capability)
        least = least_architecture(self.path)
        if int(architecture[3:].rstrip("a")) < least:
            raise KernelError(f"{self.path.name} expects a GPU of sm_{least} or later; this one is {architecture}")
        cubin = compiled(self.path, architecture).cubin
        self._module = cupy.cuda.function.Module()
        self._module.load(cubin)
        self._driver = cupy.cuda.driver
        self._functions: dict[str, Any] = {}
        self._most_shared: dict[str, int] = {}

    def launch(
        self, kernel: str, grid: Sequence[int], block: Sequence[int], values: Sequence[Any], shared_bytes: int = 0
    ) -> None:
        """Run `kernel` on CuPy's current stream. values: an array, or None, for each pointer; NumPy's for numbers."""
        function = self._functions.get(kernel)
        if function is None:
            function = self._functions[kernel] = self._module.get_function(kernel)
        if shared_bytes > self._most_shared.get(kernel, SHARED_BYTES):
            limit = self._driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._driver.funcSetAttribute(function.ptr, limit, shared_bytes)
            self._most_shared[kernel] = shared_bytes
        # A kernel takes a pointer as an integer of its width. CuPy has no null pointer of its own.
        given = tuple(np.uintp(0) if v is None else np.uintp(v.data.ptr) if is_array(v) else v for v in values)
        function(tuple(grid), tuple(block), given, shared_bytes)


def architecture_of(compute_capability: str) -> str:
    """The architecture to compile for on a GPU whose compute capability CuPy writes "80"; on Hopper its own, sm_90a."""
    return f"sm_{compute_capability}" + ("a" if compute_capability == "90" else "")


def module(path: Path) -> Module:
    """The kernels of `path` on the current GPU, loaded at the first call."""
    import cupy

    return _module(Path(path), cupy.cuda.Device().id)


@functools.cache
def _module(path: Path, device: int) -> Module:
    return Module(path)
