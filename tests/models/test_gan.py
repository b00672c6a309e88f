"""The game of generator and discriminator: losses, penalty and optimum against what is derived by hand, and torch.

Each check is also run on implementations with a fault planted, all of which must fail it.
"""

import math
from statistics import NormalDist

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn, ops
from minitorch_cv.models import _gan
from minitorch_cv.optim import Adam, LambdaLR
from minitorch_cv.training import AdversarialTrainer

GAN = models.GAN
REAL, FALSE = np.array([-1.5, 0.3, 2.0, 0.9]), np.array([0.4, -2.2, 1.1])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def tensor(values, requires_grad=True):
    return mt.Tensor(np.asarray(values, np.float64), requires_grad=requires_grad)


# ---- losses

BY_HAND = {  # D's loss and G's, written as in the papers
    "minimax": (
        lambda real, false: -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(false)).mean(),
        lambda false: np.log(1 - sigmoid(false)).mean(),
    ),
    "non_saturating": (
        lambda real, false: -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(false)).mean(),
        lambda false: -np.log(sigmoid(false)).mean(),
    ),
    "hinge": (
        lambda real, false: np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + false).mean(),
        lambda false: -false.mean(),
    ),
    "wasserstein": (lambda real, false: false.mean() - real.mean(), lambda false: -false.mean()),
}


def check_losses(kind):
    for loss, (judged, fooled) in BY_HAND.items():
        game = kind(None, None, loss)
        assert abs(game.judged(tensor(REAL), tensor(FALSE)).item() - judged(REAL, FALSE)) < 1e-12, loss
        assert abs(game.fooled(tensor(FALSE)).item() - fooled(FALSE)) < 1e-12, loss


class LogMissing(GAN):
    def judged(self, real, false):
        return -ops.sigmoid(real).mean() + ops.sigmoid(false).mean()


class LabelsSwapped(GAN):
    def judged(self, real, false):
        return super().judged(-real, -false)


class FalseCalledReal(GAN):
    def judged(self, real, false):
        return super().judged(real, -false)


class SumForMean(GAN):
    def judged(self, real, false):
        return super().judged(real, false) * len(real)


class GeneratorAlwaysMinimax(GAN):
    def fooled(self, false):
        return -ops.softplus(false).mean()


class GeneratorWithoutSign(GAN):
    def fooled(self, false):
        return -super().fooled(false)


class ByLogOfSigmoid(GAN):
    def judged(self, real, false):
        return -ops.sigmoid(real).log().mean() - (1.0 - ops.sigmoid(false)).log().mean()


LOSS_FAULTS = (LogMissing, LabelsSwapped, FalseCalledReal, SumForMean, GeneratorAlwaysMinimax, GeneratorWithoutSign)


def test_losses_are_those_of_the_papers():
    check_losses(GAN)


@pytest.mark.parametrize("fault", LOSS_FAULTS)
def test_a_fault_in_the_losses_is_caught(fault):
    with pytest.raises(AssertionError):
        check_losses(fault)


def check_large_logits(kind):
    """At +-1000, where exp overflows: values and gradients are still exact."""
    for loss in ("minimax", "non_saturating"):
        game = kind(None, None, loss)
        real, false = tensor([-1000.0, 1000.0]), tensor([-1000.0, 1000.0])
        value = game.judged(real, false)
        value.backward()
        assert value.item() == 1000.0
        np.testing.assert_array_equal(real.grad.numpy(), [-0.5, 0.0])
        np.testing.assert_array_equal(false.grad.numpy(), [0.0, 0.5])
        false = tensor([-1000.0, 1000.0])
        value = game.fooled(false)
        value.backward()
        assert value.item() == (-500.0 if loss == "minimax" else 500.0)
        np.testing.assert_array_equal(false.grad.numpy(), [0.0, -0.5] if loss == "minimax" else [-0.5, 0.0])


def test_losses_of_large_logits_are_finite():
    check_large_logits(GAN)


