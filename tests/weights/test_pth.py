"""Files of torch's own making, in both forms; damaged ones; and pickles that want to run something."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from minitorch_cv.weights import WeightsError, read_pth, read_weights
from minitorch_cv.weights._pth import MAGIC, VERSION


class Storage:
    """Pickled as torch pickles a storage: by a persistent identity."""

    def __init__(self, kind, key, count):
        self.identity = ("storage", kind, key, "cpu", count)


class Global:
    """Pickled as a name of a module, which need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickled as a call of a global."""

    def __init__(self, module, name, *arguments):
        self.function, self.arguments = Global(module, name), arguments


class _Pickler(pickle._Pickler):
    """Python's own in Python, which can write names that do not exist here."""

    def __init__(self, file, legacy):
        super().__init__(file, protocol=2)
        self.legacy = legacy

    def persistent_id(self, value):
        if isinstance(value, Storage):
            return (*value.identity, None) if self.legacy else value.identity
        return None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Global):
            self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(b"R")
        else:
            super().save(value, save_persistent_id)


def pickled(value, legacy=False):
    file = io.BytesIO()
    _Pickler(file, legacy).dump(value)
    return file.getvalue()


def tensor(shape, key="0", offset=0, strides=None, kind="FloatStorage", count=None):
    """A tensor as torch writes it."""
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    count = int(np.prod(shape)) if count is None else count
    storage = Storage(Global("torch", kind), key, count)
    return Call("torch._utils", "_rebuild_tensor_v2", storage, offset, shape, strides, False, OrderedDict())


def zip_file(path, tree, storages, folder="archive", byteorder=None, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{folder}/data.pkl", pickled(tree) if not isinstance(tree, bytes) else tree)
        if byteorder is not None:
            archive.writestr(f"{folder}/byteorder", byteorder)
        for key, content in storages.items():
            archive.writestr(f"{folder}/data/{key}", content)
        archive.writestr(f"{folder}/version", "3\n")


def stream_file(path, tree, storages):
    with open(path, "wb") as file:
        for value in (MAGIC, VERSION, {"little_endian": True, "protocol_version": 1001}):
            pickle.dump(value, file, protocol=2)
        file.write(pickled(tree, legacy=True))
        pickle.dump(list(storages), file, protocol=2)
        for array in storages.values():
            file.write(struct.pack("<q", array.size) + array.tobytes())


VALUES = np.arange(12, dtype=np.float32)


@pytest.mark.parametrize("write", [lambda p, t, s: zip_file(p, t, {k: v.tobytes() for k, v in s.items()}), stream_file])
def test_both_forms_are_read(write, tmp_path):
    path = tmp_path / "weights.pth"
    tree = OrderedDict(
        whole=tensor((3, 4)),
        transposed=tensor((4, 3), strides=(1, 4), count=12),
        part=tensor((2, 2), offset=5, strides=(4, 1), count=12),
        scalar=tensor((), key="1", kind="LongStorage"),
        epoch=7,
    )
    write(path, tree, {"0": VALUES, "1": np.array([3], dtype=np.int64)})
    read = read_pth(path)
    whole = VALUES.reshape(3, 4)
    np.testing.assert_array_equal(read["whole"], whole)
    np.testing.assert_array_equal(read["transposed"], whole.T)
    np.testing.assert_array_equal(read["part"], whole[1:, 1:3])
    assert read["scalar"].shape == () and read["scalar"] == 3 and read["epoch"] == 7
    assert all(value.flags.writeable for value in (read["whole"], read["part"])), "copies, not views of the file"


def test_half_precision_and_bfloat16_and_big_endian(tmp_path):
    path = tmp_path / "weights.pth"
    numbers = np.array([1.5, -2.0, 0.1], np.float32)
    upper = (numbers.view(np.uint32) >> 16).astype("<u2")
    zip_file(
        path,
        {"b": tensor((3,), kind="BFloat16Storage"), "h": tensor((3,), "1", kind="HalfStorage")},
        {"0": upper.tobytes(), "1": numbers.astype(np.float16).tobytes()},
    )
    read = read_pth(path)
    assert read["b"].dtype == np.float32 and read["h"].dtype == np.float16
    np.testing.assert_allclose(read["b"], numbers, rtol=2**-7)
    zip_file(path, {"x": tensor((3,))}, {"0": numbers.astype(">f4").tobytes()}, byteorder="big")
    np.testing.assert_array_equal(read_pth(path)["x"], numbers)


class Marker:
    """What a malicious pickle would call, if it could."""

    @staticmethod
    def touch(path):
        open(path, "w").close()


@pytest.mark.parametrize("form", ["zip", "stream"])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("subprocess", "Popen"),
        ("torch.utils._config_module", "load_config"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("collections", "OrderedDict.__class__"),
    ],
)
def test_a_malicious_pickle_is_refused_and_nothing_runs(form, module, name, tmp_path):
    path, trace = tmp_path / "evil.pth", tmp_path / "ran"
    command = f"open({str(trace)!r}, 'w').close()" if name in ("eval", "exec") else f"touch {trace}"
    tree = {"weight": tensor((3, 4)), "trap": Call(module, name, command)}
    if form == "zip":
        zip_file(path, tree, {"0": VALUES.tobytes()})
    else:
        stream_file(path, tree, {"0": VALUES})
    with pytest.raises(WeightsError, match=rf"evil.pth cannot be trusted.*asks for {module}\.{name}"):
        read_pth(path)
    assert not trace.exists()


