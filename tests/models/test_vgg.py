"""VGG: the published counts, names and initialisation; against torch; and that it learns."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.optim import Adam

NARROW = {"num_classes": 5, "channels": (4, 6, 8, 10, 12), "hidden": 14, "grid": 1, "dropout": 0.0}

PARAMETERS = {
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
}
CONVOLUTIONS = {
    "vgg11": [0, 3, 6, 8, 11, 13, 16, 18],
    "vgg13": [0, 2, 5, 7, 10, 12, 15, 17, 20, 22],
    "vgg16": [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
    "vgg19": [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_parameters_are_the_published_ones(name):
    with nn.init.skipped():
        assert sum(p.size for p in models.NAMES[name]().parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "expected"), [("vgg11", "7.609"), ("vgg13", "11.308"), ("vgg16", "15.470"), ("vgg19", "19.632")]
)
def test_the_multiply_adds_are_the_published_ones(name, expected):
    with nn.init.skipped():
        model = models.NAMES[name]()
    assert f"{models.ledger(model, model.input_shape).multiply_adds / 1e9:.3f}" == expected


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_state_has_the_published_names(name):
    state = models.NAMES[name](**NARROW).state_dict()
    layers = [f"features.{i}" for i in CONVOLUTIONS[name]] + [f"classifier.{i}" for i in (0, 3, 6)]
    assert list(state) == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


def test_the_published_shapes():
    with nn.init.skipped():
        state = models.vgg16().state_dict()
    shapes = [value.shape for name, value in state.items() if name.endswith("weight")]
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    linears = [(4096, 512 * 7 * 7), (4096, 4096), (1000, 4096)]
    assert shapes == [(after, before, 3, 3) for before, after in zip(widths, widths[1:])] + linears


def test_the_initialisation():
    model = models.vgg11(7, channels=(32, 48, 64, 64, 64), hidden=300, grid=1, generator=mt.Generator(2))
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight = layer.weight.numpy().astype(np.float64)
            bound = math.sqrt(6 / sum(nn.init.fan_in_and_fan_out(layer.weight)))
            assert abs(weight).max() <= bound
            assert abs(weight.std() * math.sqrt(3) / bound - 1) < 5 / math.sqrt(2 * weight.size)
            assert not layer.bias.numpy().any()
    again = models.vgg11(7, channels=(32, 48, 64, 64, 64), hidden=300, grid=1, generator=mt.Generator(2))
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_stages_without_a_width_are_refused():
    with pytest.raises(ValueError, match=r"VGG: depths and channels expect a number for each stage; they are"):
        models.VGG(depths=(1, 2), channels=(4,))


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "vgg16_bn"])
def test_it_equals_torchs(name, assert_equals_twin, rng):
    assert_equals_twin(name, rng.standard_normal((3, 3, 64, 70)), **{**NARROW, "grid": 2})


def test_it_equals_torchs_in_single_precision(assert_equals_twin_in_single_precision):
    assert_equals_twin_in_single_precision("vgg16", (3, 3, 64, 64), **NARROW)


def test_one_batch_can_be_learned_by_heart(rng):
    settings = {**NARROW, "channels": (8, 8, 16, 16, 32), "hidden": 256}
    model = models.vgg11_bn(**settings, generator=mt.Generator(0))
    x, target = mt.Tensor(rng.standard_normal((8, 3, 32, 32), dtype=np.float32)), mt.Tensor(np.arange(8) % 5)
    optimizer = Adam(model.parameters(), lr=2e-3)
    for _ in range(80):
        optimizer.zero_grad()
        loss = ops.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-2