@pytest.mark.filterwarnings("ignore")
def test_the_logarithm_of_a_sigmoid_would_be_caught():
    with pytest.raises(AssertionError):
        check_large_logits(ByLogOfSigmoid)


def check_slopes(kind):
    """G's two losses have the slopes -s and -(1 - s) in the logit: their ratio is e^l, tiny where D is confident."""
    logits = np.linspace(-20, 20, 9)
    for loss, slope in (("minimax", -sigmoid(logits)), ("non_saturating", -sigmoid(-logits))):
        false = tensor(logits)
        kind(None, None, loss).fooled(false).backward()
        np.testing.assert_allclose(false.grad.numpy() * len(logits), slope, rtol=1e-12, atol=0)


def test_the_generators_two_losses_where_the_discriminator_is_confident():
    check_slopes(GAN)
    for fault in (GeneratorAlwaysMinimax, GeneratorWithoutSign):
        with pytest.raises(AssertionError):
            check_slopes(fault)


def test_the_ratio_of_the_generators_gradients():
    """One z: the gradients of all of G's parameters are those of the logit, times -s or -(1 - s)."""
    found = {}
    for loss in ("minimax", "non_saturating"):
        game = small_game(loss)
        last = game.discriminator.main.get_submodule("4")
        last.bias.data[...] = -12.0
        game.generator_loss(1, random=mt.Generator(3)).backward()
        found[loss] = [p.grad.numpy() for p in game.generator.parameters()]
    with mt.no_grad():
        logit = game.discriminator(game.generator(game.noise(1, random=mt.Generator(3)))).item()
    assert -13 < logit < -11
    for small, large in zip(*found.values(), strict=True):
        np.testing.assert_allclose(small, math.exp(logit) * large, rtol=1e-9, atol=1e-18)


# ---- who gets a gradient


def small_game(loss="non_saturating", penalty=0.0, features=2):
    source = mt.Generator(1)
    nets = models.MLPGenerator(3, features, 8, 2, generator=source), models.MLPDiscriminator(2, 8, 2, generator=source)
    return GAN(*(net.to(dtype=np.float64) for net in nets), loss, penalty, random=mt.Generator(2))


@pytest.mark.parametrize("loss", _gan.GAMES)
def test_the_discriminators_loss_gives_the_generator_no_gradient(loss, rng):
    game = small_game(loss, 0.5)
    game.discriminator_loss(tensor(rng.standard_normal((5, 2)), False)).backward()
    assert all(p.grad is None for p in game.generator.parameters())
    last = [name for name, p in game.discriminator.named_parameters()][-1]
    for name, p in game.discriminator.named_parameters():
        # A constant that is added to D changes no penalty, no Wasserstein loss, and no hinge where none is passed.
        assert p.grad.numpy().any() or (name == last and loss in ("wasserstein", "hinge")), name
    game.zero_grad()
    game.generator_loss(5).backward()
    assert all(p.grad.numpy().any() for p in game.generator.parameters())


def test_the_random_numbers_are_those_of_the_generator_that_is_named(rng):
    game, real = small_game("wasserstein", 0.5), tensor(rng.standard_normal((5, 2)), False)
    source = mt.Generator(9)
    z = source.normal((5, 3), dtype=np.float64)
    share = source.random((5, 1), dtype=np.float64)
    before = game.random.state
    value = game.discriminator_loss(real, random=mt.Generator(9)).item()
    assert game.random.state == before, "its own was not asked"
    with mt.no_grad():
        false = game.generator(mt.Tensor(z))
        expected = (game.discriminator(false).mean() - game.discriminator(real).mean()).item()
    expected += 0.5 * models.gradient_penalty(game.discriminator, real, false, share).item()
    assert value == pytest.approx(expected, rel=1e-12)
    first, again = (game.sample(4, random=mt.Generator(7)).numpy() for _ in range(2))
    assert first.shape == (4, 2) and np.array_equal(first, again)
    assert not np.array_equal(first, game.sample(4).numpy())


