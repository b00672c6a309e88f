"""The readable kernels in Numba CUDA against NumPy, on the simulator, in three orders of threads and uneven sizes."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install greenlet")

from minitorch_cv.kernels.numba_cuda import col2im, conv2d, matmul, pool2d, reduction
from minitorch_cv.kernels.simulator.module import ORDERS
from minitorch_cv.kernels.simulator.numba_cuda import simulate

pytestmark = pytest.mark.parametrize("order", ORDERS)
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def close(given, right):
    return np.abs(given - right).max() <= 1e-5 * np.abs(right).max()


@pytest.mark.parametrize("kernel", [matmul.matmul_naive, matmul.matmul_tiled], ids=["naive", "tiled"])
@pytest.mark.parametrize("sizes", [(16, 16, 16), (19, 5, 33), (1, 40, 1)])
def test_matmul(kernel, sizes, order):
    M, K, N = sizes
    A, B, C = normal(M, K), normal(K, N), np.full((M, N), np.nan, np.float32)
    grid = -(-N // matmul.TILE), -(-M // matmul.TILE)
    assert simulate(kernel, grid, (matmul.TILE, matmul.TILE), A, B, C, order=order) == ()
    assert close(C, A.astype(float) @ B)


@pytest.mark.parametrize("kernel", [conv2d.conv2d_naive, conv2d.conv2d_tiled], ids=["naive", "tiled"])
@pytest.mark.parametrize("window", [(3, 3), (5, 2), (1, 1)])
def test_conv2d(kernel, window, order):
    x, w = normal(2, 3, 11, 13), normal(2, 3, *window)
    views = np.lib.stride_tricks.sliding_window_view(x.astype(float), window, (2, 3))
    right = np.einsum("ncpqij,ocij->nopq", views, w)
    y = np.full(right.shape, np.nan, np.float32)
    grid = -(-y.shape[3] // conv2d.TILE), -(-y.shape[2] // conv2d.TILE), 4
    assert simulate(kernel, grid, (conv2d.TILE, conv2d.TILE), x, w, y, order=order) == ()
    assert close(y, right)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2)])
def test_max_pooling_and_its_backward(size, stride, order):
    x = normal(2, 2, 9, 11)
    views = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride]
    right = views.max((4, 5))
    y, winners = np.empty_like(right), np.empty(right.shape, np.int32)
    grid, block = (-(-y.shape[3] // 4), -(-y.shape[2] // 4), 4), (4, 4)
    assert simulate(pool2d.max_pool2d, grid, block, x, y, winners, size, stride, order=order) == ()
    assert np.array_equal(y, right) and np.array_equal(
        np.take(x.reshape(4, -1), winners[0, 0].ravel(), 1)[0], y[0, 0].ravel()
    )
    dy, dx, gathered = normal(*y.shape), np.zeros_like(x), np.zeros((4, 99))
    assert simulate(pool2d.max_pool2d_backward, grid, block, dy, winners, dx, order=order) == ()
    for plane in range(4):
        np.add.at(gathered[plane], winners.reshape(4, -1)[plane], dy.reshape(4, -1)[plane])
    assert close(dx.reshape(4, 99), gathered)


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_block_sums(size, order):
    x, sums = normal(size), np.full(3, np.nan, np.float32)
    assert simulate(reduction.block_sums, 3, reduction.THREADS, x, sums, order=order) == ()
    assert close(sums.sum(), x.astype(float).sum())


def test_col2im(order):
    columns = normal(2, 2, 3, 2, 5, 6)
    dx, right = np.zeros((2, 2, 7, 7), np.float32), np.zeros((2, 2, 7, 7))
    assert simulate(col2im.col2im, (2, 2, 4), (4, 4), columns, dx, order=order) == ()
    for i in range(3):
        for j in range(2):
            right[:, :, i : i + 5, j : j + 6] += columns[:, :, i, j]
    assert close(dx, right)
