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
# # Diffusion
#
# **The question.** How can a net draw a digit that nobody wrote? To make noise out of a picture is easy: add a little,
# a thousand times. Could a net learn to go back, one small step at a time? If each step is small enough, the way back
# has a simple form, and what is left to learn is plain regression: *here is a noisy picture; which noise is in it?*
#
# Sohl-Dickstein and others proposed it in 2015; Ho, Jain and Abbeel made it work in 2020 (DDPM). You will derive it
# equation by equation, each with a check beside it, meet a case where the best net is known by formula, and then draw
# digits with a net that was trained on 4,000 of them.
#
# Equations bear the numbers of the post that this lesson goes with. In the text the steps count as in the papers, from
# 1 to $T$; in the code index `t` stands for step $t + 1$.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import minitorch_cv as mt
from minitorch_cv import data, models, ops, optim, training, viz, weights
from minitorch_cv.course import Lesson
from minitorch_cv.training import Trainer

# Each setting for --quick, the default, and --full.
lesson = Lesson(
    "diffusion",
    walks=(20_000, 100_000, 1_000_000),
    plane_steps=(300, 3000, 20_000),  # of training, section 4
    judged=(20, 200, 1000),  # samples of each setting, section 6
    chain=(40, 1000, 1000),  # steps of the ancestral sampler, section 5
    variance_steps=((20,), (20, 250), (20, 250, 1000)),
    bound_steps=(40, 1000, 1000),  # section 7
    bound_images=(2, 10, 100),
    digits=(320, 4000, 4000),  # of the training in section 8
    epochs=(1, 4, 80),
    latent_epochs=(2, 25, 60),
    latent_steps=(100, 3000, 20_000),
    latent_count=(100, 1000, 1000),
    shown=(20, 100, 100),
)
settings = lesson.settings
rng = np.random.default_rng(0)
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
linear, cosine = models.Diffusion(None), models.Diffusion(None, models.cosine_schedule())


