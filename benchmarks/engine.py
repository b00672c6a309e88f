"""What the tape costs: a training step of a small MLP, against the same mathematics in bare NumPy and against torch.

    python benchmarks/engine.py            prints a table and writes benchmarks/results/engine.md

The layers are so small that nearly all the time is overhead. The three run in turn, round by round, so that a change of
the machine's speed meets all of them. A time is that of the fastest round: what is above it is other processes' doing.
Medians stand beside it.
"""

# ruff: noqa: E402
from __future__ import annotations

import datetime
import importlib.util
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported: at this size threads only wait for each other

import numpy as np

import minitorch_cv as mt

BATCH, SIZES = 8, (32, 32, 32, 10)
RATE = 0.01
ROUNDS, STEPS = 200, 20
RESULTS = Path(__file__).parent / "results" / "engine.md"


def weights() -> list[np.ndarray]:
    """A weight and a bias for each layer."""
    rng = np.random.default_rng(0)
    drawn = []
    for inputs, outputs in zip(SIZES, SIZES[1:]):
        drawn += [rng.standard_normal((inputs, outputs)) / inputs**0.5, np.zeros(outputs)]
    return [w.astype(np.float32) for w in drawn]


def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return tuple(rng.standard_normal((BATCH, n)).astype(np.float32) for n in (SIZES[0], SIZES[-1]))


def numpy_step() -> Callable[[], float]:
    """The operations of the tape, written out by hand: forward, backward, update."""
    (x, target), parameters = batch(), weights()

    def step() -> float:
        saved, h = [], x
        for i in range(0, len(parameters), 2):
            z = h @ parameters[i] + parameters[i + 1]
            saved.append((h, z))
            h = z if i == len(parameters) - 2 else np.maximum(z, 0)
        error = h - target
        loss = (error * error).mean()
        dy = np.broadcast_to(np.float32(1) * (1 / error.size), error.shape)
        dz = dy * error + dy * error
        for i in range(len(parameters) - 2, -1, -2):
            h, z = saved[i // 2]
            if i < len(parameters) - 2:
                dz = dz * (z > 0)
            dbias, dweight = dz.sum(axis=0), h.T @ dz
            if i:
                dz = dz @ parameters[i].T
            parameters[i] -= RATE * dweight
            parameters[i + 1] -= RATE * dbias
        return float(loss)

    return step


def tape_step() -> Callable[[], float]:
    x, target = map(mt.Tensor, batch())
    parameters = [mt.Tensor(w, requires_grad=True) for w in weights()]

    def step() -> float:
        h = x
        for i in range(0, len(parameters), 2):
            h = h @ parameters[i] + parameters[i + 1]
            if i < len(parameters) - 2:
                h = h.relu()
        error = h - target
        loss = (error * error).mean()
        loss.backward()
        for p in parameters:
            p.data -= RATE * p.grad.data
            p.grad = None
        return loss.item()

    return step


def torch_step() -> Callable[[], float]:
    import torch

    torch.set_num_threads(1)
    x, target = map(torch.from_numpy, batch())
    parameters = [torch.from_numpy(w).requires_grad_() for w in weights()]

    def step() -> float:
        h = x
        for i in range(0, len(parameters), 2):
            h = h @ parameters[i] + parameters[i + 1]
            if i < len(parameters) - 2:
                h = h.relu()
        error = h - target
        loss = (error * error).mean()
        loss.backward()
        with torch.no_grad():
            for p in parameters:
                p -= RATE * p.grad
                p.grad = None
        return loss.item()

    return step


def operations() -> int:
    """How many operations the tape records in a step."""
    layers = len(SIZES) - 1
    return 2 * layers + (layers - 1) + 3  # matmul and add; relu; subtract, multiply, mean


def measure(steps: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Microseconds a step for each, in every round."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(STEPS):
            step()
    for _ in range(ROUNDS):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                step()
            times[name].append((time.perf_counter() - start) / STEPS * 1e6)
    return times


def table(times: dict[str, list[float]]) -> str:
    measured = {name: min(rounds) for name, rounds in times.items()}
    ours, bare = measured["minitorch_cv"], measured["NumPy"]
    lines = [
        "| step | us | median us | of bare NumPy | us an operation above NumPy |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {us:.0f} | {statistics.median(times[name]):.0f} | {us / bare:.2f} | "
            + ("" if name == "NumPy" else f"{(us - bare) / operations():.1f}")
            + " |"
            for name, us in measured.items()
        ),
        "",
        f"The tape adds {(ours - bare) / operations():.1f} us to each of its {operations()} operations, "
        "forward and backward together.",
    ]
    if "torch" in measured:
        lines.append(f"The step takes {ours / measured['torch']:.2f} of torch's time (eager).")
    return "\n".join(lines)


def machine() -> str:
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        processor = names[0] if names else processor
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    if "torch" in sys.modules:
        versions += f", torch {sys.modules['torch'].__version__}"
    return f"{processor}, {os.cpu_count()} cores (one thread used); {versions}; {datetime.date.today()}"


def main() -> None:
    steps = {"NumPy": numpy_step(), "minitorch_cv": tape_step()}
    if importlib.util.find_spec("torch"):
        steps["torch"] = torch_step()
    else:
        print("torch is not installed, so it is not measured: pip install 'minitorch-cv[yardstick]'")
    losses = {name: [step() for _ in range(3)] for name, step in steps.items()}
    for name, values in losses.items():
        np.testing.assert_allclose(values, losses["NumPy"], rtol=1e-5, err_msg=f"{name} computes something else")
    text = table(measure(steps))
    print(text)
    title = f"A training step of an MLP {'-'.join(map(str, SIZES))}, batch {BATCH}, float32"
    temporary = RESULTS.with_suffix(".tmp")
    temporary.write_text(
        f"# {title}\n\nMade by `python benchmarks/engine.py`. {machine()}\n\n{text}\n", encoding="utf-8"
    )
    os.replace(temporary, RESULTS)


if __name__ == "__main__":
    main()
