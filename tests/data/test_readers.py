"""IDX and CIFAR-10 files: read right, or named in the error."""

import gzip
import re
import struct

import numpy as np
import pytest

from minitorch_cv.data import read_cifar10, read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array):
    code = CODES[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def cifar10(images, labels):
    return b"".join(bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 3, 5), dtype=np.uint8)


def refused(path, message, read=read_idx):
    with pytest.raises(ValueError, match="^" + re.escape(f"{read.__name__}: {path} expects ") + message):
        read(path)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(6,), (2, 3, 4), (0, 3)])
def test_idx_is_read_as_it_was_written(tmp_path, dtype, compress, shape):
    array = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    (tmp_path / "file").write_bytes(compress(idx(array)))
    result = read_idx(tmp_path / "file")
    assert result.dtype == np.dtype(dtype) and result.flags.writeable
    assert np.array_equal(result, array) and result.shape == shape


@pytest.mark.parametrize("length", range(16))
def test_idx_cut_within_its_header_is_named(tmp_path, images, length):
    path = tmp_path / "cut"
    path.write_bytes(idx(images)[:length])
    refused(path, "the IDX magic" if length < 4 else f"12 bytes of lengths of axes; {length - 4} came")


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_idx_of_another_length_is_named(tmp_path, images, compress):
    path = tmp_path / "file"
    path.write_bytes(compress(idx(images)[:-1]))
    refused(path, r"105 bytes for shape \(7, 3, 5\) uint8; 104 came")
    path.write_bytes(compress(idx(images) + b"x"))
    refused(path, r"105 bytes for shape \(7, 3, 5\) uint8; more came")


@pytest.mark.parametrize(
    "start", [b"\x89PNG", b"\0\0\x07\x01", b"\0\1\x08\x01", b"\0\0\x08\x00", b"\0\0\x08\x21", b"\x80\x02}q"]
)
def test_idx_with_another_magic_is_named(tmp_path, start):
    path = tmp_path / "file"
    path.write_bytes(start + bytes(100))
    refused(path, f"the IDX magic .*; it starts with {start.hex(' ')}")


def test_gzip_cut_anywhere_is_named(tmp_path, images):
    path, whole = tmp_path / "file.gz", gzip.compress(idx(images))
    for length in range(2, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_idx(path)


def test_gzip_with_any_flipped_byte_of_content_is_named(tmp_path, images):
    path, whole = tmp_path / "file.gz", gzip.compress(idx(images), mtime=0)
    for position in range(10, len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_idx(path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_lengths_beyond_any_memory_are_named_without_asking_for_it(tmp_path, compress):
    path = tmp_path / "file"
    path.write_bytes(compress(bytes([0, 0, 0x0E, 4]) + b"\xff" * 16 + bytes(50)))
    refused(path, r"[\d,]+ bytes for shape .* float64; 50 came")


def test_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")


def test_cifar10_is_read_as_it_was_written(tmp_path):
    rng = np.random.default_rng(2)
    images, labels = rng.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), np.array([3, 9, 0, 5])
    (tmp_path / "batch.bin").write_bytes(cifar10(images, labels))
    for count in (None, 4):
        read_images, read_labels = read_cifar10(tmp_path / "batch.bin", count)
        assert np.array_equal(read_images, images) and np.array_equal(read_labels, labels)
        assert read_labels.dtype == np.int64


def test_cifar10_of_another_size_is_named(tmp_path):
    path, record = tmp_path / "batch.bin", bytes(3073)
    for content in (b"", record[:-1], record + b"x"):
        path.write_bytes(content)
        refused(path, f"whole records of 3,073 bytes; it has {len(content):,} bytes", read_cifar10)
    path.write_bytes(record * 2)
    with pytest.raises(ValueError, match=r"expects 3 records of 3,073 bytes; it has 6,146 bytes$"):
        read_cifar10(path, 3)


def test_cifar10_with_a_label_beyond_9_is_named(tmp_path):
    path = tmp_path / "batch.bin"
    path.write_bytes(bytes(3073) + bytes([10]) + bytes(3072))
    refused(path, "labels 0 .. 9; record 1 has the label 10", read_cifar10)
