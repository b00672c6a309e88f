"""Where in the learner's own code an exception came from."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

_LIBRARIES = tuple(
    str(Path(path).resolve()) + os.sep
    for path in {
        str(Path(__file__).parents[1]),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    }
)

_PACKAGES = ("matplotlib", "minitorch_cv", "numba", "numpy", "scipy", "torch")


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


def hidden_module(error: BaseException, folder: Path, checked: Path | None = None) -> str:
    """What to rename, where an exception comes of a file in the folder that bears the name of a module; else "".

    checked: the file that runs as the script, whose own name does no harm until it is imported.
    """
    chain = list(_chain(error))
    if not any(isinstance(link, (ImportError, AttributeError, RecursionError)) for link in chain):
        return ""
    run = [frame.filename for link in chain for frame in _module_frames(link)]
    run += [str(link.path) for link in chain if isinstance(link, ImportError)]
    for file in sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")]):
        name = file.stem if file.parent == folder else file.parent.name
        if name not in sys.stdlib_module_names and name not in _PACKAGES:
            continue
        imported = getattr(sys.modules.get(name), "__file__", None) == str(file)
        if imported or run.count(str(file)) > (file == checked):
            shown = file.name if file.parent == folder else f"{name}/"
            place = "" if file == checked else " beside your file"
            what = f"the package {name}" if name in _PACKAGES else f"Python's own {name}"
            return f"{shown}{place} hides {what}; rename it"
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _module_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames in which a file runs as a whole, as it does when it is imported."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]


def _place(filename: str, line: int | None, code: str | None) -> str:
    return f"{Path(filename).name}, line {line}" + (f": {code.strip()}" if code and code.strip() else "")


def _is_library(filename: str) -> bool:
    if filename.startswith("<frozen"):
        return True
    return not filename.startswith("<") and str(Path(filename).resolve()).startswith(_LIBRARIES)
