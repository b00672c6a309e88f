"""The simulator: mistakes that stop a kernel are told with block, thread, file and line; right kernels compute."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from minitorch_cv.kernels.simulator import module
from minitorch_cv.kernels.simulator.module import KernelError, SimulatedModule
from minitorch_cv.kernels.simulator.watched import WatchedModule

SOURCE = Path(__file__).with_name("mistakes.cu")
LINES = {
    line.rpartition("mistake: ")[2]: number
    for number, line in enumerate(SOURCE.read_text(encoding="utf-8").splitlines(), 1)
    if "// mistake: " in line
}

try:
    module.compiler()
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="module", params=module.ORDERS)
def kernels(request):
    return SimulatedModule(SOURCE, order=request.param)


def floats(n):
    return np.zeros(n, np.float32)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("early_exit", r"__syncthreads\(\) is not reached by every thread of the block"),
        ("two_barriers", r"threads of a block are at different __syncthreads\(\)"),
        ("half_a_shuffle", "a warp collective waits for a lane that does not come"),
        ("lane_outside_of_mask", "a shuffle reads from a lane that is not in the mask"),
        ("not_in_its_mask", "a lane is not in the mask that it passes"),
        ("never_waited_for", "cp.async is still under way at the end of the kernel"),
        ("copy_off_its_alignment", "cp.async of 16 bytes from or to an address that is no multiple of 16"),
        ("calls_itself_without_end", "a thread needs more than 512 KB of local memory, or calls itself without end"),
        ("too_much_local_memory", "a thread needs more than 512 KB of local memory, or calls itself without end"),
    ],
)
def test_a_mistake_is_told_with_its_place(kernels, kernel, message):
    with pytest.raises(KernelError) as caught:
        kernels.launch(kernel, (2,), (64,), [np.arange(512, dtype=np.float32), floats(512)])
    told = re.fullmatch(
        rf"{kernel}: {message}: block \((\d),0,0\) thread \((\d+),0,0\) at (.*):(\d+)", str(caught.value)
    )
    assert told, str(caught.value)
    assert int(told[1]) == (1 if kernels.order == 1 else 0) and int(told[2]) < 64
    assert Path(told[3]) == SOURCE
    line = LINES[kernel]
    assert int(told[4]) in ((line - 2, line) if kernel == "two_barriers" else (line,))


def test_lanes_at_different_collectives(kernels):
    with pytest.raises(KernelError, match="lanes of one mask are at different warp collectives"):
        kernels.launch("different_collectives", (1,), (32,), [floats(32), floats(32)])


def test_behind_a_mistake_the_next_launch_is_right(kernels):
    x, y = np.arange(64, dtype=np.float32), floats(64)
    with pytest.raises(KernelError):
        kernels.launch("early_exit", (1,), (64,), [x, y])
    kernels.launch("turned_round", (1,), (64,), [x, y], shared_bytes=256)
    np.testing.assert_array_equal(y, x[::-1])


def test_half_a_megabyte_of_local_memory_is_there(kernels):
    x, y = np.arange(64, dtype=np.float32), floats(64)
    for _ in range(2):
        with pytest.raises(KernelError):
            kernels.launch("calls_itself_without_end", (1,), (64,), [x, y])
        kernels.launch("much_local_memory", (2,), (64,), [x, y])
        np.testing.assert_array_equal(y, 2 * x)
    seen = WatchedModule(SOURCE).launch("calls_itself_without_end", (1,), (64,), [x, y])
    assert [(f.kind, f.line) for f in seen.findings] == [("out-of-bounds", LINES["calls_itself_without_end"])]


def test_shared_memory_is_nan_before_each_block(kernels):
    y = floats(64)
    kernels.launch("never_written", (3,), (64,), [y])
    assert np.isnan(y[1:]).all()


@pytest.mark.parametrize(("blocks", "threads"), [(1, 32), (3, 96), (2, 1024)])
def test_a_sum_over_blocks(kernels, rng, blocks, threads):
    x, y = rng.integers(-9, 9, 1003).astype(np.float32), floats(1)
    kernels.launch("block_sum", (blocks,), (threads,), [x, y, np.int32(x.size)])
    assert y[0] == x.sum()


def test_votes_and_shuffles(kernels, rng):
    x = rng.integers(-50, 50, 32).astype(np.int32)
    votes, shifted = np.zeros((32, 3), np.uint32), np.zeros((32, 4), np.int32)
    kernels.launch("warp_words", (1,), (32,), [x, votes, shifted])
    lanes = np.arange(32)
    assert (votes == [sum(1 << i for i in lanes if x[i] > 0), 0, 1]).all()
    section = lanes % 8
    expected = [
        np.full(32, x[5]),
        x[np.where(section < 3, lanes, lanes - 3)],
        x[np.where(section > 4, lanes, lanes + 3)],
    ]
    np.testing.assert_array_equal(shifted.T, [*expected, x[lanes ^ 9]])


def test_copies_arrive_when_they_are_waited_for(kernels, rng):
    x, y = rng.standard_normal(256).astype(np.float32), floats(96)
    kernels.launch("in_stages", (1,), (32,), [x, y])
    np.testing.assert_array_equal(y[:32], x[127:95:-1])
    assert np.isnan(y[32:64]).all()
    np.testing.assert_array_equal(y[64:], np.where(np.arange(32) % 2, x[128::4], 0))


def test_tensor_cores(kernels, rng):
    """The fragments as PTX's figures have them; the products exact, since all factors are small whole numbers."""
    A, B = rng.integers(-8, 8, (16, 8)).astype(np.float32), rng.integers(-8, 8, (8, 8)).astype(np.float32)
    lane = np.arange(32)
    group, place = lane // 4, lane % 4
    a = np.stack([A[group + 8 * (i % 2), place + 4 * (i // 2)] for i in range(4)], axis=1)
    b = np.stack([B[place + 4 * i, group] for i in range(2)], axis=1)
    tf32, bf16 = floats((32, 4)), floats((32, 4))
    kernels.launch("tensor_cores", (1,), (32,), [a.view(np.uint32), b.view(np.uint32), tf32, bf16])
    D = A @ B
    expected = np.stack([D[group + 8 * (i // 2), 2 * place + i % 2] + i + 1 for i in range(4)], axis=1)
    np.testing.assert_array_equal(tf32, expected)

    def halves(words):  # two bf16 in each word: the low half is the even column
        return np.stack([(words << 16).view(np.float32), (words & 0xFFFF0000).view(np.float32)], axis=-1)

    pairs_a, pairs_b = halves(a.view(np.uint32)), halves(b.view(np.uint32))
    wide_a, wide_b = floats((16, 16)), floats((16, 8))
    for i in range(4):
        for half in range(2):
            wide_a[group + 8 * (i % 2), 2 * place + half + 8 * (i // 2)] = pairs_a[:, i, half]
    for i in range(2):
        for half in range(2):
            wide_b[2 * place + half + 8 * i, group] = pairs_b[:, i, half]
    D = wide_a @ wide_b
    np.testing.assert_allclose(
        bf16, np.stack([D[group + 8 * (i // 2), 2 * place + i % 2] for i in range(4)], axis=1), rtol=1e-6
    )


def test_each_thread_of_each_block_runs_once(kernels):
    y = np.zeros((24, 30), np.int32)
    kernels.launch("places", (2, 3, 4), (5, 3, 2), [y])
    np.testing.assert_array_equal(y, np.broadcast_to(np.arange(1, 25)[:, None], y.shape))


@pytest.mark.parametrize(
    ("grid", "block", "shared_bytes", "message"),
    [
        ((1,), (65,), 0, r"bounded: block expects 1 to 64 threads, 64 at most along z; it is \[65, 1, 1\]"),
        ((1,), (0,), 0, "block expects 1 to 64 threads"),
        ((1, 65536), (1,), 0, "grid expects 1 to "),
        ((0,), (1,), 0, "grid expects 1 to "),
        ((1,), (1,), 240_000, "shared_bytes expects 0 to 232448; it is 240000"),
    ],
)
def test_a_launch_outside_of_cudas_limits(kernels, grid, block, shared_bytes, message):
    with pytest.raises(ValueError, match=message):
        kernels.launch("bounded", grid, block, [floats(1)], shared_bytes)


def test_wrong_names_are_told(kernels):
    with pytest.raises(ValueError, match=r"mistakes.cu: no kernel sum; there are early_exit, two_barriers, "):
        kernels.launch("sum", (1,), (1,), [])
    with pytest.raises(ValueError, match="order expects one of forward, reverse, random; it is 'backwards'"):
        SimulatedModule(SOURCE, order="backwards")


def test_a_source_that_does_not_compile(tmp_path):
    path = tmp_path / "wrong.cu"
    path.write_text('extern "C" __global__ void k(float* y) {\n    y[0] = z;\n}\n', encoding="utf-8")
    with pytest.raises(KernelError, match=r"(?s)wrong.cu does not compile:.*wrong.cu:2:12: error: .*z") as caught:
        SimulatedModule(path)
    assert "simulator" not in str(caught.value).partition("error")[0]


def test_a_header_that_changes_is_compiled_anew(tmp_path):
    (tmp_path / "deep").mkdir()
    header, path = tmp_path / "deep" / "number.h", tmp_path / "kernels" / "k.cu"
    path.parent.mkdir()
    path.write_text(
        '#include "../deep/number.h"\nextern "C" __global__ void k(float* y) { y[0] = NUMBER; }\n', encoding="utf-8"
    )
    for number in (3, 5):
        header.write_text(f"#define NUMBER {number}\n", encoding="utf-8")
        y = floats(1)
        SimulatedModule(path).launch("k", (1,), (1,), [y])
        assert y[0] == number


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX permissions")
def test_a_library_is_not_taken_from_where_others_write(monkeypatch, tmp_path):
    monkeypatch.setenv("MINITORCH_CV_CACHE", str(tmp_path))
    path = tmp_path / "k.cu"
    path.write_text('extern "C" __global__ void k(float* y) { y[0] = 1.0f; }\n', encoding="utf-8")
    kept = Path(SimulatedModule(path).library._name)
    assert kept.parent == tmp_path / "simulator"
    kept.parent.chmod(0o777)
    for _ in range(2):
        assert Path(SimulatedModule(path).library._name).parent not in (kept.parent, tmp_path)


def test_without_a_compiler_the_package_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("MINITORCH_CV_CXX", raising=False)
    module.compiler.cache_clear()
    try:
        with pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler; there is no g\+\+ or clang\+\+. Debian"):
            module.compiler()
    finally:
        module.compiler.cache_clear()