def test_each_image_is_mixed_by_one_share(rng, monkeypatch):
    seen = []
    monkeypatch.setattr(_gan, "gradient_penalty", lambda d, real, false, share: seen.append(share) or real.sum() * 0)
    game = GAN(models.dcgan_generator(3, 1, width=2, image_size=8), lambda x: x.sum(axis=(1, 2, 3)), "wasserstein", 1.0)
    game.discriminator_loss(mt.Tensor(rng.random((6, 1, 8, 8), np.float32)))
    assert seen[0].shape == (6, 1, 1, 1) and len(np.unique(seen[0])) == 6 and seen[0].dtype == np.float32
    assert 0 <= seen[0].min() and seen[0].max() < 1


# ---- a discriminator that learns the classes too


def check_labelled(kind):
    """With Z = sum exp f: D = Z / (Z + 1) is real, exp f_y / Z the class (Salimans et al. 2016, section 5)."""
    rng = np.random.default_rng(2)
    scores = {"real": rng.standard_normal((4, 3)), "false": rng.standard_normal((4, 3))}
    labels, tensors = np.array([0, 2, 1, 2]), {name: tensor(value) for name, value in scores.items()}

    class Fixed(nn.Module):
        """As if x were the scores themselves."""

        latent, last = 2, nn.Parameter(np.zeros(1))

        def forward(self, x):
            return x

    game = kind(Fixed(), Fixed(), labelled=True)
    game.noise = lambda count, random=None: tensors["false"]
    loss = game.discriminator_loss(tensors["real"], labels)
    real, false = (np.exp(value).sum(axis=1) for value in scores.values())
    exact = -np.log(real / (real + 1)).mean() - np.log(1 / (false + 1)).mean()
    exact -= np.log(np.exp(scores["real"][np.arange(4), labels]) / real).mean()
    assert abs(loss.item() - exact) < 1e-12
    assert abs(game.generator_loss(4).item() + np.log(false / (false + 1)).mean()) < 1e-12
    loss.backward()
    class_share = np.exp(scores["real"]) / real[:, None]
    expected = class_share * (real / (real + 1))[:, None] - np.eye(3)[labels]
    np.testing.assert_allclose(tensors["real"].grad.numpy(), expected / 4, atol=1e-12)


class ClassesForgotten(GAN):
    def discriminator_loss(self, real, labels=None, **settings):
        false = self.noise(len(real)).detach()
        return self.judged(self.logits(real), self.logits(false))


class LargestForAll(GAN):
    def _logit(self, scores):
        return scores.max(axis=1)


class SumOfScores(GAN):
    def _logit(self, scores):
        return scores.sum(axis=1)


def test_a_discriminator_that_learns_the_classes():
    check_labelled(GAN)
    with pytest.raises(
        ValueError, match=r"^discriminator_loss: labels expects those of the real x, as the game is lab"
    ):
        GAN(None, None, labelled=True).discriminator_loss(tensor(REAL))
    far = tensor([[-900.0, 3.0, -2.0], [800.0, 0.0, 1.0]])
    logits = GAN(None, lambda x: x, labelled=True).logits(far).numpy()
    np.testing.assert_allclose(logits, [np.logaddexp(3, -2), 800], rtol=1e-12)


@pytest.mark.parametrize("fault", [ClassesForgotten, LargestForAll, SumOfScores])
def test_a_fault_in_the_classes_is_caught(fault):
    with pytest.raises(AssertionError):
        check_labelled(fault)


# ---- the penalty of WGAN-GP


class Critic(nn.Module):
    """v tanh(W x + c): one hidden layer."""

    def __init__(self, rng, features=3, hidden=4):
        self.weight = nn.Parameter(rng.standard_normal((hidden, features)))
        self.bias, self.last = nn.Parameter(rng.standard_normal(hidden)), nn.Parameter(rng.standard_normal(hidden))

    def forward(self, x):
        return (ops.tanh(ops.linear(x, self.weight, self.bias)) * self.last).sum(axis=1)


