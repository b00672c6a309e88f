"""Single convolutions: forward, input gradient, weight gradient; and other packages, forward and backward together.

These times swing with what ran before (allocators, caches): whole steps are the measure, these say where to look.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from alternate import alternate
from steps import LAST, OURS, TORCH

import minitorch_cv as mt
from minitorch_cv.ops import _conv2d


class Convolution(NamedTuple):
    """n images of c channels, size x size pixels; o filters of kernel x kernel taps."""

    n: int
    c: int
    size: int
    o: int
    kernel: int
    stride: int = 1
    padding: int = 0

    @property
    def title(self) -> str:
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{self.kernel}x{self.kernel}{stride}, {self.c} to {self.o}, {self.size}x{self.size}, batch {self.n}"

    @property
    def flop(self) -> int:
        """Of the definition, whatever algorithm computes it: a multiplication and an addition for each tap."""
        side = (self.size + 2 * self.padding - self.kernel) // self.stride + 1
        return 2 * self.n * self.o * side**2 * self.c * self.kernel**2


CONVOLUTIONS = [
    Convolution(128, 16, 32, 16, 3, 1, 1),
    Convolution(128, 32, 16, 32, 3, 1, 1),
    Convolution(128, 64, 8, 64, 3, 1, 1),
    Convolution(8, 64, 56, 64, 3, 1, 1),
    Convolution(8, 128, 28, 128, 3, 1, 1),
    Convolution(8, 256, 14, 256, 3, 1, 1),
    Convolution(8, 512, 7, 512, 3, 1, 1),
    Convolution(8, 64, 56, 256, 1),
    Convolution(8, 256, 14, 1024, 1),
    Convolution(8, 480, 14, 192, 1),
    Convolution(8, 48, 14, 128, 5, 1, 2),
    Convolution(16, 96, 27, 256, 5, 1, 2),
    Convolution(8, 3, 224, 64, 7, 2, 3),
    Convolution(16, 3, 227, 96, 11, 4),
    Convolution(64, 64, 16, 128, 4, 2, 1),
    Convolution(64, 128, 8, 256, 4, 2, 1),
    Convolution(128, 16, 32, 32, 3, 2, 1),
    Convolution(8, 64, 56, 128, 3, 2, 1),
    Convolution(8, 64, 56, 128, 1, 2),
]
PEERS_MEET = [Convolution(16, 16, 32, 16, 3, 1, 1), Convolution(8, 3, 64, 32, 7, 2, 3), Convolution(8, 64, 14, 64, 1)]

Directions = dict[str, Callable[[], object]]


def arrays(convolution: Convolution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, weight and dy, in the order of the papers."""
    n, c, size, o, kernel, stride, padding = convolution
    rng, side = np.random.default_rng(0), (size + 2 * padding - kernel) // stride + 1
    shapes = (n, c, size, size), (o, c, kernel, kernel), (n, o, side, side)
    return tuple(rng.standard_normal(shape, dtype=np.float32) for shape in shapes)  # type: ignore[return-value]