def quiet(axis, title=None):
    """Lines on two sides, a faint grid."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, linewidth=0.4, color="#CCCCCC")
    if title:
        axis.set_title(title, fontsize=10)


def strip(rows, names, titles, title):
    """Rows of images (N, 28, 28) in -1 .. 1 with a name at the left; titles above the first row."""
    columns = max(len(row) for row in rows)
    size = (0.72 * columns + 1.3, 0.74 * len(rows) + 0.6)
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="constrained")
    for line, row, name in zip(axes, rows, names, strict=True):
        for axis, image in zip(line, row, strict=False):
            axis.imshow(image, cmap="gray", vmin=-1, vmax=1)
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis in line[len(row) :]:
            axis.set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    for axis, text in zip(axes[0], titles, strict=False):
        axis.set_title(text, fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure


train, test = data.mnist5k("train"), data.mnist5k("test")
scale = data.Normalize(0.5, 0.5)  # to -1 .. 1
learn_images, test_images = scale(train.images, None), scale(test.images, None)

# %% [markdown]
# ## 1. Adding noise
#
# One step shrinks the picture a little and adds a little noise,
#
# $$q(x_t \mid x_{t-1}) = N\!\left(\sqrt{1 - \beta_t}\; x_{t-1},\; \beta_t I\right), \tag{2}$$
#
# with $\beta_t$ rising evenly from $10^{-4}$ to $0.02$ over $T = 1000$ steps. Why the root? If $x_{t-1}$ has variance
# 1, so has $x_t$: $(1 - \beta_t) \cdot 1 + \beta_t = 1$. A normal variable can be written as its mean plus its
# deviation times a standard one, which is called *reparameterising*:
#
# $$x_t = \sqrt{\alpha_t}\; x_{t-1} + \sqrt{1 - \alpha_t}\; \varepsilon_t, \qquad \alpha_t = 1 - \beta_t, \quad
# \varepsilon_t \sim N(0, I). \tag{3}$$
#
# **Two steps at once.** Insert (3) in itself:
#
# $$x_t = \sqrt{\alpha_t \alpha_{t-1}}\; x_{t-2} + \sqrt{\alpha_t (1 - \alpha_{t-1})}\; \varepsilon_{t-1} + \sqrt{1 -
# \alpha_t}\; \varepsilon_t. \tag{4}$$
#
# These are *two different* noises. Independent normal variables add up to a normal one, and their variances add:
# $\alpha_t (1 - \alpha_{t-1}) + 1 - \alpha_t = 1 - \alpha_t \alpha_{t-1}$. (With one and the same $\varepsilon$ in both
# places the deviations would add instead, and the result would be wrong.) By induction,
#
# $$x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \varepsilon, \qquad \bar\alpha_t = \prod_{s=1}^{t}
# \alpha_s. \tag{5}$$
#
# The product runs from $s = 1$ up to and with $t$. So any $x_t$ is one leap from $x_0$, and training needs no walk.

# %%
lesson.section("1. Adding noise")
n = settings.walks
unit = np.sqrt(1 - linear.betas[500]) * rng.standard_normal(n) + np.sqrt(linear.betas[500]) * rng.standard_normal(n)
print(f"(2), (3)  variance 1 before a step, {unit.var():.4f} after it ({n:,} numbers)")

a, b = 0.7, 0.8  # alpha_(t-1), alpha_t
first, second = rng.standard_normal((2, n))
two = np.sqrt(b * (1 - a)) * first + np.sqrt(1 - b) * second
one = np.sqrt(b * (1 - a)) * first + np.sqrt(1 - b) * first
print(f"(4)  variance of the noise of two steps: derived {1 - a * b:.4f}, two noises {two.var():.4f}")
print(f"     with one noise in both places, on purpose: {one.var():.4f}")
assert abs(two.var() / (1 - a * b) - 1) < 0.05 < abs(one.var() / (1 - a * b) - 1)

short = models.Diffusion(None, np.linspace(0.02, 0.3, 10))
walk = np.full(n, 0.7)
for beta in short.betas:
    walk = np.sqrt(1 - beta) * walk + np.sqrt(beta) * rng.standard_normal(n)
start, eps = np.full((n, 1), 0.7), rng.standard_normal((n, 1))
leap = short.q_sample(mt.Tensor(start), np.full(n, 9), mt.Tensor(eps)).numpy()
print(f"(5)  ten steps from 0.7: mean {walk.mean():.4f}, variance {walk.var():.4f}")
print(f"     one leap:           mean {leap.mean():.4f}, variance {leap.var():.4f}")
print(
    f"abar_T of the linear schedule: {linear.alpha_bars[-1]:.5e}; "
    f"its root, the share of x_0 in x_T: {linear.alpha_bars[-1] ** 0.5:.4f}"
)
lesson.record(abar_T=linear.alpha_bars[-1], chain=[walk.mean(), walk.var()], leap=[leap.mean(), leap.var()])

# %% [markdown]
# **The schedule.** With the linear one, digits are lost in noise long before the end. Nichol and Dhariwal (2021) choose
# $\bar\alpha$ itself, along a squared cosine, $\bar\alpha_t = f(t) / f(0)$ with $f(t) = \cos^2\!\left(\frac{t/T +
# s}{1 + s} \frac{\pi}{2}\right)$ and $s = 0.008$, from which $\beta_t = 1 - \bar\alpha_t / \bar\alpha_{t-1}$, at most
# 0.999.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for process, name, color, dash in ((linear, "linear", BLUE, "-"), (cosine, "cosine", ORANGE, "--")):
    steps = np.arange(1, 1001)
    axes[0].plot(steps, process.alpha_bars, dash, color=color, label=name)
    axes[1].plot(steps, process.betas, dash, color=color, label=name)
axes[0].set(xlabel="step t", ylabel="ᾱ, share of the picture's variance")
axes[1].set(xlabel="step t", ylabel="β", yscale="log")
quiet(axes[0], "what is left of the picture"), quiet(axes[1], "noise added in each step")
axes[0].legend(frameon=False)
lesson.figure(figure, "schedules")

times = np.array([1, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000])
rows, names = [], []
for digit in (7, 3):
    for process, name in ((linear, "linear"), (cosine, "cosine")):
        x0 = mt.Tensor(np.repeat(test_images[test.labels == digit][:1], len(times), axis=0))
        eps = mt.Tensor(np.repeat(mt.Generator(3).normal((1, 1, 28, 28)), len(times), axis=0))
        rows.append(process.q_sample(x0, times - 1, eps).numpy()[:, 0])
        names.append(name)
lesson.figure(strip(rows, names, [f"t = {t}" for t in times], "One digit and one noise, mixed by eq. 5"), "noising")
half = {name: int((p.alpha_bars > 0.5).sum()) for name, p in (("linear", linear), ("cosine", cosine))}
print(
    f"as much noise as picture (abar = 1/2) at step {half['linear']} of the linear schedule, "
    f"{half['cosine']} of the cosine schedule"
)
lesson.record(half=half)

# %% [markdown]
# ## 2. The way back
#
# We want $p_\theta(x_{0:T}) = p(x_T) \prod_t p_\theta(x_{t-1} \mid x_t)$, which starts from pure noise, with steps
#
# $$p(x_T) = N(0, I), \tag{6}$$
# $$p_\theta(x_{t-1} \mid x_t) = N\!\left(\mu_\theta(x_t, t),\; \sigma_t^2 I\right). \tag{7}$$
#
# May the step back be normal? In general it is not. By Bayes it is proportional to $q(x_t \mid x_{t-1})\, q(x_{t-1})$,
# and $q(x_{t-1})$ is as complicated as the data. But where $\beta_t$ is small the first factor is so narrow that the
# second hardly bends within it. We measure it, on a grid, for data at two places: how far is the true step back
# from the normal one with the same mean and variance?

# %%
lesson.section("2. The way back")
y = np.linspace(-6, 6, 20_001)


def normal(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def step_back(beta, x_t=0.1, abar=0.5):
    """q(x_(t-1) | x_t) on the grid, and the normal distribution nearest to it."""
    data_before = sum(0.5 * normal(y, np.sqrt(abar) * c, abar * 0.1**2 + 1 - abar) for c in (-2.0, 2.0))
    p = normal(x_t, np.sqrt(1 - beta) * y, beta) * data_before
    p /= p.sum()
    mean = p @ y
    q = normal(y, mean, p @ (y - mean) ** 2)
    return p, q / q.sum()


for beta in (0.9, 0.5, 0.1, 0.02):
    p, q = step_back(beta)
    divergence = (p * np.log(np.maximum(p, 1e-300) / np.maximum(q, 1e-300))).sum()
    print(f"(7)  beta = {beta:<4}: the true step back differs from a normal one by KL = {divergence:.1e} nats")
    lesson.record(**{f"KL of the step back from normal, beta {beta}": divergence})

# %% [markdown]
# **What to maximise.** $\log p_\theta(x_0)$ needs an integral over all ways $x_{1:T}$. As always when a log of a mean
# is out of reach, Jensen's inequality gives a bound, an average over ways that the *forward* process draws:
#
# $$-\log p_\theta(x_0) \;\le\; E_q\!\left[ \log \frac{q(x_{1:T} \mid x_0)}{p_\theta(x_{0:T})} \right]
#   = E_q\!\left[ -\log p(x_T) + \sum_{t=1}^{T} \log \frac{q(x_t \mid x_{t-1})}{p_\theta(x_{t-1} \mid x_t)} \right]. $$
#
# The fractions compare a step forward with a step back. Turn the step forward round by Bayes' rule, with $x_0$ given
# (which changes nothing, for $x_{t-1}$ already tells all):
#
# $$q(x_t \mid x_{t-1}) = q(x_t \mid x_{t-1}, x_0) = \frac{q(x_{t-1} \mid x_t, x_0)\; q(x_t \mid x_0)}{q(x_{t-1} \mid
# x_0)}. $$
#
# Mind the denominator: it is $q(x_{t-1} \mid x_0)$. The posterior itself has the other one, $q(x_{t-1} \mid x_t, x_0) =
# q(x_t \mid x_{t-1})\, q(x_{t-1} \mid x_0) / q(x_t \mid x_0)$. In the sum of the logs the factors $q(x_t \mid x_0) /
# q(x_{t-1} \mid x_0)$ telescope, and
#
# $$L = \underbrace{\mathrm{KL}\big(q(x_T | x_0) \,\|\, p(x_T)\big)}_{L_T} + \sum_{t=2}^{T} \underbrace{
# \mathrm{KL}\big(q(x_{t-1} | x_t, x_0) \,\|\, p_\theta(x_{t-1} | x_t)\big)}_{L_{t-1}} \;\underbrace{- \log p_\theta(x_0
# | x_1)}_{L_0}. \tag{8}$$
#
# **The posterior.** Its log is a sum of two squares in $x_{t-1}$,
#
# $$-\frac12 \left( \frac{(x_t - \sqrt{\alpha_t}\, x_{t-1})^2}{\beta_t} + \frac{(x_{t-1} - \sqrt{\bar\alpha_{t-1}}\,
# x_0)^2}{1 - \bar\alpha_{t-1}} \right) + \dots $$
#
# The factor of $x_{t-1}^2$ is $\frac{\alpha_t}{\beta_t} + \frac{1}{1 - \bar\alpha_{t-1}} = \frac{1 - \bar\alpha_t}{
# \beta_t (1 - \bar\alpha_{t-1})}$, and one over it is the variance; completing the square gives the mean:
#
# $$\tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\, \beta_t, \qquad \tilde\mu_t = \frac{\sqrt{
# \bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t}\, x_0 + \frac{\sqrt{\alpha_t}\, (1 - \bar\alpha_{t-1})}{1 -
# \bar\alpha_t}\, x_t. \tag{9}$$
#
# Three checks: Bayes' rule at random points, the telescope along a random way with an arbitrary $p_\theta$, and (9)
# against brute force on a grid.

# %%
log_normal = lambda x, mean, variance: -((x - mean) ** 2) / (2 * variance) - 0.5 * np.log(2 * np.pi * variance)
T, x0 = short.steps, 0.7
abar, before, alpha, beta = short.alpha_bars, short.alpha_bars_before, short.alphas, short.betas


def log_leap(x, t):  # q(x_t | x_0)
    return log_normal(x, np.sqrt(abar[t]) * x0, 1 - abar[t])


def log_posterior(x_before, x_t, t):  # q(x_(t-1) | x_t, x_0)
    mean, variance = short.posterior(mt.Tensor([[x0]], dtype=np.float64), mt.Tensor([[x_t]], dtype=np.float64), [t])
    return log_normal(x_before, mean.item(), variance[0])


def log_back(x_before, x_t, t):  # any p_theta will do
    return log_normal(x_before, 0.8 * x_t + 0.1 * np.sin(t), 0.3)


way = [x0]
for t in range(T):
    way.append(np.sqrt(alpha[t]) * way[-1] + np.sqrt(beta[t]) * rng.standard_normal())
forward = [log_normal(way[t + 1], np.sqrt(alpha[t]) * way[t], beta[t]) for t in range(T)]

t = 5  # x_t is way[t + 1], x_(t-1) is way[t]
right = log_posterior(way[t], way[t + 1], t) + log_leap(way[t + 1], t) - log_leap(way[t], t - 1)
print(f"Bayes: log q(x_t | x_t-1) = {forward[t]:.6f}, turned round {right:.6f}")
wrong = log_posterior(way[t], way[t + 1], t) + log_leap(way[t], t - 1) - log_leap(way[t + 1], t)
print(f"       with the posterior's denominator in its place: {wrong:.6f}")
assert abs(right - forward[t]) < 1e-9 < abs(wrong - forward[t])

whole = sum(forward) - log_normal(way[T], 0, 1) - sum(log_back(way[t], way[t + 1], t) for t in range(T))
telescoped = log_leap(way[T], T - 1) - log_normal(way[T], 0, 1) - log_back(way[0], way[1], 0)
telescoped += sum(log_posterior(way[t], way[t + 1], t) - log_back(way[t], way[t + 1], t) for t in range(1, T))
print(f"(8)  along one way: {whole:.9f} before the telescope, {telescoped:.9f} after it")
assert abs(whole - telescoped) < 1e-9

figure, axes = plt.subplots(1, 3, figsize=(11, 2.9), layout="constrained", sharey=True)
x_t, gap = -0.3, 0.0
for axis, t in zip(axes, (1, 4, 9), strict=True):
    share = np.exp(log_normal(x_t, np.sqrt(alpha[t]) * y, beta[t]) + log_leap(y, t - 1))
    share /= share.sum()
    mean, variance = short.posterior(mt.Tensor([[x0]], dtype=np.float64), mt.Tensor([[x_t]], dtype=np.float64), [t])
    gap = max(gap, abs(mean.item() - share @ y), abs(variance[0] - share @ (y - share @ y) ** 2))
    axis.plot(
        y[::40], share[::40] / (y[1] - y[0]), "o", color=GREY, markersize=4, fillstyle="none", label="Bayes, on a grid"
    )
    axis.plot(y, normal(y, mean.item(), variance[0]), color=BLUE, label="eq. 9")
    axis.plot(y, normal(y, np.sqrt(before[t]) * x0, 1 - before[t]), ":", color=GREEN, label="before $x_t$ is seen")
    axis.axvline(x_t, color=ORANGE, linewidth=1)
    axis.axvline(x0, color="black", linewidth=1)
    axis.set(xlim=(-1.8, 2.2), xlabel=f"$x_{{t-1}}$, t = {t + 1} of {T}")
    quiet(axis)
axes[2].legend(frameon=False, fontsize=8, loc="upper right")
axes[0].set_ylabel("density")
figure.suptitle("The posterior of $x_{t-1}$: black line $x_0$, orange line $x_t$", fontsize=11)
lesson.figure(figure, "posterior")
print(f"(9)  mean and variance differ from those on the grid by at most {gap:.0e}")
print(f"     betatilde_2 / beta_2 = {linear.posterior_variances[1] / linear.betas[1]:.6f} in the linear schedule")
lesson.record(posterior_gap=gap, bayes=[forward[5], right, wrong], telescope=[whole, telescoped])

# %% [markdown]
# ## 3. What the net learns
#
# The net does not know $x_0$, or there would be nothing to do. Solve (5) for it, $x_0 = (x_t - \sqrt{1 -
# \bar\alpha_t}\, \varepsilon) / \sqrt{\bar\alpha_t}$, and insert it in (9):
#
# $$\tilde\mu_t = \frac{1}{\sqrt{\alpha_t}} \left( x_t - \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}}\, \varepsilon \right).
# \tag{10}$$
#
# So to know the mean is to know the noise. Let the net guess it, $\varepsilon_\theta(x_t, t)$, and build
#
# $$\mu_\theta(x_t, t) = \frac{1}{\sqrt{\alpha_t}} \left( x_t - \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}}\,
# \varepsilon_\theta(x_t, t) \right), \tag{11}$$
# $$x_{t-1} = \mu_\theta(x_t, t) + \sigma_t z, \qquad z \sim N(0, I), \quad \text{and no } z \text{ in the last step}.
# \tag{12}$$
#
# The last step returns $\mu_\theta(x_1, 1)$ itself: noise that is added there would stay in the picture. Both means in
# $L_{t-1}$ now differ in the noise alone, and the divergence of two normal distributions with equal variance is a
# square:
#
# $$L_{t-1} = E\!\left[ \frac{\beta_t^2}{2 \sigma_t^2 \alpha_t (1 - \bar\alpha_t)} \left\lVert \varepsilon -
# \varepsilon_\theta(x_t, t) \right\rVert^2 \right] + C_t . \tag{13}$$
#
# The factor is largest for the smallest $t$, where the noise is too faint to be seen. Ho and others leave it out:
#
# $$L_{\text{simple}} = E_{t, x_0, \varepsilon} \left\lVert \varepsilon - \varepsilon_\theta\!\left(
# \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \varepsilon,\; t\right) \right\rVert^2 . \tag{14}$$
#
# *Training* (algorithm 1): draw a picture, a step, a noise; mix by (5); step down the gradient of (14). *Sampling*
# (algorithm 2): start from noise and repeat (12) from $t = T$ to 1.

# %%
lesson.section("3. What the net learns")
x0s, eps, said = (mt.Tensor(rng.standard_normal((4, 3))) for _ in range(3))
t = np.array([1, 30, 400, 999])
x_t = linear.q_sample(x0s, t, eps)
column = lambda values: values[t][:, None]
lb, la, lab = column(linear.betas), column(linear.alphas), column(linear.alpha_bars)


def mean_by_noise(noise):  # (10), (11)
    return (x_t.numpy() - lb / np.sqrt(1 - lab) * noise.numpy()) / np.sqrt(la)


by_image, tilde = linear.posterior(x0s, x_t, t)
gap = abs(by_image.numpy() - mean_by_noise(eps)).max()
print(f"(9) and (10): the two forms of the mean differ by at most {gap:.0e}")
guess, _ = linear.x0_and_eps(said, x_t, t)
guess_gap = abs(linear.posterior(guess, x_t, t)[0].numpy() - mean_by_noise(said)).max()
print(f"(11): a guess of the noise and the guess of x_0 that it stands for: {guess_gap:.0e}")
divergence = ((mean_by_noise(eps) - mean_by_noise(said)) ** 2).sum(axis=1) / (2 * tilde)
weight = (lb**2 / (2 * tilde[:, None] * la * (1 - lab)))[:, 0]
weighted = weight * ((eps.numpy() - said.numpy()) ** 2).sum(axis=1)
print(f"(13): KL of the two means {np.round(divergence, 4)}, weighted squares {np.round(weighted, 4)}")
print(f"      the weight with sigma^2 = betatilde: {weight[0]:.3f} at t = 2, {weight[-1]:.5f} at t = 1000")
assert max(gap, guess_gap, abs(divergence / weighted - 1).max()) < 1e-9

*_, last = models.Diffusion(lambda x, t: 0.25 * x, short.betas, "x0").ddpm((3, 2), generator=mt.Generator(0))
gap = abs(last.x.numpy() - last.x0.numpy()).max()
print(f"(12): the sample and the last guess of x_0 differ by {gap:.0e}: no noise in the last step")
assert gap < 1e-12
lesson.record(weight=[weight[0], weight[-1]])

# %% [markdown]
# **A loss that cannot become zero.** The noise in $x_t$ cannot be told exactly. For data from $N(0, s^2)$ the best
# guess is linear, and its mean square error is known: $\bar\alpha_t s^2 / (\bar\alpha_t s^2 + 1 - \bar\alpha_t)$. It
# is near 1 at the first step, where the noise hides behind the data, and near 0 at the last, where $x_t$ *is* the
# noise. Does `Diffusion.loss` reach it with this best net, and not less?

# %%
s = 0.5


def best_net(x, t):
    a = linear.alpha_bars[t][:, None]
    return x * mt.Tensor(np.sqrt(1 - a) / (a * s**2 + 1 - a))


points = mt.Tensor(s * rng.standard_normal((n, 1)))
measured = models.Diffusion(best_net).loss(points, generator=mt.Generator(0)).item()
derived = linear.alpha_bars * s**2 / (linear.alpha_bars * s**2 + 1 - linear.alpha_bars)
print(f"(14) for N(0, 1/4), best net: measured {measured:.4f}, derived {derived.mean():.4f}")
print(f"     of one step: {derived[0]:.4f} at t = 1, {derived[-1]:.6f} at t = 1000")
assert abs(measured / derived.mean() - 1) < 0.1
lesson.record(gaussian_loss=measured, gaussian_loss_derived=derived.mean())

# %% [markdown]
# ## 4. Points in the plane
#
# Where does the noise point? Let $p_t$ be the density of $x_t$. The best guess is $\varepsilon^* = -\sqrt{1 -
# \bar\alpha_t}\; \nabla \log p_t(x_t)$: the noise points away from where data are. The gradient of the log of a density
# is called its *score*. For a mixture of normal distributions $p_t$ is a mixture again, and the score a formula. So we
# can train a small net on points, $L_{\text{simple}}$ and nothing else, and lay what it learned over the truth.

# %%
lesson.section("4. Points in the plane")
angles = 2 * np.pi * np.arange(5) / 5
centers, shares, spread = (
    1.4 * np.stack([np.sin(angles), np.cos(angles)], axis=1),
    np.array([0.1, 0.15, 0.2, 0.25, 0.3]),
    0.15,
)
betas = np.linspace(1e-4, 0.09, 200)


def log_parts(x, abar):
    """log of share times density of each part of p_t at x (N, 2)."""
    variance = abar * spread**2 + 1 - abar
    squares = ((x[:, None] - np.sqrt(abar) * centers) ** 2).sum(axis=2)
    return np.log(shares) - squares / (2 * variance) - np.log(2 * np.pi * variance)


def true_eps(x, abar):
    parts = log_parts(x, abar)
    belongs = np.exp(parts - np.logaddexp.reduce(parts, axis=1, keepdims=True))
    score = (np.sqrt(abar) * belongs @ centers - x) / (abar * spread**2 + 1 - abar)
    return -np.sqrt(1 - abar) * score


def draw(count):
    return centers[rng.choice(5, count, p=shares)] + spread * rng.standard_normal((count, 2))


exact = models.Diffusion(
    lambda x, t: mt.Tensor(true_eps(x.numpy(), exact.alpha_bars[t[0]])), betas, "eps", "beta", False
)
plane_net = models.MLPDenoiser(2, 128, 3, generator=mt.Generator(0))
plane = models.Diffusion(plane_net, betas, "eps", "beta", clip=False, generator=mt.Generator(1))
optimizer = optim.Adam(plane.parameters(), lr=2e-3)
schedule = optim.CosineAnnealingLR(optimizer, settings.plane_steps)
began = time.perf_counter()
for _ in range(settings.plane_steps):
    optimizer.zero_grad()
    plane.loss(mt.Tensor(draw(256).astype(np.float32))).backward()
    optimizer.step()
    schedule.step()
print(f"{settings.plane_steps} steps of training in {time.perf_counter() - began:.0f} s")

figure, axes = plt.subplots(1, 3, figsize=(11, 3.9), layout="constrained", sharex=True, sharey=True)
grid = np.stack(np.meshgrid(np.linspace(-2.4, 2.4, 13), np.linspace(-2.4, 2.4, 13)), axis=-1).reshape(-1, 2)
fine = np.stack(np.meshgrid(np.linspace(-2.6, 2.6, 120), np.linspace(-2.6, 2.6, 120)), axis=-1)
for axis, t in zip(axes, (10, 60, 150), strict=True):
    a = plane.alpha_bars[t]
    noise = rng.standard_normal((4000, 2))
    some = np.sqrt(a) * draw(4000) + np.sqrt(1 - a) * noise
    with mt.no_grad():
        learned = [plane_net(mt.Tensor(x.astype(np.float32)), np.full(len(x), t)).numpy() for x in (grid, some)]
    wanted = true_eps(grid, a), true_eps(some, a)
    excess, least = ((learned[1] - wanted[1]) ** 2).mean(), ((noise - wanted[1]) ** 2).mean()
    density = np.exp(np.logaddexp.reduce(log_parts(fine.reshape(-1, 2), a), axis=1)).reshape(120, 120)
    axis.contourf(fine[..., 0], fine[..., 1], density, levels=12, cmap="Greys", alpha=0.6)
    for values, color, width in ((wanted[0], ORANGE, 0.012), (learned[0], BLUE, 0.004)):
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        arrows = -values / np.maximum(lengths, 1e-9) * np.sqrt(lengths)
        axis.quiver(
            *grid.T,
            *arrows.T,
            color=color,
            width=width,
            angles="xy",
            scale_units="xy",
            scale=5.5,
            headwidth=2.2 if color == ORANGE else 3.5,
            headlength=2.2 if color == ORANGE else 3.5,
            headaxislength=2.2 if color == ORANGE else 3.5,
        )
    axis.set(aspect="equal", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
    axis.set_title(f"t = {t + 1} of 200, ᾱ = {a:.2f}", fontsize=10)
    print(
        f"t = {t + 1}: mean square error of the noise, where points lie: least {least:.4f}, the net {excess:.4f} more"
    )
    lesson.record(**{f"excess error at t {t + 1}": excess, f"least error at t {t + 1}": least})
figure.suptitle(
    "The score: analytic (broad, orange) and learned (narrow, blue), over the density of the noisy points", fontsize=11
)
lesson.figure(figure, "score_field")

# %% [markdown]
# The least error is that of the true guess, as in section 3. Where points lie, the arrows cover one another. Where none
# ever came, in the corners at small $t$, the net was never asked, and guesses. A sampler of many small steps hardly gets
# there; one of twenty leaps does, as the points between the places show in the next figure.
#
# Now sample, with the formula as the net and with the learned one: all 200 steps of (12), and 20 steps of DDIM (section
# 6). Do the five places get their shares? And the bound (8), which must not lie below the true $-\log p$:

# %%
held_out = draw(1000)
nll = -np.logaddexp.reduce(log_parts(held_out, 1.0), axis=1).mean()
print(f"true -log p of 1,000 new points: {nll:.3f} nats a point;   shares asked for: {shares}")
figure, axes = plt.subplots(1, 4, figsize=(11, 3.1), layout="constrained", sharex=True, sharey=True)
ways = [("formula", exact), ("learned", plane)]
for i, (name, process) in enumerate(ways):
    dtype = np.float64 if name == "formula" else np.float32
    bound = process.variational_bound(
        mt.Tensor(held_out.astype(dtype)), levels=None, generator=mt.Generator(2)
    ).nats.mean()
    print(f"{name}: bound {bound:.3f} nats, {bound - nll:+.3f} from the truth")
    lesson.record(**{f"plane bound, {name}": bound, "plane nll": nll})
    for j, (sampler, steps) in enumerate((("200 steps", None), ("DDIM, 20 steps", 20))):
        x = process.sample((2000, 2), steps=steps, generator=mt.Generator(3)).numpy()
        nearest = ((x[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        found = np.bincount(nearest, minlength=5) / len(x)
        width = np.mean([x[nearest == k].std(axis=0).mean() for k in range(5)]) / spread
        print(f"  {sampler:<15} shares {np.round(found, 3)}, spread within a place {width:.2f} of the true one")
        lesson.record(**{f"plane shares, {name}, {sampler}": found, f"plane spread, {name}, {sampler}": width})
        axis = axes[2 * i + j]
        axis.plot(*x.T, ".", color=ORANGE if i == 0 else BLUE, markersize=2, alpha=0.5)
        axis.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), aspect="equal", xticks=[], yticks=[])
        axis.set_title(f"{name}, {sampler}", fontsize=10)
lesson.figure(figure, "plane_samples")

# %% [markdown]
# ## 5. Digits
#
# For pictures the net is a U-Net: down through three resolutions with residual blocks, up again, each level with what
# was kept on the way down; the step shifts the channels of every block, and so does the digit's label. Ho and others'
# net for CIFAR-10 has 35.7 million parameters; ours, with the same parts, 1.1 million. It was trained for 80 epochs on
# 4,000 digits, about an hour on two cores (`tools/train_generative.py diffusion`), by (14) and nothing else, and its
# weights, averaged over the steps, come with the package.

# %%
lesson.section("5. Digits")
with mt.nn.init.skipped():  # only counted
    published = models.ddpm_unet()
print(f"parameters: {sum(p.size for p in published.parameters()):,} as published; ", end="")
unet = models.ddpm_unet_digits()
mt.load_weights(unet, weights.trained_weights("ddpm_unet_digits"))
unet.eval()
process = models.Diffusion(unet)
print(f"{sum(p.size for p in unet.parameters()):,} ours")

labels = np.arange(settings.shown) % 10
began = time.perf_counter()
shown = process.sample(
    (len(labels), 1, 28, 28), labels, 2.0, steps=25 if lesson.mode != "quick" else 8, generator=mt.Generator(1)
)
print(f"{len(labels)} digits by DDIM in {time.perf_counter() - began:.0f} s")
lesson.figure(viz.image_grid(shown.numpy(), limits=(-1, 1), columns=10, title="Nobody wrote these"), "samples")

# %% [markdown]
# **The way there.** Ancestral sampling (12), with what the net takes for $x_0$ at each step below. At the very start
# its guess is coarse, for to get $x_0$ from the noise one divides by $\sqrt{\bar\alpha_T} = 0.0064$, and every error
# grows with it. Then comes a blurred mean of all digits that would fit, and every step makes it more definite.

# %%
chain = process.respaced(settings.chain)
asked = np.array([2, 3, 5, 7, 8, 0, 4, 6, 9, 1])
began = time.perf_counter()
walk = list(chain.ddpm((10, 1, 28, 28), asked, 1.0, generator=mt.Generator(5)))
print(f"{settings.chain} steps for {len(asked)} digits: {time.perf_counter() - began:.0f} s")
at = np.linspace(0, settings.chain, 13).round().astype(int)
rows, names = [], []
for i in range(3):
    rows += [[walk[k].x.numpy()[i, 0] for k in at], [walk[min(k + 1, settings.chain)].x0.numpy()[i, 0] for k in at]]
    names += ["$x_t$", "guess of $x_0$"]
whole_step = lambda k: round((settings.chain - k) * 1000 / settings.chain)
lesson.figure(strip(rows, names, [f"t = {whole_step(k)}" for k in at], "From noise to digits"), "denoising")


def tiled(images, columns=5):
    """(N, 1, 28, 28) in -1 .. 1 as one picture of bytes, three times as large."""
    pixels = np.clip(255 * (images[:, 0] + 1) / 2, 0, 255).astype(np.uint8)
    rows = [np.concatenate(list(pixels[i : i + columns]), axis=1) for i in range(0, len(pixels), columns)]
    return np.concatenate(rows).repeat(3, axis=0).repeat(3, axis=1)


frames = []
for k in np.linspace(0, settings.chain, 61).round().astype(int):
    left, right = walk[k].x.numpy(), walk[min(k + 1, settings.chain)].x0.numpy()
    frames.append(np.concatenate([tiled(left), np.full((168, 12), 255, np.uint8), tiled(right)], axis=1))
pictures = [Image.fromarray(frame // 16 * 17) for frame in frames]  # 16 greys: a smaller file
pause = [90] * (len(frames) - 1) + [2500]
pictures[0].save(lesson.folder / "denoising.gif", save_all=True, append_images=pictures[1:], duration=pause, loop=0)
print(f"  motion: denoising.gif, {len(frames)} frames: left x_t, right the guess of x_0")

# %% [markdown]
# ## 6. Fewer steps, and guidance
#
# **A judge.** To say more than "looks fine", a small classifier, trained on the same digits (its weights come with the
# package too), reads the samples: how many are read as the digit that was asked for? And is there variety? The
# *spread* is the standard deviation of pixels within a digit, relative to that of real ones: a net that always drew the
# same 7 would have the first and not the second. Of 200 samples, a share of 95 % is known to within 1.5 points (one
# standard error); the shipped net is measured on 1,000, and by more than these two numbers, by
# `minitorch-cv sample ddpm_unet_digits --judge`.

# %%
lesson.section("6. Fewer steps, and guidance")
judge = models.digit_classifier()
mt.load_weights(judge, weights.trained_weights("digit_classifier"))
judge.eval()


def probabilities(images):
    """The judge's, of each digit (N, 10); it takes images in 0 .. 1."""
    with mt.no_grad():
        return ops.softmax(judge(mt.Tensor((images + 1) / 2)), axis=1).numpy()


