"""What a run measured, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class History:
    """The measurements of a run: a list for each name, with an entry for each epoch.

    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 2.0})
    >>> history.append({"epoch": 2, "loss": 1.0})
    >>> history["loss"], len(history), history.last
    ([2.0, 1.0], 2, {'epoch': 2, 'loss': 1.0})
    """

    def __init__(self) -> None:
        self._series: dict[str, list[Any]] = {}

    def append(self, row: Mapping[str, Any]) -> None:
        """Add the measurements of one epoch. Raises ValueError where the names are not those of the epochs before."""
        if self._series and set(row) != set(self._series):
            raise ValueError(f"History: row expects the names {sorted(self._series)}; it has {sorted(row)}")
        for name, value in row.items():
            self._series.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._series:
            raise KeyError(f"History: name expects one of {', '.join(self._series) or '(none yet)'}; it is {name!r}")
        return list(self._series[name])

    def __contains__(self, name: object) -> bool:
        return name in self._series

    def __iter__(self) -> Iterator[str]:
        return iter(self._series)

    def keys(self) -> list[str]:
        """The names of the series."""
        return list(self._series)

    def __len__(self) -> int:
        """The number of epochs."""
        return len(next(iter(self._series.values()), []))

    def rows(self) -> list[dict[str, Any]]:
        """The measurements as one dict an epoch."""
        return [dict(zip(self._series, values)) for values in zip(*self._series.values())]

    @property
    def last(self) -> dict[str, Any]:
        """The measurements of the last epoch; empty before the first."""
        return {name: values[-1] for name, values in self._series.items()}

    def plot(self, title: str = "") -> Any:
        """The learning curves: see `viz.curves`. Returns a matplotlib Figure."""
        from ..viz import curves

        return curves(self, title=title)

    def state_dict(self) -> dict[str, list[Any]]:
        return {name: list(values) for name, values in self._series.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._series = {str(name): list(values) for name, values in state.items()}

    def __repr__(self) -> str:
        rows = [[*self._series], *([_text(value) for value in row.values()] for row in self.rows())]
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
