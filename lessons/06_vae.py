# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Autoencoder and VAE
#
# **The question.** A net can squeeze an image through twenty numbers and unfold it again. Does it then know how to
# *make* images: pick twenty numbers, unfold them, and out comes a new digit?
#
# Almost never. This lesson shows why, and what Kingma and Welling changed in 2013: the code becomes a distribution, and
# the net is trained by a bound on the probability of the data. You will derive that bound, its closed-form term and its
# gradient line by line, each with a check beside it, and then compare both nets where it shows. (1), (2) and (3) are
# the numbers that the post on this subject gives its equations; the steps between them are counted after the point.
# All logarithms are natural: their unit is the nat.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minitorch_cv as mt
from minitorch_cv import data, models, ops, optim, viz
from minitorch_cv.course import Lesson
from minitorch_cv.training import Trainer
from minitorch_cv.weights import load_weights, trained_weights

# Each setting for --quick, the default, and --full.
lesson = Lesson(
    "vae",
    seeds=(1, 3, 5),  # runs of the VAE
    epochs=(3, 30, 300),  # of each net of section 7, and of the autoencoder
    plane_epochs=(4, 40, 300),  # of the nets with two numbers in the code
    beside_epochs=(1, 8, 200),  # of the convolutional net, beside the weights that come with the package
    beside_digits=(1000, 4000, 4000),
    betas=((0.3, 3.0), (0.1, 0.5, 1.0, 2.0, 8.0), (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)),
    beta_epochs=(2, 15, 100),
    weights=((1, 10), (1, 10, 100), (1, 10, 100, 1000)),  # importance weights for each digit
    weighed=(200, 500, 1000),  # held-out digits that get them
    ppca_steps=(300, 1500, 6000),
    judged=(200, 500, 1000),  # pictures of each kind
    draws=(20_000, 200_000, 1_000_000),
)
settings = lesson.settings
rng = np.random.default_rng(0)
BLUE, VERMILION, ORANGE, GREY = "#0072B2", "#D55E00", "#E69F00", "#666666"


def quiet(axis, title=None):
    """Lines on two sides, a faint grid."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, linewidth=0.4, color="#CCCCCC")
    axis.set_axisbelow(True)
    if title:
        axis.set_title(title, fontsize=10)


def rows_of_pictures(rows, height=0.62, label_inches=2.1):
    """One row for each pair (name, pictures of 28 x 28, in 0 .. 1)."""
    across = max(len(pictures) for _, pictures in rows)
    figure, axes = plt.subplots(len(rows), 1, figsize=(label_inches + across * height, len(rows) * height * 1.1))
    figure.subplots_adjust(left=label_inches / (label_inches + across * height), right=1, bottom=0, top=1, hspace=0.1)
    for axis, (name, pictures) in zip(axes, rows, strict=True):
        strip = np.full((28, across * 30), np.nan)
        for i, picture in enumerate(np.asarray(pictures).reshape(-1, 28, 28)):
            strip[:, 30 * i : 30 * i + 28] = picture
        axis.imshow(strip, cmap="gray", vmin=0, vmax=1)
        axis.set_axis_off()
        axis.text(-8, 14, name, ha="right", va="center", fontsize=9)
    return figure


# %% [markdown]
# ## 1. An autoencoder
#
# An encoder $e$ and a decoder $d$, trained to give back what came in, with the squared error
#
# $$L = \frac1N \sum_n \lVert x_n - d(e(x_n)) \rVert^2 . \tag{1}$$
#
# (`ops.mse_loss` divides by the number of pixels as well, which changes the size of the gradient and not its
# direction.) The net of the post is 784-256-64 and back. Here we use 784-400-20, so that it can be compared with the
# VAE below: the same layers, the same length of the code, the same images. The images are digits of MNIST, 4,000 to
# learn from and 1,000 held out. Each pixel is drawn black or white with its grey as the probability, anew in each
# epoch: pixels that are 0 or 1 have a probability, which section 6 needs.

# %%
lesson.section("1. An autoencoder")
train, test = data.mnist5k("train"), data.mnist5k("test")
held_out = data.binarize(test.images, mt.Generator(100))  # drawn once, and the same for every net of this lesson


def fit(model, seed, epochs, images=train, batch=100, rate=2e-3, objective=None, quietly=True):
    """Train by the model's own loss: Adam, its rate falling along half a cosine. The history of the run."""
    transform = data.binarize if images.images.dtype == np.uint8 else None
    loader = data.DataLoader(images, batch, shuffle=True, generator=mt.Generator(seed), transform=transform)
    optimizer = optim.Adam(model.parameters(), lr=rate)
    trainer = Trainer(
        model,
        optimizer,
        objective=objective or (lambda x, label: model.loss(x)),
        train_loader=loader,
        test_loader=[(held_out, test.labels)] if transform else None,
        schedule=optim.CosineAnnealingLR(optimizer, epochs * len(loader)),
        schedule_per="step",
        progress=not quietly,
    )
    return trainer.fit(epochs)


with mt.nn.init.skipped():  # only counted, so nothing needs to be drawn
    for name in ("autoencoder", "vae", "conv_vae"):
        built = models.NAMES[name]()
        print(f"{name:<12}{models.ledger(built, built.input_shape).parameters:>9,} parameters")

coder = models.autoencoder(hidden=400, latent=20, generator=mt.Generator(0))
history = fit(coder, 0, settings.epochs)
print(f"autoencoder 784-400-20, {settings.epochs} epochs: mean square error {history.last['test_loss']:.4f} held out")
with mt.no_grad():
    back = coder(mt.Tensor(held_out)).numpy()
    codes = coder.encode(mt.Tensor(data.binarize(train.images, mt.Generator(101)))).numpy()
print(f"  by (1), over pixels: {((back - held_out) ** 2).reshape(1000, -1).sum(axis=1).mean() / 784:.4f}")
print(f"  a picture of the mean alone would have {held_out.var(axis=0).mean():.4f}")
print(f"  its codes: means {codes.mean(axis=0).min():.1f} to {codes.mean(axis=0).max():.1f}, ", end="")
print(f"standard deviations {codes.std(axis=0).min():.1f} to {codes.std(axis=0).max():.1f}")
lesson.record(autoencoder_test_mse=history.last["test_loss"])

# %% [markdown]
# It gives back digits that it never saw. To *make* one we need a code, and nothing in (1) says where codes lie: each of
# the twenty numbers has a mean and a standard deviation of its own. Guess $N(0, 1)$; or, most generously, a normal
# distribution with the mean and the covariance of the codes themselves:


# %%
def numpy_of(model, z):
    """The decoder's pictures of codes."""
    with mt.no_grad():
        return np.clip(model.decode(mt.Tensor(z.astype(np.float32))).numpy(), 0, 1).reshape(-1, 1, 28, 28)


def codes_like(codes, count, seed):
    """From a normal distribution with their mean and covariance."""
    root = np.linalg.cholesky(np.cov(codes.T) + 1e-9 * np.eye(codes.shape[1]))
    return codes.mean(axis=0) + np.random.default_rng(seed).standard_normal((count, len(root))) @ root.T


rows = {
    "held-out digits": held_out[:14],
    "given back": np.clip(back[:14], 0, 1),
    "made, code from\nN(0, 1)": numpy_of(coder, np.random.default_rng(1).standard_normal((14, 20))),
    "made, code from\ntheir own normal": numpy_of(coder, codes_like(codes, 14, 1)),
}
lesson.figure(rows_of_pictures(rows.items()), "autoencoder")

