"""SpectralNorm: the largest singular value and its gradient, against numpy's decomposition, by hand, and torch."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn, ops
from minitorch_cv.models import GAN, MLPGenerator
from minitorch_cv.optim import SGD
from minitorch_cv.training import AdversarialTrainer

LAYERS = {
    "linear": (lambda g: nn.Linear(5, 4, generator=g), (3, 5), 0),
    "convolution": (lambda g: nn.Conv2d(3, 6, 3, 2, 1, generator=g), (2, 3, 7, 6), 0),
    "transposed": (lambda g: nn.ConvTranspose2d(3, 2, 4, 2, 1, generator=g), (2, 3, 5, 4), 1),
}


def normed(kind):
    make, shape, axis = LAYERS[kind]
    layer = nn.SpectralNorm(make(mt.Generator(1)).to(dtype=np.float64), generator=mt.Generator(2))
    return layer.to(dtype=np.float64), np.random.default_rng(0).standard_normal(shape), axis


def settle(layer, x, steps=300):
    with mt.no_grad():
        for _ in range(steps):
            layer(mt.Tensor(x))


def largest(layer, axis):
    weight = np.moveaxis(layer.layer.weight.numpy(), axis, 0)
    return np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)[0]


@pytest.mark.parametrize("kind", LAYERS)
def test_the_layer_is_divided_by_its_largest_singular_value(kind):
    layer, x, axis = normed(kind)
    settle(layer, x)
    sigma = largest(layer, axis)
    y = layer(mt.Tensor(x)).numpy()
    np.testing.assert_allclose(y, layer.layer(mt.Tensor(x / sigma)).numpy(), atol=1e-10)
    u, v = layer.u.numpy(), layer.v.numpy()
    weight = np.moveaxis(layer.layer.weight.numpy(), axis, 0).reshape(len(u), -1)
    np.testing.assert_allclose([np.linalg.norm(u), np.linalg.norm(v), u @ weight @ v], [1, 1, sigma], rtol=1e-10)


def test_it_starts_near_the_largest_singular_value_and_follows():
    for kind in LAYERS:
        layer, x, axis = normed(kind)
        u, v = layer.u.numpy(), layer.v.numpy()
        weight = np.moveaxis(layer.layer.weight.numpy(), axis, 0).reshape(len(u), -1)
        assert 0.9 * largest(layer, axis) < u @ weight @ v <= largest(layer, axis) + 1e-12
        layer.eval()
        before = layer.u.data
        layer(mt.Tensor(x))
        assert layer.u.data is before, "in evaluation it stays"
        layer.train()
        layer(mt.Tensor(x))
        assert layer.u.data is not before and np.array_equal(before, u), "the old array is left as it was"


def check_gradient(layer, x):
    r"""y = W x / sigma + b:  dW = dy x^T / sigma - <dy, W x> / sigma^2 u v^T."""
    rng = np.random.default_rng(5)
    dy, W = rng.standard_normal((len(x), 4)), layer.layer.weight.numpy()
    u, _, v = np.linalg.svd(W)
    sigma = largest(layer, 0)
    expected = dy.T @ x / sigma - (dy * (x @ W.T)).sum() / sigma**2 * np.outer(u[:, 0], v[0])
    input_ = mt.Tensor(x, requires_grad=True)
    dW, db, dx = mt.grad(layer(input_), [layer.layer.weight, layer.layer.bias, input_], dy)
    np.testing.assert_allclose(dW.numpy(), expected, atol=1e-9)
    np.testing.assert_allclose(db.numpy(), dy.sum(axis=0), atol=1e-12)
    np.testing.assert_allclose(dx.numpy(), dy @ W / sigma, atol=1e-9)


class SigmaHeld(nn.SpectralNorm):
    """The fault: sigma taken for a constant."""

    def forward(self, x):
        return self.layer(x * (1.0 / largest(self, 0)))


class BiasDivided(nn.SpectralNorm):
    def forward(self, x):
        y = super().forward(x)
        return y - self.layer.bias + self.layer.bias / largest(self, 0)


class Frobenius(nn.SpectralNorm):
    def forward(self, x):
        return self.layer(x / ops.sqrt((self.layer.weight * self.layer.weight).sum()))


@pytest.mark.parametrize("kind", [nn.SpectralNorm, SigmaHeld, BiasDivided, Frobenius])
def test_the_gradient_and_faults_in_it(kind):
    layer, x, _ = normed("linear")
    settle(layer, x)
    layer.eval()
    other = kind(layer.layer).to(dtype=np.float64)
    other.load_state_dict(layer.state_dict())
    other.eval()
    if kind is nn.SpectralNorm:
        check_gradient(other, x)
    else:
        with pytest.raises(AssertionError):
            check_gradient(other, x)


@pytest.mark.parametrize("kind", LAYERS)
def test_it_equals_torchs(kind, torch):
    layer, x, axis = normed(kind)
    weight, bias = (torch.tensor(p.numpy()) for p in (layer.layer.weight, layer.layer.bias))
    twin = {
        "linear": lambda: torch.nn.Linear(5, 4),
        "convolution": lambda: torch.nn.Conv2d(3, 6, 3, 2, 1),
        "transposed": lambda: torch.nn.ConvTranspose2d(3, 2, 4, 2, 1),
    }[kind]().double()
    with torch.no_grad():
        twin.weight.copy_(weight)
        twin.bias.copy_(bias)
    torch.nn.utils.parametrizations.spectral_norm(twin, dim=axis)
    layer.eval(), twin.eval()
    norm = twin.parametrizations.weight[0]
    with torch.no_grad():  # the same directions, wherever the iterations stand
        norm._u.copy_(torch.tensor(layer.u.numpy()))
        norm._v.copy_(torch.tensor(layer.v.numpy()))
    mine, other = mt.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = layer(mine), twin(other)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), atol=1e-12)
    gradient = twin.parametrizations.weight.original.grad.numpy()
    np.testing.assert_allclose(layer.layer.weight.grad.numpy(), gradient, atol=1e-12)
    np.testing.assert_allclose(layer.layer.bias.grad.numpy(), twin.bias.grad.numpy(), atol=1e-12)


def test_other_layers_are_refused():
    with pytest.raises(TypeError, match=r"^SpectralNorm: layer expects a Linear or a convolution; it is ReLU"):
        nn.SpectralNorm(nn.ReLU())


def test_an_interrupted_step_leaves_the_directions(rng):
    """The buffers are rebound, so that a trainer can go back to those of the last whole step."""
    critic = nn.Sequential(nn.SpectralNorm(nn.Linear(2, 4, generator=mt.Generator(1))), nn.ReLU(), nn.Linear(4, 1))
    game = GAN(MLPGenerator(2, 2, 4, 1), critic, "hinge", random=mt.Generator(1))
    calls = iter(range(10))
    own = game.discriminator_loss

    def loss(real):
        value = own(real)
        if next(calls) == 1:
            raise OSError("the disk is gone")
        return value

    game.discriminator_loss = loss
    optimizers = [SGD(net.parameters(), lr=0.1) for net in (game.generator, critic)]
    batches = [(rng.standard_normal((4, 2)).astype(np.float32), np.zeros(4, int)) for _ in range(2)]
    trainer = AdversarialTrainer(game, *optimizers, train_loader=batches, progress=False)
    u = critic.get_submodule("0")
    with pytest.raises(OSError, match=r"the disk is gone"):
        trainer.fit(1)
    stopped = u.u.numpy().copy()
    after_first_step = trainer._boundary.buffers[0]
    assert np.array_equal(stopped, after_first_step)
    u(mt.Tensor(batches[0][0]))
    assert not np.array_equal(u.u.numpy(), stopped)
