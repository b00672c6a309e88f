"""DCGAN: the published counts, names and initialisation; against torch; a step of the game."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.optim import Adam


@pytest.mark.parametrize(
    ("name", "settings", "parameters"),
    [
        ("dcgan_generator", {"image_size": 64}, 3_576_704),
        ("dcgan_discriminator", {"image_size": 64}, 2_765_568),
        ("dcgan_generator", {}, 1_068_928),
        ("dcgan_discriminator", {}, 663_296),
    ],
)
def test_the_parameters_are_the_published_ones(name, settings, parameters):
    with nn.init.skipped():
        assert sum(p.size for p in models.NAMES[name](**settings).parameters()) == parameters


def test_the_state_has_the_published_names_and_shapes():
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    with nn.init.skipped():
        generator = models.dcgan_generator(image_size=64).state_dict()
        discriminator = models.dcgan_discriminator(image_size=64).state_dict()
    expected = [n for i in (0, 3, 6, 9) for n in (f"main.{i}.weight", *(f"main.{i + 1}.{part}" for part in norm))]
    assert list(generator) == [*expected, "main.12.weight"]
    expected = [n for i in (2, 5, 8) for n in (f"main.{i}.weight", *(f"main.{i + 1}.{part}" for part in norm))]
    assert list(discriminator) == ["main.0.weight", *expected, "main.11.weight"]
    assert [generator[f"main.{i}.weight"].shape for i in (0, 3, 6, 9, 12)] == [
        (100, 512, 4, 4),
        (512, 256, 4, 4),
        (256, 128, 4, 4),
        (128, 64, 4, 4),
        (64, 3, 4, 4),
    ]
    assert [discriminator[f"main.{i}.weight"].shape for i in (0, 2, 5, 8, 11)] == [
        (64, 3, 4, 4),
        (128, 64, 4, 4),
        (256, 128, 4, 4),
        (512, 256, 4, 4),
        (1, 512, 4, 4),
    ]


@pytest.mark.parametrize("size", [8, 14, 28, 32, 64])
def test_images_of_any_size_there_and_back(size, rng):
    settings = {"width": 4, "image_size": size}
    z = mt.Tensor(rng.standard_normal((2, 7), dtype=np.float32))
    images = models.dcgan_generator(7, 1, **settings)(z)
    assert images.shape == (2, 1, size, size) and abs(images.numpy()).max() <= 1
    assert models.dcgan_discriminator(1, **settings)(images).shape == (2,)
    assert models.dcgan_discriminator(1, **settings, classes=3)(images).shape == (2, 3)


@pytest.mark.parametrize("size", [4, 7, 30, 48])
def test_other_sizes_are_refused(size):
    for name, net in (("Generator", models.dcgan_generator), ("Discriminator", models.dcgan_discriminator)):
        with pytest.raises(
            ValueError, match=f"DCGAN{name}: image_size expects 8, 16, 32, 64, ... or 14, 28, 56, ...; it is {size}"
        ):
            net(image_size=size)


@pytest.mark.parametrize("name", ["dcgan_generator", "dcgan_discriminator"])
def test_the_initialisation(name):
    model, again = (models.NAMES[name](generator=mt.Generator(2)) for _ in range(2))
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)):
            weight = layer.weight.numpy().astype(np.float64)
            mean = 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0
            assert abs(weight.mean() - mean) < 5 * 0.02 / math.sqrt(weight.size)
            assert abs(weight.std() / 0.02 - 1) < 5 / math.sqrt(2 * weight.size)
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-3)])
def test_they_equal_torchs(dtype, tolerance, assert_equals_twin, rng):
    precision = {"dtype": dtype, "tolerance": tolerance}
    assert_equals_twin("dcgan_generator", rng.standard_normal((3, 7, 1, 1)), latent=7, width=6, **precision)
    assert_equals_twin("dcgan_discriminator", rng.standard_normal((3, 3, 32, 32)), width=6, **precision)
    assert_equals_twin("dcgan_generator_digits", rng.standard_normal((3, 32)), width=6, **precision)
    assert_equals_twin("dcgan_discriminator_digits", rng.standard_normal((3, 1, 28, 28)), width=6, **precision)


def test_a_game_in_which_the_discriminator_learns_first(rng):
    """Real images are bright, the first generated ones are grey: a few steps tell them apart."""
    settings = {"width": 8, "image_size": 16}
    g = models.dcgan_generator(7, 1, **settings, generator=mt.Generator(0))
    d = models.dcgan_discriminator(1, **settings, generator=mt.Generator(1))
    real = mt.Tensor(rng.uniform(0.5, 1.0, (8, 1, 16, 16)).astype(np.float32))
    optimizer, ones, zeros = (
        Adam(d.parameters(), lr=2e-3, betas=(0.5, 0.999)),
        np.ones(8, np.float32),
        np.zeros(8, np.float32),
    )
    loss = ops.binary_cross_entropy_with_logits
    for _ in range(15):
        fake = g(mt.Tensor(rng.standard_normal((8, 7), dtype=np.float32)))
        optimizer.zero_grad()
        total = loss(d(real), mt.Tensor(ones)) + loss(d(fake.detach()), mt.Tensor(zeros))
        total.backward()
        optimizer.step()
    assert total.item() < 0.2, "2 ln 2 = 1.39 where it cannot tell"
    loss(d(fake), mt.Tensor(ones)).backward()
    assert all(np.isfinite(p.grad.numpy()).all() and p.grad.numpy().any() for p in g.parameters())
