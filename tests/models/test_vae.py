"""The autoencoders of linear layers: counts and names; the reparameterisation; against torch; that they learn."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.optim import Adam


@pytest.mark.parametrize(("name", "parameters"), [("vae", 652_824), ("autoencoder", 435_536)])
def test_the_parameters_are_the_published_ones(name, parameters):
    with nn.init.skipped():
        model = models.NAMES[name]()
    assert models.ledger(model, model.input_shape).parameters == parameters


def test_the_state_has_the_published_names():
    layers = ["fc1", "fc21", "fc22", "fc3", "fc4"]
    state = models.vae().state_dict()
    assert list(state) == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    weights = [state[f"{layer}.weight"].shape for layer in layers]
    assert weights == [(400, 784), (20, 400), (20, 400), (400, 20), (784, 400)]
    layers = ["encoder.0", "encoder.2", "decoder.0", "decoder.2"]
    assert list(models.autoencoder().state_dict()) == [
        f"{layer}.{part}" for layer in layers for part in ("weight", "bias")
    ]


def test_codes_are_drawn_from_the_generator_that_is_named():
    model = models.vae(generator=mt.Generator(3))
    mean, log_variance = mt.Tensor(np.full((200, 20), 2.0)), mt.Tensor(np.full((200, 20), np.log(0.25)))
    z = model.reparameterize(mean, log_variance, generator=mt.Generator(5)).numpy()
    np.testing.assert_allclose(z, 2 + 0.5 * mt.Generator(5).normal((200, 20), dtype=np.float64))
    before = model.generator.state
    model.reparameterize(mean, log_variance, generator=mt.Generator(5))
    assert model.generator.state == before, "its own was not asked"
    model.reparameterize(mean, log_variance)
    assert model.generator.state != before
    assert abs(z.mean() - 2) < 5 * 0.5 / np.sqrt(z.size) and abs(z.std() / 0.5 - 1) < 5 / np.sqrt(2 * z.size)


def test_the_gradient_reaches_mean_and_variance():
    """dz/dmean = 1, dz/dlog_variance = sigma eps / 2."""
    mean, log_variance = (mt.Tensor(np.full((3, 20), v), requires_grad=True) for v in (0.3, -1.0))
    models.vae().reparameterize(mean, log_variance, generator=mt.Generator(5)).sum().backward()
    eps = mt.Generator(5).normal((3, 20), dtype=np.float64)
    np.testing.assert_array_equal(mean.grad.numpy(), 1)
    np.testing.assert_allclose(log_variance.grad.numpy(), 0.5 * np.exp(-0.5) * eps)


def test_images_of_any_form(rng):
    model = models.vae(pixels=24, hidden=7, latent=2, generator=mt.Generator(0))
    for shape in [(3, 24), (3, 1, 4, 6)]:
        logits, mean, log_variance = model(mt.Tensor(rng.random(shape, dtype=np.float32)))
        assert logits.shape == shape and mean.shape == log_variance.shape == (3, 2)
    assert model.decode(mt.Tensor(np.zeros((5, 2), np.float32))).shape == (5, 24)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_they_equal_torchs(dtype, tolerance, assert_equals_twin, rng):
    x, precision = rng.random((4, 1, 5, 5)), {"dtype": dtype, "tolerance": tolerance}
    assert_equals_twin("autoencoder", x, pixels=25, hidden=11, latent=3, **precision)
    source = mt.Generator(3)  # the comparison's: it draws the weights first, then eps, in training and in evaluation
    models.vae(pixels=25, hidden=11, latent=3, generator=source)
    eps = [source.normal((4, 3), dtype=dtype) for _ in range(2)]
    drawn = iter(eps)
    assert_equals_twin("vae", x, pixels=25, hidden=11, latent=3, random=lambda: {"eps": next(drawn)}, **precision)


def test_a_few_images_can_be_learned(rng):
    x = mt.Tensor((rng.random((8, 1, 6, 6)) < 0.5).astype(np.float32))
    model = models.vae(pixels=36, hidden=32, latent=4, generator=mt.Generator(0))
    optimizer, losses = Adam(model.parameters(), lr=1e-2), []
    for _ in range(300):
        optimizer.zero_grad()
        logits, mean, log_variance = model(x)
        reconstruction = ops.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        loss = reconstruction + ops.gaussian_kl(mean, log_variance)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] / (36 * np.log(2)) - 1) < 0.1, "nothing known: ln 2 for each pixel"
    assert np.mean(losses[-10:]) < 12
