"""Module: what belongs to it, its state, its hooks, copies of it."""

import copy
import pickle

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn


class Block(nn.Module):
    """Parameters, a buffer and submodules, registered in an order that the state must undo."""

    def __init__(self):
        self.inner = nn.Linear(3, 2)
        self.register_buffer("count", mt.Tensor(np.array(3, np.int64)))
        self.scale = nn.Parameter(np.array([2.0], np.float32))
        self.absent = None
        self.register_buffer("unused", None)
        self.plain = mt.Tensor([1.0])

    def forward(self, x):
        return self.inner(x) * self.scale


def names(pairs):
    return [name for name, _ in pairs]


def test_attributes_are_the_registry():
    block = Block()
    assert names(block.named_parameters()) == ["scale", "inner.weight", "inner.bias"]
    assert names(block.named_buffers()) == ["count"]
    assert names(block.named_children()) == ["inner"]
    assert names(block.named_modules()) == ["", "inner"]
    assert [p.shape for p in block.parameters()] == [(1,), (2, 3), (2,)]
    del block.inner
    assert names(block.named_parameters()) == ["scale"]
    block.scale = None
    assert names(block.named_parameters()) == []


def test_modules_come_before_what_they_hold_in_order_of_assignment():
    net = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sigmoid())
    assert names(net.named_modules()) == ["", "0", "0.0", "0.1", "1"]
    assert names(net.named_modules("net")) == ["net", "net.0", "net.0.0", "net.0.1", "net.1"]
    assert net.get_submodule("0.1") is net[0][1]
    assert net.get_submodule("") is net
    with pytest.raises(KeyError, match=r"get_submodule: Sequential has no module '0\.7'"):
        net.get_submodule("0.7")


def test_what_is_shared_is_found_once_under_its_first_name():
    linear = nn.Linear(2, 2)
    net = nn.Sequential(linear, nn.ReLU(), linear, nn.Linear(2, 2))
    net[3].weight = linear.weight
    assert names(net.named_modules()) == ["", "0", "1", "3"]
    assert names(net.named_parameters()) == ["0.weight", "0.bias", "3.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias"]

    x = mt.Tensor(np.ones((1, 2), np.float32))
    net(x).sum().backward()
    assert np.abs(linear.weight.grad.numpy()).sum() > 0
    buffer = mt.Tensor([1.0])
    net[0].register_buffer("shared", buffer)
    net[3].register_buffer("shared", buffer)
    assert names(net.named_buffers()) == ["0.shared"]


def test_a_state_dict_is_in_pytorchs_order_and_shares_memory():
    block = Block()
    state = block.state_dict()
    assert list(state) == ["scale", "count", "inner.weight", "inner.bias"]
    assert not any(value.requires_grad for value in state.values())
    assert state["inner.weight"].data is block.inner.weight.data


