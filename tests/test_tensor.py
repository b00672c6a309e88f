"""The Tensor: what it is made of, its surface, its dtypes, its way to and from other libraries."""

import copy
import pickle

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import Tensor


def test_lists_and_numbers_become_float32():
    for data in ([1, 2], [1.5, 2], 3, 2.5, [[True, False]], ((1, 2), (3, 4))):
        assert Tensor(data).dtype == np.float32
    assert Tensor([1, 2], dtype=np.float64).dtype == np.float64
    assert Tensor([1, 2], dtype="int64").dtype == np.int64


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_an_array_keeps_its_dtype_and_its_memory(dtype):
    array = np.ones((2, 3), dtype)
    tensor = Tensor(array)
    assert tensor.dtype == array.dtype
    assert tensor.data is array
    assert tensor.numpy() is array


def test_dtype_argument_converts_an_array():
    array = np.arange(3)
    assert Tensor(array, dtype=np.float32).dtype == np.float32
    assert array.dtype == np.int64


@pytest.mark.parametrize("data", ["text", [1, "a"], [[1, 2], [3]], None, {"a": 1}])
def test_what_is_no_array_is_refused(data):
    with pytest.raises(TypeError, match=r"Tensor: data expects an array, a number or a list of numbers; it is "):
        Tensor(data)


def test_complex_and_text_arrays_are_refused():
    with pytest.raises(TypeError, match="expects floating, integer or boolean values; it is of type complex128"):
        Tensor(np.ones(2, complex))
    with pytest.raises(TypeError, match="expects floating, integer or boolean values"):
        Tensor(np.array(["a"]))


def test_only_floating_tensors_require_a_gradient():
    assert Tensor([1.0], requires_grad=True).requires_grad
    with pytest.raises(TypeError, match="only floating Tensors can have a gradient; this one is of type int64"):
        Tensor(np.arange(3), requires_grad=True)


def test_size_and_shape():
    x = Tensor(np.zeros((2, 3, 4)))
    assert (x.shape, x.ndim, x.size, x.numel(), len(x), x.device) == ((2, 3, 4), 3, 24, 24, 2, "cpu")
    with pytest.raises(TypeError, match=r"len: a Tensor of shape \(\) has no length"):
        len(Tensor(1.0))


def test_repr_names_dtype_origin_and_gradient():
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(Tensor(np.arange(2))) == "Tensor([0, 1], dtype=int64)"
    assert repr(Tensor([1.0], requires_grad=True)) == "Tensor([1.], requires_grad=True)"
    assert repr(Tensor([1.0], requires_grad=True) * 2) == "Tensor([2.], made by multiply)"
    large = repr(Tensor(np.zeros((1000, 1000))))
    assert "..." in large and len(large) < 1000


# ---- numbers, truth, iteration


def test_a_single_element_is_a_number():
    assert Tensor([[2.5]]).item() == 2.5
    assert float(Tensor(2.5)) == 2.5
    assert int(Tensor([3.0])) == 3
    assert [10, 20, 30][Tensor(np.array(1))] == 20
    assert bool(Tensor(np.array(True))) is True
    assert not Tensor(0.0)


@pytest.mark.parametrize("function", [bool, float, int, Tensor.item])
def test_several_elements_are_no_number(function):
    with pytest.raises(ValueError, match=r"expects a Tensor with one element; it has shape \(2,\)"):
        function(Tensor([1.0, 2.0]))


def test_a_floating_tensor_is_no_index():
    with pytest.raises(TypeError, match="only an integer Tensor can be an index"):
        [1, 2][Tensor(1.0)]


def test_iteration_gives_differentiable_rows():
    x = Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    rows = list(x)
    assert [row.tolist() for row in rows] == [[0, 1], [2, 3], [4, 5]]
    rows[1].sum().backward()
    assert x.grad.tolist() == [[0, 0], [1, 1], [0, 0]]
    with pytest.raises(TypeError, match="has no length"):
        list(Tensor(1.0))


# ---- dtypes in expressions


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("other", [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2)], ids=repr)
def test_numbers_take_the_dtype_of_the_tensor(dtype, other):
    x = Tensor(np.ones(3, dtype), requires_grad=True)
    for y in (x + other, other + x, x - other, other - x, x * other, other * x, x / other, other / x, x**other):
        assert isinstance(y, Tensor)
        assert y.dtype == dtype
        (gradient,) = mt.grad(y.sum(), [x])
        assert gradient.dtype == dtype
    assert (other**x).dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("other", [np.arange(3), np.array([True, False, True]), np.arange(3, dtype=np.uint8)], ids=str)
