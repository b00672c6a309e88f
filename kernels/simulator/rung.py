"""One rung of a check, in a process of its own: `python -m minitorch_cv.kernels.simulator.rung FILE.cu RUNG RESULT`.

A kernel that crashes or never ends takes no more than this process with it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import harness
from .finding import Finding
from .module import ORDERS, KernelError, SimulatedModule
from .watched import WatchedModule

SANITIZERS = {"UBSan": "undefined", "ASan": "address", "TSan": "thread"}
RUNGS = ("orders", "watched", *SANITIZERS)


@dataclass
class Found:
    """What a rung finds, and the kernels whose results the harness compares with nothing."""

    findings: list[Finding] = field(default_factory=list)
    uncompared: list[str] = field(default_factory=list)


def plain(path: Path, orders: tuple[str, ...] = ORDERS, options: tuple[str, ...] = ()) -> Found:
    """Every launch in every order, and its results against what the harness expects."""
    told = Found()
    compared: dict[str, bool] = {}
    wrong: dict[tuple[str, str], tuple[Finding, list[str]]] = {}  # kernel, array: the first difference, its orders
    for order in orders:
        module = SimulatedModule(path, options, order)
        for launch in harness.load(path)():
            compared[launch.kernel] = compared.get(launch.kernel, False) or bool(launch.expected)
            try:
                _launched(module, launch)
            except KernelError as error:
                if error.finding:
                    told.findings.append(error.finding)
                break
            except ValueError as error:
                what = str(error).removeprefix(f"{launch.kernel}: ")
                told.findings.append(_of_the_whole("launch", module, launch, what))
                break
            for name, expected in launch.expected.items():
                what = harness.difference(name, _argument(module, launch, name), expected, launch.tolerance)
                if what:
                    finding = _of_the_whole("wrong-result", module, launch, what)
                    wrong.setdefault((launch.kernel, name), (finding, []))[1].append(order)
    for finding, of in wrong.values():
        with_threads = "any" if {*of} == {*orders} else " or ".join(dict.fromkeys(of))
        told.findings.append(replace(finding, what=f"{finding.what}, with threads in {with_threads} order"))
    told.uncompared = [kernel for kernel, is_compared in compared.items() if not is_compared]
    return told


def watched(path: Path) -> list[Finding]:
    """Every launch in every order, every load and store watched."""
    found = []
    for order in ORDERS:
        module = WatchedModule(path, (), order)
        for launch in harness.load(path)():
            found += _launched(module, launch).findings
    return found


def sanitized(path: Path, sanitizer: str) -> None:
    """Every launch, built with a sanitizer, which writes what it finds to the standard error by itself."""
    options = ("-O1", f"-fsanitize={SANITIZERS[sanitizer]}")
    plain(path, ORDERS[:1], (*options, "-fno-sanitize=vptr") if sanitizer == "UBSan" else options)


def _launched(module: SimulatedModule, launch: harness.Launch) -> Any:
    try:
        return module.launch(launch.kernel, launch.grid, launch.block, launch.arguments, launch.shared_bytes)
    except TypeError as error:
        raise _wrong(module, f"Launch of {error}") from error


def _argument(module: SimulatedModule, launch: harness.Launch, name: str) -> np.ndarray:
    arrays = dict(zip((p.name for p in module.signatures[launch.kernel].parameters), launch.arguments, strict=True))
    arrays = {key: value for key, value in arrays.items() if isinstance(value, np.ndarray)}
    if name not in arrays:
        what = f"Launch of {launch.kernel}: expected names {name!r}; its arrays are {', '.join(arrays) or 'none'}"
        raise _wrong(module, what)
    expected = np.asarray(launch.expected[name])
    what = f"Launch of {launch.kernel}: expected for {name} is"
    if expected.shape != arrays[name].shape or expected.dtype.kind not in "biuf":
        expects = f"{what} to be numbers of the shape {arrays[name].shape}"
        raise _wrong(module, f"{expects}; it is of the shape {expected.shape} and the type {expected.dtype}")
    if np.may_share_memory(arrays[name], expected):
        raise _wrong(module, f"{what} {name} itself, which would always be right")
    return arrays[name]


def _wrong(module: SimulatedModule, what: str) -> harness.HarnessError:
    return harness.HarnessError(f"{harness.place(module.path).name}: {what}")


def _of_the_whole(kind: str, module: SimulatedModule, launch: harness.Launch, what: str) -> Finding:
    if launch.kernel not in module.signatures:
        raise _wrong(module, f'Launch: {what}; a kernel is declared extern "C" __global__ void, and is no template')
    line = module.signatures[launch.kernel].line
    return Finding(kind, launch.kernel, None, None, str(module.path.resolve()), line, what)


def main(path: Path, rung: str, result: Path) -> None:
    """Run one rung, and write what it finds."""
    try:
        if rung in SANITIZERS:
            sanitized(path, rung)
            told = Found()
        else:
            told = plain(path) if rung == "orders" else Found(watched(path))
        written = asdict(told)
    except (harness.HarnessError, KernelError, TypeError, ValueError) as error:
        written = {"error": str(error)}
    result.write_text(json.dumps(written), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