def penalty_by_hand(W, c, v, x):
    r"""The penalty at x and its gradients in W, c, v.

    With t = tanh(W x + c), s = 1 - t^2:  g_i = \sum_j v_j s_j W_ji,  P = mean (|g| - 1)^2,
    u = dP/dg = 2 (|g| - 1) g / (|g| N), q = W u, and
    dg_i = \sum_j v_j (s_j dW_ji - 2 t_j s_j W_ji da_j) + s_j W_ji dv_j
    """
    t = np.tanh(x @ W.T + c)
    s = 1 - t**2
    g = (v * s) @ W
    length = np.sqrt((g**2).sum(axis=1, keepdims=True))
    u = 2 * (length - 1) * g / length / len(x)
    q = u @ W.T
    dv = (q * s).sum(axis=0)
    da = q * v * (-2 * t * s)
    return ((length - 1) ** 2).mean(), (da.T @ x + (v * s).T @ u, da.sum(axis=0), dv)


def check_penalty(penalty):
    rng = np.random.default_rng(3)
    real, false, share = rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), rng.random((5, 1))
    data = tensor(real, False), tensor(false, False), share
    # linear, D = w x: the slope is w everywhere
    w = tensor([0.5, -2.0, 1.0])
    value = penalty(lambda x: (x * w).sum(axis=1), *data)
    length = np.linalg.norm(w.numpy())
    assert abs(value.item() - (length - 1) ** 2) < 1e-12
    (dw,) = mt.grad(value, [w])
    np.testing.assert_allclose(dw.numpy(), 2 * (length - 1) * w.numpy() / length, atol=1e-12)
    # one hidden layer
    critic = Critic(rng)
    parameters = [critic.weight, critic.bias, critic.last]
    value = penalty(critic, *data)
    expected, gradients = penalty_by_hand(*(p.numpy() for p in parameters), share * real + (1 - share) * false)
    assert abs(value.item() - expected) < 1e-12
    for name, found, gradient in zip("Wcv", mt.grad(value, parameters), gradients, strict=True):
        np.testing.assert_allclose(found.numpy(), gradient, atol=1e-12, err_msg=name)


def variant(power=0.5, reduce="mean", at=lambda real, false, share: share * real + (1 - share) * false, **settings):
    """The penalty with a fault."""

    def penalty(discriminator, real, false, share):
        point = mt.Tensor(at(real.numpy(), false.numpy(), share), requires_grad=True)
        (slope,) = mt.grad(discriminator(point).sum(), [point], create_graph=settings.get("second", True))
        squares = (slope * slope).sum(axis=settings.get("axis", 1))
        terms = (squares**power - settings.get("target", 1.0)) ** 2
        if settings.get("one_sided"):
            terms = ops.relu(squares**power - 1.0) ** 2
        result = terms.sum() if reduce == "sum" else terms.mean()
        return result if settings.get("second", True) else result + 0 * discriminator(real).sum()

    return penalty


PENALTY_FAULTS = {
    "without the root": variant(power=1.0),
    "sum for mean": variant(reduce="sum"),
    "at the real points": variant(at=lambda real, false, share: real),
    "at the false points": variant(at=lambda real, false, share: false),
    "half-way": variant(at=lambda real, false, share: (real + false) / 2),
    "length of the whole batch": variant(axis=None),
    "towards zero": variant(target=0.0),
    "one-sided": variant(one_sided=True),
    "slope taken for a constant": variant(second=False),
}


def test_the_penalty_and_its_double_gradient():
    check_penalty(models.gradient_penalty)
    check_penalty(variant())


@pytest.mark.parametrize("fault", PENALTY_FAULTS)
def test_a_fault_in_the_penalty_is_caught(fault):
    with pytest.raises(AssertionError):
        check_penalty(PENALTY_FAULTS[fault])


