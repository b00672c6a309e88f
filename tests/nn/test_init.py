"""Initialisation: moments, bounds, fans, gains, and the same numbers from the same generator."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn
from minitorch_cv.nn import init

SHAPES = [(60, 50), (40, 20, 3, 5)]


def empty(shape, dtype=np.float32):
    return nn.Parameter(np.full(shape, np.nan, dtype))


def fans(shape):
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def assert_moments(values, mean, std):
    """Within five standard errors; the kurtosis of normal and uniform is at most 3."""
    n = values.size
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(n)
    assert abs(values.std() / std - 1) < 5 * math.sqrt(0.5 / n)


@pytest.mark.parametrize("shape", SHAPES)
def test_fans_are_inputs_of_an_output_and_outputs_of_an_input(shape, torch):
    assert init.fan_in_and_fan_out(empty(shape)) == fans(shape)
    assert fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


def test_gains_equal_torchs(torch):
    for name in ("linear", "conv2d", "conv_transpose2d", "sigmoid", "tanh", "relu", "selu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    for slope in (None, 0.0, 0.2):
        assert init.calculate_gain("leaky_relu", slope) == torch.nn.init.calculate_gain("leaky_relu", slope)
    with pytest.raises(ValueError, match=r"calculate_gain: nonlinearity expects linear, .* it is 'sine'"):
        init.calculate_gain("sine")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("method", "settings", "variance"),
    [
        (init.xavier_uniform_, {}, lambda i, o: 2 / (i + o)),
        (init.xavier_normal_, {"gain": 2.0}, lambda i, o: 8 / (i + o)),
        (init.kaiming_uniform_, {"nonlinearity": "relu"}, lambda i, o: 2 / i),
        (init.kaiming_uniform_, {"a": math.sqrt(5)}, lambda i, o: 1 / (3 * i)),
        (init.kaiming_normal_, {"nonlinearity": "relu", "mode": "fan_out"}, lambda i, o: 2 / o),
        (init.kaiming_normal_, {"nonlinearity": "tanh"}, lambda i, o: 25 / 9 / i),
        (init.kaiming_normal_, {}, lambda i, o: 2 / i),
    ],
)
def test_variances_follow_from_the_fans(method, settings, variance, shape):
    tensor = empty(shape)
    assert method(tensor, **settings, generator=mt.Generator(1)) is tensor
    std = math.sqrt(variance(*fans(shape)))
    assert_moments(tensor.numpy().astype(np.float64), 0.0, std)
    if "uniform" in method.__name__:
        largest = np.abs(tensor.numpy()).max()
        assert 0.99 * math.sqrt(3) * std < largest <= math.sqrt(3) * std * (1 + 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_uniform_and_constant(dtype):
    generator = mt.Generator(2)
    assert_moments(init.normal_(empty(20_000, dtype), 3.0, 0.5, generator=generator).numpy(), 3.0, 0.5)
    uniform = init.uniform_(empty(20_000, dtype), -1.0, 3.0, generator=generator).numpy()
    assert_moments(uniform, 1.0, 4 / math.sqrt(12))
    assert uniform.min() >= -1 and uniform.max() <= 3 and uniform.dtype == dtype
    assert (init.constant_(empty(3, dtype), 0.25).numpy() == 0.25).all()
    assert (init.zeros_(empty(3, dtype)).numpy() == 0).all() and (init.ones_(empty((), dtype)).numpy() == 1).all()


def test_a_truncated_normal_has_the_moments_of_one():
    values = init.trunc_normal_(empty(20_000), 1.0, 2.0, -1.0, 2.0, generator=mt.Generator(3)).numpy()
    assert values.min() >= -1 and values.max() <= 2

    # phi and Phi at the standardised bounds alpha = -1 and beta = 0.5
    phi = [math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (-1.0, 0.5)]
    mass = (math.erf(0.5 / math.sqrt(2)) + math.erf(1 / math.sqrt(2))) / 2
    shift = (phi[0] - phi[1]) / mass
    std = 2.0 * math.sqrt(1 + (-1.0 * phi[0] - 0.5 * phi[1]) / mass - shift**2)
    assert_moments(values.astype(np.float64), 1.0 + 2.0 * shift, std)
    with pytest.raises(ValueError, match=r"trunc_normal_: b expects more than a = 1\.0; it is 1\.0"):
        init.trunc_normal_(empty(3), a=1.0, b=1.0)


def test_the_same_seed_gives_the_same_bits_and_another_others():
    def draw(seed):
        return init.kaiming_normal_(empty((7, 5)), generator=mt.Generator(seed)).numpy().tobytes()

    assert draw(1) == draw(1) != draw(2)
    mt.manual_seed(4)
    first = nn.Linear(4, 3).weight.numpy().tobytes()
    mt.manual_seed(4)
    assert nn.Linear(4, 3).weight.numpy().tobytes() == first
    assert nn.Linear(4, 3).weight.numpy().tobytes() != first, "the default generator goes on"
    generator = mt.Generator(4)
    assert nn.Linear(4, 3, generator=generator).weight.numpy().tobytes() == first
    assert generator.state["offset"] > 0


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda g: nn.Linear(50, 70, generator=g), 50),
        (lambda g: nn.Conv2d(6, 40, (3, 5), groups=2, generator=g), 45),
        (lambda g: nn.ConvTranspose2d(40, 6, (3, 5), groups=2, generator=g), 45),
    ],
)
def test_layers_start_uniform_within_one_over_the_root_of_the_fan(make, fan_in):
    layer = make(mt.Generator(5))
    bound = 1 / math.sqrt(fan_in)
    weight = layer.weight.numpy().astype(np.float64)
    assert np.abs(weight).max() <= bound * (1 + 1e-6) and np.abs(layer.bias.numpy()).max() <= bound * (1 + 1e-6)
    assert_moments(weight, 0.0, bound / math.sqrt(3))
    assert np.unique(layer.bias.numpy()).size == layer.bias.size


def test_an_embedding_starts_normal_with_zeros_for_padding():
    table = nn.Embedding(500, 20, padding_idx=3, generator=mt.Generator(6)).weight.numpy()
    assert (table[3] == 0).all()
    assert_moments(np.delete(table, 3, 0).astype(np.float64), 0.0, 1.0)


def test_within_skipped_nothing_is_drawn():
    generator = mt.Generator(7)
    with init.skipped():
        with init.skipped():
            pass
        layer = nn.Conv2d(3, 4, 3, generator=generator)
        init.trunc_normal_(layer.weight, generator=generator)
    assert generator.state["offset"] == 0 and not layer.weight.numpy().any()
    assert nn.Linear(3, 4, generator=generator).weight.numpy().all()


def test_errors_name_what_was_expected():
    with pytest.raises(ValueError, match=r"tensor expects at least two axes \(out, in\); it is \(3,\)"):
        init.xavier_normal_(empty(3))
    with pytest.raises(ValueError, match="mode expects 'fan_in' or 'fan_out'; it is 'fan'"):
        init.kaiming_normal_(empty((3, 3)), mode="fan")


def test_a_graph_notices_new_initial_values():
    layer = nn.Linear(3, 2)
    y = layer(mt.Tensor(np.ones((1, 3), np.float32), requires_grad=True)).sum()
    init.ones_(layer.weight)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
