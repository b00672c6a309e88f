"""ResNets for ImageNet and for CIFAR: counts, names and initialisation; shortcuts; against torch; that they learn."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.models._residual_block import BasicBlock, Bottleneck
from minitorch_cv.optim import SGD

NARROW = {"num_classes": 5, "width": 4}

COUNTS = {
    "resnet18": (11_689_512, "1.814"),
    "resnet34": (21_797_672, "3.664"),
    "resnet50": (25_557_032, "4.089"),
    "resnet50_paper": (25_557_032, "3.858"),
    "resnet101": (44_549_160, "7.801"),
    "resnet152": (60_192_808, "11.514"),
    "resnet20": (269_722, "0.0406"),
    "resnet32": (464_154, "0.0689"),
    "resnet44": (658_586, "0.0972"),
    "resnet56": (853_018, "0.1255"),
    "resnet110": (1_727_962, "0.2529"),
}
CIFAR = ["resnet20", "resnet32", "resnet44", "resnet56", "resnet110"]


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_multiply_adds_are_the_published_ones(name):
    with nn.init.skipped():
        model = models.NAMES[name]()
    counted = models.ledger(model, model.input_shape)
    parameters, multiply_adds = COUNTS[name]
    assert counted.parameters == parameters
    digits = len(multiply_adds.partition(".")[2])
    assert f"{counted.multiply_adds / 1e9:.{digits}f}" == multiply_adds


@pytest.mark.parametrize("name", CIFAR)
def test_plain_nets_have_the_same_count_and_projections_2752_more(name):
    with nn.init.skipped():
        counts = {s: sum(p.size for p in models.NAMES[name](shortcut=s).parameters()) for s in ("A", "B", None)}
    assert counts == {"A": COUNTS[name][0], "B": COUNTS[name][0] + 2752, None: COUNTS[name][0]}


def names(depths, convolutions, projected):
    """The published names, written down."""
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    found = ["conv1.weight", *(f"bn1.{part}" for part in norm)]
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            block = f"layer{stage}.{i}"
            for k in range(1, convolutions + 1):
                found += [f"{block}.conv{k}.weight", *(f"{block}.bn{k}.{part}" for part in norm)]
            if i == 0 and stage in projected:
                found += [f"{block}.downsample.0.weight", *(f"{block}.downsample.1.{part}" for part in norm)]
    return [*found, "fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("resnet18", {}, names((2, 2, 2, 2), 2, {2, 3, 4})),
        ("resnet34", {}, names((3, 4, 6, 3), 2, {2, 3, 4})),
        ("resnet50", {}, names((3, 4, 6, 3), 3, {1, 2, 3, 4})),
        ("resnet101", {}, names((3, 4, 23, 3), 3, {1, 2, 3, 4})),
        ("resnet20", {}, names((3, 3, 3), 2, set())),
        ("resnet20", {"shortcut": "B"}, names((3, 3, 3), 2, {2, 3})),
        ("resnet20", {"shortcut": None}, names((3, 3, 3), 2, set())),
    ],
)
def test_the_state_has_the_published_names(name, settings, expected):
    assert list(models.NAMES[name](**NARROW, **settings).state_dict()) == expected


def test_the_published_shapes():
    with nn.init.skipped():
        shapes = {name: value.shape for name, value in models.resnet50().state_dict().items()}
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer1.0.conv1.weight"] == (64, 64, 1, 1)
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["layer3.0.conv1.weight"] == (256, 512, 1, 1)
    assert shapes["layer3.0.conv2.weight"] == (256, 256, 3, 3)
    assert shapes["layer4.2.bn3.running_var"] == (2048,)
    assert shapes["layer4.2.bn3.num_batches_tracked"] == ()
    assert shapes["fc.weight"] == (1000, 2048)


def test_published_and_paper_bottlenecks_stride_at_different_places():
    with nn.init.skipped():
        ours, paper = models.resnet50(**NARROW).layer2[0], models.resnet50_paper(**NARROW).layer2[0]
    assert [conv.stride for conv in (ours.conv1, ours.conv2)] == [(1, 1), (2, 2)]
    assert [conv.stride for conv in (paper.conv1, paper.conv2)] == [(2, 2), (1, 1)]


def test_the_initialisation():
    model = models.resnet18(7, width=16, generator=mt.Generator(2))
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            weight = layer.weight.numpy().astype(np.float64)
            std = math.sqrt(2 / (layer.out_channels * math.prod(layer.kernel_size)))
            assert abs(weight.std() / std - 1) < 5 / math.sqrt(2 * weight.size)
    assert abs(model.fc.weight.numpy()).max() <= 1 / math.sqrt(model.fc.in_features)
    again = models.resnet18(7, width=16, generator=mt.Generator(2))
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_that_adds_nothing_is_the_identity(block, rng):
    """Behind a ReLU, as in a net: where F is zero, y = relu(x) = x."""
    layer = block(3 * block.expansion, 3)
    nn.init.zeros_(layer.bn3.weight if block is Bottleneck else layer.bn2.weight)
    x = rng.random((2, 3 * block.expansion, 5, 5), dtype=np.float32)
    np.testing.assert_array_equal(layer(mt.Tensor(x)).numpy(), x)


def test_shortcut_a_drops_pixels_and_adds_zeros(rng):
    layer = BasicBlock(3, 8, stride=2, shortcut="A")
    nn.init.zeros_(layer.bn2.weight)
    x = rng.random((2, 3, 7, 6), dtype=np.float32)
    y = layer(mt.Tensor(x)).numpy()
    np.testing.assert_array_equal(y[:, :3], x[:, :, ::2, ::2])
    assert y.shape == (2, 8, 4, 3) and not y[:, 3:].any()


def test_a_plain_block_forgets_its_input(rng):
    layer = BasicBlock(3, 3, shortcut=None)
    nn.init.zeros_(layer.bn2.weight)
    assert not layer(mt.Tensor(rng.random((2, 3, 5, 5), dtype=np.float32))).numpy().any()


def test_settings_that_make_no_net_are_refused():
    with pytest.raises(ValueError, match=r"CifarResNet: depth expects 6 n \+ 2, as in 20; it is 21"):
        models.CifarResNet(21)
    with pytest.raises(ValueError, match="ResNet: shortcut expects 'A', 'B' or None; it is 'C'"):
        models.resnet20(shortcut="C")
    with pytest.raises(ValueError, match=r"ResNet: depths expects the blocks of four stages; it is \(2, 2\)"):
        models.ResNet(BasicBlock, (2, 2))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet20", {}),
        ("resnet20", {"shortcut": "B"}),
        ("resnet20", {"shortcut": None}),
        ("resnet18", {}),
        ("resnet50", {}),
        ("resnet50_paper", {}),
    ],
)
def test_it_equals_torchs(name, settings, assert_equals_twin, rng):
    size = (3, 3, 17, 18) if name == "resnet20" else (3, 3, 64, 70)
    assert_equals_twin(name, rng.standard_normal(size), **NARROW, **settings)


@pytest.mark.parametrize("name", ["resnet20", "resnet50"])
def test_it_equals_torchs_in_single_precision(name, assert_equals_twin_in_single_precision):
    assert_equals_twin_in_single_precision(name, (8, 3, 64, 64), **NARROW)


def test_at_first_every_class_is_about_as_likely(rng):
    model = models.resnet20(generator=mt.Generator(1))
    x, target = rng.standard_normal((16, 3, 32, 32), dtype=np.float32), np.arange(16) % 10
    loss = ops.cross_entropy(model(mt.Tensor(x)), mt.Tensor(target)).item()
    assert abs(loss / math.log(10) - 1) < 0.3


def test_one_batch_can_be_learned_by_heart(rng):
    model = models.resnet20(num_classes=5, width=8, generator=mt.Generator(0))
    x, target = mt.Tensor(rng.standard_normal((8, 3, 16, 16), dtype=np.float32)), mt.Tensor(np.arange(8) % 5)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for _ in range(40):
        optimizer.zero_grad()
        loss = ops.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
