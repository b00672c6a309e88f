"""What a newcomer types first: it works, or the error says what to write instead."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import Tensor, data, nn, optim


def message_of(kind, function):
    with pytest.raises(kind) as caught:
        function()
    return str(caught.value)


# ---- dtypes


def test_numpys_float64_beside_a_layer_in_float32():
    images = Tensor(np.random.default_rng(0).standard_normal((2, 3, 8, 8)))
    assert message_of(TypeError, lambda: nn.Conv2d(3, 8, 3)(images)) == (
        "conv2d: x is float64 and weight is float32; convert one: x.float() or weight.double() "
        "(NumPy's arrays are float64 unless made otherwise; a whole module: net.float() or net.double())"
    )
    # What the message proposes works.
    assert nn.Conv2d(3, 8, 3)(images.float()).dtype == np.float32
    assert nn.Conv2d(3, 8, 3).double()(images).dtype == np.float64


# ---- making Tensors


@pytest.mark.parametrize("arguments", [(3, 4), (2, 3, 4), ([1.0], 0), ([1.0], "cpu"), ([1.0], np.float32)])
def test_sizes_are_not_taken_for_requires_grad(arguments):
    expected = (
        f"Tensor: requires_grad expects True or False; it is {arguments[1]!r}. A Tensor of zeros is Tensor(np.zeros"
    )
    assert message_of(TypeError, lambda: Tensor(*arguments)).startswith(expected)


def test_numpys_booleans_are_booleans():
    assert Tensor([1.0], np.True_).requires_grad is True
    assert Tensor([1.0], np.False_).requires_grad is False


# ---- numbers in text


def test_a_single_element_is_formatted_as_a_number():
    loss = Tensor([[0.12345]], requires_grad=True).sum()
    assert f"{loss:.3f}" == "0.123"
    assert f"{Tensor(np.array(7)):03d}" == "007"
    assert f"{loss}" == str(loss) == repr(loss)
    assert f"{Tensor([1.0, 2.0])}" == "Tensor([1., 2.])"


def test_several_elements_have_no_format():
    expected = "format '.3f': expects a Tensor with one element; it has shape (2,)"
    assert message_of(ValueError, lambda: f"{Tensor([1.0, 2.0]):.3f}") == expected


# ---- arguments


def test_one_image_is_no_batch():
    text = message_of(ValueError, lambda: nn.Conv2d(3, 8, 3)(Tensor(np.zeros((3, 8, 8), np.float32))))
    assert text == "conv2d: x and weight expect four axes; they are (3, 8, 8) and (8, 3, 3, 3); for one image x[None]"


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.RMSprop])
def test_an_optimiser_takes_parameters(make):
    net = nn.Linear(2, 3)
    expected = f"{make.__name__}: params expects Parameters: net.parameters(); it is "
    assert message_of(TypeError, lambda: make(net)) == expected + "Linear(2, 3)"
    assert message_of(TypeError, lambda: make(net.parameters)).startswith(expected + "<bound method")


@pytest.mark.parametrize("method", ["zero_", "fill_", "copy_", "add_", "mul_"])
def test_a_change_in_place_is_reported_by_its_own_name(method):
    x = Tensor([1.0], requires_grad=True)
    arguments = () if method == "zero_" else ([1.0],)
    assert message_of(RuntimeError, lambda: getattr(x, method)(*arguments)).startswith(f"{method}: ")


# ---- what is printed


def test_a_loader_says_what_it_loads():
    dataset = data.glyphs(10, 16, classes=3, generator=mt.Generator(0))
    assert repr(data.DataLoader(dataset, 4)) == f"DataLoader({dataset!r}; batch_size=4, shuffle=False)"
    text = repr(data.DataLoader(dataset, 4, shuffle=True, drop_last=True, prefetch=2))
    assert text == f"DataLoader({dataset!r}; batch_size=4, shuffle=True, drop_last=True, prefetch=2)"
    assert "\n" not in text
