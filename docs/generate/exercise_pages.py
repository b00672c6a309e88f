"""A page for each exercise: the statement and what the student begins with. Hints, mistakes and solutions stay in."""

from __future__ import annotations

from pathlib import Path

from minitorch_cv.course.exercise import Exercise

from . import catalogue

DIFFICULTY = {1: "a few lines", 2: "an hour", 3: "an afternoon", 4: "an evening or two"}

INTRODUCTION = """\
# Exercises

Each is a file with a function to write and a statement that says what it should do. What you hand in is run in a
process of its own and held to differences, to a reference and to cases that you do not see; what is wrong is named, and
hints come one at a time.

```bash
minitorch-cv course new batch_norm_line_by_line      # the file to fill in
minitorch-cv course check batch_norm_line_by_line.py # points, and what is wrong
```

"""


def write(folder: Path) -> None:
    """The list by lessons, and the pages."""
    folder.mkdir(parents=True)
    lines = [INTRODUCTION]
    for lesson in catalogue.lessons():
        belonging = [exercise for exercise in catalogue.exercises() if exercise.about.lesson == lesson.name]
        if not belonging:
            continue
        lines += [
            f"## {{doc}}`{lesson.title} </lessons/{lesson.name}>`",
            "",
            "| exercise | points | difficulty |",
            "|---|--:|---|",
        ]
        for exercise in belonging:
            about = exercise.about
            lines.append(
                f"| {{doc}}`{exercise.title} <{exercise.name}>` | {about.points} | {_stars(about.difficulty)} |"
            )
        lines.append("")
    names = [exercise.name for exercise in catalogue.exercises()]
    tree = ["```{toctree}", ":hidden:", "", *names, "```", ""]
    (folder / "index.md").write_text("\n".join([*lines, *tree]), encoding="utf-8")
    for exercise in catalogue.exercises():
        (folder / f"{exercise.name}.md").write_text(_page(exercise), encoding="utf-8")


def _stars(difficulty: int) -> str:
    return "●" * difficulty + "○" * (4 - difficulty)


def _page(exercise: Exercise) -> str:
    about = exercise.about
    operations = ", ".join(
        f"{{py:func}}`{name} <{catalogue.qualified(name)}>`" for name in about.operations if catalogue.family_of(name)
    )
    facts = [
        f"{about.points} points",
        f"difficulty {_stars(about.difficulty)}",
        f"lesson {{doc}}`/lessons/{about.lesson}`",
    ]
    facts += [f"operations {operations}"] if operations else []
    lines = [f"# {exercise.title}", "", " · ".join(facts), "", exercise.statement, ""]
    lines += ["## What you begin with", "", f"`minitorch-cv course new {exercise.name}` writes `{exercise.file}`:", ""]
    lines += ["````python", exercise.stub.strip(), "````", "", f"*After {about.source}.*", ""]
    return "\n".join(lines)
