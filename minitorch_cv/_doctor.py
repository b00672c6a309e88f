"""The doctor: what works on this machine, what does not, and the exact fix.

Everything that could crash or hang (a first compilation, a GPU driver) is tried in a child process with a time limit.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from ._device import COMPILERS, compiler_fix
from ._numerics import get_numerics
from ._op import PORTABLE_ONLY
from .kernels import manifest

State = Literal["works", "slow", "absent", "broken"]
MARKS: dict[State, str] = {"works": "✓", "slow": "~", "absent": "-", "broken": "✗"}
EXPLANATION = "✓ works   ~ works, but slower than it could   - optional and not there   ✗ needed and does not work"

PYTHON_TRIED = ((3, 10), (3, 13))
NUMPY_NEEDED = (2, 0)
# The oldest driver and GPU that each CUDA release runs on.
CUDA_13 = {"extra": "gpu", "driver": 580, "compute_capability": 7.5}
CUDA_12 = {"extra": "gpu12", "driver": 525, "compute_capability": 5.0}

KERNELS_PROBE = """
import json, time
start = time.perf_counter()
import numpy as np
from minitorch_cv import ops
from minitorch_cv.kernels.cpu import blas, compiler, machine, memory, threads
compiled = []
compiler.Announcements.listeners.append(lambda name, seconds: compiled.append(name) if seconds is None else None)
x = np.arange(2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8)
weight = np.ones((16, 3, 3, 3), np.float32)
y = ops.conv2d(x, weight)
right = bool(np.array_equal(y, ops.conv2d.body(x, weight)[0]))
folder = compiler.cache_folder()
print(json.dumps({"right": right, "threads": threads.get_num_threads(), "bits": 8 * machine.machine().vector_bytes,
    "processor": machine.machine().name, "folder": str(folder) if folder else None, "compiled": len(compiled),
    "kept": len(list(folder.glob("*.o"))) if folder else 0, "blas": blas.blas_threads(),
    "limit": memory.pool.limit, "seconds": time.perf_counter() - start}))
"""

SIMULATOR_PROBE = """
import json
from minitorch_cv._device import usable_simulator
print(json.dumps(usable_simulator()))
"""

GPU_PROBE = """
import json
from minitorch_cv._device import usable_gpu
print(json.dumps(usable_gpu()))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was examined, how it is, and what would mend it ("" if nothing need be)."""

    name: str
    state: State
    detail: str
    fix: str = ""


def examine() -> list[Finding]:
    """Every finding, in the order in which the parts build upon one another. Never raises."""
    examinations: list[Callable[[], list[Finding]]] = [
        _python,
        _package,
        _processor,
        _numpy,
        _kernels,
        _libraries,
        _gpu,
        _compiler,
        _simulator,
        _grading,
        _extras,
        _console,
    ]
    findings = []
    for examination in examinations:
        try:
            findings += examination()
        except Exception as error:  # a doctor that dies of the patient's illness helps nobody
            name = examination.__name__.strip("_").replace("_", " ")
            findings.append(Finding(name, "broken", f"could not be examined: {type(error).__name__}: {error}"))
    return findings


def as_text(findings: list[Finding]) -> str:
    """The report as a list with the fixes indented below what they mend."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.state]} {finding.name:<{width}}  {finding.detail}")
        if finding.fix:
            lines.append(f"  {'':<{width}}  fix: {finding.fix}")
    return "\n".join([*lines, "", EXPLANATION])


def as_json(findings: list[Finding]) -> str:
    """The report for other programs: a list of objects with name, state, detail, fix."""
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)


def _python() -> list[Finding]:
    oldest, newest = PYTHON_TRIED
    this = sys.version_info[:2]
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()} ({sys.executable})"
    if this < oldest:
        return [Finding("Python", "broken", detail, f"install Python {newest[0]}.{newest[1]}")]
    if this > newest:
        detail += f"; untried: the newest that was tried is {newest[0]}.{newest[1]}"
    return [Finding("Python", "works", detail)]


def _package() -> list[Finding]:
    folder = Path(__file__).resolve().parent
    fix = "" if (version := _version("minitorch-cv")) else f"pip install -e {folder.parent}"
    state: State = "works" if version else "broken"
    return [Finding("minitorch_cv", state, f"{version or 'not installed, only found'} in {folder}", fix)]


