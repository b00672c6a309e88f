"""Every kernel compiles to a GPU's language: Numba's compiler finds errors of types that the simulator cannot."""

import pytest

pytest.importorskip("numba", reason="Numba is not installed")
from minitorch_cv.kernels.numba_cuda import col2im, conv2d, matmul, pool2d, reduction
from numba import cuda, types


def floats(*axes):
    return [types.Array(types.float32, n, "C") for n in axes]


KERNELS = [
    (matmul.matmul_naive, floats(2, 2, 2)),
    (matmul.matmul_tiled, floats(2, 2, 2)),
    (conv2d.conv2d_naive, floats(4, 4, 4)),
    (conv2d.conv2d_tiled, floats(4, 4, 4)),
    (pool2d.max_pool2d, [*floats(4, 4), types.Array(types.int32, 4, "C"), types.int64, types.int64]),
    (pool2d.max_pool2d_backward, [*floats(4), types.Array(types.int32, 4, "C"), *floats(4)]),
    (reduction.block_sums, floats(1, 1)),
    (col2im.col2im, floats(6, 4)),
]


@pytest.mark.parametrize(("kernel", "given"), KERNELS, ids=[kernel.py_func.__name__ for kernel, _ in KERNELS])
def test_compiles(kernel, given):
    if "numba_cuda" not in cuda.__file__:
        pytest.skip("needs NVIDIA's compiler, which comes with: pip install 'numba-cuda[cu13]'")
    ptx, _ = cuda.compile_ptx(kernel.py_func, tuple(given), cc=(9, 0))
    assert ".visible .entry" in ptx
    assert ".f64" not in ptx, "a number without float32(...) makes a GPU compute in float64"