# %% [markdown]
# A few are near to digits, most are blots. The codes of digits fill a thin and bent part of their twenty dimensions, and
# elsewhere the decoder was never asked for anything. We need a model in which the code *has* a distribution.
#
# ## 2. A model that generates, and its likelihood
#
# Three distributions, all of them Gaussian in the post:
#
# | | name | here |
# |---|---|---|
# | $p(z)$ | the prior | $N(0, I)$ |
# | $p(x \mid z)$ | the **likelihood**, given by the decoder | a mean for each pixel |
# | $p(z \mid x)$ | the **posterior** | unknown; the encoder will give an approximation $q(z \mid x)$ |
#
# (The post has the names of the last two swapped.) Maximum likelihood asks for the decoder under which the data are
# most probable:
#
# $$\max \sum_n \log p(x_n), \qquad p(x) = \int p(x \mid z)\, p(z)\, dz . \tag{2}$$
#
# The integral has as many dimensions as the code. Why not average $p(x \mid z)$ over draws from the prior? Try it where
# the answer is known: with a linear decoder, $x = W z + c + s\,\epsilon$, also $x$ is Gaussian, $N(c, W W^T + s^2 I)$.
# And the posterior is Gaussian too, so that we can try the other way as well: draw $z$ from some $q$ and weigh,
#
# $$p(x) = E_q \left[ \frac{p(x \mid z)\, p(z)}{q(z)} \right] \approx \frac1K \sum_k \frac{p(x, z_k)}{q(z_k)} . \tag{2.1}$$

# %%
lesson.section("2. A model that generates, and its likelihood")


def log_normal(x, mean, variance):
    """Of independent normal distributions, summed over the last axis."""
    return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(axis=-1)


def log_mean_exp(values):
    return np.logaddexp.reduce(values) - np.log(len(values))


print("log p(x) of one x of 50 numbers, by 10,000 draws from the prior, and by 10 from the posterior with (2.1)")
print(f"{'code':>6}{'exact':>10}{'prior':>10}{'posterior':>11}")
for size in (1, 2, 5, 10, 20):
    W, noise = rng.standard_normal((50, size)), 0.5
    x = W @ rng.standard_normal(size) + np.sqrt(noise) * rng.standard_normal(50)
    covariance = W @ W.T + noise * np.eye(50)
    exact = -0.5 * (x @ np.linalg.solve(covariance, x) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    z = rng.standard_normal((10_000, size))
    by_prior = log_mean_exp(log_normal(x, z @ W.T, noise))
    precision = W.T @ W / noise + np.eye(size)
    mean, root = np.linalg.solve(precision, W.T @ x / noise), np.linalg.inv(np.linalg.cholesky(precision)).T
    eps = rng.standard_normal((10, size))
    z = mean + eps @ root.T
    log_q = log_normal(eps, 0.0, 1.0) + 0.5 * np.linalg.slogdet(precision)[1]
    by_posterior = log_mean_exp(log_normal(x, z @ W.T, noise) + log_normal(z, 0.0, 1.0) - log_q)
    print(f"{size:>6}{exact:>10.2f}{by_prior:>10.2f}{by_posterior:>11.2f}")
    assert abs(by_posterior - exact) < 1e-6
    lesson.record(**{f"log p(x), code of {size}": {"exact": exact, "prior": by_prior, "posterior": by_posterior}})

# %% [markdown]
# From the prior the error grows with the length of the code: almost no draw fits this $x$. From the exact posterior
# *every* draw gives the exact answer, since $p(x \mid z) p(z) / p(z \mid x) = p(x)$ whatever $z$. So a good $q$ is worth
# having; but the posterior of a deep decoder is not known.
#
# ## 3. The bound
#
# Take any distribution $q(z)$. $\log p(x)$ does not depend on $z$, so that it is its own mean; then Bayes' rule;
# then multiply and divide by $q$:
#
# $$\log p(x) = E_q[\log p(x)] \tag{2.2}$$
# $$= E_q\left[\log \frac{p(x \mid z)\, p(z)}{p(z \mid x)}\right] \tag{2.3}$$
# $$= E_q\left[\log p(x \mid z) - \log\frac{q(z)}{p(z)} + \log \frac{q(z)}{p(z \mid x)}\right] \tag{2.4}$$
# $$= E_q[\log p(x \mid z)] - \mathrm{KL}(q \,\|\, p(z)) + \mathrm{KL}(q \,\|\, p(z \mid x)). \tag{2.5}$$
#
# The last term is unknown, but it is not negative. Since $\log t \le t - 1$,
#
# $$-\mathrm{KL}(q \,\|\, p) = E_q\left[\log \frac{p}{q}\right] \le E_q\left[\frac{p}{q} - 1\right] = \int p - \int q = 0,
# \tag{2.6}$$
#
# and so, without it, the **evidence lower bound** is left:
#
# $$\log p(x) \;\ge\; E_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\|\, p(z)). \tag{2.7}$$
#
# Check each line on a grid: one number as the code, a decoder that is *not* linear, $p(x \mid z) = N(z^2, 0.4^2)$, and
# $x = 1.5$. Both $z = 1.2$ and $z = -1.2$ explain it: the posterior has two peaks, and a Gaussian $q$ has one.

# %%
lesson.section("3. The bound")
z = np.linspace(-9, 9, 18_001)
observed, spread = 1.5, 0.4
log_prior, log_likelihood = -0.5 * z**2 - 0.5 * np.log(2 * np.pi), log_normal(observed, (z**2)[:, None], spread**2)
evidence = np.trapezoid(np.exp(log_likelihood + log_prior), z)  # (2)
log_posterior = log_likelihood + log_prior - np.log(evidence)  # Bayes' rule


def lines_of_the_bound(mean, sigma):
    """The right sides of (2.2) to (2.5), and the two terms of (2.7), for q = N(mean, sigma^2)."""
    log_q = log_normal(z[:, None], mean, sigma**2)

    def expectation(values):
        return np.trapezoid(np.exp(log_q) * values, z)

    likelihood, kl = expectation(log_likelihood), expectation(log_q - log_prior)
    lines = {
        "2.2": expectation(np.full_like(z, np.log(evidence))),
        "2.3": expectation(log_likelihood + log_prior - log_posterior),
        "2.4": expectation(log_likelihood - (log_q - log_prior) + (log_q - log_posterior)),
        "2.5": likelihood - kl + expectation(log_q - log_posterior),
    }
    return lines, likelihood, kl


lines, likelihood, kl = lines_of_the_bound(1.0, 0.3)
print(f"log p(x) by quadrature (2): {np.log(evidence):.6f}; for q = N(1, 0.3^2) the lines give")
print("  " + "   ".join(f"({number}) {value:.6f}" for number, value in lines.items()))
assert max(abs(value - np.log(evidence)) for value in lines.values()) < 1e-6
print(f"  and the bound (2.7) {likelihood:.4f} - {kl:.4f} = {likelihood - kl:.4f}")
q = np.exp(log_normal(z[:, None], 1.0, 0.09))
without_log = np.trapezoid(q * np.exp(log_likelihood), z)
print(f"  its first term without the logarithm would be {without_log:.4f}: no part of a logarithm of anything")

means, sigmas = np.linspace(-2, 2, 81), np.linspace(0.05, 1.2, 24)
bounds = np.array([[(t := lines_of_the_bound(m, s))[1] - t[2] for s in sigmas] for m in means])
best = np.unravel_index(bounds.argmax(), bounds.shape)
assert bounds.max() < np.log(evidence)
print(f"the best Gaussian q is N({abs(means[best[0]]):.2f}, {sigmas[best[1]]:.2f}^2), or its mirror image: ", end="")
print(f"bound {bounds.max():.3f}, {np.log(evidence) - bounds.max():.3f} nats below log p(x); ln 2 is {np.log(2):.3f}")
lesson.record(log_evidence=np.log(evidence), best_bound=bounds.max())

figure, axes = plt.subplots(1, 2, figsize=(10, 3.3), layout="constrained")
axes[0].plot(z, np.exp(log_prior), color=GREY, linestyle=":", label="prior p(z)")
axes[0].plot(z, np.exp(log_posterior), color=BLUE, label="posterior p(z | x)")
q_best = np.exp(log_normal(z[:, None], abs(means[best[0]]), sigmas[best[1]] ** 2))
axes[0].plot(z, q_best, color=VERMILION, linestyle="--", label="best Gaussian q(z)")
axes[0].set(xlim=(-2.5, 2.5), ylim=(0, 3.4), xlabel="z")
axes[0].legend(frameon=False, fontsize=9, loc="upper left")
quiet(axes[0], "Two codes explain x; q takes one of them")
axes[1].axhline(np.log(evidence), color="black", linewidth=1)
axes[1].text(-0.95, np.log(evidence) + 0.15, "log p(x)", fontsize=9)
axes[1].plot(means, bounds.max(axis=1), color=VERMILION)
axes[1].fill_between(means, bounds.max(axis=1), np.log(evidence), color=VERMILION, alpha=0.15)
axes[1].text(0, -3.2, "KL(q || p(z | x))", fontsize=9, ha="center", va="center")
axes[1].set(xlabel="mean of q (its sigma the best for that mean)", ylabel="bound, nats", ylim=(-5, -0.3))
quiet(axes[1], "The bound stays below, by exactly the last term of (2.5)")
lesson.figure(figure, "bound")

# %% [markdown]
# The best $q$ takes one of the two peaks, and loses little more than $\ln 2$: it says "here", where the truth is "here or
# there". (The rest is the shape of a peak, which is not quite Gaussian.) Training can do two things about the gap. It
# can improve $q$; and it can change the *decoder*, so that posteriors become simple. The bound rewards both.
#
# Two expectations of the post lack their logarithm. It is not a matter of style: the printed value shows what then
# stands there.
#
# ## 4. The second term, in closed form
#
# With $q = N(\mu, \sigma^2)$ and $p = N(0, 1)$, for one number of the code, using $E_q[(z - \mu)^2] = \sigma^2$ and
# $E_q[z^2] = \mu^2 + \sigma^2$:
#
# $$E_q[\log q] = -\tfrac12 \left(\log 2 \pi \sigma^2 + 1\right) \tag{2.8}$$
# $$E_q[\log p] = -\tfrac12 \left(\log 2 \pi + \mu^2 + \sigma^2\right) \tag{2.9}$$
# $$\mathrm{KL}(q \,\|\, p) = \tfrac12 \left(\mu^2 + \sigma^2 - 1 - \log \sigma^2\right). \tag{2.10}$$
#
# The encoder gives $l = \log \sigma^2$, since any number is a valid logarithm. Then
#
# $$\frac{\partial\,\mathrm{KL}}{\partial \mu} = \mu, \qquad \frac{\partial\,\mathrm{KL}}{\partial l} = \tfrac12 (e^l - 1).
# \tag{2.11}$$

# %%
lesson.section("4. The second term, in closed form")
mean, log_variance = 0.8, -1.1
log_q, log_p = log_normal(z[:, None], mean, np.exp(log_variance)), log_prior
q = np.exp(log_q)
closed = {
    "2.8": (-0.5 * (np.log(2 * np.pi) + log_variance + 1), np.trapezoid(q * log_q, z)),
    "2.9": (-0.5 * (np.log(2 * np.pi) + mean**2 + np.exp(log_variance)), np.trapezoid(q * log_p, z)),
    "2.10": (0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance), np.trapezoid(q * (log_q - log_p), z)),
}
for number, (formula, integral) in closed.items():
    print(f"({number:<4}) by the formula {formula:.9f}, by quadrature {integral:.9f}")
    assert abs(formula - integral) < 1e-9


