"""The command `minitorch-cv`: lessons, gradient checks, a model's ledger, and a doctor for the installation.

Exit codes: 0 it worked; 1 it ran and found something wrong; 2 it could not be done (a wrong argument, a missing file);
130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

EXAMPLES = """\
examples, from the first day on:
  minitorch-cv doctor                         is everything there? what is missing, and how to mend it
  minitorch-cv lessons                        the lessons, in order
  minitorch-cv lesson alexnet --quick         one lesson in under a minute
  minitorch-cv gradcheck my_conv.py           is the gradient that I wrote by hand right, and if not, what is wrong?
  minitorch-cv gradcheck conv2d               checks the package's own conv2d, first and second derivative
  minitorch-cv summary alexnet                layer by layer: shapes, parameters, multiply-adds, memory
"""

LESSON_EXAMPLES = """\
examples:
  minitorch-cv lesson 01_alexnet              a few minutes on two cores
  minitorch-cv lesson alexnet --quick         every cell, in under a minute
  minitorch-cv lesson 1 --full                what one would run on a GPU

A lesson is one file that is a script, a notebook and a page. To open it as a notebook:
  pip install "minitorch-cv[course]" jupyterlab
  jupytext --to notebook lessons/01_alexnet.py
"""

SUMMARY_EXAMPLES = """\
examples:
  minitorch-cv summary alexnet
  minitorch-cv summary alexnet --input 3,227,227
  minitorch-cv summary alexnet --json > alexnet.json

Units: parameters and activations are counted in elements, multiply-adds for one image.
"""

WARMUP_EXAMPLES = """\
examples:
  minitorch-cv warmup                         about 20 seconds the first time, nothing after
  minitorch-cv warmup --float64

Without it each kernel is compiled when it is first needed. Where: $MINITORCH_CV_CACHE, else the user's cache.
"""


def _shape(text: str) -> tuple[int, ...]:
    """`3,224,224` as (3, 224, 224)."""
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"three positive integers are expected, as in 3,224,224; it is {text!r}")
    return shape


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; each subcommand leaves its function in `run`."""
    from minitorch_cv.checks import command as gradcheck

    def add(name: str, run, summary: str, description: str = "", epilog: str | None = None):
        command = commands.add_parser(
            name,
            help=summary,
            description=description or summary,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    parser = argparse.ArgumentParser(
        prog="minitorch-cv",
        description="Derive gradients by hand and have them checked; build and train the classic vision networks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="the version, and where it is installed")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    add("lessons", _list_lessons, "list the lessons")

    lesson = add("lesson", _run_lesson, "run a lesson", epilog=LESSON_EXAMPLES)
    lesson.add_argument("name", metavar="NAME", help="its name, topic or number, as in 01_alexnet, alexnet or 1")
    size = lesson.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="every cell, at a size that takes under a minute")
    size.add_argument("--full", action="store_true", help="the experiments at a size for a GPU")

    gradcheck.add_arguments(add("gradcheck", gradcheck.run, "check gradients: a file of yours, or the package's own"))

    summary = add("summary", _summarize, "a model's ledger: shapes, parameters, multiply-adds", epilog=SUMMARY_EXAMPLES)
    summary.add_argument("model", metavar="MODEL", help="its name, as in alexnet (a wrong name lists them all)")
    summary.add_argument("--input", type=_shape, metavar="C,H,W", help="shape of one image (default: the model's own)")
    summary.add_argument("--json", action="store_true", help="for other programs")

    warmup = add("warmup", _warmup, "compile every kernel ahead, once on a machine", epilog=WARMUP_EXAMPLES)
    warmup.add_argument("--float64", action="store_true", help="those for float64 as well, which gradient checks use")

    doctor = add("doctor", _doctor, "what works on this machine, what does not, and the exact fix")
    doctor.add_argument("--json", action="store_true", help="for other programs")
    return parser


def _list_lessons(args: argparse.Namespace) -> int:
    from minitorch_cv._lessons import all_lessons, lessons_folder

    lessons = all_lessons()
    if not lessons:
        return _fail(f"lessons: no lesson in {lessons_folder()}")
    width = max(len(lesson.name) for lesson in lessons)
    for lesson in lessons:
        print(f"{lesson.name:<{width}}  {lesson.title}")
    print(f"\nRun one:  minitorch-cv lesson {lessons[0].topic} --quick")
    return 0


def _run_lesson(args: argparse.Namespace) -> int:
    from minitorch_cv._lessons import find_lesson, run_lesson

    try:
        lesson = find_lesson(args.name)
    except LookupError as error:
        return _fail(error.args[0])
    run_lesson(lesson, [flag for flag, chosen in (("--quick", args.quick), ("--full", args.full)) if chosen])
    return 0


def _summarize(args: argparse.Namespace) -> int:
    from minitorch_cv.models import NAMES, ledger
    from minitorch_cv.nn import init

    if args.model not in NAMES:
        return _fail(f"summary: MODEL expects one of {', '.join(NAMES)}; it is {args.model!r}")
    with init.skipped():
        model = NAMES[args.model]()
    shape = (1, *args.input) if args.input else model.input_shape
    try:
        table = ledger(model, shape)
    except ValueError as error:
        return _fail(f"summary: {args.model} does not take an image of {','.join(map(str, shape[1:]))}: {error}")
    if args.json:
        print(table.to_json())
    else:
        from rich.console import Console

        # In a narrow terminal or a pipe the lines may wrap; digits are never cut off.
        Console(width=max(Console().width, 110)).print(table.table())
    return 0


def _warmup(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import track

    try:
        from minitorch_cv.kernels.cpu import compiler, warmup
    except ModuleNotFoundError as error:
        return _fail(f"warmup: {error}; without it the portable bodies run, which need no compiling")

    made: list[float] = []
    compiler.Announcements.listeners.append(lambda name, seconds: made.append(seconds) if seconds else None)
    pieces = list(warmup.pieces(("float32", "float64") if args.float64 else ("float32",)))
    for _, make in track(pieces, "kernels", console=Console(stderr=True), transient=True):
        make()
    folder = compiler.cache_folder()
    print(f"all kernels are there: {len(made)} pieces of machine code were compiled just now, in {sum(made):.1f} s")
    if folder is None:
        return _fail("warmup: no folder could be written, so none is kept; set MINITORCH_CV_CACHE to one of your own")
    print(f"kept in {folder}")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from minitorch_cv import _doctor

    findings = _doctor.examine()
    print(_doctor.as_json(findings) if args.json else _doctor.as_text(findings))
    return 1 if any(finding.state == "broken" for finding in findings) else 0


def _version() -> int:
    from importlib.metadata import version
    from pathlib import Path

    print(f"minitorch-cv {version('minitorch-cv')} ({Path(__file__).resolve().parent})")
    return 0


def _fail(message: str) -> int:
    print(f"minitorch-cv: {message}", file=sys.stderr)
    return 2


def _print_utf8() -> None:
    """Makes both streams write UTF-8 where the console's code page would refuse Greek letters and box drawings."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8", errors="replace")


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.version:
        return _version()
    if args.command is None:
        parser.print_help()
        return 2
    return args.run(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: this process's) and returns its exit code."""
    _print_utf8()
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
