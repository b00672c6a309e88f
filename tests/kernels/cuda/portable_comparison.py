"""A CUDA body on the simulator against the portable body in float64: on the cases of its operation, and on a call."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from minitorch_cv.kernels import manifest

from minitorch_cv._device import to_device, to_numpy
from minitorch_cv._op import OPS
from minitorch_cv.checks.case_checks import Call, _layouts, called_out, relative_error, watched
from minitorch_cv.checks.case_run import CaseRun, portable_bodies


def bodies(stem: str) -> dict[str, Any]:
    """The bodies in kernels/cuda/<stem>.py by operation, as the manifest names them."""
    module = f"minitorch_cv.kernels.cuda.{stem}"
    entries = [b for b in manifest.BODIES if b.module == module and b.device == "cuda-sim"]
    return {b.operation: getattr(importlib.import_module(module), b.function) for b in entries}


def calls(stem: str) -> list[Call]:
    """The calls that the cases of `checks/cases/<stem>.py` make of the operations with a CUDA body, in two layouts."""
    taken, found = bodies(stem), []
    for case in importlib.import_module(f"minitorch_cv.checks.cases.{stem}").CASES:
        with portable_bodies():
            run = CaseRun(case)
            if run.differentiable:
                found += [laid for call in watched(run)[0] if call.operation in taken for laid in _layouts(call)]
    return found


def check(body: Any, call: Call, bound: float = 3e-6) -> None:
    """The value and every gradient of `call` are right within `bound`, on float32 operands, and on the device."""
    operands = [_as(o, np.float32) for o in call.operands]
    on_device = [to_device(o, "cuda-sim") if isinstance(o, np.ndarray) else o for o in operands]
    if not getattr(body, "accepts", lambda *_, **__: True)(*on_device, **call.settings):
        return
    right, right_backward = OPS[call.operation].body(*[_as(o, np.float64) for o in operands], **call.settings)
    came, backward = body(*on_device, **call.settings)
    rights, values = (v if isinstance(v, tuple) else (v,) for v in (right, came))
    for expected, value in zip(rights, values, strict=True):
        _same("the value", value, expected, bound)
    dy = np.random.default_rng(rights[0].size).standard_normal(rights[0].shape).astype(np.float32)
    expected = called_out(right_backward(dy.astype(np.float64)), tuple(operands))
    gradients = called_out(backward(to_device(dy, "cuda-sim")), tuple(operands))
    for i, operand in enumerate(operands):
        if isinstance(operand, np.ndarray) and operand.dtype.kind == "f" and expected[i] is not None:
            _same(f"gradient {i}", gradients[i], expected[i], bound)


def _as(operand: Any, dtype: Any) -> Any:
    floating = isinstance(operand, np.ndarray) and operand.dtype.kind == "f"
    return operand.astype(dtype, order="K") if floating else operand


def _same(what: str, given: Any, expected: np.ndarray, bound: float) -> None:
    given = to_numpy(given)
    if expected.dtype.kind == "f":
        assert given.dtype == np.float32, what
        error = relative_error(given, expected)
        assert error <= bound, f"{what} is off by {error:.1e}; at most {bound:.1e} is expected"
    else:
        np.testing.assert_array_equal(given, expected, err_msg=what)