def test_integers_beside_floats_take_the_floating_dtype(dtype, other):
    x = Tensor(np.linspace(0.5, 2, 3, dtype=dtype), requires_grad=True)
    for y in (x + Tensor(other), Tensor(other) + x, x * other, other * x, mt.ops.minimum(x, other)):
        assert y.dtype == dtype
        assert mt.grad(y.sum(), x).dtype == dtype


def test_minimum_with_unsigned_integers_takes_the_right_gradient():
    x = Tensor([1.0, 300.0], requires_grad=True)
    mt.ops.minimum(x, np.array([5, 5], np.uint8)).sum().backward()
    assert x.grad.tolist() == [1, 0]


def test_reductions_and_functions_keep_float32():
    x = Tensor(np.linspace(0.5, 2, 6, dtype=np.float32).reshape(2, 3), requires_grad=True)
    for y in (
        *(x.exp(), x.log(), x.sqrt(), x.abs(), x.tanh(), x.sum(), x.mean(), x.var(), x.max(), x.min(), x.clip(0, 1)),
        *(x.sum(0), x.mean(1, keepdims=True), x.var(0, correction=1), x.max(1), mt.where(x > 1, x, 0.0), x @ x.T),
    ):
        assert y.dtype == np.float32
        assert mt.grad(y.sum(), x).dtype == np.float32


def test_several_floating_dtypes_are_refused():
    a, b = Tensor(np.ones(3, np.float32)), Tensor(np.ones(3, np.float64))
    with pytest.raises(
        TypeError, match=r"^add: a is float32 and b is float64; convert one: a.double\(\) or b.float\(\) "
    ):
        a + b
    with pytest.raises(TypeError, match=r"^multiply: .* convert one: a.double\(\) or b.astype\('float32'\) \(NumPy's"):
        a * b.numpy()
    with pytest.raises(
        TypeError, match=r"^concatenate: arrays\[0\] is float32 and arrays\[2\] is float64; convert one: "
    ):
        mt.concatenate([a, a, b])


def test_conversion_is_differentiable():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x.to(np.float64)
    assert y.dtype == np.float64 and x.double().dtype == np.float64 and x.float() is x
    assert x.to(dtype=np.float32) is x and x.to("cpu") is x and x.astype("float64").dtype == np.float64
    (y * y).sum().backward()
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [2, 4]


def test_to_refuses_what_is_no_device():
    with pytest.raises(ValueError, match="to: device expects 'cpu' or 'cuda'; it is 'tpu'"):
        Tensor([1.0]).to("tpu", np.float64)
    with pytest.raises(ValueError, match="to: expects a device, 'cpu' or 'cuda', or a dtype; it is 'gpu'"):
        Tensor([1.0]).to("gpu")


def test_argmax_takes_one_axis():
    with pytest.raises(ValueError, match=r"argmax: axis expects one number, or None .*; it is \(0, 1\)"):
        Tensor([[1.0]]).argmax((0, 1))


# ---- operators


def test_operators_agree_with_numpy(rng):
    a, b = rng.uniform(0.5, 2, (2, 3, 4)), rng.uniform(0.5, 2, (3, 1))
    x, y = Tensor(a), Tensor(b)
    pairs = [(x + y, a + b), (x - y, a - b), (x * y, a * b), (x / y, a / b), (x**y, a**b), (-x, -a), (+x, a)]
    pairs += [(a + y, a + b), (a - y, a - b), (a * y, a * b), (a / y, a / b), (a**y, a**b), (abs(-x), a)]
    pairs += [
        (1 - x, 1 - a),
        (2 / x, 2 / a),
        (2**x, 2**a),
        (x.T, a.T),
        (x @ a[0].T, a @ a[0].T),
        (a @ x[0].T, a @ a[0].T),
    ]
    for ours, theirs in pairs:
        assert isinstance(ours, Tensor)
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_comparison_gives_booleans_without_gradient():
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    for result, expected in (
        (x > 2, [False, False, True]),
        (x >= 2, [False, True, True]),
        (x < Tensor([2.0, 2.0, 2.0]), [True, False, False]),
        (x <= 2, [True, True, False]),
        (x == 2, [False, True, False]),
        (x != np.float32(2), [True, False, True]),
        (2 < x, [False, False, True]),
        ((x > 1) & (x < 3), [False, True, False]),
        ((x < 2) | (x > 2), [True, False, True]),
        (~(x > 2), [True, True, False]),
    ):
        assert isinstance(result, Tensor) and result.dtype == np.bool_ and not result.requires_grad
        assert result.tolist() == expected


