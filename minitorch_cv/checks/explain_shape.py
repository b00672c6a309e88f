"""Explanations of a gradient whose shape is not its input's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from minitorch_cv.checks.diagnosis import Evidence, axes_text, same, subsets
from minitorch_cv.checks.report import Hypothesis


def of_another_input(evidence: Evidence) -> Iterator[Hypothesis]:
    """The gradient of another argument came back in this one's place."""
    for other, gradient in evidence.others.items():
        known = np.isfinite(gradient)
        if gradient.shape != evidence.given.shape or not known.any():
            continue
        if same(evidence.given[known], gradient[known], float(np.abs(gradient[known]).max())):
            yield Hypothesis(
                "another input's gradient",
                f"this is the gradient of {other}, not of {evidence.name}: the gradients are returned in the wrong "
                "order",
                0.97,  # less than `not_summed`: where b is added to x, db is not un-broadcast rather than dx
            )


def reshaped(evidence: Evidence) -> Iterator[Hypothesis]:
    """The right numbers in another shape: an axis of length one too many or too few, or flattened."""
    if evidence.given.size == evidence.x.size and evidence.is_right(evidence.given.reshape(evidence.x.shape)):
        yield Hypothesis(
            "reshaped",
            f"the numbers are right, the shape is not: reshape the gradient to {evidence.x.shape} (keepdims left an "
            "axis of length one, or took one away)",
            0.98,
        )


def permuted(evidence: Evidence) -> Iterator[Hypothesis]:
    """Transposed or with its axes in another order."""
    given, x = evidence.given, evidence.x
    if given.ndim != x.ndim or sorted(given.shape) != sorted(x.shape):
        return
    for order in itertools.permutations(range(x.ndim)):
        if order != tuple(range(x.ndim)) and evidence.is_right(given.transpose(order)):
            kind = "transposed" if x.ndim == 2 else "axes swapped"
            yield Hypothesis(kind, f"the gradient is {kind}: .transpose{order} of it is right", 0.98)
            return
    if x.ndim == 2 and given.shape == x.shape[::-1]:
        yield Hypothesis("transposed", f"the gradient has the shape of {evidence.name} transposed", 0.6)


def not_summed(evidence: Evidence) -> Iterator[Hypothesis]:
    """The input was broadcast (used many times); the gradients of its uses are to be added."""
    given, x = evidence.given, evidence.x
    if given.ndim < x.ndim or given.size <= x.size:
        return
    for axes in subsets(given.ndim):
        total = given.sum(axes)
        if total.size != x.size or [n for n in total.shape if n > 1] != [n for n in x.shape if n > 1]:
            continue
        if evidence.is_right(total.reshape(x.shape)):
            yield Hypothesis(
                "not un-broadcast",
                f"{evidence.name} of shape {x.shape} was broadcast, so each entry is used many times and its gradients "
                f"add up: sum the gradient of shape {given.shape} over {axes_text(axes)}",
                0.98,
            )
            return


def summed_over_wrong_axes(evidence: Evidence) -> Iterator[Hypothesis]:
    """A sum of dy over other axes than those along which the input was broadcast."""
    dy = evidence.upstream
    right = [axes for axes in subsets(dy.ndim) if _sum_is(evidence, dy, axes)]
    if not right:
        return
    for axes in subsets(dy.ndim):
        total = dy.sum(axes)
        if total.size == evidence.given.size and same(
            total.reshape(-1), evidence.given.reshape(-1), float(np.abs(total).max())
        ):
            yield Hypothesis(
                "wrong axes", f"dy was summed over {axes_text(axes)}; sum it over {axes_text(right[0])}", 0.97
            )
            return


def _sum_is(evidence: Evidence, dy: np.ndarray, axes: tuple[int, ...]) -> bool:
    total = dy.sum(axes)
    return total.size == evidence.x.size and evidence.is_right(total.reshape(evidence.x.shape))


def shape_of_output(evidence: Evidence) -> Iterator[Hypothesis]:
    """Nothing fits in numbers; the shape itself tells something."""
    given, x = evidence.given, evidence.x
    if given.shape == evidence.y.shape:
        yield Hypothesis(
            "shape",
            f"the gradient has the shape of the output, {given.shape}: it has to be brought back to that of "
            f"{evidence.name}, {x.shape}",
            0.3,
        )
    elif given.ndim == x.ndim:
        wrong = [a for a in range(x.ndim) if given.shape[a] != x.shape[a]]
        yield Hypothesis("shape", f"the lengths differ along {axes_text(tuple(wrong))}", 0.2)


EXPLANATIONS = [of_another_input, reshaped, permuted, not_summed, summed_over_wrong_axes, shape_of_output]
