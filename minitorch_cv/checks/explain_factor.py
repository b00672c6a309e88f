"""Explanations of a gradient that is a multiple or a rearrangement of the right one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from minitorch_cv.checks.diagnosis import Evidence, axes_text, same
from minitorch_cv.checks.report import Hypothesis

_EXTENTS = {(0,): "the batch size N", (1,): "the number of channels", (2, 3): "H*W", (0, 2, 3): "N*H*W"}


def zero(evidence: Evidence) -> Iterator[Hypothesis]:
    """Nothing flows back."""
    if not evidence.given[evidence.known].any():
        yield Hypothesis(
            "zero", f"the gradient of {evidence.name} is zero everywhere: never computed, or never written", 1.0
        )


def of_another_input(evidence: Evidence) -> Iterator[Hypothesis]:
    """The gradient of another argument of the same shape came back in this one's place."""
    for other, gradient in evidence.others.items():
        if gradient.shape != evidence.given.shape:
            continue
        both = evidence.known & np.isfinite(gradient)
        if both.any() and same(evidence.given[both], gradient[both], evidence.scale):
            yield Hypothesis(
                "another input's gradient",
                f"this is the gradient of {other}, not of {evidence.name}: the gradients are returned in the wrong "
                "order",
                0.99,
            )


def constant_factor(evidence: Evidence) -> Iterator[Hypothesis]:
    """The right gradient times one number."""
    factor = _projection(evidence.given[evidence.known], evidence.expected[evidence.known])
    if not math.isfinite(factor) or abs(factor) < 1e-9 or not evidence.matches(factor * evidence.expected):
        return
    name = f"d{evidence.name}"
    single = int(evidence.known.sum()) == 1
    if math.isclose(factor, -1, rel_tol=1e-4):
        yield Hypothesis("sign", f"{name} has the wrong sign: it is -1 times the numeric gradient everywhere", 0.99)
        return
    start = f"{name} is {factor:.4g} times the numeric gradient everywhere"
    for text, kind in _factor_names(evidence, factor):
        yield Hypothesis("constant factor", f"{start}; {text}", 0.7 if single else kind)
        return
    yield Hypothesis("constant factor", f"{start}: a constant factor is wrong", 0.6 if single else 0.93)


def _factor_names(evidence: Evidence, factor: float) -> Iterator[tuple[str, float]]:
    """What a factor may come from, the likeliest first."""
    for argument, value in evidence.inputs.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value not in (0, 1):
            if _close(factor, value):
                yield f"that is {argument}, which is multiplied in once too often", 0.97
            elif _close(factor, 1 / value):
                yield f"that is 1/{argument}: the factor {argument} is missing", 0.97
    for count, origin in _counts(evidence):
        if _close(factor, count):
            yield f"{count} is {origin}: a mean's 1/{count} is missing", 0.98
        elif _close(factor, -count):
            yield f"{count} is {origin}: a mean's 1/{count} is missing, and the sign is wrong", 0.97
        elif _close(factor, 1 / count):
            yield f"{count} is {origin}: divided by it once too often (a mean where a sum belongs)", 0.98
        elif count > 2 and (_close(factor, count / (count - 1)) or _close(factor, (count - 1) / count)):
            yield f"that is {count}/{count - 1} or its inverse, where {count} is {origin}: N and N-1 are confused", 0.96
    if _close(factor, 2) or _close(factor, 0.5):
        yield "a factor 2, as of a square's derivative, is missing or one too many", 0.975
    for count, origin in _counts(evidence):
        if count > 1 and _close(factor, math.sqrt(count)):
            yield f"that is sqrt({count}), where {count} is {origin}: a factor 1/sqrt({count}) is missing", 0.975
        elif count > 1 and _close(factor, 1 / math.sqrt(count)):
            yield f"that is 1/sqrt({count}), where {count} is {origin}: divided by it once too often", 0.975


