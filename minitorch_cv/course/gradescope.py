"""Results for Gradescope: what an autograder leaves at /autograder/results/results.json.

Format: https://gradescope-autograders.readthedocs.io/en/latest/specs/
"""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

from ._text import feedback, readable
from .results import StudentResult

Visibility = Literal["visible", "after_due_date", "after_published", "hidden"]


def gradescope_results(result: StudentResult, visibility: Visibility = "visible") -> str:
    """The text of results.json: a test for each exercise, its cases in the output.

    visibility: when students see the tests. What the grader prints they never see.
    Raises: ValueError for another visibility.
    """
    if visibility not in get_args(Visibility):
        raise ValueError(
            f"gradescope_results: visibility expects one of {', '.join(get_args(Visibility))}; it is {visibility!r}"
        )
    tests = [
        {
            "name": readable(f"{exercise.lesson}: {exercise.title}"),
            "number": str(number),
            "score": exercise.score,
            "max_score": exercise.points,
            "status": "passed" if exercise.status == "full" else "failed",
            "output": feedback(exercise),
            "output_format": "text",
            "visibility": visibility,
        }
        for number, exercise in enumerate(result.exercises, start=1)
    ]
    document: dict[str, Any] = {
        "score": result.score,
        "output": readable("\n".join(result.problems)),
        "output_format": "text",
        "visibility": visibility,
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
