"""Reverse mode: backward, grad, no_grad, debug; what they give, what they refuse, what they keep in memory."""

import gc
import math
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import Tensor, ops
from minitorch_cv._autograd import Node, mark_changed, mode


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values, float), requires_grad=True)


# ---- the gradient


def test_every_path_adds_up():
    x = leaf(2.0)
    a = x * 3
    y = a * x + a + x  # 3 x^2 + 4 x
    y.backward()
    assert x.grad.item() == 6 * 2 + 4


def test_gradients_accumulate_over_backwards():
    x = leaf(1.0, 2.0)
    for times in (1, 2, 3):
        (x * x).sum().backward()
        assert x.grad.tolist() == [2 * times, 4 * times]
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4]


def test_accumulation_leaves_an_earlier_gradient_array_alone():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    first = x.grad
    x.sum().backward()
    assert first.tolist() == [1, 1] and x.grad.tolist() == [2, 2]


def test_backward_of_a_leaf_is_its_upstream_gradient():
    x = leaf(1.0, 2.0)
    x.backward([3.0, 4.0])
    assert x.grad.tolist() == [3, 4]


@pytest.mark.parametrize("upstream", [[1.0, 10.0], np.array([1.0, 10.0]), Tensor([1.0, 10.0]), np.float32([1, 10])])
def test_upstream_gradient(upstream):
    x = leaf(2.0, 3.0)
    (x * x).backward(upstream)
    assert x.grad.tolist() == [4, 60] and x.grad.dtype == np.float64


def test_upstream_gradient_of_another_shape_is_refused():
    x = leaf(2.0, 3.0)
    with pytest.raises(ValueError, match=r"backward: upstream expects shape \(2,\), that of y; it is \(3,\)"):
        (x * x).backward(np.ones(3))
    assert x.grad is None


def test_no_scalar_without_upstream_gradient():
    x = leaf(2.0, 3.0)
    with pytest.raises(RuntimeError, match=r"backward: y of shape \(2,\) is no scalar; pass its upstream gradient"):
        (x * x).backward()
    with pytest.raises(RuntimeError, match="grad: y of shape"):
        mt.grad(x * x, x)


def test_what_requires_no_gradient_has_no_backward():
    with pytest.raises(RuntimeError, match="backward: y expects a Tensor computed from one that requires a gradient"):
        Tensor(1.0).backward()
    x = leaf(1.0)
    with pytest.raises(ValueError, match="grad: xs expects Tensors that require a gradient; number 1 is Tensor"):
        mt.grad((x * 2).sum(), [x, Tensor(1.0)])


def test_only_leaves_that_require_it_get_a_gradient():
    x, constant = leaf(1.0), Tensor(np.array([2.0]))
    y = x * constant
    (y * y).sum().backward()
    assert x.grad.item() == 8 and constant.grad is None and y.grad is None


# ---- a gradient's memory is its own


def test_leaves_never_share_the_memory_of_their_gradients():
    a, b, upstream = leaf(1.0, 2.0), leaf(3.0, 4.0), np.ones(2)
    (a + b).backward(upstream)
    arrays = [a.grad.numpy(), b.grad.numpy(), upstream]
    for i, one in enumerate(arrays):
        assert one.flags.writeable
        assert not any(np.shares_memory(one, other) for other in arrays[i + 1 :])
    a.grad.numpy()[:] = 7
    assert b.grad.tolist() == [1, 1] and upstream.tolist() == [1, 1]


def test_gradients_of_grad_never_share_memory():
    a, b, upstream = leaf(1.0, 2.0), leaf(3.0, 4.0), np.ones(2)
    da, db = mt.grad(a + b, [a, b], upstream)
    arrays = [da.numpy(), db.numpy(), upstream]
    for i, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[i + 1 :])


