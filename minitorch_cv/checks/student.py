"""Checks the gradients in a student's file, in a process of its own with a time limit."""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minitorch_cv.checks.report import left_out

RIGHT, WRONG, NOT_CHECKED = 0, 1, 2
"""Exit codes."""

_FIGURES = (".png", ".pdf", ".svg")
_START_UP = 60.0  # seconds beyond the time limit in which Python itself may start and end
_KEPT_OUTPUT = 4_000  # characters of what the file printed


@dataclass(frozen=True)
class FileReport:
    """What the check of a file found. Truthy where every gradient is right.

    exit_code: 0 right, 1 wrong, 2 could not be checked; message: why it could not be checked; checks: one dict for each
    pair of functions and case (functions, case, inputs, verdict, text, report); printed: the end of what the file
    printed; seconds: how long it took.
    """

    path: str
    exit_code: int
    message: str = ""
    checks: list[dict[str, Any]] = field(default_factory=list)
    printed: str = ""
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return self.exit_code == RIGHT

    def to_dict(self) -> dict[str, Any]:
        """The report in the types of JSON."""
        checks = [
            {key: value for key, value in check.items() if key not in ("html", "problem")} for check in self.checks
        ]
        return {
            "path": self.path,
            "exit_code": self.exit_code,
            "message": self.message,
            "checks": checks,
            "printed": self.printed,
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        lines = [f"The file printed:\n{self.printed.rstrip()}\n"] if self.printed.strip() else []
        lines += [self.message] if self.message else []
        previous, told, noted = None, False, set()
        for check in self.checks:
            if check["functions"] != previous:
                previous, told, noted = check["functions"], False, set()
                lines.append(" and ".join(previous))
            lines.append(f"  case {check['case']}, {check['inputs']}: {_outcome(check)}")
            if check["verdict"] != "right" and not told:  # one wrong case in full: the others say the same
                told = True
                lines += [f"    {line}".rstrip() for line in check["text"].splitlines()]
            elif check["verdict"] == "right":
                lines += [f"    note: {note}" for note in _notes(check) if note not in noted]
                noted.update(_notes(check))
        return "\n".join([*lines, self._verdict()])

    __repr__ = __str__

    def _verdict(self) -> str:
        file = Path(self.path).name
        if self.exit_code == NOT_CHECKED:
            return f"{file}: COULD NOT BE CHECKED."
        if self.exit_code == RIGHT:
            unchecked = dict.fromkeys(name for check in self.checks for name in check["report"]["unchecked"])
            return f"{file}: right in {_cases(len(self.checks))}{left_out(unchecked)}."
        wrong = sum(check["verdict"] == "wrong" for check in self.checks)
        return f"{file}: WRONG in {wrong} of {_cases(len(self.checks))}."


def check_file(
    path: str | os.PathLike,
    shapes: Sequence[Sequence[int]] | None = None,
    cases: Iterable[Any] | None = None,
    timeout: float = 60.0,
    seed: int = 0,
    plot: str | os.PathLike | None = None,
) -> FileReport:
    """Check the gradients in a Python file: ``forward`` and ``backward``, on what its ``cases(rng)`` yields.

    In place of ``cases`` it may hold one case, ``inputs``: a tuple, a list or a dict by argument name.

    The file may hold several pairs (``conv_forward``, ``conv_backward``, ``conv_cases``), and in place of a forward the
    ``steps`` of a derivation. It runs in a process of its own; this one stays as it is, whatever the file does. Nothing
    here raises for what the file does or lacks: the report says it.

    Args:
        path: the file.
        shapes: shapes of random inputs, one for each argument of ``forward``, in place of ``cases(rng)``.
        cases: tuples or dicts of inputs, in place of both: arrays, numbers, strings, ``None`` and containers of them.
        timeout: time limit, in seconds, for everything in the file.
        seed: of the inputs and of the upstream gradient.
        plot: save the figure of the first wrong report there (.png, .pdf or .svg), or of the first.
    """
    path = Path(path)
    problem = _unreadable(path) or _unusable(timeout, plot)
    if problem:
        return FileReport(str(path), NOT_CHECKED, problem)
    from minitorch_cv.checks._student_process import encode

    job: dict[str, Any] = {
        "path": str(path.resolve()),
        "shapes": None if shapes is None else [list(shape) for shape in shapes],
        "cases": None,
        "timeout": float(timeout),
        "seed": int(seed),
        "plot": None if plot is None else Path(plot).suffix.lower(),
    }
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="minitorch-cv-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if cases is not None:
            arrays: dict[str, np.ndarray] = {}
            job["cases"] = encode(list(cases), arrays)
            np.savez(folder / "cases.npz", **arrays)  # type: ignore[arg-type]
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        code, printed = _run(folder, timeout + _START_UP)
        result = _result(folder, path, code, timeout)
        if plot is not None and (folder / f"figure{job['plot']}").exists():
            _replace(folder / f"figure{job['plot']}", Path(plot))
    return FileReport(str(path), **result, printed=printed, seconds=time.monotonic() - start)


def _unreadable(path: Path) -> str:
    """Why the file cannot be run; empty where it can."""
    if path.suffix == ".ipynb":
        return (
            f"{path.name}: a notebook is checked within itself: minitorch_cv.check_gradient(forward, backward, inputs)"
        )
    if path.is_dir():
        return f"{path}: expects a Python file; it is a folder"
    if not path.exists():
        return f"{path}: there is no such file"
    return ""


def _unusable(timeout: float, plot: str | os.PathLike | None) -> str:
    if not 0 < timeout < 1e6:
        return f"check_file: timeout expects a positive number of seconds; it is {timeout}"
    problem = "" if plot is None else unusable_figure(plot)
    return f"check_file: plot {problem}" if problem else ""


def unusable_figure(path: str | os.PathLike) -> str:
    """Why no figure can be saved there; empty where one can."""
    if Path(path).suffix.lower() not in _FIGURES:
        return f"expects a name ending in {', '.join(_FIGURES[:-1])} or {_FIGURES[-1]}; it is {path}"
    if not Path(path).resolve().parent.is_dir():
        return f"expects a file in a folder that exists; {Path(path).parent} does not"
    return ""


def _run(folder: Path, limit: float) -> tuple[int | None, str]:
    """Run the process; its exit code (``None`` where it had to be killed) and the end of what it printed."""
    script = Path(__file__).with_name("_student_process.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "Agg"},
        start_new_session=True,
    )
    kept = bytearray()
    reader = threading.Thread(target=_keep_end, args=(process.stdout, kept), daemon=True)
    reader.start()
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _kill(process)
        reader.join(5.0)  # on Windows a process that the file itself started lives on and may hold the pipe open
    return code, kept.decode("utf-8", errors="replace")


def _kill(process: subprocess.Popen) -> None:
    """End the process, and on POSIX with it those that the file started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _keep_end(stream: Any, kept: bytearray) -> None:
    """Read everything, so that the process never waits, and keep the end."""
    with stream:
        while chunk := stream.read1(65536):
            kept += chunk
            del kept[:-_KEPT_OUTPUT]


def _result(folder: Path, path: Path, code: int | None, timeout: float) -> dict[str, Any]:
    """What the process answered, or why it did not."""
    answer = folder / "result.json"
    if answer.exists():
        return json.loads(answer.read_text(encoding="utf-8"))
    stack_file = folder / "stack.txt"
    stack = stack_file.read_text(encoding="utf-8", errors="replace") if stack_file.exists() else ""
    where = _place(stack, path)
    if code is None or "Timeout" in stack:
        message = f"{path.name}: still running after {timeout:g} s{where}; is there an endless loop?"
    else:
        ended = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        message = f"{path.name}: the process ended {ended} before the check was done{where}"
    return {"exit_code": NOT_CHECKED, "message": message, "checks": []}


def _place(stack: str, path: Path) -> str:
    """The innermost line of the file in a dump of the stack."""
    for file, line in re.findall(r'File "(.+)", line (\d+)', stack):
        if file == str(path.resolve()):
            code = linecache.getline(file, int(line)).strip()
            return f" (line {line}{': ' + code if code else ''})"
    return ""


def _replace(source: Path, target: Path) -> None:
    """Put the figure in its place at once, also across file systems."""
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.copyfile(source, beside)
    os.replace(beside, target)


def _outcome(check: dict[str, Any]) -> str:
    """The verdict on a case, and for a right one how much was compared."""
    if check["verdict"] != "right":
        return "WRONG" if check["verdict"] == "wrong" else "could not be checked"
    inputs = check["report"]["inputs"]
    checked, skipped = (sum(entry[key] for entry in inputs) for key in ("checked", "skipped"))
    error = max((entry["max_error"] or 0.0 for entry in inputs), default=0.0)
    kinks = f", {skipped} at kinks left out" if skipped else ""
    return f"right, {checked} entries to within {error:.1e}{kinks}"


def _notes(check: dict[str, Any]) -> list[str]:
    own = [f"{entry['name']}: {note}" for entry in check["report"]["inputs"] for note in entry["notes"]]
    return [*check["report"]["notes"], *own]


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"
