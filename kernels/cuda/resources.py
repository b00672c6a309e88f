"""What the machine code of our CUDA kernels uses, known without a GPU: registers, memory, and which instructions.

The compiler tells registers, spills and memory; where NVIDIA's disassembler is installed, the instructions that the
kernels are written for are counted in the machine code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from .. import loader

HERE = Path(__file__).parent
ARCHITECTURES = ("sm_61", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90a", "sm_100")
"""The first two are CUDA 12's: CUDA 13 dropped them."""

COUNTED = {
    "tensor-core products": r"(?:HMMA|[QOU]MMA|HGMMA|UTC\w*MMA)\b",
    "copies to shared memory": r"LDGSTS\b",
    "loads of 16 bytes": r"LDG\.[\w.]*\b128\b",
    "local memory": r"(?:LDL|STL)\b",
}
"""What is counted by its mnemonic. Local memory counts loads and stores of what no register held."""

INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
ENTRY = re.compile(r"Compiling entry function '(\w+)'")
PROPERTIES = re.compile(r"Function properties for (\w+)")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


class Resources(NamedTuple):
    """What one kernel uses on one architecture. Registers and local memory (bytes) are a thread's, shared a block's.

    `instructions` is how many of those in `COUNTED` its machine code has; None where nothing can disassemble it.
    """

    source: str
    kernel: str
    architecture: str
    registers: int
    spilled_bytes: int
    local_bytes: int
    shared_bytes: int
    instructions: dict[str, int] | None = None

    def problems(self) -> list[str]:
        """What no kernel of ours may do, in words."""
        where = f"{self.source}: {self.kernel} on {self.architecture}"
        found = []
        if self.spilled_bytes:
            found.append(f"{where} spills {self.spilled_bytes} bytes of registers into memory")
        if self.local_bytes or (self.instructions or {}).get("local memory"):
            found.append(f"{where} uses local memory ({self.local_bytes} bytes), which lies outside of the chip")
        return found


class Report(NamedTuple):
    """The resources of all kernels, and what was left out and why."""

    compiler: str
    disassembler: str | None
    kernels: list[Resources]
    left_out: list[str]

    def problems(self) -> list[str]:
        """What no kernel of ours may do, in words."""
        return [problem for kernel in self.kernels for problem in kernel.problems()]

    def as_json(self) -> str:
        """For other programs."""
        told = {**self._asdict(), "kernels": [k._asdict() for k in self.kernels], "problems": self.problems()}
        return json.dumps(told, indent=2)

    def __str__(self) -> str:
        """A line for each kernel and architecture, then what was left out."""
        headings = ["kernel", "architecture", "registers", "spilled", "local", "shared"]
        rows: list[list[Any]] = []
        counted = list(COUNTED) if self.disassembler else []
        for k in self.kernels:
            row = [k.kernel, k.architecture, k.registers, k.spilled_bytes, k.local_bytes, k.shared_bytes]
            rows.append(row + [(k.instructions or {}).get(name, 0) for name in counted])
        table = [list(map(str, row)) for row in ([*headings, *counted], *rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for row in table:
            texts = [t.ljust(w) if i < 2 else t.rjust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True))]
            lines.append("  ".join(texts).rstrip())
        if self.kernels:
            most = max(self.kernels, key=lambda kernel: kernel.registers)
            lines += [
                "",
                f"{self.compiler}: {len({k.source for k in self.kernels})} sources, "
                f"{len({(k.source, k.kernel) for k in self.kernels})} kernels, "
                f"{len({k.architecture for k in self.kernels})} architectures; "
                f"at most {most.registers} registers ({most.kernel}, {most.architecture})",
            ]
        if not self.disassembler:
            lines.append("no instructions are counted: nvdisasm is not there (pip install nvidia-cuda-nvdisasm)")
        lines += [f"left out: {line}" for line in self.left_out]
        lines += self.problems() or ["no spills, no local memory"]
        return "\n".join(lines)


