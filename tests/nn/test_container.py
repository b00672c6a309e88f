"""Sequential and ModuleList: lists of modules, with names."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn


def names(container):
    return [name for name, _ in container.named_children()]


def kinds(container):
    return [type(module).__name__ for module in container]


def three():
    return nn.ReLU(), nn.Tanh(), nn.Sigmoid()


def test_sequential_computes_one_after_the_other():
    x = mt.Tensor([-2.0, 0.5])
    net = nn.Sequential(nn.ReLU(), nn.Tanh())
    np.testing.assert_allclose(net(x).numpy(), np.tanh(np.maximum([-2.0, 0.5], 0)), rtol=1e-6)
    assert nn.Sequential()(x) is x


def test_a_module_that_stands_twice_runs_twice():
    relu = nn.ReLU()
    net = nn.Sequential(relu, nn.Tanh(), relu)
    assert len(net) == 3
    assert list(net) == [net[0], net[1], net[2]]
    assert net[2] is relu


@pytest.mark.parametrize(
    "container", [nn.Sequential(*three()), nn.ModuleList(three())], ids=["Sequential", "ModuleList"]
)
def test_indices_count_from_both_ends(container):
    assert type(container[-1]) is nn.Sigmoid and type(container[np.int64(1)]) is nn.Tanh
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"{type(container).__name__}: index {index} is outside its 3 modules"):
            container[index]
        with pytest.raises(IndexError, match=f"index {index} is outside"):
            container[index] = nn.ReLU()
        with pytest.raises(IndexError, match=f"index {index} is outside"):
            del container[index]
    assert len(container) == 3


def test_a_slice_of_a_sequential_keeps_modules_and_names(torch):
    net, reference = nn.Sequential(*three()), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Tanh(), torch.nn.Sigmoid())
    tail = net[1:]
    assert type(tail) is nn.Sequential and tail[0] is net[1]
    assert names(tail) == names(reference[1:]) == ["1", "2"]
    tail.append(nn.ReLU())
    assert kinds(tail) == ["Tanh", "Sigmoid", "ReLU"], "an appended module takes no other's name"
    assert kinds(net[::2]) == ["ReLU", "Sigmoid"]
    named = nn.Sequential({"a": nn.ReLU(), "b": nn.Tanh()})
    assert names(named[1:]) == ["b"]


def test_a_slice_of_a_list_is_a_list_numbered_anew():
    modules = nn.ModuleList(three())
    tail = modules[1:]
    assert type(tail) is nn.ModuleList and names(tail) == ["0", "1"] and tail[0] is modules[1]


@pytest.mark.parametrize("make", [lambda: nn.Sequential(*three()), lambda: nn.ModuleList(three())])
def test_changes_of_the_list(make):
    container = make()
    assert container.append(nn.GELU()) is container
    assert container.insert(1, nn.SiLU()) is container
    assert kinds(container) == ["ReLU", "SiLU", "Tanh", "Sigmoid", "GELU"]
    assert names(container) == ["0", "1", "2", "3", "4"]
    container[-1] = nn.Identity()
    assert kinds(container)[-1] == "Identity"
    assert container.extend([nn.ReLU()]) is container and len(container) == 6
    del container[0]
    assert kinds(container) == ["SiLU", "Tanh", "Sigmoid", "Identity", "ReLU"]


def test_what_is_no_module_is_refused_and_nothing_changes():
    net = nn.Sequential(*three())
    for change in (
        lambda: net.append(np.tanh),
        lambda: net.insert(0, np.tanh),
        lambda: net.__setitem__(0, np.tanh),
        lambda: nn.Sequential([nn.ReLU()]),
        lambda: nn.ModuleList([np.tanh]),
    ):
        with pytest.raises(TypeError, match="expects Modules; it got"):
            change()
    assert kinds(net) == ["ReLU", "Tanh", "Sigmoid"]


@pytest.mark.parametrize("name", ["forward", "training", "a.b", ""])
def test_a_name_that_is_taken_or_has_a_dot_is_refused(name):
    with pytest.raises(ValueError, match="Sequential: a name expects to be new, without dots"):
        nn.Sequential({name: nn.ReLU()})


def test_insert_needs_numbers():
    with pytest.raises(ValueError, match=r"Sequential: insert expects modules named by numbers; they are \['a'\]"):
        nn.Sequential({"a": nn.ReLU()}).insert(0, nn.Tanh())


def test_parameters_in_a_list_are_found():
    class Tower(nn.Module):
        def __init__(self):
            self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    tower = Tower()
    assert len(list(tower.parameters())) == 6
    assert list(tower.state_dict())[2] == "layers.1.weight"
    assert tower(mt.Tensor(np.ones((1, 2), np.float32))).shape == (1, 2)
    with pytest.raises(TypeError, match="ModuleList has no forward"):
        tower.layers(1)
