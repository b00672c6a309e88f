"""AlexNet: the published counts, names and initialisation; against torch; and that it learns."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.optim import SGD, Adam

# Narrow, and for images of 67 x 67, which leaves the classifier's average pooling a 1 x 1 grid.
NARROW = {"channels": (4, 6, 8, 6, 4), "hidden": 12, "input_size": 67, "grid": 1}
ONE_TOWER, PAPER = {}, {"groups": (1, 2, 1, 2, 2), "first": (11, 4, 0), "normalize": True}


def narrow(seed=0, **settings):
    return models.AlexNet(**{"num_classes": 5, **NARROW, **settings}, generator=mt.Generator(seed))


def images(rng, n=3, dtype=np.float64):
    return rng.standard_normal((n, 3, 67, 67)).astype(dtype)


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [("alexnet", 61_100_840, 714_188_480), ("alexnet_paper", 60_965_224, 724_406_816)],
)
def test_parameters_and_multiply_adds_are_the_published_ones(name, parameters, multiply_adds):
    with nn.init.skipped():
        model = models.NAMES[name]()
    counted = models.ledger(model, model.input_shape)
    assert sum(p.size for p in model.parameters()) == counted.parameters == parameters
    assert counted.multiply_adds == multiply_adds
    assert f"{counted.multiply_adds / 1e9:.3f}" == {"alexnet": "0.714", "alexnet_paper": "0.724"}[name]


def test_the_state_has_the_published_names():
    state = narrow().state_dict()
    layers = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]
    assert list(state) == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


def test_the_papers_net_halves_its_kernels_in_two_groups():
    with nn.init.skipped():
        state = models.alexnet_paper().state_dict()
    shapes = [value.shape for name, value in state.items() if name.endswith("weight")]
    assert shapes == [
        (96, 3, 11, 11),
        (256, 48, 5, 5),
        (384, 256, 3, 3),
        (384, 192, 3, 3),
        (256, 192, 3, 3),
        (4096, 9216),
        (4096, 4096),
        (1000, 4096),
    ]


def test_the_papers_initialisation():
    model = models.alexnet_paper(7, hidden=300, generator=mt.Generator(2))
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert [float(layer.bias.numpy().max()) for layer in layers] == [0, 1, 0, 1, 1, 1, 1, 0]
    assert [float(layer.bias.numpy().min()) for layer in layers] == [0, 1, 0, 1, 1, 1, 1, 0]
    for layer in layers:
        weight = layer.weight.numpy().astype(np.float64)
        assert abs(weight.mean()) < 5 * 0.01 / math.sqrt(weight.size)
        assert abs(weight.std() / 0.01 - 1) < 5 / math.sqrt(2 * weight.size)
    again = models.alexnet_paper(7, hidden=300, generator=mt.Generator(2))
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_settings_of_another_number_of_convolutions_are_refused():
    with pytest.raises(ValueError, match=r"AlexNet: channels and groups expect five numbers each; they are \(4, 6\)"):
        narrow(channels=(4, 6))


@pytest.mark.parametrize("form", [ONE_TOWER, PAPER], ids=["one tower", "paper"])
def test_logits_gradients_and_a_training_step_equal_torchs(form, rng, torch, torch_twin, one_thread_for_torch):
    ours = narrow(dropout=0.0, **form).double()
    theirs = torch_twin("alexnet", num_classes=5, channels=NARROW["channels"], hidden=12, grid=1, **form).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()})

    x, target = images(rng), np.array([4, 0, 2])
    mine = SGD(ours.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    other = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        logits = ours(mt.Tensor(x))
        expected = theirs(torch.tensor(x))
        np.testing.assert_allclose(logits.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
        mine.zero_grad()
        other.zero_grad()
        ops.cross_entropy(logits, mt.Tensor(target)).backward()
        torch.nn.functional.cross_entropy(expected, torch.tensor(target)).backward()
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-8, atol=1e-12, err_msg=name)
        mine.step()
        other.step()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("form", [ONE_TOWER, PAPER], ids=["one tower", "paper"])
def test_at_first_every_class_is_as_likely(form, rng):
    model = narrow(num_classes=10, **form)
    models._alexnet.initialize_as_in_paper(model, mt.Generator(1))
    x, target = images(rng, 8, np.float32), np.arange(8)
    loss = ops.cross_entropy(model(mt.Tensor(x)), mt.Tensor(target)).item()
    assert abs(loss / math.log(10) - 1) < 0.1


def test_one_batch_can_be_learned_by_heart(rng):
    model = narrow(channels=(8, 12, 16, 12, 8), hidden=32, dropout=0.0)
    x, target = mt.Tensor(images(rng, 8, np.float32)), mt.Tensor(np.arange(8) % 5)
    optimizer = Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = ops.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-2
    assert (model.eval()(x).numpy().argmax(1) == target.numpy()).all()


def test_evaluation_gives_the_same_bits_and_training_drops_others_each_time(rng):
    model = narrow(normalize=True)
    x = mt.Tensor(images(rng, dtype=np.float32))
    assert (model(x).numpy() != model(x).numpy()).any()
    model.eval()
    assert model(x).numpy().tobytes() == model(x).numpy().tobytes()


def test_other_activations_and_channels(rng):
    model = narrow(activation=nn.Tanh, in_channels=1)
    assert sum(isinstance(m, nn.Tanh) for m in model.modules()) == 7
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())
    assert model(mt.Tensor(images(rng, dtype=np.float32)[:, :1])).shape == (3, 5)
