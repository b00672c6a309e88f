"""Explanations by how the gradient flows: the upstream gradient, accumulation, masks, and other operands' layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minitorch_cv.checks.diagnosis import EXACT, Evidence, axes_text, same, subsets
from minitorch_cv.checks.numeric import numeric_gradient
from minitorch_cv.checks.report import Hypothesis

_VARIANT_ENTRIES = 24
_REACH_LIMIT = 2000


def upstream_misused(evidence: Evidence) -> Iterator[Hypothesis]:
    """Backward is not linear in dy, or does not depend on it."""
    if evidence.gradient is None:
        return
    dy, name = evidence.upstream, f"d{evidence.name}"
    zero = np.asarray(evidence.gradient(np.zeros_like(dy)), dtype=np.float64)
    twice = np.asarray(evidence.gradient(2 * dy), dtype=np.float64)
    negative = np.asarray(evidence.gradient(-dy), dtype=np.float64)
    given, scale = evidence.given, evidence.scale
    if same(zero, given, scale) and same(twice, given, scale):
        yield Hypothesis(
            "upstream ignored",
            f"{name} does not depend on the upstream gradient dy: it is the gradient for dy = 1 (multiply by dy)",
            1.0,
        )
    elif same(twice, 4 * given, 4 * scale):
        yield Hypothesis("upstream squared", f"{name} grows with the square of dy: dy is multiplied in twice", 0.99)
    elif not same(zero, np.zeros_like(zero), scale):
        yield Hypothesis(
            "term without upstream", f"{name} is not zero for dy = 0: a term of it lacks the factor dy", 0.92
        )
    elif same(twice, 2 * given, 2 * scale) and not same(negative, -given, scale):
        yield Hypothesis(
            "mask on upstream",
            f"{name} for -dy is not -{name}: a mask or an absolute value is taken of dy; it belongs on {evidence.name}",
            0.99,
        )
    elif not same(twice, 2 * given, 2 * scale):
        yield Hypothesis("not linear", f"{name} is not linear in dy, as every backward is", 0.9)


def upstream_rearranged(evidence: Evidence) -> Iterator[Hypothesis]:
    """The gradient belongs to another upstream gradient: its mean, its transpose, a shifted or flipped one."""
    jacobian, dy = evidence.jacobian, evidence.upstream
    if jacobian is None or dy.size < 2:
        return
    candidates: list[tuple[str, np.ndarray]] = [("ones instead of dy", np.ones_like(dy))]
    candidates += [("the mean of dy", np.full_like(dy, dy.mean())), ("the sum of dy", np.full_like(dy, dy.sum()))]
    candidates.append(("the absolute value of dy", np.abs(dy)))
    for axes in subsets(dy.ndim) if dy.ndim <= 4 else []:
        candidates.append((f"dy reversed along {axes_text(axes)}", np.flip(dy, axes)))
        if len(axes) < dy.ndim:
            mean = np.broadcast_to(dy.mean(axes, keepdims=True), dy.shape)
            candidates.append((f"the mean of dy over {axes_text(axes)}", mean))
    for axis in range(dy.ndim):
        for step in (1, -1):
            moved = np.roll(dy, step, axis)
            candidates.append((f"dy shifted by {step} along axis {axis}", moved))
    for axis in range(dy.ndim - 1):
        if dy.shape[axis] == dy.shape[axis + 1]:
            candidates.append((f"dy with axes {axis} and {axis + 1} swapped", np.swapaxes(dy, axis, axis + 1)))
    for text, candidate in candidates:
        if evidence.matches((candidate.reshape(-1) @ jacobian).reshape(evidence.x.shape)):
            yield Hypothesis("upstream rearranged", f"d{evidence.name} is the gradient for {text}", 0.94)
            return


def overwritten(evidence: Evidence) -> Iterator[Hypothesis]:
    """An entry that is used several times holds its last (or first) contribution instead of the sum."""
    jacobian = evidence.jacobian
    if jacobian is None or not evidence.known.all():
        return
    contributions = evidence.upstream.reshape(-1, 1) * jacobian
    touches = [jacobian != 0]
    reach = _reach(evidence)
    if reach is not None and (reach != touches[0]).any():
        touches.append(reach)
    axes_of_loops = subsets(evidence.y.ndim) if 1 <= evidence.y.ndim <= 4 else []
    for touched in touches:
        if (touched.sum(0) <= 1).all():
            continue
        for loops in axes_of_loops:
            turn = _loop_turn(evidence.y.shape, loops)
            for which, order in (("last", turn), ("first", turn.max() - turn)):
                latest = np.where(touched, order[:, None], -1).max(0)
                kept = (contributions * (order[:, None] == latest)).sum(0)
                if evidence.matches(kept.reshape(evidence.x.shape)):
                    yield Hypothesis(
                        "overwritten",
                        f"each entry of d{evidence.name} holds only the {which} contribution in the loop over the "
                        f"output's {axes_text(loops)}, though several outputs use it: accumulate (+=, np.add.at) "
                        "instead of overwriting (=)",
                        0.97,
                    )
                    return
    yield from _written_once_by_index(evidence, contributions)


def _written_once_by_index(evidence: Evidence, contributions: np.ndarray) -> Iterator[Hypothesis]:
    """Every entry equals the right value or a single contribution."""
    given, expected = evidence.given.reshape(-1), evidence.expected.reshape(-1)
    tolerance = EXACT * evidence.scale
    wrong = np.flatnonzero(np.abs(given - expected) > tolerance)
    if wrong.size < 2:
        return
    single = [bool((np.abs(contributions[:, i] - given[i]) <= tolerance).any() and given[i] != 0) for i in wrong]
    if all(single):
        yield Hypothesis(
            "overwritten",
            f"every wrong entry of d{evidence.name} holds a single contribution instead of the sum of all: accumulate "
            "(np.add.at for repeated indices) instead of overwriting",
            0.9,
        )


def _loop_turn(shape: tuple[int, ...], loops: tuple[int, ...]) -> np.ndarray:
    """When each output has its turn in nested loops over some of its axes."""
    index = np.indices(shape).reshape(len(shape), -1)
    return np.asarray(np.ravel_multi_index(tuple(index[a] for a in loops), tuple(shape[a] for a in loops)))


def outputs_left_out(evidence: Evidence) -> Iterator[Hypothesis]:
    """Some outputs contribute nothing: a loop that stops early or starts late, leftover rows, one example."""
    jacobian = evidence.jacobian
    if jacobian is None or evidence.y.ndim == 0:
        return
    contributions = (evidence.upstream.reshape(-1, 1) * jacobian).reshape(*evidence.y.shape, -1)
    for axis in range(evidence.y.ndim):
        count = evidence.y.shape[axis]
        if count < 2:
            continue
        along = np.moveaxis(contributions, axis, 0).reshape(count, -1, evidence.x.size).sum(1)
        for index in range(count):
            if evidence.matches((along.sum(0) - along[index]).reshape(evidence.x.shape)):
                yield Hypothesis(
                    "outputs left out",
                    f"the outputs with index {index} along axis {axis} contribute nothing to d{evidence.name}: a loop "
                    "that stops early or starts late",
                    0.96,
                )
                return
            if evidence.matches(along[index].reshape(evidence.x.shape)):
                yield Hypothesis(
                    "only some outputs",
                    f"only the outputs with index {index} along axis {axis} contribute to d{evidence.name}: the sum "
                    "over that axis is missing, or each step overwrites the one before",
                    0.98,
                )
                return


def _reach(evidence: Evidence) -> np.ndarray | None:
    """Which outputs an entry could move if it were large: mask (outputs, entries); None where it is not known."""
    if evidence.reach is not None:
        return evidence.reach
    if evidence.outputs is None or evidence.x.size > _REACH_LIMIT or evidence.jacobian is None:
        return None
    large = 10 * (float(np.abs(evidence.x).max()) + 1)
    reach = np.zeros(evidence.jacobian.shape, bool)
    for i in range(evidence.x.size):
        for value in (large, -large):
            moved = evidence.x.copy()
            moved.reshape(-1)[i] = value
            reach[:, i] |= evidence.outputs(**{evidence.name: moved}).reshape(-1) != evidence.y.reshape(-1)
    evidence.reach = reach
    return reach


def mask_forgotten(evidence: Evidence) -> Iterator[Hypothesis]:
    """The upstream gradient reaches every entry that could be selected, not those alone that were."""
    jacobian, dy = evidence.jacobian, evidence.upstream
    if jacobian is None or not evidence.known.all():
        return
    reach = _reach(evidence)
    if reach is None:
        return
    name = f"d{evidence.name}"
    passed = (dy.reshape(-1) @ reach).reshape(evidence.x.shape)
    selecting = bool(np.isin(np.round(jacobian, 6), (0.0, 1.0)).all()) and bool((reach & (jacobian == 0)).any())
    if evidence.matches(passed):
        if selecting:
            yield Hypothesis(
                "mask forgotten",
                f"{name} passes dy to every entry of a window, though only the one that was selected (the maximum, the "
                "positive ones) gets it: the mask is missing",
                0.98,
            )
        else:
            yield Hypothesis(
                "local derivative missing", f"{name} is dy passed on as it is: the local derivative is missing", 0.97
            )
    spread = (dy.reshape(-1) / np.maximum(reach.sum(1), 1) @ reach).reshape(evidence.x.shape)
    if evidence.matches(spread) and not evidence.matches(passed):
        yield Hypothesis(
            "mask forgotten",
            f"{name} spreads dy evenly over each window, as average pooling does, not to its maximum",
            0.98,
        )
    if selecting:
        inverse = (dy.reshape(-1) @ (reach & (jacobian == 0))).reshape(evidence.x.shape)
        if evidence.matches(inverse):
            yield Hypothesis(
                "mask inverted", f"{name} goes to the entries that were not selected: the mask is inverted", 0.98
            )


def mask_of_upstream(evidence: Evidence) -> Iterator[Hypothesis]:
    """relu's mask taken of dy (where backward cannot be called again, this shows in the numbers)."""
    dy = evidence.upstream
    if dy.shape == evidence.x.shape and evidence.matches(dy * (dy > 0)):
        yield Hypothesis(
            "mask on upstream",
            f"d{evidence.name} is dy where dy > 0: the mask belongs on {evidence.name}, not on dy",
            0.99,
        )


