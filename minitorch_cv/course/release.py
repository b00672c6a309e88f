"""A course for a class: what the students get, and what the teacher keeps."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minitorch_cv.course.exercise import Exercise, version_of
from minitorch_cv.course.handout import COURSE_FILE, CourseError, read_course, save_text, write_folder

STUDENT, TEACHER = "student", "teacher"
EXERCISES = "exercises"


@dataclass(frozen=True)
class Course:
    """What hand-ins are graded by: the teacher's own copies of the exercises, and the secret seed of the inputs."""

    name: str
    seed: int
    exercises: Sequence[Exercise]

    @classmethod
    def read(cls, folder: Path) -> Course:
        """The teacher's folder.

        Raises CourseError: it is none, or an exercise in it is not what was handed out.
        """
        content = read_course(folder)
        if not isinstance(seed := content.get("seed"), int):
            raise CourseError(f"{folder} is the students' folder: hand-ins are graded by the one called {TEACHER}")
        paths = {folder / EXERCISES / f"{name}.py": pinned["version"] for name, pinned in content["exercises"].items()}
        for path, version in paths.items():  # before any of them is run
            try:
                now = version_of(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                raise CourseError(f"{path} is missing") from None
            except UnicodeDecodeError:
                now = "no text"
            if now != version:
                raise CourseError(
                    f"{path} has been changed since it was handed out (version {version}, now {now}): take the change "
                    "back, or release the course anew"
                )
        return cls(content["course"], seed, [Exercise(path) for path in paths])

    def seed_of(self, exercise: Exercise, data: bytes) -> int:
        """The seed of the hidden inputs for one file: another one for each version that is handed in.

        So a table of what a message or a print let out of an earlier version is worth nothing.
        """
        known = hmac.new(str(self.seed).encode(), exercise.name.encode() + b"\0" + data, hashlib.sha256)
        return int.from_bytes(known.digest()[:8], "big")

    @property
    def version(self) -> str:
        """Changes where the seed or an exercise changes."""
        parts = [self.name, str(self.seed), *(f"{exercise.name} {exercise.version}" for exercise in self.exercises)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def release(
    folder: Path,
    exercises: Sequence[Exercise],
    name: str,
    notebooks: bool = False,
    seed: int | None = None,
    solutions: bool = False,
) -> tuple[Path, Path]:
    """Writes `student/`, without solutions, and `teacher/`, which only its owner can enter.

    seed: of the hidden inputs; drawn where it is None. solutions: whether `course solution` writes any into `student/`.
    Returns the two folders.
    Raises CourseError: there is a teacher's folder already, whose seed would be lost.
    """
    student, teacher = folder / STUDENT, folder / TEACHER
    if (teacher / COURSE_FILE).exists():
        raise CourseError(f"{teacher} is there already, and hand-ins may have been graded by it; take another folder")
    write_folder(student, exercises, name, notebooks=notebooks, solutions=solutions)
    (teacher / EXERCISES).mkdir(parents=True, exist_ok=True)
    os.chmod(teacher, 0o700)
    for exercise in exercises:
        shutil.copyfile(exercise.path, teacher / EXERCISES / exercise.path.name)
    content = {**read_course(student), "seed": secrets.randbits(63) if seed is None else seed}
    save_text(teacher / COURSE_FILE, json.dumps(content, indent=2) + "\n")
    return student, teacher