accuracy = (probabilities(test_images).argmax(axis=1) == test.labels).mean()
print(f"the judge reads {accuracy:.1%} of the held-out digits rightly")


def judged(images, labels):
    """Share read as asked; spread relative to real digits."""
    read = probabilities(images).argmax(axis=1) == labels
    return read.mean(), training.within_class_spread(images, labels, learn_images, train.labels).mean()


def drawn(process, labels, guidance, steps, seed):
    """Samples of these labels, a hundred at a time."""
    generator, found = mt.Generator(seed), []
    for i in range(0, len(labels), 100):
        some = labels[i : i + 100]
        x = process.sample((len(some), 1, 28, 28), some, guidance, steps=steps, generator=generator)
        found.append(x.numpy())
    return np.concatenate(found)


lesson.record(judge=accuracy)

# %% [markdown]
# **DDIM** (Song, Meng, Ermon 2020). Nothing in the training speaks of a *chain*: (14) knows only $x_t$ given $x_0$. So
# any process with the same $q(x_t \mid x_0)$ may be used to go back. From $x_t$ the net guesses $x_0$ and the noise;
# mix them anew for an earlier step $s$, which need not be $t - 1$:
#
# $$x_s = \sqrt{\bar\alpha_s}\; \hat x_0 + \sqrt{1 - \bar\alpha_s - \sigma^2}\; \hat\varepsilon + \sigma z . $$
#
# With $\sigma = 0$ the first noise decides everything. With $\sigma^2 = \tilde\beta_t$ and $s = t - 1$ it is (12)
# again. How few steps will do?

