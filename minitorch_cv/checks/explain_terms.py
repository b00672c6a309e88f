"""Explanations by a term: the error is projected on what is known to occur in derivatives."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minitorch_cv.checks.diagnosis import EXACT, Evidence, axes_text, subsets
from minitorch_cv.checks.report import Hypothesis


def missing_term(evidence: Evidence) -> Iterator[Hypothesis]:
    """The error is a known term times one coefficient, or one coefficient a channel (or row)."""
    error = np.where(evidence.known, evidence.given - evidence.expected, 0.0)
    largest = float(np.abs(error).max())
    if largest <= EXACT * evidence.scale or int(evidence.known.sum()) < 4:
        return
    terms = _terms(evidence)
    patterns = [tuple(range(evidence.x.ndim))] + [
        axes for axes in sorted(evidence.axes, key=len, reverse=True) if len(axes) < evidence.x.ndim
    ]
    for reduced in patterns:
        if not _tells(evidence, reduced, 1):
            continue
        for kind, text, term in terms:
            coefficients = _fit(evidence, error, [term], reduced)
            if coefficients is not None:
                yield _finding(evidence, kind, text, coefficients[0], reduced)
                return
    for reduced in patterns:
        if not _tells(evidence, reduced, 2):
            continue
        coefficients = _fit(evidence, error, [np.ones_like(evidence.x), evidence.x], reduced)
        if coefficients is not None:
            text = (
                f"the error of d{evidence.name} is a + b*{evidence.name}, with a and b constant over "
                f"{axes_text(reduced)}: "
                "both the path through the mean and the path through the variance are missing or wrong"
            )
            yield Hypothesis("missing term", text, 0.92)
            return


def _finding(evidence: Evidence, kind: str, text: str, coefficient: np.ndarray, reduced: tuple[int, ...]) -> Hypothesis:
    name = f"d{evidence.name}"
    if coefficient.size == 1:
        value = float(coefficient.reshape(-1)[0])
        return Hypothesis(kind, f"the error of {name} is exactly {value:.4g} times {text}", 0.94)
    kept = tuple(a for a in range(evidence.x.ndim) if a not in reduced)
    return Hypothesis(
        kind, f"the error of {name} is {text}, times a coefficient for each index of {axes_text(kept)}", 0.93
    )


def _terms(evidence: Evidence) -> list[tuple[str, str, np.ndarray]]:
    """Candidate terms of the input's shape: (kind, what it would mean, array)."""
    x, y, dy, name = evidence.x, evidence.y, evidence.upstream, evidence.name
    terms: list[tuple[str, str, np.ndarray]] = [
        (
            "missing mean term",
            "a constant: a term as of the path through the mean (a mean or a sum over those axes) is missing or wrong",
            np.ones_like(x),
        )
    ]
    for label, array in _labels(evidence):
        terms.append(
            (
                "missing one-hot",
                f"the one-hot of {label}: the -1 at the right class is missing, misplaced or mis-scaled",
                array,
            )
        )
    for axes in subsets(x.ndim):
        if math.prod(x.shape[a] for a in axes) > 1:
            centred = x - x.mean(axes, keepdims=True)
            terms.append(
                (
                    "missing variance term",
                    f"{name} minus its mean over {axes_text(axes)}: the path through the variance, - xhat * mean(dxhat "
                    "* xhat), is missing or wrong",
                    centred,
                )
            )
    if y.shape == x.shape:
        terms.append(("missing term", "dy: the direct path is missing or has a wrong coefficient", dy))
        terms.append(
            ("missing normaliser term", "the output y, as of softmax's -y * sum(dy * y): the path through the sum", y)
        )
        terms.append(("missing term", "dy * y: a term with the output is missing or wrong", dy * y))
        terms.append(("missing term", f"dy * {name}: a term with the input is missing or wrong", dy * x))
        terms.append(("missing term", f"dy * {name}**2: a term with the input is missing or wrong", dy * x * x))
        terms.append(("missing term", "dy * y**2: a term with the output is missing or wrong", dy * y * y))
    for axis in range(x.ndim):
        shifted = np.exp(x - x.max(axis, keepdims=True))
        softmax = shifted / shifted.sum(axis, keepdims=True)
        terms.append(("missing softmax", f"softmax({name}) over axis {axis}: it is missing or mis-scaled", softmax))
    terms.append(("extra multiple of the input", f"{name} itself, as of weight decay or a square", x))
    for other, value in evidence.inputs.items():
        if other == name or not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            continue
        if value.shape == x.shape:
            terms.append(("missing term", f"{other}: a term with it is missing or wrong", value))
            if dy.shape == x.shape:
                terms.append(("missing term", f"dy * {other}: a term with it is missing or wrong", dy * value))
    return terms


