"""Where in the learner's own code an exception came from."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

_LIBRARIES = tuple(
    str(Path(path).resolve()) + os.sep
    for path in {
        str(Path(__file__).parents[1]),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    }
)


def learner_frame(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost frame of the traceback that belongs to no library; the innermost of all where there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_library(frame.filename)]
    with_source = [frame for frame in own if frame.line]  # compiled modules (.pyx) have none
    return next((found[-1] for found in (with_source, own, frames) if found), None)


def describe_exception(error: BaseException) -> str:
    """Type and message of an exception, and the file, the line and the code that raised it."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} (" + _place(error.filename, error.lineno, error.text) + ")"
    frame = learner_frame(error)
    return text if frame is None else f"{text} ({_place(frame.filename, frame.lineno, frame.line)})"


def _place(filename: str, line: int | None, code: str | None) -> str:
    return f"{Path(filename).name}, line {line}" + (f": {code.strip()}" if code and code.strip() else "")


def _is_library(filename: str) -> bool:
    if filename.startswith("<frozen"):
        return True
    return not filename.startswith("<") and str(Path(filename).resolve()).startswith(_LIBRARIES)
