"""Batches from anything that can be iterated again and again, with a position as `data.DataLoader` has one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class RepeatedBatches:
    """The same batches in every pass, such as a list of them; what was handed out is skipped after a resume."""

    def __init__(self, batches: Iterable[Any]):
        self.batches = batches
        self.batch = 0
        self._resumed = False

    def __len__(self) -> int:
        return len(self.batches)  # pyright: ignore[reportArgumentType]

    def __iter__(self) -> Iterator[Any]:
        first = self.batch if self._resumed else 0
        self._resumed, self.batch = False, first
        for batch in itertools.islice(self.batches, first, None):
            self.batch += 1
            yield batch
        self.batch = 0

    def state_dict(self) -> dict[str, Any]:
        return {"batch": self.batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if set(state) != {"batch"}:
            raise ValueError(f"RepeatedBatches: state expects the entry 'batch'; it has {sorted(state)}")
        self.batch, self._resumed = int(state["batch"]), True


def with_position(name: str, loader: Any) -> Any:
    """`loader` itself where its position can be saved, else its batches as RepeatedBatches.

    Raises TypeError for what can be iterated only once, or not at all.
    """
    if hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict"):
        return loader
    if not isinstance(loader, Iterable) or iter(loader) is loader:
        raise TypeError(
            f"Trainer: {name} expects a DataLoader, or batches that can be iterated again and again; it is {loader!r}"
        )
    return RepeatedBatches(loader)


def count(loader: Any) -> int | None:
    """The number of batches in a pass, where the loader knows it."""
    try:
        return len(loader)
    except TypeError:
        return None


def at_start_of_pass(loader: Any) -> dict[str, Any]:
    """The loader's state; where a pass was begun by somebody else, that of the pass after it."""
    state = loader.state_dict()
    if not state.get("batch"):
        return state
    return {**state, "batch": 0, **({"epoch": state["epoch"] + 1} if "epoch" in state else {})}


def close(batches: Iterator[Any]) -> None:
    """End a pass in its middle, and with it the thread that prefetches."""
    if hasattr(batches, "close"):
        batches.close()  # pyright: ignore[reportAttributeAccessIssue]
