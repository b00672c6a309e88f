"""Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any

_WAITING = b"\nCtrl-C: stopping at the end of this step; press it again to stop at once.\n"


class Interrupts:
    """Within it the first Ctrl-C (SIGINT) is only noted, for `raise_if_pending()`; the second raises at once.

    Python delivers signals to the main thread alone. In another thread, or where the program handles SIGINT itself,
    nothing is changed.
    """

    def __init__(self) -> None:
        self.pending = False
        self.at_once = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.pending:
            self.at_once = True
            raise KeyboardInterrupt
        self.pending = True
        # Not print(): a signal may come while the stream's own buffer is being written.
        with contextlib.suppress(OSError):
            os.write(2, _WAITING)

    def raise_if_pending(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed: call it where everything is consistent."""
        if self.pending:
            raise KeyboardInterrupt
