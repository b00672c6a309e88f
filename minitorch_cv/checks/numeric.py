r"""Derivatives by differences, with an honest bound of their own error.

A coordinate is moved by $\pm h$ and $\pm h/2$; Richardson's extrapolation of the two central differences is the
estimate, their disagreement (far larger than the extrapolation's own error) its uncertainty. The steps are taken from a
ladder from coarse to fine, until the uncertainty is small against the derivative: a coarse step keeps rounding out, a
fine one comes between the point and a kink. Where no step is small enough the two one-sided derivatives bound what a
subgradient may be. The outputs are subtracted before they are weighted, so that what does not change cancels exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

EVERY_ENTRY_LIMIT = 2000
"""Inputs of at most this many entries are differentiated entry by entry."""
SAMPLED_ENTRIES = 256
"""How many entries of a larger input are differentiated alone; random directions cover the others."""
DIRECTIONS = 64
"""Random directions over disjoint groups, which together cover every entry of a larger input."""

DOMAIN_ERRORS = (ArithmeticError, ValueError, AssertionError, RuntimeError)
"""What a function may raise where a step leaves its domain, such as math.log of what has become negative."""

_LADDER = tuple(2.0**-k for k in (9, 13, 17, 21, 25, 5, 2))
_JACOBIAN_LIMIT = 4_000_000
_ENTRY_GOAL = 1e-5
_DIRECTION_GOAL = 1e-7
_EPS = float(np.finfo(np.float64).eps)


@dataclass
class Slope:
    """One derivative: its value, a bound of its error, and, at a kink, the range of the one-sided derivatives.

    status: "smooth"; "kink" where the one-sided derivatives differ at every step; "unresolved" where no step gives two
    figures that agree (noise, a jump, an infinite slope).
    """

    value: float
    uncertainty: float
    status: str = "smooth"
    lower: float = -math.inf
    upper: float = math.inf
    column: np.ndarray | None = None
    kinked_outputs: np.ndarray | None = None


@dataclass
class NumericGradient:
    r"""The numeric gradient of $\langle f(x), v\rangle$.

    value, uncertainty: arrays of x's shape, NaN where nothing was measured; lower, upper: what a subgradient may be at
    kinks, NaN elsewhere; status: array of "smooth", "kink", "unresolved" or ""; jacobian: (outputs, entries), columns
    of unmeasured entries NaN, or None if it is large; directions: what random directions found, for a large x;
    ties: groups of kinked entries along which the function is smooth, with the derivative along their sum.
    """

    value: np.ndarray
    uncertainty: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    status: np.ndarray
    jacobian: np.ndarray | None = None
    directions: list[tuple[np.ndarray, np.ndarray, Slope]] = field(default_factory=list)
    ties: list[tuple[np.ndarray, Slope]] = field(default_factory=list)

    @property
    def smooth(self) -> np.ndarray:
        """Mask of the entries whose derivative is known."""
        return self.status == "smooth"

    @property
    def skipped(self) -> np.ndarray:
        """Mask of the entries that were tried in vain: kinks, jumps, noise."""
        return (self.status == "kink") | (self.status == "unresolved")


def random_upstream(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random upstream gradient: magnitudes from 0.5 to 1.5 with random signs.

    An upstream gradient of ones hides the mistakes of everything whose outputs have a fixed sum (softmax, batch norm);
    magnitudes near zero would hide single outputs.
    """
    return rng.uniform(0.5, 1.5, shape) * np.where(rng.random(shape) < 0.5, -1.0, 1.0)


