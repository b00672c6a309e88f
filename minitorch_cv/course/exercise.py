"""An exercise: one file, of which the hand-out, the solution, the tests and the pages are made.

The file is a Python module in three parts:

- its docstring: the title, then the statement in Markdown with LaTeX;
- the cell `# %% student`: what the student receives, with the solution in it. What stands between `# begin solution`
  and `# end solution` is left out of the hand-out; in its place comes what stands after `# instead`, each line of it
  commented (`# dx = ...`), or else a line that raises NotImplementedError;
- the cell `# %% checks`: `about`, `checks`, `mistakes` and `hints`, which the student never receives.

The functions of the module are the reference. Where `about` says that the language is CUDA, the student's cell is one
raw string, `kernel`, that holds their `.cu` file, with marks that begin with `//`; the statement is plain text then.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib.util
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minitorch_cv.course.cells import cut, student_cell
from minitorch_cv.course.kernel_source import same_code
from minitorch_cv.course.language import LANGUAGES, Language
from minitorch_cv.course.student_kernels import own_kernels

if TYPE_CHECKING:
    from minitorch_cv.course.checks import Check

FOLDER = Path(__file__).with_name("exercises")


class ExerciseError(ValueError):
    """An exercise's file is not as it should be."""


@dataclass(frozen=True)
class About:
    """Where an exercise belongs and what it is worth.

    lesson: the name of its lesson, as in `04_resnet`; source: paper and equation; operations: the package's operations
    that it is about; points; difficulty: 1 (a few lines) to 4 (an evening); imports: the modules that it grants;
    language: one of `LANGUAGES`.
    """

    lesson: str
    source: str
    points: int
    difficulty: int
    operations: tuple[str, ...] = ()
    imports: tuple[str, ...] = ("numpy", "math")
    language: str = "python"


@dataclass(frozen=True)
class Mistake:
    """A mistake that is often made: the solution with `old` replaced by `new`, and the hint that it deserves."""

    name: str
    old: str
    new: str
    hint: str


class Exercise:
    """One exercise, read from its file.

    Raises ExerciseError: a file without one of its parts, or with one that does not fit.
    """

    def __init__(self, path: Path):
        self.path, self.name = path, path.stem
        self.text = path.read_text(encoding="utf-8")
        self.student = student_cell(self.text, path.name)
        module = _module(path)
        self.reference = module
        title, _, statement = (module.__doc__ or "").partition("\n")
        self.title, self.statement = title.strip().rstrip("."), statement.strip()
        try:
            self.about: About = module.about
            self.checks: Sequence[Check] = module.checks
            self.mistakes: Sequence[Mistake] = module.mistakes
            self.hints: Sequence[str] = module.hints
            if self.language.name == "cuda":
                self.student = module.kernel.strip() + "\n"
        except AttributeError as error:
            raise ExerciseError(f"{path.name}: {error.name} is missing") from None
        if not self.title or not self.statement:
            raise ExerciseError(f"{path.name}: its docstring expects a title and a statement")
        for mistake in self.mistakes:
            if (found := self.solution.count(mistake.old)) != 1:
                raise ExerciseError(
                    f"{path.name}: mistake {mistake.name!r} expects {mistake.old!r} once in the solution; "
                    f"it is there {found} times"
                )

    @property
    def language(self) -> Language:
        """That of the student's file."""
        return LANGUAGES[self.about.language]

    @property
    def file(self) -> str:
        """The name of the student's file."""
        return f"{self.name}{self.language.ending}"

    @cached_property
    def stub(self) -> str:
        """What the student begins with."""
        return cut(self.student, solution=False)

    @cached_property
    def solution(self) -> str:
        """The reference solution."""
        return cut(self.student, solution=True)

    @cached_property
    def version(self) -> str:
        """Changes where anything in the exercise changes."""
        return version_of(self.text)

    def is_stub(self, code: str) -> bool:
        """Whether a file's code is as it was handed out, comments and layout aside."""
        if self.language.name == "cuda":
            return same_code(code, self.stub)
        try:
            return ast.dump(ast.parse(code)) == ast.dump(ast.parse(self.stub))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False

    def with_mistake(self, mistake: Mistake) -> str:
        """The solution with a mistake in it."""
        return self.solution.replace(mistake.old, mistake.new)

    def as_module(self, text: str) -> Any:
        """A version of the student's cell, run here. For our own texts alone, never for a student's."""
        if self.language.name == "cuda":
            return own_kernels(self.file, text)
        module = types.ModuleType(self.name)
        exec(compile(text, f"<{self.name}>", "exec"), module.__dict__)
        return module


def version_of(text: str) -> str:
    """The version of an exercise with this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def all_exercises(folder: Path = FOLDER) -> list[Exercise]:
    """Every exercise of a folder, by lesson and difficulty."""
    exercises = [Exercise(path) for path in sorted(folder.glob("[a-z]*.py"))]
    return sorted(exercises, key=lambda exercise: (exercise.about.lesson, exercise.about.difficulty, exercise.name))


def find_exercise(name: str, folder: Path = FOLDER) -> Exercise:
    """The exercise called `name`, with or without its file's ending.

    Raises LookupError that names the likeliest ones, and what lists them all.
    """
    names = [path.stem for path in sorted(folder.glob("[a-z]*.py"))]
    stem = Path(name).stem
    if stem in names:
        return Exercise(folder / f"{stem}.py")
    close = difflib.get_close_matches(stem, names, n=3)
    likeliest = f"did you mean {' or '.join(close)}? All" if close else "all"
    raise LookupError(f"no exercise is called {name!r}; {likeliest} are listed by: minitorch-cv course status")


def _module(path: Path) -> types.ModuleType:
    """The file, run under a name of its own, so that two versions of an exercise can stand side by side."""
    name = f"minitorch_cv.course.exercises.{path.stem}" if path.parent == FOLDER else f"exercise_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ExerciseError(f"{path.name}: expects a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
