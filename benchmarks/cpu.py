"""How fast this package trains on a processor: whole steps against torch in the same run, and the pieces.

    python benchmarks/cpu.py                        all training steps, to the end of results/cpu.md and cpu.json
    python benchmarks/cpu.py resnet20 vae           these rows alone
    python benchmarks/cpu.py --quick                few rounds, fewer checks, nothing written: under three minutes
    python benchmarks/cpu.py --avx2                 the steps with vectors of 256 bits on both sides
    python benchmarks/cpu.py --layers               single convolutions, and other packages
    python benchmarks/cpu.py --streams              bodies that compute little, in shares of the memory's speed
    python benchmarks/cpu.py --scaling              a step's time over batch sizes and image sizes, with a figure
    python benchmarks/cpu.py --cold                 import and first step in a new process, compiled code not there yet
    python benchmarks/cpu.py --profile resnet20     time in each of this package's kernels (nothing written)

See benchmarks/README.md for the method, and for how to read the table.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tables
from steps import JOBS, LAST, OURS, TORCH, Job

HERE = Path(__file__).resolve().parent
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MINITORCH_CV_VECTORS": "avx2"}
AVX2_BAR = 0.9


def measure(*arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """What `measure.py` finds, in a new process."""
    command = [sys.executable, str(HERE / "measure.py"), *arguments]
    done = subprocess.run(command, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: the measurement failed (above); nothing is written")
    return json.loads(done.stdout.splitlines()[-1])


def stamp() -> dict[str, str]:
    """Machine, versions, date and command."""
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        processor = names[0] if names else processor
    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "torch", "numba", "llvmlite", "minitorch-cv"):
        versions.append(f"{package} {importlib.metadata.version(package)}")
    return {
        "machine": f"{processor}, {os.cpu_count()} cores, {platform.system()}",
        "versions": ", ".join(versions),
        "source": source(),
        "date": str(datetime.date.today()),
        "command": " ".join(["python benchmarks/cpu.py", *sys.argv[1:]]),
    }


def source() -> str:
    """Which version of the sources was measured."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude", "*"],
            cwd=HERE,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()


def judged(job: Job, ratio: dict[str, float], bars: tuple[float, ...], goals: tuple[float, ...]) -> dict[str, Any]:
    """Bars and goals beside what was reached: first against torch, then against torch channels-last."""
    reached = [ratio[kind] for kind in (TORCH, LAST) if kind in ratio]
    return {
        "bars": bars,
        "goals": goals,
        "bar met": all(r <= bar for r, bar in zip(reached, bars)) if bars else None,
        "goal met": all(r <= goal for r, goal in zip(reached, goals)) if goals else None,
    }


def steps(names: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """The rows, each in a process of its own."""
    rows = {}
    print(tables.steps_head(), flush=True)
    for name in names:
        job = JOBS[name]
        environment = AVX2 if arguments.avx2 else {}
        row = measure("row", name, str(arguments.rounds), "no" if arguments.quick else "yes", environment=environment)
        bars, goals = ((AVX2_BAR,), ()) if arguments.avx2 else (job.bars, job.goals)
        row = {"title": job.title, **judged(job, row["ratio"], bars, goals), **row}
        if not arguments.quick:
            kinds = [OURS, TORCH, LAST] if job.channels_last else [OURS, TORCH]
            row["peak megabytes"] = {
                kind: measure("memory", name, kind, environment=environment)["megabytes"] for kind in kinds
            }
        rows[name] = {**row, **stamp()}
        print(tables.steps_line(rows[name]), flush=True)
    return rows


def cold() -> dict[str, Any]:
    """A new process with an empty cache, one with the cache that it has filled, and torch."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"MINITORCH_CV_CACHE": folder}
        found = {
            "nothing compiled yet": measure("cold", OURS, environment=environment),
            "compiled before": measure("cold", OURS, environment=environment),
            "torch": measure("cold", TORCH),
        }
    return {"times": found, **stamp()}


def record(results: Path, section: str, found: dict[str, Any]) -> None:
    """Put a section, or rows of one, in the place of what was there, and write the tables anew."""
    results.mkdir(parents=True, exist_ok=True)
    path = results / "cpu.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[section] = {**known.get(section, {}), **found} if section in ("steps", "avx2") else found
    for name, text in (("cpu.json", json.dumps(known, indent=1) + "\n"), ("cpu.md", tables.document(known))):
        temporary = results / f"{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, results / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"one of {', '.join(JOBS)}; all but tiny by default")
    which = parser.add_mutually_exclusive_group()
    for mode in ("avx2", "layers", "streams", "scaling", "cold", "profile"):
        which.add_argument(f"--{mode}", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few rounds, no memory, no float64; writes no results")
    parser.add_argument("--rounds", type=int, help="turns of each side (default 7; 3 with --quick)")
    parser.add_argument("--threads", type=int, default=2, help="on both sides (default 2)")
    parser.add_argument("--results", type=Path, help="where cpu.md and cpu.json are written (default: results/)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.rows) - set(JOBS))
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; there are {', '.join(JOBS)}")
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 7)
    os.environ["MINITORCH_CV_THREADS"] = str(arguments.threads)
    names = arguments.rows or [name for name, job in JOBS.items() if job.shown]
    results = arguments.results or (None if arguments.quick else HERE / "results")

    if arguments.profile:
        for name in names:
            print(tables.profile(JOBS[name].title, measure("profile", name)))
        return
    if arguments.layers:
        section, found = "layers", {**measure("layers"), **stamp()}
    elif arguments.streams:
        section, found = "streams", {**measure("streams"), **stamp()}
    elif arguments.scaling:
        section, found = "scaling", {**measure("scaling"), **stamp()}
        if results is not None:
            import scaling

            scaling.draw(found, results / "cpu_scaling.png")
    elif arguments.cold:
        section, found = "cold", cold()
    else:
        section, found = "avx2" if arguments.avx2 else "steps", steps(names, arguments)
    if section in tables.SECTIONS:
        print(tables.SECTIONS[section](found))
    if results is not None:
        record(results, section, found)


if __name__ == "__main__":
    main()
