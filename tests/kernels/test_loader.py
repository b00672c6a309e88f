"""From a `.cu` file to machine code, and its launch on a stand-in for a GPU: what needs a GPU is in test_on_gpu.py."""

import sys
import types

import numpy as np
import pytest
from minitorch_cv.kernels import loader
from minitorch_cv.kernels.cuda.source import Source
from minitorch_cv.kernels.simulator.module import KernelError, SimulatedModule

DOUBLE = """\
#include "scale.h"
extern "C" __global__ void scaled(const float* x, const float* bias, float* y, float slope, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = slope * SCALE * x[i] + (bias ? bias[i] : 0.0f);
}
"""


@pytest.fixture
def source(monkeypatch, tmp_path):
    """A source with a header, and an empty cache."""
    monkeypatch.setenv("MINITORCH_CV_CACHE", str(tmp_path / "cache"))
    (tmp_path / "scale.h").write_text("#define SCALE 2.0f\n", encoding="utf-8")
    path = tmp_path / "scaled.cu"
    path.write_text(DOUBLE, encoding="utf-8")
    return path


def kept(tmp_path):
    return sorted(file.name for file in (tmp_path / "cache" / "cuda").glob("*.cubin"))


@pytest.mark.nvrtc
def test_a_source_becomes_an_elf_file_that_is_kept(source, tmp_path, monkeypatch):
    first = loader.compiled(source, "sm_80")
    assert first.cubin[:4] == b"\x7fELF" and "scaled" in first.log
    assert len(kept(tmp_path)) == 1
    monkeypatch.setattr(loader, "_compile", lambda *_: pytest.fail("compiled again"))
    assert loader.compiled(source, "sm_80") == first
    assert not list((tmp_path / "cache" / "cuda").glob("*.part"))


@pytest.mark.nvrtc
def test_what_changes_the_code_is_in_the_key(source, tmp_path):
    loader.compiled(source, "sm_80")
    loader.compiled(source, "sm_86")
    assert len(kept(tmp_path)) == 2
    (tmp_path / "scale.h").write_text("#define SCALE 3.0f\n", encoding="utf-8")
    loader.compiled(source, "sm_80")
    assert len(kept(tmp_path)) == 3
    source.write_text(DOUBLE.replace("slope *", "slope +"), encoding="utf-8")
    loader.compiled(source, "sm_80")
    assert len(kept(tmp_path)) == 4


@pytest.mark.nvrtc
def test_an_error_names_our_file_and_line(source):
    source.write_text(DOUBLE.replace("bias[i]", "bais[i]"), encoding="utf-8")
    with pytest.raises(KernelError) as caught:
        loader.compiled(source, "sm_80")
    assert str(caught.value).startswith("scaled.cu does not compile for sm_80:")
    assert f'{source.resolve()}(4): error: identifier "bais" is undefined' in str(caught.value)


@pytest.mark.nvrtc
def test_an_architecture_that_does_not_exist(source):
    with pytest.raises(ValueError, match=r"architecture expects one that NVRTC .* knows: .*sm_80.*; it is 'sm_81x'"):
        loader.compiled(source, "sm_81x")


@pytest.mark.nvrtc
def test_without_a_folder_it_is_compiled_all_the_same(source, monkeypatch, tmp_path):
    monkeypatch.setattr(loader, "trusted_folder", lambda name: None)
    assert loader.compiled(source, "sm_80").cubin[:4] == b"\x7fELF"
    assert kept(tmp_path) == []