def kl_by_hand(m, l):
    return 0.5 * (m**2 + np.exp(l) - 1 - l).sum(axis=1)


def kl_backward(dy, m, l):
    return dy[:, None] * m, dy[:, None] * 0.5 * (np.exp(l) - 1)  # (2.11)


m, l = rng.normal(0, 1.5, (6, 4)), rng.uniform(-2, 1, (6, 4))
print(mt.check_gradient(kl_by_hand, kl_backward, {"m": m, "l": l}))
print(f"ops.gaussian_kl differs by at most {abs(ops.gaussian_kl(m, l, 'none') - kl_by_hand(m, l)).max():.0e}")

# %% [markdown]
# **A gradient check is not enough here.** Take two mistakes that are often made: the $\frac12$ forgotten, and $\sigma$ put
# for its square, that is, $e^{l/2}$ in place of $e^l$ in (2.10). Each formula has its own gradient, and can
# be differentiated without any mistake. What is wrong is the *value*, and an independent value shows it: draw $z$ from
# $q$, and average $\log q(z) - \log p(z)$.


# %%
def half_forgotten(m, l):
    return 2 * kl_by_hand(m, l)


def sigma_for_variance(m, l):
    return 0.5 * (m**2 + np.exp(l / 2) - 1 - l).sum(axis=1)


formulas = {
    "right, (2.10)": (kl_by_hand, kl_backward),
    "1/2 forgotten": (half_forgotten, lambda dy, m, l: tuple(2 * g for g in kl_backward(dy, m, l))),
    "sigma for its square": (
        sigma_for_variance,
        lambda dy, m, l: (dy[:, None] * m, dy[:, None] * 0.5 * (0.5 * np.exp(l / 2) - 1)),
    ),
}
one_m, one_l = m[:1], l[:1]
eps = np.random.default_rng(5).standard_normal((settings.draws, 4))
drawn = one_m + np.exp(one_l / 2) * eps
ratios = log_normal(drawn, one_m, np.exp(one_l)) - log_normal(drawn, 0.0, 1.0)
counts = np.unique(np.geomspace(10, settings.draws, 40).astype(int))
running = np.cumsum(ratios)[counts - 1] / counts
figure, axis = plt.subplots(figsize=(6.6, 3.4), layout="constrained")
for (name, (formula, backward)), color, dash in zip(formulas.items(), (BLUE, VERMILION, ORANGE), "- -- -.".split()):
    report, value = mt.check_gradient(formula, backward, {"m": m, "l": l}), formula(one_m, one_l)[0]
    off = abs(ratios.mean() - value) / (ratios.std() / np.sqrt(settings.draws))
    print(f"{name:<22}gradient check: {'passes' if report else 'fails'};  value {value:.4f}, ", end="")
    print(f"Monte Carlo {ratios.mean():.4f}: {off:.1f} standard errors apart")
    assert report and (off < 4.5) == (name == "right, (2.10)")
    axis.loglog(counts, abs(running - value), color=color, linestyle=dash, label=name)
