"""No confinement: a student's own code on the student's own machine, under a time limit (Linux, macOS, Windows)."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .folders import private_folder
from .launch import Launch, write_files
from .stragglers import MARK, kill_all_marked, kill_group


def launch(script: Path, files: Mapping[str, bytes]) -> Launch:
    """The script with this interpreter and what is installed in it."""
    folder = private_folder()
    hand_in, temporary = folder / "hand-in", folder / "tmp"
    hand_in.mkdir()
    temporary.mkdir()
    write_files(hand_in, files)
    mark = secrets.token_hex(16)

    def kill(process: subprocess.Popen[bytes]) -> None:
        kill_group(process)
        kill_all_marked(mark)

    return Launch(
        [sys.executable, "-I", "-B", "-X", "utf8", str(script.absolute()), str(hand_in), ""],
        {**os.environ, MARK: mark},
        kill,
        folder=folder,
        working_folder=temporary,
    )
