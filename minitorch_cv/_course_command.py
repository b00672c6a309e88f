"""The command `minitorch-cv course`: a folder of exercises, checks of one's own work, solutions, what is done."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from minitorch_cv.course.exercise import Exercise
    from minitorch_cv.course.progress import Progress
    from minitorch_cv.course.sandbox import Sandbox

NEW = """\
Makes a folder of exercises: one file each, with the statement, what is given, and what is yours to write.

examples:
  minitorch-cv course new my_course
  minitorch-cv course new my_course --lessons resnet 5       the exercises of two lessons
  minitorch-cv course new my_course --notebooks              to be opened in Jupyter

Files that are there already are kept, so that the command can be given again when there are new exercises.
"""

CHECK = """\
Runs your functions on inputs that everybody gets, and tells what is wrong: which line of a derivation, which gradient,
and if the mistake is a known one, a hint. Each wrong try after the first earns one more hint.

examples:
  minitorch-cv course check batch_norm_line_by_line
  minitorch-cv course check                                  everything that you have begun

Exit code: 0 all is right, 1 something is wrong, 2 something could not be checked.
"""

SOLUTION = """\
Writes a solution beside your work, into solutions/. Your record says that you looked before it was right. In a
course that a teacher released it is refused, unless they allowed it.
"""

STATUS = """\
What is done, what is begun, what comes next.
"""

RELEASE = """\
Makes a course for a class, in two folders: student/, to be handed out, without solutions and hidden cases; teacher/,
with a copy of the exercises as they are now and the secret seed of the inputs that hand-ins are graded on. Keep it.

In student/ `course solution` is refused, unless --solutions. Solutions remain published, in the package: the class
report names hand-ins that are near-identical to them.

examples:
  minitorch-cv course release autumn --name "Vision, autumn 2026" --lessons backprop alexnet resnet
  minitorch-cv course release autumn --gradescope --package minitorch_cv-0.1.0-py3-none-any.whl

With --gradescope there is autograder.zip besides. It holds the teacher's folder, and what it installs runs beside that:
the wheel that you make of your copy of this package, by `pip wheel --no-deps .` in its folder.
"""

GRADE = """\
Grades hand-ins, each a folder or a zip named after its student, by the teacher's folder that `course release` made.
For each student one result file; for the class report.html and gradebook.csv. Results that are there already and
still hold are kept: a run that was stopped goes on where it was, and grading again changes nothing.

