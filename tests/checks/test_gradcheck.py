"""`gradcheck`: functions of Tensors and modules, first and second order."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn, ops
from minitorch_cv._op import op
from minitorch_cv.checks import CheckError, gradcheck
from minitorch_cv.checks.case import planted, wrong_gradient


def _faulty(operation, change):
    return planted(operation, wrong_gradient(change)(mt.OPS[operation].body))


def _thousandth_off(gradient):
    """One entry of size near the middle, wrong by 0.1 %."""
    wrong = gradient.copy()
    wrong.reshape(-1)[np.argsort(np.abs(wrong), axis=None)[wrong.size // 2]] *= 1.001
    return wrong


@pytest.fixture
def operands(rng):
    return rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((4, 3, 3, 2)), rng.standard_normal(4)


@pytest.mark.parametrize("order", [1, 2])
def test_right_gradients_pass(operands, order):
    report = gradcheck(lambda x, weight, bias: ops.conv2d(x, weight, bias, padding=1), operands, order=order)
    assert report
    assert [entry.name for entry in report.inputs][:3] == ["x", "weight", "bias"]
    assert len(report.inputs) == (3 if order == 1 else 7)
    assert all(entry.checked + entry.skipped == entry.size for entry in report.inputs)


def test_one_entry_wrong_by_a_thousandth_is_found(operands):
    with _faulty("conv2d", lambda grads, dy, *rest: [grads[0], _thousandth_off(grads[1]), grads[2]]):
        report = gradcheck(ops.conv2d, operands)
    assert not report
    assert [entry.ok for entry in report.inputs] == [True, False, True]
    assert report["weight"].max_error == pytest.approx(1e-3, rel=0.01)


def test_a_nan_is_found(operands):
    def spoiled(grads, dy, *rest):
        grads[0][0, 0, 0, 0] = np.nan
        return grads

    with _faulty("conv2d", spoiled):
        report = gradcheck(ops.conv2d, operands)
    assert not report and "NaN" in report["x"].problem


def test_a_wrong_second_order_is_found(rng):
    """A backward that uses an array in place of its operand: right, but constant."""

    @op
    def frozen_square(x):
        value = x.data if isinstance(x, mt.Tensor) else x
        return value * value, lambda dy: dy * (2 * value)

    try:
        x = rng.standard_normal((3, 4))
        assert gradcheck(frozen_square, x)
        report = gradcheck(frozen_square, x, order=2)
        assert not report
        assert not report["second order, x"].ok and report["second order, dy"].ok
    finally:
        del mt.OPS["frozen_square"]


class _Centred(nn.Module):
    """Subtracts the mean of the batch, and remembers it, as batch norm does."""

    def __init__(self):
        self.register_buffer("running_mean", mt.Tensor(np.zeros((1, 3, 1, 1), np.float32)))
        self.scale = nn.Parameter(np.full((3, 1, 1), 1.5, np.float32))

    def forward(self, x):
        mean = x.mean((0, 2, 3), keepdims=True)
        self.running_mean.data = 0.9 * self.running_mean.data + 0.1 * mean.data
        return (x - mean) * self.scale


def test_a_module_with_its_parameters_and_nothing_changes(rng):
    model = nn.Sequential(nn.Conv2d(2, 3, 3), _Centred(), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2))
    x = mt.Tensor(rng.standard_normal((4, 2, 4, 4)).astype(np.float32), requires_grad=True)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    arrays = [p.data for p in model.parameters()]
    report = gradcheck(model, x, order=2)
    assert report, str(report)
    assert {"x", "0.weight", "1.scale", "4.weight"} <= {entry.name for entry in report.inputs}
    assert x.grad is None and all(p.grad is None for p in model.parameters())
    assert all(p.data is array for p, array in zip(model.parameters(), arrays, strict=True))
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype and np.array_equal(value.numpy(), before[name])


def test_parameters_of_a_function(rng):
    layer = nn.Linear(3, 2)
    x = rng.standard_normal((4, 3))
    report = gradcheck(lambda x: layer(x).tanh().sum(), x, parameters=layer.parameters())
    assert report and [entry.shape for entry in report.inputs] == [(4, 3), (2, 3), (2,)]
    with _faulty("linear", lambda grads, dy, *rest: [grads[0], grads[1] * 2, grads[2]]):
        wrong = gradcheck(lambda x: layer(x).tanh().sum(), x, parameters={"w": layer.weight, "b": layer.bias})
    assert not wrong["w"].ok and wrong["x"].ok


def test_integers_keywords_and_kinks(rng):
    logits, target = rng.standard_normal((4, 3)), np.array([0, 2, 1, 1])
    assert gradcheck(ops.cross_entropy, {"x": logits, "target": mt.Tensor(target)})
    x = rng.standard_normal((3, 4))
    x[0, 0] = 0.0
    report = gradcheck(ops.relu, x)
    assert report and report["x"].skipped == 1 and report["x"].checked == 11


def test_many_entries_by_directions(rng):
    x = rng.standard_normal((60, 50))
    assert gradcheck(ops.tanh, x)["x"].directions > 0
    with _faulty("tanh", lambda grads, dy, x: [_thousandth_off(grads[0])]):
        assert not gradcheck(ops.tanh, x)


def test_a_function_whose_gradient_is_cut_is_found(rng):
    report = gradcheck(lambda x: ops.tanh(x.detach()), rng.standard_normal((2, 3)))
    assert not report


@pytest.mark.parametrize(
    ("f", "inputs", "settings", "message"),
    [
        (3, np.ones(2), {}, "f expects a function of Tensors; it is int"),
        (ops.tanh, np.arange(3), {}, "inputs expects at least one floating"),
        (ops.tanh, np.ones(2), {"order": 3}, "order expects 1 or 2; it is 3"),
        (lambda x: x.numpy(), np.ones(2), {}, "expects to return one Tensor; it returns ndarray"),
        (lambda x: x.reshape(5), np.ones(2), {}, "reshape: shape expects 2 elements"),
    ],
)
def test_what_cannot_be_checked_raises(f, inputs, settings, message):
    with pytest.raises(CheckError, match=message):
        gradcheck(f, inputs, **settings)
