"""Private folders on disk, removed whatever was left in them."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path


def private_folder() -> Path:
    """A new folder that nobody else enters."""
    return Path(tempfile.mkdtemp(prefix="minitorch-cv-"))


def remove(folder: Path) -> None:
    """Remove a folder, however deep it is and whatever rights its parts have.

    Each level is lifted to the top: no recursion and no long path, either of which a student's code can exceed. What
    the system does not let go (on Windows a file still open) stays.
    """
    names = (folder / f"lifted-{number}" for number in itertools.count())
    try:
        while below := _unlink_files(folder):
            for inner in below:
                for deeper in _unlink_files(inner):
                    os.chmod(deeper, 0o700)
                    os.rename(deeper, next(name for name in names if not os.path.lexists(name)))
                os.rmdir(inner)
        os.rmdir(folder)
    except OSError:
        pass


def _unlink_files(folder: str | Path) -> list[str]:
    """Remove what lies in a folder, save the folders in it, which are returned."""
    os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        listed = list(entries)
    for entry in listed:
        if not entry.is_dir(follow_symlinks=False):
            if os.name == "nt":
                os.chmod(entry.path, 0o600)  # Windows removes no read-only file
            os.unlink(entry.path)
    return [entry.path for entry in listed if entry.is_dir(follow_symlinks=False)]
