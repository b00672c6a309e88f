"""The command `minitorch-cv kernel check`: what the simulator has to say of a CUDA kernel."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

CHECK = """\
Runs the kernels of a .cu file on the processor, as its harness launches them: in three orders of threads, against what
the harness expects; with every load and store watched; then under UBSan, ASan and TSan. Needs g++ or clang++, no GPU.

The file holds kernels and what they call, and no host code: no main, no cudaMalloc, no <<<...>>>. A kernel is declared
extern "C" __global__ void name(...), so that it is found by its name. The harness stands in the file, in a comment that
begins with /* harness, or is a Python file beside it (doubled.py for doubled.cu). All of doubled.cu:

  /* harness
  import numpy as np
  from minitorch_cv.kernels.simulator.harness import Launch

  def launches():
      x = np.arange(100, dtype=np.float32)
      y = np.empty_like(x)
      yield Launch("doubled", grid=2, block=64, arguments=[x, y, 100], expected={"y": 2 * x})
  */
  extern "C" __global__ void doubled(const float* x, float* y, int n) {
      const int i = blockIdx.x * blockDim.x + threadIdx.x;
      if (i < n) y[i] = 2 * x[i];
  }

launches() is called for each order of threads, and yields each Launch:

  kernel        its name
  grid, block   the blocks, and the threads of each: an int, or up to three (x, y, z)
  arguments     for each parameter a NumPy array of its type, its elements one after the other (float*: float32, int*:
                int32, float4*: float32), None for a null pointer, or a number
  shared_bytes  of dynamic shared memory (extern __shared__ float tile[];), 0 if not given
  expected      a dict: the name of a parameter, and what its array holds after the launch; what is not named is not
                compared
  tolerance     how far floats may be from that, relative to the largest expected of the array; 1e-5 if not given

The harness is run, so check files that you trust. The exit code is 0 where nothing is found, 1 where something is, 2
where the file cannot be checked."""


def add_check(commands: Any) -> None:
    """The subcommand and its options."""
    check = commands.add_parser(
        "check",
        help="find the races, wrong addresses and wrong results of a .cu file, without a GPU",
        description=CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("file", metavar="FILE.cu", type=Path)
    check.add_argument("--no-sanitizers", action="store_true", help="without UBSan, ASan and TSan, which only confirm")
    check.add_argument("--seconds", type=float, default=60.0, metavar="S", help="for each rung (default 60)")
    check.add_argument("--json", action="store_true", help="for other programs")
    check.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    from rich.console import Console

    from minitorch_cv.kernels.simulator import check, harness, rung

    if not args.file.is_file():
        return _fail(f"{args.file} is not there")
    rungs = [name for name in rung.RUNGS if not (args.no_sanitizers and name in rung.SANITIZERS)]
    status = Console(stderr=True).status("")
    try:
        with status:
            result = check.check(
                args.file, rungs, args.seconds, lambda name: status.update(f"{args.file.name}: {name}")
            )
    except (harness.HarnessError, check.CheckError, RuntimeError) as error:
        return _fail(str(error))
    if args.json:
        print(json.dumps(asdict(result), default=str, indent=2))
    else:
        Console(highlight=False, soft_wrap=not sys.stdout.isatty()).print(as_text(result), markup=False)
    return 0 if result.clean else 1


def _fail(message: str) -> int:
    print(f"minitorch-cv kernel check: {message}", file=sys.stderr)
    return 2


def as_text(result: Any) -> str:
    """A paragraph for each finding: what, where, why it matters, what usually mends it."""
    from minitorch_cv.kernels.simulator.advice import ADVICE

    parts = []
    explained = set()
    for number, told in enumerate(result.told, 1):
        f = told.finding
        place = f"{Path(f.file).name}:{f.line}" if f.line else Path(f.file).name
        lines = [f"{number}. {f.kind} in {f.kernel}, {place}   (found by {', '.join(told.rungs)})"]
        for line in sorted({f.line, f.other_line} - {None, 0}):
            if (source := _line(f.file, line)) is not None:
                lines.append(f"   {line:>4} | {source}")
        who = f"block {f.block}, thread {f.thread}: " if f.block is not None else ""
        lines.append(f"   {who}{f.what}.")
        if f.kind not in explained:
            why, mended = ADVICE[f.kind]
            lines += [f"   Why it matters: {why}", f"   What usually mends it: {mended}"]
            explained.add(f.kind)
        parts.append("\n".join(lines))
    ran = ", ".join(result.ran)
    parts += [f"{rung} was not run: it {why}" for rung, why in result.not_run.items()]
    if result.uncompared:
        kernels = ", ".join(result.uncompared)
        parts.append(f"The results of {kernels} were not compared with anything: the harness gives no expected={{...}}")
    if not result.told:
        parts.append(f"{result.path.name}: nothing found ({ran})")
    else:
        count = len(result.told)
        parts.append(f"{result.path.name}: {count} finding{'s' if count > 1 else ''} ({ran})")
    return "\n\n".join(parts)


def _line(file: str, number: int) -> str | None:
    lines = _lines(file)
    return lines[number - 1].rstrip() if number <= len(lines) else None


@functools.cache
def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
