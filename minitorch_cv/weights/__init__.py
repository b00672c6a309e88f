"""Weights from the world and to it: published files read without trust, the state in files, models as ONNX."""

from ._files import load_weights, read_weights, save_weights
from ._onnx import export_onnx
from ._pth import WeightsError, read_pth
from ._trained import trained_weights

__all__ = ["WeightsError", "export_onnx", "load_weights", "read_pth", "read_weights", "save_weights", "trained_weights"]
