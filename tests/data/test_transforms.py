"""Transforms: right pixels, no change of the input, all randomness from the generator."""

import re

import numpy as np
import pytest

from minitorch_cv import data
from minitorch_cv._random import Generator


def batch(shape=(5, 3, 9, 7), dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def name_of(transform):
    """The same in every process, unlike a function's repr, so that pytest-xdist collects the same tests everywhere."""
    return getattr(transform, "__name__", type(transform).__name__)


ALL = [
    data.to_float,
    data.binarize,
    data.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]),
    data.SubtractMeanImage(np.full((3, 9, 7), 0.5)),
    data.RandomCrop((6, 5), padding=1),
    data.CenterCrop((4, 5)),
    data.TenCrop((4, 5)),
    data.RandomHorizontalFlip(),
    data.PCAColor.fit(batch()),
]
RANDOM = [
    transform for transform in ALL if type(transform).__name__ in ("RandomCrop", "RandomHorizontalFlip", "PCAColor")
]


@pytest.mark.parametrize("transform", ALL, ids=name_of)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_input_is_kept_and_the_result_is_fixed_by_the_generator(transform, dtype):
    images = batch(dtype=dtype)
    images.flags.writeable = False
    results = [transform(images, Generator(4)) for _ in range(2)]
    assert results[0].dtype in (np.uint8, np.float32) and np.array_equal(*results)
    assert np.array_equal(images, batch(dtype=dtype))


@pytest.mark.parametrize("transform", ALL, ids=name_of)
@pytest.mark.parametrize(
    "images", [np.zeros((3, 9, 7), np.uint8), np.zeros((1, 3, 9, 7)), [[0]]], ids=["3d", "f8", "list"]
)
def test_other_than_batches_of_images_is_refused(transform, images):
    name = getattr(transform, "__name__", type(transform).__name__)
    with pytest.raises(ValueError, match=rf"^{name}: x expects uint8 or float32 of shape \(N, C, H, W\); it is "):
        transform(images, Generator(0))


@pytest.mark.parametrize("transform", RANDOM, ids=name_of)
def test_random_transform_without_generator_is_refused(transform):
    with pytest.raises(ValueError, match=r"generator expects a Generator, since this transform is random; it is None$"):
        transform(batch())


def test_binarize_draws_each_value_by_its_probability():
    images = np.broadcast_to(np.array([0, 51, 255], np.uint8), (20_000, 1, 1, 3))
    drawn = data.binarize(images, Generator(1))
    assert drawn.dtype == np.float32 and {*np.unique(drawn)} == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(axis=(0, 1, 2)), [0, 0.2, 1], atol=4 * np.sqrt(0.2 * 0.8 / 20_000))
    assert (data.binarize(images, Generator(1)) == drawn).all() and (data.binarize(images, Generator(2)) != drawn).any()
    assert (data.binarize(data.to_float(images), Generator(1)) == drawn).all()


def test_to_float_brings_bytes_to_0_1():
    result = data.to_float(np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3))
    np.testing.assert_allclose(result.ravel(), [0, 0.2, 1], rtol=1e-7)
    floats = batch(dtype=np.float32)
    assert data.to_float(floats) is floats


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_normalize_fitted_gives_mean_0_and_deviation_1(dtype):
    images = batch((300, 3, 4, 5), dtype)
    images[:, 1] //= 3
    result = data.Normalize.fit(images)(images).astype(np.float64)
    np.testing.assert_allclose(result.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std((0, 2, 3)), 1, rtol=1e-5)


def test_normalize_subtracts_and_divides_by_channel():
    images = batch(dtype=np.float32)
    result = data.Normalize([1, 2, 3], [4, 5, 6])(images)
    for c in range(3):
        np.testing.assert_allclose(result[:, c], (images[:, c] - (1 + c)) / (4 + c), rtol=1e-6)
    np.testing.assert_allclose(data.Normalize(2, 4)(images), (images - 2) / 4, rtol=1e-6)


def test_mean_image_is_subtracted_pixel_by_pixel():
    images = batch()
    result = data.SubtractMeanImage.fit(images)(images)
    np.testing.assert_allclose(result, images / 255 - images.mean(0) / 255, atol=1e-6)


