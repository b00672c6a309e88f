"""The counterparts in PyTorch: at full size their names and shapes; at a small width a whole step of training."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn
from minitorch_cv.models import REGISTRY
from minitorch_cv.optim import SGD

NETS = ["alexnet", "zfnet", "vgg16", "googlenet", "resnet18", "resnet50", "resnet20", "plain20"]
NETS += [
    "ddpm_unet",
    "ddpm_unet_small",
    "dcgan_generator",
    "dcgan_discriminator",
    "vae",
    "autoencoder",
    "digit_classifier",
]


@pytest.mark.parametrize("name", NETS)
def test_names_and_shapes_are_ours(name, torch, torch_twin):
    with nn.init.skipped():
        ours = models.NAMES[name]().state_dict()
    with torch.device("meta"):
        theirs = torch_twin(name).state_dict()
    assert [(key, value.shape) for key, value in ours.items()] == [(k, tuple(v.shape)) for k, v in theirs.items()]


CLASSIFIERS = [name for name, entry in REGISTRY.items() if entry.classifies]
CIFAR = {f"{kind}{depth}" for kind in ("resnet", "plain") for depth in (20, 32, 44, 56, 110)}
ALEXNET = {"num_classes": 5, "channels": (4, 8, 6, 6, 4), "hidden": 9}
PAPER = {"groups": (1, 2, 1, 2, 2), "first": (11, 4, 0), "normalize": True}


BOUNDS = {"plain56": 1e-4, "plain110": 1.0}
"""So deep without shortcuts rounding is blown up, in 110 layers by twelve orders of magnitude: only losses count."""
LOSS_BOUNDS = {"plain110": 1e-3}
"""After a step with a gradient that far off; which processor computed it shows."""


def settings_of(name):
    """Our settings at a small width, the twin's, and the size of an image."""
    if name.startswith("vgg"):
        both = {"num_classes": 5, "channels": (4, 6, 8, 10, 12), "hidden": 14, "grid": 2}
        return {**both, "dropout": 0.0}, both, 64
    if name == "alexnet_paper":
        return {**ALEXNET, "dropout": 0.0}, {**ALEXNET, **PAPER}, 227
    if name in ("alexnet", "zfnet"):
        return {**ALEXNET, "dropout": 0.0}, ALEXNET, 224
    if name.startswith("googlenet"):
        both = {"num_classes": 5, "width": 0.125}
        return {**both, "dropout": 0.0}, both, 64
    both = {"num_classes": 5, "width": 4}
    return (
        both,
        both,
        16 if name.startswith("plain") or int(name[6:].partition("_")[0]) in (20, 32, 44, 56, 110) else 64,
    )


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_step_of_training_equals_torchs(name, torch, torch_twin, one_thread_for_torch, rng):
    settings, twins, size = settings_of(name)
    ours = models.NAMES[name](**settings, generator=mt.Generator(3)).to(dtype=np.float64)
    for parameter in ours.parameters():  # so that the image reaches the output, whatever the paper starts from
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=mt.Generator(5))
    theirs = torch_twin("alexnet" if name == "alexnet_paper" else name, **twins).double()
    theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()})
    before = {key: value.numpy().copy() for key, value in ours.state_dict().items()}
    x, target = rng.standard_normal((4, 3, size, size)), np.arange(4)
    recipe = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}
    mine, other = SGD(ours.parameters(), **recipe), torch.optim.SGD(theirs.parameters(), **recipe)
    for _ in range(2):  # the second step has momentum and running statistics
        mine.zero_grad(), other.zero_grad()
        loss = mt.ops.cross_entropy(ours(mt.Tensor(x)), mt.Tensor(target))
        expected = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(target))
        assert loss.item() == pytest.approx(expected.item(), rel=LOSS_BOUNDS.get(name, 1e-6))
        loss.backward(), expected.backward()
        mine.step(), other.step()
    worst = 0.0
    for (key, value), reference in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        reference = reference.numpy()
        # In units of the largest change; biases before a batch norm have no gradient but rounding.
        change = np.abs(reference - before[key]).max()
        error = np.abs(value.numpy() - reference).max() / max(change, 1e-7)
        worst = max(worst, error)
        assert error < BOUNDS.get(name, 1e-6), key
    print(f"{name}: worst error after two steps {worst:.1e}")
