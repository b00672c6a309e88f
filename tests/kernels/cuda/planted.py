"""Mistakes planted into our own kernels: edits of their sources, each of which the watched build has to find.

python tests/kernels/cuda/planted.py    prints the table of all of them
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from minitorch_cv.kernels.cuda import source
from minitorch_cv.kernels.simulator.finding import Finding
from minitorch_cv.kernels.simulator.watched import WatchedModule

import minitorch_cv as mt
from minitorch_cv.checks.case_checks import check_device_bodies


class Planted(NamedTuple):
    """In `file`, `right` becomes `wrong`. `at` is written in the lines of which one has to be told."""

    file: str
    mistake: str
    right: str
    wrong: str
    kind: str
    at: str
    run: Callable[[], None]


def cases(stem: str, *functions: str, precision: str = "fp32") -> Callable[[], None]:
    """Runs the cases of checks/cases/<stem>.py, or those of some functions, on the simulator."""

    def run() -> None:
        kept = mt.get_precision()
        mt.set_precision(precision)
        try:
            for case in importlib.import_module(f"minitorch_cv.checks.cases.{stem}").CASES:
                if not functions or case.function in functions:
                    check_device_bodies(case, "cuda-sim")
        finally:
            mt.set_precision(kept)

    return run


def call(function: Callable[..., mt.Tensor], *shapes: tuple[int, ...]) -> Callable[[], None]:
    """Runs a function of random Tensors of these shapes, and its backward, on the simulator."""

    def run() -> None:
        rng = np.random.default_rng(0)
        drawn = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        function(*(mt.Tensor(x, requires_grad=True, device="cuda-sim") for x in drawn)).sum().backward()

    return run


def sgd() -> None:
    """One step of SGD with momentum on 100 parameters."""
    p = mt.Tensor(np.ones(100, np.float32), requires_grad=True, device="cuda-sim")
    p.grad = mt.Tensor(np.ones(100, np.float32), device="cuda-sim")
    mt.optim.SGD([p], 0.1, momentum=0.9).step()


def in_tf32(function: Callable[..., mt.Tensor]) -> Callable[..., mt.Tensor]:
    """The function, on tensor cores."""

    def run(*tensors: mt.Tensor) -> mt.Tensor:
        kept = mt.get_precision()
        mt.set_precision("tf32")
        try:
            return function(*tensors)
        finally:
            mt.set_precision(kept)

    return run


TENSOR_CORES = call(in_tf32(mt.ops.conv2d), (1, 16, 6, 6), (16, 16, 3, 3))

PLANTED = [
    Planted(
        "conv2d.h",
        "products begin before the tiles are written",
        "__syncthreads();\n        if (k0 + DEPTH < end)",
        "if (k0 + DEPTH < end)",
        "race",
        "*reinterpret_cast<const float4*>(&",
        cases("conv2d", "conv2d"),
    ),
    Planted(
        "conv2d.h",
        "the next step overwrites the tiles while they are read",
        "__syncthreads();  // before the next step overwrites the tiles",
        "",
        "race",
        "*reinterpret_cast<const float4*>(&",
        cases("conv2d", "conv2d"),
    ),
    Planted(
        "conv2d.h",
        "the last tile of pixels is taken for a full one",
        "if (pixel < g.N * g.oh * g.ow && o < outputs)",
        "if (o < outputs)",
        "out-of-bounds",
        "y[(size_t)pixel * g.O + channel] =",
        cases("conv2d", "conv2d"),
    ),
    Planted(
        "conv2d.h",
        "windows reach over the lower edge",
        "h >= 0 && h < g.H && v >= 0 && v < g.W",
        "h >= 0 && v >= 0 && v < g.W",
        "out-of-bounds",
        "float4 q =",
        cases("conv2d", "conv2d"),
    ),
    Planted(
        "conv2d.h",
        "four numbers at once from any address",
        "count >= 4 && ((size_t)p & 15) == 0",
        "count >= 4",
        "misaligned",
        "float4 q =",
        call(mt.ops.conv2d, (1, 8, 3, 3), (9, 8, 1, 1)),
    ),
    Planted(
        "conv2d_tensor_core.cu",
        "the lanes of a warp part before an mma",
        "mma_tf32(rein",
        "if (c % 8 < 7) mma_tf32(rein",
        "warp-collective",
        "mma_tf32(rein",
        cases("conv2d", "conv2d", precision="tf32"),
    ),
    Planted(
        "conv2d_pipelined.cu",
        "tiles are read before their copies have arrived",
        "        cp_async_wait<STAGES - 2>();\n",
        "",
        "stale-copy",
        "cp_async16(",
        TENSOR_CORES,
    ),
    Planted(
        "conv2d_pipelined.cu",
        "one stage too many may still be on its way",
        "cp_async_wait<STAGES - 2>();",
        "cp_async_wait<STAGES - 1>();",
        "stale-copy",
        "cp_async16(",
        TENSOR_CORES,
    ),
    Planted(
        "conv2d_pipelined.cu",
        "each thread waits for its own copies, and none for the others'",
        "        __syncthreads();  // this step's",
        "        // this step's",
        "race",
        "cp_async16(",
        TENSOR_CORES,
    ),
    Planted(
        "pool2d.cu",
        "divides by zero where the stride is one",
        "start % stride)",
        "start % (stride - 1))",
        "undefined-arithmetic",
        "start % (stride - 1)",
        call(lambda x: mt.ops.max_pool2d(x, 2, stride=1), (1, 1, 5, 5)),
    ),
    Planted(
        "conv2d_depthwise.cu",
        "the last block has threads too many",
        "if (i >= (long long)N * oh * ow * O) return;",
        "",
        "out-of-bounds",
        "y[i] = sum;",
        cases("conv2d", "conv2d"),
    ),
    Planted(
        "batch_norm.cu",
        "sums are added up before all are written",
        "seconds[own] = second;\n    __syncthreads();",
        "seconds[own] = second;",
        "race",
        "[above * blockDim.x",
        cases("batch_norm"),
    ),
    Planted(
        "batch_norm.cu",
        "threads leave before the barrier",
        "__syncthreads();\n    if (threadIdx.y != 0 || c >= C) return;",
        "if (threadIdx.y != 0 || c >= C) return;\n    __syncthreads();",
        "divergent-barrier",
        "__syncthreads();",
        cases("batch_norm"),
    ),
    Planted(
        "batch_norm.cu",
        "more threads than channels",
        "if (c >= C) return;\n    double sum = 0.0, products",
        "double sum = 0.0, products",
        "out-of-bounds",
        "* C + c];",
        cases("batch_norm"),
    ),
    Planted(
        "batch_norm.cu",
        "every part writes where the first does",
        "partial[2LL * blockIdx.y * C + c] = first;",
        "partial[c] = first;",
        "race",
        "partial[c] = first;",
        call(lambda x: mt.nn.BatchNorm2d(3).to(device="cuda-sim")(x), (40, 3, 8, 8)),
    ),
    Planted(
        "pool2d.cu",
        "a window reaches one column too far",
        "if (w < 0 || w >= W) continue;",
        "if (w < 0 || w > W) continue;",
        "out-of-bounds",
        "float value = x[offset_of",
        cases("pool2d", "max_pool2d"),
    ),
    Planted(
        "pool2d.cu",
        "windows that are not there are gathered from",
        "return start / stride < windows ? start / stride : -1;",
        "return start / stride;",
        "out-of-bounds",
        "[window]",
        call(lambda x: mt.ops.max_pool2d(x, 2), (1, 1, 5, 5)),
    ),
    Planted(
        "pool2d.cu",
        "the windows of an element end one too late",
        "(((long long)(at.column + 1) * ow - 1) / W)",
        "(((long long)(at.column + 1) * ow) / W)",
        "out-of-bounds",
        "sum += dy[offset_of",
        call(lambda x: mt.ops.adaptive_avg_pool2d(x, 2), (1, 1, 5, 5)),
    ),
    Planted(
        "pool2d.cu",
        "two outputs share one place",
        "y[index] = best;",
        "y[index / 2] = best;",
        "race",
        "y[index / 2] = best;",
        cases("pool2d", "max_pool2d"),
    ),
    Planted(
        "softmax.cu",
        "lanes without an element leave before the shuffles",
        "if (row >= rows) return;  // the whole warp",
        "if (row >= rows || lane >= width) return;",
        "warp-collective",
        "__shfl_xor_sync",
        cases("softmax"),
    ),
    Planted(
        "softmax.cu",
        "the mask names half of the lanes",
        "value += __shfl_xor_sync(0xffffffffu",
        "value += __shfl_xor_sync(0xffffu",
        "warp-collective",
        "value += __shfl_xor_sync",
        cases("softmax"),
    ),
    Planted(
        "softmax.cu",
        "a lane divides what another wrote",
        "y[c] /= total;",
        "y[width - 1 - c] /= total;",
        "race",
        "y[width - 1 - c] /= total;",
        cases("softmax"),
    ),
    Planted(
        "softmax.cu",
        "every lane writes the loss",
        "if (lane == 0) y[row] = loss;",
        "y[row] = loss;",
        "race",
        "y[row] = loss;",
        call(lambda x: mt.ops.cross_entropy(x, mt.Tensor(np.arange(3), device="cuda-sim")), (3, 5)),
    ),
    Planted(
        "attention.cu",
        "scores begin before the tiles are written",
        "        __syncthreads();\n        for (int d = 0; d < TILE; ++d) {",
        "        for (int d = 0; d < TILE; ++d) {",
        "race",
        "d]",
        cases("attention"),
    ),
    Planted(
        "attention.cu",
        "the next piece overwrites the tiles while they are read",
        "        }\n        __syncthreads();\n    }\n}\n\n// total",
        "        }\n    }\n}\n\n// total",
        "race",
        "tiles.",
        cases("attention"),
    ),
    Planted(
        "attention.cu",
        "one column too far, which no thread has written",
        "tiles.columns[lane][d];",
        "tiles.columns[lane][d + 1];",
        "uninitialised-read",
        "tiles.columns[lane][d + 1];",
        cases("attention"),
    ),
    Planted(
        "attention.cu",
        "queries that are not there",
        "threadIdx.x == 0 && own_query < queries)",
        "threadIdx.x == 0)",
        "out-of-bounds",
        "lse[head * queries + own_query] =",
        cases("attention"),
    ),
    Planted(
        "group_norm.cu",
        "the sums of warps are added up before all are written",
        "    __syncthreads();\n    float sum = 0.0f;",
        "    float sum = 0.0f;",
        "race",
        "of_warp[",
        cases("group_norm"),
    ),
    Planted(
        "group_norm.cu",
        "the next sum writes where this one is read",
        "    __syncthreads();  // before the next sum writes there\n",
        "",
        "race",
        "of_warp[",
        cases("group_norm"),
    ),
    Planted(
        "group_norm.cu",
        "threads without a channel leave before the barrier",
        "    __syncthreads();\n    if (threadIdx.y != 0 || c >= C) return;",
        "    if (c >= C) return;\n    __syncthreads();\n    if (threadIdx.y != 0) return;",
        "divergent-barrier",
        "__syncthreads();",
        cases("group_norm"),
    ),
    Planted(
        "local_response_norm.cu",
        "neighbours beyond the last channel",
        "min(C - 1, c + after);\n    const",
        "c + after;\n    const",
        "out-of-bounds",
        "energy += row[j]",
        cases("local_response_norm"),
    ),
    Planted(
        "loss.cu",
        "one gradient for all, read as if each had its own",
        "dy[single ? 0 : i]",
        "dy[i]",
        "out-of-bounds",
        "dy[i]",
        cases("loss"),
    ),
    Planted(
        "dropout.cu",
        "the last block has threads too many",
        "if (i < size) y[i]",
        "y[i]",
        "out-of-bounds",
        "y[i]",
        cases("dropout"),
    ),
    Planted(
        "optim.cu",
        "two threads update one parameter",
        "p[i] -= lr * d;",
        "p[i / 2] -= lr * d;",
        "race",
        "p[i / 2] -= lr * d;",
        sgd,
    ),
    Planted(
        "residual.cu",
        "the last block has threads too many",
        "if (i >= size) return;\n    float sum",
        "float sum",
        "out-of-bounds",
        "float sum",
        cases("residual"),
    ),
    Planted(
        "activation.cu",
        "reads the neighbour to the right",
        "y[i] = x[i] <= 0.0f ? 0.0f : x[i];",
        "y[i] = x[i + 1] <= 0.0f ? 0.0f : x[i];",
        "out-of-bounds",
        "y[i] = x[i + 1]",
        cases("activation", "relu"),
    ),
]


@contextmanager
def watched_sources(folder: Path | None = None) -> Iterator[list[Finding]]:
    """All launches go through the watched build, of the sources in `folder`; what is found."""
    findings: list[Finding] = []
    modules: dict[Path, Any] = {}

    class Kept(WatchedModule):
        def launch(self, *arguments: Any, **settings: Any) -> Any:
            seen = super().launch(*arguments, **settings)
            findings.extend(seen.findings)
            return seen

    def module(path: Path) -> Any:
        if path not in modules:
            modules[path] = Kept(folder / path.name if folder else path)
        return modules[path]

    with mock.patch.object(source, "_simulated", module):
        yield findings


def find(planted: Planted) -> tuple[list[Finding], set[int]]:
    """What is found of a planted mistake, and the lines of which one has to be told."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in source.HERE.glob("*.*"):
            if file.suffix in (".cu", ".h"):
                shutil.copy(file, folder)
        text = (folder / planted.file).read_text(encoding="utf-8")
        if text.count(planted.right) == 0:
            raise ValueError(f"{planted.file} has changed, and no longer holds {planted.right!r}")
        text = text.replace(planted.right, planted.wrong)
        (folder / planted.file).write_text(text, encoding="utf-8")
        with watched_sources(folder) as findings:
            planted.run()
    return findings, {n for n, line in enumerate(text.splitlines(), 1) if planted.at in line}


def told(planted: Planted) -> tuple[Finding | None, list[Finding]]:
    """The finding that names the planted mistake with its kind and line, and all others."""
    findings, lines = find(planted)
    named = [f for f in findings if f.kind == planted.kind and {f.line, f.other_line} & lines]
    return (named[0] if named else None), findings


def main() -> None:
    """Prints the table."""
    print(
        "# Mistakes planted into our own kernels\n\n"
        "Each is an edit of a kernel's source, run on the cases of its operation under watch, without comparing "
        "results. Written by `python tests/kernels/cuda/planted.py`.\n\n"
        "| mistake | kind | place | told |\n|---|---|---|---|"
    )
    for planted in PLANTED:
        finding, _ = told(planted)
        if finding:
            row = planted.mistake, finding.kind, f"`{Path(finding.file).name}:{finding.line}`", finding.what
        else:
            row = planted.mistake, planted.kind, f"`{planted.file}`", "**not found**"
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