def _processor() -> list[Finding]:
    # The only place where NumPy says what it found; private, so it may be gone one day.
    features = getattr(importlib.import_module("numpy._core._multiarray_umath"), "__cpu_features__", {})
    widest = next((name for name in ("AVX512F", "AVX2", "ASIMD", "NEON", "SSE2") if features.get(name)), "none known")
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else os.cpu_count()
    return [Finding("processor", "works", f"{usable} of {os.cpu_count()} cores usable, widest vectors {widest}")]


def _numpy() -> list[Finding]:
    import numpy as np

    version = tuple(int(part) for part in np.__version__.split(".")[:2])
    if version < NUMPY_NEEDED:
        return [Finding("NumPy", "broken", np.__version__, "pip install --upgrade 'numpy>=2.0'")]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # pyright: ignore
    return [Finding("NumPy", "works", f"{np.__version__} with {blas['name']} {blas['version']}")]


def _kernels() -> list[Finding]:
    """The kernels on the processor: whether one compiles and computes rightly, with what, and where it is kept."""
    if PORTABLE_ONLY:
        detail = "MINITORCH_CV_KERNELS is portable: NumPy computes everything, some twenty times slower"
        return [Finding("kernels", "slow", detail, "unset MINITORCH_CV_KERNELS")]
    version = _version("numba")
    if version is None:
        return [Finding("kernels", "slow", "Numba is not installed: the portable bodies run", "pip install numba")]
    result, problem = _probe(KERNELS_PROBE, seconds=120)
    if not isinstance(result, dict) or not result["right"]:
        settings = [name for name in ("MINITORCH_CV_VECTORS", "MINITORCH_CV_THREADS") if name in str(problem)]
        fix = f"mend or unset {settings[0]}" if settings else "pip install --force-reinstall numba llvmlite"
        return [Finding("kernels", "slow", f"Numba {version}, but {problem or 'they compute wrongly'}", fix)]
    done = f"{result['compiled']} compiled just now" if result["compiled"] else "found compiled"
    detail = (
        f"convolution right in {result['seconds']:.1f} s ({done}); {_counted(result['threads'], 'thread')}, "
        f"vectors of {result['bits']} bits for {result['processor']}; numerics by {get_numerics()!r}; "
        f"buffer pool up to {result['limit'] / 2**30:.1f} GB"
    )
    findings = [Finding("kernels", "works", detail)]
    if result["folder"] is None:
        fix = "set MINITORCH_CV_CACHE to a folder of your own that can be written"
        findings.append(Finding("kernel cache", "slow", "no folder can be written: compiled anew each time", fix))
    else:
        kept = f"{_counted(result['kept'], 'piece')} of machine code in {result['folder']}"
        findings.append(Finding("kernel cache", "works", kept))
    if (result["blas"] or 1) > 1 and result["threads"] > 1:
        detail = (
            f"NumPy's OpenBLAS uses {result['blas']} threads beside the kernels': they take the cores from each other"
        )
        findings.append(Finding("BLAS threads", "slow", detail, "unset MINITORCH_CV_BLAS_THREADS"))
    return findings


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _libraries() -> list[Finding]:
    needed = ("matplotlib", "safetensors", "rich", "pooch")
    missing = [name for name in needed if _version(name) is None]
    detail = ", ".join(f"{name} {_version(name) or 'missing'}" for name in needed)
    if missing:
        return [Finding("libraries", "broken", detail, f"pip install {' '.join(missing)}")]
    return [Finding("libraries", "works", detail)]


def _gpu() -> list[Finding]:
    if sys.platform == "darwin":
        return [Finding("GPU", "absent", "CUDA does not exist on macOS; everything runs on the processor")]
    gpu, driver_fix = _nvidia_driver()
    if gpu is None:
        return [Finding("GPU", "absent", "no NVIDIA driver (nvidia-smi not found); everything runs on the processor")]
    result, problem = _probe(GPU_PROBE, seconds=120)
    usable, reason = result if isinstance(result, list) else (False, problem)
    if usable:
        cupy = next(f"{name} {_version(name)}" for name in _cupy_packages())
        return [Finding("GPU", "works", f"{gpu}; {cupy}; {reason}"), _cuda_kernels()]
    return [Finding("GPU", "absent", f"{gpu}; {reason}", driver_fix)]


