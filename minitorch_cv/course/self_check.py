"""`minitorch-cv course check`: a student's file, judged on their own machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from minitorch_cv.course._text import points_text
from minitorch_cv.course.exercise import Exercise
from minitorch_cv.course.judge import Judgement, judge
from minitorch_cv.course.notebook import notebook_to_script
from minitorch_cv.course.plain_mathematics import plain_mathematics
from minitorch_cv.course.progress import Progress, Record
from minitorch_cv.course.sandbox import Limits, Sandbox


@dataclass(frozen=True)
class Checked:
    """A check: what became of the file, and the student's record after it."""

    exercise: Exercise
    path: Path
    code: str
    judgement: Judgement
    record: Record


def read_code(path: Path) -> str:
    """The code of a script, or of a notebook's cells.

    Raises ValueError, which names the file, OSError: it is no text, or no notebook.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return notebook_to_script(text) if path.suffix == ".ipynb" else text
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def check_exercise(exercise: Exercise, path: Path, progress: Progress, seconds: float) -> Checked:
    """Runs the student's file in a process of its own and judges it; the record is changed, not yet saved.

    A file that cannot be run, for a slip of the keyboard, is no attempt.
    """
    code = read_code(path)
    judgement = judge(exercise, code, Sandbox.unconfined(), limits=Limits(seconds=seconds))
    record = progress[exercise.name]
    if judgement.is_written and not (judgement.failure or judgement.is_untouched):
        record = progress.attempt(exercise.name, code, judgement.score, judgement.is_full, len(exercise.hints))
    return Checked(exercise, path, code, judgement, record)


def as_text(checked: Checked) -> str:
    """What the student reads."""
    exercise, judgement, record = checked.exercise, checked.judgement, checked.record
    lines = [f"{exercise.name}: {exercise.title}"]
    if not judgement.is_written:
        return f"{lines[0]}\n  not written yet: {checked.path}"
    if judgement.failure:
        return "\n".join([lines[0], f"  {checked.path}", *_with_source(judgement.failure, checked.code)])
    told: set[str] = set()  # of each function the first wrong case in full, of the others what they say besides
    for case in judgement.cases:
        verdict = case.verdict
        if verdict.credit == 1.0:
            lines.append(f"  right  {case.name}")
            continue
        lines.append(f"  {'WRONG' if verdict.credit == 0 else 'partly'}  {case.name}")
        function, headline = case.name.partition(":")[0], verdict.message.partition("\n")[0]
        if function not in told:
            lines += _with_source(verdict.detail or verdict.message, checked.code, indent=9)
        elif headline not in told:
            lines.append(f"         {headline}")
        told |= {function, headline}
    if judgement.printed.strip():
        lines += ["  your file printed:", *(f"    {line}" for line in judgement.printed.rstrip().splitlines()[-10:])]
    points = f"{points_text(judgement.score)} of {exercise.about.points} points"
    if judgement.is_full:
        return "\n".join([*lines, f"  {points}: all is right."])
    lines += [f"  hint: {plain_mathematics(hint)}" for hint in judgement.hints]
    earned = exercise.hints[: record.hints]
    lines += [f"  hint {number}: {plain_mathematics(hint)}" for number, hint in enumerate(earned, 1)]
    if len(earned) < len(exercise.hints):
        more = f"Another version that is not right yet earns hint {len(earned) + 1} of {len(exercise.hints)}."
    else:
        more = f"These are all hints; a solution: minitorch-cv course solution {exercise.name}"
    lines.append(f"  {points}, best so far {points_text(record.best)}. {more}")
    return "\n".join(lines)


def _with_source(text: str, code: str, indent: int = 2) -> list[str]:
    """The lines of a message, and below one that names a line of the student's file, that line."""
    source, lines = code.splitlines(), []
    for line in text.splitlines():
        lines.append(f"{'':{indent}}{line}")
        if (found := re.search(r"\(line (\d+)\)$", line)) and int(found[1]) <= len(source):
            lines.append(f"{'':{indent}}  {found[1]} | {source[int(found[1]) - 1].strip()}")
    return lines