def test_without_nvrtc_one_is_told_what_to_install(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    loader._nvrtc.cache_clear()
    try:
        with pytest.raises(RuntimeError, match=r"NVRTC, which cannot be loaded .* pip install 'cuda-core"):
            loader.compiled(source, "sm_80")
    finally:
        loader._nvrtc.cache_clear()


def test_a_source_says_what_it_needs(tmp_path):
    file = tmp_path / "a.cu"
    file.write_text("// On tensor cores (sm_80 and later).\n", encoding="utf-8")
    assert loader.least_architecture(file) == 80
    file.write_text("// Adds.\n// (sm_80 and later)\n", encoding="utf-8")
    assert loader.least_architecture(file) == 0


# ---- the launch, on a stand-in


class StandInArray:
    """What the launch uses of a CuPy array."""

    def __init__(self, values):
        self.values, self.dtype = values, values.dtype
        self.data = types.SimpleNamespace(ptr=values.ctypes.data)


class StandInKernel:
    """A kernel that notes its launch and has the simulator run it, on the addresses that it was given."""

    def __init__(self, name, cupy):
        self.name, self.cupy, self.ptr = name, cupy, name

    def __call__(self, grid, block, values, shared_bytes):
        self.cupy.launched.append((self.name, grid, block, shared_bytes))
        assert self.cupy.simulated._run(self.name, grid, block, values, shared_bytes) is None


@pytest.fixture
def cupy(monkeypatch, source):
    """A stand-in for CuPy with one GPU of compute capability 9.0, on which kernels are simulated."""
    fake = types.ModuleType("cupy")
    fake.ndarray, fake.simulated = StandInArray, SimulatedModule(source)
    fake.launched, fake.loaded, fake.allowed, fake.architectures = [], [], [], []

    def module():
        return types.SimpleNamespace(load=fake.loaded.append, get_function=lambda name: StandInKernel(name, fake))

    driver = types.SimpleNamespace(
        CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=8, funcSetAttribute=lambda *given: fake.allowed.append(given)
    )
    fake.cuda = types.SimpleNamespace(
        Device=lambda: types.SimpleNamespace(compute_capability="90", id=0),
        function=types.SimpleNamespace(Module=module),
        driver=driver,
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)

    def compiled(path, architecture):
        fake.architectures.append(architecture)
        return loader.Compiled(path, architecture, b"machine code", "")

    monkeypatch.setattr(loader, "compiled", compiled)
    loader._module.cache_clear()
    yield fake
    loader._module.cache_clear()


@pytest.mark.parametrize("with_bias", [True, False])
def test_the_launch_passes_addresses_numbers_and_null_pointers(cupy, source, with_bias):
    x, bias, y = (np.arange(5, dtype=np.float32) + k for k in range(3))
    Source(source).launch(
        "scaled", (2,), (4,), StandInArray(x), StandInArray(bias) if with_bias else None, StandInArray(y), 0.5, 5
    )
    np.testing.assert_array_equal(y, x + bias if with_bias else x)
    assert cupy.launched == [("scaled", (2,), (4,), 0)]


def test_machine_code_is_loaded_once_for_the_gpu_that_is_there(cupy, source):
    x = StandInArray(np.zeros(4, np.float32))
    for _ in range(2):
        Source(source).launch("scaled", (1,), (4,), x, None, x, 1, 4)
    assert cupy.architectures == ["sm_90a"] and cupy.loaded == [b"machine code"]


def test_much_shared_memory_is_asked_for(cupy, source):
    x = StandInArray(np.zeros(4, np.float32))
    for n in (48 << 10, 64 << 10, 50 << 10):
        Source(source).launch("scaled", (1,), (4,), x, None, x, 1, 4, shared_bytes=n)
    assert [launch[3] for launch in cupy.launched] == [48 << 10, 64 << 10, 50 << 10]
    assert cupy.allowed == [("scaled", 8, 64 << 10)]


def test_a_source_for_newer_gpus_is_refused(cupy, source):
    source.write_text("// Of the future (sm_120 and later).\n" + DOUBLE, encoding="utf-8")
    with pytest.raises(KernelError, match=r"scaled.cu expects a GPU of sm_120 or later; this one is sm_90a"):
        Source(source).launch("scaled", (1,), (4,), StandInArray(np.zeros(4, np.float32)), None, None, 1, 4)