def test_an_assignment_with_operator_rebinds():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x
    y += 1
    assert y is not x and x.tolist() == [1, 2]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_methods_agree_with_numpy(rng):
    a = rng.uniform(0.5, 2, (2, 3, 4))
    x = Tensor(a)
    pairs = [
        (x.reshape(4, 6), a.reshape(4, 6)),
        (x.reshape((4, -1)), a.reshape(4, -1)),
        (x.view(6, 4), a.reshape(6, 4)),
        (x.transpose(0, 2), a.swapaxes(0, 2)),
        (x.transpose(-1, 1), a.swapaxes(-1, 1)),
        (x.permute(2, 0, 1), a.transpose(2, 0, 1)),
        (x.permute((2, 0, 1)), a.transpose(2, 0, 1)),
        (x.flatten(), a.ravel()),
        (x.flatten(1), a.reshape(2, 12)),
        (x.sum(), a.sum()),
        (x.sum((0, -1), keepdims=True), a.sum((0, -1), keepdims=True)),
        (x.mean(1), a.mean(1)),
        (x.var(0), a.var(0)),
        (x.var((0, 1), correction=1), a.var((0, 1), ddof=1)),
        (x.max(2), a.max(2)),
        (x.min(), a.min()),
        (x.argmax(), a.argmax()),
        (x.argmax(1), a.argmax(1)),
        (x.argmin(-1), a.argmin(-1)),
        (x.argmax(1, keepdims=True), a.argmax(1, keepdims=True)),
        (x[:0].argmax(1), a[:0].argmax(1)),
        (x.pad((1, 2)), np.pad(a, ((0, 0), (0, 0), (1, 2)))),
        (x.pad((1, 1), "replicate"), np.pad(a, ((0, 0), (0, 0), (1, 1)), "edge")),
        ((a > 1) & (x < 2), (a > 1) & (a < 2)),
        ((a > 1) | (x < 0.5), (a > 1) | (a < 0.5)),
        (x.exp(), np.exp(a)),
        (x.log(), np.log(a)),
        (x.sqrt(), np.sqrt(a)),
        (x.tanh(), np.tanh(a)),
        (x.sigmoid(), 1 / (1 + np.exp(-a))),
        (x.relu(), np.maximum(a, 0)),
        (x.abs(), np.abs(a)),
        (x.clip(0.7, 1.1), a.clip(0.7, 1.1)),
        (x.clip(max=1.1), a.clip(max=1.1)),
        (x.where(x > 1, -x), np.where(a > 1, a, -a)),
        (x.unsqueeze(1), a[:, None]),
        (x.unsqueeze(-1).squeeze(), a),
        (x[:1].expand(5, 3, -1), np.broadcast_to(a[:1], (5, 3, 4))),
        (mt.concatenate([x, x], 1), np.concatenate([a, a], 1)),
        (mt.stack([x, x], -1), np.stack([a, a], -1)),
        (mt.ops.pad(x, (1, 2)), np.pad(a, ((0, 0), (0, 0), (1, 2)))),
        (x.matmul(x[0].T), a @ a[0].T),
        (x.clone(), a),
        (x.detach(), a),
    ]
    for ours, theirs in pairs:
        assert isinstance(ours, Tensor)
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-14)
    assert x.argmax().item() == a.argmax() and x.argmax(1).dtype.kind == "i"
    assert x.tolist() == a.tolist()


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        (1, 2),
        slice(None, None, -1),
        (Ellipsis, 1),
        (None, slice(1), Ellipsis, None),
        np.array([0, 1, 1]),
        (np.array([[0], [1]]), np.array([2, 0])),
        [1, 0],
        (slice(None), np.array([True, False, True])),
        np.arange(24).reshape(2, 3, 4) % 3 == 0,
        (slice(2, 2),),
    ],
    ids=str,
)
def test_indexing_agrees_with_numpy(rng, index):
    a = rng.standard_normal((2, 3, 4))
    np.testing.assert_array_equal(Tensor(a)[index].numpy(), a[index])
    as_tensors = tuple(
        Tensor(i) if isinstance(i, np.ndarray) else i for i in (index if type(index) is tuple else (index,))
    )
    np.testing.assert_array_equal(Tensor(a)[as_tensors].numpy(), a[index])
    x = Tensor(a, requires_grad=True)
    x[as_tensors].sum().backward()
    expected = np.zeros_like(a)
    np.add.at(expected, index, 1)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_an_index_outside_is_an_index_error():
    with pytest.raises(IndexError, match=r"getitem: index expects to lie within x \(2, 3\); index 5 is out of bounds"):
        Tensor(np.zeros((2, 3)))[:, 5]


