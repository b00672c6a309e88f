"""Results for PrairieLearn: what an external grader leaves at /grade/results/results.json.

Format: https://prairielearn.readthedocs.io/en/latest/externalGrading/
"""

from __future__ import annotations

import json
from typing import Any

from ._text import feedback, points_text, readable
from .results import StudentResult

_MOST_BYTES = 1_000_000
"""PrairieLearn takes no longer file."""


def prairielearn_results(result: StudentResult) -> str:
    """The text of results.json: the share of the points, and a test for each exercise.

    Where nothing was handed in there is nothing to grade, and the student loses no attempt. Long outputs are cut where
    the whole would be longer than PrairieLearn takes.
    """
    longest = max((len(feedback(exercise)) for exercise in result.exercises), default=0)
    while len(text := _results(result, longest).encode("utf-8")) > _MOST_BYTES and longest:
        longest //= 2
    return text.decode("utf-8")


def _results(result: StudentResult, longest: int) -> str:
    handed_in = any(exercise.status != "not handed in" for exercise in result.exercises)
    problems = [readable(problem) for problem in result.problems]
    tests = [
        {
            "name": readable(exercise.title),
            "description": readable(exercise.lesson),
            "points": exercise.score,
            "max_points": exercise.points,
            "output": _cut(feedback(exercise), longest),
        }
        for exercise in result.exercises
    ]
    document: dict[str, Any] = {
        "gradable": handed_in,
        "score": min(1.0, result.share),
        "message": f"{points_text(result.score)} of {points_text(result.points)} points",
        "output": "\n".join(problems),
        "tests": tests,
    }
    if not handed_in:
        document["format_errors"] = problems or ["No file of the course was handed in."]
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} ... (cut)"
