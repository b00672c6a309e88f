"""A folder of pictures, a subfolder for each class, read when they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from minitorch_cv._arguments import whole_number
from minitorch_cv.data._photograph import decoded
from minitorch_cv.data.dataset import Dataset

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def image_folder(path: str | os.PathLike[str], size: int | None = None) -> ImageFolder:
    """The pictures under `path`, a subfolder for each class: cats/1.png, dogs/1.jpg ...

    Classes are the subfolders' names in alphabetical order; deeper folders belong to the class above them.
    Shapes: each image (3, size, size): the shorter side is brought to `size`, and the centre is cut out (as for
    AlexNet, section 2); without `size` the pictures keep theirs, which must then be one for all.
    Units: uint8, red, green and blue.
    Raises: FileNotFoundError without such a folder; ValueError without subfolders or pictures; on reading, ValueError
    that names a picture which is damaged or of another size.
    """
    return ImageFolder(path, size)


class ImageFolder:
    """A dataset of the pictures in a folder; they are decoded by `dataset[indices]`, so they may exceed the memory."""

    def __init__(self, path: str | os.PathLike[str], size: int | None = None):
        root = Path(path)
        if not root.is_dir():
            raise FileNotFoundError(f"image_folder: path expects a folder; there is none at {root}")
        size = None if size is None else whole_number("image_folder: size", size, 1, " pixels")
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        files = [sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES) for folder in folders]
        empty = [folder.name for folder, pictures in zip(folders, files, strict=True) if not pictures]
        if not folders or empty:
            came = f"{', '.join(empty)} of {root} without any" if folders else f"{root} without subfolders"
            raise ValueError(f"image_folder: path expects a subfolder of pictures for each class; it has {came}")
        self.size, self.name = size, root.name
        self.classes = tuple(folder.name for folder in folders)
        self.paths = [path for pictures in files for path in pictures]
        self.labels = np.repeat(np.arange(len(folders)), [len(pictures) for pictures in files])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels at `index`: a whole number, a slice, an array of whole numbers or a mask."""
        labels, positions = self.labels[index], np.arange(len(self))[index]
        if np.ndim(positions) == 0:
            return self._read(self.paths[positions]), labels
        if not len(positions):
            raise IndexError("image_folder: index expects at least one picture; it selects none")
        images = [self._read(self.paths[position]) for position in positions]
        for image, position in zip(images, positions, strict=True):
            if image.shape != images[0].shape:
                raise ValueError(
                    f"image_folder: {self.paths[position]} expects the shape {images[0].shape} of "
                    f"{self.paths[positions[0]]}; it is {image.shape} (give `size` to bring all to one)"
                )
        return np.stack(images), labels

    def load(self) -> Dataset:
        """All pictures, read into memory."""
        images, labels = self[:]
        return Dataset(images, labels, self.classes, self.name)

    def _read(self, path: Path) -> np.ndarray:
        """One picture as (3, H, W) uint8, turned upright as its EXIF entry says."""
        from PIL import Image, ImageOps

        picture = decoded("image_folder", path)
        if self.size is not None:
            # Scales the shorter side to `size` and cuts the centre of the longer one.
            picture = ImageOps.fit(picture, (self.size, self.size), Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))

    def __repr__(self) -> str:
        size = "" if self.size is None else f" of {self.size}x{self.size}"
        return f"{self.name}: {len(self):,} pictures{size}, {len(self.classes)} classes"
