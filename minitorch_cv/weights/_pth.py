"""PyTorch's .pth files, read without PyTorch and without trust.

A .pth file is a pickle, a program for a little stack machine that may call any function of Python by name. This reader
knows the few instructions that torch writes, hands the program six harmless names, and refuses all else. The numbers
lie beside the program, and the tensors that it builds are checked to lie within them.

There are two forms. Since 2020 it is a zip archive: <name>/data.pkl, and <name>/data/<key> for each storage. Before, it
was a stream of five pickles (a magic number, a version, the machine's properties, the objects, the storages' keys) and
then the storages, each with its length before it.
"""

from __future__ import annotations

import math
import os
import pickle
import reprlib
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


class WeightsError(ValueError):
    """A file of weights that is damaged, of another kind, or asks for what no file of weights needs."""


class _Number:
    """The type of a storage's numbers. bfloat16, which NumPy lacks, is the upper half of a float32."""

    __slots__ = ("dtype", "is_bfloat16")

    def __init__(self, dtype: str, is_bfloat16: bool = False):
        self.dtype, self.is_bfloat16 = np.dtype(dtype), is_bfloat16


class _Storage:
    """Numbers in a row; in a stream they come after the tensors that are made of them."""

    __slots__ = ("count", "data", "number")

    def __init__(self, number: _Number, count: int, data: np.ndarray | None = None):
        self.number, self.count, self.data = number, count, data


class _Tensor:
    """A tensor to be: where its numbers lie in a storage."""

    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> np.ndarray:
        data = self.storage.data
        if data is None:
            raise WeightsError("it names a storage that is not there")
        step = data.itemsize
        view = np.ndarray(self.shape, data.dtype, data, self.offset * step, [s * step for s in self.strides])
        if self.storage.number.is_bfloat16:
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view.astype(data.dtype.newbyteorder("="))


_short = reprlib.repr
"""Of what a file holds: the whole of a nest of containers can be longer than any memory."""


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    numbers = (offset, *shape, *strides) if type(shape) is tuple and type(strides) is tuple else (-1,)
    if not isinstance(storage, _Storage) or not all(map(_is_count, numbers)) or len(shape) != len(strides):
        raise WeightsError(
            f"it builds a tensor of offset {_short(offset)}, shape {_short(shape)}, strides {_short(strides)}"
        )
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.count:
        raise WeightsError(f"it builds a tensor of {last + 1} numbers on a storage of {storage.count}")
    if math.prod(shape) > storage.count:  # a stride of 0 makes many of few
        raise WeightsError(f"it builds a tensor of shape {shape} on a storage of {storage.count}")
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_NUMBERS = {
    "DoubleStorage": _Number("<f8"),
    "FloatStorage": _Number("<f4"),
    "HalfStorage": _Number("<f2"),
    "BFloat16Storage": _Number("<u2", is_bfloat16=True),
    "LongStorage": _Number("<i8"),
    "IntStorage": _Number("<i4"),
    "ShortStorage": _Number("<i2"),
    "CharStorage": _Number("i1"),
    "ByteStorage": _Number("u1"),
    "BoolStorage": _Number("?"),
}

_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): tuple,
    **{("torch", name): number for name, number in _NUMBERS.items()},
}

_CALLABLE = [value for value in _ALLOWED.values() if callable(value)]

