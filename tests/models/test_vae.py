"""The autoencoders: counts and names; the reparameterisation; errors; against torch, step by step; that they learn."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import data, models, nn, ops
from minitorch_cv.optim import Adam

COUNTS = [("vae", 652_824), ("autoencoder", 435_536), ("conv_vae", 258_025), ("conv_autoencoder", 471_297)]


@pytest.mark.parametrize(("name", "parameters"), COUNTS)
def test_the_parameters_are_the_published_ones(name, parameters):
    with nn.init.skipped():
        model = models.NAMES[name]()
    assert models.ledger(model, model.input_shape).parameters == parameters


@pytest.mark.parametrize(("name", "size"), [("conv_vae", 26), ("conv_autoencoder", 2), ("conv_vae", 0)])
def test_image_sizes_that_cannot_be_halved_twice(name, size):
    with pytest.raises(ValueError, match=f"image_size expects a multiple of 4; it is {size}$"):
        models.NAMES[name](image_size=size)


def test_likelihoods_are_named():
    with pytest.raises(ValueError, match=r"^VAE: likelihood expects one of bernoulli, gaussian; it is 'normal'$"):
        models.vae(likelihood="normal")


def test_images_of_the_convolutional_ones(rng):
    x = mt.Tensor(rng.random((3, 2, 8, 8), dtype=np.float32))
    for likelihood in models._vae.LIKELIHOODS:
        small = {"latent": 5, "width": 4, "channels": 2, "image_size": 8}
        model = models.conv_vae(likelihood=likelihood, **small, generator=mt.Generator(0))
        decoded, mean, log_variance = model(x)
        assert decoded.shape == x.shape and mean.shape == log_variance.shape == (3, 5)
        found = model.evidence_lower_bound(x)
        assert found.bound.shape == found.log_likelihood.shape == (3,) and (found.divergence.numpy() > 0).all()
        assert model.importance_weighted_bound(x, 2).shape == (3,)
        samples = model.sample(6, generator=mt.Generator(1))
        assert samples.shape == (6, 2, 8, 8) and not samples.requires_grad
        np.testing.assert_array_equal(samples.numpy(), model.sample(6, generator=mt.Generator(1)).numpy())
        inside = ((samples.numpy() > 0) & (samples.numpy() < 1)).all()
        assert inside if likelihood == "bernoulli" else samples.numpy().min() < 0
    code = models.conv_autoencoder(**small).encode(x)
    assert code.shape == (3, 5)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_loss_is_beta_kl_less_log_likelihood(likelihood, rng):
    model = models.vae(pixels=12, hidden=5, latent=3, likelihood=likelihood, generator=mt.Generator(0))
    x = mt.Tensor(rng.random((4, 12), dtype=np.float32))
    found = model.evidence_lower_bound(x, generator=mt.Generator(1))
    for beta in (0.0, 1.0, 4.0):
        expected = (beta * found.divergence.numpy() - found.log_likelihood.numpy()).mean()
        np.testing.assert_allclose(model.loss(x, beta, generator=mt.Generator(1)).item(), expected, rtol=1e-5)


def test_likelihoods_by_their_densities(rng):
    x, decoded = (rng.random((4, 1, 3, 4)) < 0.5) * 1.0, rng.standard_normal((4, 1, 3, 4))
    p = 1 / (1 + np.exp(-decoded))
    expected = np.log(np.where(x == 1, p, 1 - p)).sum(axis=(1, 2, 3))
    found = models.vae(pixels=12).log_likelihood(mt.Tensor(x), mt.Tensor(decoded)).numpy()
    np.testing.assert_allclose(found, expected)
    model = models.vae(pixels=12, likelihood="gaussian").to(dtype=np.float64)
    nn.init.constant_(model.data_log_variance, np.log(0.3))
    density = np.exp(-((x - decoded) ** 2) / 0.6) / np.sqrt(2 * np.pi * 0.3)
    found = model.log_likelihood(mt.Tensor(x), mt.Tensor(decoded)).numpy()
    np.testing.assert_allclose(found, np.log(density).sum(axis=(1, 2, 3)))


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


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_the_convolutional_ones_equal_torchs(dtype, tolerance, assert_equals_twin, rng):
    x, precision = rng.random((4, 2, 12, 12)), {"dtype": dtype, "tolerance": tolerance}
    small = {"latent": 5, "width": 3, "channels": 2, "image_size": 12}
    assert_equals_twin("conv_autoencoder", x, **small, **precision)
    source = mt.Generator(3)
    models.conv_vae(**small, generator=source)
    drawn = iter([source.normal((4, 5), dtype=dtype) for _ in range(2)])
    assert_equals_twin("conv_vae", x, **small, random=lambda: {"eps": next(drawn)}, **precision)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-4)])
@pytest.mark.parametrize("name", ["vae", "conv_vae"])
def test_training_steps_equal_torchs(name, dtype, tolerance, torch, torch_twins, one_thread_for_torch):
    """Three steps of Adam on digits with the same weights and noise: losses; the first step's gradients; weights.

    Adam divides by the root of the gradient's square, so that an entry near zero moves by chance in float32; the
    weights are compared as a whole, relative to how far they moved.
    """
    ours = models.NAMES[name](generator=mt.Generator(0)).to(dtype=dtype)
    theirs = torch_twins.torch_twin(name).to(getattr(torch, np.dtype(dtype).name))
    theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()})
    before = {key: value.numpy().copy() for key, value in ours.state_dict().items()}
    images = data.binarize(data.mnist5k("train").images[:96], mt.Generator(1)).astype(dtype)
    mine, other = Adam(ours.parameters(), lr=1e-3), torch.optim.Adam(theirs.parameters(), lr=1e-3)
    errors = {"loss": 0.0, "gradient": 0.0}
    for step in range(3):
        batch, noise = images[32 * step : 32 * (step + 1)], mt.Generator(step)
        eps = torch.tensor(mt.Generator(step).normal((32, 20), dtype=dtype))
        mine.zero_grad(), other.zero_grad()
        loss = ours.loss(mt.Tensor(batch), generator=noise)
        x = torch.tensor(batch)
        expected = torch_twins.negative_bound(x, *theirs(x, eps=eps)).mean()
        loss.backward(), expected.backward()
        errors["loss"] = max(errors["loss"], abs(loss.item() / expected.item() - 1))
        if step == 0:
            for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
                error = np.linalg.norm(p.grad.numpy() - q.grad.numpy()) / np.linalg.norm(q.grad.numpy())
                errors["gradient"] = max(errors["gradient"], error)
        mine.step(), other.step()
    expected = {key: value.numpy() for key, value in theirs.state_dict().items()}
    moved = sum(np.sum((expected[key] - before[key]) ** 2) for key in before)
    apart = sum(np.sum((expected[key] - value.numpy()) ** 2) for key, value in ours.state_dict().items())
    errors["weights, of how far they moved"] = np.sqrt(apart / moved)
    print(f"\n{name}, {np.dtype(dtype)}:", ", ".join(f"{what} {error:.1e}" for what, error in errors.items()))
    assert errors["loss"] <= tolerance and errors["gradient"] <= tolerance
    assert errors["weights, of how far they moved"] <= 10 * tolerance


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


@pytest.mark.parametrize("bound", ["loss", "evidence_lower_bound", "importance_weighted_bound"])
def test_pixels_up_to_255_are_refused(bound):
    x = mt.Tensor(np.array([[0.0, 255.0, 1.0]], np.float32))
    message = r"^VAE: x expects values in 0 .. 1, as the likelihood is bernoulli; they are 0 to 255$"
    with pytest.raises(ValueError, match=message):
        getattr(models.VAE(3, 4, 2), bound)(x)


def test_an_importance_weighted_bound_needs_a_sample():
    with pytest.raises(ValueError, match=r"^VAE: samples expects 1 or more; it is 0$"):
        models.VAE(3, 4, 2).importance_weighted_bound(mt.Tensor(np.zeros((1, 3), np.float32)), 0)
