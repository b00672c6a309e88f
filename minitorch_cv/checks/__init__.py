"""Gradient truth: a gradient derived by hand is measured against differences of its forward function.

`check_gradient` checks plain NumPy functions, `gradcheck` functions of Tensors and modules, `check_derivation` every
line of a derivation, `adjoint_check` linear maps, `score_check` a check of one's own. Names are loaded at first use, so
that importing the package stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minitorch_cv.checks._gradcheck import gradcheck
    from minitorch_cv.checks.adjoint import adjoint_check
    from minitorch_cv.checks.derivation import check_derivation
    from minitorch_cv.checks.plain import check_gradient
    from minitorch_cv.checks.report import CheckError, InputReport, Report
    from minitorch_cv.checks.score import score_check
    from minitorch_cv.checks.student import check_file

_HOMES = {
    "adjoint_check": "adjoint",
    "gradcheck": "_gradcheck",
    "check_gradient": "plain",
    "check_derivation": "derivation",
    "check_file": "student",
    "score_check": "score",
    "CheckError": "report",
    "InputReport": "report",
    "Report": "report",
}

__all__ = [
    "CheckError",
    "InputReport",
    "Report",
    "adjoint_check",
    "check_derivation",
    "check_file",
    "check_gradient",
    "gradcheck",
    "score_check",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