def test_gradients_kept_in_the_graph_never_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).backward(np.ones(2), create_graph=True)
    assert not np.shares_memory(a.grad.numpy(), b.grad.numpy())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(),
        lambda x: x.mean(),
        lambda x: x.reshape(3, 2).sum(),
        lambda x: x.T.sum(),
        lambda x: x.unsqueeze(0).sum(1).sum(),
        lambda x: x[0].sum(),
        lambda x: mt.concatenate([x, x]).sum(),
        lambda x: x.expand(4, 2, 3).sum(),
    ],
)
def test_the_gradient_of_a_view_is_an_array_of_its_own(function):
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    function(x).backward()
    assert x.grad.numpy().flags.writeable and x.grad.numpy().base is None
    assert 0 not in x.grad.numpy().strides


# ---- grad


def test_grad_of_several_and_of_unrelated():
    x, z, unrelated = leaf(2.0), leaf(3.0), leaf(1.0, 2.0)
    dx, dz, nothing = mt.grad((x * x * z).sum(), [x, z, unrelated])
    assert (dx.item(), dz.item(), nothing.tolist()) == (12, 4, [0, 0])
    assert x.grad is None and z.grad is None and unrelated.grad is None
    assert isinstance(mt.grad((x * x).sum(), x), Tensor)
    assert isinstance(mt.grad((x * x).sum(), (x,)), tuple)


def test_grad_with_respect_to_intermediates():
    x = leaf(2.0)
    a = x * x
    b = a * 3
    db, da, dx = mt.grad((b * a).sum(), [b, a, x])
    assert (db.item(), da.item(), dx.item()) == (4, 12 + 3 * 4, (12 + 12) * 4)
    y = (x * 2).sum()
    assert mt.grad(y, y).item() == 1


def test_grad_calls_no_backward_that_leads_nowhere():
    called = []

    def spy(name):
        def body(x):
            return x * 1.0, lambda dy: (called.append(name), dy)[1]

        return body

    left, right = _temporary_op("spy_left", spy("left")), _temporary_op("spy_right", spy("right"))
    x, z = leaf(1.0), leaf(2.0)
    mt.grad((left(x) + right(z)).sum(), x)
    assert called == ["left"]


def test_grad_leaves_retained_gradients_alone():
    x = leaf(2.0)
    a = x * 3
    a.retain_grad()
    mt.grad((a * a).sum(), x)
    assert a.grad is None


def test_retain_grad():
    x = leaf(2.0)
    a = x * 3
    a.retain_grad()
    y = (a * a).sum()
    y.backward(retain_graph=True)
    assert a.grad.item() == 12
    y.backward()
    assert a.grad.item() == 24 and x.grad.item() == 72
    assert not np.shares_memory(a.grad.numpy(), x.grad.numpy())
    with pytest.raises(RuntimeError, match="retain_grad: this Tensor does not require a gradient"):
        Tensor(1.0).retain_grad()


# ---- the graph


def test_twice_through_the_same_graph_is_an_error():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"backward: the graph of sum was freed by an earlier backward\(\)"):
        y.backward()
    assert x.grad.item() == 4


def test_retain_graph_allows_another_backward():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8
    with pytest.raises(RuntimeError, match="was freed by an earlier backward"):
        mt.grad(y, x)


def test_a_part_that_was_freed_is_named():
    x = leaf(2.0)
    a = x.exp()
    a.sum().backward()
    with pytest.raises(RuntimeError, match="the graph of exp was freed"):
        (a * 2).sum().backward()


def test_the_graph_is_freed_while_it_is_walked():
    x = leaf(*range(8))
    a = x.exp()
    saved = weakref.ref(a.data)
    y = (a * a).sum()
    del a
    assert saved() is not None
    y.backward()
    assert saved() is None


def test_a_graph_without_backward_is_dropped_with_its_result():
    x = leaf(*range(8))
    a = x.exp()
    saved = weakref.ref(a.data)
    y = (a * a).sum()
    del a, y
    assert saved() is None


def test_a_chain_of_100_000():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1
    for _ in range(100_000):
        y = y * 1.0
    del y  # without a backward, which would take it apart node by node