def report(sources: Sequence[Path] | None = None, architectures: Sequence[str] | None = None) -> Report:
    """The resources of the kernels in `sources` (default: all of the package) on `architectures` (default: ours).

    Of our architectures those are left out that the installed NVRTC does not know. Raises as `loader.compiled` does.
    """
    known = [f"sm_{number}" for number in loader.architectures()]
    wanted = ARCHITECTURES if architectures is None else architectures
    left_out, kernels = [], []
    if architectures is None:
        unknown = [a for a in wanted if a.rstrip("a") not in known]
        wanted = [a for a in wanted if a not in unknown]
        if unknown:
            left_out.append(f"{', '.join(unknown)}: {loader.version()} does not compile for them")
    program = disassembler()
    pairs = []
    for path in sorted(HERE.glob("*.cu")) if sources is None else sources:
        least = loader.least_architecture(path)
        for architecture in wanted:
            number = re.match(r"sm_(\d+)", architecture)
            if number and int(number[1]) < least:
                left_out.append(f"{path.name} on {architecture}: it uses what only sm_{least} and later have")
            else:
                pairs.append((path, architecture))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda pair: _resources(pair[0], pair[1], program), pairs):
            kernels += found
    return Report(loader.version(), program, kernels, left_out)


def _resources(path: Path, architecture: str, program: str | None) -> list[Resources]:
    code = loader.compiled(path, architecture)
    found = read_log(code)
    if program is None:
        return found
    counts = count_instructions(program, code.cubin)
    return [kernel._replace(instructions=counts[kernel.kernel]) for kernel in found]


def read_log(code: loader.Compiled) -> list[Resources]:
    """The kernels of which the compiler's log tells, in order of their names."""
    found: dict[str, Resources] = {}
    kernel = function = None
    for line in code.log.splitlines():
        if entry := ENTRY.search(line):
            kernel = entry[1]
            found[kernel] = Resources(code.path.name, kernel, code.architecture, 0, 0, 0, 0)
        elif properties := PROPERTIES.search(line):
            function = properties[1]
        elif kernel and (stack := STACK.search(line)):
            local, stores, loads = map(int, stack.groups())
            # A function that was not inlined has a frame of its own; the kernel that calls it pays for it.
            before = found[kernel]
            found[kernel] = before._replace(
                spilled_bytes=before.spilled_bytes + stores + loads, local_bytes=before.local_bytes + local
            )
        elif kernel and (used := re.search(r"Used (\d+) registers", line)) and function == kernel:
            shared = re.search(r"(\d+)(?:\+(\d+))? bytes smem", line)
            found[kernel] = found[kernel]._replace(
                registers=int(used[1]), shared_bytes=sum(int(n or 0) for n in shared.groups()) if shared else 0
            )
    incomplete = [name for name, kernel in found.items() if not kernel.registers]
    if not found or incomplete:
        told = f"nothing of {', '.join(incomplete)}" if found else "of no kernel"
        raise RuntimeError(f"{code.path.name}: the compiler's log tells {told}:\n{code.log}")
    return [found[name] for name in sorted(found)]


def disassembler() -> str | None:
    """NVIDIA's nvdisasm: on the path, or from its package; None where it is not installed."""
    if found := shutil.which("nvdisasm"):
        return found
    try:
        from cuda.pathfinder import find_nvidia_binary_utility

        return find_nvidia_binary_utility("nvdisasm")
    except Exception:  # older versions of the package cannot look for it
        return None


def count_instructions(program: str, cubin: bytes) -> dict[str, dict[str, int]]:
    """How many of the instructions in `COUNTED` each kernel's machine code has."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "code.cubin"
        file.write_bytes(cubin)
        done = subprocess.run([program, "-c", str(file)], capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"nvdisasm failed with code {done.returncode}: {done.stderr.strip()}")
    counts: dict[str, dict[str, int]] = {}
    current: dict[str, int] | None = None
    for line in done.stdout.splitlines():
        if line.startswith(".text."):
            current = counts.setdefault(line.strip().removeprefix(".text.").rstrip(":"), dict.fromkeys(COUNTED, 0))
        elif current is not None and (instruction := INSTRUCTION.match(line)):
            for name, mnemonic in COUNTED.items():
                current[name] += bool(re.match(mnemonic, instruction[1]))
    return counts
