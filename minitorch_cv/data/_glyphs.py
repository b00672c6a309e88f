"""Pictures of coloured glyphs, drawn at any size: a data set for networks that expect larger images than digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitorch_cv._arguments import whole_number
from minitorch_cv._random import Generator, default_generator, philox
from minitorch_cv.data._glyph_shapes import SHAPES
from minitorch_cv.data.dataset import Dataset

GLYPH_NAMES = tuple(SHAPES)

# Each picture is a function of this many words of its generator's stream.
_BLOCKS = 20
_WORDS = 4 * _BLOCKS
_NOISE_CELLS = 5
_SPECKS = 4
# Pictures are drawn in groups of at most so many pixels, which stay in a processor's cache.
_PIXELS_AT_ONCE = 1 << 16


def glyphs(
    count: int, size: int = 64, classes: int | Sequence[str] = 10, generator: Generator | None = None
) -> Dataset:
    """Coloured glyphs (shapes, then letters) on textured grounds, of random colour, place, scale and rotation.

    Picture i is fixed by one number drawn from `generator` and by i: it is the same bits on every machine, the same
    scene at every `size`, and does not depend on `count`. Classes take turns. `Glyphs` takes the same arguments, and
    draws each picture when it is asked for instead of all of them now.

    count: how many pictures.
    classes: how many of `GLYPH_NAMES`, or their names. The first ten are shapes, the next ten letters.
    Shapes: images (count, 3, size, size).
    Units: uint8, red, green and blue.
    Raises: ValueError for unknown classes, or a count, size or number of classes out of range.

    >>> glyphs(6, size=32, classes=["star", "heart", "K"], generator=Generator(0))
    glyphs: 6 images, 3x32x32 uint8, 3 classes
    """
    return Glyphs(count, size, classes, generator).load()


class Glyphs:
    """The pictures of `glyphs`, drawn by `dataset[indices]`, so that they need no memory."""

    def __init__(
        self, count: int, size: int = 64, classes: int | Sequence[str] = 10, generator: Generator | None = None
    ):
        count = whole_number("glyphs: count", count, 1)
        self.size, self.name = whole_number("glyphs: size", size, 8), "glyphs"
        self.classes = _class_names(classes)
        self.labels = np.arange(count) % len(self.classes)
        self._seed = int((generator or default_generator()).integers(0, 2**63))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels at `index`: a whole number, a slice, an array of whole numbers or a mask."""
        labels, positions = self.labels[index], np.atleast_1d(np.arange(len(self))[index])
        images = np.empty((len(positions), 3, self.size, self.size), np.uint8)
        group = max(1, _PIXELS_AT_ONCE // self.size**2)
        for number, name in enumerate(self.classes):
            members = np.flatnonzero(np.atleast_1d(labels) == number)
            for first in range(0, len(members), group):
                chosen = members[first : first + group]
                images[chosen] = _draw(name, self._numbers(positions[chosen]), self.size)
        return (images if np.ndim(labels) else images[0]), labels

    def load(self) -> Dataset:
        """All pictures, drawn into memory."""
        images, labels = self[:]
        return Dataset(images, labels, self.classes, self.name)

    def _numbers(self, positions: np.ndarray) -> np.ndarray:
        """The random numbers of each picture, uniform in [0, 1): float32 (N, _WORDS)."""
        words = np.stack([philox(self._seed, _BLOCKS * int(p), _BLOCKS).reshape(-1) for p in positions])
        return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)

    def __repr__(self) -> str:
        return (
            f"glyphs: {len(self):,} images, 3x{self.size}x{self.size} uint8, drawn lazily, {len(self.classes)} classes"
        )


def _class_names(classes: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, (int, np.integer)):
        if not 1 <= classes <= len(GLYPH_NAMES):
            raise ValueError(f"glyphs: classes expects 1 .. {len(GLYPH_NAMES)} or names; it is {classes}")
        return GLYPH_NAMES[:classes]
    names = tuple(classes)
    unknown = [name for name in names if name not in SHAPES]
    if not names or unknown or len(set(names)) < len(names):
        raise ValueError(f"glyphs: classes expects different names out of {', '.join(GLYPH_NAMES)}; it is {classes!r}")
    return names


class _Draws:
    """The columns of a table of random numbers, handed out one after the other as (N, 1, 1)."""

    def __init__(self, numbers: np.ndarray):
        self._numbers, self._used = numbers, 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        column = self._numbers[:, self._used, None, None]
        self._used += 1
        return column * (high - low) + low

    def grid(self, cells: int) -> np.ndarray:
        """(N, cells, cells)."""
        values = self._numbers[:, self._used : self._used + cells * cells].reshape(-1, cells, cells)
        self._used += cells * cells
        return values

    def rotation(self, bound: float) -> tuple[np.ndarray, np.ndarray]:
        """Cosine and sine of a random angle within 2 arctan(bound), by the rational parametrisation of the circle."""
        t = self.uniform(-bound, bound)
        scale = 1 / (1 + t * t)
        return (1 - t * t) * scale, 2 * t * scale


