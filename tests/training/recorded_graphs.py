"""The part of CuPy that `training.capture` uses, played on the simulator.

While a stream captures, launches and writes in place are noted and not run, as on a GPU; what makes a new array gives
one with the right shape, whose values mean nothing. Reading a value raises, and so do matrix products, which CuPy gives
to cuBLAS. A launch of the graph runs what was noted, into the same arrays.
"""

import contextlib
import sys
import types

import numpy as np
from minitorch_cv.kernels.cuda.source import Source

from minitorch_cv._simulated_array import SimulatedArray, simulated_numpy

MAKERS = ("zeros", "ones", "full", "arange", "asarray")
METHODS = ("copy", "astype", "reshape", "clip")
READERS = ("get", "item", "tolist", "__bool__", "__float__", "__int__")


class Graph:
    def __init__(self):
        self.work, self.launches = [], 0

    def launch(self, stream=None):
        self.launches += 1
        for run in self.work:
            run()


class Cupy(types.ModuleType):
    """To stand in `sys.modules` as "cupy"."""

    def __init__(self):
        super().__init__("cupy")
        self.graphs, self.recording, self.pools_in_use = [], None, []
        self.ndarray = type("ndarray", (), {})
        outside = _Stream(self)
        self.cuda = types.SimpleNamespace(
            MemoryPool=lambda: types.SimpleNamespace(malloc=object()),
            Stream=lambda non_blocking: _Stream(self),
            get_current_stream=lambda: outside,
            using_allocator=self._using,
        )

    @contextlib.contextmanager
    def _using(self, malloc):
        self.pools_in_use.append(malloc)
        yield
        self.pools_in_use.pop()


class _Stream:
    def __init__(self, cupy):
        self.cupy, self.entered = cupy, False

    def __enter__(self):
        self.entered = True
        return self

    def __exit__(self, *exception):
        self.entered = False

    def record(self):
        return object()

    def wait_event(self, event):
        assert event is not None

    def synchronize(self):
        assert self.cupy.recording is None

    def begin_capture(self):
        assert self.entered and self.cupy.pools_in_use and self.cupy.recording is None
        self.cupy.recording = Graph()

    def end_capture(self):
        graph, self.cupy.recording = self.cupy.recording, None
        self.cupy.graphs.append(graph)
        return graph


def play_cupy(monkeypatch):
    """A stand-in for CuPy that notes what the simulated GPU is asked to do; undone by `monkeypatch`."""
    cupy = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)

    def fills(original):
        def call(*args, **settings):
            if cupy.recording is None:
                return original(*args, **settings)
            with np.errstate(all="ignore"):
                made = original(*args, **settings)
            cupy.recording.work.append(lambda: _fill(made, original(*args, **settings)))
            return made

        return call

    def writes(original):
        def call(*args, **settings):
            if cupy.recording is None:
                return original(*args, **settings)
            cupy.recording.work.append(lambda: original(*args, **settings))
            return None

        return call

    def reads(name, original):
        def call(*args, **settings):
            if cupy.recording is not None:
                raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
            return original(*args, **settings)

        return call

    ufunc = SimulatedArray.__array_ufunc__

    def array_ufunc(self, function, method, *inputs, out=None, **settings):
        if cupy.recording is not None and function is np.matmul:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        if out is None:
            return fills(ufunc)(self, function, method, *inputs, **settings)
        writes(ufunc)(self, function, method, *inputs, out=out, **settings)
        return out[0] if len(out) == 1 else out

    monkeypatch.setattr(SimulatedArray, "__array_ufunc__", array_ufunc)
    monkeypatch.setattr(SimulatedArray, "__array_function__", fills(SimulatedArray.__array_function__))
    monkeypatch.setattr(SimulatedArray, "__getitem__", fills(SimulatedArray.__getitem__))
    monkeypatch.setattr(SimulatedArray, "__setitem__", writes(SimulatedArray.__setitem__))
    monkeypatch.setattr(Source, "launch", writes(Source.launch))
    for name in METHODS:
        monkeypatch.setattr(SimulatedArray, name, fills(getattr(np.ndarray, name)), raising=False)
    for name in READERS:
        original = getattr(SimulatedArray, name)
        monkeypatch.setattr(SimulatedArray, name, reads(name, original), raising=False)
    for name in MAKERS:
        monkeypatch.setattr(simulated_numpy, name, fills(getattr(simulated_numpy, name)))
    return cupy


def _fill(made, values):
    if isinstance(made, tuple):
        for one, value in zip(made, values, strict=True):
            _fill(one, value)
    elif isinstance(made, np.ndarray) and not np.shares_memory(made, values):  # a view needs nothing
        made.view(np.ndarray)[...] = np.asarray(values)
