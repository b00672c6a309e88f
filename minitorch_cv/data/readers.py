"""Readers of the IDX and CIFAR-10 formats; a file is read whole and right, or named in an error."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

# The third byte of an IDX file names the type of its numbers, which are big-endian.
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 20

_CIFAR10_SHAPE = (3, 32, 32)
_CIFAR10_RECORD = 1 + math.prod(_CIFAR10_SHAPE)


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file (MNIST's format), plain or compressed with gzip.

    The format: two zero bytes, a byte for the type, a byte for the number of axes, the axes' lengths as big-endian
    uint32, the numbers in row-major order.
    Shapes: as the file states.
    Raises: FileNotFoundError; ValueError where the file is not IDX, is cut short, goes on after its numbers, or is
    damaged (gzip's checksum), with the name of the file, what was expected and what came.
    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".
    """
    path = Path(path)
    with open(path, "rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not compressed:
            return _read_idx_stream(file, path)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _read_idx_stream(stream, path)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"read_idx: {path} expects a whole gzip file; decompressing it says: {error}") from error


def _read_idx_stream(stream: BinaryIO | gzip.GzipFile, path: Path) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES or not 1 <= magic[3] <= 32:
        raise ValueError(
            f"read_idx: {path} expects the IDX magic 00 00, a type out of 08 09 0b 0c 0d 0e, 1 to 32 axes; "
            f"it starts with {magic.hex(' ') or 'nothing'}"
        )
    dtype, ndim = np.dtype(_IDX_DTYPES[magic[2]]), magic[3]
    lengths = stream.read(4 * ndim)
    if len(lengths) < 4 * ndim:
        raise ValueError(f"read_idx: {path} expects {4 * ndim} bytes of lengths of axes; {len(lengths)} came")
    shape = struct.unpack(f">{ndim}I", lengths)
    # Exact in Python's integers: damaged lengths may ask for more than any machine has.
    expected = math.prod(shape) * dtype.itemsize
    content = _read_at_most(stream, expected + 1)
    if len(content) != expected:
        came = "more" if len(content) > expected else f"{len(content):,}"
        raise ValueError(f"read_idx: {path} expects {expected:,} bytes for shape {shape} {dtype.name}; {came} came")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_at_most(stream: BinaryIO | gzip.GzipFile, count: int) -> bytearray:
    """Reads in blocks, so that memory grows with what is there and not with what a damaged header asks for."""
    content = bytearray()
    while len(content) < count and (block := stream.read(min(_BLOCK, count - len(content)))):
        content += block
    return content


def read_cifar10(path: str | os.PathLike[str], count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels in one file of CIFAR-10's binary version.

    The format: records of 3,073 bytes: the label, then 1,024 bytes each of red, green and blue in row-major order.
    Shapes: images (N, 3, 32, 32) uint8; labels (N,) int64; N is `count` where it is given.
    Raises: FileNotFoundError; ValueError where the size is not that of whole records (of `count`), or a label
    exceeds 9, with the name of the file.
    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images" (2009), "CIFAR-10 binary version".
    """
    path = Path(path)
    content = np.fromfile(path, np.uint8)
    whole = f"{count:,}" if count is not None else "whole"
    if not len(content) or len(content) % _CIFAR10_RECORD or count not in (None, len(content) // _CIFAR10_RECORD):
        raise ValueError(
            f"read_cifar10: {path} expects {whole} records of {_CIFAR10_RECORD:,} bytes; it has {len(content):,} bytes"
        )
    records = content.reshape(-1, _CIFAR10_RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        first = int(np.argmax(labels > 9))
        raise ValueError(f"read_cifar10: {path} expects labels 0 .. 9; record {first} has the label {labels[first]}")
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, *_CIFAR10_SHAPE), labels