axis.loglog(counts, ratios.std() / np.sqrt(counts), color=GREY, linewidth=1, linestyle=":", label="standard error")
axis.set(xlabel="draws", ylabel="|Monte Carlo - formula|, nats")
axis.legend(frameon=False, fontsize=9, loc="lower left")
quiet(axis, "A wrong formula is where Monte Carlo stops coming nearer")
lesson.figure(figure, "kl_by_hand")

# %% [markdown]
# ## 5. A gradient through a draw
#
# The first term of (2.7) is an expectation over $q$, and $q$ depends on what we train. One draw of $z$ is a number; the
# chain of derivatives ends there. There are two ways round. **The score function**: differentiate $q$ under the
# integral, $\nabla q = q \nabla \log q$:
#
# $$\nabla E_q[f(z)] = E_q[f(z)\, \nabla \log q(z)], \qquad \frac{\partial \log q}{\partial \mu} =
# \frac{\epsilon}{\sigma}, \quad \frac{\partial \log q}{\partial l} = \tfrac12 (\epsilon^2 - 1), \quad \epsilon = \frac{z
# - \mu}{\sigma}. \tag{2.12}$$
#
# **Reparameterisation**: draw $\epsilon$ from $N(0, 1)$, which depends on nothing, and let $z = \mu + \sigma \epsilon$
# be a function:
#
# $$\nabla E_q[f(z)] = E_\epsilon[\nabla f(\mu + \sigma \epsilon)], \qquad \frac{\partial}{\partial \mu} = f'(z), \quad
# \frac{\partial}{\partial l} = f'(z)\, \tfrac12 \sigma \epsilon . \tag{2.13}$$
#
# The first needs only values of $f$, the second its derivative. With $f(z) = \sum_j z_j^2$ everything is known:
# $E[f] = \sum_j (\mu_j^2 + \sigma_j^2)$, with the derivatives $2 \mu_j$ and $\sigma_j^2$.

# %%
lesson.section("5. A gradient through a draw")
mu, sigma, sizes = 1.0, 0.5, (1, 3, 10, 30, 100)
found = {"score function": [], "reparameterisation": []}
print(f"d/d mu_1 of E[sum of z_j^2], exact {2 * mu:.2f}; and d/d l_1, exact {sigma**2:.2f}; 20,000 draws each")
for size in sizes:
    eps = rng.standard_normal((20_000, size))
    zs = mu + sigma * eps
    f, first = (zs**2).sum(axis=1), eps[:, 0]
    estimates = {
        "score function": (f * first / sigma, f * 0.5 * (first**2 - 1)),  # (2.12)
        "reparameterisation": (2 * zs[:, 0], 2 * zs[:, 0] * 0.5 * sigma * first),  # (2.13)
    }
    for name, (by_mean, by_log_variance) in estimates.items():
        for values, exact in ((by_mean, 2 * mu), (by_log_variance, sigma**2)):
            assert abs(values.mean() - exact) < 4.5 * values.std() / np.sqrt(20_000)
        found[name].append(by_mean.std())
        print(f"  {size:>3} numbers, {name:<19}{by_mean.mean():7.2f} and {by_log_variance.mean():6.2f}; ", end="")
        print(f"standard deviation of one draw {by_mean.std():7.2f} and {by_log_variance.std():6.2f}")
lesson.record(std_of_gradients=found)

n, v = np.array(sizes), sigma**2
rest_mean, rest_variance = (n - 1) * (mu**2 + v), (n - 1) * (4 * mu**2 * v + 2 * v**2)  # of the other numbers' f
score_square = mu**4 + 18 * mu**2 * v + 15 * v**2 + 2 * rest_mean * (mu**2 + 3 * v) + rest_mean**2 + rest_variance
figure, axis = plt.subplots(figsize=(6.2, 3.4), layout="constrained")
axis.loglog(n, np.sqrt(score_square / v - 4 * mu**2), color=VERMILION, label="score function, exact")
axis.loglog(n, np.full(len(n), 2 * sigma), color=BLUE, linestyle="--", label="reparameterisation, exact")
axis.loglog(n, found["score function"], "o", color=VERMILION, label="measured")
axis.loglog(n, found["reparameterisation"], "s", color=BLUE, label="measured")
axis.set(xlabel="numbers in the code", ylabel="standard deviation of one draw")
axis.legend(frameon=False, fontsize=9)
quiet(axis, "The gradient for one mean: both are right, one is usable")
lesson.figure(figure, "gradient_estimators")

# %% [markdown]
# Both are right on average. But the score function multiplies the *whole* of $f$, to which all the other numbers
# contribute, with the noise of one: its noise grows with the length of the code. Through the derivative each number
# hears only of itself. Section 7 measures both in a trained net.
#
# ## 6. The loss, and its gradient by hand
#
# A pixel is 0 or 1; the decoder gives a logit $a$, and $p(x_i = 1 \mid z) = 1 / (1 + e^{-a_i})$. So $-\log p(x \mid z)$
# is the cross-entropy, and the negative bound, with one draw of $\epsilon$ for each image, is
#
# $$L = \frac1N \sum_n \Big[ \underbrace{\sum_i \big( \log(1 + e^{a_i}) - x_i a_i \big)}_{\text{reconstruction}} +
# \underbrace{\sum_j \tfrac12 \big( \mu_j^2 + e^{l_j} - 1 - l_j \big)}_{\mathrm{KL}} \Big]. \tag{3}$$
#
# With a Gaussian likelihood of fixed $s^2$ the reconstruction is $\lVert x - a \rVert^2 / 2 s^2$ and a constant: the
# loss (1) of the autoencoder. Both *sums* matter: a mean over the pixels in their place makes the KL 784 times too
# heavy.
#
# For the smallest such net, $\mu = h A^T$, $l = h B^T$, $z = \mu + e^{l/2} \epsilon$, $a = z D^T$, from back to front
# (with the $1/N$ of the mean in $dr$ and $dk$):
#
# $$da = dr\,(\mathrm{sigmoid}(a) - x), \qquad dz = da\, D, \qquad dD = da^T z \tag{3.1}$$
# $$d\mu = dz + dk\, \mu, \qquad dl = \tfrac12 dz\, e^{l/2} \epsilon + dk\, \tfrac12 (e^l - 1) \tag{3.2}$$
# $$dA = d\mu^T h, \qquad dB = dl^T h. \tag{3.3}$$


# %%
lesson.section("6. The loss, and its gradient by hand")
forward_steps = {
    "mu": lambda h, A: h @ A.T,
    "l": lambda h, B: h @ B.T,
    "z": lambda mu, l, eps: mu + np.exp(l / 2) * eps,
    "a": lambda z, D: z @ D.T,
    "r": lambda a, x: (np.logaddexp(0, a) - x * a).sum(axis=1),
    "k": lambda mu, l: 0.5 * (mu**2 + np.exp(l) - 1 - l).sum(axis=1),
    "loss": lambda r, k: (r + k).mean(),
}