def numeric_gradient(
    f: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    upstream: np.ndarray,
    *,
    entries: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    base: np.ndarray | None = None,
) -> NumericGradient:
    r"""Gradient of $\langle f(x), v\rangle$ in x by differences, in float64.

    f: a function of one array, which may not keep or change it; upstream: v, of the shape of f(x); entries: flat
    indices to measure (default: all of at most 2,000, else a sample, and random directions over all); rng: draws the
    sample; base: f(x) if it is known.
    Raises: whatever f raises at x itself.
    """
    x = np.array(x, dtype=np.float64, order="C")
    v = np.asarray(upstream, dtype=np.float64).reshape(-1)
    y = _flat(f(x.copy()) if base is None else base)
    if y.size != v.size:
        raise ValueError(f"numeric_gradient: upstream of {v.size} entries expects as many outputs; f(x) has {y.size}")
    rng = rng or np.random.default_rng(0)
    probe = _Probe(f, x, y, v)
    probe.precision = _precision(probe, rng)
    with_directions = entries is None and x.size > EVERY_ENTRY_LIMIT
    if entries is None:
        entries = np.arange(x.size)
        if with_directions:
            entries = np.sort(rng.choice(x.size, SAMPLED_ENTRIES, replace=False))
    full = {name: np.full(x.size, np.nan) for name in ("value", "uncertainty", "lower", "upper")}
    status = np.full(x.size, "", dtype="<U10")
    jacobian = np.full((y.size, x.size), np.nan) if y.size * x.size <= _JACOBIAN_LIMIT else None
    kinked: dict[int, np.ndarray] = {}
    for i in entries:
        slope = probe.entry(int(i))
        status[i] = slope.status
        full["uncertainty"][i] = slope.uncertainty
        full["value"][i] = slope.value
        if slope.status != "smooth":
            full["lower"][i], full["upper"][i] = slope.lower, slope.upper
            if slope.kinked_outputs is not None:
                kinked[int(i)] = slope.kinked_outputs
        if jacobian is not None and slope.column is not None:
            jacobian[:, i] = slope.column
    _settle_small(full, status)
    value, uncertainty, lower, upper = (array.reshape(x.shape) for array in full.values())
    result = NumericGradient(value, uncertainty, lower, upper, status.reshape(x.shape), jacobian)
    result.ties = list(_tied_slopes(probe, kinked))
    if with_directions:
        result.directions = list(_direction_slopes(probe, rng))
    return result


def directional_derivative(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, direction: np.ndarray, upstream: np.ndarray
) -> Slope:
    r"""Derivative of $\langle f(x), v\rangle$ along a direction (not normalised), with its uncertainty."""
    x = np.array(x, dtype=np.float64, order="C")
    v = np.asarray(upstream, dtype=np.float64).reshape(-1)
    probe = _Probe(f, x, _flat(f(x.copy())), v)
    return probe.direction(np.asarray(direction, dtype=np.float64).reshape(-1))


