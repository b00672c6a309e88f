"""A student's record: attempts, best scores, hints that were shown, solutions that were looked at."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minitorch_cv.course.handout import CourseError, save_text

PROGRESS_FILE = "progress.json"


@dataclass
class Record:
    """What is known of one exercise.

    attempts: versions that were checked and not yet right; best: the most points; hints: how many were shown;
    last: the digest of the version checked last; solution_seen: whether the solution was looked at before it was right.
    """

    attempts: int = 0
    best: float = 0.0
    solved: bool = False
    hints: int = 0
    last: str = ""
    solution_seen: bool = False


@dataclass
class Progress:
    """The record of every exercise, kept in the course's folder."""

    folder: Path
    records: dict[str, Record] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Progress:
        """What was kept; nothing in a new folder.

        Raises CourseError: the file cannot be read.
        """
        path = folder / PROGRESS_FILE
        if not path.exists():
            return cls(folder)
        try:
            records = {name: _record(fields) for name, fields in json.loads(path.read_text(encoding="utf-8")).items()}
        except (ValueError, TypeError, AttributeError, RecursionError, OSError) as error:
            raise CourseError(f"{path} cannot be read: {error}; take it away to begin a new record") from None
        return cls(folder, records)

    def __getitem__(self, name: str) -> Record:
        return self.records.setdefault(name, Record())

    def save(self) -> None:
        """Writes the file."""
        text = json.dumps({name: asdict(record) for name, record in sorted(self.records.items())}, indent=2)
        save_text(self.folder / PROGRESS_FILE, text + "\n")

    def attempt(self, name: str, text: str, score: float, full: bool, hints: int) -> Record:
        """Notes a check. A version that is checked again, unchanged, is no new attempt.

        Each wrong version after the first earns one more of the exercise's `hints`.
        """
        record, digest = self[name], hashlib.sha256(text.encode()).hexdigest()[:12]
        if digest != record.last and not full:
            record.attempts += 1
            record.hints = min(hints, max(record.hints, record.attempts - 1))
        record.last, record.best, record.solved = digest, max(record.best, score), record.solved or full
        return record


def _record(kept: dict[str, Any]) -> Record:
    """The record that was kept. Raises TypeError, ValueError, AttributeError for what no record can be."""
    record = Record(**kept)
    for name, value in asdict(Record()).items():
        expected = (int, float) if isinstance(value, float) else type(value)
        given = getattr(record, name)
        if not isinstance(given, expected) or isinstance(given, bool) != isinstance(value, bool):
            raise TypeError(f"{name} expects {type(value).__name__}; it is {given!r:.50}")
    return record
