"""What the cases of pooling do not hold: ties, NaN and infinities, layouts in memory, and sizes that leave nothing."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def test_ties_go_to_the_first_row_by_row():
    x = mt.Tensor(np.ones((1, 1, 4, 4)), requires_grad=True)
    y, indices = ops.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(indices.numpy()[0, 0], [[0, 2], [8, 10]])
    first = np.zeros((4, 4))
    first[::2, ::2] = 1
    np.testing.assert_array_equal(mt.grad(y.sum(), x).numpy()[0, 0], first)


def test_a_tie_with_the_padding_goes_to_x():
    x = mt.Tensor(np.full((1, 1, 2, 2), -np.inf), requires_grad=True)
    y, indices = ops.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert y.item() == -np.inf
    assert indices.item() == 0
    np.testing.assert_array_equal(mt.grad(y, x).numpy()[0, 0], [[1, 0], [0, 0]])


@pytest.mark.parametrize("place", [(0, 0), (1, 2), (3, 3)])
def test_a_nan_comes_out_with_its_place(place):
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    x[(0, 0, *place)] = np.nan
    y, indices = ops.max_pool2d(x, 4, return_indices=True)
    assert np.isnan(y).all()
    assert indices.item() == place[0] * 4 + place[1]


def test_a_nan_stays_in_its_windows():
    x = np.arange(36.0).reshape(1, 1, 6, 6)
    x[0, 0, 0, 0] = np.nan
    for pooled in (ops.max_pool2d(x, 2), ops.avg_pool2d(x, 2), ops.adaptive_avg_pool2d(x, 3)):
        np.testing.assert_array_equal(np.isnan(pooled[0, 0]), np.arange(9).reshape(3, 3) == 0)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_infinite_gradient_reaches_the_winner_alone(bad):
    x = mt.Tensor(np.arange(16.0).reshape(1, 1, 4, 4), requires_grad=True)
    dy = np.ones((1, 1, 2, 2))
    dy[0, 0, 0, 0] = bad
    dx = mt.grad(ops.max_pool2d(x, 2), x, dy).numpy()[0, 0]
    np.testing.assert_array_equal(np.flatnonzero(~np.isfinite(dx)), [5])
    assert dx.sum(where=np.isfinite(dx)) == 3


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: ops.max_pool2d(x, 3, 2, 1),
        lambda x: ops.avg_pool2d(x, 2),
        lambda x: ops.adaptive_avg_pool2d(x, 3),
    ],
)
def test_channels_last_stays_channels_last(pool):
    x = np.random.default_rng(0).standard_normal((2, 8, 9, 7))
    y, straight = pool(channels_last(x)), pool(x)
    np.testing.assert_allclose(y, straight, rtol=1e-14, atol=1e-14)
    assert y.strides[1] == y.itemsize
    assert straight.strides[3] == straight.itemsize


def test_many_images_in_blocks_are_those_of_one():
    x = np.random.default_rng(0).standard_normal((70, 16, 24, 24), dtype=np.float32)
    tensor = mt.Tensor(x, requires_grad=True)
    together = ops.max_pool2d(tensor, 3, 2)
    dy = np.random.default_rng(1).standard_normal(together.shape, dtype=np.float32)
    dx = mt.grad(together, tensor, dy).numpy()
    for i in (0, 13, 14, 69):
        one = mt.Tensor(x[i : i + 1], requires_grad=True)
        y = ops.max_pool2d(one, 3, 2)
        np.testing.assert_array_equal(y.numpy()[0], together.numpy()[i])
        np.testing.assert_array_equal(mt.grad(y, one, dy[i : i + 1]).numpy()[0], dx[i])


def test_no_images_give_no_images():
    x = mt.Tensor(np.zeros((0, 3, 6, 6)), requires_grad=True)
    for pool in (lambda x: ops.max_pool2d(x, 2), lambda x: ops.avg_pool2d(x, 2)):
        y = pool(x)
        assert y.shape == (0, 3, 3, 3)
        assert mt.grad(y.sum(), x).shape == x.shape


def test_a_window_of_many_places_is_numbered_right():
    x = np.random.default_rng(0).standard_normal((1, 2, 20, 20))
    y, indices = ops.max_pool2d(x, 20, return_indices=True)
    np.testing.assert_array_equal(indices.reshape(-1), x.reshape(2, -1).argmax(axis=1))
    np.testing.assert_array_equal(y.reshape(-1), x.reshape(2, -1).max(axis=1))


def test_unpooling_undoes_pooling():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 8))
    y, indices = ops.max_pool2d(mt.Tensor(x), 3, 2, return_indices=True)
    back = ops.max_unpool2d(y, indices, 3, 2, output_size=x.shape).numpy()
    kept = back != 0
    np.testing.assert_array_equal(back[kept], x[kept])
    assert kept.sum() == sum(len(np.unique(plane)) for plane in indices.numpy().reshape(6, -1))


@pytest.mark.parametrize("pool", [ops.max_pool2d, ops.avg_pool2d, ops.adaptive_avg_pool2d])
def test_integers_are_refused(pool):
    with pytest.raises(TypeError, match=f"{pool.__name__}: x expects floating values; it is of type int64"):
        pool(np.ones((1, 1, 2, 2), np.int64), 2)