def step_errors(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, index: tuple[int, ...], upstream: np.ndarray, given: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""The V-curve of one entry: step sizes, and the relative error of the central difference against `given`.

    For a right gradient it falls with $h^2$ (truncation), then rises with $1/h$ (rounding); for a wrong one it levels
    off at the gradient's error.
    """
    x = np.array(x, dtype=np.float64, order="C")
    v = np.asarray(upstream, dtype=np.float64).reshape(-1)
    probe = _Probe(f, x, _flat(f(x.copy())), v)
    flat = int(np.ravel_multi_index(index, x.shape)) if x.ndim else 0
    steps = np.logspace(-1, -12, 23)
    errors = []
    for step in steps:
        plus, minus, width = probe.move_entry(flat, float(step))
        slope = float(v @ (plus - minus)) / width
        errors.append(abs(slope - given) / max(abs(slope), abs(given), 1e-300))
    return steps, np.array(errors)


class _Probe:
    """A function at a point: its differences along coordinates and directions."""

    def __init__(self, f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, y: np.ndarray, v: np.ndarray) -> None:
        self.f, self.x, self.y, self.v = f, x, y, v
        magnitude = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
        self.scale = magnitude if magnitude > 0 and math.isfinite(magnitude) else 1.0
        self.precision = _EPS

    def at(self, point: np.ndarray) -> np.ndarray:
        """Outputs at a moved point, flat; NaN where the function fails or changes its shape there."""
        try:
            with np.errstate(all="ignore"):
                y = _flat(self.f(point))
        except DOMAIN_ERRORS:
            return np.full_like(self.y, np.nan)
        return y if y.shape == self.y.shape else np.full_like(self.y, np.nan)

    def move_entry(self, i: int, step: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Outputs with entry i moved up and down, and the distance between the two points as rounded."""
        plus, minus = self.x.copy(), self.x.copy()
        plus.reshape(-1)[i] += step
        minus.reshape(-1)[i] -= step
        width = float(plus.reshape(-1)[i] - minus.reshape(-1)[i])
        return self.at(plus), self.at(minus), width if width else math.nan

    def move_along(self, d: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Outputs with x moved along d, forward and back, and the distance between the two points."""
        shift = (step * d).reshape(self.x.shape)
        return self.at(self.x + shift), self.at(self.x - shift), 2 * step

    def entry(self, i: int) -> Slope:
        own = abs(float(self.x.reshape(-1)[i]))
        scales = [max(self.scale, own)]
        if own and own < 1e-2 * self.scale:
            scales.append(own)
        return self._climb(lambda step: self.move_entry(i, step), scales, _ENTRY_GOAL)

    def direction(self, d: np.ndarray, goal: float = _DIRECTION_GOAL) -> Slope:
        return self._climb(lambda step: self.move_along(d, step), [1.0], goal)

    def _climb(self, move: Callable[[float], tuple[np.ndarray, np.ndarray, float]], scales, goal: float) -> Slope:
        """Try steps from the ladder until one is good enough; else the best of all, or a kink."""
        best: Slope | None = None
        finest: Slope | None = None
        contrary: Slope | None = None
        ladder = [relative for relative in _LADDER if relative >= math.sqrt(self.precision)]
        fine = min(ladder)
        touched = np.zeros(self.y.size, bool)
        for scale in scales:
            for relative in ladder:
                slope, size = self._measure(move, scale * relative, touched)
                if slope is None:
                    continue
                if _contradicts(slope, best):
                    if contrary is None or not _confirms(slope, contrary):
                        contrary = slope
                        continue
                    best = None  # the coarse step strode over whole waves of the function
                if relative <= max(fine, 2.0**-13):
                    finest = slope
                if best is None or slope.uncertainty < best.uncertainty:
                    best = slope
                if slope.uncertainty <= max(goal * abs(slope.value), 1e-10 * size) or not touched.any():
                    return slope  # good enough, or a coarse step that moves nothing: independent
                if relative == fine and slope.status == "kink":
                    break  # coarser steps would not part the point from its kink
        if best is None:
            return Slope(math.nan, math.nan, "unresolved")
        share = max(20 * goal, 64 * self.precision ** (2 / 3))
        # Where everything cancels (a bias before batch norm) what is left is rounding, small against any real slope.
        whole = float(np.abs(self.v) @ np.abs(self.y)) / scales[0]
        limit = max(share * abs(best.value), 1e-8 * self._size(best), 1e-10 * whole)
        if best.uncertainty <= limit:
            best.status = "smooth"
            return best
        found = finest or best
        if found.status != "kink":
            found = Slope(best.value, best.uncertainty, "unresolved", column=best.column)
        found.value, found.uncertainty = best.value, best.uncertainty
        return found

    def _size(self, slope: Slope) -> float:
        return float(np.abs(self.v) @ np.abs(slope.column)) if slope.column is not None else 0.0

    def _measure(self, move, step: float, touched: np.ndarray) -> tuple[Slope | None, float]:
        """Slope from one rung (steps h and h/2) and the size of what was summed; None where it is not finite.

        touched: mask of the outputs that have changed at any step so far. Where such an output does not change at this
        one, the step is too fine to show: that is rounding, not a slope of zero.
        """
        plus, minus, width = move(step)
        if not (np.isfinite(plus).all() and np.isfinite(minus).all() and math.isfinite(width)):
            return None, 0.0
        near_plus, near_minus, near_width = move(step / 2)
        if not (np.isfinite(near_plus).all() and np.isfinite(near_minus).all() and math.isfinite(near_width)):
            return None, 0.0
        far, near = (plus - minus) / width, (near_plus - near_minus) / near_width
        column = near + (near - far) / 3
        # The one-sided slopes' gap falls with the step where the function is smooth and stays at a kink.
        far_gap = (plus - 2 * self.y + minus) / (width / 2)
        near_gap = (near_plus - 2 * self.y + near_minus) / (near_width / 2)
        kink = 2 * near_gap - far_gap
        weight = np.abs(self.v)
        touched |= (plus != minus) | (near_plus != near_minus)
        sizes = weight * np.abs(self.y)
        rounding = self.precision * (8 * float(sizes @ touched) + 4 * float(sizes.max(initial=0.0))) / width
        truncation = abs(float(self.v @ (near - far)))
        bend = float(weight @ np.abs(kink)) / 2
        size = float(weight @ np.abs(column))
        slope = Slope(float(self.v @ column), truncation + bend + rounding, column=column)
        noise = 64 * self.precision * np.maximum(np.abs(plus), np.abs(minus)) / width
        kinked = np.abs(kink) > 1e-3 * np.abs(column) + 1e-4 * np.abs(near_gap) + noise
        stable = np.abs(far - near) <= 1e-2 * (np.abs(near_gap) + np.abs(near)) + noise
        if kinked.any() and stable[kinked].all():
            slope.status, slope.kinked_outputs = "kink", np.flatnonzero(kinked)
            right, left = self.v * (near + near_gap / 2), self.v * (near - near_gap / 2)
            slack = 1e-5 * size + 4 * rounding
            slope.lower = float(np.minimum(right, left).sum()) - slack
            slope.upper = float(np.maximum(right, left).sum()) + slack
        return slope, size


def _precision(probe: _Probe, rng: np.random.Generator) -> float:
    """Relative precision in which the function works: that of float32 where all its outputs are such numbers.

    The point is moved a little first, since round inputs give round outputs in any precision.
    """
    y = probe.at(probe.x + 2.0**-33 * probe.scale * rng.standard_normal(probe.x.shape))
    for dtype in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            if y.any() and np.array_equal(y, y.astype(dtype)):
                return float(np.finfo(dtype).eps)
    return _EPS


def _contradicts(finer: Slope, coarser: Slope | None) -> bool:
    """Whether a finer step contradicts a good coarser one: it fell below the precision that the function works in."""
    if coarser is None or coarser.uncertainty > 5e-2 * abs(coarser.value):
        return False
    return abs(finer.value - coarser.value) > 10 * (finer.uncertainty + coarser.uncertainty)


def _confirms(finer: Slope, coarser: Slope) -> bool:
    """Whether of two slopes that contradict a third the finer repeats the coarser, and more exactly: noise does not."""
    if coarser.uncertainty > 5e-2 * abs(coarser.value) or finer.uncertainty > coarser.uncertainty:
        return False
    return abs(finer.value - coarser.value) <= finer.uncertainty + coarser.uncertainty


def _settle_small(full: dict[str, np.ndarray], status: np.ndarray) -> None:
    """Count an unresolved entry as known where its uncertainty is nothing against the largest derivative.

    What stays unresolved loses its value.
    """
    known = np.abs(full["value"][status == "smooth"])
    if known.size:
        negligible = full["uncertainty"] <= 1e-9 * float(known.max())
        status[negligible & ((status == "unresolved") | (status == "kink"))] = "smooth"
    full["value"][status != "smooth"] = np.nan
    for bound in (full["lower"], full["upper"]):
        bound[status == "smooth"] = np.nan


def _tied_slopes(probe: _Probe, kinked: dict[int, np.ndarray]) -> Iterator[tuple[np.ndarray, Slope]]:
    """Groups of entries kinked in a common output (a tie of a maximum), where moving them together is smooth."""
    owner: dict[int, int] = {}
    parent = {i: i for i in kinked}

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, outputs in kinked.items():
        for output in outputs:
            parent[root(i)] = root(owner.setdefault(int(output), i))
    groups: dict[int, list[int]] = {}
    for i in kinked:
        groups.setdefault(root(i), []).append(i)
    for members in groups.values():
        if len(members) < 2:
            continue
        direction = np.zeros(probe.x.size)
        direction[members] = probe.scale
        slope = probe.direction(direction, goal=_ENTRY_GOAL)
        if slope.status == "smooth":
            slope.value /= probe.scale
            slope.uncertainty /= probe.scale
            yield np.array(members), slope


def _direction_slopes(probe: _Probe, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray, Slope]]:
    """Slopes along random signs over disjoint random groups of entries; a group with a kink is halved twice."""
    pending = [(group, 0) for group in np.array_split(rng.permutation(probe.x.size), DIRECTIONS)]
    while pending:
        members, depth = pending.pop()
        signs = np.where(rng.random(members.size) < 0.5, -1.0, 1.0)
        slope = group_slope(probe, members, signs)
        if slope.status != "smooth" and depth < 2 and members.size > 1:
            pending += [(half, depth + 1) for half in np.array_split(members, 2)]
        else:
            yield members, signs, slope


def group_slope(probe: _Probe, members: np.ndarray, signs: np.ndarray) -> Slope:
    """Slope along `signs` in the entries `members`."""
    direction = np.zeros(probe.x.size)
    direction[members] = signs * probe.scale
    slope = probe.direction(direction)
    slope.value /= probe.scale
    slope.uncertainty /= probe.scale
    slope.column = None
    return slope


def _flat(y) -> np.ndarray:
    return np.asarray(y, dtype=np.float64).reshape(-1)
