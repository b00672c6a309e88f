"""What must hold of autoencoders with a distribution: each identity with its error, and the faults that break it.

`pytest tests/models/test_vae_identities.py -s` prints the table. An error is told in units of what is allowed, so that
up to 1 passes; each planted fault must lift it above 1.
"""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops, optim
from minitorch_cv.models import LinearVAE, VariationalAutoencoder

# ---- faults, each put where the package computes the right thing


def wrong_kl(each):
    """`each` of mean and log_variance, summed over the code in place of m^2 / 2 + (e^l - 1 - l) / 2."""

    def gaussian_kl(mean, log_variance, reduction="mean"):
        return each(mean, log_variance).sum(axis=1)

    return lambda patch: patch.setattr(ops, "gaussian_kl", gaussian_kl)


def wrong_code(draw):
    """`draw(mean, log_variance, eps)` in place of mean + e^(l / 2) eps."""

    def reparameterize(self, mean, log_variance, *, generator=None):
        eps = self._source(generator).normal(mean.shape, dtype=mean.dtype)
        return draw(mean, log_variance, mt.Tensor(eps))

    return lambda patch: patch.setattr(VariationalAutoencoder, "reparameterize", reparameterize)


def wrong_likelihood(change):
    """`change(right, self, x, decoded)` of the right log p(x | z)."""
    right = VariationalAutoencoder.log_likelihood

    def log_likelihood(self, x, decoded):
        return change(right, self, x, decoded)

    return lambda patch: patch.setattr(VariationalAutoencoder, "log_likelihood", log_likelihood)


def wrong_weighting(change):
    """`change(right, self, x, samples, generator)` in place of the importance-weighted bound."""
    right = VariationalAutoencoder.importance_weighted_bound

    def importance_weighted_bound(self, x, samples=100, *, generator=None):
        return change(right, self, x, samples, generator)

    return lambda patch: patch.setattr(VariationalAutoencoder, "importance_weighted_bound", importance_weighted_bound)


def variance_of_the_data_for_its_logarithm(right, self, x, decoded):
    squares = ((x - decoded) * (x - decoded)).sum(axis=1)
    log_variance = self.data_log_variance
    return -0.5 * (squares / ops.abs(log_variance) + (ops.log(ops.abs(log_variance)) + math.log(2 * math.pi)) * 8)


FAULTS = {
    "log-variance taken for variance": wrong_kl(lambda m, l: 0.5 * (m * m + ops.abs(l) - 1 - ops.log(ops.abs(l)))),
    "sigma for variance (square missing)": wrong_kl(lambda m, l: 0.5 * (m * m + ops.exp(0.5 * l) - 1 - l)),
    "KL without its 1/2": wrong_kl(lambda m, l: m * m + ops.exp(l) - 1 - l),
    "KL: mean over the code for sum": wrong_kl(lambda m, l: 0.5 * (m * m + ops.exp(l) - 1 - l) * (1 / m.shape[1])),
    "KL: sign of log-variance": wrong_kl(lambda m, l: 0.5 * (m * m + ops.exp(l) - 1 + l)),
    "code: variance for sigma (sqrt missing)": wrong_code(lambda m, l, eps: m + ops.exp(l) * eps),
    "code: log-variance for sigma": wrong_code(lambda m, l, eps: m + l * eps),
    "code: one noise for the whole batch": wrong_code(lambda m, l, eps: m + ops.exp(0.5 * l) * eps[:1]),
    "code: no gradient to log-variance": wrong_code(lambda m, l, eps: m + ops.exp(0.5 * l.detach()) * eps),
    "likelihood: mean over pixels for sum": wrong_likelihood(
        lambda right, self, x, decoded: right(self, x, decoded) * (1 / x[0].size)
    ),
    "likelihood: log-variance for variance": wrong_likelihood(variance_of_the_data_for_its_logarithm),
    "likelihood: without its normalising term": wrong_likelihood(
        lambda right, self, x, decoded: right(self, x, decoded) + 0.5 * self.data_log_variance * x[0].size
    ),
    "weights: mean of logarithms": wrong_weighting(
        lambda right, self, x, samples, generator: np.mean(
            [right(self, x, 1, generator=generator) for _ in range(samples)], axis=0
        )
    ),
    "weights: sum for mean": wrong_weighting(
        lambda right, self, x, samples, generator: right(self, x, samples, generator=generator) + math.log(samples)
    ),
}


# ---- what is held up to them


def codes(rng, count=7, latent=5):
    return rng.normal(0, 1.5, (count, latent)), rng.uniform(-2, 1.5, (count, latent))


