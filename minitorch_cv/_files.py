"""Files are written under a temporary name and renamed: a crash leaves the old file or the new one, whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._device import to_numpy

_MASK = os.umask(0)
os.umask(_MASK)  # asked for once, at import: it can only be asked for by changing it


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to within the block; what is there at its end becomes `path`, forced to the disk.

    Where the block raises, `path` stays as it was and nothing else is left.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} in")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_MASK)  # as open() would: a temporary file is closed to everybody else
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _force_folder_to_disk(path.parent)


def contiguous(array: Any) -> np.ndarray:
    """The values as a NumPy array in C order, its number of axes kept.

    Every array that leaves the package passes here: safetensors writes the memory of a strided view as it lies.
    """
    return np.asarray(to_numpy(array), order="C")


def _force_folder_to_disk(folder: Path) -> None:
    """Make the renaming itself last through a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
