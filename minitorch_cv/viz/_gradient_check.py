"""A gradient check as a figure: where the error is, and how it changes with the step size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minitorch_cv.checks.report import InputReport, Report

_BLUE, _VERMILION = "#0072B2", "#D55E00"
_SMALLEST, _LARGEST = 1e-12, 1.0
_LEVEL = "where it is level, no step\ncloses the gap: that is\nthe gradient's error"
MOST_PANELS = 4
"""Of more inputs or lines than these only the worst are drawn."""


def gradient_check(report: Report):
    """Figure of a gradient check: for each input a heat map of its relative error and the error over the step size.

    Of a derivation with a mistake only the lines that hold it are drawn, not those that inherit it; of many inputs or
    lines the worst.
    White entries were not compared (kinks, or not among the sample); the circle marks the worst entry of a wrong
    gradient, and the likeliest explanation stands above its curve. The curve of a right gradient is a V: the square of
    the step (truncation) on the right, 1/step (rounding) on the left; that of a wrong one levels off at the gradient's
    error.
    Returns: a matplotlib Figure.
    """
    from ._style import NotebookFigure

    entries = _drawn(report)
    rows = max(len(entries), 1)
    figure = NotebookFigure(figsize=(9.0, 0.7 + 2.7 * rows), layout="constrained")
    left_out = f" ({rows} of {len(report.inputs)} drawn)" if rows < len(report.inputs) else ""
    title = report.title + (": right" if report else ": WRONG") + left_out
    figure.suptitle(title, color=_BLUE if report else _VERMILION)
    if not entries:
        return figure
    axes = figure.subplots(rows, 2, squeeze=False, width_ratios=(3, 2))
    for (heat, curve), entry in zip(axes, entries, strict=True):
        _draw_heat_map(heat, entry)
        _draw_curve(curve, entry)
    return figure


def _drawn(report: Report) -> list[InputReport]:
    """What is drawn, in the report's order: what is wrong in itself, or else everything, and of many the worst."""
    entries = report.at_fault() or report.inputs
    if len(entries) <= MOST_PANELS:
        return entries
    worst = sorted(entries, key=lambda entry: (entry.ok, -np.nan_to_num(entry.max_error, nan=np.inf)))[:MOST_PANELS]
    return [entry for entry in entries if any(entry is other for other in worst)]


def _draw_heat_map(ax: Any, entry: InputReport) -> None:
    error = entry.error
    verdict = "right" if entry.ok else "WRONG"
    ax.set_title(f"{entry.name} {entry.shape}: {verdict}", color=_BLUE if entry.ok else _VERMILION, fontsize=10)
    if error is None:
        text = _wrapped(entry.problem or "nothing to compare") + "\n\n" + _explanation(entry)
        ax.text(0.5, 0.5, text.strip(), ha="center", va="center", fontsize=9, parse_math=False)
        ax.set_axis_off()
        return
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    picture, (rows, columns) = as_picture(error)
    colours = colormaps["viridis"].with_extremes(bad="white")
    finite = np.where(np.isinf(picture), _LARGEST, picture)
    image = ax.imshow(
        np.clip(finite, _SMALLEST, _LARGEST),
        norm=LogNorm(_SMALLEST, _LARGEST),
        cmap=colours,
        aspect="auto" if max(picture.shape) > 3 * min(picture.shape) else "equal",
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label="relative error", shrink=0.9)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(columns, fontsize=8)
    ax.set_ylabel(rows, fontsize=8)
    worst = entry.worst
    if not entry.ok and worst is not None:
        mark = np.zeros(error.shape)
        mark[worst] = 1
        row, column = np.argwhere(as_picture(mark)[0] == 1)[0]
        ax.plot(column, row, "o", markersize=9, markerfacecolor="none", markeredgecolor=_VERMILION, markeredgewidth=2)


def as_picture(error: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """An array of any number of axes as a picture, and what its rows and columns are.

    Four axes (N, C, H, W) become N by C tiles of H by W, parted by a line of NaN; three become a row of tiles.
    """
    if error.ndim <= 1:
        return error.reshape(1, -1), ("", "entry" if error.ndim else "")
    if error.ndim == 2:
        return error, ("axis 0", "axis 1")
    tiles = error.reshape(-1, *error.shape[-3:]) if error.ndim != 3 else error[None]
    padded = np.pad(tiles, [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=np.nan)
    count, across, height, width = padded.shape
    picture = padded.transpose(0, 2, 1, 3).reshape(count * height, across * width)[:-1, :-1]
    outer = "" if error.ndim == 3 else "axis 0 | " if error.ndim == 4 else "leading axes | "
    return picture, (f"{outer}axis {error.ndim - 2}", f"axis {error.ndim - 3} | axis {error.ndim - 1}")


def _draw_curve(ax: Any, entry: InputReport) -> None:
    if entry.steps is None or entry.step_errors is None:
        ax.set_axis_off()
        return
    errors = np.where(np.isfinite(entry.step_errors), np.maximum(entry.step_errors, 1e-16), np.nan)
    colour, style = (_BLUE, "o-") if entry.ok else (_VERMILION, "s-")
    ax.loglog(entry.steps, errors, style, color=colour, markersize=3)
    ax.set_ylim(1e-16, max(10.0, float(np.nanmax(errors, initial=1.0)) * 2))
    ax.set_title(_explanation(entry), fontsize=8, loc="left", parse_math=False)
    ax.set_xlabel("step h", fontsize=8)
    if entry.ok:
        ax.set_ylabel("error of the central difference", fontsize=8)
    else:
        ax.set_ylabel("given gradient against\nthe central difference", fontsize=8)
        ax.text(0.03, 0.04, _LEVEL, fontsize=7, color=_VERMILION, transform=ax.transAxes)
    ax.tick_params(labelsize=8)
    ax.grid(True, which="major", linewidth=0.3)


def _explanation(entry: InputReport) -> str:
    """The likeliest explanation of a wrong gradient, if there is one."""
    return _wrapped(entry.hypotheses[0].message) if entry.hypotheses else ""


def _wrapped(text: str, width: int = 44) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))