# %%
count = settings.judged
labels = np.arange(count) % 10
by_steps = {}
for steps in (2, 5, 10, 25, 50) if lesson.mode != "quick" else (2, 5, 10):
    x = drawn(process, labels, 1.0, steps, 6)
    by_steps[steps] = x, *judged(x, labels)
    print(
        f"DDIM, {steps:>2} steps: {by_steps[steps][1]:6.1%} read as asked, "
        f"spread {by_steps[steps][2]:.2f}, {count} digits"
    )
lesson.record(by_steps={steps: found[1:] for steps, found in by_steps.items()})
order = list(by_steps)
lesson.figure(
    strip(
        [by_steps[steps][0][:20, 0] for steps in order],
        [f"{steps} steps\n{by_steps[steps][1]:.0%} read" for steps in order],
        [f"{d}" for d in labels[:20]],
        "DDIM from the same noise, without guidance",
    ),
    "by_steps",
)

# %% [markdown]
# Two leaps are too few. From five on the judge reads nearly every digit; read its numbers together with the spread. Few
# long steps land near the mean of what the noise could have become: typical digits, easily read, and too much alike.
# More steps bring the variety of real digits back, and with it some that the judge misreads.
#
# **Guidance without a classifier** (Ho and Salimans 2022). In training every tenth label was dropped, so that the net
# knows both guesses, with the label and without. Their difference is what the label says; exaggerate it:
#
# $$\hat\varepsilon = \varepsilon_\theta(x_t) + s \left( \varepsilon_\theta(x_t, y) -
# \varepsilon_\theta(x_t) \right). $$
#
# $s = 0$ ignores the label, $s = 1$ is the net with it, larger $s$ wants the digit to be *more* typical. (The paper's
# $w$ is $s - 1$.)

