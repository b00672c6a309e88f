"""Drawn glyphs: the same bits always, the same scene at every size, every shape where it should be."""

import hashlib

import numpy as np
import pytest

from minitorch_cv import data
from minitorch_cv._random import Generator
from minitorch_cv.data._glyph_shapes import SHAPES

# Only correctly rounded operations draw the pictures, so these hold on every machine.
SHA256 = "ee862b291e7f14ef3eac1d293b43f22be3763e4840c77ca1ca4390a555c36c83"


def test_bits_are_fixed_by_the_seed():
    images = data.glyphs(40, 24, classes=20, generator=Generator(5)).images
    assert hashlib.sha256(images.tobytes()).hexdigest() == SHA256
    assert not np.array_equal(images, data.glyphs(40, 24, classes=20, generator=Generator(6)).images)


def test_a_picture_does_not_depend_on_the_others():
    whole = data.glyphs(23, 40, generator=Generator(1)).images
    lazy = data.Glyphs(50, 40, generator=Generator(1))
    images, labels = lazy[np.array([17, 3, 17])]
    assert np.array_equal(images, whole[[17, 3, 17]]) and labels.tolist() == [7, 3, 7]
    assert np.array_equal(lazy[4][0], whole[4]) and lazy[4][0].shape == (3, 40, 40)


def test_the_scene_is_the_same_at_every_size():
    small, large = (data.glyphs(10, size, generator=Generator(2)).images / 255.0 for size in (32, 128))
    shrunk = large.reshape(10, 3, 32, 4, 32, 4).mean((3, 5))
    assert np.abs(shrunk - small).mean() < 0.02
    assert np.abs(np.roll(shrunk, 1, axis=0) - small).mean() > 0.1


def test_next_draw_from_the_same_generator_gives_other_pictures():
    generator = Generator(3)
    first, second = (data.glyphs(10, 16, generator=generator).images for _ in range(2))
    assert (first != second).mean() > 0.5


def test_classes_take_turns():
    dataset = data.glyphs(7, 16, classes=["star", "K", "heart"], generator=Generator(0))
    assert dataset.labels.tolist() == [0, 1, 2, 0, 1, 2, 0] and dataset.classes == ("star", "K", "heart")
    assert len(data.GLYPH_NAMES) == 20 and data.glyphs(1, 8, classes=12).classes == data.GLYPH_NAMES[:12]


def test_pictures_are_coloured_and_have_contrast():
    images = data.glyphs(60, 32, classes=20, generator=Generator(8)).images.astype(float)
    assert images.reshape(60, -1).std(1).min() > 20
    assert np.abs(images[:, 0] - images[:, 2]).mean() > 20


@pytest.mark.parametrize("name", SHAPES)
def test_shape_fits_its_disc_and_is_neither_thin_nor_full(name):
    axis = np.linspace(-1.2, 1.2, 241, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    distance = SHAPES[name](x, y)
    assert distance.dtype == np.float32 and distance.shape == x.shape
    inside = distance < 0
    assert 0.1 < inside.sum() / (x**2 + y**2 < 1).sum() < 0.8
    assert not inside[x**2 + y**2 > 1.12**2].any()


@pytest.mark.parametrize("name", SHAPES)
def test_signed_distance_changes_by_the_way_gone(name):
    """Nowhere by more, or edges would be ragged; by just that much at most of the outline, or they would be blurred."""
    axis = np.linspace(-1, 1, 401)
    x, y = np.meshgrid(axis, axis)
    distance, step = SHAPES[name](x, y), axis[1] - axis[0]
    for change, way in (
        (distance[:, 1:] - distance[:, :-1], step),
        (distance[1:] - distance[:-1], step),
        (distance[1:, 1:] - distance[:-1, :-1], 2**0.5 * step),
        (distance[1:, :-1] - distance[:-1, 1:], 2**0.5 * step),
    ):
        assert np.abs(change).max() < way * (1 + 1e-9)
    slope = np.hypot(*np.gradient(distance, step))
    assert np.median(slope[np.abs(distance) < 0.02]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count expects 1 or more; it is 0"),
        ({"count": 3, "size": 4}, "size expects 8 or more; it is 4"),
        ({"count": 3, "classes": 21}, "classes expects 1 .. 20 or names; it is 21"),
        ({"count": 3, "classes": ["star", "stra"]}, "classes expects different names out of disc, ring"),
        ({"count": 3, "classes": ["star", "star"]}, "classes expects different names out of disc, ring"),
        ({"count": 3, "classes": []}, "classes expects different names out of disc, ring"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^glyphs: {message}"):
        data.glyphs(**arguments)