def test_a_chain_of_100_000_is_dropped_without_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    first = weakref.ref(y._node)
    del y
    gc.collect()
    assert first() is None


def test_doubling_forty_times_walks_each_node_once():
    x = leaf(1.0)
    y = x
    for _ in range(40):
        y = y + y
    y.backward()
    assert x.grad.item() == 2**40


def test_memory_does_not_grow_over_1000_steps():
    rng = np.random.default_rng(0)
    w1, w2 = (Tensor(0.1 * rng.standard_normal(shape), requires_grad=True) for shape in ((16, 8), (8, 4)))
    x, target = Tensor(rng.standard_normal((512, 16))), Tensor(rng.standard_normal((512, 4)))

    def step():
        for w in (w1, w2):
            w.grad = None
        error = (x @ w1).tanh() @ w2 - target
        (error * error).mean().backward()
        with mt.no_grad():
            for w in (w1, w2):
                w.add_(w.grad * -0.1)
        return (error * error).mean().item()

    def alive():
        return sum(type(thing) in (Tensor, Node) for thing in gc.get_objects())

    gc.collect()
    gc.disable()  # what only the collector finds is a leak
    tracemalloc.start()
    try:
        losses = [step() for _ in range(50)]
        objects, (memory, _) = alive(), tracemalloc.get_traced_memory()
        losses += [step() for _ in range(1000)]
        more_objects, more_memory = alive() - objects, tracemalloc.get_traced_memory()[0] - memory
    finally:
        tracemalloc.stop()
        gc.enable()
    assert losses[-1] < losses[0]
    assert more_objects == 0
    assert more_memory < 2 * 2**20, "an array of each step is kept: 1000 of 16 or 32 KiB"


# ---- derivatives of derivatives


@pytest.mark.parametrize(
    ("function", "closed"),
    [
        (lambda x: x**5, [lambda v: 5 * v**4, lambda v: 20 * v**3, lambda v: 60 * v**2, lambda v: 120 * v]),
        (lambda x: x.exp(), [math.exp] * 4),
        (lambda x: (x * 2).exp(), [lambda v, k=k: 2**k * math.exp(2 * v) for k in (1, 2, 3, 4)]),
        (lambda x: x.log(), [lambda v: 1 / v, lambda v: -1 / v**2, lambda v: 2 / v**3, lambda v: -6 / v**4]),
        (lambda x: 1 / x, [lambda v: -1 / v**2, lambda v: 2 / v**3, lambda v: -6 / v**4, lambda v: 24 / v**5]),
        (ops.sin, [math.cos, lambda v: -math.sin(v), lambda v: -math.cos(v), math.sin]),
        (
            lambda x: x.sqrt(),
            [lambda v, c=c, p=p: c * v**p for c, p in ((0.5, -0.5), (-0.25, -1.5), (0.375, -2.5), (-0.9375, -3.5))],
        ),
        (
            lambda x: x.tanh(),
            [
                lambda v: 1 - math.tanh(v) ** 2,
                lambda v: -2 * math.tanh(v) * (1 - math.tanh(v) ** 2),
                lambda v: (1 - math.tanh(v) ** 2) * (6 * math.tanh(v) ** 2 - 2),
                lambda v: (1 - math.tanh(v) ** 2) * (16 * math.tanh(v) - 24 * math.tanh(v) ** 3),
            ],
        ),
    ],
    ids=["x^5", "exp", "exp 2x", "log", "1/x", "sin", "sqrt", "tanh"],
)
def test_derivatives_to_the_fourth_order(function, closed):
    x = leaf(0.7)
    y = function(x)
    for order, expected in enumerate(closed, 1):
        y = mt.grad(y, x, create_graph=order < 4, upstream=np.ones(1))
        assert y.item() == pytest.approx(expected(0.7), rel=1e-12), f"order {order}"


