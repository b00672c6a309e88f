"""Checkpoints: one safetensors file that holds arrays and everything else that a run needs to go on.

Arrays are stored as they are, under names such as `model.features.0.weight` that any reader of safetensors understands.
Numbers, strings and the structure around them are JSON in the file's metadata. Nothing in the file is executed.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._device import is_array
from .._files import contiguous, written_whole
from .._tensor import Tensor

_FORMAT = "minitorch_cv checkpoint"
_VERSION = "1"
_ARRAY, _TUPLE, _SCALAR = "__array__", "__tuple__", "__scalar__"
_MARKS = frozenset((_ARRAY, _TUPLE, _SCALAR))


class CheckpointError(ValueError):
    """A file that is no whole checkpoint, or one that does not fit."""


def save_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write `state`, a tree of dicts, lists and tuples with Tensors, arrays, numbers, strings and None, to one file.

    The file is written under a temporary name in the same folder, forced to the disk and then renamed: whatever
    happens, `path` holds the old checkpoint or the new one, whole.

    Raises: TypeError for anything else in the tree, before a file is made; OSError where the folder is not writable.

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
    >>> save_checkpoint(path, {"weights": np.eye(2, dtype=np.float32), "epoch": 3, "betas": (0.9, 0.999)})
    >>> state = load_checkpoint(path)
    >>> state["epoch"], state["betas"], state["weights"].shape
    (3, (0.9, 0.999), (2, 2))
    """
    from safetensors.numpy import save_file

    arrays: dict[str, np.ndarray] = {}
    document = {key: _encode(value, str(key), arrays) for key, value in state.items()}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    metadata = {"format": _FORMAT, "version": _VERSION, "crc32": _checksum(text, arrays), "state": text}
    with written_whole(path) as temporary:
        save_file(arrays, temporary, metadata)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tree that `save_checkpoint` was given, Tensors as NumPy arrays, mappings as dicts with string keys.

    Raises: FileNotFoundError; CheckpointError, naming the file, where it is truncated, altered, or something else.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load_checkpoint: path expects a checkpoint; there is no file {path}")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            if metadata.get("format") != _FORMAT:
                raise CheckpointError(
                    f"load_checkpoint: {path} is a safetensors file, but no checkpoint: it holds {len(names)} arrays "
                    "and nothing of a run"
                )
            arrays = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, TypeError, AttributeError) as error:
        raise CheckpointError(f"load_checkpoint: {path} is truncated or no checkpoint ({error})") from None
    if metadata.get("version") != _VERSION:
        raise CheckpointError(
            f"load_checkpoint: {path} expects version {_VERSION} of the format; it has {metadata.get('version')!r}"
        )
    if metadata.get("crc32") != _checksum(metadata.get("state", ""), arrays):
        raise CheckpointError(f"load_checkpoint: {path} was altered: its checksum is not the one that it states")
    try:
        return {key: _decode(value, arrays) for key, value in json.loads(metadata["state"]).items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"load_checkpoint: {path} was altered: its metadata cannot be read ({error!r})") from None


def _encode(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON; its arrays go into `arrays` under names that follow the tree."""
    if isinstance(value, Tensor):
        value = value.data
    if is_array(value):
        array = contiguous(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"save_checkpoint: {name} expects a numeric array; it is of type {array.dtype}")
        while name in arrays:  # {"a.b": ..., "a": {"b": ...}}
            name += "'"
        arrays[name] = array
        return {_ARRAY: name}
    if isinstance(value, np.generic):  # its dtype decides how it mixes with arrays, so that is kept
        return {_SCALAR: [value.dtype.str, value.item()]}
    if isinstance(value, Mapping):
        keys = {str(key) for key in value}
        if _MARKS & keys or len(keys) != len(value):
            raise TypeError(
                f"save_checkpoint: {name} expects keys that differ as strings, none of {sorted(_MARKS)}; "
                f"they are {list(value)}"
            )
        return {str(key): _encode(entry, f"{name}.{key}", arrays) for key, entry in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [_encode(entry, f"{name}.{i}", arrays) for i, entry in enumerate(value)]}
    if isinstance(value, list):
        return [_encode(entry, f"{name}.{i}", arrays) for i, entry in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"save_checkpoint: {name} expects arrays, numbers, strings, None, or dicts and lists of them; it is {value!r}"
    )


def _decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_decode(entry, arrays) for entry in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return arrays[value[_ARRAY]]
    if _SCALAR in value:
        kind, number = value[_SCALAR]
        return np.dtype(kind).type(number)
    if _TUPLE in value:
        return tuple(_decode(entry, arrays) for entry in value[_TUPLE])
    return {key: _decode(entry, arrays) for key, entry in value.items()}


def _checksum(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """CRC-32 of the JSON and of all arrays in the order of their names: safetensors does not notice a changed byte."""
    checksum = zlib.crc32(text.encode())
    for name in sorted(arrays):
        content: Any = arrays[name].reshape(-1).view(np.uint8)
        checksum = zlib.crc32(content, zlib.crc32(name.encode(), checksum))
    return f"{checksum:08x}"