def in_memory(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The same array with its axes in that order in memory."""
    return np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))


def ours(convolution: Convolution) -> Directions:
    """Between the layers of a net, activations have their channels last in memory, and weights their outputs."""
    x, weight, dy = arrays(convolution)
    x, dy = (in_memory(a, (0, 2, 3, 1)) if convolution.c > 3 or a is dy else a for a in (x, dy))
    weight = in_memory(weight, (2, 3, 1, 0))
    settings = (convolution.stride, convolution.padding)
    return {
        "forward": lambda: mt.ops.conv2d(x, weight, None, *settings),
        "input gradient": lambda: _conv2d.conv2d_input_gradient(dy, weight, x.shape, *settings),
        "weight gradient": lambda: _conv2d.conv2d_weight_gradient(dy, x, weight.shape, *settings),
    }


def torchs(convolution: Convolution, channels_last: bool) -> Directions:
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, weight, dy = (torch.from_numpy(a).contiguous(memory_format=layout) for a in arrays(convolution))
    stride, padding = [convolution.stride] * 2, [convolution.padding] * 2

    def backward(*wanted: bool) -> object:
        return torch.ops.aten.convolution_backward(
            dy, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1, [*wanted, False]
        )

    return {
        "forward": lambda: torch.nn.functional.conv2d(x, weight, None, stride, padding),
        "input gradient": lambda: backward(True, False),
        "weight gradient": lambda: backward(False, True),
    }


# ---- other packages: forward and both gradients


def by_ours(convolution: Convolution) -> Callable[[], object]:
    given, weight, dy = arrays(convolution)
    x, w = mt.Tensor(given, requires_grad=True), mt.Tensor(weight, requires_grad=True)
    dy = mt.Tensor(dy)

    def run() -> object:
        x.grad = w.grad = None
        (mt.ops.conv2d(x, w, None, convolution.stride, convolution.padding) * dy).sum().backward()
        return w.grad

    return run


def by_torch(convolution: Convolution) -> Callable[[], object]:
    import torch

    x, w, dy = map(torch.from_numpy, arrays(convolution))
    x.requires_grad_(), w.requires_grad_()

    def run() -> object:
        x.grad = w.grad = None
        (torch.nn.functional.conv2d(x, w, None, convolution.stride, convolution.padding) * dy).sum().backward()
        return w.grad

    return run


def by_dezero(convolution: Convolution) -> Callable[[], object]:
    vars(np)["int"] = int  # DeZero knows NumPy 1, where this was a name
    dezero = importlib.import_module("dezero")
    x, w, dy = map(dezero.Variable, arrays(convolution))

    def run() -> object:
        x.cleargrad(), w.cleargrad()
        y = dezero.functions.conv2d(x, w, None, convolution.stride, convolution.padding)
        dezero.functions.sum(y * dy).backward()
        return w.grad.data

    return run


def by_autograd(convolution: Convolution) -> Callable[[], object]:
    numpy = importlib.import_module("autograd.numpy")
    gradient = importlib.import_module("autograd").grad
    convolve = importlib.import_module("autograd.scipy.signal").convolve
    x, weight, dy = arrays(convolution)
    p, s = convolution.padding, convolution.stride

    def value(x: Any, w: Any) -> Any:
        padded = numpy.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), "constant")
        flipped = w[:, :, ::-1, ::-1]
        y = convolve(padded, flipped, axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")[:, :, ::s, ::s]
        return numpy.sum(y * dy)

    both = gradient(value, (0, 1))
    return lambda: both(x, weight)[1]


def by_tinygrad(convolution: Convolution) -> Callable[[], object]:
    Tensor = importlib.import_module("tinygrad").Tensor
    x, w, dy = (Tensor(a, device="CPU").realize() for a in arrays(convolution))
    x.requires_grad = w.requires_grad = True

    def run() -> object:
        x.grad = w.grad = None
        (x.conv2d(w, stride=convolution.stride, padding=convolution.padding) * dy).sum().backward()
        x.grad.realize()
        return w.grad.numpy()

    return run


PEERS: dict[str, tuple[str, Callable[[Convolution], Callable[[], object]]]] = {
    "DeZero": ("dezero", by_dezero),
    "HIPS autograd": ("autograd", by_autograd),
    "tinygrad": ("tinygrad", by_tinygrad),
}


def hindrance(name: str) -> str | None:
    """Why a package cannot take part, if it cannot."""
    module, make = PEERS[name]
    if importlib.util.find_spec(module) is None:
        return "not installed"
    try:
        for convolution in PEERS_MEET:
            assert_equal(name, make(convolution)(), by_torch(convolution)())
    except Exception as error:  # whatever is wrong with it here: an old package beside a new NumPy, a missing compiler
        return f"fails ({type(error).__name__}: {str(error).splitlines()[0][:100]})"
    return None


# ---- measuring


def as_array(value: Any) -> np.ndarray:
    value = value[0] if isinstance(value, tuple) and value[0] is not None else value
    value = value[1] if isinstance(value, tuple) else value
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def assert_equal(what: str, found: Any, expected: Any) -> None:
    found, expected = as_array(found), as_array(expected)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    if not error <= 1e-4:
        raise ValueError(f"{what}: computes something else; relative error {error}")


def measured(environment: dict[str, Any], rounds: int = 5) -> dict[str, Any]:
    entries = []
    for convolution in CONVOLUTIONS:
        sides = {OURS: ours(convolution), TORCH: torchs(convolution, False), LAST: torchs(convolution, True)}
        directions: dict[str, Any] = {}
        for direction in sides[OURS]:
            if direction == "input gradient" and convolution.c == 3:
                continue  # images need none
            calls = {kind: side[direction] for kind, side in sides.items()}
            assert_equal(f"{convolution.title}, {direction}", calls[OURS](), calls[TORCH]())
            times = alternate(calls, rounds, seconds=0.05, repetitions=2)
            directions[direction] = {**times.median, "foreign load": times.foreign_load}
        entries.append({"title": convolution.title, "flop": convolution.flop, "directions": directions})
    missing = {name: why for name in PEERS if (why := hindrance(name)) is not None}
    peers: list[dict[str, Any]] = []
    for convolution in PEERS_MEET:
        calls = {OURS: by_ours(convolution), TORCH: by_torch(convolution)}
        calls.update({name: make(convolution) for name, (_, make) in PEERS.items() if name not in missing})
        times = alternate(calls, 3, seconds=0.05, repetitions=2)
        peers.append({"title": convolution.title, "seconds": times.median, "foreign load": times.foreign_load})
    return {"convolutions": entries, "peers": peers, "absent": missing, "environment": environment}