def test_a_slope_of_zero_is_no_nan():
    w = mt.Tensor(np.zeros(3, np.float32), requires_grad=True)
    x = mt.Tensor(np.ones((4, 3), np.float32))
    value = models.gradient_penalty(lambda x: (x * w).sum(axis=1), x, x, np.full((4, 1), 0.5, np.float32))
    (dw,) = mt.grad(value, [w])
    assert abs(value.item() - 1) < 1e-6 and np.isfinite(dw.numpy()).all()


@pytest.mark.parametrize("kind", ["perceptron", "convolutional"])
def test_a_critics_step_equals_torchs(kind, torch, rng):
    """The loss of WGAN-GP and the gradients of all the critic's parameters, which hold second derivatives."""
    if kind == "perceptron":
        ours = models.MLPDiscriminator(6, 7, 3, generator=mt.Generator(1)).to(dtype=np.float64)
        sizes = [6, 7, 7, 7, 1]
        layers = [m for a, b in zip(sizes, sizes[1:]) for m in (torch.nn.Linear(a, b), torch.nn.ReLU())][:-1]
        theirs, shape = torch.nn.Sequential(*layers), (5, 6)
        names = {f"main.{name}": p for name, p in theirs.named_parameters()}
    else:

        class Conv(nn.Module):
            def __init__(self):
                source = mt.Generator(1)
                self.main = nn.Sequential(
                    *(nn.Conv2d(2, 4, 4, 2, 1, generator=source), nn.LeakyReLU(0.2)),
                    *(nn.Conv2d(4, 6, 4, 2, 1, generator=source), nn.Tanh(), nn.Conv2d(6, 1, 2, generator=source)),
                )

            def forward(self, x):
                return ops.reshape(self.main(x), (-1,))

        ours, shape = Conv().to(dtype=np.float64), (5, 2, 8, 8)
        theirs = torch.nn.Sequential(
            *(torch.nn.Conv2d(2, 4, 4, 2, 1), torch.nn.LeakyReLU(0.2)),
            *(torch.nn.Conv2d(4, 6, 4, 2, 1), torch.nn.Tanh(), torch.nn.Conv2d(6, 1, 2)),
        )
        names = {f"main.{name}": p for name, p in theirs.named_parameters()}
    theirs.double()
    with torch.no_grad():
        for name, p in names.items():
            p.copy_(torch.tensor(ours.state_dict()[name].numpy()))
    real, false = rng.standard_normal(shape), rng.standard_normal(shape)
    share = rng.random((5, *(1,) * (len(shape) - 1)))

    x, y = (torch.tensor(value) for value in (real, false))
    point = (torch.tensor(share) * x + (1 - torch.tensor(share)) * y).requires_grad_()
    (slope,) = torch.autograd.grad(theirs(point).sum(), point, create_graph=True)
    penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    expected = theirs(y).mean() - theirs(x).mean() + 10 * penalty
    expected.backward()

    x, y = tensor(real, False), tensor(false, False)
    loss = GAN(None, ours, "wasserstein").judged(ours(x), ours(y))
    loss = loss + 10 * models.gradient_penalty(ours, x, y, share)
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    for name, p in ours.named_parameters():
        gradient = names[name].grad
        gradient = np.zeros(p.shape) if gradient is None else gradient.numpy()
        np.testing.assert_allclose(p.grad.numpy(), gradient, atol=1e-10, err_msg=name)


# ---- the optimum

GRID = np.linspace(-8.0, 8.0, 4001)
P, Q = NormalDist(0.0, 1.0), NormalDist(1.0, 0.7)


def density(law):
    return np.exp(-0.5 * ((GRID - law.mean) / law.stdev) ** 2) / (law.stdev * math.sqrt(2 * math.pi))


def integral(values):
    return float(np.trapezoid(values, GRID))


def value_by_quadrature(discriminator, p, q):
    """V(D) = int p log D + q log(1 - D); where D rounds to 1, q is next to nothing."""
    d = np.clip(discriminator, 1e-300, 1 - 1e-16)
    return integral(p * np.log(d) + q * np.log(1 - d))


def jensen_shannon(p, q):
    m = (p + q) / 2
    return 0.5 * integral(p * np.log(p / m)) + 0.5 * integral(q * np.log(q / m))


