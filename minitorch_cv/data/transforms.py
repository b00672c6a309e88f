"""Transforms of batches of images: called as `transform(images, generator)`, they return a new batch.

Images are (N, C, H, W), uint8 in 0 .. 255 or float32. Geometric transforms keep the dtype, those that compute with
the values bring uint8 to float32 in 0 .. 1 first. No transform changes its input, and each draws all its random
numbers from the generator that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minitorch_cv._arguments import whole_number
from minitorch_cv._random import Generator

Transform = Callable[[np.ndarray, "Generator | None"], np.ndarray]


def to_float(images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
    """float32: uint8 divided by 255, float32 as it is."""
    _check_images("to_float", images)
    return images * np.float32(1 / 255) if images.dtype == np.uint8 else images


def binarize(images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
    """Each value 1 with the probability that it says, else 0: float32, drawn anew at each call.

    Units: uint8 (divided by 255), or float32 in 0 .. 1.
    Source: Salakhutdinov and Murray 2008, "On the quantitative analysis of deep belief networks", for MNIST
    """
    generator = _check_random("binarize", images, generator)
    return (generator.random(images.shape) < to_float(images)).astype(np.float32)


class Compose:
    """One transform after the other, all drawing from the same generator."""

    def __init__(self, transforms: Sequence[Transform]):
        for position, transform in enumerate(transforms):
            if not callable(transform):
                raise TypeError(f"Compose: transforms expect functions; number {position} is {transform!r}")
        self.transforms = list(transforms)

    def __call__(self, images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
        for transform in self.transforms:
            images = transform(images, generator)
        return images

    def __repr__(self) -> str:
        return f"Compose([{', '.join(getattr(t, '__name__', repr(t)) for t in self.transforms)}])"


class Normalize:
    """y = (x - mean) / std, channel by channel.

    Shapes: mean and std (C,), or numbers for all channels; images (N, C, H, W).
    Units: mean and std in those of images in 0 .. 1.
    Raises: ValueError for a std that is not above 0, or another number of channels.
    """

    def __init__(self, mean: Any, std: Any):
        self.mean, self.std = (np.atleast_1d(np.asarray(values, dtype=np.float32)) for values in (mean, std))
        if self.mean.ndim != 1 or self.std.ndim != 1:
            raise ValueError(f"Normalize: mean and std expect shape (C,); they are {self.mean.shape}, {self.std.shape}")
        if not np.isfinite(self.mean).all():
            raise ValueError(f"Normalize: mean expects finite numbers; it is {self.mean.tolist()}")
        if not (self.std > 0).all():
            raise ValueError(f"Normalize: std expects numbers above 0; it is {self.std.tolist()}")

    @classmethod
    def fit(cls, images: np.ndarray) -> Normalize:
        """With the mean and the standard deviation of each channel of `images`."""
        _check_sample("Normalize.fit", images)
        total, squares, count = np.zeros(images.shape[1]), np.zeros(images.shape[1]), 0
        for first in range(0, len(images), 256):  # in parts: the float64 copy of a whole data set would not fit
            part = images[first : first + 256].astype(np.float64)
            total, squares = total + part.sum((0, 2, 3)), squares + (part * part).sum((0, 2, 3))
            count += part[:, 0].size
        mean = total / count
        scale = 1 / 255 if images.dtype == np.uint8 else 1.0
        return cls(mean * scale, np.sqrt(np.maximum(squares / count - mean * mean, 0)) * scale)

    def __call__(self, images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
        _check_images("Normalize", images)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, images.shape[1]):
                raise ValueError(f"Normalize: {name} expects {images.shape[1]} channels; it has {len(values)}")
        return (to_float(images) - self.mean[:, None, None]) / self.std[:, None, None]

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean.tolist()}, std={self.std.tolist()})"


class SubtractMeanImage:
    """y = x - mean image, pixel by pixel, the only preprocessing of AlexNet's input.

    Shapes: mean (C, H, W); images (N, C, H, W).
    Units: mean in those of images in 0 .. 1.
    Source: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep CNNs" (2012), section 2.
    """

    def __init__(self, mean: np.ndarray):
        self.mean = np.asarray(mean, dtype=np.float32)
        if self.mean.ndim != 3:
            raise ValueError(f"SubtractMeanImage: mean expects shape (C, H, W); it is {self.mean.shape}")

    @classmethod
    def fit(cls, images: np.ndarray) -> SubtractMeanImage:
        """With the mean of `images` at each pixel."""
        _check_sample("SubtractMeanImage.fit", images)
        return cls(images.mean(0, dtype=np.float64) * (1 / 255 if images.dtype == np.uint8 else 1.0))

    def __call__(self, images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
        _check_images("SubtractMeanImage", images)
        if images.shape[1:] != self.mean.shape:
            raise ValueError(
                f"SubtractMeanImage: mean {self.mean.shape} expects images of its shape; x is {images.shape}"
            )
        return to_float(images) - self.mean

    def __repr__(self) -> str:
        return f"SubtractMeanImage(mean of shape {self.mean.shape})"


class RandomCrop:
    """A window at a random place of each image, after padding with zeros.

    Shapes: (N, C, H, W) to (N, C, height, width), from `size` = height = width or (height, width).
    Raises: ValueError where the padded image is smaller than the window.
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0):
        self.size = _pair("RandomCrop", size)
        self.padding = whole_number("RandomCrop: padding", padding, 0, " pixels")

    def __call__(self, images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
        generator = _check_random("RandomCrop", images, generator)
        p = self.padding
        padded = np.pad(images, ((0, 0), (0, 0), (p, p), (p, p))) if p else images
        _check_fits("RandomCrop", padded, self.size, " (padded)" if p else "")
        top, left = (
            generator.integers(0, padded.shape[axis] - length + 1, len(images))
            for axis, length in zip((2, 3), self.size, strict=True)
        )
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.size, axis=(2, 3))
        return windows[np.arange(len(images)), :, top, left]

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding})"