def test_names_and_order_equal_torchs(torch):
    def build(library):
        return library.Sequential(
            library.Conv2d(3, 4, 3, bias=False),
            library.BatchNorm2d(4),
            library.ReLU(),
            library.Sequential(library.ConvTranspose2d(4, 2, 3, groups=2), library.GroupNorm(2, 2)),
            library.ModuleList([library.Linear(3, 5), library.LayerNorm(5), library.BatchNorm1d(5, affine=False)]),
            library.Embedding(7, 3),
            library.BatchNorm2d(4, track_running_stats=False),
        )

    ours, theirs = build(nn), build(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [v.shape for v in ours.state_dict().values()] == [tuple(v.shape) for v in theirs.state_dict().values()]
    assert names(ours.named_parameters()) == names(theirs.named_parameters())
    assert names(ours.named_buffers()) == names(theirs.named_buffers())
    assert names(ours.named_modules()) == names(theirs.named_modules())
    ours.load_state_dict(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[name].numpy(), value.numpy())


def test_a_state_is_loaded_into_the_same_memory():
    source, target = Block(), Block()
    weight, memory = target.inner.weight, target.inner.weight.data
    source.count.data[...] = 11
    keys = target.load_state_dict(source.state_dict())
    assert keys == ([], [])
    assert target.inner.weight is weight and weight.data is memory
    np.testing.assert_array_equal(memory, source.inner.weight.data)
    assert target.count.item() == 11
    source.inner.weight.data[...] = 0
    assert np.abs(memory).min() > 0, "the loaded state is a copy"


def test_all_that_is_wrong_with_a_state_is_told_at_once_and_nothing_changes():
    block = Block()
    before = {name: value.numpy().copy() for name, value in block.state_dict().items()}
    state = {
        "scale": np.float32([5.0]),
        "inner.weight": np.zeros((3, 2), np.float32),
        "inner.bias": np.array(["a", "b"]),
        "extra": np.zeros(1),
    }
    with pytest.raises(ValueError) as caught:
        block.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict: the state does not fit Block; misshapen: inner.weight expects (2, 3); it is (3, 2); "
        "no numbers: inner.bias is <U1; missing: count; unexpected: extra"
    )
    for name, value in block.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_a_lax_load_reports_names_but_never_takes_another_shape():
    block = Block()
    keys = block.load_state_dict({"scale": [7.0], "extra": 1}, strict=False)
    assert keys.missing_keys == ["count", "inner.weight", "inner.bias"]
    assert keys.unexpected_keys == ["extra"]
    assert block.scale.item() == 7.0
    with pytest.raises(ValueError, match=r"scale expects \(1,\); it is \(2,\)"):
        block.load_state_dict({"scale": [7.0, 8.0]}, strict=False)


def test_two_entries_of_one_module_can_be_swapped():
    block = nn.Module()
    block.a, block.b = nn.Parameter(np.float32([1.0])), nn.Parameter(np.float32([2.0]))
    block.load_state_dict({"a": block.b, "b": block.a})
    assert (block.a.item(), block.b.item()) == (2.0, 1.0)


