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

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

COMMENT = re.compile(r"/\*\s*harness:?\s*\n(.*?)\*/", re.DOTALL)


class HarnessError(ValueError):
    """A harness that is missing, or does not say what to launch."""


@dataclass(frozen=True)
class Launch:
    """One launch, and what its arrays hold after it.

    arguments: an array for each pointer (None: a null pointer), a number for each number. expected: an array for each
    parameter that is to be compared, by name; floats may differ by `tolerance`, relative to the largest of them.
    """

    kernel: str
    grid: Sequence[int]
    block: Sequence[int]
    arguments: Sequence[Any]
    shared_bytes: int = 0
    expected: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5


def load(path: Path) -> Callable[[], Iterator[Launch]]:
    """The function `launches` of the harness of a `.cu` file.

    Raises HarnessError where there is none. The harness is Python of the file's own author, and is run.
    """
    beside = path.with_suffix(".py")
    written_in = COMMENT.search(path.read_text(encoding="utf-8"))
    if beside.exists():
        place, text = beside, beside.read_text(encoding="utf-8")
    elif written_in:
        place, text = path, "\n" * path.read_text(encoding="utf-8").count("\n", 0, written_in.start(1)) + written_in[1]
    else:
        raise HarnessError(
            f"{path.name} has no harness, which says how to launch it: write {beside.name} beside it, "
            f"or a comment in it that begins with /* harness"
        )
    names: dict[str, Any] = {"__name__": "harness", "__file__": str(place)}
    exec(compile(text, str(place), "exec"), names)
    if not callable(names.get("launches")):
        raise HarnessError(f"{place.name}: expects a function launches() that yields each Launch; there is none")
    return names["launches"]


def difference(name: str, came: np.ndarray, expected: Any, tolerance: float) -> str | None:
    """A sentence on how an array differs from what is expected; None where it does not."""
    wanted = np.asarray(expected)
    if came.shape != wanted.shape:
        return f"{name} has the shape {came.shape}; the harness expects {wanted.shape}"
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
