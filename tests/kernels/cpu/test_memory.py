"""The buffer pool: memory is used again when nobody can see it any more, and never before."""

import gc
import os
import threading

import numpy as np
import pytest
from minitorch_cv.kernels.cpu.memory import BufferPool

from minitorch_cv import Tensor

SHAPE = (64, 1024)


def address(array):
    return array.__array_interface__["data"][0]


@pytest.fixture
def pool():
    return BufferPool(limit=2**24)


def test_memory_is_used_again(pool):
    first = pool.empty(SHAPE, np.float32)
    where = address(first)
    del first
    assert address(pool.empty(SHAPE, np.float32)) == where
    assert pool.statistics().reused == 1


@pytest.mark.parametrize(
    "keep",
    [
        lambda array: array[3:5, ::2],
        lambda array: array.T,
        memoryview,
        lambda array: memoryview(array[1:2]),
        lambda array: Tensor(array).detach(),
        lambda array: Tensor(array).numpy()[2],
        lambda array: np.lib.stride_tricks.as_strided(array, (3,), (4,)),
        lambda array: np.from_dlpack(array),
        lambda array: array.view(np.int32)[:, :1],
    ],
    ids=["slice", "transposed", "exported", "exported slice", "detached", "row", "strided", "dlpack", "other dtype"],
)
def test_what_can_be_seen_is_never_used_again(pool, keep):
    first = pool.empty(SHAPE, np.float32)
    first[...] = 7.0
    where = address(first)
    kept = keep(first)
    del first
    gc.collect()
    second = pool.empty(SHAPE, np.float32)
    assert address(second) != where
    second[...] = 0.0
    seen = np.asarray(kept.data if isinstance(kept, Tensor) else kept)
    assert (seen.view(np.float32) == 7.0).all()
    del kept, seen
    gc.collect()
    assert address(pool.empty(SHAPE, np.float32)) == where


def test_limit(pool):
    arrays = [pool.empty((2**20,), np.float32) for _ in range(8)]
    assert pool.statistics().bytes_in_use == 8 * 2**22
    del arrays
    assert pool.statistics().bytes_waiting == 2**24
    assert pool.statistics().bytes_in_use == 0
    pool.clear()
    assert pool.statistics().bytes_waiting == 0


def test_order_of_axes(pool):
    x = pool.empty((2, 300, 5, 7), np.float64, (0, 2, 3, 1))
    assert x.shape == (2, 300, 5, 7)
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous
    assert pool.empty((2, 3, 5, 7), np.float64, (0, 2, 3, 1)).transpose(0, 2, 3, 1).flags.c_contiguous
    assert pool.empty((0, 3), np.float32).shape == (0, 3)


def test_several_threads_share_no_block(pool):
    failures = []

    def use(number):
        for _ in range(500):
            array = pool.empty(SHAPE, np.float32)
            array[0, :] = number
            if not (array[0] == number).all():
                failures.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_memory_of_its_own(pool):
    array = pool.empty(SHAPE, np.float32)
    array[...] = 1.0
    child = os.fork()
    if child == 0:
        array[...] = 7.0
        os._exit(0)
    os.waitpid(child, 0)
    assert (array == 1.0).all()
