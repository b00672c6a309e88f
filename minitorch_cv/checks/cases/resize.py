"""Cases of `interpolate`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops import interpolate
from ..case import Case, ErrorCase, Fault, wrong_gradient


def naive_interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """One output pixel at a time, from its source's coordinates."""
    given: Any = size or scale_factor
    pair = given if isinstance(given, tuple) else (given, given)
    if size is None:
        oh, ow = (math.floor(n * s) for n, s in zip(x.shape[2:], pair))
        ratios = [1.0 if m == n else 1 / s for n, m, s in zip(x.shape[2:], (oh, ow), pair)]
    else:
        (oh, ow), ratios = pair, [n / m for n, m in zip(x.shape[2:], pair)]
    y = np.zeros((*x.shape[:2], oh, ow))
    for p, q in np.ndindex(oh, ow):
        if mode == "nearest":
            h, v = (min(math.floor(i * r), n - 1) for i, r, n in zip((p, q), ratios, x.shape[2:]))
            y[:, :, p, q] = x[:, :, h, v]
            continue
        corners = []
        for i, m, r, n in zip((p, q), (oh, ow), ratios, x.shape[2:]):
            source = i * (n - 1) / max(m - 1, 1) if align_corners else max((i + 0.5) * r - 0.5, 0.0)
            low = min(math.floor(source), n - 1)
            share = source - low if low < n - 1 else 0.0
            corners.append([(low, 1 - share), (min(low + 1, n - 1), share)])
        for h, a in corners[0]:
            for v, b in corners[1]:
                y[:, :, p, q] += a * b * x[:, :, h, v]
    return y


def _x(*shape):
    return lambda rng: {"x": rng.standard_normal(shape)}


def _case(title, shape, **settings):
    return Case("interpolate", title, _x(*shape), settings, naive_interpolate)


CASES = [
    _case("nearest, twice as large", (2, 3, 3, 2), scale_factor=2),
    _case("nearest, to an uneven size", (1, 2, 5, 4), size=(3, 7)),
    _case("nearest, by a scale that leaves the height", (1, 2, 4, 5), scale_factor=(1.2, 2)),
    _case("nearest, by a scale that does not divide", (1, 2, 5, 4), scale_factor=(1.7, 0.6)),
    _case("bilinear, larger", (2, 2, 3, 4), size=(5, 9), mode="bilinear"),
    _case("bilinear, smaller", (1, 2, 7, 6), size=(3, 4), mode="bilinear", align_corners=False),
    _case("bilinear, by a scale that does not divide", (1, 2, 3, 5), scale_factor=(1.7, 2.5), mode="bilinear"),
    _case("bilinear, corners aligned", (2, 1, 3, 4), size=(5, 2), mode="bilinear", align_corners=True),
    _case("bilinear, corners aligned, one pixel", (1, 2, 3, 4), size=(1, 3), mode="bilinear", align_corners=True),
    Case(
        "take_rows_and_columns",
        "some twice, some never; channels last",
        lambda rng: {"x": rng.standard_normal((2, 4, 5, 3)).transpose(0, 3, 1, 2)},
        {"rows": np.array([0, 0, 0, 2, 3]), "columns": np.array([0, 1, 1, 2, 2, 4])},
        lambda x, rows, columns: x[:, :, rows][:, :, :, columns],
    ),
    Case(
        "add_rows_and_columns",
        "some twice, some never",
        lambda rng: {"dy": rng.standard_normal((2, 1, 3, 5))},
        {"rows": np.array([0, 2, 2]), "columns": np.array([0, 1, 1, 2, 3]), "size": (4, 4)},
    ),
    Case(
        "weigh_rows_and_columns",
        "two matrices",
        lambda rng: {
            "x": rng.standard_normal((2, 2, 3, 4)),
            "rows": rng.standard_normal((5, 3)),
            "columns": rng.standard_normal((2, 4)),
        },
        {},
        lambda x, rows, columns: np.einsum("ph,nchv,qv->ncpq", rows, x, columns),
        wrt=("x",),
    ),
]

_image = np.zeros((1, 2, 4, 5))

ERRORS = [
    ErrorCase(
        "interpolate",
        lambda: interpolate(np.zeros((2, 4, 5)), 2),
        ValueError,
        "interpolate: x expects four axes (N, C, H, W), none of them empty; it is (2, 4, 5)",
    ),
    ErrorCase(
        "interpolate",
        lambda: interpolate(_image),
        ValueError,
        "interpolate: expects one of size and scale_factor; they are None and None",
    ),
    ErrorCase(
        "interpolate",
        lambda: interpolate(_image, 3, 2),
        ValueError,
        "interpolate: expects one of size and scale_factor; they are 3 and 2",
    ),
    ErrorCase(
        "interpolate",
        lambda: interpolate(_image, (3, 0)),
        ValueError,
        "interpolate: size expects an output of at least 1 x 1; it is (3, 0), x is 4 x 5",
    ),
    ErrorCase(
        "interpolate",
        lambda: interpolate(_image, scale_factor=0.2),
        ValueError,
        "interpolate: scale_factor expects an output of at least 1 x 1; it is (0.2, 0.2), x is 4 x 5",
    ),
    ErrorCase(
        "interpolate",
        lambda: interpolate(_image, 3, mode="cubic"),
        ValueError,
        "interpolate: mode expects 'nearest' or 'bilinear'; it is 'cubic'",
    ),
    ErrorCase(
        "interpolate",
        lambda: interpolate(_image, 3, align_corners=True),
        ValueError,
        "interpolate: align_corners expects mode='bilinear'; the mode is 'nearest'",
    ),
]


def _last_one_alone(grads, dy, x, rows, columns):
    dx = np.zeros(x.shape)
    for p, q in np.ndindex(len(rows), len(columns)):
        dx[:, :, rows[p], columns[q]] = dy[:, :, p, q]
    return [dx]


FAULTS = [
    Fault(
        "take_rows_and_columns",
        "of the pixels taken from one place the last alone counts",
        wrong_gradient(_last_one_alone),
    ),
    Fault(
        "weigh_rows_and_columns",
        "rows alone weighed back",
        wrong_gradient(lambda grads, dy, x, rows, columns: [rows.T @ dy @ (columns > 0)]),
    ),
]
