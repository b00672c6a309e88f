"""Whether work is being recorded as a CUDA graph: then nothing may be read back, and what the host computes freezes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class _State(threading.local):
    """Of this thread: a loader's own goes on drawing while a step is recorded."""

    active = False


_state = _State()


def is_capturing() -> bool:
    """Whether a graph is being recorded: checks of values must be left out, since nothing is computed yet."""
    return _state.active


@contextlib.contextmanager
def recording_a_graph() -> Iterator[None]:
    """Within it `is_capturing()` is true."""
    before, _state.active = _state.active, True
    try:
        yield
    finally:
        _state.active = before


def refuse_in_capture(what: str, why: str) -> None:
    """Raise RuntimeError where a graph is being recorded, in which `what` would be wrong."""
    if _state.active:
        raise RuntimeError(f"{what}: expects not to be captured as a CUDA graph; {why}")