def test_a_graph_notices_that_a_state_was_loaded():
    linear = nn.Linear(3, 2)
    y = linear(mt.Tensor(np.ones((1, 3), np.float32), requires_grad=True)).sum()
    linear.load_state_dict(nn.Linear(3, 2).state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_train_and_eval_reach_every_module_and_return_the_module():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.train() is net
    assert all(m.training for m in net.modules())


def test_apply_visits_children_first_in_order_and_each_once():
    shared = nn.Tanh()
    net = nn.Sequential(nn.Sequential(nn.ReLU(), shared), nn.Sigmoid(), shared)
    visited = []
    assert net.apply(lambda m: visited.append(type(m).__name__)) is net
    assert visited == ["ReLU", "Tanh", "Sequential", "Sigmoid", "Sequential"]


def test_a_pre_hook_can_replace_the_inputs_and_a_hook_the_output():
    relu = nn.ReLU()
    x = mt.Tensor([-1.0, 2.0])
    seen = []
    with relu.register_forward_hook(lambda module, inputs, y: seen.append((module, inputs, y))):
        y = relu(x)
    assert seen == [(relu, (x,), y)]
    relu(x)
    assert len(seen) == 1, "the handle's block has ended"

    first = relu.register_forward_pre_hook(lambda module, inputs: -inputs[0])
    second = relu.register_forward_hook(lambda module, inputs, y: y * 10.0)
    np.testing.assert_array_equal(relu(x).numpy(), [10.0, 0.0])
    first.remove()
    np.testing.assert_array_equal(relu(x).numpy(), [0.0, 20.0])
    second.remove()
    second.remove()
    np.testing.assert_array_equal(relu(x).numpy(), [0.0, 2.0])


def test_a_handle_never_removes_a_later_hook():
    relu = nn.ReLU()
    first = relu.register_forward_hook(lambda module, inputs, y: None)
    first.remove()
    relu.register_forward_hook(lambda module, inputs, y: y + 1.0)
    first.remove()
    np.testing.assert_array_equal(relu(mt.Tensor([1.0])).numpy(), [2.0])


def test_a_hook_may_remove_itself():
    relu, calls = nn.ReLU(), []

    def once(module, inputs, y):
        calls.append(1)
        handle.remove()

    handle = relu.register_forward_hook(once)
    relu(mt.Tensor([1.0]))
    relu(mt.Tensor([1.0]))
    assert calls == [1]


def test_to_converts_what_is_floating_and_keeps_the_parameters():
    block = Block()
    parameters = list(block.parameters())
    block(mt.Tensor(np.ones((1, 3), np.float32))).sum().backward()
    for call in (lambda: block.to(np.float64), lambda: block.to(dtype=np.float64), block.double):
        block.float()
        assert {p.dtype for p in block.parameters()} == {np.dtype(np.float32)}
        assert call() is block
        assert {p.dtype for p in block.parameters()} == {np.dtype(np.float64)}
        assert {p.grad.dtype for p in block.parameters()} == {np.dtype(np.float64)}
        assert block.count.dtype == np.int64
    assert all(a is b for a, b in zip(parameters, block.parameters(), strict=True))
    assert all(p.requires_grad and p.is_leaf for p in parameters)
    memory = block.scale.data
    assert block.to("cpu").scale.data is memory
    with pytest.raises(ValueError, match="device"):
        block.to("cuda:x", np.float32)


def test_copies_are_whole_and_their_own():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Dropout(generator=mt.Generator(3)))
    net[1].weight = net[0].weight
    net[0].register_buffer("offset", mt.Tensor([4.0]))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(twin.state_dict()) == list(net.state_dict())
        assert twin[1].weight is twin[0].weight, "what was shared stays shared"
        assert isinstance(twin[0].weight, nn.Parameter) and twin[0].weight.requires_grad
        assert twin[2].generator.state == net[2].generator.state
        np.testing.assert_array_equal(twin[0].weight.numpy(), net[0].weight.numpy())
        twin[0].weight.data[...] = 9.0
        assert net[0].weight.numpy().max() < 9.0


def test_zero_grad_and_requires_grad_reach_every_parameter():
    block = Block()
    block(mt.Tensor(np.ones((1, 3), np.float32))).sum().backward()
    assert all(p.grad is not None for p in block.parameters())
    block.zero_grad()
    assert all(p.grad is None for p in block.parameters())
    block.requires_grad_(False)
    y = block(mt.Tensor(np.ones((1, 3), np.float32)))
    assert not y.requires_grad
    assert all(p.requires_grad for p in block.requires_grad_().parameters())


def test_the_repr_shows_the_tree_with_its_settings():
    net = nn.Sequential({"body": nn.Sequential(nn.Linear(3, 2, bias=False), nn.ReLU()), "head": nn.Dropout(0.25)})
    assert repr(net) == (
        "Sequential(\n"
        "  (body): Sequential(\n"
        "    (0): Linear(3, 2, bias=False)\n"
        "    (1): ReLU()\n"
        "  )\n"
        "  (head): Dropout(p=0.25)\n"
        ")"
    )
    assert repr(nn.Parameter(np.float32([1.0]))) == "Parameter([1.])"


def test_what_is_no_parameter_buffer_or_module_is_refused():
    module = nn.Module()
    with pytest.raises(TypeError, match="register_buffer: mean expects a Tensor or None"):
        module.register_buffer("mean", np.zeros(3))
    with pytest.raises(TypeError, match="register_parameter: w expects a Parameter or None"):
        module.register_parameter("w", mt.Tensor([1.0]))
    with pytest.raises(TypeError, match="add_module: child expects a Module or None"):
        module.add_module("child", np.tanh)
    with pytest.raises(TypeError, match="Module has no forward"):
        module(1)
    module.register_parameter("w", nn.Parameter(np.zeros(1, np.float32)))
    module.add_module("child", nn.ReLU())
    assert names(module.named_parameters()) == ["w"] and names(module.named_children()) == ["child"]
