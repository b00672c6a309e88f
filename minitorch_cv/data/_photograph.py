"""Photographs from files: decoded, turned upright, in red, green and blue; and as published weights expect them."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in 0 .. 1."""


def decoded(name: str, path: str | os.PathLike[str]) -> Any:
    """The picture in a file of `FORMATS`, upright as its EXIF entry says, in RGB, on white where it is transparent.

    Raises FileNotFoundError; ValueError, naming function and file, where it is no whole picture.
    """
    from PIL import Image, ImageOps

    if not Path(path).is_file():
        raise FileNotFoundError(f"{name}: {path} expects a picture; there is no such file")
    try:
        # Decoding alone does not look at PNG's checksums; `verify` does, and leaves the file used up.
        with Image.open(path, formats=FORMATS) as file:
            file.verify()
        with Image.open(path, formats=FORMATS) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
                picture = Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            return picture.convert("RGB")
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise ValueError(f"{name}: {path} expects a whole PNG, JPEG, WebP or BMP; decoding it says: {error}") from error


def read_photograph(path: str | os.PathLike[str], size: int = 224, resize: int | None = 256) -> np.ndarray:
    """A photograph from a PNG, JPEG, WebP or BMP file: its shorter side brought to `resize`, and the middle cut out.

    Grey pictures get three equal channels, transparent ones a white ground, turned ones are put upright.
    Shapes:    (3, size, size)
    Units:     uint8, red, green and blue; `resize` in pixels, None for 8 / 7 of `size`
    Raises:    FileNotFoundError; ValueError, naming the file, where it is damaged or of another kind, and for `resize`
               below `size`
    Source:    Krizhevsky et al. 2012, section 2
    """
    from PIL import Image

    resize = round(size * 8 / 7) if resize is None else resize
    if not 1 <= size <= resize:
        raise ValueError(f"read_photograph: resize expects at least size, {size} pixels; it is {resize}")
    picture = decoded("read_photograph", path)
    width, height = picture.size
    if width < height:
        target = resize, int(resize * height / width)
    else:
        target = int(resize * width / height), resize
    left, top = round((target[0] - size) / 2), round((target[1] - size) / 2)
    if max(target) <= 16 * size:
        picture = picture.resize(target, Image.Resampling.BILINEAR)
        picture = picture.crop((left, top, left + size, top + size))
    else:  # a strip, which as a whole would fill the memory: only the middle is scaled
        across, down = width / target[0], height / target[1]
        box = (left * across, top * down, (left + size) * across, (top + size) * down)
        picture = picture.resize((size, size), Image.Resampling.BILINEAR, box)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def standardized_photographs(photographs: Any) -> np.ndarray:
    """Photographs as the published weights of ImageNet expect them: y = (x / 255 - mean) / deviation in each channel.

    Shapes:    (N, 3, H, W), uint8 to float32
    """
    mean, deviation = (np.array(v, np.float32).reshape(3, 1, 1) for v in (MEAN, DEVIATION))
    return (np.asarray(photographs, np.float32) / np.float32(255) - mean) / deviation


@functools.cache
def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes, in the order of the published weights' outputs.

    Source: WordNet's words for the synsets of ILSVRC 2012, as chosen by torchvision (BSD licence).
    """
    path = Path(__file__).with_name("imagenet_classes.txt")
    return tuple(path.read_text(encoding="utf-8").splitlines())