def ties(evidence: Evidence) -> Iterator[Hypothesis]:
    """Equal maxima that each get the whole gradient."""
    if evidence.given.shape != evidence.expected.shape:
        return
    flat = evidence.given.reshape(-1)
    for members, slope in evidence.ties:
        tolerance = EXACT * max(abs(slope.value), 1e-300)
        if abs(flat[members].sum() - members.size * slope.value) <= members.size * tolerance and slope.value:
            yield Hypothesis(
                "ties",
                f"{members.size} equal maxima each get the whole gradient ({slope.value:.4g}), which counts it "
                f"{members.size} times: give it to one of them, or divide it",
                0.97,
            )
            return


def other_operand_rearranged(evidence: Evidence) -> Iterator[Hypothesis]:
    """The gradient belongs to another input that is flipped, transposed, shifted or has its channels mixed."""
    if evidence.outputs is None:
        return
    index = _telling_entries(evidence)
    if index.size < 2:
        return
    for other, value in evidence.inputs.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or other == evidence.name or value.ndim == 0:
            continue
        for kind, text, moved in _rearrangements(other, value):
            if np.array_equal(moved, value):
                continue
            if _gradient_fits(evidence, index, {other: moved}):
                yield Hypothesis(kind, f"d{evidence.name} is the gradient that belongs to {text}", 0.95)
                return
    yield from _setting_dropped(evidence, index)


