"""Names the mistake in a wrong gradient: hypotheses with their evidence, the likeliest first.

Every explanation predicts the given gradient from the right one, from the inputs and from the upstream gradient; it is
kept only if the prediction is exact in every entry that was measured. What an explanation needs beyond the numbers
(the Jacobian, forward at changed inputs, backward for another upstream gradient) comes with the `Evidence`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minitorch_cv.checks.numeric import NumericGradient, Slope
from minitorch_cv.checks.report import CheckError, Hypothesis, InputReport

EXACT = 2e-5
"""How exactly an explanation has to predict the given gradient, relative to its largest entry."""
_MOST_HYPOTHESES = 3
_CERTAIN = 0.97
"""Above this confidence the explanations that call forward many times are no longer tried."""


@dataclass
class Evidence:
    """What is known of one wrong gradient.

    name: of the input; expected: its numeric gradient (NaN where unmeasured); given: what was returned; x: the input;
    upstream: dy, of y's shape; y: the output; inputs: every argument by name; others: the numeric gradients of the
    other inputs; jacobian: (outputs, entries of x) or None; ties: see `NumericGradient`; outputs: forward with some
    arguments replaced; gradient: the gradient that is returned for another dy; reach: which outputs each entry could
    move if it were large, filled in when first wanted.
    """

    name: str
    expected: np.ndarray
    given: np.ndarray
    x: np.ndarray
    upstream: np.ndarray
    y: np.ndarray
    inputs: dict[str, Any] = field(default_factory=dict)
    others: dict[str, np.ndarray] = field(default_factory=dict)
    jacobian: np.ndarray | None = None
    ties: list[tuple[np.ndarray, Slope]] = field(default_factory=list)
    outputs: Callable[..., np.ndarray] | None = None
    gradient: Callable[[np.ndarray], Any] | None = None
    reach: np.ndarray | None = None

    @classmethod
    def of_pair(
        cls,
        entry: InputReport,
        pair: Any,
        y: np.ndarray,
        upstream: np.ndarray,
        numerics: dict[str, NumericGradient],
    ) -> Evidence | None:
        """The evidence on one input of a `GradientPair`; None where no array was given."""
        if entry.expected is None or entry.given is None:
            return None
        numeric = numerics[entry.name]

        def gradient(dy: np.ndarray) -> Any:
            return pair.run(dy)[1].get(entry.name)

        return cls(
            name=entry.name,
            expected=entry.expected,
            given=entry.given,
            x=np.asarray(pair.arguments[entry.name], dtype=np.float64),
            upstream=upstream,
            y=y,
            inputs=dict(pair.arguments),
            others={name: other.value for name, other in numerics.items() if name != entry.name},
            jacobian=numeric.jacobian,
            ties=numeric.ties,
            outputs=pair.outputs,
            gradient=None if pair.without_upstream else gradient,
        )

    @property
    def known(self) -> np.ndarray:
        """Mask of the entries whose right gradient was measured."""
        return np.isfinite(self.expected)

    @property
    def scale(self) -> float:
        """The size of the gradients compared: the largest entry, given or expected."""
        known = self.known
        if self.given.shape != self.expected.shape:
            return float(np.abs(self.expected[known]).max(initial=0.0))
        return float(np.maximum(np.abs(self.expected), np.abs(self.given))[known].max(initial=0.0))

    @property
    def axes(self) -> list[tuple[int, ...]]:
        """Every non-empty subset of the input's axes."""
        return subsets(self.x.ndim)

    def matches(self, candidate: Any) -> bool:
        """Whether a candidate predicts the given gradient in every measured entry."""
        candidate = np.asarray(candidate)
        if self.given.shape != self.expected.shape or candidate.shape != self.given.shape:
            return False
        return same(candidate[self.known], self.given[self.known], self.scale)

    def is_right(self, candidate: np.ndarray) -> bool:
        """Whether a candidate is the right gradient in every measured entry."""
        if candidate.shape != self.expected.shape:
            return False
        return same(candidate[self.known], self.expected[self.known], self.scale)


def diagnose(evidence: Evidence | None) -> list[Hypothesis]:
    """Explanations of a wrong gradient, the likeliest first; none for a right one."""
    if evidence is None or not evidence.known.any() or evidence.given.dtype.kind != "f":
        return []
    if not np.isfinite(evidence.given).all():
        return []
    from minitorch_cv.checks import explain_factor, explain_flow, explain_shape, explain_terms

    found: list[Hypothesis] = []
    if evidence.given.shape != evidence.expected.shape:
        explanations = explain_shape.EXPLANATIONS
    elif not evidence.given[evidence.known].any() and not evidence.is_right(evidence.given):
        explanations = [explain_factor.zero]  # which many a mistake predicts, and none better
    elif evidence.is_right(evidence.given):
        explanations = [explain_flow.ties]
    else:
        explanations = [
            *explain_factor.EXPLANATIONS,
            *explain_flow.EXPLANATIONS,
            *explain_terms.EXPLANATIONS,
        ]
    for explain in explanations:
        if explain not in explain_flow.COSTLY or max((h.confidence for h in found), default=0.0) < _CERTAIN:
            found += _tried(explain, evidence)
    return ranked(found)


def ranked(found: list[Hypothesis]) -> list[Hypothesis]:
    """The likeliest hypotheses, one of each kind; vague ones only where nothing better is known."""
    best: dict[str, Hypothesis] = {}
    for hypothesis in sorted(found, key=lambda h: -h.confidence):
        best.setdefault(hypothesis.kind, hypothesis)
    kept = list(best.values())
    if kept and kept[0].confidence >= 0.5:
        kept = [hypothesis for hypothesis in kept if hypothesis.confidence >= max(0.5, kept[0].confidence - 0.25)]
    return kept[:_MOST_HYPOTHESES]


def _tried(explain: Callable[[Evidence], Iterator[Hypothesis]], evidence: Evidence) -> list[Hypothesis]:
    """An explanation's hypotheses; none if the functions fail at the inputs that it tries."""
    try:
        with np.errstate(all="ignore"):
            return list(explain(evidence))
    except (CheckError, ArithmeticError, ValueError, IndexError, TypeError, KeyError):
        return []


def same(a: np.ndarray, b: np.ndarray, scale: float) -> bool:
    """Whether two arrays agree to `EXACT` of the scale in every entry; NaN never agrees."""
    if a.shape != b.shape or not a.size:
        return False
    return bool((np.abs(a - b) <= EXACT * scale).all())


def subsets(ndim: int) -> list[tuple[int, ...]]:
    """Every non-empty subset of so many axes, the smallest first."""
    return [axes for count in range(1, ndim + 1) for axes in itertools.combinations(range(ndim), count)]


def axes_text(axes: tuple[int, ...]) -> str:
    """ "axis 1" or "axes (0, 2, 3)"."""
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