examples:
  minitorch-cv course grade handins/* --course autumn/teacher --results graded --jobs 2
  minitorch-cv course grade handins/ada.zip --course autumn/teacher --format gradescope

Students' code runs in a sandbox: bubblewrap, where it is installed (apt install bubblewrap). Without it limits
alone hold, with a warning; --require-sandbox refuses then. --sandbox container says that grading runs in a container
that guarantees the rest: no network, no files but those of this grading.

A hand-in that takes more than --minutes is graded as far as it came; the report says what was not run.

Exit code: 0 all hand-ins are graded, 2 it could not be done, 130 interrupted (go on with the same command).
"""


def add_commands(commands: Any) -> None:
    """The subcommands and their options."""

    def add(name: str, run: Any, summary: str, description: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.set_defaults(run=lambda args: _reporting_errors(name, run, args))
        return command

    _describe_new(add("new", _new, "make a folder of exercises", NEW))
    check = add("check", _check, "is my work right, and if not, why?", CHECK)
    check.add_argument("exercises", nargs="*", metavar="EXERCISE", help="names or files (default: all that are begun)")
    check.add_argument(
        "--seconds", type=_positive, default=10.0, metavar="S", help="for one call of yours (default 10)"
    )
    solution = add("solution", _solution, "how an exercise can be solved", SOLUTION)
    solution.add_argument("exercise", metavar="EXERCISE")
    status = add("status", _status, "what is done and what comes next", STATUS)
    for command in (check, solution, status):
        command.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="of the course (default: here)")
    _describe_release(add("release", _release, "for teachers: the hand-out, and the folder to grade by", RELEASE))
    _describe_grade(add("grade", _grade, "for teachers: grade hand-ins", GRADE))


def _describe_new(new: argparse.ArgumentParser) -> None:
    new.add_argument("folder", metavar="DIR", type=Path)
    new.add_argument("--lessons", nargs="+", metavar="LESSON", help="names, topics or numbers (default: all)")
    new.add_argument("--notebooks", action="store_true", help="notebooks in place of scripts")


def _describe_release(release: argparse.ArgumentParser) -> None:
    release.add_argument("folder", metavar="DIR", type=Path)
    release.add_argument("--name", default="minitorch_cv", help="of the course (default minitorch_cv)")
    which = release.add_mutually_exclusive_group()
    which.add_argument("--lessons", nargs="+", metavar="LESSON", help="names, topics or numbers (default: all)")
    which.add_argument("--exercises", nargs="+", metavar="EXERCISE", help="by name, in place of whole lessons")
    release.add_argument("--notebooks", action="store_true", help="notebooks in place of scripts")
    release.add_argument("--solutions", action="store_true", help="students may look at them (default: refused)")
    release.add_argument("--gradescope", action="store_true", help="an autograder's zip besides, with --package")
    release.add_argument("--package", metavar="WHEEL", type=Path, help="what that installs: pip wheel --no-deps .")


def _describe_grade(grade: argparse.ArgumentParser) -> None:
    grade.add_argument("handins", metavar="HANDIN", nargs="+", type=Path, help="folders and zips, one a student")
    grade.add_argument("--course", required=True, metavar="DIR", type=Path, help="the teacher's folder")
    grade.add_argument("--results", metavar="DIR", type=Path, default=Path("graded"), help="default: graded")
    grade.add_argument("--jobs", type=int, default=1, metavar="N", help="students at a time (default 1)")
    grade.add_argument(
        "--minutes", type=_positive, metavar="M", help="for one hand-in (default 10, and one more for each kernel)"
    )
    grade.add_argument("--sandbox", choices=["bubblewrap", "container"], default="bubblewrap")
    grade.add_argument("--require-sandbox", action="store_true", help="refuse to grade without bubblewrap")
    grade.add_argument("--again", action="store_true", help="grade anew what is graded already")
    grade.add_argument(
        "--format", nargs="+", choices=["gradescope", "prairielearn", "junit"], default=[], help="further result files"
    )


def _positive(text: str) -> float:
    """What an option expects that is an amount of time."""
    try:
        if 0 < (number := float(text)) < math.inf:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expects a finite positive number; it is {text!r}")


def _reporting_errors(name: str, run: Callable[[Any], int], argument: Any) -> int:
    """The exit code of `run(argument)`, or 2 for an error, which is told in a line."""
    try:
        return run(argument)
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        text = error.args[0] if isinstance(error, LookupError) and error.args else error
        print(f"minitorch-cv course {name}: {text}", file=sys.stderr)
        return 2


def _of_lessons(lessons: list[str] | None) -> list[Exercise]:
    """The exercises of some lessons, or all."""
    from minitorch_cv._lessons import find_lesson
    from minitorch_cv.course.exercise import all_exercises

    exercises = all_exercises()
    if not lessons:
        return exercises
    chosen = {find_lesson(name).name for name in lessons}
    exercises = [exercise for exercise in exercises if exercise.about.lesson in chosen]
    if not exercises:
        raise ValueError(f"--lessons: there are no exercises for {', '.join(sorted(chosen))}")
    return exercises


def _new(args: argparse.Namespace) -> int:
    from minitorch_cv.course.handout import write_folder

    exercises = _of_lessons(args.lessons)
    written = write_folder(args.folder, exercises, "minitorch_cv", notebooks=args.notebooks)
    kept = len(exercises) - len(written)
    print(f"{args.folder}: {len(written)} exercises" + (f", {kept} kept as they are" if kept else ""))
    print(f"\nBegin:  cd {args.folder} && minitorch-cv course status")
    return 0


def _check(args: argparse.Namespace) -> int:
    from rich.console import Console

    from minitorch_cv.course.handout import find_folder, read_course
    from minitorch_cv.course.progress import Progress

    folder = find_folder(args.folder)
    pinned = read_course(folder)["exercises"]
    progress, status = Progress.of(folder), Console(stderr=True).status("")

    def check_one(name: str) -> int:
        return _check_one(folder, name, pinned, progress, args, status)

    names = [Path(name).stem for name in args.exercises] or list(pinned)
    # What cannot be checked is told of, and the others are checked all the same.
    codes = {_reporting_errors("check", check_one, name) for name in names} - {_NOT_BEGUN}
    if not codes:
        print("Nothing is begun yet. What there is to do: minitorch-cv course status")
    return max(codes, default=0)


_NOT_BEGUN = -1


def _check_one(
    folder: Path, name: str, pinned: Any, progress: Progress, args: argparse.Namespace, status: Status
) -> int:
    """Checks one exercise, and prints what is to be said; returns the exit code, or that nothing is begun."""
    from minitorch_cv.course.exercise import find_exercise
    from minitorch_cv.course.handout import find_file
    from minitorch_cv.course.self_check import as_text, check_exercise, read_code

    exercise = find_exercise(name)
    path = find_file(folder, exercise.name)
    if path is None and args.exercises:
        raise ValueError(f"there is no file of {exercise.name} in {folder}")
    if path is None or (not args.exercises and exercise.is_stub(read_code(path))):
        return _NOT_BEGUN
    if (version := pinned.get(exercise.name, {}).get("version")) not in (None, exercise.version):
        print(f"note: {exercise.name} has changed since your folder was made (version {version})")
    with status:
        status.update(exercise.name)
        checked = check_exercise(exercise, path, progress, args.seconds)
    progress.save()
    print(as_text(checked), end="\n\n")
    return 0 if checked.judgement.is_full else 1


def _solution(args: argparse.Namespace) -> int:
    from minitorch_cv.course.exercise import find_exercise
    from minitorch_cv.course.handout import find_folder, read_course, save_text, script
    from minitorch_cv.course.progress import Progress

    folder = find_folder(args.folder)
    if read_course(folder).get("solutions", True) is not True:
        raise ValueError(f"the course in {folder} was released without solutions; ask your teacher")
    exercise = find_exercise(args.exercise)
    progress = Progress.of(folder)
    record = progress[exercise.name]
    record.solution_seen = record.solution_seen or not record.solved
    progress.save()
    path = folder / "solutions" / exercise.file
    path.parent.mkdir(exist_ok=True)
    save_text(path, script(exercise, exercise.solution))
    print(f"{path}\n")
    print(exercise.solution)
    return 0


def _status(args: argparse.Namespace) -> int:
    from rich.console import Console

    from minitorch_cv.course.handout import find_folder
    from minitorch_cv.course.progress import Progress
    from minitorch_cv.course.status import table

    folder = find_folder(args.folder)
    shown, closing = table(folder, Progress.of(folder))
    Console(width=None if sys.stdout.isatty() else 110).print(shown)
    print(closing)
    return 0


def _release(args: argparse.Namespace) -> int:
    from minitorch_cv.course.exercise import find_exercise
    from minitorch_cv.course.gradescope_autograder import MAKE_WHEEL, expect_wheel, write_autograder
    from minitorch_cv.course.release import release

    if args.gradescope != (args.package is not None):
        raise ValueError(f"--gradescope and --package WHEEL belong together; a wheel is made by: {MAKE_WHEEL}")
    if args.package:
        expect_wheel(args.package)
    named = {exercise.name: exercise for exercise in map(find_exercise, args.exercises or ())}
    exercises = list(named.values()) or _of_lessons(args.lessons)
    student, teacher = release(args.folder, exercises, args.name, args.notebooks, solutions=args.solutions)
    print(f"{student}: {len(exercises)} exercises to hand out, {sum(e.about.points for e in exercises)} points")
    print(f"{teacher}: to grade by; it holds the solutions and the secret seed, so keep it to yourself")
    if args.package:
        write_autograder(args.folder / "autograder.zip", teacher, args.package)
        print(f"{args.folder / 'autograder.zip'}: for Gradescope; it holds the teacher's folder")
    print(f"\nLater:  minitorch-cv course grade HANDIN ... --course {teacher}")
    return 0


def _grade(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from minitorch_cv.course._text import points_text
    from minitorch_cv.course.class_files import write_class, write_student
    from minitorch_cv.course.grade import grade
    from minitorch_cv.course.release import Course

    missing = [str(path) for path in args.handins if not path.exists()]
    if missing:
        raise ValueError(f"HANDIN expects folders and zips; there is no {', '.join(missing[:5])}")
    if args.jobs < 1:
        raise ValueError(f"--jobs expects a whole number from 1 on; it is {args.jobs}")
    console = Console(stderr=True)
    sandbox = _sandbox(args, console)
    graded = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("hand-ins", total=len(args.handins))
        for one in grade(args.course, args.handins, args.results, args.jobs, sandbox, args.again, args.minutes):
            graded.append(one)
            write_student(one.result, one.path, args.format)
            progress.advance(task)
            if one.fresh or not console.is_terminal:
                points = f"{points_text(one.result.score)} of {points_text(one.result.points)}"
                print(f"{one.result.student}: {points}{'' if one.fresh else '   (as before)'}", flush=True)
    written = write_class(Course.read(args.course), args.handins, [one.result for one in graded], args.results)
    print(f"\n{len(graded)} hand-ins: {' and '.join(map(str, written))}")
    return 0


def _sandbox(args: argparse.Namespace, console: Console) -> Sandbox:
    """The sandbox that is asked for; what it guarantees is printed.

    Raises ValueError where there is none.
    """
    from minitorch_cv.course.sandbox import Sandbox, Unavailable

    try:
        container = args.sandbox == "container"
        sandbox = Sandbox.outer_container() if container else Sandbox.find(require_bubblewrap=args.require_sandbox)
    except Unavailable as unavailable:
        raise ValueError(str(unavailable)) from None
    if sandbox.warning:
        console.print(f"[bold red]WARNING[/] {sandbox.warning}", highlight=False)
    console.print(f"sandbox: {sandbox.guarantee}", highlight=False)
    return sandbox