def test_mixed_derivative():
    x, z = leaf(2.0), leaf(3.0)
    (dx,) = mt.grad((x**2 * z**3).sum(), [x], create_graph=True)
    assert mt.grad(dx.sum(), z).item() == 2 * 2 * 3 * 9


def test_hessian_of_a_quadratic_form(rng):
    a = rng.standard_normal((4, 4))
    x = Tensor(rng.standard_normal(4), requires_grad=True)
    gradient = mt.grad(x @ Tensor(a) @ x, x, create_graph=True)
    rows = [mt.grad(gradient, x, np.eye(4)[i], retain_graph=True).numpy() for i in range(4)]
    np.testing.assert_allclose(rows, a + a.T, rtol=1e-12)


def test_upstream_gradient_is_differentiable_too():
    x, v = leaf(2.0), leaf(3.0)
    gradient = mt.grad(x * x, x, v, create_graph=True)
    assert mt.grad(gradient, v, np.ones(1)).item() == 4


def test_backward_with_create_graph_leaves_differentiable_gradients():
    x = leaf(2.0)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad and x.grad.item() == 12
    assert mt.grad(x.grad.sum(), x).item() == 12


def test_without_create_graph_gradients_are_constants():
    x = leaf(2.0)
    (x**3).sum().backward()
    assert not x.grad.requires_grad
    assert not mt.grad((x**3).sum(), x).requires_grad


# ---- when operations record


def test_no_grad_nested_and_after_an_exception():
    x = leaf(1.0)
    with mt.no_grad():
        assert not (x * 2).requires_grad
        with mt.no_grad():
            pass
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), mt.no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_no_grad_as_a_decorator_and_entered_again():
    x = leaf(1.0)

    @mt.no_grad()
    def double(depth):
        return x * 2 if depth == 0 else double(depth - 1)

    assert not double(0).requires_grad and not double(5).requires_grad
    assert (x * 2).requires_grad
    context = mt.no_grad()
    with context, context:
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_holds_in_its_own_thread_alone():
    x, context, seen = leaf(1.0), mt.no_grad(), {}
    inside, done = threading.Event(), threading.Event()

    def other():
        seen["before"] = (x * 2).requires_grad
        with context:
            seen["inside"] = (x * 2).requires_grad
            inside.set()
            done.wait(10)
        seen["after"] = (x * 2).requires_grad

    with context:
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
    assert (x * 2).requires_grad, "the other thread is still within no_grad"
    done.set()
    thread.join()
    assert seen == {"before": True, "inside": False, "after": True}


def test_backward_in_several_threads_at_once():
    results = {}

    def work(number):
        x = Tensor(np.full(50, float(number)), requires_grad=True)
        y = x
        for _ in range(50):
            y = y * 1.0 + x * 0.0
        y.sum().backward()
        results[number] = x.grad.numpy()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(8))
    assert all((gradient == 1).all() for gradient in results.values())


# ---- changes in place


STALE = "was changed in place after the forward pass"


def _by_item(x):
    x[0] = 5.0


def _by_fill(x):
    x.fill_(5.0)


def _by_view(x):
    Tensor(x.data[1:]).add_(1.0)


def _by_optimiser(x):
    x.data -= 0.1
    mark_changed(x.data)


CHANGES = [_by_item, _by_fill, _by_view, _by_optimiser]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_changed_operand_is_found(change, create_graph):
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with mt.no_grad():
        change(x)
    with pytest.raises(RuntimeError, match=rf"backward of multiply: the saved float64 array of shape \(2,\) {STALE}"):
        y.backward(create_graph=create_graph)
    assert x.grad is None


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_output_is_found(change):
    x = leaf(1.0, 2.0)
    y = x.exp()  # its backward needs its value
    with mt.no_grad():
        change(y)
    with pytest.raises(RuntimeError, match=f"backward of exp.*{STALE}"):
        y.sum().backward()


def test_a_change_of_the_whole_is_found_through_a_saved_view():
    whole = Tensor(np.arange(4.0))
    x = leaf(1.0, 2.0)
    y = (x * whole[1:3]).sum()
    whole[2] = 9.0
    with pytest.raises(RuntimeError, match=STALE):
        y.backward()