def _counts(evidence: Evidence) -> list[tuple[int, str]]:
    """The counts that a mean may divide by: products of lengths of the arrays' axes."""
    counts: list[tuple[int, str]] = []
    window, rest = divmod(evidence.x.size, max(evidence.y.size, 1))
    if evidence.x.ndim == evidence.y.ndim >= 3 and window > 1 and not rest:
        counts.append((window, "the size of a window, inputs for each output"))
    arrays = {n: v for n, v in evidence.inputs.items() if isinstance(v, np.ndarray)}
    first = next(iter(arrays), evidence.name)
    batches = (first, "the output")  # weights have their axes counted, too, but no batch along them
    arrays = {first: arrays.get(first, evidence.x), "the output": evidence.y, evidence.name: evidence.x, **arrays}
    for name, array in arrays.items():
        if array.ndim > 4:
            continue
        for size in range(1, array.ndim + 1):
            for axes in itertools.combinations(range(array.ndim), size):
                count = math.prod(array.shape[a] for a in axes)
                text = f"the length of {name} along {axes_text(axes)}"
                if name in batches and axes in _EXTENTS and (array.ndim == 4 or (array.ndim > 1 and axes == (0,))):
                    text = f"{_EXTENTS[axes]} of {name}"
                if count > 1 and all(count != known for known, _ in counts):
                    counts.append((count, text))
    return counts


def factor_along_axes(evidence: Evidence) -> Iterator[Hypothesis]:
    """The right gradient times a number that differs from channel to channel, say, but not within one."""
    expected, given = evidence.expected, evidence.given
    if not evidence.known.all() or evidence.x.ndim < 2:
        return
    if evidence.matches(_projection(given, expected) * expected):
        return  # a constant factor, which is told already
    for reduced in sorted(evidence.axes, key=len, reverse=True):
        if len(reduced) == evidence.x.ndim:
            continue
        kept = tuple(a for a in range(evidence.x.ndim) if a not in reduced)
        power = (expected * expected).sum(reduced, keepdims=True)
        ratio = np.divide(
            (given * expected).sum(reduced, keepdims=True), power, where=power > 0, out=np.ones_like(power)
        )
        if math.prod(expected.shape[a] for a in reduced) < 2 or not evidence.matches(ratio * expected):
            continue
        origin = _origin_of_ratio(evidence, ratio, reduced)
        values = ", ".join(f"{r:.4g}" for r in ratio.reshape(-1)[:3])
        yield Hypothesis(
            "factor along axes",
            f"d{evidence.name} is off by a factor that differs only along {axes_text(kept)} ({values}, ...)"
            + (f": {origin}" if origin else ""),
            0.96 if origin else 0.8,
        )
        return


def _origin_of_ratio(evidence: Evidence, ratio: np.ndarray, reduced: tuple[int, ...]) -> str:
    """Which quantity the factors are: another input, or a spread of this one."""
    flat = ratio.reshape(-1)

    def proportional(a: np.ndarray) -> bool:
        scaled = a * _projection(flat, a)
        return bool(np.isfinite(scaled).all()) and same(scaled, flat, float(np.abs(flat).max()))

    for name, value in evidence.inputs.items():
        if (
            not isinstance(value, np.ndarray)
            or value.dtype.kind != "f"
            or value.size != flat.size
            or name == evidence.name
        ):
            continue
        other = value.reshape(-1)
        if proportional(1 / other):
            return f"they are 1/{name}: the factor {name} is missing"
        if proportional(other):
            return f"they are {name}, which is multiplied in once too often"
    variance = evidence.x.var(axis=reduced).reshape(-1)
    for power, text in (
        (0.5, "they go with the standard deviation: a division by it is missing"),
        (-0.5, "they go with 1/std: divided by the variance where the standard deviation belongs"),
        (1.0, "they go with the variance: a division by it is missing"),
        (-1.0, "they go with 1/variance: divided by it once too often"),
        (1.5, "they go with var^(3/2)"),
        (-1.5, "they go with var^(-3/2)"),
    ):
        near = variance**power
        if np.ptp(flat) > 1e-3 * np.abs(flat).max() and np.abs(flat / near / np.median(flat / near) - 1).max() < 2e-3:
            return text
    epsilon = (flat**2 - 1) * variance
    if np.abs(flat - 1).max() < 0.5 and np.abs(epsilon - np.median(epsilon)).max() <= 0.05 * abs(np.median(epsilon)):
        return f"they are sqrt((var + eps)/var) for eps = {np.median(epsilon):.1e}: eps is missing"
    return ""