def check_optimal(optimal):
    p, q = density(P), density(Q)
    best = value_by_quadrature(optimal(p, q), p, q)
    assert abs(best - (2 * jensen_shannon(p, q) - math.log(4))) < 1e-9
    for shift in (-0.5, 0.5):  # in the logit
        other = np.clip(optimal(p, q), 1e-300, 1 - 1e-16)
        other = sigmoid(np.log(other / (1 - other)) + shift * np.sin(GRID))
        assert value_by_quadrature(other, p, q) < best - 1e-3
    np.testing.assert_allclose(optimal(p, p), 0.5)
    assert abs(value_by_quadrature(optimal(p, p), p, p) + math.log(4)) < 1e-9


def test_the_optimal_discriminator():
    check_optimal(models.optimal_discriminator)
    near, far = density(NormalDist(-4, 0.3)), density(NormalDist(4, 0.3))
    apart = value_by_quadrature(models.optimal_discriminator(near + 1e-300, far + 1e-300), near, far)
    assert abs(apart) < 1e-6, "JS is at most ln 2"


@pytest.mark.parametrize(
    "fault",
    [
        lambda p, q: q / (p + q),
        lambda p, q: 0.999 * p / (p + 0.5 * q),
        lambda p, q: p**2 / (p**2 + q**2),
        lambda p, q: 0.5 + 0 * p,
    ],
    ids=["swapped", "half of q", "squared", "always 1/2"],
)
def test_a_fault_in_the_optimum_is_caught(fault):
    with pytest.raises(AssertionError):
        check_optimal(fault)


def check_trained(kind, real, false):
    """D, trained on points that stand for equal parts of the probability, approaches D*, and its value 2 JS - log 4."""
    parts = (np.arange(256) + 0.5) / 256
    points = [mt.Tensor(np.array([[law.inv_cdf(part)] for part in parts], dtype=np.float32)) for law in (real, false)]
    discriminator = models.MLPDiscriminator(1, 24, 2, generator=mt.Generator(0))
    game, optimizer = kind(None, discriminator), Adam(discriminator.parameters(), lr=1e-2)
    steps = 300
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        optimizer.zero_grad()
        loss = game.judged(discriminator(points[0]), discriminator(points[1]))
        loss.backward()
        optimizer.step()
    p, q = density(real), density(false)
    with mt.no_grad():
        found = sigmoid(discriminator(mt.Tensor(GRID[:, None].astype(np.float32))).numpy().astype(np.float64))
    bound = 2 * jensen_shannon(p, q) - math.log(4)
    assert abs(-loss.item() - bound) < 0.01
    value = value_by_quadrature(found, p, q)
    assert bound - 0.01 < value <= bound + 1e-9
    error = integral(abs(found - models.optimal_discriminator(p, q)) * (p + q) / 2)
    assert error < 0.02
    return -loss.item(), error


def test_a_trained_discriminator_approaches_the_optimum():
    check_trained(GAN, P, Q)


def test_where_the_densities_are_equal_it_says_one_half():
    value, error = check_trained(GAN, P, P)
    assert abs(value + math.log(4)) < 1e-3 and error < 1e-2


@pytest.mark.parametrize("fault", [LogMissing, LabelsSwapped, FalseCalledReal, SumForMean])
def test_a_fault_in_what_the_discriminator_is_trained_on_is_caught(fault):
    with pytest.raises(AssertionError):
        check_trained(fault, P, Q)


# ---- eight Gaussians


