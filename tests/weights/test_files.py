"""Weights to and from files: what is written comes back; what does not fit is listed and changes nothing."""

import os

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn
from minitorch_cv.weights import WeightsError, load_weights, read_weights, save_weights


def small(seed=0, **settings):
    return models.resnet18(num_classes=5, width=4, input_size=32, generator=mt.Generator(seed), **settings)


def values(module):
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


def test_what_is_saved_comes_back(tmp_path):
    path, net, other = tmp_path / "w.safetensors", small(0), small(1)
    save_weights(net, path)
    load_weights(other, path)
    for name, value in values(net).items():
        np.testing.assert_array_equal(values(other)[name], value, err_msg=name)
    assert list(path.parent.iterdir()) == [path], "no temporary file is left"


def test_convolutions_that_lie_in_another_order_in_memory_are_written_rightly(tmp_path):
    """safetensors would write the memory of a strided view as it lies."""
    from safetensors.numpy import load_file

    net = small()
    assert not net.conv1.weight.data.flags.c_contiguous
    save_weights(net, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(load_file(tmp_path / "w.safetensors")["conv1.weight"], net.conv1.weight.numpy())


def test_all_that_does_not_fit_is_told_at_once_and_nothing_changes(tmp_path):
    path, net = tmp_path / "w.safetensors", small()
    state = {name: mt.Tensor(value) for name, value in values(net).items()}
    del state["bn1.weight"]
    state["fc.weight"], state["more.weight"] = mt.Tensor(np.zeros((7, 32), np.float32)), mt.Tensor(np.zeros(3))
    state["conv1.weight"].data[...] = 9

    class Other(nn.Module):
        def state_dict(self):
            return state

    save_weights(Other(), path)
    before = values(net)
    with pytest.raises(ValueError, match=r"load_weights: .*w\.safetensors does not fit ResNet") as raised:
        load_weights(net, path)
    for told in ("misshapen: fc.weight expects (5, 32); it is (7, 32)", "missing: bn1.weight", "more.weight"):
        assert told in str(raised.value)
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_state_that_was_read_can_be_loaded_without_its_file(tmp_path):
    save_weights(small(0), tmp_path / "w.safetensors")
    state, net = read_weights(tmp_path / "w.safetensors"), small(1)
    load_weights(net, state)
    np.testing.assert_array_equal(net.fc.weight.numpy(), state["fc.weight"])
    with pytest.raises(ValueError, match=r"load_weights: the state does not fit ResNet; missing: fc\.bias"):
        load_weights(net, {name: value for name, value in state.items() if name != "fc.bias"})


def test_old_files_without_batch_norms_counters_are_taken(tmp_path):
    net = small()
    state = {name: value for name, value in values(net).items() if not name.endswith("num_batches_tracked")}
    net.bn1.num_batches_tracked.data[...] = 7
    load_weights(net, state)
    assert net.bn1.num_batches_tracked.numpy() == 0


def test_a_net_may_leave_the_auxiliary_heads_in_the_file():
    settings = {"num_classes": 4, "width": 0.125, "input_size": 64}
    whole = models.googlenet(aux=True, **settings, generator=mt.Generator(0))
    net = models.googlenet(**settings, generator=mt.Generator(1))
    load_weights(net, values(whole))
    np.testing.assert_array_equal(net.fc.weight.numpy(), whole.fc.weight.numpy())
    with pytest.raises(ValueError, match=r"unexpected: aux1\.conv"):
        load_weights(models.resnet18(num_classes=4, width=4), {"aux1.conv": np.zeros(3)})
    with pytest.raises(ValueError, match=r"missing: aux1\.conv"):
        load_weights(whole, values(net))


def test_files_of_other_kinds_are_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"read_weights: path expects .*none\.pth"):
        read_weights(tmp_path / "none.pth")
    for name, content in (("a.safetensors", b"\x10\0\0\0\0\0\0\0{not json"), ("b.pth", b"text"), ("c.npz", b"PK\3\4")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
            read_weights(tmp_path / name)
    with pytest.raises(ValueError, match=r"save_weights: path expects the ending \.safetensors"):
        save_weights(small(), tmp_path / "w.pth")


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError):
        save_weights(small(), tmp_path / "w.safetensors")


def test_a_crash_while_writing_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(small(0), path)
    before = path.read_bytes()

    def crash(arrays, name):
        with open(name, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.numpy.save_file", crash)
    with pytest.raises(KeyboardInterrupt):
        save_weights(small(1), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
