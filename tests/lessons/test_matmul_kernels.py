"""Lesson 08's ladder of kernels: right, clean, and with the requests of memory that the lesson derives."""

from pathlib import Path

import numpy as np
import pytest
from minitorch_cv.kernels.simulator import module
from minitorch_cv.kernels.simulator.watched import WatchedModule

from minitorch_cv import ops
from minitorch_cv._lessons import lessons_folder

FOLDER = lessons_folder() / "kernels"
TILES = {
    "naive": (32, 8),
    "coalesced": (8, 32),
    "tiled": (32, 32),
    "registers": (64, 64),
    "async": (64, 64),
    "mma": (64, 64),
}
BLOCKS = {
    "naive": (32, 8),
    "coalesced": (32, 8),
    "tiled": (32, 32),
    "registers": (256,),
    "async": (256,),
    "mma": (256,),
}
ANY_SIZE = ("naive", "coalesced", "tiled")

try:
    COMPILER = module.compiler()
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)


def multiply(step, M, N, K, order="forward", options=()):
    """(A, B, C, what was seen)."""
    rng = np.random.default_rng(M + N + K)
    A, B = rng.standard_normal((M, K), np.float32), rng.standard_normal((K, N), np.float32)
    C = np.full((M, N), np.nan, np.float32)
    rows, columns = TILES[step]
    grid = (-(-N // columns), -(-M // rows))
    kernels = WatchedModule(FOLDER / f"matmul_{step}.cu", options, order=order)
    seen = kernels.launch(
        f"matmul_{step}", grid[::-1] if step == "naive" else grid, BLOCKS[step], [A, B, C, *map(np.int32, (M, N, K))]
    )
    return A, B, C, seen


def bound(step, A, B):
    """What rounding may change: each factor by 2^-11 in tf32, each of K sums by 2^-24."""
    sizes = abs(A).astype(float) @ abs(B).astype(float)
    return sizes * (A.shape[1] * 2**-23 + (2**-10 if step == "mma" else 0))


@pytest.mark.parametrize("order", module.ORDERS)
@pytest.mark.parametrize("step", TILES)
def test_a_step_is_right_and_clean(step, order):
    A, B, C, seen = multiply(step, 128, 64, 48, order)
    assert not seen.findings
    assert (abs(C - A.astype(float) @ B) <= bound(step, A, B)).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 31, 7), (40, 65, 33)])
@pytest.mark.parametrize("step", ANY_SIZE)
def test_the_first_steps_take_any_size(step, shape):
    A, B, C, seen = multiply(step, *shape)
    assert not seen.findings
    assert (abs(C - A.astype(float) @ B) <= bound(step, A, B)).all()


def test_tensor_cores_round_their_factors():
    A, B, C, _ = multiply("mma", 64, 64, 64)
    assert abs(C - A.astype(float) @ B).max() > 10 * abs(multiply("async", 64, 64, 64)[2] - A.astype(float) @ B).max()


SECTORS = {  # of loads, for each step of K and each warp or block, times what a request of them moves
    "naive": lambda M, N, K: M * N // 32 * K * 33,
    "coalesced": lambda M, N, K: M * N // 32 * K * 5,
    "tiled": lambda M, N, K: M * N * K // 4 // 32,
    "registers": lambda M, N, K: M * N * K // 4 // 64,
    "async": lambda M, N, K: M * N * K // 4 // 64,
    "mma": lambda M, N, K: M * N * K // 4 // 64,
}


@pytest.mark.skipif("clang" in Path(COMPILER).name, reason="clang splits a float4 before it is counted")
@pytest.mark.parametrize("step", TILES)
def test_sectors_of_loads(step):
    M, N, K = 128, 64, 96
    assert multiply(step, M, N, K)[3].total.global_load_sectors == SECTORS[step](M, N, K)


@pytest.mark.parametrize(("pad", "wavefronts"), [(0, 4), (4, 1), (8, 2)])
def test_padding_against_bank_conflicts(pad, wavefronts):
    seen = multiply("mma", 64, 64, 32, options=(f"-DPAD={pad}",))[3]
    text = (FOLDER / "matmul_mma.cu").read_text(encoding="utf-8").splitlines()
    line = next(i for i, t in enumerate(text, 1) if "a[0] = to_tf32" in t)
    counts = seen.counts[line]
    assert counts.shared_wavefronts == wavefronts * counts.shared_accesses


@pytest.mark.parametrize("kernel", ["conv2d_naive", "conv2d_tiled"])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3, 5), (1, 4, 4, 32, 33)])
def test_convolutions(kernel, shape):
    n, H, W, C, O = shape
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((n, H, W, C), np.float32), rng.standard_normal((3, 3, C, O), np.float32)
    y = np.full((n, H, W, O), np.nan, np.float32)
    block, grid = ((32, 8), (-(-O // 32), -(-n * H * W // 8)))
    if kernel == "conv2d_tiled":
        block, grid = (32, 32), (-(-O // 32), -(-n * H * W // 32))
    seen = WatchedModule(FOLDER / f"{kernel}.cu").launch(kernel, grid, block, [x, w, y, *map(np.int32, shape)])
    assert not seen.findings
    truth = ops.conv2d(x.transpose(0, 3, 1, 2).astype(float), w.transpose(3, 2, 0, 1).astype(float), padding=1)
    np.testing.assert_allclose(y.transpose(0, 3, 1, 2), truth, atol=1e-4)