def _cuda_kernels() -> Finding:
    """Which bodies device "cuda" takes, and whether there is a compiler for them."""
    from .kernels import loader

    try:
        compiler = loader.version()
    except RuntimeError as error:
        return Finding("CUDA kernels", "absent", str(error))
    if manifest.UNTRIED:
        return Finding("CUDA kernels", "works", f"{compiler}; device='cuda' takes our kernels, which no GPU has tried")
    detail = f"{compiler}; no GPU has tried our kernels, so device='cuda' computes by CuPy and the portable bodies"
    return Finding("CUDA kernels", "slow", detail, "MINITORCH_CV_CUDA=untried takes them nevertheless")


def _cupy_packages() -> list[str]:
    return [name for name in ("cupy-cuda13x", "cupy-cuda12x", "cupy") if _version(name)] or ["CuPy"]


def _nvidia_driver() -> tuple[str | None, str]:
    """The first GPU in words (None without a driver), and the command that installs what fits its driver."""
    text = _output_of(
        ["nvidia-smi", "--query-gpu=name,memory.total,driver_version,compute_cap", "--format=csv,noheader"]
    )
    if text is None:
        return None, ""
    name, memory, driver, capability = (part.strip() for part in text.splitlines()[0].split(","))
    for cuda in (CUDA_13, CUDA_12):
        if float(capability) >= cuda["compute_capability"] and int(driver.split(".")[0]) >= cuda["driver"]:
            fix = f"pip install -e '.[{cuda['extra']}]'"
            break
    else:
        fix = f"install an NVIDIA driver of version {CUDA_12['driver']} or newer"
    return f"{name}, {memory}, driver {driver}, compute capability {capability}", fix


def _compiler() -> list[Finding]:
    for name in COMPILERS:
        if text := _output_of([name, "--version"]):
            return [Finding("C++ compiler", "works", text.splitlines()[0])]
    return [Finding("C++ compiler", "absent", "no g++ or clang++: only simulated CUDA C++ needs one", compiler_fix())]


def _simulator() -> list[Finding]:
    """Whether `device="cuda-sim"` runs the CUDA kernels on the processor."""
    result, problem = _probe(SIMULATOR_PROBE, seconds=120)
    usable, reason = result if isinstance(result, list) else (False, problem)
    name = "CUDA simulator"
    if usable:
        return [Finding(name, "works", f"{reason}; device='cuda-sim' runs the CUDA kernels on the processor")]
    return [Finding(name, "absent", reason)]


def _grading() -> list[Finding]:
    """Whether `minitorch-cv course grade` can confine what students hand in."""
    from .course.sandbox import Sandbox, Unavailable

    name = "sandbox to grade in"
    try:
        Sandbox.find(require_bubblewrap=True)
    except Unavailable as reason:
        reason = str(reason).removeprefix("grading: a sandbox is required, and ")
        return [Finding(name, "absent", f"{reason}; only `course grade` needs one")]
    return [Finding(name, "works", "bubblewrap")]


def _extras() -> list[Finding]:
    findings = []
    for extra, packages in {
        "course": ("jupytext", "nbformat"),
        "test": ("pytest", "hypothesis", "pytest-xdist", "pytest-regressions"),
        "yardstick": ("torch", "onnxruntime"),
    }.items():
        missing = [name for name in packages if _version(name) is None]
        detail = ", ".join(f"{name} {_version(name) or 'not installed'}" for name in packages)
        fix = f"pip install -e '.[{extra}]'" if missing else ""
        findings.append(Finding(f"[{extra}]", "absent" if missing else "works", detail, fix))
    return findings


def _console() -> list[Finding]:
    encoding = getattr(sys.stdout, "encoding", None) or "unknown"
    return [Finding("console", "works", f"writes {encoding}")]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _output_of(command: list[str], seconds: float = 20) -> str | None:
    """What a program prints; None if it is not there, fails, hangs or prints nothing."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, encoding="utf-8", errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _probe(code: str, seconds: float) -> tuple[object, str]:
    """Runs Python code in a child that prints JSON on its last line; returns that, or None and what went wrong."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=seconds, encoding="utf-8", errors="replace"
        )
    except subprocess.TimeoutExpired:
        return None, f"a trial did not end within {seconds:g} s"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return None, f"a trial ended with code {done.returncode}: {last}"
    return json.loads(done.stdout.strip().splitlines()[-1]), ""
