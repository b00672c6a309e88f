"""Checks a `.cu` file rung by rung: its results in three orders of threads, every load and store watched, then UBSan,
ASan and TSan, which confirm. Each rung runs in a process of its own, and may crash or never end."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import harness
from .finding import Finding
from .module import HERE, compiler
from .rung import RUNGS, SANITIZERS, Found

LIBRARIES = {"UBSan": "libubsan.so", "ASan": "libasan.so", "TSan": "libtsan.so"}
PACKAGES = {
    "UBSan": "Debian and Ubuntu: apt install libubsan1; Fedora: dnf install libubsan",
    "ASan": "Debian and Ubuntu: apt install libasan8; Fedora: dnf install libasan",
    "TSan": "Debian and Ubuntu: apt install libtsan2; Fedora: dnf install libtsan",
}
LOADED_FIRST = ("ASan", "TSan")
"""Their libraries have to be loaded before everything else, and catch a kernel's signals."""
CLANG_PACKAGE = "Debian and Ubuntu: apt install libclang-rt-dev; Fedora: dnf install compiler-rt"


@dataclass
class Told:
    """A finding, and the rungs that found it."""

    finding: Finding
    rungs: list[str] = field(default_factory=list)


@dataclass
class Result:
    """What the rungs found, and why those that could not run did not."""

    path: Path
    told: list[Told] = field(default_factory=list)
    uncompared: list[str] = field(default_factory=list)  # kernels whose results the harness expects nothing of
    ran: list[str] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether something ran and nothing was found."""
        return bool(self.ran) and not self.told


class CheckError(RuntimeError):
    """A file that cannot be checked: it does not compile, or its harness does not run."""


def check(
    path: Path, rungs: Sequence[str] = RUNGS, seconds: float = 60.0, progress: Callable[[str], None] = lambda rung: None
) -> Result:
    """Run the rungs on a file; each is given so many seconds.

    Raises CheckError for a file that cannot be checked, RuntimeError where there is no compiler.
    """
    path = path.resolve()
    compiler()
    harness.load(path)
    result = Result(path)
    for rung in rungs:
        if rung in SANITIZERS and any(told.finding.kind == "never-ends" for told in result.told):
            result.not_run[rung] = "would not end either"
            continue
        progress(rung)
        missing = _missing(rung)
        if missing:
            result.not_run[rung] = missing
            continue
        came = _run(path, rung, seconds)
        if isinstance(came, str):
            result.not_run[rung] = came
            continue
        result.ran.append(rung)
        result.uncompared += came.uncompared
        for finding in came.findings:
            _add(result.told, finding, rung)
    result.told.sort(key=lambda told: told.finding.kind in ("wrong-result", "crash"))  # symptoms come last
    return result


# ---- one rung --------------------------------------------------------------------------------------------------------


def _run(path: Path, rung: str, seconds: float) -> Found | str:
    """What a rung finds, or why it could not run."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "found.json"
        command = [sys.executable, "-m", __name__.replace(".check", ".rung"), str(path), rung, str(written)]
        if rung == "TSan" and shutil.which("setarch"):
            command = ["setarch", "-R", *command]  # TSan wants addresses where it expects them
        try:
            done = subprocess.run(
                command, env=_environment(rung), capture_output=True, text=True, timeout=seconds, errors="replace"
            )
        except subprocess.TimeoutExpired:
            what = f"had not ended after {seconds:g} s: a loop without end, or threads that wait for one another"
            return Found([Finding("never-ends", path.stem, None, None, str(path), 0, what)])
        told = json.loads(written.read_text(encoding="utf-8")) if written.exists() else None
    if told and "error" in told:
        raise CheckError(told["error"])
    if rung in LOADED_FIRST and ("unexpected memory mapping" in done.stderr or "Shadow memory range" in done.stderr):
        return "cannot lay out its memory here; where that helps: sysctl vm.mmap_rnd_bits=28"
    found = _reported(done.stderr, path) if rung in SANITIZERS else []
    if told:
        return Found(found + [_from_json(given) for given in told["findings"]], told["uncompared"])
    if found:
        return Found(found)
    if rung in LOADED_FIRST:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return f"told nothing before it ended: {last}"
    if done.returncode < 0:
        what = f"ended the process with {signal.Signals(-done.returncode).name}"
        return Found([Finding("crash", path.stem, None, None, str(path), 0, what)])
    raise CheckError(f"{path.name}: the rung {rung} does not run:\n{done.stderr.strip()}")