def kl_by_quadrature():
    """KL(N(m, e^l) || N(0, 1)) = integral of q (log q - log p), by the trapezoid rule; allowed 1e-9 of it."""
    mean, log_variance = codes(np.random.default_rng(0))
    m, sigma = mean[..., None], np.exp(0.5 * log_variance)[..., None]
    eps = np.linspace(-12, 12, 2001)
    z = m + sigma * eps
    q = np.exp(-0.5 * eps**2) / np.sqrt(2 * np.pi) / sigma
    log_ratio = 0.5 * z**2 - 0.5 * eps**2 - np.log(sigma)
    expected = np.trapezoid(q * log_ratio, z, axis=-1).sum(axis=1)
    found = ops.gaussian_kl(mt.Tensor(mean), mt.Tensor(log_variance), "none").numpy()
    return abs(found / expected - 1).max() / 1e-9


def kl_by_monte_carlo():
    """The same with codes that the model draws, 20,000 for each of 7 distributions; allowed 4.5 standard errors.

    With a = (sigma^2 - 1) / 2 the integrand is its mean + a (eps^2 - 1) + m sigma eps: variance 2 a^2 + m^2 sigma^2.
    Drawn for all at once, so that one noise for the whole batch shows as an error of the mean over the batch.
    """
    model, generator, repeats = LinearVAE(8, 5), mt.Generator(1), 20_000
    mean, log_variance = codes(np.random.default_rng(0))
    many = [mt.Tensor(np.repeat(value, repeats, axis=0)) for value in (mean, log_variance)]
    z = model.reparameterize(*many, generator=generator).numpy().reshape(7, repeats, 5)
    m, variance = mean[:, None], np.exp(log_variance)[:, None]
    log_ratio = (0.5 * z**2 - 0.5 * (z - m) ** 2 / variance - 0.5 * np.log(variance)).sum(axis=2)
    standard_error = np.sqrt((0.5 * (variance - 1) ** 2 + m**2 * variance).sum(axis=(1, 2)) / repeats)
    kl = ops.gaussian_kl(mt.Tensor(mean), mt.Tensor(log_variance), "none").numpy()
    return (abs(log_ratio.mean(axis=1) - kl) / standard_error).max() / 4.5


def random_linear_vae(diagonal_posterior=False, features=8, latent=3):
    """In float64; its q is off, or where its columns are orthogonal the exact posterior. And 40 data points from it."""
    rng = np.random.default_rng(3)
    model = LinearVAE(features, latent).to(dtype=np.float64)
    W = np.linalg.qr(rng.standard_normal((features, latent)))[0] * [2.0, 1.2, 0.7]
    if not diagonal_posterior:
        W = W + 0.3 * rng.standard_normal(W.shape)
    c, variance = rng.standard_normal(features), 0.4
    M = W.T @ W + variance * np.eye(latent)  # the posterior is N(M^-1 W^T (x - c), variance M^-1)
    V, posterior = np.linalg.solve(M, W.T), variance * np.linalg.inv(M)
    log_variance = np.log(np.diag(posterior))
    if not diagonal_posterior:
        V, log_variance = V * 0.8, log_variance + 0.5
    model.load_state_dict(
        {
            "data_log_variance": np.log(variance),
            "encoder.weight": V,
            "decoder.weight": W,
            "decoder.bias": c,
            "log_variance": log_variance,
        }
    )
    x = c + rng.standard_normal((40, latent)) @ W.T + np.sqrt(variance) * rng.standard_normal((40, features))
    return model, x, gaussian_log_density(x - c, W @ W.T + variance * np.eye(features))


def gaussian_log_density(x, covariance):
    _, log_determinant = np.linalg.slogdet(covariance)
    squares = (x * np.linalg.solve(covariance, x.T).T).sum(axis=1)
    return -0.5 * (squares + log_determinant + x.shape[1] * np.log(2 * np.pi))


def bound_at_the_exact_posterior():
    """log p(x | z) + log p(z) - log q(z | x) = log p(x) for *every* z: allowed 1e-9; and E over z of the bound with the
    KL in closed form, 3,000 draws: allowed 4.5 standard errors."""
    model, x, exact = random_linear_vae(diagonal_posterior=True)
    every = abs(model.importance_weighted_bound(mt.Tensor(x), 1, generator=mt.Generator(2)) - exact).max()
    with mt.no_grad():
        many = mt.Tensor(np.tile(x, (3000, 1)))
        bounds = model.evidence_lower_bound(many, generator=mt.Generator(3)).bound.numpy().reshape(3000, -1)
    mean_error = abs(bounds.mean(axis=0) - exact) / (bounds.std(axis=0) / np.sqrt(len(bounds)))
    return max(every / 1e-9, mean_error.max() / 4.5)


