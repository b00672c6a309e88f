"""One measurement in a process of its own, told to `cpu.py` as a line of JSON.

    python benchmarks/measure.py row resnet20 [rounds]     a row of the table of training steps
    python benchmarks/measure.py memory resnet20 ours      how much memory three steps take at most
    python benchmarks/measure.py cold ours                 import and first step
    python benchmarks/measure.py profile resnet20          time in each of this package's kernels

A process of its own, because what one net leaves behind in the allocators changes the times of the next.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np


def threads_of_both() -> dict[str, int]:
    """Sets torch's threads as ours are set; how many there are on both sides."""
    import torch

    import minitorch_cv as mt

    torch.set_num_threads(mt.get_num_threads())
    return {"ours": mt.get_num_threads(), "torch": torch.get_num_threads()}


def environment() -> dict[str, Any]:
    """What both sides compute with."""
    import torch
    from minitorch_cv.kernels.cpu.machine import machine

    built = [line.strip(" -") for line in torch.__config__.show().splitlines()]
    told = ("Intel(R) MKL-DNN", "Intel(R) oneAPI", "CPU capability", "OpenMP")
    smallest = np.float32(1e-42)
    return {
        "threads": threads_of_both(),
        "vectors of ours, bits": 8 * machine().vector_bytes,
        "vectors of torch": torch.backends.cpu.get_cpu_capability(),
        "torch": [line for line in built if line.startswith(told)],
        "denormal numbers kept": {
            "NumPy": bool(np.array([smallest]) * np.float32(1) != 0),
            "torch": bool((torch.tensor([1e-42]) * 1 != 0).item()),
        },
    }


# ---- rows


def row(name: str, rounds: str = "7", thorough: str = "yes") -> dict[str, Any]:
    import steps
    from alternate import alternate

    told = environment()
    job = steps.JOBS[name]
    weights, drawn = steps.initial_weights(job), steps.batches(job)
    kinds = [steps.OURS, steps.TORCH] + [steps.LAST] * job.channels_last
    sides = {kind: steps.make_side(kind, job, weights) for kind in kinds}
    full = thorough == "yes"
    checked, losses = first_step(job, sides, weights, drawn[0], full)
    del weights
    costs = {}
    for kind, side in sides.items():
        while len(losses[kind]) < (5 if full else 2):
            start = time.perf_counter()
            losses[kind].append(side.step(drawn[len(losses[kind]) % len(drawn)]))
            costs[kind] = time.perf_counter() - start
    functions = {kind: steps.stepper(side, drawn) for kind, side in sides.items()}
    if full:
        times = alternate(functions, int(rounds))
    else:
        few = min(int(rounds), 2) if max(costs.values()) > 1.0 else int(rounds)
        times = alternate(functions, few, seconds=0.1, repetitions=1, warm_limit=0.2, costs=costs)
    others = kinds[1:]
    return {
        "seconds": times.median,
        "fastest": times.fastest,
        "ratio": {kind: times.ratio(steps.OURS, kind) for kind in others},
        "spread": {kind: times.spread(steps.OURS, kind) for kind in others},
        "rounds": len(times.rounds),
        "rounds repeated": times.repeated,
        "foreign load": times.foreign_load,
        "losses": losses,
        "loss error": loss_errors(losses),
        "losses agree": agree(loss_errors(losses)),
        "first step": checked,
        "environment": told,
    }


LOSS_BOUND = 1e-3
"""Three digits. Where torch's two memory formats differ by more than half of it, twice their difference."""


def loss_errors(losses: dict[str, list[float]]) -> dict[str, float]:
    """The largest relative difference to torch's losses in any step."""
    import steps

    expected = losses[steps.TORCH]
    return {
        kind: max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))
        for kind, found in losses.items()
        if kind != steps.TORCH
    }


def agree(errors: dict[str, float]) -> bool:
    import steps

    return errors[steps.OURS] <= max(LOSS_BOUND, 2 * errors.get(steps.LAST, 0.0))


GRADIENT_BOUND = 2e-2
"""Of a parameter's largest gradient entry. The rounding of float32 is some 1e-6; but where a sum is within rounding of
zero, ReLU or a pooling decides otherwise, and whole entries differ, on every side. So where torch's own worst error is
larger than half of the bound, twice that error is the bound."""


