"""Downloads against a server on this machine: checked, kept, used again without it, refused when damaged."""

import gzip
import hashlib
import http.server
import io
import re
import struct
import tarfile
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from minitorch_cv.data import downloads

RECORDS = 3


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    """A folder, and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def digits():
    """The files of a made test split of MNIST's size, and its arrays."""
    rng = np.random.default_rng(0)
    images, labels = np.zeros((10_000, 28, 28), np.uint8), rng.integers(0, 10, 10_000, dtype=np.uint8)
    images[:, 3, 4] = rng.integers(0, 256, 10_000)
    files = {"t10k-images-idx3-ubyte.gz": images, "t10k-labels-idx1-ubyte.gz": labels}
    return {name: gzip.compress(idx(array), 1) for name, array in files.items()}, images, labels


def serve(monkeypatch, server, source, files):
    """Puts `files` on the server and makes it the second mirror of `source`, after one that does not answer."""
    folder, address = server
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {name: sha256(content) for name, content in files.items()}
    made = replace(getattr(downloads, source), mirrors=(address + "nothing-here/", address), sha256=hashes)
    monkeypatch.setattr(downloads, source, made)


@pytest.mark.parametrize(
    ("function", "source", "name"),
    [("mnist", "_MNIST", "mnist"), ("fashion_mnist", "_FASHION_MNIST", "fashion-mnist")],
)
def test_idx_sets_are_downloaded_once_and_then_need_no_server(
    monkeypatch, tmp_path, server, digits, function, source, name
):
    files, images, labels = digits
    serve(monkeypatch, server, source, files)
    monkeypatch.setattr(downloads, "DEBIAN_FASHION_MNIST", tmp_path / "none")
    monkeypatch.setenv("MINITORCH_CV_DATA", str(tmp_path / "kept"))
    for _ in range(2):
        dataset = getattr(downloads, function)("test")
        assert np.array_equal(dataset.images[:, 0], images) and np.array_equal(dataset.labels, labels)
        for served in list(server[0].iterdir()):
            served.unlink()
    assert sorted(path.name for path in (tmp_path / "kept" / name).iterdir()) == sorted(files)


def test_a_download_with_another_checksum_is_refused_and_not_kept(monkeypatch, tmp_path, server, digits):
    serve(monkeypatch, server, "_MNIST", digits[0])
    (server[0] / "t10k-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(
        OSError, match=r"^mnist: t10k-images-idx3-ubyte.gz of MNIST could not be downloaded(.|\n)*mnist5k"
    ):
        downloads.mnist("test", root=tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*"))


def test_a_kept_file_that_was_damaged_is_named(monkeypatch, tmp_path, server, digits):
    serve(monkeypatch, server, "_MNIST", digits[0])
    damaged = tmp_path / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(digits[0]["t10k-labels-idx1-ubyte.gz"][:-1])
    with pytest.raises(ValueError, match="^" + re.escape(f"mnist: {damaged} expects SHA-256 ")):
        downloads.mnist("test", root=tmp_path)


def test_debians_files_are_used_where_they_are(monkeypatch, tmp_path, digits):
    files, images, _ = digits
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(downloads, "DEBIAN_FASHION_MNIST", tmp_path)
    dataset = downloads.fashion_mnist("test")
    assert np.array_equal(dataset.images[:, 0], images) and dataset.classes[9] == "ankle boot"
    assert repr(dataset) == "Fashion-MNIST test: 10,000 images, 1x28x28 uint8, 10 classes"


def test_idx_of_another_shape_is_named(monkeypatch, tmp_path):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((5, 28, 28), np.uint8))))
    monkeypatch.setattr(downloads, "DEBIAN_FASHION_MNIST", tmp_path)
    message = re.escape(f"fashion_mnist: {path} expects uint8 (10000, 28, 28); it has uint8 (5, 28, 28)")
    with pytest.raises(ValueError, match=f"^{message}$"):
        downloads.fashion_mnist("test")


def archive(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def photographs(monkeypatch):
    """Made files of CIFAR-10, three records each, and their hashes in place of the published ones."""
    rng = np.random.default_rng(1)
    files, hashes = {}, {}
    for split, names in downloads._CIFAR10_FILES.items():
        for name in names:
            records = rng.integers(0, 256, (RECORDS, 3073), dtype=np.uint8)
            records[:, 0] %= 10
            files[name] = records.tobytes()
            hashes.setdefault(split, {})[name] = sha256(files[name])
    monkeypatch.setattr(downloads, "_CIFAR10_FILES", hashes)
    monkeypatch.setattr(downloads, "_CIFAR10_RECORDS", RECORDS)
    return files


def test_cifar10_is_downloaded_unpacked_and_kept(monkeypatch, tmp_path, server, photographs):
    members = {f"cifar-10-batches-bin/{name}": content for name, content in photographs.items()}
    members |= {"cifar-10-batches-bin/readme.html": b"hello", "../escaped.bin": b"out of the folder"}
    serve(monkeypatch, server, "_CIFAR10", {"cifar-10-binary.tar.gz": archive(members)})
    train = downloads.cifar10("train", root=tmp_path / "kept")
    assert train.images.shape == (5 * RECORDS, 3, 32, 32) and train.classes[6] == "frog"
    first = np.frombuffer(photographs["data_batch_1.bin"], np.uint8).reshape(RECORDS, 3073)
    assert train.labels[:RECORDS].tolist() == first[:, 0].tolist()
    assert np.array_equal(train.images[:RECORDS].reshape(RECORDS, -1), first[:, 1:])
    (tmp_path / "kept" / "cifar-10-binary.tar.gz").unlink()
    (server[0] / "cifar-10-binary.tar.gz").unlink()
    assert len(downloads.cifar10("test", root=tmp_path / "kept")) == RECORDS
    unpacked = (tmp_path / "kept" / "cifar-10-batches-bin").iterdir()
    assert sorted(path.name for path in unpacked) == sorted(photographs)
    assert not list(tmp_path.rglob("escaped.bin"))


def test_cifar10_with_a_missing_or_damaged_member_is_named(monkeypatch, tmp_path, server, photographs):
    members = {f"cifar-10-batches-bin/{name}": content for name, content in photographs.items()}
    short = {name: content for name, content in members.items() if "batch_3" not in name}
    serve(monkeypatch, server, "_CIFAR10", {"cifar-10-binary.tar.gz": archive(short)})
    with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz .*\['data_batch_3.bin'\] are missing$"):
        downloads.cifar10("train", root=tmp_path / "short")
    serve(monkeypatch, server, "_CIFAR10", {"cifar-10-binary.tar.gz": archive(members)})
    downloads.cifar10("train", root=tmp_path / "kept")
    damaged = tmp_path / "kept" / "cifar-10-batches-bin" / "data_batch_2.bin"
    damaged.write_bytes(bytes(RECORDS * 3073))
    with pytest.raises(ValueError, match="^" + re.escape(f"cifar10: {damaged} expects SHA-256 ")):
        downloads.cifar10("train", root=tmp_path / "kept")


@pytest.mark.parametrize("function", ["mnist", "fashion_mnist", "cifar10"])
def test_unknown_split_is_refused(function):
    with pytest.raises(ValueError, match=f"^{function}: split expects 'train' or 'test'; it is 'valid'$"):
        getattr(downloads, function)("valid")