def _setting_dropped(evidence: Evidence, index: np.ndarray) -> Iterator[Hypothesis]:
    """The gradient belongs to a small number, such as eps, set to zero."""
    for other, value in evidence.inputs.items():
        if isinstance(value, float) and value != 0 and _gradient_fits(evidence, index, {other: 0.0}):
            yield Hypothesis(
                "setting dropped", f"d{evidence.name} is the gradient for {other} = 0: {other} is missing", 0.95
            )


def _telling_entries(evidence: Evidence) -> np.ndarray:
    """The measured entries that are most wrong, and some others."""
    with np.errstate(invalid="ignore"):
        gap = np.where(evidence.known, np.abs(evidence.given - evidence.expected), -1.0).reshape(-1)
    order = np.argsort(-gap, kind="stable")
    order = order[gap[order] >= 0]
    half = _VARIANT_ENTRIES // 2
    rest = np.random.default_rng(0).permutation(order[half:])[: _VARIANT_ENTRIES - half]
    return np.concatenate([order[:half], rest])


def _gradient_fits(evidence: Evidence, index: np.ndarray, moved: dict[str, Any]) -> bool:
    """Whether the given gradient is that of forward with some arguments replaced, at the telling entries."""
    outputs = evidence.outputs
    assert outputs is not None

    def f(x: np.ndarray) -> np.ndarray:
        return outputs(**{evidence.name: x}, **moved)

    if f(evidence.x).shape != evidence.y.shape:
        return False
    for count in (3, index.size):  # a few entries refute most of the variants
        exact = numeric_gradient(f, evidence.x, evidence.upstream, entries=index[:count]).value.reshape(-1)[
            index[:count]
        ]
        if not same(exact, evidence.given.reshape(-1)[index[:count]], evidence.scale):
            return False
    return True