def test_the_trap_would_have_worked(tmp_path):
    """Python's own unpickler runs it: the refusal above is not for want of danger."""
    trace = tmp_path / "ran"
    pickle.loads(pickled(Call("os", "system", f"touch {trace}")))
    assert trace.exists()


@pytest.mark.skipif(os.name == "nt", reason="the protocol's bytes are written for one system")
def test_attributes_of_what_is_allowed_cannot_be_set(tmp_path):
    path = tmp_path / "evil.pth"
    # The stack machine's BUILD: state (None, {"_call": 1}) for the function that rebuilds tensors.
    program = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x05\x00\x00\x00_callK\x01s\x86b."
    zip_file(path, program, {})
    with pytest.raises(WeightsError, match="sets attributes of <function"):
        read_pth(path)
    assert callable(__import__("minitorch_cv.weights._pth", fromlist=["x"])._rebuild_tensor)


def nested(levels, leaf=b"K\x01"):
    """A tuple of two of a tuple of two ...: as a program of a few bytes, each level named and fetched twice."""
    program = leaf
    for level in range(levels):
        program += b"q" + bytes([level]) + b"h" + bytes([level]) + b"\x86"
    return program


HOSTILE = {
    "a key that is hashed for ever": (b"\x80\x02}" + nested(40) + b"K\x01s.", "as key"),
    "pairs whose key is hashed for ever": (
        b"\x80\x02ccollections\nOrderedDict\n](" + nested(40) + b"K\x01\x86e\x85R.",
        "it calls <class 'coll",
    ),
    "a nest instead of a state": (b"\x80\x02" + nested(30) + b".", "32 deep|expects a state dict"),
    "a shape that is printed for ever": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00" + nested(40) + b")tR.",
        "builds a tensor",
    ),
    "twice the same": (b"\x80\x02K\x012\x86.", "instruction b'2'"),
    "a storage changed": (
        b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x0ctQ"
        b"N}X\x05\x00\x00\x00countJ\xff\xff\xff\x7fs\x86b.",
        "sets attributes of",
    ),
    "what is called is no function": (b"\x80\x02K\x01)R.", "it calls 1"),
    "an item set in a list": (b"\x80\x02]K\x00K\x01s.", "into a list"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_small_file_takes_neither_time_nor_memory(name, tmp_path):
    program, what = HOSTILE[name]
    zip_file(tmp_path / "evil.pth", program, {"0": VALUES.tobytes()})
    with pytest.raises(WeightsError, match=what):
        read_weights(tmp_path / "evil.pth")


def test_a_large_number_of_what_is_remembered_takes_no_memory(tmp_path):
    import tracemalloc

    program = b"\x80\x02}X\x01\x00\x00\x00kK\x01r\x00\x00\x00\x40s."
    zip_file(tmp_path / "w.pth", program, {})
    tracemalloc.start()
    assert read_pth(tmp_path / "w.pth") == {"k": 1}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


def test_tensors_may_share_a_storage_but_not_fill_the_memory_with_it(tmp_path):
    big = np.zeros(2**18, np.float32)
    tied = {f"w{i}": tensor((2**18,)) for i in range(4)}
    zip_file(tmp_path / "w.pth", tied, {"0": big.tobytes()})
    assert len(read_pth(tmp_path / "w.pth")) == 4
    zip_file(tmp_path / "w.pth", {f"w{i}": tensor((2**18,)) for i in range(40)}, {"0": big.tobytes()})
    with pytest.raises(WeightsError, match="many times as large"):
        read_pth(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (tensor((3, 4), count=5), "storage expects 20 bytes"),
        (tensor((4, 4), count=12), "a tensor of 16 numbers on a storage of 12"),
        (tensor((3, 4), offset=1), "a tensor of 13 numbers on a storage of 12"),
        (tensor((3, 4), strides=(-4, 1)), "strides"),
        (tensor((1000, 1000), strides=(0, 0), count=12), "shape (1000, 1000) on a storage of 12"),
        (tensor((3, 4), key="7"), "7"),
        (Call("torch._utils", "_rebuild_tensor_v2", 1, 0, (1,), (1,)), "builds a tensor"),
        ({1, 2}, "set"),
    ],
)
def test_what_does_not_hold_together_is_refused(value, what, tmp_path):
    path = tmp_path / "weights.pth"
    zip_file(path, {"weight": value}, {"0": VALUES.tobytes()})
    with pytest.raises(WeightsError, match=r"weights\.pth") as raised:
        read_pth(path)
    assert what in str(raised.value)