def _environment(rung: str) -> dict[str, str]:
    environment = dict(
        os.environ,
        ASAN_OPTIONS="detect_leaks=0",
        UBSAN_OPTIONS="print_stacktrace=0",
        TSAN_OPTIONS="report_signal_unsafe=0 history_size=4",
        OPENBLAS_NUM_THREADS="1",
    )
    if rung in LOADED_FIRST:
        environment["LD_PRELOAD"] = " ".join(str(_library(name)) for name in (LIBRARIES[rung], "libstdc++.so"))
    return environment


@functools.cache
def _library(name: str) -> Path | None:
    """A library of the compiler's, by its full path."""
    told = subprocess.run([compiler(), f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
    return Path(told).resolve() if os.path.isabs(told) and Path(told).exists() else None


def _missing(rung: str) -> str | None:
    if rung not in SANITIZERS:
        return None
    if "clang" in Path(compiler()).name:
        return f"is run with g++ only; {CLANG_PACKAGE} brings clang's, untried"
    return None if _library(LIBRARIES[rung]) else f"is not installed. {PACKAGES[rung]}"


def _from_json(given: dict) -> Finding:
    places = {key: tuple(given[key]) if given[key] else None for key in ("block", "thread", "other_thread")}
    return Finding(**{**given, **places})


# ---- what a sanitizer writes -----------------------------------------------------------------------------------------

UNDEFINED = re.compile(r"^(.+?):(\d+):\d+: runtime error: (.*)$", re.MULTILINE)
FRAME = re.compile(r"^\s+#\d+ (?:0x\w+ in )?(\S+).* ([^\s:]+):(\d+)", re.MULTILINE)


def _reported(text: str, path: Path) -> list[Finding]:
    found = []
    for file, line, what in UNDEFINED.findall(text):
        kind = "undefined-arithmetic"
        if "misaligned" in what:
            kind = "misaligned"
        elif any(words in what for words in ("out of bounds", "null pointer", "insufficient space")):
            kind = "out-of-bounds"
        found.append(Finding(kind, path.stem, None, None, file, int(line), what))
    for report in re.split(r"(?=(?:ERROR|WARNING): (?:Address|Thread)Sanitizer)", text)[1:]:
        accesses = [_frame(part) for part in re.split(r"(?=Previous )", report)[:2]]
        if not accesses[0]:
            continue
        kernel, file, line = accesses[0]
        what = re.split(r" \(| on ", report.splitlines()[0].partition("Sanitizer: ")[2])[0]
        if what.startswith("data race"):
            other = accesses[1][2] if len(accesses) > 1 and accesses[1] else None
            found.append(Finding("race", kernel, None, None, file, line, what, None, other))
        else:  # TSan tells freed memory too, which a kernel meets behind the end of an array
            kind = "undefined-arithmetic" if what == "FPE" else "out-of-bounds"
            found.append(Finding(kind, kernel, None, None, file, line, what))
    return found


def _frame(text: str) -> tuple[str, str, int] | None:
    """The innermost function of the kernel's own in a stack that a sanitizer wrote."""
    for function, file, line in FRAME.findall(text):
        if Path(file).is_absolute() and Path(file).parent != HERE and Path(file).suffix in (".cu", ".h", ".cuh"):
            return function, file, int(line)
    return None


def _add(told: list[Told], finding: Finding, rung: str) -> None:
    """Notes a finding, as a confirmation where it is known already."""
    lines = {finding.line, finding.other_line} - {None}
    for known in told:
        f = known.finding
        if f.kind != finding.kind or f.file != finding.file or f.kind == "wrong-result":
            continue
        if {f.line, f.other_line} & lines:
            if rung not in known.rungs:
                known.rungs.append(rung)
            if (f.line, f.other_line) in ((finding.line, finding.other_line), (finding.other_line, finding.line)):
                return
            if finding.block is None:
                return
    told.append(Told(finding, [rung]))