@pytest.mark.slow  # 30 s of computing each
@pytest.mark.parametrize("seed", range(5))
def test_wgan_gp_covers_all_of_eight_gaussians(seed):
    """The setting of the lesson: at least 5 % of the points are good ones of each mode, and 80 % are good at all."""
    modes = 2 / 1.414 * np.array([[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(8)])
    sigma, source, steps, per_epoch = 0.02 / 1.414, mt.Generator(seed), 3000, 75
    nets = models.MLPGenerator(2, 2, 128, generator=source), models.MLPDiscriminator(2, 128, generator=source)
    game = GAN(*nets, "wasserstein", 0.1, random=source)
    optimizers = [Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.9)) for net in nets]
    real = modes[source.integers(0, 8, per_epoch * 256)] + sigma * source.normal((per_epoch * 256, 2))
    batches = [(part, np.zeros(256, int)) for part in np.split(real.astype(np.float32), per_epoch)]
    schedules = [LambdaLR(each, lambda step: min(1.0, 2 * (1 - step / steps))) for each in optimizers]
    AdversarialTrainer(game, *optimizers, train_loader=batches, schedules=schedules, progress=False).fit(40)
    distances = np.linalg.norm(game.sample(10_000, random=mt.Generator(98)).numpy()[:, None] - modes, axis=2)
    good = distances.min(axis=1) < 3 * sigma
    shares = np.bincount(distances.argmin(axis=1)[good], minlength=8) / len(good)
    assert shares.min() >= 0.05 and good.mean() >= 0.8, (shares, good.mean())


# ---- arguments


def test_arguments_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"^GAN: loss expects one of minimax, non_saturating, hinge, wasserstein"):
        GAN(None, None, "wgan")
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=rf"^GAN: gradient_penalty expects a number >= 0; it is {wrong}"):
            GAN(None, None, gradient_penalty=wrong)
    with pytest.raises(ValueError, match=r"^layers expects at least 1; it is 0"):
        models.MLPGenerator(layers=0)


# ---- a step of DCGAN


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_a_step_of_dcgan_equals_torchs(dtype, tolerance, torch, torch_twin, one_thread_for_torch, rng):
    """D's update, then G's, with the same weights, images and noise: losses, gradients, weights, statistics."""
    source, precision = mt.Generator(4), getattr(torch, np.dtype(dtype).name)
    ours, theirs, optimizers, torchs = [], [], [], []
    for name in ("dcgan_generator_digits", "dcgan_discriminator_digits"):
        net, twin = (
            models.NAMES[name](width=8, generator=source).to(dtype=dtype),
            torch_twin(name, width=8).to(precision),
        )
        twin.load_state_dict({key: torch.tensor(value.numpy()) for key, value in net.state_dict().items()})
        ours, theirs = [*ours, net], [*theirs, twin]
        optimizers.append(Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)))
        torchs.append(torch.optim.Adam(twin.parameters(), lr=2e-4, betas=(0.5, 0.999)))
    real = rng.uniform(-1, 1, (8, 1, 28, 28)).astype(dtype)
    game = GAN(*ours, random=mt.Generator(6))
    noise = mt.Generator(6)
    z = [torch.tensor(noise.normal((8, 32), dtype=dtype)) for _ in range(2)]
    softplus = torch.nn.functional.softplus

    def near(what, mine, other):
        error, scale = np.linalg.norm(mine - other), np.linalg.norm(other)
        assert error <= tolerance * scale + 1e-12, f"{what}: error {error} of {scale}"

    for player in (1, 0):
        if player:
            loss = game.discriminator_loss(mt.Tensor(real))
            with torch.no_grad():
                false = theirs[0](z[0])
            expected = softplus(-theirs[1](torch.tensor(real))).mean() + softplus(theirs[1](false)).mean()
        else:
            loss = game.generator_loss(8)
            expected = softplus(-theirs[1](theirs[0](z[1]))).mean()
        for each in (*theirs, game):
            each.zero_grad()
        loss.backward()
        expected.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=tolerance)
        for (name, p), other in zip(ours[player].named_parameters(), theirs[player].parameters(), strict=True):
            near(f"gradient of {name}", p.grad.numpy(), other.grad.numpy())
        optimizers[player].step()
        torchs[player].step()
    for net, twin in zip(ours, theirs, strict=True):
        expected = twin.state_dict()
        for name, value in net.state_dict().items():
            near(name, value.numpy(), expected[name].numpy())
