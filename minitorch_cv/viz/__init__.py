"""Figures: learning curves, images, filters, feature maps, confusion matrices, gradient checks, graphs.

Each function returns a matplotlib Figure (that of `ax`, where one is given to draw in) and shows nothing by itself.
Colours are told apart by colour-blind readers and differ in lightness; lines differ in dashes and markers too.
matplotlib is imported at the first use of a function.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._confusion_matrix import confusion_matrix
    from ._curves import curves
    from ._gradient_check import gradient_check
    from ._graph import Graph, graph
    from ._images import feature_maps, filters, image_grid

_MODULES = {
    "Graph": "_graph",
    "confusion_matrix": "_confusion_matrix",
    "curves": "_curves",
    "feature_maps": "_images",
    "filters": "_images",
    "gradient_check": "_gradient_check",
    "graph": "_graph",
    "image_grid": "_images",
}

__all__ = ["Graph", "confusion_matrix", "curves", "feature_maps", "filters", "gradient_check", "graph", "image_grid"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
