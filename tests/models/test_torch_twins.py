"""The counterparts in PyTorch at their full size: a benchmark copies weights into them by name."""

import pytest

from minitorch_cv import models, nn

NETS = ["alexnet", "vgg16", "googlenet", "resnet18", "resnet50", "resnet20", "ddpm_unet", "ddpm_unet_small"]
NETS += ["dcgan_generator", "dcgan_discriminator", "vae", "autoencoder"]


@pytest.mark.parametrize("name", NETS)
def test_names_and_shapes_are_ours(name, torch, torch_twin):
    with nn.init.skipped():
        ours = models.NAMES[name]().state_dict()
    with torch.device("meta"):
        theirs = torch_twin(name).state_dict()
    assert [(key, value.shape) for key, value in ours.items()] == [(k, tuple(v.shape)) for k, v in theirs.items()]
