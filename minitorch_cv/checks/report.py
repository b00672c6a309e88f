"""What a gradient check found: for the terminal, for a notebook, as a figure and as JSON."""

from __future__ import annotations

import html
import math
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

_GREEN, _RED, _PLAIN = "\033[32m", "\033[31m", "\033[0m"


class CheckError(Exception):
    """A gradient could not be checked (which is not the same as being wrong)."""

    exit_code = 2


@dataclass(frozen=True)
class Hypothesis:
    """One explanation of a wrong gradient, with the evidence for it.

    kind: a short stable name, such as "constant factor"; message: the explanation in plain English;
    confidence: from 0 to 1, by which explanations are ranked; unexplained: the largest part of the entries' error that
    the explanation leaves over, relative to the largest gradient.
    """

    kind: str
    message: str
    confidence: float = 1.0
    unexplained: float = 0.0


@dataclass
class InputReport:
    """The comparison for one input.

    expected, given: arrays of the input's shape (`expected` is NaN where nothing was measured; `given` is None or of
    another shape if that is what is wrong); tolerance: the largest difference that each entry may have; checked,
    skipped: how many entries were compared, and how many lie on a kink or could not be resolved; problem: why nothing
    could be compared, or "".
    """

    name: str
    shape: tuple[int, ...]
    ok: bool
    expected: np.ndarray | None = None
    given: np.ndarray | None = None
    tolerance: np.ndarray | None = None
    checked: int = 0
    skipped: int = 0
    directions: int = 0
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    hypotheses: list[Hypothesis] = field(default_factory=list)
    steps: np.ndarray | None = None
    step_errors: np.ndarray | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def error(self) -> np.ndarray | None:
        r"""Error of every entry, $|g - e| / \max(|g|, |e|, 10^{-6} \max|e|)$; NaN where nothing was measured."""
        if self.expected is None or self.given is None or self.given.shape != self.expected.shape:
            return None
        expected, given = self.expected, self.given
        measured = np.abs(expected[np.isfinite(expected)])
        floor = 1e-6 * float(measured.max()) if measured.size else 0.0
        scale = np.maximum(np.maximum(np.abs(expected), np.abs(given)), max(floor, np.finfo(np.float64).tiny))
        with np.errstate(invalid="ignore"):
            error = np.abs(given - expected) / scale
        return np.where(np.isfinite(expected) & ~np.isfinite(given), np.inf, error)

    @property
    def worst(self) -> tuple[int, ...] | None:
        """Index of the entry that exceeds its tolerance most (of the largest error if none does)."""
        error = self.error
        if error is None or not np.isfinite(self.expected if self.expected is not None else np.nan).any():
            return None
        score = error
        if self.tolerance is not None and not self.ok:
            difference = np.abs(np.subtract(self.given, self.expected))  # type: ignore[arg-type]
            difference = np.where(np.isnan(difference) & np.isfinite(self.expected), np.inf, difference)  # type: ignore[arg-type]
            wrong = ~(difference <= self.tolerance) & np.isfinite(self.expected)  # type: ignore[arg-type]
            if wrong.any():
                score = np.where(wrong, difference, np.nan)
        if np.isnan(score).all():
            return None
        return tuple(int(i) for i in np.unravel_index(int(np.nanargmax(score)), error.shape))

    @property
    def max_error(self) -> float:
        """Largest relative error of a measured entry; NaN if none was measured."""
        error = self.error
        if error is None or np.isnan(error).all():
            return math.nan
        return float(np.nanmax(error))

    def entries_text(self) -> str:
        """How many entries were compared, skipped and covered by random directions."""
        text = f"{self.checked} of {self.size}"
        if self.skipped:
            text += f", {self.skipped} at kinks"
        if self.directions:
            text += f", {self.directions} directions"
        return text

    def finding(self) -> list[str]:
        """What is wrong with this input's gradient, line by line; empty if nothing is."""
        if self.ok:
            return []
        lines = []
        if self.problem:
            lines.append(f"{self.name}: {self.problem}")
        worst = self.worst
        if worst is not None and self.expected is not None and self.given is not None:
            lines.append(
                f"{self.name}: worst at {worst}: expected {self.expected[worst]:.6g}, given {self.given[worst]:.6g}"
            )
        lines += [f"  -> {hypothesis.message}" for hypothesis in self.hypotheses]
        return lines or [f"{self.name}: wrong"]

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain Python values, ready for JSON (NaN and infinity become None)."""
        worst = self.worst
        return {
            "name": self.name,
            "shape": list(self.shape),
            "ok": self.ok,
            "max_error": _finite(self.max_error),
            "worst": list(worst) if worst is not None else None,
            "expected": _finite(self.expected[worst]) if worst is not None and self.expected is not None else None,
            "given": _finite(self.given[worst]) if worst is not None and self.given is not None else None,
            "checked": self.checked,
            "skipped": self.skipped,
            "directions": self.directions,
            "problem": self.problem,
            "notes": list(self.notes),
            "hypotheses": [{"kind": h.kind, "message": h.message, "confidence": h.confidence} for h in self.hypotheses],
        }


@dataclass
class Report:
    """The result of a gradient check; true in a condition when every gradient is right.

    title: what was checked; inputs: one `InputReport` for each; problems: what is wrong apart from the values, such as
    an input changed in place; notes: what the reader should know, such as the convention taken; unchecked: names of
    inputs that could be differentiated and were left out on purpose.
    """

    title: str
    inputs: list[InputReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    _heading: ClassVar[str] = "input"

    @property
    def ok(self) -> bool:
        return not self.problems and bool(self.inputs) and all(entry.ok for entry in self.inputs)

    def __bool__(self) -> bool:
        return self.ok

    def __getitem__(self, name: str) -> InputReport:
        """The report of the input of that name."""
        for entry in self.inputs:
            if entry.name == name:
                return entry
        raise KeyError(f"Report: no input {name!r}; there are {[entry.name for entry in self.inputs]}")

    @property
    def hypotheses(self) -> list[Hypothesis]:
        """Every explanation, input by input."""
        return [hypothesis for entry in self.inputs for hypothesis in entry.hypotheses]

    def text(self, colour: bool = False) -> str:
        """The report for a terminal."""
        rows = [(self._heading, "shape", "compared", "max error", "")]
        for entry in self.inputs:
            error = entry.max_error
            rows.append(
                (
                    entry.name,
                    str(entry.shape),
                    entry.entries_text(),
                    "-" if math.isnan(error) else f"{error:.1e}",
                    self._verdict(entry),
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [self.title]
        if self.inputs:
            lines += [
                "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
            ]
        lines += self._findings()
        lines += [f"note: {note}" for note in self._all_notes()]
        text = "\n".join([*lines, self.verdict()])
        if colour:
            text = text.replace("WRONG", f"{_RED}WRONG{_PLAIN}").replace("right\n", f"{_GREEN}right{_PLAIN}\n")
            text = text.replace("gradient is right", f"gradient is {_GREEN}right{_PLAIN}")
        return text

    def verdict(self) -> str:
        """The result in one sentence, with the inputs that it does not speak of."""
        if self.ok:
            return f"The gradient is right{left_out(self.unchecked)}."
        if any(not entry.ok for entry in self.inputs):
            return "The gradient is WRONG."
        return "NOT right: see above." if self.problems else "Nothing was checked."

    def at_fault(self) -> list[InputReport]:
        """The entries of which a figure should speak alone; none where it should show them all."""
        return []

    def _verdict(self, entry: InputReport) -> str:
        return "right" if entry.ok else "WRONG"

    def _findings(self) -> list[str]:
        return [f"problem: {problem}" for problem in self.problems] + [
            line for entry in self.inputs for line in entry.finding()
        ]

    def _all_notes(self) -> list[str]:
        return self.notes + [f"{entry.name}: {note}" for entry in self.inputs for note in entry.notes]

    def __str__(self) -> str:
        return self.text(colour=_wants_colour())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The report for a notebook."""
        cell = "padding:2px 12px 2px 0;text-align:left"
        head = "".join(
            f'<th style="{cell}">{t}</th>' for t in (self._heading, "shape", "compared", "max error", "verdict")
        )
        body = ""
        for entry in self.inputs:
            error = entry.max_error
            mark = "&#10003; right" if entry.ok else f"&#10007; <b>{self._verdict(entry).lower()}</b>"
            values = (
                html.escape(entry.name),
                str(entry.shape),
                entry.entries_text(),
                "&ndash;" if math.isnan(error) else f"{error:.1e}",
            )
            body += "<tr>" + "".join(f'<td style="{cell}">{value}</td>' for value in values)
            body += f'<td style="{cell};color:{"#0072B2" if entry.ok else "#D55E00"}">{mark}</td></tr>'
        findings = "".join(f"<li>{html.escape(line.strip())}</li>" for line in self._findings())
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self._all_notes())
        return (
            f"<div><b>{html.escape(self.title)}</b><table><tr>{head}</tr>{body}</table>"
            + (f"<ul>{findings}</ul>" if findings else "")
            + (f'<ul style="color:#666">{notes}</ul>' if notes else "")
            + f"<p>{html.escape(self.verdict())}</p></div>"
        )

    def plot(self):
        """The report as a figure: a heat map of each input's error and the error over the step size."""
        from minitorch_cv.viz._gradient_check import gradient_check

        return gradient_check(self)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain Python values, ready for JSON."""
        return {
            "title": self.title,
            "ok": self.ok,
            "inputs": [entry.to_dict() for entry in self.inputs],
            "problems": list(self.problems),
            "notes": list(self.notes),
            "unchecked": list(self.unchecked),
        }


def left_out(names: Iterable[str]) -> str:
    """What a verdict does not speak of, in brackets: `` (w not checked)``; empty where there is nothing."""
    listed = ", ".join(names)
    return f" ({listed} not checked)" if listed else ""


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _wants_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