class CenterCrop:
    """The window in the middle of each image (of two middles, the upper left one).

    Shapes: (N, C, H, W) to (N, C, height, width), from `size` = height = width or (height, width).
    """

    def __init__(self, size: int | tuple[int, int]):
        self.size = _pair("CenterCrop", size)

    def __call__(self, images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
        _check_images("CenterCrop", images)
        _check_fits("CenterCrop", images, self.size)
        (height, width), (h, w) = images.shape[2:], self.size
        return images[:, :, (height - h) // 2 :, (width - w) // 2 :][:, :, :h, :w].copy()

    def __repr__(self) -> str:
        return f"CenterCrop({self.size})"


class TenCrop:
    """The four corners and the centre of each image, then the five mirrored: average the ten predictions.

    Shapes: (N, C, H, W) to (N, 10, C, height, width), from `size` = height = width or (height, width).
    Source: A. Krizhevsky, I. Sutskever, G. Hinton (2012), section 4.1.
    """

    def __init__(self, size: int | tuple[int, int]):
        self.size = _pair("TenCrop", size)
        self.center = CenterCrop(self.size)

    def __call__(self, images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
        _check_images("TenCrop", images)
        _check_fits("TenCrop", images, self.size)
        h, w = self.size
        corners = [images[:, :, :h, :w], images[:, :, :h, -w:], images[:, :, -h:, :w], images[:, :, -h:, -w:]]
        five = np.stack([*corners, self.center(images)], axis=1)
        return np.concatenate([five, five[..., ::-1]], axis=1)

    def __repr__(self) -> str:
        return f"TenCrop({self.size})"


class RandomHorizontalFlip:
    """Each image mirrored left to right with probability `p`."""

    def __init__(self, p: float = 0.5):
        if not 0 <= p <= 1:
            raise ValueError(f"RandomHorizontalFlip: p expects a probability in 0 .. 1; it is {p}")
        self.p = p

    def __call__(self, images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
        generator = _check_random("RandomHorizontalFlip", images, generator)
        flipped = generator.bernoulli(self.p, len(images))
        return np.where(flipped[:, None, None, None], images[..., ::-1], images)

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip({self.p})"


class PCAColor:
    r"""AlexNet's colour augmentation: each image is shifted along the principal components of colour.

    Forward: y = x + [p_1, p_2, p_3] [a_1 l_1, a_2 l_2, a_3 l_3]^T at every pixel, where p_i and l_i are the
    eigenvectors and eigenvalues of the 3x3 covariance of the pixels' colours, and a_i ~ N(0, std^2) is drawn once for
    each image.
    Shapes: eigenvalues (3,), eigenvectors (3, 3) with the vectors as columns; images (N, 3, H, W).
    Units: eigenvalues in those of images in 0 .. 1. (The product a l is quadratic in the unit, so in 0 .. 255 the same
    formula would shift 255 times as far.)
    Source: A. Krizhevsky, I. Sutskever, G. Hinton (2012), section 4.1.
    """

    def __init__(self, eigenvalues: Any, eigenvectors: Any, std: float = 0.1):
        self.eigenvalues, self.eigenvectors = np.asarray(eigenvalues, np.float32), np.asarray(eigenvectors, np.float32)
        if self.eigenvalues.shape != (3,) or self.eigenvectors.shape != (3, 3):
            raise ValueError(
                f"PCAColor: eigenvalues and eigenvectors expect shapes (3,) and (3, 3); "
                f"they are {self.eigenvalues.shape} and {self.eigenvectors.shape}"
            )
        if not std >= 0:
            raise ValueError(f"PCAColor: std expects 0 or more; it is {std}")
        self.std = float(std)

    @classmethod
    def fit(cls, images: np.ndarray, std: float = 0.1) -> PCAColor:
        """With the principal components of the colours of `images`, the strongest first."""
        _check_sample("PCAColor.fit", images)
        _check_rgb("PCAColor.fit", images)
        mean, second_moment, count = np.zeros(3), np.zeros((3, 3)), 0
        for image in images:  # one at a time, as in Normalize.fit
            colors = to_float(image[None]).reshape(3, -1).astype(np.float64)
            mean, second_moment, count = (
                mean + colors.sum(1),
                second_moment + colors @ colors.T,
                count + colors.shape[1],
            )
        mean /= count
        values, vectors = np.linalg.eigh(second_moment / count - np.outer(mean, mean))
        # An eigenvector's sign is arbitrary: the largest component is made positive, so that a seed means one shift.
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(3)])
        return cls(np.maximum(values, 0)[::-1], vectors[:, ::-1], std)

    def __call__(self, images: np.ndarray, generator: Generator | None = None) -> np.ndarray:
        generator = _check_random("PCAColor", images, generator)
        _check_rgb("PCAColor", images)
        weights = generator.normal((len(images), 3), std=self.std) * self.eigenvalues
        # Written out, so that the bits do not depend on a BLAS or on the size of the batch.
        shift = sum(weights[:, i, None] * self.eigenvectors[:, i] for i in range(3))
        return to_float(images) + np.asarray(shift, np.float32)[:, :, None, None]

    def __repr__(self) -> str:
        return f"PCAColor(eigenvalues={self.eigenvalues.tolist()}, std={self.std})"


def _check_images(name: str, images: np.ndarray) -> None:
    if getattr(images, "ndim", None) != 4 or images.dtype not in (np.uint8, np.float32):
        came = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else repr(images)
        raise ValueError(f"{name}: x expects uint8 or float32 of shape (N, C, H, W); it is {came}")


def _check_sample(name: str, images: np.ndarray) -> None:
    _check_images(name, images)
    if not images.size:
        raise ValueError(f"{name}: x expects at least one image; it is {images.shape}")


def _check_random(name: str, images: np.ndarray, generator: Generator | None) -> Generator:
    _check_images(name, images)
    if generator is None:
        raise ValueError(f"{name}: generator expects a Generator, since this transform is random; it is None")
    return generator


def _check_rgb(name: str, images: np.ndarray) -> None:
    if images.shape[1] != 3:
        raise ValueError(f"{name}: x expects 3 channels (red, green, blue); it is {images.shape}")


def _check_fits(name: str, images: np.ndarray, size: tuple[int, int], padded: str = "") -> None:
    if images.shape[2] < size[0] or images.shape[3] < size[1]:
        raise ValueError(f"{name}: size {size} expects images at least as large; x{padded} is {images.shape}")


def _pair(name: str, size: int | tuple[int, int]) -> tuple[int, int]:
    lengths = size if isinstance(size, (tuple, list)) else (size, size)
    if len(lengths) != 2:
        raise ValueError(f"{name}: size expects a whole number or (height, width); it is {size}")
    height, width = (whole_number(f"{name}: size", length, 1, " pixels") for length in lengths)
    return height, width
