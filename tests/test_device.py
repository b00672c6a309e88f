"""Devices: what is there, and what is said of what is not."""

import sys

import numpy as np
import pytest

from minitorch_cv import Tensor, _device


def test_the_cpu_is_always_there():
    array = np.ones(2)
    assert _device.device_of(array) == "cpu"
    assert _device.to_device(array, "cpu") is array
    assert _device.to_numpy(array) is array
    assert _device.array_namespace(array) is np and _device.array_namespace(2.0) is np
    assert _device.is_array(array) and not _device.is_array(np.float64(1)) and not _device.is_array([1])
    assert Tensor([1.0], device="cpu").device == "cpu"


def test_an_unknown_device_is_named():
    with pytest.raises(ValueError, match="to: device expects one of cpu, cuda, cuda-sim; it is 'tpu'"):
        _device.to_device(np.ones(2), "tpu")


def test_without_cupy_the_reason_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes the import fail
    _device.usable_gpu.cache_clear()
    try:
        usable, reason = _device.usable_gpu()
        assert not usable and "CuPy cannot be imported" in reason and "pip install -e '.[gpu]'" in reason
        monkeypatch.delitem(sys.modules, "cupy")  # the state of a machine that never had it
        with pytest.raises(RuntimeError, match="to: device 'cuda' cannot be used here: CuPy cannot be imported"):
            Tensor([1.0]).to("cuda")
    finally:
        _device.usable_gpu.cache_clear()


def test_a_gpu_that_fails_is_not_usable(monkeypatch):
    class Runtime:
        @staticmethod
        def getDeviceCount():
            raise OSError("libcuda.so.1: cannot open shared object file")

    cupy = type(sys)("cupy")
    cupy.cuda = type(sys)("cupy.cuda")
    cupy.cuda.runtime = Runtime
    cupy.ndarray = type("ndarray", (), {})
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    _device.usable_gpu.cache_clear()
    try:
        assert _device.usable_gpu() == (
            False,
            "CuPy is installed, but a test kernel failed (OSError: libcuda.so.1: cannot open shared object file)",
        )
        monkeypatch.setattr(Runtime, "getDeviceCount", staticmethod(lambda: 0))
        _device.usable_gpu.cache_clear()
        assert _device.usable_gpu() == (False, "CuPy finds no CUDA device")
    finally:
        _device.usable_gpu.cache_clear()


def test_memory_owner_and_bounds():
    array = np.arange(12.0).reshape(3, 4)
    part = array[1:, ::2]
    assert _device.memory_owner(part) is _device.memory_owner(array)
    low, high = _device.memory_bounds(array)
    inner_low, inner_high = _device.memory_bounds(part)
    assert high - low == array.nbytes
    assert low < inner_low < inner_high <= high
    assert _device.memory_bounds(array[::-1]) == (low, high)


@pytest.mark.gpu
def test_there_and_back():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x.to("cuda")
    assert y.device == "cuda"
    (y * y).sum().backward()
    assert x.grad.device == "cpu" and x.grad.tolist() == [2, 4]
    with pytest.raises(TypeError, match="add: b expects to be on 'cuda', with a; it is on 'cpu'"):
        y + Tensor([1.0, 2.0])


def test_the_simulator_says_why_it_cannot_run(monkeypatch):
    monkeypatch.setattr(_device.shutil, "which", lambda name: None)
    _device.usable_simulator.cache_clear()
    try:
        usable, reason = _device.usable_simulator()
        assert not usable and reason.startswith("there is no C++ compiler (g++ or clang++); ")
        with pytest.raises(RuntimeError, match="to: device 'cuda-sim' cannot be used here: there is no C"):
            Tensor([1.0], device="cuda-sim")
    finally:
        _device.usable_simulator.cache_clear()


def test_there_and_back_on_the_simulator():
    if not _device.usable_simulator()[0]:
        pytest.skip(_device.usable_simulator()[1])
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x.to("cuda-sim")
    assert y.device == "cuda-sim"
    (y * y).sum().backward()
    assert x.grad.device == "cpu" and x.grad.tolist() == [2, 4]
    with pytest.raises(TypeError, match="add: b expects to be on 'cuda-sim', with a; it is on 'cpu'"):
        y + Tensor([1.0, 2.0])
