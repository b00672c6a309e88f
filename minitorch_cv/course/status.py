"""What a student has done: a table of the course's exercises, and which one comes next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minitorch_cv.course._text import points_text
from minitorch_cv.course.handout import read_course
from minitorch_cv.course.progress import Progress, Record


def state_of(record: Record) -> str:
    """One exercise in a few words."""
    if record.solved:
        return "done, after its solution" if record.solution_seen else "done"
    if record.solution_seen:
        return "solution seen"
    return "begun" if record.attempts else ""


def table(folder: Path, progress: Progress) -> tuple[Any, str]:
    """The table, for a rich console, and what to do next."""
    from rich.table import Table

    exercises = read_course(folder)["exercises"]
    shown = Table()
    for heading in ("lesson", "exercise", "points", "tries", "state"):
        shown.add_column(heading, justify="right" if heading in ("points", "tries") else "left")
    following, lesson = "", ""
    for name, pinned in exercises.items():
        record = progress[name]
        points = f"{points_text(record.best)} / {pinned['points']}" if record.last else f"{pinned['points']}"
        tries = str(record.attempts) if record.attempts else ""
        shown.add_row(pinned["lesson"] if pinned["lesson"] != lesson else "", name, points, tries, state_of(record))
        lesson = pinned["lesson"]
        following = following or ("" if record.solved else name)
    done = sum(progress[name].solved for name in exercises)
    earned = sum(progress[name].best for name in exercises)
    total = sum(pinned["points"] for pinned in exercises.values())
    closing = f"{done} of {len(exercises)} exercises, {points_text(earned)} of {total} points."
    if following:
        closing += f"\nNext: {exercises[following]['lesson']}/{following}: {exercises[following]['title']}"
    return shown, closing
