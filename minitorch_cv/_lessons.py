"""Where the lessons are, what they are called, and how one is run."""

from __future__ import annotations

import difflib
import re
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lesson:
    """One lesson: a script in percent format, named NN_topic.py."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending, as in `01_alexnet`."""
        return self.path.stem

    @property
    def topic(self) -> str:
        """The name without its number, as in `alexnet`."""
        return self.name.partition("_")[2]

    @property
    def title(self) -> str:
        """The first Markdown heading of the script."""
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                if heading := re.match(r"#\s+#\s+(.+)", line):
                    return heading[1].strip()
        return self.topic.replace("_", " ")

    def answers_to(self, name: str) -> bool:
        """Whether a reader who types `name` means this lesson: `01_alexnet`, `alexnet`, `01` or `1`."""
        number = self.name.partition("_")[0]
        return name in (self.name, self.path.name, self.topic, number) or (name.isdigit() and int(name) == int(number))


def lessons_folder() -> Path:
    """The folder of the lessons: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "lessons"
    return beside if (package.parent / "pyproject.toml").is_file() and beside.is_dir() else package / "lessons"


def all_lessons() -> list[Lesson]:
    """Every lesson, in the order of its number."""
    return [Lesson(path) for path in sorted(lessons_folder().glob("[0-9][0-9]_*.py"))]


def find_lesson(name: str) -> Lesson:
    """The lesson that a reader means by `name`.

    Raises LookupError that lists the lessons, the likeliest first named.
    """
    lessons = all_lessons()
    for lesson in lessons:
        if lesson.answers_to(name):
            return lesson
    known = [lesson.name for lesson in lessons]
    close = difflib.get_close_matches(name, known + [lesson.topic for lesson in lessons], n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise LookupError(f"lesson: NAME expects one of {', '.join(known) or '(none found)'}; it is {name!r}{hint}")


def run_lesson(lesson: Lesson, flags: list[str]) -> None:
    """Runs a lesson in this process, as `python lessons/NN_topic.py FLAGS` would."""
    argv, path = sys.argv, list(sys.path)
    sys.argv = [str(lesson.path), *flags]
    sys.path.insert(0, str(lesson.path.parent))
    try:
        runpy.run_path(str(lesson.path), run_name="__main__")
    finally:
        sys.argv, sys.path[:] = argv, path
