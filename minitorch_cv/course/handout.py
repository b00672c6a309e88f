"""Hand-outs: an exercise as a script or a notebook, and a student's folder of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from minitorch_cv._files import written_whole
from minitorch_cv.course.cells import commented
from minitorch_cv.course.checks import LARGE_SECONDS, Derivation, Gradient
from minitorch_cv.course.exercise import Exercise
from minitorch_cv.course.language import CUDA, PYTHON

COURSE_FILE = "course.json"
_FORMAT = 1


class CourseError(ValueError):
    """A course's folder is not as it should be."""


def script(exercise: Exercise, code: str) -> str:
    """The exercise as a file: the statement, then the code, `exercise.stub` or `exercise.solution`.

    A Python file is a percent script; a `.cu` file begins with the statement as a comment.
    """
    about = exercise.about
    facts = [f"Lesson {about.lesson}. {about.source}.", f"{about.points} points, difficulty {about.difficulty} of 4."]
    if exercise.language is CUDA:
        facts.append(f"Check it: minitorch-cv course check {exercise.name}")
        statement = "\n\n".join([f"{exercise.title}.", exercise.statement, "\n".join(facts)])
        return f"{commented(statement, CUDA.comment)}\n\n{code}"
    if any(isinstance(check, (Gradient, Derivation)) for check in exercise.checks):
        facts.append(
            f"The last case of a gradient is large: {LARGE_SECONDS:.0f} s are plenty for a derived one, "
            "and too few for differences of the forward."
        )
    if about.imports:
        facts.append(f"To be solved with {' and '.join(about.imports)} alone.")
    statement = f"# {exercise.title}\n\n{exercise.statement}\n\n" + "\n".join(facts)
    closing = f"Check it: `minitorch-cv course check {exercise.name}`"
    return f"# %% [markdown]\n{commented(statement)}\n\n# %%\n{code}\n# %% [markdown]\n{commented(closing)}\n"


def notebook(exercise: Exercise, code: str) -> str:
    """The same as a notebook.

    Raises CourseError: jupytext is not installed.
    """
    try:
        import jupytext  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise CourseError('notebooks need jupytext: pip install "minitorch-cv[course]"') from None
    cells = jupytext.reads(script(exercise, code), fmt="py:percent")
    for number, cell in enumerate(cells.cells):
        cell["id"] = f"{exercise.name}-{number}"  # drawn at random otherwise: the same exercise, another file
    cells.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return jupytext.writes(cells, fmt="ipynb")


def save_text(path: Path, text: str) -> None:
    """Writes a text file at once or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_folder(
    folder: Path,
    exercises: Sequence[Exercise],
    course: str,
    notebooks: bool = False,
    force: bool = False,
    solutions: bool = True,
) -> list[Path]:
    """A student's folder: one folder a lesson, one file an exercise, `course.json` and a README.

    A file that is there already is kept, unless `force`: it may hold somebody's work. solutions: whether `course
    solution` writes any into this folder.
    Returns the files that were written.
    Raises CourseError: the folder belongs to another course.
    """
    if (folder / COURSE_FILE).exists() and (there := read_course(folder)["course"]) != course:
        raise CourseError(f"{folder} holds the course {there!r}; it is not overwritten with {course!r}")
    written = []
    places = {exercise.name: _place(exercise, notebooks) for exercise in exercises}
    for exercise in exercises:
        path = folder / places[exercise.name]
        if path.exists() and not force:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        as_notebook = path.suffix == ".ipynb"
        save_text(path, notebook(exercise, exercise.stub) if as_notebook else script(exercise, exercise.stub))
        written.append(path)
    folder.mkdir(parents=True, exist_ok=True)
    save_text(folder / "README.md", _readme(exercises, course, places, solutions))
    pinned = {
        e.name: {"version": e.version, "points": e.about.points, "lesson": e.about.lesson, "title": e.title}
        for e in exercises
    }
    content = {"format": _FORMAT, "course": course, "solutions": solutions, "exercises": pinned}
    save_text(folder / COURSE_FILE, json.dumps(content, indent=2) + "\n")
    return written


def _place(exercise: Exercise, notebooks: bool) -> str:
    """Where in the folder the exercise's file lies."""
    file = f"{exercise.name}.ipynb" if notebooks and exercise.language is PYTHON else exercise.file
    return f"{exercise.about.lesson}/{file}"


def read_course(folder: Path) -> dict:
    """What `course.json` says: the course's name and its exercises, each with the version that was handed out.

    Raises CourseError: there is none, or it cannot be read.
    """
    path = folder / COURSE_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        course, exercises = content["course"], content["exercises"]
        if content["format"] != _FORMAT or not isinstance(course, str):
            raise ValueError(f"its format expects {_FORMAT}; it is {content['format']}")
        for name, pinned in exercises.items():
            if not isinstance(pinned["version"], str) or not isinstance(pinned["lesson"], str):
                raise ValueError(f"{name} is not described")
    except FileNotFoundError:
        raise CourseError(f"{folder} is no course's folder: there is no {COURSE_FILE}") from None
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        raise CourseError(f"{path} cannot be read: {error}") from None
    return content


def find_folder(start: Path) -> Path:
    """The course's folder that `start` lies in.

    Raises CourseError: it lies in none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / COURSE_FILE).is_file():
            return folder
    raise CourseError(f"{start} lies in no course's folder; make one: minitorch-cv course new DIR")


def find_file(folder: Path, name: str) -> Path | None:
    """The student's file of an exercise, script or notebook, the one changed last if there are both."""
    found = [path for ending in (".py", ".ipynb", ".cu") for path in folder.glob(f"*/{name}{ending}")]
    found = [path for path in found if path.parent.name != "solutions"]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


_HOW_TO_WORK = """
Open an exercise, read what it asks for, and write your code in place of `raise NotImplementedError("yours to write")`.
Then, in this folder:

```bash
minitorch-cv course check {first}
```

It says what is right, what is wrong, and what mistake that looks like. Each new version that is not right yet earns
another hint; one that cannot be run costs nothing. Files may not print a lot, and may import only what the exercise
names: draw and try things elsewhere.

```bash
minitorch-cv course status          # what is done, what comes next
{solution}```

Hand in the files, under the names that they have.
"""
_SOLUTION = "minitorch-cv course solution NAME   # how it can be done; that you looked is kept in progress.json\n"


def _readme(exercises: Sequence[Exercise], course: str, places: dict[str, str], solutions: bool) -> str:
    points = sum(exercise.about.points for exercise in exercises)
    lines = [
        f"# {course}",
        "",
        f"{len(exercises)} exercises, {points} points.",
        _HOW_TO_WORK.format(first=exercises[0].name if exercises else "NAME", solution=_SOLUTION if solutions else ""),
        "| exercise | lesson | points | difficulty |",
        "|---|---|---|---|",
    ]
    for e in exercises:
        place, difficulty = places[e.name], "●" * e.about.difficulty
        lines.append(f"| [{e.title}]({place}) | {e.about.lesson} | {e.about.points} | {difficulty} |")
    return "\n".join(lines) + "\n"