# ---- changes in place


def test_changes_in_place():
    x = Tensor(np.zeros((2, 3)))
    x[0, Tensor(np.array([0, 2]))] = 5
    assert x.tolist() == [[5, 0, 5], [0, 0, 0]]
    x[1] = Tensor([1.0, 2.0, 3.0])
    assert x[1].tolist() == [1, 2, 3]
    assert x.add_(1) is x and x.mul_(2) is x
    assert x.tolist() == [[12, 2, 12], [4, 6, 8]]
    assert x.copy_(np.ones((2, 3))) is x and x.tolist() == [[1, 1, 1]] * 2
    assert x.fill_(7).tolist() == [[7] * 3] * 2
    assert x.zero_().tolist() == [[0] * 3] * 2
    with pytest.raises(ValueError, match=r"copy_: value expects shape \(2, 3\); it is \(3,\)"):
        x.copy_(np.ones(3))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.__setitem__(0, 1.0),
        lambda x: x.copy_(np.ones(2)),
        lambda x: x.fill_(1),
        lambda x: x.zero_(),
        lambda x: x.add_(1),
        lambda x: x.mul_(2),
    ],
)
def test_changes_in_place_are_refused_where_a_gradient_is_recorded(change):
    x = Tensor(np.zeros(2), requires_grad=True)
    with pytest.raises(RuntimeError, match=r"this Tensor requires a gradient and cannot be changed in place"):
        change(x)
    assert x.tolist() == [0, 0]
    with mt.no_grad():
        change(x)


# ---- to and from other libraries


def test_array_protocol():
    x = Tensor([[1.0, 2.0]], requires_grad=True)
    assert np.asarray(x) is x.numpy()
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.array(x) is not x.numpy()
    np.testing.assert_array_equal(np.array(x, copy=True), [[1, 2]])
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float64, copy=False)


def test_dlpack_both_ways():
    array = np.arange(6.0).reshape(2, 3)
    there = np.from_dlpack(Tensor(array))
    assert np.shares_memory(there, array)
    back = mt.from_dlpack(Tensor(array))
    assert isinstance(back, Tensor) and np.shares_memory(back.numpy(), array)
    assert Tensor(array).__dlpack_device__() == array.__dlpack_device__()


@pytest.mark.yardstick
def test_dlpack_with_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'minitorch-cv[yardstick]'")
    x = Tensor(np.arange(6.0).reshape(2, 3))
    shared = torch.from_dlpack(x)
    shared[0, 0] = 9
    assert x[0, 0].item() == 9
    theirs = torch.ones(3)
    ours = mt.from_dlpack(theirs)
    theirs[1] = 5
    assert ours.tolist() == [1, 5, 1]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_have_memory_of_their_own(duplicate):
    x = Tensor(np.arange(3.0), requires_grad=True)
    twin = duplicate(x)
    assert twin.tolist() == x.tolist() and twin.requires_grad and twin.dtype == x.dtype
    assert not np.shares_memory(twin.numpy(), x.numpy())


def test_a_result_cannot_be_copied_with_its_graph():
    with pytest.raises(RuntimeError, match=r"cannot be copied with its graph; use detach\(\) or clone\(\)"):
        copy.deepcopy(Tensor([1.0], requires_grad=True) * 2)


def test_detach_shares_memory_and_clone_does_not():
    x = Tensor(np.arange(3.0), requires_grad=True)
    assert np.shares_memory(x.detach().numpy(), x.numpy()) and not x.detach().requires_grad
    clone = x.clone()
    assert not np.shares_memory(clone.numpy(), x.numpy()) and clone.requires_grad


def test_tensors_are_hashed_by_identity():
    a, b = Tensor([1.0]), Tensor([1.0])
    assert len({a, b, a}) == 2
