"""How freely a convolution's algorithm may be chosen. Different algorithms round differently.

"default": by a rule from the shapes alone, so that the same program computes the same bits on the same kind of machine.
"strict": direct convolution alone, which rounds least. "fast": by a timing when a shape is met first; what was chosen
is remembered on disk with the machine's name, and goes into checkpoints, so that a resumed run computes the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODES = ("default", "strict", "fast")


class Numerics:
    """The mode, and what timings have chosen: the algorithm's name by operation and shapes."""

    def __init__(self) -> None:
        self.mode = "default"
        self.choices: dict[str, str] = {}


numerics = Numerics()


def set_numerics(mode: str) -> None:
    """Choose convolution's algorithms by rule ("default"), only direct ones ("strict"), or by timing ("fast").

    Raises ValueError for another mode.
    """
    if mode not in MODES:
        raise ValueError(f"set_numerics: mode expects one of {', '.join(MODES)}; it is {mode!r}")
    numerics.mode = mode


def get_numerics() -> str:
    """The mode that `set_numerics` has set."""
    return numerics.mode


def numerics_state() -> dict[str, Any]:
    """What a checkpoint keeps."""
    return {"mode": numerics.mode, "choices": dict(numerics.choices)}


def load_numerics_state(state: Mapping[str, Any]) -> None:
    """Go on as `state` says: the same algorithms, even where a timing would now choose others."""
    choices = state["choices"]
    if not isinstance(choices, Mapping) or any(not isinstance(text, str) for item in choices.items() for text in item):
        raise ValueError(f"load_numerics_state: choices expects names by names; it is {choices!r}")
    set_numerics(state["mode"])
    numerics.choices.update(choices)
