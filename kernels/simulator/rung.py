"""One rung of a check, in a process of its own: `python -m minitorch_cv.kernels.simulator.rung FILE.cu RUNG RESULT`.

A kernel that crashes or never ends takes no more than this process with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from . import harness
from .finding import Finding
from .module import ORDERS, KernelError, SimulatedModule
from .watched import WatchedModule

SANITIZERS = {"UBSan": "undefined", "ASan": "address", "TSan": "thread"}
RUNGS = ("orders", "watched", *SANITIZERS)


def plain(path: Path, orders: tuple[str, ...] = ORDERS, options: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Every launch in every order, and its results against what the harness expects."""
    for order in orders:
        module = SimulatedModule(path, options, order)
        for launch in harness.load(path)():
            try:
                module.launch(launch.kernel, launch.grid, launch.block, launch.arguments, launch.shared_bytes)
            except KernelError as error:
                if error.finding:
                    yield error.finding
                break
            except ValueError as error:
                yield _of_the_whole("launch", module, launch, str(error).removeprefix(f"{launch.kernel}: "))
                break
            for name, expected in launch.expected.items():
                told = harness.difference(name, _argument(module, launch, name), expected, launch.tolerance)
                if told:
                    yield _of_the_whole("wrong-result", module, launch, told + f" (threads in {order} order)")


def watched(path: Path) -> Iterator[Finding]:
    """Every launch in every order, every load and store watched."""
    for order in ORDERS:
        module = WatchedModule(path, (), order)
        for launch in harness.load(path)():
            yield from module.launch(
                launch.kernel, launch.grid, launch.block, launch.arguments, launch.shared_bytes
            ).findings


def sanitized(path: Path, sanitizer: str) -> None:
    """Every launch, built with a sanitizer, which writes what it finds to the standard error by itself."""
    options = ("-O1", f"-fsanitize={SANITIZERS[sanitizer]}")
    for _ in plain(path, ORDERS[:1], (*options, "-fno-sanitize=vptr") if sanitizer == "UBSan" else options):
        pass


def _argument(module: SimulatedModule, launch: harness.Launch, name: str) -> np.ndarray:
    names = [parameter.name for parameter in module.signatures[launch.kernel].parameters]
    if name not in names:
        raise harness.HarnessError(f"{launch.kernel}: expected names {name!r}; its parameters are {', '.join(names)}")
    return launch.arguments[names.index(name)]


def _of_the_whole(kind: str, module: SimulatedModule, launch: harness.Launch, what: str) -> Finding:
    if launch.kernel not in module.signatures:
        raise harness.HarnessError(what + '; a kernel is declared extern "C" __global__ void, and is no template')
    line = module.signatures[launch.kernel].line
    return Finding(kind, launch.kernel, None, None, str(module.path.resolve()), line, what)


def main(path: Path, rung: str, result: Path) -> None:
    """Run one rung, and write what it finds."""
    try:
        if rung in SANITIZERS:
            sanitized(path, rung)
            found = []
        else:
            found = [asdict(finding) for finding in (plain(path) if rung == "orders" else watched(path))]
        told = {"findings": found}
    except (harness.HarnessError, KernelError, TypeError, ValueError) as error:
        told = {"error": str(error)}
    result.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
