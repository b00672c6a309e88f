"""What a newcomer types first: it works, or the error says what to write instead."""

import re

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import Tensor, _pytorch_names, data, nn, ops, optim


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


@pytest.mark.parametrize(
    ("name", "function"),
    [
        *((name, lambda x, name=name: getattr(x, name)(dim=1)) for name in ("sum", "mean", "var", "std", "max", "min")),
        *(
            (name, lambda x, name=name: getattr(x, name)(dim=1))
            for name in ("argmax", "argmin", "all", "any", "squeeze")
        ),
        *((name, lambda x, name=name: getattr(x, name)(dim=1)) for name in ("softmax", "log_softmax")),
        *(
            (name, lambda x, name=name: getattr(ops, name)(x, dim=1))
            for name in ("sum", "argmin", "softmax", "squeeze")
        ),
        ("sum", lambda x: ops.sum(x.numpy(), dim=1)),
        ("concatenate", lambda x: mt.concatenate([x, x], dim=1)),
        ("stack", lambda x: mt.stack([x, x], dim=1)),
        ("Softmax", lambda x: nn.Softmax(dim=1)),
        ("LogSoftmax", lambda x: nn.LogSoftmax(dim=1)),
    ],
)
def test_dim_is_called_axis(name, function):
    expected = f"{name}: there is no argument dim; use axis= and keepdims=, as in NumPy"
    assert message_of(TypeError, lambda: function(Tensor(np.ones((2, 1))))) == expected


def test_keepdim_is_called_keepdims():
    text = message_of(TypeError, lambda: Tensor([[1.0]]).sum(1, keepdim=True))
    assert text == "sum: there is no argument keepdim; use axis= and keepdims=, as in NumPy"


def test_numpys_functions_take_arrays():
    text = message_of(TypeError, lambda: np.sum(Tensor([1.0])))
    assert text == "sum: there is no argument out; NumPy's own functions take x.numpy()"


# ---- names


@pytest.mark.parametrize(
    ("owner", "name", "proposal"),
    [
        (mt, "tensor", "mt.Tensor(data)"),
        (mt, "cat", "mt.concatenate(tensors, axis)"),
        (mt, "zeros", "mt.Tensor(np.zeros(...)), with dtype=np.float32"),
        (mt, "randn", "mt.Tensor(mt.Generator(seed).normal(shape))"),
        (mt, "relu", "mt.ops.relu"),
        (mt, "float32", "np.float32"),
        (nn, "functional", "mt.ops"),
        (optim, "lr_scheduler", "mt.optim.StepLR, mt.optim.CosineAnnealingLR and so on"),
    ],
)
def test_a_module_proposes_what_to_write(owner, name, proposal):
    expected = f"{owner.__name__} has no attribute {name!r}; write {proposal}"
    assert message_of(AttributeError, lambda: getattr(owner, name)) == expected


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("cuda", 'x.to("cuda")'),
        ("long", "x.to(np.int64)"),
        ("gelu", "mt.ops.gelu(x)"),
        ("norm", "(x * x).sum() ** 0.5"),
        ("relu_", "x.fill_, x.copy_, x.add_, x.mul_ or x[index] = value"),
    ],
)
def test_a_tensor_proposes_what_to_write(name, proposal):
    expected = f"has no attribute {name!r}; write {proposal}"
    assert message_of(AttributeError, lambda: getattr(Tensor([1.0]), name)) == f"Tensor {expected}"
    assert message_of(AttributeError, lambda: getattr(nn.Parameter([1.0]), name)) == f"Parameter {expected}"


@pytest.mark.parametrize("owner", [mt, nn, optim, Tensor([1.0])], ids=["package", "nn", "optim", "tensor"])
def test_a_name_without_a_proposal_is_an_ordinary_error(owner):
    with pytest.raises(AttributeError, match=r"has no attribute 'transmogrify'$") as caught:
        _ = owner.transmogrify
    assert caught.value.name == "transmogrify" and caught.value.obj is owner  # so Python can find a similar name
    assert not hasattr(owner, "__array_interface__")


