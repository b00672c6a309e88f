"""The course proves itself: each exercise against its solution, its stub, its listed mistakes, answers that solve
nothing, and code that means harm.

python tests/course/self_proof.py           prints the table of all of them, as it stands in docs/self_proof.md
python tests/course/self_proof.py NAME ...  of some
"""

from __future__ import annotations

import ast
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from minitorch_cv.course.exercise import Exercise, all_exercises, find_exercise
from minitorch_cv.course.grade import LIMITS
from minitorch_cv.course.judge import Judgement, judge
from minitorch_cv.course.language import CUDA
from minitorch_cv.course.sandbox import Sandbox

SEED = 2026

NOTHING_SOLVED = {
    "zero": "return 0.0",
    "one": "return 1.0",
    "true": "return True",
    "false": "return False",
    "nothing": "return None",
    "an empty list": "return []",
    "the first argument": "return {first}",
    "the last argument": "return {last}",
}
"""Bodies that a function may be given without a thought about the exercise."""

HOSTILE = {
    "an endless loop": "while True: pass",
    "os._exit": "import os; os._exit(0)",
    "an exit": "raise SystemExit(0)",
    "64 GB": "np.ones((1 << 33,))",
    "a patched NumPy": "np.abs = np.array_equal = lambda *a, **k: True; return np.zeros_like({first})",
    "a printed score": "print('score: 4 of 4'); return np.zeros_like({first})",
    "1 GB printed": "[print('x' * 2**20) for _ in range(1024)]",
    "a forged answer": "__builtins__['open'](1, 'wb').write(b'x' * 100)",
    "noise on the channel": "__builtins__['open'](4, 'wb', closefd=False).write(b'\\xff' * 64)",
    "an object": "return object()",
    "other numbers": "return np.full((2, 3), np.inf, dtype=complex)",
    "nothing, and huge": "return np.empty((0, 2**40))",
    "a number of 400 digits": "return 10**400",
    "text without end": "raise ValueError('x' * 10**7)",
    "a string": "return 'right'",
    "a ragged list": "return [[1.0], [2.0, 3.0]]",
    "NaN": "return np.full(3, np.nan)",
    "an import of torch": "import torch",
    "an import of ours": "import minitorch_cv",
    "ours by the back door": "__builtins__['__import__'].__closure__[1].cell_contents('minitorch_cv')",
    "the process killed": "np.ctypeslib.ctypes.CDLL(None).kill(0, 9)",
    "recursion": "f = lambda: f(); f()",
}
"""Bodies that mean harm, or would have points for nothing."""


def with_bodies(stub: str, body: str) -> str:
    """The stub with `body` in each function that was left to be written; {first} and {last} are its arguments."""
    tree = ast.parse(stub)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and "NotImplementedError" in ast.unparse(function):
            names = [argument.arg for argument in function.args.args] or ["None"]
            function.body = ast.parse(body.replace("{first}", names[0]).replace("{last}", names[-1])).body
    return "import numpy as np\n" + ast.unparse(tree)


class Proof(NamedTuple):
    """What became of one exercise. Scores are shares of its points."""

    exercise: str
    language: str
    cases: int
    solution: float
    stub: float
    mistakes: int
    told: int  # mistakes that fail with their own hint, and no other
    nothing_solved: dict[str, float]  # what earned more than nothing
    hostile: dict[str, float]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the solution has all, the stub and hostile code nothing, and each mistake its own hint."""
        return (self.solution, self.stub, self.told, self.hostile) == (1.0, 0.0, self.mistakes, {})


def prove(exercise: Exercise, sandbox: Sandbox, worker: int = 0) -> Proof:
    """Everything goes the way that a hand-in goes; harm has 2 s for an answer, as all that it would do is to wait."""
    began = time.monotonic()

    def judged(code: str, seconds: float = LIMITS.seconds) -> Judgement:
        return judge(exercise, code, sandbox, SEED, LIMITS._replace(seconds=seconds), worker)

    def share(judgement: Judgement) -> float:
        return judgement.score / exercise.about.points

    def earned(bodies: dict[str, str], seconds: float) -> dict[str, float]:
        if exercise.language is CUDA:
            return {}
        found = {name: share(judged(with_bodies(exercise.stub, body), seconds)) for name, body in bodies.items()}
        return {name: score for name, score in found.items() if score}

    solution = judged(exercise.solution)
    told = 0
    for mistake in exercise.mistakes:
        judgement = judged(exercise.with_mistake(mistake))
        told += not judgement.is_full and judgement.hints == [mistake.hint]
    return Proof(
        exercise.name,
        exercise.language.name,
        len(solution.cases),
        share(solution),
        share(judged(exercise.stub)),
        len(exercise.mistakes),
        told,
        earned(NOTHING_SOLVED, LIMITS.seconds),
        earned(HOSTILE, 2.0),
        time.monotonic() - began,
    )


def row(proof: Proof) -> str:
    """A line of the table."""
    cells = [
        f"`{proof.exercise}`",
        proof.cases,
        f"{proof.solution:.0%}",
        f"{proof.stub:.0%}",
        f"{proof.told} of {proof.mistakes}",
        *(
            ", ".join(f"{name} {score:.0%}" for name, score in scores.items())
            or ("" if proof.language == CUDA.name else "0")
            for scores in (proof.nothing_solved, proof.hostile)
        ),
        f"{proof.seconds:.0f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def prove_in_worker(name: str) -> Proof:
    """In a process of the pool."""
    return prove(find_exercise(name), *_worker)


_worker: tuple[Sandbox, int]


def begin_worker(sandbox: Sandbox, numbers: multiprocessing.Queue) -> None:
    """Gives a process of the pool its number."""
    global _worker
    _worker = sandbox, numbers.get()


def main() -> int:
    """Prints the table; 1 where something does not hold."""
    names = sys.argv[1:] or [exercise.name for exercise in all_exercises()]
    sandbox, workers = Sandbox.find(), os.cpu_count() or 1
    print(
        "# The course's proof of itself\n\n"
        "Each exercise was given, as a hand-in is: its solution; its stub; its listed mistakes, each of which has to "
        "fail with its own hint and no other; "
        f"{len(NOTHING_SOLVED)} bodies that solve nothing and {len(HOSTILE)} that mean harm. In the columns of these "
        "stands what earned something. Harm by kernels has tests of its own. "
        "Written by `python tests/course/self_proof.py`.\n\n"
        "| exercise | cases | solution | stub | mistakes told | for nothing | hostile | seconds |\n"
        "|---|---:|---:|---:|---:|---|---|---:|",
        flush=True,
    )
    began, proofs = time.monotonic(), []
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    with ProcessPoolExecutor(workers, context, begin_worker, (sandbox, numbers)) as pool:
        for proof in pool.map(prove_in_worker, names):
            proofs.append(proof)
            print(row(proof), flush=True)
    cases, holding = sum(proof.cases for proof in proofs), sum(proof.holds for proof in proofs)
    told, mistakes = sum(proof.told for proof in proofs), sum(proof.mistakes for proof in proofs)
    print(
        f"\n{len(proofs)} exercises with {cases} cases, {holding} hold; {told} of {mistakes} mistakes are told. "
        f"{time.monotonic() - began:.0f} s with {workers} workers, under {sandbox.strength.value}."
    )
    return not all(proof.holds for proof in proofs)


if __name__ == "__main__":
    sys.exit(main())