def _rearrangements(name: str, value: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """An array flipped, transposed, shifted by one, or with its groups of channels interleaved."""
    if value.ndim == 2 and value.shape[0] == value.shape[1]:
        yield "operand transposed", f"{name} transposed: use {name}.T, or do not", value.T
    if value.ndim >= 3:
        spatial = tuple(range(2, value.ndim)) if value.ndim > 2 else ()
        for axes in [spatial] + [(a,) for a in spatial]:
            if axes:
                text = f"{name} flipped along {axes_text(axes)}: the kernel is flipped once too often or not at all"
                yield "kernel flipped", text, np.flip(value, axes)
        for first, second in ((0, 1), (value.ndim - 2, value.ndim - 1)):
            if value.shape[first] == value.shape[second]:
                text = f"{name} with axes {first} and {second} swapped"
                yield "operand transposed", text, np.swapaxes(value, first, second)
    for axis in range(min(value.ndim, 2)):
        count = value.shape[axis]
        for groups in range(2, count):
            if count % groups == 0:
                order = np.arange(count).reshape(groups, -1).T.reshape(-1)
                text = f"{name} with its {groups} groups along axis {axis} interleaved: channels of groups are mixed up"
                yield "groups mixed", text, np.take(value, order, axis)
        if count > 1:
            yield "groups mixed", f"{name} shifted by one along axis {axis}", np.roll(value, 1, axis)
            yield "groups mixed", f"{name} reversed along axis {axis}", np.flip(value, axis)
    if value.ndim == 4:
        for down, right in ((1, 1), (-1, -1), (1, 0), (0, 1), (-1, 0), (0, -1)):
            text = f"{name} shifted by ({down}, {right}) in space: the padding is off by that"
            yield "operand shifted", text, _shift_in_space(value, down, right)


def _shift_in_space(value: np.ndarray, down: int, right: int) -> np.ndarray:
    """Shifted over the last two axes, zeros moving in."""
    padded = np.pad(value, [(0, 0)] * (value.ndim - 2) + [(1, 1), (1, 1)])
    height, width = value.shape[-2:]
    return padded[..., 1 - down : 1 - down + height, 1 - right : 1 - right + width]


EXPLANATIONS = [
    upstream_misused,
    upstream_rearranged,
    outputs_left_out,
    mask_of_upstream,
    ties,
    overwritten,
    mask_forgotten,
    other_operand_rearranged,
]
COSTLY = [overwritten, mask_forgotten, other_operand_rearranged]