def derived(dy, h, x, eps, D, mu, l, z, a):
    dr = dk = np.full((len(h), 1), dy / len(h))
    da = dr * (1 / (1 + np.exp(-a)) - x)
    dz, dD = da @ D, da.T @ z  # (3.1)
    dmu, dl = dz + dk * mu, 0.5 * dz * np.exp(l / 2) * eps + dk * 0.5 * (np.exp(l) - 1)  # (3.2)
    dA, dB = dmu.T @ h, dl.T @ h  # (3.3)
    inputs = {"dh": None, "dx": None, "deps": None}  # not trained, so not asked for
    return {"da": da, "dD": dD, "dz": dz, "dmu": dmu, "dl": dl, "dA": dA, "dB": dB, **inputs}


sizes = {"h": (5, 6), "A": (3, 6), "B": (3, 6), "eps": (5, 3), "D": (7, 3)}
values = {name: rng.standard_normal(size) for name, size in sizes.items()}
values["x"] = (rng.random((5, 7)) < 0.5) * 1.0
report = mt.check_derivation(forward_steps, derived, values)
print(report)
assert report, "every line must be right"
lesson.record(loss_lines=report.lines)


# %% [markdown]
# And a mistake on purpose: in (3.2) the factor $\epsilon$ is lost on the way to $l$.


# %%
def noise_forgotten(dy, h, x, eps, D, mu, l, z, a):
    right = derived(dy, h, x, eps, D, mu, l, z, a)
    dl = 0.5 * right["dz"] * np.exp(l / 2) + 0.5 * (np.exp(l) - 1) * dy / len(h)
    return {**right, "dl": dl, "dB": dl.T @ h}


report = mt.check_derivation(forward_steps, noise_forgotten, values)
print(report)
assert report.first_wrong == "dl" and report.lines["dB"] == "inherited"

# %% [markdown]
# The package's loss on a batch of digits, against (3) written out once more:

# %%
net, batch = models.vae(generator=mt.Generator(0)), held_out[:50]
with mt.no_grad():
    m, l = (value.numpy().astype(np.float64) for value in net.encode(mt.Tensor(batch)))
    z0 = (m + np.exp(l / 2) * mt.Generator(7).normal(m.shape)).astype(np.float32)
    a = net.decode(mt.Tensor(z0)).numpy().astype(np.float64)
    ours = net.loss(mt.Tensor(batch), generator=mt.Generator(7)).item()
by_hand = (np.logaddexp(0, a) - batch.reshape(50, -1) * a).sum(axis=1).mean() + kl_by_hand(m, l).mean()
print(f"untrained, model.loss {ours:.4f}, by (3) {by_hand:.4f}; 784 coins would cost {784 * np.log(2):.4f} nats")
assert abs(ours / by_hand - 1) < 1e-5


# %% [markdown]
# ## 7. Training, and the bound in nats
#
# The VAE of the paper's size: 784-400-20, and back. The bound on held-out digits is what it is *for*: no other number
# tells so directly how well a model knows digits it never saw. It is a bound, so the true $-\log p(x)$ is lower. The
# importance-weighted bound of (2.1), with $K$ draws from $q$,
#
# $$\log p(x) \ge E\left[\log \frac1K \sum_k \frac{p(x \mid z_k)\, p(z_k)}{q(z_k \mid x)}\right], \tag{3.4}$$
#
# rises with $K$ towards $\log p(x)$ (Burda, Grosse, Salakhutdinov 2015); with $K = 1$ it is (2.7).


# %%
lesson.section("7. Training, and the bound in nats")


def held_out_bound(model, images=held_out, draws=10):
    """-bound, reconstruction and KL in nats for each image, means over draws and images."""
    x, generator = mt.Tensor(images), mt.Generator(9)
    with mt.no_grad():
        parts = [model.evidence_lower_bound(x, generator=generator) for _ in range(draws)]
    reconstruction = -np.mean([part.log_likelihood.mean().item() for part in parts])
    kl = np.mean([part.divergence.mean().item() for part in parts])
    return reconstruction + kl, reconstruction, kl


nets, weighted, curves = [], [], []
for seed in range(settings.seeds):
    net = models.vae(generator=mt.Generator(seed))
    curves.append(fit(net, seed, settings.epochs)["test_loss"])
    nets.append(net)
    some = mt.Tensor(held_out[: settings.weighed])
    generator = mt.Generator(8)
    weighted.append([-net.importance_weighted_bound(some, K, generator=generator).mean() for K in settings.weights])
    total, reconstruction, kl = held_out_bound(net)
    print(f"seed {seed}: -bound {total:.2f} = {reconstruction:.2f} reconstruction + {kl:.2f} KL nats", end="; ")
    told = (f"K = {K}: {value:.2f}" for K, value in zip(settings.weights, weighted[-1], strict=True))
    print(f"on {settings.weighed} of them, {', '.join(told)}")
totals = [held_out_bound(net)[0] for net in nets]
spread = f" +- {np.std(totals, ddof=1):.2f}" if len(totals) > 1 else ""
print(f"784-400-20, {settings.epochs} epochs: -bound on 1,000 held-out digits {np.mean(totals):.2f}{spread} nats")
weighted = np.array(weighted)
assert (np.diff(weighted.mean(axis=0)) < 0).all(), "more weights, nearer to log p(x)"
lesson.record(negative_bound=totals, importance_weights=settings.weights, importance_weighted=weighted)

figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.3), layout="constrained")
styles = zip((BLUE, VERMILION, ORANGE, GREY, "black"), ("-", "--", ":", "-.", "-"))
for seed, (curve, (color, dash)) in enumerate(zip(curves, styles)):
    axes[0].plot(np.arange(1, len(curve) + 1), curve, color=color, linestyle=dash, label=f"seed {seed}")
axes[0].set(xlabel="epoch", ylabel="-bound on held-out digits, nats", ylim=(min(map(min, curves)) - 5, 200))
axes[0].xaxis.get_major_locator().set_params(integer=True)
axes[0].legend(frameon=False, fontsize=9)
quiet(axes[0], "Training")
middle = weighted.mean(axis=0)
axes[1].plot(settings.weights, middle, "o-", color=BLUE)
axes[1].fill_between(settings.weights, weighted.min(axis=0), weighted.max(axis=0), color=BLUE, alpha=0.2)
axes[1].set(xscale="log", xlabel="importance weights K", ylabel="nats")
axes[1].set_xticks(settings.weights, [str(K) for K in settings.weights])
quiet(axes[1], "-bound (3.4): mean, and range over seeds")
lesson.figure(figure, "bounds")

# %% [markdown]
# **Both gradients of section 5 in this net.** For each of 100 digits and each number of its code, the standard
# deviation of one draw's gradient of $-\log p(x \mid z)$ with respect to $\mu_j$:

# %%
digits, repeats, net = 100, 200, nets[0]
with mt.no_grad():
    m, l = net.encode(mt.Tensor(held_out[:digits]))
generator, by_score, by_path = mt.Generator(3), [], []
for _ in range(repeats):
    eps = generator.normal(m.shape)
    leaf = mt.Tensor(m.numpy().copy(), requires_grad=True)
    logits = net.decode(leaf + ops.exp(0.5 * l) * mt.Tensor(eps))
    misfit = -net.log_likelihood(mt.Tensor(held_out[:digits].reshape(digits, -1)), logits)
    misfit.sum().backward()
    by_path.append(leaf.grad.numpy())
    by_score.append(misfit.numpy()[:, None] * eps * np.exp(-0.5 * l.numpy()))