def _labels(evidence: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """One-hot arrays of the integer arguments that can be class indices of the input's rows."""
    x = evidence.x
    if x.ndim != 2:
        return
    for other, value in evidence.inputs.items():
        array = np.asarray(value) if isinstance(value, (np.ndarray, list)) else None
        if array is None or array.dtype.kind not in "iu" or array.shape != x.shape[:1] or not array.size:
            continue
        if array.min() >= 0 and array.max() < x.shape[1]:
            yield other, np.eye(x.shape[1])[array]


def _tells(evidence: Evidence, reduced: tuple[int, ...], terms: int) -> bool:
    """Whether there are enough entries for each coefficient that a perfect fit means something."""
    coefficients = terms * math.prod(n for a, n in enumerate(evidence.x.shape) if a not in reduced)
    return int(evidence.known.sum()) >= 3 * coefficients


def _fit(
    evidence: Evidence, error: np.ndarray, terms: list[np.ndarray], reduced: tuple[int, ...]
) -> list[np.ndarray] | None:
    """Least squares of the error in each group of entries; the coefficients if nothing is left over, else None."""
    kept = tuple(a for a in range(error.ndim) if a not in reduced)
    groups = math.prod(error.shape[a] for a in kept)

    def grouped(array: np.ndarray) -> np.ndarray:
        return np.transpose(np.where(evidence.known, array, 0.0), kept + reduced).reshape(groups, -1)

    columns = np.stack([grouped(term) for term in terms], -1)
    target = grouped(error)
    coefficients = np.stack([np.linalg.lstsq(c, t, rcond=None)[0] for c, t in zip(columns, target, strict=True)])
    left = np.abs(target - np.einsum("gek,gk->ge", columns, coefficients)).max()
    if not left <= 1e-4 * float(np.abs(error).max()):
        return None
    if not left <= EXACT * evidence.scale:
        return None
    return [coefficients[:, k] for k in range(len(terms))]


def wrong_function_of(evidence: Evidence) -> Iterator[Hypothesis]:
    """An elementwise derivative taken at the output where the input belongs, or the other way round."""
    x, y, dy = evidence.x, evidence.y, evidence.upstream
    if x.shape != y.shape or x.shape != dy.shape:
        return
    for text, h in (
        ("1 - t**2", lambda t: 1 - t * t),
        ("t * (1 - t)", lambda t: t * (1 - t)),
        ("1/t", lambda t: 1 / t),
        ("exp(t)", np.exp),
        ("t", lambda t: t),
        ("2*t", lambda t: 2 * t),
        ("1/(2*t)", lambda t: 0.5 / t),
        ("1/sqrt(t)", lambda t: 1 / np.sqrt(t)),
        ("1/(2*sqrt(t))", lambda t: 0.5 / np.sqrt(t)),
    ):
        for at, right, wrong, array in (("the output", "y", evidence.name, x), ("the input", evidence.name, "y", y)):
            other = y if array is x else x
            if evidence.matches(dy * h(array)) and evidence.is_right(dy * h(other)):
                yield Hypothesis(
                    "input and output confused",
                    f"the local derivative {text} is taken at t = {wrong}; it belongs at {at}, t = {right}",
                    0.97,
                )
                return


def local_error(evidence: Evidence) -> Iterator[Hypothesis]:
    """Where the wrong entries lie, when nothing else explains them."""
    wrong = evidence.known & ~(np.abs(evidence.given - evidence.expected) <= EXACT * evidence.scale)
    count, total = int(wrong.sum()), int(evidence.known.sum())
    if not count:
        return
    if count == total:
        yield Hypothesis("unexplained", _likeness(evidence), 0.1)
        return
    yield from _wrong_by_sign(evidence, wrong)
    text = f"{count} of {total} entries of d{evidence.name} are wrong"
    for axis in range(wrong.ndim):
        others = tuple(a for a in range(wrong.ndim) if a != axis)
        where = np.flatnonzero(wrong.any(others) if others else wrong)
        length = wrong.shape[axis]
        if length > 2 and where.size < length and where.size <= max(2, length // 3):
            places = ", ".join(str(int(i)) for i in where)
            edge = ", the border" if set(where.tolist()) <= {0, length - 1} else ""
            yield Hypothesis("local error", f"{text}, all of them at index {places} of axis {axis}{edge}", 0.4)
            return
    untouched = bool((evidence.given[wrong] == 0).all())
    yield Hypothesis("local error", text + (", and zero: they were never written" if untouched else ""), 0.2)


def _wrong_by_sign(evidence: Evidence, wrong: np.ndarray) -> Iterator[Hypothesis]:
    """The wrong entries are those of one sign of the input: one branch of a piecewise function."""
    expected = evidence.expected[evidence.known]
    for sign, mask in (("> 0", evidence.x > 0), ("< 0", evidence.x < 0)):
        known = mask[evidence.known]
        if not known.any() or known.all() or not (wrong[evidence.known] == known).all():
            continue
        given = evidence.given[evidence.known][known]
        text = f"d{evidence.name} is wrong exactly where {evidence.name} {sign}: that branch's derivative is wrong"
        factor = float((given * expected[known]).sum() / (expected[known] ** 2).sum())
        if np.abs(given - factor * expected[known]).max() <= EXACT * evidence.scale:
            text += f" (it is {factor:.4g} times the right one there)"
        yield Hypothesis("one branch wrong", text, 0.9)


def _likeness(evidence: Evidence) -> str:
    """How like the right gradient a wrong one is that nothing explains."""
    given, expected = evidence.given[evidence.known], evidence.expected[evidence.known]
    lengths = float(np.linalg.norm(given)), float(np.linalg.norm(expected))
    cosine = float((given * expected).sum()) / max(lengths[0] * lengths[1], 1e-300)
    return (
        f"no known mistake explains d{evidence.name}; its cosine with the numeric gradient is {cosine:.3f}, its length "
        f"{lengths[0] / max(lengths[1], 1e-300):.3g} times the right one (cosine near 1: a small term is missing; near "
        "0: another quantity altogether)"
    )


EXPLANATIONS = [missing_term, wrong_function_of, local_error]