def _draw(name: str, numbers: np.ndarray, size: int) -> np.ndarray:
    """Pictures of one class, uint8 (N, 3, size, size), of the random numbers of each, (N, _WORDS).

    As in `_glyph_shapes`, only correctly rounded operations.
    """
    draws = _Draws(numbers)
    pixel = 2 / size
    axis = (np.arange(size, dtype=np.float32) + 0.5) * pixel - 1
    x, y = axis[None, None, :], axis[None, :, None]

    # Ground and glyph lie on different sides of middle lightness, and apart in hue.
    dark_ground, hue = draws.uniform() < 0.5, draws.uniform()
    ground_lightness, glyph_lightness = draws.uniform(0.12, 0.34), draws.uniform(0.6, 0.82)
    ground_lightness, glyph_lightness = (
        np.where(dark_ground, ground_lightness, 1 - ground_lightness),
        np.where(dark_ground, glyph_lightness, 1 - glyph_lightness),
    )
    glyph_hue = hue + draws.uniform(0.25, 0.75)

    weight = _texture(draws, x, y)
    ground = _mix(
        _rgb(hue, draws.uniform(0.25, 0.8), ground_lightness),
        _rgb(hue + draws.uniform(-0.12, 0.12), draws.uniform(0.25, 0.8), ground_lightness + draws.uniform(-0.1, 0.1)),
        weight,
    )
    for _ in range(_SPECKS):
        dx, dy = x - draws.uniform(-1, 1), y - draws.uniform(-1, 1)
        distance = np.sqrt(dx * dx + dy * dy) - draws.uniform(0.03, 0.11)
        color = _rgb(draws.uniform(), 0.7, draws.uniform(0.25, 0.75))
        ground = _mix(ground, color, 0.8 * _coverage(distance, pixel))

    scale = draws.uniform(0.45, 0.72)
    center_x, center_y = draws.uniform(-1, 1) * (0.95 - scale), draws.uniform(-1, 1) * (0.95 - scale)
    cos, sin = draws.rotation(0.2)

    def local(dx: np.ndarray | float, dy: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        px, py = (x - center_x - dx) / scale, (y - center_y - dy) / scale
        return cos * px + sin * py, cos * py - sin * px

    shape = SHAPES[name]
    shadow = shape(*local(draws.uniform(-0.08, 0.08), draws.uniform(0.02, 0.1))) * scale
    ground = ground * (1 - 0.45 * _coverage(shadow, 0.12))[:, None]
    u, v = local(0.0, 0.0)
    distance = shape(u, v) * scale
    fill = _mix(
        _rgb(glyph_hue, draws.uniform(0.6, 1), glyph_lightness),
        _rgb(glyph_hue + draws.uniform(-0.1, 0.1), draws.uniform(0.6, 1), glyph_lightness),
        np.clip(0.5 + 0.6 * v, 0, 1),
    )
    # Half of the glyphs have an outline, towards black or white and away from the ground.
    outlined = draws.uniform() < 0.5
    outline = np.where(outlined, _coverage(-0.06 - distance, pixel), 0)
    fill = _mix(fill, np.where(dark_ground, np.float32(0.97), np.float32(0.06))[:, None], 0.85 * outline)
    picture = _mix(ground, fill, _coverage(distance, pixel))
    return np.floor(np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _coverage(distance: np.ndarray, width: float) -> np.ndarray:
    """How much of a pixel lies inside an outline at `distance`: a ramp from 1 to 0, `width` wide."""
    return np.clip(0.5 - distance / width, 0, 1)


def _mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """first + weight (second - first), with colours (N, 3, ...) and the weight (N, H, W)."""
    return first + weight[:, None] * (second - first)


def _rgb(hue: np.ndarray, saturation: np.ndarray | float, lightness: np.ndarray) -> np.ndarray:
    """Colours (N, 3, 1, 1) of hue (a turn is 1), saturation and lightness."""
    chroma = saturation * np.minimum(lightness, 1 - lightness)
    channels = []
    for shift in (0, 8, 4):
        k = shift + 12 * hue
        k = k - 12 * np.floor(k / 12)
        channels.append(lightness - chroma * np.clip(np.minimum(k - 3, 9 - k), -1, 1))
    return np.stack(channels, axis=1)


def _texture(draws: _Draws, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights in 0 .. 1, (N, H, W): a gradient, clouds, stripes or dots."""
    kind = np.floor(draws.uniform(0, 4))
    cos, sin = draws.rotation(1.0)
    waves, phase = draws.uniform(1.5, 4), draws.uniform()
    along, across = (cos * x + sin * y) * waves + phase, (cos * y - sin * x) * waves + phase
    gradient = np.clip(0.5 + (along - phase) / (2 * waves), 0, 1)
    # Distances to the nearest whole number: triangle waves.
    wave, other = np.abs(along - np.floor(along + 0.5)), np.abs(across - np.floor(across + 0.5))
    stripes = np.clip((wave - 0.25) * 12 + 0.5, 0, 1)
    dots = np.clip((0.08 - (wave * wave + other * other)) * 25 + 0.5, 0, 1)
    clouds = _clouds(draws.grid(_NOISE_CELLS), x.reshape(-1), y.reshape(-1))
    return np.where(kind == 0, gradient, np.where(kind == 1, clouds, np.where(kind == 2, stripes, dots)))


def _clouds(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values at the corners of a grid, smoothly interpolated at all (y, x) in -1 .. 1."""
    cells = grid.shape[1] - 1

    def place(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        position = (axis + 1) * (cells / 2)
        cell = np.minimum(np.floor(position), cells - 1)
        t = position - cell
        return cell.astype(np.intp), t * t * (3 - 2 * t)

    (column, u), (row, v) = place(x), place(y)
    rows = grid[:, row] + v[:, None] * (grid[:, row + 1] - grid[:, row])
    return rows[:, :, column] + u * (rows[:, :, column + 1] - rows[:, :, column])