# %%
by_scale = {}
for s in (0.0, 1.0, 2.0, 4.0, 8.0):
    steps = 20 if lesson.mode != "quick" else 5
    x = drawn(process, labels, s, steps, 7)
    by_scale[s] = x, *judged(x, labels)
    print(
        f"guidance {s:.0f}: {by_scale[s][1]:6.1%} read as asked, "
        f"spread {by_scale[s][2]:.2f}, {count} digits, {steps} steps"
    )
lesson.record(by_guidance={s: found[1:] for s, found in by_scale.items()})
lesson.figure(
    strip(
        [found[0][:20, 0] for found in by_scale.values()],
        [f"s = {s:.0f}\n{found[1]:.0%} read" for s, found in by_scale.items()],
        [f"{d}" for d in labels[:20]],
        "Guidance, from the same noise; above each column the digit asked for",
    ),
    "by_guidance",
)

# %% [markdown]
# At $s = 0$ the label plays no role, and about a tenth is right by chance; all digits then stand under each label, so
# that the spread is large. From $s = 1$ to 4 look at both numbers in the print: the share read as asked rises, the
# spread falls. The price of being typical is variety.
#
# **Which $\sigma^2$?** The paper tries $\beta_t$, right for data that is pure noise, and $\tilde\beta_t$, right for
# data that is one point. With 1000 steps they differ in the first few only. With 20 steps the last $\beta$ to be added is
# large, and the sample keeps the grain of it. We measure the grain where real digits are empty, in the topmost row of
# pixels:

# %%
print(f"betatilde / beta at t = 2, 10, 100: {np.round((linear.posterior_variances / linear.betas)[[1, 9, 99]], 3)}")
figure, axis = plt.subplots(figsize=(5.4, 3.3), layout="constrained")
steps = np.arange(2, 1001)
axis.loglog(steps, linear.betas[1:], color=ORANGE, label="β, 1000 steps")
axis.loglog(steps, linear.posterior_variances[1:], "--", color=BLUE, label="β̃, 1000 steps")
coarse = linear.respaced(20)
where = np.linspace(1, 1000, 20)[1:]
axis.loglog(where, coarse.betas[1:], "o", color=ORANGE, markersize=4, label="β, 20 steps")
axis.loglog(where, coarse.posterior_variances[1:], "s", color=BLUE, markersize=4, mfc="none", label="β̃, 20 steps")
axis.set(xlabel="step t", ylabel="variance added in a step back")
axis.legend(frameon=False, fontsize=8)
quiet(axis)
lesson.figure(figure, "variances")

few = min(count, 50)
rows, names = [], []
for steps in settings.variance_steps:
    for variance, letter in (("beta", "β"), ("posterior", "β̃")):
        sampler = process.respaced(steps, variance)
        x = drawn(sampler, labels[:few], 1.0, None, 8)
        read, width = judged(x, labels[:few])
        rows.append(x[:20, 0])
        names.append(f"{letter}, {steps} steps\n{read:.0%} read")
        grain = x[:, 0, 0].std()  # of the topmost row of pixels, which is empty in real digits
        print(f"{steps:>4} steps, sigma^2 = {letter}: {read:.0%} of {few} read as asked, grain {grain:.4f}")
        lesson.record(**{f"{steps} steps, {variance}": [read, width, grain]})