_INSTRUCTIONS = (
    *("PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
    *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
)
"""Those that torch writes, in its two protocols."""


class _Known(dict):
    """What each instruction does."""

    def __missing__(self, code: int) -> Any:
        raise WeightsError(f"it uses the instruction {bytes([code])!r}, which torch never writes")


_python_pickle: Any = pickle._Unpickler  # pyright: ignore[reportAttributeAccessIssue]  # not the one in C


class _Unpickler(_python_pickle):
    """Python's own machine with few instructions. `storage(type, key, count)` gives a storage."""

    dispatch = _Known(
        (code, pickle._Unpickler.dispatch[code]) for code in (getattr(pickle, n)[0] for n in _INSTRUCTIONS)
    )  # pyright: ignore

    def __init__(self, file: IO[bytes], storage: Callable[[_Number, str, int], _Storage]):
        super().__init__(file, encoding="utf-8")
        self.storage = storage

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if not any(function is known for known in _CALLABLE) or (function is OrderedDict and arguments):
            raise WeightsError(f"it calls {_short(function)}")
        self.stack[-1] = function(*arguments)

    def load_build(self) -> None:
        """The state of a dict is torch's `_metadata`, for which there is no use here; nothing else has one."""
        self.stack.pop()
        if type(self.stack[-1]) is not OrderedDict:
            raise WeightsError(f"it sets attributes of {_short(self.stack[-1])}")

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(key, value)

    def load_setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(key, value)

    def _set(self, key: Any, value: Any) -> None:
        """Keys are names and numbers: nests of tuples would take for ever to be hashed."""
        if type(key) not in (str, int, bytes) or not isinstance(self.stack[-1], dict):
            raise WeightsError(f"it puts a {type(key).__name__} as key into a {type(self.stack[-1]).__name__}")
        self.stack[-1][key] = value

    dispatch[pickle.REDUCE[0]], dispatch[pickle.BUILD[0]] = load_reduce, load_build
    dispatch[pickle.SETITEM[0]], dispatch[pickle.SETITEMS[0]] = load_setitem, load_setitems

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise WeightsError(
                f"it asks for {module}.{name}, which no file of weights needs (what fits is written by "
                "torch.save(model.state_dict(), path))"
            ) from None

    def persistent_load(self, identity: Any) -> _Storage:
        if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
            raise WeightsError(f"it names a storage by {_short(identity)}")
        _, number, key, _, count, *view = identity
        if not isinstance(number, _Number) or type(key) is not str or not _is_count(count) or view not in ([], [None]):
            raise WeightsError(f"it names a storage by {_short(identity)}")
        return self.storage(number, key, count)


def read_pth(path: str | os.PathLike[str]) -> Any:
    """What `torch.save` wrote, as dicts, lists, tuples, numbers and strings, tensors as NumPy arrays.

    bfloat16 becomes float32. Raises WeightsError, naming the file, where it is damaged, is no .pth file, or asks for
    anything beyond tensors and their containers; nothing of it is executed.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                if file.read(2) == b"PK":
                    raise WeightsError("its end is missing, as when a download was cut off: fetch it again")
                tree = _read_stream(file)
            else:
                tree = _read_zip(file)
        return _with_arrays(tree)
    except WeightsError as error:
        raise WeightsError(f"{path} cannot be trusted or is damaged: {error}") from None
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its garbled instructions lead to
        raise WeightsError(f"{path} is no .pth file, or a damaged one ({type(error).__name__}: {error})") from None


def _read_zip(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(names) != 1:
            raise WeightsError(f"its archive expects one data.pkl; it has {len(names)}")
        folder = names[0].removesuffix("data.pkl")
        known = set(archive.namelist())
        if f"{folder}constants.pkl" in known:
            raise WeightsError("it is a TorchScript program; save model.state_dict() in its place")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise WeightsError("its archive is compressed, which torch.save never does")
        big = folder + "byteorder" in known and archive.read(folder + "byteorder") == b"big"
        made: dict[str, _Storage] = {}

        def storage(number: _Number, key: str, count: int) -> _Storage:
            if key not in made:
                content = archive.read(f"{folder}data/{key}")
                made[key] = _Storage(number, count, _numbers(content, number, count, big))
            return _same(made[key], number, count)

        with archive.open(names[0]) as program:
            return _Unpickler(program, storage).load()


def _read_stream(file: BinaryIO) -> Any:
    file.seek(0)
    made: dict[str, _Storage] = {}

    def storage(number: _Number, key: str, count: int) -> _Storage:
        return _same(made.setdefault(key, _Storage(number, count)), number, count)

    def load() -> Any:
        return _Unpickler(file, storage).load()

    magic, version = load(), load()
    if magic != MAGIC or version != VERSION:
        raise WeightsError("it does not begin as torch's files do")
    properties = load()
    big = isinstance(properties, dict) and properties.get("little_endian") is False
    tree, keys = load(), load()
    for key in keys:
        found = made[key]
        (count,) = struct.unpack(">q" if big else "<q", file.read(8))
        if count != found.count:
            raise WeightsError(f"storage {key} expects {found.count} numbers; it has {count}")
        content = file.read(count * found.number.dtype.itemsize)
        found.data = _numbers(content, found.number, count, big)
    return tree


def _numbers(content: bytes, number: _Number, count: int, big: bool) -> np.ndarray:
    dtype = number.dtype.newbyteorder(">") if big else number.dtype
    if len(content) != count * dtype.itemsize:
        raise WeightsError(f"a storage expects {count * dtype.itemsize} bytes; it has {len(content)}")
    return np.frombuffer(content, dtype)


def _same(storage: _Storage, number: _Number, count: int) -> _Storage:
    if storage.number is not number or storage.count != count:
        raise WeightsError("it names one storage with two types or lengths")
    return storage


def _with_arrays(value: Any) -> Any:
    """A copy of the tree with arrays in place of tensors. Only plain containers can be in it."""
    storages: dict[int, int] = {}
    written = [0]
    copies: dict[int, Any] = {}  # what occurs often is copied once: nested often enough it would fill any memory

    def copy(value: Any, depth: int) -> Any:
        if depth > 32:
            raise WeightsError("it nests containers more than 32 deep")
        if value is None or isinstance(value, (bool, int, float, str, bytes)):
            return value
        if id(value) not in copies:
            copies[id(value)] = copy_container(value, depth + 1)
        return copies[id(value)]

    def copy_container(value: Any, depth: int) -> Any:
        if isinstance(value, _Tensor):
            array = value.array()
            storages[id(value.storage)] = value.storage.count * value.storage.number.dtype.itemsize
            written[0] += array.nbytes
            if written[0] > 16 * sum(storages.values()) + 2**20:  # some share a storage, but not so many
                raise WeightsError("its tensors are many times as large as what they are made of")
            return array
        if isinstance(value, dict):
            return {copy(key, depth): copy(entry, depth) for key, entry in dict.items(value)}
        if isinstance(value, (list, tuple)):
            return type(value)(copy(entry, depth) for entry in value)
        raise WeightsError(f"it holds a {type(value).__name__}")

    return copy(value, 0)
