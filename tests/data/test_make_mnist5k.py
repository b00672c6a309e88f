"""The script that makes the embedded digits: its split depends on the digits alone, and its file on nothing else."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from minitorch_cv import data

SCRIPT = Path(__file__).parents[2] / "tools" / "make_mnist5k.py"

pytestmark = pytest.mark.checkout


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_mnist5k", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def arrays():
    return {
        f"{split}_{kind}": getattr(data.mnist5k(split), kind)
        for split in ("train", "test")
        for kind in ("images", "labels")
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_split_does_not_depend_on_the_order_of_the_source(script, arrays, seed):
    images, labels = (
        np.concatenate([arrays[f"{split}_{kind}"] for split in ("train", "test")]) for kind in ("images", "labels")
    )
    order = np.random.default_rng(seed).permutation(len(labels))
    made = script.split_by_hash(images[order], labels[order])
    assert made.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(made[name], array), name


def test_equal_digits_are_refused(script, arrays):
    images, labels = arrays["test_images"].copy(), arrays["test_labels"]
    images[7] = images[3]
    with pytest.raises(SystemExit, match=r"^make_mnist5k: two digits are equal"):
        script.split_by_hash(images, labels)


def test_file_is_the_same_bytes_each_time_and_nothing_else_is_left(script, arrays, tmp_path):
    contents = []
    for _ in range(2):
        script.write({name: array[:50] for name, array in arrays.items()}, tmp_path / "made.npz")
        contents.append((tmp_path / "made.npz").read_bytes())
    assert contents[0] == contents[1] and [path.name for path in tmp_path.iterdir()] == ["made.npz"]


def test_another_source_is_refused(script, tmp_path):
    (tmp_path / "other.csv.gz").write_bytes(b"0,0,0")
    with pytest.raises(SystemExit, match=r"^make_mnist5k: .*other.csv.gz expects SHA-256 .*; it has "):
        script.read_csv(tmp_path / "other.csv.gz")