def test_a_changed_index_is_found():
    x, index = leaf(1.0, 2.0, 3.0), Tensor(np.array([0, 1]))
    y = x[index].sum()
    index[0] = 2
    with pytest.raises(RuntimeError, match=f"backward of getitem: the saved int64 array.*{STALE}"):
        y.backward()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 1.0,
        lambda x: x - Tensor(np.ones(2)),
        lambda x: x * 3.0,
        lambda x: x / 3.0,
        lambda x: -x,
        lambda x: x.reshape(2, 1),
        lambda x: x[0],
        lambda x: x.sum(),
        lambda x: x.mean(0, keepdims=True),
        lambda x: x.expand(3, 2),
        lambda x: mt.concatenate([x, x]),
        lambda x: mt.stack([x, x]),
        lambda x: mt.where(np.array([True, False]), x, 0.0),
        lambda x: mt.ops.pad(x, (1, 1)),
        lambda x: x.clone(),
        lambda x: mt.ops.linear(Tensor(np.ones((3, 2))), Tensor(np.ones((2, 2))), x),
        lambda x: mt.ops.conv2d(Tensor(np.ones((1, 1, 2, 2))), Tensor(np.ones((2, 1, 1, 1))), x),
    ],
)
def test_no_alarm_where_the_value_is_not_needed(function):
    x = leaf(1.0, 2.0)
    y = function(x).sum()
    with mt.no_grad():
        x.fill_(7.0)
    y.backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_no_alarm_for_another_part_of_the_array():
    whole = Tensor(np.arange(4.0))
    x = leaf(1.0, 2.0)
    y = (x * whole[:2]).sum()
    Tensor(whole.data[2:]).fill_(9.0)
    y.backward()
    assert x.grad.tolist() == [0, 1]


def test_no_alarm_for_a_change_before_the_forward_pass():
    x = leaf(1.0, 2.0)
    with mt.no_grad():
        x.fill_(3.0)
    (x * x).sum().backward()
    assert x.grad.tolist() == [6, 6]


def test_no_alarm_after_the_changed_array_died():
    """New arrays get the memory of dead ones; what happened to those does not concern them."""
    x = leaf(*range(100))
    for _ in range(200):
        y = (x.exp() * 2.0).sum()
        Tensor(np.zeros(100)).add_(1.0)
        y.backward()


def test_assignment_with_operator_is_no_change_in_place():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    x += 1
    y.backward()


# ---- debug


def test_debug_finds_a_write_that_the_engine_cannot_see():
    x = leaf(1.0, 2.0)
    with mt.debug():
        y = (x * x).sum()
        x.numpy()[0] = 5
        with pytest.raises(RuntimeError, match=rf"backward of multiply: .*{STALE}.*\(found by its checksum\)"):
            y.backward()
    y = (x * x).sum()
    x.numpy()[0] = 7
    y.backward()


def test_debug_names_the_first_operation_that_is_not_finite():
    x = leaf(1.0, -1.0)
    with np.errstate(all="ignore"):
        assert np.isnan((x.log() * 2).numpy()).any()
        with mt.debug(), pytest.raises(FloatingPointError, match=r"log: the result of shape \(2,\) has a NaN"):
            x.log() * 2
        with mt.debug(), pytest.raises(FloatingPointError, match="divide: the result of shape"):
            1 / (x * 0)
    assert not mode.debugging


def test_debug_lets_right_work_pass():
    x = leaf(1.0, 2.0)
    with mt.debug():
        (x * x).sum().backward()
        gradient = mt.grad((x**3).sum(), x, create_graph=True)
        mt.grad(gradient.sum(), x)
    assert x.grad.tolist() == [2, 4]


def _temporary_op(name, body):
    """An operation that does not stay in the registry."""
    body.__name__ = name
    operation = mt.op(body)
    del mt.OPS[name]
    return operation
