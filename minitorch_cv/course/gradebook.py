"""The scores of a class as CSV, for a gradebook or a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from ._text import points_text, readable
from .results import StudentResult, exercises_of


def gradebook(results: Iterable[StudentResult]) -> str:
    """A line a student, by name; a column an exercise, in the order of the course; the sum and the most it can be.

    An exercise that was not handed in, or that a student's result does not know, is left empty. A spreadsheet takes
    text that begins with `=`, `+`, `-` or `@` for a formula: an apostrophe before it keeps it text.
    """
    results = sorted(results, key=lambda result: result.student)
    exercises = exercises_of(results)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["student", *map(_harmless, exercises), "total", "points"])
    for result in results:
        scores = {
            exercise.exercise: points_text(exercise.score)
            for exercise in result.exercises
            if exercise.status != "not handed in"
        }
        writer.writerow(
            [
                _harmless(result.student),
                *(scores.get(name, "") for name in exercises),
                points_text(result.score),
                points_text(result.points),
            ]
        )
    return out.getvalue()


def _harmless(text: str) -> str:
    """Text that no spreadsheet computes."""
    # A spreadsheet may strip blanks before it looks; East Asian ones know the wide forms too.
    formula = text.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    return f"'{readable(text)}" if formula else readable(text)
