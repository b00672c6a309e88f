"""Datasets in memory: indexing, subsets and what they refuse."""

import re
import subprocess
import sys

import numpy as np
import pytest

from minitorch_cv.data import Dataset


def made(count=6):
    images = np.arange(count * 2 * 3 * 5, dtype=np.uint8).reshape(count, 2, 3, 5)
    return Dataset(images, np.arange(count) % 3, ["a", "b", "c"], "made")


@pytest.mark.parametrize("index", [2, slice(1, 4), np.array([5, 0, 0]), np.arange(6) > 3])
def test_index_selects_images_with_their_labels(index):
    dataset = made()
    images, labels = dataset[index]
    assert np.array_equal(images, dataset.images[index]) and np.array_equal(labels, dataset.labels[index])


def test_subset_keeps_classes_and_name():
    subset = made().subset([4, 1])
    assert subset.labels.tolist() == [1, 1] and subset.classes == ("a", "b", "c")
    assert repr(subset) == "made: 2 images, 2x3x5 uint8, 3 classes"


def test_labels_become_int64():
    assert Dataset(np.zeros((2, 1, 2, 2), np.float32), np.array([0, 1], np.uint8)).labels.dtype == np.int64


@pytest.mark.parametrize(
    ("images", "labels", "classes", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), [0, 1], "ab", "images expect the shape (N, C, H, W); they are (2, 4, 4)"),
        (np.zeros((2, 1, 4, 4)), [0, 1], "ab", "images expect uint8 or float32; they are float64"),
        (
            np.zeros((2, 1, 4, 4), np.uint8),
            [0, 1, 1],
            "ab",
            "labels expect whole numbers of shape (2,), one for each image; they are int64 (3,)",
        ),
        (
            np.zeros((2, 1, 4, 4), np.uint8),
            [0.0, 1.0],
            "ab",
            "labels expect whole numbers of shape (2,), one for each image; they are float64 (2,)",
        ),
        (np.zeros((2, 1, 4, 4), np.uint8), [0, 2], "ab", "labels expect 0 .. 1, for 2 classes; they are 0 .. 2"),
    ],
)
def test_misfits_are_refused(images, labels, classes, message):
    with pytest.raises(ValueError, match="^" + re.escape(f"Dataset: {message}") + "$"):
        Dataset(images, np.array(labels), list(classes))


def test_importing_data_loads_neither_downloader_nor_decoder():
    code = "import sys, minitorch_cv.data; print(*({'pooch', 'PIL', 'matplotlib', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