by_path, by_score = np.array(by_path), np.array(by_score)
stds = [np.sqrt(values.var(axis=0).mean()) for values in (by_path, by_score)]
print(
    f"reparameterisation {stds[0]:.1f}, score function {stds[1]:.1f}: {stds[1] / stds[0]:.0f} times as noisy, ", end=""
)
print(f"so that one draw of the first is worth {(stds[1] / stds[0]) ** 2:,.0f} of the second")
lesson.record(gradient_std_pathwise=stds[0], gradient_std_score=stds[1])

# %% [markdown]
# **Final pictures at once.** The package ships a trained VAE of convolutions (`tools/train_generative.py vae` made it,
# 200 epochs on digits shifted by up to one pixel). Beside it the same net as it learns here, from the same codes.

# %%
shipped = models.conv_vae()
load_weights(shipped, trained_weights("conv_vae"))
total, reconstruction, kl = held_out_bound(shipped)
some = mt.Tensor(held_out[:200])
weights_100 = -shipped.importance_weighted_bound(some, 100, generator=mt.Generator(8)).mean()
print(f"shipped, convolutional: -bound {total:.2f} = {reconstruction:.2f} + {kl:.2f} nats; ", end="")
print(f"on 200 of the digits with K = 100: {weights_100:.2f}")
lesson.record(shipped_negative_bound=total, shipped_importance_weighted=weights_100)

codes_shown = mt.Generator(21).normal((14, 20))
beside = models.conv_vae(generator=mt.Generator(1))
rows = {"not trained": beside.expected(mt.Tensor(codes_shown)).numpy()}
few = data.Dataset(train.images[: settings.beside_digits], train.labels[: settings.beside_digits], train.classes)
fit(beside, 1, settings.beside_epochs, few, batch=50)
rows[f"here, {settings.beside_epochs} epochs"] = beside.expected(mt.Tensor(codes_shown)).numpy()
rows["shipped, 200 epochs"] = shipped.expected(mt.Tensor(codes_shown)).numpy()
print(f"the same net, {settings.beside_epochs} epochs here: -bound {held_out_bound(beside)[0]:.2f} nats")
lesson.figure(rows_of_pictures(rows.items()), "shipped")
many = shipped.sample(84, generator=mt.Generator(22)).numpy()
lesson.figure(viz.image_grid(many, columns=14, title="84 samples of the shipped net, none chosen"), "samples")

# %% [markdown]
# ## 8. Autoencoder against VAE
#
# The same layers, the same digits, the same number of epochs. First what each makes. A picture is judged by the shipped
# net: the bound says how probable the picture is among digits. It has seen neither of the two, but it is no neutral
# judge: it is a VAE too, and likes what a VAE draws. All pictures are binarised by sampling before.

# %%
lesson.section("8. Autoencoder against VAE")
net, count = nets[0], settings.judged


def judged(pictures):
    """-bound of the shipped net, in nats: median over pictures."""
    x = mt.Tensor(data.binarize(np.asarray(pictures, np.float32).reshape(-1, 1, 28, 28), mt.Generator(30)))
    with mt.no_grad():
        return float(np.median(-shipped.evidence_lower_bound(x, generator=mt.Generator(31)).bound.numpy()))


prior = np.random.default_rng(4).standard_normal((count, 20)).astype(np.float32)
made = {
    "real digits": data.to_float(test.images[:count]),
    "VAE, code from\nN(0, 1)": net.expected(mt.Tensor(prior)).numpy(),
    "autoencoder, code from\ntheir own normal": numpy_of(coder, codes_like(codes, count, 4)),
    "autoencoder, code from\nN(0, 1)": numpy_of(coder, prior),
}
for name, pictures in made.items():
    score = judged(pictures)
    print(f"{name:<44}-bound {score:7.1f} nats".replace("\n", " "))
    lesson.record(**{"judged, " + name.replace("\n", " "): score})
lesson.figure(rows_of_pictures([(name, pictures[:14]) for name, pictures in made.items()]), "made")

# %% [markdown]
# **From one digit to another.** Take the codes of two held-out digits of different classes (of the VAE, the means),
# walk from one to the other in a straight line, and decode. Beside them, what needs no net at all: the fading of one
# picture into the other.

# %%
order = np.random.default_rng(6).permutation(1000)
pairs = [pair for pair in zip(order[:500], order[500:]) if test.labels[pair[0]] != test.labels[pair[1]]][:count]
ends = [held_out[[pair[i] for pair in pairs]] for i in (0, 1)]
with mt.no_grad():
    of_coder = [coder.encode(mt.Tensor(x)).numpy() for x in ends]
    of_vae = [net.encode(mt.Tensor(x))[0].numpy() for x in ends]


def walk(codes, share):
    return (1 - share) * codes[0] + share * codes[1]


halfway = {
    "fading": walk(ends, 0.5),
    "autoencoder": numpy_of(coder, walk(of_coder, 0.5)),
    "VAE": net.expected(mt.Tensor(walk(of_vae, 0.5))).numpy(),
}
at_ends = {
    "fading": ends[0],
    "autoencoder": numpy_of(coder, of_coder[0]),
    "VAE": net.expected(mt.Tensor(of_vae[0])).numpy(),
}
print(f"judged by the shipped net, {len(pairs)} pairs; and the share of pixels that are grey, 0.2 to 0.8")
for name, pictures in halfway.items():
    scores = judged(at_ends[name]), judged(pictures)
    grey = np.mean((pictures > 0.2) & (pictures < 0.8))
    print(f"  {name:<12}-bound at the ends {scores[0]:6.1f}, halfway {scores[1]:6.1f} nats; grey halfway {grey:.1%}")
    lesson.record(**{f"halfway, {name}": scores[1], f"ends, {name}": scores[0], f"grey, {name}": grey})

shares, rows = np.linspace(0, 1, 11), []
for i in range(3):
    rows += [
        ("fading", [walk([x[i] for x in ends], share) for share in shares]),
        ("autoencoder", numpy_of(coder, np.array([walk([z[i] for z in of_coder], share) for share in shares]))),
        (
            "VAE",
            net.expected(
                mt.Tensor(np.array([walk([z[i] for z in of_vae], share) for share in shares], np.float32))
            ).numpy(),
        ),
    ]
lesson.figure(rows_of_pictures(rows, label_inches=1.2), "interpolations")

# %% [markdown]
# Halfway, the pictures of the autoencoder are *ghosts*: both digits at once, one over the other. In the default run they
# are judged hardly better than the fading, which needs no net. (But so are its pictures at the *ends*: the judge dislikes
# their style, and not the mixing alone. The ghosts are seen in the figure, and not in this number.) The VAE bends strokes: in the second trio of the figure
# the bar becomes a ring without two digits ever lying over each other. Its pictures halfway are judged better than both
# others, though worse than at their ends: not every point between two digits is a digit.
#
# **The plane of codes.** Both nets once more, with *two* numbers in the code, so that all of it can be seen.

# %%
plane_coder = models.autoencoder(hidden=400, latent=2, generator=mt.Generator(0))
plane_vae = models.vae(latent=2, generator=mt.Generator(0))
for model in (plane_coder, plane_vae):
    fit(model, 0, settings.plane_epochs)
