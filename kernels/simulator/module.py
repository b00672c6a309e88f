"""Builds a `.cu` file for the processor and launches its kernels on NumPy arrays (to be replaced by the real one)."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
NAMES = re.compile(r'extern\s+"C"\s+__global__[^(]*?(?:__launch_bounds__\s*\([^)]*\)\s*)?(?:void\s+)?(\w+)\s*\(')


class KernelError(RuntimeError):
    """A kernel did what no kernel may do."""


class SimulatedModule:
    def __init__(self, path: Path):
        text = path.read_text()
        text = re.sub(r"//.*", "", text)
        names = re.findall(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(', text)
        unit = f'#include "{HERE}/runtime.h"\n#include "{path.resolve()}"\n' + "".join(f"CUSIM_EXPORT({n})\n" for n in names)
        flags = ["-std=c++17", "-O2", "-g", "-fPIC", "-shared", "-fno-strict-aliasing", "-ffp-contract=fast", "-w"]
        headers = "".join(p.read_text() for p in [*HERE.glob("*.h"), *path.parent.glob("*.h")])
        key = hashlib.sha256((unit + text + headers).encode()).hexdigest()[:16]
        library = Path(tempfile.gettempdir()) / f"simulated-{os.getuid()}" / f"{path.stem}-{key}.so"
        if not library.exists():
            library.parent.mkdir(exist_ok=True)
            source = library.with_suffix(".cpp")
            source.write_text(unit)
            temporary = library.with_suffix(f".{os.getpid()}")
            done = subprocess.run(["g++", *flags, "-o", temporary, source], capture_output=True, text=True)
            if done.returncode:
                raise KernelError(done.stderr)
            os.replace(temporary, library)
        self.library = ctypes.CDLL(str(library))

    def launch(self, kernel, grid, block, values, shared_bytes=0):
        function = getattr(self.library, f"{kernel}__launch")
        function.restype = ctypes.c_char_p
        pointers, keep = (ctypes.c_void_p * len(values))(), []
        for i, value in enumerate(values):
            if value is None:
                value = np.array(0, np.uintp)
            elif isinstance(value, np.ndarray):
                value = np.array(value.ctypes.data, np.uintp)
            else:
                value = np.asarray(value)
            keep.append(value)
            pointers[i] = value.ctypes.data
        dims = [*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3]]
        error = function(pointers, (ctypes.c_uint * 6)(*dims), ctypes.c_size_t(shared_bytes))
        if error:
            raise KernelError(f"{kernel}: {error.decode()}")
