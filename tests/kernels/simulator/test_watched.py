"""The watched build: each mistake is told with its kind and line, and only mistakes; requests are counted."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from minitorch_cv.kernels.simulator import harness, module
from minitorch_cv.kernels.simulator.watched import GUARD, MemoryCounts, WatchedModule

SOURCE = Path(__file__).with_name("watched.cu")
THREADS = 64

try:
    module.compiler()
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)

CLANG = "clang" in Path(module.compiler()).name
NOT_BY_CLANG = {"vector_off_its_alignment", "right_large_elements"} if CLANG else set()
"""What clang's instrumentation does not tell of: the README says so."""


def marked(mark):
    """{kernel: (line, what the mark says)}; a template's mark counts for the kernel that follows it."""
    found, kernel, waiting = {}, None, None
    for number, line in enumerate(SOURCE.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("template"):
            kernel = None
        if named := re.search(r"__global__ void (\w+)", line):
            kernel = named[1]
            if waiting:
                found[kernel], waiting = waiting, None
        if said := re.search(rf"// {mark}(?:: ([\w-]+))?", line):
            if kernel:
                found[kernel] = number, said[1]
            else:
                waiting = number, said[1]
    return found


BUGS, COUNTED = marked("BUG"), {kernel: line for kernel, (line, _) in marked("COUNT").items()}


@pytest.fixture(scope="module", params=module.ORDERS)
def kernels(request):
    return WatchedModule(SOURCE, order=request.param)


def observe(kernels, kernel, size=256):
    """Two blocks for what concerns blocks, else one."""
    if kernel in NOT_BY_CLANG:
        pytest.skip("clang does not instrument this")
    given = {
        "x": np.arange(size, dtype=np.float32),
        "y": np.zeros(size, np.uint8 if kernel == "right_bytes" else np.float32),
        "z": None,
        "parts": np.zeros(256, np.float32),
        "count": np.zeros(1, np.uint32),
        "rows": np.int32(32767),
        "bits": np.int32(1),
        "width": np.int32(0),
    }
    values = [given[parameter.name] for parameter in kernels.signatures[kernel].parameters]
    grid = (2,) if "block" in kernel else (1,)
    threads = 32 if kernel == "half_a_warp_in_order" else THREADS
    shared = 4 * THREADS if kernel == "right_reuse" else 4 * THREADS - 4
    return kernels.launch(kernel, grid, (threads,), values, shared), given


@pytest.mark.parametrize("kernel", BUGS)
def test_a_mistake_is_told_with_its_kind_and_line(kernels, kernel):
    size = THREADS if kernel in ("one_too_far", "before_the_first", "atomic_too_far") else 256
    seen, _ = observe(kernels, kernel, size)
    line, kind = BUGS[kernel]
    assert {f.kind for f in seen.findings} == {kind}, seen.findings
    assert all(Path(f.file) == SOURCE for f in seen.findings)
    assert any(line in (f.line, f.other_line) for f in seen.findings), seen.findings


RIGHT = re.findall(r"(right_\w+)\(", SOURCE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kernel", RIGHT)
def test_nothing_is_told_of_what_is_right(kernels, kernel):
    seen, given = observe(kernels, kernel)
    assert seen.findings == ()
    assert given["y"].any(), "the results were not copied back"


@pytest.mark.parametrize(
    ("kernel", "sentence"),
    [
        (
            "neighbours_without_a_barrier",
            r"(reads|writes) tile\[\d+\], which thread \(\d+, 0, 0\) (read|wrote) at line \d+: no barrier lies between",
        ),
        (
            "blocks_add",
            r"(reads|writes) y\[\d+\], which block \(\d, 0, 0\) (read|wrote) at line \d+: nothing orders .*",
        ),
        ("never_written", r"reads tile\[64\], which no thread of this block has written"),
        ("one_too_far", r"reads x\[64\]; there are 64 elements"),
        ("before_the_first", r"writes y\[-1\]; there are 64 elements"),
        ("through_null", "reads through a null pointer"),
        ("too_little_dynamic", "writes byte 252 of dynamic shared memory and 3 more; there are 252 bytes"),
        (
            "read_before_the_wait",
            r"reads stage\[\d+\], to which the cp.async of thread .* at line \d+ is still on its way",
        ),
        ("vector_off_its_alignment", "an address expected to be a multiple of 16 is 4 bytes past one"),
    ],
)
def test_the_sentence(kernels, kernel, sentence):
    size = THREADS if kernel in ("one_too_far", "before_the_first") else 256
    seen, _ = observe(kernels, kernel, size)
    assert re.fullmatch(sentence, seen.findings[0].what), seen.findings[0].what


def test_a_launch_outside_of_the_limits_is_a_finding(kernels):
    seen = kernels.launch("blocks_add", (1,), (2048,), [np.zeros(4, np.float32)] * 2)
    assert [f.kind for f in seen.findings] == ["launch"]
    assert "1 to 1024 threads" in seen.findings[0].what


def test_a_wrong_number_of_arguments_is_no_finding(kernels):
    with pytest.raises(TypeError, match=r"blocks_add: expects 2 arguments \(x, y\); 1 came"):
        kernels.launch("blocks_add", (1,), (64,), [np.zeros(4, np.float32)])


def test_views_that_overlap_share_one_copy(kernels):
    whole = np.arange(192, dtype=np.float32)
    seen = kernels.launch("blocks_add", (1,), (THREADS,), [whole[32:96], whole[:64]])
    assert {f.kind for f in seen.findings} == {"race"}  # a thread writes what another reads
    assert whole[0] != 0 and whole[100] == 100


def test_an_access_far_from_every_array_ends_the_launch(kernels):
    far = GUARD // 4 + 4096
    seen = kernels.launch("copied", (1,), (2,), [np.zeros(8, np.float32), np.zeros(8, np.float32), np.int32(far)])
    assert [f.kind for f in seen.findings] == ["out-of-bounds"]


@pytest.mark.parametrize(("stride", "sectors"), [(1, 4), (2, 8), (8, 32), (32, 32)])
def test_sectors_of_a_load(kernels, stride, sectors):
    x, y = np.zeros(32 * 32, np.float32), np.zeros(32, np.float32)
    seen = kernels.launch("copied", (1,), (32,), [x, y, np.int32(stride)])
    assert seen.counts[COUNTED["copied"]] == MemoryCounts(1, sectors, 1, 4)


def test_a_view_that_begins_within_a_sector_needs_one_more(kernels):
    x, y = np.zeros(33, np.float32), np.zeros(32, np.float32)
    seen = kernels.launch("copied", (1,), (32,), [x[1:], y, np.int32(1)])
    assert seen.counts[COUNTED["copied"]] == MemoryCounts(1, 5, 1, 4)


@pytest.mark.parametrize(("pitch", "wavefronts"), [(1, 1), (2, 2), (32, 32), (33, 1), (0, 1)])
def test_conflicts_of_banks(kernels, pitch, wavefronts):
    seen = kernels.launch("by_columns", (1,), (32,), [np.zeros(32, np.float32), np.int32(pitch)], 4 * 32 * 34)
    counts = seen.counts[COUNTED["by_columns"]]
    assert (counts.shared_accesses, counts.shared_wavefronts) == (1, wavefronts)


def test_a_float4_is_one_request(kernels):
    if CLANG:
        pytest.skip("clang splits a float4 in four before it instruments")
    x, y = np.zeros((64, 4), np.float32), np.zeros((64, 4), np.float32)
    seen = kernels.launch("as_vectors", (1,), (64,), [x, y])
    assert seen.counts[COUNTED["as_vectors"]].global_loads == 2
    assert isinstance(seen.total, MemoryCounts) and seen.total.global_stores == 2


def test_infinities_and_nan_are_compared_as_what_they_are():
    wanted = np.array([np.inf, np.nan, 2.0])
    assert harness.difference("y", np.float32([np.inf, np.nan, 2]), wanted, 1e-5) is None
    assert "y[2]: 99.0" in (harness.difference("y", np.float32([np.inf, np.nan, 99]), wanted, 1e-5) or "")
    assert "y[0]: 3.0" in (harness.difference("y", np.float32([3, np.nan, 2]), wanted, 1e-5) or "")


def test_a_path_with_a_space_and_an_input_that_cannot_be_written(tmp_path):
    folder = tmp_path / "my kernels"
    folder.mkdir()
    path = folder / "watched.cu"
    path.write_text(SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
    x, y = np.arange(256, dtype=np.float32), np.zeros(256, np.float32)
    x.flags.writeable = False
    seen = WatchedModule(path).launch("neighbours_without_a_barrier", (1,), (64,), [x, y])
    assert {(f.file, f.other_line is not None) for f in seen.findings} == {(str(path), True)}
    assert BUGS["neighbours_without_a_barrier"][0] in {f.line for f in seen.findings} | {
        f.other_line for f in seen.findings
    }


def test_threads_of_python_may_launch_at_once(kernels):
    def run(n):
        return observe(kernels, "right_reuse" if n % 2 else "neighbours_without_a_barrier")[0].findings

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, range(40)))
    assert all(bool(findings) == (n % 2 == 0) for n, findings in enumerate(found))
