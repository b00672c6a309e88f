"""The lessons where Sphinx looks, each with its downloads above and what belongs to it below."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import jupytext

from minitorch_cv._lessons import Lesson

from . import catalogue

QUESTION = re.compile(r"\*\*The question\.\*\* (.+?)\n#\s*\n", re.DOTALL)


def write(folder: Path) -> None:
    """A page, a script and a notebook of each lesson, and the list of them."""
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    for lesson in catalogue.lessons():
        shutil.copy(lesson.path, downloads)
        jupytext.write(jupytext.read(lesson.path), downloads / f"{lesson.name}.ipynb")
        text = _with_downloads(lesson, lesson.path.read_text(encoding="utf-8"))
        (folder / lesson.path.name).write_text(text + _what_belongs(lesson), encoding="utf-8")
    (folder / "index.md").write_text(_index(), encoding="utf-8")


def _index() -> str:
    lines = ["# Lessons", ""]
    lines.append(
        "Each lesson asks one question, derives what is needed to answer it, has every gradient checked in front of "
        "you, builds the network and runs the experiment. Each is one file: a page here, a notebook, and a script, "
        "`minitorch-cv lesson alexnet`. With `--quick` it takes under a minute, else a few minutes on two cores.\n"
    )
    for lesson in catalogue.lessons():
        lines += [f"## {{doc}}`{lesson.title} <{lesson.name}>`", "", _question(lesson), ""]
    tree = [lesson.name for lesson in catalogue.lessons()]
    return "\n".join([*lines, "```{toctree}", ":hidden:", ":maxdepth: 1", "", *tree, "```", ""])


def _question(lesson: Lesson) -> str:
    found = QUESTION.search(lesson.path.read_text(encoding="utf-8"))
    return re.sub(r"\n# ?", " ", found[1]).strip() if found else ""


def _with_downloads(lesson: Lesson, text: str) -> str:
    """The lesson's text with a line of downloads under its title."""
    title = f"# # {lesson.title}\n"
    assert text.count(title) == 1, f"{lesson.path.name}: its title expects a line of its own"
    line = (
        f"# {{download}}`Script <downloads/{lesson.name}.py>` · "
        f"{{download}}`Notebook <downloads/{lesson.name}.ipynb>` · run it: `minitorch-cv lesson {lesson.topic}`\n"
    )
    return text.replace(title, f"{title}#\n{line}")


def _what_belongs(lesson: Lesson) -> str:
    """A last cell: the operations and exercises that belong to the lesson."""
    derived = catalogue.derived_in(lesson)
    used = [name for name in catalogue.used_in(lesson) if name not in derived]
    link = lambda name: f"{{py:func}}`{name} <{catalogue.qualified(name)}>`"
    rows = {
        "Operations that it derives": [link(name) for name in derived],
        "Operations that it uses": [link(name) for name in used],
        "Exercises": [
            f"{{doc}}`{exercise.title} </exercises/{exercise.name}>`"
            for exercise in catalogue.exercises()
            if exercise.about.lesson == lesson.name
        ],
    }
    stems = {family.stem for name in derived if (family := catalogue.family_of(name)) and family.kernels}
    rows["Kernels"] = [f"{{doc}}`/reference/kernels/{stem}`" for stem in sorted(stems)]
    lines = ["", "# %% [markdown]", "# ## What belongs to this lesson", "#"]
    lines += [f"# - {kind}: {', '.join(targets)}" for kind, targets in rows.items() if targets]
    return "\n".join(lines) + "\n" if any(rows.values()) else ""
