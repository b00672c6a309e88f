"""What a kernel's parameters take."""

import numpy as np
import pytest
from minitorch_cv.kernels.signatures import read_signatures

KERNEL = read_signatures(
    'extern "C" __global__ void scaled(float* x, int n, float a, unsigned seed, bool flip) { x[n] = a; }'
)["scaled"]
X = np.zeros(3, np.float32)


def test_numbers_take_the_type_that_is_declared():
    bound = KERNEL.bound([None, np.int64(3), 2, 2**32 - 1, True])
    assert bound == [None, 3, 2.0, 2**32 - 1, True]
    assert [type(number) for number in bound[1:]] == [np.int32, np.float32, np.uint32, np.bool_]
    assert KERNEL.bound([X, np.array(3), np.float64(0.5), 0, np.bool_(False)])[1:] == [3, 0.5, 0, False]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, X.astype(np.float64), "x expects an array of float32; it is float64"),
        (1, 20.0, "n expects a number of type int; it is 20.0"),
        (1, np.float32(20), r"n expects a number of type int; it is np.float32\(20.0\)"),
        (1, None, "n expects a number of type int; it is None"),
        (1, X, r"n expects a number; it is an array of shape \(3,\)"),
        (1, 2**31, "n expects what int can hold; it is 2147483648"),
        (1, np.int64(2**32), r"n expects what int can hold; it is np.int64\(4294967296\)"),
        (2, None, "a expects a number of type float; it is None"),
        (2, "2", "a expects a number of type float; it is '2'"),
        (3, -1, "seed expects what unsigned can hold; it is -1"),
        (4, 2, "flip expects what bool can hold; it is 2"),
    ],
)
def test_what_does_not_fit_is_told(place, value, message):
    arguments = [X, 3, 2.0, 0, True]
    arguments[place] = value
    with pytest.raises(TypeError, match=f"^scaled: {message}$"):
        KERNEL.bound(arguments)
