"""Data: embedded digits, drawn glyphs, downloads, file readers, transforms and the loader.

A *dataset* is anything with `len(dataset)` and `dataset[indices] -> (images, labels)`, where `indices` is an integer
array: images are uint8 in 0 .. 255 or float32, shape (N, C, H, W); labels are int64, shape (N,). A *transform* is
anything called as `transform(images, generator) -> images`. Nothing here needs a network, save the functions of
`minitorch_cv.data.downloads`.
"""

from minitorch_cv.data._glyphs import GLYPH_NAMES, Glyphs, glyphs
from minitorch_cv.data._image_folder import ImageFolder, image_folder
from minitorch_cv.data._mnist5k import mnist5k
from minitorch_cv.data._photograph import imagenet_classes, read_photograph, standardized_photographs
from minitorch_cv.data.dataset import Dataset
from minitorch_cv.data.downloads import cifar10, fashion_mnist, mnist
from minitorch_cv.data.loader import DataLoader
from minitorch_cv.data.readers import read_cifar10, read_idx
from minitorch_cv.data.transforms import (
    CenterCrop,
    Compose,
    Normalize,
    PCAColor,
    RandomCrop,
    RandomHorizontalFlip,
    SubtractMeanImage,
    TenCrop,
    binarize,
    to_float,
)

__all__ = [
    "GLYPH_NAMES",
    "CenterCrop",
    "Compose",
    "DataLoader",
    "Dataset",
    "Glyphs",
    "ImageFolder",
    "Normalize",
    "PCAColor",
    "RandomCrop",
    "RandomHorizontalFlip",
    "SubtractMeanImage",
    "TenCrop",
    "binarize",
    "cifar10",
    "fashion_mnist",
    "glyphs",
    "image_folder",
    "imagenet_classes",
    "mnist",
    "mnist5k",
    "read_cifar10",
    "read_idx",
    "read_photograph",
    "standardized_photographs",
    "to_float",
]