def rearranged(evidence: Evidence) -> Iterator[Hypothesis]:
    """Transposed, flipped, rolled or permuted along an axis."""
    expected, x, name = evidence.expected, evidence.x, f"d{evidence.name}"
    for order in itertools.permutations(range(x.ndim)) if x.ndim <= 4 else ():
        moved = expected.transpose(order)
        if order != tuple(range(x.ndim)) and moved.shape == x.shape and _rearranged_is(evidence, moved):
            kind = "transposed" if x.ndim == 2 else "axes swapped"
            yield Hypothesis(
                kind, f"{name} is {kind}: it is the numeric gradient with its axes in the order {order}", 0.97
            )
            return
    for axes in evidence.axes:
        if all(x.shape[a] > 1 for a in axes) and _rearranged_is(evidence, np.flip(expected, axes)):
            where = (
                "the kernel is flipped, or not flipped, in space" if x.ndim == 4 and axes[-1] >= 2 else "it is reversed"
            )
            yield Hypothesis(
                "flipped", f"{name} is the numeric gradient reversed along {axes_text(axes)}: {where}", 0.97
            )
            return
    yield from _shifted(evidence)
    yield from _permuted_slices(evidence)


def _rearranged_is(evidence: Evidence, moved: np.ndarray) -> bool:
    both = evidence.known & np.isfinite(moved)
    return bool(both.sum() >= 2) and same(moved[both], evidence.given[both], evidence.scale)


def _shifted(evidence: Evidence) -> Iterator[Hypothesis]:
    """Off by one or two entries along an axis or both spatial axes."""
    x, expected = evidence.x, evidence.expected
    groups = [(a,) for a in range(x.ndim)] + ([(x.ndim - 2, x.ndim - 1)] if x.ndim >= 3 else [])
    for axes in groups:
        for step in (1, -1, 2, -2):
            if any(x.shape[a] <= abs(step) + 1 for a in axes):
                continue
            moved = np.roll(expected, (step,) * len(axes), axes)
            inside = evidence.known & np.isfinite(moved)
            for a in axes:  # what was rolled in from the other end proves nothing
                edge = [slice(None)] * x.ndim
                edge[a] = slice(0, step) if step > 0 else slice(step, None)
                inside[tuple(edge)] = False
            if (
                inside.sum() >= 4
                and np.ptp(moved[inside])
                and same(moved[inside], evidence.given[inside], evidence.scale)
            ):
                yield Hypothesis(
                    "shifted",
                    f"d{evidence.name} is the numeric gradient shifted by {step} along {axes_text(axes)}: an offset, "
                    "such as the padding that is cut off, is wrong by that",
                    0.96,
                )
                return


def _permuted_slices(evidence: Evidence) -> Iterator[Hypothesis]:
    """The right slices along an axis in another order: channels or groups mixed up."""
    x, expected, given = evidence.x, evidence.expected, evidence.given
    if not evidence.known.all():
        return
    for axis in range(x.ndim):
        count = x.shape[axis]
        if not 2 <= count <= 256 or x.size // count < 2:
            continue
        right = np.moveaxis(expected, axis, 0).reshape(count, -1)
        mine = np.moveaxis(given, axis, 0).reshape(count, -1)
        order = [int(np.argmin(np.abs(right - row).max(1))) for row in mine]
        if sorted(order) != list(range(count)) or order == list(range(count)):
            continue
        if not same(right[order], mine, evidence.scale):
            continue
        groups = next(
            (g for g in range(2, count) if order == np.arange(count).reshape(-1, g).T.reshape(-1).tolist()), 0
        )
        text = f": the {groups} groups are interleaved instead of lying one after the other" if groups else ""
        yield Hypothesis(
            "slices permuted",
            f"d{evidence.name} has the right slices along {axes_text((axis,))} in the wrong order {order}{text}",
            0.96,
        )
        return


def averaged(evidence: Evidence) -> Iterator[Hypothesis]:
    """The sum or mean over some axes instead of each entry's own gradient."""
    if not evidence.known.all():
        return
    for axes in evidence.axes:
        if math.prod(evidence.x.shape[a] for a in axes) < 2:
            continue
        total = evidence.expected.sum(axes, keepdims=True)
        if np.abs(total).max() < 1e-6 * evidence.scale:
            continue
        for verb, value in (("sum", total), ("mean", evidence.expected.mean(axes, keepdims=True))):
            if evidence.matches(np.broadcast_to(value, evidence.x.shape)):
                yield Hypothesis(
                    "averaged",
                    f"every entry of d{evidence.name} holds the {verb} of the gradient over {axes_text(axes)}",
                    0.95,
                )
                return


def _projection(a: np.ndarray, b: np.ndarray) -> float:
    power = float((b * b).sum())
    return float((a * b).sum()) / power if power > 0 else math.nan


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4)


EXPLANATIONS = [zero, of_another_input, constant_factor, factor_along_axes, rearranged, averaged]
