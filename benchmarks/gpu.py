"""What a GPU's first minutes are for: the kernels' tests on it, then their times beside torch's. Under eight minutes.

    python benchmarks/gpu.py                        tests, then layers and training steps, to results/gpu.md, gpu.json
    python benchmarks/gpu.py --compute-sanitizer    the tests once more under NVIDIA's memory checker, where it is there

Needs a GPU, `pip install -e ".[gpu,test,yardstick]"` and a torch for CUDA. Without a GPU it says so, ends with code 0,
and writes nothing. Where a test fails nothing is timed: the time of a wrong kernel says nothing.
See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from cpu import source
from tables import table

from minitorch_cv._device import usable_gpu
from minitorch_cv._files import written_whole

HERE = Path(__file__).resolve().parent
TESTS = ["-m", "pytest", "-q", "tests/kernels/cuda/test_on_gpu.py"]
ENVIRONMENT = {**os.environ, "MINITORCH_CV_CUDA": "untried", "PYTHONUTF8": "1"}
SECONDS = 270
"""After so long no further row is begun."""


def tests_pass(before: list[str] | None = None) -> bool:
    """Whether the kernels compute on this GPU what the portable bodies compute."""
    return subprocess.run([*(before or []), sys.executable, *TESTS], cwd=HERE.parent, env=ENVIRONMENT).returncode == 0


def checked_by_sanitizer() -> bool:
    """The same tests under compute-sanitizer; True, with a word, where it is not installed."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        print("compute-sanitizer is not on the path: nothing was checked by it")
        return True
    return tests_pass([program, "--tool", "memcheck", "--error-exitcode", "1"])


def stamp() -> dict[str, str]:
    """GPU, versions, date and command."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    gpu = subprocess.run(query, capture_output=True, text=True).stdout.strip().partition("\n")[0]
    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "torch", "cupy-cuda13x", "cupy-cuda12x", "cuda-core", "minitorch-cv"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return {
        "machine": gpu or "unknown",
        "versions": ", ".join(versions),
        "source": source(),
        "date": str(datetime.date.today()),
        "command": " ".join(["python benchmarks/gpu.py", *sys.argv[1:]]),
    }


def measured(device: str, seconds: float) -> dict[str, Any]:
    """What `gpu_measure.py` finds, in a process of its own."""
    command = [sys.executable, str(HERE / "gpu_measure.py"), device, str(seconds)]
    done = subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("the measurement failed (above); nothing is written")
    return json.loads(done.stdout.splitlines()[-1])


def as_markdown(found: dict[str, Any], told: dict[str, str]) -> str:
    """Two tables, and what they were measured with."""
    kinds = ["ours", "torch channels-last", "torch bf16"]

    def times(row: dict[str, Any]) -> list[str]:
        seconds = row["seconds"]
        ratio = seconds[kinds[0]] / seconds[kinds[1]]
        return [*(f"{1e3 * seconds[kind]:.3f}" for kind in kinds), f"{ratio:.2f}"]

    def share(row: dict[str, Any]) -> str:
        """Of what a matrix product in float32 or a copy reaches."""
        peak = found["peaks"]["float32" if row["flops"] else "copy"]
        return f"{100 * (row['flops'] or row['bytes']) / row['seconds']['ours'] / peak:.0f} %"

    def checks(row: dict[str, Any]) -> str:
        words = [] if row["losses agree"] else ["LOSSES DIFFER"]
        return "; ".join(words + ([f"portable: {', '.join(row['portable'])}"] if row["portable"] else [])) or "passed"

    heads = ["ours, ms", "torch, ms", "torch bf16, ms", "ours / torch"]
    peaks = found["peaks"]
    lines = [
        "# On a GPU, beside PyTorch",
        "",
        *(f"- {key}: {value}" for key, value in told.items()),
        f"- measured peaks: copy {peaks['copy'] / 1e9:.0f} GB/s; matrix products "
        + ", ".join(f"{name} {peaks[name] / 1e12:.3g} Tflop/s" for name in ("float32", "tf32", "bf16")),
        "",
        "Torch runs eagerly, channels-last, with its defaults (convolutions in tf32), and under autocast to bf16.",
        "",
        table(["step", *heads, "checks"], [[r["title"], *times(r), checks(r)] for r in found["steps"]]),
        "",
        "Shares are of the float32 matrix product for convolutions, and of the copy for the others.",
        "",
        table(
            ["layer", "pass", *heads, "ours, share of peak"],
            [[r["title"], r["pass"], *times(r), share(r)] for r in found["layers"]],
            left=2,
        ),
    ]
    lines += ["", *(f"Left out, for the time was over: {title}" for title in found["left out"])]
    return "\n".join(lines).rstrip() + "\n"


def write(folder: Path, found: dict[str, Any], told: dict[str, str]) -> None:
    texts = {"gpu.json": json.dumps({**found, "environment": told}, indent=1), "gpu.md": as_markdown(found, told)}
    for name, text in texts.items():
        with written_whole(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compute-sanitizer", action="store_true", help="check the tests' memory accesses, too")
    parser.add_argument("--results", type=Path, default=HERE / "results", metavar="FOLDER")
    args = parser.parse_args()
    usable, reason = usable_gpu()
    if not usable:
        print(f"no GPU is usable here: {reason}. Nothing was measured, and nothing is claimed.")
        return 0
    if not tests_pass() or (args.compute_sanitizer and not checked_by_sanitizer()):
        print("the kernels' tests fail on this GPU (above): nothing was timed")
        return 1
    found, told = measured("cuda", SECONDS), stamp()
    write(args.results, found, told)
    print(as_markdown(found, told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
