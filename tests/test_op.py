"""`@op` and its dispatcher: operands and settings, auxiliaries, the registry, faster bodies."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest
from minitorch_cv.kernels import manifest

import minitorch_cv as mt
from minitorch_cv import OPS, Tensor
from minitorch_cv._op import _loaded, op


@pytest.fixture
def registry():
    """The registry, with what a test adds to it taken out again."""
    before = dict(OPS)
    yield OPS
    OPS.clear()
    OPS.update(before)


@pytest.fixture
def scale(registry):
    @op
    def scale(x, factor=2.0, *, offset=0.0):
        def backward(dy):
            return dy * factor, None if isinstance(factor, float) else (dy * x).sum()

        return x * factor + offset, backward

    return scale


# ---- operands and settings


def test_arrays_in_arrays_out(scale):
    assert type(scale(np.ones(2))) is np.ndarray
    assert type(mt.ops.exp(np.ones(2))) is np.ndarray


def test_operands_by_keyword(scale):
    x = Tensor([1.0, 2.0], requires_grad=True)
    for y in (scale(x, 3.0), scale(x, factor=3.0), scale(x=x, factor=3.0), scale(factor=3.0, x=x)):
        assert y.tolist() == [3, 6]
        assert mt.grad(y.sum(), x).tolist() == [3, 3]
    assert scale(x, offset=1.0).tolist() == [3, 5]
    assert mt.grad(scale(x=x, offset=1.0).sum(), x).tolist() == [2, 2]


def test_wrong_keywords_are_named(scale):
    x = Tensor([1.0])
    with pytest.raises(TypeError, match="scale: x was given twice"):
        scale(x, x=x)
    with pytest.raises(TypeError, match="scale: x is missing"):
        scale(factor=3.0)
    with pytest.raises(TypeError, match="scale: there is no argument amount; there are x, factor, offset"):
        scale(x, amount=3.0)


def test_a_gradient_computed_on_demand_is_not_computed_otherwise(registry):
    computed = []

    @op
    def product(a, b):
        def db():
            computed.append("db")
            return dy_times(a)

        def backward(dy):
            nonlocal dy_times
            dy_times = lambda other: dy * other
            return lambda: dy_times(b), db

        return a * b, backward

    dy_times = None
    a, b = Tensor([2.0], requires_grad=True), Tensor([3.0])
    product(a, b).sum().backward()
    assert a.grad.item() == 3 and computed == []
    b.requires_grad = True
    assert mt.grad(product(a, b).sum(), b).item() == 2 and computed == ["db"]


def test_auxiliaries_carry_no_gradient(registry):
    @op
    def norm_and_index(x):
        index = np.argmax(x.data if isinstance(x, Tensor) else x)
        return ((x * x).sum(), index, x * 2), lambda dy: dy * 2 * x

    x = Tensor([1.0, 3.0], requires_grad=True)
    total, index, double = norm_and_index(x)
    assert (total.item(), index.item(), double.tolist()) == (10, 1, [2, 6])
    assert total.requires_grad and not index.requires_grad and not double.requires_grad
    total.backward()
    assert x.grad.tolist() == [2, 6]


def test_a_gradient_of_another_shape_is_refused(registry):
    @op
    def broken(x):
        return x * 2, lambda dy: dy.sum()

    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(
        RuntimeError, match=r"backward of broken: an operand of shape \(2,\) got a gradient of shape \(\)"
    ):
        broken(x).sum().backward()


def test_a_forgotten_gradient_is_an_error_where_it_is_wanted(registry):
    @op
    def half_done(a, b):
        return a * b, lambda dy: dy * b

    x = Tensor([1.0, 2.0])
    a, b = Tensor([3.0, 4.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    half_done(a, x).sum().backward()
    assert a.grad is not None and a.grad.tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match=r"backward of half_done: 1 gradients came, and operand 1, b of shape"):
        half_done(x, b).sum().backward()


@pytest.mark.parametrize(("wrong", "what"), [(lambda dy: 1.0, "float"), (lambda dy: [dy], "list")])
def test_a_gradient_that_is_no_array_is_named(registry, wrong, what):
    @op
    def no_array(x):
        return x * 2, wrong

    with pytest.raises(RuntimeError, match=rf"backward of no_array: .* got a gradient of type {what}"):
        no_array(Tensor([1.0, 2.0], requires_grad=True)).sum().backward()


def test_a_gradient_of_another_dtype_is_refused(registry):
    @op
    def doubled(x):
        return x * 2, lambda dy: dy * np.float64(2.0)

    with pytest.raises(RuntimeError, match="backward of doubled: a float32 operand got a float64 gradient"):
        doubled(Tensor([1.0, 2.0], requires_grad=True)).sum().backward()


def test_nothing_is_recorded_without_need():
    x = Tensor([1.0])
    assert (x * 2)._node is None
    x.requires_grad = True
    with mt.no_grad():
        assert (x * 2)._node is None
    assert (x * 2)._node is not None


# ---- the registry


def test_every_operation_is_registered_under_its_name():
    for name, operation in OPS.items():
        assert operation.body.__name__ == name
        assert operation.__doc__ == operation.body.__doc__


def test_a_name_is_taken_once(registry):
    def exp(x):
        return x, lambda dy: dy

    with pytest.raises(ValueError, match=r"op: an operation of the name exp exists already, in minitorch_cv\.ops"):
        op(exp)


def test_linear_operands_are_named_rightly():
    for name, operation in OPS.items():
        assert set(operation.linear_in) <= set(operation.parameters), name


# ---- the dispatcher


@pytest.fixture
def faster_double(registry, monkeypatch):
    """An operation with a faster body, which leaves a mark in its result's sign; the module that holds the body."""
    module = types.ModuleType("faster_double")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    calls = []

    def double_fast(x, wanted=True):
        calls.append(x)
        return -2 * x, lambda dy: -2 * dy

    module.double_fast = double_fast

    def register(**changes):
        entry = manifest.Body(
            **{
                "operation": "double",
                "device": "cpu",
                "dtypes": ("float32",),
                "module": module.__name__,
                "function": "double_fast",
                **changes,
            }
        )
        monkeypatch.setattr(manifest, "BODIES", [*manifest.BODIES, entry])
        _loaded.cache_clear()  # of the test before

        @op
        def double(x, wanted=True):
            return x * 2, lambda dy: dy * 2

        return double

    register.body, register.calls = double_fast, calls
    return register


