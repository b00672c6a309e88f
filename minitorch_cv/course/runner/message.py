"""What the judge and the process with the student's code say to each other: JSON, and arrays as their plain bytes.

A message is an 8-byte length, a JSON header of that length, then the bytes of each array in the header's order. It
holds None, booleans, numbers, strings, arrays, and tuples, lists and dicts of them; a function travels as a number, by
which the other side asks for it to be called. Nothing is unpickled, nothing unpacked: a message claims no more memory
than it has bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

LARGEST_HEADER = 1 << 20
LARGEST_ARRAYS = 1 << 28
"""Bytes of a message's header, and of its arrays together."""


class MessageError(ValueError):
    """What came is no message, or holds what no message may hold."""


def pack(value: Any, functions: list[Callable] | None = None) -> bytes:
    """The bytes of a message. Functions among its values are appended to `functions`.

    Raises MessageError: a value that no message holds.
    """
    arrays: list[np.ndarray] = []
    tree = _tree(value, arrays, functions)
    header = json.dumps({"tree": tree, "arrays": [[a.dtype.str, a.shape] for a in arrays]}).encode()
    if len(header) > LARGEST_HEADER:
        raise MessageError("so many numbers in lists: numpy.array(...) of them will do")
    return b"".join([len(header).to_bytes(8, "big"), header, *(array.tobytes() for array in arrays)])


def unpack(read: Callable[[int], bytes], function: Callable[[int], Any] | None = None) -> Any:
    """The next message of a stream, of which `read(count)` gives exactly so many bytes.

    `function(number)` makes something to call of a function of the other side.
    Raises MessageError: bytes that are no message.
    """
    length = int.from_bytes(read(8), "big")
    if length > LARGEST_HEADER:
        raise MessageError(f"a header of {length} bytes came; {LARGEST_HEADER} are the most")
    try:
        header = json.loads(read(length))
        tree, kinds = header["tree"], [_kind(*described) for described in header["arrays"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MessageError(f"a header came that cannot be read: {error}") from None
    sizes = [dtype.itemsize * math.prod(shape) for dtype, shape in kinds]
    if any(math.prod(size for size in shape if size) > LARGEST_ARRAYS for _, shape in kinds):
        raise MessageError("an array without numbers came whose other axes are huge")
    if sum(sizes) > LARGEST_ARRAYS:
        raise MessageError(f"arrays of {sum(sizes)} bytes came; {LARGEST_ARRAYS} are the most")
    contents = [bytearray(read(size)) for size in sizes]
    try:
        arrays = [np.ndarray(shape, dtype, content) for (dtype, shape), content in zip(kinds, contents)]
        return _value(tree, arrays, function)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise MessageError(f"a value came that cannot be read: {error}") from None


def _kind(dtype: Any, shape: Any) -> tuple[np.dtype, tuple[int, ...]]:
    """The dtype and shape of an array, as the header has them."""
    if not isinstance(dtype, str) or not re.fullmatch(r"[<>|=]?[biufc]\d{1,2}", dtype):
        raise ValueError(f"expected the dtype of numbers; came {dtype!r:.50}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"expected the sizes of an array; came {shape!r:.50}")
    return np.dtype(dtype), tuple(shape)


def _tree(value: Any, arrays: list[np.ndarray], functions: list[Callable] | None) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1, "scalar": isinstance(value, np.generic)}
    if value is None or isinstance(value, (bool, int, str)):
        return {"value": value}
    if isinstance(value, float):  # JSON has neither NaN nor infinity
        return {"float": value.hex()}
    if isinstance(value, Mapping):
        return {"dict": [[_tree(k, arrays, functions), _tree(v, arrays, functions)] for k, v in value.items()]}
    if isinstance(value, (tuple, list)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_tree(entry, arrays, functions) for entry in value]}
    if callable(value) and functions is not None:
        functions.append(value)
        return {"function": len(functions) - 1}
    kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise MessageError(f"expected arrays of numbers, numbers, strings, and tuples, lists or dicts of them; came {kind}")


def _value(tree: Any, arrays: list[Any], function: Callable[[int], Any] | None) -> Any:
    if "array" in tree:
        array = arrays[tree["array"]]
        if array is None:
            raise ValueError("an array is there twice")
        arrays[tree["array"]] = None  # else a short message could hold many times what it has bytes for
        return array[()] if tree["scalar"] and array.ndim == 0 else array
    if "value" in tree:
        value = tree["value"]
        if value is not None and not isinstance(value, (bool, int, str)):
            raise ValueError(f"{type(value).__name__} is no plain value")
        return value
    if "float" in tree:
        return float.fromhex(tree["float"])
    if "dict" in tree:
        return {_value(k, arrays, function): _value(v, arrays, function) for k, v in tree["dict"]}
    if "list" in tree:
        return [_value(entry, arrays, function) for entry in tree["list"]]
    if "tuple" in tree:
        return tuple(_value(entry, arrays, function) for entry in tree["tuple"])
    if "function" in tree and function is not None:
        return function(tree["function"])
    raise ValueError(f"{list(tree)} is no kind of value")