def first_step(
    job: Any, sides: dict[str, Any], weights: Any, batch: Any, full: bool
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """How far the gradients (the output, for inference) of each side are from float64's, before any update.

    Of each parameter, the largest difference in units of its largest entry; the worst of all parameters counts.
    Parameters whose gradient is zero but for rounding are listed apart. Without `full` they are compared with torch's
    instead, and the step is the first of training too. The second result are the losses of the steps of training.
    """
    import steps

    losses: dict[str, list[float]] = {kind: [] for kind in sides}

    def results(kind: str) -> dict[str, np.ndarray]:
        side = sides[kind] if kind in sides else steps.make_side(kind, job, weights)
        side.updating = not full
        loss = side.step(batch)
        side.updating = True
        if not full:
            losses[kind].append(loss)
        return side.gradients() if job.training else {"mean square of the output": np.array([loss])}

    against = steps.DOUBLE if full else steps.TORCH
    reference = results(against)
    sizes = {key: float(np.abs(value).max()) for key, value in reference.items()}
    floor = max(sizes.values()) * (1e-11 if full else 1e-7)
    errors, worst = {}, {}
    for kind in sides:
        if kind == against:
            continue
        found = results(kind)
        each = {k: float(np.abs(found[k] - reference[k]).max()) / size for k, size in sizes.items() if size > floor}
        worst[kind] = max(each, key=each.__getitem__)
        errors[kind] = each[worst[kind]]
    bound = max([GRADIENT_BOUND] + [2 * error for kind, error in errors.items() if kind != steps.OURS])
    told = {
        "against": against,
        "error": errors,
        "parameter": worst,
        "zero": [key for key, size in sizes.items() if size <= floor],
        "bound": bound,
        "within bound": bool(errors[steps.OURS] <= bound),
    }
    return told, losses


# ---- memory and first steps


def peak_megabytes() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def memory(name: str, kind: str) -> dict[str, Any]:
    """The most memory that three steps take, above what the process has taken once all is imported."""
    import steps

    job = steps.JOBS[name]
    if kind != steps.OURS:
        threads_of_both()
        steps.twins()
    drawn = steps.batches(job)
    before = peak_megabytes()
    side = steps.make_side(kind, job, None)
    for i in range(3):
        side.step(drawn[i])
    after = peak_megabytes()
    return {"megabytes": None if before is None or after is None else after - before}


def cold(kind: str) -> dict[str, Any]:
    """Seconds for the import, and after it for the first two steps of ResNet-20, net and batch being there."""
    start = time.perf_counter()
    if kind == "ours":
        import minitorch_cv  # noqa: F401
    else:
        import torch  # noqa: F401
    imported = time.perf_counter()
    import steps

    job = steps.JOBS["resnet20"]
    if kind != "ours":
        threads_of_both()
    side, drawn = steps.make_side(kind, job, steps.initial_weights(job)), steps.batches(job)
    taken = []
    for i in range(2):
        before = time.perf_counter()
        side.step(drawn[i])
        taken.append(time.perf_counter() - before)
    return {"import": imported - start, "first step": taken[0], "second step": taken[1]}


# ---- where the time goes


def profile(name: str, count: str = "5") -> dict[str, Any]:
    """Milliseconds and launches of each kernel in a step, and what is left for all that is no kernel."""
    import steps
    from minitorch_cv.kernels.cpu.kernel import Kernel

    job = steps.JOBS[name]
    step = steps.stepper(steps.make_side(steps.OURS, job, steps.initial_weights(job)), steps.batches(job))
    step(), step()
    seconds: dict[str, float] = defaultdict(float)
    launches: dict[str, int] = defaultdict(int)
    original: Callable = Kernel.__call__

    def timed(self: Any, *arguments: Any) -> None:
        start = time.perf_counter()
        original(self, *arguments)
        seconds[self.name] += time.perf_counter() - start
        launches[self.name] += 1

    Kernel.__call__ = timed  # type: ignore[method-assign]
    start = time.perf_counter()
    for _ in range(int(count)):
        step()
    whole = (time.perf_counter() - start) / int(count)
    Kernel.__call__ = original  # type: ignore[method-assign]
    return {
        "step": whole,
        "kernels": {k: [v / int(count), launches[k] // int(count)] for k, v in seconds.items()},
        "outside of kernels": whole - sum(seconds.values()) / int(count),
    }


def layers() -> dict[str, Any]:
    import layers

    return layers.measured(environment())


def streams() -> dict[str, Any]:
    import streams

    return streams.measured(environment())


def scaling() -> dict[str, Any]:
    import scaling

    return scaling.measured(environment())


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    f.__name__: f for f in (row, memory, cold, profile, layers, streams, scaling)
}


if __name__ == "__main__":
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