lesson.figure(strip(rows, names, [f"{d}" for d in labels[:20]], "Ancestral sampling with two variances"), "by_variance")

# %% [markdown]
# **Are they copies?** Beside each of twenty samples stands the training digit that is nearest to it, pixel by pixel. A
# net that had learned its 4,000 digits by heart would show pairs of twins. As a yardstick: how far are *held-out*
# digits, which nobody could copy, from the training digits?

# %%
flat = learn_images.reshape(len(learn_images), -1)


def nearest(images):
    rows = images.reshape(len(images), -1)
    squares = (rows**2).sum(axis=1)[:, None] - 2 * rows @ flat.T + (flat**2).sum(axis=1)
    return squares.argmin(axis=1), np.sqrt(np.maximum(squares.min(axis=1), 0))


best = by_steps[order[-1]][0]
where, distances = nearest(best)
_, of_real = nearest(test_images)
lesson.figure(
    strip(
        [best[:10, 0], learn_images[where[:10], 0], best[10:20, 0], learn_images[where[10:20], 0]],
        ["sample", "nearest", "sample", "nearest"],
        [],
        "Samples, and below each the nearest of 4,000 training digits",
    ),
    "neighbours",
)
print(
    f"distance to the nearest training digit: median {np.median(distances):.2f} of samples, "
    f"{np.median(of_real):.2f} of held-out digits"
)
close = np.quantile(of_real, 0.01)
print(f"nearer than {close:.2f}, as 1 % of the held-out digits are: {(distances < close).mean():.1%} of the samples")
lesson.record(nearest=[np.median(distances), np.median(of_real)])

# %% [markdown]
# ## 7. The bound of the trained net
#
# (8) says how well the net *compresses* digits: in bits for each of the 784 pixels. Pixels are whole numbers, so the
# last step gives each of the 256 grey values its share of the normal distribution. What a 256-sided die costs: 8 bits.

# %%
lesson.section("7. The bound of the trained net")
some = test_images[: settings.bound_images]
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
began = time.perf_counter()
for variance, letter, color, dash in (("posterior", "β̃", BLUE, "--"), ("beta", "β", ORANGE, "-")):
    measured = process.respaced(settings.bound_steps, variance)
    bound = measured.variational_bound(mt.Tensor(some), test.labels[: len(some)], generator=mt.Generator(9))
    bits = bound.steps.mean(axis=0) / (784 * np.log(2))
    prior = bound.prior.mean() / (784 * np.log(2))
    print(
        f"sigma^2 = {letter}, {settings.bound_steps} steps: {bound.bits_per_dim.mean():.3f} bits a pixel "
        f"(L_0 {bits[0]:.3f}, the other steps {bits[1:].sum():.3f}, L_T {prior:.5f}); {len(some)} held-out digits"
    )
    numbers = np.linspace(1, 1000, settings.bound_steps)
    early, late = bits[numbers <= 30].sum() / bits.sum(), bits[numbers > 200].sum() / bits.sum()
    print(f"  {early:.1%} of it in steps 1 to 30, {late:.1%} in steps 201 to 1000")
    axes[0].loglog(numbers, bits, dash, color=color, label=f"σ² = {letter}")
    axes[1].semilogx(numbers, np.cumsum(bits), dash, color=color, label=f"σ² = {letter}")
    lesson.record(
        **{f"bits, {variance}": bound.bits_per_dim.mean(), f"L0, {variance}": bits[0], f"LT, {variance}": prior}
    )
print(f"{time.perf_counter() - began:.0f} s")
axes[0].set(xlabel="step t", ylabel="bits a pixel")
axes[1].set(xlabel="up to and with step t", ylabel="bits a pixel, summed")
quiet(axes[0], "each term of the bound"), quiet(axes[1], "their sum")
axes[0].legend(frameon=False)
lesson.figure(figure, "bound")

# %% [markdown]
# Look at the printed shares: most bits are spent in the first thirty of a thousand steps, on details whose loss no eye
# would notice. The steps behind 200, in which noise becomes a 7 and not a 2 (see the film strip), cost next to nothing.
# $L_{\text{simple}}$ turns this round: it weighs all steps alike, and so spends the net's strength on what one sees.
# That is why its samples look good although its bits are nothing to boast of.
#
# ## 8. A shorter training, before your eyes
#
# The same recipe for a few epochs: Adam, rate 0.001 falling along half a cosine, gradients clipped at norm 1, weights
# averaged. The average must be quicker here (0.99, not 0.999), since the run is short.

# %%
lesson.section("8. A shorter training")
generator = mt.Generator(0)
young = models.Diffusion(models.ddpm_unet_digits(generator=generator), generator=generator)
loader = data.DataLoader(
    train.subset(slice(0, settings.digits)), 32, shuffle=True, generator=mt.Generator(1), transform=scale
)
optimizer = optim.Adam(young.parameters(), lr=1e-3)
trainer = Trainer(
    young,
    optimizer,
    objective=lambda x, label: young.loss(x, label),
    train_loader=loader,
    schedule=optim.CosineAnnealingLR(optimizer, settings.epochs * len(loader)),
    schedule_per="step",
    ema=optim.ExponentialMovingAverage(young, 0.99),
    clip_norm=1.0,
)
history = trainer.fit(settings.epochs)
steps = 20 if lesson.mode != "quick" else 5
asked = np.arange(settings.shown) % 10
with trainer.ema.applied():
    young.eval()
    early = drawn(young, asked, 2.0, steps, 7)