def test_a_faster_body_is_chosen_by_dtype(faster_double):
    double = faster_double()
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = double(x)
    assert y.tolist() == [-2] * 3
    y.sum().backward()
    assert x.grad.tolist() == [-2] * 3
    assert double(Tensor(np.ones(3))).tolist() == [2] * 3
    assert double(np.ones(3, np.float32)).tolist() == [-2] * 3
    assert double(np.ones(3)).tolist() == [2] * 3
    assert double(np.arange(3)).tolist() == [0, 2, 4], "no floating operand, no faster body"


def test_a_faster_body_is_chosen_by_device(faster_double):
    double = faster_double(device="cuda")
    assert double(Tensor(np.ones(3, np.float32))).tolist() == [2] * 3


def test_a_faster_body_may_decline(faster_double):
    double = faster_double()
    faster_double.body.accepts = lambda x, wanted=True: wanted and x.flags.c_contiguous
    x = np.ones((2, 3), np.float32)
    assert double(Tensor(x))[0, 0].item() == -2
    assert double(Tensor(x), False)[0, 0].item() == 2
    assert double(Tensor(x), wanted=False)[0, 0].item() == 2
    assert double(Tensor(x.T))[0, 0].item() == 2


def test_derivatives_of_derivatives_replay_the_portable_body(faster_double):
    double = faster_double()
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = double(x).sum()
    assert len(faster_double.calls) == 1
    gradient = mt.grad(y, x, create_graph=True)
    assert gradient.tolist() == [2] * 3, "the portable body's"
    assert len(faster_double.calls) == 1


def test_a_faster_body_is_imported_at_its_first_use(faster_double):
    double = faster_double(module="no_such_module_anywhere")
    assert double(np.ones(3)).tolist() == [2] * 3
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        double(np.ones(3, np.float32))


_PORTABLE = """
import numpy as np
from minitorch_cv.kernels import manifest
manifest.BODIES.append(manifest.Body("double", "cpu", ("float32",), "no_such_module_anywhere", "double_fast"))
from minitorch_cv._op import _loaded, op
@op
def double(x):
    return x * 2, lambda dy: dy * 2
print(double(np.ones(3, np.float32)).tolist())
"""


def test_the_environment_forces_the_portable_bodies():
    def run(kernels):
        environment = {**os.environ, "MINITORCH_CV_KERNELS": kernels}
        return subprocess.run(
            [sys.executable, "-c", _PORTABLE], env=environment, capture_output=True, text=True, timeout=60
        )

    forced = run("portable")
    assert (forced.returncode, forced.stdout) == (0, "[2.0, 2.0, 2.0]\n"), forced.stderr
    free = run("")
    assert free.returncode == 1 and "no_such_module_anywhere" in free.stderr


def test_the_manifest_names_operations_that_exist():
    assert [entry for entry in manifest.BODIES if entry.operation not in OPS] == []