def importance_weighted_bound():
    """It rises with K, stays below log p(x), and reaches it: the mean over x to 0.02 nats with K = 1,000, q being off.

    Each rise must be a rise: K = 1 (200 times), 5 (40 times), 25 (8 times), 1000.
    """
    model, x, exact = random_linear_vae()
    generator = mt.Generator(4)
    x = mt.Tensor(x)
    bounds = [
        np.mean([model.importance_weighted_bound(x, K, generator=generator) for _ in range(times)])
        for K, times in ((1, 200), (5, 40), (25, 8), (1000, 1))
    ]
    rises = np.diff(bounds)
    gap = exact.mean() - bounds[-1]
    return np.inf if (rises <= 0).any() or bounds[0] > exact.mean() else abs(gap) / 0.02


def gradient_of_a_linear_model():
    """The mean gradient of the loss over 2,000 draws against that of the loss in closed form: allowed 4 % of its norm.

    With A = V (x - c), r = x - c - W A and v = e^l, loss = mean |r|^2 / 2 s + sum_j |W_j|^2 v_j / 2 s + d/2 log s + KL.
    """
    model, x, _ = random_linear_vae()
    x = 2 * x  # away from where the gradient is small
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    W, V, c, l = (state[name] for name in ("decoder.weight", "encoder.weight", "decoder.bias", "log_variance"))
    s, v, n, d = np.exp(state["data_log_variance"]), np.exp(l), len(x), x.shape[1]
    mean = (x - c) @ V.T
    r = x - c - mean @ W.T
    dmean = (mean - r @ W / s) / n
    exact = {
        "decoder.weight": -r.T @ mean / (n * s) + W * v / s,
        "encoder.weight": dmean.T @ (x - c),
        "decoder.bias": -r.sum(axis=0) / (n * s) - dmean.sum(axis=0) @ V,
        "log_variance": 0.5 * ((W**2).sum(axis=0) * v / s + v - 1),
        "data_log_variance": 0.5 * (d - ((r**2).sum() / n + (W**2 @ v).sum()) / s),
    }
    model.loss(mt.Tensor(np.tile(x, (2000, 1))), generator=mt.Generator(5)).backward()
    errors = [
        np.linalg.norm(parameter.grad.numpy() - exact[name]) / np.linalg.norm(exact[name])
        for name, parameter in model.named_parameters()
    ]
    return max(errors) / 0.04


def gradient_of_an_expectation():
    """d/dm and d/dl of E[z^2] = m^2 + e^l are 2 m and e^l, from 4,000 draws for each of 8 m and l at once.

    Allowed 4.5 standard errors, those of theory: one draw has the variance 4 v, or m^2 v + 2 v^2. All in one batch, so
    that the mean over the batch must have a standard error that is smaller by the root of its size.
    """
    model, repeats = LinearVAE(8, 1), 4000
    m, l = np.linspace(-1.5, 2, 8), np.linspace(-1, 1, 8)
    v = np.exp(l)
    mean, log_variance = (mt.Tensor(np.repeat(a, repeats)[:, None], requires_grad=True) for a in (m, l))
    z = model.reparameterize(mean, log_variance, generator=mt.Generator(6))
    (z * z).sum().backward()
    errors = []
    for leaf, exact, variance in ((mean, 2 * m, 4 * v), (log_variance, v, m**2 * v + 2 * v**2)):
        gradient = 0.0 if leaf.grad is None else leaf.grad.numpy().reshape(8, repeats).mean(axis=1)
        errors.append(abs(gradient - exact) / np.sqrt(variance / repeats))
    return np.max(errors) / 4.5


def probabilistic_pca():
    """A linear VAE, trained by its own bound, is probabilistic PCA (Tipping and Bishop 1999).

    Allowed: the bound short of the closed form by 1 % of what pPCA gains over an isotropic Gaussian; principal
    directions 2 degrees off; the variance of the noise 2 % off the mean of the discarded eigenvalues.
    """
    x, best, isotropic, directions, variance = ppca_data()
    model = LinearVAE(8, 2, generator=mt.Generator(0))
    optimizer = optim.Adam(model.parameters(), lr=0.03)
    steps = 500
    schedule = optim.CosineAnnealingLR(optimizer, steps)
    batch = mt.Tensor(x)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model.loss(batch)
        if not np.isfinite(loss.item()):
            return np.inf
        loss.backward()
        optimizer.step()
        schedule.step()
    generator = mt.Generator(1)
    with mt.no_grad():
        bounds = [model.evidence_lower_bound(batch, generator=generator).bound.mean().item() for _ in range(100)]
    gap = abs(best - np.mean(bounds)) / (best - isotropic)
    ours = np.linalg.qr(model.decoder.weight.numpy())[0]
    cosine = np.linalg.svd(ours.T @ directions, compute_uv=False).min()
    angle = np.degrees(np.arccos(min(1.0, cosine)))
    off = abs(np.exp(model.data_log_variance.item()) / variance - 1)
    probabilistic_pca.figures = f"gap {gap:.2%}, angle {angle:.3f} degrees, noise variance off by {off:.2%}"
    return max(gap / 0.01, angle / 2, off / 0.02)