with mt.no_grad():
    planes = {
        "autoencoder": plane_coder.encode(mt.Tensor(held_out)).numpy(),
        "VAE": plane_vae.encode(mt.Tensor(held_out))[0].numpy(),
    }
total, reconstruction, kl = held_out_bound(plane_vae)
print(f"VAE with two numbers: -bound {total:.2f} = {reconstruction:.2f} + {kl:.2f} nats")
lesson.record(negative_bound_of_the_plane=total)

# The quantiles of N(0, 1), by draws: a grid whose rows and columns hold equal shares of it.
quantiles = np.quantile(np.random.default_rng(0).standard_normal(1_000_000), (np.arange(16) + 0.5) / 16)
grid = np.array([(x, y) for y in quantiles[::-1] for x in quantiles], np.float32)
points = planes["autoencoder"]
decoded = {
    "autoencoder": numpy_of(plane_coder, points.mean(axis=0) + points.std(axis=0) * grid),
    "VAE": plane_vae.expected(mt.Tensor(grid)).numpy(),
}
figure, axes = plt.subplots(1, 4, figsize=(16, 4.2), layout="constrained")
angle = np.linspace(0, 2 * np.pi, 200)
for (name, points), pair in zip(planes.items(), (axes[:2], axes[2:])):
    score = judged(decoded[name])
    print(f"{name:<12}codes: means {points.mean(axis=0)[0]:5.2f}, {points.mean(axis=0)[1]:5.2f}, ", end="")
    print(
        f"standard deviations {points.std(axis=0)[0]:.2f}, {points.std(axis=0)[1]:.2f}; "
        f"decoded plane judged {score:.1f} nats"
    )
    lesson.record(**{f"plane, {name}": {"std": points.std(axis=0), "judged": score}})
    for digit in range(10):
        one = points[test.labels == digit]
        pair[0].scatter(*one.T, s=22, linewidth=0.3, color=plt.colormaps["tab10"](digit), marker=f"${digit}$")
    if name == "VAE":
        inside = ((points**2).sum(axis=1) < -2 * np.log(0.05)).mean()
        print(f"  {inside:.0%} of these means lie in the circle that holds 95 % of N(0, 1)")
        pair[0].plot(*np.sqrt(-2 * np.log(0.05)) * np.array([np.cos(angle), np.sin(angle)]), color="black", linewidth=1)
    pair[0].set_aspect("equal", "datalim")
    quiet(pair[0], f"{name}: codes of held-out digits")
    tiles = decoded[name].reshape(16, 16, 28, 28).transpose(0, 2, 1, 3).reshape(448, 448)
    pair[1].imshow(tiles, cmap="gray", vmin=0, vmax=1)
    pair[1].set_axis_off()
axes[1].set_title("decoded, by its codes' means and deviations", fontsize=10)
axes[3].set_title("decoded, in equal shares of N(0, 1)", fontsize=10)
lesson.figure(figure, "plane")

# %% [markdown]
# The autoencoder's codes lie where training left them, the KL gathers the VAE's about 0: the circle holds 95 % of the
# prior. They need not fill it evenly. The posteriors of *single* digits are what (2.7) weighs, and two numbers are few:
# some classes are pushed far out to be told apart. Compare the bound with that of section 7.
#
# And look at the printed judgement of the decoded planes: in the default run the autoencoder's is even the better one.
# Ten classes leave few holes in a plane, and its picture was given the mean and the spread of the codes. With twenty numbers the
# same help was not enough, as the first figure of this section shows: it is in many dimensions that codes without a
# distribution get lost.
#
# ## 9. What the KL buys: beta
#
# Weigh the second term, $L = \text{reconstruction} + \beta\, \mathrm{KL}$ (Higgins et al. 2017). For $\beta = 1$ it is
# the bound. The KL is a *rate*: how many nats the code tells of its image; the reconstruction is a *distortion*.

# %%
lesson.section("9. What the KL buys: beta")
points, rows = [], {}
print(f"{'beta':>6}{'rate (KL)':>12}{'distortion':>12}{'-bound':>9}{'numbers in use':>16}{'samples judged':>16}")
for beta in settings.betas:
    one = models.vae(generator=mt.Generator(0))
    fit(one, 0, settings.beta_epochs, objective=lambda x, label, one=one, beta=beta: one.loss(x, beta))
    total, distortion, rate = held_out_bound(one)
    with mt.no_grad():
        m, l = (value.numpy() for value in one.encode(mt.Tensor(held_out)))
    each = 0.5 * (m**2 + np.exp(l) - 1 - l).mean(axis=0)
    in_use = int((each > 0.1).sum())
    samples = one.expected(mt.Tensor(prior)).numpy()
    points.append((rate, distortion, total, in_use, judged(samples)))
    print(f"{beta:>6g}{rate:>12.2f}{distortion:>12.2f}{total:>9.2f}{in_use:>16}{points[-1][4]:>16.1f}")
    rows[f"beta = {beta:g}"] = samples[:14]
lesson.record(betas=settings.betas, beta_rate_distortion_bound_used_judged=points)

rates, distortions = np.array(points)[:, :2].T
figure, axis = plt.subplots(figsize=(6, 3.8), layout="constrained")
axis.plot(rates, distortions, "o-", color=BLUE)
for beta, x, y in zip(settings.betas, rates, distortions):
    axis.annotate(f"{beta:g}", (x, y), xytext=(6, 5), textcoords="offset points", fontsize=9)
ends_of_line = np.array(axis.get_xlim())
best = min(total for _, _, total, *_ in points)
axis.axline((0, best), slope=-1, color=GREY, linewidth=1, linestyle="--", label=f"-bound = {best:.1f}, the best here")
axis.set(xlim=ends_of_line, xlabel="rate: KL, nats", ylabel="distortion: -log p(x | z), nats")
axis.legend(frameon=False, fontsize=9)
quiet(axis, "Held-out digits, by beta")
lesson.figure(figure, "beta")
lesson.figure(rows_of_pictures(rows.items(), label_inches=1.2), "beta_samples")

# %% [markdown]
# Along the curve one is paid for by the other. On the dashed line rate and distortion have the same sum, that of the
# best bound; the curve touches it where $\beta$ is nearest to 1 and lies above it elsewhere. A small $\beta$ gives back
# images best and lets the codes leave the prior; a large one switches numbers of the code off, one after the other: the
# printed column counts those with more than 0.1 nats.
#
# ## 10. A linear VAE is probabilistic PCA
#
# One case can be solved with pencil and paper, and so tells whether the whole machine works: decoder $W z + c$, encoder
# $V (x - c)$ with one $l$ for all $x$, Gaussian likelihood with a learned $s^2$. Then $p(x) = N(c, W W^T + s^2 I)$, and
# with the eigenvalues $\lambda_1 \ge \lambda_2 \ge \dots$ of the data's covariance the most likely model has (Tipping
# and Bishop 1999)
#
# $$s^2 = \frac{1}{d - q} \sum_{j > q} \lambda_j, \qquad W = U_q (\Lambda_q - s^2 I)^{1/2}, \tag{3.5}$$
# $$\frac1N \log L = -\tfrac12 \Big[ d \log 2\pi + \sum_{j \le q} \log \lambda_j + (d - q) \log s^2 + d \Big]. \tag{3.6}$$
#
# The posterior is then Gaussian with a diagonal covariance, just what $q$ can be: the gap of (2.5) closes. PCA leaves
# $W$ free up to a rotation; the diagonal $q$ picks the one in which the columns are the principal directions
# themselves. The data: the digits, shrunk to 7 x 7 by averaging, 8 numbers in the code.

