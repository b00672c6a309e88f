"""The exercises of lesson 08: six kernels to mend, and one to make faster.

    python exercises.py                  the list
    python exercises.py race mine.cu     what your version of broken_race.cu still lacks

Each is run on the simulator with every load and store watched, in three orders of threads, at sizes that end within a
block, as the harness in the file's first comment launches it; its result is held to NumPy's. No GPU is needed, but g++
or clang++. `minitorch-cv kernel check mine.cu` says the same with advice, and asks the compiler's sanitizers too.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minitorch_cv.kernels.simulator import harness
from minitorch_cv.kernels.simulator.finding import Finding
from minitorch_cv.kernels.simulator.module import ORDERS, KernelError
from minitorch_cv.kernels.simulator.watched import MemoryCounts, WatchedModule

FOLDER = Path(__file__).resolve().parent


def every_sector_once(launch: harness.Launch, counts: MemoryCounts) -> str | None:
    """What a transposition that is right still lacks."""
    result = launch.expected["y"]
    sectors, least = counts.global_load_sectors + counts.global_store_sectors, 2 * result.nbytes // 32
    size = "rows = {}, columns = {}".format(*result.T.shape)
    if sectors > least:
        return f"{size}: its loads and stores take {sectors} sectors of 32 bytes; x and y together have {least}"
    if counts.shared_wavefronts > counts.shared_accesses:
        return (
            f"{size}: {counts.shared_accesses} requests of shared memory take {counts.shared_wavefronts} wavefronts, "
            "where one for each would do: lanes want different words of the same bank"
        )
    return None


class Exercise(NamedTuple):
    """A file to mend."""

    file: str
    task: str
    judge_counts: Callable[[harness.Launch, MemoryCounts], str | None] = lambda launch, counts: None


EXERCISES = {
    "race": Exercise("broken_race.cu", "a sum by a tree"),
    "barrier": Exercise("broken_barrier.cu", "differences of neighbours"),
    "bounds": Exercise("broken_bounds.cu", "a mean of three neighbours"),
    "wait": Exercise("broken_wait.cu", "sums of columns, fetched ahead"),
    "mask": Exercise("broken_mask.cu", "sums of warps by shuffles"),
    "alignment": Exercise("broken_alignment.cu", "a copy from the middle of an array"),
    "transpose": Exercise("slow_transpose.cu", "a transposition, right but slow: make it fast", every_sector_once),
}
"""By the name that the lesson uses."""


HOW = f"""\
They are in {FOLDER}. Copy one, mend the copy, and ask what it still lacks:

    python {shlex.quote(str(FOLDER / "exercises.py"))} race my_race.cu
"""
"""Printed beneath the list."""


class Verdict(NamedTuple):
    """What is wrong with a version; nothing, if both are empty."""

    findings: tuple[Finding, ...]
    complaints: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.findings and not self.complaints


def check(name: str, path: str | Path | None = None) -> Verdict:
    """Runs a reader's version of an exercise, or the file as it is given. How it is launched, the given file says."""
    if name not in EXERCISES:
        raise ValueError(f"check: name expects one of {', '.join(EXERCISES)}; it is {name!r}")
    exercise = EXERCISES[name]
    launches = harness.load(FOLDER / exercise.file)
    findings: dict[tuple, Finding] = {}
    wrong: dict[tuple[str, str], tuple[str, list[str]]] = {}  # sizes, array: the first difference, orders of threads
    slow: dict[str, None] = {}
    for order in ORDERS:
        try:
            module = WatchedModule(FOLDER / exercise.file if path is None else Path(path), order=order)
        except KernelError as error:
            return Verdict((), (str(error),))
        for launch in launches():
            seen = module.launch(launch.kernel, launch.grid, launch.block, launch.arguments, launch.shared_bytes)
            for finding in seen.findings:
                findings.setdefault((finding.kind, finding.line, finding.other_line), finding)
            named = dict(zip((p.name for p in module.signatures[launch.kernel].parameters), launch.arguments))
            for array, expected in launch.expected.items():
                if difference := harness.difference(array, named[array], expected, launch.tolerance):
                    sizes = ", ".join(f"{key} = {value}" for key, value in named.items() if isinstance(value, int))
                    wrong.setdefault((sizes, array), (difference, []))[1].append(order)
            if complaint := exercise.judge_counts(launch, seen.total):
                slow[complaint] = None
    complaints = [f"{at}: {what}; order of threads: {', '.join(orders)}" for (at, _), (what, orders) in wrong.items()]
    return Verdict(tuple(findings.values()), (*complaints, *slow))


def main(arguments: list[str]) -> int:
    """The command line."""
    if not arguments:
        for name, exercise in EXERCISES.items():
            print(f"{name:<10} {exercise.file:<20} {exercise.task}")
        print(f"\n{HOW}", end="")
        return 0
    if len(arguments) > 2 or arguments[0] not in EXERCISES:
        came = " ".join(arguments)
        print(f"exercises: expects one of {', '.join(EXERCISES)}, and your file; it is {came}", file=sys.stderr)
        return 2
    try:
        verdict = check(*arguments)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"exercises: {error}", file=sys.stderr)
        return 2
    for finding in verdict.findings:
        print(finding)
    for complaint in verdict.complaints:
        print(complaint)
    print("nothing is wrong" if verdict else "not yet")
    return 0 if verdict else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
