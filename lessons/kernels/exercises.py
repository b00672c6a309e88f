"""The exercises of lesson 08: six kernels to mend, and one to make faster.

    python exercises.py                  the list
    python exercises.py race mine.cu     what your version of broken_race.cu still lacks

Each is run on the simulator with every load and store watched, in three orders of threads, at sizes that end within a
block; its result is held to NumPy's. No GPU is needed, but g++ or clang++.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minitorch_cv.kernels.simulator.finding import Finding
from minitorch_cv.kernels.simulator.module import ORDERS, KernelError
from minitorch_cv.kernels.simulator.watched import MemoryCounts, WatchedModule

FOLDER = Path(__file__).parent


class Case(NamedTuple):
    """One launch: the kernel's values, of which `result` is written, and what it should then hold."""

    grid: tuple[int, ...]
    block: tuple[int, ...]
    values: list
    result: np.ndarray
    expected: np.ndarray


class Exercise(NamedTuple):
    """A file to mend."""

    file: str
    kernel: str
    task: str
    cases: Callable[[np.random.Generator], list[Case]]
    judge_counts: Callable[[Case, MemoryCounts], str | None] = lambda case, counts: None


class Verdict(NamedTuple):
    """What is wrong with a version; nothing, if both are empty."""

    findings: tuple[Finding, ...]
    complaints: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.findings and not self.complaints


def check(name: str, path: str | Path | None = None) -> Verdict:
    """Runs a reader's version of an exercise, or the file as it is given."""
    if name not in EXERCISES:
        raise ValueError(f"check: name expects one of {', '.join(EXERCISES)}; it is {name!r}")
    exercise = EXERCISES[name]
    path = FOLDER / exercise.file if path is None else Path(path)
    findings: dict[tuple, Finding] = {}
    wrong: dict[str, list[str]] = {}  # sizes: orders of threads
    slow: dict[str, None] = {}
    for order in ORDERS:
        try:
            module = WatchedModule(path, ("-I", str(FOLDER)), order=order)
        except KernelError as error:
            return Verdict((), (str(error),))
        for case in exercise.cases(np.random.default_rng(0)):
            seen = module.launch(exercise.kernel, case.grid, case.block, case.values)
            for finding in seen.findings:
                findings.setdefault((finding.kind, finding.line, finding.other_line), finding)
            if not np.allclose(case.result, case.expected, rtol=1e-5, atol=1e-5):
                parameters = module.signatures[exercise.kernel].parameters
                named = zip((parameter.name for parameter in parameters), case.values)
                sizes = ", ".join(f"{name} = {value}" for name, value in named if np.ndim(value) == 0)
                wrong.setdefault(sizes, []).append(order)
            if complaint := exercise.judge_counts(case, seen.total):
                slow[complaint] = None
    complaints = [f"{sizes}: not NumPy's numbers; order of threads: {', '.join(o)}" for sizes, o in wrong.items()]
    return Verdict(tuple(findings.values()), (*complaints, *slow))


# ---- the cases -------------------------------------------------------------------------------------------------------


def _unset(size) -> np.ndarray:
    return np.full(size, np.nan, np.float32)


def _groups(size: int, block: int) -> Callable[[np.random.Generator], list[Case]]:
    """Sums of groups of `size` numbers, by blocks of `block` threads."""

    def cases(rng: np.random.Generator) -> list[Case]:
        made = []
        for n in (block, 2 * block + 7, 5):
            x, groups = rng.standard_normal(n, np.float32), -(-n // size)
            sums = _unset(groups)
            expected = np.pad(x, (0, groups * size - n)).reshape(groups, size).sum(1)
            made.append(Case((-(-n // block),), (block,), [x, sums, np.int32(n)], sums, expected))
        return made

    return cases


def _differences(rng: np.random.Generator) -> list[Case]:
    made = []
    for n in (128, 100, 1):
        x, y = rng.standard_normal(n, np.float32), _unset(n)
        made.append(Case((-(-n // 64),), (64,), [x, y, np.int32(n)], y, np.diff(x, prepend=np.float32(0))))
    return made


def _blur(rng: np.random.Generator) -> list[Case]:
    made = []
    for n in (128, 100, 1):
        x, y = rng.standard_normal(n, np.float32), _unset(n)
        padded = np.pad(x, 1)
        expected = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        made.append(Case((-(-n // 64),), (64,), [x, y, np.int32(n)], y, expected))
    return made


def _column_sums(rng: np.random.Generator) -> list[Case]:
    made = []
    for rows in (1, 2, 5):
        x, sums = rng.standard_normal((rows, 256), np.float32), _unset(256)
        made.append(Case((1,), (64,), [x, sums, np.int32(rows)], sums, x.sum(0)))
    return made


def _shifted(rng: np.random.Generator) -> list[Case]:
    made = []
    for shift, n in ((1, 256), (3, 300), (2, 4)):
        x, y = rng.standard_normal(n + shift, np.float32), _unset(n)
        made.append(Case((-(-n // 256),), (64,), [x, y, np.int32(shift), np.int32(n)], y, x[shift:]))
    return made


def _transpose(rng: np.random.Generator) -> list[Case]:
    made = []
    for rows, columns in ((64, 32), (32, 96)):
        x, y = rng.standard_normal((rows, columns), np.float32), _unset((columns, rows))
        made.append(Case((columns // 32, rows // 32), (32, 8), [x, y, np.int32(rows), np.int32(columns)], y, x.T))
    return made


def _every_sector_once(case: Case, counts: MemoryCounts) -> str | None:
    sectors, least = counts.global_load_sectors + counts.global_store_sectors, 2 * case.result.nbytes // 32
    if sectors > least:
        return f"{sectors} sectors of {case.result.shape}, where {least} hold all"
    if counts.shared_wavefronts > counts.shared_accesses:
        return f"{counts.shared_accesses} requests of shared memory take {counts.shared_wavefronts} wavefronts"
    return None


EXERCISES = {
    "race": Exercise("broken_race.cu", "block_sums", "a sum by a tree", _groups(256, 256)),
    "barrier": Exercise("broken_barrier.cu", "differences", "differences of neighbours", _differences),
    "bounds": Exercise("broken_bounds.cu", "blur", "a mean of three neighbours", _blur),
    "wait": Exercise("broken_wait.cu", "column_sums", "sums of columns, fetched ahead", _column_sums),
    "mask": Exercise("broken_mask.cu", "warp_sums", "sums of warps by shuffles", _groups(32, 128)),
    "alignment": Exercise("broken_alignment.cu", "shifted", "a copy from the middle of an array", _shifted),
    "transpose": Exercise("slow_transpose.cu", "transpose", "right already; now fast", _transpose, _every_sector_once),
}
"""By the name that the lesson uses."""


def main(arguments: list[str]) -> int:
    """The command line."""
    if not arguments:
        for name, exercise in EXERCISES.items():
            print(f"{name:<10} {exercise.file:<20} {exercise.task}")
        return 0
    if len(arguments) > 2 or arguments[0] not in EXERCISES:
        print(
            f"exercises: expects one of {', '.join(EXERCISES)}, and your file; it is {' '.join(arguments)}",
            file=sys.stderr,
        )
        return 2
    try:
        verdict = check(*arguments)
    except (OSError, RuntimeError, ValueError) as error:
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
