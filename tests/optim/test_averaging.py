"""The exponential moving average of weights."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn
from minitorch_cv.optim import ExponentialMovingAverage


def net():
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    module[0].register_buffer("scalar", mt.Tensor(np.array(1.0, np.float32)))
    return module


def values(module):
    return {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}


def shift(module, rng):
    for tensor in module.state_dict().values():
        tensor.data[...] = rng.standard_normal(tensor.shape) * 3


def test_the_shadow_is_the_weighted_sum_of_all_values(rng):
    module = net()
    average = ExponentialMovingAverage(module, decay=0.75)
    history = [values(module)]
    for _ in range(6):
        shift(module, rng)
        average.update()
        history.append(values(module))
    weights = [0.75**6, *(0.25 * 0.75 ** (6 - k) for k in range(1, 7))]
    assert set(average.shadow) == {name for name in history[0] if not name.endswith("num_batches_tracked")}
    for name, shadow in average.shadow.items():
        expected = sum(w * state[name].astype(np.float64) for w, state in zip(weights, history, strict=True))
        np.testing.assert_allclose(shadow, expected, rtol=1e-5, atol=1e-6)
        assert shadow.dtype == np.float32


def test_within_applied_the_module_has_the_averages_and_afterwards_its_own(rng):
    module = net()
    average = ExponentialMovingAverage(module, decay=0.5)
    shift(module, rng)
    average.update()
    own = values(module)
    with pytest.raises(ZeroDivisionError), average.applied() as averaged:
        assert averaged is module
        for name, shadow in average.shadow.items():
            np.testing.assert_array_equal(values(module)[name], shadow)
            assert (shadow != own[name]).any()
        raise ZeroDivisionError
    for name, value in values(module).items():
        np.testing.assert_array_equal(value, own[name])


def test_a_state_goes_back_and_one_that_does_not_fit_is_refused(rng):
    module = net()
    average = ExponentialMovingAverage(module, decay=0.5)
    shift(module, rng)
    average.update()
    saved = {name: value.copy() for name, value in average.state_dict().items()}
    other = ExponentialMovingAverage(net(), decay=0.5)
    other.load_state_dict(saved)
    for name, value in saved.items():
        np.testing.assert_array_equal(other.shadow[name], value)
        assert other.shadow[name] is not value
    with pytest.raises(ValueError, match=r"wrong: \['0\.bias'\]"):
        other.load_state_dict({**saved, "0.bias": np.zeros(9)})
    with pytest.raises(ValueError, match="names and shapes of the module"):
        other.load_state_dict({**saved, "more": np.zeros(9)})
    with pytest.raises(ValueError, match=r"decay expects a number in \[0, 1\); it is 1.0"):
        ExponentialMovingAverage(module, decay=1.0)


class OnAnotherDevice:
    """What the package asks of an array on a GPU: its shape, and a copy on the CPU."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def get(self):
        return self.array


def test_a_state_comes_back_from_another_device(rng):
    module = net()
    average = ExponentialMovingAverage(module)
    saved = {name: rng.standard_normal(v.shape).astype(v.dtype) for name, v in average.state_dict().items()}
    average.load_state_dict({name: OnAnotherDevice(value) for name, value in saved.items()})
    for name, value in saved.items():
        np.testing.assert_array_equal(average.shadow[name], value)
    average.load_state_dict({name: mt.Tensor(2 * value) for name, value in saved.items()})
    for name, value in saved.items():
        np.testing.assert_array_equal(average.shadow[name], 2 * value)


def test_the_shadow_is_no_view_of_the_module():
    module = net()
    average = ExponentialMovingAverage(module)
    before = average.shadow["0.weight"].copy()
    module[0].weight.data[...] = 100.0
    np.testing.assert_array_equal(average.shadow["0.weight"], before)
