"""Times on a GPU beside torch's in one process, told to `gpu.py` as a line of JSON.

    python benchmarks/gpu_measure.py cuda 300       layers and steps, none begun after 300 seconds
    python benchmarks/gpu_measure.py cpu 60         the same lines on a processor, at toy sizes: tries this file

Sides take turns (`alternate.py`), each call ends by waiting for the GPU, and the median counts.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import steps
import torch
from alternate import alternate, seconds_of

import minitorch_cv as mt

OURS, LAST, BF16 = "ours", "torch channels-last", "torch bf16"


class Layer(NamedTuple):
    """A layer of `nn` under the same name on both sides, and the least that its forward pass has to do."""

    name: str
    settings: dict[str, Any]
    shape: tuple[int, ...]

    def title(self) -> str:
        told = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        return f"{self.name}({told}) on {' x '.join(map(str, self.shape))}"

    def forward_flops(self, y: Any) -> float:
        """Multiplications and additions, of a convolution alone; the others wait for memory."""
        if self.name != "Conv2d":
            return 0.0
        kernel = self.settings["kernel_size"]
        return 2.0 * float(np.prod(y.shape)) * self.shape[1] * kernel**2

    def forward_bytes(self, y: Any) -> float:
        """What is read and written once, in float32."""
        return 4.0 * float(np.prod(self.shape) + np.prod(y.shape))


def convolution(n: int, size: int, before: int, after: int, kernel: int, stride: int = 1) -> Layer:
    settings = {"in_channels": before, "out_channels": after, "kernel_size": kernel, "stride": stride}
    return Layer("Conv2d", {**settings, "padding": kernel // 2, "bias": False}, (n, before, size, size))


LAYERS = [
    convolution(128, 32, 16, 16, 3),
    convolution(64, 56, 64, 64, 3),
    convolution(64, 28, 128, 256, 3, 2),
    convolution(64, 14, 256, 256, 3),
    convolution(64, 56, 64, 256, 1),
    convolution(64, 224, 3, 64, 7, 2),
    Layer("BatchNorm2d", {"num_features": 64}, (64, 64, 56, 56)),
    Layer("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1}, (64, 64, 112, 112)),
    Layer("AvgPool2d", {"kernel_size": 2}, (64, 128, 56, 56)),
    Layer("Softmax", {}, (8192, 1000)),
]
TOY_LAYERS = [
    convolution(2, 8, 3, 4, 3),
    Layer("BatchNorm2d", {"num_features": 4}, (2, 4, 8, 8)),
    Layer("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1}, (2, 4, 8, 8)),
    Layer("AvgPool2d", {"kernel_size": 2}, (2, 4, 8, 8)),
    Layer("Softmax", {}, (16, 10)),
]
STEPS = {
    "resnet20": steps.JOBS["resnet20"],
    "resnet18": replace(steps.JOBS["resnet18"], title="ResNet-18, 32x32, batch 128", batch=steps.images(128, 32, 1000)),
    "resnet50": replace(
        steps.JOBS["resnet18"],
        title="ResNet-50, 224x224, batch 64",
        nets={"resnet50": {}},
        batch=steps.images(64, 224, 1000),
    ),
    "vgg16": replace(steps.JOBS["vgg16"], title="VGG-16, 224x224, batch 32", batch=steps.images(32, 224, 1000)),
    "dcgan": steps.JOBS["dcgan"],
    "ddpm_unet": steps.JOBS["ddpm_unet"],
}
TOY_STEPS = {"tiny": steps.JOBS["tiny"]}


def wait(device: str) -> None:
    """Until the GPU has done all that both libraries gave it."""
    if device == "cuda":
        torch.cuda.synchronize()


# ---- peaks


def peaks(device: str) -> dict[str, float]:
    """Bytes a second of a copy, and operations a second of matrix products: what shares are shares of."""
    n, bytes_copied = (8192, 1 << 30) if device == "cuda" else (256, 1 << 24)
    source = torch.ones(bytes_copied // 4, device=device)
    target = torch.empty_like(source)

    def fastest(call: Callable[[], object]) -> float:
        def waited() -> None:
            call()
            wait(device)

        waited()
        return min(seconds_of(waited) for _ in range(5))

    found = {"copy": 2 * bytes_copied / fastest(lambda: target.copy_(source))}
    for name, dtype, tf32 in (
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bf16", torch.bfloat16, False),
    ):
        a = torch.ones(n, n, device=device, dtype=dtype)
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = tf32
        try:
            found[name] = 2 * n**3 / fastest(lambda a=a: a @ a)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
    return found


# ---- layers


def ours_layer(layer: Layer, x: np.ndarray, device: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The forward pass, and the forward and backward pass."""
    settings = {"axis": 1} if layer.name == "Softmax" else {}
    net = getattr(mt.nn, layer.name)(**layer.settings, **settings).to(device)
    if x.ndim == 4:  # channels last in memory, as inside of a net
        last = mt.Tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), device=device)
        operand = mt.Tensor(last.data.transpose(0, 3, 1, 2), requires_grad=True)
    else:
        operand = mt.Tensor(x, device=device, requires_grad=True)
    dy = mt.Tensor(net(operand).data.copy())

    def forward() -> Any:
        with mt.no_grad():
            return net(operand)

    return forward, lambda: mt.grad(net(operand), [operand, *net.parameters()], dy)


