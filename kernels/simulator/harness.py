"""How a `.cu` file is to be launched for a check: a small Python file beside it, or its first comment.

    # tile.py, beside tile.cu; or in tile.cu itself, between /* harness and */
    import numpy as np
    from minitorch_cv.kernels.simulator.harness import Launch

    def launches():
        x = np.random.default_rng(0).standard_normal((33, 65), dtype=np.float32)
        y = np.empty((65, 33), np.float32)
        yield Launch("transpose", grid=(3, 2), block=(32, 32), arguments=[x, y, 33, 65], expected={"y": x.T})

`launches` is called anew for each order of threads, so it makes its arrays itself. What comes after a `yield` runs
after that launch, and may use its results.
"""

from __future__ import annotations

import functools
import re
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

COMMENT = re.compile(r"/\*\s*harness:?\s*\n(.*?)\*/", re.DOTALL)


class HarnessError(ValueError):
    """A harness that is missing, does not run, or does not say what to launch."""


@dataclass(frozen=True)
class Launch:
    """One launch, and what its arrays hold after it.

    grid, block: the blocks and the threads of each, an int or one to three ints (x, y, z). arguments: for each
    parameter in turn an array for a pointer (None: a null pointer), a number for a number. shared_bytes: of dynamic
    shared memory. expected: an array for each parameter that is to be compared, by name; floats may differ by
    `tolerance`, relative to the largest of them.

    Raises HarnessError for what is none of these.
    """

    kernel: str
    grid: Sequence[int]  # of three at most; an int is made a tuple
    block: Sequence[int]
    arguments: Sequence[Any]
    shared_bytes: int = 0
    expected: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        expect = functools.partial(_expect, f"Launch of {self.kernel}")
        expect("kernel", self.kernel, isinstance(self.kernel, str), "the name of a kernel")
        for name in ("grid", "block"):
            given = getattr(self, name)
            extents = (given,) if isinstance(given, Integral) else given
            is_shape = isinstance(extents, Sequence) and 1 <= len(extents) <= 3
            is_shape = is_shape and all(isinstance(n, Integral) for n in extents)
            expect(name, given, is_shape, "an int, or one to three ints (x, y, z)")
            object.__setattr__(self, name, tuple(map(int, extents)))
        expect("arguments", self.arguments, isinstance(self.arguments, list | tuple), "a list, in the kernel's order")
        for i, argument in enumerate(self.arguments):
            if isinstance(argument, np.ndarray) and not argument.flags.c_contiguous:
                raise HarnessError(
                    f"Launch of {self.kernel}: arguments[{i}] expects an array whose elements lie one after the other, "
                    f"as a kernel is given no strides; its shape is {argument.shape}, its strides {argument.strides}. "
                    "np.ascontiguousarray makes such a copy"
                )
        expect("shared_bytes", self.shared_bytes, isinstance(self.shared_bytes, Integral), "an int")
        wanted = "a dict of a parameter's name and its array, as in expected={'y': 2 * x}"
        expect("expected", self.expected, isinstance(self.expected, Mapping), wanted)
        expect("tolerance", self.tolerance, isinstance(self.tolerance, Real), "a number")


def _expect(where: str, name: str, came: Any, is_right: bool, what: str) -> None:
    if not is_right:
        raise HarnessError(f"{where}: {name} expects {what}; it is {textwrap.shorten(repr(came), 80)}")


def place(path: Path) -> Path:
    """The file in which the harness of a `.cu` file stands: the Python file beside it, or the `.cu` file itself."""
    beside = path.with_suffix(".py")
    return beside if beside.exists() else path


def load(path: Path) -> Callable[[], Iterator[Launch]]:
    """The function `launches` of the harness of a `.cu` file.

    Raises HarnessError where there is none, and where it does not run; so does what is returned. The harness is Python
    of the file's own author, and is run.
    """
    stands_in, text = place(path), _read(path)
    if stands_in != path:
        text = _read(stands_in)
    elif written := COMMENT.search(text):
        text = "\n" * text.count("\n", 0, written.start(1)) + textwrap.dedent(written[1])
    else:
        raise HarnessError(
            f"{path.name} has no harness, which says how to launch it: write {path.with_suffix('.py').name} beside it, "
            f"or a comment in it that begins with /* harness"
        )
    names: dict[str, Any] = {"__name__": "harness", "__file__": str(stands_in)}
    try:
        exec(compile(text, str(stands_in), "exec", dont_inherit=True), names)
    except (Exception, SystemExit) as error:
        raise _of_the_author(error, stands_in) from error
    launches = names.get("launches")
    if not callable(launches):
        raise HarnessError(f"{stands_in.name}: expects a function launches() that yields each Launch; there is none")
    return functools.partial(_launches, launches, stands_in)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path.name} expects text in UTF-8; it cannot be read: {error}") from error


def _launches(launches: Callable[[], Any], stands_in: Path) -> Iterator[Launch]:
    """What the author's function yields, each of it a Launch."""
    count = 0
    try:
        yielded = launches()
        if isinstance(yielded, Launch) or not hasattr(yielded, "__iter__"):
            came = "a single one" if isinstance(yielded, Launch) else repr(yielded)
            raise HarnessError(f"launches() expects to yield each Launch; it returns {came}: is a yield forgotten?")
        for count, launch in enumerate(yielded, 1):
            _expect("launches()", f"what is yielded as number {count}", launch, isinstance(launch, Launch), "a Launch")
            yield launch
    except (Exception, SystemExit) as error:
        raise _of_the_author(error, stands_in) from error
    if not count:
        raise HarnessError(f"{stands_in.name}: launches() expects to yield a Launch at least; it yields none")


def _of_the_author(error: BaseException, stands_in: Path) -> HarnessError:
    """The same error as one sentence, with the line of the harness at which it was raised."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(stands_in)]
    what = str(error)
    if isinstance(error, SyntaxError) and error.filename == str(stands_in):
        lines, what = [error.lineno], error.msg
    at = f"{stands_in.name}:{lines[-1]}" if lines else stands_in.name
    if isinstance(error, HarnessError):
        return HarnessError(f"{at}: {what}")
    return HarnessError(f"{at}: the harness does not run: {type(error).__name__}: {what}")


def difference(name: str, came: np.ndarray, expected: Any, tolerance: float) -> str | None:
    """A sentence on how an array differs from what is expected, of the same shape; None where it does not."""
    wanted = np.asarray(expected)
    given, right = came.astype(np.float64), wanted.astype(np.float64)
    size = float(np.abs(right[np.isfinite(right)]).max(initial=0.0))
    bound = tolerance * max(size, 1e-30) if came.dtype.kind == "f" else 0.0
    with np.errstate(invalid="ignore"):
        near = np.isfinite(right) & (np.abs(given - right) <= bound)
    wrong = ~(near | (given == right) | (np.isnan(given) & np.isnan(right)))
    if not wrong.any():
        return None
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    index = ", ".join(map(str, first))
    return (
        f"{name} differs from what the harness expects in {int(wrong.sum())} of {wrong.size} elements; "
        f"the first is {name}[{index}]: {came[first]}, expected {wanted[first]}"
    )
