"""What the package holds, and what belongs together: by this the pages link to each other."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from minitorch_cv.kernels import manifest

from minitorch_cv import ops
from minitorch_cv._lessons import Lesson, all_lessons
from minitorch_cv._op import OPS
from minitorch_cv.course.exercise import Exercise, all_exercises

ROOT = Path(__file__).resolve().parents[2]
KERNEL_FOLDERS = ("cpu", "cuda", "numba_cuda")


@dataclass(frozen=True)
class Family:
    """The operations of one file of `ops/`; `stem` is what their cases and kernels are called, too."""

    stem: str
    module: ModuleType
    public: tuple[str, ...]
    recorded: tuple[str, ...]
    """Operations that the public ones record, and that are not called by themselves."""
    kernels: tuple[Path, ...]

    @property
    def title(self) -> str:
        """Before the colon of the module's first line: `Batch normalisation`."""
        return re.split(r"[:.(]", self.intro, maxsplit=1)[0].strip()

    @property
    def intro(self) -> str:
        return inspect.getdoc(self.module) or self.stem

    @property
    def source(self) -> Path:
        return Path(inspect.getfile(self.module))

    @property
    def cases(self) -> Path:
        return ROOT / "minitorch_cv" / "checks" / "cases" / f"{self.stem}.py"

    @property
    def names(self) -> tuple[str, ...]:
        return self.public + self.recorded


@cache
def families() -> list[Family]:
    """Every family, by title."""
    found = []
    for path in sorted((ROOT / "minitorch_cv" / "checks" / "cases").glob("[a-z]*.py")):
        hidden = ROOT / "minitorch_cv" / "ops" / f"_{path.stem}.py"
        module = importlib.import_module(f"minitorch_cv.ops.{hidden.stem if hidden.is_file() else path.stem}")
        defined = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        public = tuple(n for n in defined if inspect.isfunction(getattr(ops, n, None)) and not n.startswith("_"))
        recorded = tuple(name for name in defined if name in OPS and name not in public)
        found.append(Family(path.stem, module, public, recorded, tuple(_kernels_of(path.stem))))
    return sorted(found, key=lambda family: family.title)


def family_of(name: str) -> Family | None:
    """The family of an operation."""
    return next((family for family in families() if name in family.names), None)


@cache
def operation_stems() -> list[str]:
    """The names that files of operations, cases and kernels share."""
    return [path.stem for path in (ROOT / "minitorch_cv" / "checks" / "cases").glob("[a-z]*.py")]


def _stem_of_kernel(path: Path) -> str | None:
    """The operations' stem that a kernel's file bears: that of `conv2d_direct.py` is conv2d."""
    fitting = [stem for stem in operation_stems() if path.stem == stem or path.stem.startswith(stem + "_")]
    return max(fitting, key=len, default=None)


def kernel_files() -> list[Path]:
    """Every file of kernels, and what they are made with."""
    found = []
    for folder in KERNEL_FOLDERS:
        paths = sorted((ROOT / "kernels" / folder).iterdir(), key=lambda path: (path.stem, path.suffix != ".cu"))
        found += [path for path in paths if path.suffix in (".py", ".cu", ".h") and path.stem != "__init__"]
    return found


def _kernels_of(stem: str) -> list[Path]:
    return [path for path in kernel_files() if _stem_of_kernel(path) == stem]


def machinery() -> list[Path]:
    """Kernels' files that belong to no operation."""
    return [path for path in kernel_files() if _stem_of_kernel(path) is None]


def bodies_of(name: str) -> list[manifest.Body]:
    """The faster bodies of an operation."""
    return [body for body in manifest.BODIES if body.operation == name]


# ---- lessons and exercises


@cache
def lessons() -> list[Lesson]:
    """Every lesson, by number."""
    return all_lessons()


@cache
def exercises() -> list[Exercise]:
    """Every exercise, by lesson and difficulty."""
    return all_exercises()


def exercises_of(name: str) -> list[Exercise]:
    """The exercises about an operation: about itself, or about the public one that records it."""
    return [exercise for exercise in exercises() if name in exercise.about.operations]


@cache
def used_in(lesson: Lesson) -> tuple[str, ...]:
    """The operations that a lesson names as `ops.NAME`, in its text or in its code."""
    text = lesson.path.read_text(encoding="utf-8")
    return tuple(dict.fromkeys(n for n in re.findall(r"\bops\.([a-z]\w+)", text) if family_of(n)))


def named_in(docstring: str | None, kind: str) -> list[str]:
    """The files on a docstring's line `Lesson:` or `Kernel:`."""
    found = re.search(rf"^\s*{kind}: +(.+)$", docstring or "", flags=re.MULTILINE)
    return [target.strip() for target in found[1].split(",")] if found else []


def derived_in(lesson: Lesson) -> list[str]:
    """The operations whose docstrings name the lesson."""
    path = f"lessons/{lesson.path.name}"
    return [
        name for family in families() for name in family.names if path in named_in(_function(name).__doc__, "Lesson")
    ]


def lessons_of(name: str) -> tuple[list[Lesson], list[Lesson]]:
    """The lessons that derive an operation, and others that use it."""
    named = named_in(_function(name).__doc__, "Lesson")
    derive = [lesson for lesson in lessons() if f"lessons/{lesson.path.name}" in named]
    return derive, [lesson for lesson in lessons() if lesson not in derive and name in used_in(lesson)]


def _function(name: str):
    family = family_of(name)
    return getattr(family.module, name) if family else None


# ---- where things are on the site


def label(path: Path) -> str:
    """The label of the place where a file is shown."""
    return "file-" + re.sub(r"\W+", "-", path.relative_to(ROOT).as_posix())


def qualified(name: str) -> str:
    """The name under which the reference has an operation."""
    family = family_of(name)
    assert family is not None
    return f"minitorch_cv.ops.{name}" if name in family.public else f"{family.module.__name__}.{name}"


def source_of(module: str) -> Path:
    """The file of a module of kernels."""
    return ROOT / (module.removeprefix("minitorch_cv.").replace(".", "/") + ".py")
