"""GoogLeNet, with batch norm and as in the paper: counts, names and initialisation; against torch; that it learns."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.optim import Adam

NARROW = {"num_classes": 5, "width": 0.125, "dropout": 0.0, "aux_dropout": 0.0}
MODULES = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]


@pytest.mark.parametrize(
    ("name", "without", "with_aux", "multiply_adds"),
    [("googlenet", 6_624_904, 13_004_888, "1.498"), ("googlenet_paper", 6_998_552, 13_378_280, "1.583")],
)
def test_parameters_and_multiply_adds_are_the_published_ones(name, without, with_aux, multiply_adds):
    with nn.init.skipped():
        model = models.NAMES[name]()
        full = models.NAMES[name](aux=True)
    assert sum(p.size for p in full.parameters()) == with_aux
    counted = models.ledger(model, model.input_shape)
    assert counted.parameters == without
    assert f"{counted.multiply_adds / 1e9:.3f}" == multiply_adds
    assert models.ledger(full, full.input_shape).multiply_adds == counted.multiply_adds, "no heads in evaluation mode"


@pytest.mark.parametrize("aux", [False, True])
def test_the_state_has_the_published_names(aux):
    branches = ["branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"]
    units = ["conv1", "conv2", "conv3"] + [f"inception{m}.{b}" for m in MODULES for b in branches]
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]

    def unit(name):
        return [f"{name}.conv.weight", *(f"{name}.bn.{part}" for part in norm)]

    expected = [name for u in units for name in unit(u)]
    for head in ("aux1", "aux2") if aux else ():
        expected += unit(f"{head}.conv") + [f"{head}.{fc}.{part}" for fc in ("fc1", "fc2") for part in norm[:2]]
    assert list(models.googlenet(aux=aux, **NARROW).state_dict()) == [*expected, "fc.weight", "fc.bias"]


def test_the_published_shapes():
    with nn.init.skipped():
        shapes = {name: value.shape for name, value in models.googlenet(aux=True).state_dict().items()}
        paper = {name: value.shape for name, value in models.googlenet_paper(aux=True).state_dict().items()}
    assert shapes["conv1.conv.weight"] == (64, 3, 7, 7)
    assert shapes["inception4d.branch2.1.conv.weight"] == (288, 144, 3, 3)
    assert shapes["inception4d.branch3.1.conv.weight"] == (64, 32, 3, 3)
    assert paper["inception4d.branch3.1.conv.weight"] == (64, 32, 5, 5)
    assert shapes["aux2.conv.conv.weight"] == (128, 528, 1, 1)
    assert shapes["aux1.fc1.weight"] == (1024, 2048) and shapes["fc.weight"] == (1000, 1024)


def test_the_initialisations():
    published = models.googlenet(7, width=0.5, aux=True, generator=mt.Generator(2))
    for layer in published.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight = layer.weight.numpy()
            assert abs(weight.std() / 0.01 - 1) < 5 / math.sqrt(2 * weight.size)
    paper = models.googlenet_paper(7, width=0.5, aux=True, generator=mt.Generator(2))
    for name, layer in paper.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight = layer.weight.numpy().astype(np.float64)
            fan_in = math.prod(weight.shape[1:])
            assert abs(weight).max() <= math.sqrt(3 / fan_in)
            assert abs(weight.var() * fan_in - 1) < 5 / math.sqrt(weight.size)
            assert (layer.bias.numpy() == np.float32(0.0 if name.endswith(("fc", "fc2")) else 0.2)).all()
    again = models.googlenet(7, width=0.5, aux=True, generator=mt.Generator(2))
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(published.parameters(), again.parameters(), strict=True))


def test_the_heads_speak_in_training_alone(rng):
    model = models.googlenet(aux=True, **NARROW)
    x = mt.Tensor(rng.standard_normal((2, 3, 64, 64), dtype=np.float32))
    y = model(x)
    assert isinstance(y, models.GoogLeNetOutput)
    assert [part.shape for part in (y.logits, y.aux2, y.aux1)] == [(2, 5)] * 3
    assert model.eval()(x).shape == (2, 5)
    assert models.googlenet(**NARROW)(x).shape == (2, 5)


def test_the_papers_heads_name_images_that_they_cannot_take():
    model = models.googlenet_paper(aux=True, **NARROW)
    with pytest.raises(ValueError, match=r"GoogLeNet: auxiliary heads expect maps of 4 x 4 .* they are 2 x 2"):
        model(mt.Tensor(np.zeros((1, 3, 160, 160), np.float32)))
    assert model.eval()(mt.Tensor(np.zeros((1, 3, 160, 160), np.float32))).shape == (1, 5)


def test_transform_input_expects_what_was_standardised_by_imagenet(rng):
    """Pixels of 0 .. 1, standardised in the one way, come out in the other: -1 .. 1."""
    pixels = rng.random((2, 3, 64, 64))
    standardised = (pixels - np.array([0.485, 0.456, 0.406])[:, None, None]) / np.array([0.229, 0.224, 0.225])[
        :, None, None
    ]
    plain, changed = (
        models.googlenet(**NARROW, transform_input=t, generator=mt.Generator(0)).double().eval() for t in (False, True)
    )
    expected = plain(mt.Tensor(2 * pixels - 1)).numpy()
    np.testing.assert_allclose(changed(mt.Tensor(standardised)).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("aux", [False, True])
def test_it_equals_torchs(aux, assert_equals_twin, rng):
    assert_equals_twin("googlenet", rng.standard_normal((3, 3, 70, 64)), aux=aux, **NARROW)


def test_the_papers_equals_torchs(assert_equals_twin, rng):
    assert_equals_twin("googlenet_paper", rng.standard_normal((1, 3, 224, 224)), aux=True, **NARROW)


def test_it_equals_torchs_in_single_precision(assert_equals_twin_in_single_precision):
    assert_equals_twin_in_single_precision("googlenet", (3, 3, 64, 64), aux=True, **NARROW)


def test_one_batch_can_be_learned_by_heart(rng):
    model = models.googlenet(**NARROW, aux=True, generator=mt.Generator(0))
    x, target = mt.Tensor(rng.standard_normal((8, 3, 48, 48), dtype=np.float32)), mt.Tensor(np.arange(8) % 5)
    optimizer = Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        y = model(x)
        losses = [ops.cross_entropy(part, target) for part in (y.logits, y.aux1, y.aux2)]
        (losses[0] + 0.3 * (losses[1] + losses[2])).backward()
        optimizer.step()
    assert losses[0].item() < 0.02
