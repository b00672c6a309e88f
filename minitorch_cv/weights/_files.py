"""Weights in files: a module's state by its published names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._files import contiguous, written_whole
from ..nn import Module
from ._pth import WeightsError, read_pth

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PARALLEL = "module."
_COUNTER = "num_batches_tracked"


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors or .pth file by their names. What the file is, is told by its content.

    Of a .pth checkpoint that holds more than weights, its `state_dict` (or `model`) is taken; the prefix `module.` that
    training on several devices leaves on every name is dropped.
    Raises FileNotFoundError; WeightsError, naming the file, where it is damaged, of another kind, or untrustworthy.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"read_weights: path expects a file of weights; there is none at {path}")
    with open(path, "rb") as file:
        beginning = file.read(9)
    if beginning[8:] == b"{":  # the length of a header in eight bytes, and the header
        state = _read_safetensors(path)
    elif beginning[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):  # a zip archive, a pickle
        state = _state_of(read_pth(path), path)
    else:
        raise WeightsError(f"{path} is no .safetensors or .pth file")
    if state and all(name.startswith(_PARALLEL) for name in state):
        state = {name.removeprefix(_PARALLEL): array for name, array in state.items()}
    return state


def load_weights(module: Module, path: str | os.PathLike[str] | Mapping[str, Any]) -> None:
    """Copy weights from a .safetensors or .pth file, or what `read_weights` gave of one, into a module by their names.

    To take only the names that fit, as for other classes: `net.load_state_dict(read_weights(path), strict=False)`,
    without those that are misshapen.

    Batch norm's counters of batches are left at zero where the file, as old ones do, lacks them. A module that leaves
    out what the published file holds names it in `unused_weights` (prefixes): GoogLeNet without its auxiliary heads.
    Raises FileNotFoundError; WeightsError for a file that cannot be read; ValueError that lists all missing, unexpected
    and misshapen names, before anything is changed.

    >>> import os, tempfile
    >>> from minitorch_cv import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> save_weights(nn.Linear(3, 2), path)
    >>> load_weights(nn.Linear(3, 2), path)
    >>> load_weights(nn.Linear(3, 4), path)
    Traceback (most recent call last):
    ...
    ValueError: load_weights: ... does not fit Linear; misshapen: weight expects (4, 3); it is (2, 3); bias expects ...
    """
    given, source = (path, "the state") if isinstance(path, Mapping) else (read_weights(path), path)
    unused = tuple(getattr(module, "unused_weights", ()))
    state = {name: array for name, array in given.items() if not (unused and name.startswith(unused))}
    for name, value in module.state_dict().items():
        if name.endswith(_COUNTER):
            state.setdefault(name, np.zeros(value.shape, value.dtype))
    try:
        module.load_state_dict(state)
    except ValueError as error:
        text = str(error).removeprefix("load_state_dict: the state does not fit ")
        raise ValueError(f"load_weights: {source} does not fit {text}") from None


def save_weights(module: Module, path: str | os.PathLike[str], dtype: Any = None) -> None:
    """Write a module's parameters and buffers to a .safetensors file, in one move, under their published names.

    dtype: as what numbers with a fraction are written, as in "float16", which takes half the space; None keeps them.
    Raises ValueError for another ending; OSError where the folder cannot be written.
    """
    from safetensors.numpy import save_file

    if Path(path).suffix != ".safetensors":
        raise ValueError(f"save_weights: path expects the ending .safetensors; it is {path}")
    arrays = {name: contiguous(value.data) for name, value in module.state_dict().items()}
    if dtype is not None:
        arrays = {name: a.astype(dtype) if a.dtype.kind == "f" else a for name, a in arrays.items()}
    with written_whole(path) as temporary:
        save_file(arrays, temporary)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is a damaged safetensors file, or of a type that NumPy lacks ({error})") from None


def _state_of(tree: Any, path: Path) -> dict[str, np.ndarray]:
    """The names and arrays in what a .pth file holds."""
    inner = next(
        (tree[key] for key in _WRAPPERS if isinstance(tree, Mapping) and isinstance(tree.get(key), dict)), tree
    )
    if not isinstance(inner, dict) or not inner or not all(isinstance(v, np.ndarray) for v in inner.values()):
        kind = (
            f"a dict with {', '.join(map(repr, list(inner)[:4]))} ..."
            if isinstance(inner, dict)
            else f"a {type(inner).__name__}"
        )
        raise WeightsError(f"{path} expects a state dict: names, and a tensor for each; it holds {kind:.200}")
    return {str(name): array for name, array in inner.items()}