# %%
lesson.section("10. A linear VAE is probabilistic PCA")
small = data.to_float(train.images).reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)
small = (small / small.std()).astype(np.float32)
d, q = 49, 8
eigenvalues, directions = np.linalg.eigh(np.cov(small.T.astype(np.float64), bias=True))
eigenvalues, directions = eigenvalues[::-1], directions[:, ::-1]
variance = eigenvalues[q:].mean()


def log_likelihood_of_ppca(q, variance):  # (3.6)
    return -0.5 * (d * np.log(2 * np.pi) + np.log(eigenvalues[:q]).sum() + (d - q) * np.log(variance) + d)


best, isotropic = log_likelihood_of_ppca(q, variance), log_likelihood_of_ppca(0, eigenvalues.mean())
linear = models.LinearVAE(d, q, generator=mt.Generator(0))
optimizer = optim.Adam(linear.parameters(), lr=0.05)
schedule = optim.CosineAnnealingLR(optimizer, settings.ppca_steps)
generator, seen = mt.Generator(2), []
for _ in range(settings.ppca_steps):
    optimizer.zero_grad()
    loss = linear.loss(mt.Tensor(small[generator.integers(0, len(small), 500)]))
    loss.backward()
    optimizer.step()
    schedule.step()
    seen.append(-loss.item())
with mt.no_grad():
    ends_at = np.mean([linear.evidence_lower_bound(mt.Tensor(small)).bound.mean().item() for _ in range(20)])
W = linear.decoder.weight.numpy()
W = W[:, np.argsort(-np.linalg.norm(W, axis=0))]
cosines = np.linalg.svd(np.linalg.qr(W)[0].T @ directions[:, :q], compute_uv=False)
angle = np.degrees(np.arccos(min(1.0, cosines.min())))
learned = np.exp(linear.data_log_variance.item())
print(
    f"log-likelihood for each x in nats: isotropic Gaussian {isotropic:.3f}, pPCA (3.6) {best:.3f}, bound {ends_at:.3f}"
)
print(
    f"gap: {(best - ends_at) / (best - isotropic):.2%} of what pPCA gains; largest principal angle {angle:.2f} degrees"
)
print(f"s^2 learned {learned:.5f}, by (3.5) {variance:.5f}: {learned / variance - 1:+.2%}")
exact_W = directions[:, :q] * np.sqrt(eigenvalues[:q] - variance)
cosines_of_columns = abs((W * exact_W).sum(axis=0)) / np.linalg.norm(W, axis=0) / np.linalg.norm(exact_W, axis=0)
print("eigenvalues          " + " ".join(f"{value:5.2f}" for value in eigenvalues[:q]))
print("cosines of columns   " + " ".join(f"{value:5.2f}" for value in cosines_of_columns))
gap = (best - ends_at) / (best - isotropic)
lesson.record(ppca=best, ppca_bound=ends_at, ppca_gap=gap, ppca_angle=angle, ppca_noise=learned / variance - 1)
if lesson.mode != "quick":
    assert gap < 0.01 and angle < 2 and abs(learned / variance - 1) < 0.02

figure = plt.figure(figsize=(10.5, 3.0), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))
axis = left.subplots()
axis.plot(seen, color=BLUE, linewidth=0.6, label="bound, batches of 500")
axis.axhline(best, color="black", linewidth=1, linestyle="--", label=f"pPCA: {best:.2f}")
axis.set(xlabel="step", ylabel="nats", ylim=(best - 25, best + 4))
axis.legend(frameon=False, fontsize=9, loc="lower right")
quiet(axis, "A linear VAE by its bound")
strip = np.full((17, 8 * q - 1), np.nan)
for j in range(q):
    sign = np.sign(W[:, j] @ exact_W[:, j])
    for row, column in enumerate((exact_W[:, j], sign * W[:, j])):
        strip[10 * row : 10 * row + 7, 8 * j : 8 * j + 7] = column.reshape(7, 7)
axis = right.subplots()
axis.imshow(strip, cmap="RdBu_r", vmin=-0.9, vmax=0.9)
axis.set_yticks([3, 13], ["by (3.5)", "learned"])
axis.set_xticks([8 * j + 3 for j in range(q)], [f"{value:.2f}" for value in cosines_of_columns])
axis.set_xlabel("cosine of the two", fontsize=9)
axis.tick_params(length=0, labelsize=9)
axis.spines[:].set_visible(False)
axis.set_title("Columns of W (signs matched)", fontsize=10)
lesson.figure(figure, "ppca")

# %% [markdown]
# The likelihood, the noise and the space that the columns span are those of the closed form. The single columns come
# last: to turn them within their space costs the bound the less, the nearer their eigenvalues are, so that the cosines
# of neighbours in the printed list may still be far from 1 (exercise 8).

# %%
lesson.finish()

# %% [markdown]
# ## 11. What to put right
#
# *The likelihood and the posterior.* $p(x \mid z)$ is the likelihood, and the decoder gives it. $p(z \mid x)$ is the
# posterior, which the encoder approximates. The post has the two names swapped.
#
# *The missing logarithms.* Two expectations of the post's derivation read $E_q[p(x \mid z)]$. They must read
# $E_q[\log p(x \mid z)]$; section 3 prints both.
#
# *The VAE is an autoencoder with a penalty.* It looks so in (3). But each part of the loss has one scale, nats, and
# its sum bounds a probability. That is why $\beta = 1$ needs no tuning for it, and why two nets can be compared.
#
# *VAEs are blurred because of the KL.* What is shown are *means* of $p(x \mid z)$: an average over all that the code
# does not tell.
#
# ## What was measured, and what to try next
#
# `results.json` holds the numbers of your run. They are of 4,000 digits; with all 60,000, and a larger net,
# Burda, Grosse and Salakhutdinov report about 87 nats for a VAE with one layer of codes. The weights that ship with the
# package were chosen between two nets by the same held-out digits, so that their figure is a little too good.
#
# 1. Derive (2.10) for two Gaussians $N(\mu, \sigma^2)$ and $N(m, s^2)$, and check it with `mt.check_gradient` and by
#    Monte Carlo.
# 2. Subtract a constant $b$ from $f$ in (2.12). Why is the mean unchanged? Which $b$ makes the noise least, and how far
#    does it come?
# 3. In section 3, give $q$ two peaks. How far does the bound rise?
# 4. Take the mean over pixels in place of the sum in (3), and train. What becomes of the KL, and why? To which
#    $\beta$ does it correspond?
# 5. Train on the grey digits, by the same cross-entropy. The loss falls far below what is possible for binary digits.
#    Of what is it a bound now?
# 6. Draw *one* $\epsilon$ for the whole batch. The gradient stays right on average. What does it cost?
# 7. Replace the likelihood by a Gaussian with a learned $s^2$ (`likelihood="gaussian"`). Compare the samples.
# 8. Raise `ppca_steps` in section 10. Which columns of $W$ settle first, and which after the most steps?
# 9. Run `--full`, or `python tools/train_generative.py vae`.
#
# Next: `07_gan`, nets that make images without any likelihood.
