"""Messages come back as they went, and what is no message is refused without harm."""

import io
import json
import math

import numpy as np
import pytest

from minitorch_cv.course.answers import difference
from minitorch_cv.course.runner.message import LARGEST_ARRAYS, LARGEST_HEADER, MessageError, pack, unpack


def read_from(data):
    stream = io.BytesIO(data)

    def read(count):
        assert count <= len(data), "more is asked for than there is"
        return stream.read(count)

    return read


VALUES = [
    None,
    True,
    3,
    -(10**30),
    2.5,
    math.inf,
    "μ",
    (1, [2.0, "x"], {"a": None, 3: (4,)}),
    np.arange(6.0).reshape(2, 3),
    np.zeros((0, 3)),
    np.float32(1.5),
    np.array(2),
    np.array([True, False]),
    np.arange(6)[::2],
    np.ones((2, 3), order="F").T,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back(value):
    back = unpack(read_from(pack(value)))
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert back.dtype == value.dtype and back.shape == value.shape and back.flags.writeable
    assert np.array_equal(back, value) if isinstance(value, np.ndarray) else back == value


def test_nan_comes_back_and_is_never_right():
    back = unpack(read_from(pack(math.nan)))
    assert math.isnan(back)
    assert difference(back, math.nan) and difference(np.array([math.nan]), np.array([math.nan]))


def test_functions_come_back_as_what_calls_them():
    functions = []
    data = pack([len, {"f": abs}], functions)
    assert functions == [len, abs]
    assert unpack(read_from(data), function=lambda number: ("call", number)) == [("call", 0), {"f": ("call", 1)}]


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), np.array(["a"]), b"bytes", len])
def test_other_values_are_refused(value):
    with pytest.raises(MessageError, match="expected arrays of numbers"):
        pack([value])


def message(header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "big") + text


HOSTILE = {
    "a huge header": (LARGEST_HEADER + 1).to_bytes(8, "big"),
    "no JSON": message(b"{"),
    "no UTF-8": message(b"\xff\xfe"),
    "a list": message([]),
    "nothing in it": message({}),
    "deep nesting": message(b"[" * 100_000),
    "deep values": message(b'{"arrays": [], "tree": ' + b'{"list": [' * 5_000 + b"]}" * 5_000 + b"}"),
    "a long number": message(b'{"arrays": [], "tree": {"value": ' + b"9" * 10_000 + b"}}"),
    "huge arrays": message({"tree": {"value": 1}, "arrays": [["<f8", [LARGEST_ARRAYS]]]}),
    "many arrays": message({"tree": {"value": 1}, "arrays": [["<f8", [1 << 20]]] * 100}),
    "an array of nothing, and huge": message({"tree": {"value": 1}, "arrays": [["<f8", [0, 1 << 62, 1 << 62]]]}),
    "too many axes": message({"tree": {"value": 1}, "arrays": [["<f8", [1] * 100 + [0]]]}),
    "a negative size": message({"tree": {"value": 1}, "arrays": [["<f8", [-1]]]}),
    "objects": message({"tree": {"value": 1}, "arrays": [["|O8", [1]]]}),
    "a structure": message({"tree": {"value": 1}, "arrays": [[[["a", "<f8"]], [1]]]}),
    "a subarray": message({"tree": {"value": 1}, "arrays": [["(1000000,)f8", [0]]]}),
    "no such width": message({"tree": {"value": 1}, "arrays": [["<f7", [0]]]}),
    "no such array": message({"tree": {"array": 0, "scalar": False}, "arrays": []}),
    "an unhashable key": message({"tree": {"dict": [[{"list": []}, {"value": 1}]]}, "arrays": []}),
    "no kind": message({"tree": {"surprise": 1}, "arrays": []}),
    "a value with a value": message({"tree": {"value": [1]}, "arrays": []}),
    "a function of nobody's": message({"tree": {"function": 0}, "arrays": []}),
    "no float": message({"tree": {"float": "0x1p999999"}, "arrays": []}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_message_is_refused(what):
    with pytest.raises(MessageError):
        unpack(read_from(HOSTILE[what]))


def test_long_lists_are_refused_with_what_to_do_instead():
    numbers = np.random.default_rng(0).standard_normal((300, 300))
    with pytest.raises(MessageError, match=r"numpy\.array\(\.\.\.\) of them will do"):
        pack(numbers.tolist())
    assert pack(numbers)