def ppca_data(features=8, latent=2, count=1000):
    """Data; log-likelihoods for each x of pPCA and of an isotropic Gaussian; principal directions; noise variance."""
    rng = np.random.default_rng(8)
    axes = np.linalg.qr(rng.standard_normal((features, features)))[0]
    scales = np.sqrt([9.0, 4.0, *np.linspace(0.6, 0.4, features - latent)])
    x = (rng.standard_normal((count, features)) * scales @ axes.T + rng.standard_normal(features)).astype(np.float32)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True).astype(np.float64))
    values, vectors = values[::-1], vectors[:, ::-1]
    variance = values[latent:].mean()

    def log_likelihood(q, variance):
        log_determinant = np.log(values[:q]).sum() + (features - q) * np.log(variance)
        return -0.5 * (features * np.log(2 * np.pi) + log_determinant + features)

    return x, log_likelihood(latent, variance), log_likelihood(0, values.mean()), vectors[:, :latent], variance


KL_FAULTS = [name for name in FAULTS if "KL" in name or name.startswith(("log-variance", "sigma"))]
CODE_FAULTS = [name for name in FAULTS if name.startswith("code: ")]
LIKELIHOOD_FAULTS = [name for name in FAULTS if name.startswith("likelihood: ")]
WEIGHT_FAULTS = [name for name in FAULTS if name.startswith("weights: ")]
SPOILS_THE_CODE = [name for name in CODE_FAULTS if "noise" not in name and "gradient" not in name]

IDENTITIES = {
    kl_by_quadrature: KL_FAULTS,
    kl_by_monte_carlo: [*KL_FAULTS, *SPOILS_THE_CODE, "code: one noise for the whole batch"],
    bound_at_the_exact_posterior: [*KL_FAULTS, *SPOILS_THE_CODE, *LIKELIHOOD_FAULTS],
    importance_weighted_bound: [*SPOILS_THE_CODE, *LIKELIHOOD_FAULTS, *WEIGHT_FAULTS],
    gradient_of_an_expectation: CODE_FAULTS,
    gradient_of_a_linear_model: [*KL_FAULTS, *CODE_FAULTS, *LIKELIHOOD_FAULTS],
    probabilistic_pca: [*KL_FAULTS, *SPOILS_THE_CODE, *LIKELIHOOD_FAULTS],
}
"""Each identity with the faults that it must find."""


@pytest.fixture(scope="module")
def table():
    rows = []
    yield lambda *row: rows.append(row)
    print("\n\nerror in units of what is allowed\n")
    for identity, fault, error in rows:
        print(f"{identity.replace('_', ' '):<32}{fault or 'as it is':<64}{error:>12.3g}")


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.__name__)
def test_holds(identity, table):
    error = identity()
    table(identity.__name__, getattr(identity, "figures", ""), error)
    assert error <= 1, identity.__doc__


@pytest.mark.parametrize(
    ("identity", "fault"),
    [
        pytest.param(identity, fault, marks=[pytest.mark.slow] if identity is probabilistic_pca else [])
        for identity, faults in IDENTITIES.items()
        for fault in faults
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")  # a wrong formula may overflow
def test_a_planted_fault_breaks_it(identity, fault, monkeypatch, table):
    FAULTS[fault](monkeypatch)
    error = identity()
    table(identity.__name__, fault, error)
    assert not error <= 1, f"{identity.__name__} does not notice: {fault}"


def test_every_fault_is_found_by_some_identity():
    assert {fault for faults in IDENTITIES.values() for fault in faults} == {*FAULTS}


def test_the_linear_models_posterior_is_exact_only_where_it_is_diagonal():
    """The two linear models above differ in what they claim to: log p(x) - bound is 0, or not."""
    for diagonal in (True, False):
        model, x, exact = random_linear_vae(diagonal)
        gap = (exact - model.importance_weighted_bound(mt.Tensor(x), 1, generator=mt.Generator(0))).mean()
        assert abs(gap) < 1e-9 if diagonal else gap > 0.1