@pytest.mark.parametrize("table", ["PACKAGE", "NN", "OPTIM", "TENSOR"])
def test_what_is_proposed_exists(table):
    """And what exists needs no proposal."""
    owner = {"PACKAGE": mt, "NN": nn, "OPTIM": optim, "TENSOR": Tensor([1.0])}[table]
    proposals = getattr(_pytorch_names, table)
    assert [name for name in proposals if hasattr(owner, name)] == []
    met = 0
    for proposal in proposals.values():
        for start, path in re.findall(r"\b(mt|np|x)\.([A-Za-z_][\w.]*)", proposal):
            value = {"mt": mt, "np": np, "x": Tensor([1.0])}[start]
            for part in path.split("."):
                value = getattr(value, part)
            met += 1
    assert met


def test_familiar_methods(rng):
    a = rng.uniform(0.5, 2, (2, 3, 4))
    x, mask = Tensor(a), rng.uniform(size=(3, 4)) > 0.5
    e = np.exp(a) / np.exp(a).sum(1, keepdims=True)
    for ours, theirs in (
        (x.pow(3), a**3),
        (x.std(), a.std()),
        (x.std((0, 2), correction=1, keepdims=True), a.std((0, 2), ddof=1, keepdims=True)),
        (x.softmax(1), e),
        (x.log_softmax(axis=1), np.log(e)),
        (x.masked_fill(mask, -1.0), np.where(mask, -1.0, a)),
        (x.masked_fill(Tensor(mask), -1.0), np.where(mask, -1.0, a)),
        ((x > 1).all(), (a > 1).all()),
        ((x > 1).all(1), (a > 1).all(1)),
        ((x > 1).any((0, -1), keepdims=True), (a > 1).any((0, -1), keepdims=True)),
    ):
        assert isinstance(ours, Tensor)
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-14)
    assert x.dim() == 3 and x.cpu() is x
    assert (x > 0).all() and not (x < 0).any()
    with pytest.raises(ValueError, match=r"all: axis expects different numbers in -3 .. 2; it is 3"):
        x.all(3)


def test_familiar_methods_keep_float32_and_have_gradients():
    x = Tensor([[0.5, 2.0, 1.0]], requires_grad=True)
    for y in (x.pow(2), x.std(), x.softmax(), x.log_softmax(), x.masked_fill(np.array([True, False, False]), 0)):
        assert y.dtype == np.float32
        assert mt.grad(y.sum(), x).dtype == np.float32
    assert mt.grad(x.masked_fill(np.array([True, False, False]), 0).sum(), x).tolist() == [[0, 1, 1]]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: nn.Linear("a", 3), "Linear: in_features expects a whole number; it is 'a'"),
        (lambda: nn.Linear(3, 2.5), "Linear: out_features expects a whole number; it is 2.5"),
        (lambda: nn.Embedding(3.0, 2), "Embedding: num_embeddings expects a whole number; it is 3.0"),
        (lambda: nn.Conv2d("a", 3, 3), "Conv2d: in_channels expects a whole number; it is 'a'"),
        (lambda: nn.ConvTranspose2d(3, None, 3), "ConvTranspose2d: out_channels expects a whole number; it is None"),
        (lambda: nn.Conv2d(4, 4, 3, groups=2.0), "Conv2d: groups expects a whole number; it is 2.0"),
    ],
)
def test_a_layers_sizes_are_whole_numbers(make, expected):
    assert message_of(TypeError, make) == expected


def test_a_layers_sizes_are_not_negative():
    text = message_of(ValueError, lambda: nn.Linear(3, -2))
    assert text == "Linear: out_features expects 0 or more; it is -2"


# ---- what is printed


def test_a_loader_says_what_it_loads():
    dataset = data.glyphs(10, 16, classes=3, generator=mt.Generator(0))
    assert repr(data.DataLoader(dataset, 4)) == f"DataLoader({dataset!r}; batch_size=4, shuffle=False)"
    text = repr(data.DataLoader(dataset, 4, shuffle=True, drop_last=True, prefetch=2))
    assert text == f"DataLoader({dataset!r}; batch_size=4, shuffle=True, drop_last=True, prefetch=2)"
    assert "\n" not in text
