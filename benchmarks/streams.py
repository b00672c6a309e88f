"""Bodies that compute little for each number: how near they come to the memory's own speed.

Each is timed on arrays far larger than the caches, and credited with the bytes that it cannot avoid: each operand and
result read or written once for each walk that its mathematics needs (a batch norm needs the statistics before the first
value: two walks). The yardstick is a copy of as many bytes by as many threads. A share above 1 means that something was
still in a cache, or that stores went past it; one far below, that computing and not the memory is the limit.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from alternate import seconds_of
from minitorch_cv.kernels import manifest

import minitorch_cv as mt
from minitorch_cv._op import faster_update

SHAPE = (16, 64, 112, 112)
"""51 MB."""


def body(name: str) -> Callable[..., Any]:
    """The faster body of an operation on the processor."""
    import importlib

    entry = next(entry for entry in manifest.BODIES if entry.operation == name and entry.device == "cpu")
    return getattr(importlib.import_module(entry.module), entry.function)


def image(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Random numbers, channels last in memory."""
    n, c, h, w = shape
    drawn = np.random.default_rng(seed).standard_normal((n, h, w, c), dtype=np.float32)
    return drawn.transpose(0, 3, 1, 2)


def first_gradient(derivative: Callable, dy: np.ndarray) -> Any:
    """That of the first operand."""
    found = derivative(dy)
    first = found[0] if isinstance(found, tuple) else found
    return first() if callable(first) else first


def cases() -> list[tuple[str, str, float, Callable[[], object]]]:
    """Stem, what is done, megabytes that must be moved, and the call."""
    x, residual, dy = image(), image(seed=1), image(seed=2)
    channel = np.random.default_rng(3).random(64, dtype=np.float32) + 0.5
    made: list[tuple[str, str, float, Callable[[], object]]] = []
    unit = x.nbytes / 1e6

    def both(stem: str, name: str, forward: float, backward: float, *operands: Any, dy: Any = dy, **settings: Any):
        function = body(name)
        made.append((stem, f"{name}, forward", forward * unit, lambda: function(*operands, **settings)))
        derivative = function(*operands, **settings)[1]
        made.append((stem, f"{name}, backward", backward * unit, lambda: first_gradient(derivative, dy)))

    half = image((16, 64, 56, 56), 4)
    both("activation", "relu", 2, 3, x)
    both("activation", "silu", 2, 3, x)
    both("residual", "add_relu", 3, 3, x, residual)
    both("elementwise", "add", 3, 0.001, x, residual)
    both("batch_norm", "batch_norm_relu_train", 3, 5, x, None, channel, channel)
    both("batch_norm", "batch_norm_relu_eval", 3, 6, x, residual, channel, channel, channel, channel)
    both("group_norm", "group_norm", 3, 5, x, 8, channel, channel)
    both("local_response_norm", "local_response_norm", 2, 4, x, 5)
    both("pool2d", "max_pool2d", 1.31, 1.31, x, 3, 2, 1, dy=half)
    both("pool2d", "avg_pool2d", 1.25, 1.25, x, 2, dy=half)
    both("shape", "concatenate_operands", 4, 2, x, residual, dy=image((16, 128, 112, 112), 5), axis=1)
    logits = np.random.default_rng(6).standard_normal((12544, 1024), dtype=np.float32)
    target = np.zeros_like(logits)
    target[np.arange(12544), np.arange(12544) % 1024] = 1
    both("softmax", "softmax_cross_entropy", 3, 3, logits, target, dy=np.ones(12544, np.float32))
    flat = np.abs(x)
    both("loss", "binary_cross_entropy_with_logits", 2, 3, x, flat, dy=np.asarray(1.0, np.float32))
    made = [case for case in made if not (case[0] == "elementwise" and "backward" in case[1])]

    arrays = [np.ascontiguousarray(image(seed=s)).reshape(-1) for s in range(4)]
    p, g, m, s = ([a] for a in arrays)
    np.abs(s[0], out=s[0])
    rule = {"lr": 1e-3, "weight_decay": 0.0}
    moments = {"betas": (0.9, 0.999), "eps": 1e-8, "decoupled": False}
    momentum = {"momentum": 0.9, "dampening": 0.0, "nesterov": False}
    adam, sgd = faster_update("adam_step", p, g, m, s), faster_update("sgd_step", p, g, m)
    assert adam is not None and sgd is not None
    made.append(("optim", "Adam", 7 * unit, lambda: adam(p, g, m, s, 9, **rule, **moments)))
    made.append(("optim", "SGD with momentum", 5 * unit, lambda: sgd(p, g, m, False, **rule, **momentum)))
    return made


def copying(threads: int) -> Callable[[], object]:
    """A copy by as many threads: NumPy copies without Python's lock."""
    source, target = (np.ones(SHAPE, np.float32).reshape(threads, -1) for _ in range(2))
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(lambda i: np.copyto(target[i], source[i]), range(threads)))


def measured(environment: dict[str, Any], rounds: int = 9) -> dict[str, Any]:
    copy = copying(mt.get_num_threads())
    copied = 2 * float(np.prod(SHAPE)) * 4 / 1e6
    rows = []
    for stem, title, megabytes, call in cases():
        call(), copy()
        pairs = [(seconds_of(call), seconds_of(copy)) for _ in range(rounds)]
        ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
        speed, limit = megabytes / ours / 1e3, copied / theirs / 1e3
        rows.append({"stem": stem, "title": title, "GB/s": speed, "copy": limit, "share": speed / limit})
    return {"bodies": rows, "environment": environment}
