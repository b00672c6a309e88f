"""Checkpoints: what was put in comes out, and a file that is not whole is refused by name."""

import json
import math
import os
import zlib

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv.training import CheckpointError, load_checkpoint, save_checkpoint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def same(a, b):
    """Equal in structure, types, dtypes and bits."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def test_a_tree_comes_back_with_its_types_and_bits(path, rng):
    state = {
        "model": {"features.0.weight": rng.standard_normal((4, 3, 2, 5)), "scalar": np.array(2.5, np.float32)},
        "optimizer": {"state": {"0": {"step": 7, "exp_avg": np.float32([1e-45, -0.0, np.inf, np.nan])}}},
        "groups": [{"lr": 0.1 + 0.2, "betas": (0.9, 0.999), "nesterov": False, "none": None}],
        "numpy": [np.float32(0.1), np.int64(3), np.float64(1 / 3)],
        "best": math.inf,
        "nan": math.nan,
        "seed": 2**64 - 1,
        "empty": {"array": np.zeros((0, 3), np.int64), "dict": {}, "list": [], "tuple": ()},
        "mask": np.array([True, False]),
        "text": "größer\n",
    }
    save_checkpoint(path, state)
    assert same(load_checkpoint(path), state)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::2, ::-1],
        lambda a: a.transpose(2, 0, 1),
        lambda a: np.broadcast_to(a[0], a.shape),
        lambda a: a[1:, 1:, 1:],
        lambda a: a[1, 2, 3],
    ],
)
def test_strided_views_are_stored_by_value(path, rng, view):
    array = np.asarray(view(rng.standard_normal((4, 6, 5))))
    save_checkpoint(path, {"array": array})
    loaded = load_checkpoint(path)["array"]
    assert loaded.shape == array.shape and np.array_equal(loaded, array)


def test_tensors_are_stored_as_arrays(path):
    save_checkpoint(path, {"x": mt.Tensor([1.0, 2.0], requires_grad=True)})
    assert same(load_checkpoint(path)["x"], np.float32([1, 2]))


def test_arrays_whose_names_coincide_are_both_kept(path):
    state = {"a": {"b": np.zeros(2)}, "a.b": np.ones(3)}
    save_checkpoint(path, state)
    assert same(load_checkpoint(path), state)


def test_any_reader_of_safetensors_finds_the_weights_by_name(path):
    from safetensors.numpy import load_file

    save_checkpoint(path, {"model": {"features.0.weight": np.arange(3.0)}})
    assert np.array_equal(load_file(path)["model.features.0.weight"], np.arange(3.0))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {"a": {"b": object}},
            "save_checkpoint: a.b expects arrays, numbers, strings, None, or dicts and lists of them",
        ),
        ({"a": np.array(["x"])}, "save_checkpoint: a expects a numeric array; it is of type <U1"),
        ({"a": {1: 2, "1": 3}}, "save_checkpoint: a expects keys that differ as strings"),
        ({"a": {"__array__": 2}}, "save_checkpoint: a expects keys that differ as strings"),
    ],
)
def test_what_cannot_be_stored_is_named_before_a_file_is_made(path, state, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        save_checkpoint(path, state)
    assert os.listdir(path.parent) == []


def test_a_truncated_file_is_named_at_every_length(path):
    save_checkpoint(path, {"weights": np.arange(50.0), "epoch": 3})
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"run.safetensors is truncated or no checkpoint"):
            load_checkpoint(path)


@pytest.mark.parametrize("old, new", [(b"0.125", b"0.126"), (np.float64(49).tobytes(), np.float64(48).tobytes())])
def test_an_altered_file_is_named(path, old, new):
    save_checkpoint(path, {"weights": np.arange(50.0), "lr": 0.125})
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(CheckpointError, match=r"run.safetensors was altered: its checksum is not the one"):
        load_checkpoint(path)


def test_a_foreign_file_is_named(path):
    from safetensors.numpy import save_file

    path.write_bytes(b"PK\x03\x04 not what you think" * 10)
    with pytest.raises(CheckpointError, match=r"run.safetensors is truncated or no checkpoint"):
        load_checkpoint(path)
    save_file({"w": np.zeros(2)}, path)
    with pytest.raises(
        CheckpointError, match=r"run.safetensors is a safetensors file, but no checkpoint: it holds 1 array"
    ):
        load_checkpoint(path)
    save_file({"w": np.zeros(2)}, path, {"format": "minitorch_cv checkpoint", "version": "99"})
    with pytest.raises(CheckpointError, match=r"expects version 1 of the format; it has '99'"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "document", ["", "[1]", json.dumps({"a": {"__array__": "missing"}}), '{"a": {"__scalar__": 1}}']
)
def test_altered_metadata_is_named(path, document):
    from safetensors.numpy import save_file

    checksum = f"{zlib.crc32(document.encode()):08x}"
    save_file({}, path, {"format": "minitorch_cv checkpoint", "version": "1", "crc32": checksum, "state": document})
    with pytest.raises(CheckpointError, match=r"run.safetensors was altered: its metadata cannot be read"):
        load_checkpoint(path)


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match=r"load_checkpoint: path expects a checkpoint; there is no file"):
        load_checkpoint(path)


def test_a_failure_while_writing_leaves_the_old_checkpoint_and_no_rest(path, monkeypatch):
    import safetensors.numpy

    save_checkpoint(path, {"epoch": 1})

    def fails(arrays, name, metadata):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", fails)
    with pytest.raises(OSError, match=r"no space"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 1} and os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_checkpoint_gets_the_permissions_of_any_new_file(path):
    other = path.with_name("other")
    other.write_bytes(b"")
    save_checkpoint(path, {"epoch": 1})
    assert path.stat().st_mode == other.stat().st_mode
