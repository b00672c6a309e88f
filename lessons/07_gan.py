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
# # Generative adversarial nets
#
# **The question.** A net shall draw digits that nobody has drawn before. What is its loss? A VAE compares pixel by
# pixel, and a diffusion model compares noise; each needs a formula for how wrong a picture is. Goodfellow and others
# had another idea in 2014: let a second net find out. The *discriminator* D learns to tell real pictures from
# generated ones, and the *generator* G learns to be taken for real. No formula for pictures is needed; the loss is
# learned too.
#
# The price: training is no longer a descent. Two nets pull at one number in opposite directions. You will derive where
# that game ends, see why it may not get there, and mend it with a second derivative.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import minitorch_cv as mt
from minitorch_cv import data, models, nn, ops, optim, viz
from minitorch_cv.course import Lesson
from minitorch_cv.training import AdversarialTrainer
from minitorch_cv.weights import load_weights, trained_weights

# Each setting for --quick, the default, and --full.
lesson = Lesson(
    "gan",
    fit_steps=(120, 400, 2000),  # of each D of one number
    ring_seeds=(1, 5, 5),
    ring_steps=(160, 3000, 100_000),  # of D and of G each
    ring_hidden=(64, 128, 512),  # the paper's are 512
    ring_rate=(1e-3, 1e-3, 1e-4),
    ring_critic=(1, 1, 5),  # steps of D for each of G
    dataset=("digits", "digits", "MNIST"),
    images=(320, 4000, 60_000),
    epochs=(1, 4, 50),  # of each DCGAN that is trained here
    batch=(32, 32, 64),
    samples=(200, 1000, 1000),
    device=("cpu", "cpu", "cuda"),
)
settings = lesson.settings
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def quiet(axis, title=None):
    """Lines on two sides and a faint grid."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, linewidth=0.4, color="#CCCCCC")
    if title:
        axis.set_title(title, fontsize=10)


def sigmoid(x):
    return 0.5 + 0.5 * np.tanh(x / 2)


# %% [markdown]
# ## 1. The objective, term by term
#
# D gives a *logit* $l = D(x)$; the probability that it believes in is $\sigma(l) = 1/(1 + e^{-l})$. (The paper and the
# post write $D(x)$ for the probability itself.) A real picture shall be called real:
#
# $$\max_D \; E_{x \sim p}\, \log \sigma(D(x)). \tag{1}$$
#
# What G makes of noise $z$ shall be called false:
#
# $$\max_D \; E_{z}\, \log\big(1 - \sigma(D(G(z)))\big). \tag{2}$$
#
# G wants the opposite of (2); it has no part in (1):
#
# $$\min_G \; E_{z}\, \log\big(1 - \sigma(D(G(z)))\big). \tag{3}$$
#
# All three are one number, which D raises and G lowers:
#
# $$\min_G \max_D V(D, G), \qquad V = E_{x}\, \log \sigma(D(x)) + E_{z}\, \log\big(1 - \sigma(D(G(z)))\big). \tag{4}$$
#
# In practice G minimises another loss, the **non-saturating** one; the next section shows why:
#
# $$\min_G \; - E_{z}\, \log \sigma(D(G(z))). \tag{3.1}$$
#
# **Never take the logarithm of a sigmoid.** $-\log \sigma(l) = \log(1 + e^{-l}) = \operatorname{softplus}(-l)$ and
# $-\log(1 - \sigma(l)) = \operatorname{softplus}(l)$; both are exact for every $l$. Their derivatives:
#
# $$\frac{d}{dl} \operatorname{softplus}(l) = \sigma(l), \qquad \frac{d}{dl} \operatorname{softplus}(-l) =
# \sigma(l) - 1 . \tag{5}$$

# %%
lesson.section("1. The objective, term by term")


def softplus(l):
    return np.log1p(np.exp(-abs(l))) + np.maximum(l, 0)


def d_loss(real, false):
    """-V: (1) and (2), with the sign turned."""
    return softplus(-real).mean() + softplus(false).mean()


def d_loss_backward(dy, real, false):
    return dy * (sigmoid(real) - 1) / len(real), dy * sigmoid(false) / len(false)  # (5)


def minimax(false):
    return -softplus(false).mean()  # (3)


def minimax_backward(dy, false):
    return (-dy * sigmoid(false) / len(false),)


def non_saturating(false):
    return softplus(-false).mean()  # (3.1)


def non_saturating_backward(dy, false):
    return (dy * (sigmoid(false) - 1) / len(false),)


rng = np.random.default_rng(0)
real_logits, false_logits = rng.normal(1, 2, 7), rng.normal(-1, 2, 5)
checks = (
    ("D, eq. (1) + (2)", d_loss, d_loss_backward, {"real": real_logits, "false": false_logits}),
    ("G, minimax, eq. (3)", minimax, minimax_backward, {"false": false_logits}),
    ("G, non-saturating, eq. (3.1)", non_saturating, non_saturating_backward, {"false": false_logits}),
)
for name, forward, backward, inputs in checks:
    report = mt.check_gradient(forward, backward, inputs)
    print(f"{name:<30} gradient {'right' if report else 'WRONG'}")
    assert report, name

game = models.GAN(None, None, "minimax")
package = game.judged(mt.Tensor(real_logits), mt.Tensor(false_logits)).item()
plain = -np.log(sigmoid(real_logits)).mean() - np.log(1 - sigmoid(false_logits)).mean()
print(
    f"D's loss: by (1) and (2) {plain:.12f}, here {d_loss(real_logits, false_logits):.12f}, models.GAN {package:.12f}"
)
assert max(abs(plain - package), abs(plain - d_loss(real_logits, false_logits))) < 1e-12
with np.errstate(divide="ignore"):
    naive = -np.log(1 - sigmoid(np.array([40.0])))[0]
print(f"at the logit 40: -log(1 - sigmoid) is {naive}, softplus {softplus(np.array([40.0]))[0]}")

# %% [markdown]
# ## 2. Two losses for G
#
# Where do (3) and (3.1) differ? Both fall as $l$ grows, so both want the same. But by (5) their slopes are
#
# $$\frac{d}{dl} \log(1 - \sigma(l)) = -\sigma(l), \qquad \frac{d}{dl} \big(-\log \sigma(l)\big) = -(1 - \sigma(l)),
# \qquad \text{their ratio } \frac{\sigma(l)}{1 - \sigma(l)} = e^{l} . \tag{6}$$
#
# Early on G's pictures are bad and D is sure of it: $l$ is far below 0. Then (3) is flat just where G has most to
# learn: it *saturates*. All of G's parameters feel the loss through $l$ alone, so that for one picture their whole
# gradient is smaller by exactly this factor.

# %%
lesson.section("2. Two losses for G")
print(f"{'logit':>6}{'D(G(z))':>12}{'slope of (3)':>16}{'of (3.1)':>12}{'ratio':>12}{'e^l':>12}")
slopes = {}
for logit in (2.0, 0.0, -2.0, -5.0, -10.0):
    found = []
    for loss in ("minimax", "non_saturating"):
        l = mt.Tensor(np.array([logit]), requires_grad=True)
        models.GAN(None, None, loss).fooled(l).backward()
        found.append(l.grad.numpy()[0])
    slopes[logit] = found
    ratio = found[0] / found[1]
    print(f"{logit:>6}{sigmoid(logit):>12.2e}{found[0]:>16.2e}{found[1]:>12.4f}{ratio:>12.2e}{math.exp(logit):>12.2e}")
    assert abs(ratio / math.exp(logit) - 1) < 1e-10
lesson.record(slopes_minimax_and_non_saturating=slopes)

# %% [markdown]
# So it is in a real game too. G and D are small nets for points of the plane; D is trained on the untrained G, which
# does not move. Then the gradient of all of G's parameters is measured for both losses.

# %%
source = mt.Generator(1)
nets = models.MLPGenerator(2, 2, 64, 2, generator=source), models.MLPDiscriminator(2, 64, 2, generator=source)
games = {loss: models.GAN(*nets, loss, random=source) for loss in ("minimax", "non_saturating")}
optimizer = optim.Adam(nets[1].parameters(), lr=2e-3)
confidence, norms = [], {loss: [] for loss in games}
for step in range(121):
    points = mt.Tensor(2 + 0.1 * source.normal((128, 2)))
    value = games["minimax"].discriminator_loss(points)
    nets[1].zero_grad()
    value.backward()
    optimizer.step()
    if step % 5 == 0:
        for loss, player in games.items():
            player.zero_grad()
            player.generator_loss(128, random=mt.Generator(5)).backward()
            norms[loss].append(math.sqrt(sum(float((p.grad.numpy() ** 2).sum()) for p in nets[0].parameters())))
        with mt.no_grad():
            confidence.append(float(sigmoid(nets[1](games["minimax"].sample(500)).numpy()).mean()))
print("as D becomes sure, the gradient of G:")
print(f"{'mean D(G(z))':>14}{'minimax':>12}{'non-saturating':>16}")
for number in (0, 6, 12, 18, 24):
    print(f"{confidence[number]:>14.1e}{norms['minimax'][number]:>12.1e}{norms['non_saturating'][number]:>16.1e}")
lesson.record(confidence=confidence, gradient_norms=norms)

l = np.linspace(-8, 6, 300)
figure, axes = plt.subplots(1, 3, figsize=(13, 3.9), layout="constrained")
names = ("minimax, eq. (3)", "non-saturating, eq. (3.1)")
for values, slope, name, color, dash in zip(
    (-softplus(l), softplus(-l)), (sigmoid(l), 1 - sigmoid(l)), names, COLORS, ("-", "--"), strict=False
):
    axes[0].plot(l, values, color=color, linestyle=dash, label=name)
    axes[1].plot(l, slope, color=color, linestyle=dash, label=name)
for axis in axes[:2]:
    axis.axvspan(l[0], -3, color="#F0E442", alpha=0.25, linewidth=0)
    axis.set_xlabel("logit of a generated picture, D(G(z))")
    axis.set_xlim(l[0], l[-1])
axes[0].text(-7.8, -5.6, "D is sure\nthat it is false", fontsize=9, va="bottom")
axes[0].set_ylabel("G's loss")
axes[1].set_ylabel("size of the slope")
axes[0].legend(frameon=False, fontsize=9, loc="upper right")
for values, name, color, dash in zip(norms.values(), names, COLORS, ("-", "--"), strict=False):
    axes[2].loglog(confidence, values, color=color, linestyle=dash, marker="o", markersize=3, label=name)
axes[2].invert_xaxis()
axes[2].set(xlabel="mean probability that D gives to G's points", ylabel="norm of G's whole gradient")
for axis, title in zip(axes, ("the two losses", "their slopes", "measured: D learns, G waits"), strict=True):
    quiet(axis, title)
lesson.figure(figure, "two_losses")

# %% [markdown]
# The loss landscape itself: a generator of one parameter, $G(z) = \theta + 0.3 z$; real data from $N(0, 0.3^2)$; and
# for each $\theta$ the best D, which section 3 derives. In the valley both losses agree. Far from it, the minimax loss
# is a plain, and the non-saturating one a slope. (Do not read the right picture as the slope of the left: when G takes
# its step D is held, and the landscape moves only after.)

# %%
theta, wide = np.linspace(-3, 3, 121), np.linspace(-6, 6, 4001)


def normal_density(x, mean, std):
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def integral(values, x=wide):
    return np.trapezoid(values, x)


landscape = np.zeros((2, len(theta)))
gradient = np.zeros((2, len(theta)))
for number, mean in enumerate(theta):
    # The best D has the logit log p - log p_G, here a straight line: (mean^2 - 2 mean x) / (2 0.3^2).
    density, logit = normal_density(wide, mean, 0.3), (mean**2 - 2 * mean * wide) / (2 * 0.3**2)
    slope = -mean / 0.3**2  # of that logit in x, which is dx/dtheta = 1 times that of G's loss in theta
    landscape[:, number] = integral(-softplus(logit) * density), integral(softplus(-logit) * density)
    gradient[:, number] = integral(-sigmoid(logit) * slope * density), integral((sigmoid(logit) - 1) * slope * density)
figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained")
for name, values, grads, color, dash in zip(names, landscape, gradient, COLORS, ("-", "--"), strict=False):
    axes[0].plot(theta, values, color=color, linestyle=dash, label=name)
    axes[1].semilogy(theta, np.maximum(abs(grads), 1e-12), color=color, linestyle=dash, label=name)
axes[0].set_ylim(-1.5, 12)
axes[1].set_ylim(1e-6, 100)
axes[0].set(xlabel="θ, where G puts its points (the data are at 0)", ylabel="G's loss, with the best D")
axes[1].set(xlabel="θ", ylabel="size of the derivative in θ, D held")
figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside lower center", ncols=2)
for axis, title in zip(axes, ("the landscape", "and its gradient"), strict=True):
    quiet(axis, title)
lesson.figure(figure, "landscape")
at = int(np.argmin(abs(theta - 2)))
print(f"at theta = 2 the derivatives are {gradient[0, at]:.1e} (minimax) and {gradient[1, at]:.1f} (non-saturating)")
lesson.record(derivative_at_2={"minimax": gradient[0, at], "non_saturating": gradient[1, at]})

# %% [markdown]
# ## 3. Where the game ends
#
# **The best D.** Hold G. Write $p_G$ for the density of its pictures, and $y(x) = \sigma(D(x))$. Then
#
# $$V = \int p(x) \log y(x) + p_G(x) \log(1 - y(x)) \; dx , \tag{7}$$
#
# and $y$ is free at every $x$ by itself. So, at one $x$, with $a = p(x)$, $b = p_G(x)$:
#
# $$\frac{d}{dy} \big( a \log y + b \log(1 - y) \big) = \frac{a}{y} - \frac{b}{1 - y} = 0 \iff y = \frac{a}{a + b},
# \qquad \frac{d^2}{dy^2} = -\frac{a}{y^2} - \frac{b}{(1 - y)^2} < 0 , \tag{8}$$
#
# $$D^*(x) = \frac{p(x)}{p(x) + p_G(x)} . \tag{9}$$
#
# **Its value.** Insert (9) in (7), and put $m = (p + p_G)/2$, so that $D^* = p / (2 m)$:
#
# $$V(D^*) = \int p \log \frac{p}{2m} + p_G \log \frac{p_G}{2m} = -\log 4 + \mathrm{KL}(p \,\|\, m) + \mathrm{KL}(p_G
# \,\|\, m) = 2\, \mathrm{JS}(p, p_G) - \log 4 . \tag{10}$$
#
# **The best G.** $\mathrm{JS} \ge 0$, and it is 0 only for $p_G = p$. So the game ends with $V = -\log 4 = -1.386$,
# where D says 1/2 to everything. And JS is bounded: where $p$ and $p_G$ do not overlap, $m$ is half of either, both KL
# are $\log 2$, and
#
# $$0 \le \mathrm{JS} \le \log 2 = 0.693 \text{ nats} = 1 \text{ bit}. \tag{11}$$

# %%
lesson.section("3. Where the game ends")
x = np.linspace(-12, 12, 9601)
p = 0.6 * normal_density(x, -1.5, 0.6) + 0.4 * normal_density(x, 1.5, 0.9)
p_G = normal_density(x, 0.5, 1.2)


def value_of(y, p, p_G):
    y = np.clip(y, 1e-300, 1 - 1e-16)
    return integral(p * np.log(y) + p_G * np.log(1 - y), x)  # (7)


def jensen_shannon(p, p_G):
    m, tiny = (p + p_G) / 2, 1e-300
    kl = [integral(q * np.log((q + tiny) / (m + tiny)), x) for q in (p, p_G)]
    return sum(kl) / 2


best = models.optimal_discriminator(p, p_G)
value, bound = value_of(best, p, p_G), 2 * jensen_shannon(p, p_G) - math.log(4)
print(f"V(D*) by (7) and (9): {value:.9f};  2 JS - log 4 by (10): {bound:.9f}")
assert abs(value - bound) < 1e-9
for size in (0.1, 0.5):
    bent = sigmoid(np.log(np.clip(best, 1e-300, 1) / np.clip(1 - best, 1e-300, 1)) + size * np.sin(2 * x))
    print(f"V with D* bent by {size}: {value_of(bent, p, p_G):.6f}, less")
    assert value_of(bent, p, p_G) < value
same, apart = normal_density(x, 0, 0.5), normal_density(x, 8, 0.5)
print(f"p_G = p: V = {value_of(models.optimal_discriminator(same, same), same, same):.6f}, -log 4 = {-math.log(4):.6f}")
print(f"far apart: JS = {jensen_shannon(same, apart):.6f} nats, log 2 = {math.log(2):.6f}")
lesson.record(value_at_optimum=value, js_bound=bound)

# %% [markdown]
# **Does a net get there?** D is a small MLP; it sees 512 points that stand for equal parts of each density, so that the
# mean over them is the integral, up to about 0.002: by so much may V lie above its bound.


# %%
def quantiles(density, count=512):
    """Points (count, 1), each in the middle of an equal part of the probability."""
    below = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
    return np.interp((np.arange(count) + 0.5) / count * below[-1], below, x)[:, None].astype(np.float32)


def trained(p, p_G, steps, seed=0, marks=()):
    """D(x) on the grid after `marks` and at the end of training, and V."""
    net = models.MLPDiscriminator(1, 32, 2, generator=mt.Generator(seed))
    game, optimizer = models.GAN(None, net), optim.Adam(net.parameters(), lr=1e-2)
    schedule = optim.LambdaLR(optimizer, lambda step: 1 - step / steps)
    points, kept = [mt.Tensor(quantiles(density)) for density in (p, p_G)], []
    for step in range(steps + 1):
        loss = game.judged(net(points[0]), net(points[1]))
        if step in marks or step == steps:
            with mt.no_grad():
                kept.append(sigmoid(net(mt.Tensor(x[:, None].astype(np.float32))).numpy().astype(np.float64)))
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return kept, -loss.item()


marks = (0, settings.fit_steps // 20)
curves, reached = trained(p, p_G, settings.fit_steps, marks=marks)
errors = [integral(abs(curve - best) * (p + p_G) / 2, x) for curve in curves]
print(
    f"trained D: V = {reached:.4f}; D*: {bound:.4f}; mean |D - D*| over the data {errors[-1]:.4f}, "
    f"before {errors[0]:.3f}"
)
same_curves, same_value = trained(p, p, settings.fit_steps)
print(f"where p_G = p: V = {same_value:.5f}, mean |D - 1/2| = {integral(abs(same_curves[-1] - 0.5) * p, x):.5f}")
lesson.record(trained_value=reached, trained_error=errors[-1], value_where_equal=same_value)

distances = np.linspace(0, 5, 11 if lesson.mode != "quick" else 6)
measured, derived, transport = [], [], []
for number, distance in enumerate(distances):
    near, far = normal_density(x, 0, 0.7), normal_density(x, distance, 0.7)
    measured.append(trained(near, far, settings.fit_steps, seed=number)[1])
    derived.append(2 * jensen_shannon(near, far) - math.log(4))
    transport.append(abs(quantiles(near) - quantiles(far)).mean())
print(f"{'distance':>9}{'V, trained D':>14}{'2 JS - log 4':>14}{'Wasserstein':>13}")
for row in zip(distances, measured, derived, transport, strict=True):
    print("{:>9.1f}{:>14.4f}{:>14.4f}{:>13.3f}".format(*row))
largest = max(abs(a - b) for a, b in zip(measured, derived, strict=True))
print(f"V and its bound differ by at most {largest:.4f}")
lesson.record(distances=distances, values=measured, bounds=derived)

figure, axes = plt.subplots(1, 3, figsize=(13.5, 4), layout="constrained")
view = abs(x) < 4.5
axes[0].fill_between(x[view], p[view], color=COLORS[0], alpha=0.35, linewidth=0, label="p, real")
axes[0].plot(x[view], p_G[view], color=COLORS[1], label="$p_G$, generated")
axes[0].set(xlabel="x", ylabel="density")
axes[0].legend(frameon=False, fontsize=9, loc="upper right")
axes[1].plot(x[view], best[view], color="black", linewidth=3, alpha=0.3, label="D* = p / (p + $p_G$)")
for curve, step, dash in zip(curves, (*marks, settings.fit_steps), (":", "-.", "-"), strict=True):
    axes[1].plot(x[view], curve[view], color=COLORS[2], linestyle=dash, linewidth=1.3, label=f"D after {step} steps")
axes[1].set(xlabel="x", ylabel="probability of real", ylim=(-0.03, 1.5), yticks=np.arange(0, 1.1, 0.2))
axes[1].legend(frameon=False, fontsize=9, loc="upper right", ncols=1)
axes[2].plot(distances, derived, color="black", linewidth=3, alpha=0.3, label="2 JS − log 4, by quadrature")
axes[2].plot(distances, measured, "o", color=COLORS[2], markersize=5, label="V of the trained D")
axes[2].axhline(-math.log(4), color="#888888", linewidth=0.8, linestyle=":")
axes[2].axhline(0, color="#888888", linewidth=0.8, linestyle=":")
axes[2].text(5, -1.36, "−log 4: equal", ha="right", va="bottom", fontsize=9)
axes[2].text(0.05, -0.02, "0: no overlap, JS = log 2", va="top", fontsize=9)
axes[2].set(xlabel="distance of the means of p and $p_G$", ylabel="value V")
axes[2].legend(frameon=False, fontsize=9, loc="center right")
for axis, title in zip(axes, ("two densities", "the trained D and the best", "the value and its bound"), strict=True):
    quiet(axis, title)
lesson.figure(figure, "optimal_discriminator")

# %% [markdown]
# Where there are no data, D was never asked, and its curve means nothing. Now look at the end of the table: beyond a
# distance of four V hardly changes any more: **a perfect D tells G nothing about where to go.** The last column is
# another distance between the two, the *Wasserstein* distance: how far the probability must be carried on average. It
# has a slope everywhere.
#
# ## 4. The algorithm, and a critic with a second derivative
#
# Algorithm 1 of the paper, with $k = 1$ as in its experiments:
#
# > for each batch of real $x$: draw $z$; one step of D on $-V$; draw $z$ anew; one step of G on (3.1).
#
# `AdversarialTrainer` is this loop. In D's step G is held, so nothing of it is recorded; in G's step D is held, but
# the gradient goes *through* it.
#
# **Wasserstein** (Arjovsky and others, 2017). The Wasserstein distance is also the largest difference of means that a
# function of slope at most 1 can make:
#
# $$W(p, p_G) = \max_{|\nabla D| \le 1} \; E_x\, D(x) - E_z\, D(G(z)) . \tag{12}$$
#
# No sigmoid: D is a *critic* that gives marks, and G's loss is $-E_z D(G(z))$. To hold the slope, Gulrajani and others
# (2017) add a penalty, at a random point $\hat x = u x + (1 - u) G(z)$ between each real and each false one:
#
# $$P = E \big( |g| - 1 \big)^2, \qquad g = \nabla_{\hat x} D(\hat x) . \tag{13}$$
#
# A step of D needs the gradient of $P$ in D's *parameters*: the derivative of a derivative. By hand, for a critic of
# one hidden layer, $D(x) = \sum_j v_j t_j$, $t = \tanh(W x + c)$. The slope, with $s_j = 1 - t_j^2$:
#
# $$g_i = \sum_j v_j s_j W_{ji} . \tag{14}$$
#
# From (13), for each of the $N$ points,
#
# $$u = \frac{\partial P}{\partial g} = \frac{2}{N} \big( |g| - 1 \big) \frac{g}{|g|} , \qquad q_j = \sum_i W_{ji} u_i .
# \tag{15}$$
#
# $v$, $W$ appear in (14) directly, and $W$, $c$ also through $s$, where $ds_j = -2 t_j s_j\, da_j$, $a = W x + c$:
#
# $$dv_j = q_j s_j, \qquad da_j = -2\, q_j v_j t_j s_j, \qquad dc = da, \qquad dW_{ji} = v_j s_j u_i + da_j x_i .
# \tag{16}$$
#
# The engine gets the same by itself: `mt.grad(..., create_graph=True)` records the backward pass, so that it can be
# differentiated again.

# %%
lesson.section("4. The algorithm, and a critic with a second derivative")
N, FEATURES, HIDDEN = 6, 3, 5
W, c, v = rng.standard_normal((HIDDEN, FEATURES)), rng.standard_normal(HIDDEN), rng.standard_normal(HIDDEN)
real_points, false_points, share = (
    rng.standard_normal((N, FEATURES)),
    rng.standard_normal((N, FEATURES)),
    rng.random((N, 1)),
)
between = share * real_points + (1 - share) * false_points

t = np.tanh(between @ W.T + c)
s = 1 - t**2
g = (v * s) @ W  # (14)
length = np.linalg.norm(g, axis=1, keepdims=True)
penalty = ((length - 1) ** 2).mean()  # (13)
u = 2 / N * (length - 1) * g / length  # (15)
q = u @ W.T
da = -2 * q * v * t * s  # (16)
by_hand = {"W": (v * s).T @ u + da.T @ between, "c": da.sum(axis=0), "v": (q * s).sum(axis=0)}

tensors = {name: mt.Tensor(value, requires_grad=True) for name, value in (("W", W), ("c", c), ("v", v))}


def critic(points):
    return (ops.tanh(ops.linear(points, tensors["W"], tensors["c"])) * tensors["v"]).sum(axis=1)


found = models.gradient_penalty(critic, mt.Tensor(real_points), mt.Tensor(false_points), share)
engine = dict(zip(tensors, mt.grad(found, list(tensors.values())), strict=True))
print(f"penalty by hand {penalty:.12f}, by the engine {found.item():.12f}")
worst = 0.0
for name, value in by_hand.items():
    difference = abs(value - engine[name].numpy()).max()
    worst = max(worst, difference)
    print(f"d penalty / d{name}: by hand and by the engine differ by at most {difference:.0e}")
assert worst < 1e-12 and abs(penalty - found.item()) < 1e-12
without_root = ((length**2 - 1) ** 2).mean()
print(f"a classic slip: without the root the penalty would be {without_root:.4f}")
lesson.record(double_gradient_error=worst)

# %% [markdown]
# ## 5. Eight Gaussians
#
# Real points lie around eight places on a circle of radius 2, with $\sigma = 0.02$, all divided by 1.414. G turns two
# numbers of noise into a point. It is easy to see here what is hard to see in pictures: whether G makes *all* kinds
# of points. *Good* is a point within $3 \sigma$ of the middle of a mode, where 98.9 % of real points are
# ($1 - e^{-9/2}$). A mode is *covered* if at least 5 % of all points are good points of it: that is stricter than
# `training.mode_coverage`, which counts the points that are nearest to it.
#
# The plain game and WGAN-GP ($\lambda = 0.1$) get the same nets, the same number of steps of G (the critic takes several for
# each), and a rate each that suits them. The rates fall to zero over the second half: with $\sigma = 0.02$ a G that still moves misses its aim.

# %%
lesson.section("5. Eight Gaussians")
MODES = 2 / 1.414 * np.array([[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(8)])
SIGMA = 0.02 / 1.414


def ring(count, generator):
    """Real points (count, 2)."""
    return (MODES[generator.integers(0, 8, count)] + SIGMA * generator.normal((count, 2))).astype(np.float32)


def coverage(points):
    """Modes covered, and the share of good points."""
    distances = np.linalg.norm(points[:, None] - MODES, axis=2)
    good = distances.min(axis=1) < 3 * SIGMA
    shares = np.bincount(distances.argmin(axis=1)[good], minlength=8) / len(points)
    return int((shares >= 0.05).sum()), float(good.mean())


def nearest_mode(points):
    """The share of all points that each mode is nearest to, however far."""
    return np.bincount(np.linalg.norm(points[:, None] - MODES, axis=2).argmin(axis=1), minlength=8) / len(points)


players = {  # loss, penalty, rate, second moment's decay
    "GAN": ("non_saturating", 0.0, 2e-4, 0.999),
    "WGAN-GP": ("wasserstein", 0.1, settings.ring_rate, 0.9),
}
FRAMES, BATCH = 40, 256


def play(name, seed):
    """Samples in the course of a game, and many at its end."""
    loss, penalty, rate, decay = players[name]
    source = mt.Generator(seed)
    hidden = settings.ring_hidden
    nets = models.MLPGenerator(2, 2, hidden, generator=source), models.MLPDiscriminator(2, hidden, generator=source)
    nets = [net.to(settings.device) for net in nets]
    game = models.GAN(*nets, loss, penalty, random=source)
    optimizers = [optim.Adam(net.parameters(), lr=rate, betas=(0.5, decay)) for net in nets]
    critic_steps = settings.ring_critic if name == "WGAN-GP" else 1
    steps = settings.ring_steps * critic_steps // FRAMES * FRAMES
    batches = [(ring(BATCH, source), np.zeros(BATCH, int)) for _ in range(steps // FRAMES)]
    trainer = AdversarialTrainer(
        game,
        *optimizers,
        train_loader=batches,
        discriminator_steps=critic_steps,
        schedules=[optim.LambdaLR(each, lambda step: min(1.0, 2 * (1 - step / steps))) for each in optimizers],
        progress=False,
    )
    course = []
    for epoch in range(1, FRAMES + 1):
        trainer.fit(epoch)
        course.append(game.sample(1000, random=mt.Generator(99)).numpy())
    return course, game.sample(10_000, random=mt.Generator(98)).numpy()


real_good = coverage(ring(10_000, mt.Generator(97)))
print(f"real points: {real_good[0]} of 8 modes, {100 * real_good[1]:.1f} % good")
courses, ends = {}, {}
print(f"{'':<9}{'seed':>5}{'modes covered':>15}{'good':>9}{'fewest points near a mode':>28}")
for name in players:
    for seed in range(settings.ring_seeds):
        courses[name, seed], ends[name, seed] = play(name, seed)
        modes, good = coverage(ends[name, seed])
        fewest = nearest_mode(ends[name, seed]).min()
        print(f"{name:<9}{seed:>5}{f'{modes} of 8':>15}{100 * good:>7.1f} %{100 * fewest:>26.1f} %", flush=True)
        lesson.record(**{f"ring, {name}, seed {seed}": {"modes": modes, "good": good, "fewest": fewest}})

for name in players:
    won = [coverage(ends[name, seed]) for seed in range(settings.ring_seeds)]
    whole = sum(modes == 8 and good >= 0.8 for modes, good in won)
    mean_modes = np.mean([modes for modes, _ in won])
    print(f"{name}: all 8 modes and 80 % good in {whole} of {len(won)} seeds; {mean_modes:.1f} modes on average")
    lesson.record(**{f"ring, {name}, seeds with 8 modes and 80 % good": whole})

shown = (1, FRAMES // 8, FRAMES // 4, FRAMES // 2, FRAMES)
figure, axes = plt.subplots(2, len(shown) + 1, figsize=(14, 4.9), layout="constrained")
for row, (name, color) in enumerate(zip(players, COLORS[1:], strict=False)):
    for axis, frame in zip(axes[row], shown, strict=False):
        points = courses[name, 0][frame - 1]
        axis.scatter(*MODES.T, s=60, facecolors="none", edgecolors="#888888", linewidths=0.8)
        axis.scatter(*points.T, s=2, color=color, alpha=0.5, linewidths=0)
        modes, good = coverage(points)
        steps = settings.ring_steps * frame // FRAMES
        axis.set_title(f"{name}, step {steps:,}\n{modes} of 8 modes, {100 * good:.0f} % good", fontsize=9)
        axis.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), aspect="equal", xticks=[], yticks=[])
    axis = axes[row, -1]
    for seed in range(settings.ring_seeds):
        good = [100 * coverage(points)[1] for points in courses[name, seed]]
        steps = settings.ring_steps * np.arange(1, FRAMES + 1) / FRAMES
        axis.plot(steps, good, color=color, linewidth=1, alpha=0.8)
    axis.set(ylim=(0, 102), ylabel="good points, %", xlabel="step")
    axis.set_title(f"{name}, a line for each seed", fontsize=9)
    axis.set_xticks([0, settings.ring_steps // 2, settings.ring_steps])
    quiet(axis)
figure.suptitle("Eight Gaussians: generated points of seed 0; circles mark the modes", fontsize=11)
lesson.figure(figure, "eight_gaussians")

# %% [markdown]
# The last state of every seed. Two things can go wrong. A mode may get hardly any points at all, which the last column
# of the table shows; or the points that it gets may miss it. Nothing in G's loss asks for all modes: each point is
# judged by itself, and D cannot say "make others too". It can only dislike the places where there are too many. The
# points between two modes are there because G is continuous: what it makes of a connected cloud of noise is connected.

# %%
figure, axes = plt.subplots(
    2, settings.ring_seeds, figsize=(2.3 * settings.ring_seeds + 0.4, 5.1), layout="constrained", squeeze=False
)
for row, (name, color) in enumerate(zip(players, COLORS[1:], strict=False)):
    for seed, axis in enumerate(axes[row]):
        points = ends[name, seed]
        axis.scatter(*MODES.T, s=60, facecolors="none", edgecolors="#888888", linewidths=0.8)
        axis.scatter(*points[:2000].T, s=2, color=color, alpha=0.4, linewidths=0)
        modes, good = coverage(points)
        axis.set_title(f"{name}, seed {seed}\n{modes} of 8, {100 * good:.1f} % good", fontsize=9)
        axis.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), aspect="equal", xticks=[], yticks=[])
lesson.figure(figure, "eight_gaussians_seeds")

frames = []
for frame in range(FRAMES):
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.5), layout="constrained")
    for axis, name, color in zip(axes, players, COLORS[1:], strict=False):
        axis.scatter(*MODES.T, s=60, facecolors="none", edgecolors="#888888", linewidths=0.8)
        axis.scatter(*courses[name, 0][frame].T, s=2, color=color, alpha=0.5, linewidths=0)
        axis.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), aspect="equal", xticks=[], yticks=[])
        axis.set_title(f"{name}, step {settings.ring_steps * (frame + 1) // FRAMES:,}", fontsize=10)
    figure.canvas.draw()
    frames.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3]).quantize(32))
    plt.close(figure)
pauses = [120] * (FRAMES - 1) + [2000]
frames[0].save(lesson.folder / "eight_gaussians.gif", save_all=True, append_images=frames[1:], duration=pauses, loop=0)
print(f"  motion: eight_gaussians.gif, {FRAMES} frames")

# %% [markdown]
# ## 6. DCGAN
#
# Radford, Metz and Chintala (2015) found the convolutional nets that train: transposed convolutions in G, strided ones
# in D; batch normalisation in both; ReLU in G with tanh at the end, leaky ReLU in D; no hidden linear layers; Adam with
# $\beta_1 = 0.5$. Counted for 64 x 64, and for the digits of this lesson:

# %%
lesson.section("6. DCGAN")
for name, options, expected in (
    ("dcgan_generator", {"image_size": 64}, 3_576_704),
    ("dcgan_discriminator", {"image_size": 64}, 2_765_568),
    ("dcgan_generator_digits", {}, None),
    ("dcgan_discriminator_digits", {}, None),
):
    with nn.init.skipped():
        net = models.NAMES[name](**options)
    book = models.ledger(net, net.input_shape)
    said = "" if expected is None else f"  (published {expected:,})"
    print(f"{name:<28}{book.parameters:>10,} parameters{book.multiply_adds:>13,} multiply-adds{said}")
    assert expected in (None, book.parameters)

# %% [markdown]
# **A judge.** Nobody can look at a thousand digits. A classifier, trained on the same digits (its weights come with the
# package), says of each sample what it is and how sure it is: *recognised* is a probability over 0.9. It is an honest
# judge only as far as it is right on digits that it has not seen, and some real digits are not recognised either. It
# knows nothing but digits, so that it may be sure of mere noise too, and then of one class: look at the shares of the
# classes as well. A thousand samples are drawn in a row from one seed, none chosen
# (`minitorch-cv sample dcgan_generator_digits --judge` draws another thousand, with shares a point or two away).

# %%
normalise = data.Normalize(0.5, 0.5)  # 0 .. 1 to -1 .. 1


def sets(split):
    return data.mnist(split) if settings.dataset == "MNIST" else data.mnist5k(split)


judge = models.digit_classifier()
load_weights(judge, trained_weights("digit_classifier"))
judge.eval()


def judged(images):
    """The judge's probabilities (N, 10) for images in -1 .. 1; it reads them in 0 .. 1."""
    with mt.no_grad():
        parts = np.array_split(images, -(-len(images) // 200))
        return np.concatenate([ops.softmax(judge(mt.Tensor((part + 1) / 2)), axis=1).numpy() for part in parts])


def recognised(images):
    """The share of images (N, 1, 28, 28) in -1 .. 1 that the judge is sure of, and each class's share."""
    probabilities = judged(images)
    classes = np.bincount(probabilities.argmax(axis=1), minlength=10) / len(images)
    return float((probabilities.max(axis=1) > 0.9).mean()), classes


held_out = data.mnist5k("test")
pixels = held_out.images.astype(np.float32) / 127.5 - 1
accuracy = float((judged(pixels).argmax(axis=1) == held_out.labels).mean())
real_share, _ = recognised(pixels)
print(
    f"the judge is right on {100 * accuracy:.1f} % of held-out digits, and recognises {100 * real_share:.1f} % of them"
)
lesson.record(judge_accuracy=accuracy, recognised_real=real_share)

# %% [markdown]
# **The finished G first.** These weights came with the package; `python tools/train_generative.py dcgan` makes them.
# They are averages over many steps of G, whose own weights never come to rest.


# %%
def drawn(generator, count, seed=5):
    """`count` digits in a row, of one seed."""
    source, game = mt.Generator(seed), models.GAN(generator, None)
    sizes = [100] * (count // 100)
    return np.concatenate([game.sample(size, random=source).numpy() for size in sizes])


finished = models.dcgan_generator_digits()
load_weights(finished, trained_weights("dcgan_generator_digits"))
finished.eval()
shipped = drawn(finished, settings.samples)
share, classes = recognised(shipped)
print(f"of {len(shipped)} samples {100 * share:.1f} % are recognised; real digits {100 * real_share:.1f} %")
print("share of each class, %:", "  ".join(f"{digit}: {100 * part:.1f}" for digit, part in enumerate(classes)))
lesson.record(shipped={"recognised": share, "classes": classes})
lesson.figure(
    viz.image_grid(
        shipped[:100],
        columns=20,
        limits=(-1, 1),
        title=f"The first 100 samples; {100 * share:.0f} % of "
        f"{len(shipped)} are recognised as a digit, {100 * real_share:.0f} % of real ones",
    ),
    "samples",
)

# %% [markdown]
# **A D that knows the digits.** The plain game learns strokes quickly, and only slowly which of them belong together:
# D is told no more than "real" and "false". Salimans and others (2016) let it learn the labels too. It gives ten logits
# $f_k$, and with $Z = \sum_k e^{f_k}$
#
# $$\text{real: } \sigma(l) = \frac{Z}{Z + 1}, \text{ so that } l = \log Z; \qquad \text{class } k:
# \frac{e^{f_k}}{Z} . \tag{17}$$
#
# To D's loss comes the cross-entropy of the real digits; G's loss is (3.1) as before, and G gets no label. But the
# slope of $l$ is
#
# $$\frac{\partial l}{\partial f_k} = \frac{e^{f_k}}{Z} , \tag{18}$$
#
# so that a sample between two digits is drawn to the one that it resembles most. The shipped G has learned in this
# game.

# %%
scores = rng.standard_normal((4, 10))


def log_sum_exp(f):
    return np.log(np.exp(f).sum(axis=1))


def log_sum_exp_backward(dy, f):
    return (dy[:, None] * np.exp(f) / np.exp(f).sum(axis=1, keepdims=True),)  # (18)


report = mt.check_gradient(log_sum_exp, log_sum_exp_backward, {"f": scores})
package = models.GAN(None, lambda x: x, labelled=True).logits(mt.Tensor(scores)).numpy()
difference = abs(package - log_sum_exp(scores)).max()
print(f"eq. (18) is {'right' if report else 'WRONG'}; models.GAN and (17) differ by {difference:.0e}")
assert report and difference < 1e-12

# %% [markdown]
# **Two shorter runs** from nothing, the plain game and the labelled one, with the same seed; the same ten $z$ after
# each epoch.

# %%
train = sets("train")
if settings.images < len(train):
    train = train.subset(slice(settings.images))
shifted = data.Compose([data.RandomCrop(28, padding=1), normalise])
z = mt.Tensor(mt.Generator(11).normal((10, finished.latent)))


def looked_at(generator):
    """The ten z by G as it is."""
    training, device = generator.training, next(generator.parameters()).device
    generator.eval()
    with mt.no_grad():
        pictures = generator(z.to(device)).numpy()
    generator.train(training)
    return pictures


def short_run(labelled):
    """Pictures of the ten z, and the share that is recognised, in the course of a game."""
    source = mt.Generator(0)
    nets = [
        models.dcgan_generator_digits(generator=source).to(settings.device),
        models.dcgan_discriminator_digits(classes=10 if labelled else 1, generator=source).to(settings.device),
    ]
    trainer = AdversarialTrainer(
        models.GAN(*nets, labelled=labelled, random=source),
        *[optim.Adam(net.parameters(), lr, betas=(0.5, 0.99)) for net, lr in zip(nets, (6e-4, 2e-4), strict=True)],
        train_loader=data.DataLoader(
            train, settings.batch, shuffle=True, generator=mt.Generator(1), transform=shifted, drop_last=True
        ),
        progress=False,
    )
    strip, shares = {0: looked_at(nets[0])}, []
    for epoch in range(1, settings.epochs + 1):
        last = trainer.fit(epoch).last
        if epoch not in marks:
            continue
        strip[trainer.steps_done] = looked_at(nets[0])
        nets[0].eval()
        share, classes = recognised(drawn(nets[0], settings.samples))
        nets[0].train()
        shares.append((trainer.steps_done, 100 * share if classes.max() < 0.5 else float("nan")))
        name = "labelled" if labelled else "plain"
        print(
            f"{name:<9} step {trainer.steps_done:>6,}: {100 * share:>5.1f} % recognised, "
            f"the commonest class {100 * classes.max():.0f} %; "
            f"loss of D {last['discriminator_loss']:.2f}, of G {last['generator_loss']:.2f}",
            flush=True,
        )
    return strip, shares


marks = sorted({round(1 + (settings.epochs - 1) * part) for part in np.linspace(0, 1, 7)})
runs = {name: short_run(name == "labelled") for name in ("plain", "labelled")}
lesson.record(short_runs={name: shares for name, (_, shares) in runs.items()})

height = 0.5 * (len(marks) + 2) + 0.9
figure, axes = plt.subplots(1, 3, figsize=(14, height), width_ratios=(1.25, 1.25, 1), layout="constrained")
for axis, (name, (strip, _)) in zip(axes, runs.items(), strict=False):
    rows = [*strip.values(), *([looked_at(finished)] if name == "labelled" else [])]
    labels = [f"step {step:,}" for step in strip] + ["shipped"] * (name == "labelled")
    tiles = np.concatenate([np.concatenate(list(row[:, 0]), axis=1) for row in rows])
    axis.imshow(tiles, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axis.set_yticks(14 + 28 * np.arange(len(rows)), labels)
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.set_title(f"{name}: the same ten z at each step", fontsize=10)
    axis.set_anchor("N")
for (name, (_, shares)), color, marker in zip(runs.items(), (COLORS[1], COLORS[2]), "so", strict=True):
    axes[2].plot(*zip(*shares, strict=True), color=color, marker=marker, markersize=4, label=name)
axes[2].axhline(100 * lesson.results["shipped"]["recognised"], color=COLORS[0], linestyle="--", label="shipped")
axes[2].axhline(100 * real_share, color="black", linestyle=":", label="real, held out")
axes[2].set(xlabel="step", ylabel="recognised, %", ylim=(0, 102), xlim=(0, None))
axes[2].legend(frameon=False, fontsize=9, loc="lower right")
quiet(axes[2], "digits recognised by the judge\n(left out where most are read as one class)")
lesson.figure(figure, "dcgan_over_time")

# %% [markdown]
# The labelled run is the beginning of that which made the shipped G: the same seed, so that the same $z$ grow mostly into
# the same digits; 7,500 steps in all, the rates falling to zero over the second half. The losses tell little: each is
# relative to an opponent who learns too. At the end of the plain game $D = 1/2$, and D's loss is $\log 4 = 1.39$; as
# long as it is lower, D still tells them apart. In the labelled game the cross-entropy is in D's loss as well.
#
# **A walk through the noise.** If G had learned its digits by heart, it would jump from one to the next. Four pairs
# $z_0, z_1$, and points between. In many dimensions $|z|$ is close to $\sqrt{32}$; the straight line between two leaves
# that shell, so the walk goes along the arc.


# %%
def arc(start, end, parts):
    """Points between two vectors, at even angles."""
    angle = math.acos(float(start @ end) / float(np.linalg.norm(start) * np.linalg.norm(end)))
    return [
        (math.sin((1 - part) * angle) * start + math.sin(part * angle) * end) / math.sin(angle)
        for part in np.linspace(0, 1, parts)
    ]


ends_of_walk = mt.Generator(21).normal((8, finished.latent))
walk = np.concatenate([np.stack(arc(a, b, 15)) for a, b in zip(ends_of_walk[::2], ends_of_walk[1::2], strict=True)])
with mt.no_grad():
    pictures = finished(mt.Tensor(walk.astype(np.float32))).numpy()
steps = abs(np.diff(pictures.reshape(4, 15, -1), axis=1)).mean(axis=2)
ends_apart = abs(pictures.reshape(4, 15, -1)[:, 0] - pictures.reshape(4, 15, -1)[:, -1]).mean(axis=1)
largest_step = float((steps.max(axis=1) / ends_apart).max())
print(f"the largest of the 14 steps of a walk is {largest_step:.2f} of the way from its first to its last picture")
lesson.record(largest_step_of_a_walk=largest_step)
lesson.figure(viz.image_grid(pictures, columns=15, limits=(-1, 1), title="Four walks through the noise"), "latent_walk")

# %% [markdown]
# **Is it copying?** Beside each sample the nearest digit, pixel by pixel, among those that G was trained on, and the
# nearest among those held out. A copy would be far closer to the first. The training set is four times as large, so
# that its nearest is a little closer anyhow; the fair comparison is with as many of each.

# %%
corpus = data.mnist5k("train").images.reshape(-1, 784).astype(np.float32) / 127.5 - 1
others = pixels.reshape(-1, 784)
flat = shipped.reshape(len(shipped), -1)


def nearest(of, among):
    """The index of and the distance to the nearest."""
    squares = (of**2).sum(axis=1)[:, None] - 2 * of @ among.T + (among**2).sum(axis=1)
    return squares.argmin(axis=1), np.sqrt(np.maximum(squares.min(axis=1), 0))


index, to_train = nearest(flat, corpus)
index_held_out, to_held_out = nearest(flat, others)
_, to_as_many = nearest(flat, corpus[::4])
_, real_to_train = nearest(others, corpus)
print("mean Euclidean distance to the nearest digit, pixels from -1 to 1:")
print(
    f"  to {len(corpus):,} training digits: samples {to_train.mean():.2f}, held-out digits {real_to_train.mean():.2f}"
)
print(f"  samples to 1,000 training digits {to_as_many.mean():.2f}, to 1,000 held-out digits {to_held_out.mean():.2f}")
lesson.record(
    nearest={
        "samples to all training digits": to_train.mean(),
        "held-out to all training digits": real_to_train.mean(),
        "samples to 1,000 training digits": to_as_many.mean(),
        "samples to 1,000 held-out digits": to_held_out.mean(),
    }
)
rows = np.concatenate([flat[:16], corpus[index[:16]], others[index_held_out[:16]]]).reshape(-1, 28, 28)
figure, axis = plt.subplots(figsize=(11, 2.4), layout="constrained")
viz.image_grid(rows, columns=16, limits=(-1, 1), ax=axis)
axis.set_title("above: samples; middle: the nearest training digit; below: the nearest held-out digit", fontsize=10)
lesson.figure(figure, "nearest_neighbours")

# %%
lesson.finish()

# %% [markdown]
# ## 7. What to put right
#
# *The non-saturating loss.* In the post it is equation (3.1); a reference there points to "3.2".
#
# *JS lies between 0 and 1.* In bits, yes. With the natural logarithm, as in all equations here and in $-\log 4$, it
# lies between 0 and $\log 2 = 0.693$: equation (11), and the number that section 3 printed.
#
# *The game ends at D = 1/2.* It does if both find their optimum. The theorem speaks of densities, not of parameters,
# and of the best D for every G. Sections 5 and 6 show what two nets do that each take a step in turn.
#
# *The minimax loss is what GANs minimise.* The theorem is about it; what is trained is (3.1), whose fixed point is the
# same and whose way there is another.
#
# ## What was measured, and what to try next
#
# `results.json` holds the numbers of your run. Where to go from here: **DCGAN** (section 6), **WGAN** (section 4),
# **CycleGAN**, which has two generators, from horses to zebras and back, and asks that there and back be the same.
#
# 1. Derive (9) with real pictures three times as likely as generated ones. What does D say at $p_G = p$?
# 2. Show that the gradient of (3) in G's parameters, with $D = D^*$ held, is that of $2\, \mathrm{JS}$. Is that so for
#    (3.1)? (Arjovsky and Bottou 2017 have the answer: it is $\mathrm{KL}(p_G \| p) - 2\,\mathrm{JS}$. Mind the sign.)
# 3. Take `"hinge"` with `nn.SpectralNorm` around each linear layer of D, in place of the penalty. How many modes?
# 4. Set the penalty to 10 for the eight Gaussians, then to 0.001. Which part of (13) do you see?
# 5. Train the minimax game on the eight Gaussians. Then let D take five steps for each of G. Which of the two suffers?
# 6. Take the batch normalisation out of D and put in its place the penalty. Why must not both be there? (Which $x_n$
#    does $D(x_n)$ depend on?)
# 7. Run `--full`, on a GPU: the published setting of the eight Gaussians, and all of MNIST.
