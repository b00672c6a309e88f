"""MNIST, Fashion-MNIST and CIFAR-10: downloaded once, checked by SHA-256, kept in a folder.

The folder is `root` where given, else `$MINITORCH_CV_DATA`, else the user's cache. A file that is there already, put
there by hand or by an earlier call, is checked and used without a network. The checksums are the published ones; the
readers were tried on Fashion-MNIST's real files, the downloads themselves are untried.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minitorch_cv.data.dataset import Dataset
from minitorch_cv.data.readers import read_cifar10, read_idx

# Where Debian's package dataset-fashion-mnist puts its files.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_IDX_PREFIXES = {"train": ("train", 60_000), "test": ("t10k", 10_000)}


@dataclass(frozen=True)
class _Source:
    """Files to download: where from (each mirror is tried in turn), and the SHA-256 of each."""

    name: str
    mirrors: tuple[str, ...]
    sha256: dict[str, str]


_MNIST = _Source(
    "MNIST",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
_FASHION_MNIST = _Source(
    "Fashion-MNIST",
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
_CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
_CIFAR10 = _Source(
    "CIFAR-10",
    ("https://www.cs.toronto.edu/~kriz/",),
    {_CIFAR10_ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
)
_CIFAR10_FOLDER = "cifar-10-batches-bin"
_CIFAR10_FILES = {
    "train": {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    },
    "test": {"test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"},
}
_CIFAR10_RECORDS = 10_000


def mnist(split: str = "train", root: str | os.PathLike[str] | None = None) -> Dataset:
    """MNIST: 60,000 handwritten digits to train on, 10,000 to test with (12 MB to download).

    Shapes: images (N, 1, 28, 28).
    Units: uint8, 0 the background and 255 the ink.
    Raises: ValueError for another `split` or a damaged file; OSError where no mirror answers.
    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition"
    (1998). Licence: CC BY-SA 3.0.
    """
    _check_split("mnist", split)
    folder = _folder(root, "mnist")
    return _idx_dataset("mnist", split, folder, tuple(map(str, range(10))), _MNIST)


def fashion_mnist(split: str = "train", root: str | os.PathLike[str] | None = None) -> Dataset:
    """Fashion-MNIST: 60,000 pictures of clothes to train on, 10,000 to test with (31 MB to download).

    The files of Debian's package dataset-fashion-mnist are used where they are installed and `root` is not given.
    Shapes: images (N, 1, 28, 28).
    Units: uint8, 0 the background.
    Raises: ValueError for another `split` or a damaged file; OSError where no mirror answers.
    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST" (2017), arXiv:1708.07747. Licence: MIT.
    """
    _check_split("fashion_mnist", split)
    if root is None and DEBIAN_FASHION_MNIST.is_dir():
        # Debian compresses the files anew, so their checksums are not the published ones; gzip's own is still checked.
        return _idx_dataset("fashion_mnist", split, DEBIAN_FASHION_MNIST, FASHION_MNIST_CLASSES, None)
    folder = _folder(root, "fashion-mnist")
    return _idx_dataset("fashion_mnist", split, folder, FASHION_MNIST_CLASSES, _FASHION_MNIST)


def cifar10(split: str = "train", root: str | os.PathLike[str] | None = None) -> Dataset:
    """CIFAR-10: 50,000 small photographs to train on, 10,000 to test with (170 MB to download).

    Shapes: images (N, 3, 32, 32).
    Units: uint8, red, green and blue.
    Raises: ValueError for another `split` or a damaged file; OSError where the server does not answer.
    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images" (2009), binary version.
    """
    _check_split("cifar10", split)
    folder = _folder(root, "cifar10")
    files = _CIFAR10_FILES[split]
    if not all((folder / _CIFAR10_FOLDER / name).is_file() for name in files):
        _extract_cifar10(_fetch("cifar10", _CIFAR10, _CIFAR10_ARCHIVE, folder), folder / _CIFAR10_FOLDER)
    parts = []
    for name, sha256 in files.items():
        path = folder / _CIFAR10_FOLDER / name
        _check_sha256("cifar10", path, sha256)
        parts.append(read_cifar10(path, _CIFAR10_RECORDS))
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Dataset(images, labels, CIFAR10_CLASSES, f"CIFAR-10 {split}")


def _check_split(function: str, split: str) -> None:
    if split not in _IDX_PREFIXES:
        raise ValueError(f"{function}: split expects 'train' or 'test'; it is {split!r}")


def _folder(root: str | os.PathLike[str] | None, name: str) -> Path:
    if root is not None:
        return Path(root)
    configured = os.environ.get("MINITORCH_CV_DATA")
    if configured:
        return Path(configured) / name
    import pooch

    return Path(pooch.os_cache("minitorch-cv")) / name


def _idx_dataset(function: str, split: str, folder: Path, classes: tuple[str, ...], source: _Source | None) -> Dataset:
    """Reads images and labels of `split` in `folder`, from `source` where it is given and a file is missing."""
    prefix, count = _IDX_PREFIXES[split]
    arrays = []
    for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
        name = f"{prefix}-{kind}-ubyte.gz"
        path = folder / name if source is None else _fetch(function, source, name, folder)
        array = read_idx(path)
        if array.shape != shape or array.dtype != np.uint8:
            raise ValueError(f"{function}: {path} expects uint8 {shape}; it has {array.dtype} {array.shape}")
        arrays.append(array)
    title = "Fashion-MNIST" if function == "fashion_mnist" else "MNIST"
    return Dataset(arrays[0][:, None], arrays[1], classes, f"{title} {split}")


def _fetch(function: str, source: _Source, name: str, folder: Path) -> Path:
    """The path of a file of `source` in `folder`, checked; downloaded to a temporary name first where it is missing."""
    path = folder / name
    if path.is_file():
        _check_sha256(function, path, source.sha256[name])
        return path
    import pooch

    failures = []
    for mirror in source.mirrors:
        try:
            pooch.retrieve(mirror + name, known_hash=f"sha256:{source.sha256[name]}", fname=name, path=folder)
            return path
        except Exception as error:  # pooch hands on whatever its transport raises; all are told together below
            failures.append(f"{mirror}{name}: {type(error).__name__}: {error}")
    raise OSError(
        f"{function}: {name} of {source.name} could not be downloaded. Without a network, put it in {folder} by hand, "
        f"or use mnist5k() or glyphs(), which need none. Tried:\n  " + "\n  ".join(failures)
    )


def _check_sha256(function: str, path: Path, expected: str) -> None:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise ValueError(
            f"{function}: {path} expects SHA-256 {expected}; it has {digest.hexdigest()}. "
            "The file is damaged or another one: delete it, and the next call downloads it anew"
        )


def _extract_cifar10(archive: Path, folder: Path) -> None:
    """Writes the known members of the archive, and no others, into `folder`, each by a temporary name."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {name for files in _CIFAR10_FILES.values() for name in files}
    found = set()
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name = member.name.removeprefix("./").removeprefix(f"{_CIFAR10_FOLDER}/")
            stream = tar.extractfile(member) if name in wanted and member.isfile() else None
            if stream is None:
                continue
            handle, temporary = tempfile.mkstemp(dir=folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    while block := stream.read(1 << 20):
                        file.write(block)
                os.replace(temporary, folder / name)
            except BaseException:
                os.unlink(temporary)
                raise
            found.add(name)
    if found != wanted:
        raise ValueError(
            f"cifar10: {archive} expects the members {sorted(wanted)}; {sorted(wanted - found)} are missing"
        )