def test_random_crop_gives_every_window_of_the_padded_image():
    image = np.arange(1, 13, dtype=np.uint8).reshape(1, 1, 3, 4)
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))[0, 0]
    windows = {padded[i : i + 4, j : j + 5].tobytes() for i in range(2) for j in range(2)}
    result = data.RandomCrop((4, 5), padding=1)(np.repeat(image, 200, axis=0), Generator(0))
    assert {crop.tobytes() for crop in result} == windows and result.shape == (200, 1, 4, 5)


def test_random_crop_keeps_the_channels_of_an_image_together():
    images = batch((1, 1, 9, 7)).repeat(3, axis=1)
    result = data.RandomCrop(5)(images, Generator(1))
    assert np.array_equal(result[:, 0], result[:, 1]) and np.array_equal(result[:, 0], result[:, 2])


def test_center_crop_takes_the_middle():
    images = batch((2, 1, 9, 7))
    assert np.array_equal(data.CenterCrop((3, 4))(images), images[:, :, 3:6, 1:5])
    assert np.array_equal(data.CenterCrop((9, 7))(images), images)


def test_ten_crop_gives_corners_centre_and_their_mirror_images():
    images = batch((2, 3, 9, 7))
    result = data.TenCrop((4, 5))(images)
    slices = [np.s_[:4, :5], np.s_[:4, 2:], np.s_[5:, :5], np.s_[5:, 2:], np.s_[2:6, 1:6]]
    assert result.shape == (2, 10, 3, 4, 5)
    for number, window in enumerate(slices):
        crop = images[(..., *window)]
        assert np.array_equal(result[:, number], crop)
        assert np.array_equal(result[:, number + 5], crop[..., ::-1])


def test_flip_mirrors_about_half_of_the_images():
    images = batch((1000, 1, 2, 3))
    result = data.RandomHorizontalFlip()(images, Generator(0))
    flipped = (result == images[..., ::-1]).all((1, 2, 3))
    assert (flipped | (result == images).all((1, 2, 3))).all()
    assert 430 < flipped.sum() < 570
    assert np.array_equal(data.RandomHorizontalFlip(1)(images, Generator(0)), images[..., ::-1])
    assert np.array_equal(data.RandomHorizontalFlip(0)(images, Generator(0)), images)


def test_pca_color_shifts_each_image_along_the_components():
    """With the components known: colours vary along (1, 1, 1) most, then along (1, -1, 0)."""
    rng = np.random.default_rng(3)
    axes = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])
    scores = rng.standard_normal((40 * 25, 3)) * [0.3, 0.1, 0.03]
    images = (scores @ axes).reshape(40, 5, 5, 3).transpose(0, 3, 1, 2).astype(np.float32)
    transform = data.PCAColor.fit(images, std=0.5)
    np.testing.assert_allclose(transform.eigenvalues, [0.09, 0.01, 0.0009], rtol=0.15)
    assert (np.abs((transform.eigenvectors * axes.T).sum(0)) > 0.99).all()
    many = np.zeros((4000, 3, 2, 2), np.float32)
    shift = transform(many, Generator(0))
    assert (shift == shift[:, :, :1, :1]).all()
    along = shift[:, :, 0, 0].astype(np.float64) @ transform.eigenvectors
    np.testing.assert_allclose(along.mean(0) / transform.eigenvalues, 0, atol=0.03)
    np.testing.assert_allclose(along.std(0) / transform.eigenvalues, 0.5, rtol=0.05)


def test_pca_color_has_one_sign_whatever_the_solver_gives():
    vectors = data.PCAColor.fit(batch((20, 3, 8, 8))).eigenvectors
    assert (vectors[np.abs(vectors).argmax(0), range(3)] > 0).all()


def test_a_batch_cut_in_two_differs_only_by_its_draws():
    """No transform mixes the images of a batch."""
    transform = data.Compose([data.CenterCrop((4, 5)), data.Normalize(0.5, 0.2)])
    images = batch()
    assert np.array_equal(transform(images)[2:4], transform(images[2:4]))


