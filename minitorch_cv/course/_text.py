"""What the writers of results say alike: points, states and cases, in text that every format can hold."""

from __future__ import annotations

import re

from .results import ExerciseResult, Status

STATUS_TEXT: dict[Status, str] = {
    "full": "Every case passes.",
    "partial": "Some cases pass.",
    "wrong": "No case passes.",
    "not written": "It is not written yet.",
    "not handed in": "It was not handed in.",
    "ended": "It was ended at a limit of time or memory.",
}


def readable(text: str) -> str:
    """The text without characters that XML forbids or UTF-8 cannot write: U+FFFD stands for each."""
    return _UNREADABLE.sub("\ufffd", text)


def points_text(points: float) -> str:
    """Points as people write them: at most two decimals, and none where they are zeros."""
    text = f"{points:.2f}"
    return text.rstrip("0").rstrip(".")


def feedback(exercise: ExerciseResult) -> str:
    """What the student reads of an exercise: its state, its message and its cases; nothing that is the teacher's."""
    lines = [STATUS_TEXT[exercise.status]]
    if exercise.message:
        lines.append(exercise.message)
    for case in exercise.cases:
        message = f": {case.message}" if case.message else ""
        lines.append(f"{'pass' if case.passed else 'FAIL'}  {case.name}{message}")
    return readable("\n".join(lines))


# Control characters besides tab and line feed, halves of characters, and what Unicode keeps for no character.
_UNREADABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
