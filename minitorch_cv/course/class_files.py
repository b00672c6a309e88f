"""What is written when hand-ins are graded: for the class a report and a gradebook, for other platforms their files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from minitorch_cv.course.class_report import class_report
from minitorch_cv.course.gradebook import gradebook
from minitorch_cv.course.gradescope import gradescope_results
from minitorch_cv.course.handin import read_handin
from minitorch_cv.course.handout import save_text, script
from minitorch_cv.course.junit import junit_xml
from minitorch_cv.course.prairielearn import prairielearn_results
from minitorch_cv.course.release import Course
from minitorch_cv.course.results import StudentResult
from minitorch_cv.course.similarity import SimilarPair, similar_handins

FORMATS: Mapping[str, tuple[str, Callable[[StudentResult], str]]] = {
    "gradescope": (".json", gradescope_results),
    "prairielearn": (".json", prairielearn_results),
    "junit": (".xml", junit_xml),
}
"""By name, which is that of the folder, too: the ending of a student's file, and what writes it."""

PUBLISHED = "the published solution"
"""The name of `course solution`'s text among the students."""


def write_student(result: StudentResult, path: Path, formats: Collection[str]) -> list[Path]:
    """Writes a student's result in other formats, in folders beside its own file `path`; returns what was written."""
    written = []
    for name in formats:
        ending, text = FORMATS[name]
        folder = path.parent / name
        folder.mkdir(exist_ok=True)
        written.append(folder / f"{path.stem}{ending}")
        save_text(written[-1], text(result))
    return written


def write_class(course: Course, handins: Sequence[Path], results: Sequence[StudentResult], folder: Path) -> list[Path]:
    """Writes `report.html`, where near-identical hand-ins are named, and `gradebook.csv`; returns the two."""
    ordered = sorted(results, key=lambda result: result.student)
    report, table = folder / "report.html", folder / "gradebook.csv"
    save_text(report, class_report(ordered, _similar(course, handins)))
    save_text(table, gradebook(ordered))
    return [report, table]


def _similar(course: Course, handins: Sequence[Path]) -> list[SimilarPair]:
    """Hand-ins that are near-identical to each other, or to the published solution, which counts as one more author."""
    read = [read_handin(path, [exercise.file for exercise in course.exercises]) for path in handins]
    pairs: list[SimilarPair] = []
    for exercise in course.exercises:
        files = {handin.student: handin.files[exercise.file] for handin in read if exercise.file in handin.files}
        files[PUBLISHED] = exercise.solution.encode()
        handout = script(exercise, exercise.stub).encode()
        pairs += similar_handins(exercise.name, files, handout, exercise.language.name)
    return pairs
