"""Diffusion over the codes of an autoencoder."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, optim


def made(first_stage=None, classes=None, **settings):
    stage = first_stage or models.Autoencoder(36, 16, 3, generator=mt.Generator(0))
    net = models.MLPDenoiser(3, 32, 1, classes, generator=mt.Generator(1))
    betas = np.linspace(1e-3, 0.2, 50)
    return models.LatentDiffusion(stage, models.Diffusion(net, betas, **{"clip": False, **settings}))


@pytest.fixture
def images(rng):
    return mt.Tensor(rng.random((200, 1, 6, 6), dtype=np.float32))


def test_codes_are_standardised_and_back(images):
    latent = made().fit(images)
    z = latent.encode(images)
    np.testing.assert_allclose(z.numpy().mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(z.numpy().std(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(latent.decode(z).numpy(), latent.first_stage(images).numpy(), atol=1e-5)


def test_a_number_that_never_changes_keeps_its_scale(images):
    latent = made()
    weight = latent.first_stage.encoder[2].weight
    weight.data[1] = 0
    latent.fit(images)
    assert latent.deviation.numpy()[1] == 1 and np.isfinite(latent.encode(images).numpy()).all()


def test_the_code_of_a_distribution_is_its_mean(images):
    stage = models.VAE(36, 16, 3, generator=mt.Generator(0))
    latent = made(stage).fit(images)
    mean, _ = stage.encode(images)
    np.testing.assert_allclose(latent.mean.numpy(), mean.numpy().mean(axis=0), rtol=1e-4, atol=1e-6)
    decoded = latent.decode(latent.encode(images)).numpy()
    np.testing.assert_allclose(decoded.reshape(200, 36), stage.expected(mean).numpy(), atol=1e-5)
    assert decoded.shape == images.shape and 0 < decoded.min() and decoded.max() < 1


def test_the_loss_is_that_of_the_codes(images):
    latent = made(classes=4).fit(images)
    label = np.arange(200) % 4
    loss = latent.loss(images, label, generator=mt.Generator(3))
    again = latent.diffusion.loss(latent.encode(images), label, generator=mt.Generator(3))
    assert loss.item() == again.item()
    loss.backward()
    assert all(p.grad is None for p in latent.first_stage.parameters())
    assert all(p.grad is not None for p in latent.diffusion.parameters())


def test_samples_have_the_form_of_images(images):
    latent = made(classes=4).fit(images)
    first, again, all_steps = (
        latent.sample(3, [0, 1, 3], 2.0, steps, generator=mt.Generator(0)) for steps in (5, 5, None)
    )
    assert first.shape == all_steps.shape == (3, 1, 6, 6)
    np.testing.assert_array_equal(first.numpy(), again.numpy())


def test_the_scale_belongs_to_the_state(images):
    latent, other = made().fit(images), made()
    other.load_state_dict(latent.state_dict())
    np.testing.assert_array_equal(other.encode(images).numpy(), latent.encode(images).numpy())


def test_it_learns_how_codes_lie():
    """Images of three kinds, far apart in a code that is the image itself: samples are of the three, by their label."""
    kinds = np.array([[3.0, 0.0, 7.0], [-2.0, 1.0, 7.0], [0.0, -3.0, 5.0]], np.float32)

    class Same(mt.nn.Module):
        input_shape = (1, 3)

        def encode(self, x):
            return x

        def decode(self, z):
            return z

    generator = mt.Generator(5)
    label = np.arange(300) % 3
    x = mt.Tensor(kinds[label] + generator.normal((300, 3), std=0.1))
    latent = made(Same(), classes=3).fit(x)
    optimizer = optim.Adam(latent.diffusion.parameters(), lr=5e-3)
    for _ in range(300):
        optimizer.zero_grad()
        latent.loss(x, label, generator=generator).backward()
        optimizer.step()
    asked = np.arange(60) % 3
    samples = latent.sample(60, asked, steps=25, generator=generator).numpy()
    nearest = ((samples[:, None] - kinds) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == asked).all()
    assert abs(samples - kinds[asked]).mean() < 0.3


def test_what_it_cannot_take_is_refused(images):
    with pytest.raises(
        ValueError, match=r"LatentDiffusion: diffusion expects clip=False: codes are not within -1 .. 1"
    ):
        made(clip=True)
    for use in (lambda: made().loss(images), lambda: made().sample(1), lambda: made().decode(images)):
        with pytest.raises(ValueError, match=r"expects the codes to have been measured: call fit\(x\) first"):
            use()
