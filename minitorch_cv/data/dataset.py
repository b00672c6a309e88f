"""Images and labels in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Dataset:
    """Images with their labels, held in memory.

    Shapes: images (N, C, H, W); labels (N,), the index of the class.
    Units: images uint8 in 0 .. 255, or float32 (by custom in 0 .. 1).
    Raises: ValueError where shapes, dtypes, labels and class names do not fit together.

    >>> digits = Dataset(np.zeros((3, 1, 28, 28), np.uint8), np.array([4, 1, 4]), [str(digit) for digit in range(10)])
    >>> images, labels = digits[np.array([0, 2])]
    >>> images.shape, labels
    ((2, 1, 28, 28), array([4, 4]))
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, classes: Sequence[str] = (), name: str = "Dataset"):
        images, labels, classes = np.asarray(images), np.asarray(labels), tuple(classes)
        if images.ndim != 4:
            raise ValueError(f"Dataset: images expect the shape (N, C, H, W); they are {images.shape}")
        if images.dtype not in (np.uint8, np.float32):
            raise ValueError(f"Dataset: images expect uint8 or float32; they are {images.dtype}")
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"Dataset: labels expect whole numbers of shape ({len(images)},), one for each image; "
                f"they are {labels.dtype} {labels.shape}"
            )
        if classes and len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(
                f"Dataset: labels expect 0 .. {len(classes) - 1}, for {len(classes)} classes; "
                f"they are {labels.min()} .. {labels.max()}"
            )
        self.images, self.labels, self.classes, self.name = images, labels.astype(np.int64), classes, name

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels at `index`: a whole number, a slice, an array of whole numbers or a mask."""
        return self.images[index], self.labels[index]

    def subset(self, index: Any) -> Dataset:
        """The dataset of the entries at `index` (a slice, an array of whole numbers or a mask)."""
        return Dataset(self.images[index], self.labels[index], self.classes, self.name)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"{self.name}: {len(self):,} images, {shape} {self.images.dtype}, {len(self.classes)} classes"
