"""`minitorch-cv course check`: a student's file, judged on their own machine."""

from __future__ import annotations

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
    """Runs the student's file in a process of its own and judges it; the record is changed, not yet saved."""
    code = read_code(path)
    judgement = judge(exercise, code, Sandbox.unconfined(), limits=Limits(seconds=seconds))
    record = progress[exercise.name]
    if judgement.is_written and not judgement.is_untouched:
        record = progress.attempt(exercise.name, code, judgement.score, judgement.is_full, len(exercise.hints))
    return Checked(exercise, path, judgement, record)


def as_text(checked: Checked) -> str:
    """What the student reads."""
    exercise, judgement, record = checked.exercise, checked.judgement, checked.record
    points = f"{points_text(judgement.score)} of {exercise.about.points} points"
    lines = [f"{exercise.name}: {exercise.title}"]
    if not judgement.is_written:
        return f"{lines[0]}\n  not written yet: {checked.path}"
    told: set[str] = set()  # of each function the first wrong case in full, of the others what they say besides
    for case in judgement.cases:
        verdict = case.verdict
        if verdict.credit == 1.0:
            lines.append(f"  right  {case.name}")
            continue
        lines.append(f"  {'WRONG' if verdict.credit == 0 else 'partly'}  {case.name}")
        function, headline = case.name.partition(":")[0], verdict.message.partition("\n")[0]
        if function not in told:
            lines += [f"         {line}" for line in (verdict.detail or verdict.message).splitlines()]
        elif headline not in told:
            lines.append(f"         {headline}")
        told |= {function, headline}
    if judgement.printed.strip():
        lines += ["  your file printed:", *(f"    {line}" for line in judgement.printed.rstrip().splitlines()[-10:])]
    lines += [f"  hint: {plain_mathematics(hint)}" for hint in judgement.hints]
    if judgement.is_full:
        lines.append(f"  {points}: all is right.")
    else:
        if not judgement.hints:
            lines += [
                f"  hint {number}: {plain_mathematics(hint)}"
                for number, hint in enumerate(exercise.hints[: record.hints], 1)
            ]
        lines.append(f"  {points}, best so far {points_text(record.best)}. Another hint comes with the next try.")
    return "\n".join(lines)