def torch_layer(layer: Layer, x: np.ndarray, device: str, bf16: bool) -> tuple[Callable, Callable]:
    settings = {"dim": 1} if layer.name == "Softmax" else {}
    net = getattr(torch.nn, layer.name)(**layer.settings, **settings).to(device)
    operand = torch.from_numpy(x).to(device)
    if x.ndim == 4:
        net, operand = net.to(memory_format=torch.channels_last), operand.to(memory_format=torch.channels_last)
    operand.requires_grad_()

    def run() -> Any:
        with torch.autocast(device, torch.bfloat16) if bf16 else contextlib.nullcontext():
            return net(operand)

    dy = run().detach().clone()

    def forward() -> Any:
        with torch.no_grad():
            return run()

    return forward, lambda: torch.autograd.grad(run(), [operand, *net.parameters()], dy)


def layer_rows(layer: Layer, device: str, rounds: int) -> list[dict[str, Any]]:
    x = np.random.default_rng(0).standard_normal(layer.shape).astype(np.float32)
    sides = {
        OURS: ours_layer(layer, x, device),
        LAST: torch_layer(layer, x, device, False),
        BF16: torch_layer(layer, x, device, True),
    }
    y, rows = sides[OURS][0](), []
    for number, (what, passes) in enumerate((("forward", 1), ("forward and backward", 3))):

        def timed(call: Callable) -> Callable[[], None]:
            def waited() -> None:
                call()
                wait(device)

            return waited

        times = alternate({kind: timed(side[number]) for kind, side in sides.items()}, rounds, 0.1, 1)
        rows.append(
            {
                "title": layer.title(),
                "pass": what,
                "seconds": times.median,
                "flops": passes * layer.forward_flops(y),
                "bytes": passes * layer.forward_bytes(y),
            }
        )
    return rows


# ---- steps


class Ours(steps.Ours):
    def __init__(self, job: steps.Job, weights: steps.Weights, device: str):
        super().__init__(job, weights)
        self.device = device
        # Once more, for the optimisers are to see the parameters where they will lie.
        steps.Side.__init__(self, job, [net.to(device) for net in self.nets], mt.optim.SGD, mt.optim.Adam)

    def tensor(self, array: np.ndarray) -> Any:
        return mt.Tensor(array, device=self.device)


class Torch(steps.Torch):
    def __init__(self, job: steps.Job, weights: steps.Weights, device: str, bf16: bool):
        super().__init__(job, weights, channels_last=True)
        self.device, self.bf16 = device, bf16
        steps.Side.__init__(self, job, [net.to(device) for net in self.nets], torch.optim.SGD, torch.optim.Adam)

    def tensor(self, array: np.ndarray) -> Any:
        tensor = torch.from_numpy(array).to(self.device)
        return tensor.contiguous(memory_format=self.format) if array.ndim == 4 else tensor

    def step(self, batch: dict[str, np.ndarray]) -> float:
        with torch.autocast(self.device, torch.bfloat16) if self.bf16 else contextlib.nullcontext():
            return super().step(batch)


def step_row(job: steps.Job, device: str, rounds: int) -> dict[str, Any]:
    weights, drawn = steps.initial_weights(job), steps.batches(job)
    sides: dict[str, steps.Side] = {
        OURS: Ours(job, weights, device),
        LAST: Torch(job, weights, device, False),
        BF16: Torch(job, weights, device, True),
    }
    with mt.kernel_usage() as usage:
        losses = {kind: [side.step(batch) for batch in drawn[:3]] for kind, side in sides.items()}
    times = alternate({kind: steps.stepper(side, drawn) for kind, side in sides.items()}, rounds, 0.2, 1)
    return {
        "title": job.title,
        "seconds": times.median,
        "losses": losses,
        "losses agree": bool(np.allclose(losses[OURS], losses[LAST], rtol=1e-2)),
        "portable": usage.portable(),
    }


def main(device: str, seconds: str) -> dict[str, Any]:
    """What was measured; what the time did not suffice for is named."""
    end = time.monotonic() + float(seconds)
    small = device == "cpu"
    rounds = 2 if small else 5
    found: dict[str, Any] = {"peaks": peaks(device), "layers": [], "steps": [], "left out": []}
    for job in (TOY_STEPS if small else STEPS).values():
        if time.monotonic() > end:
            found["left out"].append(job.title)
        else:
            found["steps"].append(step_row(job, device, rounds))
    for layer in TOY_LAYERS if small else LAYERS:
        if time.monotonic() > end:
            found["left out"].append(layer.title())
        else:
            found["layers"] += layer_rows(layer, device, rounds)
    return found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