def test_compose_goes_in_order_and_shares_the_generator():
    crop, flip = data.RandomCrop(4), data.RandomHorizontalFlip()
    generator = Generator(9)
    expected = flip(crop(batch(), generator), generator)
    assert np.array_equal(data.Compose([crop, flip])(batch(), Generator(9)), expected)
    assert repr(data.Compose([data.to_float, crop])) == "Compose([to_float, RandomCrop((4, 4), padding=0)])"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.Normalize([0, 0], 1)(batch()), ValueError, "Normalize: mean expects 3 channels; it has 2"),
        (lambda: data.Normalize(0, [1, 0]), ValueError, "Normalize: std expects numbers above 0; it is [1.0, 0.0]"),
        (
            lambda: data.Normalize([[0]], 1),
            ValueError,
            "Normalize: mean and std expect shape (C,); they are (1, 1), (1,)",
        ),
        (
            lambda: data.SubtractMeanImage(np.zeros((3, 9, 8)))(batch()),
            ValueError,
            "SubtractMeanImage: mean (3, 9, 8) expects images of its shape; x is (5, 3, 9, 7)",
        ),
        (
            lambda: data.SubtractMeanImage(np.zeros((9, 7))),
            ValueError,
            "SubtractMeanImage: mean expects shape (C, H, W); it is (9, 7)",
        ),
        (
            lambda: data.RandomCrop(12, padding=1)(batch(), Generator(0)),
            ValueError,
            "RandomCrop: size (12, 12) expects images at least as large; x (padded) is (5, 3, 11, 9)",
        ),
        (lambda: data.RandomCrop(3, padding=-1), ValueError, "RandomCrop: padding expects 0 or more pixels; it is -1"),
        (lambda: data.RandomCrop(3.5), TypeError, "RandomCrop: size expects a whole number; it is 3.5"),
        (lambda: data.CenterCrop((0, 3)), ValueError, "CenterCrop: size expects 1 or more pixels; it is 0"),
        (
            lambda: data.TenCrop([3, 3, 3]),
            ValueError,
            "TenCrop: size expects a whole number or (height, width); it is [3, 3, 3]",
        ),
        (lambda: data.Normalize(np.nan, 1), ValueError, "Normalize: mean expects finite numbers; it is [nan]"),
        (
            lambda: data.Normalize.fit(batch((0, 3, 4, 4))),
            ValueError,
            "Normalize.fit: x expects at least one image; it is (0, 3, 4, 4)",
        ),
        (
            lambda: data.SubtractMeanImage.fit(batch((0, 3, 4, 4))),
            ValueError,
            "SubtractMeanImage.fit: x expects at least one image; it is (0, 3, 4, 4)",
        ),
        (
            lambda: data.PCAColor.fit(batch((0, 3, 4, 4))),
            ValueError,
            "PCAColor.fit: x expects at least one image; it is (0, 3, 4, 4)",
        ),
        (
            lambda: data.CenterCrop(8)(batch()),
            ValueError,
            "CenterCrop: size (8, 8) expects images at least as large; x is (5, 3, 9, 7)",
        ),
        (
            lambda: data.RandomHorizontalFlip(1.5),
            ValueError,
            "RandomHorizontalFlip: p expects a probability in 0 .. 1; it is 1.5",
        ),
        (
            lambda: data.PCAColor.fit(batch((2, 1, 4, 4))),
            ValueError,
            "PCAColor.fit: x expects 3 channels (red, green, blue); it is (2, 1, 4, 4)",
        ),
        (
            lambda: data.PCAColor([1, 2], np.eye(3)),
            ValueError,
            "PCAColor: eigenvalues and eigenvectors expect shapes (3,) and (3, 3); they are (2,) and (3, 3)",
        ),
        (lambda: data.PCAColor([3, 2, 1], np.eye(3), -1), ValueError, "PCAColor: std expects 0 or more; it is -1"),
        (lambda: data.Compose([None]), TypeError, "Compose: transforms expect functions; number 0 is None"),
    ],
)
def test_misuse_is_refused(call, error, message):
    with pytest.raises(error, match="^" + re.escape(message) + "$"):
        call()
