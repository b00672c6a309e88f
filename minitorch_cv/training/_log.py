"""The log of a run: a CSV or JSON Lines file with one line an epoch."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SUFFIXES = (".csv", ".jsonl")


class Log:
    """Writes each epoch's measurements as one line, whole and at once, so that a reader never meets half a line.

    `restore(rows)` brings the file to the epochs that the run has behind it: a run that goes on from a checkpoint drops
    the lines of epochs that it will train again, and a last line that a power cut left in half.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if self.path.suffix not in SUFFIXES:
            raise ValueError(f"Log: path expects a name that ends in {' or '.join(SUFFIXES)}; it is {str(path)!r}")

    def restore(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace the file by one with `rows`."""
        lines = [self._header(rows[0]), *map(self._line, rows)] if rows else []
        temporary = self.path.with_name(f".{self.path.name}.part")
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write("".join(lines))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one line (and the header before the first)."""
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write((self._header(row) if file.tell() == 0 else "") + self._line(row))

    def _header(self, row: Mapping[str, Any]) -> str:
        return _csv_line(row) if self.path.suffix == ".csv" else ""

    def _line(self, row: Mapping[str, Any]) -> str:
        if self.path.suffix == ".csv":
            return _csv_line(row.values())
        # JSON has no NaN and no infinity.
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        return json.dumps(finite, ensure_ascii=False) + "\n"


def set_aside(path: Path) -> None:
    """Rename a file of an earlier run to `<name>.previous<suffix>`, so that a new run does not destroy it."""
    if path.exists():
        os.replace(path, path.with_name(f"{path.stem}.previous{path.suffix}"))


def _csv_line(values: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
