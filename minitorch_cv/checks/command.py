"""The command ``minitorch-cv gradcheck``: a file of your own, or the package's operations."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

DESCRIPTION = """\
Check gradients that were derived by hand, against differences of the forward function in float64: every entry, under a
random upstream gradient. What is wrong is named, not only that something is.

Your own file holds a forward, its backward, and inputs to try them on:

    import numpy as np

    def forward(x, weight):
        return x @ weight

    def backward(dy, x, weight):             # one gradient for each array of floats, None to leave one out
        return dy @ weight.T, x.T @ dy

    def cases(rng):                          # or inputs = (x, weight), or leave both out and give --shapes
        yield rng.standard_normal((4, 3)), rng.standard_normal((3, 5))

inputs is one case, a tuple, a list or a dict by argument name; cases(rng) may yield several. forward may also return
(out, cache), with backward(dout, cache); gradients may come as a dict (dx, dweight). A file may hold several pairs:
conv_forward, conv_backward, conv_cases. It runs in a process of its own, under a time limit.
"""

EXAMPLES = """\
examples:
  minitorch-cv gradcheck my_conv.py                                your file, on its own cases
  minitorch-cv gradcheck my_conv.py --shapes 2,3,8,8 4,3,3,3       on random arrays of these shapes
  minitorch-cv gradcheck my_conv.py --plot error.png               and a figure of where it is wrong
  minitorch-cv gradcheck                                           every operation of the package
  minitorch-cv gradcheck conv2d batch_norm                         some of them
  minitorch-cv gradcheck --faults                                  is every planted mistake caught?
  minitorch-cv gradcheck --mutate                                  and every mistake made by changing the source?

exit codes: 0 right, 1 wrong, 2 could not be checked
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradcheck`` to its parser."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "targets", nargs="*", metavar="FILE|OP", help="your file, or operations of the package (default: all of them)"
    )
    yours = parser.add_argument_group("for your own file")
    yours.add_argument(
        "--shapes", nargs="+", type=_shape, metavar="N,C,H,W", help="shapes of random inputs, one for each argument"
    )
    yours.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="time limit in seconds (default: 60)"
    )
    yours.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the inputs and upstream gradients")
    yours.add_argument("--plot", type=Path, metavar="FILE", help="save the report as a figure (.png, .pdf, .svg)")
    package = parser.add_argument_group("for the package's operations")
    package.add_argument("--faults", action="store_true", help="plant mistakes in every backward: each must be caught")
    package.add_argument("--mutate", action="store_true", help="change the source of every backward, likewise")


def run(args: argparse.Namespace) -> int:
    """Run ``gradcheck``; the exit code is 0 for right, 1 for wrong, 2 for what could not be checked."""
    files = [target for target in args.targets if _is_file(target)]
    names = [target for target in args.targets if not _is_file(target)]
    if files and names:
        return _fail(f"gradcheck: expects files or operations, not both; {files[0]} is a file, {names[0]} is none")
    if not files:
        if args.shapes or args.plot:
            option = "--shapes" if args.shapes else "--plot"
            return _fail(f"gradcheck: {option} expects a file of yours: minitorch-cv gradcheck my_conv.py {option} ...")
        from minitorch_cv.checks import suite

        return suite.run(names, faults=args.faults, mutate=args.mutate)
    if args.faults or args.mutate:
        option = "--faults" if args.faults else "--mutate"
        return _fail(f"gradcheck: {option} is for the package's operations; {files[0]} is a file")
    if args.plot and len(files) > 1:
        return _fail(f"gradcheck: --plot expects one file; {len(files)} were given")
    return _check_files(args, files)


def _check_files(args: argparse.Namespace, files: list[str]) -> int:
    from minitorch_cv.checks.location import hidden_module

    try:
        from minitorch_cv.checks.student import check_file, unusable_figure
    except (ImportError, AttributeError, RecursionError) as error:  # run by `python -m`, the folder comes first
        hint = hidden_module(error, Path.cwd())
        if not hint:
            raise
        return _fail(f"gradcheck: {hint}")
    if args.plot and (problem := unusable_figure(args.plot)):
        return _fail(f"gradcheck: --plot {problem}")
    codes = []
    for path in files:
        report = check_file(path, shapes=args.shapes, timeout=args.timeout, seed=args.seed, plot=args.plot)
        print(report, file=sys.stderr if report.exit_code == 2 else sys.stdout)
        codes.append(report.exit_code)
    return 1 if 1 in codes else max(codes)


def _is_file(target: str) -> bool:
    return target.endswith((".py", ".ipynb")) or os.sep in target or "/" in target or os.path.isfile(target)


def _shape(text: str) -> tuple[int, ...]:
    """``2,3,8,8`` as (2, 3, 8, 8)."""
    try:
        shape = tuple(int(part) for part in text.strip("()").split(",") if part.strip())
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"a shape is positive integers with commas, as in 2,3,8,8; it is {text!r}")
    return shape


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a time limit is a positive number of seconds; it is {text!r}")
    return seconds


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 2
