"""A page for each exercise: the statement and what the student begins with. Hints, mistakes and solutions stay in."""

from __future__ import annotations

from pathlib import Path

from minitorch_cv.course.exercise import Exercise

from . import catalogue

INTRODUCTION = """\
# Exercises

Each is a file with functions to write, and a statement of what they should do. What is wrong with yours is named: the
line of a derivation, the gradient, the input; a known mistake gets a hint of its own, and each wrong try after the
first earns one more.

```bash
minitorch-cv course new my_course                   # a folder of files to fill in
cd my_course
minitorch-cv course check batch_norm_line_by_line   # right? if not, why?
minitorch-cv course status                          # what comes next
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
    lines += ["## What you begin with", ""]
    if about.imports:
        lines += [f"To be solved with {' and '.join(about.imports)} alone."]
    lines += [f"`minitorch-cv course check {exercise.name}` says whether it is right.", ""]
    lines += [f"````{exercise.language.name}", exercise.stub.strip(), "````", "", f"*After {about.source}.*", ""]
    return "\n".join(lines)
