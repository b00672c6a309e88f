r"""The shapes and letters that glyphs are drawn with, as signed distances.

Each is a function of the coordinates x (to the right) and y (downwards) in units of the glyph, float32 arrays of one
shape; it returns the distance to the outline, negative inside. Each fits into a disc of radius 1.12.

Only operations that IEEE 754 rounds correctly are used here (+ - * / sqrt, comparisons), so the bits are the same on
every machine; sums run over lists in a fixed order for the same reason.
Source of the star and the heart: I. Quilez, "2D distance functions".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import pairwise

import numpy as np

Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]
Point = tuple[float, float]


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)


def _box(x: np.ndarray, y: np.ndarray, center: Point, half: Point) -> np.ndarray:
    dx, dy = np.abs(x - center[0]) - half[0], np.abs(y - center[1]) - half[1]
    return _length(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)


def _triangle(x: np.ndarray, y: np.ndarray, tip: float, base: float, half_width: float) -> np.ndarray:
    """Symmetric about the y axis: the tip at y = `tip`, above the base at y = `base`."""
    height = base - tip
    side = (height * height + half_width * half_width) ** 0.5
    slanted = (np.abs(x) * height - (y - tip) * half_width) * (1 / side)
    return np.maximum(slanted, y - base)


def _strokes(x: np.ndarray, y: np.ndarray, lines: Sequence[Sequence[Point]], thickness: float = 0.15) -> np.ndarray:
    """Lines through given points, drawn with a round pen."""
    squared = []
    for line in lines:
        for (ax, ay), (bx, by) in pairwise(line):
            ux, uy = bx - ax, by - ay
            px, py = x - ax, y - ay
            along = np.clip((px * ux + py * uy) * (1 / (ux * ux + uy * uy)), 0, 1)
            dx, dy = px - along * ux, py - along * uy
            squared.append(dx * dx + dy * dy)
    return np.sqrt(reduce(np.minimum, squared)) - thickness


def disc(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _length(x, y) - 0.85


def ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(_length(x, y) - 0.68) - 0.2


def square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _box(x, y, (0.0, 0.0), (0.68, 0.68))


def triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _triangle(x, y, -0.98, 0.55, 0.83)


def star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five points: two reflections fold the plane onto one arm."""
    cos36, sin36 = 0.809016994375, 0.587785252292
    x, y = np.abs(x), -y
    for sign in (1.0, -1.0):
        overlap = 2 * np.maximum(sign * cos36 * x - sin36 * y, 0)
        x, y = x - overlap * (sign * cos36), y + overlap * sin36
    x, y = np.abs(x), y - 1.0
    ax, ay = -sin36 * 0.45, cos36 * 0.45 - 1.0
    along = np.clip((x * -ax + y * ay) * (1 / (ax * ax + ay * ay)), 0, 1)
    return _length(x + ax * along, y - ay * along) * np.sign(-(y * ax) - x * ay)


def plus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(_box(x, y, (0.0, 0.0), (0.88, 0.27)), _box(x, y, (0.0, 0.0), (0.27, 0.88)))


def heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    size = 1.55
    x, y = np.abs(x) * (1 / size), 0.55 - y * (1 / size)
    lobe = _length(x - 0.25, y - 0.75) - 0.353553390593
    diagonal = 0.5 * np.maximum(x + y, 0)
    to_dent, to_side = x * x + (y - 1) * (y - 1), (x - diagonal) * (x - diagonal) + (y - diagonal) * (y - diagonal)
    body = np.sqrt(np.minimum(to_dent, to_side)) * np.sign(x - y)
    return np.where(x + y > 1, lobe, body) * size


def crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_length(x, y) - 0.88, 0.68 - _length(x - 0.42, y + 0.12))


def arrow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(_triangle(x, y, -0.95, -0.05, 0.78), _box(x, y, (0.0, 0.4), (0.26, 0.5)))


def flower(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    centers = ((0.0, -0.55), (0.523, -0.17), (0.323, 0.445), (-0.323, 0.445), (-0.523, -0.17))
    petals = reduce(np.minimum, [_length(x - cx, y - cy) - 0.36 for cx, cy in centers])
    return np.maximum(petals, 0.2 - _length(x, y))


_LETTERS: dict[str, Sequence[Sequence[Point]]] = {
    "A": [[(-0.55, 0.75), (0.0, -0.75), (0.55, 0.75)], [(-0.35, 0.25), (0.35, 0.25)]],
    "E": [[(0.45, -0.75), (-0.45, -0.75), (-0.45, 0.75), (0.45, 0.75)], [(-0.45, 0.0), (0.3, 0.0)]],
    "H": [[(-0.5, -0.75), (-0.5, 0.75)], [(0.5, -0.75), (0.5, 0.75)], [(-0.5, 0.0), (0.5, 0.0)]],
    "K": [[(-0.45, -0.75), (-0.45, 0.75)], [(0.5, -0.75), (-0.45, 0.1)], [(-0.1, -0.2), (0.5, 0.75)]],
    "L": [[(-0.4, -0.75), (-0.4, 0.75), (0.5, 0.75)]],
    "M": [[(-0.6, 0.7), (-0.6, -0.7), (0.0, 0.2), (0.6, -0.7), (0.6, 0.7)]],
    "R": [
        [(-0.45, 0.75), (-0.45, -0.75), (0.15, -0.75), (0.42, -0.58), (0.42, -0.22), (0.15, -0.02), (-0.45, -0.02)],
        [(0.0, -0.02), (0.5, 0.75)],
    ],
    "S": [
        [(0.48, -0.52), (0.27, -0.73), (-0.27, -0.73), (-0.48, -0.52), (-0.48, -0.24), (-0.27, -0.06), (0.27, 0.06)]
        + [(0.48, 0.24), (0.48, 0.52), (0.27, 0.73), (-0.27, 0.73), (-0.48, 0.52)]
    ],
    "T": [[(-0.6, -0.75), (0.6, -0.75)], [(0.0, -0.75), (0.0, 0.8)]],
    "X": [[(-0.52, -0.75), (0.52, 0.75)], [(0.52, -0.75), (-0.52, 0.75)]],
}

SHAPES: dict[str, Shape] = {
    function.__name__: function
    for function in (disc, ring, square, triangle, star, plus, heart, crescent, arrow, flower)
} | {letter: partial(_strokes, lines=lines) for letter, lines in _LETTERS.items()}
