"""Without bubblewrap: limits, and as root a user id without rights. Files and the network remain in sight."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .folders import private_folder
from .launch import FLAGS, PYTHON, Launch, Unavailable, confined, environment, write_files
from .limits import Limits
from .stragglers import MARK, kill_all_marked, kill_all_of, kill_group
from .unprivileged import free_user, is_reachable, is_root, tasks_of


def launch(
    script: Path, files: Mapping[str, bytes], packages: Mapping[str, Path], limits: Limits, worker: int, compiler: bool
) -> Launch:
    """The script under limits.

    Raises: Unavailable as root, if the script or a package is out of reach for others.
    """
    user = free_user(worker) if is_root() else None
    if user is not None:
        for path in (script, *packages.values()):
            if not is_reachable(path):
                raise Unavailable(f"grading: without bubblewrap, a user without rights cannot reach {path}")
    folder = private_folder()
    granted, hand_in, temporary = folder / "packages", folder / "hand-in", folder / "tmp"
    for inner in (granted, hand_in, temporary):
        inner.mkdir()
    for name, path in packages.items():
        (granted / name).parent.mkdir(parents=True, exist_ok=True)
        (granted / name).symlink_to(path.absolute())
    write_files(hand_in, files)
    if user is not None:
        # The student's group may enter, and the student write to one folder only.
        os.chown(folder, 0, user)
        folder.chmod(0o750)
        os.chown(temporary, user, user)
    mark = secrets.token_hex(16)
    others = tasks_of(os.getuid()) if user is None and sys.platform == "linux" else 0

    def kill(process: subprocess.Popen[bytes]) -> None:
        kill_group(process)
        if user is not None and sys.platform == "linux":
            kill_all_of(user)
        else:
            kill_all_marked(mark)

    command = [str(PYTHON), *FLAGS, str(script.absolute()), str(hand_in), str(granted)]
    return Launch(
        confined(command, limits, other_tasks=others, user=user, no_new_privileges=sys.platform == "linux"),
        {**environment(temporary, compiler), MARK: mark},
        kill,
        folder=folder,
        working_folder=temporary,
    )
