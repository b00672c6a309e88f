"""Figures: learning curves, images, filters, feature maps, confusion matrices, gradient checks, graphs, ledgers;
and of kernels: rooflines, sectors and banks of memory.

What a network sees is found by `occlusion`, `saliency`, `deconvnet`, `class_activation` and `receptive_field`, which
return arrays, and drawn by `overlay` and `signed`. Each other function returns a matplotlib Figure (that of `ax`, where
one is given to draw in) and shows nothing by itself. Colours are told apart by colour-blind readers and differ in
lightness; lines differ in dashes and markers too. matplotlib is imported at the first use of a function.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._attribution import class_activation, deconvnet, occlusion, receptive_field, saliency
    from ._confusion_matrix import confusion_matrix
    from ._curves import curves
    from ._gradient_check import gradient_check
    from ._graph import Graph, graph
    from ._images import feature_maps, filters, image_grid
    from ._ledger import ledger
    from ._overlay import overlay, signed, top_classes
    from ._requests import banks, sectors
    from ._roofline import roofline

_MODULES = {
    "Graph": "_graph",
    "banks": "_requests",
    "class_activation": "_attribution",
    "confusion_matrix": "_confusion_matrix",
    "curves": "_curves",
    "deconvnet": "_attribution",
    "feature_maps": "_images",
    "filters": "_images",
    "gradient_check": "_gradient_check",
    "graph": "_graph",
    "image_grid": "_images",
    "ledger": "_ledger",
    "occlusion": "_attribution",
    "overlay": "_overlay",
    "receptive_field": "_attribution",
    "roofline": "_roofline",
    "saliency": "_attribution",
    "sectors": "_requests",
    "signed": "_overlay",
    "top_classes": "_overlay",
}

__all__ = [
    "Graph",
    "banks",
    "class_activation",
    "confusion_matrix",
    "curves",
    "deconvnet",
    "feature_maps",
    "filters",
    "gradient_check",
    "graph",
    "image_grid",
    "ledger",
    "occlusion",
    "overlay",
    "receptive_field",
    "roofline",
    "saliency",
    "sectors",
    "signed",
    "top_classes",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
