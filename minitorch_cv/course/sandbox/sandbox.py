"""Where a student's code runs while a hand-in is graded: the strongest confinement that this machine has."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from . import bubblewrap, limits_alone, unconfined
from .endings import Ended
from .launch import PYTHON, Unavailable, check_names
from .limits import Limits, check
from .process import Process
from .unprivileged import is_reachable, is_root


class Strength(Enum):
    """How strongly code is confined."""

    BUBBLEWRAP = "bubblewrap"
    LIMITS = "limits alone"
    NONE = "none"


@dataclass(frozen=True)
class Sandbox:
    """A way to start scripts that run a student's code: `find`, `outer_container` or `unconfined` gives one."""

    strength: Strength
    guarantee: str
    """What holds, and what does not: for the report."""
    warning: str = ""
    """What the teacher must read before anything is graded; empty where nothing is amiss."""

    @classmethod
    def find(cls, *, require_bubblewrap: bool = False) -> Sandbox:
        """The strongest sandbox of this machine, tried out.

        Raises: Unavailable where there is none, as on Windows; as root without a way to drop root's rights; with
        `require_bubblewrap` where bubblewrap does not work.
        """
        _refuse_windows()
        missing = bubblewrap.missing()
        if not missing:
            sandbox = cls(Strength.BUBBLEWRAP, _BUBBLEWRAP)
            missing = sandbox._failing()
            if not missing:
                return sandbox
        if require_bubblewrap:
            raise Unavailable(f"grading: a sandbox is required, and {missing}")
        return cls._limits_alone(_LIMITS, f"NO SANDBOX: {missing}. {_WARNING}", f"{missing}; and without it ")

    @classmethod
    def outer_container(cls) -> Sandbox:
        """The sandbox inside of a container that isolates already, such as Gradescope's: limits, and a user's rights.

        Raises: Unavailable on Windows, and as root without a way to drop root's rights.
        """
        _refuse_windows()
        return cls._limits_alone(_CONTAINER, "", "")

    @classmethod
    def unconfined(cls) -> Sandbox:
        """No sandbox: one's own code on one's own machine, under a time limit. On every system."""
        return cls(Strength.NONE, _NONE)

    def start(
        self,
        script: Path,
        files: Mapping[str, bytes],
        *,
        packages: Mapping[str, Path],
        limits: Limits,
        worker: int = 0,
        compiler: bool = False,
    ) -> Process:
        """Start a script of ours that will run a student's code.

        `script` is a file, or a folder with a `__main__.py`; it gets two arguments: the folder that holds `files`, and
        the folder by which the granted `packages` are imported (empty where all that is installed may be). It finds
        requests on stdin, answers on stdout, and what it writes to stderr counts as printed. Its working folder is
        empty and may be written to. An `Ended` before its first answer, when it has not yet loaded the student's code,
        is no fault of the student.

        `files`: names below their folder, and contents. `packages`: names, and where the folders lie ("numpy" and
        "numpy.libs"). `worker`: a number below 64, different for those that start processes at the same time, so
        that their limits on processes do not count together. `compiler`: whether the script finds this machine's
        programs, to compile with; its limit on processes must have room for them.

        Raises: ValueError for limits or names that cannot be; OSError where the script or a package is not there, or
        the program cannot be started; Unavailable where a user without rights cannot reach them.
        """
        check(limits)
        check_names(files)
        check_names(packages)
        for path in (script, *packages.values()):
            path.stat()
        if self.strength is Strength.NONE:
            return Process(unconfined.launch(script, files), limits)
        strategy = bubblewrap if self.strength is Strength.BUBBLEWRAP else limits_alone
        return Process(strategy.launch(script, files, packages, limits, worker, compiler), limits)

    @classmethod
    def _limits_alone(cls, guarantee: str, warning: str, reason: str) -> Sandbox:
        sandbox = cls(Strength.LIMITS, guarantee, warning)
        if is_root() and not is_reachable(PYTHON):
            raise Unavailable(
                f"grading: {reason}student code would have to run as root, for {PYTHON} cannot be reached without "
                "root's rights. Install bubblewrap, or use a Python outside of root's home (/usr/bin/python3), or "
                "grade as an ordinary user"
            )
        if failing := sandbox._failing():
            raise Unavailable(f"grading: {reason}{failing}")
        return sandbox

    def _failing(self) -> str:
        """Why this sandbox does not confine as it should; empty if it does."""
        judge = str(Path(__file__).resolve())
        with self.start(
            Path(__file__).with_name("probe.py"), {"judge": judge.encode()}, packages={}, limits=Limits()
        ) as process:
            try:
                line = b""
                while not line.endswith(b"\n"):
                    line += process.read(1, seconds=30)
            except Ended as error:
                said = process.printed.strip().rpartition("\n")[2] or error.ending.teacher
                return f"{self.strength.value} does not work here: {said}{_hint(said)}"
        seen = json.loads(line)
        if seen["is root"]:
            return "student code would run as root, which no limit on processes binds"
        if self.strength is Strength.BUBBLEWRAP and seen["sees the judge"]:
            return "the sandbox does not hide the judge's files"
        return ""


def _refuse_windows() -> None:
    if sys.platform == "win32":
        raise Unavailable(
            "grading: Windows has no sandbox. Grade under Linux (WSL 2 does), or in the container that the course "
            "builds; `course check` runs one's own code anywhere"
        )


def _hint(said: str) -> str:
    """What mends the commonest refusals of bubblewrap."""
    if "uid map" in said or "RTM_NEWADDR" in said:
        return (
            " (Ubuntu 24.04 refuses user namespaces: a profile of AppArmor for bwrap allows them, or "
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
        )
    if "namespace" in said.lower() or "Operation not permitted" in said:
        return (
            " (on a machine of one's own: sysctl kernel.unprivileged_userns_clone=1; inside of a container it needs "
            "--cap-add SYS_ADMIN and --security-opt seccomp=unconfined; where the container itself isolates: "
            "--sandbox container)"
        )
    return ""


_LIMITS_HOLD = (
    "memory, processor time, number of processes, size of a file, amount of output and of answers, and time are limited"
)
_BUBBLEWRAP = (
    f"bubblewrap: no network; of the system only Python, shared libraries and the granted packages, read-only; a "
    f"temporary folder in memory; no other process in sight; a user without rights; {_LIMITS_HOLD}. It shares the "
    "kernel with this machine."
)
_LIMITS = (
    f"limits alone: {_LIMITS_HOLD}. Not held back: reading every file that the user who runs it may read, the network, "
    "packages imported by their path, the number of files written, and, unless root runs it, whatever else that user "
    "may do: change files, end the grader, reach into it."
)
_CONTAINER = (
    "container: the container around the grader isolates it from everything else, as whoever chose this says; inside "
    f"of it, {_LIMITS_HOLD}, and run as root, student code gets a user id without rights. What the container's files "
    "allow others to read, student code reads."
)
_NONE = "none: nothing but time and the amounts of output and of answers are limited; for one's own code."
_WARNING = (
    "Student code will run under limits, with the files and the network of this machine in its reach. Grade only what "
    "you would run yourself, or use --require-sandbox to refuse"
)