def test_a_nest_that_would_fill_the_memory_is_copied_once(tmp_path):
    nest = [tensor((3, 4))]
    for _ in range(25):
        nest = [nest] * 10
    path = tmp_path / "weights.pth"
    zip_file(path, {"nest": nest}, {"0": VALUES.tobytes()})
    assert len(read_pth(path)["nest"]) == 10
    deep = []
    for _ in range(40):
        deep = [deep]
    zip_file(path, {"nest": deep}, {})
    with pytest.raises(WeightsError, match="32 deep"):
        read_pth(path)


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "weights.pth"
    zip_file(path, {"weight": tensor((3, 4))}, {"0": VALUES.tobytes()})
    whole = path.read_bytes()
    for damaged in (b"", b"hello", whole[: len(whole) // 2], pickle.dumps([1, 2])):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"weights\.pth"):
            read_pth(path)
    zip_file(path, {"weight": tensor((3, 4))}, {"0": VALUES.tobytes()}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="compressed"):
        read_pth(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="a download was cut off"):
        read_pth(path)
    path.write_bytes(whole)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/constants.pkl", b"", zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match=r"TorchScript program; save model\.state_dict\(\)"):
        read_pth(path)
    stream_file(path, {"weight": tensor((3, 4))}, {"0": VALUES[:-1]})
    with pytest.raises(WeightsError, match="expects 12 numbers; it has 11"):
        read_pth(path)
    with pytest.raises(FileNotFoundError):
        read_pth(tmp_path / "none.pth")


def test_wrappers_and_prefixes_of_training_scripts_are_taken_off(tmp_path):
    path = tmp_path / "checkpoint.pth"
    state = {"module.weight": tensor((3, 4)), "module.bias": tensor((3,), "1")}
    zip_file(path, {"state_dict": state, "epoch": 3}, {"0": VALUES.tobytes(), "1": VALUES[:3].tobytes()})
    assert {name: array.shape for name, array in read_weights(path).items()} == {"weight": (3, 4), "bias": (3,)}
    zip_file(path, {"epoch": 3}, {})
    with pytest.raises(WeightsError, match="expects a state dict"):
        read_weights(path)


def test_files_that_torch_wrote(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[yardstick]'")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    state = net.state_dict()
    state["0.weight"] = state["0.weight"].to(memory_format=torch.channels_last)
    state["half"] = torch.randn(3).to(torch.bfloat16)
    state["parameter"] = torch.nn.Parameter(torch.randn(2, 2))
    state["view"] = torch.randn(6, 4)[1:5:2, ::3]
    for form in (True, False):
        path = tmp_path / f"torch_{form}.pth"
        torch.save(state, path, _use_new_zipfile_serialization=form)
        read = read_weights(path)
        assert list(read) == list(state)
        for name, value in state.items():
            np.testing.assert_array_equal(read[name], value.detach().float().numpy(), err_msg=name)
