"""Forward and backward of a step as one CUDA graph: recorded once, then launched whole.

A small network's step on a GPU is hundreds of launches of a few microseconds each, and Python needs longer to ask for
one than the GPU to run it. A CUDA graph asks once for all of them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .._autograd import mark_changed
from .._capturing import recording_a_graph
from .._device import is_array, to_device
from .._numerics import get_numerics
from .._precision import get_precision
from .._tensor import Tensor
from ..nn import Module

GRAPHS_ON = ("cuda",)
"""Devices on which steps are recorded; on the others they run."""


def capture(objective: Callable[..., Any], model: Module) -> Captured:
    """A function of a batch that computes the loss and leaves the gradients in the model's parameters.

    `captured(x, labels)` stands for `model.zero_grad(); loss = objective(x, labels); loss.backward()`, and returns what
    `objective` does: the loss, or a tuple of Tensors that begins with it. All are detached.

    On "cuda" the first call with a batch of new shapes records these as a CUDA graph; later ones copy the batch into
    the graph's memory and launch it. The gradients lie there too, and the next call writes over them. On "cpu" and
    "cuda-sim" the three lines simply run, each time.

    The update is not in the graph: `optimizer.step()` follows, as do clipping and schedules, one launch for each
    parameter. The learning rate and Adam's count of steps are the host's numbers, and in a graph they would stay what
    they were when it was recorded.

    A graph is recorded anew where something has changed that it has frozen: shapes and types of the batch, the modes of
    the modules, which parameters learn, their arrays (after `model.to`, not after `load_state_dict`, which writes into
    them), the precision, the numerics. What cannot be frozen is refused while recording: random numbers are drawn on
    the host, so dropout in a captured step raises RuntimeError. Labels are checked in the runs before the recording
    alone. Once a graph is recorded, `objective` is not called again: what else it reads or changes on the host is
    frozen. Batch normalisation with momentum=None reads a count from the device, and is refused.

    CuPy 14 refuses cuBLAS within a capture, so convolutions and linear layers have to run on the package's own kernels.
    "cuda" takes these once a GPU has run them (`minitorch_cv.kernel_usage` tells which bodies run); until then such a
    step is refused. Products of many matrices at once cannot be captured. No GPU has run a graph of ours yet: the tests
    play CuPy's part on the simulator.

    objective: called as `objective(*batch)`, as `lambda x, labels: ops.cross_entropy(model(x), labels)`.
    model: holds all parameters and buffers that `objective` reads. Its running statistics follow in the graph.

    Raises: TypeError where the batch holds something else than Tensors and arrays, or the objective returns no Tensor;
        RuntimeError for a step that cannot be captured.

    >>> import numpy as np
    >>> from minitorch_cv import nn, ops, optim, training
    >>> net = nn.Linear(2, 3)
    >>> optimizer = optim.SGD(net.parameters(), lr=0.1)
    >>> captured = training.capture(lambda x, labels: ops.cross_entropy(net(x), labels), net)
    >>> x, labels = np.ones((4, 2), np.float32), np.array([0, 1, 2, 0])
    >>> losses = []
    >>> for _ in range(3):
    ...     losses.append(captured(x, labels).item())
    ...     optimizer.step()
    >>> losses[2] < losses[0]
    True
    """
    return Captured(objective, model)


class Captured:
    """What `capture` returns."""

    def __init__(self, objective: Callable[..., Any], model: Module):
        self.objective, self.model = objective, model
        self._graphs: dict[tuple, _Graph] = {}
        self._alone = True

    def __call__(self, *batch: Any) -> Any:
        for number, value in enumerate(batch):
            if not isinstance(value, Tensor) and not is_array(value):
                raise TypeError(f"capture: argument {number} of the step expects a Tensor or an array; it is {value!r}")
        device = next((parameter.device for parameter in self.model.parameters()), "cpu")
        batch = tuple(v.to(device) if isinstance(v, Tensor) else to_device(v, device) for v in batch)
        if device not in GRAPHS_ON:
            return self._as_it_came(self._run(batch))
        key = self._frozen(batch)
        # Graphs of arrays that are the model's no longer go first, so that their memory is free for a new one.
        self._graphs = {other: graph for other, graph in self._graphs.items() if graph.is_of(self.model)}
        if key not in self._graphs:
            self._graphs[key] = _Graph(self._run, self.model, batch)
        return self._as_it_came(self._graphs[key].replay(batch))

    def _as_it_came(self, results: tuple[Tensor, ...]) -> Any:
        """Detached, and one alone where the objective returns no tuple."""
        detached = tuple(result.detach() for result in results)
        return detached[0] if self._alone else detached

    def _run(self, batch: Any) -> tuple[Any, ...]:
        self.model.zero_grad()
        results = self.objective(*batch)
        self._alone = not isinstance(results, tuple)
        several = (results,) if self._alone else results
        for number, result in enumerate(several):
            if not isinstance(result, Tensor):
                raise TypeError(f"capture: objective expects to return Tensors; result {number} is {result!r}")
        several[0].backward()
        return several

    def _frozen(self, batch: Any) -> tuple:
        """What the host decides in a run, and a graph therefore holds."""
        return (
            tuple((type(value), value.shape, str(value.dtype)) for value in batch),
            tuple(module.training for module in self.model.modules()),
            tuple(parameter.requires_grad for parameter in self.model.parameters()),
            get_precision(),
            get_numerics(),
        )


class _Graph:
    """One recorded run, its memory, and the arrays that it reads and writes at every launch."""

    def __init__(self, run: Callable[[Any], tuple[Any, ...]], model: Module, batch: Any):
        cupy = sys.modules["cupy"]
        self.model = model
        self.learning = list(model.parameters())
        # Held, so that nobody else's array comes to lie where the graph writes.
        self.parameters = [parameter.data for parameter in self.learning]
        self.buffers = [buffer.data for buffer in model.buffers()]
        # A pool of its own: memory that a run gives back must not be lent to others, since every launch writes there.
        self.pool = cupy.cuda.MemoryPool()
        self.stream = cupy.cuda.Stream(non_blocking=True)
        outside = cupy.cuda.get_current_stream()
        self.stream.wait_event(outside.record())
        with cupy.cuda.using_allocator(self.pool.malloc), self.stream:
            self.inputs = [_copy(value) for value in batch]
            try:
                run(self.inputs)  # with all checks of values; kernels are compiled, and the pool gets its memory
                self._put_back()
                self._record(run)
            finally:
                self._put_back()
        outside.wait_event(self.stream.record())

    def _record(self, run: Callable[[Any], tuple[Any, ...]]) -> None:
        try:
            self._record_or_stop(run)
        except Exception as error:
            self.model.zero_grad()
            raise RuntimeError(f"capture: the step cannot be recorded as a CUDA graph: {error}") from error

    def _record_or_stop(self, run: Callable[[Any], tuple[Any, ...]]) -> None:
        with recording_a_graph():
            run(self.inputs)  # as it will be recorded: what is refused is refused while nothing is under way
            self._put_back()
            self.stream.synchronize()
            self.stream.begin_capture()
            try:
                self.results = [result.data for result in run(self.inputs)]
                # A step rebinds the running statistics. The graph's next launch reads them where they were.
                for buffer, array in zip(self.model.buffers(), self.buffers, strict=True):
                    if buffer.data is not array:
                        array[...] = buffer.data
            except BaseException:
                with contextlib.suppress(Exception):  # a recording that was broken off, CUDA says once more
                    self.stream.end_capture()
                raise
            self.graph = self.stream.end_capture()
        self.gradients = [None if p.grad is None else p.grad.data for p in self.learning]

    def _put_back(self) -> None:
        """The model's own buffers: a step binds new ones and does not write into them."""
        for buffer, array in zip(self.model.buffers(), self.buffers, strict=True):
            buffer.data = array

    def is_of(self, model: Module) -> bool:
        """Whether the model's arrays are still those that the graph reads."""
        return _same(self.parameters, model.parameters()) and _same(self.buffers, model.buffers())

    def replay(self, batch: tuple[Any, ...]) -> tuple[Tensor, ...]:
        """Launch the graph on a batch."""
        cupy = sys.modules["cupy"]
        for own, value in zip(self.inputs, batch, strict=True):
            _array(own)[...] = _array(value)
        self.graph.launch(cupy.cuda.get_current_stream())
        for parameter, gradient in zip(self.learning, self.gradients, strict=True):
            parameter.grad = None if gradient is None else Tensor(gradient)
        for array in (*self.buffers, *(gradient for gradient in self.gradients if gradient is not None)):
            mark_changed(array)
        # Copies: the next launch writes into the same memory.
        return tuple(Tensor(result.copy()) for result in self.results)


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _copy(value: Any) -> Any:
    return Tensor(value.data.copy()) if isinstance(value, Tensor) else value.copy()


def _same(arrays: list[Any], tensors: Iterator[Tensor]) -> bool:
    others = [tensor.data for tensor in tensors]
    return len(arrays) == len(others) and all(a is b for a, b in zip(arrays, others, strict=True))
