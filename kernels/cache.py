"""Where compiled code is kept: one rule for the processor's kernels, the simulator's and CUDA's."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', re.MULTILINE)


def cache_root() -> Path:
    """$MINITORCH_CV_CACHE, or the package's folder in the user's cache. Raises RuntimeError for a user without a home.

    The user's cache is $XDG_CACHE_HOME or ~/.cache; on Windows %LOCALAPPDATA%.
    """
    configured = os.environ.get("MINITORCH_CV_CACHE")
    if configured:
        return Path(configured)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir())) / "minitorch-cv"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "minitorch-cv"


def trusted_folder(*names: str, when_new: Callable[[Path], object] | None = None) -> Path | None:
    """A folder below the root from which code may be loaded, made if it is not there; None where there can be none.

    when_new: called with the folder once it has been made.
    """
    try:
        folder = cache_root().joinpath(*names)
    except RuntimeError:
        return None
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            if when_new is not None:
                when_new(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return folder if folder.is_dir() and is_ours(folder) else None
    return folder if is_ours(folder) else None


def is_ours(folder: Path) -> bool:
    """Whether nobody else can write into the folder: what lies there is executed."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.stat()
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & 0o022


def included(text: str, folder: Path) -> dict[Path, str]:
    """The headers on which a source in `folder` depends, but for the compiler's own, and their texts."""
    found: dict[Path, str] = {}
    waiting = [(folder, text)]
    while waiting:
        beside, text = waiting.pop()
        for name in INCLUDE.findall(text):
            header = next((h for h in (beside / name, folder / name) if h.is_file()), None)
            if header and header.resolve() not in found:
                found[header.resolve()] = header.read_text(encoding="utf-8")
                waiting.append((header.parent, found[header.resolve()]))
    return dict(sorted(found.items()))