late = drawn(process, asked, 2.0, steps, 7)
for name, x in (("shorter run", early), ("shipped weights", late)):
    read, width = judged(x, asked)
    print(f"{name}: {read:.0%} of {len(asked)} read as asked, spread {width:.2f} (guidance 2, {steps} steps)")
    lesson.record(**{name: [read, width]})
print(
    f"L_simple of the shorter run: {history['loss'][0]:.4f} in the first epoch, {history.last['loss']:.4f} in the last"
)
lesson.record(loss=history["loss"])
lesson.figure(
    strip(
        [early[:10, 0], early[10:20, 0], late[:10, 0], late[10:20, 0]],
        [f"{settings.epochs} epochs", "", "80 epochs", ""],
        [f"{d}" for d in range(10)],
        "A shorter run, and the shipped weights, from the same noise",
    ),
    "shorter_run",
)

# %% [markdown]
# Compare the two prints of the default run: the loss has fallen most of its way in four epochs, and yet the judge can
# read few of the samples. $L_{\text{simple}}$ is a mean over all steps; a sampler walks through *all* of them, and what
# the net misses adds up along the way.
#
# ## 9. Latent diffusion
#
# Most of the work above is done on pixels that an autoencoder could fill in. Rombach and others (2022) diffuse its
# *codes* instead: encode, bring the codes to mean 0 and deviation 1, learn to denoise *them*, and decode what comes
# out. That, with a larger net and a text in place of the digit, is Stable Diffusion. Our first stage has one hidden
# layer and 16 numbers in its code, and the net that denoises codes is a stack of linear layers.

# %%
lesson.section("9. Latent diffusion")
stage = models.Autoencoder(784, 256, 16, generator=mt.Generator(0))
optimizer = optim.Adam(stage.parameters(), lr=2e-3)
loader = data.DataLoader(train, 64, shuffle=True, generator=mt.Generator(2), transform=scale)
trainer = Trainer(
    stage,
    optimizer,
    objective=lambda x, label: stage.loss(x),
    train_loader=loader,
    test_loader=data.DataLoader(test, 250, transform=scale),
    schedule=optim.CosineAnnealingLR(optimizer, settings.latent_epochs * len(loader)),
    schedule_per="step",
    progress=False,
)
lost = trainer.fit(settings.latent_epochs).last["test_loss"]
print(f"autoencoder: mean square lost {lost:.4f} on held-out digits, whose variance is {test_images.var():.4f}")

code_net = models.MLPDenoiser(16, 256, 3, num_classes=10, generator=mt.Generator(1))
codes = models.Diffusion(code_net, clip=False, generator=mt.Generator(3))
latent = models.LatentDiffusion(stage, codes).fit(mt.Tensor(learn_images))
optimizer = optim.Adam(codes.parameters(), lr=1e-3)
schedule = optim.CosineAnnealingLR(optimizer, settings.latent_steps)
began = time.perf_counter()
for _ in range(settings.latent_steps):
    batch = rng.integers(0, len(train), 128)
    optimizer.zero_grad()
    latent.loss(mt.Tensor(learn_images[batch]), train.labels[batch]).backward()
    optimizer.step()
    schedule.step()
print(f"{settings.latent_steps} steps of training in {time.perf_counter() - began:.0f} s")

asked = np.arange(settings.latent_count) % 10
began = time.perf_counter()
from_codes = latent.sample(len(asked), asked, 1.5, 50, generator=mt.Generator(4)).numpy()
seconds = time.perf_counter() - began
read, width = judged(from_codes, asked)
print(
    f"{len(asked):,} digits in {seconds:.1f} s: {read:.1%} read as asked, spread {width:.2f} (guidance 1.5, 50 steps)"
)
noise_codes = latent.decode(mt.Tensor(mt.Generator(4).normal((len(asked), 16)))).numpy()
for name, x in (("random codes", noise_codes), ("diffused codes", from_codes), ("held-out digits", test_images)):
    sure = (probabilities(x).max(axis=1) > 0.9).mean()
    print(f"{name}: the judge is sure of {sure:.1%} (a probability above 0.9)")
    lesson.record(**{f"sure of {name}": sure})
work = {
    "U-Net": models.ledger(unet, unet.input_shape).multiply_adds,
    "codes": models.ledger(code_net, (1, 16)).multiply_adds,
}
print(
    f"multiply-adds of one guess: {work['U-Net']:,} for pixels, {work['codes']:,} for codes, "
    f"{work['U-Net'] / work['codes']:.0f} times fewer"
)
lesson.record(latent=[read, width], latent_seconds=seconds, reconstruction=lost, multiply_adds=work)
with mt.no_grad():
    rebuilt = stage(mt.Tensor(test_images[:10])).numpy()
lesson.figure(
    strip(
        [test_images[:10, 0], rebuilt[:, 0], noise_codes[:10, 0], from_codes[:10, 0], from_codes[10:20, 0]],
        ["held-out digits", "through 16 numbers", "random codes", "diffused codes", "(0 to 9)"],
        [],
        "Diffusion over the codes of an autoencoder",
    ),
    "latent",
)

# %% [markdown]
# The judge reads these digits well, but look at the spread: they are too much alike. Two things take variety away. The
# autoencoder loses a fifth of the variance of pixels (the first line of the print), since sixteen numbers do not hold
# more; and guidance, here 1.5, asks for what is typical. Stable Diffusion's first stage loses far less: it keeps its
# code as a picture of an eighth of the size in each direction.

# %%
lesson.finish()

# %% [markdown]
# ## What was measured, and what to try next
#
# `results.json` holds the numbers of your run. They are those of a small net and 4,000 digits; the paper's, trained on
# CIFAR-10 for 800,000 steps, has an FID of 3.17 and a bound of at most 3.75 bits for each number of a picture.
#
# 1. Put noise into the last step, on purpose. What does the judge say, and what the eye?
# 2. Train the net of section 4 to say $x_0$, or $v = \sqrt{\bar\alpha}\, \varepsilon - \sqrt{1 - \bar\alpha}\, x_0$
#    (`predicts="v"`). Which one misses least at $t = 1$, and which at $t = T$?
# 3. Derive DDIM's $\sigma^2$ for which it is (12), and check it with `eta=1.0`.
# 4. Train a short run with `models.cosine_schedule()`. Compare the judge's numbers, not the losses: why not those?
# 5. Interpolate: mix two noises by $\cos\varphi$ and $\sin\varphi$ and follow DDIM. Why not by $1 - \varphi$ and
#    $\varphi$?
# 6. Swap the autoencoder of section 9 for a `models.VAE`. What changes in the codes?
#
# Next: `06_vae`, an encoder that learns what its codes should look like.
