"""Mutation: the mutants themselves, what kills them, and the justifications of those that survive."""

import ast
import inspect

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops
from minitorch_cv.checks import mutation
from minitorch_cv.checks.equivalent_mutants import EQUIVALENT
from minitorch_cv.checks.mutants import NoBackward, mutants
from minitorch_cv.checks.mutation import findings_of, mutate_operation

QUICK = ("tanh", "sum", "softmax", "matmul", "conv2d", "maximum", "multiply")


def changes(name):
    return [mutant.change for mutant in mutants(name, mt.OPS[name].body)]


def example(x, y=None):
    """A body whose parts are known."""

    def forward(v):
        return v + 1

    def helper(dy):
        return dy * 2

    def backward(dy):
        scale = -3
        return helper(dy) * scale, None if y is None else dy

    return forward(x), backward


def test_every_kind_of_change_is_made_in_the_backward_alone():
    found = [mutant.change for mutant in mutants("example", example)]
    assert "dy * 2 -> dy / 2" in found and "dy * 2 -> dy * 3" in found and "dy * 2 -> dy" in found
    assert "helper(dy) -> dy" in found
    assert "scale = -3 -> scale = 3" in found
    assert "y is None -> y is not None" in found
    assert "None if y is None else dy -> None" in found
    assert not any("v + 1" in change for change in found)
    assert len(found) == len(set(found))


def test_a_mutant_is_a_body():
    mutant = next(m for m in mutants("example", example) if m.change == "dy * 2 -> dy * 3")
    value, backward = mutant.body(1)
    assert value == 2 and backward(1) == (-9, None)
    assert example(1)[1](1) == (-6, None)


def test_a_maker_of_backwards_is_changed_too():
    assert any("dy * 0.5" in change for change in changes("maximum"))


def test_a_body_without_a_backward_is_refused():
    def only_a_value(x):
        return x

    with pytest.raises(NoBackward):
        list(mutants("only_a_value", only_a_value))


@pytest.mark.parametrize("function", [ops.maximum, ops.minimum])
def test_a_tie_is_shared(function):
    """What the cases cannot see: at a tie any share is a subgradient, and the half is promised."""
    a, b = (mt.Tensor(np.array([1.0, 2.0]), requires_grad=True) for _ in range(2))
    function(a, b).backward(np.array([3.0, -4.0]))
    assert a.grad.numpy().tolist() == b.grad.numpy().tolist() == [1.5, -2.0]


@pytest.mark.parametrize("name", QUICK)
def test_no_mutant_survives_unjustified(name):
    result = mutate_operation(name)
    assert findings_of([result]) == []
    assert result.killed > 0.8 * result.count > 0


def test_a_survivor_and_a_stale_justification_are_found(monkeypatch):
    monkeypatch.setitem(EQUIVALENT, "matmul", {"a -> b": "there is no such change"})
    found = findings_of([mutate_operation("matmul")])
    assert any("survived" in finding for finding in found)
    assert any("justified, but no survivor: a -> b" in finding for finding in found)


def test_without_cases_nothing_is_caught(monkeypatch):
    """So that a mutant is killed by a check, and not by the way it is planted."""
    monkeypatch.setattr(mutation, "_runs_of", lambda name: [])
    result = mutate_operation("softmax")
    assert result.killed == 0 and findings_of([result])


def test_justifications_are_of_operations_and_say_why():
    assert set(EQUIVALENT) <= set(mt.OPS)
    for name, justified in EQUIVALENT.items():
        assert inspect.getsource(mt.OPS[name].body)
        for change, why in justified.items():
            old, _, new = change.partition(" -> ")
            assert old and new and len(why.split()) > 2
            ast.parse(old)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(mt.OPS))
def test_no_mutant_of_any_operation_survives_unjustified(name):
    assert findings_of([mutate_operation(name)]) == []
